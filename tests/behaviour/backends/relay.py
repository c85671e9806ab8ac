#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A FastCGI program on descriptor 0 whose bytes are a test's: `relay.py PORT` passes each connection on to who listens there. Only the question whether it takes
requests (FCGI_GET_VALUES), which its supervisor asks, it answers itself."""

import contextlib
import socket
import sys
import threading

GET_VALUES, GET_VALUES_RESULT = 9, 10


def exactly(connection, length):
    found = b""
    while len(found) < length:
        piece = connection.recv(length - len(found))
        if not piece:
            raise ConnectionError
        found += piece
    return found


def pump(source, target):
    """Until one of them ends; then both do, whatever is still unread there."""
    try:
        while piece := source.recv(1 << 16):
            target.sendall(piece)
    except OSError:
        pass
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def serve(connection, port):
    try:
        header = exactly(connection, 8)
        if header[1] == GET_VALUES:
            exactly(connection, int.from_bytes(header[4:6], "big") + header[6])
            connection.sendall(bytes([1, GET_VALUES_RESULT, 0, 0, 0, 0, 0, 0]))
            return
        with socket.create_connection(("127.0.0.1", port)) as test:
            test.sendall(header)
            back = threading.Thread(target=pump, args=(test, connection), daemon=True)
            back.start()
            pump(connection, test)
            back.join()
    except OSError:
        pass
    finally:
        connection.close()


listener = socket.socket(fileno=0)
while True:
    accepted, _ = listener.accept()
    threading.Thread(target=serve, args=(accepted, int(sys.argv[1])), daemon=True).start()
