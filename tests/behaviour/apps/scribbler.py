# SPDX-License-Identifier: MIT OR Apache-2.0
"""An application that writes into all memory that its process shares with others."""

import ctypes
import json
import os

from gate import Gate, query


def shared():
    """Where memory is that is shared and may be written, with what it is."""
    for line in open("/proc/self/maps"):
        place, rights, _, _, _, *name = line.split(None, 5)
        if rights[1] == "w" and rights[3] == "s":
            begin, end = (int(number, 16) for number in place.split("-"))
            yield begin, end - begin, "".join(name).strip()


def scribble(environ):
    """Every word gets this value, or the numbers of a generator that is no secret."""
    value, found = query(environ)["value"], []
    for begin, size, name in shared():
        words = (ctypes.c_uint64 * (size // 8)).from_address(begin)
        for index in range(len(words)):
            words[index] = (index + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1 if value == "noise" else int(value)
        found.append(name)
    return found


def wait(environ):
    gate = Gate(environ)
    gate.wait("inside")
    gate.close()
    return os.getpid()


def app(environ, start_response):
    what = environ["PATH_INFO"].strip("/")
    found = os.getpid() if what == "pid" else {f.__name__: f for f in (scribble, wait)}[what](environ)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]
