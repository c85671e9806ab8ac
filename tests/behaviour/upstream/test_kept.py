# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a connection that is kept must not cost: a request that is lost, one that waits for a process which still works for
an earlier one, and a failure that nobody counts."""

import contextlib
import select
import statistics
import threading
import time
from itertools import pairwise

import pytest

from harness import gateway, programs
from harness.deadline import DeadlineError, wait_until
from harness.processes import processes
from harness.upstreams import ask, hello, kept, sent, stopped

EXPLAINED = r"upstream|GW07\d\d|client|proxy|AH\d+|buffered"
NGINX = pytest.mark.servers("nginx", "nginx128")
SOCKETS = pytest.mark.parametrize("unix", [True, False], ids=["unix", "tcp"])
KEPT = pytest.mark.better("the stock modules keep no connections unless told to", strict=False)
# Less than any wait for a process that works, more than a busy machine takes.
SOON = 1.5


def serve(site, fpm):
    """php-fpm as both servers have it."""
    handler = f'SetHandler "proxy:fcgi://{fpm.where}"\nSetEnv proxy-sendcl 1'
    if fpm.path:
        handler = f'SetHandler "proxy:unix:{fpm.path}|fcgi://localhost"\nSetEnv proxy-sendcl 1'
    site.apache_main += f"DocumentRoot {fpm.root}\n"
    site.body_limit = 64 << 20
    site.passes(
        r"\.php", fpm, kind="regex", nginx=f"root {fpm.root}; gangway_keepalive_timeout 500ms;", apache=handler
    )


@pytest.fixture
def php(launch):
    def make(unix, children=3, pool=""):
        server = launch(lambda site: serve(site, site.program("fpm", programs.PhpFpm(site.scratch, children, unix=unix, pool=pool))))
        return server, server.site.backends["fpm"].folder / "files" / "notes"

    return make


def timed(client, method, path, body=None):
    begun = time.monotonic()
    client.request(method, path, body=body)
    response = client.response()
    assert response.status == 200, response.status
    return time.monotonic() - begun, response


# ---- a process that still works ----


@SOCKETS
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("before", [0, 100], ids=["at-first", "later"])
def test_a_process_that_still_works_gets_no_other_request(php, gate, unix, method, before):
    """fastcgi_finish_request(): the answer has ended and its process has not. The next request is another one's, also when
    the address has done nothing of the kind before; and it runs once."""
    server, notes = php(unix)
    for _ in range(before):
        assert server.get("/work.php").status == 200
    client = server.connect()
    for number in range(5):
        _, first = timed(client, "GET", f"/work.php?{gate.query}")
        busy = gate.visitor().at("finished")
        body = b"x=1" if method != "GET" else None
        took, second = timed(client, method, f"/work.php?note={notes}&n={number}", body)
        busy.go()
        assert second.body != first.body
        assert took < SOON
    # Nothing waits for the processes that have come back.
    for number in range(5, 8):
        timed(client, "GET", f"/work.php?note={notes}&n={number}")
    ran = notes.read_text().splitlines()
    assert ran == [f"{method if number < 5 else 'GET'} {number}" for number in range(8)]


@SOCKETS
def test_an_edit_and_the_page_that_follows(php, unix):
    """As MediaWiki has it: work of 40 ms after the answer to a POST, and the page is asked for at once."""
    # One is always free, however fast one edit follows the other.
    server, _ = php(unix, children=3)
    client = server.connect()
    times, alone = [], []
    for _ in range(20):
        timed(client, "POST", "/work.php?ms=40", b"text=new")
        times.append(timed(client, "GET", "/work.php")[0])
        # What it takes on this machine just now.
        alone.append(timed(client, "GET", "/work.php")[0])
    assert statistics.median(times) < statistics.median(alone) + 0.02, (times, alone)


@SOCKETS
@pytest.mark.parametrize("first", [0, 1, 2], ids=["longest-at-work", "second", "last"])
def test_a_request_that_waits_has_the_process_that_comes_back_first(php, gate, unix, first):
    """All processes work after their answers, and kept connections hold them all. Whichever is the first to have done serves
    the request that waits, at once."""
    server, _ = php(unix, children=3)
    # What their connections leave unread is known.
    for _ in range(10):
        assert server.get("/work.php").status == 200
    times, alone = [], []
    for _ in range(12):
        clients = [server.connect() for _ in range(3)]
        for client in clients:
            timed(client, "GET", f"/work.php?{gate.query}")
        # In the order in which they came, which is that of the answers.
        busy = [gate.visitor().at("finished") for _ in clients]
        waiting = server.connect()
        waiting.request("GET", "/work.php")
        # For longer than a process takes to come back on its own.
        assert not select.select([waiting.socket], [], [], 0.05)[0], "a process was free"
        begun = time.monotonic()
        busy[first].go()
        assert waiting.response().status == 200
        times.append(time.monotonic() - begun)
        for visitor in busy:
            if visitor is not busy[first]:
                visitor.go()
        # What it takes on this machine just now.
        alone.extend(timed(waiting, "GET", "/work.php")[0] for _ in range(5))
        for client in (*clients, waiting):
            client.close()
    assert statistics.median(times) < statistics.median(alone) + 0.012, (times, alone)


@KEPT
@SOCKETS
def test_processes_that_wait_are_used_again(php, unix):
    """What is looked at is not the price of a new connection each time."""
    server, _ = php(unix, children=4)
    client = server.connect()
    pids = []
    for _ in range(60):
        pids.append(int(timed(client, "GET", "/work.php")[1].body))
        # It has come back for the next request: one that works is passed over, however little is left of its work.
        wait_until(lambda: processes()[pids[-1]].state == "S", "the process of PHP sleeps")
    # New connections go to the four of them in turn.
    again = sum(pid == before for before, pid in pairwise(pids))
    assert again > 40, pids


@KEPT
@SOCKETS
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_one_that_reads_all_at_once_and_then_works(launch, unix, method):
    """A backend of another kind, which leaves nothing unread: of a request that it does not read nobody knows before. What
    only reads is taken elsewhere, and the address is known from then on."""

    def configure(site):
        site.scratch.chmod(0o755)
        backend = site.recorder("fastcgi", unix=unix)
        site.passes("/fastcgi/", backend, nginx="gangway_keepalive_timeout 500ms;")

    server = launch(configure)
    backend = server.site.backends["fastcgi"]
    server.log.allow(EXPLAINED)
    if method == "GET":
        for _ in range(10):
            busy = kept_by_put(server, backend)
            client = server.connect()
            client.request("GET", "/fastcgi/one")
            fresh = backend.accept(client)
            assert fresh.request()["REQUEST_URI"] == "/fastcgi/one"
            fresh.answer(hello("fastcgi"))
            assert client.response().body == b"hello"
            # Nothing where the machine was so busy that the connection had been given up before.
            if busy.discard() > 0:
                break
        else:
            pytest.fail("no request was ever left on a kept connection")
        # From now on connections are not kept for a moment.
        client, peer, _ = ask(server, backend, "/two")
        peer.answer(hello("fastcgi"))
        assert client.response().body == b"hello"
        assert peer.at_end()
    else:
        # It may not be sent twice: it waits, and the address is known.
        kept_by_put(server, backend)
        client = server.connect()
        client.request("POST", "/fastcgi/one", body=b"order")
        assert not backend.pending(within=0.1)
        busy = backend.next(client)
        assert busy.request().body == b"order"
        busy.answer(hello("fastcgi"))
        assert client.response().body == b"hello"
        assert busy.at_end() and not backend.pending()


# ---- requests that cannot be sent twice ----


def kept_by_put(server, backend):
    """A PUT is not taken elsewhere when this machine is so busy that nobody reads it."""
    return kept(server, backend, method="PUT")


def configure_recorder(site, nginx=""):
    site.body_limit = 64 << 20
    site.scratch.chmod(0o755)
    backend = site.recorder("fastcgi", unix=nginx == "unix")
    nginx = "" if nginx == "unix" else nginx
    site.passes("/fastcgi/", backend, nginx=f"gangway_keepalive_timeout 2s; {nginx}")


@SOCKETS
@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_backend_that_keeps_no_connection_loses_no_request(launch, unix, method, size):
    """It ignores FCGI_KEEP_CONN and closes a moment after its answer, which may be the moment of the next request."""
    server = launch(lambda site: configure_recorder(site, "unix" if unix else ""))
    backend = server.site.backends["fastcgi"]
    server.log.allow(EXPLAINED)
    body = b"x" * size
    with Closing(backend) as closing:
        for moment in ("closed", "closing", "together", "unread", "late"):
            closing.prepare(moment)
            assert server.get("/fastcgi/first").status == 200
            closing.begin()
            assert server.request(method, "/fastcgi/second", body=body).body == b"%d" % size, moment


class Closing:
    """Threads that answer each connection's first request and close the connection, reading no more. After a GET they do that

    closed    before the next request
    closing   right behind the answer
    together  at the moment of the next request
    unread    when that has come and nobody has read it
    late      when it has stayed unread for some time, or has been taken elsewhere"""

    def __init__(self, backend):
        self.backend, self.stopping, self.threads = backend, threading.Event(), []

    def prepare(self, moment):
        self.moment, self.closed, self.begun = moment, threading.Event(), threading.Event()

    def begin(self):
        """The next request is about to be sent."""
        if self.moment == "closed":
            assert self.closed.wait(10), "the backend has not closed its connection"
        self.begun.set()

    def __enter__(self):
        self.threads.append(threading.Thread(target=self.accept))
        self.threads[0].start()
        return self

    def accept(self):
        while not self.stopping.is_set():
            try:
                peer = self.backend.accept(timeout=0.05)
            except (AssertionError, TimeoutError):
                continue
            self.threads.append(threading.Thread(target=self.serve, args=(peer,)))
            self.threads[-1].start()

    def serve(self, peer):
        closed = self.closed
        with contextlib.suppress(ConnectionError, OSError):
            request = peer.request()
            peer.send(gateway.fastcgi_answer(b"Status: 200 OK\r\n\r\n%d" % len(request.body)))
            if request["REQUEST_METHOD"] == "GET":
                self.wait(peer)
        peer.close()
        closed.set()

    def wait(self, peer):
        if self.moment == "together":
            self.begun.wait(10)
        if self.moment in ("unread", "late"):
            select.select([peer.socket], [], [], 10)
        if self.moment == "late":
            with contextlib.suppress(DeadlineError):
                wait_until(peer.is_left, "the request is taken elsewhere", timeout=0.3)

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(10)


@SOCKETS
def test_php_that_ends_after_some_requests_loses_none(php, unix):
    """pm.max_requests: a process leaves right behind an answer."""
    server, notes = php(unix, children=3, pool="pm.max_requests = 3")
    body = b"x=" + b"y" * 300_000
    for number in range(60):
        client = server.connect()
        timed(client, "GET", "/work.php")
        timed(client, "POST", f"/work.php?note={notes}&n={number}", body if number % 3 == 0 else b"x=y")
        client.close()
    assert notes.read_text().splitlines() == [f"POST {number}" for number in range(60)]


@SOCKETS
def test_php_that_ends_loses_none_of_many_at_a_time(php, unix):
    """As before, with connections that have been looked at earlier than when they are used."""
    server, notes = php(unix, children=6, pool="pm.max_requests = 7")
    failures = []

    def ask_on(which):
        client = server.connect()
        try:
            for number in range(60):
                timed(client, "POST", f"/work.php?note={notes}&n={which}-{number}", b"x=y")
        except Exception as error:
            failures.append((which, number, error))

    threads = [threading.Thread(target=ask_on, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(notes.read_text().splitlines()) == sorted(f"POST {which}-{n}" for which in range(4) for n in range(60))


@KEPT
@SOCKETS
def test_what_cannot_be_sent_twice_goes_where_connections_are_kept(launch, unix):
    """To a fresh connection until one has been used again; and again after one was closed under a request."""
    server = launch(lambda site: configure_recorder(site, "unix" if unix else ""))
    backend = server.site.backends["fastcgi"]
    server.log.allow(EXPLAINED)
    post = lambda: ask(server, backend, "/post", "POST", body=b"body")

    def answer(found):
        client, peer, request = found
        assert request.body == b"body"
        peer.answer(hello("fastcgi"))
        assert client.response().body == b"hello"
        return peer

    begun = time.monotonic()
    seen = {answer(post()) for _ in range(3)}
    # One that stays open for a second shows it, too.
    assert len(seen) == 3 or time.monotonic() - begun > 1, "nobody knew yet"
    # More than once where the machine is so busy that somebody seems to wait for an idle connection.
    goes_there = lambda: answer(post()) is kept_by_put(server, backend) or kept_by_put(server, backend) is answer(post())
    wait_until(goes_there, "a POST goes to a connection that is kept")
    # It closes under a request, which may be sent again.
    for _ in range(20):
        peer = kept_by_put(server, backend)
        client, taken, _ = ask(server, backend, "/closed", "PUT")
        if taken is peer:
            break
        taken.answer(hello("fastcgi"))
        client.response()
    assert taken is peer
    taken.close()
    fresh = backend.next(client)
    assert fresh.request()["REQUEST_URI"] == "/fastcgi/closed"
    fresh.answer(hello("fastcgi"))
    assert client.response().body == b"hello"
    before = set(backend.peers())
    assert answer(post()) not in before
    wait_until(goes_there, "and again")


# In httpd a request that has not been accepted at once takes an idle connection away, and this backend accepts late.
@NGINX
@SOCKETS
def test_an_application_that_is_only_posted_to(launch, unix):
    """No request that could be sent twice shows that its address keeps connections; that they stay open for a second does. However many
    connections have no room meanwhile, some stay for so long."""

    def configure(site):
        site.scratch.chmod(0o755)
        times = "gangway_keepalive_timeout 4s;" + ("" if unix else " gangway_keepalive 2;")
        site.passes("/fastcgi/", site.recorder("fastcgi", unix=unix), nginx=times)

    server = launch(configure)
    backend = server.site.backends["fastcgi"]
    server.log.allow(EXPLAINED)
    seen = set()

    def goes_to_a_kept_one():
        client, peer, request = ask(server, backend, "/post", "POST", body=b"body")
        assert request.body == b"body"
        peer.answer(hello("fastcgi"))
        assert client.response().body == b"hello"
        is_kept = peer in seen
        seen.add(peer)
        return is_kept

    begun = time.monotonic()
    assert not goes_to_a_kept_one()
    wait_until(goes_to_a_kept_one, "a POST goes to a connection that is kept")
    assert time.monotonic() - begun >= 1


@NGINX
@pytest.mark.parametrize(
    "nginx", ["gangway_next_upstream off;", "gangway_next_upstream timeout;", "gangway_request_buffering off;"]
)
def test_what_nginx_would_not_send_again_counts_as_well(launch, nginx):
    """gangway_next_upstream without `error`, and a body that streams."""
    server = launch(lambda site: configure_recorder(site, nginx))
    backend = server.site.backends["fastcgi"]
    server.log.allow(EXPLAINED)
    method, body = ("PUT", b"x" * 300_000) if "buffering" in nginx else ("PUT", None)
    peers = []
    for number in range(3):
        client, peer, _ = ask(server, backend, f"/{number}", method, body=body)
        peer.answer(hello("fastcgi"))
        assert client.response().status == 200
        peers.append(peer)
    assert len(set(peers)) == 3


# ---- failures that count ----


@pytest.fixture
def pair(launch):
    def make(unix, times="gangway_keepalive_timeout 2s; gangway_read_timeout 1s;"):
        def configure(site):
            site.scratch.chmod(0o755)
            a, b = (site.recorder("fastcgi", name=name, unix=unix) for name in "ab")
            site.nginx_http = (
                f"upstream pair {{ server {a.where} max_fails=1 fail_timeout=60s; server {b.where} backup; }}"
            )
            site.passes("/fastcgi/", "fastcgi://pair", nginx=times)

        server = launch(configure)
        server.log.allow(EXPLAINED)
        return server, server.site.backends["a"], server.site.backends["b"]

    return make


@KEPT
@NGINX
@SOCKETS
@pytest.mark.parametrize("how", ["closes", "is-silent"])
def test_a_failure_over_a_kept_connection_counts(pair, unix, how):
    """The backend has read the request, and gives no answer: one failure, and it is not asked again."""
    server, a, b = pair(unix)
    peer = kept_by_put(server, a)
    client = server.connect()
    client.request("PUT", "/fastcgi/fails")
    assert a.next(client) is peer
    peer.request()
    if how == "closes":
        peer.close()
    second = b.accept(client)
    second.request()
    second.answer(hello("fastcgi"))
    assert client.response().body == b"hello"
    for number in range(3):
        sent(server, b, f"/{number}", "PUT")
    assert not a.pending()


@KEPT
@NGINX
@SOCKETS
def test_a_connection_that_was_closed_while_it_was_idle_is_no_failure(pair, unix):
    server, a, b = pair(unix)
    for number in range(5):
        kept_by_put(server, a).close()
        sent(server, a, f"/{number}", "PUT")
    assert not b.pending() and b.accepted == 0


@KEPT
@NGINX
@SOCKETS
def test_a_process_that_ends_when_a_request_comes_has_failed_nobody(pair, unix):
    """As PHP does after its last request: it ends its side, and closes the connection a moment later. Meanwhile a request was put on
    it, which it never reads."""
    # A busy machine takes its time.
    server, a, b = pair(unix, times="gangway_keepalive_timeout 5s;")
    met = 0
    for number in range(30):
        client = server.connect()
        client.request("GET", "/.ready")
        client.response()
        peer = kept_by_put(server, a)
        with stopped(server):
            client.request("GET", f"/fastcgi/{number}")
            peer.half_close()
        wait_until(lambda: a.pending() or b.pending(), "the request goes elsewhere", 20)
        # To the same backend where the machine is so busy that the connection was given up before.
        met += b.pending()
        second = (b if b.pending() else a).accept()
        assert second.request()["REQUEST_URI"] == f"/fastcgi/{number}"
        second.answer(hello("fastcgi"))
        assert client.response().body == b"hello"
        peer.close()
        b.reset()
        sent(server, a, "/and/on", "PUT")
        assert not b.pending()
        if met == 3:
            break
    assert met > 0 and not server.log.find(r"\[error\]")


@KEPT
@NGINX
@SOCKETS
def test_a_process_of_php_that_dies_counts(launch, unix):
    """It leaves the end of the request unread, so the connection is reset."""

    def configure(site):
        fpm = site.program("fpm", programs.PhpFpm(site.scratch, 2, unix=unix))
        other = site.recorder("fastcgi")
        site.nginx_http = (
            f"upstream pair {{ server {fpm.where} max_fails=1 fail_timeout=60s; server {other.where} backup; }}"
        )
        nginx = f"root {fpm.root}; gangway_keepalive_timeout 500ms;"
        site.passes(r"\.php", "fastcgi://pair", kind="regex", nginx=nginx)

    server = launch(configure)
    server.log.allow(EXPLAINED)
    other = server.site.backends["fastcgi"]
    first = timed(server.connect(), "GET", "/work.php")[1].body
    wait_until(lambda: timed(server.connect(), "GET", "/work.php")[1].body == first, "a connection is kept")
    client = server.connect()
    client.request("GET", "/answer.php?how=exit")
    for _ in range(3):
        peer = other.next(client)
        peer.request()
        peer.answer(hello("fastcgi"))
        assert client.response().body == b"hello"
        client.request("GET", "/work.php")
    peer = other.next(client)
    peer.request()
    peer.answer(hello("fastcgi"))
    assert client.response().body == b"hello"
