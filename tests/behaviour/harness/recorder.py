# SPDX-License-Identifier: MIT OR Apache-2.0
"""A backend in the test's own hands: it records exactly what the server sends and answers what the test says."""

import contextlib
import select
import socket
import ssl
import threading

from . import places, wire
from .gateway import ABORT_REQUEST, CODECS

TIMEOUT = 20.0


class PeerClosed(ConnectionError):
    """The server closed its connection where more was to come."""


class NoConnection(AssertionError):
    """The server did not connect to the backend. `closed`: it closed the client's connection instead."""

    closed = False


def unasked(client):
    data = client.socket.recv(4096)
    error = NoConnection(f"the server answered without the backend: {data!r}")
    error.closed = not data
    return error


class Peer:
    """One connection of the server to the backend."""

    def __init__(self, connection, codec):
        self.socket = connection
        self.socket.settimeout(TIMEOUT)
        self.codec = codec(self._read)
        self.received = 0
        self.keep = False

    def _read(self, length):
        pieces, left = [], length
        while left:
            piece = self.socket.recv(min(left, 1 << 20))
            if not piece:
                raise PeerClosed(f"closed {left} bytes before the end of {length}")
            pieces.append(piece)
            left -= len(piece)
            self.received += len(piece)
        return b"".join(pieces)

    def head(self):
        """The variables of the next request."""
        request = self.codec.head()
        self.keep = request.keep
        return request

    def request(self):
        """The next request with its body."""
        request = self.head()
        self.codec.body(request)
        return request

    def record(self):
        return self.codec.record()

    def send(self, data):
        self.socket.sendall(data)

    def send_each(self, data):
        """Byte by byte, each in a segment of its own as far as the kernel allows."""
        if self.socket.family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data)):
            self.send(data[at : at + 1])

    def output(self, data):
        """A part of a response."""
        self.send(self.codec.output(data))

    def answer(self, data, **kw):
        """A whole response. SCGI and uwsgi end it by closing, and so does FastCGI when the server does not keep the
        connection (§3.5, FCGI_KEEP_CONN)."""
        self.send(self.codec.answer(data, **kw))
        if not self.keep:
            self.close()

    def end(self):
        """The end of a response whose parts were given to output()."""
        self.answer(b"")

    def waits(self):
        """True while the server neither sent anything nor closed."""
        return not select.select([self.socket], [], [], 0)[0]

    def is_left(self):
        """Whether the server has closed its side, whatever it had sent before."""
        watch = select.poll()
        watch.register(self.socket, select.POLLRDHUP)
        return bool(watch.poll(0))

    def has_more(self):
        """Waits for the next request, which stays unread, or the end, or that the server aborts what was answered or takes a
        request elsewhere that nobody here has read in time: then this side closes too, and it is False."""
        try:
            start = self.socket.recv(2, socket.MSG_PEEK)
            more = start != b"" and not (self.codec.scheme == "fastcgi" and start[1:] == bytes([ABORT_REQUEST]))
            more = more and not self.is_left()
        except ConnectionResetError:
            more = False
        if not more:
            self.close()
        return more

    def at_end(self):
        """Waits for the next byte or the end; True when it is the end."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def discard(self):
        """Reads whatever comes until the server closes; returns how much that was."""
        total = 0
        with contextlib.suppress(ConnectionResetError):
            while piece := self.socket.recv(1 << 16):
                total += len(piece)
        return total

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def shutdown(self):
        """Ends both directions; whoever waits on this connection in another thread sees the end."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection with RST; unread input does that on a unix socket."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self.socket.close()


