# SPDX-License-Identifier: MIT OR Apache-2.0
"""WebSockets on streams of HTTP/2 (RFC 8441), which mod_http2 has with `H2WebSockets on`."""

import json

import pytest

from harness.http2 import Connection
from harness.processes import cpu_seconds
from harness.websocket import BINARY, CLOSE, PING, PONG, TEXT, WebSocket, close_payload, frame

pytestmark = pytest.mark.servers("apache")

WARM = ("/hello",)
CONNECT = [(":protocol", "websocket"), ("sec-websocket-version", "13")]


def common(site):
    site.http2 = True
    site.apache_main = "H2WebSockets on"


def configure(site, kind):
    common(site)
    site.asgi("/", "asgi_sockets:app", ws_max_message="1m")


def opened(client, path="/echo", **words):
    return WebSocket.on_stream(client, path, **words)


def test_the_scope_and_the_answer(server):
    client = server.http2()
    assert client.get("/hello").body == b"plain"
    assert client.state.remote_settings.enable_connect_protocol == 1
    one = opened(client, "/scope/it?x=1", protocols="a, b", headers=[("origin", "http://localhost")])
    assert (one.response.header("sec-websocket-protocol"), one.response.header("x-own")) == ("b", "1")
    scope = json.loads(one.receive()[1])
    assert (scope["type"], scope["scheme"], scope["http_version"]) == ("websocket", "ws", "2")
    assert (scope["path"], scope["query"], scope["subprotocols"]) == ("/scope/it", "x=1", ["a", "b"])
    assert {"origin", "host"} <= set(scope["headers"])
    one.close()


@pytest.mark.parametrize("size", [0, 1, 126, 65536, 300_000, 1 << 20])
def test_messages_of_all_lengths(server, size):
    one = opened(server.http2())
    payload = (bytes(range(256)) * 4096)[:size]
    for _ in range(2):
        one.send(BINARY, payload)
        assert one.receive() == (BINARY, payload)
    one.close()


def test_compressed_messages(server):
    one = opened(server.http2(), extensions="permessage-deflate; client_max_window_bits")
    assert one.deflates
    for payload in (b"short", b"again and " * 5000):
        one.deflated(TEXT, payload)
        assert one.receive() == (TEXT, payload)
    one.close()


def test_frames_in_pieces_and_pings(server):
    one = opened(server.http2())
    for byte in frame(PING, b"there?") + frame(TEXT, b"byte by byte"):
        one.connection.send(bytes([byte]))
    assert one.frame() == (PONG, b"there?")
    one.expect_text("byte by byte")
    one.close()


def test_several_on_one_connection_and_requests_between(server):
    client = server.http2()
    sockets = [opened(client) for _ in range(4)]
    for turn in range(5):
        for number, one in enumerate(sockets):
            one.text(f"{number} {turn}")
        assert client.get("/hello").body == b"plain"
        for number, one in enumerate(sockets):
            one.expect_text(f"{number} {turn}")
    for one in sockets:
        one.close()
    assert client.get("/hello").body == b"plain"


def test_an_application_that_refuses(server):
    client = server.http2()
    refused = client.send_head("CONNECT", "/refuse", CONNECT, end=False)
    assert client.response(refused).status == 403
    denied = client.response(client.send_head("CONNECT", "/deny", CONNECT, end=False))
    assert (denied.status, denied.header("x-why"), denied.body) == (401, "no token", b"not you")
    old = client.send_head("CONNECT", "/echo", [(":protocol", "websocket"), ("sec-websocket-version", "8")], end=False)
    assert client.response(old).status == 426
    assert client.get("/hello").body == b"plain"


def test_a_client_that_says_it_sends_nothing(server):
    client = server.http2()
    stream = client.send_head("CONNECT", "/echo", CONNECT, end=True)
    assert client.response(stream).status == 400
    server.log.expect("GW0508 a WebSocket is asked for on a stream of HTTP/2 whose client sends nothing more")
    assert client.get("/hello").body == b"plain"


@pytest.mark.parametrize("told", ["1000 bye", "4999 "])
def test_the_client_closes(server, gate, told):
    code, _, reason = told.partition(" ")
    one = opened(server.http2(), f"/listen?{gate.query}")
    visitor = gate.visitor().at("listening")
    one.close(int(code), reason)
    visitor.at(told).at(f"again {code}").at("OSError")


