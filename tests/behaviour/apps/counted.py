# SPDX-License-Identifier: MIT OR Apache-2.0
"""Notes the id of every request in a file that all processes append to."""

import os

from gate import Gate, query

# One write of a short line with O_APPEND is whole, whoever else writes.
JOURNAL = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
# And before anything else is done for a request, if that is wanted.
BEGUN = os.open(os.environ["BEGUN"], os.O_WRONLY | os.O_APPEND) if "BEGUN" in os.environ else None
VERSION = os.environ.get("VERSION", "1")


def app(environ, start_response):
    if BEGUN is not None:
        os.write(BEGUN, environ.get("HTTP_X_ID", "none").encode() + b"\n")
    body = environ["wsgi.input"].read()
    os.write(JOURNAL, environ.get("HTTP_X_ID", "none").encode() + b"\n")
    if environ["PATH_INFO"].endswith("/wait"):
        gate = Gate(environ)
        gate.wait("inside")
        gate.close()
    answer = body or environ.get("HTTP_X_ID", "none").encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Pid", str(os.getpid())), ("X-Version", VERSION)])
    if environ["PATH_INFO"].endswith("/stream"):
        return stream(answer, query(environ))
    return [answer]


def stream(answer, chosen):
    yield answer
    for _ in range(int(chosen.get("blocks", 10))):
        yield b"." * 5000
