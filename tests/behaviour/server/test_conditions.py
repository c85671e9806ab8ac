# SPDX-License-Identifier: MIT OR Apache-2.0
"""Preconditions and ranges of requests that change something: the application has acted on them, and its answer is the
answer (RFC 9110, sections 13.2.1 and 14.2)."""

import pytest

from harness import scripts

ETAG = '"v2"'
MODIFIED = "Wed, 01 Jan 2025 00:00:00 GMT"
CONDITIONS = {
    "if-match": [("If-Match", '"v1"')],
    "if-none-match": [("If-None-Match", "*")],
    "if-none-match-same": [("If-None-Match", ETAG)],
    "if-unmodified-since": [("If-Unmodified-Since", "Wed, 01 Jan 2020 00:00:00 GMT")],
    "if-modified-since": [("If-Modified-Since", MODIFIED)],
    "range": [("Range", "bytes=0-2")],
    "ranges": [("Range", "bytes=0-1,3-4")],
    "range-beyond": [("Range", "bytes=999-")],
    "if-range": [("Range", "bytes=0-2"), ("If-Range", ETAG)],
}
ANSWER = f"Content-Length: 10\r\nETag: {ETAG}\r\nLast-Modified: {MODIFIED}\r\nAccept-Ranges: bytes\r\n\r\n0123456789"
PLACES = ["wsgi", "wsgi-plain", "cgi", "fastcgi", "scgi", "uwsgi"]
NGINX_PLACES = ["wsgi-now", "kept", "forced"]


def configure(site, kind):
    folder = scripts.Folder(site.scratch / "cgi")
    folder.python("answer", f"out.write({ANSWER.encode()!r})")
    site.wsgi("/wsgi", "conditions:app", params={"ACCEPT": "yes"})
    site.wsgi("/wsgi-plain", "conditions:app")
    site.cgi("/cgi", folder)
    for name in ("fastcgi", "scgi", "uwsgi"):
        site.passes(f"/{name}/", site.recorder(name))
    if kind.startswith("nginx"):
        site.nginx_http = f"gangway_cache_path {site.scratch}/cache keys_zone=kept:1m;"
        site.wsgi("/wsgi-now", "conditions:app", nginx="gangway_request_buffering off;")
        cache = "gangway_cache kept; gangway_cache_methods GET HEAD POST; gangway_cache_valid 200 1m; gangway_cache_key $request_method$uri;"
        site.passes("/kept/", site.backends["fastcgi"], nginx=cache)
        site.passes("/forced/", site.backends["fastcgi"], nginx="gangway_force_ranges on;")


WARM = ("/wsgi/x", "/cgi/answer")


@pytest.fixture
def ask(server):
    contexts = []
    for name in ("fastcgi", "scgi", "uwsgi"):
        first = "HTTP/1.1 200 OK\r\n" if name == "uwsgi" else ""
        answer = (first + "Content-Type: text/plain\r\n" + ANSWER).encode()
        context = server.site.backends[name].serving(lambda request, peer, answer=answer: answer)
        context.__enter__()
        contexts.append(context)

    def send(method, place, headers):
        path = f"/{place}/answer"
        return server.request(method, path, headers, None if method in ("GET", "HEAD") else b"body")

    yield send
    for context in contexts:
        context.__exit__(None, None, None)


@pytest.mark.parametrize("condition", list(CONDITIONS))
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("place", PLACES)
def test_the_answer_is_the_applications(ask, place, method, condition):
    response = ask(method, place, CONDITIONS[condition])
    assert (response.status, response.body) == (200, b"0123456789")
    assert response.header("ETag") == ETAG
    assert response.header("Content-Range") is None


@pytest.mark.servers("nginx", "nginx128")
@pytest.mark.parametrize("condition", list(CONDITIONS))
@pytest.mark.parametrize("place", NGINX_PLACES)
def test_whatever_nginx_does_with_the_response(ask, place, condition):
    for _ in range(2):
        response = ask("POST", place, CONDITIONS[condition])
        assert (response.status, response.body) == (200, b"0123456789")


@pytest.mark.servers("nginx", "nginx128")
@pytest.mark.parametrize("place", ["wsgi", "wsgi-plain", "kept"])
def test_of_get_they_are_nginxs(ask, place):
    assert ask("GET", place, [("If-None-Match", ETAG)]).status == 304
    if place != "wsgi":
        response = ask("GET", place, [("Range", "bytes=0-2")])
        assert (response.status, response.body) == (206, b"012")
        assert ask("GET", place, [("Range", "bytes=999-")]).status == 416


def test_the_application_sees_them(ask):
    response = ask("PUT", "wsgi", [("If-Match", '"v1"')])
    assert response.header("X-Seen") == '"v1"'
