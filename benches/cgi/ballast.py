# SPDX-License-Identifier: MIT OR Apache-2.0
"""A WSGI application that makes its worker process large."""

BALLAST = bytearray(1 << 30)
BALLAST[:: 4096] = b"x" * len(BALLAST[:: 4096])


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d\n" % len(BALLAST)]
