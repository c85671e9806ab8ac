# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reloads of the server and restarts of backends under load: no request is lost."""

import os
import signal
import threading
import time

import pytest

from harness import programs, upstreams, wire
from harness.deadline import wait_until
from harness.gateway import PROTOCOLS
from harness.upstreams import head, hello, stopped

EXPLAINED = r"upstream|GW07\d\d|AH\d+|proxy|connect\(\) failed|recv\(\) failed|no live"


class Asking:
    """Clients that ask for `path` until the block ends; each answer must be whole and right."""

    def __init__(self, server, path, body=b"hello", count=4, method="GET"):
        self._ask = (server.port, path, body, method)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.done = 0
        self.failures = []
        self.backends = set()  # which have answered since somebody looked
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self.done > 20 or self.failures, "requests are answered")
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self):
        port, path, body, method = self._ask
        while not self._stop.is_set():
            try:
                with wire.Connection(port, timeout=30) as client:
                    client.request(method, path, [("Connection", "close")])
                    response = client.response()
                    assert (response.status, response.body) == (200, body), f"{response.status} {response.body[:200]}"
            except (OSError, AssertionError) as error:
                with self._lock:
                    self.failures.append(repr(error))
                continue
            with self._lock:
                self.done += 1
                self.backends.add(response.header("X-Backend"))

    def go_on(self, count=50):
        """Waits until so many more requests have been answered."""
        before = self.done
        wait_until(lambda: self.done >= before + count or self.failures, "requests go on", 30)

    def check(self):
        assert not self.failures, f"{len(self.failures)} failed, {self.done} did not: {self.failures[:3]}"


@pytest.mark.parametrize("protocol", ["fastcgi", "scgi", "uwsgi"])
def test_reloads_under_load_lose_nothing(launch, protocol):
    def configure(site):
        site.workers = 2
        site.threads_per_child = 32
        upstreams.recorders(site)

    server = launch(configure)
    backend = server.site.backends[protocol]
    with backend.serving(lambda request, peer: hello(protocol)):
        with Asking(server, f"/{protocol}/x") as load:
            for _ in range(6):
                server.reload()
                load.go_on()
    load.check()


def test_a_reload_lets_a_long_request_finish(launch):
    server = launch(lambda site: upstreams.recorders(site))
    backend = server.site.backends["fastcgi"]
    client = server.connect()
    client.request("GET", "/fastcgi/long")
    peer = backend.next(client)
    peer.request()
    (old,) = server.workers()
    server.send_signal("reload")
    wait_until(lambda: set(server.workers()) != {old}, "a new worker runs")
    peer.answer(hello("fastcgi"))
    assert client.response().body == b"hello"
    wait_until(lambda: old not in server.workers(), "the old worker has ended, with its idle connections")


def test_idle_connections_do_not_keep_an_old_worker(launch):
    server = launch(lambda site: upstreams.recorders(site, nginx="gangway_keepalive_timeout 60s;"))
    backend = server.site.backends["fastcgi"]
    for number in range(10):
        upstreams.sent(server, backend, f"/{number}")
    begun = time.monotonic()
    server.reload(timeout=20)
    assert time.monotonic() - begun < 15


def group(site, members, fails=1):
    """Two backends behind /group/, as an administrator writes it for either server."""
    site.workers = 1
    site.threads_per_child = 32
    servers = " ".join(f"server {member.where} max_fails={fails} fail_timeout=1s;" for member in members)
    site.nginx_http = f"upstream pair {{ {servers} }}"
    protocol = members[0].protocol
    scheme = {"fastcgi": "fcgi"}.get(protocol, protocol)
    lines = "\n".join(f"BalancerMember {scheme}://{member.where} retry=1" for member in members)
    site.apache_main = f"<Proxy balancer://pair>\n{lines}\nProxySet failonstatus=503\n</Proxy>"
    site.passes("/group/", f"{protocol}://pair", apache='ProxyPass "balancer://pair/group/"')


