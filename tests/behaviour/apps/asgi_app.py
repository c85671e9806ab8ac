# SPDX-License-Identifier: MIT OR Apache-2.0
"""An ASGI application without a framework: each path is a case."""

import asyncio
import contextvars
import json
import os
import sys
import tempfile
import threading
import time

from gate import Gate

IMPORTED_ON = threading.get_ident()
try:
    LOOP_AT_IMPORT = asyncio.get_event_loop_policy().get_event_loop()
except RuntimeError:
    LOOP_AT_IMPORT = None
NOTES = []
CURRENT = contextvars.ContextVar("current")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(scope, receive, send)
    name = scope["path"][len(scope["root_path"]) :].strip("/").partition("/")[0] or "hello"
    await globals()[f"do_{name}"](scope, receive, send)


async def lifespan(scope, receive, send):
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["started_on"] = threading.get_ident()
    scope["state"]["shared"] = []
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    path = os.environ.get("SHUTDOWN_NOTE")
    if path:
        with open(path, "a") as file:
            file.write("shut down\n")
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send, body, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def do_sending(scope, receive, send):
    """Each message by a coroutine that is treated in another way."""
    start = {"type": "http.response.start", "status": 200, "headers": []}
    seen = {"is_function": asyncio.iscoroutinefunction(send)}
    closed, thrown = send(start), send(start)
    seen["is_coroutine"] = asyncio.iscoroutine(closed)
    closed.close()
    try:
        await closed
    except RuntimeError as error:
        seen["closed"] = str(error)
    try:
        thrown.throw(ValueError("thrown"))
    except ValueError as error:
        seen["thrown"] = str(error)
    cancelled = asyncio.get_running_loop().create_task(send(start))
    cancelled.cancel()
    seen["cancelled"] = isinstance((await asyncio.gather(cancelled, return_exceptions=True))[0], asyncio.CancelledError)
    await asyncio.create_task(send(start))
    seen["context"] = CURRENT.get(None)
    body = {"type": "http.response.body", "body": json.dumps(seen).encode(), "more_body": True}
    await asyncio.wait_for(send(body), 60)
    last = send({"type": "http.response.body"})
    try:
        last.send(None)
    except StopIteration as stop:
        assert stop.value is None


async def answer_json(send, value):
    await answer(send, json.dumps(value).encode(), headers=[(b"content-type", b"application/json")])


async def body_of(receive):
    parts = []
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        parts.append(message["body"])
        if not message["more_body"]:
            return parts


async def do_hello(scope, receive, send):
    await answer(send, b"hello", headers=[(b"content-type", b"text/plain")])


async def do_scope(scope, receive, send):
    def plain(value):
        if isinstance(value, bytes):
            return {"bytes": value.decode("latin-1")}
        if isinstance(value, (list, tuple)):
            return [plain(one) for one in value]
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items() if key != "state"}
        return value

    await answer_json(send, plain(scope))


async def do_life(scope, receive, send):
    state = scope["state"]
    state["shared"].append(1)
    state["own"] = state.get("own", 0) + 1
    loop = asyncio.get_running_loop()
    await answer_json(
        send,
        {
            "import": IMPORTED_ON == threading.get_ident(),
            "startup": state["started_on"] == threading.get_ident(),
            "loop": LOOP_AT_IMPORT is loop,
            "task": asyncio.current_task() is not None,
            "own": state["own"],
            "shared": len(state["shared"]),
            "kind": type(loop).__module__,
            "python": list(sys.version_info[:2]),
        },
    )


async def do_echo(scope, receive, send):
    parts = await body_of(receive)
    await answer_json(send, {"parts": len(parts), "body": b"".join(parts).decode("latin-1")})


async def do_length(scope, receive, send):
    parts = await body_of(receive)
    await answer_json(send, {"length": sum(map(len, parts)), "largest": max(map(len, parts))})


