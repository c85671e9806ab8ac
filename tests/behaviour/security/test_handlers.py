# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_python's handlers and hostile requests, and what a careless handler must not do: in the server, and in processes of their own."""

import json
import select

import pytest

from harness import wire
from harness.ambiguous import AMBIGUOUS, smuggled
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker")
EVERYWHERE = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")

BASIC = "Basic YWRtaW46c2VjcmV0"
#: What a handler has raised stands in the log with all its lines; in a forked child on standard error.
TRACEBACK = r"^\s|^$|During handling|\]\s{2,}|: {2,}|Traceback|Error\b|"
WARM = ("/in/seen", "/own/seen")
PLACE = pytest.mark.parametrize("place", ["/in", "/own"])
PROTOCOLS = pytest.mark.parametrize("protocol", ["h1", "h2"])


def configure(site, kind):
    site.http2 = True
    site.body_limit = 16_000_000
    site.workers = 4 if kind == "apache-prefork" else 1
    where = f"root={site.apps / 'handlers'}"
    site.location("/in", handlers=(f"content attacked {where}",))
    # One process, so that what one request leaves the next one would find.
    site.location("/own", handlers=(f"content attacked {where} processes=1 threads=4 timeout=30s",))
    if kind.startswith("apache"):
        site.apache_main = "RequestReadTimeout header=5 body=2"
    else:
        # The hardest case: nginx itself lets the names through.
        site.nginx_http = "underscores_in_headers on; ignore_invalid_headers off; client_body_timeout 2s;"


def variables(found):
    """All that a program could take for a variable."""
    return {**found["built"], **found["wsgi"], **found["subprocess_env"], **found["environ"]}


def ask(server, place, protocol, headers):
    if protocol == "h2":
        response = server.http2().get(f"{place}/env", [(name.lower(), value) for name, value in headers])
    else:
        response = server.get(f"{place}/env", headers)
    return json.loads(response.body) if response.status == 200 else response.status


@PLACE
@PROTOCOLS
@pytest.mark.parametrize("name", ["Proxy", "proxy", "PROXY"])
def test_httpoxy(server, place, protocol, name):
    found = variables(ask(server, place, protocol, [(name, "http://evil")]))
    assert "HTTP_PROXY" not in found and "http://evil" not in found.values()


@PLACE
@PROTOCOLS
@pytest.mark.parametrize("name", ["X_Forwarded_For", "X-Forwarded_For", "Content_Length", "Content_Type", "Remote_User", "X.Forwarded.For", "X'Y", "X~Y"])
def test_names_with_a_second_spelling_are_no_variables(server, place, protocol, name):
    found = ask(server, place, protocol, [("X-Forwarded-For", "198.51.100.7"), (name, "evil")])
    if found == 400:
        server.log.allow("client sent invalid header|invalid")
        return
    assert "evil" not in variables(found).values()
    assert variables(found)["HTTP_X_FORWARDED_FOR"] == "198.51.100.7"
    # As a header it is itself, or is not there: never another name's value.
    assert [value for known, value in found["headers"] if known.lower() == "x-forwarded-for"] == ["198.51.100.7"]
    assert {known.lower() for known, value in found["headers"] if value == "evil"} <= {name.lower()}


@PLACE
@PROTOCOLS
def test_a_client_sets_no_variable_of_the_server(server, place, protocol):
    names = ["Remote-Addr", "Remote-User", "Script-Name", "Path-Info", "Redirect-Status", "Https", "Auth-Type", "Gangway-Mapped"]
    found = ask(server, place, protocol, [(name, "evil") for name in names])
    allowed = {"HTTP_" + name.upper().replace("-", "_") for name in names}
    seen = variables(found)
    assert {name for name, value in seen.items() if value == "evil"} <= allowed
    assert seen["REMOTE_ADDR"] == "127.0.0.1"
    assert not {"REMOTE_USER", "AUTH_TYPE", "REDIRECT_STATUS"} & seen.keys()


@EVERYWHERE
@PLACE
def test_nobody_is_a_user_without_a_check(server, place):
    found = ask(server, place, "h1", [("Authorization", BASIC), ("Proxy-Authorization", BASIC)])
    assert (found["user"], found["auth"]) == (None, None)
    seen = variables(found)
    assert not {"REMOTE_USER", "AUTH_TYPE", "HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION"} & seen.keys()


@EVERYWHERE
@PLACE
def test_values_reach_no_environment_of_the_process(server, place):
    value = "() { :;}; echo vulnerable"
    found = ask(server, place, "h1", [("X-Shell", value), ("User-Agent", value)])
    assert value not in found["environ"].values() and not [name for name in found["environ"] if name.startswith("HTTP_")]


