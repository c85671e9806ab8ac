# SPDX-License-Identifier: MIT OR Apache-2.0
"""A request whose first handler fails or sends it on: the next one gets all of the body, or the client gets an error."""

import hashlib
import json

import pytest

from harness import gateway, places, scripts, wire
from harness.recorder import NoConnection
from harness.upstreams import head

pytestmark = pytest.mark.servers("nginx", "nginx128")

SIZE = 300_000
BODY = bytes(range(256)) * (SIZE // 256 + 1)
BODY = BODY[:SIZE]
SHA256 = hashlib.sha256(BODY).hexdigest()
STREAMED = "gangway_request_buffering off;"
FIRST = {
    "fastcgi": "{pass_}; gangway_request_buffering off;",
    "scgi": "{pass_}; gangway_request_buffering off;",
    "proxy": "proxy_pass http://127.0.0.1:{port}; proxy_request_buffering off; proxy_http_version 1.1;",
    "whole": "{pass_};",
}
NEXT = ["wsgi", "wsgi-now", "fastcgi", "fastcgi-now", "scgi", "scgi-now", "uwsgi-now", "cgi", "cgi-now"]


def configure(site, kind):
    site.http2 = True
    site.body_limit = 4 << 20
    dead = places.free_port()
    folder = scripts.Folder(site.scratch / "cgi")
    digest = """
import hashlib
body = sys.stdin.buffer.read()
seen = {"length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "method": env["REQUEST_METHOD"]}
out.write(b"Content-Type: text/plain\\n\\n" + json.dumps(seen).encode())
"""
    folder.python("digest", digest)
    folder.shell("hello", "echo; echo hello")
    folder.python(
        "taken", 'sys.stdin.buffer.read(5)\nout.write(b"X-Accel-Redirect: %s\\n\\n" % env["QUERY_STRING"][3:].encode())'
    )
    for name in ("fastcgi", "scgi", "uwsgi"):
        site.recorder(name)
    site.wsgi("/warm", "bodies:app")
    for now in ("", "-now"):
        extra = STREAMED if now else ""
        site.wsgi(f"@wsgi{now}", "bodies:digest", kind="named", nginx=extra)
        run = f"root {folder}; rewrite ^ /digest break; gangway_cgi on; {extra}"
        site.location(f"@cgi{now}", kind="named", nginx=run)
        for name in ("fastcgi", "scgi", "uwsgi"):
            site.passes(f"@{name}{now}", site.backends[name], kind="named", nginx=extra)
        for first, words in FIRST.items():
            scheme = "scgi" if first == "scgi" else "fastcgi"
            lines = words.format(pass_=f"gangway_pass {scheme}://127.0.0.1:{dead}", port=dead)
            for then in ("wsgi", "cgi", "fastcgi", "scgi", "uwsgi"):
                site.location(f"/{first}/{then}{now}/", nginx=f"{lines} error_page 502 = @{then}{now};")
    site.passes("/page/", f"fastcgi://127.0.0.1:{dead}", nginx=f"{STREAMED} error_page 502 = /inside/digest;")
    site.passes("/cut/", site.recorder("fastcgi", name="cut"), nginx=f"{STREAMED} error_page 502 = @wsgi;")
    site.passes("/cut-page/", site.backends["cut"], nginx=f"{STREAMED} error_page 502 = /inside/method;")
    site.passes("/accel/", site.backends["cut"], nginx=STREAMED)
    site.wsgi("/fails/", "bodies:app", nginx=f"{STREAMED} error_page 500 @wsgi;")
    site.wsgi("/accel-wsgi/", "bodies:app", nginx=STREAMED)
    site.cgi("/accel-cgi", folder, nginx=STREAMED)
    site.location("/twice/", nginx=f"{FIRST['proxy'].format(port=dead)} error_page 502 = @again; recursive_error_pages on;")
    site.passes("@again", f"fastcgi://127.0.0.1:{dead}", kind="named", nginx=f"{STREAMED} error_page 502 = @wsgi; recursive_error_pages on;")
    site.wsgi("/inside/", "bodies:app", nginx="internal;")
    site.wsgi("/inside-now/", "bodies:app", nginx=f"internal; {STREAMED}")
    (site.scratch / "files").mkdir()
    (site.scratch / "files" / "a.txt").write_text("a file")
    (site.scratch / "files").chmod(0o755)
    site.static("/files/", site.scratch / "files", nginx="internal;")
    site.wsgi("/small/", "bodies:app", nginx=f"{STREAMED} client_max_body_size 20000; error_page 413 @wsgi;")


WARM = ("/warm/method", "/accel-cgi/hello")


@pytest.fixture(autouse=True)
def explained(request):
    if "server" in request.fixturenames:
        server = request.getfixturevalue("server")
        server.log.allow(r"Connection refused|while connecting to upstream|GW0507")


@pytest.fixture
def backends(server):
    """Answers every request with what came of its body."""

    def answer(request, peer):
        body = request.body
        seen = {"length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "method": request["REQUEST_METHOD"]}
        return head(peer.codec.scheme) + json.dumps(seen).encode()

    running = []
    for name in ("fastcgi", "scgi", "uwsgi"):
        context = server.site.backends[name].serving(answer)
        context.__enter__()
        running.append(context)
    yield
    for context in running:
        context.__exit__(None, None, None)


def post(server, path, form, body=BODY):
    if form == "h2":
        return server.http2().request("POST", path, [("content-length", str(len(body)))], body)
    if form == "h2-open":
        return server.http2().request("POST", path, [], body)
    if form == "chunked":
        return server.post(path, [body[at : at + 10_000] for at in range(0, len(body), 10_000)])
    return server.post(path, body)


def whole(response):
    assert response.status == 200, response
    assert json.loads(response.body) == {"length": SIZE, "sha256": SHA256, "method": "POST"}


@pytest.mark.parametrize("form", ["length", "chunked", "h2", "h2-open"])
@pytest.mark.parametrize("then", NEXT)
def test_the_next_handler_gets_all_of_the_body(server, backends, then, form):
    whole(post(server, f"/fastcgi/{then}/", form))


@pytest.mark.parametrize("form", ["length", "h2"])
@pytest.mark.parametrize("then", ["wsgi", "wsgi-now", "fastcgi", "fastcgi-now", "cgi"])
@pytest.mark.parametrize("first", ["scgi", "proxy", "whole"])
def test_it_does_not_matter_which_one_has_failed(server, backends, first, then, form):
    whole(post(server, f"/{first}/{then}/", form))


@pytest.mark.parametrize("form", ["length", "chunked", "h2"])
def test_two_fall_backs(server, form):
    whole(post(server, "/twice/", form))


def test_a_connection_goes_on_after_a_fall_back(server):
    with server.connect() as client:
        for _ in range(3):
            client.request("POST", "/fastcgi/wsgi/", body=BODY)
            whole(client.response())


def test_a_body_that_comes_slowly(server, backends):
    for then in ("wsgi", "wsgi-now", "fastcgi", "cgi"):
        with server.connect() as client:
            client.send(f"POST /fastcgi/{then}/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n")
            for at in range(0, SIZE, 50_000):
                client.send(BODY[at : at + 50_000])
            whole(client.response())


@pytest.mark.parametrize("form", ["length", "chunked", "h2"])
def test_an_error_page_by_uri_gets_all_of_it_as_well(server, form):
    """nginx makes a GET of it, and keeps the body."""
    response = post(server, "/page/x", form)
    assert json.loads(response.body) == {"length": SIZE, "sha256": SHA256, "method": "GET"}


def cut(server, path, body=BODY):
    """The first backend takes a part of the body and closes the connection."""
    backend = server.site.backends["cut"]
    backend.reset()
    client = server.connect()
    client.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n")
    client.send(body[:9000])
    peer = backend.next(client)
    peer.head()
    peer.record()
    return client, peer


def test_a_body_that_a_backend_has_taken_is_an_error(server):
    server.log.allow("GW0703|prematurely closed|reset by peer|Broken pipe")
    client, peer = cut(server, "/cut/x")
    peer.close()
    client.send(BODY[9000:])
    assert client.response().status == 502
    server.log.expect("GW0507")


def test_an_error_page_needs_no_body(server):
    server.log.allow("GW0703|prematurely closed|reset by peer|Broken pipe")
    client, peer = cut(server, "/cut-page/x")
    peer.close()
    client.send(BODY[9000:])
    response = client.response()
    assert (response.status, response.body) == (200, b"GET")


def test_an_application_that_fails_in_the_middle(server):
    server.log.allow("GW0306")
    with server.connect() as client:
        client.request("POST", "/fails/fails", body=BODY)
        assert client.response().status == 500
    server.log.expect("GW0306")
    if not server.site.elsewhere:
        server.log.expect("GW0507")


@pytest.mark.parametrize("to", ["/files/a.txt", "/inside/method", "/inside-now/method"])
@pytest.mark.parametrize("by", ["fastcgi", "wsgi", "cgi"])
def test_x_accel_redirect_after_a_part_of_the_body(server, by, to):
    if by == "fastcgi":
        client, peer = cut(server, "/accel/x")
        peer.answer(b"X-Accel-Redirect: %s\r\n\r\n" % to.encode())
    else:
        path = f"/accel-wsgi/accel?to={to}" if by == "wsgi" else f"/accel-cgi/taken?to={to}"
        client = server.connect()
        client.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n")
        client.send(BODY[:9000])
    client.send(BODY[9000:])
    response = client.response()
    if to == "/files/a.txt":
        assert (response.status, response.body) == (200, b"a file")
    else:
        # No second application.
        assert response.status == 500
        server.log.expect("GW0508")


def test_a_chunked_body_that_is_too_large(server):
    """The error page's own location has the whole body, or the client its error."""
    response = post(server, "/small/digest", "chunked")
    assert response.status == 413
    server.log.expect("client intended to send too large")
