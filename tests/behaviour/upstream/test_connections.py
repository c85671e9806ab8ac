# SPDX-License-Identifier: MIT OR Apache-2.0
"""Connections to backends: kept where it is safe, given up before they pin anybody, retried where it is right; groups."""

import os
import re
import signal
from pathlib import Path

import pytest

from harness import gateway, processes, upstreams
from harness.deadline import growth, wait_until
from harness.upstreams import ask, head, hello, kept, sent

EXPLAINED = r"upstream|GW07\d\d|client|proxy|AH\d+"
NGINX = pytest.mark.servers("nginx", "nginx128")
KEPT = pytest.mark.better("the stock modules keep no connections unless told to", strict=False)


def configure(site, kind):
    upstreams.recorders(site)
    fastcgi = site.backends["fastcgi"]
    site.passes("/off/fastcgi/", fastcgi, nginx="gangway_keep_conn off;")
    site.passes("/short/fastcgi/", fastcgi, nginx="gangway_keepalive_timeout 200ms;")
    site.passes("/three/fastcgi/", fastcgi, nginx="gangway_keepalive_requests 3;")
    site.passes("/few/fastcgi/", fastcgi, nginx="gangway_keepalive 2;")
    site.passes("/none/fastcgi/", fastcgi, nginx="gangway_keepalive 0;")


def twice(server, backend, prefix="", **kw):
    """Two requests, one after the other; whether both came on one connection."""
    peers = []
    for number in range(2):
        client = server.connect()
        client.request("GET", f"{prefix}/{backend.protocol}/{number}")
        peer = backend.next(client)
        assert peer.request()["REQUEST_URI"].endswith(f"/{number}")
        peer.answer(hello(backend.protocol), **kw)
        assert client.response().body == b"hello"
        peers.append(peer)
    return peers[0] is peers[1]


@KEPT
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_fastcgi_connections_are_kept(server, backend):
    for number in range(50):
        assert sent(server, backend, f"/{number}")["REQUEST_URI"] == f"/fastcgi/{number}"
    # One, and a few more where the machine was too busy to answer in time.
    assert backend.accepted < 10


@pytest.mark.parametrize("protocol", ["scgi", "uwsgi"])
def test_other_protocols_have_a_connection_per_request(server, backend):
    for number in range(5):
        sent(server, backend, f"/{number}")
    assert backend.accepted == 5


@KEPT
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_an_answer_with_application_status_keeps_its_connection(server, backend):
    """FastCGI section 6.2: appStatus is the application's affair."""
    assert any(twice(server, backend, app_status=3) for _ in range(20))


@KEPT
@pytest.mark.parametrize("protocol", ["fastcgi"])
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"404 Not Found", b"503 Busy"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_status_keeps_its_connection(server, backend, status, method):
    """Also those without a body, whose end comes with the head; and nothing is worth a line in the log."""
    peers = []
    for number in range(20):
        client = server.connect()
        client.request(method, f"/fastcgi/{number}")
        peers.append(backend.next(client))
        peers[-1].request()
        peers[-1].answer(head("fastcgi", status), padding=number % 9)
        assert client.response(method).status == int(status[:3])
        client.close()
    assert len(set(peers)) < 10


@NGINX
@pytest.mark.parametrize("protocol", ["fastcgi"])
@pytest.mark.parametrize("prefix", ["/off", "/none"])
def test_connections_are_not_kept_when_told_so(server, backend, prefix):
    assert not twice(server, backend, prefix)


@KEPT
@NGINX
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_an_idle_connection_is_closed_in_time(server, backend):
    client = server.connect()
    client.request("GET", "/short/fastcgi/x")
    peer = backend.next(client)
    assert peer.request().keep
    peer.answer(hello("fastcgi"))
    assert client.response().status == 200
    assert peer.at_end()


@KEPT
@NGINX
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_a_connection_serves_so_many_requests(server, backend):
    peers = []
    for number in range(4):
        client = server.connect()
        client.request("GET", f"/three/fastcgi/{number}")
        peer = backend.next(client)
        peer.request()
        peer.answer(hello("fastcgi"))
        assert client.response().status == 200
        peers.append(peer)
    assert peers[0] is peers[1] is peers[2]
    assert peers[3] is not peers[0]


