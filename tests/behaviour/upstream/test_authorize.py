# SPDX-License-Identifier: MIT OR Apache-2.0
"""gangway_authorize: a FastCGI authorizer (specification, section 6.3) says who may come in, and what is known of them."""

import pytest

from harness.gateway import AUTHORIZER, BEGIN_REQUEST, PARAMS
from harness.upstreams import head, hello

pytestmark = [
    pytest.mark.servers("nginx", "nginx128"),
    pytest.mark.better("the stock modules have no authorizers", absent=True),
]


def configure(site, kind):
    site.http2 = True
    ask = site.recorder("fastcgi", name="authorizer")
    app = site.recorder("fastcgi", name="fastcgi")
    asks = f"gangway_authorize fastcgi://{ask.where}; gangway_authorize_param REALM staff;"
    site.passes("/app/", app, nginx=f"{asks} add_header X-Known $gangway_variable_user_name;")
    inner = f"location /outer/open/ {{ gangway_authorize off; gangway_pass fastcgi://{app.where}; }}"
    site.location("/outer/", nginx=f"{asks} {inner}")
    site.static("/files/", site.apps / "served", nginx=asks)


@pytest.fixture
def authorizer(server):
    recorder = server.site.backends["authorizer"]
    recorder.reset()
    yield recorder
    recorder.reset()


@pytest.fixture
def app(server):
    recorder = server.site.backends["fastcgi"]
    recorder.reset()
    yield recorder
    recorder.reset()


def decide(authorizer, client, answer):
    """The authorizer's answer; gives what it was asked."""
    peer = authorizer.next(client)
    request = peer.head()
    types = [record.type for record in request.records]
    assert types[0] == BEGIN_REQUEST
    assert set(types[1:]) == {PARAMS}
    peer.answer(answer)
    return request


ALLOWED = b"Status: 200 OK\r\nVariable-USER-NAME: alice\r\nVariable-Group: staff\r\nX-Mine: no\r\n\r\nignored"


def test_200_lets_a_request_in_with_what_is_known(server, authorizer, app):
    client = server.connect()
    client.request("POST", "/app/x?y=1", [("Authorization", "Basic YTpi"), ("X-Field", "v")], b"the body")
    asked = decide(authorizer, client, ALLOWED)
    assert (asked.role, asked["REQUEST_METHOD"], asked["QUERY_STRING"]) == (AUTHORIZER, "POST", "y=1")
    assert (asked["REALM"], asked["HTTP_X_FIELD"], asked["HTTP_AUTHORIZATION"]) == ("staff", "v", "Basic YTpi")
    # Section 6.3 names what an authorizer does not get.
    for name in ("CONTENT_LENGTH", "PATH_INFO", "PATH_TRANSLATED", "SCRIPT_NAME"):
        assert name not in asked
    peer = app.next(client)
    request = peer.request()
    assert request.body == b"the body"
    assert (request["USER-NAME"] if "USER-NAME" in request else request["USER_NAME"]) == "alice"
    assert "REALM" not in request
    peer.answer(hello("fastcgi"))
    response = client.response()
    assert (response.status, response.body, response.header("X-Known")) == (200, b"hello", "alice")
    assert response.header("X-Mine") is None
    assert not [name for name, _ in response.headers if name.lower().startswith("variable-")]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"Status: 403 Forbidden\r\nContent-Type: text/plain\r\nX-Why: not you\r\n\r\nnot you", 403),
        (b"Status: 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nX-Why: who\r\n\r\nnot you", 401),
        (b"Status: 302 Found\r\nLocation: http://login.example/\r\nX-Why: login\r\n\r\nnot you", 302),
        (b"Status: 500 Oops\r\nX-Why: broken\r\n\r\nnot you", 500),
        (b"Status: 204 No Content\r\nX-Why: only 200 lets in\r\n\r\n", 204),
    ],
)
def test_every_other_answer_is_the_clients(server, authorizer, app, answer, status):
    client = server.connect()
    client.request("GET", "/app/x")
    decide(authorizer, client, answer)
    response = client.response()
    assert response.status == status
    assert response.header("X-Why")
    assert response.body in (b"not you", b"")
    assert not app.pending()


