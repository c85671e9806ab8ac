# SPDX-License-Identifier: MIT OR Apache-2.0
"""An application that does what its limits are for."""

import os
import time

from gate import Gate, query

TEXT = [("Content-Type", "text/plain")]


def trickle(environ):
    """Never silent for long, until the test lets it end."""
    gate = Gate(environ)
    gate.tell("trickles")
    yield b"begun"
    end = os.path.dirname(query(environ)["gate"]) + "/end"
    while not os.path.exists(end):
        time.sleep(0.05)
        yield b"."
    gate.close()
    yield b"ended"


def sleep(environ):
    """Waits in C, where no exception reaches it."""
    time.sleep(120)
    yield b"slept"


def burn(environ):
    """Uses nothing but CPU."""
    while True:
        pass
    yield b"never"


def eat(environ):
    """Wants more memory than there is."""
    yield str(len(bytearray(2 << 30))).encode()


def pid(environ):
    yield str(os.getpid()).encode()


def app(environ, start_response):
    body = {f.__name__: f for f in (trickle, sleep, burn, eat, pid)}[environ["PATH_INFO"].strip("/")](environ)
    first = next(body)
    start_response("200 OK", TEXT)
    yield first
    yield from body
