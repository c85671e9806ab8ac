# SPDX-License-Identifier: MIT OR Apache-2.0
"""Backends that break their protocol: 502 or a response that is visibly cut, nothing from elsewhere, and the next request
answers on a fresh connection."""

import re
import threading

import pytest

from harness import gateway, processes, upstreams, wire
from harness.gateway import (
    ABORT_REQUEST,
    BEGIN_REQUEST,
    CANT_MPX_CONN,
    END_REQUEST,
    GET_VALUES_RESULT,
    OVERLOADED,
    STDERR,
    STDOUT,
    UNKNOWN_ROLE,
    UNKNOWN_TYPE,
    record,
    stderr,
    stdout,
)
from harness.http2 import Reset
from harness.upstreams import ask, head, sent

# Whatever a server may log about a backend it does not understand.
EXPLAINED = (
    r"upstream|GW070\d|GW0504|AH010(6[78]|7[0-9]|8[0-9])|AH00868|AH025\d\d|AH1010\d|AH102\d\d|proxy_(fcgi|scgi|uwsgi)|"
    r"Premature end|bad header|malformed|AH0112\d|AH02429|AH01110"
)


def configure(site, kind):
    site.http2 = True
    # Stock modules wait for a backend that keeps its connection open.
    site.apache_main = "ProxyTimeout 2\nLogLevel info"
    upstreams.recorders(site, nginx="gangway_read_timeout 2s;")


OK = head("fastcgi", fields=b"X-Canary: good\r\n")
END = record(STDOUT) + gateway.end_request()


def outcome(server, backend, data, *, over="h1"):
    """What a client sees of a backend that sends `data` and closes: its status and body; `cut` if it is not whole."""
    if over == "h2":
        client = server.http2()
        stream = client.send_head("GET", f"/{backend.protocol}/x")
        peer = backend.next(client)
        peer.request()
    else:
        client, peer, _ = ask(server, backend)
    sender = threading.Thread(target=swallow, args=(peer, data))
    sender.start()
    try:
        response = client.response(stream) if over == "h2" else client.response()
        return response, False
    except (wire.Truncated, Reset) as cut:
        return cut.response, True
    except wire.Closed:
        return None, True
    finally:
        sender.join(30)
        client.close()


def swallow(peer, data):
    """Sends while the server listens, then closes."""
    try:
        for piece in [data] if isinstance(data, bytes) else data:
            peer.send(piece)
    except (ConnectionError, OSError):
        pass
    peer.close()


def refused(server, backend, data, *, over="h1"):
    response, cut = outcome(server, backend, data, over=over)
    assert not cut and response.status in (500, 502, 503), f"{response}, cut: {cut}"
    for name, value in response.headers:
        assert "canary" not in name.lower() and "evil" not in (name + value).lower()
    assert b"canary" not in response.body
    recovers(server, backend)


def recovers(server, backend):
    """The next request is answered, on a connection that the hostile one had no part in."""
    server.log.allow(EXPLAINED)
    kept = [peer for peer in backend.peers() if peer.socket.fileno() != -1]
    assert sent(server, backend, method="POST", body=b"again").body == b"again"
    assert all(peer.socket.fileno() == -1 for peer in kept), "a connection was used again after an unclean end"


# Nothing of these is a response head.
NO_HEAD = {
    "nothing": b"",
    "part of a record's header": stdout(OK)[:5],
    "a record's header alone": record(STDOUT, length=65535),
    "a head cut inside its record": stdout(OK)[:-10],
    "a head without its end": stdout(OK[:-2]) + END,
    "a head without its end or the response's": stdout(OK[:-2]),
    "an end alone": gateway.end_request(),
    "the end of the output alone": END,
    "a foreign id": stdout(OK + b"canary", id=2) + record(STDOUT, id=2) + gateway.end_request(id=2),
    "id 0": record(STDOUT, OK + b"canary", id=0) + END,
    "a foreign id above 255": stdout(OK + b"canary", id=0x0101) + END,
    "version 0": record(STDOUT, OK + b"canary", version=0) + END,
    "version 2": record(STDOUT, OK + b"canary", version=2) + END,
    "an unknown type": record(77, OK + b"canary") + END,
    "type 0": record(0, OK + b"canary") + END,
    "a request of its own": record(BEGIN_REQUEST, b"\0\1\0\0\0\0\0\0") + stdout(OK + b"canary") + END,
    "an abort": record(ABORT_REQUEST) + stdout(OK + b"canary") + END,
    "an overloaded backend": record(STDOUT) + gateway.end_request(0, OVERLOADED),
    "a backend that does not multiplex": gateway.end_request(0, CANT_MPX_CONN),
    "an unknown role": gateway.end_request(0, UNKNOWN_ROLE),
    "an end of 3 bytes": record(END_REQUEST, b"\0\0\0"),
    "HTTP": b"HTTP/1.1 200 OK\r\nX-Canary: 1\r\nContent-Length: 6\r\n\r\ncanary",
    "zeros": bytes(4096),
    "noise": bytes((n * 7919 + 13) % 251 for n in range(5000)),
    "stderr without output": stderr(b"canary went wrong\n") + END,
}
LENIENT = ["a head without its end", "an overloaded backend", "id 0", "an end of 3 bytes"]


