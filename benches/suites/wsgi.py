# SPDX-License-Identifier: MIT OR Apache-2.0
"""WSGI: an application in the web server, beside application servers behind it and other modules."""

import argparse
import contextlib
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

from harness import calls, load, processes, report, sockets
from harness.load import BenchError
from harness.peers import APPS, ENVIRONMENT, PEERS, Peer, Site
from harness.running import Running
from harness.scenarios import SCENARIOS, Scenario

SCENARIO_NAMES = [scenario.name for scenario in SCENARIOS]
DEFAULTS = {"rounds": 15, "seconds": 0.25}
# Many connections only.
QUICK = {"rounds": 2, "seconds": 0.5, "connections": (32, 64)}


def cannot_run() -> str | None:
    return None


class Started(Running):
    """A peer at work on one scenario."""

    def __init__(self, peer: Peer, scenario: Scenario, scratch: Path):
        super().__init__(peer.name, scratch / f"{scenario.name}-{peer.name}")
        self.peer, self.scenario = peer, scenario

    def begin(self) -> None:
        self.start(self.peer.prepare(Site(self.directory, self.port, self.scenario)), APPS, ENVIRONMENT)

    def answer(self) -> bytes:
        return self.peer.answers(self.scenario)

    def put_load(self, connections: int, seconds: float) -> dict:
        if self.scenario.message:
            return sockets.echo(self.port, self.scenario.path, self.scenario.message, connections, seconds, self.scenario.deflate)
        if self.scenario.visits:
            return sockets.visits(self.port, self.scenario.path, seconds)
        return load.wrk(self.port, self.scenario, connections, seconds)


def start_all(
    peers: list[Peer], scenario: Scenario, scratch: Path, absent: dict[str, str], stack: contextlib.ExitStack
) -> list[Started]:
    started, ready = [], []
    for peer in peers:
        if reason := peer.missing():
            absent[peer.name] = reason
            continue
        running = Started(peer, scenario, scratch)
        stack.callback(running.stop)
        try:
            running.begin()
            started.append(running)
        except (BenchError, OSError) as error:
            absent[peer.name] = str(error)
    deadline = time.monotonic() + 20
    for running in started:
        try:
            running.wait(scenario, running.answer(), deadline)
            ready.append(running)
        except BenchError as error:
            absent[running.peer.name] = str(error)
    return ready


def idle(ready: list[Started], seconds: float = 2.0) -> dict[str, dict]:
    """What the peers cost while nobody asks anything, all at the same time."""
    before = {running: processes.usage(running.everybody()) for running in ready}
    time.sleep(seconds)
    found = {}
    for running in ready:
        pids = running.everybody()
        spent = processes.usage(pids).since(before[running])
        memory = processes.proportional_memory(pids) / 2**20
        found[running.peer.name] = {"cpu_ms_per_s": spent.cpu / seconds * 1e3, "switches_per_s": spent.switches / seconds, "pss_mib": memory}
    return found


@dataclass(frozen=True)
class Field:
    """Who is measured, with what, and what is promised of hello against the ceiling of each server."""

    peers: tuple[Peer, ...] = PEERS
    scenarios: tuple[Scenario, ...] = SCENARIOS
    ceilings: dict[str, float] = field(default_factory=lambda: report.CEILINGS)


def run_scenario(
    field: Field, scenario: Scenario, options: argparse.Namespace, scratch: Path, deadline: float
) -> tuple[list[report.Group], dict]:
    counts = [count for count in scenario.connections if count in (options.connections or scenario.connections)]
    groups = [report.Group(scenario.name, scenario.title, count, peers=field.peers, ceilings=field.ceilings) for count in counts]
    if not groups:
        return [], {}
    absent: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        chosen = [peer for peer in field.peers if options.chosen(peer.name) and scenario.name not in peer.lacks]
        ready = start_all(chosen, scenario, scratch, absent, stack)
        resting = idle(ready) if scenario.name in ("hello", "flask") else {}
        for running in ready:
            try:
                running.put_load(groups[0].connections, min(0.5, options.seconds))
            except BenchError as error:
                absent[running.peer.name] = str(error)
        for number in range(options.rounds):
            for group in groups:
                # Another order in every round: nobody always follows the same neighbour.
                for running in random.Random(number).sample(ready, len(ready)):
                    if time.monotonic() > deadline or running.peer.name in absent:
                        continue
                    one_round(running, group, options.seconds, absent)
        for group in groups if options.syscalls else []:
            for running in ready:
                act = lambda running=running, group=group: running.put_load(group.connections, 0.5)["requests"]
                if (made := calls.total(running.everybody(), act)) is not None:
                    group.calls[running.peer.name] = made
    for group in groups:
        group.absent = absent
        print("\n" + report.table(group), flush=True)
    if time.monotonic() > deadline:
        print("  out of time: rounds are missing (--limit)", flush=True)
    return groups, resting


def one_round(running: Started, group: report.Group, seconds: float, absent: dict[str, str]) -> None:
    everybody = running.everybody
    try:
        got = load.measure(lambda: running.put_load(group.connections, seconds), everybody, everybody, len(running.answer()))
        group.rounds.setdefault(running.peer.name, []).append(got)
    except BenchError as error:
        absent[running.peer.name] = f"{error}; {running.last_words()}"


def print_idle(resting: dict[str, dict], title: str) -> None:
    print(f"\nidle, {title} loaded: CPU ms/s, context switches/s, PSS MiB of all processes")
    for name, row in resting.items():
        print(f"{name:<23}{row['cpu_ms_per_s']:>9.2f}{row['switches_per_s']:>9.1f}{row['pss_mib']:>9.1f}")


def run(options: argparse.Namespace, scratch: Path) -> dict:
    print("CPU us: user + system time of the server and the application per request; xceiling, xbest: that against the web")
    print("server alone and the best peer behind the same server; p99: against the quickest peer's p99")
    return run_all(Field(), options, scratch)


def run_all(field: Field, options: argparse.Namespace, scratch: Path) -> dict:
    deadline = time.monotonic() + options.limit
    groups, resting = [], {}
    for scenario in field.scenarios:
        if scenario.name in options.only:
            found, rest = run_scenario(field, scenario, options, scratch, deadline)
            groups += found
            resting |= {scenario.name: rest} if rest else {}
    for name, rest in resting.items():
        print_idle(rest, name)
    rows = [
        {"scenario": g.scenario, "connections": g.connections, "rows": g.rows(), "rounds": g.rounds, "absent": g.absent}
        for g in groups
    ]
    return {"groups": rows, "idle": resting, "verdicts": [verdict for group in groups for verdict in group.verdicts()]}
