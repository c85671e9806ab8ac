# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers that flush what they write."""

import select
import socket
import time
from urllib.parse import parse_qs

from mod_python import apache


def once(req):
    req.content_type = "text/plain"
    req.write("all there is")
    return apache.OK


def stops(req):
    """Waits behind each block until the test lets it go on."""
    with socket.socket(socket.AF_UNIX) as gate:
        gate.connect(parse_qs(req.args)["gate"][0])
        for number in range(3):
            req.write(f"block {number}")
            gate.sendall(b"wrote %d\n" % number)
            if not gate.recv(1):
                raise ConnectionError("the test closed the gate")
    return apache.OK


def looks(req):
    """Looks at its request for longer than what it has written waits."""
    end = time.monotonic() + 0.05
    req.write("first ")
    while time.monotonic() < end:
        req.status
    req.write("last")
    return apache.OK


def page(req):
    req.write("the error's page")
    return apache.OK


def notes(req):
    """A fixup handler."""
    req.notes["fixed"] = "up"
    return apache.DECLINED


def below(req):
    """Writes below the request what must follow what it has written before."""
    connection = req.connection
    connection.write("")
    req.write("first ")
    connection.write("last")
    return apache.OK


def stays(req):
    """Looks at its request until the test lets it go on."""
    with socket.socket(socket.AF_UNIX) as gate:
        gate.connect(parse_qs(req.args)["gate"][0])
        if "head" in req.args:
            for number in range(400):
                req.headers_out[f"X-{number}"] = "y" * 8000
        req.write("x" * 8000)
        while not select.select([gate], [], [], 0.0005)[0]:
            req.status
    return apache.OK


def late(req):
    req.write("x" * 8000)
    req.headers_out["X-Late"] = "1"
    return apache.OK
