# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program of gangway_spawn that breaks its protocol, splits responses or forges them: the cases of upstream/test_hostile.py, with a program on descriptor 0 that
passes on what the test says."""

import pytest

from harness import places, processes, programs, upstreams
from harness.deadline import wait_until
from harness.gateway import END_REQUEST, record, stdout
from upstream import test_hostile as elsewhere

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

# With each of them the next request is answered, by the same process.
test_fastcgi_without_a_usable_head_is_502 = elsewhere.test_fastcgi_without_a_usable_head_is_502
test_the_end_of_the_output_without_end_request = elsewhere.test_the_end_of_the_output_without_end_request
test_data_after_the_end_reaches_nobody = elsewhere.test_data_after_the_end_reaches_nobody
test_bad_status_lines = elsewhere.test_bad_status_lines
test_bad_fields_are_502_and_nothing_of_them_leaves = elsewhere.test_bad_fields_are_502_and_nothing_of_them_leaves
test_every_truncation_of_a_response = elsewhere.test_every_truncation_of_a_response
test_what_the_backend_did_not_send_is_not_sent = elsewhere.test_what_the_backend_did_not_send_is_not_sent


@pytest.fixture(params=["fastcgi"])
def protocol(request):
    """What programs speak."""
    return request.param


def configure(site, kind):
    site.http2 = True
    recorder = site.recorder("fastcgi")
    relay = programs.sources(site.scratch) / "relay.py"
    # One that gives no answer has not ended: another one would be asked for what may run again.
    site.spawn("/fastcgi/", places.SYSTEM_PYTHON, relay, recorder.port, name="relay", threads=8, timeout="20s", replay="off")


@pytest.fixture(autouse=True)
def same_process(server):
    """Whatever a response is like, its process goes on."""
    before = server.managed()
    yield
    assert len(before) == 1 and server.managed() == before


# The refusal of a request whose output has ended says nothing about that output: it may be taken for whole, or not.
BROKEN = {name: data for name, data in elsewhere.CUT.items() if name != "a refusal"}


@pytest.mark.parametrize("length", [b"", b"Content-Length: 60\r\n"], ids=["", "length"])
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("over", ["h1", "h2"])
def test_fastcgi_broken_in_the_body_is_cut(server, backend, data, over, length):
    elsewhere.test_fastcgi_broken_in_the_body_is_cut(server, backend, data, over, length)


def test_a_refusal_after_the_end_of_the_output(server, backend):
    response, cut = elsewhere.outcome(server, backend, stdout(elsewhere.OK + b"body") + elsewhere.CUT["a refusal"])
    if response is not None and response.status == 200:
        assert response.body == b"body" or cut and response.body == b""
    else:
        assert cut or response.status == 502
    elsewhere.recovers(server, backend)


@pytest.mark.parametrize("value", elsewhere.BAD_STATUSES)
def test_bad_status_fields(server, backend, value):
    elsewhere.test_bad_status_fields(server, backend, value)


@pytest.mark.parametrize("piece", elsewhere.ENDLESS.values(), ids=elsewhere.ENDLESS)
def test_an_endless_head_is_refused(server, backend, piece):
    """At 64 KiB. Nobody keeps the rest, but it is read: the program has its request until it has ended it, and its place."""
    before = processes.resident(server.worker())
    pieces = [stdout(upstreams.head("fastcgi")[:-2]), *[stdout(piece)] * (16 << 20 >> 12)]
    response, cut = elsewhere.outcome(server, backend, pieces)
    assert not cut and response.status == 502
    assert processes.resident(server.worker()) - before < 4 << 20
    elsewhere.recovers(server, backend)
    server.log.expect("GW070[45]")


@pytest.mark.parametrize("field", [b"X-A: 1\r\nX-Canary: evil", b"Set-Cookie: a=1\r\n\r\nHTTP/1.1 200 OK\r\nX-Canary: evil"], ids=["a field", "a response"])
def test_a_response_in_a_body_is_body(server, backend, field):
    """What comes after the first empty line is body, whatever it looks like."""
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n" + field + b"\r\n\r\nevil"
    client, peer, _ = upstreams.ask(server, backend)
    peer.answer(upstreams.head("fastcgi") + body)
    response = client.response()
    assert (response.status, response.body) == (200, body)
    assert "X-Canary" not in dict(response.headers)
    upstreams.follows(backend, client)


def test_a_wrong_content_length_shifts_nothing(server, backend):
    server.log.allow(elsewhere.EXPLAINED)
    for length in (b"3", b"10"):
        client, peer, _ = upstreams.ask(server, backend)
        peer.answer(upstreams.head("fastcgi", fields=b"Content-Length: " + length + b"\r\n") + b"canary")
        try:
            response = client.response()
            # httpd has not sent the head when it sees that the body is too short.
            assert (response.status, response.body) == (200, b"can") if length == b"3" else response.status == 502, response
        except elsewhere.wire.Truncated:
            assert length == b"10"
        if length == b"3":
            upstreams.follows(backend, client)
        client.close()


def test_an_answer_to_a_request_that_nobody_has_made(server, backend):
    """On the connection of another request: it ends that one, and reaches nobody else."""
    client, peer, _ = upstreams.ask(server, backend)
    elsewhere.swallow(peer, stdout(elsewhere.OK + b"canary", id=2) + record(END_REQUEST, bytes(8), id=2))
    response = client.response()
    assert response.status in (500, 502) and b"canary" not in response.body
    elsewhere.recovers(server, backend)


def test_the_program_is_asked_by_its_supervisor_before_requests_come(server, backend):
    """The relay answers that by itself: what a recorder sees are requests."""
    assert upstreams.sent(server, backend)["REQUEST_URI"] == "/fastcgi/x"
    wait_until(lambda: not backend.pending(), "nobody else has come")
    assert processes.alive(server.managed()[0])
