# SPDX-License-Identifier: MIT OR Apache-2.0
"""Processes of a peer: start, the CPU time and context switches of the whole tree, memory, and a stop that leaves nobody behind."""

import contextlib
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Usage:
    """What a tree of processes has used since it was started."""

    cpu: dict[int, float]
    user: float
    system: float
    switches: dict[tuple[int, int], int]

    def since(self, before: "Usage") -> "Spent":
        cpu = sum(seconds - before.cpu.get(pid, 0.0) for pid, seconds in self.cpu.items())
        switches = sum(count - before.switches.get(task, 0) for task, count in self.switches.items())
        user, system = self.user - before.user, self.system - before.system
        share = user / (user + system) if user + system > 0 else 0.0
        return Spent(cpu, share, switches)


@dataclass(frozen=True)
class Spent:
    cpu: float
    user_share: float
    switches: int


def tree(roots: list[int]) -> list[int]:
    """`roots` and all their living descendants."""
    found: list[int] = []
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        # It may end at any moment.
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    waiting += [int(child) for child in children.read_text().split()]
    return found


def usage(pids: list[int]) -> Usage:
    used = Usage({}, 0.0, 0.0, {})
    for pid in pids:
        with contextlib.suppress(OSError):
            # The CPU clock of another process (clock_getcpuclockid): utime + stime of all its threads, also of those that have
            # ended, in nanoseconds where /proc/PID/stat only has clock ticks.
            used.cpu[pid] = time.clock_gettime((~pid << 3) | 2)
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            used.user += int(fields[11]) / TICKS
            used.system += int(fields[12]) / TICKS
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(OSError):
                    status = Path(f"/proc/{pid}/task/{task}/status").read_text()
                    counts = re.findall(r"voluntary_ctxt_switches:\s+(\d+)", status)
                    used.switches[pid, int(task)] = sum(map(int, counts))
    return used


def proportional_memory(pids: list[int]) -> int:
    """PSS of the tree in bytes: shared pages count once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M)[1]) * 1024
    return total


def busy_seconds() -> float:
    """CPU time that the whole machine has spent on anything but idling."""
    with open("/proc/stat", encoding="ascii") as lines:
        fields = [int(field) for field in lines.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS


def start(command: list[str], directory: Path, cwd: Path, environment: dict[str, str]) -> subprocess.Popen:
    log = open(directory / "output.log", "ab")  # noqa: SIM115 - handed to the child
    try:
        return subprocess.Popen(
            command, cwd=cwd, env=os.environ | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    finally:
        log.close()


def stop(roots: list[subprocess.Popen], patience: float = 8.0) -> list[int]:
    """Ends a peer by pid, front server first. Returns the pids that had to be killed."""
    everybody = [pid for root in roots for pid in tree([root.pid])]
    deadline = time.monotonic() + patience
    for root in reversed(roots):
        if root.poll() is None:
            root.send_signal(signal.SIGTERM)
    for root in reversed(roots):
        with contextlib.suppress(subprocess.TimeoutExpired):
            root.wait(max(0.1, deadline - time.monotonic()))
    left = [pid for pid in everybody if running(pid)]
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for root in roots:
        root.wait()
    return left


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
