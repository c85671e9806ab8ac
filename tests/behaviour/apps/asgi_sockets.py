# SPDX-License-Identifier: MIT OR Apache-2.0
"""WebSockets without a framework: each path is a case."""

import asyncio
import contextlib
import json
import threading
import time

from gate import Gate


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await lifespan(receive, send)
    name = scope["path"][len(scope["root_path"]) :].strip("/").partition("/")[0] or "hello"
    await globals()[f"do_{name}"](scope, receive, send)


async def lifespan(receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def gate_of(scope):
    return Gate({"QUERY_STRING": scope["query_string"].decode()})


async def accept(receive, send, **words):
    assert await receive() == {"type": "websocket.connect"}
    await send({"type": "websocket.accept", **words})


async def do_hello(scope, receive, send):
    """A plain request, also where a client asks for another protocol."""
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"plain"})


async def do_kind(scope, receive, send):
    if scope["type"] == "http":
        return await do_hello(scope, receive, send)
    await do_echo(scope, receive, send)


async def do_echo(scope, receive, send):
    await accept(receive, send)
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        kind = "text" if message.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: message[kind]})


async def do_scope(scope, receive, send):
    await accept(receive, send, subprotocol="b", headers=[(b"x-own", b"1"), (b"set-cookie", b"c=2")])
    plain = {key: scope[key] for key in ("type", "scheme", "http_version", "path", "root_path", "subprotocols")}
    plain["query"] = scope["query_string"].decode()
    plain["headers"] = [name.decode() for name, _ in scope["headers"]]
    plain["extensions"] = sorted(scope["extensions"])
    plain["spec"] = scope["asgi"]["spec_version"]
    plain["method"] = "method" in scope
    await send({"type": "websocket.send", "text": json.dumps(plain)})
    await receive()