@pytest.mark.better("the stock modules look at less", strict=False)
@pytest.mark.parametrize("data", NO_HEAD.values(), ids=NO_HEAD)
@pytest.mark.parametrize("over", ["h1", "h2"])
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_fastcgi_without_a_usable_head_is_502(server, backend, data, over):
    refused(server, backend, data, over=over)
    server.log.expect(EXPLAINED)


# A head, then something that is no end of a response.
CUT = {
    "nothing": b"",
    "part of a record's header": stdout(b"more")[:5],
    "a record that lies about its length": record(STDOUT, b"some", length=60000),
    "a record without its padding": record(STDOUT, b"some", padding=200)[:-100],
    "no end of the output": stdout(b"body"),
    "a part of END_REQUEST": stdout(b"body") + gateway.end_request()[:11],
    "a foreign id": stdout(b"canary", id=7) + END,
    "version 9": record(STDOUT, b"canary", version=9) + END,
    "an unknown type": record(200, b"canary") + END,
    "a request of its own": record(BEGIN_REQUEST, b"\0\1\0\0\0\0\0\0") + END,
    "garbage": b"\xff" * 100,
    "HTTP": b"HTTP/1.1 200 OK\r\nX-Canary: canary\r\n\r\ncanary",
    "a refusal": record(STDOUT) + gateway.end_request(0, OVERLOADED),
}


@pytest.mark.better("the stock modules look at less, and httpd ends such a response as if it were whole", strict=False)
@pytest.mark.parametrize("length", [b"", b"Content-Length: 60\r\n"], ids=["", "length"])
@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
@pytest.mark.parametrize("over", ["h1", "h2"])
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_fastcgi_broken_in_the_body_is_cut(server, backend, data, over, length):
    response, cut = outcome(server, backend, stdout(head("fastcgi", fields=length) + b"first") + data, over=over)
    # nginx may not have sent the head yet.
    assert cut or response.status == 502, f"taken for whole: {response}"
    if response is not None and response.status == 200:
        assert re.fullmatch(rb"first(some|body|more)?|", response.body)
    recovers(server, backend)
    server.log.expect(EXPLAINED)


@pytest.mark.better("the stock modules look at less", strict=False)
@pytest.mark.parametrize("data", [b"", gateway.end_request()[:5], gateway.end_request()[:11]], ids=range(3))
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_the_end_of_the_output_without_end_request(server, backend, data):
    """The empty STDOUT record says that the body is whole (FastCGI section 6.2), the missing END_REQUEST that something
    went wrong: either is right, and the connection is of no more use."""
    response, cut = outcome(server, backend, stdout(OK + b"body") + record(STDOUT) + data)
    if response is not None and response.status == 200:
        assert response.body == b"body" or cut and response.body == b""
    else:
        assert cut or response.status == 502
    recovers(server, backend)


@pytest.mark.better("the stock modules look at less", strict=False)
@pytest.mark.parametrize(
    "data", [stdout(b"canary"), b"\0" * 8, record(UNKNOWN_TYPE, bytes(8), id=0), b"x", OK, END], ids=range(6)
)
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_data_after_the_end_reaches_nobody(server, backend, data):
    client, peer, _ = ask(server, backend)
    # One segment: what follows is there when the end is read.
    swallow(peer, stdout(OK + b"first") + END + data)
    response = client.response()
    assert (response.status, response.body) == (200, b"first")
    recovers(server, backend)


@pytest.mark.better("the stock modules do not keep connections", absent=True)
@pytest.mark.parametrize("data", [stdout(b"canary"), b"\0" * 8, b"x", stdout(OK + b"canary") + END], ids=range(4))
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_data_on_an_idle_connection_answers_no_request(server, backend, data):
    client, peer, _ = ask(server, backend)
    assert peer.keep
    peer.answer(OK + b"first")
    assert client.response().body == b"first"
    peer.send(data)
    server.log.allow(EXPLAINED)
    # Whether or not it is seen before the next request, that one has its own answer.
    client.request("GET", "/fastcgi/second")
    fresh = backend.accept(client)
    assert fresh.request()["REQUEST_URI"] == "/fastcgi/second"
    fresh.answer(OK + b"second")
    assert client.response().body == b"second"


