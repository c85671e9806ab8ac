# SPDX-License-Identifier: MIT OR Apache-2.0
"""Clients of WebSockets, and visitors of an idle server: wrk has neither."""

import http.client
import os
import select
import socket
import struct
import time
import zlib

from .load import BenchError

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{offer}\r\n"
)
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
# RFC 7692 §7.2.1: what a compressed message ends with, and is sent without.
TAIL = b"\x00\x00\xff\xff"
COMPRESSED = 0x40
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def head(opcode: int, length: int, mask_bit: int) -> bytes:
    first = bytes([0x80 | opcode])
    if length < 126:
        return first + bytes([mask_bit | length])
    if length < 65536:
        return first + struct.pack("!BH", mask_bit | 126, length)
    return first + struct.pack("!BQ", mask_bit | 127, length)


def frame(opcode: int, payload: bytes) -> bytes:
    """A client's."""
    mask = os.urandom(4)
    wide = mask * (len(payload) // 4 + 1)
    covered = int.from_bytes(payload, "little") ^ int.from_bytes(wide[: len(payload)], "little")
    return head(opcode, len(payload), 0x80) + mask + covered.to_bytes(len(payload), "little")


def connect(port: int, path: str, offer: str = "") -> tuple[socket.socket, bool]:
    """An open WebSocket, and whether its messages may be compressed."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.sendall(HANDSHAKE.format(path=path, offer=offer).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            raise ConnectionError(f"no WebSocket: {answer[:100]!r}")
        answer += byte
    if not answer.startswith(b"HTTP/1.1 101 "):
        raise ConnectionError(f"no WebSocket: {answer[:100]!r}")
    return client, b"permessage-deflate" in answer


def deflated(opcode: int, payload: bytes) -> bytes:
    """A client's frame of a message that is compressed for itself."""
    compressor = zlib.compressobj(wbits=-15)
    compressed = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
    return frame(opcode | COMPRESSED, compressed)


def message_of(data: bytes) -> tuple[int, bytes, int] | None:
    """The first byte of a server's frame, its payload, and the length of both, once it is whole."""
    if len(data) < 10 and len(data) < 2 + (data[1:2] == b"\x7e") * 2 + (data[1:2] == b"\x7f") * 8:
        return None
    length, begin = (data[1], 2) if data[1] < 126 else (int.from_bytes(data[2:4]), 4)
    if data[1] == 127:
        length, begin = int.from_bytes(data[2:10]), 10
    end = begin + length
    return (data[0], bytes(data[begin:end]), end) if len(data) >= end else None


class EchoClient:
    """Says the same again and again, each time when it has heard it; compressed, if that is wanted and the server takes it."""

    def __init__(self, port: int, path: str, message: bytes, deflate: bool):
        self.socket, self.deflates = connect(port, path, DEFLATE if deflate else "")
        self.said = deflated(TEXT, message) if self.deflates else frame(TEXT, message)
        self.message, self.heard = message, head(TEXT, len(message), 0) + message
        self.buffer, self.began = bytearray(), 0.0
        self.inflator = zlib.decompressobj(wbits=-15)

    def say(self) -> None:
        self.began = time.monotonic()
        self.socket.sendall(self.said)

    def hear(self) -> float | None:
        """How long it took, once all of it has come."""
        block = self.socket.recv(262144)
        if not block:
            raise ConnectionError("the server has closed it")
        self.buffer += block
        if self.deflates:
            return self.inflate()
        if len(self.buffer) < len(self.heard):
            return None
        if self.buffer != self.heard:
            raise ConnectionError(f"not what was said: {bytes(self.buffer[:40])!r}")
        self.buffer.clear()
        return time.monotonic() - self.began

    def inflate(self) -> float | None:
        found = message_of(self.buffer)
        if found is None:
            return None
        first, payload, length = found
        if first & COMPRESSED:
            payload = self.inflator.decompress(payload + TAIL)
        if payload != self.message or length != len(self.buffer):
            raise ConnectionError(f"not what was said: {payload[:40]!r}")
        self.buffer.clear()
        return time.monotonic() - self.began


def report(times: list[float], received: int, started: float, errors: int) -> dict:
    """As `load.wrk` has it."""
    times.sort()
    found = {"requests": len(times), "bytes": received, "micros": (time.monotonic() - started) * 1e6, "read": errors}
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        found[name] = times[min(len(times) - 1, int(len(times) * share))] * 1e6 if times else 0.0
    return found | {"status": 0, "connect": 0, "write": 0, "timeout": 0}


def echo(port: int, path: str, message: bytes, connections: int, seconds: float, deflate: bool = False) -> dict:
    """So many sockets, each with one message under way."""
    try:
        clients = [EchoClient(port, path, message, deflate) for _ in range(connections)]
    except OSError as error:
        raise BenchError(str(error)) from None
    if deflate and not all(client.deflates for client in clients):
        raise BenchError("it does not compress, so it is no rival")
    by_number = {client.socket.fileno(): client for client in clients}
    poll = select.epoll()
    for number in by_number:
        poll.register(number, select.EPOLLIN)
    times, errors, started = [], 0, time.monotonic()
    for client in clients:
        client.say()
    under_way = len(clients)
    while under_way and time.monotonic() - started < seconds + 10:
        for number, _ in poll.poll(1.0):
            try:
                took = by_number[number].hear()
            except OSError:
                errors += 1
                under_way -= 1
                poll.unregister(number)
                continue
            if took is None:
                continue
            times.append(took)
            if time.monotonic() - started < seconds:
                by_number[number].say()
            else:
                under_way -= 1
    found = report(times, len(times) * len(message), started, errors + under_way)
    poll.close()
    for client in clients:
        client.socket.close()
    return found


def visits(port: int, path: str, seconds: float) -> dict:
    """Visitors one at a time, with 10 ms between them, each on a connection of its own."""
    times, received, errors, started = [], 0, 0, time.monotonic()
    while time.monotonic() - started < seconds or len(times) < 10:
        time.sleep(0.010)
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path)
        response = connection.getresponse()
        received += len(response.read())
        times.append(time.monotonic() - began)
        errors += response.status != 200
        connection.close()
    return report(times, received, started, errors)
