# SPDX-License-Identifier: MIT OR Apache-2.0
"""FastAPI: models, dependencies, uploads, documentation."""

from fastapi import Depends, FastAPI, Header, HTTPException, UploadFile
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
