# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which variables a backend receives: RFC 3875 section 4, gangway_param, and lengths around every limit of the codings."""

import itertools

import pytest

from harness import upstreams
from harness.gateway import BEGIN_REQUEST, PARAMS, RESPONDER, STDIN
from harness.upstreams import hello, sent

LIMITS_NGINX = "large_client_header_buffers 8 256k; client_header_buffer_size 4k;"
LIMITS_APACHE = "LimitRequestFieldSize 300000\nLimitRequestLine 300000"


def configure(site, kind):
    site.http2 = True
    site.nginx_server = LIMITS_NGINX
    site.apache_main = LIMITS_APACHE
    upstreams.recorders(site, params={"FROM_CONFIG": "as configured"})


def lengths(server, backend, length, *, announced):
    """nginx knows how long a body is before it connects. httpd streams what has no Content-Length where the protocol can."""
    streams = backend.protocol == "fastcgi" and server.kind.startswith("apache") and not announced
    return (str(length), None, "") if streams else (str(length),)


@pytest.mark.better("httpd's SCGI has no GATEWAY_INTERFACE", on=("apache",), when={"protocol": ["scgi"]})
@pytest.mark.better(
    "httpd's SCGI and uwsgi need Content-Length", on=("apache",), when={"protocol": ["uwsgi"], "port": ["http2"]}
)
@pytest.mark.parametrize("port", ["http", "http2"])
def test_the_variables_of_rfc_3875_are_there(server, backend, port):
    path = f"/{backend.protocol}/a%20b/c?x=1&y=%2F"
    fields = [("Content-Type", "text/x-test"), ("X-Custom-Field", "value"), ("Cookie", "a=b")]
    host = f"localhost:{server.ports[port]}"
    if port == "http":
        client = server.connect()
        client.request("POST", path, fields, b"12345", host=host)
    else:
        client = server.http2()
        stream = client.send_head("POST", path, [(k.lower(), v) for k, v in fields], end=False, host=host)
        client.send_body(stream, b"12345")
    peer = backend.accept()
    request = peer.request()
    peer.answer(hello(backend.protocol))
    response = client.response() if port == "http" else client.response(stream)
    assert (response.status, response.body) == (200, b"hello")
    expected = {
        "REQUEST_METHOD": "POST",
        "QUERY_STRING": "x=1&y=%2F",
        "REQUEST_URI": path,
        "SERVER_PROTOCOL": "HTTP/1.1" if port == "http" else "HTTP/2.0",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": str(server.ports[port]),
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(client.socket.getsockname()[1]),
        "CONTENT_TYPE": "text/x-test",
        "DOCUMENT_ROOT": str(server.folder / "htdocs"),
        "HTTP_HOST": host,
        "HTTP_X_CUSTOM_FIELD": "value",
        "HTTP_COOKIE": "a=b",
        "FROM_CONFIG": "as configured",
        "GATEWAY_INTERFACE": "CGI/1.1",
    }
    assert {name: request.get(name) for name in expected} == expected
    assert request.path == f"/{backend.protocol}/a b/c"
    assert request["SERVER_SOFTWARE"].startswith(("nginx/", "Apache"))
    assert request.body == b"12345"
    assert request.get("CONTENT_LENGTH") in lengths(server, backend, 5, announced=port == "http")
    names = [name for name, _ in request.variables]
    assert len(names) == len(set(names)), "a variable was sent twice"


@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_script_filename_is_there_without_an_include(server, backend):
    request = sent(server, backend, "/dir/script.cgi")
    filename = request["SCRIPT_FILENAME"]
    if server.kind.startswith("nginx"):
        assert filename == str(server.folder / "htdocs/fastcgi/dir/script.cgi")
    else:
        # mod_proxy_fcgi's spelling for what is not below the document root; php-fpm strips the prefix.
        assert filename == f"proxy:fcgi://{backend.where}/fastcgi/dir/script.cgi"


def test_a_request_without_body_and_query(server, backend):
    request = sent(server, backend)
    assert request.get("QUERY_STRING") == ""
    assert request.get("CONTENT_LENGTH", "") in ("", "0")
    assert request.get("CONTENT_TYPE", "") == ""
    assert "HTTP_CONTENT_LENGTH" not in request
    assert "HTTP_CONTENT_TYPE" not in request
    assert request.body == b""


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
def test_every_method_arrives(server, backend, method):
    assert sent(server, backend, method=method)["REQUEST_METHOD"] == method


