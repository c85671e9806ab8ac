# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_python's filters in httpd: of responses and of requests, of the configuration and of one request."""

import gzip

import pytest

from harness import wire

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")

NAMES = ("lines", "small", "says", "fails", "fails_late", "once", "twice", "cuts", "drops", "ends")


def configure(site, kind):
    file = f"{site.apps}/handlers/filters.py"
    named = "\n".join(f"PythonOutputFilter {file}::{name} {name}" for name in NAMES)
    site.apache_host = f"""
        PythonOutputFilter {file} UPPER
        PythonInputFilter {file} LOWER
        PythonInputFilter {file}::says SAYS-IN
        PythonInputFilter {file}::fails FAILS-IN
        PythonInputFilter {file}::lines LINES-IN
        {named}
    """

    def location(name, handler, *lines):
        site.location(f"/filters/{name}", apache="\n".join((f"SetHandler mod_python\nPythonHandler {file}::{handler}", *lines)))

    location("upper", "handler", "SetOutputFilter UPPER")
    location("deflated", "large", "SetOutputFilter UPPER;DEFLATE")
    location("large", "large", "SetOutputFilter UPPER")
    for name in NAMES:
        location(name, "handler", f"SetOutputFilter {name}")
        site.location(f"/filters/files/{name}", files=str(site.apps / "served"), apache=f"SetOutputFilter {name}")
    site.location("/filters/files/upper", files=str(site.apps / "served"), apache="SetOutputFilter UPPER")
    location("both", "handler", "SetOutputFilter lines;UPPER")
    location("adds", "adds")
    location("adds-input", "adds_input")
    location("lower", "echo", "SetInputFilter LOWER")
    location("in-says", "echo", "SetInputFilter SAYS-IN")
    location("in-fails", "echo", "SetInputFilter FAILS-IN")
    location("in-lines", "echo", "SetInputFilter LINES-IN")
    location("part", "handler")
    site.wsgi("/filters/app", "pep3333:env_app", apache="SetOutputFilter UPPER")


def served(server, name):
    return (server.site.apps / "served" / name).read_bytes()


def test_a_response_passes(server):
    response = server.get("/filters/upper")
    assert (response.status, response.body) == (200, b"ONE TWO THREE")
    assert server.request("HEAD", "/filters/upper").body == b""


def test_files_pass(server):
    response = server.get("/filters/files/upper/README")
    assert response.body == served(server, "README").upper()
    assert server.get("/filters/files/upper/README", headers=[("Range", "bytes=0-3")]).body == served(server, "README").upper()[:4]
    assert server.get("/filters/files/upper/missing").status == 404


def test_compression_stands_behind(server):
    response = server.get("/filters/deflated", headers=[("Accept-Encoding", "gzip")])
    assert response.header("content-encoding") == "gzip"
    assert gzip.decompress(response.body) == b"ABCDEFGH" * 1024 * 512
    assert server.get("/filters/large").body == b"ABCDEFGH" * 1024 * 512


def test_lines_and_small_pieces(server):
    text = served(server, "README")
    found = server.get("/filters/files/lines/README").body
    assert found == b"".join(b"[" + line + b"]" for line in text.splitlines())
    pieces = [text[at : at + 7] * 3 for at in range(0, len(text), 7)]
    response = server.get("/filters/files/small/README")
    assert response.body == b"".join(pieces)


def test_filters_stand_in_a_row(server):
    assert server.get("/filters/both").body == b"[ONE ][TWO ][THREE]"


def test_what_a_filter_does_not_read_is_gone(server):
    assert server.get("/filters/drops").body == b""
    assert server.get("/filters/ends").body == b""


def test_a_filter_steps_aside(server):
    assert server.get("/filters/once").body == b"<first>one two three"
    assert server.get("/filters/files/once/README").body == b"<first>" + served(server, "README")
    assert server.get("/filters/twice").body == b"<one two three"
    assert server.get("/filters/files/twice/README").body == b"<" + served(server, "README")


def test_a_filter_ends_the_body(server):
    assert server.get("/filters/files/cuts/README").body == served(server, "README")[:5]
    client = server.connect()
    for _ in range(3):
        client.request("GET", "/filters/cuts")
        assert client.response().body == b"one "


def test_an_exception_is_500(server):
    server.log.allow("GW0319")
    for path in ("/filters/files/fails/README", "/filters/fails"):
        response = server.get(path)
        assert response.status == 500 and b"one" not in response.body
    server.log.expect('GW0319 PythonOutputFilter ".*::fails" .* ValueError: a filter fails')


def test_an_exception_after_the_head_cuts_the_response(server):
    server.log.allow("GW0319")
    client = server.connect()
    client.request("GET", "/filters/fails_late")
    with pytest.raises(wire.Truncated):
        client.response()
    server.log.expect("a filter fails in the middle")


def test_filters_of_one_request(server):
    assert server.get("/filters/adds").body == b"REFUSED TEXT"
    server.log.expect(r"seen \[\('mine', 0, 'PythonOutputFilter'\).* in PythonHandler")
    server.log.allow("unknown filter")
    assert server.post("/filters/adds-input", b"ABC").body.replace(b"!", b"") == b"abc"


@pytest.mark.parametrize("size", [0, 1, 70_000, 1_000_000])
def test_bodies_of_requests_pass(server, size):
    body = (b"ABCDEFGHIJ" * (size // 10 + 1))[:size]
    for sent in (body, [body] if body else []):
        found = server.post("/filters/lower", sent).body
        assert found.replace(b"!", b"") == body.lower()
        assert server.post("/filters/in-says", sent).body == body


def test_lines_of_a_request(server):
    assert server.post("/filters/in-lines", b"one\ntwo\nthree").body == b"[one][two][three]"


def test_a_request_whose_filter_fails(server):
    assert server.post("/filters/in-fails", b"body").status == 500
    server.log.expect("GW0319")


def test_applications_pass(server):
    assert server.get("/filters/app").body.isupper()


@pytest.mark.parametrize(
    ("lines", "cure"),
    [("PythonOutputFilter a", "needs a handler and the name"), ("PythonInputFilter a 'b c'", "needs a name of letters")],
)
def test_what_is_wrong_stops_the_configuration_test(configtest, lines, cure):
    def wrong(site):
        site.apache_host = lines

    result = configtest(wrong)
    assert result.status != 0 and cure in result.output, result.output
