# SPDX-License-Identifier: MIT OR Apache-2.0
"""Found by its name."""
import os
import sys
import time


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/print":
        print("hello from the application", file=sys.stderr)
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/slow":
        return slow()
    return [f"{os.getuid()} {os.getgid()}\n".encode() if path == "/whoami" else b"wsgi\n"]


def slow():
    yield b"begin\n"
    print("slow has begun", file=sys.stderr)
    time.sleep(3)
    yield b"end\n"
