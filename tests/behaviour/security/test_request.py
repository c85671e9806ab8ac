# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a hostile request must not become: variables, credentials, paths, a second request."""

import json
import os
import pwd
import select

import pytest

from harness import places, wire
from harness.ambiguous import AMBIGUOUS, smuggled
from harness.deadline import wait_until

WARM = ("/app/seen",)
BASIC = "Basic YWRtaW46c2VjcmV0"


def configure(site, kind):
    site.http2 = True
    site.wsgi("/app", "hostile:app", params={"HTTP_X_SET_BY_GATEWAY": "gateway"}, timeout="30s")
    site.wsgi("/passes", "hostile:app", timeout="30s", pass_authorization=True)
    site.wsgi(
        "/impatient",
        "hostile:app",
        threads=1,
        timeout="30s",
        nginx="client_body_timeout 1s;",
        apache="",
    )
    if kind.startswith("apache"):
        site.apache_main = "RequestReadTimeout header=5 body=2"
    else:
        # The hardest case: nginx itself lets the names through.
        site.nginx_http = "underscores_in_headers on; ignore_invalid_headers off;"


def ask(server, protocol, headers):
    """The environ that a GET with these headers makes, or the status when the server refuses them."""
    if protocol == "h2":
        response = server.http2().get("/app/env", [(name.lower(), value) for name, value in headers])
    else:
        response = server.get("/app/env", headers)
    return json.loads(response.body) if response.status == 200 else response.status


PROTOCOLS = pytest.mark.parametrize("protocol", ["h1", "h2"])


@PROTOCOLS
@pytest.mark.parametrize("name", ["Proxy", "proxy", "PROXY"])
def test_httpoxy(server, protocol, name):
    found = ask(server, protocol, [(name, "http://evil")])
    assert "HTTP_PROXY" not in found
    assert "http://evil" not in found.values()
    assert "http://evil" not in json.loads(server.get("/app/process").body)["environ"].values()


@PROTOCOLS
@pytest.mark.parametrize(
    "name",
    [
        "X_Forwarded_For",
        "X-Forwarded_For",
        "Content_Length",
        "Content_Type",
        "Remote_User",
        "X.Forwarded.For",
        "X'Y",
        "X~Y",
    ],
)
def test_names_with_a_second_spelling_are_dropped(server, protocol, name):
    found = ask(server, protocol, [("X-Forwarded-For", "198.51.100.7"), (name, "evil")])
    if found == 400:
        server.log.allow("client sent invalid header|invalid")
        return
    assert "evil" not in found.values()
    assert found["HTTP_X_FORWARDED_FOR"] == "198.51.100.7"


@PROTOCOLS
def test_a_client_cannot_set_a_variable_of_the_server(server, protocol):
    names = [
        "Remote-Addr",
        "Remote-User",
        "Script-Name",
        "Path-Info",
        "Redirect-Status",
        "Https",
        "Wsgi.url-scheme",
        "Auth-Type",
    ]
    found = ask(server, protocol, [(name, "evil") for name in names if "." not in name])
    assert {name for name, value in found.items() if value == "evil"} <= {
        "HTTP_" + name.upper().replace("-", "_") for name in names
    }
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    for name in ("REMOTE_USER", "AUTH_TYPE", "REDIRECT_STATUS", "HTTPS"):
        assert name not in found


@PROTOCOLS
def test_no_user_without_authentication(server, protocol):
    """The access log has $remote_user / %u, which makes nginx decode the header."""
    found = ask(server, protocol, [("Authorization", BASIC), ("Proxy-Authorization", BASIC)])
    for name in ("REMOTE_USER", "AUTH_TYPE", "HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION"):
        assert name not in found


def test_authorization_passes_when_it_is_enabled(server):
    found = json.loads(server.get("/passes/env", [("Authorization", BASIC)]).body)
    assert found["HTTP_AUTHORIZATION"] == BASIC
    assert "REMOTE_USER" not in found


@pytest.mark.parametrize(
    "nominated", ["X-Set-By-Gateway", "HTTP_X_SET_BY_GATEWAY", "Remote-Addr, Content-Length, Host"]
)
def test_connection_cannot_remove_what_the_gateway_set(server, nominated):
    headers = [("Host", "localhost"), ("Connection", f"close, {nominated}")]
    client = server.connect()
    client.send(wire.head_bytes("GET", "/app/env", headers))
    found = json.loads(client.response().body)
    assert found["HTTP_X_SET_BY_GATEWAY"] == "gateway"
    assert (found["REMOTE_ADDR"], found["HTTP_HOST"]) == ("127.0.0.1", "localhost")


