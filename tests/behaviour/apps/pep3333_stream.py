# SPDX-License-Identifier: MIT OR Apache-2.0
"""Streams, files and clients that leave."""

import io
import os
import time

from gate import Gate, query

APPS = {}
BINARY = ("Content-Type", "application/octet-stream")


def register(function):
    APPS[function.__name__] = function
    return function


@register
def blocks_gate(environ, start_response):
    """Each block is produced only after the test has seen the one before."""
    gate = Gate(environ)
    start_response("200 OK", [BINARY])
    try:
        for number in range(int(query(environ).get("blocks", 3))):
            gate.wait(f"before {number}")
            yield b"block %d" % number
        gate.wait("before end")
    except GeneratorExit:
        gate.tell("closed")
        raise
    finally:
        gate.tell("finally")
        gate.close()


@register
def bursts_gate(environ, start_response):
    """Three times twenty small blocks as fast as they go, then a gate."""
    gate = Gate(environ)
    start_response("200 OK", [BINARY])
    for burst in range(3):
        for number in range(20):
            yield b"burst %d block %d\n" % (burst, number)
        gate.wait(f"after {burst}")
    gate.close()


@register
def write_gate(environ, start_response):
    """The same with write()."""
    gate = Gate(environ)
    send = start_response("200 OK", [BINARY])
    for number in range(3):
        gate.wait(f"before {number}")
        send(b"block %d" % number)
    gate.wait("before end")
    gate.close()
    return []


@register
def large(environ, start_response):
    """`?size=` bytes in blocks of `?block=`, with Content-Length if `?length=1`."""
    chosen = query(environ)
    size, block = int(chosen["size"]), int(chosen.get("block", 65536))
    fields = [BINARY] + ([("Content-Length", str(size))] if "length" in chosen else [])
    start_response("200 OK", fields)
    data = bytes(range(256)) * (block // 256 + 1)
    left = size
    while left:
        piece = data[: min(block, left)]
        left -= len(piece)
        yield piece


@register
def one_block(environ, start_response):
    """All of `?size=` in a list of one."""
    size = int(query(environ)["size"])
    start_response("200 OK", [BINARY])
    return [(bytes(range(256)) * (size // 256 + 1))[:size]]


@register
def endless(environ, start_response):
    """Streams until it is closed; says through the gate how many blocks it made."""
    gate = Gate(environ)
    start_response("200 OK", [BINARY])
    made = 0
    block = b"e" * int(query(environ).get("block", 65536))
    try:
        while True:
            made += 1
            yield block
    finally:
        gate.tell(f"closed {made}")
        gate.close()


@register
def waits_for_leave(environ, start_response):
    """Works until its client has left."""
    gate = Gate(environ)
    start_response("200 OK", [BINARY])
    gone = environ["gangway.disconnected"]
    gate.tell(f"running {gone()}")
    end = time.monotonic() + 20
    while not gone() and time.monotonic() < end:
        time.sleep(0.01)
    gate.tell(f"left {gone()}")
    try:
        yield b"to nobody"
    finally:
        gate.tell("closed")
        gate.close()


@register
def stays(environ, start_response):
    """Asks for its client around a rendezvous."""
    gate = Gate(environ)
    before = environ["gangway.disconnected"]()
    gate.wait("inside")
    body = repr((before, environ["gangway.disconnected"]())).encode()
    gate.close()
    start_response("200 OK", [BINARY])
    return [body]


class Watched(io.FileIO):
    """A file that says through the gate when it is closed."""

    gate = None

    def close(self):
        if not self.closed and self.gate:
            self.gate.tell("file closed")
        super().close()


@register
def send_file(environ, start_response):
    """`?path=`, from `?offset=`, in the manner of `?how=`."""
    chosen = query(environ)
    how = chosen.get("how", "wrapper")
    wrapper = environ["wsgi.file_wrapper"]
    fields = [("Content-Type", "text/plain")]
    size = os.path.getsize(chosen["path"])
    if "length" in chosen:
        fields.append(("Content-Length", chosen["length"]))
    elif how != "no_length":
        fields.append(("Content-Length", str(size - int(chosen.get("offset", 0)))))
    if "modified" in chosen:
        fields.append(("Last-Modified", chosen["modified"]))
    if "etag" in chosen:
        fields.append(("ETag", chosen["etag"]))
    start_response("200 OK", fields)
    if how == "bytesio":
        return wrapper(io.BytesIO(open(chosen["path"], "rb").read()), 1000)
    if how == "iterated":
        return (block for block in wrapper(open(chosen["path"], "rb"), 1000))
    if how == "watched":
        file = Watched(chosen["path"])
        file.gate = Gate(environ)
        return wrapper(file)
    if how == "raw":
        return wrapper(io.FileIO(chosen["path"]), 4096)
    file = open(chosen["path"], "rb")
    file.seek(int(chosen.get("offset", 0)))
    return wrapper(file) if how == "default_size" else wrapper(file, 8192)


class Reader:
    """Has read() alone: neither a descriptor nor close()."""

    def __init__(self, size):
        self.left = size

    def read(self, size):
        piece = b"r" * min(size, self.left)
        self.left -= len(piece)
        return piece


@register
def send_reader(environ, start_response):
    start_response("200 OK", [BINARY])
    return environ["wsgi.file_wrapper"](Reader(10000), 3000)


@register
def send_pipe(environ, start_response):
    """A descriptor that is no regular file."""
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    start_response("200 OK", [BINARY])
    return environ["wsgi.file_wrapper"](open(reading, "rb"))
