# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a backend has sent goes out when it pauses, without tuning; a client that leaves frees its backend; standard error
goes to the log."""

import re
import threading
import time

import pytest

from harness import gateway, processes, upstreams, wire
from harness.deadline import wait_until
from harness.gateway import ABORT_REQUEST, STDERR, STDOUT, record, stderr, stdout
from harness.http2 import Reset
from harness.upstreams import ask, follows, head, hello, sent

EXPLAINED = r"upstream|GW07\d\d|GW05\d\d|client|proxy|AH\d+"


def configure(site, kind):
    site.http2 = True
    upstreams.recorders(site)
    for protocol in gateway.PROTOCOLS:
        backend = site.backends[protocol]
        site.passes(f"/unbuffered/{protocol}/", backend, nginx="gangway_buffering off;")
        site.passes(f"/now/{protocol}/", backend, nginx="gangway_flush_wait 0;")
        site.passes(f"/memory/{protocol}/", backend, nginx="gangway_max_temp_file_size 0;")
        site.passes(f"/kept/{protocol}/", backend, nginx="gangway_ignore_client_abort on;")
        site.passes(f"/late/{protocol}/", backend, nginx="gangway_read_timeout 300ms;")
        site.passes(f"/notice/{protocol}/", backend, nginx="gangway_stderr_level notice;")
        site.passes(f"/fresh/{protocol}/", backend, nginx="gangway_keep_conn off;" if protocol == "fastcgi" else "")
        gzip = "gzip on; gzip_types *; gzip_min_length 0;"
        site.passes(f"/gzip/{protocol}/", backend, nginx=gzip, apache="SetOutputFilter DEFLATE")


WHERE = pytest.mark.parametrize("where", ["", "/unbuffered", "/now"])


@pytest.mark.better("the stock modules hold output until a buffer is full", strict=False)
@WHERE
def test_each_part_arrives_while_the_backend_waits(server, backend, where):
    client = server.connect()
    client.request("GET", f"{where}/{backend.protocol}/x")
    peer = backend.next(client)
    peer.request()
    peer.output(head(backend.protocol) + b"part 0")
    response = client.head()
    blocks = client.blocks(response)
    assert next(blocks) == b"part 0"
    for number in range(1, 20):
        part = b"part %d" % number
        peer.output(part)
        assert next(blocks) == part
    peer.end()
    assert list(blocks) == []
    assert response.complete


@pytest.mark.servers("nginx", "nginx128")
@pytest.mark.better("the stock modules hold output until a buffer is full", strict=False)
def test_what_comes_again_and_again_arrives_although_there_is_no_pause(server, backend):
    """A byte each millisecond never leaves the backend silent for 5 ms, and does not fill a buffer within seconds."""
    client = server.connect()
    client.request("GET", f"/{backend.protocol}/x")
    peer = backend.next(client)
    peer.request()
    peer.output(head(backend.protocol))
    arrived, sent_bytes = threading.Event(), []

    def trickle():
        until = time.monotonic() + 3
        while not arrived.wait(0.001) and time.monotonic() < until:
            peer.output(b"x")
            sent_bytes.append(1)
        peer.end()

    sender = threading.Thread(target=trickle)
    sender.start()
    response = client.head()
    blocks = client.blocks(response)
    first = next(blocks)
    arrived.set()
    sender.join()
    assert len(first) < 1000, "it waited for a full buffer"
    assert len(first) + sum(map(len, blocks)) == len(sent_bytes)


@pytest.mark.better("the stock modules hold the head", strict=False)
@WHERE
def test_the_head_arrives_before_the_body(server, backend, where):
    client = server.connect()
    client.request("GET", f"{where}/{backend.protocol}/x")
    peer = backend.next(client)
    peer.request()
    peer.output(head(backend.protocol, fields=b"X-Early: yes\r\n"))
    response = client.head()
    assert (response.status, response.header("X-Early")) == (200, "yes")
    peer.answer(b"body")
    assert b"".join(client.blocks(response)) == b"body"


@pytest.mark.better("the stock modules hold output until a buffer is full", strict=False)
@WHERE
def test_each_part_arrives_over_http2(server, backend, where):
    client = server.http2()
    stream = client.send_head("GET", f"{where}/{backend.protocol}/x")
    peer = backend.next(client)
    peer.request()
    expected = b""
    peer.output(head(backend.protocol))
    for number in range(10):
        peer.output(b"part %d;" % number)
        expected += b"part %d;" % number
        client.until(lambda: client.streams[stream].body == expected)
    peer.end()
    assert client.response(stream).body == expected


@pytest.mark.better("the stock modules hold output until a buffer is full", strict=False)
def test_each_part_arrives_through_a_compressing_filter(server, backend):
    import zlib

    client = server.connect()
    client.request("GET", f"/gzip/{backend.protocol}/x", [("Accept-Encoding", "gzip")])
    peer = backend.next(client)
    peer.request()
    peer.output(head(backend.protocol))
    unzip = zlib.decompressobj(wbits=31)
    response, blocks, seen, expected = None, None, b"", b""
    for number in range(5):
        peer.output(b"part %d;" % number)
        expected += b"part %d;" % number
        if response is None:
            response = client.head()
            assert response.header("Content-Encoding") == "gzip"
            blocks = client.blocks(response)
        while seen != expected:
            seen += unzip.decompress(next(blocks))
    peer.end()
    list(blocks)
    assert response.complete


@pytest.mark.better("the stock modules hold events until a buffer is full", strict=False)
@pytest.mark.parametrize("where", ["", "/now"])
def test_an_event_stream_is_never_held(server, backend, where):
    client = server.connect()
    client.request("GET", f"{where}/{backend.protocol}/events")
    peer = backend.next(client)
    peer.request()
    peer.output(head(backend.protocol, fields=b"Content-Type: text/event-stream; charset=utf-8\r\n"))
    response = client.head()
    blocks = client.blocks(response)
    for number in range(5):
        event = b"data: %d\n\n" % number
        peer.output(event)
        assert next(blocks) == event
    peer.end()
    assert list(blocks) == []


@pytest.mark.better("the stock modules hold output until a buffer is full", strict=False)
def test_a_part_takes_milliseconds(server, backend):
    """The default is 5 ms; the bound leaves room for a busy machine, and the median for its pauses."""
    client, peer, _ = ask(server, backend)
    peer.output(head(backend.protocol) + b"0")
    blocks = client.blocks(client.head())
    assert next(blocks) == b"0"
    times = []
    for _ in range(21):
        begun = time.monotonic()
        peer.output(b"x")
        assert next(blocks) == b"x"
        times.append(time.monotonic() - begun)
    assert sorted(times)[10] < 0.03, times
    peer.end()
    assert list(blocks) == []


def test_a_large_response_arrives_while_it_is_made(server, backend):
    """Sixteen megabytes to a client that reads."""
    server.log.allow("buffered to a temporary file")
    client, peer, _ = ask(server, backend)
    megabyte = bytes(range(256)) * 4096
    peer.output(head(backend.protocol))
    sender = threading.Thread(target=lambda: [peer.output(megabyte) for _ in range(16)] + [peer.end()])
    sender.start()
    response = client.response()
    sender.join()
    assert response.body == megabyte * 16


def test_a_slow_reader_holds_the_backend_back(server, backend):
    """Without a temporary file the backend waits, and the worker's memory stays."""
    client = server.connect(receive_buffer=4096)
    client.request("GET", f"/memory/{backend.protocol}/x")
    peer = backend.next(client)
    peer.request()
    before = processes.resident(server.worker())
    sent_bytes, done = [0], threading.Event()

    def endless():
        try:
            peer.output(head(backend.protocol))
            while not done.is_set():
                peer.output(b"x" * 65535)
                sent_bytes[0] += 65535
        except (ConnectionError, OSError):
            pass

    sender = threading.Thread(target=endless)
    sender.start()
    response = client.head()
    next(client.blocks(response))
    still = [-1, 0]

    def stalled():
        still[0], still[1] = (still[0], still[1] + 1) if sent_bytes[0] == still[0] else (sent_bytes[0], 0)
        return still[1] > 20

    wait_until(stalled, lambda: f"the backend is held back after {sent_bytes[0]} bytes", 20)
    assert sent_bytes[0] < 32 << 20
    assert processes.resident(server.worker()) - before < 8 << 20
    done.set()
    client.reset()
    sender.join(30)
    server.log.allow(EXPLAINED)


