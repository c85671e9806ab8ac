# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers of the main server and of virtual hosts: what a host inherits, what is its own, and what it ends."""

import json
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from harness import places

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")

MODULE = """
import json
from mod_python import apache

def tells(req, name):
    req.write(json.dumps([name, req.notes.get("guard"), dict(req.get_options()), req.get_config().get("PythonDebug")]))
    return apache.OK

def guard(req):
    req.notes["guard"] = req.get_options().get("place", "")
    return apache.OK

def outer(req): return tells(req, "outer")
def inner(req): return tells(req, "inner")
def deep(req): return tells(req, "deep")
"""

HOSTS = {
    "inherits": "",
    "own": "GangwayPythonHandler hosts::inner {root} option=place=own",
    "off": "GangwayPythonHandler off",
    "phase": "GangwayPythonHandler access off",
    "mixed": 'PythonOption place mixed\nPythonDebug On',
    "deeper": "GangwayPythonHandler hosts::inner {root} option=place=own\n"
    "<Location /deep>\nGangwayPythonHandler hosts::deep {root} option=third=deep\n</Location>",
}
PORTS = {}


@pytest.fixture
def server(launch, scratch):
    folder = scratch / "hosts"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "hosts.py").write_text(MODULE)
    PORTS.clear()

    def configure(site):
        root = f"root={folder}"
        lines = [f"GangwayPythonHandler access hosts::guard {root}", f"GangwayPythonHandler hosts::outer {root} option=place=main option=kept=yes"]
        for name, words in HOSTS.items():
            port = PORTS[name] = places.free_port()
            lines += [f"Listen 127.0.0.1:{port}", f"<VirtualHost 127.0.0.1:{port}>", f"ServerName {name}.test", words.format(root=root), "</VirtualHost>"]
        site.apache_main = "\n".join(lines)

    return launch(configure)


def ask(name, path="/page"):
    with urlopen(f"http://127.0.0.1:{PORTS[name]}{path}", timeout=20) as response:
        return json.load(response)


def test_what_a_host_inherits_and_says_itself(server):
    assert ask("inherits") == ["outer", "main", {"place": "main", "kept": "yes"}, None]
    own = {"place": "own", "kept": "yes"}
    assert ask("own") == ["inner", "own", own, None], "its own handler and word; the check of the main server"
    assert ask("mixed") == ["outer", "mixed", {"place": "mixed", "kept": "yes"}, "1"], "mod_python's words say more of the same"
    assert ask("deeper") == ["inner", "own", own, None]
    assert ask("deeper", "/deep/page") == ["deep", "own", {**own, "third": "deep"}, None]


def test_what_a_host_ends(server):
    assert ask("phase") == ["outer", None, {"place": "main", "kept": "yes"}, None]
    with pytest.raises(HTTPError) as error:
        ask("off")
    with error.value as response:
        assert response.status == 404
