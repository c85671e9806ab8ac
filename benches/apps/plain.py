# SPDX-License-Identifier: MIT OR Apache-2.0
"""The WSGI application that every peer serves: one path per scenario, no framework."""

import time

HELLO = b"Hello, World!\n"
BODY = b"0123456789abcdef" * (64 * 1024 // 16)
CHUNK = b"x" * 1024
PLAIN = ("Content-Type", "text/plain")


def hello(environ, start_response):
    start_response("200 OK", [PLAIN, ("Content-Length", str(len(HELLO)))])
    return [HELLO]


def body(environ, start_response):
    start_response("200 OK", [PLAIN, ("Content-Length", str(len(BODY)))])
    return [BODY]


def echo(environ, start_response):
    data = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [PLAIN, ("Content-Length", str(len(data)))])
    return [data]


def wait(environ, start_response):
    time.sleep(0.010)
    return hello(environ, start_response)


def stream(environ, start_response):
    start_response("200 OK", [PLAIN])
    return (CHUNK for _ in range(100))


PATHS = {"/hello": hello, "/body": body, "/echo": echo, "/io": wait, "/stream": stream}


def application(environ, start_response):
    return PATHS[environ["PATH_INFO"]](environ, start_response)