class Recorder:
    """Listens on loopback or a unix socket. Either the test takes each connection itself (`accept`), or threads answer
    (`serving`)."""

    def __init__(self, protocol, path=None, certificate=None):
        self.protocol = protocol
        self.path = path
        self.certificate = certificate
        self.port = None if path else places.free_port()
        self._codec = CODECS[protocol]
        self._peers = []
        self._lock = threading.Lock()
        self._listener = None
        self.accepted = 0
        self.listen()

    @property
    def where(self):
        """host:port or unix:/path, as nginx writes addresses."""
        return f"unix:{self.path}" if self.path else f"127.0.0.1:{self.port}"

    @property
    def address(self):
        return f"{'suwsgi' if self.certificate else self.protocol}://{self.where}"

    def listen(self):
        """Listens (again, after refuse())."""
        if self.path:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(self.path))
            self.path.chmod(0o777)
        else:
            self._listener = socket.socket()
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(("127.0.0.1", self.port))
        self._listener.listen(512)
        self._listener.settimeout(TIMEOUT)

    def refuse(self):
        """From now on connections are refused."""
        self._listener.close()
        if self.path:
            self.path.unlink()

    def accept(self, client=None, timeout=TIMEOUT):
        """The server's next connection. With the client's connection a server that answers it instead of connecting is
        noticed at once."""
        waits_for = [self._listener, *([client.socket] if client else [])]
        ready = select.select(waits_for, [], [], timeout)[0]
        if client and ready == [client.socket]:
            raise unasked(client)
        if not ready:
            raise NoConnection(f"no connection within {timeout:g}s")
        self._listener.settimeout(timeout)
        connection, _ = self._listener.accept()
        connection.settimeout(TIMEOUT)
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(f"{self.certificate}.crt", f"{self.certificate}.key")
            connection = context.wrap_socket(connection, server_side=True)
        peer = Peer(connection, self._codec)
        with self._lock:
            self._peers.append(peer)
            self.accepted += 1
        return peer

    def next(self, client=None, timeout=TIMEOUT):
        """The connection on which the server sends the client's request: a kept one or a new one. Without a client's
        connection it is one that the server sends for its own sake."""
        while True:
            with self._lock:
                kept = {peer.socket: peer for peer in self._peers if peer.socket.fileno() != -1}
            # An HTTP/2 server speaks unasked.
            answers = [client.socket] if isinstance(client, wire.Connection) else []
            ready = select.select([self._listener, *kept, *answers], [], [], timeout)[0]
            if not ready:
                raise NoConnection(f"no request within {timeout:g}s")
            for connection in ready:
                if connection in kept and kept[connection].has_more():
                    return kept[connection]
            if self._listener in ready:
                return self.accept()
            if answers and client.socket in ready:
                raise unasked(client)

    def peers(self):
        """The connections of this test, closed ones included."""
        with self._lock:
            return list(self._peers)

    def pending(self, within=0):
        """Whether a connection waits to be accepted, or comes within so many seconds."""
        return bool(select.select([self._listener], [], [], within)[0])

    @contextlib.contextmanager
    def serving(self, answer):
        """Threads answer every request with `answer(request, peer)`: bytes are a whole response, None means that the
        function has answered by itself. Gives the list of requests."""
        service = Service(self, answer)
        try:
            yield service.requests
        finally:
            service.stop()

    def reset(self):
        """Closes what a test has left and forgets it; connections that nobody accepted are closed too."""
        while self._listener.fileno() != -1 and self.pending():
            self._listener.accept()[0].close()
        with self._lock:
            for peer in self._peers:
                peer.close()
            self._peers.clear()
            self.accepted = 0

    def close(self):
        self.reset()
        self._listener.close()


class Service:
    def __init__(self, recorder, answer):
        self.requests = []
        self.errors = []
        self._recorder = recorder
        self._answer = answer
        self._stopping = threading.Event()
        self._peers = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        while not self._stopping.is_set():
            if not select.select([self._recorder._listener], [], [], 0.02)[0]:
                continue
            try:
                peer = self._recorder.accept()
            except (BlockingIOError, TimeoutError):
                continue
            self._peers.append(peer)
            thread = threading.Thread(target=self._serve, args=(peer,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer):
        try:
            while peer.socket.fileno() != -1:
                peer.socket.settimeout(None)
                request = peer.request()
                self.requests.append(request)
                found = self._answer(request, peer)
                if found is not None:
                    peer.answer(found)
        except (ConnectionError, OSError):
            pass  # the server closed an idle connection, or the test is over
        except Exception as error:  # what the server sent made no sense
            self.errors.append(repr(error))
        finally:
            peer.close()

    def stop(self):
        self._stopping.set()
        self._threads[0].join(30)
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(30)
        assert not self.errors, f"the backend met: {self.errors}"
