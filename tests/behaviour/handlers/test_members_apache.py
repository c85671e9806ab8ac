# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_python's handlers in httpd: members of requests, servers and connections, and functions about the server."""

import json

import pytest

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")


def configure(site, kind):
    file = f"{site.apps}/handlers/members.py"
    site.tls = True
    site.apache_host = "ServerAlias other.example *.wild.example"
    site.location("/members", apache=f"SetHandler mod_python\nPythonHandler {file}")
    for name in ("tree", "suffixes", "methods", "refuses", "outer", "inner", "kept", "locks"):
        site.location(f"/members/{name}", apache=f"PythonHandler {file}::{name}")
    site.location("/members/outer", apache=f"PythonLogHandler {file}")
    site.location("/pages", apache="AddHandler mod_python .PY psp\nAddHandler cgi-script .pl\naddhandler python-program .py .old")


def test_facts(server, kind):
    seen = json.loads(server.get("/members").body)
    assert (seen["limit_req_line"], seen["limit_req_fieldsize"], seen["limit_req_fields"]) == (8190, 8190, 100)
    assert seen["names"] == ["other.example"] and seen["wild_names"] == ["*.wild.example"]
    assert server.port in [port for _, port in seen["addrs"]]
    assert seen["defn_name"].endswith(".conf") and seen["defn_line_number"] > 0
    assert (seen["path"], seen["pathlen"], seen["local_host"], seen["remote_logname"]) == (None, 0, None, None)
    assert (seen["main"], seen["prev"], seen["next"]) == (None, None, None)
    assert seen["server_root"] == str(server.folder)
    assert bool(seen["threaded"]) == (kind != "apache-prefork")
    assert seen["defines"] == [False]
    assert (seen["cipher"], seen["https"]) == (None, 0)
    assert (seen["expecting_100"], seen["read_chunked"], seen["content_languages"]) == (0, 0, [])
    assert seen["interpreter"] is True


def test_variables_of_tls(server):
    seen = json.loads(server.get("/members", port="tls").body)
    assert seen["https"] == 1 and "_" in seen["cipher"] or "-" in seen["cipher"]


def test_the_tree_of_directives(server):
    tree = json.loads(server.get("/members/tree").body)

    def walk(nodes):
        for node in nodes:
            if isinstance(node[0], str):
                yield tuple(node)
            else:
                yield from walk(node)

    top = [tuple(node) for node in tree if isinstance(node[0], str)]
    assert any(name == "DocumentRoot" for name, _ in top)
    assert not any(name == "PythonHandler" for name, _ in top)
    assert any(name == "PythonHandler" and value.endswith("members.py::tree") for name, value in walk(tree))
    section = next(at for at, node in enumerate(tree) if isinstance(node[0], str) and node[0].startswith("<"))
    assert isinstance(tree[section + 1][0], list) or isinstance(tree[section + 1][0][0], str)


def test_suffixes_that_are_pythons(server):
    assert server.get("/members/suffixes").body == b"py psp old"


def test_methods_that_are_allowed(server):
    response = server.get("/members/methods")
    assert response.status == 405
    assert {name.strip() for name in response.header("allow").split(",")} >= {"GET", "POST", "PUT"}


def test_what_is_not_there_says_why(server):
    lines = server.get("/members/refuses").body.decode().splitlines()
    assert len(lines) == 3
    for line, words in zip(lines, ("mod_authz_core", "SendBufferSize", "has no attribute")):
        assert words in line


def test_requests_beside_a_request(server):
    assert server.get("/members/outer").body == b"/members/outer outer None /members/inner a=b 3 True"
    server.log.expect("redirected to /members/inner with yes")
    count, _, total = server.get("/members/kept").body.partition(b" of ")
    assert count == total


def test_locks_of_all_processes(server):
    assert server.get("/members/locks").body == b"011"
