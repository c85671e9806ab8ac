# SPDX-License-Identifier: MIT OR Apache-2.0
"""The harness itself: what it must notice, provoked."""

import os
import re
import signal
import socket
import threading
from pathlib import Path

import pytest

from harness import processes, wire
from harness.deadline import DeadlineError, wait_until
from harness.server import KINDS, HarnessFailure
from harness.site import Site


def configure(site, kind):
    site.modules = False
    site.http2 = site.tls = True


@pytest.fixture
def plain(kind, workspace):
    """A server without Gangway that the harness does not check by itself."""
    running = KINDS[kind](workspace, Site(apps=workspace.apps, modules=False)).start()
    yield running
    if running.running():
        running.end("stop")


def test_serves_files_and_logs_them(server):
    (server.folder / "htdocs" / "a.txt").write_text("hello")
    assert server.get("/a.txt").text == "hello"
    assert server.get("/a.txt", port="tls").text == "hello"
    wait_until(lambda: len(server.access_log()) == 2, "two access log lines")
    assert server.access_log()[0] == "GET /a.txt 200 5 -"


def test_speaks_http2(server):
    (server.folder / "htdocs" / "b.txt").write_text("two")
    response = server.http2().get("/b.txt")
    assert (response.status, response.body, response.complete) == (200, b"two", True)
    over_tls = server.http2("tls", tls=True).get("/b.txt")
    assert (over_tls.status, over_tls.body) == (200, b"two")


def test_a_quiet_server_passes(plain):
    plain.get("/.ready")
    plain.verify()
    plain.reload()
    plain.verify()
    plain.finish()


def test_an_undeclared_log_line_is_noticed(plain):
    plain.folder.joinpath("htdocs", "closed").mkdir(mode=0o700)
    plain.get("/closed/x")
    with pytest.raises(HarnessFailure, match="undeclared line in the error log: .*ermission denied"):
        plain.verify()
    plain.get("/closed/x")
    plain.log.expect("ermission denied")
    plain.verify()


@pytest.mark.parametrize(
    "line",
    [
        "==7==ERROR: AddressSanitizer: heap-use-after-free on address 0x6030",
        "src/x.rs:1:2: runtime error: signed integer overflow",
        "thread '<unnamed>' panicked at src/lib.rs:3:5:",
        "Fatal Python error: PyThreadState_Get: the function must be called with the GIL held",
        "2026/01/02 03:04:05 [notice] 1#1: worker process 7 exited on signal 11",
        "[Fri Jan 02 03:04:05 2026] [core:notice] [pid 1:tid 2] AH00052: child pid 7 exit signal Segmentation fault (11)",
    ],
)
@pytest.mark.servers("nginx")
def test_a_fatal_line_cannot_be_declared(plain, line):
    with plain.log.path.open("a") as log:
        log.write(line + "\n")
    plain.log.allow(".")
    with pytest.raises(HarnessFailure, match="fatal line"):
        plain.verify()


@pytest.mark.servers("nginx")
def test_a_line_without_a_level_is_noticed(plain):
    with plain.log.path.open("a") as log:
        log.write("printed past the log\n")
    with pytest.raises(HarnessFailure, match="undeclared line.*printed past the log"):
        plain.verify()


def test_an_expected_line_that_does_not_come_is_a_failure(plain):
    with pytest.raises(DeadlineError, match="never said"):
        plain.log.expect("never said", timeout=0.2)


def test_a_descriptor_that_stays_is_noticed(plain):
    with socket.create_connection(("127.0.0.1", plain.port)) as held:
        held.sendall(b"GET /.ready HTTP/1.1\r\nHost: x\r\n")
        leak = lambda: not plain._descriptor_counts()["worker"] <= plain._baseline["worker"]
        wait_until(leak, "the worker accepted")
        with pytest.raises(HarnessFailure, match="descriptors instead of"):
            plain.verify(timeout=0.3)
    plain.verify()


def test_a_worker_that_crashes_is_noticed(plain):
    os.kill(plain.worker(), signal.SIGSEGV)
    plain.log.expect("signal")
    with pytest.raises(HarnessFailure, match="fatal line in the error log"):
        plain.verify()


def test_a_server_that_ends_badly_is_noticed(plain):
    os.kill(plain.pid(), signal.SIGKILL)
    plain.wait()
    plain._kill_session()
    with pytest.raises(HarnessFailure, match="ended with status -9"):
        plain.finish()


def test_a_process_that_outlives_its_server_is_noticed(plain):
    os.kill(plain.pid(), signal.SIGKILL)
    plain.wait()
    with pytest.raises(HarnessFailure, match=f"processes outlive {plain.kind}"):
        plain.finish(timeout=0.5)
    assert not [p for p in processes.processes().values() if p.session == plain.pid() and p.state not in "ZX"]


def answers(data):
    """Serves `data` once on a loopback port and closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def run():
        peer, _ = listener.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(data)
        listener.close()

    threading.Thread(target=run, daemon=True).start()
    return listener.getsockname()[1]


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b"hel"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", b"hel"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", b"hel"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n", b"hel"),
    ],
)
def test_the_client_sees_truncation(data, body):
    with wire.Connection(answers(data)) as client:
        client.request("GET", "/")
        with pytest.raises(wire.Truncated) as caught:
            client.response()
    assert caught.value.response.body == body


def test_the_client_reads_pipelined_responses_and_interim_ones():
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"
    data += b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nT: 1\r\n\r\n"
    with wire.Connection(answers(data)) as client:
        client.request("GET", "/")
        assert client.response().status == 204
        last = client.response()
        assert (last.body, last.trailers) == (b"abc", [("T", "1")])
        assert client.at_end()


def test_nobody_sleeps():
    """Tests wait for conditions. What an application, a script or a backend of theirs does is its own."""
    folder = Path(__file__).parent
    files = {*folder.glob("**/test_*.py"), *folder.glob("harness/*.py")} - {folder / "harness" / "deadline.py"}
    lines = [(file.name, line.strip()) for file in sorted(files) for line in file.read_text().splitlines()]
    assert [found for found in lines if re.match(r"time\.sleep\(|sleep\(", found[1])] == []
