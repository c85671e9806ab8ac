# SPDX-License-Identifier: MIT OR Apache-2.0
"""A SCGI server on Python's socketserver: `scgi_server.py PORT`."""

import io
import socketserver
import sys
from wsgiref.handlers import SimpleHandler

from application import application


class Handler(socketserver.StreamRequestHandler):
    # One write for a small response: a server that is killed between two of them has cut the response, whoever reads it.
    wbufsize = -1

    def handle(self):
        digits = b""
        while (byte := self.rfile.read(1)) != b":":
            if not byte:
                return
            digits += byte
        words = self.rfile.read(int(digits))[:-1].split(b"\0")
        self.rfile.read(1)
        environ = {name.decode("latin-1"): value.decode("latin-1") for name, value in zip(words[::2], words[1::2])}
        body = io.BytesIO(self.rfile.read(int(environ["CONTENT_LENGTH"])))
        errors = io.TextIOWrapper(io.BytesIO(), write_through=True)
        handler = Responder(body, self.wfile, errors, environ)
        handler.run(application)


class Responder(SimpleHandler):
    """Writes a CGI head: `Status:` instead of a status line."""

    def setup_environ(self):
        super().setup_environ()
        self.environ.update(self.base_env)

    def send_preamble(self):
        self._write(f"Status: {self.status}\r\n".encode("latin-1"))


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1])), Handler) as server:
        server.serve_forever()
