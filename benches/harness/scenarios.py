# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is measured: paths, bodies, connections and how many threads an application gets."""

from dataclasses import dataclass

HELLO = b"Hello, World!\n"
PATTERN = b"0123456789abcdef"
BODY = PATTERN * (64 * 1024 // 16)
POSTED = PATTERN * (16 * 1024 // 16)
STREAMED = b"x" * (100 * 1024)


@dataclass(frozen=True)
class Scenario:
    """One row group of the report."""

    name: str
    title: str
    answer: bytes
    module: str = "plain"
    posted: bytes = b""
    connections: tuple[int, ...] = (32, 1)
    # Threads of an application server that uses threads; with I/O to wait for, everybody gets one thread for each connection.
    threads: int = 8
    # MPM threads of httpd's one child. Its default of 25 is too few for 32 busy connections: MPM event then closes kept-alive
    # connections under its clients, with any handler, and wrk counts thousands of read errors. So: more threads than connections.
    mpm_threads: int = 64
    waits: bool = False
    # What is said over WebSockets.
    message: bytes = b""
    # Compressed, where the server takes that (RFC 7692).
    deflate: bool = False
    # Visitors who come one at a time.
    visits: bool = False

    @property
    def path(self) -> str:
        return "/" + self.name

    @property
    def method(self) -> str:
        return "POST" if self.posted else "GET"


SCENARIOS = (
    Scenario("hello", "WSGI hello", HELLO),
    Scenario("body", "WSGI 64 KiB body", BODY),
    Scenario("echo", "WSGI POST echo of 16 KiB", POSTED, posted=POSTED),
    Scenario("flask", "Flask hello", HELLO, module="flask_hello"),
    Scenario("django", "Django hello", HELLO, module="django_hello"),
    Scenario("io", "WSGI 10 ms of I/O", HELLO, connections=(64,), threads=64, mpm_threads=96, waits=True),
    Scenario("stream", "WSGI stream of 100 x 1 KiB", STREAMED),
)
