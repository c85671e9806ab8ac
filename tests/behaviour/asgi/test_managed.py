# SPDX-License-Identifier: MIT OR Apache-2.0
"""ASGI applications in processes of their own."""

import json

import pytest

from harness import websocket, wire
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

WARM = ("/app/hello",)


def configure(site, kind):
    site.asgi("/app", "asgi_app:app", processes=1, timeout="2s")


def test_hello(server):
    response = server.get("/app/hello")
    assert (response.status, response.body, response.header("Content-Type")) == (200, b"hello", "text/plain")


def test_scope(server):
    found = json.loads(server.get("/app/scope/a%20b?x=1", [("X-One", "a"), ("X-One", "b")]).body)
    assert (found["root_path"], found["path"]) == ("/app", "/app/scope/a b")
    # httpd says the port of the name that the client has used (UseCanonicalName).
    assert found["server"][1] in (server.port, 80) and found["client"][0] == "127.0.0.1"
    assert sorted(found["extensions"]) == ["http.response.pathsend", "http.response.zerocopysend"]
    assert [{"bytes": "x-one"}, {"bytes": "a, b"}] in found["headers"]


def test_the_application_lives_on_the_thread_of_its_loop(server):
    found = json.loads(server.get("/app/life").body)
    assert found["import"] and found["startup"] and found["loop"] and found["task"]


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies(server, chunked):
    large = bytes(range(256)) * 4096
    found = json.loads(server.post("/app/length", [large] if chunked else large).body)
    assert found["length"] == len(large)


def test_responses(server):
    assert server.get("/app/large?16").body == bytes(range(256)) * 256 * 16
    assert server.request("HEAD", "/app/hello").body == b""
    assert server.get("/app/path").body.startswith(b"# SPDX")


def test_requests_wait_beside_each_other(server, gate):
    clients = [server.connect() for _ in range(12)]
    for client in clients:
        client.request("GET", f"/app/gate?{gate.query}")
    visitors = [gate.visitor().at("waiting") for _ in clients[:8]]
    assert server.get("/app/hello").body == b"hello"
    for visitor in visitors:
        visitor.go()
    for _ in clients[8:]:
        gate.visitor().at("waiting").go()
    assert {client.response().body for client in clients} == {b"let on"}


def test_parts_leave_at_once(server, gate):
    client = server.connect()
    client.request("GET", f"/app/stream?{gate.query}")
    application = gate.visitor()
    application.at("part 0").go()
    blocks = client.blocks(client.head())
    for number in range(2):
        assert next(blocks) == b"data: %d\n\n" % number
        application.at(f"part {number + 1}")
        if number == 0:
            application.go()
    application.go()
    assert list(blocks) == [b"data: 2\n\n"]


def test_a_client_that_leaves_is_told(server, gate):
    connection = server.connect()
    connection.request("GET", f"/app/listen?{gate.query}")
    visitor = gate.visitor().at("listening")
    connection.close()
    visitor.at("http.disconnect").at("http.disconnect").at("OSError")


def test_a_deadline_cancels_the_task(server, gate):
    client = server.connect()
    client.request("GET", f"/app/sleep?{gate.query}")
    visitor = gate.visitor().at("asleep")
    assert client.response().status == 504
    visitor.at("cancelled")
    server.log.expect("GW0402")
    assert server.get("/app/hello").body == b"hello"


@pytest.mark.parametrize(("path", "code"), [("raise", "GW0306"), ("nothing", "GW0321")])
def test_errors_before_the_head(server, path, code):
    assert server.get(f"/app/{path}").status == 500
    server.log.expect(code)


def test_errors_after_the_head_cut_the_connection(server):
    try:
        response = server.get("/app/raise_late")
    except wire.Truncated:
        pass
    else:
        # Its head had not left the server when that met the end.
        assert response.status == 500
    server.log.expect("GW0307")


def test_who_asks_for_a_websocket_is_answered_and_the_log_says_why(server):
    client = server.connect()
    client.request("GET", "/app/hello", websocket.handshake())
    response = client.response()
    assert (response.status, response.body, response.header("Upgrade")) == (200, b"hello", None)
    line = server.log.expect("GW0911 asgi_app:app: ")
    assert "remove processes= and user=" in line.raw
    assert "/app/hello" in line.raw or (server.kind == "apache" and "[client 127.0.0.1:" in line.raw)


def test_the_shutdown_runs(launch, scratch):
    note = scratch / "note"
    note.touch()
    note.chmod(0o666)
    server = launch(
        lambda site: site.asgi("/", "asgi_app:app", processes=1, env=f"SHUTDOWN_NOTE={note}"), warm=["/hello"]
    )
    server.stop()
    wait_until(lambda: note.read_text() == "shut down\n", "the shutdown has run")


def test_the_shutdown_runs_although_a_request_does_not_end(launch, scratch, gate):
    """A server that stops ends its processes within two seconds: what still runs there is cut off in time for the shutdown."""
    note = scratch / "note"
    note.touch()
    note.chmod(0o666)
    server = launch(
        lambda site: site.asgi("/", "asgi_app:app", processes=1, env=f"SHUTDOWN_NOTE={note}"), warm=["/hello"]
    )
    client = server.connect()
    client.request("GET", f"/deaf?{gate.query}")
    next(client.blocks(client.head()))
    gate.visitor().at("begun")
    server.log.allow("GW0208|GW0906|upstream|GW07|closed")
    server.stop()
    wait_until(lambda: note.read_text() == "shut down\n", "the shutdown has run")
    assert server.wait(20) == 0
