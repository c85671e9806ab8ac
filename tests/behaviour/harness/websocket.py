# SPDX-License-Identifier: MIT OR Apache-2.0
"""A WebSocket client that can do everything wrong: frames are made by hand on a connection of wire.py."""

import base64
import hashlib
import os
import re
import struct
import zlib

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TAIL = b"\x00\x00\xff\xff"
# Which servers have WebSockets.
SERVERS = ("nginx", "nginx128", "apache")


def frame(opcode, payload=b"", *, final=True, masked=True, reserved=0, length=None):
    """One frame of a client's. `length`: what it says of its length, if that is not so."""
    head = bytes([(0x80 if final else 0) | reserved << 4 | opcode])
    said = len(payload) if length is None else length
    mask_bit = 0x80 if masked else 0
    if said < 126:
        head += bytes([mask_bit | said])
    elif said < 65536:
        head += bytes([mask_bit | 126]) + struct.pack("!H", said)
    else:
        head += bytes([mask_bit | 127]) + struct.pack("!Q", said)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    wide = mask * (len(payload) // 4 + 1)
    covered = int.from_bytes(payload, "little") ^ int.from_bytes(wide[: len(payload)], "little")
    return head + mask + covered.to_bytes(len(payload), "little")


def close_payload(code, reason=""):
    return struct.pack("!H", code) + reason.encode()


def handshake(key=None, version="13", upgrade="websocket", connection="Upgrade", protocols=None, extensions=None):
    fields = [("Upgrade", upgrade), ("Connection", connection), ("Sec-WebSocket-Version", version)]
    fields.append(("Sec-WebSocket-Key", key or base64.b64encode(os.urandom(16)).decode()))
    if protocols:
        fields.append(("Sec-WebSocket-Protocol", protocols))
    if extensions:
        fields.append(("Sec-WebSocket-Extensions", extensions))
    return fields


class WebSocket:
    """One that is open. `response` is the head that has accepted it."""

    def __init__(self, connection, path, *, headers=(), early=b"", **words):
        self.connection = connection
        fields = handshake(**words)
        connection.request("GET", path, [*fields, *headers])
        if early:
            connection.send(early)
        self.response = connection.head()
        assert self.response.status == 101, self.response
        key = dict(fields)["Sec-WebSocket-Key"].encode()
        expected = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        assert self.response.header("Sec-WebSocket-Accept") == expected
        assert self.response.header("Upgrade").lower() == "websocket"
        assert self.response.header("Connection").lower() == "upgrade"
        self._note_agreed()

    def _note_agreed(self):
        self.agreed = self.response.header("Sec-WebSocket-Extensions") or ""
        self.deflates = "permessage-deflate" in self.agreed
        bits = re.search(r"server_max_window_bits=(\d+)", self.agreed)
        self.server_bits = int(bits[1]) if bits else 15

    @classmethod
    def on_stream(cls, client, path, headers=(), *, protocols=None, extensions=None):
        """One on a stream of an HTTP/2 connection (RFC 8441)."""
        self = cls.__new__(cls)
        fields = [(":protocol", "websocket"), ("sec-websocket-version", "13")]
        if protocols:
            fields.append(("sec-websocket-protocol", protocols))
        if extensions:
            fields.append(("sec-websocket-extensions", extensions))
        self.connection = StreamConnection(client, client.send_head("CONNECT", path, [*fields, *headers], end=False))
        self.response = self.connection.head()
        assert self.response.status == 200, self.response
        assert not {"connection", "upgrade", "sec-websocket-accept"} & {name for name, _ in self.response.headers}
        self._note_agreed()
        return self

    def send(self, opcode, payload=b"", **how):
        self.connection.send(frame(opcode, payload, **how))

    def text(self, text):
        self.send(TEXT, text.encode())

    def deflated(self, opcode, payload):
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
        self.send(opcode, packed.removesuffix(TAIL), reserved=4)

    def _read(self, length):
        while len(self.connection.buffer) < length:
            if not self.connection._fill():
                return None
        return self.connection._take(length)

    def frame(self):
        """The next frame: opcode and payload; None at the end of the connection. Nothing of a server is masked."""
        head = self._read(2)
        if head is None:
            return None
        assert head[0] & 0x30 == 0 and head[1] & 0x80 == 0, head
        assert head[0] & 0x80, "messages of ours are one frame"
        length = head[1]
        if length == 126:
            (length,) = struct.unpack("!H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._read(8))
        payload = self._read(length)
        if head[0] & 0x40:
            assert self.deflates
            payload = zlib.decompressobj(wbits=-max(self.server_bits, 9)).decompress(payload + TAIL)
        return head[0] & 0x0F, payload

    def receive(self):
        """The next message or close; pings are answered."""
        while (found := self.frame()) and found[0] == PING:
            self.send(PONG, found[1])
        return found

    def expect_text(self, text):
        assert self.receive() == (TEXT, text.encode())

    def expect_close(self, code):
        """The server closes with this number, and then the connection."""
        found = self.receive()
        assert found is not None and found[0] == CLOSE, found
        assert struct.unpack("!H", found[1][:2]) == (code,), found
        self.send(CLOSE, found[1][:2])
        assert self.frame() is None, "the server ends the connection"

    def close(self, code=1000, reason=""):
        """Closes it, and waits for the server's answer and the end."""
        self.send(CLOSE, close_payload(code, reason))
        while (found := self.frame()) is not None and found[0] != CLOSE:
            pass
        assert found is not None and found[1][:2] == struct.pack("!H", code), found
        assert self.frame() is None, "the server ends the connection"


class StreamConnection:
    """A stream of HTTP/2 as if it were a connection."""

    def __init__(self, client, number):
        self.client = client
        self.number = number
        self.buffer = b""

    @property
    def _state(self):
        return self.client.streams[self.number]

    def head(self):
        self.client.until(lambda: self._state.status or hasattr(self._state, "reset"))
        return self._state

    def send(self, data):
        self.client.send_body(self.number, data, end=False)

    def half_close(self):
        self.client.send_body(self.number, b"", end=True)

    def reset(self):
        self.client.cancel(self.number)

    def _fill(self):
        """Reads more into the buffer; False at the end of the stream."""
        state = self._state
        self.client.until(lambda: state.body or state.complete or hasattr(state, "reset"))
        came, state.body = state.body, b""
        self.buffer += came
        return bool(came)

    def _take(self, length):
        taken, self.buffer = self.buffer[:length], self.buffer[length:]
        return taken
