#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Gangway and its peers side by side, in interleaved rounds. See benches/README.md for the method."""

import argparse
import contextlib
import json
import os
import platform
import random
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from harness import load, processes, report  # noqa: E402
from harness.load import BenchError  # noqa: E402
from harness.peers import APPS, ENVIRONMENT, PEERS, ROOT, Peer, Site  # noqa: E402
from harness.scenarios import SCENARIOS, Scenario  # noqa: E402


class Running:
    """A started peer, with its checked answer."""

    def __init__(self, peer: Peer, scenario: Scenario, scratch: Path):
        self.peer, self.scenario = peer, scenario
        self.directory = scratch / f"{scenario.name}-{peer.name}"
        self.directory.mkdir(mode=0o755)
        self.processes = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self) -> None:
        for command in self.peer.prepare(Site(self.directory, self.port, self.scenario)):
            self.processes.append(processes.start(command, self.directory, APPS, ENVIRONMENT))

    def wait(self, deadline: float) -> None:
        """Until the right answer comes; while the peer starts, refused connections and 502 are in order."""
        while True:
            try:
                load.check_answer(self.port, self.scenario, self.peer.answers(self.scenario))
                return
            except (BenchError, OSError, load.http.client.HTTPException) as error:
                ended = next((p for p in self.processes if p.poll() is not None), None)
                if ended or time.monotonic() > deadline:
                    state = f"{Path(ended.args[0]).name} ended with {ended.returncode}" if ended else f"{error}"
                    raise BenchError(f"{state}; {self.last_words()}") from None
            time.sleep(0.05)

    def last_words(self) -> str:
        logs = [self.directory / name for name in ("output.log", "error.log")]
        lines = [line.strip() for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()[-3:]]
        return " | ".join(lines)[-600:]

    @property
    def roots(self) -> list[int]:
        return [process.pid for process in self.processes]

    def stop(self) -> None:
        if killed := processes.stop(self.processes):
            print(f"  {self.peer.name}: {len(killed)} processes had to be killed", flush=True)


def start_all(
    peers: list[Peer], scenario: Scenario, scratch: Path, absent: dict[str, str], stack: contextlib.ExitStack
) -> list[Running]:
    started, ready = [], []
    for peer in peers:
        if reason := peer.missing():
            absent[peer.name] = reason
            continue
        running = Running(peer, scenario, scratch)
        stack.callback(running.stop)
        try:
            running.start()
            started.append(running)
        except (BenchError, OSError) as error:
            absent[peer.name] = str(error)
    deadline = time.monotonic() + 20
    for running in started:
        try:
            running.wait(deadline)
            ready.append(running)
        except BenchError as error:
            absent[running.peer.name] = str(error)
    return ready


def idle(ready: list[Running], seconds: float = 2.0) -> dict[str, dict]:
    """What the peers cost while nobody asks anything, all at the same time."""
    before = {running: processes.usage(processes.tree(running.roots)) for running in ready}
    time.sleep(seconds)
    found = {}
    for running in ready:
        pids = processes.tree(running.roots)
        spent = processes.usage(pids).since(before[running])
        memory = processes.proportional_memory(pids) / 2**20
        found[running.peer.name] = {"cpu_ms_per_s": spent.cpu / seconds * 1e3, "switches_per_s": spent.switches / seconds, "pss_mib": memory}
    return found


def run_scenario(
    scenario: Scenario, options: argparse.Namespace, scratch: Path, deadline: float
) -> tuple[list[report.Group], dict]:
    counts = [count for count in scenario.connections if count in (options.connections or scenario.connections)]
    groups = [report.Group(scenario.name, scenario.title, count) for count in counts]
    if not groups:
        return [], {}
    absent: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        ready = start_all(options.chosen, scenario, scratch, absent, stack)
        resting = idle(ready) if scenario.name in ("hello", "flask") else {}
        for running in ready:
            load.wrk(running.port, scenario, groups[0].connections, options.warm_up)
        for number in range(options.rounds):
            for group in groups:
                # Another order in every round: nobody always follows the same neighbour.
                for running in random.Random(number).sample(ready, len(ready)):
                    if time.monotonic() > deadline or running.peer.name in absent:
                        continue
                    one_round(running, group, options.seconds, absent)
        for group in groups if options.syscalls else []:
            for running in ready:
                calls = load.system_calls(running.port, running.roots, scenario, group.connections, options.warm_up)
                if calls is not None:
                    group.calls[running.peer.name] = calls
    for group in groups:
        group.absent = absent
        print("\n" + report.table(group), flush=True)
    if time.monotonic() > deadline:
        print("  out of time: rounds are missing (--limit)", flush=True)
    return groups, resting