@KEPT
@NGINX
def test_so_many_idle_connections_are_kept(launch):
    """Over a unix socket: of a request that has been read there the server knows that it waits for nobody."""

    def few(site):
        site.scratch.chmod(0o755)
        site.passes("/fastcgi/", site.recorder("fastcgi", unix=True), nginx="gangway_keepalive 2;")

    server = launch(few)
    backend = server.site.backends["fastcgi"]

    def kept_of_six():
        clients = [server.connect() for _ in range(6)]
        peers = []
        for number, client in enumerate(clients):
            client.request("GET", f"/fastcgi/{number}")
            peers.append(backend.next(client))
            peers[-1].request()
        for client, peer in zip(clients, peers, strict=True):
            peer.answer(hello("fastcgi"))
            assert client.response().status == 200
            client.close()
        wait_until(lambda: sum(peer.waits() for peer in peers) <= 2, "no more than two are left")
        return sum(peer.waits() for peer in peers)

    # Fewer only where the machine is so busy that a connection has waited to be accepted.
    wait_until(lambda: kept_of_six() == 2, "two are kept")


def switches(pid):
    """How often a process has gone to sleep."""
    return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1])


@NGINX
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_a_worker_with_idle_connections_sleeps(server, backend):
    """Nobody looks again and again whether an idle connection is still wanted."""
    kept(server, backend)
    assert growth(lambda: sum(switches(pid) for pid in server.workers())) < 10


# ---- what happened to a connection that was kept ----


@KEPT
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_a_connection_that_was_closed_while_idle_is_not_used(server, backend, how, method):
    """The server may see it before or after it has sent the request; nobody else does."""
    peer = kept(server, backend)
    getattr(peer, how)()
    if method == "POST" and server.kind.startswith("nginx"):
        # A request that may not be sent twice needs the end to be seen first, and it is.
        wait_until(lambda: not processes.established({backend.port}), "the server has seen the end")
    body = b"body" if method == "POST" else None
    assert sent(server, backend, "/second", method, body=body)["REQUEST_URI"] == "/fastcgi/second"


@KEPT
@NGINX
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("length", [4, 200_000], ids=["small", "in-a-file"])
def test_a_unix_socket_that_closed_a_moment_ago_has_not_taken_the_request(launch, method, length):
    """The worker finds the request first and the end of the connection second: it takes the connection, and nothing can be
    sent on it."""

    def configure(site):
        site.passes("/fastcgi/", site.recorder("fastcgi", unix=True))

    server = launch(configure)
    backend = server.site.backends["fastcgi"]
    body = b"x" * length if method == "POST" else None
    for _ in range(5):
        peer = kept(server, backend)
        client = server.connect()
        # The worker has the connection, so that the request is the first event.
        client.request("GET", "/fastcgi/first")
        waiting = backend.next(client)
        waiting.request()
        waiting.answer(hello("fastcgi"))
        assert client.response().body == b"hello"
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)
        try:
            client.request(method, "/fastcgi/second", body=body)
            for known in {peer, waiting}:
                known.close()
        finally:
            os.kill(worker, signal.SIGCONT)
        fresh = backend.accept(client)
        request = fresh.request()
        assert (request["REQUEST_URI"], request.body) == ("/fastcgi/second", body or b"")
        fresh.answer(hello("fastcgi"))
        assert client.response().body == b"hello"
        fresh.close()


@KEPT
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_a_get_is_sent_again_when_a_kept_connection_ends_without_an_answer(server, backend, how):
    peer = kept(server, backend)
    client = server.connect()
    client.request("GET", "/fastcgi/second")
    assert backend.next(client) is peer
    assert peer.request()["REQUEST_URI"] == "/fastcgi/second"
    getattr(peer, how)()
    server.log.allow(EXPLAINED)
    fresh = backend.accept(client)
    assert fresh.request()["REQUEST_URI"] == "/fastcgi/second"
    fresh.answer(hello("fastcgi"))
    assert client.response().body == b"hello"