@pytest.mark.parametrize("types", [[STDERR], [STDERR, STDOUT]], ids=["stderr", "both"])
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_a_flood_of_stderr_stays_out_of_memory(server, backend, types):
    """Sixteen megabytes in the error stream: the response comes, memory stays, the log has lines of bounded length."""
    before = processes.resident(server.worker())
    flood = stderr(b"e" * 999 + b"\n") * 64
    body = [stdout(OK), *([flood + (stdout(b"b") if STDOUT in types else b"")] * 256), END]
    response, cut = outcome(server, backend, body)
    server.log.allow("eeee|GW07|too big|upstream|AH")
    if response.status == 200:
        assert not cut and response.body == b"b" * (256 if STDOUT in types else 0)
    assert processes.resident(server.worker()) - before < 8 << 20
    assert max(len(line.raw) for line in server.log.lines()) < 70_000


ENDLESS = {
    "a line": b"X-Long: " + b"v" * 4096,
    "fields": b"X-Field: value\r\n" * 256,
    "no colon": b"abcdefgh" * 512,
    "interim heads": b"Status: 103 Early Hints\r\nLink: </x>\r\n\r\n" * 100,
}


@pytest.mark.better("httpd has no such limits everywhere", on=("apache",), strict=False)
@pytest.mark.parametrize("piece", ENDLESS.values(), ids=ENDLESS)
def test_an_endless_head_is_refused(server, backend, piece):
    """The cap is 64k: a backend that sends one hundred megabytes is not read to its end."""
    before = processes.resident(server.worker())
    taken = []

    def pieces():
        yield peer_output(backend, head(backend.protocol)[:-2])
        for number in range(100 << 20 >> 12):
            taken.append(number)
            yield peer_output(backend, piece)

    response, cut = outcome(server, backend, pieces())
    assert not cut and response.status in (500, 502)
    assert len(taken) < 20 << 20 >> 12, f"{len(taken)} pieces of 4 KiB were taken"
    assert processes.resident(server.worker()) - before < 4 << 20
    recovers(server, backend)
    server.log.expect(EXPLAINED)


def peer_output(backend, data):
    return data if backend.protocol != "fastcgi" else stdout(data)


@pytest.mark.better("nginx's line names its own directive", on=("nginx", "apache"), strict=False)
def test_the_line_of_an_overflow_names_the_directive(server, backend):
    refused(server, backend, peer_output(backend, head(backend.protocol)[:-2] + b"X-Long: " + b"v" * 70_000))
    line = server.log.expect("GW0705").raw
    if server.kind.startswith("nginx"):
        assert "gangway_head_max_size" in line


RAW = {
    "nothing": b"",
    "half a line": b"Status: 200",
    "a head without its end": b"Status: 200 OK\r\nX-Canary: canary\r\n",
    "zeros": bytes(4096),
    "noise": bytes((n * 7919 + 13) % 251 for n in range(5000)),
    "a FastCGI record": stdout(OK + b"canary") + END,
    "no colon": b"Status: 200 OK\r\nX-Canary\r\n\r\ncanary",
    "no name": b"Status: 200 OK\r\n: canary\r\n\r\ncanary",
}


@pytest.mark.better("the stock modules look at less", strict=False)
@pytest.mark.parametrize("data", RAW.values(), ids=RAW)
@pytest.mark.parametrize("over", ["h1", "h2"])
@pytest.mark.parametrize("protocol", ["scgi", "uwsgi"])
def test_scgi_and_uwsgi_without_a_usable_head_are_502(server, backend, data, over):
    if backend.protocol == "uwsgi":
        data = data.replace(b"Status: 200", b"HTTP/1.1 200")
    refused(server, backend, data, over=over)
    server.log.expect(EXPLAINED)


