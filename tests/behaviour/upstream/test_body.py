# SPDX-License-Identifier: MIT OR Apache-2.0
"""Request bodies on their way to a backend: whole, framed by the protocol alone, and never mistaken for something else."""

import threading

import pytest

from harness import gateway, upstreams, wire
from harness.gateway import BEGIN_REQUEST, DATA, END_REQUEST, PARAMS, STDIN, pair_length, record
from harness.upstreams import ask, follows, head, hello, received, sent

EXPLAINED = r"upstream|GW07\d\d|GW05\d\d|client|proxy|AH\d+"


def configure(site, kind):
    site.http2 = True
    site.body_limit = 4 << 20
    upstreams.recorders(site)
    for protocol in gateway.PROTOCOLS:
        address = site.backends[protocol]
        # httpd has no such switch: it streams whenever the protocol lets it.
        site.passes(f"/streamed/{protocol}/", address, nginx="gangway_request_buffering off;")
        site.passes(f"/small/{protocol}/", address, nginx="client_max_body_size 100;")


def pattern(length):
    return bytes(n * 31 % 251 for n in range(min(length, 251))) * (length // 251 + 1)


def pair(name, value):
    return pair_length(len(name)) + pair_length(len(value)) + name + value


# What a backend would take for requests of their own if the body's framing slipped by a byte.
FAKE = (
    record(BEGIN_REQUEST, b"\0\1\1\0\0\0\0\0")
    + record(PARAMS, pair(b"SCRIPT_FILENAME", b"/etc/passwd") + pair(b"PHP_VALUE", b"auto_prepend_file=php://input"))
    + record(PARAMS)
    + record(STDIN)
    + record(DATA)
    + record(END_REQUEST, bytes(8))
)

SIZES = [0, 1, 7, 8, 16_384, 32_767, 32_768, 65_527, 65_528, 65_534, 65_535, 65_536, 65_537, 99_000, 131_070, 300_000]


@pytest.mark.better(
    "httpd's SCGI and uwsgi need Content-Length", on=("apache",), when={"protocol": ["scgi", "uwsgi"]}, strict=False
)
@pytest.mark.better(
    "nginx's SCGI announces what has come so far", on=("nginx",), when={"protocol": ["scgi"], "where": ["/streamed"]}, strict=False
)
@pytest.mark.parametrize("framing", ["length", "chunked", "h2"])
@pytest.mark.parametrize("where", ["", "/streamed"])
@pytest.mark.parametrize("size", SIZES)
def test_bodies_of_any_size(server, backend, size, framing, where):
    body = pattern(size)[:size]
    request = posted(server, backend, f"{where}/{backend.protocol}/x", body, framing)
    assert request.body == body
    if framing == "length" and size:
        assert request["CONTENT_LENGTH"] == str(size)
    elif "CONTENT_LENGTH" in request:
        assert request["CONTENT_LENGTH"] in (str(size), "")


def posted(server, backend, path, body, framing):
    """What the backend receives; it answers, and so does the server."""
    client = server.http2() if framing == "h2" else server.connect()
    stream = None
    if framing == "h2":
        stream = client.send_head("POST", path, end=False)
        send = lambda: client.send_body(stream, body)
    elif framing == "chunked":
        step = max(1, len(body) // 3)
        send = lambda: client.request("POST", path, body=[body[at : at + step] for at in range(0, len(body), step)])
    else:
        send = lambda: client.request("POST", path, body=body)
    peer, request = received(backend, client, send)
    peer.answer(hello(backend.protocol))
    response = client.response() if stream is None else client.response(stream)
    assert (response.status, response.body) == (200, b"hello")
    return request


@pytest.mark.better("httpd's SCGI and uwsgi need Content-Length", on=("apache",), when={"chunked": [True]}, strict=False)
@pytest.mark.parametrize("size", [len(FAKE), 65_535, 65_536, 99_000])
@pytest.mark.parametrize("shift", [0, 1, 7, 8])
@pytest.mark.parametrize("chunked", [False, True])
def test_records_inside_a_body_are_body(server, backend, size, shift, chunked):
    """The backend sees one request: lengths that wrap around 65,535 once let a client write records of its own."""
    body = (b"x" * shift + FAKE * (size // len(FAKE) + 1))[:size]
    framing = "chunked" if chunked else "length"
    request = posted(server, backend, f"/{backend.protocol}/x", body, framing)
    assert request.body == body
    assert "PHP_VALUE" not in request
    assert request.get("SCRIPT_FILENAME") != "/etc/passwd"
    if backend.protocol == "fastcgi":
        assert {found.type for found in request.records} == {BEGIN_REQUEST, PARAMS, STDIN}
    # Nothing more has come.
    assert sent(server, backend).body == b""


def test_a_client_that_expects_100_continue(server, backend):
    client = server.connect()
    fields = [("Host", "localhost"), ("Expect", "100-continue"), ("Content-Length", "5")]
    client.send(wire.head_bytes("POST", f"/{backend.protocol}/x", fields))
    assert client.head().status == 100
    client.send(b"12345")
    peer = backend.next(client)
    assert peer.request().body == b"12345"
    peer.answer(hello(backend.protocol))
    assert client.response().body == b"hello"
    follows(backend, client)


@pytest.mark.servers("nginx", "nginx128")  # httpd's limit is not for what it passes on (LimitRequestBody)
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_above_the_limit_is_413(server, backend, framing):
    client = server.connect()
    body = b"b" * 101
    client.request("POST", f"/small/{backend.protocol}/x", body=body, chunked=framing == "chunked")
    assert client.response().status == 413
    server.log.expect("too large")
    assert not backend.pending()


def whole(peer, request):
    """Whether the body arrives to its end."""
    try:
        return peer.codec.body(request) is not None
    except (ConnectionError, gateway.ProtocolError):
        return False


@pytest.mark.better("the stock modules end the input as if it were whole", strict=False)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
@pytest.mark.parametrize("where", ["", "/streamed"])
def test_a_body_that_stops_is_no_whole_body(server, backend, how, chunked, where):
    server.log.allow(EXPLAINED)
    client = server.connect()
    path = f"{where}/{backend.protocol}/x"
    if chunked:
        client.send(wire.head_bytes("POST", path, [("Host", "x"), ("Transfer-Encoding", "chunked")]))
        client.send(wire.chunk(b"12345"))
    else:
        client.send(wire.head_bytes("POST", path, [("Host", "x"), ("Content-Length", "10")]) + b"12345")
    # A server that streams has a connection by now; one that collects the body first makes none.
    collects = (server.kind.startswith("nginx") and not where) or (chunked and backend.protocol != "fastcgi")
    peer = None if collects else backend.next(client)
    if peer:
        request = peer.head()
    getattr(client, how)()
    if peer:
        assert not whole(peer, request)
        peer.close()
    # Whatever the server did with it, the next request is itself.
    assert sent(server, backend, "/next")["REQUEST_URI"].endswith("/next")


BAD_FRAMING = {
    "a length that is no number": [("Content-Length", "5x")],
    "a negative length": [("Content-Length", "-5")],
    "two lengths": [("Content-Length", "5"), ("Content-Length", "6")],
    "a list of lengths": [("Content-Length", "5, 6")],
    "chunked and something else": [("Transfer-Encoding", "chunked, identity")],
    "an unknown coding": [("Transfer-Encoding", "xchunked")],
    "a length of 30 digits": [("Content-Length", "9" * 30)],
    "a space before the colon": [("Content-Length ", "5")],
}


def framing_is_refused(server, backend, fields, *statuses):
    client = server.connect()
    client.send(wire.head_bytes("POST", f"/{backend.protocol}/x", [("Host", "x"), *fields]) + b"5\r\nhello\r\n0\r\n\r\n")
    server.log.allow("client|AH\\d+")
    assert client.refused(*statuses)
    assert not backend.pending()


@pytest.mark.parametrize("fields", BAD_FRAMING.values(), ids=BAD_FRAMING)
def test_request_framing_that_could_be_read_twice_reaches_no_backend(server, backend, fields):
    framing_is_refused(server, backend, fields, 400, 411, 413, 501)


CODED = {
    "gzip": [("Transfer-Encoding", "gzip, chunked")],
    "twice": [("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
    "identity": [("Transfer-Encoding", "identity, Chunked")],
}


@pytest.mark.better("mod_proxy_fcgi passes on what is still coded", strict=False)
@pytest.mark.parametrize("fields", CODED.values(), ids=CODED)
def test_a_coding_that_nobody_takes_away_reaches_no_backend(server, backend, fields):
    """RFC 9112 section 6.1: httpd looks at the last coding alone, and gives the bytes below it for the body."""
    framing_is_refused(server, backend, fields, 400, 501)


def test_transfer_encoding_beside_content_length(server, backend):
    """RFC 9112 section 6.3: one truth, the chunks', or a refusal; the length alone is never it."""
    client = server.connect()
    fields = [("Host", "x"), ("Content-Length", "4"), ("Transfer-Encoding", "chunked")]
    client.send(wire.head_bytes("POST", f"/{backend.protocol}/x", fields) + b"8\r\n12345678\r\n0\r\n\r\n")
    server.log.allow("client|AH\\d+|GW")
    try:
        peer = backend.next(client)
    except AssertionError:
        assert client.buffer == b""
        return
    request = peer.request()
    assert request.body == b"12345678"
    assert request.get("CONTENT_LENGTH") in ("8", None, "")
    peer.answer(hello(backend.protocol))


@pytest.mark.parametrize("large", [False, True])
def test_an_answer_before_the_body_is_read(server, backend, large):
    """A backend need not read what it does not want (RFC 3875 section 4.2)."""
    body = b"b" * (3_000_000 if large else 100)
    server.log.allow(EXPLAINED)
    client = server.connect()

    def send():
        try:
            client.request("POST", f"/{backend.protocol}/x", body=body)
        except ConnectionError:
            pass

    sender = threading.Thread(target=send)
    sender.start()
    peer = backend.next(client)
    peer.head()
    peer.send(backend_answer(backend, head(backend.protocol, b"403 Forbidden") + b"no"))
    # As RFC 9112 section 9.6 has it for servers: the answer first, and no reset that could overtake it.
    peer.half_close()
    drain = threading.Thread(target=peer.discard)
    drain.start()
    response = client.response()
    assert (response.status, response.body) == (403, b"no")
    client.close()
    sender.join(30)
    peer.shutdown()
    drain.join(30)


def backend_answer(backend, data):
    return gateway.CODECS[backend.protocol].answer(data)


def test_trailers_do_not_become_variables(server, backend):
    client = server.connect()
    fields = [("Host", "x"), ("Transfer-Encoding", "chunked"), ("Trailer", "X-Late")]
    client.send(wire.head_bytes("POST", f"/{backend.protocol}/x", fields) + b"5\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n")
    peer = backend.next(client)
    request = peer.request()
    assert request.body == b"hello"
    assert "HTTP_X_LATE" not in request
    peer.answer(hello(backend.protocol))
    assert client.response().status == 200


def test_a_body_of_any_method(server, backend):
    for method in ("GET", "DELETE", "PUT", "OPTIONS", "PROPFIND"):
        request = sent(server, backend, method=method, body=b"12345")
        assert (request["REQUEST_METHOD"], request["CONTENT_LENGTH"], request.body) == (method, "5", b"12345")


@pytest.mark.servers("apache")
def test_records_hold_what_is_there(server):
    """httpd's filters give a few thousand bytes at a time; a record of FastCGI holds what is there of more."""
    backend = server.site.backends["fastcgi"]
    backend.reset()
    with server.connect() as client:
        body = pattern(1_000_000)[:1_000_000]
        client.send(wire.head_bytes("POST", "/fastcgi/x", [("Host", "localhost"), ("Content-Length", str(len(body)))]))
        peer = backend.next(client)
        # While the backend does not read, httpd has to wait and the client gets ahead of it.
        sender = threading.Thread(target=client.send, args=(body,))
        sender.start()
        request = peer.request()
        sender.join(30)
        peer.answer(hello("fastcgi"))
        assert client.response().status == 200
    assert request.body == body
    sizes = [len(one.content) for one in request.records if one.type == STDIN and one.content]
    assert max(sizes) > 60_000
    assert len(sizes) < 1_000_000 / 16_000
    backend.reset()
