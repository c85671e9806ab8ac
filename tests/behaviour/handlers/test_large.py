# SPDX-License-Identifier: MIT OR Apache-2.0
"""Large bodies for handlers, in the server and in processes of their own: with flat memory in all that they pass."""

import contextlib

import pytest

from harness import wire
from harness.watch import Watch

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker")

SIZE = 256 << 20
FLAT = 16 << 20
BLOCK = bytes(range(256)) * 4096  # 1 MiB

MODULE = """
from mod_python import apache

def handler(req):
    total = 0
    while block := req.read(1 << 16):
        total += len(block)
    req.write(str(total))
    return apache.OK

def gives(req):
    for _ in range(int(req.args)):
        req.write(bytes(1 << 20))
    return apache.OK
"""


@pytest.fixture
def server(launch, scratch):
    folder = scratch / "large"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "counts.py").write_text(MODULE)

    def configure(site):
        where = f"root={folder}"
        site.nginx_http = "client_max_body_size 0;"
        site.apache_main = "LimitRequestBody 0"
        for place, more in (("in", ""), ("own", "processes=1 timeout=60s")):
            site.location(f"/{place}/counts", handlers=(f"counts {where} {more}",))
            site.location(f"/{place}/gives", handlers=(f"counts::gives {where} {more}",))

    server = launch(configure, warm=[f"/{place}/gives?1" for place in ("in", "own")])
    for place in ("in", "own"):
        assert server.post(f"/{place}/counts", BLOCK * 4).text == str(4 << 20)
    server.log.allow("buffered to a temporary file")
    return server


@contextlib.contextmanager
def watching(server):
    """The worker, and the processes of the applications."""
    with contextlib.ExitStack() as stack:
        watches = [Watch(pid) for pid in (server.worker(), *server.managed())]
        for watch in watches:
            stack.enter_context(watch)
        yield watches


def grown(watches):
    return {watch.pid: watch.growth >> 20 for watch in watches if watch.growth >= FLAT}


@pytest.mark.parametrize("place", ["/in", "/own"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload(server, place, chunked):
    client = server.connect(timeout=120)
    with watching(server) as watches:
        if chunked:
            client.request("POST", f"{place}/counts", body=(BLOCK for _ in range(SIZE // len(BLOCK))))
        else:
            client.send(wire.head_bytes("POST", f"{place}/counts", [("Host", "x"), ("Content-Length", str(SIZE))]))
            for _ in range(SIZE // len(BLOCK)):
                client.send(BLOCK)
        assert client.response().text == str(SIZE)
    assert not grown(watches)


@pytest.mark.parametrize("place", ["/in", "/own"])
def test_a_download(server, place):
    client = server.connect(timeout=120)
    with watching(server) as watches:
        client.request("GET", f"{place}/gives?{SIZE >> 20}")
        assert sum(len(piece) for piece in client.blocks(client.head())) == SIZE
    assert not grown(watches)
