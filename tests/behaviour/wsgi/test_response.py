# SPDX-License-Identifier: MIT OR Apache-2.0
"""start_response, write() and what an application returns: PEP 3333 "The start_response() Callable" and after."""

import json
from urllib.parse import quote

import pytest

from harness import applications, wire
from harness.deadline import wait_until

WARM = applications.PEP3333_WARM


def configure(site, kind):
    applications.pep3333(site, kind)


def closed(server):
    return json.loads(server.get("/app/state").body)["closed"]


@pytest.mark.parametrize("prefix", ["/app", "/checked"])
@pytest.mark.parametrize(
    "kind_of", ["list", "one", "tuple", "generator", "generator_head", "iterator", "set", "map", "blocks"]
)
def test_iterables_of_every_kind(server, prefix, kind_of):
    response = server.get(f"{prefix}/iterables?kind={kind_of}")
    assert (response.status, response.body) == (200, b"abc")


@pytest.mark.parametrize(
    ("kind_of", "body"),
    [("dict", b"abc"), ("bytesio", b"a\nb\nc"), ("bytes_subclass", b"abc"), ("empty", b""), ("empty_block", b"")],
)
def test_unusual_iterables(server, kind_of, body):
    response = server.get(f"/app/iterables?kind={kind_of}")
    assert (response.status, response.body) == (200, body)


@pytest.mark.parametrize(("kind_of", "length"), [("one", "3"), ("empty_block", "0"), ("empty", "0")])
def test_content_length_is_computed_for_one_block(server, kind_of, length):
    response = server.get(f"/app/iterables?kind={kind_of}")
    assert response.header("Content-Length") == length
    assert response.header("Transfer-Encoding") is None


@pytest.mark.not_behind_pass("a response that is whole when its head leaves has a length", on="nginx")
def test_without_a_length_http11_is_chunked_and_http10_closes(server):
    response = server.get("/app/iterables?kind=generator")
    assert (response.header("Content-Length"), response.header("Transfer-Encoding")) == (None, "chunked")
    client = server.connect()
    client.request("GET", "/app/iterables?kind=generator", version="HTTP/1.0")
    old = client.response()
    assert (old.header("Transfer-Encoding"), old.body) == (None, b"abc")
    assert client.at_end()


def test_keep_alive_goes_on_after_every_way_to_end(server):
    client = server.connect()
    for path in ("hello", "iterables?kind=generator", "iterables?kind=empty", "write?how=only", "status?line=204+Gone"):
        client.request("GET", f"/app/{path}")
        assert client.response().status in (200, 204)
    client.request("HEAD", "/app/hello")
    assert client.response("HEAD").header("Content-Length") == "5"
    client.request("GET", "/app/hello")
    assert client.response().body == b"hello"


@pytest.mark.parametrize("prefix", ["/app", "/checked"])
def test_write(server, prefix):
    assert server.get(f"{prefix}/write?how=only").body == b"writen"
    assert server.get(f"{prefix}/write?how=then").body == b"writen+iterated"
    assert server.get(f"{prefix}/write?how=generator").body == b"writen+"
    assert server.get("/app/write_late").body == b"123"


def test_write_obeys_content_length(server):
    response = server.get("/app/write?how=length")
    assert (response.header("Content-Length"), response.body) == ("6", b"writen")


def test_close_is_called_once_however_it_ends(server):
    server.log.allow("GW03|GW05")
    before = closed(server)
    for count, path in enumerate(
        [
            "iterables?kind=blocks",
            "close_order",
            "generator_finally",
            "no_body?status=204+No&blocks=1",
            "failing?at=0",
            "content_length?says=4&blocks=2,2",
        ],
        start=1,
    ):
        server.get(f"/app/{path}")
        assert closed(server) == before + count, path
    server.request("HEAD", "/app/iterables?kind=blocks")
    assert closed(server) == before + 7
    for path in (
        "failing?at=1",
        "failing?at=2",
        "content_length?says=3&blocks=2,2",
        "content_length?says=9&blocks=2,2",
    ):
        try:
            server.get(f"/app/{path}")
        except wire.Truncated:
            pass
    assert closed(server) == before + 11


