# SPDX-License-Identifier: MIT OR Apache-2.0
"""X-Accel-* in responses of backends, programs and applications: what nginx makes of them."""

import threading
import time

import pytest

from harness import scripts

pytestmark = pytest.mark.servers("nginx", "nginx128")

RATE = 20_000
SIZE = 50_000


def configure(site, kind):
    site.http2 = True
    site.tls = True
    folder = scripts.Folder(site.scratch / "cgi")
    folder.python(
        "answer", 'out.write(bytes.fromhex(env["QUERY_STRING"]))\nout.flush()\nout.write(b"x" * %d)' % SIZE
    )
    site.nginx_http = f"gangway_cache_path {site.scratch}/cache keys_zone=kept:1m; charset_types *;"
    for name in ("fastcgi", "scgi", "uwsgi"):
        backend = site.recorder(name)
        site.passes(f"/{name}/", backend)
        site.passes(f"/now/{name}/", backend, nginx="gangway_buffering off;")
        site.passes(
            f"/ignored/{name}/",
            backend,
            nginx="gangway_ignore_headers X-Accel-Limit-Rate X-Accel-Expires X-Accel-Buffering X-Accel-Charset X-Accel-Redirect;",
        )
        site.passes(f"/kept/{name}/", backend, nginx="gangway_cache kept; gangway_cache_key $uri; add_header X-Cache $upstream_cache_status;")
    site.cgi("/cgi", folder)
    site.cgi("/now/cgi", folder, nginx="gangway_buffering off;")
    site.cgi("/ignored/cgi", folder, nginx="gangway_ignore_headers X-Accel-Limit-Rate X-Accel-Charset;")
    # nginx wants to know a charset from its configuration.
    site.location("/other/", nginx="charset utf-8;")
    site.wsgi("/wsgi", "accel_headers:app")
    files = site.scratch / "files"
    files.mkdir()
    files.chmod(0o755)
    (files / "a.txt").write_bytes(b"y" * SIZE)
    site.location("/static/", files=str(files), nginx="internal;")


WARM = ("/wsgi/x", "/cgi/answer?0a")
KINDS = ["fastcgi", "scgi", "uwsgi", "cgi", "wsgi"]


@pytest.fixture(autouse=True)
def spooling(server):
    server.log.allow("an upstream response is buffered to a temporary file")


@pytest.fixture
def answers(server):
    """Asks for a response with these fields."""

    def ask(place, fields, kind=None):
        kind = kind or place.rpartition("/")[2]
        head = "".join(f"{name}: {value}\r\n" for name, value in fields) + "Content-Type: text/plain\r\n\r\n"
        if kind in ("cgi", "wsgi"):
            return server.get(f"/{place}/answer?{head.encode().hex()}")
        first = "HTTP/1.1 200 OK\r\n" if kind == "uwsgi" else ""
        with server.site.backends[kind].serving(lambda request, peer: (first + head).encode() + b"x" * SIZE):
            return server.get(f"/{place}/x")

    return ask


def seconds(call):
    begun = time.monotonic()
    response = call()
    assert (response.status, len(response.body)) == (200, SIZE)
    assert not any(name.lower().startswith("x-accel") for name, _ in response.headers)
    return time.monotonic() - begun


@pytest.mark.parametrize("place", [*KINDS, *(f"now/{kind}" for kind in KINDS[:4])])
def test_limit_rate(answers, place):
    """So many bytes a second."""
    assert seconds(lambda: answers(place, [("X-Accel-Limit-Rate", RATE)])) > 0.9
    assert seconds(lambda: answers(place, [("X-Accel-Limit-Rate", 0)])) < 0.9


@pytest.mark.parametrize("how", ["at once", "parts", "head first", "event-stream", "length", "h2", "tls"])
@pytest.mark.parametrize("size", [3000, 150_000])
def test_limit_rate_of_fastcgi(server, size, how):
    kind = b"text/event-stream" if how == "event-stream" else b"text/plain"
    head = b"Content-Type: %s\r\nX-Accel-Limit-Rate: %d\r\n" % (kind, size // 3)
    if how == "length":
        head += b"Content-Length: %d\r\n" % size
    head += b"\r\n"

    begun_to_arrive = threading.Event()

    def answer(request, peer):
        if how == "head first":
            peer.output(head)
            assert begun_to_arrive.wait(20), "the head waits for its body"
            peer.output(b"x" * size)
        elif how == "parts":
            peer.output(head + b"x" * (size // 2))
            assert begun_to_arrive.wait(20), "the first part waits for the second one"
            peer.output(b"x" * (size // 2))
        else:
            return head + b"x" * size
        peer.end()

    with server.site.backends["fastcgi"].serving(answer):
        begun = time.monotonic()
        if how == "h2":
            response = server.http2().get("/fastcgi/x")
        else:
            with server.connect(*["tls"] * (how == "tls"), tls=how == "tls") as client:
                client.request("GET", "/fastcgi/x")
                response = client.head()
                begun_to_arrive.set()
                response.body = b"".join(client.blocks(response))
        took = time.monotonic() - begun
    assert (response.status, len(response.body)) == (200, size)
    assert took > 0.9, took


@pytest.mark.parametrize("by", KINDS)
def test_limit_rate_of_a_file(server, answers, by):
    server.log.allow("GW0803")  # nobody wants the body of such a response
    assert seconds(lambda: answers(by, [("X-Accel-Redirect", "/static/a.txt"), ("X-Accel-Limit-Rate", RATE)])) > 0.9


@pytest.mark.parametrize("by", KINDS[:4])
def test_an_ignored_limit(answers, by):
    assert seconds(lambda: answers(f"ignored/{by}", [("X-Accel-Limit-Rate", RATE)])) < 0.9


@pytest.mark.parametrize("by", KINDS[:4])
def test_charset(answers, by):
    response = answers(by, [("X-Accel-Charset", "utf-8")])
    assert response.header("Content-Type") == "text/plain; charset=utf-8"
    response = answers(f"ignored/{by}", [("X-Accel-Charset", "utf-8")])
    assert response.header("Content-Type") == "text/plain"


@pytest.mark.parametrize("by", KINDS[:3])
def test_expires(answers, by):
    server_says = lambda: answers(f"kept/{by}", [("X-Accel-Expires", "60")])
    assert [server_says().header("X-Cache") for _ in range(2)] == ["MISS", "HIT"]
