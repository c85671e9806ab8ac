# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a response can be more than head and body."""

import json
import pathlib
import ssl

import pytest

from harness import applications
from harness.authority import Authority

WARM = ("/app/hello",)


def configure(site, kind):
    site.tls = site.http2 = True
    site.asgi("/app", "asgi_app:app")


def source():
    return pathlib.Path(applications.__file__).parents[1].joinpath("apps", "asgi_app.py").read_bytes()


def test_early_hints(server):
    client = server.connect()
    client.send(b"GET /app/hint HTTP/1.1\r\nHost: localhost\r\n\r\n")
    hint = client.head()
    assert hint.status == 103
    assert [value for name, value in hint.headers if name.lower() == "link"] == [
        "</a.css>; rel=preload",
        "</b.js>; rel=preload",
    ]
    assert client.response().body == b"hinted"
    client.request("GET", "/app/hello")
    assert client.response().body == b"hello"


def test_early_hints_over_http2(server):
    client = server.http2()
    response = client.get("/app/hint")
    assert (response.status, response.body) == (200, b"hinted")
    links = [value for status, fields in response.interim for name, value in fields if (status, name) == (103, "link")]
    # httpd may put both into one field.
    assert ", ".join(links) == "</a.css>; rel=preload, </b.js>; rel=preload"
    assert client.get("/app/hello").body == b"hello"


def test_a_client_of_http_1_0_gets_no_hints(server):
    client = server.connect()
    client.send(b"GET /app/hint HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert client.response().status == 200


@pytest.mark.servers("nginx", "nginx128")
def test_trailers(server):
    client = server.connect()
    client.request("GET", "/app/trailers", [("TE", "trailers"), ("Connection", "TE")])
    response = client.response()
    assert (response.body, response.trailers) == (b"told", [("x-sum", "1"), ("x-more", "2")])
    client.request("GET", "/app/hello")
    assert client.response().body == b"hello"


@pytest.mark.servers("nginx", "nginx128")
def test_trailers_over_http2(server):
    client = server.http2()
    response = client.get("/app/trailers", [("te", "trailers")])
    assert (response.body, response.trailers) == (b"told", [("x-sum", "1"), ("x-more", "2")])
    assert client.get("/app/trailers").trailers == []


def test_trailers_that_nobody_wants(server):
    assert server.get("/app/trailers").body == b"dropped"


def test_a_file_by_its_path(server):
    assert server.get("/app/path").body == source()
    assert server.request("HEAD", "/app/path").body == b""


def test_a_pipe_by_its_path_does_not_hold_the_loop(server):
    assert server.get("/app/pipe", timeout=5).body == b"refused"


def test_parts_of_a_file(server):
    text = source()
    assert server.get("/app/file").body == text[2:5] + text[20:30] + text[30:]


def test_what_is_known_of_tls(server, kind):
    found = json.loads(server.get("/app/scope", port="tls").body)
    assert (found["scheme"], found["server"]) == ("https", ["127.0.0.1", server.ports["tls"]])
    assert sorted(found["extensions"]) == ["http.response.early_hint", "http.response.pathsend", "tls"]
    tls = found["extensions"]["tls"]
    assert tls["tls_version"] in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    assert isinstance(tls["cipher_suite"], int)
    assert (tls["client_cert_chain"], tls["client_cert_name"], tls["client_cert_error"]) == ([], None, None)
    # nginx has no variable of its own certificate.
    assert (tls["server_cert"] or "").startswith("-----BEGIN CERTIFICATE" if kind.startswith("apache") else "")
    assert "tls" not in json.loads(server.get("/app/scope").body)["extensions"]


def with_client(server, certificate):
    """What the application sees of a client with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(f"{certificate}.crt", f"{certificate}.key")
    client = server.connect("tls")
    client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
    client.request("GET", "/scope")
    return json.loads(client.response().body)["extensions"]["tls"]


def test_the_certificate_of_a_client(launch, scratch, kind):
    authority = Authority(scratch)
    known, unknown = authority.issue("ada", authority.certificate), authority.issue("mallory", None)

    def configure(site):
        site.tls = True
        ca = f"{authority.certificate}.crt"
        site.nginx_server = f"ssl_client_certificate {ca}; ssl_verify_client optional_no_ca;"
        site.apache_host = f"SSLCACertificateFile {ca}\nSSLVerifyClient optional_no_ca"
        site.asgi("/", "asgi_app:app")

    server = launch(configure, warm=["/hello"])
    server.log.allow("AH01906|AH02")
    tls = with_client(server, known)
    assert [one.split() for one in tls["client_cert_chain"]] == [pathlib.Path(f"{known}.crt").read_text().split()]
    assert (tls["client_cert_name"], tls["client_cert_error"]) == ("CN=ada", None)
    if kind.startswith("nginx"):
        # httpd lets it in as it is, and says no more of it than GENEROUS.
        tls = with_client(server, unknown)
        assert tls["client_cert_name"] == "CN=mallory" and "self" in tls["client_cert_error"]
