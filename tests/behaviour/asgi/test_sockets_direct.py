# SPDX-License-Identifier: MIT OR Apache-2.0
"""Messages that the application's thread writes to the client's socket itself, beside what the servers do with a connection."""

import pytest

from harness import places, processes
from harness.deadline import wait_until
from harness.websocket import BINARY, CLOSE, SERVERS, TEXT, WebSocket, close_payload, handshake
from harness.wire import Connection, head_bytes

# Of responses that stand before one that has no room.
SIZES = (1, 20, 60, 130)

pytestmark = pytest.mark.servers(*SERVERS)


def opened(server, path="/echo", **words):
    return WebSocket(server.connect(timeout=5), path, **words)


def test_a_message_leaves_without_the_thread_of_the_server(launch, kind):
    # mod_reqtimeout and mod_logio stand before the connection, as they do where httpd is used.
    server = launch(lambda site: site.asgi("/", "asgi_sockets:app"), warm=["/hello"])
    client = opened(server, "/tick")
    client.text("200")
    client.expect_text("0")
    thread = "gw-sockets" if kind == "apache" else "nginx"
    before = processes.pauses(server.worker(), thread)
    for number in range(1, 200):
        client.expect_text(str(number))
    assert processes.pauses(server.worker(), thread) - before < 50
    client.close()


@pytest.mark.servers("nginx", "nginx128")
@pytest.mark.parametrize("rate", ["50", "1k", "100k"])
def test_a_rate_of_responses(launch, rate):
    server = launch(lambda site: site.asgi("/", "asgi_sockets:app", nginx=f"limit_rate {rate};"), warm=["/hello"])
    client = WebSocket(server.connect(timeout=30), "/echo")
    for _ in range(3):
        client.text("there" * 1000)
        client.expect_text("there" * 1000)
    client.close()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size", [10, 1_000_000])
def test_what_is_sent_before_the_loop_is_held(launch, gate, tls, size):
    def configure(site):
        site.tls = tls
        site.asgi("/", "asgi_sockets:app", ws_max_message="8m")

    server = launch(configure, warm=["/hello"])
    server.log.allow("AH01906")
    connection = server.connect("tls", tls=True, timeout=5) if tls else server.connect(timeout=5)
    client = WebSocket(connection, f"/hold?{gate.query}")
    client.text(str(size))
    visitor = gate.visitor().at("holding")
    assert client.receive() == (BINARY, bytes(size))
    visitor.go()
    client.close()


def test_another_thread_sends_while_the_loop_ends(launch):
    server = launch(lambda site: site.asgi("/", "asgi_sockets:app"), warm=["/hello"])
    server.log.allow("coroutine .* was never awaited|RuntimeWarning")
    for _ in range(20):
        client = opened(server, "/elsewhere", extensions="permessage-deflate")
        assert client.receive()[0] == TEXT
        client.text("enough")
        while (found := client.receive())[0] == TEXT:
            assert len(found[1]) == 95 * 2000
        assert found == (CLOSE, close_payload(1000))
    assert server.get("/hello").body == b"plain"


@pytest.mark.servers("nginx", "nginx128")
def test_who_takes_not_even_the_answer_to_the_handshake(launch):
    port = places.free_port()

    def configure(site):
        site.nginx_server = f"listen 127.0.0.1:{port} sndbuf=4k; send_timeout 1s; keepalive_requests 1000;"
        for size in SIZES:
            site.location(f"/{size}", kind="exact", nginx=f"return 200 {'x' * size};")
        site.asgi("/", "asgi_sockets:app", ws_idle="1s")

    server = launch(configure, warm=["/hello"])
    # Some of them fill the kernel's room just with what comes before.
    clients = []
    for size in SIZES:
        filler, ask = head_bytes("GET", f"/{size}", [("Host", "x")], "HTTP/1.1"), head_bytes("GET", "/echo", [("Host", "x"), *handshake()], "HTTP/1.1")
        for count in range(25, 65):
            clients.append(Connection(port, receive_buffer=2304))
            clients[-1].send(filler * count + ask)
    wait_until(lambda: processes.accepted([port]) == 0, "the server has ended all of them", timeout=20)
    for client in clients:
        client.close()
    server.log.allow("client timed out")
