# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a hostile or careless application must not do: split responses, frame them, reach other requests."""

import json
import os

import pytest

from harness import processes, wire
from harness.deadline import wait_until
from harness.http2 import Reset
from harness.server import HarnessFailure

WARM = ("/app/seen", "/pep/hello")


def configure(site, kind):
    site.http2 = True
    site.wsgi("/app", "hostile:app", timeout="30s")
    site.wsgi("/pep", "pep3333:app", timeout="30s")
    site.location("/secret/", nginx="internal;", files=str(site.apps / "served"), apache="Require all denied")
    site.static("/open/", site.apps / "served")


def answer(server, protocol, **wanted):
    body = json.dumps(wanted).encode()
    if protocol == "h2":
        return server.http2().request("POST", "/app/headers", [], body)
    return server.post("/app/headers", body)


PROTOCOLS = pytest.mark.parametrize("protocol", ["h1", "h2"])
BAD_NAMES = [
    "",
    "X Y",
    "X:Y",
    "X\r\nEvil",
    "X\nEvil",
    "X\rEvil",
    "X\0",
    "X\t",
    "(X)",
    "X\u00e9",
    "X\u20ac",
    "X/Y",
    '"X"',
    " X",
    "X ",
]
BAD_VALUES = [
    "a\r\nEvil: yes",
    "a\nEvil: yes",
    "a\rEvil: yes",
    "a\0b",
    "a\r\n folded",
    "a\x01b",
    "a\x7fb",
    "a\u20acb",
    "\r",
    "\n",
]


@PROTOCOLS
@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_header_names_are_500_and_nothing_of_them_leaves(server, protocol, name):
    response = answer(server, protocol, headers=[["X-Good", "1"], [name, "evil"]])
    assert response.status == 500
    assert not [field for field in response.headers if "evil" in (field[0] + field[1]).lower()]
    assert response.header("X-Good") is None
    server.log.expect(r"GW0(306|312|501)")


@PROTOCOLS
@pytest.mark.parametrize("value", BAD_VALUES)
@pytest.mark.parametrize("name", ["X-Any", "Content-Type", "Set-Cookie", "Location"])
def test_bad_header_values_are_500_and_nothing_of_them_leaves(server, protocol, name, value):
    response = answer(server, protocol, headers=[[name, value]])
    assert response.status == 500
    assert not [field for field in response.headers if "evil" in (field[0] + field[1]).lower()]
    assert b"Evil" not in response.body
    server.log.expect(r"GW0(306|312|501)")


def test_a_bad_header_is_named_in_the_log_without_its_line_ends(server):
    answer(server, "h1", headers=[["X-Named", "a\r\nb"]])
    line = server.log.expect(r"GW0(306|312|501)")
    assert "X-Named" in line.raw


@PROTOCOLS
@pytest.mark.parametrize(
    "field",
    [
        ["Transfer-Encoding", "chunked"],
        ["Transfer-Encoding", "identity"],
        ["Connection", "close"],
        ["Connection", "upgrade"],
        ["Keep-Alive", "timeout=5"],
        ["Upgrade", "websocket"],
        ["Proxy-Connection", "close"],
        ["TE", "trailers"],
        ["Trailer", "X-Later"],
    ],
)
def test_an_application_cannot_frame_or_steer_the_connection(server, protocol, field):
    """Such headers are the server's own (PEP 3333 "Other HTTP Features"): they are dropped."""
    body = json.dumps({"headers": [field, ["X-Kept", "1"]], "body": "0\r\n\r\nHTTP/1.1 200 OK\r\n"}).encode()
    server.log.allow("GW0501")
    if protocol == "h2":
        client = server.http2()
        response = client.request("POST", "/app/headers", [], body)
        assert client.get("/pep/hello").body == b"hello"
    else:
        client = server.connect()
        client.request("POST", "/app/headers", body=body)
        response = client.response()
        client.request("GET", "/pep/hello")
        assert client.response().body == b"hello"
    assert (response.status, response.header("X-Kept")) == (200, "1")
    assert field[1] not in response.all(field[0])
    assert response.body == b"0\r\n\r\nHTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("says", ["2", "10", "5"])
def test_a_wrong_content_length_never_shifts_the_next_response(server, says):
    server.log.allow("GW050[345]")
    for _ in range(3):
        client = server.connect()
        client.request("GET", f"/pep/content_length?says={says}&blocks=3,2")
        try:
            first = client.response()
            assert first.body == b"x" * min(int(says), 5)
        except (wire.Truncated, wire.Closed):
            assert client.at_end()
            continue
        if first.status == 200 and (first.header("Connection") or "") != "close":
            try:
                client.request("GET", "/pep/hello")
                assert client.response().body == b"hello"
            except (wire.Closed, ConnectionError):
                assert says == "2"


@PROTOCOLS
def test_two_content_lengths_are_refused(server, protocol):
    response = answer(server, protocol, headers=[["Content-Length", "4"], ["Content-Length", "5"]], body="body")
    assert response.status == 500
    server.log.expect("GW0(306|312|505)")


@pytest.mark.parametrize("status", ["200 OK", "302 Found", "404 Not Found"])
def test_location_is_for_the_client_and_starts_no_handler(server, status):
    response = answer(
        server, "h1", status=status, headers=[["Location", "/open/README"], ["Content-Type", "text/plain"]]
    )
    assert response.status == int(status[:3])
    assert response.header("Location").endswith("/open/README")
    assert response.body == b"body"


