# SPDX-License-Identifier: MIT OR Apache-2.0
"""WebSockets (RFC 6455): the handshake, messages, and the end."""

import json

import pytest

from harness import websocket
from harness.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocket, close_payload, frame, handshake

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")

WARM = ("/hello", "/flat/hello", "/wsgi/method")


def configure(site, kind):
    if kind == "apache-prefork":
        # Each process has one.
        site.workers = 4
    elif kind == "apache":
        # The event MPM counts a WebSocket for a second after its beginning, however short it was.
        site.apache_main = "AsyncRequestWorkerFactor 64"
    site.asgi("/", "asgi_sockets:app", ws_max_message="100k")
    site.asgi("/flat", "asgi_sockets:app", ws_deflate="off")
    site.wsgi("/wsgi", "pep3333:app")


def opened(server, path="/echo", **words):
    return WebSocket(server.connect(), path, **words)


# ---- the handshake ----


def test_the_scope_and_the_answer(server):
    client = opened(server, "/scope/it?x=1", protocols="a, b", headers=[("Origin", "http://localhost"), ("Cookie", "k=v")])
    assert client.response.header("Sec-WebSocket-Protocol") == "b"
    assert client.response.header("X-Own") == "1"
    assert client.response.header("Set-Cookie") == "c=2"
    assert client.response.reason == "Switching Protocols"
    scope = json.loads(client.receive()[1])
    assert {"origin", "cookie", "host", "sec-websocket-key"} <= set(scope.pop("headers"))
    assert scope == {
        "type": "websocket",
        "scheme": "ws",
        "http_version": "1.1",
        "path": "/scope/it",
        "root_path": "",
        "subprotocols": ["a", "b"],
        "query": "x=1",
        "extensions": ["websocket.http.response"],
        "spec": "2.5",
        "method": False,
    }
    client.close()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ({"version": "8"}, 426),
        ({"version": ""}, 426),
        ({"key": "short"}, 400),
        ({"key": "dGhlIHNhbXBsZSBub25jZQ=x"}, 400),
        ({"protocols": "a, a"}, 400),
        ({"extensions": "permessage-deflate; ="}, 400),
    ],
)
def test_a_handshake_that_is_wrong(server, words, status):
    client = server.connect()
    client.request("GET", "/echo", handshake(**words))
    response = client.response()
    assert response.status == status
    if status == 426:
        assert response.header("Sec-WebSocket-Version") == "13"
        assert response.header("Upgrade") == "websocket"


@pytest.mark.parametrize("words", [{"upgrade": "h2c"}, {"connection": "keep-alive"}])
def test_another_protocol_is_not_looked_at(server, words):
    client = server.connect()
    client.request("GET", "/hello", handshake(**words))
    assert client.response().body == b"plain"
    client.request("GET", "/hello")
    assert client.response().body == b"plain", "the connection goes on"


def test_who_cannot_have_one_is_a_plain_client(server):
    client = server.connect()
    client.request("POST", "/kind", handshake(), b"x")
    assert client.response().body == b"plain"
    client.request("GET", "/kind", handshake(), version="HTTP/1.0")
    assert client.response().body == b"plain"
    client = server.connect()
    client.request("GET", "/wsgi/hello", handshake())
    assert client.response().status != 101, "a WSGI application is asked for none"


def test_an_application_that_refuses(server):
    client = server.connect()
    client.request("GET", "/refuse", handshake())
    assert client.response().status == 403
    client.request("GET", "/deny", handshake())
    response = client.response()
    assert (response.status, response.header("X-Why"), response.body) == (401, "no token", b"not you")
    client.request("GET", "/hello")
    assert client.response().body == b"plain"


def test_an_application_that_says_nothing(server):
    client = server.connect()
    client.request("GET", "/nothing", handshake())
    assert client.response().status == 500
    server.log.expect("GW0303|returned without a response")


def test_what_an_application_must_not_send(server):
    client = opened(server, "/wrong")
    found = client.receive()[1].decode().split(",")
    assert found == [
        "RuntimeError",
        "ValueError",
        "ValueError",
        "ValueError",
        "ValueError",
        "RuntimeError",
        "ValueError",
        "ValueError",
    ]
    client.close()
    for _ in range(3):
        server.log.expect("GW0501 the WebSocket is not accepted")
    server.log.expect("GW0509 the WebSocket is not closed: 1006 must not be sent")


# ---- messages ----


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 1023, 1024, 65535, 65536, 100 * 1024])
def test_messages_of_all_lengths(server, size):
    client = opened(server)
    payload = (bytes(range(256)) * 401)[:size]
    client.send(BINARY, payload)
    assert client.receive() == (BINARY, payload)
    client.text("x" * size)
    client.expect_text("x" * size)
    client.close()