async def do_duplex(scope, receive, send):
    """Answers each part of the body as it comes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        await send({"type": "http.response.body", "body": message["body"].upper(), "more_body": more})


async def do_large(scope, receive, send):
    block = bytes(range(256)) * 256
    count = int(scope["query_string"] or 64)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(count):
        await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body"})


async def do_stream(scope, receive, send):
    """Parts that are let out one by one."""
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for number in range(3):
        await asyncio.to_thread(gate.wait, f"part {number}")
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
    gate.close()


async def do_silent(scope, receive, send):
    """A stream that has begun and says nothing more."""
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await receive()
    gate.tell("silent")
    gate.tell((await receive())["type"])
    gate.close()


async def do_listen(scope, receive, send):
    """Says when its client has left."""
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    await body_of(receive)
    gate.tell("listening")
    gate.tell((await receive())["type"])
    gate.tell((await receive())["type"])
    try:
        await send({"type": "http.response.body", "body": b"late", "more_body": True})
    except OSError:
        gate.tell("OSError")
    gate.close()


async def do_writer(scope, receive, send):
    """Writes until its client has left."""
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    sent = 0
    try:
        while True:
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            sent += 65536
            if sent == 65536:
                gate.tell("writing")
    except OSError:
        gate.tell("OSError")
    gate.close()


async def do_endless(scope, receive, send):
    """Events without an end, until nobody takes them."""
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    event = {"type": "http.response.body", "body": b"data: tick\n\n", "more_body": True}
    await send(event)
    gate.tell("streaming")
    try:
        while True:
            await asyncio.sleep(0.05)
            await send(event)
    except OSError:
        gate.tell("OSError")
    gate.close()


async def do_deaf(scope, receive, send):
    """Does not end when its client has left, whether it has been told or has not asked."""
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    gate.tell("begun")
    try:
        if b"asks=1" in scope["query_string"]:
            await body_of(receive)
            gate.tell((await receive())["type"])
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        gate.tell("cancelled")
        raise
    finally:
        gate.close()


async def do_untidy(scope, receive, send):
    """A stream that has much to do when it is cancelled, and nobody should cancel that."""
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    gate.tell("begun")
    try:
        await asyncio.sleep(3600)
    finally:
        try:
            gate.tell("cancelled")
            # Longer than the end of a worker waits, and not as long as it takes.
            await asyncio.sleep(3.4)
            gate.tell("tidied")
        except asyncio.CancelledError:
            gate.tell("cancelled again")
            raise
        finally:
            gate.close()


async def do_farewell(scope, receive, send):
    """Has something to do when its client has left, and does it."""
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    gate.tell("begun")
    await body_of(receive)
    await receive()
    await asyncio.to_thread(gate.wait, "finishing")
    gate.tell("finished")
    gate.close()


async def do_tidy(scope, receive, send):
    """Works on after its response, for as long as the query says."""
    words = dict(pair.split("=", 1) for pair in scope["query_string"].decode().split("&"))
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    await answer(send, b"whole")
    gate.tell("tidying")
    try:
        await asyncio.sleep(float(words["seconds"]))
        gate.tell("tidied")
    except asyncio.CancelledError:
        gate.tell("cancelled")
        raise
    finally:
        gate.close()


async def do_after(scope, receive, send):
    """Goes on after its response."""
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    await answer(send, b"whole")
    await asyncio.to_thread(gate.wait, "after")
    gate.tell((await receive())["type"])
    gate.close()


async def do_raise(scope, receive, send):
    raise ValueError("before the head")


async def do_raise_late(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    raise ValueError("after the head")


async def do_raise_after(scope, receive, send):
    await answer(send, b"whole")
    raise ValueError("after the end")


async def do_hint(scope, receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload", b"</b.js>; rel=preload"]})
    await answer(send, b"hinted")


async def do_trailers(scope, receive, send):
    """Announces them in any case, as a server that has no place for them drops them."""
    has_them = "http.response.trailers" in scope["extensions"]
    await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
    await send({"type": "http.response.body", "body": b"told" if has_them else b"dropped"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")], "more_trailers": True})
    await send({"type": "http.response.trailers", "headers": [(b"x-more", b"2")]})


async def do_path(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.pathsend", "path": __file__})


async def do_pipe(scope, receive, send):
    """The path of a pipe that nobody writes into."""
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "pipe")
    os.mkfifo(path)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        await send({"type": "http.response.pathsend", "path": path})
    except ValueError:
        await send({"type": "http.response.body", "body": b"refused"})
    finally:
        os.unlink(path)
        os.rmdir(folder)


async def do_file(scope, receive, send):
    """Two parts of a file: a piece by its place, and the rest from where the file stands."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    with open(__file__, "rb") as file:
        file.seek(20)
        await send({"type": "http.response.zerocopysend", "file": file, "offset": 2, "count": 3, "more_body": True})
        await send({"type": "http.response.zerocopysend", "file": file, "count": 10, "more_body": True})
        assert file.tell() == 30
        await send({"type": "http.response.zerocopysend", "file": file})