@PROTOCOLS
def test_a_client_cannot_override_a_param(server, protocol):
    assert ask(server, protocol, [("X-Set-By-Gateway", "evil")])["HTTP_X_SET_BY_GATEWAY"] == "gateway"


def test_header_values_reach_no_process_environment(server):
    value = "() { :;}; echo vulnerable"
    server.get("/app/env", [("X-Shell", value), ("User-Agent", value)])
    found = json.loads(server.get("/app/process", [("X-Shell", value)]).body)["environ"]
    assert value not in found.values()
    assert not [name for name in found if name.startswith("HTTP_")]


@pytest.mark.skipif(not places.AS_ROOT, reason="only a server that root has started drops privileges")
def test_applications_run_as_the_workers_user(server):
    found = json.loads(server.get("/app/process").body)
    user = pwd.getpwnam(places.WORKER_USER)
    assert found["uid"] == [user.pw_uid] * 3
    assert found["gid"] == [user.pw_gid] * 3
    assert 0 not in found["groups"]


@pytest.mark.parametrize(
    ("path", "info"),
    [
        ("/app/env/%2e%2e/%2e%2e/etc/passwd", None),
        ("/app/env/..%2f..%2fetc", None),
        ("/app/env/%252e%252e/x", "/env/%2e%2e/x"),
        ("/app/env/a%0ab", "/env/a\nb"),
        ("/app/env/%E2%82%AC", "/env/\xe2\x82\xac"),
        ("/app/env/%C0%AE%C0%AE/x", "/env/\xc0\xae\xc0\xae/x"),
        ("/app/env/a%00b", None),
        ("/app/env/a%3fb", "/env/a?b"),
        ("/app/env/a\\..\\b", "/env/a\\..\\b"),
    ],
)
def test_paths_that_try_to_leave(server, path, info):
    server.log.allow("AH|client sent invalid|No such file|invalid")
    response = server.get(path)
    if response.status != 200:
        assert response.status in (400, 403, 404)
        return
    found = json.loads(response.body)
    assert ".." not in found["PATH_INFO"].split("/")
    assert found["SCRIPT_NAME"] == "/app"
    if info is not None:
        assert found["PATH_INFO"] == info


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_request_framing_has_one_reading(server, name):
    """No request inside another's body runs, and the body the application gets is what the server framed."""
    server.log.allow("client sent|AH|invalid|GW0507|prematurely|chunk|Request header|length")
    server.get("/app/forget")
    client = server.connect(timeout=3)
    client.send(AMBIGUOUS[name]("/app/body"))
    statuses = []
    try:
        while True:
            # A client that has closed its side may be taken for one that has left: not before nothing comes any more.
            if not select.select([client.socket], [], [], 0.5)[0]:
                client.half_close()
            response = client.response()
            statuses.append((response.status, response.header("X-Id"), response.body))
    except (wire.Closed, wire.Truncated, TimeoutError):
        pass
    ran = json.loads(server.get("/app/seen").body)
    refused = not statuses or statuses[0][0] in (400, 408, 411, 413, 501, 500)
    if refused:
        # A server may read on after a refusal only if it closes: nothing else may have run.
        assert "smuggled" not in ran
        return
    # Accepted: then the chunked coding wins or the single length holds, and what follows it is a request of its own.
    assert ran[0] == "first"
    assert len(ran) == len(statuses)
    if name in ("CL and TE",):
        assert statuses[0][2] == smuggled("/app/body")
        assert "smuggled" not in ran


@pytest.mark.parametrize("cut", [0, 1, 50, 99])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_early_close_is_no_complete_body(server, cut, chunked):
    server.log.allow("GW0507|prematurely|AH|client|ended early")
    server.get("/app/forget")
    client = server.connect()
    field = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "100")
    client.send(wire.head_bytes("POST", "/app/body", [("Host", "x"), ("X-Id", "cut"), field]))
    client.send(b"64\r\n" + b"x" * cut if chunked else b"x" * cut)
    client.close()
    # A request that comes later is answered with its own body.
    assert server.post("/app/body", b"whole", [("X-Id", "later")]).body == b"whole"


