# SPDX-License-Identifier: MIT OR Apache-2.0
"""`gangway top`, on a terminal and without one."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from harness.command import Gangway
from harness.load import Load

pytestmark = pytest.mark.servers("nginx", "apache")

NAME = f"top{os.getpid()}"
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"


@pytest.fixture
def busy(launch, workspace, scratch):
    path = scratch / "journal"
    path.touch()
    path.chmod(0o666)
    configure = lambda site: site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], timeout="60s", processes=2, threads=4, name=NAME)
    server = launch(configure, warm=["/app/get"])
    return server, Gangway(workspace, server)


def test_pages_without_a_terminal(busy):
    server, gangway = busy
    with Load(server, "/app", repeatable=True):
        text = gangway("top", "--count", "2", "--interval", "1")
    pages = text.split("\n\n\n")[0].split("applications, ")
    assert len(pages) == 3, text
    (row,) = (line.split() for line in pages[-1].splitlines() if line.startswith(NAME))
    name, state, _, _, threads, queue, rate, cpu, rss, *_ = row
    assert (name, state) == (NAME, "serving") and threads.endswith("/8") and int(queue) >= 0
    assert float(rate) > 5 and float(cpu) > 0 and rss.endswith("M"), text
    pids = [str(process["pid"]) for process in gangway.applications()[NAME]["processes"]]
    assert all(pid in pages[-1] for pid in pids)
    # One page is what a script wants that says nothing.
    assert gangway("top").count("applications, ") == 1


@pytest.mark.parametrize("end", [b"q", b"\x03", signal.SIGTERM], ids=["key", "ctrl-c", "signal"])
def test_a_terminal_is_as_it_was_before(busy, end):
    _, gangway = busy
    leader, follower = pty.openpty()
    # Other servers of the machine may be shown as well.
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 500, 200, 0, 0))
    before = termios.tcgetattr(follower)
    words = [gangway.program, "--run-directory", gangway.run_directory(), "top", "--interval", "0.3"]
    process = subprocess.Popen(words, stdin=follower, stdout=follower, stderr=follower, start_new_session=True)
    shown = b""
    until = time.monotonic() + 20
    # Two pages: they come by themselves.
    while shown.count(b"LONGEST REQUEST") < 2:
        assert time.monotonic() < until and process.poll() is None, shown
        if select.select([leader], [], [], 0.2)[0]:
            shown += os.read(leader, 65536)
    assert shown.startswith(ENTER) and NAME.encode() in shown and LEAVE not in shown
    assert not termios.tcgetattr(follower)[3] & (termios.ECHO | termios.ICANON)
    os.write(leader, end) if isinstance(end, bytes) else process.send_signal(end)
    assert process.wait(10) == 0
    while select.select([leader], [], [], 0)[0]:
        shown += os.read(leader, 65536)
    assert shown.endswith(LEAVE)
    assert termios.tcgetattr(follower) == before
    os.close(leader)
    os.close(follower)