@PLACE
@pytest.mark.parametrize("name", AMBIGUOUS)
def test_framing_has_one_reading(server, place, name):
    """No request inside another's body runs, and the body that the handler reads is what the server framed."""
    server.log.allow(TRACEBACK + "client sent|AH|invalid|GW0[235]|prematurely|chunk|Request header|length")
    server.get(f"{place}/forget")
    client = server.connect(timeout=3)
    client.send(AMBIGUOUS[name](f"{place}/body"))
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
    ran = json.loads(server.get(f"{place}/seen").body)
    if not statuses or statuses[0][0] in (400, 408, 411, 413, 501, 500):
        # A server may read on after a refusal only if it closes: nothing else may have run.
        assert "smuggled" not in ran
        return
    # Accepted: then the chunked coding wins or the single length holds, and what follows it is a request of its own.
    assert ran[0] == "first" and len(ran) == len(statuses)
    if name == "CL and TE":
        assert statuses[0][2] == smuggled(f"{place}/body") and "smuggled" not in ran


@PLACE
@pytest.mark.parametrize("cut", [0, 50, 99])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_early_close_is_no_complete_body(server, place, cut, chunked):
    server.log.allow(TRACEBACK + "GW0[235]|prematurely|AH|client|ended early")
    client = server.connect()
    field = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "100")
    client.send(wire.head_bytes("POST", f"{place}/body", [("Host", "x"), ("X-Id", "cut"), field]))
    client.send(b"64\r\n" + b"x" * cut if chunked else b"x" * cut)
    client.close()
    # A request that comes later is answered with its own body.
    assert server.post(f"{place}/body", b"whole", [("X-Id", "later")]).body == b"whole"


@PLACE
def test_slow_bodies_leave_others_alone(server, place):
    """More clients that send nothing more than the process has threads: others are answered in the configured time."""
    server.log.allow(TRACEBACK + r"timed out|AH01382|GW0[235]\d\d|client")
    clients = [server.connect() for _ in range(6)]
    for client in clients:
        client.send(wire.head_bytes("POST", f"{place}/body", [("Host", "x"), ("Content-Length", "1000")]))
        client.send(b"x" * 10)
    assert server.post(f"{place}/body", b"quick", [("X-Id", "quick")]).body == b"quick"
    for client in clients:
        try:
            assert client.response().status in (400, 408, 500, 504)
        except (wire.Closed, wire.Truncated):
            continue


@EVERYWHERE
@PLACE
def test_trailers_become_nothing(server, place):
    client = server.connect()
    fields = [("Host", "x"), ("Transfer-Encoding", "chunked"), ("Trailer", "X-Trailer, Proxy"), ("Connection", "close")]
    client.send(wire.head_bytes("POST", f"{place}/env", fields))
    client.send(b"3\r\nabc\r\n0\r\nX-Trailer: evil\r\nHost: evil\r\nProxy: evil\r\nContent-Length: evil\r\n\r\n")
    response = client.response()
    if response.status == 400:
        server.log.allow("client sent")
        return
    found = json.loads(response.body)
    assert "evil" not in response.text
    assert variables(found)["HTTP_HOST"] == "x"


@PLACE
def test_http2_trailers_become_nothing(server, place):
    from harness.http2 import Reset

    client = server.http2()
    stream = client.send_head("POST", f"{place}/env", end=False)
    client.send_body(stream, b"abc", end=False)
    client.send_trailers(stream, [("x-trailer", "evil"), ("proxy", "evil")])
    try:
        response = client.response(stream)
    except (ConnectionError, Reset):  # nginx 1.22 takes trailers for a violation of the protocol
        server.log.allow("client sent")
        return
    assert b"evil" not in response.body


# ---- what a handler answers ----


def answer(server, place, protocol="h1", **wanted):
    body = json.dumps({"headers": [], **wanted}).encode()
    if protocol == "h2":
        return server.http2().request("POST", f"{place}/headers", [], body)
    return server.post(f"{place}/headers", body)


INJECTED = ["a\r\nEvil: yes", "a\nEvil: yes", "a\rEvil: yes", "a\0b", "a\r\n folded", "\r", "\n"]


@PLACE
@PROTOCOLS
@pytest.mark.parametrize("err", [False, True])
@pytest.mark.parametrize("value", INJECTED)
def test_a_value_splits_no_head(server, place, protocol, err, value):
    server.log.allow("GW0501")
    response = answer(server, place, protocol, headers=[["X-Any", value], ["Location", value], ["Set-Cookie", value]], err=err)
    assert (response.status, response.header("X-Raised"), response.body) == (200, "3", b"body")
    assert not [field for field in response.headers if "evil" in (field[0] + field[1]).lower()]


@EVERYWHERE
@PLACE
@pytest.mark.parametrize("name", ["X\r\nEvil", "X\nEvil", "X\0", "X: Y\r\nEvil", ""])
def test_a_name_splits_no_head(server, place, name):
    server.log.allow("GW0501")
    response = answer(server, place, headers=[[name, "evil"]])
    assert (response.status, response.header("X-Raised"), response.body) == (200, "1", b"body")
    assert not [field for field in response.headers if "evil" in (field[0] + field[1]).lower()]


