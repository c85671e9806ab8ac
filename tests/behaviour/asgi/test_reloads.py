# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reloads while requests, streams of events and WebSockets go on: nothing is lost, and nothing grows."""

import functools
import gc
import time

import pytest

from harness import processes, wire
from harness.deadline import wait_until
from harness.http2 import Reset
from harness.load import Crowd, Load
from harness.websocket import CLOSE, TEXT, WebSocket, close_payload

RELOADS = 20
EVENTS = b"".join(b"data: %d\n\n" % number for number in range(20))

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")


class Listeners(Crowd):
    """Clients of streams and of WebSockets, which forgive nothing but 1012."""

    def __init__(self, server, streams=2, sockets=3):
        work = [self._listen] * streams + [self._talk] * sockets
        super().__init__(*[functools.partial(self._repeat, one) for one in work])
        self.server = server
        self.heard, self.streams, self.restarts = 0, 0, 0

    def _repeat(self, one):
        while not self._stop.is_set():
            try:
                one()
            except (OSError, AssertionError) as error:
                with self._lock:
                    self.failures.append(f"{one.__name__}: {error!r}")

    def _listen(self):
        with wire.Connection(self.server.port, timeout=30) as connection:
            connection.request("GET", "/app/events", [("Connection", "close")])
            response = connection.response()
        assert (response.status, response.body) == (200, EVENTS), response
        with self._lock:
            self.streams += 1

    def _talk(self):
        """Until the server is restarted, or all have to stop."""
        with wire.Connection(self.server.port, timeout=30) as connection:
            client = WebSocket(connection, "/app/socket")
            while not self._stop.is_set():
                client.text("said")
                found = client.receive()
                if found is not None and found[0] == CLOSE:
                    assert found[1][:2] == close_payload(1012), found
                    client.send(CLOSE, found[1][:2])
                    with self._lock:
                        self.restarts += 1
                    return
                assert found == (TEXT, b"said"), found
                with self._lock:
                    self.heard += 1
            client.close()


@pytest.fixture
def journal(scratch):
    path = scratch / "journal"
    path.touch()
    path.chmod(0o666)
    return path


def test_twenty_reloads_under_mixed_load_lose_nothing(launch, journal):
    def configure(site):
        site.threads_per_child = 32
        site.asgi("/app", "asgi_counted:app", env=[f"JOURNAL={journal}"], ws_drain="200ms")

    server = launch(configure, warm=["/app/get"])
    with Load(server, "/app", fresh=2, kept=2) as load, Listeners(server) as listeners:
        for _ in range(RELOADS):
            before = (load.done, listeners.streams, listeners.heard)

            def goes_on(before=before):
                return load.done > before[0] + 10 and listeners.streams > before[1] and listeners.heard > before[2] + 10

            server.reload()
            wait_until(goes_on, "all go on after the reload", 60)
    failures = load.failures + listeners.failures
    assert not failures, f"{len(failures)} failed: {failures[:5]}"
    assert listeners.restarts >= RELOADS
    seen = [name for name in journal.read_text().split() if name != "none"]
    lost = set(load.closed_while_idle) & set(seen)
    assert not lost, f"the application ran these requests and nobody got the answer: {lost}"
    assert len(seen) == len(set(seen)), "a request ran twice"
    print(f"{load.done} requests, {listeners.streams} streams, {listeners.heard} messages, {listeners.restarts} closed with 1012")


def test_memory_is_flat_under_mixed_load(launch, journal):
    """A short one of what `benches/soak.py` does for long."""

    def configure(site):
        site.threads_per_child = 32
        site.asgi("/app", "asgi_counted:app", env=[f"JOURNAL={journal}"])

    server = launch(configure, warm=["/app/get"])
    with Load(server, "/app", fresh=1, kept=2) as load, Listeners(server) as listeners:

        def more(requests, messages):
            done, heard = load.done, listeners.heard
            wait_until(lambda: load.done > done + requests and listeners.heard > heard + messages, "the load goes on", 120)
            gc.collect()
            return processes.memory(server.worker(), "Pss")

        # What is needed once, and what allocators keep for later.
        before = more(500, 500)
        after = more(1500, 1500)
    assert not load.failures + listeners.failures, (load.failures + listeners.failures)[:5]
    assert after - before < 2 << 20, f"{before >> 10} KiB, then {after >> 10} KiB"


ALL = ("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")


@pytest.mark.servers(*ALL)
@pytest.mark.parametrize("path", ["endless", "deaf"])
def test_a_stream_without_an_end_does_not_keep_its_worker(launch, gate, path):
    """Also where the application does not look whether somebody is there."""
    server = launch(lambda site: site.asgi("/", "asgi_app:app", drain_timeout="700ms", timeout="off"), warm=["/hello"])
    client = server.connect()
    client.request("GET", f"/{path}?{gate.query}")
    blocks = client.blocks(head := client.head())
    next(blocks)
    visitor = gate.visitor().at("streaming" if path == "endless" else "begun")
    began = time.monotonic()
    server.reload(timeout=20)
    assert time.monotonic() - began > 0.6, "it has had its time"
    visitor.at("OSError" if path == "endless" else "cancelled")
    for _ in blocks:
        pass
    assert not head.complete, "the client sees that the response is not whole"
    # httpd's, of places that its old processes have not left yet.
    server.log.allow("AH00288")
    assert server.get("/hello").body == b"hello"


