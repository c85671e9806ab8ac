# SPDX-License-Identifier: MIT OR Apache-2.0
"""WebSockets: their limits, time, TLS, access rules, and what becomes of them when the server ends."""

import time

import pytest

from harness import wire
from harness.deadline import wait_until
from harness.websocket import CLOSE, PING, PONG, TEXT, WebSocket, close_payload, handshake

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")


# Where one process may have several WebSockets.
SHARED = ("nginx", "nginx128", "apache", "apache-worker")


def opened(server, path="/echo", **words):
    return WebSocket(server.connect(), path, **words)


def serve(workers=None, **options):
    def configure(site):
        site.workers = workers or site.workers
        site.asgi("/", "asgi_sockets:app", **options)

    return configure


def processes_for(kind, sockets):
    """So many processes as let httpd's prefork have so many WebSockets; elsewhere one."""
    return sockets * 4 // 3 + 1 if kind == "apache-prefork" else 1


def test_over_tls(launch):
    def configure(site):
        site.tls = True
        site.asgi("/", "asgi_sockets:app")

    server = launch(configure, warm=["/hello"])
    server.log.allow("AH01906")
    client = WebSocket(server.connect("tls", tls=True), "/scope", protocols="b")
    assert b'"scheme": "wss"' in client.receive()[1]
    client.close()
    client = WebSocket(server.connect("tls", tls=True), "/echo")
    for size in (1, 16 * 1024, 300_000):
        client.text("x" * size)
        client.expect_text("x" * size)
    client.close(1001)


@pytest.mark.servers("nginx", "nginx128")
def test_where_bodies_are_not_read_beforehand(launch):
    def configure(site):
        site.asgi("/", "asgi_sockets:app", nginx="gangway_request_buffering off;")

    server = launch(configure, warm=["/hello"])
    client = opened(server)
    client.text("straight on")
    client.expect_text("straight on")
    client.close()


def test_a_message_has_its_limit(launch):
    server = launch(serve(ws_max_message="10"), warm=["/hello"])
    client = opened(server)
    client.text("x" * 10)
    client.expect_text("x" * 10)
    client.text("x" * 11)
    client.expect_close(1009)


def test_who_does_not_answer_a_ping_is_closed(launch):
    server = launch(serve(ws_ping="300ms"), warm=["/hello"])
    client = opened(server)
    for _ in range(3):
        found = client.frame()
        assert found == (PING, b"")
        client.send(PONG)
    client.text("still here")
    while (found := client.frame())[0] == PING:
        client.send(PONG)
    assert found[1] == b"still here"
    client.close()


@pytest.mark.servers("nginx", "nginx128", "apache")
def test_a_ping_without_an_answer_ends_it(launch):
    server = launch(serve(ws_ping="300ms"), warm=["/hello"])
    client = WebSocket(server.connect(timeout=60), "/echo")
    assert client.frame() == (PING, b"")
    # There is no other one before it is answered, for which there are 20 seconds.
    assert client.frame() == (CLOSE, close_payload(1011, "no answer to a ping"))


@pytest.mark.servers(*SHARED)
def test_the_time_of_a_request_holds_until_it_is_accepted(launch, gate):
    server = launch(serve(timeout="3s"), warm=["/hello"])
    accepted = opened(server)
    waiting = server.connect()
    waiting.request("GET", f"/late?{gate.query}", handshake())
    visitor = gate.visitor().at("asked")
    assert waiting.response().status == 504
    server.log.expect("GW0402")
    # A slow machine takes longer to load it.
    server.log.allow("GW0403|GW0404|GW0405|CancelledError")
    visitor.go()
    accepted.text("longer than that")
    accepted.expect_text("longer than that")
    accepted.close()


def test_an_idle_one_is_closed(launch):
    server = launch(serve(ws_idle="400ms", ws_ping="off"), warm=["/hello"])
    opened(server).expect_close(1001)


@pytest.mark.servers(*SHARED)
def test_they_count_as_requests_in_flight(launch):
    server = launch(serve(in_flight=2, queue=1), warm=["/hello"])
    first, second = opened(server), opened(server)
    third, fourth = server.connect(), server.connect()
    for client in (third, fourth):
        client.request("GET", "/echo", handshake())
    refused = wire.first_to_answer([third, fourth])
    assert refused.response().status == 503
    server.log.expect("GW0401")
    first.close()
    waited = third if refused is fourth else fourth
    assert waited.head().status == 101, "it has the place of the first one"
    second.close()


