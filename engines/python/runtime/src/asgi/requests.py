# SPDX-License-Identifier: MIT OR Apache-2.0
"""The messages of an ASGI request: a response, or a WebSocket.

Compiled into the runtime. A `call` is one request of the server, a `socket` what it has besides if it asks for a WebSocket; they
never wait. All of this runs on the loop's thread.
"""

import asyncio
import os
import stat

READ, ROOM, GONE = 1, 2, 4

# So many that nobody waits for any more may be kept.
FORSAKEN = 8


class Request:
    """What waits for the server, and is woken by it; how far its body and its response are."""

    __slots__ = ("server", "call", "task", "waiters", "gone", "ended", "body_ended", "started", "has_trailers", "sent")

    def __init__(self, server, call):
        self.server = server
        self.call = call
        self.task = None
        self.waiters = []
        self.gone = False
        self.ended = False
        self.body_ended = False
        # A response has begun.
        self.started = False
        # Fields are to follow its body.
        self.has_trailers = False
        # Its body is whole.
        self.sent = False

    def wait(self):
        """A future that is done when something has happened."""
        if len(self.waiters) > FORSAKEN:
            self.waiters = [waiter for waiter in self.waiters if not waiter.done()]
        waiter = self.server.loop.create_future()
        self.waiters.append(waiter)
        return waiter

    def ready(self, what):
        if what & GONE:
            self.gone = True
            self.server.bear(self)
        self.wake()

    def wake(self):
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def forget(self):
        """The server has no more of it."""
        self.ended = True
        self.server.requests.pop(self.call.key, None)
        if self.gone:
            self.server.forget_left(self.call.key)

    def is_after_work(self):
        """What it does now is no part of its response."""
        return False

    def end(self):
        """The response is whole."""
        self.forget()
        self.call.finish(True)
        self.wake()

    def fail(self, error):
        """The application has returned without a whole response, or has raised."""
        if self.ended:
            if error is not None and not isinstance(error, asyncio.CancelledError):
                self.call.raised_late(error)
            return
        self.forget()
        self.call.fail(error, self.started)
        self.wake()


