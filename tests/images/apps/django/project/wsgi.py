# SPDX-License-Identifier: MIT OR Apache-2.0
"""As Django lays it out, without Django."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"project\n"]
