# SPDX-License-Identifier: MIT OR Apache-2.0
"""One measured round: wrk beside the server, and what the server spent meanwhile."""

import http.client
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
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
    got = json.loads(line)
    return got | {"unseen": unseen(got, connections)}


def unseen(got: dict, connections: int) -> float:
    """The share of the clients' time that went to requests which had no answer when the round ended. Each client always has one request under
    way, so what the answered ones did not wait, the others did; and wrk's percentiles know nothing of them."""
    waited = got["requests"] * got["mean"]
    return max(0.0, 1.0 - waited / (connections * got["micros"]))


def measure(put_load: Callable[[], dict], counted: Callable[[], list[int]], everybody: Callable[[], list[int]], length: int) -> dict:
    """One round: what the processes `counted` spend for each request, and all of them (`total`). `foreign` is the share of the machine that
    nobody of this benchmark used."""
    before, whole = processes.usage(counted()), processes.usage(everybody())
    own, busy, clock = own_cpu(), processes.busy_seconds(), time.monotonic()
    got = put_load()
    elapsed = time.monotonic() - clock
    spent, total = processes.usage(counted()).since(before), processes.usage(everybody()).since(whole)
    requests = got["requests"]
    if not requests:
        raise BenchError("no request was answered")
    foreign = processes.busy_seconds() - busy - total.cpu - (own_cpu() - own)
    return figures(got, length, spent.cpu) | {
        "total": total.cpu / requests * 1e6,
        "user_share": spent.user_share,
        "switches": spent.switches / requests,
        "foreign": max(0.0, foreign / elapsed / (os.cpu_count() or 1)),
    }


def figures(got: dict, length: int, cpu: float) -> dict:
    """What the load's own figures and the CPU time of a round say for each request."""
    requests = got["requests"]
    errors = sum(got[kind] for kind in ("status", "connect", "read", "write", "timeout"))
    return {
        "requests": requests,
        "rate": requests / (got["micros"] / 1e6),
        "p50": got["p50"],
        "p99": got["p99"],
        "max": got["max"],
        "unseen": got.get("unseen", 0.0),
        "cpu": cpu / requests * 1e6,
        # wrk does not look into bodies, but it counts bytes.
        "errors": max(errors, int(got["bytes"] < requests * length)),
        "bytes": got["bytes"] / requests,
    }


def own_cpu() -> float:
    """Of this process and the clients that it has started."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


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
