# SPDX-License-Identifier: MIT OR Apache-2.0
"""An application with which something goes wrong."""

import ctypes
import os
import sys
import time

from gate import Gate


def crash_here():
    ctypes.string_at(0)


def loop_here():
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.001)


def app(environ, start_response):
    what = environ["PATH_INFO"].rpartition("/")[2]
    print(f"it is at {what}", file=sys.stderr, flush=True)
    if what == "crash":
        # Of the process, not of the request.
        os.write(2, b"about to crash\n")
        crash_here()
    elif what == "leave":
        os._exit(7)
    elif what == "wait":
        gate = Gate(environ)
        gate.wait("inside")
        gate.close()
    elif what == "loop":
        loop_here()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
