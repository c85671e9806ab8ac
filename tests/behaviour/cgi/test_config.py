# SPDX-License-Identifier: MIT OR Apache-2.0
"""A wrong gangway_cgi or GangwayCGI stops the configuration test with one line: directive, value, cure."""

import pytest

from harness import places
from harness.configtest import one_line


def name(kind):
    return "GangwayCGI" if kind.startswith("apache") else "gangway_cgi"


WRONG = {
    "typo": ({"proceses": 4}, "GW0101", ['"proceses"', 'did you mean "processes="?']),
    "unknown": ({"threads": 4}, "GW0101", ['"threads"', "known are index, interpreter"]),
    "bad switch": ({"args": "yes"}, "GW0102", ["args=yes", "on or off"]),
    "bad count": ({"processes": 0}, "GW0102", ["processes=0", "1 to 100000"]),
    "bad time": ({"timeout": "soon"}, "GW0102", ["timeout=soon", "30s"]),
    "bad size": ({"memory": "lots"}, "GW0102", ["memory=lots", "64m"]),
    "bad word": ({"symlinks": "on"}, "GW0102", ["symlinks=on", "inside, any"]),
    "bad level": ({"stderr_level": "loud"}, "GW0102", ["stderr_level=loud", "error, warn"]),
    "no interpreter": ({"interpreter": ".php:/no/php-cgi"}, "GW0102", ["/no/php-cgi", "create it or correct the path"]),
    "no suffix": ({"interpreter": "/bin/sh"}, "GW0102", [".SUFFIX:FILE"]),
    "unknown user": ({"user": "no-such-user"}, "GW0102", ["user=no-such-user"]),
    "root": ({"user": "root"}, "GW0102", ["user=root"]),
    "twice": ({"args": ["on", "off"]}, "GW0101", ["stands twice"]),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_words(configtest, kind, case, scratch):
    options, code, parts = WRONG[case]
    result = configtest(lambda site: site.cgi("/cgi", scratch, **options))
    one_line(result, name(kind), code, *parts)


@pytest.mark.parametrize(("words", "part"), [("", "on"), ("maybe", "maybe"), ("off args=on", "off takes no options")])
def test_the_first_word_is_on_or_off(configtest, kind, words, part):
    line = f"{name(kind)} {words}"

    def wrong(site):
        site.location("/cgi", nginx=line + ";", apache=line)

    result = configtest(wrong)
    assert result.status != 0 and part.lower() in result.output.lower(), result.output


def test_a_right_configuration_passes(configtest, scratch):
    def right(site):
        site.cgi("/a", scratch, timeout="5m", processes=4, queue=0, memory="1g", cpu="10s", files=64, env=["A=1", "B=2"])
        site.cgi("/b", scratch, index="index.cgi", interpreter=[".sh:/bin/sh", ".py:/usr/bin/python3"], abort=False)
        if places.AS_ROOT:
            site.cgi("/c", scratch, user="nobody")

    assert configtest(right).status == 0


@pytest.mark.servers("nginx", "nginx128")
@pytest.mark.parametrize("other", ["gangway_wsgi pep3333:app root=APPS;", "gangway_pass fastcgi://127.0.0.1:9;"])
@pytest.mark.parametrize("first", [True, False])
def test_one_location_has_one_handler(configtest, kind, other, first):
    def both(site):
        lines = ["gangway_cgi on;", other.replace("APPS", str(site.apps))]
        site.location("/both", nginx="\n".join(lines if first else lines[::-1]))

    result = configtest(both)
    one_line(result, "GW0107", "one location")