MAKERS = {
    "libfcgi": lambda site, name: site.program(name, programs.libfcgi(site.scratch)),
    "scgi": lambda site, name: site.program(name, programs.scgi(site.scratch)),
    "perl": lambda site, name: site.program(name, programs.perl(site.scratch)),
}


@pytest.mark.better("httpd's stock modules do not try another member", on=("apache",), strict=False)
@pytest.mark.parametrize("which", MAKERS)
def test_backends_restart_under_load(launch, which):
    """Ended by a signal in the middle of requests, and started again, one after the other: idempotent requests get their
    answer from the other one."""

    def configure(site):
        group(site, [MAKERS[which](site, name) for name in ("a", "b")])

    server = launch(configure)
    server.log.allow(EXPLAINED)
    with Asking(server, "/group/hello") as load:
        for name in ("a", "b", "a", "b"):
            backend = server.site.backends[name]
            backend.stop(signal.SIGKILL)
            load.go_on()
            backend.start()
            load.go_on()
            # The other one is next when this one answers again.
            load.backends.clear()
            wait_until(lambda port=str(backend.port): port in load.backends, "the backend is asked again")
    load.check()
    assert load.done > 400


def test_php_fpm_reloads_under_load(launch):
    """`kill -USR2` of php-fpm with two pools behind the server: what its children were doing is asked again elsewhere."""

    def configure(site):
        pools = []
        for name in ("a", "b"):
            folder = site.scratch / name
            folder.mkdir()
            folder.chmod(0o1777)
            pools.append(site.program(name, programs.PhpFpm(folder, children=2)))
        # Neither counts as gone: a reload takes less than the second for which it would.
        group(site, pools, fails=0)
        script = pools[0].root / "answer.php"
        (pools[1].root / "answer.php").unlink()
        os.symlink(script, pools[1].root / "answer.php")
        (spec,) = site.locations
        spec.params = {"SCRIPT_FILENAME": str(script)}
        spec.nginx = "gangway_script_check off;"

    server = launch(configure)
    server.log.allow(EXPLAINED)
    if server.kind.startswith("apache"):
        pytest.skip("SCRIPT_FILENAME of a balancer's member is httpd's own; SetEnv does not replace it")
    with Asking(server, "/group/answer.php?how=status&status=200", body=b"body") as load:
        for name in ("a", "b", "a", "b"):
            fpm = server.site.backends[name]
            log = fpm.configuration.parent / "fpm.log"
            before = log.read_text().count("ready to handle connections")
            os.kill(fpm.process.pid, signal.SIGUSR2)
            wait_until(
                lambda: log.read_text().count("ready to handle connections") > before, "php-fpm has reloaded"
            )
            load.go_on(100)
    load.check()


PLACES = ["before the head", "in the head", "after the head"]


@pytest.mark.better("nginx has taken the head for the response", on=("nginx",), when={"place": ["after the head"]})
@pytest.mark.better("httpd's stock modules ask nobody else", on=("apache",), strict=False)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_backend_dies_before_its_body(launch, protocol, place, end, method):
    """The client has seen nothing yet: the other backend of the group is asked, or the answer is a clear 502."""

    def configure(site):
        group(site, [site.recorder(protocol, name=name) for name in ("a", "b")])

    server = launch(configure)
    server.log.allow(EXPLAINED)
    backends = [server.site.backends[name] for name in ("a", "b")]
    data = head(protocol, fields=b"Content-Type: text/plain\r\nContent-Length: 5\r\n")
    client = server.connect()
    client.request(method, "/group/x", body=None if method == "GET" else b"body")
    wait_until(lambda: any(backend.pending() for backend in backends), "a backend is asked")
    backends.sort(key=lambda backend: not backend.pending())
    peer = backends[0].accept()
    peer.request()
    with stopped(server):
        if place != "before the head":
            peer.output(data if place == "after the head" else data[:20])
        peer.close() if end == "close" else peer.reset()
    if method == "POST":
        assert client.response("POST").status == 502
        assert not backends[1].pending()
        return
    peer = backends[1].accept(client)
    peer.request()
    peer.answer(data + b"hello")
    response = client.response()
    assert (response.status, response.body) == (200, b"hello")