@KEPT
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_what_changes_something_is_never_sent_twice(server, backend, how, method):
    peer = kept(server, backend)
    client = server.connect()
    client.request(method, "/fastcgi/second", body=b"order one")
    assert backend.next(client) is peer
    assert peer.request().body == b"order one"
    getattr(peer, how)()
    server.log.allow(EXPLAINED)
    assert client.response().status in (502, 503)
    assert not backend.pending()


@KEPT
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_a_retry_has_one_answer_when_it_fails_too(server, backend):
    peer = kept(server, backend)
    client = server.connect()
    client.request("GET", "/fastcgi/second")
    assert backend.next(client) is peer
    peer.request()
    peer.close()
    server.log.allow(EXPLAINED)
    fresh = backend.accept(client)
    fresh.request()
    fresh.close()
    assert client.response().status in (502, 503)
    assert not backend.pending(), "a fresh connection was tried more than once"


@KEPT
@pytest.mark.parametrize("protocol", ["fastcgi"])
def test_an_answer_that_has_begun_is_not_asked_for_again(server, backend):
    """Not if it may change something: what came proves that the application has run."""
    peer = kept(server, backend)
    client = server.connect()
    client.request("POST", "/fastcgi/second", body=b"order one")
    assert backend.next(client) is peer
    peer.request()
    peer.send(gateway.stdout(b"Status: 200 OK\r\nX-Ha"))
    peer.close()
    server.log.allow(EXPLAINED)
    assert client.response().status in (502, 503)
    assert not backend.pending()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_fresh_connection_without_an_answer_is_502(server, backend, method):
    client, peer, _ = ask(server, backend, method=method, body=b"body" if method == "POST" else None)
    peer.close()
    server.log.expect(EXPLAINED)
    assert client.response().status in (500, 502, 503)
    assert not backend.pending()


def test_a_backend_that_is_not_there_is_502(server, backend):
    backend.refuse()
    server.log.allow(EXPLAINED)
    assert server.get(f"/{backend.protocol}/x").status in (502, 503)
    backend.listen()
    # httpd does not ask a backend that refused for some time: retry=0 is in the configuration of the suite.
    assert sent(server, backend)["REQUEST_METHOD"] == "GET"


# ---- groups ----


@pytest.fixture
def group(launch, kind):
    """Two recorders of a protocol in a group of the server's own, below /group/. Connections to unix sockets are not kept:
    nobody else knows whose they are."""

    def make(protocol, nginx="", *, unix=False):
        def configure(site):
            site.kept_connections = 8
            site.scratch.chmod(0o755)
            a, b = (site.recorder(protocol, name=name, unix=unix) for name in ("a", "b"))
            # The first server is asked first.
            site.nginx_http = f"upstream pair {{ server {a.where}; server {b.where} backup; }}"
            scheme = "fcgi" if protocol == "fastcgi" else protocol
            one, other = (f"{x.where}|{scheme}://{x.path.stem}" if unix else f"{scheme}://{x.where}" for x in (a, b))
            once = " disablereuse=on" if unix else ""
            site.apache_main = (
                "<Proxy balancer://pair>\n"
                f'BalancerMember "{one}" retry=60{once}\n'
                f'BalancerMember "{other}" retry=0 status=+H{once}\n'
                "</Proxy>"
            )
            fresh = "gangway_keep_conn off; " if unix and protocol == "fastcgi" else ""
            site.passes("/group/", f"{protocol}://pair", nginx=fresh + nginx, apache='ProxyPass "balancer://pair/group/"')

        server = launch(configure)
        return server, server.site.backends["a"], server.site.backends["b"]

    return make


def over_group(server, first, method="GET", body=None):
    client = server.connect()
    client.request(method, "/group/x", body=body)
    peer = first.accept(client)
    request = peer.request()
    return client, peer, request


SOCKETS = pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])


