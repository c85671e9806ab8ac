# SPDX-License-Identifier: MIT OR Apache-2.0
"""Requests that look at the Task that they run in, keep something of it, or change it."""

import asyncio
import contextvars
import gc
import inspect
import json
import sys
import threading
import types
import weakref
from urllib.parse import parse_qsl

VAR = contextvars.ContextVar("var", default="none")
KEPT = []
BY_TASK = weakref.WeakKeyDictionary()
DONE = []


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError("no lifespan")
    task = asyncio.current_task()
    seen = {
        "name": task.get_name(),
        "kind": type(task).__name__,
        "var": VAR.get(),
        "variables": len(contextvars.copy_context()),
        "in_all": task in asyncio.all_tasks(),
        "cancelling": task.cancelling() if hasattr(task, "cancelling") else 0,
        "callbacks": len(task._callbacks or ()),
        "kept": any(kept is task for kept in KEPT) or task in BY_TASK,
    }
    words = dict(parse_qsl(scope["query_string"].decode()))
    words.pop("app", None)
    name = scope["path"][len(scope["root_path"]) :].strip("/")
    found = await globals()[f"do_{name}"](task, scope, receive, send, **words)
    seen["found"], seen["is_current"] = found, asyncio.current_task() is task
    body = json.dumps(seen).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def do_plain(task, scope, receive, send):
    return None


# ---- what is kept ----


async def do_keep(task, scope, receive, send, what):
    return KEEPERS[what](task)


def keep_context(task):
    if not hasattr(task, "get_context"):
        return "not in this Python"
    KEPT.append(task.get_context())


def keep_reset(task):
    VAR.reset(VAR.set("leaked"))


KEEPERS = {
    "task": KEPT.append,
    "coroutine": lambda task: KEPT.append(task.get_coro()),
    "weak": lambda task: KEPT.append(weakref.ref(task)),
    "weak callback": lambda task: KEPT.append(weakref.ref(task, DONE.append)),
    "weak key": lambda task: BY_TASK.update({task: "leaked"}),
    "callback": lambda task: task.add_done_callback(lambda done: DONE.append(done.get_name())),
    "no callback": lambda task: (task.add_done_callback(print), task.remove_done_callback(print)) and None,
    "variable": lambda task: KEPT.append(VAR.set("leaked")),
    "no variable": keep_reset,
    "context": keep_context,
    "name": lambda task: task.set_name("leaked"),
    "cancellation": lambda task: task.cancel("leaked") and None,
    "uncancelled": lambda task: (task.cancel("leaked"), getattr(task, "uncancel", int)()) and None,
}


async def do_forget(task, scope, receive, send):
    """What those that have been kept have come to."""
    ended = [kept.done() for kept in KEPT if isinstance(kept, asyncio.Task)]
    alive = sum(kept() is not None for kept in KEPT if isinstance(kept, weakref.ref)) + len(BY_TASK)
    found = {"ended": ended, "alive": alive, "done": [str(one) for one in DONE]}
    for every in (KEPT, BY_TASK, DONE):
        every.clear()
    return found


# ---- how it is cancelled ----


async def do_cancel(task, scope, receive, send, what):
    task.cancel("enough")
    try:
        await WAITS[what]()
    except asyncio.CancelledError as error:
        found = list(error.args)
    else:
        return "not cancelled"
    if hasattr(task, "uncancel"):
        task.uncancel()
    # It can wait again.
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    return found


async def nap():
    await asyncio.sleep(0.001)
    return "woken"


async def wait_for_thread():
    return await asyncio.get_running_loop().run_in_executor(None, lambda: "woken")


async def wait_for_some():
    return (await asyncio.gather(nap(), nap()))[1]


async def wait_in_time():
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.001)
    except asyncio.TimeoutError:
        return "woken"


async def wait_in_timeout():
    if not hasattr(asyncio, "timeout"):
        return "woken"
    try:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(10)
    except TimeoutError:
        return "woken" if not asyncio.current_task().cancelling() else "left cancelled"


