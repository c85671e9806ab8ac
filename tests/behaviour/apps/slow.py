# SPDX-License-Identifier: MIT OR Apache-2.0
"""Applications that take their time."""

import threading
import time

from gate import Gate, query

RUNNING = 0
PEAK = 0
LOCK = threading.Lock()


def text(start_response, body):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]


def wait(environ):
    """Stays until the test lets it go; counts how many stay at a time."""
    global RUNNING, PEAK
    with LOCK:
        RUNNING += 1
        PEAK = max(PEAK, RUNNING)
    gate = Gate(environ)
    try:
        gate.wait(query(environ).get("name", "here"))
    finally:
        gate.close()
        with LOCK:
            RUNNING -= 1
    return query(environ).get("name", "done")


def loop(environ):
    """A loop of Python that never ends by itself."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.001)
    return "looped"


def sleep(environ):
    """Waits in C, where no exception reaches it; says through a gate, if there is one, when it is over."""
    try:
        time.sleep(float(query(environ).get("seconds", 60)))
    finally:
        if "gate" in query(environ):
            say(environ, "over")
    return "slept"


def say(environ, event):
    gate = Gate(environ)
    gate.tell(event)
    gate.close()


def hang(environ):
    """Says through the gate that it has begun, and waits in C."""
    say(environ, "inside")
    time.sleep(float(query(environ).get("seconds", 600)))
    return "over"


def stubborn(environ):
    """Ignores the exceptions that are thrown into it, and says through the gate when it is done."""
    end = time.monotonic() + float(query(environ)["seconds"])
    while time.monotonic() < end:
        try:
            while time.monotonic() < end:
                time.sleep(0.001)
        except BaseException:
            continue
    say(environ, "survived")
    return "survived"


def clean(environ):
    """Says through the gate whether its cleanup ran."""
    gate = Gate(environ)
    gate.tell("running")
    try:
        while True:
            time.sleep(0.001)
    finally:
        gate.tell("cleaned")
        gate.close()


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/")
    if name == "peak":
        return text(start_response, str(PEAK))
    if name == "hello":
        return text(start_response, "hello")
    if name == "thread":
        return text(start_response, str(threading.get_ident()))
    if name == "stall":
        return stall(environ, start_response)
    if name == "steady":
        return steady(environ, start_response)
    return text(start_response, {f.__name__: f for f in (wait, loop, sleep, hang, stubborn, clean)}[name](environ))


def stall(environ, start_response):
    """Sends a block and then nothing."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"begun"
    loop(environ)
    yield b"never"


def steady(environ, start_response):
    """Takes longer than the timeout in all, but never between two blocks."""
    gate = Gate(environ)
    start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(6):
        yield b"%d" % number
        gate.wait("block")
    gate.close()
