# SPDX-License-Identifier: MIT OR Apache-2.0
"""Channels, python-socketio, Strawberry and server-sent events, with clients of their own."""

import asyncio
import contextlib
import json

import httpx
import pytest
import socketio
from websockets.asyncio.client import connect

from harness import venvs
from harness.deadline import wait_until
from harness.websocket import SERVERS

WARM = ("/channels/", "/sse/count", "/io/left", "/graphql/")


def configure(site, kind):
    venv = venvs.sockets_venv()
    # In httpd each stream has a thread.
    site.threads_per_child = 224
    site.asgi("/channels", "channels_app:app", venv=venv, lifespan="off")
    site.asgi("/io", "socketio_app:app", venv=venv, lifespan="off")
    site.asgi("/graphql", "graphql_app:app", venv=venv, lifespan="off")
    site.asgi("/sse", "sse_app:app", venv=venv, timeout="off")


def address(server, path, scheme="ws"):
    return f"{scheme}://127.0.0.1:{server.port}{path}"


def run(main):
    asyncio.run(asyncio.wait_for(main, 60))


# ---- Channels ----


def test_views_and_consumers_of_http(server):
    assert server.get("/channels/").text == "a view"
    assert server.get("/channels/events").body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"


@pytest.mark.servers(*SERVERS)
def test_a_group_of_channels(server):
    async def main():
        async with connect(address(server, "/channels/chat/a")) as one, connect(address(server, "/channels/chat/a")) as two:
            async with connect(address(server, "/channels/chat/b")) as elsewhere:
                await one.send(json.dumps({"words": "hello"}))
                for client in (one, two):
                    assert json.loads(await client.recv()) == {"said": "hello"}
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(elsewhere.recv(), 0.1)

    run(main())


@pytest.mark.servers(*SERVERS)
def test_a_consumer_on_threads(server):
    async def main():
        async with connect(address(server, "/channels/blocking")) as client:
            for word in ("one", "two"):
                await client.send(word)
                assert await client.recv() == word.upper()

    run(main())


# ---- python-socketio ----


@pytest.mark.parametrize("transport", ["polling", "websocket", "upgrade"])
def test_socketio(server, transport):
    if transport != "polling" and not server.kind.startswith(SERVERS):
        pytest.skip("this server has no WebSockets")

    async def main():
        client, other = socketio.AsyncClient(), socketio.AsyncClient()
        heard = asyncio.Queue()
        client.on("said", heard.put)
        client.on("doubled", heard.put)
        transports = ["polling", "websocket"] if transport == "upgrade" else [transport]
        for one in (client, other):
            await one.connect(address(server, "", "http"), socketio_path="/io/socket.io", transports=transports, wait_timeout=10)
        assert await client.call("add", [1, 2, 3], timeout=10) == 6
        await other.emit("say", "to all")
        assert await heard.get() == "to all"
        # Bytes travel beside the event.
        await client.emit("double", bytes(range(256)))
        assert await heard.get() == bytes(range(256)) * 2
        assert await client.call("transport", timeout=10) == ("polling" if transport == "polling" else "websocket")
        for one in (client, other):
            await one.disconnect()

    before = server.get("/io/left").text.count("left")
    run(main())
    wait_until(lambda: server.get("/io/left").text.count("left") == before + 2, "it knows that they have left")


@pytest.mark.servers(*SERVERS)
def test_socketio_refuses(server):
    async def main():
        client = socketio.AsyncClient()
        with pytest.raises(socketio.exceptions.ConnectionError):
            await client.connect(
                address(server, "", "http"), socketio_path="/io/socket.io", auth="nobody", transports=["websocket"]
            )

    run(main())


# ---- Strawberry ----


def test_a_query(server):
    query = json.dumps({"query": '{ hello(name: "gateway") }'}).encode()
    found = server.post("/graphql/", query, [("Content-Type", "application/json")])
    assert json.loads(found.body) == {"data": {"hello": "hello gateway"}}


@contextlib.asynccontextmanager
async def graphql(server):
    async with connect(address(server, "/graphql/"), subprotocols=["graphql-transport-ws"]) as client:
        assert client.subprotocol == "graphql-transport-ws"
        await client.send(json.dumps({"type": "connection_init"}))
        assert json.loads(await client.recv())["type"] == "connection_ack"
        yield client


async def subscribe(client, query):
    await client.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))


@pytest.mark.servers(*SERVERS)
def test_subscriptions(server):
    async def main():
        async with graphql(server) as client:
            await subscribe(client, "subscription { count(to: 5) }")
            found = [json.loads(await client.recv()) for _ in range(6)]
            assert [one["payload"]["data"]["count"] for one in found[:5]] == list(range(5))
            assert found[5]["type"] == "complete"

    run(main())


@pytest.mark.servers(*SERVERS)
def test_a_subscription_ends_with_its_client(server):
    def ended():
        query = json.dumps({"query": "{ ended }"}).encode()
        return json.loads(server.post("/graphql/", query, [("Content-Type", "application/json")]).body)["data"]["ended"]

    before = ended()

    async def main():
        async with graphql(server) as client:
            await subscribe(client, "subscription { endless }")
            for _ in range(3):
                assert json.loads(await client.recv())["type"] == "next"

    run(main())
    wait_until(lambda: ended() == before + 1, "its generator has been closed")


# ---- server-sent events ----


def test_two_hundred_streams(server):
    count = 200

    async def listen(client, ready, heard):
        async with client.stream("GET", "/sse/events") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = response.aiter_lines()
            assert await anext(lines) == ": welcome"
            ready.release()
            async for line in lines:
                if line.startswith("data: "):
                    heard.append(line)
                    if line == "data: last":
                        return

    async def main():
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=address(server, "", "http"), limits=limits, timeout=30) as client:
            ready, heard = asyncio.Semaphore(0), []
            listeners = [asyncio.create_task(listen(client, ready, heard)) for _ in range(count)]
            for _ in range(count):
                await ready.acquire()
            for words in ("one", "two", "last"):
                assert (await client.post("/sse/post", content=words)).text == str(count)
                # Somebody else is not kept waiting.
                assert (await client.get("/channels/")).text == "a view"
            await asyncio.gather(*listeners)
        assert len(heard) == 3 * count

    run(main())

    # Starlette sees that a client has left when it sends something (spec version 2.4).
    def left():
        server.post("/sse/post", b"more")
        return server.get("/sse/count").text == "0"

    wait_until(left, "all have left")
