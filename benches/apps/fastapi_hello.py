# SPDX-License-Identifier: MIT OR Apache-2.0
"""FastAPI as it comes: a path operation with one parameter, answered as JSON."""

from fastapi import FastAPI

application = FastAPI()


@application.get("/fastapi")
async def hello(name: str = "World"):
    return {"message": f"Hello, {name}!"}
