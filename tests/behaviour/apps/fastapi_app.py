# SPDX-License-Identifier: MIT OR Apache-2.0
"""FastAPI: models, dependencies, uploads, documentation, work after a response, streams and WebSockets."""

import asyncio

from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException, UploadFile, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from gate import Gate
from pydantic import BaseModel

app = FastAPI()


class Item(BaseModel):
    name: str
    price: float


async def token(authorization: str = Header(default="")):
    return authorization


@app.get("/")
async def index():
    return {"hello": "fastapi"}


@app.get("/items/{number}")
def item(number: int, q: str = ""):
    if number == 404:
        raise HTTPException(404, "no such item")
    return {"number": number, "q": q}


@app.post("/items", status_code=201)
async def create(item: Item):
    return item


@app.post("/upload")
async def upload(file: UploadFile):
    return {"name": file.filename, "length": len(await file.read())}


@app.get("/token")
async def show(word: str = Depends(token)):
    return {"authorization": word}


DONE = []


def tidy(word):
    DONE.append(f"on a thread: {word}")


async def tidy_later(word):
    await asyncio.sleep(0.01)
    DONE.append(f"on the loop: {word}")


@app.post("/later")
async def later(word: str, tasks: BackgroundTasks):
    tasks.add_task(tidy, word)
    tasks.add_task(tidy_later, word)
    return {"done": list(DONE)}


@app.get("/done")
def done():
    return DONE


@app.get("/rows")
def rows(count: int):
    """A generator that blocks, which Starlette runs on threads."""
    return StreamingResponse((f"{number},{number * number}\n" for number in range(count)), media_type="text/csv")


@app.get("/events")
async def events(gate: str):
    """One event each time that the test says so."""

    async def lines():
        visit = Gate({"QUERY_STRING": f"gate={gate}"})
        for number in range(3):
            await asyncio.to_thread(visit.wait, f"event {number}")
            yield f"id: {number}\ndata: at once\n\n"
        visit.close()

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


room: dict[WebSocket, str] = {}


@app.websocket("/chat/{name}")
async def chat(socket: WebSocket, name: str, token: str = ""):
    if token != "secret":
        await socket.close(4401)
        return
    await socket.accept()
    room[socket] = name
    try:
        while True:
            said = await socket.receive_json()
            for other in list(room):
                await other.send_json({"from": name, "said": said["say"]})
    except WebSocketDisconnect as error:
        DONE.append(f"{name} has left with {error.code}")
    finally:
        del room[socket]
