# SPDX-License-Identifier: MIT OR Apache-2.0
"""An application that answers with the fields of its query."""


def app(environ, start_response):
    lines = bytes.fromhex(environ["QUERY_STRING"]).decode().splitlines()
    start_response("200 OK", [tuple(line.split(": ", 1)) for line in lines if line])
    return [b"x" * 50_000]