def test_the_application_closes(server, gate):
    one = opened(server.http2(), f"/close?{gate.query}")
    assert one.frame() == (CLOSE, close_payload(4003, "enough"))
    one.send(CLOSE, close_payload(4003))
    assert one.frame() is None
    gate.visitor().at("websocket.disconnect 4003 enough")


@pytest.mark.parametrize("end", ["reset", "half_close", "connection"])
def test_the_client_leaves_without_a_word(server, gate, end):
    client = server.http2()
    one = opened(client, f"/listen?{gate.query}")
    visitor = gate.visitor().at("listening")
    client.close() if end == "connection" else getattr(one.connection, end)()
    visitor.at("1006 ").at("again 1006").at("OSError")
    server.log.allow("AH10516|AH03068")
    if end != "connection":
        assert client.get("/hello").body == b"plain"


def test_what_breaks_the_protocol(server):
    client = server.http2()
    one = opened(client)
    one.send(TEXT, b"x", masked=False)
    one.expect_close(1002)
    two = opened(client)
    two.connection.send(frame(BINARY, b"", length=2**40))
    two.expect_close(1009)


def test_one_that_is_silent_costs_nothing(server):
    """The pipe that shows input does not stay full: its thread would look at it without end."""
    one, other = opened(server.http2()), server.http2()
    one.text("something")
    one.expect_text("something")
    before = cpu_seconds(server.worker())
    for _ in range(40):
        one.send(PING, b"x")
        assert one.frame() == (PONG, b"x")
        assert other.get("/hello").body == b"plain"
    spent = cpu_seconds(server.worker()) - before
    waited = opened(other, "/echo")
    waited.connection.client.socket.settimeout(1)
    before = cpu_seconds(server.worker())
    with pytest.raises(TimeoutError):
        waited.frame()
    assert cpu_seconds(server.worker()) - before < max(0.3, spent)


def test_over_tls(launch):
    def configure(site):
        common(site)
        site.tls = True
        site.asgi("/", "asgi_sockets:app")

    server = launch(configure, warm=["/hello"])
    server.log.allow("AH01906")
    one = opened(Connection(server.ports["tls"], tls=True), "/scope", protocols="b")
    assert json.loads(one.receive()[1])["scheme"] == "wss"
    one.close()
    one = opened(Connection(server.ports["tls"], tls=True))
    one.text("x" * 300_000)
    one.expect_text("x" * 300_000)
    one.close()


def test_they_leave_threads_for_others(launch):
    def configure(site):
        common(site)
        site.apache_main += "\nH2MinWorkers 4\nH2MaxWorkers 4"
        site.asgi("/", "asgi_sockets:app")

    server = launch(configure, warm=["/hello"])
    sockets = [opened(server.http2()) for _ in range(3)]
    client = server.http2()
    response = client.response(client.send_head("CONNECT", "/echo", CONNECT, end=False))
    assert (response.status, response.header("retry-after")) == (503, "1")
    assert client.get("/hello").body == b"plain"
    server.log.expect("GW0407 asgi_sockets:app: the WebSocket is refused, for 3 of the threads that mod_http2 has")
    sockets.pop().close()
    sockets.append(opened(client))
    for one in sockets:
        one.text("still here")
        one.expect_text("still here")
        one.close()


@pytest.mark.parametrize("how", ["reload", "quit"])
def test_the_process_ends(launch, how):
    def configure(site):
        common(site)
        site.asgi("/", "asgi_sockets:app", ws_drain="500ms")

    server = launch(configure, warm=["/hello"])
    one = opened(server.http2())
    one.connection.client.outlives_goaway = True
    server.send_signal(how)
    one.expect_close(1012)


def test_one_that_takes_nothing_has_its_time(launch, gate):
    def configure(site):
        common(site)
        site.apache_main += "\nTimeout 1"
        site.asgi("/", "asgi_sockets:app")

    server = launch(configure, warm=["/hello"])
    client = server.http2()
    opened(client, f"/talk?{gate.query}")
    gate.visitor().at("talking").at("OSError")
    server.log.allow("GW|AH|OSError|Traceback|File|send|await|    ")


def test_without_the_directive_nobody_may_ask(launch):
    def configure(site):
        site.http2 = True
        site.asgi("/", "asgi_sockets:app")

    server = launch(configure, warm=["/hello"])
    client = server.http2()
    assert client.get("/hello").body == b"plain"
    assert client.state.remote_settings.enable_connect_protocol == 0
