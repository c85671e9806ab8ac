# SPDX-License-Identifier: MIT OR Apache-2.0
"""A gibibyte in, a gibibyte out, two hundred slow clients, thousands of requests: with flat memory."""

import json
import threading

import pytest

from harness import processes, wire
from harness.deadline import wait_until
from harness.watch import Watch

GIB = 1 << 30
FLAT = 16 << 20
BLOCK = bytes(range(256)) * 4096  # 1 MiB
WARM = ("/app/hello", "/app/large?size=1000000&length=1")


def configure(site, kind):
    site.http2 = True
    site.threads_per_child = 256
    site.wsgi("/app", "pep3333:app", timeout="60s")
    site.nginx_http = "client_max_body_size 0;"
    if kind.startswith("apache"):
        site.apache_main = "LimitRequestBody 0\nRequestReadTimeout header=0 body=0"


def warm_up(server):
    server.post("/app/count", BLOCK * 4)
    assert len(server.get(f"/app/large?size={16 << 20}&length=1").body) == 16 << 20


def received(client, head):
    total = 0
    for piece in client.blocks(head):
        total += len(piece)
    return total


@pytest.mark.parametrize("length", ["&length=1", ""])
def test_a_download_of_one_gibibyte(server, length):
    warm_up(server)
    client = server.connect(timeout=60)
    with Watch(server.worker()) as watch:
        client.request("GET", f"/app/large?size={GIB}{length}&block=262144")
        head = client.head()
        assert received(client, head) == GIB
    assert head.complete
    assert watch.growth < FLAT, f"grew by {watch.growth >> 20} MiB"


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_of_one_gibibyte(server, chunked):
    warm_up(server)
    client = server.connect(timeout=120)
    with Watch(server.worker()) as watch:
        if chunked:
            client.request("POST", "/app/count", body=(BLOCK for _ in range(1024)))
        else:
            client.send(wire.head_bytes("POST", "/app/count", [("Host", "x"), ("Content-Length", str(GIB))]))
            for _ in range(1024):
                client.send(BLOCK)
        found = json.loads(client.response().body)
    assert found["length"] == GIB
    assert watch.growth < FLAT, f"grew by {watch.growth >> 20} MiB"


def test_a_file_of_one_gibibyte(server, scratch):
    path = scratch / "sparse"
    with path.open("wb") as out:
        out.truncate(GIB)
    warm_up(server)
    client = server.connect(timeout=60)
    with Watch(server.worker()) as watch:
        client.request("GET", f"/app/send_file?path={path}")
        head = client.head()
        assert received(client, head) == GIB
    assert watch.growth < FLAT, f"grew by {watch.growth >> 20} MiB"


def test_a_download_over_http2(server):
    size = 64 << 20
    warm_up(server)
    client = server.http2()
    with Watch(server.worker()) as watch:
        stream = client.send_head("GET", f"/app/large?size={size}&length=1")
        total = 0
        response = client.streams[stream]
        while not response.complete:
            client.until(lambda: response.body or response.complete)
            total += len(response.body)
            response.body = b""
    assert total == size
    assert watch.growth < FLAT, f"grew by {watch.growth >> 20} MiB"


def test_two_hundred_slow_clients(server):
    """Each sends its body in pieces and reads its answer late; meanwhile others are served."""
    clients = [server.connect(receive_buffer=4096) for _ in range(200)]
    for number, client in enumerate(clients):
        fields = [("Host", "x"), ("Content-Length", "3000"), ("X-Number", str(number))]
        client.send(wire.head_bytes("POST", "/app/echo", fields) + b"%04d" % number)
    if server.kind.startswith("nginx"):
        # The event loop has their bodies; no thread of the application waits for them.
        assert server.get("/app/hello").body == b"hello"
    for _ in range(7):
        for number, client in enumerate(clients):
            client.send(b"%04d" % number * 107)
    for number, client in enumerate(clients):
        assert client.response().body == b"%04d" % number * 750
    assert server.get("/app/hello").body == b"hello"


def test_two_hundred_slow_readers(server):
    """Answers larger than the socket buffers, read one after the other: no thread is held by a reader on nginx."""
    size = 300_000
    clients = [server.connect(receive_buffer=4096) for _ in range(200)]
    with Watch(server.worker()) as watch:
        for client in clients:
            client.request("GET", f"/app/one_block?size={size}")
        for client in clients:
            assert len(client.response().body) == size
    # What cannot be sent waits in memory, once per client and no more.
    assert watch.growth < 200 * size * 2 + FLAT


def test_memory_is_flat_over_many_requests(server):
    def ask(client, number):
        if number % 5 == 0:
            client.request("POST", "/app/echo", body=b"x" * 20_000)
        elif number % 5 == 1:
            client.request("GET", "/app/iterables?kind=generator")
        else:
            client.request("GET", f"/app/env?n={number}", [("X-Number", str(number))])
        return client.response()

    def round_of_requests():
        client = server.connect()
        for number in range(1500):
            try:
                response = ask(client, number)
            except wire.Closed:
                # httpd closes connections that wait for their next request when its threads are short.
                assert server.kind.startswith("apache")
                client = server.connect()
                response = ask(client, number)
            assert response.status == 200
            if response.header("Connection") == "close":  # both servers close after so many requests
                client.close()
                client = server.connect()
        client.close()

    for _ in range(4):
        round_of_requests()
    before = processes.memory(server.worker(), "Private_Dirty")
    for _ in range(4):
        round_of_requests()
    wait_until(
        lambda: processes.memory(server.worker(), "Private_Dirty") - before < 3 << 20,
        lambda: f"6000 requests cost {processes.memory(server.worker(), 'Private_Dirty') - before} bytes",
        5,
    )