class Http(Request):
    """One request and its response."""

    # All of it is Request's, for another call of a constructor would cost every request something.
    __slots__ = ()

    async def receive(self):
        while not self.body_ended and not self.gone and not self.ended:
            part = self.call.read()
            if part is None:
                await self.wait()
            elif part is False:
                self.gone = True
            else:
                body, more = part
                self.body_ended = not more
                return {"type": "http.request", "body": body, "more_body": more}
        while not self.gone and not self.ended:
            await self.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        kind = message["type"]
        self.server.gather()
        if self.ended:
            raise RuntimeError(f"{kind!r} after the response has been completed")
        if kind == "http.response.start":
            if self.started:
                raise RuntimeError("'http.response.start' was sent twice")
            if message.get("trailers", False):
                self.call.expect_trailers()
                self.has_trailers = True
            self.call.start(message["status"], message.get("headers", ()))
            self.started = True
            return
        if kind == "http.response.body" and self.started and not self.sent:
            more = message.get("more_body", False)
            body = message.get("body", b"")
            while not self.call.write(body, more):
                await self.wait()
            if not more:
                self.end_body()
            return
        await self.send_other(kind, message)

    async def send_other(self, kind, message):
        """What few responses have."""
        send = OTHERS.get(kind)
        if send is None and kind != "http.response.body":
            raise ValueError(f"{kind!r} is not a message of an HTTP response")
        if self.started and kind == "http.response.early_hint":
            raise RuntimeError(f"{kind!r} was sent after 'http.response.start'")
        if not self.started and kind != "http.response.early_hint":
            raise RuntimeError(f"{kind!r} was sent before 'http.response.start'")
        if self.sent and kind != "http.response.trailers":
            raise RuntimeError(f"{kind!r} was sent after the body had ended")
        await send(self, message)

    async def send_hint(self, message):
        self.call.early_hint(message["links"])

    async def send_path(self, message):
        # A pipe would hold the loop until somebody writes into it.
        descriptor = os.open(message["path"], os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            require_file(descriptor)
            await self.send_part(descriptor, 0, os.fstat(descriptor).st_size, False)
        finally:
            os.close(descriptor)
        self.end_body()

    async def send_open_file(self, message):
        descriptor = message["file"].fileno()
        require_file(descriptor)
        offset = message.get("offset")
        if offset is None:
            offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        rest = max(os.fstat(descriptor).st_size - offset, 0)
        count = message.get("count")
        count = rest if count is None else min(count, rest)
        more = message.get("more_body", False)
        own = reopened(descriptor)
        try:
            await self.send_part(own, offset, count, more)
        finally:
            os.close(own)
        if message.get("offset") is None:
            os.lseek(descriptor, offset + count, os.SEEK_SET)
        if not more:
            self.end_body()

    async def send_part(self, descriptor, offset, count, more):
        while not self.call.send_file(descriptor, offset, count, more):
            await self.wait()

    async def send_trailers(self, message):
        if not self.has_trailers or not self.sent:
            raise RuntimeError("'http.response.trailers' follows the body of a response that has announced them")
        self.call.trailers(message.get("headers", ()))
        if not message.get("more_trailers", False):
            self.end()

    def end_body(self):
        self.sent = True
        if not self.has_trailers:
            self.end()


def require_file(descriptor):
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise ValueError("what is sent by its descriptor or its path must be a regular file")


def reopened(descriptor):
    """The same file with a position of its own: a server that reads it moves the one that descriptors of one opening share."""
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # Who has opened it may have had rights that this process has not.
        return os.dup(descriptor)


OTHERS = {
    "http.response.early_hint": Http.send_hint,
    "http.response.pathsend": Http.send_path,
    "http.response.zerocopysend": Http.send_open_file,
    "http.response.trailers": Http.send_trailers,
}


# Of a WebSocket: the application has not answered; it has accepted; it answers as it answers every request.
ASKED, OPEN, DENYING = "asked", "open", "denying"


class WebSocket(Request):
    """One request for a WebSocket, and what is said on it."""

    __slots__ = ("socket", "phase", "connected", "closing", "disconnect", "denial", "lost")

    def __init__(self, server, call, socket):
        super().__init__(server, call)
        self.socket = socket
        self.phase = ASKED
        # websocket.connect has been received.
        self.connected = False
        # The application has closed it.
        self.closing = False
        # What tells of its end, once it has come.
        self.disconnect = None
        # The head of another answer, until its body begins.
        self.denial = None
        # What send() has raised since the client has left.
        self.lost = None

    def enter(self, phase):
        self.phase = phase
        self.started = True

    async def receive(self):
        if not self.connected:
            self.connected = True
            return {"type": "websocket.connect"}
        while self.disconnect is None:
            if self.ended or self.gone and self.phase != OPEN:
                self.disconnect = disconnect(1006, "")
            elif self.phase == OPEN:
                message = self.socket.receive()
                if message is not None:
                    return self.arrived(message)
                await self.wait()
            else:
                await self.wait()
        return self.disconnect

    def is_after_work(self):
        # The application has closed it.
        return self.closing

    def arrived(self, message):
        if message is False:
            self.disconnect = disconnect(1006, "")
            return self.disconnect
        kind, payload, code = message
        if kind == self.socket.CLOSED:
            self.disconnect = disconnect(code, payload)
            return self.disconnect
        if kind == self.socket.TEXT:
            return {"type": "websocket.receive", "text": payload}
        return {"type": "websocket.receive", "bytes": payload}

    async def send(self, message):
        kind = message["type"]
        self.server.gather()
        if kind == "websocket.send" and self.phase == OPEN and not self.closing:
            await self.say(message)
        elif kind == "websocket.accept" and self.phase == ASKED:
            self.accept(message)
        elif kind == "websocket.close" and self.phase == ASKED:
            self.enter(DENYING)
            if not self.gone:
                self.call.start(403, ())
            self.end()
        elif kind == "websocket.close" and self.phase == OPEN and not self.closing:
            if not self.ended:
                self.socket.close(message.get("code") or 1000, message.get("reason") or "")
            self.closing = True
        elif kind == "websocket.http.response.start" and self.phase == ASKED:
            self.enter(DENYING)
            self.denial = message
        elif kind == "websocket.http.response.body" and self.phase == DENYING and not self.ended:
            await self.deny(message)
        elif kind in KINDS:
            raise RuntimeError(f"{kind!r} does not fit what has been sent before")
        else:
            raise ValueError(f"{kind!r} is not a message of a WebSocket")

    def accept(self, message):
        # A client that has left before is told of by receive().
        if not self.gone and self.socket.accept(message.get("subprotocol"), message.get("headers") or ()):
            self.enter(OPEN)
        else:
            self.gone = True
            self.enter(OPEN)
            self.disconnect = disconnect(1006, "")
        self.wake()

    async def say(self, message):
        text, data = message.get("text"), message.get("bytes")
        if (text is None) == (data is None):
            raise ValueError("'websocket.send' needs either text or bytes")
        try:
            if self.disconnect is not None or self.ended:
                raise OSError("the WebSocket is closed")
            while not (self.socket.send_bytes(data) if text is None else self.socket.send_text(text)):
                await self.wait()
        except OSError as error:
            self.lost = error
            raise

    async def deny(self, message):
        if self.denial is not None:
            head, self.denial = self.denial, None
            self.call.start(head["status"], head.get("headers", ()))
        more = message.get("more_body", False)
        while not self.call.write(message.get("body", b""), more):
            await self.wait()
        if not more:
            self.end()

    def fail(self, error):
        """The application has returned, which closes the WebSocket, or has raised."""
        if self.phase == OPEN and not self.ended and (error is None or self.was_lost(error)):
            self.lost = None
            self.end()
        else:
            super().fail(error)

    def was_lost(self, error):
        """Whether it is what send() has raised when the client has left, or was raised because of that."""
        while error is not None and error is not self.lost:
            error = error.__cause__ or error.__context__
        return error is not None


KINDS = {
    "websocket.accept",
    "websocket.send",
    "websocket.close",
    "websocket.http.response.start",
    "websocket.http.response.body",
}


def disconnect(code, reason):
    return {"type": "websocket.disconnect", "code": code, "reason": reason}
