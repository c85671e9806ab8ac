# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers and filters that handlers add to a request, in nginx: as in httpd they run where the configuration names none."""

import pytest

pytestmark = pytest.mark.servers("nginx", "nginx128")

ADDING = """
from mod_python import apache

ME = __file__ + "::"

def header_parser(req):
    for directive, handler in (("PythonAccessHandler", "access"), ("PythonAuthenHandler", "authen"), ("PythonFixupHandler", "fixup")):
        if req.headers_in.get("X-Add-" + handler.capitalize()):
            req.add_handler(directive, ME + handler)
    if req.args == "content":
        req.add_handler("PythonHandler", ME + "content")
        req.add_handler("PythonHandler", ME + "more")
    if req.args == "filter":
        req.register_output_filter("upper", ME + "upper")
        req.add_output_filter("UPPER")
    for wrong in ("PythonTransHandler", "PythonPostReadRequestHandler", "PythonTypeHandler", "nonsense"):
        try:
            req.add_handler(wrong, "x")
        except ValueError:
            continue
        return apache.HTTP_INTERNAL_SERVER_ERROR
    return apache.OK

def access(req):
    return apache.HTTP_FORBIDDEN if req.headers_in["X-Add-Access"] == "no" else apache.OK

def authen(req):
    if req.headers_in["X-Add-Authen"] == "raise":
        raise ValueError("an added check that fails")
    return apache.DECLINED if req.headers_in["X-Add-Authen"] == "decline" else apache.OK

def fixup(req):
    req.headers_out["X-Fixed"] = "by " + req.phase
    return apache.OK

def content(req):
    req.trail = ["content"]
    return apache.OK

def more(req):
    req.write(" ".join([*req.trail, "more", req.uri]))
    return apache.OK

def upper(filter):
    while piece := filter.read():
        filter.write(piece.upper())

def own_filter(req):
    req.register_output_filter("upper", ME + "upper")
    req.add_output_filter("upper")
    for name in ("gzip", "no-such"):
        try:
            req.add_output_filter(name)
        except ValueError:
            continue
        return apache.HTTP_INTERNAL_SERVER_ERROR
    req.write("of the handler")
    try:
        req.add_output_filter("upper")
    except ValueError:
        req.write(", and late")
    return apache.OK

def plain(req):
    req.write("plain")
    return apache.OK
"""


@pytest.fixture
def server(launch, scratch):
    (scratch / "adding.py").write_text(ADDING)
    files = scratch / "files"
    files.mkdir()
    (files / "page.txt").write_text("a page")

    def configure(site):
        where = f"root={scratch}"
        site.static("/files/", files, handlers=(f"header_parser adding::header_parser {where}",))
        site.location("/own", handlers=(f"adding::own_filter {where}",))
        site.location("/plain", handlers=(f"adding::plain {where}",))

    return launch(configure, warm=["/plain"])


def test_nothing_is_added(server):
    for _ in range(2):
        response = server.get("/files/page.txt")
        assert (response.status, response.body, response.header("X-Fixed")) == (200, b"a page", None)


def test_checks(server):
    def ask(value, name="Access"):
        return server.get("/files/page.txt", headers=[("X-Add-" + name, value)]).status

    assert (ask("yes"), ask("no")) == (200, 403)
    assert (ask("yes", "Authen"), ask("raise", "Authen")) == (200, 500)
    server.log.expect("GW0319 PythonAuthenHandler .*an added check that fails")
    assert ask("decline", "Authen") == 401
    server.log.expect("GW0510 .*authen")


def test_later_changes(server):
    response = server.get("/files/page.txt", headers=[("X-Add-Fixup", "yes")])
    assert (response.body, response.header("X-Fixed")) == (b"a page", "by PythonFixupHandler")


def test_the_content(server):
    for _ in range(2):
        assert server.get("/files/page.txt?content").body == b"content more /files/page.txt"
        assert server.get("/files/page.txt").body == b"a page"


def test_filters(server):
    for _ in range(2):
        assert server.get("/files/page.txt?filter").body == b"A PAGE"
        assert server.get("/files/page.txt").body == b"a page"
        assert server.get("/own").body == b"OF THE HANDLER, AND LATE"
        assert server.get("/plain").body == b"plain"
