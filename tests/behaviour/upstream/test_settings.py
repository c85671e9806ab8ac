# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the settings of gangway_pass do in nginx, as far as they are those of its own modules (`--upstream=stock`)."""

import socket
import stat

import pytest

from harness import upstreams
from harness.deadline import wait_until
from harness.gateway import PROTOCOLS, stderr
from harness.upstreams import answered, ask, head, hello, sent

pytestmark = pytest.mark.servers("nginx", "nginx128")

LOCATIONS = {
    "headers": "gangway_hide_header X-Secret; gangway_pass_header X-Accel-Expires;",
    "unread": "gangway_ignore_headers X-Accel-Redirect;",
    "errors": "gangway_intercept_errors on; error_page 503 /page;",
    "own-errors": "error_page 503 /page;",
    "store": "gangway_store {scratch}/store$uri; gangway_store_access user:rw group:rw all:r;",
    "slow": "gangway_read_timeout 400ms;",
    "bound": "gangway_bind 127.0.0.2;",
    "varying": "gangway_bind $arg_from;",
    "no-headers": "gangway_pass_request_headers off;",
    "no-body": "gangway_pass_request_body off;",
    "streamed": "gangway_request_buffering off;",
    "stays": "gangway_ignore_client_abort on;",
    "ranges": "gangway_force_ranges on;",
    "in-memory": "gangway_max_temp_file_size 0;",
    "in-a-file": "gangway_temp_path {scratch}/{protocol}-temp 1 2;",
    "memory": "gangway_buffering off;",
}
FASTCGI = {
    "caught": 'gangway_catch_stderr "Fatal error";',
    "closed": "gangway_keep_conn off;",
    "kept": "gangway_keep_conn on;",
    "index": "gangway_index index.cgi;",
    "cached": "gangway_cache_valid 200 404 1m;",
    "keyed": "gangway_cache_valid 1m; gangway_cache_key $uri;",
    "keyless": "gangway_cache_valid 1m;",
    "bypassed": "gangway_cache_valid 1m; gangway_cache_bypass $arg_fresh; gangway_no_cache $arg_secret;",
    "posts": "gangway_cache_valid 1m; gangway_cache_methods POST;",
    "twice": "gangway_cache_valid 1m; gangway_cache_min_uses 2;",
    "stale": "gangway_cache_valid 1s; gangway_cache_use_stale error http_503 updating;",
    "refreshed": "gangway_cache_use_stale updating; gangway_cache_background_update on;",
    "asked": "gangway_cache_revalidate on;",
    "locked": "gangway_cache_valid 1m; gangway_cache_lock on; gangway_cache_lock_timeout 20s; gangway_cache_lock_age 20s;",
}
CACHED = {"keyless", "cached", "keyed", "bypassed", "posts", "twice", "stale", "refreshed", "asked", "locked"}
UWSGI = {"modified": "gangway_modifier1 5; gangway_modifier2 7;"}
GROUPS = {
    "next": "gangway_next_upstream error http_503 invalid_header;",
    "never": "gangway_next_upstream off;",
    "posted": "gangway_next_upstream error http_503 non_idempotent;",
    "once": "gangway_next_upstream error http_503; gangway_next_upstream_tries 1;",
}


def configure(site, kind):
    zone = f"gangway_cache_path {site.scratch}/cache levels=1:2 keys_zone=pages:1m use_temp_path=off;"
    site.nginx_http = "proxy_max_temp_file_size 0; " + zone
    site.location("/page", kind="exact", nginx='internal; return 200 "a page of the server";')
    site.location("/inner", kind="exact", nginx='internal; return 200 "inside";')
    for protocol in PROTOCOLS:
        backend, spare = site.recorder(protocol), site.recorder(protocol, name=f"{protocol}-spare")
        own = {"fastcgi": FASTCGI, "uwsgi": UWSGI}.get(protocol, {})
        for name, lines in {**LOCATIONS, **own}.items():
            lines = lines.replace("{scratch}", str(site.scratch)).replace("{protocol}", protocol)
            if name in CACHED:
                key = "" if "cache_key" in lines or name == "keyless" else " gangway_cache_key $request_uri$request_method;"
                lines += f" gangway_cache pages;{key} add_header X-Cache $upstream_cache_status always;"
            site.passes(f"/{protocol}/{name}/", backend, nginx=lines)
        group = f"{backend.protocol}_group"
        site.nginx_http += f"\nupstream {group} {{ server {backend.where} max_fails=0; server {spare.where} backup; }}"
        for name, lines in GROUPS.items():
            site.passes(f"/{protocol}/{name}/", f"{protocol}://{group}", nginx=lines)


