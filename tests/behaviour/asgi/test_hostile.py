# SPDX-License-Identifier: MIT OR Apache-2.0
"""Clients of WebSockets that mean harm: memory stays bounded, their end is clear, and nobody else is kept waiting."""

import os
import threading
import time
import zlib

import pytest

from harness import processes
from harness.deadline import wait_until
from harness.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, SERVERS, TAIL, TEXT, WebSocket, close_payload, frame

pytestmark = pytest.mark.servers(*SERVERS)

WARM = ("/hello",)
MANY = 30


def configure(site, kind):
    site.apache_main = "AsyncRequestWorkerFactor 80"
    site.asgi("/", "asgi_sockets:app", ws_max_message="16k")


def opened(server, path="/echo", **words):
    return WebSocket(server.connect(), path, **words)


def plain_requests(server, count=20):
    """Others are served, and not late."""
    longest = 0.0
    for _ in range(count):
        begun = time.monotonic()
        assert server.get("/hello").body == b"plain"
        longest = max(longest, time.monotonic() - begun)
    assert longest < 5, f"a plain request took {longest:.1f} s"


def grown(server, before):
    return (processes.memory(server.worker()) - before) / MANY


def warmed(server):
    """The memory of the worker when each kind of buffer has been used."""
    clients = [opened(server) for _ in range(MANY)]
    for client in clients:
        client.text("x" * 16000)
        client.expect_text("x" * 16000)
        client.close()
    return processes.memory(server.worker())


def test_who_never_reads(server, gate):
    before = warmed(server)
    clients = [WebSocket(server.connect(receive_buffer=4096), f"/talk?{gate.query}") for _ in range(MANY)]
    visitors = [gate.visitor().at("talking") for _ in clients]
    plain_requests(server)
    # What waits for a client (256 KiB and a message), what is being written of it, and what a WebSocket is made of.
    wait_until(lambda: grown(server, before) > 100_000, "all of them have as much as they may have")
    assert grown(server, before) < 900_000
    for client in clients:
        client.connection.reset()
    for visitor in visitors:
        visitor.at("OSError")


def test_messages_without_end(server):
    before = warmed(server)
    clients = [opened(server) for _ in range(MANY)]
    for client in clients:
        client.send(BINARY, b"x" * 16000, final=False)
        client.connection.send(frame(CONTINUATION, b"", final=False) * 3_000)
    plain_requests(server)
    assert grown(server, before) < 100_000
    for client in clients:
        client.send(CONTINUATION, b"y")
        assert client.receive() == (BINARY, b"x" * 16000 + b"y")
        client.send(BINARY, b"x" * 16000, final=False)
        client.connection.send(frame(CONTINUATION, bytes(100), final=False) * 4)
        client.expect_close(1009)


def test_bombs(server):
    before = warmed(server)
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(20_000_000)) + packer.flush(zlib.Z_SYNC_FLUSH)
    clients = [opened(server, extensions="permessage-deflate") for _ in range(MANY)]
    for client in clients:
        client.send(BINARY, bomb.removesuffix(TAIL), reserved=4)
    plain_requests(server)
    for client in clients:
        found = client.receive()
        assert found[0] == CLOSE and found[1][:2] == close_payload(1009)
    assert grown(server, before) < 150_000


def test_a_bomb_in_fragments(server):
    client = opened(server, extensions="permessage-deflate")
    # Blocks of stored nothing: each is five bytes of input and none of output.
    empty = b"\x00\x00\x00\xff\xff"
    client.send(BINARY, empty * 20, final=False, reserved=4)
    for _ in range(100):
        client.send(CONTINUATION, empty * 20, final=False)
    client.send(CONTINUATION, (empty * 2).removesuffix(TAIL))
    assert client.receive() == (BINARY, b"")
    client.close()


