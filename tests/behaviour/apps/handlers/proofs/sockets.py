# SPDX-License-Identifier: MIT OR Apache-2.0
"""A header parser handler in the manner of websockify and pywebsocket: it takes connections over that ask for a WebSocket, if their token is known."""

import base64
import hashlib

from mod_python import apache

TOKENS = {"blue": "the blue one"}


def headerparserhandler(req):
    if req.headers_in.get("Upgrade", "").lower() != "websocket":
        # A document for everybody else, and what the token leads to is known to it.
        req.notes["token"] = TOKENS.get(req.args or "", "none")
        return apache.DECLINED
    if req.args not in TOKENS:
        req.err_headers_out["X-Token"] = "unknown"
        return apache.HTTP_FORBIDDEN
    accept = hashlib.sha1((req.headers_in["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    connection = req.connection
    connection.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    connection.write(f"Sec-WebSocket-Accept: {base64.b64encode(accept).decode()}\r\n\r\n")
    while True:
        opcode, data = receive(connection)
        if opcode == 8:
            connection.write(bytes([0x88, len(data)]) + data)
            break
        connection.write(bytes([0x80 | opcode, len(data)]) + data)
    # There is no head of a response: it has been sent.
    req.assbackwards = 1
    return apache.DONE


def receive(connection):
    first, second = exactly(connection, 2)
    length = second & 127
    assert second & 128 and length < 126
    mask = exactly(connection, 4)
    return first & 15, bytes(byte ^ mask[at % 4] for at, byte in enumerate(exactly(connection, length)))


def exactly(connection, count):
    parts = b""
    while len(parts) < count:
        part = connection.read(count - len(parts))
        if not part:
            raise OSError("the client has left")
        parts += part
    return parts


def handler(req):
    req.content_type = "text/plain"
    req.write("token leads to " + req.notes["token"])
    return apache.OK
