# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a backend's response becomes: RFC 3875 section 6, and nginx's and httpd's own treatment of it."""

import threading

import pytest

from harness import gateway, upstreams, wire
from harness.gateway import STDOUT, record
from harness.upstreams import answered, ask, follows, head, hello


def configure(site, kind):
    site.http2 = True
    site.apache_main = "H2EarlyHints on"  # off by default, for the sake of browsers
    upstreams.recorders(site, nginx="gangway_buffers 8 8k; gangway_buffer_size 8k; gangway_busy_buffers_size 16k;")


STATUSES = [
    (b"Status: 200 OK\r\n", 200),
    (b"Status: 200\r\n", 200),
    (b"status: 404 Not Here\r\n", 404),
    (b"Status:  503   Busy\r\n", 503),
    (b"Status: 299 Odd\r\n", 299),
    (b"Status: 418 I'm a teapot\r\n", 418),
    (b"Content-Type: text/plain\r\nStatus: 403 Forbidden\r\nX-After: 1\r\n", 403),
]


@pytest.mark.better("uwsgi knows status lines alone", when={"protocol": ["uwsgi"]})
@pytest.mark.parametrize(("fields", "status"), STATUSES)
def test_status_as_a_field(server, backend, fields, status):
    response = answered(server, backend, fields + b"X-Kept: yes\r\n\r\nbody")
    assert (response.status, response.body, response.header("X-Kept")) == (status, b"body", "yes")
    assert response.header("Status") is None


@pytest.mark.better("nginx's own modules forward what they do not read; uwsgi knows status lines alone", strict=False)
@pytest.mark.parametrize("value", [b"404: Not Found", b"404:Not Found", b"404.1", b"404Gone", b"404;x=1"])
def test_what_is_no_reason_phrase_leaves_the_status(server, backend, value):
    response = answered(server, backend, b"Status: " + value + b"\r\nX-Kept: yes\r\n\r\nbody")
    assert (response.status, response.body, response.header("X-Kept")) == (404, b"body", "yes")
    assert response.reason == "Not Found", "the phrase is the server's own"


@pytest.mark.better("nginx's FastCGI takes no status line", on=("nginx",), when={"protocol": ["fastcgi"]}, strict=False)
@pytest.mark.better("httpd's FastCGI and SCGI take no status line", on=("apache",), strict=False)
@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
@pytest.mark.parametrize("protocol", ["scgi", "uwsgi", "fastcgi"])
def test_status_as_a_line(server, backend, version):
    response = answered(server, backend, version + b" 404 Gone For Good\r\nX-Kept: yes\r\n\r\nbody")
    assert (response.status, response.body, response.header("X-Kept")) == (404, b"body", "yes")


@pytest.mark.better("httpd's uwsgi knows status lines alone", on=("apache",), when={"protocol": ["uwsgi"]})
def test_no_status_is_200(server, backend):
    assert answered(server, backend, b"Content-Type: text/plain\r\n\r\nbody").status == 200


@pytest.mark.better("httpd makes it 200 without Status, and refuses uwsgi without a status line", on=("apache",))
@pytest.mark.parametrize("target", [b"http://other.example/x?y=1", b"https://other.example/"])
def test_a_location_without_status_is_a_redirect(server, backend, target):
    response = answered(server, backend, b"Location: " + target + b"\r\n\r\n")
    assert (response.status, response.header("Location")) == (302, target.decode())


@pytest.mark.parametrize("status", [b"201 Created", b"301 Moved", b"303 See Other", b"307 Temp", b"308 Perm"])
def test_a_location_with_status(server, backend, status):
    data = head(backend.protocol, status, b"Location: http://other.example/x\r\n") + b"body"
    response = answered(server, backend, data)
    assert (response.status, response.header("Location")) == (int(status[:3]), "http://other.example/x")
    assert response.body == b"body"


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_both_line_ends(server, backend, ends):
    data = head(backend.protocol, fields=b"X-One: 1\r\nX-Two: 2\r\n").replace(b"\r\n", ends) + b"\r\nbody\n"
    response = answered(server, backend, data)
    assert [response.header(name) for name in ("X-One", "X-Two")] == ["1", "2"]
    assert response.body == b"\r\nbody\n"


