# SPDX-License-Identifier: MIT OR Apache-2.0
"""The smallest WSGI application: one callable, no framework, nothing to install."""


def app(environ, start_response):
    url = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    body = f"Hello from {environ['SERVER_SOFTWARE']}. You asked for {url}.\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [body]
