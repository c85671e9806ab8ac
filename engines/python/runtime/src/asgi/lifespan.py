# SPDX-License-Identifier: MIT OR Apache-2.0
"""The lifespan of an ASGI application: its startup, and its shutdown.

Compiled into the runtime. All of this runs on the loop's thread.
"""

import asyncio

# How long the shutdown may take, and whoever has been cancelled.
SHUTDOWN, CANCELLED = 2.0, 1.0


class StartupFailed(RuntimeError):
    """The application has said so by lifespan.startup.failed."""


class Lifespan:
    """The lifespan protocol: one call of the application for the life of the process."""

    def __init__(self, server, application):
        self.server = server
        self.application = application
        self.inbox = asyncio.Queue()
        self.started = server.loop.create_future()
        self.stopped = server.loop.create_future()
        self.task = None

    async def startup(self):
        """Answers whether the application has a lifespan."""
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.server.state,
        }
        self.task = asyncio.ensure_future(self.run(scope))
        self.inbox.put_nowait({"type": "lifespan.startup"})
        await asyncio.wait(
            {self.started, self.task, self.server.ended},
            timeout=self.server.startup_timeout,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not self.started.done() and not self.task.done():
            self.task.cancel()
            await asyncio.wait({self.task}, timeout=CANCELLED)
            if self.server.stopping:
                raise StartupFailed("the process ends, and the application's startup has not")
            raise StartupFailed(
                f"the application's startup has not ended within {self.server.startup_timeout:g}s; if it needs longer, "
                "raise startup_timeout="
            )
        if self.started.done():
            reason = self.started.result()
            if reason is None:
                return True
            # It may still tidy up.
            await asyncio.wait({self.task}, timeout=SHUTDOWN)
            raise StartupFailed(f"the application's startup failed: {reason or 'it gave no reason'}")
        # "If an exception is raised when calling the application callable with a lifespan.startup message or a scope of type
        # lifespan, the server must continue but not send any lifespan events."
        error = self.task.exception()
        if self.server.lifespan_kind == "on":
            if error is not None:
                raise error
            raise StartupFailed("the application has no lifespan; use lifespan=auto or lifespan=off")
        return False

    async def run(self, scope):
        await self.application(scope, self.receive, self.send)

    async def receive(self):
        return await self.inbox.get()

    async def send(self, message):
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self.server.set_once(self.started, None)
        elif kind == "lifespan.startup.failed":
            self.server.set_once(self.started, message.get("message", ""))
        elif kind == "lifespan.shutdown.complete":
            self.server.set_once(self.stopped, None)
        elif kind == "lifespan.shutdown.failed":
            self.server.set_once(self.stopped, message.get("message", "") or "it gave no reason")
        else:
            raise ValueError(f"{kind!r} is not a message of the lifespan protocol")

    async def shutdown(self):
        if self.task.done():
            self.warn_of(self.task)
            return
        self.inbox.put_nowait({"type": "lifespan.shutdown"})
        done, _ = await asyncio.wait(
            {self.stopped, self.task}, timeout=SHUTDOWN, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            self.server.port.warn(f"the application's shutdown has not ended within {SHUTDOWN:g}s")
            return
        if self.stopped.done() and self.stopped.result() is not None:
            self.server.port.warn(f"the application's shutdown failed: {self.stopped.result()}")
        await asyncio.wait({self.task}, timeout=CANCELLED)
        if self.task.done():
            self.warn_of(self.task)

    def warn_of(self, task):
        if not task.cancelled() and task.exception() is not None:
            self.server.port.warn(f"the application's lifespan raised {task.exception()!r}")
