# SPDX-License-Identifier: MIT OR Apache-2.0
"""What uWSGI serves in the upstream benchmark: the same answers as backend.c, without lengths."""

PATTERN = b"0123456789abcdef"
HELLO = b"Hello, World!\n"
ANSWERS = {"/hello": HELLO, "/post": HELLO, "/body": PATTERN * (64 * 1024 // 16), "/slow": PATTERN * (1024 * 1024 // 16)}


def application(environ, start_response):
    path = environ["PATH_INFO"]
    right = path != "/post" or len(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))) == 16 * 1024
    start_response("200 OK" if right else "400 Wrong", [("Content-Type", "text/plain")])
    return [ANSWERS[path]]
