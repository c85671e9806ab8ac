# SPDX-License-Identifier: MIT OR Apache-2.0
"""A small FastAPI application: JSON, a form with a file, a stream of events, work after the response, and a lifespan."""

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from typing import Annotated

from fastapi import BackgroundTasks, FastAPI, File, Form, Request, UploadFile
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>FastAPI inside the server</title>
<style>body { font: 16px/1.5 sans-serif; margin: 2em auto; max-width: 48em }</style>
<h1>FastAPI inside the server</h1>
<p>Process %d, thread %s. <a href="docs">API</a> | <a href="facts">facts</a> | <a href="notes">notes</a></p>
<form action="upload" method="post" enctype="multipart/form-data">
<input name="title" value="a file"> <input type="file" name="file"> <button>Send</button></form>
<ol id="events"></ol>
<script>
const source = new EventSource("events");
source.onmessage = event => {
  document.querySelector("#events").insertAdjacentHTML("beforeend", "<li>" + event.data);
  if (event.data.startsWith("5 ")) source.close();
};
</script></html>
"""


class Note(BaseModel):
    text: str
    done: bool = False


@contextlib.asynccontextmanager
async def lifespan(app):
    # Once in each worker process, on the thread of its event loop: a pool of database connections is opened here, and closed below.
    yield {"notes": [], "since": time.time()}


app = FastAPI(title="Gangway", lifespan=lifespan)


@app.get("/", response_class=HTMLResponse)
async def index():
    return PAGE % (os.getpid(), threading.current_thread().name)


@app.get("/facts")
def facts(request: Request):
    """`def`: it runs on a thread beside the loop, which may wait."""
    return {
        "client": request.client,
        "server": request.scope["server"],
        "http": request.scope["http_version"],
        "extensions": sorted(request.scope["extensions"]),
        "process": os.getpid(),
        "thread": threading.current_thread().name,
        "up": round(time.time() - request.state.since, 1),
    }


@app.get("/notes")
async def notes(request: Request) -> list[Note]:
    return request.state.notes


@app.post("/notes", status_code=201)
async def add(note: Note, request: Request, tasks: BackgroundTasks) -> Note:
    request.state.notes.append(note)
    tasks.add_task(print, "a note was added:", note.text)
    return note


@app.post("/upload")
async def upload(title: Annotated[str, Form()], file: Annotated[UploadFile, File()]):
    digest, size = hashlib.sha256(), 0
    while block := await file.read(65536):
        digest.update(block)
        size += len(block)
    return {"title": title, "name": file.filename, "size": size, "sha256": digest.hexdigest()}


@app.get("/events")
async def events():
    """One event every half a second, each sent at once. A stream that may be silent for longer needs timeout=off."""

    async def lines():
        for number in range(1, 6):
            yield f"data: {number} at {time.strftime('%H:%M:%S')}\n\n"
            await asyncio.sleep(0.5)

    return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