@pytest.mark.parametrize("name", ["X-Sendfile", "X-Accel-Redirect", "X-LIGHTTPD-send-file"])
def test_no_header_serves_a_file_of_the_machine(server, name):
    server.log.allow("GW|No such file|unsafe|open")
    response = answer(server, "h1", headers=[[name, "/etc/passwd"]])
    assert b"root:" not in response.body


@pytest.mark.parametrize(
    "content_type", ["application/x-httpd-cgi", "application/x-httpd-php", "server-parsed", "type-map"]
)
def test_a_content_type_starts_no_handler(server, content_type):
    response = answer(server, "h1", headers=[["Content-Type", content_type]])
    assert (response.status, response.body) == (200, b"body")


@pytest.mark.parametrize("size", [1000, 60_000, 1_000_000, 20_000_000])
def test_large_response_headers_are_sent_or_refused(server, size):
    """HTTP/1 has no limit of its own; a refusal is a 500 with a line."""
    server.log.allow("GW|too big|AH")
    response = server.get(f"/app/large_header?size={size}")
    assert response.status in (200, 500)
    if response.status == 200:
        assert len(response.header("X-Large")) == size
    assert server.get("/pep/hello").body == b"hello"


def test_many_response_headers(server):
    server.log.allow("GW|AH")
    response = server.get("/app/many_headers?count=500")
    assert response.status in (200, 500)
    if response.status == 200:
        assert len([name for name, _ in response.headers if name.lower().startswith("x-many-")]) == 500


def test_large_headers_over_http2(server):
    server.log.allow("GW|AH|too")
    client = server.http2()
    try:
        assert client.get("/app/large_header?size=200000").status in (200, 500)
    except (Reset, ConnectionError):
        pass
    assert server.http2().get("/pep/hello").body == b"hello"


# ---- other requests, other processes ----


def test_one_request_sees_nothing_of_another(server):
    secret = [("X-Secret", "s3cret"), ("Cookie", "session=s3cret"), ("X-Id", "a"), ("X-Before", "b")]
    server.get("/app/env?secret=s3cret", secret)
    found = server.get("/app/env").body
    assert b"s3cret" not in found
    server.get("/app/marks", secret)
    assert json.loads(server.get("/app/marks").body) == {"left": [], "invented": None}
    client = server.connect()
    client.request("POST", "/app/body", [("X-Id", "k")], b"body of another")
    client.response()
    client.request("GET", "/app/env")
    answer = client.response().body
    assert b"X_ID" not in answer
    assert b"CONTENT_LENGTH" not in answer


def test_answers_find_their_own_requests_when_others_are_aborted(server, gate):
    """The row "response shifted by one": abort some of the waiting requests, let the others go on."""
    clients = {}
    for number in range(8):
        client = server.connect()
        client.request("GET", f"/app/hold?{gate.query}", [("X-Id", f"id{number}")])
        clients[f"id{number}"] = client
    visitors = {}
    for _ in clients:
        visitor = gate.visitor()
        visitors[visitor.next()] = visitor
    for name in ("id1", "id3", "id4"):
        clients.pop(name).reset()
    for visitor in visitors.values():
        visitor.go()
    for name, client in clients.items():
        assert client.response().text == name
        client.request("POST", "/app/body", [("X-Id", name + "again")], name.encode())
        response = client.response()
        assert (response.text, response.header("X-Id")) == (name, name + "again")


def test_http2_streams_get_their_own_answers(server, gate):
    client = server.http2()
    # httpd runs six streams of a new connection at a time.
    streams = {f"id{n}": client.send_head("GET", f"/app/hold?{gate.query}", [("x-id", f"id{n}")]) for n in range(6)}
    visitors = [gate.visitor() for _ in streams]
    client.cancel(streams.pop("id2"))
    client.cancel(streams.pop("id5"))
    for visitor in visitors:
        visitor.next()
        visitor.go()
    for name, stream in streams.items():
        assert client.response(stream).body.decode() == name


@pytest.mark.parametrize("how", ["closed", "inherit", "system"])
def test_children_of_an_application_inherit_three_descriptors(server, how, scratch):
    client = server.connect()  # another client's connection, busy and idle
    client.request("GET", "/pep/hello")
    client.response()
    found = json.loads(server.get(f"/app/child?how={how}&out={scratch}/child").body)
    others = {number: target for number, target in found.items() if int(number) > 2}
    assert others == {}


@pytest.mark.in_process("what a process of an application's own leaves behind is ended by who started that")
def test_a_child_that_outlives_its_server_is_noticed_by_the_harness(launch, kind):
    server = launch.prepare(lambda site: site.wsgi("/app", "hostile:app")).start()
    child = int(server.get("/app/leaves_child").text)
    assert processes.alive(child)
    with pytest.raises(HarnessFailure, match=f"has children \\[{child}\\]"):
        server.verify(timeout=0.3)
    with pytest.raises(HarnessFailure, match=f"processes outlive .*pid={child}"):
        server.finish(timeout=0.5)
    wait_until(lambda: not processes.alive(child) or os.kill(child, 9), "the child is gone")