def test_fragments_with_control_frames_between(server):
    client = opened(server)
    text = "grün und ☃"
    parts = text.encode()
    client.send(TEXT, parts[:3], final=False)
    client.send(PING, b"one")
    assert client.frame() == (PONG, b"one")
    for byte in parts[3:-1]:
        client.send(CONTINUATION, bytes([byte]), final=False)
    client.send(CONTINUATION, parts[-1:])
    client.expect_text(text)
    client.close()


def test_every_cut(server):
    stream = frame(TEXT, "é".encode()) + frame(PING, b"p") + frame(BINARY, bytes(200))
    client = opened(server)
    for at in range(1, len(stream)):
        client.connection.send(stream[:at])
        client.connection.send(stream[at:])
        found = [client.frame() for _ in range(3)]
        assert sorted(found) == sorted([(TEXT, "é".encode()), (PONG, b"p"), (BINARY, bytes(200))])
    client.close()


def test_frames_that_come_with_the_handshake(server):
    client = opened(server, early=frame(TEXT, b"early") + frame(TEXT, b"bird"))
    client.expect_text("early")
    client.expect_text("bird")
    client.close()


def test_frames_that_come_before_the_answer(server, gate):
    connection = server.connect()
    connection.request("GET", f"/late?{gate.query}", handshake())
    visitor = gate.visitor().at("asked")
    connection.send(frame(TEXT, b"early"))
    visitor.go()
    assert connection.head().status == 101
    visitor.at("websocket.receive")


def test_a_client_that_leaves_before_the_answer(server, gate):
    connection = server.connect()
    connection.request("GET", f"/late?{gate.query}", handshake())
    visitor = gate.visitor().at("asked")
    connection.reset()
    visitor.go().at("websocket.disconnect")


def test_compressed_messages(server):
    client = opened(server, extensions="permessage-deflate; client_max_window_bits")
    assert client.deflates
    for payload in (b"", b"short", b"again and " * 5000):
        client.deflated(TEXT, payload)
        assert client.receive() == (TEXT, payload)
    client.close()
    assert not opened(server, "/flat/echo", extensions="permessage-deflate").deflates


def test_the_server_answers_while_the_application_holds_the_loop(server, gate):
    client = opened(server, f"/block?{gate.query}")
    client.text("go")
    visitor = gate.visitor().at("blocking")
    client.send(PING, b"there?")
    assert client.frame() == (PONG, b"there?")
    client.close(1001)
    visitor.go()
    # A slow machine makes it a long time.
    server.log.allow("GW0322|File |    ")


def test_the_server_answers_while_the_application_computes(server):
    """It holds the interpreter's lock as well, which nobody who answers may want."""
    client = opened(server, "/busy")
    for number in range(20):
        client.send(PING, b"%d" % number)
        assert client.frame() == (PONG, b"%d" % number)
    # Before it was done, and its message the next one.
    client.expect_text("done")
    client.send(CLOSE, close_payload(1001))
    assert client.frame()[0] == CLOSE
    server.log.allow("GW0322|File |    ")


# ---- the end ----


def test_the_application_closes(server, gate):
    client = opened(server, f"/close?{gate.query}")
    found = client.frame()
    assert found == (CLOSE, close_payload(4003, "enough"))
    client.send(CLOSE, close_payload(4003))
    assert client.frame() is None
    gate.visitor().at("websocket.disconnect 4003 enough")


@pytest.mark.parametrize("told", ["1000 bye", "1005 ", "4999 "])
def test_the_client_closes(server, gate, told):
    code, _, reason = told.partition(" ")
    payload = b"" if code == "1005" else close_payload(int(code), reason)
    client = opened(server, f"/listen?{gate.query}")
    visitor = gate.visitor().at("listening")
    client.send(CLOSE, payload)
    assert client.frame() == (CLOSE, payload[:2])
    assert client.frame() is None
    visitor.at(told).at(f"again {told.split(' ')[0]}").at("OSError")


@pytest.mark.parametrize("end", ["close", "reset", "half_close"])
def test_the_client_leaves_without_a_word(server, gate, end):
    client = opened(server, f"/listen?{gate.query}")
    visitor = gate.visitor().at("listening")
    getattr(client.connection, end)()
    visitor.at("1006 ").at("again 1006").at("OSError")


def test_a_close_frame_and_the_end_of_the_connection_at_once(server, gate):
    client = opened(server, f"/listen?{gate.query}")
    visitor = gate.visitor().at("listening")
    client.send(CLOSE, close_payload(1000))
    client.connection.half_close()
    assert client.frame() == (CLOSE, close_payload(1000))
    assert client.frame() is None
    visitor.at("1000 ")