async def wait_in_group():
    if not hasattr(asyncio, "TaskGroup"):
        return "woken"
    async with asyncio.TaskGroup() as group:
        child = group.create_task(nap())
    return child.result()


class Bare:
    def __await__(self):
        yield
        yield
        return "woken"


async def wait_barely():
    return await Bare()


@types.coroutine
def wait_by_generator():
    yield from asyncio.sleep(0.001).__await__()
    return "woken"


WAITS = {
    "nap": nap,
    "child": lambda: asyncio.ensure_future(nap()),
    "shield": lambda: asyncio.shield(asyncio.ensure_future(nap())),
    "thread": wait_for_thread,
    "gather": wait_for_some,
    "wait_for": wait_in_time,
    "timeout": wait_in_timeout,
    "group": wait_in_group,
    "bare": wait_barely,
    "generator": wait_by_generator,
}


async def do_wait(task, scope, receive, send, what, times="1"):
    VAR.set("mine")
    return [await WAITS[what]() for _ in range(int(times))] + [VAR.get()]


async def do_misuse(task, scope, receive, send, what):
    """What asyncio tells an application that waits for what cannot be waited for."""
    other = asyncio.new_event_loop()
    try:
        await {"itself": task, "number": Number(), "other loop": other.create_future()}[what]
    except RuntimeError as error:
        return str(error)
    finally:
        other.close()


class Number:
    def __await__(self):
        yield 42


# ---- what is seen from elsewhere ----


async def do_look(task, scope, receive, send):
    """Before its first wait, and after it."""
    found = [look(task, receive, send)]
    await asyncio.sleep(0.001)
    found.append(look(task, receive, send))
    return found


def look(task, receive, send):
    coroutine = task.get_coro()
    report = []
    task.print_stack(file=types.SimpleNamespace(write=report.append))
    names = []
    thread = threading.Thread(target=lambda: names.extend(one.get_name() for one in asyncio.all_tasks(task.get_loop())))
    thread.start()
    thread.join()
    kinds = [asyncio.iscoroutinefunction(each) for each in (receive, send)]
    if sys.version_info >= (3, 12):
        kinds += [inspect.iscoroutinefunction(each) for each in (receive, send)]
    return {
        "repr": repr(task),
        "stack": [frame.f_code.co_name for frame in task.get_stack()],
        "report": "".join(report),
        "state": inspect.getcoroutinestate(coroutine),
        "coroutine": asyncio.iscoroutine(coroutine),
        "from_thread": task.get_name() in names,
        "kinds": all(kinds),
    }


async def do_reenter(task, scope, receive, send):
    """Nobody steps a coroutine that runs."""
    coroutine, found = task.get_coro(), []
    for step in (lambda: coroutine.send(None), lambda: coroutine.throw(ValueError()), lambda: next(coroutine), coroutine.close):
        try:
            step()
        except ValueError as error:
            found.append(str(error))
    return found


# ---- what is used too late ----


async def do_leave(task, scope, receive, send):
    KEPT.append((scope, receive, send))


async def do_late(task, scope, receive, send):
    found = []
    for other, receive, send in KEPT:
        found.append(other["path"].rpartition("/")[2])
        found.append((await receive())["type"])
        for kind in ("http.response.start", "http.response.body"):
            try:
                await send({"type": kind, "status": 200, "body": b"of another"})
            except RuntimeError as error:
                found.append(str(error))
    KEPT.clear()
    return found


