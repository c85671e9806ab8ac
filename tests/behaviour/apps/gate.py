# SPDX-License-Identifier: MIT OR Apache-2.0
"""The application's end of a handshake with a test: see harness/gate.py."""

import socket
from urllib.parse import parse_qs


def query(environ):
    return {name: values[-1] for name, values in parse_qs(environ["QUERY_STRING"]).items()}


class Gate:
    """Connects to the socket that the request names with `?gate=`."""

    def __init__(self, environ):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(query(environ)["gate"])

    def tell(self, event):
        """Says where the application is."""
        self._socket.sendall(event.encode() + b"\n")

    def wait(self, event):
        """Says where the application is and waits until the test lets it go on."""
        self.tell(event)
        if not self._socket.recv(1):
            raise ConnectionError("the test closed the gate")

    def close(self):
        self._socket.close()
