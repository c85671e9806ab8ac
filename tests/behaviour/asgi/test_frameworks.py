# SPDX-License-Identifier: MIT OR Apache-2.0
"""Starlette and FastAPI from PyPI, in one virtual environment."""

import json

import pytest

from harness import venvs
from harness.deadline import wait_until
from harness.forms import multipart
from harness.websocket import CLOSE, WebSocket, close_payload, handshake

JSON = [("Content-Type", "application/json")]


WARM = ("/starlette/", "/starlette/blocking", "/fastapi/", "/fastapi/items/1")


def configure(site, kind):
    venv = venvs.asgi_venv()
    site.asgi("/starlette", "starlette_app:app", venv=venv)
    site.asgi("/fastapi", "fastapi_app:app", venv=venv, pass_authorization="on")


def test_starlette(server):
    assert server.get("/starlette/").text == "hello from starlette"
    assert server.get("/starlette/inner/page").text == "hello from starlette"
    assert json.loads(server.get("/starlette/state").body) == {"word": "from the lifespan", "library": "asyncio"}


def test_starlette_urls(server):
    found = json.loads(server.get("/starlette/url").body)
    assert found == {"path": "/starlette/url", "for": "http://localhost/starlette/item/x", "client": "127.0.0.1"}
    found = json.loads(server.get("/starlette/item/caf%C3%A9?a=%C3%A9").body)
    assert found == {"name": "café", "query": {"a": "é"}}


@pytest.mark.parametrize("size", [10, 600_000])
def test_starlette_upload(server, size):
    content = bytes(range(256)) * (size // 256 + 1)
    body, headers = multipart(content, text="über")
    found = json.loads(server.post("/starlette/upload", body, headers).body)
    assert found == {"name": "up.bin", "length": len(content), "text": "über"}


def test_starlette_stream(server):
    assert server.get("/starlette/stream").text.split() == [str(number) for number in range(100)]


def test_starlette_threads_and_groups(server):
    assert server.get("/starlette/blocking").text == "on the loop: False"
    assert json.loads(server.get("/starlette/groups").body) == [[0, 1, 2], True, True]


@pytest.mark.parametrize("path", ["forked?", "forked?status=5", "wrapped/forked?", "wrapped/forked?status=5", "wrapped/group?status=5"])
def test_starlette_forked(server, path):
    """Children of views in threads, and of views in Tasks of a middleware."""
    server.log.allow("DeprecationWarning|os.fork|pid = ")
    pid = server.get(f"/starlette/{path}").text
    statuses = []

    def has_ended():
        statuses.append(server.get(f"/starlette/reap?pid={pid}").text)
        return statuses[-1]

    wait_until(has_ended, "the child has ended", 20)
    assert statuses[-1] == ("5" if "status" in path else "0")


def test_starlette_background(server):
    assert server.get("/starlette/later?word=tidied").text == "whole"
    wait_until(lambda: "tidied" in json.loads(server.get("/starlette/done").body), "the task has run")


def test_starlette_websocket(server):
    client = WebSocket(server.connect(), "/starlette/talk?a=b", protocols="chat")
    assert client.response.header("Sec-WebSocket-Protocol") == "chat"
    assert json.loads(client.receive()[1]) == {"word": "from the lifespan", "query": {"a": "b"}}
    client.text("hello")
    client.expect_text("HELLO")
    client.close()
    wait_until(lambda: "talked" in json.loads(server.get("/starlette/done").body), "it has seen the end")
    client = WebSocket(server.connect(), "/starlette/talk")
    client.receive()
    client.text("leave")
    assert client.receive() == (CLOSE, close_payload(4000, "as you like"))


def test_starlette_denies(server):
    client = server.connect()
    client.request("GET", "/starlette/denied", handshake())
    response = client.response()
    assert (response.status, response.body) == (402, b"no")


def test_fastapi(server):
    assert json.loads(server.get("/fastapi/").body) == {"hello": "fastapi"}
    assert json.loads(server.get("/fastapi/items/7?q=x").body) == {"number": 7, "q": "x"}
    assert server.get("/fastapi/items/404").status == 404
    assert server.get("/fastapi/items/seven").status == 422
    response = server.post("/fastapi/items", b'{"name": "tea", "price": 2.5}', JSON)
    assert (response.status, json.loads(response.body)) == (201, {"name": "tea", "price": 2.5})
    found = json.loads(server.get("/fastapi/token", [("Authorization", "Bearer x")]).body)
    assert found == {"authorization": "Bearer x"}
    assert json.loads(server.get("/fastapi/openapi.json").body)["openapi"].startswith("3.")


def test_fastapi_upload(server):
    body, headers = multipart(bytes(100_000))
    assert json.loads(server.post("/fastapi/upload", body, headers).body) == {"name": "up.bin", "length": 100_000}


def done(server):
    return json.loads(server.get("/fastapi/done").body)


def test_fastapi_works_on_after_its_response(server):
    assert server.post("/fastapi/later?word=tidied", b"").status == 200
    wait_until(lambda: done(server)[-2:] == ["on a thread: tidied", "on the loop: tidied"], "both tasks have run, in order")


def test_fastapi_streams_rows(server):
    lines = server.get("/fastapi/rows?count=20000").text.splitlines()
    assert len(lines) == 20_000 and lines[-1] == "19999,399960001"


def test_fastapi_sends_each_event_at_once(server, gate):
    client = server.connect()
    client.request("GET", f"/fastapi/events?{gate.query}")
    visitor = gate.visitor()
    head = None
    for number in range(3):
        visitor.at(f"event {number}").go()
        if head is None:
            head = client.head()
            blocks = client.blocks(head)
        assert next(blocks) == b"id: %d\ndata: at once\n\n" % number
    assert list(blocks) == [] and head.complete
    assert head.header("Content-Type").startswith("text/event-stream")


def test_fastapi_chat(server):
    one, two = (WebSocket(server.connect(), f"/fastapi/chat/{name}?token=secret") for name in ("one", "two"))
    one.text('{"say": "hello"}')
    for client in (one, two):
        assert json.loads(client.receive()[1]) == {"from": "one", "said": "hello"}
    two.close(1001)
    wait_until(lambda: "two has left with 1001" in done(server), "it has seen the end")
    one.text('{"say": "alone"}')
    assert json.loads(one.receive()[1]) == {"from": "one", "said": "alone"}
    one.close()


def test_fastapi_refuses_a_websocket(server):
    client = server.connect()
    client.request("GET", "/fastapi/chat/nobody", handshake())
    assert client.response().status == 403
