# SPDX-License-Identifier: MIT OR Apache-2.0
"""WebSockets in the hands of applications that fail, of servers with rules, and of crowds."""

import pytest

from harness import venvs
from harness.deadline import wait_until
from harness.websocket import CLOSE, SERVERS, WebSocket, close_payload, handshake

pytestmark = pytest.mark.servers(*SERVERS)

WARM = ("/hello",)


def configure(site, kind):
    site.threads_per_child = 32
    site.apache_main = "AsyncRequestWorkerFactor 80"
    site.asgi("/", "asgi_sockets:app", in_flight=1100)


def opened(server, path="/echo", **words):
    return WebSocket(server.connect(), path, **words)


def ask(server, path, fields=()):
    client = server.connect()
    client.request("GET", path, [*handshake(), *fields])
    return client.response()


@pytest.mark.parametrize("place", ["before", "connected"])
def test_an_application_that_raises_before_it_accepts(server, place):
    assert ask(server, f"/fail?{place}").status == 500
    server.log.expect(f"GW0306.*ValueError: {place}")
    server.log.allow("Traceback|File|raise |    |ValueError")


@pytest.mark.parametrize(("place", "code"), [("cancelled", 1011), ("exit", 1011), ("closed", 1000)])
def test_an_application_that_raises_later(server, place, code):
    client = opened(server, f"/fail?{place}")
    found = client.receive()
    assert found[0] == CLOSE and found[1][:2] == close_payload(code)
    client.send(CLOSE, found[1][:2])
    assert client.frame() is None
    server.log.allow("GW030|GW032|Traceback|File|raise |    |ValueError|SystemExit|CancelledError")
    assert server.get("/hello").body == b"plain"


def test_no_task_stays(server):
    before = int(server.get("/tasks").body)
    for end in ("close", "reset", "half_close"):
        clients = [opened(server, path) for path in ("/echo", "/room", "/echo")]
        for client in clients:
            client.close() if end == "close" else getattr(client.connection, end)()
    wait_until(lambda: int(server.get("/tasks").body) == before, "their tasks have ended")


@pytest.mark.parametrize("count", [200])
def test_a_room(server, count):
    clients = [opened(server, "/room") for _ in range(count)]
    for speaker in (0, count // 2, count - 1):
        clients[speaker].text(f"{speaker} speaks")
        for client in clients:
            client.expect_text(f"{speaker} speaks")
    for client in clients[::2]:
        client.connection.reset()
    clients[1].text("who is left")
    for client in clients[1::2]:
        client.expect_text("who is left")
        client.close()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_on_each_loop(launch, loop):
    venv = venvs.loops_venv()
    server = launch(lambda site: site.asgi("/", "asgi_sockets:app", loop=loop, venv=venv), warm=["/hello"])
    client = opened(server, extensions="permessage-deflate")
    for size in (1, 2000, 200_000):
        client.text("x" * size)
        client.expect_text("x" * size)
    client.close()


def test_a_reload_in_the_middle_of_a_handshake(launch, gate):
    server = launch(lambda site: site.asgi("/", "asgi_sockets:app", ws_drain="300ms"), warm=["/hello"])
    connection = server.connect()
    connection.request("GET", f"/late?{gate.query}", handshake())
    visitor = gate.visitor().at("asked")
    old = server.worker()
    server.send_signal("reload")
    wait_until(lambda: set(server.workers()) - {old}, "there is a new worker")
    visitor.go()
    # Its application has accepted it, and it is closed with the others.
    assert connection.head().status == 101
    client = WebSocket.__new__(WebSocket)
    client.connection, client.deflates, client.server_bits = connection, False, 15
    client.expect_close(1012)
    visitor.at("websocket.disconnect")
    wait_until(lambda: old not in server.workers(), "the old worker has ended")


@pytest.mark.servers("nginx", "nginx128")
def test_subrequests_and_limits_come_first(launch):
    def configure(site):
        site.nginx_http = "limit_req_zone $server_name zone=few:1m rate=1r/m;"
        site.location("/may", kind="exact", nginx='if ($http_x_token = "good") { return 204; } return 401;')
        site.asgi("/asked", "asgi_sockets:app", nginx="auth_request /may;")
        site.asgi("/few", "asgi_sockets:app", nginx="limit_req zone=few burst=1 nodelay; limit_req_status 429;")
        site.asgi("/warm", "asgi_sockets:app")

    server = launch(configure, warm=["/warm/hello"])
    assert ask(server, "/asked/echo").status == 401
    client = opened(server, "/asked/echo", headers=[("X-Token", "good")])
    client.text("let in")
    client.expect_text("let in")
    client.close()
    first, second = opened(server, "/few/echo"), opened(server, "/few/echo")
    assert ask(server, "/few/echo").status == 429
    server.log.allow("limiting requests")
    first.close()
    second.close()