def test_a_slow_body_frees_its_place(server):
    """One thread, a client that sends nothing more: another request is answered in the configured time."""
    server.log.allow(r"timed out|AH01382|GW03\d\d|GW0507|client")
    clients = [server.connect() for _ in range(3)]
    for client in clients:
        client.send(wire.head_bytes("POST", "/impatient/body", [("Host", "x"), ("Content-Length", "1000")]))
        client.send(b"x" * 10)
    assert server.post("/impatient/body", b"quick", [("X-Id", "quick")]).body == b"quick"
    for client in clients:
        try:
            assert client.response().status in (400, 408, 500)
        except (wire.Closed, wire.Truncated):
            continue


def test_slow_heads_take_no_thread(server):
    clients = [server.connect() for _ in range(10)]
    for client in clients:
        client.send(b"GET /impatient/body HTTP/1.1\r\nHost: ")
    assert server.get("/impatient/seen").status == 200
    server.log.allow("AH|timed out")


def test_trailers_do_not_become_variables(server):
    client = server.connect()
    fields = [("Host", "x"), ("Transfer-Encoding", "chunked"), ("Trailer", "X-Trailer, Proxy"), ("Connection", "close")]
    client.send(wire.head_bytes("POST", "/app/env", fields))
    client.send(b"3\r\nabc\r\n0\r\nX-Trailer: evil\r\nX-Set-By-Gateway: evil\r\nHost: evil\r\nProxy: evil\r\n\r\n")
    response = client.response()
    if response.status == 400:
        server.log.allow("client sent")
        return
    found = json.loads(response.body)
    assert "evil" not in found.values()
    assert found["HTTP_HOST"] == "x"


def test_http2_trailers_do_not_become_variables(server):
    from harness.http2 import Reset

    client = server.http2()
    stream = client.send_head("POST", "/app/env", end=False)
    client.send_body(stream, b"abc", end=False)
    client.send_trailers(stream, [("x-trailer", "evil"), ("x-set-by-gateway", "evil")])
    try:
        response = client.response(stream)
    except (ConnectionError, Reset):  # nginx 1.22 takes trailers for a violation of the protocol
        server.log.allow("client sent")
        return
    assert "evil" not in json.loads(response.body).values()


def test_http2_framing_headers_do_not_change_the_body(server):
    """Content-Length that disagrees with the frames, Transfer-Encoding and Connection are errors in HTTP/2."""
    from harness.http2 import Reset

    server.log.allow("client sent|AH|invalid|GW0507|GW0306|client prematurely")
    server.get("/app/forget")
    for fields in (
        [("content-length", "3")],
        [("content-length", "300")],
        [("transfer-encoding", "chunked")],
        [("connection", "close")],
    ):
        client = server.http2()
        try:
            response = client.request("POST", "/app/body", [("x-id", "first"), *fields], b"abcdef")
        except (Reset, ConnectionError):
            continue
        assert response.status in (200, 400, 413)
        if response.status == 200:
            assert response.body == b"abcdef"
            assert "content-length" not in dict(fields)


def test_http2_header_injection(server):
    """Line ends inside HTTP/2 fields never become lines."""
    from harness.http2 import Reset

    # nginx 1.22 itself writes the client's line end into its log.
    server.log.allow("client sent|AH|invalid|while reading client request headers")
    for fields in (
        [("x-a", "b\r\nproxy: evil")],
        [("x-a\r\nproxy", "evil")],
        [("x-a", "b\0c")],
        [("x a", "b")],
        [("", "b")],
    ):
        client = server.http2()
        try:
            response = client.get("/app/env", fields)
        except (Reset, ConnectionError):
            continue
        if response.status == 200:
            assert not [value for value in json.loads(response.body).values() if "evil" in value and "\n" in value]
            assert "HTTP_PROXY" not in json.loads(response.body)


def test_request_limits_are_the_servers(server):
    server.log.allow("client sent too|AH|too large")
    assert server.get("/app/env", [("X-Large", "x" * 100_000)]).status in (400, 431)
    assert server.get("/app/env?" + "q" * 100_000).status in (400, 414)
    wait_until(lambda: server.get("/app/seen").status == 200, "the server goes on")
    assert os.path.exists(f"/proc/{server.worker()}")
