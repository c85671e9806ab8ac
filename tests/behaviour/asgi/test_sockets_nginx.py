# SPDX-License-Identifier: MIT OR Apache-2.0
"""WebSockets beside what nginx has: limit_conn, TLS, HTTP/2, and applications that are not in this process."""

import h2.settings
import pytest

from harness.deadline import wait_until
from harness.websocket import TEXT, WebSocket, handshake

pytestmark = pytest.mark.servers("nginx", "nginx128")


def status(server, path, fields=()):
    client = server.connect()
    client.request("GET", path, fields)
    return client.response().status


def test_limit_conn_counts_them(launch):
    def configure(site):
        site.nginx_http = "limit_conn_zone $server_name zone=all:1m;"
        site.asgi("/", "asgi_sockets:app", nginx="limit_conn all 2;")

    server = launch(configure, warm=["/hello"])
    first, second = (WebSocket(server.connect(), "/echo") for _ in range(2))
    assert status(server, "/echo", handshake()) == 503
    assert status(server, "/hello") == 503
    for client in (first, second):
        client.text("still there")
        client.expect_text("still there")
    first.close()
    wait_until(lambda: status(server, "/hello") == 200, "its place is free")
    # One that goes without a word frees its place as well.
    second.connection.reset()
    third, fourth = (opened_when_free(server) for _ in range(2))
    assert status(server, "/hello") == 503
    third.close()
    fourth.close()
    server.log.allow("limiting connections by zone")


def test_the_log_counts_what_they_send(launch):
    def configure(site):
        site.nginx_http = "log_format sent '$uri $bytes_sent';"
        site.asgi("/", "asgi_sockets:app", nginx="access_log sent.log sent;")

    server = launch(configure, warm=["/hello"])
    client = WebSocket(server.connect(), "/echo")
    for _ in range(20):
        client.text("x" * 1000)
        client.expect_text("x" * 1000)
    client.close()
    log = server.folder / "sent.log"
    lines = wait_until(lambda: [line for line in log.read_text().splitlines() if "/echo" in line], "the access log has a line")
    # A frame has four bytes before so long a message; beside them are the head and the last frame.
    assert 0 < int(lines[0].split()[1]) - 20 * 1004 < 500


@pytest.mark.parametrize("filters", ["ssi on; ssi_types *;", "sub_filter a b; sub_filter_types *;", "gzip on; gzip_types *; gzip_min_length 0;"])
def test_filters_of_responses_hold_no_handshake_back(launch, filters):
    server = launch(lambda site: site.asgi("/", "asgi_sockets:app", nginx=filters), warm=["/hello"])
    client = WebSocket(server.connect(timeout=5), "/echo")
    client.text("there")
    client.expect_text("there")
    client.close()


def opened_when_free(server):
    found = []

    def attempt():
        try:
            found.append(WebSocket(server.connect(), "/echo"))
        except AssertionError:
            return False
        return True

    wait_until(attempt, "there is a place")
    return found[0]


def test_the_end_of_a_tls_connection(launch, gate):
    def configure(site):
        site.tls = True
        site.asgi("/", "asgi_sockets:app")

    server = launch(configure, warm=["/hello"])
    # With TLS's own farewell, and without one.
    client = WebSocket(server.connect("tls", tls=True), f"/listen?{gate.query}")
    visitor = gate.visitor().at("listening")
    client.connection.socket.unwrap()
    visitor.at("1006 ").at("again 1006").at("OSError")
    client = WebSocket(server.connect("tls", tls=True), f"/listen?{gate.query}")
    visitor = gate.visitor().at("listening")
    client.connection.close()
    visitor.at("1006 ").at("again 1006").at("OSError")


def test_a_client_over_tls_that_reads_late(launch):
    def configure(site):
        site.tls = True
        site.asgi("/", "asgi_sockets:app", ws_max_message="8m")

    server = launch(configure, warm=["/hello"])
    client = WebSocket(server.connect("tls", tls=True, receive_buffer=4096), "/echo")
    for _ in range(4):
        client.text("x" * 300_000)
    for _ in range(4):
        assert client.receive() == (TEXT, b"x" * 300_000)
    client.close()


def test_http2_has_none(launch):
    def configure(site):
        site.http2 = True
        site.asgi("/", "asgi_sockets:app")

    server = launch(configure, warm=["/hello"])
    client = server.http2()
    # Fields of a handshake make no WebSocket of a plain request.
    response = client.get("/kind", [(name.lower(), value) for name, value in handshake() if name.startswith("Sec-")])
    assert (response.status, response.body) == (200, b"plain")
    # RFC 8441: who may ask is told by a setting.
    assert not client.state.remote_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL)
    # Who asks in spite of it is refused, and the server goes on.
    refused = server.http2()
    stream = refused.send_head("CONNECT", "/echo", [(":protocol", "websocket"), ("sec-websocket-version", "13")], end=False)
    try:
        assert refused.response(stream).status >= 400
    except (AssertionError, ConnectionError) as error:
        assert "reset" in str(error) or "closed" in str(error) or "ended" in str(error), error
    assert client.get("/hello").body == b"plain"
    server.log.allow("client sent|CONNECT")


@pytest.mark.parametrize("options", [{}, {"threads": 4}])
def test_processes_of_its_own_answer_as_to_any_request(launch, options):
    def configure(site):
        site.asgi("/", "asgi_sockets:app", processes=1, **options)

    server = launch(configure, warm=["/hello"])
    client = server.connect()
    client.request("GET", "/kind", handshake())
    response = client.response()
    assert (response.status, response.body) == (200, b"plain")
    server.log.expect("GW0911")
    # The connection is one of HTTP as before.
    client.request("GET", "/hello")
    assert client.response().body == b"plain"