@pytest.mark.parametrize(
    "what",
    [
        "no_start", "no_start_empty", "start_late", "raise", "exit", "keyboard", "twice", "raise_after_start", "none",
        "number", "str", "str_itself", "int_block",
    ],
)  # fmt: skip
def test_what_an_application_may_not_do_is_500(server, what):
    response = server.get(f"/app/wrong?what={what}")
    assert response.status == 500
    assert b"Traceback" not in response.body
    line = server.log.expect(r"GW0[35]\d\d ")
    assert line.level in ("error", "crit")
    assert server.get("/app/hello").body == b"hello"


def test_an_exception_is_logged_with_its_traceback_and_the_request(server):
    server.get("/app/wrong?what=raise")
    first = server.log.expect(r"GW03\d\d .*ValueError: application broke")
    server.log.expect(r'File ".*pep3333_response.py", line \d+, in wrong')
    if server.kind.startswith("nginx"):
        assert 'request: "GET /app/wrong?what=raise HTTP/1.1"' in first.raw
    assert "127.0.0.1" in first.raw


def test_system_exit_ends_the_request_and_not_the_worker(server):
    before = server.worker()
    assert server.get("/app/wrong?what=exit").status == 500
    server.log.expect(r"GW03\d\d .*SystemExit")
    assert server.worker() == before


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@pytest.mark.parametrize("length", ["", "&length=11", "&length=500"])
def test_an_error_after_the_head_cuts_the_connection(server, at, version, length):
    client = server.connect()
    client.request("GET", f"/app/failing?at={at}{length}", version=version)
    server.log.expect(r"GW03\d\d .*RuntimeError")
    server.log.allow("GW05")
    head = client.head()
    body = b"".join(client.blocks(head))
    assert head.status == 200
    assert body in (b"first", b"firstsecond")
    # HTTP/1.0 without a length cannot show a truncation, and a body that is whole by its length is whole.
    if not (version == "HTTP/1.0" and not length) and not (at == 2 and length == "&length=11"):
        assert not head.complete
    assert client.at_end()


def test_an_error_after_the_head_resets_the_http2_stream_and_not_the_connection(server):
    from harness.http2 import Reset

    client = server.http2()
    with pytest.raises(Reset) as caught:
        client.get("/app/failing?at=1")
    # mod_http2 may drop a head that waits beside the reset.
    assert caught.value.response.status in ((0, 200) if server.kind == "apache" else (200,))
    assert not caught.value.response.complete
    server.log.expect(r"GW03\d\d .*RuntimeError")
    assert client.get("/app/hello").body == b"hello"


def test_an_error_in_close_is_logged_and_the_response_is_whole(server):
    assert server.get("/app/failing?close=1").body == b"firstsecond"
    server.log.expect(r"GW03\d\d .*RuntimeError: failed in close")


def test_exc_info_replaces_a_head_that_has_not_left(server):
    response = server.get("/app/exc_info?when=before")
    assert (response.status, response.reason, response.body) == (501, "Replaced", b"replacement")
    assert (response.header("X-First"), response.header("X-Second")) == (None, "yes")
    first = server.get("/app/exc_info_first")
    assert (first.status, first.body) == (503, b"sorry")


