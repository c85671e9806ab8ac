# SPDX-License-Identifier: MIT OR Apache-2.0
"""httpd: a response begins while the request's body still comes (RFC 9110 section 6.5), and a client that waits for "100 Continue" gets
it, on each way to an application."""

import contextlib

import pytest

from harness import scripts, wire

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")
WAYS = ["direct", "relay", "cgi"]

EARLY = """
def app(environ, start_response):
    stream = environ["wsgi.input"]
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"first " + stream.read(5))
    return [b" then " + stream.read()]
"""
SCRIPT = """
out.write(b"Content-Type: text/plain\\r\\n\\r\\nfirst " + os.read(0, 5))
out.flush()
out.write(b" then " + sys.stdin.buffer.read())
"""
ECHO = """
out.write(b"Content-Type: text/plain\\r\\n\\r\\n" + sys.stdin.buffer.read())
"""
REFUSES = """
out.write(b"Status: 403\\r\\nContent-Type: text/plain\\r\\n\\r\\nno")
"""


def configure(site, kind):
    site.http2 = True
    apps = site.scratch / "apps"
    apps.mkdir()
    (apps / "early.py").write_text(EARLY)
    site.wsgi("/direct", "early:app", root=apps)
    site.wsgi("/relay", "early:app", root=apps, timeout="30s")
    folder = scripts.Folder(site.scratch / "cgi")
    folder.python("early", SCRIPT)
    folder.python("echo", ECHO)
    folder.python("refuses", REFUSES)
    site.cgi("/cgi", folder)
    for protocol in ("fastcgi", "scgi", "uwsgi"):
        site.passes(f"/{protocol}", site.recorder(protocol))


WARM = ["/direct/early", "/relay/early", "/cgi/early"]


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("way", WAYS)
def test_the_first_block_does_not_wait_for_the_body(server, way, framing):
    chunk = wire.chunk if framing == "chunked" else bytes
    fields = [("Host", "localhost"), ("Transfer-Encoding", "chunked") if framing == "chunked" else ("Content-Length", "10")]
    with server.connect() as client:
        client.send(wire.head_bytes("POST", f"/{way}/early", fields) + chunk(b"12345"))
        head = client.head()
        assert head.status == 200
        blocks = client.blocks(head)
        seen = b""
        while len(seen) < 11:
            seen += next(blocks)
        assert seen == b"first 12345"
        client.send(chunk(b"67890") + (chunk(b"") if framing == "chunked" else b""))
        assert b"".join(blocks) == b" then 67890"


@pytest.mark.in_process("what of a body comes over HTTP/2 can only be waited for by reading it, and that a process has answered is seen after that")
@pytest.mark.parametrize("way", WAYS)
def test_the_first_block_does_not_wait_for_the_body_over_http2(server, way):
    with server.http2() as client:
        stream = client.send_head("POST", f"/{way}/early", [("content-length", "10")], end=False)
        client.send_body(stream, b"12345", end=False)
        client.until(lambda: client.streams[stream].body == b"first 12345")
        client.send_body(stream, b"67890")
        assert client.response(stream).body == b"first 12345 then 67890"


@pytest.mark.parametrize("way", WAYS)
def test_a_body_in_small_steps_is_whole(server, way):
    with server.connect() as client:
        client.send(wire.head_bytes("POST", f"/{way}/early", [("Host", "localhost"), ("Content-Length", "10")]))
        for byte in b"1234567890":
            client.send(bytes([byte]))
        body = client.response().body
        assert body.replace(b"first ", b"").replace(b" then ", b"") == b"1234567890"


EXPECTS = [("Host", "localhost"), ("Expect", "100-continue")]


@pytest.mark.parametrize("length", [("Content-Length", "5"), ("Transfer-Encoding", "chunked")])
def test_a_script_that_reads_gets_the_body_of_a_client_that_waits(server, length):
    with server.connect() as client:
        client.send(wire.head_bytes("POST", "/cgi/echo", [*EXPECTS, length]))
        assert client.head().status == 100
        client.send(b"hello" if length[1] == "5" else wire.chunk(b"hello") + wire.chunk(b""))
        response = client.response()
        assert (response.status, response.body) == (200, b"hello")
        # Nothing of it is left for the next request.
        client.send(wire.head_bytes("GET", "/cgi/echo", [("Host", "localhost")]))
        assert client.response().status == 200


def test_a_script_that_does_not_read_answers_a_client_that_waits(server):
    with server.connect() as client:
        client.send(wire.head_bytes("POST", "/cgi/refuses", [*EXPECTS, ("Content-Length", "5"), ("Connection", "close")]))
        head = client.head()
        if head.status == 100:
            client.send(b"hello")
            head = client.head()
        assert head.status == 403
        assert b"".join(client.blocks(head)) == b"no"


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("way", ["/direct/early", "/relay/early", "/cgi/echo", "/fastcgi", "/scgi", "/uwsgi"])
def test_a_client_that_expects_100_and_does_not_wait_keeps_its_connection(server, way, framing):
    """RFC 9110 section 10.1.1: a server need not send 100 once it has some of the body."""
    field, body = ("Content-Length", "5"), b"hello"
    if framing == "chunked":
        field, body = ("Transfer-Encoding", "chunked"), wire.chunk(b"hello") + wire.chunk(b"")
    request = wire.head_bytes("POST", way, [*EXPECTS, field]) + body
    backend = server.site.backends.get(way.strip("/"))
    with contextlib.ExitStack() as stack:
        if backend:
            stack.enter_context(backend.serving(lambda request, _: b"Content-Type: text/plain\r\n\r\n" + request.body))
        client = stack.enter_context(server.connect())
        client.send(request + request)
        for _ in range(2):
            head = client.head()
            if head.status == 100:
                head = client.head()
            assert head.status == 200
            received = b"".join(client.blocks(head))
            assert head.complete and received.replace(b"first ", b"").replace(b" then ", b"") == b"hello"


def test_a_client_of_http10_gets_no_100(server):
    with server.connect() as client:
        client.send(wire.head_bytes("POST", "/cgi/echo", [*EXPECTS, ("Content-Length", "5")], "HTTP/1.0") + b"hello")
        assert client.head().status == 200


def test_a_stream_that_expects_100_gets_its_answer(server):
    with server.http2() as client:
        stream = client.send_head("POST", "/cgi/echo", [("expect", "100-continue"), ("content-length", "5")], end=False)
        client.until(lambda: client.streams[stream].interim)
        client.send_body(stream, b"hello")
        assert client.response(stream).body == b"hello"
