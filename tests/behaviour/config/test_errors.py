# SPDX-License-Identifier: MIT OR Apache-2.0
"""A wrong configuration stops the configuration test with one line: directive, value, cure."""

import re
import shutil
import subprocess
import time

import pytest

from harness import places
from harness.configtest import one_line


def directive(kind, name="wsgi"):
    nginx = {"wsgi": "gangway_wsgi", "param": "gangway_param"}
    apache = {"wsgi": "GangwayWSGI", "param": "GangwayParam"}
    return (apache if kind.startswith("apache") else nginx)[name]


def test_a_right_configuration_passes(configtest):
    def right(site):
        site.wsgi(
            "/app",
            "pep3333:app",
            threads=4,
            queue=10,
            timeout="500ms",
            env=["A=1", "B=two words"],
            debug=True,
            python="3.11",
        )
        site.wsgi("/file", f"{site.apps}/pep3333.py:app", root=None, env=["A=1", "B=two words"])

    assert configtest(right).status == 0


def test_many_applications_are_tested_in_a_moment(configtest):
    """Each was compared with each other one, and Python was looked for anew each time: minutes."""

    def many(site):
        for number in range(200):
            site.wsgi(f"/{number}", "pep3333:app", threads=number % 100 + 1)

    begin = time.monotonic()
    assert configtest(many).status == 0
    assert time.monotonic() - begin < 20


# words after the directive -> code, what the line must say
WRONG_WORDS = {
    "no callable": ("pep3333", {}, "GW0103", ['"pep3333"', "MODULE:CALLABLE"]),
    "no module": (":app", {}, "GW0103", ['":app"', "MODULE:CALLABLE"]),
    "missing file": ("/no/such.py:app", {}, "GW0103", ["/no/such.py", "create it or correct the path"]),
    "options first": ("threads=4", {}, "GW0103", ["comes first"]),
    "typo": ("a:app", {"thread": 4}, "GW0101", ['"thread"', 'did you mean "threads="?']),
    "unknown": ("a:app", {"colour": "blue"}, "GW0101", ['"colour"', "known are root, venv"]),
    "zero threads": ("a:app", {"threads": 0}, "GW0102", ["threads=0", "1 to 1024"]),
    "many threads": ("a:app", {"threads": 5000}, "GW0102", ["threads=5000", "1 to 1024"]),
    "text for a number": ("a:app", {"threads": "many"}, "GW0102", ["threads=many", "1 to 1024"]),
    "negative queue": ("a:app", {"queue": -1}, "GW0102", ["queue=-1", "0 to 1000000"]),
    "bad time": ("a:app", {"timeout": "soon"}, "GW0102", ["timeout=soon", "30s"]),
    "bad unit": ("a:app", {"timeout": "5y"}, "GW0102", ["timeout=5y", "30s"]),
    "bad switch": ("a:app", {"debug": "yes"}, "GW0102", ["debug=yes", "on or off"]),
    "bad variable": ("a:app", {"env": "A"}, "GW0102", ["env=A", "NAME=VALUE"]),
    "nameless variable": ("a:app", {"env": "=x"}, "GW0102", ["env==x", "NAME=VALUE"]),
    "missing env_file": ("a:app", {"env_file": "/no/env"}, "GW0102", ["/no/env", "create it or correct the path"]),
    "missing venv": ("a:app", {"venv": "/no/venv"}, "GW0102", ["venv=/no/venv", "create it"]),
    "twice": ("a:app", {"threads": [2, 3]}, "GW0101", ["threads=", "twice"]),
    "empty python": ("a:app", {"python": ""}, "GW0102", ["python="]),
}


@pytest.mark.parametrize("name", WRONG_WORDS)
def test_wrong_words(configtest, kind, name):
    target, options, code, parts = WRONG_WORDS[name]
    result = configtest(lambda site: site.wsgi("/app", target, **options))
    one_line(result, directive(kind), code, *parts)


