# SPDX-License-Identifier: MIT OR Apache-2.0
"""Request bodies: PEP 3333 "Input and Error Streams", and the forms in which a client may send them."""

import hashlib
import json

import pytest

from harness import applications, wire
from harness.deadline import wait_until

WARM = applications.PEP3333_WARM
TEXT = b"one\ntwo\r\n\nfour without end"
MEMORY = 9000  # more than one read, less than nginx keeps in memory
FILE = 300_000  # more than client_body_buffer_size: nginx keeps it in a file
LIMIT = 1 << 20
FORMS = ["length", "chunked", "1.0", "h2"]


def configure(site, kind):
    applications.pep3333(site, kind)
    site.wsgi(
        "/limited",
        "pep3333:app",
        timeout="30s",
        nginx=f"client_max_body_size {LIMIT};",
        apache=f"LimitRequestBody {LIMIT}",
    )
    site.wsgi(
        "/memory", "pep3333:app", timeout="30s", nginx="client_body_buffer_size 1m; client_body_in_single_buffer on;"
    )
    site.wsgi("/file", "pep3333:app", timeout="30s", nginx="client_body_in_file_only clean;")
    site.nginx_http = "client_max_body_size 64m;"


def send(server, form, path, body):
    """Sends `body` in one of the FORMS and returns the response."""
    if form == "h2":
        return server.http2().request("POST", path, [("content-length", str(len(body)))], body)
    if form == "chunked":
        pieces = [body[i : i + 1000] for i in range(0, len(body), 1000)]
        return server.post(path, pieces)
    return server.post(path, body, version="HTTP/1.0" if form == "1.0" else "HTTP/1.1")


