# SPDX-License-Identifier: MIT OR Apache-2.0
"""Deadlines and limits of an application's own processes: what clients get, what the log says, and what becomes of the process."""

import signal
import time

import pytest

from harness import processes
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

# What the log says of a request whose process was killed.
CUT = r"GW0904|GW0703|GW0902|upstream prematurely closed|recv\(\) failed|readv\(\) failed"
PRELOAD = pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])


def pid(server):
    response = server.get("/app/pid")
    assert response.status == 200, response
    return int(response.body)


def ask(server, target):
    """The response to a GET on a connection of its own, and that connection's port, which no other request has."""
    with server.connect() as client:
        port = client.socket.getsockname()[1]
        client.request("GET", target, [("Connection", "close")])
        return client.response(), port


def names(line, server, target, port):
    """Whether a line says which request it is about: nginx writes it behind the text, httpd the connection in front of it."""
    if server.kind.startswith("apache"):
        return f"[client 127.0.0.1:{port}]" in line.raw
    return f'request: "GET {target} HTTP/1.1"' in line.raw


@PRELOAD
def test_a_lost_thread_costs_its_process_and_no_other_request(launch, gate, scratch, preload):
    """504 on time, the stack in the log, an interruption; then the process ends, when its other request has."""

    def configure(site):
        site.wsgi("/app", "deadlines:app", processes=1, threads=2, timeout="1s", preload=preload)

    server = launch(configure)
    # On a busy machine the application may need longer to load than a request waits.
    server.log.allow("GW0405|upstream timed out")
    wait_until(lambda: server.get("/app/pid").status == 200, "it has loaded", 60)
    server.settle()
    old = pid(server)
    other = server.connect()
    other.request("GET", f"/app/trickle?{gate.query}")
    gate.visitor().at("trickles")
    begun = time.monotonic()
    response, port = ask(server, "/app/sleep?which=one")
    assert response.status == 504
    assert 0.9 < time.monotonic() - begun < 2.5
    assert names(server.log.expect("GW0402 .*deadlines:app.* gave no output for 1s"), server, "/app/sleep?which=one", port)
    server.log.expect(r"deadlines\.py.* in sleep")
    # Nobody waits for it any more: the process says itself what it was.
    server.log.expect(r'GW0403 .*still runs "GET /app/sleep\?which=one" 5s after')
    server.log.expect("GW0906 process .* is replaced")
    server.log.allow("GW0313|GW0905|GW0906")
    served = lambda: [response.text for response in [server.get("/app/pid")] if response.status == 200]
    wait_until(lambda: served() not in ([], [str(old)]), "another process serves", 60)
    assert processes.alive(old), "the other request still runs"
    (scratch / "end").touch()
    body = other.response().body
    assert body.startswith(b"begun.") and body.endswith(b".ended")
    wait_until(lambda: not processes.alive(old), "the process has ended", 40)
    assert pid(server) != old


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_process_that_meets_its_limit_of_cpu(launch, method):
    """The client gets 502, at once where the request must not run twice, and the log says which request it was."""

    def configure(site):
        site.wsgi("/app", "deadlines:app", processes=1, threads=2, cpu="1s", timeout="60s", preload=False)

    server = launch(configure, warm=["/app/pid"])
    old = pid(server)
    server.log.allow(CUT)
    # A second of the processor may take long on a busy machine.
    response = server.request(method, "/app/burn?which=one", body=b"x" if method == "POST" else None, timeout=100)
    assert response.status in (502, 503)
    line = server.log.expect(r"/app/burn\?which=one")
    assert f"{method} /app/burn?which=one" in line.raw
    server.log.expect(f"GW0904 .*deadlines:app.*{signal.SIGXCPU.name.removeprefix('SIG')}|GW0904 .*signal {signal.SIGXCPU.value}")
    wait_until(lambda: server.get("/app/pid").status == 200, "another process serves", 30)
    assert pid(server) != old


def test_a_process_that_meets_its_limit_of_memory(launch):
    def configure(site):
        site.wsgi("/app", "deadlines:app", processes=1, threads=2, memory="1g", timeout="60s", preload=False)

    server = launch(configure, warm=["/app/pid"])
    response, port = ask(server, "/app/eat?which=one")
    assert response.status == 503
    assert int(response.header("Retry-After")) > 0
    assert names(server.log.expect("GW0306 .*MemoryError"), server, "/app/eat?which=one", port)
    assert server.get("/app/pid").status == 200
