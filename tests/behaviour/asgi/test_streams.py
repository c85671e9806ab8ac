# SPDX-License-Identifier: MIT OR Apache-2.0
"""Streams, clients that leave, and what an application does after its response."""

import pytest

from harness import wire

WARM = ("/app/hello", "/loose/hello", "/brief/hello")


def configure(site, kind):
    site.asgi("/app", "asgi_app:app")
    site.asgi("/loose", "asgi_app:app", nginx="gangway_request_buffering off;")
    site.asgi("/brief", "asgi_app:app", disconnect_timeout="400ms", in_flight=1)


def test_parts_leave_at_once(server, gate):
    client = server.connect()
    client.request("GET", f"/app/stream?{gate.query}")
    application = gate.visitor()
    application.at("part 0").go()
    head = client.head()
    blocks = client.blocks(head)
    assert next(blocks) == b"data: 0\n\n"
    for number in (1, 2):
        application.at(f"part {number}").go()
        assert next(blocks) == b"data: %d\n\n" % number
    assert list(blocks) == []
    assert head.complete


def test_a_client_that_leaves_is_told(server, gate):
    connection = server.connect()
    connection.request("GET", f"/app/listen?{gate.query}")
    visitor = gate.visitor().at("listening")
    connection.close()
    visitor.at("http.disconnect").at("http.disconnect").at("OSError")


@pytest.mark.parametrize("end", ["close", "half_close", "reset"])
def test_a_client_that_leaves_a_silent_stream_is_told(server, gate, end):
    client = server.connect()
    client.request("GET", f"/app/silent?{gate.query}")
    response = client.head()
    assert next(client.blocks(response)) == b"begun"
    visitor = gate.visitor().at("silent")
    getattr(client, end)()
    visitor.at("http.disconnect")


def test_a_writer_stops_when_its_client_leaves(server, gate):
    connection = server.connect()
    connection.request("GET", f"/app/writer?{gate.query}")
    visitor = gate.visitor().at("writing")
    connection.close()
    visitor.at("OSError")


def test_a_client_that_does_not_read_holds_its_request_alone(server, gate):
    connection = server.connect()
    connection.request("GET", f"/app/writer?{gate.query}")
    gate.visitor().at("writing")
    for _ in range(20):
        assert server.get("/app/hello").body == b"hello"
    connection.close()


@pytest.mark.parametrize("asks", [1, 0], ids=["told", "never-asks"])
def test_a_request_that_goes_on_without_its_client_is_cancelled(server, gate, asks):
    client = server.connect()
    client.request("GET", f"/brief/deaf?{gate.query}&asks={asks}")
    visitor = gate.visitor().at("begun")
    client.close()
    if asks:
        visitor.at("http.disconnect")
    visitor.at("cancelled")
    line = server.log.expect("GW0324").raw
    assert "still ran 0.4s after its client had left" in line and "notice]" in line
    # There is one place.
    assert server.get("/brief/hello").body == b"hello"


def test_a_request_that_ends_in_time_without_its_client_is_not_cancelled(server, gate):
    client = server.connect()
    client.request("GET", f"/app/farewell?{gate.query}")
    visitor = gate.visitor().at("begun")
    client.close()
    visitor.at("finishing")
    clock(server, gate)
    visitor.go().at("finished")


def clock(server, gate):
    """Goes for longer than what is cancelled in this time."""
    client = server.connect()
    client.request("GET", f"/brief/deaf?{gate.query}&asks=1")
    visitor = gate.visitor().at("begun")
    client.close()
    visitor.at("http.disconnect").at("cancelled")
    server.log.expect("GW0324")


def test_work_after_the_response_is_not_cancelled(server, gate):
    client = server.connect()
    client.request("GET", f"/brief/after?{gate.query}", [("Connection", "close")])
    assert client.response().body == b"whole"
    visitor = gate.visitor().at("after")
    client.close()
    clock(server, gate)
    visitor.go().at("http.disconnect")


def test_work_after_the_response(server, gate):
    assert server.get(f"/app/after?{gate.query}").body == b"whole"
    gate.visitor().at("after").go().at("http.disconnect")


@pytest.mark.servers("nginx", "nginx128")
def test_both_directions_at_once(server):
    client = server.connect()
    client.send(b"POST /loose/duplex HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    client.send(wire.chunk(b"one"))
    head = client.head()
    blocks = client.blocks(head)
    assert next(blocks) == b"ONE"
    for word in (b"two", b"three"):
        client.send(wire.chunk(word))
        assert next(blocks) == word.upper()
    client.send(b"0\r\n\r\n")
    assert list(blocks) == []
    assert head.complete