def pattern(size):
    return (bytes(range(256)) * (size // 256 + 1))[:size]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [0, 1, MEMORY, 16384, FILE])
def test_every_form_arrives_whole(server, form, size):
    body = pattern(size)
    response = send(server, form, "/app/digest", body)
    assert response.status == 200
    assert json.loads(response.body) == {"length": size, "sha256": hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [0, MEMORY, FILE])
def test_echo(server, form, size):
    body = pattern(size)
    assert send(server, form, "/app/echo", body).body == body
    assert send(server, form, "/app/echo_stream", body).body == body


@pytest.mark.parametrize("where", ["/memory", "/file"])
@pytest.mark.parametrize("size", [1, MEMORY, FILE])
@pytest.mark.servers("nginx", "nginx128")
def test_where_nginx_keeps_the_body_does_not_matter(server, where, size):
    body = pattern(size)
    assert server.post(f"{where}/echo", body).body == body
    assert server.post(f"{where}/lines?how=read", body).status == 200


def test_http2_body_without_a_length(server):
    client = server.http2()
    stream = client.send_head("POST", "/app/digest", end=False)
    client.send_body(stream, b"a" * 70000, end=False)
    client.send_body(stream, b"b" * 70000)
    assert json.loads(client.response(stream).body)["length"] == 140000


@pytest.mark.parametrize("size", [0, MEMORY, FILE])
def test_an_application_may_read_by_content_length(server, size):
    body = pattern(size)
    assert server.post("/app/echo_by_length", body).body == body


def test_no_body_at_all_is_an_empty_input(server):
    assert server.request("POST", "/app/echo", [("Content-Length", "0")]).body == b""
    assert server.get("/app/echo").body == b""
    assert server.http2().get("/app/echo").body == b""


READS = {
    "how=read": [TEXT.decode()],
    "how=read&size=-1": [TEXT.decode()],
    "how=read&size=1000": [TEXT.decode()],
    "how=read&size=10": ["one\ntwo\r\n\n", "four witho", "ut end"],
    "how=readline": ["one\n", "two\r\n", "\n", "four without end"],
    "how=readline&size=-1": ["one\n", "two\r\n", "\n", "four without end"],
    "how=readline&size=4": ["one\n", "two\r", "\n", "\n", "four", " wit", "hout", " end"],
    "how=readline&size=3": ["one", "\n", "two", "\r\n", "\n", "fou", "r w", "ith", "out", " en", "d"],
    "how=readlines": ["one\n", "two\r\n", "\n", "four without end"],
    "how=readlines&size=5": ["one\n", "two\r\n", "|", "\n", "four without end"],
    "how=iterate": ["one\n", "two\r\n", "\n", "four without end"],
    "how=next": ["one\n", "two\r\n", "\n", "four without end"],
}


@pytest.mark.parametrize("query", READS)
@pytest.mark.parametrize("form", FORMS)
def test_reading_methods(server, form, query):
    response = send(server, form, f"/app/lines?{query}", TEXT)
    assert response.status == 200, response
    found = json.loads(response.body)
    # A last separator says that the call after the last line gave nothing.
    assert [line for i, line in enumerate(found) if not (line == "|" and i == len(found) - 1)] == READS[query]


def test_mixed_reading_keeps_its_place(server):
    body = b"abcde\nfghij\nklm\nnop\nqrs"
    found = json.loads(server.post("/app/mixed", body).body)
    assert found == ["abc", "de\n", "", "fg", "", "hij\n", "klm\n", "nop\n", "qrs", "", "", ""]


def test_lines_longer_than_any_buffer(server):
    body = b"x" * 200_000 + b"\n" + b"y" * 100_000
    found = json.loads(server.post("/app/lines?how=iterate", body).body)
    assert [len(line) for line in found] == [200_001, 100_000]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", ["/app/ignore", "/app/part?size=10", "/app/has_no_close"])
def test_what_is_not_read_is_discarded(server, form, path):
    """Also when the next request follows on the same connection."""
    body = pattern(FILE)
    response = send(server, form, path, body)
    assert response.status == 200
    assert response.body in (b"ignored", body[:10], b"closed")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [10, MEMORY, FILE])
def test_an_unread_body_does_not_become_the_next_request(server, chunked, size):
    client = server.connect()
    smuggled = b"GET /app/status?line=299+Smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    body = (smuggled * (size // len(smuggled) + 1))[:size]
    client.request("POST", "/app/ignore", body=body, chunked=chunked)
    first = client.response()
    assert (first.status, first.body) == (200, b"ignored")
    if (first.header("Connection") or "").lower() == "close":
        assert client.at_end()
        return
    client.request("GET", "/app/hello")
    assert (client.response().body, client.buffer) == (b"hello", b"")


def test_reading_after_the_first_block_left(server):
    assert server.post("/app/read_late", b"late body").body == b"first,late body"


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_expect_100_continue(server, version):
    client = server.connect()
    fields = [("Host", "localhost"), ("Expect", "100-continue"), ("Content-Length", "5"), ("Connection", "close")]
    client.send(wire.head_bytes("POST", "/app/echo", fields, version))
    if version == "HTTP/1.1":
        assert client.head().status == 100
    client.send(b"hello")
    response = client.response()
    assert (response.status, response.body) == (200, b"hello")


def test_an_application_that_ignores_the_body_still_answers_an_expecting_client(server):
    client = server.connect()
    fields = [("Host", "localhost"), ("Expect", "100-continue"), ("Content-Length", "5"), ("Connection", "close")]
    client.send(wire.head_bytes("POST", "/app/ignore", fields))
    head = client.head()
    if head.status == 100:
        client.send(b"hello")
        head = client.head()
    assert head.status == 200
    assert b"".join(client.blocks(head)) == b"ignored"


@pytest.mark.parametrize("form", ["length", "chunked", "h2"])
def test_a_body_above_the_limit_is_413(server, form):
    assert send(server, form, "/limited/digest", b"x" * LIMIT).status == 200
    server.log.allow(
        "client intended to send too large|AH01587|AH01588|AH01589|AH00588|larger than the configured limit|GW0507"
    )
    try:
        response = send(server, form, "/limited/digest", b"x" * (LIMIT + 1))
    except ConnectionError:
        pytest.fail("the connection closed without a 413")
    assert response.status == 413


def test_a_declared_length_above_the_limit_is_413_at_once(server):
    server.log.allow("client intended to send too large|AH0158|larger than the configured limit|GW0507")
    client = server.connect()
    client.send(wire.head_bytes("POST", "/limited/digest", [("Host", "x"), ("Content-Length", str(LIMIT * 100))]))
    assert client.response().status == 413


def test_a_body_that_ends_early_is_an_error_for_the_application_and_no_success(server, gate):
    server.log.allow("GW0507|prematurely closed|AH0|ended early|client")
    client = server.connect()
    client.send(
        wire.head_bytes("POST", f"/app/read_failing?{gate.query}", [("Host", "x"), ("Content-Length", "100000")])
    )
    client.send(b"x" * 500)
    client.half_close()
    # nginx reads the whole body first and never starts the application; one in a process of its own may not have begun.
    if server.kind == "apache" and not server.site.elsewhere:
        visitor = gate.visitor()
        visitor.at("reading").at("failed True")
        server.log.expect("GW")
    assert client.refused(400, 500)


def test_slow_bodies_arrive_byte_by_byte(server):
    client = server.connect()
    client.send(wire.head_bytes("POST", "/app/echo", [("Host", "x"), ("Content-Length", "20")]))
    for value in b"x" * 20:
        client.send(bytes([value]))
    assert client.response().body == b"x" * 20


def test_chunks_of_any_size_and_extensions(server):
    client = server.connect()
    client.send(wire.head_bytes("POST", "/app/echo", [("Host", "x"), ("Transfer-Encoding", "chunked")]))
    client.send(b"1\r\na\r\n" + b"00002;ext=1\r\nbc\r\n" + b'3;x="y;z"\r\ndef\r\n')
    client.send(wire.chunk(b"g" * 70000) + b"0\r\n\r\n")
    assert client.response().body == b"abcdef" + b"g" * 70000


def test_pipelined_requests_with_bodies(server):
    client = server.connect()
    one = wire.head_bytes("POST", "/app/echo", [("Host", "x"), ("Content-Length", "3")]) + b"one"
    two = (
        wire.head_bytes("POST", "/app/echo", [("Host", "x"), ("Transfer-Encoding", "chunked")])
        + b"3\r\ntwo\r\n0\r\n\r\n"
    )
    client.send(one + two + wire.head_bytes("GET", "/app/hello", [("Host", "x")]))
    assert [client.response().body for _ in range(3)] == [b"one", b"two", b"hello"]


def test_large_bodies_use_constant_memory(server):
    from harness import processes

    server.post("/app/count", b"x" * 1_000_000)
    before = processes.resident(server.worker())
    pieces = (b"y" * 65536 for _ in range(1024))  # 64 MiB; test_large.py sends 1 GiB
    response = (
        server.post("/app/count", pieces) if server.kind == "apache" else server.post("/app/count", b"y" * (63 << 20))
    )
    assert json.loads(response.body)["length"] in (64 << 20, 63 << 20)
    wait_until(lambda: processes.resident(server.worker()) - before < 16 << 20, "the worker's memory is flat")
