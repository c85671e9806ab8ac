# SPDX-License-Identifier: MIT OR Apache-2.0
"""Starlette: lifespan, streams, background tasks, threads."""

import contextlib
import os
import sys
import threading

import anyio
import sniffio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocketDisconnect

DONE = []


@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"word": "from the lifespan"}


async def index(request):
    return PlainTextResponse("hello from starlette")


async def state(request):
    return JSONResponse({"word": request.state.word, "library": sniffio.current_async_library()})


async def url(request):
    return JSONResponse(
        {"path": request.url.path, "for": str(request.url_for("item", name="x")), "client": request.client.host}
    )


async def item(request):
    return JSONResponse({"name": request.path_params["name"], "query": dict(request.query_params)})


async def upload(request):
    async with request.form() as form:
        content = await form["file"].read()
        return JSONResponse({"name": form["file"].filename, "length": len(content), "text": form["text"]})


async def stream(request):
    async def parts():
        for number in range(100):
            yield b"%d\n" % number
            await anyio.sleep(0)

    return StreamingResponse(parts(), media_type="text/plain")


def blocking(request):
    return PlainTextResponse(f"on the loop: {threading.current_thread() is LOOP_THREAD}")


async def groups(request):
    found = []

    async def one(number):
        await anyio.sleep(0)
        found.append(number)

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(one, number)
    with anyio.move_on_after(0.01) as scope:
        await anyio.sleep(60)
    thread = await run_in_threadpool(threading.get_ident)
    return JSONResponse([sorted(found), scope.cancelled_caught, thread != threading.get_ident()])


async def later(request):
    return PlainTextResponse("whole", background=BackgroundTask(DONE.append, request.query_params["word"]))


async def done(request):
    return JSONResponse(DONE)


async def talk(websocket):
    await websocket.accept(subprotocol="chat" if "chat" in websocket.scope["subprotocols"] else None)
    await websocket.send_json({"word": websocket.state.word, "query": dict(websocket.query_params)})
    try:
        async for text in websocket.iter_text():
            if text == "leave":
                await websocket.close(4000, "as you like")
                return
            await websocket.send_text(text.upper())
    except WebSocketDisconnect:
        pass
    DONE.append("talked")


async def denied(websocket):
    await websocket.send_denial_response(PlainTextResponse("no", status_code=402))


def forked(request):
    """In a thread: a child leaves the view, by the status that it is asked for or by returning. Who started it says its number."""
    pid = os.fork()
    if pid == 0 and "status" in request.query_params:
        sys.exit(int(request.query_params["status"]))
    return PlainTextResponse(str(pid))


async def forked_in_group(request):
    """On the loop, and behind this middleware in a Task of its own."""
    return forked(request)


def reap(request):
    """How a child has ended."""
    ended, status = os.waitpid(int(request.query_params["pid"]), os.WNOHANG)
    return PlainTextResponse(str(os.waitstatus_to_exitcode(status)) if ended else "")


async def passed_on(request, call_next):
    return await call_next(request)


MIDDLEWARE = [Middleware(BaseHTTPMiddleware, dispatch=passed_on)]
LOOP_THREAD = threading.current_thread()
app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", index),
        Route("/state", state),
        Route("/url", url),
        Route("/item/{name}", item, name="item"),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/blocking", blocking),
        Route("/groups", groups),
        Route("/later", later),
        Route("/done", done),
        WebSocketRoute("/talk", talk),
        WebSocketRoute("/denied", denied),
        Mount("/inner", routes=[Route("/page", index)]),
        Route("/forked", forked),
        Mount("/wrapped", routes=[Route("/forked", forked), Route("/group", forked_in_group)], middleware=MIDDLEWARE),
        Route("/reap", reap),
    ],
)
