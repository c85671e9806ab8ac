# SPDX-License-Identifier: MIT OR Apache-2.0
"""Request bodies while they come in."""

import hashlib
import json
import time

from gate import Gate, query


def answer(start_response, body):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def digest(environ, start_response):
    found, count = hashlib.sha256(), 0
    while block := environ["wsgi.input"].read(65536):
        found.update(block)
        count += len(block)
    seen = {"length": count, "sha256": found.hexdigest(), "method": environ["REQUEST_METHOD"]}
    return answer(start_response, json.dumps(seen).encode())


def halves(environ, start_response):
    """Answers in the middle of the body."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    first = environ["wsgi.input"].read(int(query(environ).get("size", 5)))
    write(b"first " + first[:5])
    rest = environ["wsgi.input"].read()
    write(b" then %d" % len(rest))
    return []


def steps(environ, start_response):
    """Says through the gate how much it has read, and reads on when it is let."""
    gate = Gate(environ)
    size = int(query(environ).get("size", 5))
    gate.wait("begun")
    try:
        while block := environ["wsgi.input"].read(size):
            gate.wait(f"read {len(block)}")
        gate.tell("end")
    except BaseException as error:
        gate.tell(type(error).__name__)
        return answer(start_response, b"broken")
    finally:
        gate.close()
    return answer(start_response, b"done")


def echo(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return iter(lambda: environ["wsgi.input"].read(int(query(environ).get("size", 8192))), b"")


def lines(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (b"<" + line.strip() + b">" for line in environ["wsgi.input"])


def unread(environ, start_response):
    return answer(start_response, b"unread")


def accel(environ, start_response):
    """Reads a part of the body and has nginx answer."""
    environ["wsgi.input"].read(5)
    start_response("200 OK", [("X-Accel-Redirect", query(environ)["to"])])
    return []


def fails(environ, start_response):
    environ["wsgi.input"].read(5)
    raise RuntimeError("in the middle of the body")


def watches(environ, start_response):
    """Reads a part and then looks only whether its client is there."""
    gate = Gate(environ)
    environ["wsgi.input"].read(5)
    gate.tell("works")
    end = time.monotonic() + 10
    while not environ["gangway.disconnected"]() and time.monotonic() < end:
        time.sleep(0.01)
    gate.tell("alone" if environ["gangway.disconnected"]() else "in company")
    gate.close()
    return answer(start_response, b"done")


def method(environ, start_response):
    return answer(start_response, environ["REQUEST_METHOD"].encode())


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
