# SPDX-License-Identifier: MIT OR Apache-2.0
"""Members of `req` that follow from others."""

import os
import time

import pytest

from conftest import replace_current

from mod_python import _derived, apache
from mod_python._server import numbers


@pytest.fixture
def request_of(make, transaction):
    def request_of(https=0, port=80, **more):
        transaction.figures[numbers["NUMBER_IS_HTTPS"]] = https
        transaction.figures[numbers["NUMBER_LOCAL_PORT"]] = port
        return make(**more)

    return request_of


@pytest.mark.parametrize(
    ("https", "port", "host", "url"),
    [
        (0, 80, "a.example", "http://a.example/x?y"),
        (0, 8080, "a.example:8080", "http://a.example:8080/x?y"),
        (1, 443, "a.example", "https://a.example/x?y"),
        (1, 80, "a.example:80", "https://a.example:80/x?y"),
        (0, 8080, "[::1]:81", "http://[::1]:81/x?y"),
        (0, 81, "[::1]", "http://[::1]/x?y"),
        # Behind a server that others ask for by its usual port.
        (0, 8080, "a.example", "http://a.example/x?y"),
        (1, 8443, "a.example", "https://a.example/x?y"),
        (0, 81, "a.example:evil", "http://a.example:81/x?y"),
        (0, 81, "a.example:99999", "http://a.example:81/x?y"),
    ],
)
def test_addresses(request_of, https, port, host, url):
    name = host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    assert request_of(https, port, headers={"Host": host}, HOSTNAME=name).construct_url("/x?y") == url


@pytest.mark.parametrize(
    ("target", "pieces"),
    [
        ("/a/b?c=d", (None, None, None, None, None, None, "/a/b", "c=d", None)),
        ("/a?", (None, None, None, None, None, None, "/a", "", None)),
        ("//a/b#c", (None, None, None, None, None, None, "//a/b", None, "c")),
        ("*", (None, None, None, None, None, None, "*", None, None)),
        ("http://u:p@h:81/a?b#c", ("http", "u:p@h:81", "u", "p", "h", 81, "/a", "b", "c")),
        ("http://[::1", (None, None, None, None, None, None, "/", None, None)),
    ],
)
def test_the_address_in_pieces(make, target, pieces):
    assert make(UNPARSED_URI=target).parsed_uri == pieces
    assert apache.URI_PATH == 6 and apache.URI_FRAGMENT == 8


def test_the_port_of_an_address_without_one_is_that_of_the_host_header(request_of):
    for host, port in (("localhost:8080", 8080), ("localhost", None), ("[::1]:81", 81), ("h:x", None)):
        assert request_of(0, 80, headers={"Host": host}, UNPARSED_URI="/a").parsed_uri[apache.URI_PORT] == port


def test_variables(request_of, transaction):
    request = request_of(
        1,
        443,
        headers={
            "Host": "h",
            "Proxy": "http://evil",
            "Authorization": "Basic x",
            "X_Forwarded_For": "evil",
            "Content-Type": "text/plain",
            "Content-Length": "5",
            "X-Own": "1",
        },
        HOSTNAME="h",
        URI="/s.py/a\nb",
        PATH_INFO="/a\nb",
        FILENAME="/www/s.py",
        DOCUMENT_ROOT="/www",
    )
    request.headers_in.add("x-own", "2")
    request.headers_in.add("Cookie", "a=1")
    request.headers_in.add("Cookie", "b=2")
    request.add_common_vars()
    env = dict(request.subprocess_env.items())
    assert env["SCRIPT_NAME"] == "/s.py" and env["PATH_INFO"] == "/a\nb" and env["SCRIPT_FILENAME"] == "/www/s.py"
    assert env["CONTENT_TYPE"] == "text/plain" and env["CONTENT_LENGTH"] == "5" and env["HTTP_X_OWN"] == "1, 2"
    assert env["HTTP_COOKIE"] == "a=1; b=2" and env["HTTPS"] == "on" and env["SERVER_PORT"] == "443"
    for name in ("HTTP_PROXY", "HTTP_AUTHORIZATION", "HTTP_X_FORWARDED_FOR", "HTTP_CONTENT_TYPE", "REMOTE_USER", "AUTH_TYPE"):
        assert name not in env


def test_variables_of_wsgi(request_of):
    request = request_of(URI="/app/x", PATH_INFO="", options={"mod_python.wsgi.base_uri": "/app"})
    request.subprocess_env["OWN"] = "1"
    env = request.build_wsgi_env()
    assert (env["SCRIPT_NAME"], env["PATH_INFO"], env["OWN"]) == ("/app", "/x", "1")
    assert request_of(URI="/apple", options={"mod_python.wsgi.base_uri": "/app"}).build_wsgi_env() is None
    assert request_of(URI="/a").build_wsgi_env()["PATH_INFO"] == "/a"
    with pytest.raises(ValueError, match="base_uri"):
        request_of(options={"mod_python.wsgi.base_uri": "/app/"}).build_wsgi_env()


def test_files(make, tmp_path):
    path = tmp_path / "f.txt"
    path.write_text("12345")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    request = make(FILENAME=str(path))
    info = request.finfo
    assert info.size == info[apache.FINFO_SIZE] == 5 and info.filetype == apache.APR_REG and info.name == "f.txt"
    assert info.mtime == 1_000_000_000 and info.fname == str(path) and info.valid
    assert make(FILENAME=str(tmp_path)).finfo.filetype == apache.APR_DIR
    assert make(FILENAME=str(tmp_path / "none")).finfo[apache.FINFO_FILETYPE] == apache.APR_NOFILE
    request.finfo = apache.stat(str(tmp_path), apache.APR_FINFO_MIN)
    assert request.finfo.filetype == apache.APR_DIR
    with pytest.raises(OSError):
        apache.stat(str(tmp_path / "none"), 0)
    request = make(FILENAME=str(path))
    request.set_etag()
    assert request.headers_out["ETag"] == '"5-38d7ea4c68000"'
    path.write_text("1")
    request.set_etag()
    assert request.headers_out["ETag"].startswith('W/"1-')
    other = make(FILENAME=str(tmp_path))
    other.headers_out.clear()
    other.set_etag()
    assert "ETag" not in other.headers_out


def test_dates(make):
    request = make()
    request.set_last_modified()
    assert "Last-Modified" not in request.headers_out
    request.update_mtime(1_000_000_000)
    request.update_mtime(5)
    assert request.mtime == 1_000_000_000
    request.set_last_modified()
    assert request.headers_out["Last-Modified"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    request.update_mtime(time.time() + 5000)
    request.set_last_modified()
    assert request.headers_out["Last-Modified"] <= _derived.formatdate(time.time() + 5, usegmt=True)


def test_a_body_that_nobody_wants(make):
    request = make(b"x" * 200_000)
    assert request.discard_request_body() == apache.OK and request.read() == b""


def test_methods_that_are_allowed(make):
    """By name and by number, and by the function of the module, which needs no request while a handler runs."""
    req = make()
    req.allow_methods(["HEAD", "get", apache.M_POST], 1)
    assert req.allowed_methods == ("GET", "POST")
    req.allow_methods(apache.M_DELETE)
    apache.allow_methods(req, "PUT")
    before = replace_current(req)
    try:
        apache.allow_methods(apache.M_OPTIONS, "PATCH")
    finally:
        replace_current(before)
    assert req.allowed_methods == ("GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH")
    for wrong in ("BREW", 99, None):
        with pytest.raises(ValueError):
            req.allow_methods([wrong])
    with pytest.raises(RuntimeError):
        apache.allow_methods("GET")
