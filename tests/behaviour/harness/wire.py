# SPDX-License-Identifier: MIT OR Apache-2.0
"""An HTTP/1 client that sends exact bytes and says how a response ended."""

import re
import select
import socket
import ssl
from dataclasses import dataclass, field


class Truncated(AssertionError):
    """The connection ended inside a response. `response` holds what arrived."""

    def __init__(self, response):
        super().__init__(f"response cut after {len(response.body)} body bytes: {response.status} {response.headers}")
        self.response = response


class Closed(ConnectionError):
    """The connection ended before a response began."""


@dataclass
class Response:
    version: str
    status: int
    reason: str
    headers: list = field(default_factory=list)
    body: bytes = b""
    trailers: list = field(default_factory=list)
    complete: bool = False
    interim: list = field(default_factory=list)  # HTTP/2: (status, headers) of the 1xx responses before

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        """The value of a header that appears at most once; None when it does not."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} appears {len(values)} times"
        return values[0] if values else None

    @property
    def text(self):
        return self.body.decode("utf-8")

    @property
    def lines(self):
        return self.text.splitlines()


def latin1(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def head_bytes(method, path, headers, version="HTTP/1.1"):
    lines = [b" ".join([latin1(method), latin1(path), latin1(version)])]
    lines += [latin1(name) + b": " + latin1(value) for name, value in headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def first_to_answer(clients, timeout=20.0):
    """The one of several waiting clients that the server writes to, or closes, first."""
    readable, _, _ = select.select([client.socket for client in clients], [], [], timeout)
    assert readable, f"none of {len(clients)} clients had an answer within {timeout:g}s"
    return next(client for client in clients if client.socket in readable)


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class Connection:
    def __init__(self, port, *, timeout=20.0, tls=False, receive_buffer=None, source=None):
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if receive_buffer is not None:
            # Small and set before the connection: the server soon meets a full window.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- sending ----

    def send(self, data):
        self.socket.sendall(latin1(data))

    def request(self, method, path, headers=(), body=None, *, version="HTTP/1.1", host="localhost", chunked=False):
        """Sends a request. `body`: bytes (with Content-Length, or as one chunk), or an iterable of chunks."""
        headers = list(headers)
        names = {name.lower() for name, _ in headers}
        if host is not None and "host" not in names:
            headers.insert(0, ("Host", host))
        if body is None:
            self.send(head_bytes(method, path, headers, version))
        elif isinstance(body, bytes) and not chunked:
            if "content-length" not in names:
                headers.append(("Content-Length", str(len(body))))
            self.send(head_bytes(method, path, headers, version) + body)
        else:
            headers.append(("Transfer-Encoding", "chunked"))
            self.send(head_bytes(method, path, headers, version))
            for piece in [body] if isinstance(body, bytes) else body:
                if piece:
                    self.send(chunk(piece))
            self.send(b"0\r\n\r\n")

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        """Ends the connection with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.socket.close()

    def close(self):
        self.socket.close()

    # ---- receiving ----

    def _fill(self):
        """Reads more into the buffer; False at the end of the stream."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        self.buffer += data
        return bool(data)

    def _take(self, length):
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken

    def line(self):
        while b"\n" not in self.buffer:
            if not self._fill():
                return None
        line = self._take(self.buffer.index(b"\n") + 1)
        assert line.endswith(b"\r\n"), f"line without CRLF: {line!r}"
        return line[:-2].decode("latin-1")

    def at_end(self):
        """Waits for the next byte or the end of the stream; True when it is the end."""
        return not self.buffer and not self._fill()

    def head(self):
        """The next response head. An interim (1xx) response is a head too."""
        status = self.line()
        if status is None:
            raise Closed("no response")
        found = re.fullmatch(r"(HTTP/\d\.\d) (\d{3})(?: (.*))?", status)
        assert found, f"not a status line: {status!r}"
        response = Response(found[1], int(found[2]), found[3] or "")
        while line := self.line():
            name, colon, value = line.partition(":")
            assert colon and name == name.strip(), f"not a header line: {line!r}"
            response.headers.append((name, value.strip(" \t")))
        if line is None:
            raise Truncated(response)
        return response

    def blocks(self, response, method="GET"):
        """The body as it arrives: chunks of the chunked coding as sent, else pieces as received."""
        if method == "HEAD" or response.status in (204, 304) or response.status < 200:
            response.complete = True
        elif "chunked" in (response.header("Transfer-Encoding") or "").lower():
            yield from self._chunks(response)
        elif (length := response.header("Content-Length")) is not None:
            yield from self._counted(response, int(length))
        else:
            while self.buffer or self._fill():
                yield self._take(len(self.buffer))
            # Without a length only the close ends the body, and nothing tells whether it is whole.
            response.complete = True

    def _counted(self, response, left):
        while left:
            if not self.buffer and not self._fill():
                return
            piece = self._take(left)
            left -= len(piece)
            yield piece
        response.complete = True

    def _chunks(self, response):
        while (size := self.line()) is not None:
            length = int(size.partition(";")[0], 16)
            if length == 0:
                while line := self.line():
                    response.trailers.append(tuple(line.split(": ", 1)))
                response.complete = line is not None
                return
            while len(self.buffer) < length + 2:
                if not self._fill():
                    yield self._take(length)
                    return
            data = self._take(length + 2)
            assert data.endswith(b"\r\n"), "chunk without CRLF"
            yield data[:-2]

    def response(self, method="GET", *, interim=False):
        """The whole next response; Truncated if it is cut. Interim responses are skipped unless asked for."""
        response = self.head()
        while 100 <= response.status < 200 and not interim and response.status != 101:
            response = self.head()
        response.body = b"".join(self.blocks(response, method))
        if not response.complete:
            raise Truncated(response)
        return response

    def refused(self, *statuses):
        """Whether the request failed visibly: no response, a cut one, or one with such a status."""
        try:
            return self.response().status in statuses
        except (Closed, Truncated):
            return True