async def do_refuse(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.close"})


async def do_deny(scope, receive, send):
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"no token")]})
    await send({"type": "websocket.http.response.body", "body": b"not ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"you"})


async def do_nothing(scope, receive, send):
    pass


async def do_raise(scope, receive, send):
    await accept(receive, send)
    raise ValueError("after it was accepted")


async def do_return(scope, receive, send):
    await accept(receive, send)
    await send({"type": "websocket.send", "text": "last words"})


async def do_close(scope, receive, send):
    gate = gate_of(scope)
    await accept(receive, send)
    await send({"type": "websocket.close", "code": 4003, "reason": "enough"})
    message = await receive()
    gate.tell(f"{message['type']} {message['code']} {message['reason']}")
    gate.close()


async def do_listen(scope, receive, send):
    """Tells what comes, and what happens to what is sent after the end."""
    gate = gate_of(scope)
    await accept(receive, send)
    gate.tell("listening")
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            break
    gate.tell(f"{message['code']} {message['reason']}")
    again = await receive()
    gate.tell(f"again {again['code']}")
    try:
        await send({"type": "websocket.send", "text": "late"})
    except (OSError, RuntimeError) as error:
        gate.tell(type(error).__name__)
    await send({"type": "websocket.close"})
    gate.close()


async def do_linger(scope, receive, send):
    """Goes on when the WebSocket has ended: by its client, or by itself."""
    gate = gate_of(scope)
    await accept(receive, send)
    if b"closes=1" in scope["query_string"]:
        await send({"type": "websocket.close"})
    while (await receive())["type"] != "websocket.disconnect":
        pass
    try:
        gate.tell("lingering")
        await asyncio.sleep(1.5)
        gate.tell("done")
    except asyncio.CancelledError:
        gate.tell("cancelled")
        raise
    finally:
        gate.close()


async def do_talk(scope, receive, send):
    """Sends until nobody is there."""
    gate = gate_of(scope)
    await accept(receive, send)
    gate.tell("talking")
    try:
        while True:
            await send({"type": "websocket.send", "bytes": bytes(65536)})
    except OSError:
        gate.tell("OSError")
        raise
    finally:
        gate.close()


async def do_block(scope, receive, send):
    """Holds the loop."""
    gate = gate_of(scope)
    await accept(receive, send)
    await receive()
    gate.wait("blocking")
    gate.close()
    await send({"type": "websocket.send", "text": "let on"})
    await receive()


async def do_converse(scope, receive, send):
    """Echoes, holds the loop when it is told to, or takes nothing more until it is let on."""
    gate = gate_of(scope)
    await accept(receive, send)
    while (message := await receive())["type"] != "websocket.disconnect":
        if message.get("text") == "hold":
            gate.wait("holding")
        elif message.get("text") == "rest":
            await asyncio.to_thread(gate.wait, "resting")
        kind = "text" if message.get("text") is not None else "bytes"
        # Its client may have left meanwhile.
        with contextlib.suppress(OSError):
            await send({"type": "websocket.send", kind: message[kind]})
    gate.tell(f"{message['code']}")
    gate.close()


async def do_slow(scope, receive, send):
    """Takes nothing until it is let on, and then everything."""
    gate = gate_of(scope)
    await accept(receive, send)
    await asyncio.to_thread(gate.wait, "waiting")
    count = 0
    while (message := await receive())["type"] != "websocket.disconnect":
        count += len(message["bytes"])
        if message["bytes"].endswith(b"last"):
            await send({"type": "websocket.send", "text": str(count)})
    gate.close()


async def do_wrong(scope, receive, send):
    """What send refuses."""
    found = []

    async def attempt(message):
        try:
            await send(message)
            found.append("taken")
        except Exception as error:
            found.append(type(error).__name__)

    await attempt({"type": "websocket.send", "text": "early"})
    await attempt({"type": "http.response.start", "status": 200, "headers": []})
    await attempt({"type": "websocket.accept", "subprotocol": "unheard"})
    await attempt({"type": "websocket.accept", "headers": [(b"sec-websocket-accept", b"x")]})
    await attempt({"type": "websocket.accept", "headers": [(b"a", b"b\r\nc: d")]})
    await send({"type": "websocket.accept"})
    await attempt({"type": "websocket.accept"})
    await attempt({"type": "websocket.send"})
    await attempt({"type": "websocket.close", "code": 1006})
    await send({"type": "websocket.send", "text": ",".join(found)})
    await receive()
    await receive()


async def do_late(scope, receive, send):
    """Accepts when it is let on."""
    gate = gate_of(scope)
    await receive()
    await asyncio.to_thread(gate.wait, "asked")
    await send({"type": "websocket.accept"})
    gate.tell((await receive())["type"])
    gate.close()


async def do_busy(scope, receive, send):
    """Holds the interpreter for a while."""
    await accept(receive, send)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        pass
    await send({"type": "websocket.send", "text": "done"})
    await receive()


room = set()


async def do_room(scope, receive, send):
    """What one says all hear."""
    await accept(receive, send)
    room.add(send)
    try:
        while (message := await receive())["type"] != "websocket.disconnect":
            await asyncio.gather(*(one({"type": "websocket.send", "text": message["text"]}) for one in room))
    finally:
        room.discard(send)


async def do_tasks(scope, receive, send):
    """How many tasks the loop has, of which one is this."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(len(asyncio.all_tasks())).encode()})


async def do_fail(scope, receive, send):
    """Raises where the query says."""
    place = scope["query_string"].decode()
    if place == "before":
        raise ValueError(place)
    assert (await receive())["type"] == "websocket.connect"
    if place == "connected":
        raise ValueError(place)
    await send({"type": "websocket.accept"})
    if place == "cancelled":
        raise asyncio.CancelledError
    if place == "exit":
        raise SystemExit
    await send({"type": "websocket.close"})
    raise ValueError(place)


async def do_hold(scope, receive, send):
    """Sends as many bytes as it is told to, and holds the loop then."""
    gate = gate_of(scope)
    await accept(receive, send)
    size = int((await receive())["text"])
    # The server has nothing to look at any more.
    await asyncio.sleep(1.5)
    await send({"type": "websocket.send", "bytes": bytes(size)})
    gate.wait("holding")
    gate.close()
    await receive()


async def do_tick(scope, receive, send):
    """Sends as many messages as it is told to, each some time after the one before."""
    await accept(receive, send)
    for number in range(int((await receive())["text"])):
        await send({"type": "websocket.send", "text": str(number)})
        await asyncio.sleep(0.003)
    await receive()


async def do_elsewhere(scope, receive, send):
    """Another thread has send() work, also while this one ends."""
    await accept(receive, send)
    message = {"type": "websocket.send", "text": "".join(map(chr, range(0x20, 0x7F))) * 2000}

    def talk():
        step = None
        while step is None:
            try:
                # What it waits for is of the loop.
                step = send(message).send(None)
            except StopIteration:
                continue
            except (OSError, RuntimeError):
                break

    threading.Thread(target=talk).start()
    await receive()
