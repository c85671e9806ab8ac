# SPDX-License-Identifier: MIT OR Apache-2.0
"""One gibibyte up and down in constant memory of the worker, and answers for slow readers."""

import threading
import time

import pytest

from harness import gateway, processes, upstreams, wire
from harness.deadline import wait_until
from harness.upstreams import head, hello

GIB = 1 << 30
BLOCK = bytes(range(256)) * 4096  # 1 MiB
FLAT = 16 << 20
WARM_UP = 32 << 20


def configure(site, kind):
    site.body_limit = 2 << 30
    upstreams.recorders(site, nginx="gangway_request_buffering off; gangway_max_temp_file_size 0;")
    for protocol in gateway.PROTOCOLS:
        site.passes(f"/unbuffered/{protocol}/", site.backends[protocol], nginx="gangway_buffering off;")
        site.passes(f"/collected/{protocol}/", site.backends[protocol], nginx="")


class Watch:
    """The largest growth of a worker's resident memory while the block runs."""

    def __init__(self, pid):
        self.pid = pid
        self.growth = 0
        self._done = threading.Event()

    def __enter__(self):
        self._before = processes.resident(self.pid)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self):
        while not self._done.wait(0.02):
            self.growth = max(self.growth, processes.resident(self.pid) - self._before)

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        self.growth = max(self.growth, processes.resident(self.pid) - self._before)


def download(server, backend, path, size):
    """How many bytes arrive of `size` that the backend sends, and whether they are the right ones."""
    client = server.connect(timeout=60)
    client.request("GET", f"{path}/{backend.protocol}/x")
    peer = backend.next(client)
    peer.request()

    def send():
        peer.output(head(backend.protocol))
        for _ in range(size >> 20):
            peer.output(BLOCK)
        peer.end()

    sender = threading.Thread(target=send)
    sender.start()
    response = client.head()
    total = 0
    for piece in client.blocks(response):
        at = total % 256
        assert piece[:64] == (BLOCK[at : at + 320])[: min(64, len(piece))]
        total += len(piece)
    sender.join(60)
    assert response.complete
    client.close()
    return total


@pytest.mark.parametrize("path", ["", "/unbuffered"])
def test_a_download_of_one_gibibyte_in_constant_memory(server, backend, path):
    assert download(server, backend, path, WARM_UP) == WARM_UP
    with Watch(server.worker()) as watch:
        assert download(server, backend, path, GIB) == GIB
    assert watch.growth < FLAT, f"grew by {watch.growth >> 20} MiB"


def upload(server, backend, path, size, chunked):
    """How many bytes the backend receives of `size` that the client sends."""
    client = server.connect(timeout=60)
    target = f"{path}/{backend.protocol}/x"

    def send():
        if chunked:
            client.request("POST", target, body=(BLOCK for _ in range(size >> 20)))
        else:
            client.send(wire.head_bytes("POST", target, [("Host", "x"), ("Content-Length", str(size))]))
            for _ in range(size >> 20):
                client.send(BLOCK)

    sender = threading.Thread(target=send)
    sender.start()
    peer = backend.next(client, timeout=60)
    request = peer.head()
    peer.socket.settimeout(60)
    received = 0
    if backend.protocol == "fastcgi":
        while content := peer.record().content:
            assert content[:8] == BLOCK[received % 256 :][: min(8, len(content))]
            received += len(content)
    else:
        length = int(request["CONTENT_LENGTH"])
        while received < length:
            received += len(peer.socket.recv(min(1 << 20, length - received)))
    sender.join(60)
    peer.answer(hello(backend.protocol))
    assert client.response().body == b"hello"
    client.close()
    return received


@pytest.mark.better(
    "httpd's SCGI and uwsgi need Content-Length", on=("apache",), when={"protocol": ["scgi", "uwsgi"]}, strict=False
)
@pytest.mark.parametrize("path", ["", "/collected"])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_of_one_gibibyte_in_constant_memory(server, backend, path, chunked):
    server.log.allow("body is buffered")
    size = GIB
    if path and server.kind.startswith("apache"):
        pytest.skip("httpd has no such switch")
    assert upload(server, backend, path, WARM_UP, chunked) == WARM_UP
    with Watch(server.worker()) as watch:
        assert upload(server, backend, path, size, chunked) == size
    assert watch.growth < FLAT, f"grew by {watch.growth >> 20} MiB"


def test_a_slow_backend_holds_the_client_back_in_constant_memory(server, backend):
    """The body is not collected in memory while the backend does not read: what has left the client stops growing."""
    server.log.allow("client|upstream|GW07|AH\\d+|prematurely")
    client = server.connect(timeout=60)
    fields = [("Host", "x"), ("Content-Length", str(GIB))]
    left = [0]

    def send():
        try:
            client.send(wire.head_bytes("POST", f"/{backend.protocol}/x", fields))
            for _ in range(1024):
                client.send(BLOCK)
                left[0] += len(BLOCK)
        except OSError:
            pass

    with Watch(server.worker()) as watch:
        sender = threading.Thread(target=send)
        sender.start()
        peer = backend.accept()
        peer.head()
        last = [-1, time.monotonic()]

        def stands_still():
            if left[0] != last[0]:
                last[:] = [left[0], time.monotonic()]
            return time.monotonic() - last[1] > 0.5

        wait_until(stands_still, "the client is held back", 30)
    assert left[0] < 64 << 20
    assert watch.growth < FLAT
    client.socket.shutdown(2)
    sender.join(30)


def test_memory_is_flat_over_many_requests(server, backend):
    """Answers, refusals and bodies in turn."""
    server.log.allow("GW07|upstream|AH\\d+|proxy")
    # What breaks the protocol costs a connection: each answer has its own here.
    data = [hello(backend.protocol), head(backend.protocol) + b"x" * 20_000, b"this is no head\r\n\r\n"]
    count = [0]

    def answer(request, peer):
        count[0] += 1
        peer.answer(data[count[0] % 3])
        peer.close()

    def round_of_requests():
        with backend.serving(answer):
            for number in range(600):
                body = b"b" * 5000 if number % 2 else None
                status = server.request("POST" if body else "GET", f"/{backend.protocol}/{number}", body=body).status
                assert status in (200, 500, 502)

    for _ in range(2):
        round_of_requests()
    before = processes.memory(server.worker(), "Private_Dirty")
    for _ in range(3):
        round_of_requests()
    wait_until(
        lambda: processes.memory(server.worker(), "Private_Dirty") - before < 3 << 20,
        lambda: f"1800 requests cost {processes.memory(server.worker(), 'Private_Dirty') - before} bytes",
        5,
    )