@pytest.fixture
def spare(server, backend):
    recorder = server.site.backends[f"{backend.protocol}-spare"]
    yield recorder
    recorder.reset()


def with_fields(protocol, *fields, status=b"200 OK", body=b"hello"):
    return head(protocol, status, b"Content-Type: text/plain\r\n" + b"".join(field + b"\r\n" for field in fields)) + body


# ---- headers of responses ----


def test_hidden_and_passed_headers(server, backend, protocol):
    data = with_fields(protocol, b"X-Secret: 1", b"X-Accel-Expires: 10", b"X-Accel-Buffering: yes", b"X-Open: 1")
    response = answered(server, backend, data, "/headers/x")
    assert response.body == b"hello"
    assert response.header("X-Secret") is None
    assert response.header("X-Accel-Expires") == "10"
    assert response.header("X-Accel-Buffering") is None
    assert response.header("X-Open") == "1"


def test_a_redirect_inside_the_server(server, backend, protocol):
    data = with_fields(protocol, b"X-Accel-Redirect: /inner", b"Set-Cookie: a=b")
    response = answered(server, backend, data, "/headers/x")
    assert (response.status, response.body) == (200, b"inside")
    assert response.header("Set-Cookie") == "a=b"


def test_headers_that_are_not_obeyed(server, backend, protocol):
    data = with_fields(protocol, b"X-Accel-Redirect: /inner")
    response = answered(server, backend, data, "/unread/x")
    assert (response.status, response.body) == (200, b"hello")
    assert response.header("X-Accel-Redirect") is None


def test_pages_instead_of_errors(server, backend, protocol):
    data = with_fields(protocol, status=b"503 Busy")
    assert answered(server, backend, data, "/errors/x").body == b"a page of the server"
    response = answered(server, backend, data, "/own-errors/x")
    assert (response.status, response.body) == (503, b"hello")


def test_ranges_of_responses_that_do_not_offer_them(server, backend, protocol):
    for path, status, body in (("/ranges/x", 206, b"ell"), ("/headers/x", 200, b"hello")):
        data = with_fields(protocol, b"Content-Length: 5")
        response = answered(server, backend, data, path, headers=[("Range", "bytes=1-3")])
        assert (response.status, response.body) == (status, body)


# ---- requests ----


def test_requests_without_headers(server, backend):
    request = sent(server, backend, "/no-headers/x", headers=[("X-A", "b"), ("Cookie", "c=d")])
    assert not [name for name, _ in request.variables if name.startswith(b"HTTP_")]
    assert request["REQUEST_METHOD"] == "GET"


def test_requests_without_bodies(server, backend):
    client = server.connect()
    client.request("POST", f"/{backend.protocol}/no-body/x", body=b"12345")
    peer = backend.next(client)
    request = peer.head()
    assert request["REQUEST_METHOD"] == "POST"
    if backend.protocol == "fastcgi":
        assert peer.codec.body(request) == b""
    peer.answer(hello(backend.protocol))
    assert client.response().body == b"hello"


@pytest.mark.better("the length of an SCGI request is that of what has come", on=("nginx",), when={"protocol": ["scgi"]})
def test_a_body_is_sent_while_it_comes_in(server, backend):
    client = server.connect()
    start = f"POST /{backend.protocol}/streamed/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n12345"
    client.send(start.encode())
    peer = backend.next(client)
    request = peer.head()
    assert request["CONTENT_LENGTH"] == "10"
    if backend.protocol == "fastcgi":
        assert peer.record().content == b"12345"
        client.send(b"67890")
        assert peer.record().content == b"67890"
        assert peer.record().content == b""
    else:
        assert peer._read(5) == b"12345"
        client.send(b"67890")
        assert peer._read(5) == b"67890"
    peer.answer(hello(backend.protocol))
    assert client.response().body == b"hello"


