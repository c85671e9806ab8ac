# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ASGI application that every peer serves: one path per scenario, no framework."""

import asyncio
import json

HELLO = b"Hello, World!\n"
BODY = b"0123456789abcdef" * (64 * 1024 // 16)
CHUNK = b"x" * 1024
PLAIN = (b"content-type", b"text/plain")
JSON = (b"content-type", b"application/json")


async def answer(send, body, kind=PLAIN):
    await send({"type": "http.response.start", "status": 200, "headers": [kind, (b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def hello(receive, send):
    await answer(send, HELLO)


async def json_hello(receive, send):
    await answer(send, json.dumps({"message": "Hello, World!"}).encode(), JSON)


async def body(receive, send):
    await answer(send, BODY)


async def echo(receive, send):
    parts = []
    while True:
        message = await receive()
        parts.append(message["body"])
        if not message["more_body"]:
            break
    await answer(send, b"".join(parts))


async def wait(receive, send):
    await asyncio.sleep(0.010)
    await answer(send, HELLO)


async def stream(receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [PLAIN]})
    for _ in range(100):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def lifespan(receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def sockets(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


PATHS = {"/json": json_hello, "/body": body, "/echo": echo, "/io": wait, "/io1000": wait, "/stream": stream}


async def application(scope, receive, send):
    kind = scope["type"]
    if kind == "http":
        await PATHS.get(scope["path"], hello)(receive, send)
    elif kind == "websocket":
        await sockets(receive, send)
    else:
        await lifespan(receive, send)