async def do_nothing(scope, receive, send):
    pass


async def do_half(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"half", "more_body": True})


async def do_exit(scope, receive, send):
    raise SystemExit(3)


async def do_wrong(scope, receive, send):
    """What send refuses, in the order of the query."""
    messages = {
        "twice": {"type": "http.response.start", "status": 200, "headers": []},
        "kind": {"type": "http.response.unknown"},
        "status": {"type": "http.response.start", "status": 99, "headers": []},
        "text": {"type": "http.response.start", "status": 200, "headers": [("a", "b")]},
        "line": {"type": "http.response.start", "status": 200, "headers": [(b"a", b"b\r\nc: d")]},
        "hint": {"type": "http.response.early_hint", "links": [b"</a>"]},
        "path": {"type": "http.response.pathsend", "path": "/nowhere"},
        "trailers": {"type": "http.response.trailers", "headers": []},
        "body": {"type": "http.response.body", "body": b"x"},
        "block": {"type": "http.response.body", "body": "text"},
    }
    found = []
    for word in scope["query_string"].decode().split(","):
        if word == "start":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            continue
        try:
            await send(messages[word])
            found.append("taken")
        except Exception as error:
            found.append(type(error).__name__)
    body = ",".join(found).encode()
    if "start" in scope["query_string"].decode():
        await send({"type": "http.response.body", "body": body})
    else:
        await answer(send, body)


async def do_sleep(scope, receive, send):
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    gate.tell("asleep")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        gate.tell("cancelled")
        raise
    finally:
        gate.close()


async def do_stubborn(scope, receive, send):
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    gate.tell("asleep")
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.to_thread(gate.wait, "cancelled")
    gate.close()


async def do_block(scope, receive, send):
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    gate.wait("blocking")
    gate.close()
    await answer(send, b"late")


async def do_compute(scope, receive, send):
    """Holds the loop and the interpreter until the file of the query is there."""
    end, path = time.monotonic() + 90, scope["query_string"].decode()
    while time.monotonic() < end and not os.path.exists(path):
        sum(range(200_000))
    await answer(send, b"computed")


async def do_gate(scope, receive, send):
    gate = Gate({"QUERY_STRING": scope["query_string"].decode()})
    await asyncio.to_thread(gate.wait, "waiting")
    gate.close()
    await answer(send, b"let on")


async def do_tools(scope, receive, send):
    """What a real Task, and nothing else, makes work."""
    found = []
    try:
        await asyncio.wait_for(asyncio.sleep(60), 0.01)
    except asyncio.TimeoutError:
        found.append("timeout")
    CURRENT.set("mine")
    await asyncio.sleep(0)
    found.append(CURRENT.get())
    found.append(await asyncio.to_thread(CURRENT.get))
    others = await asyncio.gather(*(asyncio.create_task(asyncio.sleep(0, n)) for n in range(3)))
    found.append(others)
    task = asyncio.create_task(receive())
    found.append((await task)["type"])
    await answer_json(send, found)
