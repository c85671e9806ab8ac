# SPDX-License-Identifier: MIT OR Apache-2.0
"""WebSockets and the threads of httpd."""

import pytest

from harness import processes
from harness.deadline import wait_until
from harness.websocket import WebSocket, handshake


def opened(server, path="/echo", **words):
    return WebSocket(server.connect(), path, **words)


@pytest.mark.servers("apache-worker", "apache-prefork")
def test_they_leave_threads_for_others(launch, kind):
    def configure(site):
        if kind == "apache-prefork":
            site.workers = 4
        site.threads_per_child = 4
        site.asgi("/", "asgi_sockets:app")

    server = launch(configure, warm=["/hello"])
    clients = [opened(server) for _ in range(3)]
    for _ in range(2):
        client = server.connect()
        client.request("GET", "/echo", [*handshake(), ("Connection", "close")])
        response = client.response()
        assert (response.status, response.header("Retry-After")) == (503, "1")
        assert server.get("/hello").body == b"plain"
    server.log.expect("GW0407 asgi_sockets:app: the WebSocket is refused, for 3 of the")
    server.log.allow("GW0407|AH00161|AH00286")
    clients.pop().close()
    again = opened(server)
    for client in [*clients, again]:
        client.text("still here")
        client.expect_text("still here")
        client.close()


@pytest.mark.servers("apache")
def test_in_the_event_mpm_they_hold_no_thread(launch):
    def configure(site):
        site.threads_per_child = 4
        site.apache_main = "AsyncRequestWorkerFactor 20"
        site.asgi("/", "asgi_sockets:app")

    server = launch(configure, warm=["/hello"])
    clients = [opened(server) for _ in range(40)]
    assert server.get("/hello").body == b"plain"
    for number, client in enumerate(clients):
        client.text(f"number {number}")
    for number, client in enumerate(clients):
        client.expect_text(f"number {number}")
        client.close()


@pytest.mark.servers("apache")
def test_silent_ones_give_memory_back(launch):
    def configure(site):
        site.threads_per_child = 4
        site.apache_main = "AsyncRequestWorkerFactor 150"
        site.asgi("/", "asgi_sockets:app")

    server = launch(configure, warm=["/hello"])
    opened_before = [opened(server) for _ in range(50)]
    before = processes.memory(server.worker(), "Private_Dirty")
    clients = [opened(server) for _ in range(400)]
    # httpd's two pools and the list of buckets, the WebSocket and the application: what was read into is not kept.
    each = lambda: (processes.memory(server.worker(), "Private_Dirty") - before) / len(clients)
    wait_until(lambda: each() < 31 * 1024, lambda: f"each has {each():.0f} bytes")
    for client in [*opened_before, *clients]:
        client.text("still there")
        client.expect_text("still there")
        client.close()


@pytest.mark.servers("apache", "apache-worker")
def test_the_log_counts_what_they_send_and_get(launch):
    def configure(site):
        site.apache_main = 'LogFormat "%I %O" bytes\nCustomLog bytes.log bytes "expr=%{REQUEST_URI} == \'/echo\'"'
        site.asgi("/", "asgi_sockets:app")

    server = launch(configure, warm=["/hello"])
    client = opened(server)
    for _ in range(20):
        client.text("x" * 1000)
        client.expect_text("x" * 1000)
    client.close()
    log = server.folder / "bytes.log"
    line = wait_until(lambda: log.read_text(), "the access log has a line")
    got, sent = line.split()
    # A frame has four bytes before so long a message, and a client's a mask; beside them are the heads and the last frames.
    assert 0 < int(got) - 20 * 1008 < 500
    assert 0 < int(sent) - 20 * 1004 < 500