@pytest.mark.better("httpd joins cookies as lists; nginx's own modules send the variable twice", strict=False)
def test_cookies_of_several_lines_are_one(server, backend):
    lines = ["one=1; two=2", "three=Wed, 21 Oct", 'four="a, b=c"']
    fields = [("Cookie", line) for line in lines] + [("Accept", "a/b"), ("Accept", "c/d")]
    request = sent(server, backend, headers=fields)
    assert request["HTTP_COOKIE"] == "; ".join(lines), "RFC 9113 section 8.2.3"
    assert request["HTTP_ACCEPT"] == "a/b, c/d", "RFC 9110 section 5.3"


def test_header_bytes_arrive_as_they_were_sent(server, backend):
    value = bytes(byte for byte in range(0x21, 0x100) if byte != 0x7F)
    request = sent(server, backend, headers=[("X-Bytes", value)])
    assert request.bytes("HTTP_X_BYTES") == value


@pytest.mark.better(
    "httpd's SCGI and uwsgi need Content-Length", on=("apache",), when={"protocol": ["scgi", "uwsgi"]}
)
def test_a_chunked_body_arrives_without_its_framing(server, backend):
    request = sent(server, backend, method="POST", body=[b"abc", b"defgh"])
    assert request.body == b"abcdefgh"
    assert request.get("CONTENT_LENGTH") in lengths(server, backend, 8, announced=False)
    assert "HTTP_CONTENT_LENGTH" not in request


@pytest.mark.better("nginx passes `Proxy` on", on=("nginx",))
def test_httpoxy(server, backend):
    request = sent(server, backend, headers=[("Proxy", "http://evil.example/"), ("PROXY", "x")])
    assert "HTTP_PROXY" not in request
    assert not [value for _, value in request.variables if b"evil" in value]


@pytest.mark.parametrize("name", ["X_Forwarded_For", "X-Forwarded_For", "Content_Length", "Remote_User", "X.Dotted-"])
def test_names_with_a_second_spelling_are_dropped(server, backend, name):
    request = sent(server, backend, headers=[(name, "7")])
    assert not [key for key, value in request.variables if value == b"7"]


def test_no_user_without_authentication(server, backend):
    request = sent(server, backend, headers=[("Authorization", "Basic YWRtaW46eA==")])
    assert "AUTH_TYPE" not in request
    assert request.get("REMOTE_USER", "") == ""


def test_a_client_cannot_choose_variables_of_the_gateway(server, backend):
    names = ["Redirect-Status", "Script-Filename", "PHP-Value", "Document-Root", "Gateway-Interface"]
    request = sent(server, backend, headers=[(name, "evil") for name in names])
    assert {key for key, value in request.variables if value == b"evil"} == {
        b"HTTP_" + name.upper().replace("-", "_").encode() for name in names
    }


LENGTHS = [0, 1, 126, 127, 128, 129, 255, 256, 257, 16383, 16384, 32767, 32768, 60_000, 65535, 65536, 65537, 100_000]


@pytest.mark.better(
    "nginx sends one PARAMS record",
    on=("nginx",),
    when={"protocol": ["fastcgi"], "length": [65535, 65536, 65537, 100_000]},
)
@pytest.mark.better(
    "httpd leaves such variables out",
    on=("apache",),
    when={"protocol": ["fastcgi"], "length": [n for n in LENGTHS if n > 16000]},
)
@pytest.mark.parametrize(
    ("protocol", "length"),
    # A packet of uwsgi has 16 bits for its own length.
    [*itertools.product(["fastcgi", "scgi"], LENGTHS), *(("uwsgi", length) for length in LENGTHS if length <= 60_000)],
)
def test_values_of_any_length(server, backend, length):
    value = bytes(33 + n % 90 for n in range(length))
    request = sent(server, backend, headers=[("X-Long", value), ("X-After", "intact")])
    assert request.get("HTTP_X_LONG", "").encode() == value
    assert request["HTTP_X_AFTER"] == "intact"


@pytest.mark.better(
    "nginx sends one PARAMS record", on=("nginx",), when={"protocol": ["fastcgi"], "length": [65535, 65536, 70_000]}
)
@pytest.mark.better(
    "httpd leaves such variables out", on=("apache",), when={"protocol": ["fastcgi"], "length": [65535, 65536, 70_000]}
)
@pytest.mark.parametrize("length", [122, 123, 127, 128, 250, 251, 255, 256, 1000, 65535, 65536, 70_000])
@pytest.mark.parametrize("protocol", ["fastcgi", "scgi"])
def test_names_of_any_length(server, backend, length):
    name = "X-" + "n" * (length - 2)
    request = sent(server, backend, headers=[(name, "short"), ("X-After", "intact")])
    assert request[f"HTTP_X_{'N' * (length - 2)}"] == "short"
    assert request["HTTP_X_AFTER"] == "intact"


