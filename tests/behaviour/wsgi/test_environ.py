# SPDX-License-Identifier: MIT OR Apache-2.0
"""environ: PEP 3333 "environ Variables", RFC 3875 section 4.1."""

import json

import pytest

from harness import applications

WARM = applications.PEP3333_WARM


def configure(site, kind):
    applications.pep3333(site, kind)
    site.tls = True
    site.wsgi("/one", "pep3333:env_app", threads=1)
    site.wsgi(
        "/params",
        "pep3333:app",
        params={"PLAIN": "value", "SPACED": "two words; and 'quotes'", "SERVER_SOFTWARE": "mine", "LATIN": "é"},
    )


def environ(server, path="/app/env", method="GET", headers=(), body=None, **kw):
    response = server.request(method, path, headers, body, **kw)
    assert response.status == 200, response
    return json.loads(response.body)


def test_types_are_those_of_the_pep(server):
    for path in ("/app/types", "/app/types?%ff=%00", "/checked/types"):
        assert server.get(path).text == ""
    assert server.post("/app/types", b"x", [("Content-Type", "a/b"), ("X-Latin", "\xe9\xff")]).text == ""
    assert server.http2().get("/app/types").text == ""


def test_request_line(server):
    found = environ(server, "/app/env/a%20b/c?x=%20y&z=?&&", "PROPFIND")
    assert found["REQUEST_METHOD"] == "PROPFIND"
    assert found["QUERY_STRING"] == "x=%20y&z=?&&"
    assert found["REQUEST_URI"] == "/app/env/a%20b/c?x=%20y&z=?&&"
    assert found["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/app", "/env/a b/c")
    assert found["wsgi.url_scheme"] == "http"
    assert "HTTPS" not in found
    assert environ(server)["QUERY_STRING"] == ""


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "REPORT"])
def test_methods_reach_the_application(server, method):
    assert environ(server, method=method)["REQUEST_METHOD"] == method


def test_protocol_versions(server):
    assert environ(server, version="HTTP/1.0")["SERVER_PROTOCOL"] == "HTTP/1.0"
    found = json.loads(server.http2().get("/app/env?a=b").body)
    assert found["SERVER_PROTOCOL"] in ("HTTP/2.0", "HTTP/2")
    assert found["REQUEST_URI"] == "/app/env?a=b"
    assert found["HTTP_HOST"] == "localhost"
    assert found["wsgi.url_scheme"] == "http"


def test_tls(server):
    found = environ(server, port="tls")
    assert (found["wsgi.url_scheme"], found["HTTPS"], found["REQUEST_SCHEME"]) == ("https", "on", "https")
    assert found["SERVER_PORT"] == str(server.ports["tls"])
    over2 = json.loads(server.http2("tls", tls=True).get("/app/env").body)
    assert (over2["wsgi.url_scheme"], over2["HTTPS"]) == ("https", "on")


def test_addresses(server):
    client = server.connect()
    client.request("GET", "/app/env")
    found = json.loads(client.response().body)
    address, port = client.socket.getsockname()
    assert (found["REMOTE_ADDR"], found["REMOTE_PORT"]) == (address, str(port))
    assert (found["SERVER_ADDR"], found["SERVER_PORT"]) == ("127.0.0.1", str(server.port))
    assert found["SERVER_NAME"] == "localhost"
    assert found["SERVER_SOFTWARE"].lower().startswith(("nginx/1.", "apache/2.4"))
    assert found["GATEWAY_INTERFACE"] == "CGI/1.1"
    assert found["DOCUMENT_ROOT"] == str(server.folder / "htdocs")


def test_body_headers(server):
    bare = environ(server)
    assert "CONTENT_TYPE" not in bare or bare["CONTENT_TYPE"] == ""
    assert bare.get("CONTENT_LENGTH", "") == ""
    found = environ(server, method="POST", body=b"12345", headers=[("Content-Type", "text/x; y=z")])
    assert (found["CONTENT_TYPE"], found["CONTENT_LENGTH"]) == ("text/x; y=z", "5")
    assert "HTTP_CONTENT_TYPE" not in found
    assert "HTTP_CONTENT_LENGTH" not in found


def test_a_chunked_body_has_no_length_or_the_right_one(server):
    found = environ(server, method="POST", body=[b"123", b"45"])
    assert found.get("CONTENT_LENGTH", "5") == "5"
    assert "HTTP_TRANSFER_ENCODING" not in found
    assert found["wsgi.input_terminated"] == ["bool", "True"]