@pytest.mark.parametrize("protocol", ["uwsgi"])
def test_modifiers(server, backend):
    assert sent(server, backend, "/modified/x").modifiers == (5, 7)
    assert sent(server, backend, "/headers/x").modifiers == (0, 0)


@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_an_index(server, backend):
    assert sent(server, backend, "/index/")["SCRIPT_NAME"] == "/fastcgi/index/index.cgi"
    assert sent(server, backend, "/index/x")["SCRIPT_NAME"] == "/fastcgi/index/x"


# ---- connections ----


def test_a_backend_that_is_too_slow(server, backend):
    client, _, _ = ask(server, backend, "/slow/x")
    assert client.response().status == 504
    server.log.expect(r"upstream timed out \(110: Connection timed out\) while reading response header")


@pytest.mark.parametrize(("path", "address"), [("/bound/x", "127.0.0.2"), ("/varying/x?from=127.0.0.3", "127.0.0.3")])
def test_the_local_address_of_connections(server, backend, path, address):
    client, peer, _ = ask(server, backend, path)
    assert peer.socket.getpeername()[0] == address
    peer.answer(hello(backend.protocol))
    assert client.response().body == b"hello"


def test_a_client_that_leaves(server, backend):
    server.log.allow("client prematurely closed connection")
    client, peer, _ = ask(server, backend, "/headers/x")
    client.close()
    peer.discard()
    client, peer, _ = ask(server, backend, "/stays/x")
    client.close()
    # Another request has gone through the worker meanwhile: it has seen the close.
    sent(server, backend, "/headers/x")
    assert peer.waits()
    peer.answer(hello(backend.protocol))
    wait_until(lambda: [line for line in server.access_log() if "/stays/x" in line], "the request to end")


@pytest.mark.parametrize("protocol", ["fastcgi"])
@pytest.mark.parametrize(("path", "keeps"), [("/kept/x", True), ("/closed/x", False)])
def test_whether_an_application_is_asked_to_keep_its_connection(server, backend, path, keeps):
    assert sent(server, backend, path).keep == keeps


@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_text_on_standard_error_that_makes_a_response_an_invalid_one(server, backend):
    server.log.allow("Fatal error")
    client, peer, _ = ask(server, backend, "/caught/x")
    peer.send(stderr(b"PHP Fatal error: no memory") + peer.codec.answer(hello("fastcgi")))
    peer.close()
    assert client.response().status == 502
    client, peer, _ = ask(server, backend, "/caught/x")
    peer.send(stderr(b"a warning") + peer.codec.answer(hello("fastcgi")))
    peer.close()
    assert client.response().body == b"hello"
    server.log.expect("a warning")


# ---- files ----


def test_a_store(server, backend, protocol):
    body = b"to keep" * 1000
    data = with_fields(protocol, b"Content-Length: %d" % len(body), body=body)
    assert answered(server, backend, data, "/store/folder/x").body == body
    file = server.site.scratch / "store" / protocol / "store" / "folder" / "x"
    wait_until(file.exists, "the response to be stored")
    assert file.read_bytes() == body
    assert stat.S_IMODE(file.stat().st_mode) == 0o664


def test_a_response_that_is_larger_than_its_buffers(server, backend, protocol):
    """The backend is rid of it although the client does not read."""
    body = bytes(range(256)) * 4 * 4096
    client = server.connect(receive_buffer=4096)
    client.request("GET", f"/{protocol}/in-a-file/x")
    peer = backend.next(client)
    peer.request()
    peer.answer(with_fields(protocol, body=body))
    server.log.expect(rf"response is buffered to a temporary file \S+/{protocol}-temp/")
    assert client.response().body == body


@pytest.mark.parametrize("path", ["in-memory", "memory"])
def test_a_response_that_waits_for_its_client(server, backend, protocol, path):
    client = server.connect(receive_buffer=4096)
    client.request("GET", f"/{protocol}/{path}/x")
    peer = backend.next(client)
    peer.request()
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    peer.output(head(protocol))
    peer.socket.settimeout(0.3)
    block, count = bytes(65000), 0
    with pytest.raises(TimeoutError):
        while count < 2000:
            peer.output(block)
            count += 1
    server.log.allow("prematurely closed|reset by peer|Broken pipe")
    client.close()
    peer.discard()


# ---- another server of the group ----


