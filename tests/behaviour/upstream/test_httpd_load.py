# SPDX-License-Identifier: MIT OR Apache-2.0
"""httpd's balancers, reloads and MPMs with our backends: what happens to requests while something happens to servers, and
to connections that are kept."""

import contextlib
import socket
import threading
import time

import pytest

from harness import wire
from harness.deadline import wait_until
from harness.gateway import OVERLOADED, end_request, stdout
from harness.load import Crowd
from harness.upstreams import hello, kept

pytestmark = pytest.mark.servers("apache")
MPMS = pytest.mark.servers("apache", "apache-worker", "apache-prefork")


def lines(site, text):
    """A site whose proxy configuration is `text`; %NAME% is the port of the recorder of that name."""
    site.passes("/unused/", "fastcgi://127.0.0.1:1")
    for name, backend in site.backends.items():
        text = text.replace(f"%{name}%", str(backend.port))
    site.apache_host = text


def one_backend(site, settings="", more=""):
    site.recorder("fastcgi")
    lines(site, f'ProxyPass "/d/" "fcgi://127.0.0.1:%fastcgi%/" {settings}\n{more}')


def echo(request, peer):
    """The name of the request, or its body."""
    return b"Content-Type: text/plain\r\n\r\n" + (request.body or request.bytes("QUERY_STRING"))


class Clients(Crowd):
    """They ask again and again, each time on a connection of their own, and forgive nothing."""

    def __init__(self, server, path, count=6, method="GET"):
        super().__init__(*[lambda: self._run(server, path, method)] * count)

    def _run(self, server, path, method):
        number = 0
        while not self._stop.is_set():
            number += 1
            name = f"{threading.get_ident()}-{number}"
            try:
                with wire.Connection(server.port, timeout=30) as client:
                    client.request(method, f"{path}?{name}", [("Connection", "close")])
                    response = client.response()
                    assert (response.status, response.body) == (200, name.encode()), f"{response.status}"
            except (OSError, AssertionError) as error:
                with self._lock:
                    self.failures.append(f"{name}: {error!r}")
            with self._lock:
                self.done += 1

    def more(self, count):
        """Waits for so many more answers."""
        target = self.done + count
        wait_until(lambda: self.done >= target, f"{count} more answers", 60)


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_a_balancer_loses_nothing_when_a_backend_dies_and_comes_back(launch, unix):
    """Requests that may be repeated go to the other backend; a second later the first is asked again."""

    def configure(site):
        url = lambda name: f"unix:{site.backends[name].path}|fcgi://{name}" if unix else f"fcgi://127.0.0.1:%{name}%"
        for name in ("first", "second"):
            site.recorder("fastcgi", name=name, unix=unix)
        members = "".join(f'BalancerMember "{url(name)}" retry=1\n' for name in ("first", "second"))
        lines(site, f'<Proxy "balancer://pool">\n{members}</Proxy>\nProxyPass "/d/" "balancer://pool/"')

    server = launch(configure)
    server.log.allow("AH0[0-9]+|AH10[0-9]+|GW0703")
    first, second = server.site.backends["first"], server.site.backends["second"]
    with second.serving(echo) as kept, Clients(server, "/d/x") as clients:
        for _ in range(2):
            with first.serving(echo) as served:
                clients.more(100)
                wait_until(lambda served=served: len(served) > 20, "the first backend serves")
            # It dies: connections are closed, some of them with a request on them, and new ones are refused.
            first.refuse()
            clients.more(100)
            first.listen()
    assert clients.failures == []
    assert len(kept) > 100


