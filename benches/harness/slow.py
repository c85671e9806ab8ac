# SPDX-License-Identifier: MIT OR Apache-2.0
"""Clients that read slowly: wrk has none. Each takes at most 64 KiB per tick of 10 ms."""

import socket
import time

BLOCK = 64 * 1024
TICK = 0.010


class Reader:
    """One connection for one response, which ends when the server closes."""

    def __init__(self, port: int, path: str):
        self.began, self.received = time.monotonic(), 0
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BLOCK)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        self.socket.setblocking(False)

    def read(self) -> bool:
        """Whether the response goes on."""
        try:
            block = self.socket.recv(BLOCK)
        except BlockingIOError:
            return True
        self.received += len(block)
        return bool(block)


def load(port: int, path: str, size: int, connections: int, seconds: float) -> dict:
    """As `load.wrk` reports it. Every response that was begun is read to its end, so that each request is paid for once."""
    started = time.monotonic()
    active = [Reader(port, path) for _ in range(connections)]
    times, errors, received = [], 0, 0
    while active:
        began = time.monotonic()
        for reader in active[:]:
            try:
                if reader.read():
                    continue
                errors += reader.received < size
            except OSError:
                errors += 1
            times.append(time.monotonic() - reader.began)
            received += reader.received
            reader.socket.close()
            active.remove(reader)
            if began - started < seconds:
                active.append(Reader(port, path))
        if began - started > seconds + 30:
            errors += len(active)
            break
        time.sleep(max(0.0, began + TICK - time.monotonic()))
    times.sort()
    found = {"requests": len(times), "bytes": received, "micros": (time.monotonic() - started) * 1e6, "status": 0, "read": errors}
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        found[name] = times[min(len(times) - 1, int(len(times) * share))] * 1e6
    return found | {"connect": 0, "write": 0, "timeout": 0}
