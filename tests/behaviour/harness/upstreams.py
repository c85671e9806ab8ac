# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the tests of upstreams have in common: a recorder per protocol, and one request from client to backend."""

import contextlib
import os
import signal
import threading

from .gateway import PROTOCOLS
from .recorder import NoConnection


def head(protocol, status=b"200 OK", fields=b"Content-Type: text/plain\r\n"):
    """A response head as the applications of a protocol write it: uwsgi's begin with a status line."""
    first = b"HTTP/1.1 " if protocol == "uwsgi" else b"Status: "
    return first + status + b"\r\n" + fields + b"\r\n"


def hello(protocol):
    return head(protocol) + b"hello"


def recorders(site, **kw):
    """`/fastcgi/`, `/scgi/` and `/uwsgi/`, each passed to a recorder of that name."""
    for protocol in PROTOCOLS:
        site.passes(f"/{protocol}/", site.recorder(protocol), **kw)


def ask(server, backend, path="/x", method="GET", headers=(), body=None, **kw):
    """Sends a request; returns the client's connection, the backend's, and what the backend received."""
    client = server.connect()
    send = lambda: client.request(method, f"/{backend.protocol}{path}", headers, body, **kw)
    if body is None:
        send()
        peer = backend.next(client)
        return client, peer, peer.request()
    return client, *received(backend, client, send)


def received(backend, client, send):
    """Has a body sent; returns the backend's connection and what it received. A body larger than the buffers on its way waits for
    the backend to read it."""
    sender = threading.Thread(target=send)
    sender.start()
    try:
        peer = backend.next(client)
        return peer, peer.request()
    finally:
        sender.join(30)


def sent(server, backend, *args, **kw):
    """What the backend receives for a request that it answers with hello()."""
    client, peer, request = ask(server, backend, *args, **kw)
    peer.answer(hello(backend.protocol))
    assert client.response(kw.get("method", "GET")).status == 200
    client.close()
    return request


def answered(server, backend, data, path="/x", method="GET", headers=(), **kw):
    """The response to a request that the backend answers with `data` (RFC 3875 §6)."""
    client, peer, _ = ask(server, backend, path, method, headers)
    peer.answer(data, **kw)
    return client.response(method)


def kept(server, backend, path=None, method="GET"):
    """The backend's end of a connection that has carried two requests and waits for the next one. Not every one does: with a
    busy machine requests look as if they waited for a process of the backend, and then nobody keeps connections."""
    before = None
    for _ in range(100):
        client = server.connect()
        client.request(method, path or f"/{backend.protocol}/kept")
        peer = backend.next(client)
        peer.request()
        peer.answer(hello(backend.protocol))
        assert client.response(method).body == b"hello"
        # A process of httpd's prefork serves one client at a time.
        client.close()
        if peer is before:
            return peer
        before = peer
    raise AssertionError("no connection is kept")


def follows(backend, client, *, may_close=True):
    """No byte of an earlier response is taken for the next one on the client's connection, which the server may have
    closed instead."""
    try:
        client.request("GET", f"/{backend.protocol}/next")
        peer = backend.next(client)
    except NoConnection as error:
        assert error.closed and may_close, error
        return
    except ConnectionError:
        assert may_close, "the server closed the connection"
        return
    assert peer.request()["REQUEST_URI"] == f"/{backend.protocol}/next"
    peer.answer(hello(backend.protocol))
    response = client.response()
    assert (response.status, response.body) == (200, b"hello")


@contextlib.contextmanager
def stopped(server):
    """What happens meanwhile happens at once: a head waits for its body for some milliseconds only, and a busy test may take
    longer to end a connection."""
    workers = server.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
