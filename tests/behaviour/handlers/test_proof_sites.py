# SPDX-License-Identifier: MIT OR Apache-2.0
"""Sites in the manner of those that still need mod_python: navigation as viewvc's, and a header parser as websockify's."""

import base64
import hashlib
import os
import socket

import pytest

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")

TREE = {"README": "read <me>\n", "src/main.c": "int main;\n", "src/lib/a b.c": "ab\n", "src/lib/ä.txt": "ä\n"}


@pytest.fixture
def server(launch, scratch, workspace, kind):
    root = scratch / "tree"
    for name, text in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "large.bin").write_bytes(b"0123456789" * 300_000)
    modules = workspace.apps / "handlers" / "proofs"

    def configure(site):
        if kind == "apache-prefork":
            site.workers = 3
        site.http2 = kind != "apache-prefork"
        where = f"root={modules} option=root={root}"
        site.location("/view", handlers=(f"navigation {where} option=base=/view",))
        site.location("/apart", handlers=(f"navigation {where} option=base=/apart processes=1",))
        site.location("/socket", handlers=(f"header_parser sockets root={modules}", f"content sockets root={modules}"))

    return launch(configure, warm=["/apart/"])


BASES = pytest.mark.parametrize("base", ["/view", "/apart"])


@BASES
def test_navigation(server, base):
    listing = server.get(base + "/")
    assert listing.status == 200 and listing.header("Cache-Control") == "private"
    assert b'<a href="src/">src</a>' in listing.body and b'<a href="README">README</a>' in listing.body
    down = server.get(base + "/?sort=down").body
    assert down.index(b"src") < down.index(b"README")
    moved = server.get(base + "/src?a=%20b")
    assert moved.status == 301 and moved.header("Location").endswith(base + "/src/?a=%20b")
    jumped = server.get(base + "/?jump=src%2Fmain.c")
    assert jumped.status == 302 and jumped.header("Location").endswith(base + "/src/main.c")
    assert b"<a name=l1>read &lt;me&gt;</a>" in server.get(base + "/README").body
    assert b'<a href="%C3%A4.txt">' in server.get(base + "/src/lib/").body
    assert b"ab" in server.get(base + "/src/lib/a%20b.c").body
    assert "ä".encode() in server.get(base + "/src/lib/%C3%A4.txt").body
    head = server.request("HEAD", base + "/src/")
    assert (head.status, head.body) == (200, b"")


@BASES
def test_downloads(server, base):
    response = server.get(base + "/large.bin?view=co")
    assert (response.body, response.header("Content-Length")) == (b"0123456789" * 300_000, "3000000")
    assert response.header("Content-Disposition") == "attachment"
    again = server.get(base + "/large.bin?view=co", headers=[("If-Modified-Since", response.header("Last-Modified"))])
    assert (again.status, again.body) == (304, b"")


@BASES
def test_wrong_paths(server, base):
    assert server.get(base + "/none").status == 404
    wrong = server.get(base + "/README?view=diff")
    assert (wrong.status, wrong.header("X-Known")) == (400, "co, markup")
    for path in ("/../README", "/%2e%2e/%2e%2e/etc/passwd", "/src/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/x%00y"):
        response = server.get(base + path)
        assert response.status in (200, 301, 400, 403, 404, 500) and b"root:" not in response.body, path
    server.log.allow("GW0319 .*null byte")
    server.log.allow("AH\\d+|client sent invalid request|invalid|failed \\(2: No such file")


@BASES
@pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker")
def test_over_http2(server, base):
    assert b"read &lt;me&gt;" in server.http2().get(base + "/README").body


def test_a_document_beside_the_sockets(server):
    assert server.get("/socket?blue").body == b"token leads to the blue one"
    assert server.get("/socket").body == b"token leads to none"


HANDSHAKE = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")]


def test_a_token_that_is_not_known(server):
    response = server.get("/socket?red", headers=HANDSHAKE)
    assert (response.status, response.header("X-Token")) == (403, "unknown")


def exactly(connection, count):
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        assert part, found
        found += part
    return found


@pytest.mark.servers("apache", "apache-worker", "apache-prefork")
def test_a_socket(server):
    accept = base64.b64encode(hashlib.sha1(b"AAAAAAAAAAAAAAAAAAAAAA==258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        lines = ["GET /socket?blue HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in HANDSHAKE), "", ""]
        # The first frame comes together with the head.
        mask = os.urandom(4)
        masked = lambda data: mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))  # noqa: E731
        connection.sendall("\r\n".join(lines).encode() + bytes([0x81, 0x85]) + masked(b"early"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += exactly(connection, 1)
        assert head.startswith(b"HTTP/1.1 101 ") and b"Sec-WebSocket-Accept: " + accept in head
        assert exactly(connection, 7) == b"\x81\x05early"
        for number in range(50):
            text = b"message %d" % number
            connection.sendall(bytes([0x81, 0x80 | len(text)]) + masked(text))
            assert exactly(connection, 2 + len(text)) == bytes([0x81, len(text)]) + text
        connection.sendall(bytes([0x88, 0x82]) + masked(b"\x03\xe8"))
        assert exactly(connection, 4) == b"\x88\x02\x03\xe8"
        assert connection.recv(10) == b""


@pytest.mark.servers("nginx", "nginx128")
def test_sockets_are_not_for_handlers_of_nginx(server):
    assert server.get("/socket?blue", headers=HANDSHAKE).status == 500
    server.log.expect("GW0319 .*AttributeError.*are for connections of httpd's")


@pytest.mark.servers("apache", "apache-worker", "apache-prefork")
def test_a_client_that_leaves_in_the_middle(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        lines = ["GET /socket?blue HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in HANDSHAKE), "", ""]
        connection.sendall("\r\n".join(lines).encode() + b"\x81")
        assert connection.recv(12) == b"HTTP/1.1 101"
    server.log.expect("GW0319 .*OSError")
    assert server.get("/socket?blue").status == 200
