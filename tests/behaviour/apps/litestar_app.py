# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Litestar application."""

import threading
from dataclasses import dataclass

from litestar import Litestar, Request, get, post
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


app = Litestar([index, make, blocking, stream], openapi_config=None)
