# SPDX-License-Identifier: MIT OR Apache-2.0
"""System calls of running processes by name: counted by perf at full speed, or by strace where perf may not look."""

import contextlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

TOTAL = "raw_syscalls:sys_enter"
# What web servers call; the rest is counted together. Each name is a descriptor for each thread that is watched.
NAMES = """accept4 brk close connect epoll_ctl epoll_wait fcntl fstat futex getpeername getsockname getsockopt ioctl mmap munmap
newfstatat open openat poll pread64 pwrite64 pwritev read readv recvfrom recvmsg sendfile64 sendmsg sendto setsockopt shutdown
socket times write writev""".split()


@cache
def tool() -> str | None:
    """The one that works here."""
    if shutil.which("perf"):
        probe = subprocess.run(["perf", "stat", "-e", TOTAL, "true"], capture_output=True, check=False)
        if probe.returncode == 0:
            return "perf"
    return "strace" if shutil.which("strace") else None


@cache
def known() -> list[str]:
    """The names that this kernel can count."""

    def works(name: str) -> bool:
        command = ["perf", "stat", "-e", f"syscalls:sys_enter_{name}", "true"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    return [name for name in NAMES if works(name)]


def count(pids: list[int], file: Path, act: Callable[[], int]) -> dict[str, float]:
    """Calls for each of the requests that `act` answers, while it runs."""
    return (by_perf if tool() == "perf" else by_strace)(pids, file, act)


def total(pids: list[int], act: Callable[[], int]) -> float | None:
    """All calls for each of the requests that `act` answers, whatever their names; None without perf."""
    if tool() != "perf":
        return None
    with tempfile.NamedTemporaryFile("r") as file:
        with watching(["perf", "stat", "-x,", "-o", file.name, "-e", TOTAL, "-p", ",".join(map(str, pids))]):
            requests = act()
        found = re.search(rf"^(\d+),,{TOTAL}", file.read(), re.M)
    return int(found[1]) / requests if found and requests else None


@contextlib.contextmanager
def watching(command: list[str]):
    watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield
        watcher.send_signal(signal.SIGINT)
        watcher.wait(20)
    finally:
        if watcher.poll() is None:
            watcher.kill()
            watcher.wait()


def by_perf(pids: list[int], file: Path, act: Callable[[], int]) -> dict[str, float]:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    events = [TOTAL, *(f"syscalls:sys_enter_{name}" for name in known())]
    with watching(["perf", "stat", "-x,", "-o", str(file), "-e", ",".join(events), "-p", ",".join(map(str, pids))]):
        requests = act()
    found = {name: int(number) for number, name in re.findall(r"^(\d+),,(\S+?),", file.read_text(), re.M)}
    calls = {name.removeprefix("syscalls:sys_enter_"): number for name, number in found.items() if name != TOTAL}
    calls["other"] = found.get(TOTAL, 0) - sum(calls.values())
    return {name: number / requests for name, number in calls.items() if number > 0 and requests}


def by_strace(pids: list[int], file: Path, act: Callable[[], int]) -> dict[str, float]:
    command = ["strace", "-c", "-f", "-qq", "-o", str(file)]
    for pid in pids:
        command += ["-p", str(pid)]
    with watching(command):
        requests = act()
    rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z_0-9]+)$", file.read_text(), re.M)
    return {name: int(number) / requests for number, name in rows if name != "total" and requests}