@pytest.mark.parametrize("protocol", ["uwsgi"])
@pytest.mark.parametrize("length", [65530, 65535, 65536, 70_000, 131_072, 200_000])
def test_uwsgi_variables_above_64_kib_are_refused(server, backend, length):
    """The packet's length has 16 bits: nothing may be sent that means something else."""
    client = server.connect()
    client.request("GET", "/uwsgi/x", [("X-Long", b"v" * length)])
    assert client.response().status in (431, 500, 502)
    assert not backend.pending() or backend.accept().at_end()
    server.log.expect("uwsgi|GW07")
    assert sent(server, backend).get("HTTP_X_LONG") is None


def test_three_hundred_headers(server, backend):
    """More than one PARAMS record's worth of small pairs for FastCGI."""
    count = 90
    fields = [(f"X-N{number:03d}", f"{number:03d}" * 100) for number in range(count)]
    request = sent(server, backend, headers=fields)
    for number in range(count):
        assert request[f"HTTP_X_N{number:03d}"] == f"{number:03d}" * 100


@pytest.mark.better(
    "nginx sends one PARAMS record, httpd leaves such variables out", when={"protocol": ["fastcgi"], "method": ["GET", "POST"]}
)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("protocol", ["fastcgi", "scgi"])
def test_a_head_that_the_socket_does_not_take_at_once(launch, protocol, method):
    """A unix socket takes some 200 KB; the rest leaves when the backend reads. The second request meets a kept connection."""

    def large(site):
        site.nginx_server = LIMITS_NGINX
        site.apache_main = LIMITS_APACHE
        # So that no kept connection looks like a leak.
        nginx = "gangway_keepalive_timeout 500ms;"
        site.passes(f"/{protocol}/", site.recorder(protocol, unix=True), nginx=nginx)

    server = launch(large)
    backend = server.site.backends[protocol]
    fields = [(f"X-Part-{number}", chr(65 + number) * 200_000) for number in range(5)]
    body = b"b" * 1000 if method == "POST" else None
    for number in range(2):
        request = sent(server, backend, f"/{number}", method, headers=fields, body=body)
        assert request["REQUEST_URI"] == f"/{protocol}/{number}" and request.body == (body or b"")
        for name, value in fields:
            assert request[f"HTTP_{name.upper().replace('-', '_')}"] == value


@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_records_of_a_request(server, backend):
    """FastCGI §5: BEGIN_REQUEST, PARAMS up to an empty one, STDIN up to an empty one, all of one id."""
    request = sent(server, backend, method="POST", body=b"b" * 100)
    assert request.role == RESPONDER
    types = [record.type for record in request.records]
    assert types[0] == BEGIN_REQUEST
    assert types == sorted(types, key=[BEGIN_REQUEST, PARAMS, STDIN].index)
    assert {record.id for record in request.records} == {request.id}
    assert [record.content for record in request.records if record.type == PARAMS][-1] == b""
    assert [record.content for record in request.records if record.type == STDIN] == [b"b" * 100, b""]


@pytest.mark.parametrize("protocol", ["uwsgi"])
def test_a_packet_has_the_modifiers_of_wsgi(server, backend):
    assert sent(server, backend).modifiers == (0, 0)


@pytest.mark.servers("nginx", "nginx128")
@pytest.mark.parametrize("path", ["/", "/feed.php", "/a b/c.php/d"])
def test_a_fastcgi_application_that_is_no_php_at_the_root(launch, path):
    """The recipe of docs/migrate-nginx.md."""

    def recipe(site):
        lines = 'gangway_keep_conn off; gangway_script_check off; gangway_param SCRIPT_NAME ""; gangway_param PATH_INFO $uri;'
        site.passes("/", site.recorder("fastcgi", unix=True), nginx=lines)

    server = launch(recipe)
    client = server.connect()
    client.request("GET", path.replace(" ", "%20"))
    peer = server.site.backends["fastcgi"].accept()
    request = peer.request()
    peer.answer(hello("fastcgi"))
    assert client.response().status == 200
    assert (request["SCRIPT_NAME"], request["PATH_INFO"]) == ("", path)