@pytest.mark.servers("nginx", "nginx128")
def test_messages_that_take_long_in_a_crowd(launch):
    """Blocks of nothing take longer to decompress than anything else of their length."""
    server = launch(lambda site: site.asgi("/", "asgi_sockets:app"), warm=WARM)
    clients = [opened(server, extensions="permessage-deflate") for _ in range(MANY)]
    bomb = frame(BINARY, b"\x03\x00" * 30_000, reserved=4)
    begun, longest, done = time.monotonic(), [0.0], threading.Event()

    def ask():
        while not done.is_set():
            asked = time.monotonic()
            assert server.get("/hello").body == b"plain"
            longest[0] = max(longest[0], time.monotonic() - asked)

    asking = threading.Thread(target=ask)
    asking.start()
    # The last bytes of all come at once.
    for client in clients:
        client.connection.send(bomb[:-1])
    for client in clients:
        client.connection.send(bomb[-1:])
    for client in clients:
        assert client.receive() == (BINARY, b"")
    done.set()
    asking.join()
    took = time.monotonic() - begun
    assert longest[0] < max(took / 3, 0.5), f"a plain request took {longest[0]:.2f} s of {took:.2f} s"


def test_small_frames_without_end_to_who_takes_none(server, gate):
    before = warmed(server)
    clients = [opened(server, f"/slow?{gate.query}") for _ in range(4)]
    visitors = [gate.visitor().at("waiting") for _ in clients]
    for client in clients:
        client.connection.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while True:
                client.connection.send(frame(BINARY, b"x") * 10_000)
    plain_requests(server)
    assert grown(server, before) * MANY < 4 * 1_000_000
    for client, visitor in zip(clients, visitors, strict=True):
        client.connection.reset()
        visitor.go()


def test_who_does_not_answer_a_close_frame(server):
    client = opened(server, "/return")
    client.expect_text("last words")
    assert client.frame() == (CLOSE, close_payload(1000))
    begun = time.monotonic()
    assert client.frame() is None, "the server ends the connection"
    assert time.monotonic() - begun > 3, "the client has had its time"


def test_who_closes_and_does_not_end_the_connection(server, gate):
    client = opened(server, f"/listen?{gate.query}")
    visitor = gate.visitor().at("listening")
    client.send(CLOSE, close_payload(1000))
    visitor.at("1000 ")
    assert client.frame() == (CLOSE, close_payload(1000))
    assert client.frame() is None, "the server ends the connection"


def test_pings_without_end_to_who_reads_nothing(server):
    client = WebSocket(server.connect(receive_buffer=4096), "/echo")
    plain_requests(server)
    before = processes.memory(server.worker())
    client.connection.socket.settimeout(0.5)
    block = frame(PING, bytes(100)) * 1000
    try:
        for _ in range(100):
            client.connection.send(block)
    except TimeoutError:
        pass
    plain_requests(server)
    assert processes.memory(server.worker()) - before < 1_000_000
    client.connection.socket.settimeout(20)
    assert client.frame() == (PONG, bytes(100))
    client.connection.reset()


TEXTS = {
    "two bytes": ("é".encode(), None),
    "three bytes": ("☃".encode(), None),
    "four bytes": ("𝄞".encode(), None),
    "a byte that is none": (b"ab\xffcd", 1007),
    "a continuation alone": (b"a\x80b", 1007),
    "a character cut off": (b"\xe2\x98", 1007),
    "too long for what it is": (b"\xc0\xaf", 1007),
    "a surrogate": (b"\xed\xa0\x80", 1007),
    "beyond all characters": (b"\xf4\x90\x80\x80", 1007),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_at_every_cut(server, name):
    text, code = TEXTS[name]
    for at in range(len(text) + 1):
        for way in ("fragments", "pieces"):
            client = opened(server)
            if way == "fragments":
                client.send(TEXT, text[:at], final=False)
                client.send(CONTINUATION, text[at:])
            else:
                stream = frame(TEXT, text)
                client.connection.send(stream[: 6 + at])
                client.connection.send(stream[6 + at :])
            if code is None:
                assert client.receive() == (TEXT, text)
                client.close()
            else:
                client.expect_close(code)


def test_noise(server):
    """Whatever comes behind the handshake has an end."""
    for _ in range(20):
        client = opened(server)
        client.connection.socket.settimeout(20)
        try:
            client.connection.send(os.urandom(4000))
            client.connection.half_close()
            while client.connection._fill():
                pass
        except OSError:
            pass
        client.connection.close()
    plain_requests(server)
