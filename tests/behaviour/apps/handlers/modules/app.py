# SPDX-License-Identifier: MIT OR Apache-2.0
"""A WSGI application behind mod_python.wsgi."""

import json


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/raises":
        raise KeyError("on purpose")
    if path == "/short":
        start_response("200 OK", [("Content-Length", "100")])
        return [b"short"]
    if path == "/hop":
        start_response("200 OK", [("Connection", "close")])
        return [b""]
    if path == "/file":
        start_response("200 OK", [("Content-Type", "text/x-python")])
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if path == "/echo":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return iter(lambda: environ["wsgi.input"].read(10000), b"")
    start_response("202 Taken", [("Content-Type", "application/json"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
    return [json.dumps({name: value for name, value in environ.items() if isinstance(value, str)}).encode()]
