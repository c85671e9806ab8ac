# SPDX-License-Identifier: MIT OR Apache-2.0
"""Server-sent events: who listens hears what is posted."""

import asyncio

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

listeners = set()


async def events(request):
    queue = asyncio.Queue()

    async def parts():
        listeners.add(queue)
        try:
            yield ": welcome\n\n"
            while True:
                yield f"data: {await queue.get()}\n\n"
        finally:
            listeners.discard(queue)

    return StreamingResponse(parts(), media_type="text/event-stream")


async def post(request):
    words = (await request.body()).decode()
    for queue in listeners:
        queue.put_nowait(words)
    return PlainTextResponse(str(len(listeners)))


async def count(request):
    return PlainTextResponse(str(len(listeners)))


app = Starlette(routes=[Route("/events", events), Route("/post", post, methods=["POST"]), Route("/count", count)])