FRAMED = "0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@PLACE
@PROTOCOLS
@pytest.mark.parametrize("err", [False, True])
@pytest.mark.parametrize("value", ["chunked", "identity", "gzip, chunked"])
def test_a_handler_does_not_frame_its_response(server, place, protocol, err, value):
    server.log.allow("GW0501|GW0502")
    wanted = {"headers": [["Transfer-Encoding", value], ["X-Kept", "1"]], "body": FRAMED, "err": err}
    body = json.dumps(wanted).encode()
    if protocol == "h2":
        client = server.http2()
        response = client.request("POST", f"{place}/headers", [], body)
        assert json.loads(client.get(f"{place}/seen").body) is not None
    else:
        client = server.connect()
        client.request("POST", f"{place}/headers", body=body)
        response = client.response()
        client.request("GET", f"{place}/marks")
        assert isinstance(json.loads(client.response().body), list)
    assert (response.status, response.header("X-Kept"), response.text) == (200, "1", FRAMED)


@PLACE
@pytest.mark.parametrize("how", ["header", "err_header", "set_content_length"])
@pytest.mark.parametrize("flush", [0, 1])
@pytest.mark.parametrize("count", [4, 100_000])
@pytest.mark.parametrize("more", [-2, 6, 0])
def test_a_wrong_length_never_shifts_the_next_response(server, place, how, flush, count, more):
    server.log.allow(TRACEBACK + "GW050[345]|GW0319|prematurely|AH")
    says = count + more
    wanted = {"length": says} if how == "set_content_length" else {"headers": [["Content-Length", str(says)]], "err": how == "err_header"}
    client = server.connect()
    client.request("POST", f"{place}/headers", body=json.dumps({"headers": [], **wanted, "body": "b" * count, "flush": flush}).encode())
    try:
        first = client.response()
        # What has not begun to leave can still be an error of its own, or get its right length.
        assert first.status == 500 or first.body in (b"b" * min(says, count), b"b" * count)
        client.request("GET", f"{place}/seen")
        assert isinstance(json.loads(client.response().body), list)
    except (wire.Truncated, wire.Closed, ConnectionError):
        # The connection ends instead.
        assert more != 0


@PLACE
@pytest.mark.parametrize("count", [4, 20_000])
@pytest.mark.parametrize("err", [False, True])
def test_two_lengths(server, place, err, count):
    server.log.allow("GW050[0-9]|GW0319|AH|upstream sent")
    client = server.connect()
    wanted = {"headers": [["Content-Length", "1"], ["Content-Length", str(count)]], "err": err, "body": "b" * count}
    client.request("POST", f"{place}/headers", body=json.dumps(wanted).encode())
    try:
        response = client.response()
        assert len(response.all("Content-Length")) <= 1
        client.request("GET", f"{place}/seen")
        assert isinstance(json.loads(client.response().body), list)
    except (wire.Truncated, wire.Closed, ConnectionError):
        return


@PLACE
def test_a_length_that_comes_after_the_bytes(server, place):
    """More has been written than the length that is set then, and some of it leaves before the end is known."""
    server.log.allow(TRACEBACK + "GW050[345]|GW0319|prematurely|AH")
    client = server.connect()
    client.request("POST", f"{place}/late_length", body=b"")
    try:
        first = client.response()
        assert first.status == 500 or first.body in (b"b" * 2500, b"b" * 20_000)
        client.request("GET", f"{place}/seen")
        assert isinstance(json.loads(client.response().body), list)
    except (wire.Truncated, wire.Closed, ConnectionError):
        return


# ---- other requests, other processes ----


@PLACE
def test_one_request_sees_nothing_of_another(server, place):
    client = server.connect()
    for _ in range(4):
        client.request("GET", f"{place}/marks?secret=s3cret", [("Cookie", "session=s3cret"), ("X-Id", "a")])
        assert json.loads(client.response().body) == []
    client.request("GET", f"{place}/env")
    found = client.response().text
    assert "s3cret" not in found and "X-Mark" not in found and "X_MARK" not in found


@PLACE
def test_answers_find_their_own_requests_when_others_are_aborted(server, place):
    server.log.allow(TRACEBACK + "GW0[235]|client|AH|prematurely")
    clients = {}
    for number in range(4):
        client = server.connect()
        client.request("GET", f"{place}/waits?0.3", [("X-Id", f"id{number}")])
        clients[f"id{number}"] = client
    clients.pop("id1").reset()
    clients.pop("id2").reset()
    for name, client in clients.items():
        assert client.response().text == name
        client.request("POST", f"{place}/body", [("X-Id", name + "again")], name.encode())
        response = client.response()
        assert (response.text, response.header("X-Id")) == (name, name + "again")
    # Those that were aborted have ended when a later one has, and said so.
    assert server.get(f"{place}/waits?0.3").status == 200


@PLACE
@pytest.mark.parametrize("how", ["returns", "raises", "exits", "writes"])
def test_a_forked_child_never_gets_back_to_the_server(server, place, how):
    server.log.allow(TRACEBACK + "GW0|DeprecationWarning|fork")
    before = server.workers()
    client = server.connect()
    for _ in range(2):
        client.request("GET", f"{place}/forks?{how}")
        response = client.response()
        assert (response.status, response.text.rpartition(" ")[0]) == (200, "of the parent")
    client.request("GET", f"{place}/seen")
    assert isinstance(json.loads(client.response().body), list)
    assert server.workers() == before
    wait_until(lambda: server.get(f"{place}/seen").status == 200, "it goes on")