async def do_background(task, scope, receive, send):
    """What it does after its response."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})
    VAR.set("background")
    await nap()
    DONE.append(f"{VAR.get()} {(await receive())['type']}")
    raise asyncio.CancelledError


# ---- applications that get into the loop ----


async def do_open_generator(task, scope, receive, send):
    """It is closed by the loop when nobody has it any more."""

    async def numbers():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            DONE.append("closed")

    async for number in numbers():
        return number


async def do_collect(task, scope, receive, send):
    """From now on the collector of garbage runs all the time, and gives the loop something to call."""
    loop = asyncio.get_running_loop()
    gc.callbacks.append(lambda phase, info: KEPT.append(loop.call_soon(DONE.append, "called")))
    gc.set_threshold(1)


async def do_collected(task, scope, receive, send):
    gc.callbacks.clear()
    gc.set_threshold(700, 10, 10)
    await asyncio.sleep(0.001)
    found = len(KEPT), len(DONE)
    KEPT.clear(), DONE.clear()
    return found


async def do_own_call_soon(task, scope, receive, send):
    """It takes the place of the loop's for some requests that wait."""
    loop = asyncio.get_running_loop()
    if "call_soon" not in vars(loop):
        original = loop.call_soon
        loop.call_soon = lambda *args, **words: DONE.append("seen") or original(*args, **words)
    await asyncio.sleep(0)


async def do_drop_call_soon(task, scope, receive, send):
    was_there = vars(asyncio.get_running_loop()).pop("call_soon", None) is not None
    found = was_there and len(DONE) > 0
    DONE.clear()
    return found


async def do_break(task, scope, receive, send):
    """The next Task cannot be made, and this one does not serve again."""
    whole = asyncio.Task

    def broken(*args, **words):
        asyncio.Task = whole
        raise MemoryError("no Task")

    asyncio.Task = broken
    KEPT.append(task)


class Made(asyncio.Task):
    pass


async def do_factory(task, scope, receive, send):
    loop = asyncio.get_running_loop()
    if loop.get_task_factory() is None:
        loop.set_task_factory(lambda loop, coroutine, **words: Made(coroutine, loop=loop, **words))
    else:
        loop.set_task_factory(None)


async def do_debug(task, scope, receive, send):
    loop = asyncio.get_running_loop()
    loop.set_debug(not loop.get_debug())
    loop.slow_callback_duration = 10


async def do_profile(task, scope, receive, send):
    if sys.getprofile() is None:
        sys.setprofile(lambda *event: None)
        sys.settrace(lambda *event: None)
    else:
        sys.setprofile(None)
        sys.settrace(None)


async def do_nested(task, scope, receive, send, how):
    """Runs the loop inside of this Task until others have been there, as tools do that make it possible."""
    loop = asyncio.get_running_loop()
    # In its first step events of the server have not been taken yet that came with it.
    await nap()
    if how == "entered":
        # Those that come now begin when this one has let the loop go.
        while not loop._ready:
            loop._run_once()
        return None
    asyncio.tasks._leave_task(loop, task)
    while len(DONE) < 2:
        loop._run_once()
    asyncio.tasks._enter_task(loop, task)
    return DONE


async def do_inner(task, scope, receive, send, waits):
    if waits == "yes":
        await nap()
    DONE.append("waited" if waits == "yes" else "not waited")


# ---- how it ends ----


async def do_raise(task, scope, receive, send, what, waits):
    if waits == "yes":
        await nap()
    raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "error": LookupError("mine"), "close": GeneratorExit()}[what]


# ---- applications of other kinds ----


class Awaited:
    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return self.coroutine.__await__()


class Raising:
    def __await__(self):
        raise LookupError("in __await__")


@types.coroutine
def generated(scope, receive, send):
    return (yield from app(scope, receive, send).__await__())


def awaited(scope, receive, send):
    return Awaited(app(scope, receive, send))


def future(scope, receive, send):
    return asyncio.ensure_future(app(scope, receive, send))


def raising(scope, receive, send):
    return Raising()


def nothing(scope, receive, send):
    return None


def stopping(scope, receive, send):
    raise StopIteration("before it has begun")


class Callable:
    async def __call__(self, scope, receive, send):
        return await app(scope, receive, send)


called = Callable()


def odd(scope, receive, send):
    """The one that a request names."""
    if scope["type"] == "lifespan":
        raise NotImplementedError("no lifespan")
    name = dict(parse_qsl(scope["query_string"].decode()))["app"]
    return globals()[name](scope, receive, send)