@SOCKETS
def test_a_group_of_backends(group, protocol, unix):
    server, a, b = group(protocol, unix=unix)
    client, peer, _ = over_group(server, a)
    peer.answer(hello(protocol))
    assert client.response().body == b"hello"
    a.refuse()
    for peer in a.peers():
        peer.close()
    server.log.allow(EXPLAINED)
    client, peer, _ = over_group(server, b)
    if unix and server.kind != "apache":
        # Ours was the first attempt; nginx's own says why it failed.
        server.log.expect(r"connect\(\) to unix:\S+ failed \(2: No such file or directory\)")
    peer.answer(hello(protocol))
    assert client.response().body == b"hello"
    a.listen()


@NGINX
@pytest.mark.parametrize("failure", ["closes", "invalid", "http_503"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@SOCKETS
def test_the_next_backend_is_asked(group, protocol, failure, method, unix):
    nginx = "gangway_next_upstream error timeout invalid_header http_503;"
    server, a, b = group(protocol, nginx, unix=unix)
    client, peer, _ = over_group(server, a, method, b"body" if method == "POST" else None)
    if failure == "closes":
        peer.close()
    elif failure == "invalid":
        peer.answer(b"this is no head\r\n\r\n")
    else:
        peer.answer(head(protocol, b"503 Busy") + b"from the first")
    server.log.allow(EXPLAINED)
    if method == "POST":
        response = client.response()
        assert response.status in (502, 503)
        assert not b.pending(), "a POST was sent twice"
        return
    second = b.accept(client)
    assert second.request()["REQUEST_URI"] == "/group/x"
    second.answer(hello(protocol))
    assert client.response().body == b"hello"


@pytest.mark.better("mod_proxy_fcgi answers 500, mod_proxy_scgi 500 and mod_proxy_uwsgi 502", on=("apache",))
@pytest.mark.parametrize("method", ["GET", "POST"])
@SOCKETS
def test_a_backend_that_ends_within_its_head(group, protocol, method, unix):
    """It was killed while it wrote: the client has seen nothing, and what may arrive twice is asked of the next one."""
    server, a, b = group(protocol, unix=unix)
    server.log.allow(EXPLAINED)
    client, peer, _ = over_group(server, a, method, b"body" if method == "POST" else None)
    whole = head(protocol)
    peer.output(whole[: len(whole) // 2])
    peer.close()
    if method == "POST":
        assert client.response().status == 502
        assert not b.pending(), "a POST was sent twice"
        return
    second = b.accept(client)
    assert second.request()["REQUEST_URI"] == "/group/x"
    second.answer(hello(protocol))
    assert client.response().body == b"hello"


@KEPT
@NGINX
def test_a_group_keeps_connections_of_its_own(launch):
    def configure(site):
        backend = site.recorder("fastcgi")
        site.nginx_http = f"upstream one {{ server {backend.where}; keepalive 4; }}"
        site.passes("/fastcgi/", "fastcgi://one")

    server = launch(configure)
    backend = server.site.backends["fastcgi"]
    assert any(twice(server, backend) for _ in range(20))


@NGINX
def test_an_address_in_a_variable(launch, protocol):
    def configure(site):
        backend = site.recorder(protocol)
        site.nginx_http = f"upstream named {{ server {backend.where}; }}"
        site.passes(f"/{protocol}/", f"{protocol}://$arg_to")

    server = launch(configure)
    backend = server.site.backends[protocol]
    assert sent(server, backend, f"/x?to={backend.where}")["QUERY_STRING"] == f"to={backend.where}"
    assert sent(server, backend, "/x?to=named")["QUERY_STRING"] == "to=named"


def test_a_unix_socket(launch, protocol, kind):
    def configure(site):
        backend = site.recorder(protocol, unix=True)
        site.scratch.chmod(0o755)
        nginx = "gangway_keep_conn off;" if protocol == "fastcgi" else ""
        site.passes(f"/{protocol}/", backend, nginx=nginx, apache="")

    server = launch(configure)
    backend = server.site.backends[protocol]
    request = sent(server, backend, "/a/b?c=d", "POST", body=b"body")
    assert (request.path, request["QUERY_STRING"], request.body) == (f"/{protocol}/a/b", "c=d", b"body")
