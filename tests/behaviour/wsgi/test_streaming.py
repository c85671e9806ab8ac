# SPDX-License-Identifier: MIT OR Apache-2.0
"""Blocks leave at once, memory stays bounded, and a client that leaves is noticed: PEP 3333 "Buffering and Streaming"."""

import re

import pytest

from harness import applications, processes, wire
from harness.http2 import Reset

WARM = applications.PEP3333_WARM
FREE = 64 << 20  # far above any socket buffer


def configure(site, kind):
    applications.pep3333(site, kind)
    # Between a process of the application's own and a client nginx has a file, of a gigabyte where nothing is said: no back-pressure before that.
    site.nginx_server = "gangway_max_temp_file_size 0;"
    site.wsgi("/few", "pep3333:app", threads=2, timeout="30s", nginx="send_timeout 2s;", apache="")
    if kind.startswith("apache"):
        site.apache_main = "Timeout 3"


@pytest.mark.parametrize("path", ["blocks_gate", "write_gate"])
def test_each_block_is_sent_before_the_next_is_asked_for(server, gate, path):
    applications.streams(server, gate, f"/app/{path}")


def test_a_burst_leaves_though_the_application_does_something_else(server, gate):
    client = server.connect()
    client.request("GET", f"/app/bursts_gate?{gate.query}")
    application = gate.visitor()
    head = client.head()
    blocks, received = client.blocks(head), b""
    for burst in range(3):
        application.at(f"after {burst}")
        expected = b"".join(b"burst %d block %d\n" % (burst, number) for number in range(20))
        received = b""
        while len(received) < len(expected):
            received += next(blocks)
        assert received == expected
        application.go()
    assert list(blocks) == []
    assert head.complete


def test_each_block_is_sent_over_http2(server, gate):
    client = server.http2()
    stream = client.send_head("GET", f"/app/blocks_gate?{gate.query}")
    application = gate.visitor()
    expected = b""
    for number in range(3):
        application.at(f"before {number}").go()
        expected += b"block %d" % number
        client.until(lambda: client.streams[stream].body == expected)
    application.at("before end").go()
    assert client.response(stream).complete


def test_each_block_is_sent_to_an_http10_client(server, gate):
    client = server.connect()
    client.request("GET", f"/app/blocks_gate?{gate.query}", version="HTTP/1.0")
    application = gate.visitor()
    application.at("before 0").go()
    head = client.head()
    pieces = client.blocks(head)
    assert next(pieces) == b"block 0"
    application.at("before 1").go()
    assert next(pieces) == b"block 1"
    application.at("before 2").go().at("before end").go()
    assert list(pieces) == [b"block 2"]


def test_each_block_is_sent_through_a_compressing_filter(launch, gate):
    import zlib

    def compressing(site):
        site.gzip = True
        site.wsgi("/app", "pep3333:app")

    server = launch(compressing, warm=["/app/hello"])
    client = server.connect()
    client.request("GET", f"/app/blocks_gate?{gate.query}", [("Accept-Encoding", "gzip")])
    application = gate.visitor()
    application.at("before 0").go()
    head = client.head()
    assert head.header("Content-Encoding") == "gzip"
    unzip = zlib.decompressobj(wbits=31)
    blocks = client.blocks(head)
    seen = b""
    for number in range(3):
        while seen != b"".join(b"block %d" % n for n in range(number + 1)):
            seen += unzip.decompress(next(blocks))
        application.at("before end" if number == 2 else f"before {number + 1}").go()
    list(blocks)
    assert head.complete


def test_the_head_leaves_before_the_second_block(server, gate):
    """A first empty block does not send the head, a first real one does."""
    client = server.connect()
    client.request("GET", f"/app/blocks_gate?{gate.query}&blocks=1")
    application = gate.visitor()
    application.at("before 0").go()
    head = client.head()
    assert head.status == 200
    application.at("before end").go()
    assert list(client.blocks(head)) == [b"block 0"]


