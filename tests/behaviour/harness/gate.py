# SPDX-License-Identifier: MIT OR Apache-2.0
"""A handshake with a running application over a unix socket, instead of sleeping and hoping."""

import socket
import struct
from urllib.parse import quote


class Visitor:
    """One application that came to the gate."""

    def __init__(self, connection):
        self._socket = connection
        self._lines = connection.makefile("r")

    @property
    def pid(self):
        """The process that came."""
        return struct.unpack("3i", self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]

    def next(self):
        """The next event; '' when the application has closed its end."""
        return self._lines.readline().rstrip("\n")

    def at(self, event):
        """The next event must be this one."""
        found = self.next()
        assert found == event, f"the application is at {found!r}, not at {event!r}"
        return self

    def go(self):
        """Lets an application that waits go on."""
        self._socket.sendall(b"g")
        return self

    def close(self):
        self._lines.close()
        self._socket.close()


class Gate:
    def __init__(self, folder, name="gate"):
        self.path = str(folder / name)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        folder.joinpath(name).chmod(0o777)
        self._listener.listen(512)
        self._listener.settimeout(20)
        self._visitors = []

    @property
    def query(self):
        return "gate=" + quote(self.path, safe="")

    def visitor(self, timeout=20):
        """Waits for the next application to come."""
        self._listener.settimeout(timeout)
        connection, _ = self._listener.accept()
        connection.settimeout(20)
        visitor = Visitor(connection)
        self._visitors.append(visitor)
        return visitor

    def close(self):
        for visitor in self._visitors:
            visitor.close()
        self._listener.close()