def test_headers(server):
    headers = [
        ("X-Simple", "value"),
        ("x-lower-case", "l"),
        ("Accept", "a/b"),
        ("Accept", "c/d"),
        ("Cookie", "one=1"),
        ("Cookie", "two=2"),
        ("X-Bytes", "\xe9\xff\x80"),
        ("X-Empty", ""),
        ("X-Long", "l" * 3000),
        ("X-Blanks", "  in \t side  "),
        ("User-Agent", 'a "quoted" agent'),
    ]
    found = environ(server, headers=headers)
    assert found["HTTP_X_SIMPLE"] == "value"
    assert found["HTTP_X_LOWER_CASE"] == "l"
    assert found["HTTP_ACCEPT"] == "a/b, c/d"
    assert found["HTTP_COOKIE"] == "one=1; two=2"
    assert found["HTTP_X_BYTES"] == "\xe9\xff\x80"
    assert found["HTTP_X_EMPTY"] == ""
    assert found["HTTP_X_LONG"] == "l" * 3000
    assert found["HTTP_X_BLANKS"] == "in \t side"
    assert found["HTTP_USER_AGENT"] == 'a "quoted" agent'
    assert found["HTTP_HOST"] == "localhost"


def test_cookies_of_several_lines(server):
    lines = ["one=1; two=2", "three=Wed, 21 Oct", 'four="a, b=c"', "five="]
    found = environ(server, headers=[("Cookie", line) for line in lines])
    assert found["HTTP_COOKIE"] == "; ".join(lines), "RFC 9113 section 8.2.3"


def test_http2_cookies_are_one_header(server):
    headers = [("cookie", "one=1"), ("cookie", "two=2"), ("accept", "a/b"), ("accept", "c/d")]
    found = json.loads(server.http2().get("/app/env", headers).body)
    assert (found["HTTP_COOKIE"], found["HTTP_ACCEPT"]) == ("one=1; two=2", "a/b, c/d")


@pytest.mark.parametrize(
    ("path", "info"),
    [
        ("/app/env", "/env"),
        ("/app/env/", "/env/"),
        ("/app/env/%C3%A9", "/env/\xc3\xa9"),  # UTF-8 bytes, each as a latin-1 character
        ("/app/env/%E9", "/env/\xe9"),
        ("/app/env/a+b", "/env/a+b"),
        ("/app/env/a%3Fb%23c%25", "/env/a?b#c%"),
        ("/app/env/%0a%0Db", "/env/\n\rb"),
        ("/app/env/a%0", None),
        ("/app/env/a;b=c", "/env/a;b=c"),
        ("/app/x/../env", "/env"),
        ("/app/./env", "/env"),
        ("/app//env", "/env"),
        ("/app/env//a", "/env/a"),
        ("/other/../app/env", "/env"),
        ("/app/env/..%2f", None),
    ],
)
def test_paths_are_decoded_once_and_split_right(server, path, info):
    response = server.get(path)
    if info is None:
        assert response.status in (400, 403, 404)
        server.log.allow("error")
        return
    found = json.loads(response.body)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/app", info)
    assert found["REQUEST_URI"] == path


def test_the_absolute_form_of_the_request_target(server):
    client = server.connect()
    client.send("GET http://localhost/app/env?q=1 HTTP/1.1\r\nHost: ignored.example\r\nConnection: close\r\n\r\n")
    found = json.loads(client.response().body)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"], found["QUERY_STRING"]) == ("/app", "/env", "q=1")


def test_process_facts(server):
    found = environ(server)
    assert found["wsgi.multithread"] == ["bool", "True"]
    assert found["wsgi.run_once"] == ["bool", "False"]
    assert found["wsgi.version"] == ["tuple", "(1, 0)"]
    assert environ(server, "/one")["wsgi.multithread"] == ["bool", "False"]


@pytest.mark.parametrize("workers", [1, 2])
def test_other_processes_may_run_the_application(launch, workers):
    """Also with one worker: after a reload the old one finishes beside the new one."""

    def several(site):
        site.workers = workers
        site.wsgi("/app", "pep3333:app")

    assert environ(launch(several))["wsgi.multiprocess"] == ["bool", "True"]


@pytest.mark.servers("nginx", "nginx128")
@pytest.mark.in_process("an application in a process of its own may have another one beside it, as at a restart")
def test_without_a_master_there_is_one_process(launch):
    def single(site):
        site.master = False
        site.wsgi("/app", "pep3333:app")

    assert environ(launch(single))["wsgi.multiprocess"] == ["bool", "False"]


@pytest.mark.servers("apache-worker", "apache-prefork")
@pytest.mark.in_process("threads and processes are those of the MPM; processes of its own say what `threads=` says")
def test_the_other_mpms(launch, kind):
    found = environ(launch(lambda site: site.wsgi("/app", "pep3333:app")))
    assert found["wsgi.multithread"] == ["bool", str(kind == "apache-worker")]
    assert found["wsgi.multiprocess"] == ["bool", "True"]


def test_params_add_and_override(server):
    found = environ(server, "/params/env")
    assert found["PLAIN"] == "value"
    assert found["SPACED"] == "two words; and 'quotes'"
    assert found["SERVER_SOFTWARE"] == "mine"
    assert found["LATIN"] == "\xc3\xa9"
    assert "PLAIN" not in environ(server)


@pytest.mark.not_behind_pass("httpd gives to backends what it gives to programs, of its own environment PATH", on="apache")
def test_the_host_environment_is_not_in_the_request(server):
    """os.environ is the process's; the request's variables come from the request."""
    found = environ(server)
    assert "PATH" not in found
    assert not [name for name in found if name.startswith("GW_")]