@pytest.mark.parametrize("block", [1, 1000, 65536, 1 << 20])
@pytest.mark.parametrize("length", ["", "&length=1"])
def test_large_responses_arrive_whole(server, block, length):
    size = 20_000 if block == 1 else 8_000_003
    response = server.get(f"/app/large?size={size}&block={block}{length}")
    assert len(response.body) == size
    step = min(block, size)
    pattern = (bytes(range(256)) * (step // 256 + 1))[:step]
    assert response.body == (pattern * (size // step + 1))[:size]


@pytest.mark.parametrize("size", [1, 4096, 65536, 5_000_000])
def test_one_large_block(server, size):
    response = server.get(f"/app/one_block?size={size}")
    assert response.header("Content-Length") == str(size)
    assert response.body == (bytes(range(256)) * (size // 256 + 1))[:size]
    assert server.http2().get(f"/app/one_block?size={size}").body == response.body


def test_a_slow_reader_holds_the_application_back(server, gate):
    """The application makes no more than the buffers between it and the client take."""
    client = server.connect(receive_buffer=4096)
    client.request("GET", f"/app/endless?{gate.query}&block=65536")
    application = gate.visitor()
    head = client.head()
    pieces = client.blocks(head)
    next(pieces)
    before = processes.resident(server.worker())
    for _ in range(20):
        next(pieces)
    assert processes.resident(server.worker()) - before < 8 << 20
    client.reset()
    made = int(application.next().removeprefix("closed "))
    assert made * 65536 < FREE, f"{made} blocks were made for a client that hardly reads"


def test_endless_streams_do_not_stop_others(server, gate):
    """With eight threads and seven streams a plain request still answers."""
    clients = [server.connect(receive_buffer=4096) for _ in range(7)]
    for client in clients:
        client.request("GET", f"/app/endless?{gate.query}")
    applications_ = [gate.visitor() for _ in clients]
    assert server.get("/app/hello").body == b"hello"
    for client in clients:
        client.reset()
    for application in applications_:
        assert application.next().startswith("closed")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_is_seen_by_a_running_application(server, gate, how):
    applications.sees_its_client_leave(server, gate, how)


def test_an_http2_stream_that_is_reset_is_seen(server, gate):
    client = server.http2()
    stream = client.send_head("GET", f"/app/waits_for_leave?{gate.query}")
    application = gate.visitor()
    application.at("running False")
    client.cancel(stream)
    application.at("left True").at("closed")
    assert client.get("/app/hello").body == b"hello"


def test_a_client_that_stays_is_not_reported_gone(server, gate):
    client = server.connect()
    client.request("POST", f"/app/stays?{gate.query}", body=b"body", chunked=True)
    application = gate.visitor()
    application.at("inside").go()
    assert client.response().body == b"(False, False)"


@pytest.mark.parametrize("path", ["blocks_gate", "endless"])
def test_close_is_called_when_the_client_leaves(server, gate, path):
    client = server.connect()
    client.request("GET", f"/app/{path}?{gate.query}&blocks=1000")
    application = gate.visitor()
    if path == "endless":
        client.head()
        client.reset()
        assert re.fullmatch(r"closed \d+", application.next())
        assert application.next() == ""
        return
    application.at("before 0").go()
    head = client.head()
    assert next(client.blocks(head)) == b"block 0"
    client.reset()
    events = [application.next()]
    while events[-1] != "finally":
        if events[-1].startswith("before"):
            application.go()
        events.append(application.next())
    assert events[-2:] == ["closed", "finally"]
    # How soon is up to the machine; a server that does not notice makes all thousand.
    assert len(events) < 900


def test_a_client_that_leaves_while_it_waits_in_the_queue_costs_nothing(server, gate):
    """Its request never runs."""
    holders = [server.connect() for _ in range(2)]
    for client in holders:
        client.request("GET", f"/few/stays?{gate.query}")
    running = [gate.visitor().at("inside") for _ in holders]
    leaver = server.connect()
    leaver.request("GET", f"/few/waits_for_leave?{gate.query}")
    leaver.reset()
    for application in running:
        application.go()
    for client in holders:
        assert client.response().status == 200
    # The two threads are free: a request that came later answers, and nobody else comes to the gate.
    client = server.connect()
    client.request("GET", f"/few/stays?{gate.query}")
    visitor = gate.visitor()
    event = visitor.next()
    if event.startswith("running"):  # it had begun before the server saw the end of the connection
        assert visitor.next() == "left True"
        visitor = gate.visitor()
        event = visitor.next()
    assert event == "inside"
    visitor.go()
    assert client.response().status == 200


def test_a_half_closed_client_still_gets_its_answer(server):
    client = server.connect()
    client.request("GET", "/app/large?size=3000000&length=1", [("Connection", "close")])
    client.half_close()
    try:
        response = client.response()
    except (wire.Closed, wire.Truncated):
        # nginx takes a half-closed client for one that left, as with its own upstream handlers.
        assert server.kind.startswith("nginx")
        server.log.allow("GW|client")
        return
    assert len(response.body) == 3_000_000


@pytest.mark.not_behind_pass("nginx takes what its client does not read into a file", on="nginx")
def test_a_reader_that_stops_is_given_up_after_the_servers_send_timeout(server, gate):
    server.log.allow("timed out|timeout|GW|AH")
    client = server.connect(receive_buffer=4096)
    client.request("GET", f"/few/endless?{gate.query}")
    application = gate.visitor()
    client.head()
    made = int(application.next().removeprefix("closed "))  # within the gate's own timeout
    assert made * 65536 < FREE


def test_back_pressure_over_http2(server, gate):
    client = server.http2()
    stream = client.send_head("GET", f"/app/endless?{gate.query}")
    application = gate.visitor()
    client.until(lambda: len(client.streams[stream].body) > 100_000)
    other = client.get("/app/hello")
    assert other.body == b"hello"
    client.cancel(stream)
    made = int(application.next().removeprefix("closed "))
    assert made * 65536 < FREE


def test_truncation_is_visible_when_the_worker_is_told_to_fail_midway(server):
    client = server.connect()
    client.request("GET", "/app/failing?at=1")
    with pytest.raises(wire.Truncated):
        client.response()
    server.log.expect(r"GW03\d\d")
    http2 = server.http2()
    with pytest.raises(Reset):
        http2.get("/app/failing?at=1")
