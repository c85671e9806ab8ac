# SPDX-License-Identifier: MIT OR Apache-2.0
"""python-socketio: events, answers to events, and rooms."""

import socketio

# Which of its transports came is for the tests to see.
server = socketio.AsyncServer(async_mode="asgi", cors_allowed_origins="*", ping_interval=2)
left = []


async def other(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": ",".join(left).encode()})


app = socketio.ASGIApp(server, other, socketio_path="/io/socket.io")


@server.event
async def connect(sid, environ, auth):
    if auth == "nobody":
        raise socketio.exceptions.ConnectionRefusedError("not you")
    await server.enter_room(sid, "all")


@server.event
async def add(sid, numbers):
    return sum(numbers)


@server.event
async def say(sid, words):
    await server.emit("said", words, room="all")


@server.event
async def double(sid, data):
    await server.emit("doubled", data * 2, to=sid)


@server.event
async def transport(sid):
    return server.transport(sid)


@server.event
async def disconnect(sid, reason=None):
    left.append("left")