@pytest.mark.parametrize("path", ["exc_info?when=after", "exc_info_write"])
def test_exc_info_after_the_head_is_raised_again(server, path):
    client = server.connect()
    client.request("GET", f"/app/{path}")
    head = client.head()
    assert (head.status, b"".join(client.blocks(head)), head.complete) == (200, b"block", False)
    server.log.expect(r"GW03\d\d .*LookupError: the reason")


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        ("200 OK", 200, "OK"),
        ("299 My Own Words", 299, "My Own Words"),
        ("404 Not Here", 404, "Not Here"),
        ("418 I'm a teapot", 418, "I'm a teapot"),
        ("500 Mine", 500, "Mine"),
        ("599 Last", 599, "Last"),
        ("201 Created", 201, "Created"),
    ],
)
def test_status_lines(server, line, status, reason):
    response = server.get(f"/app/status?line={quote(line)}")
    assert (response.status, response.reason, response.body) == (status, reason, b"body")


@pytest.mark.parametrize(
    "line",
    [
        "", "OK", "20 OK", "2000 OK", "099 Low", "600 High", "100 Continue", "101 Switching", "2x0 OK", " 200 OK", "-200 OK",
        "200 OK\r\nX: y", "200 OK\n", "200 OK\rX", "200 O\0K", "200 \x07", "+20 OK", "200OK",
    ],
)  # fmt: skip
def test_bad_status_lines_are_500(server, line):
    response = server.get(f"/app/status?line={quote(line)}" if line else "/app/status_of?expr=''")
    assert response.status == 500
    assert response.header("X") is None
    server.log.expect(r"GW0[35]\d\d .*status")


@pytest.mark.parametrize("expression", ["b'200 OK'", "200", "None", "'200 \\u20ac'"])
def test_a_status_that_is_no_native_string_is_500(server, expression):
    assert server.get(f"/app/status_of?expr={quote(expression)}").status == 500
    server.log.expect(r"GW0[35]\d\d .*status")


@pytest.mark.parametrize(
    "path", ["hello", "iterables?kind=generator", "write?how=then", "content_length?says=4&blocks=4"]
)
def test_head_has_the_head_of_get_and_no_body(server, path):
    client = server.connect()
    client.request("HEAD", f"/app/{path}")
    head = client.response("HEAD")
    plain = server.get(f"/app/{path}")
    assert head.status == plain.status
    for name in ("Content-Type", "Content-Length"):
        assert head.header(name) == plain.header(name)
    client.request("GET", "/app/hello")
    assert client.response().body == b"hello"
    assert server.http2().request("HEAD", f"/app/{path}").body == b""


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("extra", ["", "&blocks=1", "&length=4"])
def test_no_body_for_204_and_304(server, status, extra):
    client = server.connect()
    client.request("GET", f"/app/no_body?status={quote(status)}{extra}")
    response = client.response()
    assert (response.status, response.header("X-Seen")) == (int(status[:3]), "yes")
    assert response.header("Transfer-Encoding") is None
    server.log.allow("GW05")
    client.request("GET", "/app/hello")
    assert (client.response().body, client.buffer) == (b"hello", b"")


def test_content_length_is_never_exceeded(server):
    client = server.connect()
    client.request("GET", "/app/content_length?says=5&blocks=3,3,3")
    head = client.head()
    assert b"".join(client.blocks(head)) == b"xxxxx"
    server.log.expect("GW0503")
    # Either the connection ends, or the next response on it is that of the next request.
    try:
        client.request("GET", "/app/hello")
        assert client.response().body == b"hello"
    except (wire.Closed, ConnectionError):
        assert client.buffer == b""


@pytest.mark.parametrize("blocks", ["3", "3,1", "0"])
def test_less_than_content_length_is_visible(server, blocks):
    client = server.connect()
    client.request("GET", f"/app/content_length?says=5&blocks={blocks}")
    server.log.expect("GW0504")
    try:
        response = client.response()
    except (wire.Truncated, wire.Closed):
        assert client.at_end()
        return
    assert response.status == 500


def test_less_than_content_length_resets_http2(server):
    from harness.http2 import Reset

    client = server.http2()
    try:
        assert client.get("/app/content_length?says=500&blocks=3").status == 500
    except Reset as reset:
        # mod_http2 may drop what waits beside the reset.
        assert reset.response.body in ((b"", b"xxx") if server.kind == "apache" else (b"xxx",))
    server.log.expect("GW0504")
    assert client.get("/app/hello").body == b"hello"