def one_round(running: Running, group: report.Group, seconds: float, absent: dict[str, str]) -> None:
    answer = running.peer.answers(running.scenario)
    try:
        got = load.measure(running.port, running.roots, running.scenario, answer, group.connections, seconds)
        group.rounds.setdefault(running.peer.name, []).append(got)
    except BenchError as error:
        absent[running.peer.name] = f"{error}; {running.last_words()}"


def print_idle(resting: dict[str, dict], title: str) -> None:
    print(f"\nidle, {title} loaded: CPU ms/s, context switches/s, PSS MiB of all processes")
    for name, row in resting.items():
        print(f"{name:<23}{row['cpu_ms_per_s']:>9.2f}{row['switches_per_s']:>9.1f}{row['pss_mib']:>9.1f}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short rounds, 32 (64) connections only")
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--only", action="append", metavar="SCENARIO", choices=names, help=f"repeatable; of {', '.join(names)}")
    parser.add_argument("--peers", metavar="NAME,NAME", help="default: all; a part of a name is enough")
    parser.add_argument("--connections", type=lambda text: tuple(map(int, text.split(","))), help="of the scenario's own numbers")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="length of a round")
    parser.add_argument("--limit", type=float, default=690.0, help="seconds after which no further round starts (default 690)")
    parser.add_argument("--syscalls", action="store_true", help="also count system calls per request (needs perf)")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs")
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 15)
    options.seconds = options.seconds or (0.5 if options.quick else 0.25)
    options.warm_up = min(0.5, options.seconds)
    if options.quick and not options.connections:
        options.connections = (32, 64)
    options.chosen = [p for p in PEERS if not options.peers or any(part in p.name for part in options.peers.split(","))]
    return options


def machine() -> dict:
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?")
    return {"cpus": os.cpu_count(), "model": model, "kernel": platform.release(), "load": os.getloadavg(), "python": platform.python_version()}


def main() -> int:
    options = arguments()
    if not shutil.which("wrk"):
        print("wrk is missing: make setup installs the packages of tools/packages-bench.txt", file=sys.stderr)
        return 2
    started, facts = time.monotonic(), machine()
    print(f"{facts['cpus']} x {facts['model']}, load {facts['load'][0]:.1f}; {options.rounds} rounds of {options.seconds:g} s, medians")
    print("CPU us: user + system time of the server and the application per request; xceiling, xbest: that against the web")
    print("server alone and the best peer behind the same server; p99: against the quickest peer's p99")
    groups, resting = [], {}
    with contextlib.ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="gangway-bench-"))
        if options.keep:
            print(f"configurations and logs: {scratch}")
        else:
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        scratch.chmod(0o755)
        for scenario in SCENARIOS:
            if options.only and scenario.name not in options.only:
                continue
            found, rest = run_scenario(scenario, options, scratch, started + options.limit)
            groups += found
            resting |= {scenario.name: rest} if rest else {}
    for name, rest in resting.items():
        print_idle(rest, name)
    print("\n" + report.targets(groups))
    verdicts = [verdict for group in groups for verdict in group.verdicts()]
    results = ROOT / "benches/results"
    results.mkdir(exist_ok=True)
    file = results / time.strftime("%Y%m%dT%H%M%S.json")
    settings = {"rounds": options.rounds, "seconds": options.seconds}
    rows = [
        {"scenario": g.scenario, "connections": g.connections, "rows": g.rows(), "rounds": g.rounds, "absent": g.absent}
        for g in groups
    ]
    everything = {"machine": facts, "settings": settings, "groups": rows, "idle": resting, "verdicts": verdicts}
    file.write_text(json.dumps(everything, indent=1))
    print(f"\n{time.monotonic() - started:.0f} s; {file.relative_to(ROOT)}")
    return 1 if options.check and any(verdict["result"] == "MISSED" for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