@pytest.mark.servers(*SHARED)
def test_access_rules_come_first(launch):
    def configure(site):
        rules = "<RequireAll>\nRequire all granted\nRequire not ip 127.0.0.2\n</RequireAll>"
        site.asgi("/", "asgi_sockets:app", nginx="deny 127.0.0.2;", apache=rules)

    server = launch(configure, warm=["/hello"])
    opened(server).close()
    client = server.connect(source="127.0.0.2")
    client.request("GET", "/echo", handshake())
    assert client.response().status == 403
    server.log.expect("access forbidden by rule|AH01630")


def test_a_reload_closes_them_with_1012_spread_over_the_time(launch, kind):
    server = launch(serve(workers=processes_for(kind, 8), ws_drain="1s"), warm=["/hello"])
    # httpd's, of places that its old processes have not left yet.
    server.log.allow("AH00288")
    old = server.workers()
    clients = [opened(server) for _ in range(8)]
    server.send_signal("reload")
    for client in clients:
        client.expect_close(1012)
    wait_until(lambda: not set(old) & set(server.workers()), "the old worker has ended")
    after = opened(server)
    after.text("of the new worker")
    after.expect_text("of the new worker")
    after.close()


@pytest.mark.servers(*SHARED)
def test_the_closings_are_spread_over_all_of_the_time(launch):
    server = launch(serve(ws_drain="4s"), warm=["/hello"])
    server.log.allow("AH00288")
    waiting = [opened(server) for _ in range(12)]
    by_connection = {client.connection: client for client in waiting}
    server.send_signal("reload")
    began, times = time.monotonic(), []
    while by_connection:
        client = by_connection.pop(wire.first_to_answer(by_connection))
        client.expect_close(1012)
        times.append(time.monotonic() - began)
    assert times[0] < 2 < times[-1] < 10, times


def test_a_reload_does_not_cut_what_is_said(launch):
    server = launch(serve(ws_drain="3s"), warm=["/hello"])
    client = opened(server)
    server.send_signal("reload")
    said = 0
    client.text("meanwhile")
    while (found := client.receive())[0] != CLOSE:
        assert found == (TEXT, b"meanwhile")
        said += 1
        client.text("meanwhile")
    assert said > 0 and found[1][:2] == close_payload(1012)


@pytest.mark.servers("nginx", "nginx128")
def test_nobody_outlives_the_time_of_a_shutdown(launch):
    def configure(site):
        site.nginx_main = "worker_shutdown_timeout 300ms;"
        site.asgi("/", "asgi_sockets:app", ws_drain="1h")

    server = launch(configure, warm=["/hello"])
    client = opened(server)
    server.reload()
    found = client.receive()
    assert found == (CLOSE, found[1]) and found[1][:2] == close_payload(1012)
    assert client.frame() is None


@pytest.mark.servers(*SHARED)
@pytest.mark.parametrize("closes", [0, 1], ids=["its client", "itself"])
def test_an_application_that_goes_on_after_the_end(launch, gate, closes):
    server = launch(serve(disconnect_timeout="300ms"), warm=["/hello"])
    client = opened(server, f"/linger?{gate.query}&closes={closes}")
    if closes:
        client.expect_close(1000)
        gate.visitor().at("lingering").at("done")
    else:
        client.close()
        gate.visitor().at("lingering").at("cancelled")
        server.log.expect("GW0324")


def test_a_client_that_takes_nothing_has_send_timeout(launch, gate):
    def configure(site):
        site.apache_main = "Timeout 1"
        site.asgi("/", "asgi_sockets:app", nginx="send_timeout 300ms;")

    server = launch(configure, warm=["/hello"])
    WebSocket(server.connect(receive_buffer=4096), f"/talk?{gate.query}")
    gate.visitor().at("talking").at("OSError")


def test_a_graceful_end_closes_them(launch):
    server = launch(serve(ws_drain="off"), warm=["/hello"])
    client = opened(server)
    server.send_signal("quit")
    client.expect_close(1012)
    assert server.wait() == 0


@pytest.mark.servers("nginx", "nginx128", "apache")
def test_a_fast_stop_says_a_last_word(launch):
    server = launch(serve(), warm=["/hello"])
    client = opened(server)
    server.stop()
    assert client.receive()[1][:2] == close_payload(1012)
    assert client.frame() is None


@pytest.mark.parametrize(("key", "word"), [("ws_max_message", "0"), ("ws_ping", "x"), ("ws_deflate", "yes"), ("ws_drain", "-1")])
def test_wrong_words(configtest, key, word):
    result = configtest(serve(**{key: word}))
    assert result.status != 0 and f'"{key}={word}" is not usable' in result.output


def test_wsgi_has_none(configtest):
    result = configtest(lambda site: site.wsgi("/", "pep3333:app", ws_ping="1s"))
    assert result.status != 0 and "ws_ping" in result.output
