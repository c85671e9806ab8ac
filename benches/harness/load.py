# SPDX-License-Identifier: MIT OR Apache-2.0
"""One measured round: wrk beside the server, and what the server spent meanwhile."""

import http.client
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path

from . import processes
from .scenarios import Scenario

SCRIPT = Path(__file__).parent.parent / "wrk" / "scenario.lua"


class BenchError(Exception):
    """A peer cannot be measured; the text says why."""


def wrk(port: int, scenario: Scenario, connections: int, seconds: float) -> dict:
    command = ["wrk", "-t1", f"-c{connections}", "-d600s", "--timeout", "10s", "-s", str(SCRIPT)]
    command += [f"http://127.0.0.1:{port}{scenario.path}", "--", scenario.method, str(len(scenario.posted))]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        # wrk only takes whole seconds; it ends its run and reports as usual when it is interrupted.
        time.sleep(seconds)
        child.send_signal(signal.SIGINT)
        text = child.communicate(timeout=30)[1]
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    line = next((line for line in text.splitlines() if line.startswith("{")), None)
    if line is None:
        raise BenchError(f"wrk gave no figures: {text.strip()[-200:]}")
    return json.loads(line)


def measure(port: int, roots: list[int], scenario: Scenario, answer: bytes, connections: int, seconds: float) -> dict:
    """One round against one peer. `foreign` is the share of the machine that neither server nor wrk used."""
    before = processes.usage(processes.tree(roots))
    wrk_before, busy_before, clock = children_cpu(), processes.busy_seconds(), time.monotonic()
    got = wrk(port, scenario, connections, seconds)
    elapsed = time.monotonic() - clock
    after = processes.usage(processes.tree(roots))
    spent = after.since(before)
    requests = got["requests"]
    if requests == 0:
        raise BenchError("no request was answered")
    foreign = processes.busy_seconds() - busy_before - spent.cpu - (children_cpu() - wrk_before)
    errors = sum(got[kind] for kind in ("status", "connect", "read", "write", "timeout"))
    if got["bytes"] < requests * len(answer):
        errors = max(errors, 1)  # wrk does not look into bodies, but it counts bytes
    return {
        "requests": requests,
        "rate": requests / (got["micros"] / 1e6),
        "p50": got["p50"],
        "p99": got["p99"],
        "max": got["max"],
        "cpu": spent.cpu / requests * 1e6,
        "user_share": spent.user_share,
        "switches": spent.switches / requests,
        "errors": errors,
        "bytes": got["bytes"] / requests,
        "foreign": max(0.0, foreign / elapsed / (os.cpu_count() or 1)),
    }


def children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def system_calls(port: int, roots: list[int], scenario: Scenario, connections: int, seconds: float) -> float | None:
    """System calls per request, counted by the kernel's tracepoint while the server runs at speed; None without perf."""
    if not shutil.which("perf"):
        return None
    pids = ",".join(map(str, processes.tree(roots)))
    command = ["perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-p", pids]
    perf = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        # perf attaches before it says anything; what the first moments lack is small against the whole round.
        time.sleep(0.15)
        got = wrk(port, scenario, connections, seconds)
        perf.send_signal(signal.SIGINT)
        text = perf.communicate(timeout=20)[1]
    finally:
        if perf.poll() is None:
            perf.kill()
            perf.wait()
    found = re.search(r"^(\d+),,raw_syscalls:sys_enter", text, re.M)
    return int(found[1]) / got["requests"] if found and got["requests"] else None


def check_answer(port: int, scenario: Scenario, answer: bytes) -> None:
    """Two requests on one connection: status, body and length, and a connection that stays open."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for _ in range(2):
            connection.request(scenario.method, scenario.path, body=scenario.posted or None)
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise BenchError(f"answered {response.status} {body[:200]!r}")
            if body != answer:
                raise BenchError(f"answered {len(body)} bytes {body[:40]!r}, expected {len(answer)} bytes {answer[:40]!r}")
            if response.will_close:
                raise BenchError("closes the connection after an answer")
    finally:
        connection.close()