def test_fields_keep_their_order_spelling_and_number(server, backend):
    fields = [("Set-Cookie", "a=1"), ("X-lower-UPPER", "v"), ("Set-Cookie", "b=2; Path=/"), ("X-Empty", "")]
    fields += [("Set-Cookie", "c=3"), ("Cache-Control", "no-store"), ("Vary", "Cookie"), ("ETag", '"x"')]
    text = b"".join(f"{name}: {value}\r\n".encode() for name, value in fields)
    response = answered(server, backend, head(backend.protocol, fields=b"Content-Type: a/b\r\n" + text))
    got = [pair for pair in response.headers if pair[0] not in ("Server", "Date", "Content-Type", "Connection")]
    got = [pair for pair in got if pair[0] not in ("Transfer-Encoding", "Content-Length", "Upgrade")]
    assert sorted(got) == sorted(fields)
    assert [value for name, value in got if name == "Set-Cookie"] == ["a=1", "b=2; Path=/", "c=3"]
    assert response.header("Content-Type") == "a/b"


def test_values_keep_their_bytes(server, backend):
    value = bytes(byte for byte in range(0x21, 0x100) if byte != 0x7F)
    response = answered(server, backend, head(backend.protocol, fields=b"X-Bytes: " + value + b"\r\n"))
    assert response.header("X-Bytes").encode("latin-1") == value


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_a_status_without_a_body_has_none(server, backend, status):
    server.log.allow("more data than specified|GW070")
    client, peer, _ = ask(server, backend)
    peer.answer(head(backend.protocol, status, b"X-Kept: yes\r\n") + b"this is no body")
    response = client.response()
    assert (response.status, response.header("X-Kept")) == (int(status[:3]), "yes")
    follows(backend, client)


def test_head_has_no_body(server, backend):
    client, peer, request = ask(server, backend, method="HEAD")
    assert request["REQUEST_METHOD"] == "HEAD"
    peer.answer(head(backend.protocol, fields=b"Content-Length: 5\r\nX-Kept: yes\r\n") + b"12345")
    response = client.response("HEAD")
    assert (response.status, response.header("X-Kept"), response.body) == (200, "yes", b"")
    follows(backend, client)


def test_content_length_passes(server, backend):
    client, peer, _ = ask(server, backend)
    peer.answer(head(backend.protocol, fields=b"Content-Length: 5\r\n") + b"12345")
    response = client.response()
    # httpd takes the header of such a backend out since CVE-2024-24795 and counts by itself.
    assert response.header("Content-Length") in (("5",) if server.kind.startswith("nginx") else ("5", None))
    assert response.body == b"12345"
    follows(backend, client, may_close=False)


