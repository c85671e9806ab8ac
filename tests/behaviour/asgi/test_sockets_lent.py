# SPDX-License-Identifier: MIT OR Apache-2.0
"""Clients whose messages follow each other quickly, which the application's thread reads itself."""

import os
import threading

import pytest

from harness import processes, venvs
from harness.deadline import growth, wait_until
from harness.websocket import BINARY, CLOSE, PING, PONG, SERVERS, TEXT, WebSocket, close_payload, frame

# More than enough of them.
BUSY = 60

pytestmark = pytest.mark.servers(*SERVERS)


@pytest.fixture(params=("asyncio", "uvloop"))
def server(request, launch):
    venv = venvs.loops_venv()
    server = launch(lambda site: site.asgi("/", "asgi_sockets:app", loop=request.param, venv=venv, ws_drain="2s"), warm=["/hello"])
    # A loop that a test holds, with where it is.
    server.log.allow("GW0322|File |    ")
    return server


def talk(client, count=BUSY):
    for number in range(count):
        client.text(str(number))
        client.expect_text(str(number))


def opened(server, path="/echo", **words):
    client = WebSocket(server.connect(timeout=10), path, **words)
    talk(client)
    return client


def sleeps(server, kind):
    """How often the thread that reads for the server has gone to sleep."""
    return processes.pauses(server.worker(), "gw-sockets" if kind == "apache" else "nginx")


@pytest.mark.parametrize("extensions", [None, "permessage-deflate"])
def test_the_thread_of_the_server_sleeps_meanwhile(server, kind, extensions):
    client = opened(server, extensions=extensions)
    before = sleeps(server, kind)
    talk(client, 400)
    assert sleeps(server, kind) - before < 200
    client.close()


def test_it_reads_again_when_the_client_is_silent(server, kind):
    client = opened(server)
    assert growth(lambda: sleeps(server, kind), 2.0) < 15, "and looks no more"
    talk(client)
    client.close()


def test_a_ping_and_a_close_while_the_loop_is_held(server, gate):
    client = opened(server, f"/converse?{gate.query}")
    client.text("hold")
    visitor = gate.visitor().at("holding")
    for number in range(20):
        client.send(PING, str(number).encode())
        assert client.frame() == (PONG, str(number).encode())
    client.close(4001)
    visitor.go()
    assert visitor.next() == "4001"


def test_what_comes_while_the_loop_is_held_is_not_lost(server, gate):
    client, other = opened(server, f"/converse?{gate.query}"), opened(server)
    client.text("hold")
    visitor = gate.visitor().at("holding")
    said = [str(number) for number in range(300)]
    for text in said:
        client.text(text)
        other.text(text)
    visitor.go()
    for text in ["hold", *said]:
        client.expect_text(text)
    for text in said:
        other.expect_text(text)
    client.close()
    other.close()


def test_a_handler_that_takes_nothing_makes_its_client_wait_and_no_other(server, gate):
    client, other = opened(server, f"/converse?{gate.query}"), opened(server)
    client.text("rest")
    visitor = gate.visitor().at("resting")
    block, count = os.urandom(50_000), 200
    writer = threading.Thread(target=lambda: client.connection.send(frame(BINARY, block) * count))
    writer.start()
    talk(other, 200)
    assert growth(lambda: processes.cpu_seconds(server.worker()), 1.0) < 0.5, "nobody spins"
    visitor.go()
    client.expect_text("rest")
    for _ in range(count):
        assert client.receive() == (BINARY, block)
    writer.join()
    other.close()
    client.close()


def test_one_that_floods_does_not_keep_another_from_its_turn(server):
    flooder, other = opened(server), opened(server)
    block, count = b"x" * 20_000, 400

    def flood():
        flooder.connection.send(frame(BINARY, block) * count)

    def drain():
        for _ in range(count):
            assert flooder.receive() == (BINARY, block)

    threads = [threading.Thread(target=one) for one in (flood, drain)]
    for thread in threads:
        thread.start()
    talk(other, 200)
    for thread in threads:
        thread.join()
    flooder.close()
    other.close()


def test_large_messages_whole_and_in_parts(server):
    client = opened(server)
    for size in (126, 65_535, 65_536, 300_000, 1_000_000):
        block = os.urandom(size)
        for _ in range(4):
            client.send(BINARY, block)
            assert client.receive() == (BINARY, block)
    talk(client)
    for byte in frame(TEXT, b"byte by byte"):
        client.connection.send(bytes([byte]))
    client.expect_text("byte by byte")
    client.send(BINARY, bytes(1024 * 1024 + 1))
    client.expect_close(1009)


@pytest.mark.parametrize(("wrong", "code"), [(b"\xc1\x80abcd", 1002), (b"\x81\x05abcde", 1002), (b"\x81\x81\0\0\0\0\xff", 1007)], ids=["bit", "bare", "text"])
def test_a_client_that_breaks_the_rules(server, wrong, code):
    client = opened(server)
    client.connection.send(wrong)
    client.expect_close(code)


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_in_the_middle_of_a_frame(server, gate, reset):
    client = opened(server, f"/converse?{gate.query}")
    client.text("hold")
    visitor = gate.visitor().at("holding")
    visitor.go()
    client.expect_text("hold")
    talk(client)
    client.connection.send(frame(TEXT, b"cut off")[:5])
    if reset:
        client.connection.reset()
    else:
        client.connection.close()
    assert visitor.next() == "1006"
    assert server.get("/hello").body == b"plain"


def test_a_reload_closes_busy_ones(server):
    server.log.allow("AH00288")
    clients = [opened(server) for _ in range(4)]
    server.send_signal("reload")
    for client in clients:
        said = 0
        client.text("meanwhile")
        while (found := client.receive())[0] != CLOSE:
            assert found == (TEXT, b"meanwhile")
            said += 1
            client.text("meanwhile")
        assert found[1][:2] == close_payload(1012)


def test_many_come_and_go(server):
    # httpd counts connections for a second after they have ended.
    server.log.allow("AH00484")
    failures, before = [], server.get("/tasks").body

    def visit(number):
        try:
            for turn in range(12):
                client = opened(server)
                talk(client, 5)
                if (number + turn) % 3 == 0:
                    client.connection.close()
                elif (number + turn) % 3 == 1:
                    client.text("unheard")
                    client.connection.reset()
                else:
                    client.close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    # Nothing of them is left that would be looked at.
    wait_until(lambda: server.get("/tasks").body == before, "all have ended")
