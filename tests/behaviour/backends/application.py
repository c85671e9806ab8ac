# SPDX-License-Identifier: MIT OR Apache-2.0
"""The WSGI application behind flup, uWSGI and the SCGI server of this folder. Its paths are those of every backend here."""

import json
import os
import socket
import sys
import threading
from urllib.parse import parse_qs


def text(environ):
    found = {key: value for key, value in environ.items() if isinstance(value, str)}
    return json.dumps(found).encode("utf-8", "surrogateescape")


def application(environ, start_response):
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).rpartition("/")[2]
    query = {key: values[0] for key, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
    plain = [("Content-Type", "text/plain")]
    if path == "hello":
        start_response("200 OK", [*plain, ("X-Backend", os.environ.get("BACKEND", ""))])
        return [b"hello"]
    if path == "env":
        start_response("200 OK", [("Content-Type", "application/json")])
        return [text(environ)]
    if path == "echo":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("200 OK", [*plain, ("X-Length", str(len(body)))])
        return [body]
    if path == "large":
        start_response("200 OK", plain)
        block = bytes(range(256)) * 256
        size = int(query["size"])
        return (block[: min(len(block), size - at)] for at in range(0, size, len(block)))
    if path == "missing":
        start_response("404 Not There", [*plain, ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return [b"nothing here"]
    if path == "redirect":
        start_response("303 See Other", [*plain, ("Location", "http://other.example/")])
        return [b""]
    if path == "gate":
        # A line to who waits there, and a byte when it may go on.
        with socket.socket(socket.AF_UNIX) as gate:
            gate.connect(query["gate"])
            gate.sendall(f"{threading.get_ident()}\n".encode())
            gate.recv(1)
        start_response("200 OK", plain)
        return [str(os.getpid()).encode()]
    if path == "complain":
        environ["wsgi.errors"].write("a complaint of the application\n")
        environ["wsgi.errors"].flush()
        start_response("200 OK", plain)
        return [b"complained"]
    start_response("500 Unknown", plain)
    return [path.encode()]


if __name__ == "__main__":
    protocol, port = sys.argv[1], int(sys.argv[2])
    if protocol == "fastcgi":
        from flup.server.fcgi import WSGIServer
    else:
        from flup.server.scgi import WSGIServer
    # Port 0: it takes requests on its descriptor 0.
    WSGIServer(application, bindAddress=("127.0.0.1", port) if port else None, debug=False).run()