def test_an_application_that_returns_closes(server):
    client = opened(server, "/return")
    client.expect_text("last words")
    client.expect_close(1000)


def test_an_application_that_raises_closes_with_1011(server):
    client = opened(server, "/raise")
    client.expect_close(1011)
    server.log.expect("raised ValueError: after it was accepted")
    server.log.allow("ValueError|Traceback|File|raise |    ")


def test_who_sends_is_told_that_the_client_has_left(server, gate):
    client = opened(server, f"/talk?{gate.query}")
    visitor = gate.visitor().at("talking")
    client.connection.reset()
    visitor.at("OSError")


# ---- hostile clients ----


BROKEN = {
    "not masked": (frame(TEXT, b"x", masked=False), 1002),
    "a reserved bit": (frame(TEXT, b"x", reserved=1), 1002),
    "a reserved opcode": (frame(3, b"x"), 1002),
    "a reserved control opcode": (frame(11, b"x"), 1002),
    "a ping too long": (frame(PING, bytes(126)), 1002),
    "a ping in fragments": (frame(PING, b"x", final=False), 1002),
    "a continuation of nothing": (frame(CONTINUATION, b"x"), 1002),
    "a message inside of another": (frame(TEXT, b"x", final=False) + frame(TEXT, b"y"), 1002),
    "half a close code": (frame(CLOSE, b"\x03"), 1002),
    "a close code that is never sent": (frame(CLOSE, close_payload(1005)), 1002),
    "a close code below all": (frame(CLOSE, close_payload(999)), 1002),
    "a reason that is no text": (frame(CLOSE, close_payload(1000) + b"\xff"), 1007),
    "no text": (frame(TEXT, b"\xff"), 1007),
    "half a character": (frame(TEXT, b"\xc3"), 1007),
    "a surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "no text at its beginning": (frame(TEXT, b"\xff", length=50000), 1007),
    "one byte too long": (frame(BINARY, b"", length=100 * 1024 + 1), 1009),
    "far too long": (frame(BINARY, b"", length=2**62), 1009),
    "fragments too long": (frame(BINARY, bytes(60000), final=False) + frame(CONTINUATION, bytes(60000), final=False), 1009),
    "a length written too long": (bytes([0x82, 0x80 | 126, 0, 5]) + bytes(9), 1002),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_breaks_the_protocol(server, fault):
    bytes_sent, code = BROKEN[fault]
    client = opened(server)
    client.connection.send(bytes_sent)
    found = client.receive()
    assert found[0] == CLOSE and found[1][:2] == close_payload(code), found


def test_a_bomb(server):
    client = opened(server, extensions="permessage-deflate")
    client.deflated(BINARY, bytes(50_000_000))
    found = client.receive()
    assert found[0] == CLOSE and found[1][:2] == close_payload(1009)


def test_an_application_that_takes_nothing_holds_its_client(server, gate):
    client = opened(server, f"/slow?{gate.query}")
    visitor = gate.visitor().at("waiting")
    client.connection.socket.settimeout(0.5)
    sent = 0
    stream = frame(BINARY, bytes(65536)) * 16
    with pytest.raises(TimeoutError):
        while sent < 400:
            client.connection.send(stream)
            sent += 16
    assert sent < 400, "its client is not read from"
    visitor.go()


def test_a_client_that_does_not_read_holds_the_application_alone(server, gate):
    client = WebSocket(server.connect(receive_buffer=4096), f"/talk?{gate.query}")
    visitor = gate.visitor().at("talking")
    other = opened(server)
    other.text("still there")
    other.expect_text("still there")
    other.close()
    client.connection.reset()
    visitor.at("OSError")


def test_a_million_small_frames(server):
    client = opened(server)
    one = frame(PING, b"")
    for _ in range(100):
        client.connection.send(one * 1000)
    client.text("after them")
    while (found := client.frame())[0] == PONG:
        pass
    assert found == (TEXT, b"after them")
    client.close()


def test_slow_handshakes_and_frames(server):
    connection = server.connect()
    head = websocket.handshake()
    for byte in b"GET /echo HTTP/1.1\r\nHost: localhost\r\n":
        connection.send(bytes([byte]))
    connection.send("".join(f"{name}: {value}\r\n" for name, value in head) + "\r\n")
    assert connection.head().status == 101
    for byte in frame(TEXT, b"byte by byte"):
        connection.send(bytes([byte]))
    assert connection._fill() and connection.buffer.endswith(b"byte by byte")