def test_a_stream_is_cancelled_once_at_the_end_of_its_worker(launch, gate):
    """Also where its `finally:` takes long."""
    server = launch(lambda site: site.asgi("/", "asgi_app:app", drain_timeout="700ms", timeout="off"), warm=["/hello"])
    client = server.connect()
    client.request("GET", f"/untidy?{gate.query}")
    next(client.blocks(client.head()))
    visitor = gate.visitor().at("begun")
    server.send_signal("reload")
    visitor.at("cancelled").at("tidied")
    server.log.expect("still runs at the end of the worker; it is cancelled")


@pytest.mark.servers("nginx", "nginx128")
def test_many_streams_are_interrupted_by_few_threads(launch, gate):
    """Each of those may wait for the loop, which another request holds."""
    server = launch(lambda site: site.asgi("/", "asgi_app:app", drain_timeout="700ms", timeout="off"), warm=["/hello"])
    (pid,) = server.workers()
    streams = [server.connect() for _ in range(30)]
    for client in streams:
        client.request("GET", f"/deaf?{gate.query}")
        next(client.blocks(client.head()))
    for _ in streams:
        gate.visitor().at("begun")
    holder = server.connect()
    holder.request("GET", f"/block?{gate.query}")
    gate.visitor().at("blocking")
    server.send_signal("reload")
    counts = []

    def has_ended():
        counts.append(processes.threads_named(pid, "gw-interrupt"))
        return pid not in server.workers()

    wait_until(has_ended, "the old worker has ended", 30)
    assert max(counts) <= 4
    server.log.allow("GW0208|GW0322|still runs")


@pytest.mark.servers(*ALL)
def test_a_request_that_ends_by_itself_is_not_touched_by_a_reload(launch, gate, kind):
    def configure(site):
        # httpd's prefork has a process for each.
        site.workers = 2 if kind == "apache-prefork" else 1
        site.asgi("/", "asgi_app:app")

    server = launch(configure, warm=["/hello"])
    old = set(server.workers())
    client = server.connect()
    client.request("GET", f"/stream?{gate.query}")
    visitor = gate.visitor().at("part 0").go()
    blocks = client.blocks(head := client.head())
    assert next(blocks) == b"data: 0\n\n"
    server.send_signal("reload")
    wait_until(lambda: set(server.workers()) - old, "the new worker is there")
    assert server.get("/hello").body == b"hello"
    for number in (1, 2):
        visitor.at(f"part {number}").go()
        assert next(blocks) == b"data: %d\n\n" % number
    assert list(blocks) == [] and head.complete
    wait_until(lambda: not old & set(server.workers()), "the old worker has ended", 20)


def test_a_stream_over_http2_does_not_keep_its_worker(launch, gate):
    def configure(site):
        site.http2 = True
        site.asgi("/", "asgi_app:app", drain_timeout="700ms", timeout="off")

    server = launch(configure, warm=["/hello"])
    client = server.http2()
    client.outlives_goaway = True
    stream = client.send_head("GET", f"/endless?{gate.query}")
    visitor = gate.visitor().at("streaming")
    client.until(lambda: client.streams[stream].body)
    server.reload(timeout=20)
    visitor.at("OSError")
    with pytest.raises((Reset, ConnectionError)):
        client.response(stream)


def test_a_graceful_end_does_not_wait_for_a_stream(launch, gate):
    server = launch(lambda site: site.asgi("/", "asgi_app:app", drain_timeout="700ms", timeout="off"), warm=["/hello"])
    client = server.connect()
    client.request("GET", f"/endless?{gate.query}")
    visitor = gate.visitor().at("streaming")
    server.send_signal("quit")
    visitor.at("OSError")
    assert server.wait(20) == 0


def test_a_request_without_a_head_is_answered_by_503(launch, gate):
    server = launch(lambda site: site.asgi("/", "asgi_app:app", drain_timeout="300ms"), warm=["/hello"])
    client = server.connect()
    client.request("GET", f"/sleep?{gate.query}")
    visitor = gate.visitor().at("asleep")
    server.send_signal("reload")
    assert client.response().status == 503
    visitor.at("cancelled")


@pytest.mark.parametrize("path", ["endless", "deaf"])
def test_an_endless_stream_of_a_process_of_its_own(launch, gate, journal, path):
    """drain_timeout= bounds it there, and with it the server's worker. The application ends as it should, and is not killed."""
    words = {"processes": 1, "drain_timeout": "1s", "env": ["VERSION=1", f"SHUTDOWN_NOTE={journal}"]}
    server = launch(lambda site: site.asgi("/", "asgi_app:app", **words), warm=["/hello"])
    client = server.connect()
    client.request("GET", f"/{path}?{gate.query}")
    blocks = client.blocks(head := client.head())
    next(blocks)
    visitor = gate.visitor().at("streaming" if path == "endless" else "begun")
    server.rewrite(server.configuration.read_text().replace("VERSION=1", "VERSION=2"))
    server.reload(timeout=30)
    visitor.at("OSError" if path == "endless" else "cancelled")
    server.log.expect("GW0906 requests of process .* did not end within drain_timeout=")
    for _ in blocks:
        pass
    assert not head.complete
    wait_until(lambda: journal.read_text() == "shut down\n", "its shutdown has run")
    server.log.allow("GW0208|upstream|GW07")


def test_an_endless_stream_of_a_process_that_stays(launch, gate):
    server = launch(lambda site: site.asgi("/", "asgi_app:app", processes=1, drain_timeout="1s"), warm=["/hello"])
    (pid,) = server.managed()
    client = server.connect()
    client.request("GET", f"/endless?{gate.query}")
    blocks = client.blocks(head := client.head())
    next(blocks)
    visitor = gate.visitor().at("streaming")
    server.reload(timeout=15)
    visitor.at("OSError")
    for _ in blocks:
        pass
    assert not head.complete
    assert server.managed() == [pid] and server.get("/hello").body == b"hello"
