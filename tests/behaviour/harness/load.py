# SPDX-License-Identifier: MIT OR Apache-2.0
"""Clients that ask again and again while something happens to the server, and forgive nothing."""

import functools
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

from . import processes, wire


class Crowd:
    """Threads that work from `with` on to its end, as long as `_stop` is not set."""

    def __init__(self, *works):
        self.done = 0
        self.failures = []
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=work) for work in works]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


def stays_flat(pid, ask, clients, *, warm=100, more=400, most=6 << 20):
    """So many clients call `ask` at once, each with how often it is to ask: first until the process is warm, then while it may
    grow by less than `most`."""

    def together(count):
        with ThreadPoolExecutor(clients) as threads:
            # What one of them raises is raised here.
            list(threads.map(ask, [count] * clients))

    together(warm)
    before = processes.memory(pid, "Rss")
    together(more)
    assert processes.memory(pid, "Rss") - before < most


class Load(Crowd):
    """`with Load(server, "/app") as load:` runs `fresh` clients with a connection per request and `kept` clients that
    keep theirs until the server says `Connection: close`. `repeatable`: only requests that may run twice, with small answers.
    `posts` clients more send what must not run twice, and note by its name in `cut` what got no good answer."""

    def __init__(self, server, base, fresh=3, kept=3, *, repeatable=False, posts=0):
        clients = [functools.partial(self._run, keep) for keep in [False] * fresh + [True] * kept]
        super().__init__(*clients, *[self._post] * posts)
        self._repeatable = repeatable
        self.cut = []
        self.posted = 0
        self._port = server.port
        self._base = base
        self._numbers = itertools.count()
        self.closed_while_idle = []

    def _run(self, keep):
        connection = None
        while not self._stop.is_set():
            name = f"r{next(self._numbers)}"
            reused = connection is not None
            try:
                if connection is None:
                    connection = wire.Connection(self._port, timeout=30)
                response = self._ask(connection, name, keep)
            except (OSError, AssertionError) as error:
                # RFC 9112 section 9.3.1: a server may close an idle connection at any time. That is no lost request,
                # provided that not a byte of an answer came and no application has seen it, which the test verifies.
                idle = reused and isinstance(error, (wire.Closed, BrokenPipeError, ConnectionResetError))
                with self._lock:
                    (self.closed_while_idle if idle else self.failures).append(name if idle else f"{name}: {error!r}")
                connection.close() if connection else None
                connection = None
                continue
            if not keep or (response.header("Connection") or "").lower() == "close":
                connection.close()
                connection = None
            with self._lock:
                self.done += 1
        if connection is not None:
            connection.close()

    def _post(self):
        while not self._stop.is_set():
            name = f"p{next(self._numbers)}"
            try:
                with wire.Connection(self._port, timeout=30) as connection:
                    connection.request("POST", f"{self._base}/post", [("X-Id", name), ("Connection", "close")], name.encode())
                    response = connection.response()
                is_good = (response.status, response.body) == (200, name.encode())
            except (OSError, AssertionError):
                is_good = False
            with self._lock:
                self.posted += 1
                if not is_good:
                    self.cut.append(name)

    def _ask(self, connection, name, keep):
        fields = [("X-Id", name)] + ([] if keep else [("Connection", "close")])
        kind = 3 if self._repeatable else int(name[1:]) % 4
        if kind == 0:
            connection.request("POST", f"{self._base}/echo", fields, name.encode() * 3000)
            expected = name.encode() * 3000
        elif kind == 1:
            connection.request("GET", f"{self._base}/stream", fields)
            expected = name.encode() + b"." * 50000
        else:
            connection.request("GET", f"{self._base}/get", fields)
            expected = name.encode()
        response = connection.response()
        assert (response.status, response.body) == (200, expected), f"{response.status}, {len(response.body)} bytes"
        return response