STATUS_LINES = [b"HTTP/0.9 200 OK", b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 20", b"HTTP/1.1 abc", b"HTTP/1.1 099 X"]
STATUS_LINES += [b"HTTP/1.1 2000 X", b"HTTP/1.1 -20 X", b"HTTP/ 200", b"HTTP/1.1 200\0OK", b"HTTP/1.1 200 O\x01K"]
STATUS_LINES += [b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching"]
STATUS_LINES += [b"HTTP/1.1 200OK", b"HTTP/1.1 404: X", b"http/1.1 200 OK", b"HTTP/1.x 200 OK", b"HTTP/1.1\t200 OK"]


@pytest.mark.better("the stock modules look at less", strict=False)
@pytest.mark.parametrize("line", STATUS_LINES)
def test_bad_status_lines(server, backend, line):
    data = backend_bytes(backend, line + b"\r\nX-Canary: canary\r\n\r\ncanary")
    refused(server, backend, data)
    server.log.expect(EXPLAINED)


def backend_bytes(backend, data):
    """A whole response in the protocol of the backend."""
    return gateway.CODECS[backend.protocol].answer(data)


BAD_STATUSES = [b"", b"2", b"20", b"abc", b"099", b"-20", b"2000", b"2000: x", b"20 0", b"200 O\0K", b"200 O\x01K", b"200 O\rK"]
BAD_STATUSES += [b"101", b"101 Switching Protocols"]


@pytest.mark.better("the stock modules look at less", strict=False)
@pytest.mark.parametrize("value", BAD_STATUSES)
@pytest.mark.parametrize("protocol", ["fastcgi", "scgi"])
def test_bad_status_fields(server, backend, value):
    refused(server, backend, backend_bytes(backend, b"Status: " + value + b"\r\nX-Canary: canary\r\n\r\ncanary"))
    server.log.expect(EXPLAINED)


BAD_FIELDS = {
    "a bare CR": b"X-Bad: a\rEvil: yes",
    "a CR at the end": b"X-Bad: evil\r",
    "NUL": b"X-Bad: a\0evil",
    "a control byte": b"X-Bad: a\x01evil",
    "DEL": b"X-Bad: a\x7fevil",
    "a fold": b"X-Bad: a\r\n evil",
    "a fold by tab": b"X-Bad: a\r\n\tevil",
    "a first line that folds": b" X-Bad: evil",
    "no colon": b"X-Bad evil",
    "an empty name": b": evil",
    "a space in the name": b"X Bad: evil",
    "a space before the colon": b"X-Bad : evil",
    "NUL in the name": b"X\0Bad: evil",
    "CR in the name": b"X\rBad: evil",
    "a name in parentheses": b"(X-Bad): evil",
    "a name beyond ASCII": b"X-B\xe4d: evil",
    "a quoted name": b'"X-Bad": evil',
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5\r\nX-Bad: evil",
    "a length that is no number": b"Content-Length: 4evil",
    "a negative length": b"Content-Length: -1\r\nX-Bad: evil",
    "a length of 30 digits": b"Content-Length: " + b"9" * 30 + b"\r\nX-Bad: evil",
    "a list of lengths": b"Content-Length: 4, 5\r\nX-Bad: evil",
    "two statuses": b"Status: 404 Not Found\r\nX-Bad: evil",
}


@pytest.mark.better("the stock modules look at less", strict=False)
@pytest.mark.parametrize("field", BAD_FIELDS.values(), ids=BAD_FIELDS)
@pytest.mark.parametrize("over", ["h1", "h2"])
def test_bad_fields_are_502_and_nothing_of_them_leaves(server, backend, field, over):
    """CVE-2023-38709, CVE-2024-24795: what somebody could read in another way is not forwarded."""
    data = head(backend.protocol, fields=b"X-Canary: good\r\n" + field + b"\r\n") + b"canary"
    refused(server, backend, backend_bytes(backend, data), over=over)
    server.log.expect(EXPLAINED)


@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_every_truncation_of_a_response(server, backend):
    """A whole response without its last bytes, for every number of them: never taken for whole, never more than was sent."""
    whole = stdout(head("fastcgi", fields=b"X-A: 1\r\n"), padding=2) + stdout(b"body", padding=4) + END
    server.log.allow(EXPLAINED)
    end = len(whole) - len(END)
    for length in range(0, end, 1):
        response, cut = outcome(server, backend, whole[:length])
        assert cut or response.status == 502, f"{length} of {len(whole)} bytes were taken for whole: {response}"
        if response is not None and response.status == 200:
            assert b"body".startswith(response.body)
        # httpd stops to accept, and says so, when many clients stay.
        server.close_clients()


def test_what_the_backend_did_not_send_is_not_sent(server, backend):
    """After a large secret answer, lying ones bring nothing of it to another client (CVE-2014-3583, CVE-2026-42946)."""
    secret = b"SECRET-OF-ANOTHER-CLIENT " * 2000
    client, peer, _ = ask(server, backend, "/secret", headers=[("X-Secret", "SECRET" * 100)])
    peer.answer(head(backend.protocol, fields=b"X-Secret: " + secret[:3000] + b"\r\n") + secret)
    assert client.response().body == secret
    server.log.allow(EXPLAINED)
    lies = [b"", b"Status: 200", b"Status: 200 OK\r\n", b"\r\n", b"\n", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\n\r\n"]
    if backend.protocol == "fastcgi":
        lies = [stdout(lie) + END for lie in lies] + [stdout(lie)[:-1] for lie in lies if lie]
        lies += [record(STDOUT, OK, length=65535), record(STDOUT, OK + b"x", length=60000, padding=255)]
        lies += [stdout(OK) + record(STDERR, b"e", length=65535), record(GET_VALUES_RESULT, b"", id=0, length=300)]
    for lie in lies:
        response, _ = outcome(server, backend, lie)
        if response is not None:
            assert b"SECRET" not in response.body
            assert "SECRET" not in str(response.headers)
