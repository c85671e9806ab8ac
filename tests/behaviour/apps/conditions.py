# SPDX-License-Identifier: MIT OR Apache-2.0
"""An application that has done what it was asked for, whatever the request's conditions were."""


def app(environ, start_response):
    environ["wsgi.input"].read()
    headers = [
        ("Content-Type", "text/plain"),
        ("Content-Length", "10"),
        ("ETag", '"v2"'),
        ("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT"),
    ]
    if environ.get("ACCEPT"):
        headers.append(("Accept-Ranges", "bytes"))
    if "HTTP_IF_MATCH" in environ:
        headers.append(("X-Seen", environ["HTTP_IF_MATCH"]))
    start_response("200 OK", headers)
    return [b"0123456789"]