@pytest.mark.better("httpd's uwsgi sends what is too much", on=("apache",), when={"protocol": ["uwsgi"]}, strict=False)
@pytest.mark.parametrize("body", [b"123", b"1234567", b"12345\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""])
def test_a_wrong_content_length_shifts_nothing(server, backend, body):
    server.log.allow("upstream|GW070|AH|Content-Length")
    client, peer, _ = ask(server, backend)
    peer.answer(head(backend.protocol, fields=b"Content-Length: 5\r\n") + body)
    try:
        response = client.response()
    except wire.Truncated as cut:
        assert cut.response.body == body[:5]
        assert client.at_end()
        return
    except wire.Closed:
        return
    if response.status == 502:
        return
    # The promised bytes, or, where the server took the length out and frames by itself, all of them.
    assert response.body == body or len(body) > 5 and response.body == body[:5]
    follows(backend, client)


FRAMING = [b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Connection: close", b"Keep-Alive: timeout=9"]
FRAMING += [b"Trailer: X", b"Upgrade: h2c", b"TE: trailers", b"Connection: upgrade"]


@pytest.mark.better("the stock modules pass some of these on", strict=False)
@pytest.mark.parametrize("field", FRAMING)
@pytest.mark.parametrize("over", ["h1", "h2"])
def test_a_backend_does_not_frame_the_response(server, backend, field, over):
    """RFC 3875 section 6.3.4: fields of the connection are the server's own."""
    body = b"0\r\n\r\nHTTP/1.1 200 OK\r\n"
    data = head(backend.protocol, fields=field + b"\r\nX-Kept: yes\r\n") + body
    name, _, value = field.decode().partition(": ")
    if over == "h1":
        client, peer, _ = ask(server, backend)
        peer.answer(data)
        response = client.response()
        follows(backend, client)
    else:
        client = server.http2()
        stream = client.send_head("GET", f"/{backend.protocol}/x")
        peer = backend.next(client)
        peer.request()
        peer.answer(data)
        response = client.response(stream)
    if field == b"Transfer-Encoding: gzip" and response.status == 502:
        # nginx since 1.23 refuses a coding that it does not know.
        server.log.expect("unknown \"Transfer-Encoding\"")
        return
    assert (response.status, response.header("X-Kept"), response.body) == (200, "yes", body)
    own = response.headers if over == "h2" or name != "Transfer-Encoding" else []
    assert value not in [found for key, found in own if key.lower() == name.lower()]
    assert response.all("Transfer-Encoding") in ([], ["chunked"])


SIZES = [0, 1, 4095, 4096, 65535, 65536, 65537, 1_000_000]


@pytest.mark.parametrize("size", SIZES)
def test_bodies_of_any_size(server, backend, size):
    body = (bytes(range(256)) * (size // 256 + 1))[:size]
    client, peer, _ = ask(server, backend)
    sender = threading.Thread(target=peer.answer, args=(head(backend.protocol) + body,))
    sender.start()
    response = client.response()
    sender.join()
    assert response.body == body
    follows(backend, client)


@pytest.mark.better("all of it counts as head", on=("nginx",), when={"step": [1], "padding": [255]})
@pytest.mark.parametrize("padding", [0, 1, 7, 8, 127, 255])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 100, 8192])
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_records_of_any_size_and_padding(server, backend, step, padding):
    """Head and body arrive in records of `step` bytes each."""
    body = b"".join(b"line %d\n" % n for n in range(100 if step < 100 else 5000))
    client, peer, _ = ask(server, backend)
    data = gateway.stdout(head("fastcgi") + body, step=step, padding=padding)
    peer.send(data + record(STDOUT, padding=padding))
    peer.send(gateway.end_request())
    if not peer.keep:
        peer.close()
    assert client.response().body == body


@pytest.mark.better("httpd closes inside END_REQUEST", on=("apache",), when={"protocol": ["fastcgi"]}, strict=False)
def test_a_response_byte_by_byte(server, backend):
    client, peer, _ = ask(server, backend)
    peer.send_each(peer.codec.answer(head(backend.protocol, fields=b"X-One: 1\r\nX-Two: 2\r\n") + b"the body"))
    if not peer.keep:
        peer.close()
    response = client.response()
    assert (response.header("X-One"), response.header("X-Two"), response.body) == ("1", "2", b"the body")


@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_every_split_of_a_response(server, backend):
    """Two segments that meet at each byte, with stderr and padding between."""
    data = head("fastcgi", fields=b"X-One: 1\r\n")
    whole = gateway.stderr(b"", padding=0) + gateway.stdout(data[:9], padding=3) + gateway.stdout(data[9:] + b"body")
    whole += record(STDOUT, padding=1) + gateway.end_request()
    client = server.connect()
    for at in range(1, len(whole)):
        client.request("GET", f"/fastcgi/{at}")
        peer = backend.next(client)
        peer.request()
        peer.send(whole[:at])
        peer.send(whole[at:])
        if not peer.keep:
            peer.close()
        response = client.response()
        assert (response.header("X-One"), response.body) == ("1", b"body"), f"split at {at}"


@pytest.mark.better("a head fits one buffer", on=("nginx",), when={"size": [8_200, 16_000, 32_000, 60_000]})
@pytest.mark.parametrize("size", [4_000, 8_200, 16_000, 32_000, 60_000])
def test_large_heads(server, backend, size):
    """gangway_head_max_size is 64k, whatever the buffers are."""
    value = bytes(97 + n % 26 for n in range(3000))
    fields = b"".join(b"X-Large-%d: %s\r\n" % (n, value) for n in range(size // 3000))
    fields += b"X-Rest: " + value[: size % 3000] + b"\r\n"
    response = answered(server, backend, head(backend.protocol, fields=fields) + b"body")
    assert (response.status, response.body) == (200, b"body")
    assert response.header("X-Rest") == value[: size % 3000].decode()
    for number in range(size // 3000):
        assert response.header(f"X-Large-{number}") == value.decode()


@pytest.mark.parametrize("over", ["h1", "h2"])
@pytest.mark.better("interim heads are new", strict=False)
def test_early_hints(server, backend, over):
    """RFC 8297: the client has them before the response is there."""
    hints = head(backend.protocol, b"103 Early Hints", b"Link: </a.css>; rel=preload\r\nX-Hint: 1\r\n")
    if over == "h1":
        client, peer, _ = ask(server, backend)
        peer.output(hints)
        interim = client.head()
        assert interim.status == 103
        assert interim.header("Link") == "</a.css>; rel=preload"
        peer.answer(hello(backend.protocol))
        response = client.response(interim=True)
    else:
        client = server.http2()
        stream = client.send_head("GET", f"/{backend.protocol}/x")
        peer = backend.next(client)
        peer.request()
        peer.output(hints)
        client.until(lambda: client.streams[stream].interim)
        assert client.streams[stream].interim[0] == (103, [("link", "</a.css>; rel=preload"), ("x-hint", "1")])
        peer.answer(hello(backend.protocol))
        response = client.response(stream)
    assert (response.status, response.body, response.header("Link")) == (200, b"hello", None)


@pytest.mark.better("interim heads are new", strict=False)
def test_several_interim_heads(server, backend):
    """Also `100 Continue`, which the backend must not send but some do."""
    client, peer, _ = ask(server, backend)
    parts = [head(backend.protocol, status, b"") for status in (b"100 Continue", b"102 Processing", b"103 Early Hints")]
    peer.answer(b"".join(parts) + hello(backend.protocol))
    response = client.response()
    assert (response.status, response.body) == (200, b"hello")
    follows(backend, client)


@pytest.mark.better("interim heads are new", strict=False)
def test_http10_clients_get_no_interim_head(server, backend):
    client, peer, _ = ask(server, backend, version="HTTP/1.0")
    peer.answer(head(backend.protocol, b"103 Early Hints", b"Link: </a>\r\n") + hello(backend.protocol))
    response = client.response(interim=True)
    assert (response.status, response.body) == (200, b"hello")


def test_http2_clients(server, backend):
    client = server.http2()
    streams = [client.send_head("GET", f"/{backend.protocol}/{n}") for n in range(5)]
    peers = {}
    for _ in streams:
        peer = backend.next(client)
        peers[peer.request()["REQUEST_URI"]] = peer
    for number in reversed(range(5)):
        data = head(backend.protocol, fields=b"Set-Cookie: n=%d\r\n" % number) + b"answer %d" % number
        peers[f"/{backend.protocol}/{number}"].answer(data)
    for number, stream in enumerate(streams):
        response = client.response(stream)
        assert (response.status, response.body) == (200, b"answer %d" % number)
        assert response.header("set-cookie") == f"n={number}"
