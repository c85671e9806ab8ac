# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Litestar application."""

import threading
from dataclasses import dataclass

from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.response import Stream


@dataclass
class Item:
    name: str
    price: float


@get("/", sync_to_thread=False)
def index(request: Request) -> dict[str, object]:
    return {"path": request.url.path, "one": request.headers.getall("x-one", [])}


@post("/items")
async def make(data: Item) -> Item:
    return data


@get("/blocking", sync_to_thread=True)
def blocking() -> str:
    return f"on the loop: {threading.current_thread().name == 'gw-loop'}"


@get("/stream", sync_to_thread=False)
def stream() -> Stream:
    async def lines():
        for number in range(20):
            yield f"{number}\n"

    return Stream(lines(), media_type="text/plain")


@websocket("/talk")
async def talk(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json({"path": socket.url.path, "word": socket.query_params["word"]})
    async for message in socket.iter_data():
        if message == "leave":
            await socket.close(4000, "as you like")
            return
        await socket.send_text(message.upper())


app = Litestar([index, make, blocking, stream, talk], openapi_config=None)