def test_the_line_names_file_and_line_number(configtest, kind):
    result = configtest(lambda site: site.wsgi("/app", "a:app", threads=0))
    assert re.search(r"server\.conf:\d+|on line \d+ of .*server\.conf", result.output), result.output


def test_a_missing_root(configtest, kind):
    result = configtest(lambda site: site.wsgi("/app", "a:app", root="/no/root"))
    one_line(result, directive(kind), "GW0102", "root=/no/root", "create it or correct the path")


def test_a_file_where_a_folder_is_wanted(configtest, kind, workspace):
    result = configtest(lambda site: site.wsgi("/app", "a:app", root=workspace.apps / "pep3333.py"))
    one_line(result, directive(kind), "GW0102", "pep3333.py", "director")


def test_a_venv_that_is_none(configtest, kind, scratch):
    result = configtest(lambda site: site.wsgi("/app", "pep3333:app", venv=scratch))
    one_line(result, directive(kind), f"venv={scratch}", "no pyvenv.cfg", f"python3 -m venv {scratch}")


def test_a_venv_whose_python_is_gone(configtest, kind, scratch):
    (scratch / "pyvenv.cfg").write_text("home = /opt/python-gone/bin\nversion = 3.11.2\n")
    (scratch / "bin").mkdir()
    (scratch / "bin" / "python3").symlink_to("/opt/python-gone/bin/python3.11")
    result = configtest(lambda site: site.wsgi("/app", "pep3333:app", venv=scratch))
    one_line(result, directive(kind), f"venv={scratch}", "/opt/python-gone/bin", "python3 -m venv --clear")


