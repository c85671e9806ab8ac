# SPDX-License-Identifier: MIT OR Apache-2.0
"""The WSGI hello of plain.py for any path."""

HELLO = b"Hello, World!\n"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(HELLO)))]


def application(environ, start_response):
    start_response("200 OK", HEADERS)
    return [HELLO]
