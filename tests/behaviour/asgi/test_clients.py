# SPDX-License-Identifier: MIT OR Apache-2.0
"""Clients that others have written: websockets, aiohttp, httpx."""

import asyncio
import random

import aiohttp
import httpx
import pytest
import websockets
from websockets.asyncio.client import connect

from harness.websocket import SERVERS

WARM = ("/hello", "/flat/hello", "/app/hello")
NOISE = random.Random(1).randbytes(300_000)
TEXTS = ["", "x", "grün und ☃", "again and " * 20_000, "ä" * 70_000]


def configure(site, kind):
    site.tls = True
    site.asgi("/", "asgi_sockets:app", ws_max_message="4m")
    # The event MPM counts a WebSocket for a second after its beginning, however short it was.
    site.apache_main = "AsyncRequestWorkerFactor 64"
    site.asgi("/flat", "asgi_sockets:app", ws_deflate="off")
    site.asgi("/app", "asgi_app:app", nginx="gangway_request_buffering off;")


def address(server, path):
    return f"ws://127.0.0.1:{server.port}{path}"


def run(main):
    asyncio.run(asyncio.wait_for(main, 60))


@pytest.mark.servers(*SERVERS)
class TestWebSockets:
    @pytest.mark.parametrize("path", ["/echo", "/flat/echo"])
    @pytest.mark.parametrize("compression", ["deflate", None])
    def test_websockets(self, server, path, compression):
        async def main():
            async with connect(address(server, path), compression=compression, max_size=None) as client:
                agreed = [type(one).__name__ for one in client.protocol.extensions]
                assert agreed == (["PerMessageDeflate"] if compression and path == "/echo" else [])
                for text in TEXTS:
                    await client.send(text)
                    assert await client.recv() == text
                await client.send(NOISE)
                assert await client.recv() == NOISE
                # A message of several frames.
                await client.send(["parts ", "of ", "one"])
                assert await client.recv() == "parts of one"
                for number in range(20):
                    await (await client.ping(b"%d" % number))
            assert client.close_code == 1000

        run(main())

    def test_many_at_once(self, server):
        # httpd has sixteen threads for fifty handshakes.
        server.log.allow("AH00484")

        async def one(number):
            async with connect(address(server, "/echo")) as client:
                for turn in range(20):
                    await client.send(f"{number} {turn}")
                    assert await client.recv() == f"{number} {turn}"

        async def main():
            await asyncio.gather(*(one(number) for number in range(50)))

        run(main())

    def test_the_ends_of_websockets(self, server):
        async def main():
            async with connect(address(server, "/return")) as client:
                assert await client.recv() == "last words"
                with pytest.raises(websockets.ConnectionClosedOK):
                    await client.recv()
            client = await connect(address(server, "/echo"))
            await client.close(4321, "reason enough")
            assert client.close_code == 4321
            with pytest.raises(websockets.InvalidStatus) as refused:
                await connect(address(server, "/refuse"))
            assert refused.value.response.status_code == 403
            with pytest.raises(websockets.InvalidStatus) as refused:
                await connect(address(server, "/deny"))
            assert (refused.value.response.status_code, refused.value.response.body) == (401, b"not you")

        run(main())

    def test_subprotocols(self, server):
        async def main():
            async with connect(address(server, "/scope"), subprotocols=["a", "b"], origin="http://localhost") as client:
                assert client.subprotocol == "b"

        run(main())

    @pytest.mark.parametrize("compress", [0, 9, 12, 15])
    def test_aiohttp(self, server, compress):
        async def main():
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(address(server, "/echo"), compress=compress, max_msg_size=0) as client,
            ):
                assert bool(client.compress) == bool(compress)
                for text in TEXTS:
                    await client.send_str(text)
                    assert await client.receive_str() == text
                await client.send_bytes(NOISE)
                assert await client.receive_bytes() == NOISE
                await client.close(code=4001)
                assert client.close_code == 4001
            async with aiohttp.ClientSession() as session:
                async with session.ws_connect(address(server, "/return")) as client:
                    assert (await client.receive()).data == "last words"
                    assert (await client.receive()).type == aiohttp.WSMsgType.CLOSE

        run(main())

    def test_over_tls(self, server):
        async def main():
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"wss://127.0.0.1:{server.ports['tls']}/echo", ssl=False, compress=15) as client,
            ):
                for text in TEXTS:
                    await client.send_str(text)
                    assert await client.receive_str() == text

        run(main())


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1.1", "HTTP/2"])
def test_httpx_streams(server, http2):
    if http2 and server.kind.startswith("apache"):
        pytest.skip("httpd has HTTP/2 at its other port")
    parts = [bytes([number]) * 10_000 for number in range(50)]

    async def upload():
        for part in parts:
            yield part
            await asyncio.sleep(0)

    async def main():
        async with httpx.AsyncClient(verify=False, http2=http2, base_url=f"https://localhost:{server.ports['tls']}") as client:
            response = await client.post("/app/length", content=upload())
            assert response.json()["length"] == 500_000
            async with client.stream("GET", "/app/large?16") as response:
                found = b"".join([part async for part in response.aiter_bytes()])
            assert found == bytes(range(256)) * 256 * 16
            # Who leaves in the middle of it leaves the connection usable, or gets another one.
            async with client.stream("GET", "/app/large?64") as response:
                async for _ in response.aiter_bytes():
                    break
            assert (await client.get("/app/hello")).text == "hello"

    run(main())