@pytest.mark.parametrize("failure", ["unreachable", "overloaded", "dies", "dies in its body"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_balancer_asks_another_backend_only_if_the_first_has_done_nothing(launch, failure, method):
    def configure(site):
        for name in ("first", "second"):
            site.recorder("fastcgi", name=name)
        members = "BalancerMember fcgi://127.0.0.1:%first% retry=60\nBalancerMember fcgi://127.0.0.1:%second% status=+H\n"
        lines(site, f'<Proxy "balancer://pool">\n{members}</Proxy>\nProxyPass "/d/" "balancer://pool/"')

    server = launch(configure)
    server.log.allow("AH\\d+|GW070[23]")
    first, second = server.site.backends["first"], server.site.backends["second"]
    body = b"the whole body" * 3000 if method == "POST" else None
    client = server.connect()
    if failure == "unreachable":
        first.refuse()
    client.request(method, "/d/x", body=body)
    if failure != "unreachable":
        peer = first.next(client)
        assert peer.request().body == (body or b"")
        if failure == "overloaded":
            peer.send(end_request(protocol_status=OVERLOADED))
        else:
            if failure == "dies in its body":
                peer.send(stdout(b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhe"))
            peer.close()
    if method == "POST" and failure != "unreachable":
        # Its body has left, and what died may have acted on it.
        assert client.response().status == 502
        assert not second.pending()
        return
    peer = second.next(client)
    assert peer.request().body == (body or b"")
    peer.answer(hello("fastcgi"))
    assert client.response().body == b"hello"
    if failure == "unreachable":
        first.listen()


def test_a_graceful_restart_loses_nothing(launch):
    def configure(site):
        site.workers = 2
        one_backend(site)

    server = launch(configure)
    with server.site.backends["fastcgi"].serving(echo), Clients(server, "/d/x") as clients:
        for _ in range(3):
            clients.more(60)
            server.reload(60)
        clients.more(60)
    assert clients.failures == []


@MPMS
def test_connections_are_kept_in_every_mpm(launch, kind):
    server = launch(one_backend)
    backend = server.site.backends["fastcgi"]
    client = server.connect()
    for number in range(5):
        client.request("POST", f"/d/x?{number}", body=b"n%d" % number)
        peer = backend.next(client)
        assert peer.request().body == b"n%d" % number
        peer.answer(b"Content-Type: text/plain\r\n\r\n%d" % number)
        assert client.response().body == b"%d" % number
    client.close()
    peer = kept(server, backend, "/d/x")
    # An idle connection does not stay: php-fpm would have a process less.
    begun = time.monotonic()
    assert peer.at_end()
    assert time.monotonic() - begun < 5


def test_an_idle_connection_is_given_up_when_another_request_waits(launch):
    """A backend of one process, like php-fpm with pm.max_children=1: the second request is answered only when the first
    connection, which is idle, is closed."""

    def configure(site):
        site.recorder("fastcgi")
        keeps = 'ProxyPass "/d/" "fcgi://127.0.0.1:%fastcgi%/d/" ttl=60\n'
        lines(site, keeps + 'ProxyPass "/e/" "fcgi://127.0.0.1:%fastcgi%/e/" enablereuse=off')

    server = launch(configure)
    backend = server.site.backends["fastcgi"]
    peer = kept(server, backend, "/d/x")
    # What keeps no connections cannot take the idle one, so its request is on a new one that nobody accepts yet.
    second = server.connect()
    second.request("GET", "/e/x")
    assert peer.at_end()
    waiting = backend.accept()
    waiting.request()
    waiting.answer(hello("fastcgi"))
    assert second.response().body == b"hello"


@pytest.mark.servers("apache", "apache-prefork")
def test_a_backend_of_one_process_serves_all_processes_of_the_server(launch, kind):
    """It serves one connection until that is closed, like a process of php-fpm. Kept connections must not starve others."""

    def configure(site):
        site.workers = 4 if kind == "apache-prefork" else 2
        one_backend(site, "ttl=60")

    server = launch(configure)
    backend = server.site.backends["fastcgi"]
    stop = threading.Event()
    slowest = 0.0

    def serve():
        while not stop.is_set():
            if not backend.pending():
                stop.wait(0.001)
                continue
            peer = backend.accept()
            try:
                while True:
                    request = peer.request()
                    peer.answer(echo(request, peer))
            except (ConnectionError, OSError):
                peer.close()

    process = threading.Thread(target=serve)
    process.start()
    try:
        with Clients(server, "/d/x", count=4) as clients:
            for _ in range(10):
                begun = time.monotonic()
                clients.more(20)
                slowest = max(slowest, time.monotonic() - begun)
    finally:
        # The connection that is still kept ends with the server.
        server.stop()
        stop.set()
        process.join(30)
    assert clients.failures == []
    # With ttl=60 a starved process would wait for a minute.
    assert slowest < 20


def test_an_answer_that_comes_before_the_body_is_complete(launch):
    """The backend does not wait for the end of an upload, and the server does not either."""
    server = launch(one_backend)
    backend = server.site.backends["fastcgi"]
    client = server.connect()
    client.send(wire.head_bytes("POST", "/d/x", [("Host", "x"), ("Content-Length", "1000000")]) + b"x" * 1000)
    peer = backend.next(client)
    peer.head()
    peer.answer(b"Status: 413\r\nContent-Type: text/plain\r\n\r\ntoo much")
    response = client.response()
    assert (response.status, response.body) == (413, b"too much")
    # The rest of this body must not be taken for another request's.
    assert peer.at_end() or peer.discard() >= 0
    other = server.connect()
    other.request("GET", "/d/y")
    fresh = backend.next(other)
    assert fresh is not peer
    fresh.request()
    fresh.answer(hello("fastcgi"))
    assert other.response().status == 200


@pytest.mark.parametrize("how", ["reset", "close"])
def test_a_client_that_leaves_frees_the_backend(launch, how):
    """FCGI_ABORT_REQUEST, then the connection closes: at once after a reset, in a second when the client only closed."""
    server = launch(one_backend)
    backend = server.site.backends["fastcgi"]
    client = server.connect()
    client.request("GET", "/d/x")
    peer = backend.next(client)
    peer.request()
    getattr(client, how)()
    assert peer.record().type == 2
    assert peer.at_end()


def test_a_stream_of_http2_that_is_cancelled_frees_the_backend(launch):
    def configure(site):
        site.http2 = True
        one_backend(site)

    server = launch(configure)
    backend = server.site.backends["fastcgi"]
    client = server.http2()
    stream = client.send_head("GET", "/d/x")
    peer = backend.next(client)
    peer.request()
    client.cancel(stream)
    assert peer.record().type == 2
    assert peer.at_end()


def test_a_half_closed_client_gets_what_comes_within_a_second(launch):
    server = launch(one_backend)
    backend = server.site.backends["fastcgi"]
    client = server.connect()
    client.request("GET", "/d/x", [("Connection", "close")])
    client.half_close()
    peer = backend.next(client)
    peer.request()
    peer.answer(hello("fastcgi"))
    assert client.response().body == b"hello"


def test_output_leaves_when_the_backend_pauses(launch):
    server = launch(one_backend)
    backend = server.site.backends["fastcgi"]
    client = server.connect()
    client.request("GET", "/d/x")
    peer = backend.next(client)
    peer.request()
    peer.output(b"Content-Type: text/plain\r\n\r\n")
    blocks = client.blocks(client.head())
    for number in range(3):
        peer.output(b"part %d" % number)
        assert next(blocks) == b"part %d" % number
    peer.end()
    assert list(blocks) == []


@pytest.mark.parametrize("method, again", [("GET", True), ("PUT", True), ("POST", False)])
def test_a_kept_connection_that_dies_under_a_request(launch, method, again):
    """What may arrive twice is sent again on a new connection. What may not is not, even if the client gets an error."""
    server = launch(lambda site: one_backend(site, "ttl=60"))
    backend = server.site.backends["fastcgi"]
    peer = kept(server, backend, "/d/x")
    client = server.connect()
    client.request(method, "/d/y", body=None if method == "GET" else b"body")
    assert backend.next(client) is peer
    assert peer.request().body == (b"" if method == "GET" else b"body")
    peer.close()
    if again:
        fresh = backend.accept()
        assert fresh.request().body == (b"" if method == "GET" else b"body")
        fresh.answer(hello("fastcgi"))
        assert client.response().body == b"hello"
    else:
        assert client.response().status == 502
        server.log.expect("GW0703")
    assert not backend.pending()


def test_a_connection_that_was_closed_while_idle_is_not_used(launch):
    server = launch(lambda site: one_backend(site, "ttl=60"))
    backend = server.site.backends["fastcgi"]
    for _ in range(3):
        client = server.connect()
        client.request("POST", "/d/x", body=b"body")
        peer = backend.next(client)
        assert peer.request().body == b"body"
        peer.answer(hello("fastcgi"))
        assert client.response().status == 200
        peer.close()
    assert backend.accepted == 3


def test_a_silent_backend_is_a_timeout_and_may_be_retried_by_the_client(launch):
    server = launch(lambda site: one_backend(site, "timeout=1"))
    backend = server.site.backends["fastcgi"]
    client = server.connect()
    client.request("GET", "/d/x")
    peer = backend.next(client)
    peer.request()
    assert client.response().status == 504
    assert peer.record().type == 2  # FCGI_ABORT_REQUEST
    assert peer.at_end()
    server.log.expect("GW0711")


def test_a_backend_that_accepts_nobody_is_not_waited_for_for_ever(launch):
    """connect() to a unix socket waits while the backlog is full; mod_proxy sets no limit for that."""
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as clients:

        def configure(site):
            path = site.scratch / "full.sock"
            listener.bind(str(path))
            listener.listen(0)
            path.chmod(0o777)
            site.recorder("fastcgi")
            lines(
                site,
                f'ProxyPass "/d/" "unix:{path}|fcgi://full/" timeout=1\n'
                '<Proxy "balancer://pool">\n'
                f'BalancerMember "unix:{path}|scgi://full/" connectiontimeout=500ms\n'
                'BalancerMember "fcgi://127.0.0.1:%fastcgi%" status=+H\n</Proxy>\n'
                'ProxyPass "/b/" "balancer://pool/"',
            )

        server = launch(configure)
        backend = server.site.backends["fastcgi"]
        for _ in range(2):
            other = clients.enter_context(socket.socket(socket.AF_UNIX))
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                other.connect(listener.getsockname())
        assert server.get("/d/x", timeout=20).status == 503
        server.log.expect(r"GW0711 .* has accepted no connection for 1 seconds")
        client = server.connect()
        client.request("GET", "/b/x")
        peer = backend.next(client)
        peer.request()
        peer.answer(hello("fastcgi"))
        assert client.response().body == b"hello"
        server.log.expect(r"GW0711 .* has accepted no connection for 0\.5 seconds")
        # Once there is room again, the worker is as good as before.
        clients.close()
        listener.settimeout(20)
        client = server.connect()
        client.request("GET", "/d/x")
        for _ in range(5):
            # Those who have left are still there, and say nothing.
            peer = clients.enter_context(listener.accept()[0])
            if peer.recv(65536):
                break
        peer.sendall(stdout(hello("fastcgi")) + end_request())
        assert client.response().body == b"hello"


def test_balancer_manager_and_status_know_our_workers(launch):
    def configure(site):
        site.recorder("fastcgi")
        lines(
            site,
            '<Proxy "balancer://pool">\nBalancerMember "fcgi://127.0.0.1:%fastcgi%" route=r1\n</Proxy>\n'
            'ProxyPass "/d/" "balancer://pool/"\n'
            '<Location "/manager">\nSetHandler balancer-manager\n</Location>',
        )

    server = launch(configure)
    backend = server.site.backends["fastcgi"]
    client = server.connect()
    client.request("GET", "/d/x")
    peer = backend.next(client)
    peer.request()
    peer.answer(hello("fastcgi"))
    assert client.response().status == 200
    page = server.get("/manager").text
    server.log.allow("AH10187")
    assert f"fcgi://127.0.0.1:{backend.port}" in page and "r1" in page and "Init Ok" in page
