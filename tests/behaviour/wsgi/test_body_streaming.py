# SPDX-License-Identifier: MIT OR Apache-2.0
"""An application that runs while its request body comes in: `gangway_request_buffering off`."""

import gzip
import hashlib
import json

import pytest

from harness import processes, wire
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128")

SIZE = 3_000_000
BODY = (bytes(range(256)) * (SIZE // 256 + 1))[:SIZE]
STREAMED = "gangway_request_buffering off;"
WARM = ("/now/method",)
FORMS = ["length", "chunked", "h2", "h2-open", "tls"]


def configure(site, kind):
    site.http2 = True
    site.tls = True
    site.body_limit = 0
    site.wsgi("/now", "bodies:app", timeout="20s", nginx=STREAMED)
    site.wsgi("/later", "bodies:app", timeout="20s")
    site.wsgi("/hasty", "bodies:app", timeout="1s", nginx=STREAMED)
    site.wsgi("/small", "bodies:app", nginx=f"{STREAMED} client_max_body_size 20000;")
    site.wsgi("/impatient", "bodies:app", timeout="20s", nginx=f"{STREAMED} client_body_timeout 1s;")
    site.wsgi("/patient", "bodies:app", timeout="1s", nginx=f"{STREAMED} client_body_timeout 60s;")
    site.wsgi("/guarded", "bodies:app", nginx=f"{STREAMED} auth_request /asked/method;")
    site.wsgi("/mirrored", "bodies:app", nginx=f"{STREAMED} mirror /copy/steps;")
    site.wsgi("/copy", "bodies:app", nginx=f"internal; {STREAMED}")
    site.wsgi("/asked", "bodies:app", nginx=f"internal; {STREAMED}")
    site.wsgi("/ssi", "bodies:app", nginx=f"{STREAMED} ssi on; ssi_types *;")
    site.wsgi("/gzip", "bodies:app", nginx=f"{STREAMED} gzip on; gzip_types *; gzip_min_length 0;")
    site.wsgi("/one", "bodies:app", threads=1, queue=5, timeout="20s", nginx=STREAMED)


def begin(server, path, length=10, *, headers=(), client=None):
    client = client or server.connect()
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    client.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{lines}\r\n")
    return client


def post(server, path, form, body=BODY):
    if form in ("h2", "h2-open"):
        fields = [("content-length", str(len(body)))] if form == "h2" else []
        with server.http2() as client:
            return client.request("POST", path, fields, body)
    with server.connect(*["tls"] * (form == "tls"), tls=form == "tls") as client:
        pieces = [body[at : at + 10_000] for at in range(0, len(body), 10_000)]
        client.request("POST", path, body=pieces if form == "chunked" else body)
        return client.response()


def until(blocks, wanted):
    seen = b""
    while wanted not in seen:
        seen += next(blocks)
    return seen


@pytest.mark.parametrize("chunked", [False, True])
def test_an_answer_in_the_middle_of_the_body(server, chunked):
    with server.connect() as client:
        if chunked:
            client.send("POST /now/halves HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        else:
            begin(server, "/now/halves", client=client)
            client.send(b"hello")
        response = client.head()
        blocks = client.blocks(response)
        assert until(blocks, b"hello") == b"first hello"
        client.send(b"5\r\nworld\r\n0\r\n\r\n" if chunked else b"world")
        assert b"".join(blocks) == b" then 5"
        # The connection goes on.
        client.request("GET", "/now/method")
        assert client.response().body == b"GET"


def test_an_answer_in_the_middle_of_the_body_over_http2(server):
    with server.http2() as client:
        stream = client.send_head("POST", "/now/halves", end=False)
        client.send_body(stream, b"hello", end=False)
        client.until(lambda: client.streams[stream].body == b"first hello")
        client.send_body(stream, b"world")
        assert client.response(stream).body == b"first hello then 5"


@pytest.mark.parametrize("form", FORMS)
def test_a_large_body_is_whole(server, form):
    response = post(server, "/now/digest", form)
    assert response.status == 200
    found = json.loads(response.body)
    assert (found["length"], found["sha256"]) == (SIZE, hashlib.sha256(BODY).hexdigest())


@pytest.mark.parametrize("size", [0, 1, 5, 1000, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 200_001])
@pytest.mark.parametrize("form", FORMS)
def test_sizes(server, form, size):
    found = json.loads(post(server, "/now/digest", form, BODY[:size]).body)
    assert (found["length"], found["sha256"]) == (size, hashlib.sha256(BODY[:size]).hexdigest())


def test_lines(server):
    with begin(server, "/now/lines", 18) as client:
        client.send(b"one\ntw")
        blocks = client.blocks(client.head())
        assert until(blocks, b">") == b"<one>"
        client.send(b"o\n")
        assert until(blocks, b">") == b"<two>"
        client.send(b"three\nfour")
        assert b"".join(blocks) == b"<three><four>"


def test_byte_by_byte(server):
    with begin(server, "/now/digest", 100) as client:
        for at in range(100):
            client.send(BODY[at : at + 1])
        assert json.loads(client.response().body)["sha256"] == hashlib.sha256(BODY[:100]).hexdigest()


def test_the_client_waits_for_the_application(server, gate):
    """What nobody reads stays in the kernel, and in the client: memory is constant."""
    before = processes.resident(server.worker())
    client = begin(server, f"/now/steps?size=65536&{gate.query}", 1 << 30)
    visitor = gate.visitor().at("begun")
    client.socket.setblocking(False)
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += client.socket.send(BODY)
    assert sent < 64 << 20
    for _ in range(20):
        visitor.go()
        assert visitor.next().startswith("read ")
    assert processes.resident(server.worker()) < before + (8 << 20)
    client.close()
    visitor.go()
    while (event := visitor.next()).startswith("read "):
        visitor.go()
    assert event not in ("", "end")


def test_many_bytes_take_no_memory(server):
    def piece():
        for _ in range(1000):
            yield BODY[:100_000]

    with server.connect() as client:
        client.request("POST", "/now/digest", body=[BODY[:100_000]] * 20)
        assert client.response().status == 200
    before = processes.resident(server.worker())
    with server.connect() as client:
        client.request("POST", "/now/digest", body=piece())
        assert json.loads(client.response().body)["length"] == 100_000_000
    assert processes.resident(server.worker()) < before + (4 << 20)


def half_read(server, gate, path):
    """A client that has sent half of its body, and the application that has read it."""
    client = begin(server, f"{path}/steps?{gate.query}", 10)
    visitor = gate.visitor().at("begun").go()
    client.send(b"hello")
    return client, visitor.at("read 5")


@pytest.mark.parametrize("waits", [True, False], ids=["for-more", "for-nothing"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_in_mid_body(server, gate, how, waits):
    """... while the application waits for the rest of it, or before it does."""
    server.log.allow("GW0306|GW0507|reset by peer|prematurely closed")
    client, visitor = half_read(server, gate, "/now")
    if waits:
        visitor.go()
    getattr(client, how)()
    if not waits:
        visitor.go()
    assert visitor.next() not in ("", "end"), "the body has no clean end"


@pytest.mark.parametrize("how", ["close", "reset", "h2"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_application_that_works_learns_that_its_client_has_left(server, gate, how, chunked):
    server.log.allow("reset by peer|prematurely closed")
    if how == "h2":
        client = server.http2()
        fields = [] if chunked else [("content-length", "10")]
        stream = client.send_head("POST", f"/now/watches?{gate.query}", fields, end=False)
        client.send_body(stream, b"hello", end=False)
    else:
        client = server.connect()
        framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 10"
        client.send(f"POST /now/watches?{gate.query} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n")
        client.send(wire.chunk(b"hello") if chunked else b"hello")
    visitor = gate.visitor().at("works")
    if how == "h2":
        client.cancel(stream)
    else:
        getattr(client, how)()
    visitor.at("alone")


def test_an_http2_client_that_cancels_in_mid_body(server, gate):
    server.log.allow("GW0306|GW0507|prematurely closed")
    with server.http2() as client:
        stream = client.send_head("POST", f"/now/steps?{gate.query}", end=False)
        client.send_body(stream, b"hello", end=False)
        visitor = gate.visitor().at("begun").go()
        visitor.at("read 5").go()
        client.cancel(stream)
        assert visitor.next() not in ("", "end")
        assert client.get("/now/method").body == b"GET"


def test_a_client_that_sends_too_slowly(server, gate):
    """client_body_timeout counts while the application waits for bytes."""
    server.log.allow("GW0306|GW0507|timed out")
    client, visitor = half_read(server, gate, "/impatient")
    with client:
        visitor.go()
        assert client.refused(408)
    assert visitor.next() not in ("", "end")


ITS_OWN = pytest.mark.in_process("nginx does not know whether an application in another process asks for more of a body at the moment")


@pytest.mark.parametrize(
    ("path", "waits"),
    [pytest.param("/impatient", False, marks=ITS_OWN), ("/patient", True)],
    ids=["the-clients", "the-applications"],
)
def test_a_time_limit_does_not_count_what_the_other_side_takes(server, gate, path, waits):
    """client_body_timeout not while the application is busy, and timeout= not while it waits for the client."""
    client, visitor = half_read(server, gate, path)
    with client:
        if waits:
            visitor.go()
        with pytest.raises(TimeoutError):
            client.socket.settimeout(2)
            client.socket.recv(1)
        client.socket.settimeout(20)
        client.send(b"world")
        if not waits:
            visitor.go()
        visitor.at("read 5").go()
        visitor.at("end")
        assert client.response().body == b"done"


def test_the_deadline_counts_while_the_application_works(server, gate):
    server.log.allow("GW03")
    client, visitor = half_read(server, gate, "/hasty")
    with client:
        assert client.response().status == 504
    visitor.close()
    server.log.expect("GW0402")


def test_a_body_that_is_too_large(server):
    with server.connect() as client:
        client.request("POST", "/small/digest", body=BODY[:30_000])
        assert client.response().status == 413
    server.log.expect("client intended to send too large")


def test_a_chunked_body_that_is_too_large(server, gate):
    server.log.allow("GW0306|GW0507")
    with server.connect() as client:
        client.send(f"POST /small/steps?{gate.query} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(wire.chunk(b"hello"))
        visitor = gate.visitor().at("begun").go()
        visitor.at("read 5").go()
        client.send(b"ffffff\r\nx")
        assert client.response().status == 413
    assert visitor.next() not in ("", "end")
    server.log.expect("client intended to send too large")


def test_bad_chunks(server, gate):
    server.log.allow("GW0306|GW0507|invalid chunked body")
    with server.connect() as client:
        client.send(f"POST /now/steps?{gate.query} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(wire.chunk(b"hello"))
        visitor = gate.visitor().at("begun").go()
        visitor.at("read 5").go()
        client.send(b"nonsense\r\n")
        assert client.refused(400)
    assert visitor.next() not in ("", "end")


def test_continue(server):
    with begin(server, "/now/digest", 10, headers=[("Expect", "100-continue")]) as client:
        assert client.head().status == 100
        client.send(b"helloworld")
        assert json.loads(client.response().body)["length"] == 10


def test_a_body_that_nobody_reads(server):
    """The response is whole, whatever the client still sends."""
    for path in ("/now/unread", "/now/unread?large"):
        with begin(server, path, SIZE) as client:
            client.send(BODY[:1000])
            response = client.response()
            assert (response.status, response.body) == (200, b"unread")
            try:
                client.send(BODY[1000:])
            except ConnectionError:
                pass
            assert client.at_end()


def test_pipelined_requests(server):
    with begin(server, "/now/halves", 10) as client:
        client.send(b"hello")
        blocks = client.blocks(client.head())
        assert until(blocks, b"hello") == b"first hello"
        client.send(b"worldGET /now/method HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"".join(blocks) == b" then 5"
        assert client.response().body == b"GET"


def test_other_requests_go_on(server, gate):
    """An application that waits for its client takes a thread, and no more."""
    waiting = begin(server, f"/now/steps?{gate.query}", 10)
    visitor = gate.visitor().at("begun").go()
    for _ in range(3):
        assert server.get("/now/method").body == b"GET"
    waiting.send(b"helloworld")
    visitor.at("read 5").go()
    visitor.at("read 5").go()
    assert waiting.response().body == b"done"


def test_a_request_in_the_queue_is_not_timed_out_by_its_body(server, gate):
    first = begin(server, f"/one/steps?{gate.query}", 10)
    visitor = gate.visitor().at("begun")
    second = begin(server, "/one/digest", 10)
    second.send(b"hello")
    visitor.go()
    first.send(b"helloworld")
    visitor.at("read 5").go()
    visitor.at("read 5").go()
    second.send(b"world")
    assert first.response().body == b"done"
    assert json.loads(second.response().body)["length"] == 10


def test_an_application_that_fails_in_mid_body(server):
    with begin(server, "/now/fails", 10) as client:
        client.send(b"hello")
        assert client.response().status == 500
    server.log.expect("GW0306")


@pytest.mark.parametrize("form", ["length", "h2"])
def test_behind_auth_request(server, form):
    assert json.loads(post(server, "/guarded/digest", form).body)["length"] == SIZE


def test_a_mirror_gets_all_of_it(server, gate):
    with server.connect() as client:
        client.request("POST", f"/mirrored/digest?size=50000&{gate.query}", body=BODY[:200_000])
        assert json.loads(client.response().body)["length"] == 200_000
    visitor = gate.visitor().at("begun").go()
    total = 0
    while (event := visitor.next()) != "end":
        total += int(event.removeprefix("read "))
        visitor.go()
    assert total == 200_000


def test_with_ssi_and_gzip(server):
    assert json.loads(post(server, "/ssi/digest", "length").body)["length"] == SIZE
    with server.connect() as client:
        client.request("POST", "/gzip/echo", [("Accept-Encoding", "gzip")], body=BODY[:200_000])
        assert gzip.decompress(client.response().body) == BODY[:200_000]


def test_buffering_is_the_default(server, gate):
    """The application does not begin before the body is there."""
    with begin(server, f"/later/steps?{gate.query}", 10) as client:
        client.send(b"hello")
        assert server.get("/now/method").body == b"GET"
        gate._listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            gate.visitor()
        client.send(b"world")
        gate._listener.settimeout(20)
        visitor = gate.visitor().at("begun").go()
        visitor.at("read 5").go()
        visitor.at("read 5").go()
        assert client.response().body == b"done"


def test_a_graceful_end_lets_it_finish(launch):
    def site(site):
        site.wsgi("/now", "bodies:app", nginx=STREAMED)

    server = launch(site, warm=("/now/method",))
    with begin(server, "/now/halves", 10) as client:
        client.send(b"hello")
        blocks = client.blocks(client.head())
        until(blocks, b"hello")
        server.send_signal("quit")
        client.send(b"world")
        assert b"".join(blocks) == b" then 5"
    wait_until(lambda: not server.running(), "the server ends")
