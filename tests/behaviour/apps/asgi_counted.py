# SPDX-License-Identifier: MIT OR Apache-2.0
"""Notes each request in a journal before it answers; beside them streams of events and WebSockets."""

import asyncio
import os


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    if scope["type"] == "websocket":
        return await echo(receive, send)
    path = scope["path"].rpartition("/")[2]
    if path == "events":
        return await events(send)
    name = dict(scope["headers"]).get(b"x-id", b"none")
    note(name)
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "stream":
        await send({"type": "http.response.body", "body": name, "more_body": True})
        for _ in range(50):
            await send({"type": "http.response.body", "body": b"." * 1000, "more_body": True})
        return await send({"type": "http.response.body", "body": b""})
    await send({"type": "http.response.body", "body": body if path in ("echo", "post") else name})


def note(name):
    file = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, name + b"\n")
    finally:
        os.close(file)


async def events(send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    for number in range(20):
        await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
        await asyncio.sleep(0.005)
    await send({"type": "http.response.body", "body": b""})


async def echo(receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message["text"]})
