# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs an ASGI application on an event loop of a thread of its own.

Compiled into the runtime. `port` is what the thread has of the server: the queue of events, and the application. A `call` is
one request, with a `socket` if it asks for a WebSocket; they never wait. `kinds` is requests.py, `lifespans` lifespan.py. All of this runs on the loop's
thread.
"""

import asyncio
import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from threading import get_ident

# How long requests may still take when the process ends, and how long after they have been cancelled.
FINISH, CANCELLED = 2.0, 1.0
# The eager start runs a coroutine up to its first wait without a pass of the loop. Before that tasks.rs does it.
EAGER = sys.version_info >= (3, 14)


class Server:
    """The loop, the application and its requests."""

    def __init__(self, port, modules, loop, lifespan, times, threads):
        self.port = port
        self.kinds, self.lifespans = modules
        self.kind = loop
        self.lifespan_kind = lifespan
        self.startup_timeout, self.disconnect_timeout = times
        self.threads = threads
        self.loop = None
        self.thread = get_ident()
        self.application = None
        self.lifespan = None
        self.state = {}
        self.requests = port.requests
        self.tasks = set()
        self.held = []
        # Requests that go on though their clients have left, by their keys: what ends them.
        self.left = {}
        # The coroutine of a Task that is being made, its first step with its context, and who takes what others give the loop meanwhile.
        self.coming = self.step = self.call_soon = None
        # The descriptor of busy WebSockets, if the loop reads from them.
        self.sockets = None
        # Done when the loop is to stand still.
        self.pause = None
        # Done when the process ends.
        self.ended = None
        self.stopping = False
        # This is a child that the application has forked: the loop is its parent's.
        self.forked = False
        # The Task that has forked it.
        self.forker = None

    def run(self):
        self.port.attach(self)
        self.loop = new_loop(self.kind)
        asyncio.set_event_loop(self.loop)
        self.loop.set_default_executor(ThreadPoolExecutor(self.threads, thread_name_prefix="asyncio"))
        self.ended = self.loop.create_future()
        os.register_at_fork(after_in_child=self.note_fork)
        try:
            self.loop.add_reader(self.port.fileno(), self.look)
            self.application = self.port.load(self.start)
            self.loop.add_reader(self.port.fileno(), self.port.drain)
            self.sockets = self.port.sockets_fileno()
            if self.sockets is not None:
                self.loop.add_reader(self.sockets, self.read_sockets)
            # What has come meanwhile.
            self.loop.call_soon(self.port.drain)
            self.port.serve(True)
            while not self.stopping:
                # One task for all the time: anyio keeps its threads for as long as that runs.
                self.pause = self.loop.create_future()
                if not self.held:
                    self.loop.run_until_complete(self.until(self.pause))
                self.begin_held()
            self.finish()
        except BaseException as error:
            # asyncio raises SystemExit of a Task here. What close() ends is the parent's.
            self.leave(error)
            raise
        finally:
            self.close()

    @staticmethod
    async def until(pause):
        await pause

    def note_fork(self):
        """In a child that the application has forked, inside of os.fork()."""
        self.forked = True
        if self.loop.is_closed():
            return
        if get_ident() != self.thread:
            # The loop has no thread there. A thread of anyio's gives its result to it, and would wait for other work.
            self.loop.call_soon_threadsafe = self.leave_thread
            return
        self.forker = asyncio.current_task(self.loop)
        # What waits there comes back to the loop, which would take events of its parent's.
        self.loop.call_soon(self.leave_loop)
        ready = getattr(self.loop, "_ready", None)
        if ready is not None:
            ready.rotate(1)

    def leave_loop(self):
        """In such a child: its Task has ended, or waits."""
        task, error = self.forker, None
        if task is not None and task.done() and not task.cancelled():
            error = task.exception()
        self.leave(error or RuntimeError("a forked child has waited in the event loop of its parent"))

    def leave_thread(self, callback, *args, context=None):
        """In the place of the loop's call_soon_threadsafe: the last of a result is its exception or its Future; what has none waits."""
        error = args[-1] if args else RuntimeError("a forked child has waited for the event loop of its parent")
        if isinstance(error, Future):
            error = error.exception()
        self.leave(error if isinstance(error, BaseException) else None)

    def leave(self, error):
        """No child gets back to the server: it ends as a program does."""
        if self.forked:
            self.port.end_child(error)

    # ---- the application ----

    def start(self, application):
        """Called when it has been imported, with the loop standing still: its startup."""
        self.lifespan = None
        self.state = {}
        if self.lifespan_kind != "off":
            lifespan = self.lifespans.Lifespan(self, application)
            if self.loop.run_until_complete(lifespan.startup()):
                self.lifespan = lifespan
        return application

    def begin_held(self):
        """With the loop standing still: another attempt to load the application, where its files have changed."""
        if self.held:
            self.port.serve(False)
            self.port.refresh()
            self.port.serve(True)
        held, self.held = self.held, []
        for call, socket in held:
            self.application = self.port.find(call)
            if self.application is not None:
                self.port.begin(call, socket)

    # ---- events ----

    def look(self):
        """Before the application is there."""
        if self.port.is_to_stop():
            self.stop()

    def stop(self):
        self.stopping = True
        self.set_once(self.ended, None)
        if self.pause is not None:
            self.set_once(self.pause, None)

    def read_sockets(self):
        """Clients whose messages follow each other quickly: no other thread reads those."""
        if self.forked:
            self.leave_loop()
        try:
            self.port.read_sockets()
        finally:
            # The server does not wake a loop that has been here.
            self.port.drain()

    @staticmethod
    def set_once(future, value):
        if not future.done():
            future.set_result(value)

    def gather(self):
        """The server need not know at once of what is sent in this pass of the loop."""
        if not self.port.gathers:
            self.port.gather(True)
            self.loop.call_soon(self.port.gather, False)

    def cancel(self, key):
        request = self.requests.get(key)
        if request is not None:
            request.task.cancel()
        else:
            self.drop_held(key)

    def bear(self, request):
        """Its client has left: it may go on for a while."""
        if self.disconnect_timeout is not None:
            self.left[request.call.key] = self.loop.call_later(self.disconnect_timeout, self.give_up, request)

    def forget_left(self, key):
        """A request whose client has left has ended."""
        timer = self.left.pop(key, None)
        if timer is not None:
            timer.cancel()

    def give_up(self, request):
        """Nobody gets what a request still does, and it holds a place of others."""
        self.left.pop(request.call.key, None)
        if not request.ended and not request.is_after_work():
            request.call.give_up(self.disconnect_timeout)
            request.task.cancel()

    def drop_held(self, key):
        """A request is over before it has begun."""
        for held in self.held:
            call, _ = held
            if call.key == key:
                self.held.remove(held)
                call.finish(False)
                return

    def hold(self, call, socket):
        """The import of a second attempt runs with the loop standing still."""
        self.held.append((call, socket))
        self.set_once(self.pause, None)

    def socket(self, call, socket):
        return self.kinds.WebSocket(self, call, socket)

    # ---- Tasks ----

    def prepare(self, coroutine):
        """A Task whose first step is not given to the loop, that step, and its context."""
        loop = self.loop
        # An application may have put its own there.
        own = vars(loop).get("call_soon")
        self.coming, self.call_soon = coroutine, loop.call_soon
        loop.call_soon = self.take_step
        try:
            task = asyncio.Task(coroutine, loop=loop)
        finally:
            if own is None:
                del loop.call_soon
            else:
                loop.call_soon = own
        (step, context), self.step, self.coming, self.call_soon = self.step, None, None, None
        return task, step, context

    def take_step(self, callback, *args, context=None):
        """In the place of the loop's call_soon. What the collector of garbage finalizes meanwhile may call it, too."""
        task = getattr(callback, "__self__", None)
        if isinstance(task, asyncio.Task) and task.get_coro() is self.coming:
            self.step = callback, context
            return None
        return self.call_soon(callback, *args, context=context)

    def spawn(self, coroutine):
        """A Task as the loop makes it. One that an application has a factory for is made by that."""
        loop = self.loop
        if not EAGER or loop.get_task_factory() is not None or not loop.is_running():
            return loop.create_task(coroutine)
        return asyncio.Task(coroutine, loop=loop, eager_start=True)

    def keep(self, task):
        """Somebody has to: a loop has weak references to Tasks alone."""
        if not task.done():
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def postpone(self, task, step, context):
        """The loop takes the first step of a Task later."""
        self.loop.call_soon(step, context=context)
        self.keep(task)

    # ---- the end ----

    def finish(self):
        """What runs may end; what does not is cancelled; then the lifespan."""
        run = self.loop.run_until_complete
        if self.tasks:
            run(asyncio.wait(set(self.tasks), timeout=FINISH))
        for task in list(self.tasks):
            task.cancel()
        if self.tasks:
            run(asyncio.wait(set(self.tasks), timeout=CANCELLED))
        if self.lifespan is not None:
            run(self.lifespan.shutdown())
        others = asyncio.all_tasks(self.loop)
        for task in others:
            task.cancel()
        if others:
            run(asyncio.wait(others, timeout=CANCELLED))
        run(self.loop.shutdown_asyncgens())

    def close(self):
        for request in list(self.requests.values()):
            request.fail(asyncio.CancelledError())
        self.port.close()
        try:
            self.loop.remove_reader(self.port.fileno())
            if self.sockets is not None:
                self.loop.remove_reader(self.sockets)
            asyncio.set_event_loop(None)
            self.loop.close()
        except Exception as error:
            self.port.warn(f"the event loop could not be closed: {error!r}")


def new_loop(kind):
    if kind != "asyncio":
        try:
            import uvloop
        except ImportError:
            if kind == "uvloop":
                raise
        else:
            return uvloop.new_event_loop()
    return asyncio.SelectorEventLoop()


def run(port, modules, loop, lifespan, times, threads):
    Server(port, modules, loop, lifespan, times, threads).run()
