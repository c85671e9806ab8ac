# SPDX-License-Identifier: MIT OR Apache-2.0
"""Django, Litestar and Quart from PyPI, in one virtual environment."""

import json

import pytest

from harness import venvs
from harness.forms import multipart
from harness.websocket import CLOSE, WebSocket, close_payload

WARM = ("/django/", "/litestar/", "/quart/")
NUMBERS = [str(number) for number in range(20)]


def configure(site, kind):
    venv = venvs.more_asgi_venv()
    for name, target in (("django", "django_async:app"), ("litestar", "litestar_app:app"), ("quart", "quart_app:app")):
        site.asgi(f"/{name}", target, venv=venv)


def test_django(server):
    found = json.loads(server.get("/django/", [("X-One", "a")]).body)
    assert (found["path"], found["one"]) == ("/django/", "a")
    assert server.get("/django/blocking").text == "on the loop: False"
    body, headers = multipart(bytes(100_000), text="über")
    found = json.loads(server.post("/django/upload", body, headers).body)
    assert found == {"name": "up.bin", "length": 100_000, "text": "über"}


def test_litestar(server):
    found = json.loads(server.get("/litestar/", [("X-One", "a")]).body)
    assert found == {"path": "/litestar/", "one": ["a"]}
    response = server.post("/litestar/items", b'{"name": "tea", "price": 2.5}', [("Content-Type", "application/json")])
    assert (response.status, json.loads(response.body)) == (201, {"name": "tea", "price": 2.5})
    assert server.get("/litestar/blocking").text == "on the loop: False"


def test_quart(server):
    assert json.loads(server.get("/quart/").body) == {"started": ["begun"], "path": "/", "root": "/quart"}
    body, headers = multipart(bytes(100_000), text="über")
    assert json.loads(server.post("/quart/form", body, headers).body) == {"text": "über", "length": 100_000}


@pytest.mark.parametrize("name", ["django", "litestar", "quart"])
def test_streams(server, name):
    assert server.get(f"/{name}/stream").text.split() == NUMBERS


@pytest.mark.parametrize("name", ["litestar", "quart"])
def test_websockets(server, name):
    client = WebSocket(server.connect(), f"/{name}/talk?word=hello")
    assert json.loads(client.receive()[1])["word"] == "hello"
    for word in ("one", "x" * 100_000):
        client.text(word)
        client.expect_text(word.upper())
    client.close()
    client = WebSocket(server.connect(), f"/{name}/talk?word=again")
    client.receive()
    client.text("leave")
    assert client.receive() == (CLOSE, close_payload(4000, "as you like"))
