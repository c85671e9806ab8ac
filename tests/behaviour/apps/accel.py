# SPDX-License-Identifier: MIT OR Apache-2.0
"""Answers that nginx acts upon."""

from urllib.parse import unquote

MIRRORED = []


def reply(start_response, fields, body=b""):
    start_response("200 OK", fields)
    return [body] if body else []


def app(environ, start_response):
    path = environ["PATH_INFO"].strip("/")
    if path == "to":
        return reply(start_response, [("X-Accel-Redirect", unquote(environ["QUERY_STRING"], "latin-1"))])
    kept = [("Set-Cookie", "kept=1"), ("Content-Type", "text/kept"), ("Content-Disposition", "attachment")]
    to = lambda target: ("X-Accel-Redirect", target)
    answers = {
        "file": (kept + [to("/protected/README")], b""),
        "with_body": ([to("/protected/README"), ("Content-Length", "7")], b"dropped"),
        "app": ([to("/internal-app/hello")], b""),
        "missing": ([to("/protected/missing")], b""),
        "dots": ([to("/protected/../../../etc/passwd")], b""),
        "words": ([("X-Accel-Expires", "10"), ("X-Accel-Buffering", "no")], b"words"),
        "hello": ([("Content-Type", "text/plain")], b"hello"),
    }
    return reply(start_response, *answers[path])


def guard(environ, start_response):
    if environ["PATH_INFO"] == "/mirrored":
        return reply(start_response, [("Content-Type", "text/plain")], str(len(MIRRORED)).encode())
    token = environ.get("HTTP_X_TOKEN")
    status = {None: "401 Unauthorized", "right": "204 No Content"}.get(token, "403 Forbidden")
    if environ["PATH_INFO"] == "/ok":
        status = "200 OK"
    start_response(status, [("X-Who", "guard"), ("WWW-Authenticate", "Token")])
    return []


def mirror(environ, start_response):
    MIRRORED.append(environ["REQUEST_URI"])
    return reply(start_response, [("Content-Type", "text/plain")], b"nobody reads this")
