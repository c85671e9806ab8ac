# SPDX-License-Identifier: MIT OR Apache-2.0
"""Backends that people run: libfcgi in C, flup, uWSGI with Flask, Perl's FCGI, a SCGI server in Python."""

import hashlib
import json
import threading

import pytest

from harness import programs
from harness.http2 import Reset

# mod_proxy_uwsgi and ours have no TLS to backends in httpd; mod_proxy's SSLProxy* is for schemes of its own.
OF_HTTPD = tuple(name for name in programs.NAMES if name != "suwsgi")


def configure(site, kind):
    site.http2 = True
    site.body_limit = 64 << 20
    site.threads_per_child = 32
    for name in programs.NAMES if kind.startswith("nginx") else OF_HTTPD:
        program = site.program(name, programs.named(name, site.scratch))
        tls = "gangway_ssl_verify off;" if name == "suwsgi" else ""
        site.passes(f"/{name}/", program, nginx=f"gangway_keepalive_timeout 1s; {tls}")


@pytest.fixture(params=programs.NAMES)
def name(request, kind):
    if request.param not in OF_HTTPD and not kind.startswith("nginx"):
        pytest.skip("uwsgi over TLS is nginx's")
    return request.param


def test_hello(server, name):
    client = server.connect()
    for _ in range(20):
        client.request("GET", f"/{name}/hello")
        response = client.response()
        assert (response.status, response.body) == (200, b"hello")
        assert response.header("Content-Type").startswith("text/plain")


def test_hello_over_http2(server, name):
    client = server.http2()
    streams = [client.send_head("GET", f"/{name}/hello") for _ in range(10)]
    for stream in streams:
        response = client.response(stream)
        assert (response.status, response.body) == (200, b"hello")


@pytest.mark.better("nginx passes `Proxy` on", on=("nginx",))
def test_variables(server, name):
    response = server.get(f"/{name}/env?a=1&b=%20", [("X-Field", "value"), ("Proxy", "http://evil")])
    found = json.loads(response.body)
    expected = {
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "a=1&b=%20",
        "REQUEST_URI": f"/{name}/env?a=1&b=%20",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_X_FIELD": "value",
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found.get("SCRIPT_NAME", "") + found.get("PATH_INFO", "") == f"/{name}/env"
    assert "HTTP_PROXY" not in found


@pytest.mark.better(
    "no length of a chunked body", when={"chunked": [True], "name": ["uwsgi", "suwsgi", "scgi", "flup-scgi"]}, strict=False
)
@pytest.mark.parametrize("size", [0, 1, 16_384, 65_535, 65_536, 99_000, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies(server, name, size, chunked):
    server.log.allow("client request body is buffered|response is buffered")
    if chunked and name in ("libfcgi", "perl", "flup-fastcgi") and server.kind.startswith("apache"):
        pytest.skip("httpd streams what has no length, and these read no more than CONTENT_LENGTH")
    body = bytes(n * 31 % 251 for n in range(251)) * (size // 251 + 1)
    body = body[:size]
    response = server.post(f"/{name}/echo", body, chunked=chunked)
    assert response.header("X-Length") == str(size)
    assert response.body == body


@pytest.mark.parametrize("size", [0, 1, 65_536, 5_000_001])
def test_large_responses(server, name, size):
    server.log.allow("response is buffered")
    expected = hashlib.sha256((bytes(range(256)) * (size // 256 + 1))[:size]).digest()
    assert hashlib.sha256(server.get(f"/{name}/large?size={size}").body).digest() == expected
    assert hashlib.sha256(server.http2().get(f"/{name}/large?size={size}").body).digest() == expected


def test_status_and_cookies(server, name):
    response = server.get(f"/{name}/missing")
    assert (response.status, response.body) == (404, b"nothing here")
    assert response.all("Set-Cookie") == ["a=1", "b=2"]


def test_a_redirect(server, name):
    response = server.get(f"/{name}/redirect")
    assert (response.status, response.header("Location")) == (303, "http://other.example/")


@pytest.mark.parametrize("name", ["libfcgi", "flup-fastcgi", "perl"])
def test_standard_error(server, name):
    assert server.get(f"/{name}/complain").body == b"complained"
    line = server.log.expect("a complaint of the application").raw
    assert "client" in line


def test_a_client_that_leaves_a_long_answer(server, name):
    """The backend serves the next request; nothing is held."""
    server.log.allow("client|upstream|GW07|GW05|AH\\d+|response is buffered|Traceback|Broken pipe|rror")
    for _ in range(5):
        client = server.connect(receive_buffer=4096)
        client.request("GET", f"/{name}/large?size=50000000")
        client.head()
        client.reset()
    second = server.http2()
    stream = second.send_head("GET", f"/{name}/large?size=50000000")
    second.until(lambda: second.streams[stream].body)
    second.cancel(stream)
    assert server.get(f"/{name}/hello").body == b"hello"


def test_many_clients_at_once(server, name):
    found, errors = [], []

    def ask(number):
        try:
            body = b"%d " % number * 500
            found.append(server.post(f"/{name}/echo", body).body == body)
        except (OSError, AssertionError, Reset) as error:
            errors.append(repr(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert found == [True] * 24
