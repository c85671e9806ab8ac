# SPDX-License-Identifier: MIT OR Apache-2.0
"""An application in a process of its own: Gangway's beside application servers and other modules, and beside itself in the server. Also how long
it takes to replace an idle process, what an idle one costs, and the memory of four."""

import argparse
import contextlib
import http.client
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import memory
from harness import processes, report
from harness.load import BenchError
from harness.managed_peers import HOST, MANAGED_PEERS
from harness.peers import DIST, VENV
from harness.scenarios import SCENARIOS
from suites import wsgi

# Of the application in the server: hello at 32 connections.
CEILINGS = {"nginx": 1.7, "httpd": 1.6}
SCENARIO_NAMES = ["hello", "body", "echo", "flask", "io", "replaced", "memory"]
# Milliseconds until an idle process that was killed has a successor that answers.
REPLACED = 100.0
# Of the memory of four gunicorn workers.
MEMORY = 0.55
# What may be seen of an idle process within `REST` seconds, in milliseconds of CPU time for each second.
IDLE, REST = 0.05, 5.0
DEFAULTS, QUICK = wsgi.DEFAULTS, wsgi.QUICK


def cannot_run() -> str | None:
    return None


def told(scenario: str, ours: str, other: str, figure: str, ratios: list[float], limit: float) -> dict:
    return {"scenario": scenario, "ours": ours, "other": other, "figure": figure} | report.judge(ratios, limit, True)


def hosts(running: wsgi.Started) -> list[int]:
    """The processes of the application: those of the program that takes requests, without the template."""
    found = []
    for pid in running.everybody():
        with contextlib.suppress(OSError):
            title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
            if HOST.encode() in title and b"template" not in title and b"gangway-s" not in title:
                found.append(pid)
    return found


def answered(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    finally:
        connection.close()


def replaced(running: wsgi.Started) -> float:
    """Milliseconds from the end of an idle process to the answer of its successor."""
    path = running.scenario.path
    time.sleep(0.3)
    (pid,) = hosts(running)
    begun = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    while processes.running(pid):
        time.sleep(0.0005)
    if not answered(running.port, path):
        raise BenchError("a request after the end of a process got an error")
    took = (time.monotonic() - begun) * 1000
    if hosts(running) == [pid]:
        raise BenchError("the process that was killed is still there")
    return took


def life(options: argparse.Namespace, scratch: Path) -> tuple[list[dict], list[dict]]:
    """What becomes of an idle process of Flask's, in both servers: its cost, and its successor."""
    scenario = replace(next(one for one in SCENARIOS if one.name == "flask"), name="flask")
    ours = [peer for peer in MANAGED_PEERS if peer.role == "gangway" and options.chosen(peer.name)]
    rows, verdicts, absent = [], [], {}
    place = scratch / "life"
    place.mkdir(mode=0o755)
    with contextlib.ExitStack() as stack:
        for running in wsgi.start_all(ours, scenario, place, absent, stack):
            cost = wsgi.idle([running], REST)[running.peer.name]
            times = [replaced(running) for _ in range(3 if options.quick else 9)]
            rows.append({"peer": running.peer.name, "replaced_ms": times} | cost)
            verdicts.append(told("replaced", running.name, "ms", "replacement", times, REPLACED))
            verdicts.append(told("replaced", running.name, "ms/s", "idle CPU", [cost["cpu_ms_per_s"]], IDLE))
            took = f"{median(times):.1f} ms (at most {max(times):.1f})"
            print(f"{running.name}: an idle process of Flask's that is killed has a successor that answers after {took};")
            print(f"  idle: {cost['cpu_ms_per_s']:.3f} ms of CPU and {cost['switches_per_s']:.1f} switches of context a second", flush=True)
    for name, reason in absent.items():
        raise BenchError(f"{name}: {reason}")
    return rows, verdicts


def run(options: argparse.Namespace, scratch: Path) -> dict:
    print("CPU us: user + system time of server and application per request; xceiling: that against the application in the server itself;")
    print("xbest: against the best peer behind the same server; p99: against the quickest peer's p99")
    found = wsgi.run_all(wsgi.Field(MANAGED_PEERS, SCENARIOS, CEILINGS), options, scratch)
    if "replaced" in options.only:
        print()
        found["life"], verdicts = life(options, scratch)
        found["verdicts"] += verdicts
    if "memory" in options.only and options.chosen("managed"):
        print("\nmemory of four processes of Flask's")
        sizes = memory.compare(DIST, VENV)
        found["memory"] = sizes
        ratio = sizes["gangway, preload=on"] / sizes["gunicorn"]
        found["verdicts"].append(told("memory", "preload=on", "gunicorn", "PSS", [ratio], MEMORY))
    return found
