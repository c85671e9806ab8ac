# SPDX-License-Identifier: MIT OR Apache-2.0
"""Needs what requirements.txt says."""
import fastapi

app = fastapi.FastAPI()


@app.get("/")
def hello():
    return "hello from FastAPI"