def test_a_venv_of_an_old_python(configtest, kind, scratch):
    (scratch / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.7.1\n")
    result = configtest(lambda site: site.wsgi("/app", "pep3333:app", venv=scratch))
    one_line(result, directive(kind), f"venv={scratch}", "3.7", "3.9 or later")


@pytest.mark.parametrize(
    ("python", "parts"),
    [
        ("3.42", ["3.42", "python="]),
        ("2.7", ["2.7", "3.9"]),
        ("/no/prefix", ["/no/prefix"]),
        ("/etc/passwd", ["/etc/passwd", "libpython"]),
        ("python", ["python=python"]),
    ],
)
def test_a_python_that_cannot_be_used(configtest, kind, python, parts):
    result = configtest(lambda site: site.wsgi("/app", "pep3333:app", python=python))
    one_line(result, directive(kind), *parts)


def test_a_python_and_a_venv_that_disagree(configtest, kind, scratch):
    venv = scratch / "venv"
    subprocess.run([places.SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    (venv / "pyvenv.cfg").write_text((venv / "pyvenv.cfg").read_text().replace("version = 3.11", "version = 3.12"))
    result = configtest(lambda site: site.wsgi("/app", "pep3333:app", venv=venv, python="3.11"))
    one_line(result, directive(kind), "python=3.11", str(venv), "3.12")


def test_two_applications_with_one_module_name(configtest, kind, scratch):
    for name in ("a", "b"):
        (scratch / name).mkdir()
        (scratch / name / "blog.py").write_text("app = None\n")

    def clash(site):
        site.wsgi("/a", "blog:app", root=scratch / "a")
        site.wsgi("/b", "blog:app", root=scratch / "b")

    one_line(configtest(clash), directive(kind), "GW0104", '"blog"', str(scratch / "a"), str(scratch / "b"), "rename")


def test_two_applications_with_different_venvs(configtest, kind, scratch):
    for name in ("a", "b"):
        command = [places.SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(scratch / name)]
        subprocess.run(command, check=True, timeout=60)

    def clash(site):
        site.wsgi("/a", "one:app", venv=scratch / "a")
        site.wsgi("/b", "two:app", venv=scratch / "b")

    one_line(configtest(clash), directive(kind), "GW0104", str(scratch / "a"), str(scratch / "b"), "the same venv=")


def test_two_applications_with_one_variable(configtest, kind):
    def clash(site):
        site.wsgi("/a", "one:app", env="MODE=a")
        site.wsgi("/b", "two:app", env="MODE=b")

    one_line(configtest(clash), directive(kind), "GW0104", "MODE", "the same value")


def test_a_malformed_env_file(configtest, kind, scratch):
    (scratch / "env").write_text("GOOD=1\n# comment\nthis is no assignment\n")
    result = configtest(lambda site: site.wsgi("/app", "pep3333:app", env_file=scratch / "env"))
    one_line(result, directive(kind), str(scratch / "env"), "3")


def test_a_missing_engine(configtest, kind, workspace):
    def elsewhere(site):
        site.engine_dir = workspace.apps
        site.wsgi("/app", "pep3333:app")

    line = one_line(configtest(elsewhere), directive(kind), "GW0201", f"no engine in {workspace.apps}", '"wsgi"')
    assert "there is no file gangway_*.so; install the engine there or name its directory" in line


def test_an_engine_that_cannot_be_opened_is_named(configtest, kind, workspace, scratch):
    """Also when another one has the interface: then it is a warning."""
    (scratch / "gangway_aaa.so").write_text("no shared object")

    def broken(site):
        site.engine_dir = scratch
        site.wsgi("/app", "pep3333:app")

    one_line(configtest(broken), directive(kind), "GW0201", str(scratch / "gangway_aaa.so"), '"wsgi"')
    for name in places.ENGINE_FILES:
        shutil.copy(workspace.modules / name, scratch)
    result = configtest(broken)
    assert result.status == 0, result.output
    assert f"GW0201 cannot open the engine {scratch / 'gangway_aaa.so'}" in result.output


@pytest.mark.parametrize("name", ["wsgi.input", "", "A B", "gangway.x", "A=B"])
def test_a_param_that_is_no_variable(configtest, kind, name):
    word = f'"{name}"'

    def wrong(site):
        location = site.wsgi("/app", "pep3333:app")
        location.nginx = f"gangway_param {word} value;"
        location.apache = f"GangwayParam {word} value"

    one_line(configtest(wrong), directive(kind, "param"), "GW0105")


def test_a_directive_without_words(configtest, kind):
    def empty(site):
        site.location("/app", nginx="gangway_wsgi;", apache="GangwayWSGI")

    result = configtest(empty)
    assert result.status != 0
    assert directive(kind) in result.output


@pytest.mark.servers("nginx", "nginx128")
def test_a_second_handler_in_a_location(configtest):
    def twice(site):
        site.wsgi("/app", "pep3333:app", nginx="gangway_wsgi pep3333:checked;")

    result = configtest(twice)
    assert result.status != 0
    assert '"gangway_wsgi" directive is duplicate' in result.output


def test_a_failing_import_does_not_stop_the_configuration_test(configtest):
    """The application is not run while the configuration is tested, perhaps as root."""
    result = configtest(lambda site: site.wsgi("/app", "no_such_module:app"))
    assert result.status == 0


def test_the_configuration_test_starts_no_interpreter(configtest, scratch):
    (scratch / "witness.py").write_text(f"open({str(scratch / 'ran')!r}, 'w')\n")
    assert configtest(lambda site: site.wsgi("/app", "witness:app", root=scratch)).status == 0
    assert not (scratch / "ran").exists()


def test_a_reload_with_a_wrong_configuration_keeps_the_old_one(launch, kind):
    server = launch(lambda site: site.wsgi("/app", "pep3333:app"), warm=["/app/hello"])
    good = server.configuration.read_text()
    server.rewrite(good.replace("pep3333:app", "pep3333:app threads=none"))
    if kind.startswith("apache"):
        # httpd ends when a reload meets a wrong configuration, which is why apachectl tests it first.
        assert server.configtest().status != 0
    else:
        server.send_signal("reload")
        server.log.expect(r"\[emerg\].*GW0102.*threads=none")
    assert server.get("/app/hello").body == b"hello"
    server.rewrite(good)
