# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Quart application."""

from quart import Quart, request, websocket

app = Quart(__name__)
STARTED = []


@app.before_serving
async def begin():
    STARTED.append("begun")


@app.get("/")
async def index():
    return {"started": STARTED, "path": request.path, "root": request.root_path}


@app.post("/form")
async def form():
    fields, files = await request.form, await request.files
    return {"text": fields["text"], "length": len(files["file"].read())}


@app.get("/stream")
async def stream():
    async def lines():
        for number in range(20):
            yield f"{number}\n"

    return lines(), 200, {"Content-Type": "text/plain"}


@app.websocket("/talk")
async def talk():
    await websocket.send_json({"path": websocket.path, "word": websocket.args["word"]})
    while True:
        message = await websocket.receive()
        if message == "leave":
            await websocket.close(4000, "as you like")
            return
        await websocket.send(message.upper())
