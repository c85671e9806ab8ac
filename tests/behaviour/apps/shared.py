# SPDX-License-Identifier: MIT OR Apache-2.0
"""Requests that share a connection to their process."""

import ctypes
import os
import time

from gate import Gate, query

BLOCK = 50_000


def text(start_response, body):
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def hello(environ, start_response):
    return text(start_response, b"hello")


def pid(environ, start_response):
    return text(start_response, str(os.getpid()).encode())


def waits(environ, start_response):
    """Stays until the test lets it go."""
    gate = Gate(environ)
    gate.wait(query(environ)["name"])
    gate.close()
    return text(start_response, query(environ)["name"].encode())


def holds(environ, start_response):
    """Keeps Python's lock, so that no other request of this process can begin."""
    gate = Gate(environ)
    gate.tell("holds")
    ctypes.PyDLL(None).sleep(600)


def big(environ, start_response):
    """So many bytes, in blocks, which say whose they are."""
    name, size = query(environ)["name"].encode(), int(query(environ)["size"])
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    whole = (name + b" ") * (size // (len(name) + 1) + 1)
    return (whole[at : min(at + BLOCK, size)] for at in range(0, size, BLOCK))


def one(environ, start_response):
    """The same in one piece."""
    name, size = query(environ)["name"].encode(), int(query(environ)["size"])
    return text(start_response, ((name + b" ") * (size // (len(name) + 1) + 1))[:size])


def echo(environ, start_response):
    """What the client has sent, with the length that the server has named."""
    length = int(environ["CONTENT_LENGTH"])
    body = environ["wsgi.input"].read()
    if len(body) != length:
        raise ValueError(f"{len(body)} of {length} bytes")
    return text(start_response, body)


def ignores(environ, start_response):
    """Reads nothing of what was sent."""
    return text(start_response, b"ignored")


def lines(environ, start_response):
    """What was sent, line by line, and in which pieces it can be read."""
    first, rest = environ["wsgi.input"].readline(), environ["wsgi.input"].read(10)
    return text(start_response, first + b"|" + rest + b"|" + environ["wsgi.input"].read())


def file(environ, start_response):
    path = query(environ)["path"]
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(os.path.getsize(path)))])
    return environ["wsgi.file_wrapper"](open(path, "rb"))


def breaks(environ, start_response):
    """Gives a part of what it promises."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1000")])
    yield b"a part"
    raise RuntimeError("in the middle of a response")


def watches(environ, start_response):
    """Looks whether its client is there."""
    gate = Gate(environ)
    gate.tell("works")
    end = time.monotonic() + 20
    while not environ["gangway.disconnected"]() and time.monotonic() < end:
        time.sleep(0.005)
    gate.tell("alone" if environ["gangway.disconnected"]() else "in company")
    gate.close()
    return text(start_response, b"done")


def goes_on(environ, start_response):
    """Says when it is at the end of a response of which nobody wants the body, and that it was not stopped before."""
    gate = Gate(environ)
    headers = [("Content-Type", "text/plain"), ("ETag", '"same"')]
    start_response("200 OK", headers)
    yield b"a part\n" * 100
    gate.wait("after the head")
    for _ in range(int(query(environ)["blocks"])):
        yield b"x" * BLOCK
    gate.wait("at the end")
    gate.close()


def says(environ, start_response):
    """A line for the log."""
    print("a line of " + query(environ)["name"], file=environ["wsgi.errors"])
    return text(start_response, b"said")


def app(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/")](environ, start_response)
