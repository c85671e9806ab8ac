# SPDX-License-Identifier: MIT OR Apache-2.0
"""Reloads while requests, streams of events and WebSockets go on: nothing is lost, and nothing grows."""

import functools
import gc

import pytest

from harness import processes, wire
from harness.deadline import wait_until
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