@pytest.mark.parametrize("status", [b"403 Forbidden", b"304 Not Modified", b"204 No Content"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_where_no_body_may_follow_none_does(server, authorizer, app, status, method):
    """Bytes behind such a head would be read as the answer to the next request."""
    client = server.connect()
    client.request(method, "/app/x")
    decide(authorizer, client, b"Status: " + status + b"\r\nContent-Type: text/plain\r\n\r\nnot you")
    response = client.response(method)
    assert (b"%d" % response.status, response.body) in [(status[:3], b""), (b"403", b"not you")]
    client.request("GET", "/app/y")
    decide(authorizer, client, ALLOWED)
    peer = app.next(client)
    peer.request()
    peer.answer(hello("fastcgi"))
    response = client.response()
    assert (response.status, response.body) == (200, b"hello")


def test_files_are_guarded_too(server, authorizer):
    client = server.connect()
    client.request("GET", "/files/README")
    decide(authorizer, client, ALLOWED)
    assert client.response().status == 200
    client.request("GET", "/files/README")
    decide(authorizer, client, b"Status: 403 No\r\n\r\nno")
    assert client.response().status == 403


def test_over_http2(server, authorizer, app):
    client = server.http2()
    stream = client.send_head("GET", "/app/x")
    decide(authorizer, client, ALLOWED)
    peer = app.next(client)
    peer.request()
    peer.answer(hello("fastcgi"))
    assert client.response(stream).body == b"hello"


@pytest.mark.parametrize(
    "answer", [b"", b"this is no head\r\n\r\n", b"Status: abc\r\n\r\n", b"Variable-X: a\0b\r\nStatus: 200 OK\r\n\r\n"]
)
def test_an_authorizer_that_makes_no_sense_lets_nobody_in(server, authorizer, app, answer):
    client = server.connect()
    client.request("GET", "/app/x")
    decide(authorizer, client, answer)
    assert client.response().status in (500, 502)
    assert not app.pending()
    server.log.expect("GW07")


@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_authorizer_that_ends_lets_nobody_in(server, authorizer, app, how):
    client = server.connect()
    client.request("GET", "/app/x")
    peer = authorizer.next(client)
    peer.head()
    getattr(peer, how)()
    server.log.expect("upstream|GW07")
    assert client.response().status in (500, 502)
    assert not app.pending()


def test_an_authorizer_that_is_not_there_lets_nobody_in(server, authorizer, app):
    authorizer.refuse()
    assert server.get("/app/x").status in (500, 502)
    server.log.expect("refused")
    server.log.expect("GW0713")
    authorizer.listen()
    assert not app.pending()


def test_a_client_cannot_send_what_the_authorizer_says(server, authorizer, app):
    client = server.connect()
    client.request("GET", "/app/x", [("Variable-User-Name", "mallory"), ("User-Name", "mallory")])
    decide(authorizer, client, b"Status: 200 OK\r\n\r\n")
    peer = app.next(client)
    request = peer.request()
    assert {name for name, value in request.variables if value == b"mallory"} <= {
        b"HTTP_VARIABLE_USER_NAME",
        b"HTTP_USER_NAME",
    }
    peer.answer(hello("fastcgi"))
    assert client.response().header("X-Known") in (None, "")


def test_it_can_be_off(server, authorizer, app):
    client = server.connect()
    client.request("GET", "/outer/open/x")
    peer = app.next(client)
    peer.request()
    peer.answer(head("fastcgi") + b"open")
    assert client.response().body == b"open"
    assert not authorizer.pending()


def test_an_authorizers_connection_is_kept_too(server, authorizer, app):
    peers = set()
    for _ in range(20):
        client = server.connect()
        client.request("GET", "/app/x")
        peer = authorizer.next(client)
        peer.head()
        peer.answer(b"Status: 403 No\r\n\r\nno")
        assert client.response().status == 403
        client.close()
        peers.add(peer)
    assert len(peers) < 10


@pytest.mark.parametrize("size", [1, 8000, 65536, 100_000])
@pytest.mark.parametrize("length", [True, False])
def test_a_page_of_the_authorizer(server, authorizer, app, size, length):
    """It is kept in memory: of one that is larger than 64 KiB the client gets the start."""
    page = (b"not you " * (size // 8 + 1))[:size]
    client = server.connect()
    client.request("GET", "/app/x")
    fields = b"Content-Type: text/plain\r\n" + (b"Content-Length: %d\r\n" % size if length else b"")
    decide(authorizer, client, b"Status: 403 No\r\n" + fields + b"\r\n" + page)
    response = client.response()
    assert (response.status, response.body) == (403, page[:65536])
    assert not app.pending()