# ---- the client leaves ----


@pytest.mark.better("the stock modules close without a word", strict=False)
@pytest.mark.parametrize("when", ["waiting", "streaming"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_frees_its_backend(server, backend, how, when):
    server.log.allow(EXPLAINED)
    client, peer, request = ask(server, backend)
    if when == "streaming":
        peer.output(head(backend.protocol) + b"first")
        assert next(client.blocks(client.head())) == b"first"
    getattr(client, how)()
    noticed(server, backend, peer)
    assert sent(server, backend, "/next")["REQUEST_URI"].endswith("/next")


def noticed(server, backend, peer):
    """The server ends the request: FastCGI has a record for it, the other protocols the connection alone."""
    if backend.protocol == "fastcgi":
        found = peer.record()
        assert (found.type, found.id, found.content) == (ABORT_REQUEST, 1, b"")
    assert peer.at_end()
    peer.close()


@pytest.mark.better("the stock modules close without a word", strict=False)
def test_an_http2_stream_that_is_reset_frees_its_backend(server, backend):
    server.log.allow(EXPLAINED)
    client = server.http2()
    stream = client.send_head("GET", f"/{backend.protocol}/x")
    peer = backend.next(client)
    peer.request()
    client.cancel(stream)
    noticed(server, backend, peer)


@pytest.mark.servers("nginx", "nginx128")
def test_a_client_that_leaves_may_be_ignored(server, backend):
    client = server.connect()
    client.request("GET", f"/kept/{backend.protocol}/x")
    peer = backend.next(client)
    peer.request()
    client.close()
    # Another request comes and goes; this one is still there.
    assert sent(server, backend, "/next")["REQUEST_URI"].endswith("/next")
    assert peer.waits()
    server.log.allow(EXPLAINED)
    peer.answer(hello(backend.protocol))
    wait_until(lambda: any("/kept/" in line for line in server.access_log()), "the request has ended")


@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_an_answer_to_somebody_who_left_reaches_nobody(server, backend):
    """It may come before the server has seen the end: then the connection is clean, and only the response is lost."""
    server.log.allow(EXPLAINED)
    client, peer, _ = ask(server, backend, "/aborted")
    client.reset()
    try:
        peer.output(head("fastcgi") + b"too late")
        peer.end()
    except ConnectionError:
        pass
    client, peer, request = ask(server, backend, "/own")
    assert request["REQUEST_URI"] == "/fastcgi/own"
    peer.answer(head("fastcgi") + b"own")
    assert client.response().body == b"own"


# ---- time ----


@pytest.mark.servers("nginx", "nginx128")
@pytest.mark.parametrize("when", ["waiting", "streaming"])
def test_a_backend_that_says_nothing_runs_into_its_time(server, backend, when):
    client = server.connect()
    client.request("GET", f"/late/{backend.protocol}/x")
    peer = backend.next(client)
    peer.request()
    if when == "waiting":
        assert client.response().status == 504
    else:
        peer.output(head(backend.protocol, fields=b"Content-Length: 10\r\n") + b"first")
        with pytest.raises(wire.Truncated) as caught:
            client.response()
        assert caught.value.response.body in (b"first", b"")
    server.log.expect("timed out|GW07")
    # A late answer goes nowhere.
    peer.close()
    assert sent(server, backend)["REQUEST_METHOD"] == "GET"


# ---- standard error ----


def stderr_lines(server, pattern="GW|FastCGI sent in stderr|AH01071"):
    return [line for line in server.log.lines() if re.search(pattern, line.raw)]


@pytest.mark.better("the stock modules log what one record holds", strict=False)
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_standard_error_goes_to_the_log_by_line(server, backend):
    client, peer, _ = ask(server, backend, "/page?x=1")
    peer.send(stderr(b"first line\nsecond ") + stdout(head("fastcgi")) + stderr(b"line\r\nthird line, without an end"))
    peer.answer(b"body")
    assert client.response().body == b"body"
    for text in ("first line", "second line", "third line, without an end"):
        line = server.log.expect(re.escape(text)).raw
        assert "client" in line
        if server.kind.startswith("nginx"):
            assert "/fastcgi/page?x=1" in line
    found = [line.raw for line in server.log.lines() if "line" in line.raw and "GW" in line.raw]
    assert len(found) == 3, found
    assert not [line for line in found if "first" in line and "second" in line]


@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_standard_error_behind_the_output_goes_to_the_log(server, backend):
    """The response is whole at the end of its output, on a connection that is not kept, too."""
    client = server.connect()
    client.request("GET", "/fresh/fastcgi/x")
    peer = backend.next(client)
    peer.request()
    peer.send(stdout(head("fastcgi") + b"body") + gateway.record(gateway.STDOUT) + stderr(b"said afterwards\n") + gateway.end_request())
    assert client.response().body == b"body"
    server.log.expect("said afterwards")


@pytest.mark.better("the stock modules log what one record holds", strict=False)
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_standard_error_cannot_forge_lines(server, backend):
    """Control bytes are escaped: a backend writes no line of its own into the log."""
    forged = b"2026/01/02 03:04:05 [emerg] 1#1: forged"
    client, peer, _ = ask(server, backend)
    peer.send(stderr(b"good\r" + forged + b"\0\x1b[31m\x08\n" + forged + b"\n"))
    peer.answer(hello("fastcgi"))
    assert client.response().body == b"hello"
    server.log.expect("forged")
    for line in server.log.lines():
        assert line.level != "emerg"
        assert not re.search(r"[\0-\x08\x0b-\x1f]", line.raw)


@pytest.mark.better("the stock modules have no level", on=("nginx", "apache"), absent=True)
@pytest.mark.servers("nginx", "nginx128")
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_the_level_of_standard_error_is_chosen(server, backend):
    client = server.connect()
    client.request("GET", "/notice/fastcgi/x")
    peer = backend.next(client)
    peer.request()
    peer.send(stderr(b"only a notice\n"))
    peer.answer(hello("fastcgi"))
    assert client.response().status == 200
    assert server.log.expect("only a notice").level == "notice"


@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_standard_error_between_the_bytes_of_a_response(server, backend):
    server.log.allow("noise|n n|GW|AH01071")
    body = bytes(range(256)) * 8
    data = head("fastcgi") + body
    client, peer, _ = ask(server, backend)
    parts = [stdout(data[at : at + 100], padding=5) + record(STDERR, b"noise\n", padding=3) for at in range(0, len(data), 100)]
    peer.send(b"".join(parts) + record(STDERR) + record(STDOUT) + gateway.end_request())
    if not peer.keep:
        peer.close()
    assert client.response().body == body
    follows(backend, client)


@pytest.mark.parametrize("protocol", ["scgi", "uwsgi"])
def test_a_head_is_all_that_comes(server, backend, protocol):
    """Without Content-Length the end of the connection is the end of the response, however soon it comes."""
    client, peer, _ = ask(server, backend, "/x")
    peer.output(head(protocol, fields=b"Content-Type: text/plain\r\n"))
    peer.close()
    response = client.response()
    assert (response.status, response.body) == (200, b"")


@pytest.mark.better("the stock modules hold output until a buffer is full", strict=False)
@pytest.mark.parametrize("protocol", gateway.PROTOCOLS)
def test_a_head_that_waits_for_its_body(server, backend, protocol):
    """It goes to the client when the backend pauses; what comes byte by byte around its end arrives as it was sent."""
    client, peer, _ = ask(server, backend, "/x")
    peer.output(head(protocol, fields=b"Content-Type: text/plain\r\n"))
    blocks = client.blocks(client.head())
    peer.output(b"hello")
    assert next(blocks) == b"hello"
    peer.end()
    assert list(blocks) == []
    client, peer, _ = ask(server, backend, "/x")
    peer.send_each(peer.codec.output(head(protocol, fields=b"Content-Length: 5\r\n")) + peer.codec.output(b"hello"))
    peer.end()
    assert client.response().body == b"hello"