@pytest.mark.parametrize("value", ["abc", "-1", "5x", "", " 5", "5, 5", "18446744073709551616", "0x5", "+5"])
def test_a_content_length_that_is_no_number_is_500(server, value):
    response = server.get(
        f"/app/content_length?says={quote(value)}&blocks=5" if value else "/app/headers?expr=[('Content-Length','')]"
    )
    # Optional whitespace around a field value is not part of it (RFC 9110 section 5.5).
    assert response.status in ((200, 500) if value == " 5" else (500,))
    if response.status == 500:
        server.log.expect(r"GW0[35]\d\d .*Content-Length")


def test_set_cookie_stays_several_lines(server):
    expression = quote("[('Set-Cookie','a=1; Path=/'),('X-A','1'),('Set-Cookie','b=2, c'),('set-cookie','d=3')]")
    assert server.get(f"/app/headers?expr={expression}").all("Set-Cookie") == ["a=1; Path=/", "b=2, c", "d=3"]
    found = server.http2().get(f"/app/headers?expr={expression}")
    assert found.all("set-cookie") == ["a=1; Path=/", "b=2, c", "d=3"]


def test_header_values_keep_their_bytes(server):
    expression = quote("[('X-Latin','\\xe9\\xff'),('X-Empty',''),('X-Tab','a\\tb'),('X-Odd','\"\\\\,;=')]")
    response = server.get(f"/app/headers?expr={expression}")
    assert response.header("X-Latin") == "\xe9\xff"
    assert response.header("X-Empty") == ""
    assert response.header("X-Tab") == "a\tb"
    assert response.header("X-Odd") == '"\\,;='


def test_repeated_headers_stay_repeated(server):
    expression = quote(
        "[('Vary','A'),('Vary','B'),('Link','<a>'),('Link','<b>'),('WWW-Authenticate','X'),('WWW-Authenticate','Y')]"
    )
    response = server.get(f"/app/headers?expr={expression}")
    assert [v for line in response.all("Vary") for v in line.replace(" ", "").split(",")] == ["A", "B"]
    assert [v for line in response.all("Link") for v in line.replace(" ", "").split(",")] == ["<a>", "<b>"]
    assert response.all("WWW-Authenticate") == ["X", "Y"]


def test_content_type_is_the_applications_or_none(server):
    response = server.get("/app/headers?expr=[('Content-Type','text/weird;a=b')]")
    assert response.header("Content-Type") == "text/weird;a=b"
    # No guess from the URL or the server's default.
    assert server.get("/app/headers/x.css?expr=[]").header("Content-Type") is None


def test_the_servers_own_headers_appear_once(server):
    response = server.get("/app/hello")
    assert len(response.all("Date")) == 1
    assert len(response.all("Server")) == 1
    mine = server.get(
        f"/app/headers?expr={quote(repr([('Date', 'Thu, 01 Jan 1970 00:00:00 GMT'), ('Server', 'mine')]))}"
    )
    assert len(mine.all("Date")) == 1
    assert len(mine.all("Server")) == 1


def test_the_header_list_may_be_changed_after_start_response(server):
    response = server.get("/app/mutate")
    assert (response.header("X-Kept"), response.body) == ("1", b"kept")


def test_environ_may_be_changed(server):
    assert server.get("/app/environ_changes").body == b"cleared"


def test_access_log(server):
    server.get("/app/status?line=418+Tea")
    server.request("HEAD", "/app/hello")
    server.get("/app/large?size=100000&length=1")
    wait_until(lambda: any("100000" in line for line in server.access_log()), "the access log is written")
    assert "GET /app/status?line=418+Tea 418 4 -" in server.access_log()
    assert "HEAD /app/hello 200 0 -" in server.access_log()
    assert "GET /app/large?size=100000&length=1 200 100000 -" in server.access_log()