@pytest.mark.parametrize("fails", ["busy", "closes"])
def test_the_next_server_is_asked(server, backend, spare, fails):
    server.log.allow("prematurely closed|before the end|upstream")
    for path, asked in (("/next/x", True), ("/never/x", False), ("/once/x", False)):
        client, peer, _ = ask(server, backend, path)
        if fails == "busy":
            peer.answer(with_fields(backend.protocol, status=b"503 Busy"))
        else:
            peer.close()
        if asked:
            second = spare.next(client)
            assert second.request()["REQUEST_URI"] == f"/{backend.protocol}{path}"
            second.answer(hello(backend.protocol))
            assert client.response().body == b"hello"
        else:
            assert client.response().status == (503 if fails == "busy" else 502)
            assert not spare.pending()


@pytest.mark.parametrize(("path", "asked"), [("/next/x", False), ("/posted/x", True)])
def test_a_request_that_changes_something_is_sent_twice_only_where_it_may(server, backend, spare, path, asked):
    client, peer, request = ask(server, backend, path, method="POST", body=b"12345")
    assert request.body == b"12345"
    peer.answer(with_fields(backend.protocol, status=b"503 Busy"))
    if asked:
        second = spare.next(client)
        assert second.request().body == b"12345"
        second.answer(hello(backend.protocol))
    assert client.response().status == (200 if asked else 503)
    assert asked or not spare.pending()


# ---- the cache: one zone belongs to one module, so there is one protocol here ----

cache = pytest.mark.parametrize("protocol", ["fastcgi"])


def cached(server, path, status, body=b"hello", method="GET", **kw):
    """The response without the backend."""
    response = server.request(method, f"/fastcgi{path}", **kw)
    assert (response.header("X-Cache"), response.body) == (status, body)
    return response


def filled(server, backend, path, *fields, status="MISS", body=b"hello", **kw):
    response = answered(server, backend, with_fields("fastcgi", *fields, body=body), path, **kw)
    assert (response.header("X-Cache"), response.body) == (status, body)
    return response


@cache
def test_a_cached_response(server, backend):
    filled(server, backend, "/cached/x", b"X-Kind: one", b"Accept-Ranges: bytes", b"Content-Length: 5")
    assert cached(server, "/cached/x", "HIT").header("X-Kind") == "one"
    assert cached(server, "/cached/x", "HIT", b"ell", headers=[("Range", "bytes=1-3")]).status == 206
    filled(server, backend, "/cached/y", body=b"another")
    cached(server, "/cached/x", "HIT")


@cache
@pytest.mark.better("the stock module has no default key: every request gets the same response")
def test_a_cache_without_a_key_tells_requests_apart(server, backend):
    answered(server, backend, with_fields("fastcgi", body=b"one"), "/keyless/a?x=1")
    answered(server, backend, with_fields("fastcgi", body=b"two"), "/keyless/a?x=2")
    assert [server.get(f"/fastcgi/keyless/a?x={x}").body for x in (1, 2)] == [b"one", b"two"]
    assert server.get("/fastcgi/keyless/a?x=1").header("X-Cache") == "HIT"


@cache
def test_a_cached_response_of_an_error(server, backend):
    assert answered(server, backend, with_fields("fastcgi", status=b"404 None"), "/cached/404").status == 404
    assert server.get("/fastcgi/cached/404").header("X-Cache") == "HIT"


@cache
def test_a_large_cached_response(server, backend):
    body = bytes(range(256)) * 4096
    filled(server, backend, "/cached/large", body=body)
    cached(server, "/cached/large", "HIT", body)


@cache
@pytest.mark.parametrize("field", [b"Cache-Control: no-store", b"Set-Cookie: a=b", b"Vary: *", b"X-Accel-Expires: 0"])
def test_responses_that_are_not_cached(server, backend, field):
    path = f"/cached/{field[:5].decode()}"
    filled(server, backend, path, field)
    filled(server, backend, path, field)


@cache
def test_requests_for_a_cache_are_unconditional(server, backend):
    """The cache decides what a condition or a range means, and it wants the whole response."""
    conditions = [("If-None-Match", '"a"'), ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:01 GMT"), ("Range", "bytes=0-0")]
    _, peer, request = ask(server, backend, "/cached/conditions", headers=conditions)
    for name in ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_RANGE"):
        assert name not in request
    peer.answer(hello("fastcgi"))


@cache
def test_a_key(server, backend):
    filled(server, backend, "/keyed/x?a=1")
    cached(server, "/keyed/x?a=2", "HIT")


@cache
def test_a_bypass_and_no_cache(server, backend):
    filled(server, backend, "/bypassed/x?fresh=0")
    cached(server, "/bypassed/x?fresh=0", "HIT")
    filled(server, backend, "/bypassed/x?fresh=1", status="BYPASS", body=b"fresh")
    filled(server, backend, "/bypassed/x?fresh=1", status="BYPASS", body=b"fresh")
    filled(server, backend, "/bypassed/y?secret=1")
    filled(server, backend, "/bypassed/y?secret=1")


@cache
def test_methods(server, backend):
    filled(server, backend, "/posts/x", method="POST")
    cached(server, "/posts/x", "HIT", method="POST", body=b"hello")
    response = answered(server, backend, hello("fastcgi"), "/cached/post", method="POST")
    assert response.header("X-Cache") is None


@cache
def test_a_response_is_kept_from_its_second_use_on(server, backend):
    filled(server, backend, "/twice/x")
    filled(server, backend, "/twice/x")
    cached(server, "/twice/x", "HIT")


def expired(server, backend, path):
    """An entry whose time is over: nginx counts in seconds."""
    filled(server, backend, path, b"Cache-Control: max-age=1", b'ETag: "one"', b"Last-Modified: Thu, 01 Jan 1970 00:00:01 GMT")
    start = server.get("/.ready").header("Date")
    wait_until(lambda: server.get("/.ready").header("Date") not in (start, None), "a second to pass")
    first = server.get("/.ready").header("Date")
    wait_until(lambda: server.get("/.ready").header("Date") != first, "another second to pass")


@cache
@pytest.mark.parametrize("fails", ["busy", "closes"])
def test_a_stale_response_is_better_than_none(server, backend, fails):
    server.log.allow("prematurely closed|before the end|reset by peer")
    path = f"/stale/{fails}"
    expired(server, backend, path)
    # What fails on a kept connection is tried again on a fresh one.
    backend.reset()
    client, peer, _ = ask(server, backend, path)
    if fails == "busy":
        peer.answer(with_fields("fastcgi", status=b"503 Busy"))
    else:
        peer.close()
    response = client.response()
    assert (response.status, response.body, response.header("X-Cache")) == (200, b"hello", "STALE")


@cache
def test_a_response_is_refreshed_in_the_background(server, backend):
    expired(server, backend, "/refreshed/x")
    client = server.connect()
    client.request("GET", "/fastcgi/refreshed/x")
    response = client.response()
    assert (response.body, response.header("X-Cache")) == (b"hello", "STALE")
    # The client has its answer first; the backend is asked behind it.
    peer = backend.next()
    peer.request()
    peer.answer(with_fields("fastcgi", b"Cache-Control: max-age=60", body=b"newer"))
    wait_until(lambda: server.get("/fastcgi/refreshed/x").body == b"newer", "the new response")
    cached(server, "/refreshed/x", "HIT", b"newer")


@cache
def test_an_expired_response_is_asked_for_with_a_condition(server, backend):
    expired(server, backend, "/asked/x")
    client, peer, request = ask(server, backend, "/asked/x")
    assert request["HTTP_IF_NONE_MATCH"] == '"one"'
    assert request["HTTP_IF_MODIFIED_SINCE"] == "Thu, 01 Jan 1970 00:00:01 GMT"
    peer.answer(b"Status: 304 Not Modified\r\nCache-Control: max-age=60\r\n\r\n")
    response = client.response()
    assert (response.status, response.body, response.header("X-Cache")) == (200, b"hello", "REVALIDATED")
    cached(server, "/asked/x", "HIT")


@cache
def test_one_request_fills_an_entry(server, backend):
    first, peer, _ = ask(server, backend, "/locked/x")
    second = server.connect()
    second.request("GET", "/fastcgi/locked/x")
    # A third request has gone through the worker: it has seen the second, too.
    server.get("/.ready")
    assert not backend.pending()
    peer.answer(hello("fastcgi"))
    assert first.response().header("X-Cache") == "MISS"
    response = second.response()
    assert (response.body, response.header("X-Cache")) == (b"hello", "HIT")
