# SPDX-License-Identifier: MIT OR Apache-2.0
"""FastCGI, SCGI and uwsgi: Gangway beside the stock modules of nginx and httpd, each before a backend of its own."""

import argparse
import os
import random
import time
from pathlib import Path
from statistics import median

from harness import calls, load, processes, report, slow
from harness.load import BenchError
from harness.peers import HTTPD, NGINX, Site
from harness.running import Running
from harness.scenarios import HELLO, PATTERN, POSTED, Scenario
from harness.upstream_peers import FRONTS, SOURCES, Front, compiled

CONNECTIONS = 32
SIZES = {"hello": HELLO, "body": PATTERN * (64 * 1024 // 16), "post": HELLO, "slow": PATTERN * (1024 * 1024 // 16)}
TITLES = {"hello": "hello", "body": "64 KiB response", "post": "16 KiB POST", "slow": "1 MiB response to slow readers"}
# Issue targets: the web server's CPU time of a FastCGI hello against stock nginx out of the box.
OUT_OF_THE_BOX = 0.6
# Batches of events are never quite the same: what is within two percent is no more.
CALLS = 1.02
# Such a request is lost if its process has just ended, so under load a connection to PHP is looked at twice: one call of eight
# (docs/decisions/0031).
LOOKED_AT_TWICE = {("php-fpm", "post"): 1.16}
# What it costs that no request waits for a process that still works, and that none is lost which cannot be sent twice (docs/decisions/0031),
# of which stock does neither: a process of PHP that waits sleeps, and is woken, where the one that has answered last is mostly still awake;
# and a POST looks whether its connection is open.
CAREFUL = {("php-fpm", "hello"): 1.2, ("php-fpm", "post"): 1.2, ("libfcgi", "post"): 1.1}
# Not a part of a request: the less a worker has to do, the more often it waits, for fewer events each time.
WAITS = {"epoll_wait", "epoll_pwait"}
FIGURES = ("cpu", "total", "rate", "p50", "p99", "foreign")
SCENARIO_NAMES = list(TITLES)
DEFAULTS = {"rounds": 15, "seconds": 0.25, "starts": 3, "syscalls": True}
QUICK = {"rounds": 1, "seconds": 0.25, "starts": 1, "syscalls": False}


def cannot_run() -> str | None:
    return None


class Started(Running):
    """A front with its backend."""

    def __init__(self, front: Front, scratch: Path):
        super().__init__(front.name, scratch / front.name.replace(" ", "-"))
        self.front = front

    def scenario(self, name: str) -> Scenario:
        suffix = ".php" if self.front.backend == "php-fpm" else ""
        return Scenario(name + suffix, TITLES[name], SIZES[name], posted=POSTED if name == "post" else b"")

    def begin(self) -> None:
        self.start(self.front.commands(Site(self.directory, self.port, self.scenario("hello"))), SOURCES, {})

    def ready(self) -> None:
        for name in self.front.scenarios:
            self.wait(self.scenario(name), SIZES[name], time.monotonic() + 20)

    def web(self) -> list[int]:
        """The web server's own processes; what mod_fcgid has started is none of them."""
        program = os.path.realpath(NGINX if self.front.server == "nginx" else HTTPD)
        tree = processes.tree([self.processes[-1].pid])
        return [pid for pid in tree if os.path.realpath(f"/proc/{pid}/exe") == program]

    def put_load(self, name: str, seconds: float) -> dict:
        scenario = self.scenario(name)
        if name == "slow":
            return slow.load(self.port, scenario.path, len(scenario.answer), CONNECTIONS, seconds)
        return load.wrk(self.port, scenario, CONNECTIONS, seconds)


def measure(running: Started, name: str, seconds: float) -> dict:
    """One round: CPU time of the web server only."""
    try:
        return load.measure(lambda: running.put_load(name, seconds), running.web, running.everybody, len(SIZES[name]))
    except BenchError as error:
        raise BenchError(f"{running.name}, {name}: {error}; {running.last_words()}") from None


def system_calls(running: Started, name: str, seconds: float) -> dict[str, float]:
    """System calls of the web server per request, by name."""
    return calls.count(running.web(), running.directory / "calls", lambda: running.put_load(name, seconds)["requests"])


class Results:
    """All rounds of all fronts, by scenario."""

    def __init__(self):
        self.rounds: dict[tuple[str, str], list[dict]] = {}
        self.calls: dict[tuple[str, str], dict[str, float]] = {}
        self.absent: dict[str, str] = {}

    def ratios(self, name: str, ours: Front, other: Front, figure: str) -> list[float]:
        """The ratio within each round."""
        both = zip(self.rounds.get((name, ours.name), []), self.rounds.get((name, other.name), []))
        return [a[figure] / b[figure] for a, b in both if b[figure]]

    def line(self, name: str, front: Front) -> str:
        rounds = self.rounds[name, front.name]
        cpu, total, rate, p50, p99, foreign = (median(one[key] for one in rounds) for key in FIGURES)
        made = self.calls.get((name, front.name))
        counted = f"{sum(made.values()):8.2f}" if made else "       -"
        others = [(self.ratios(name, front, other, "cpu"), other.name) for other in rivals(front)] if front.role == "ours" else []
        ratios = "".join(f"  {median(values):.2f} x {other.split(' ', 1)[1]}" for values, other in others if values)
        errors = sum(one["errors"] for one in rounds)
        note = (f"  {errors} ERRORS" if errors else "") + (f"  (others {foreign:.0%})" if foreign > 0.1 else "")
        return f"  {front.name:38}{cpu:8.1f}{total:9.1f}{rate:9.0f}{p50:9.0f}{p99:9.0f}{counted}{ratios}{note}"

    def table(self, name: str) -> str:
        fronts = [front for front in FRONTS if (name, front.name) in self.rounds]
        fronts.sort(key=lambda front: (front.server, front.backend))
        head = f"{TITLES[name]}, {CONNECTIONS} connections"
        title = f"{head:40}{'CPU us':>8}{'with be.':>9}{'req/s':>9}{'p50 us':>9}{'p99 us':>9}{'calls':>8}"
        return "\n".join([title, *(self.line(name, front) for front in fronts)])

    def verdicts(self) -> list[dict]:
        """Every promise that was measured. System calls count at equal reuse of connections; httpd has no promise of them."""
        found = []
        for name, ours in self.rounds:
            front = next(front for front in FRONTS if front.name == ours)
            for other in rivals(front) if front.role == "ours" else []:
                if ratios := self.ratios(name, front, other, "cpu"):
                    sound = not any(one["errors"] for one in self.rounds[name, ours])
                    found.append(verdict(name, front, other, "CPU", ratios, cpu_limit(name, front, other), sound))
                mine, theirs = self.calls.get((name, ours)), self.calls.get((name, other.name))
                if mine and theirs and front.server == "nginx":
                    limit = CALLS if other.role == "default" else LOOKED_AT_TWICE.get((front.backend, name), CALLS)
                    found.append(verdict(name, front, other, "system calls", [own(mine) / own(theirs)], limit, True))
        return found


def cpu_limit(name: str, ours: Front, other: Front) -> float:
    """How much of the other's CPU time a request may take."""
    if (ours.server, ours.backend, other.role, name) == ("nginx", "libfcgi", "default", "hello"):
        return OUT_OF_THE_BOX
    # Stock out of the box keeps no connection.
    is_kept = ours.server == "nginx" and other.role != "default"
    return CAREFUL.get((ours.backend, name), 1.0) if is_kept else 1.0


def own(made: dict[str, float]) -> float:
    return sum(count for call, count in made.items() if call not in WAITS)


def verdict(name: str, ours: Front, other: Front, figure: str, ratios: list[float], limit: float, sound: bool) -> dict:
    found = {"scenario": name, "ours": ours.name, "other": other.name, "figure": figure}
    return found | report.judge(ratios, limit, sound)


def rivals(front: Front) -> list[Front]:
    return [other for other in FRONTS if (other.server, other.backend) == (front.server, front.backend) and other.role != "ours"]


def start_all(fronts: list[Front], scratch: Path, results: Results, everything: list[Started]) -> list[Started]:
    for front in fronts:
        if lacking := next((file for file in front.needs if not file.exists()), None):
            results.absent[front.name] = f"no {lacking.name}"
            continue
        running = Started(front, scratch)
        everything.append(running)
        running.begin()
    ready = []
    for running in everything:
        try:
            running.ready()
            ready.append(running)
        except BenchError as error:
            results.absent[running.front.name] = str(error)
    return ready


def shuffled(fronts: list[Started]) -> list[Started]:
    """Another order in every round, in which those that are compared follow each other: then they meet the same neighbours."""
    groups: dict[tuple[str, str], list[Started]] = {}
    for running in fronts:
        groups.setdefault((running.front.server, running.front.backend), []).append(running)
    order = random.sample(list(groups.values()), len(groups))
    return [running for group in order for running in random.sample(group, len(group))]


def rounds(options: argparse.Namespace, fronts: list[Front], scratch: Path, results: Results) -> None:
    """The rounds are spread over several starts of every server: where its memory happens to lie decides some percent of what
    a process costs, for as long as it lives."""
    for start in range(options.starts):
        everything: list[Started] = []
        try:
            place = scratch / str(start)
            place.mkdir(mode=0o755)
            ready = start_all(fronts, place, results, everything)
            is_last = start == options.starts - 1
            for name in options.only:
                taking_part = [running for running in ready if name in running.front.scenarios]
                for number in range(-1, -(-options.rounds // options.starts)):
                    for running in shuffled(taking_part):
                        got = measure(running, name, options.seconds if number >= 0 else 0.3)
                        if number >= 0:
                            results.rounds.setdefault((name, running.front.name), []).append(got)
                for running in taking_part if options.syscalls and calls.tool() and is_last else []:
                    results.calls[name, running.front.name] = system_calls(running, name, max(1.0, options.seconds))
        finally:
            for running in everything:
                running.stop()
    for name in options.only:
        print("\n" + results.table(name), flush=True)


def run(options: argparse.Namespace, scratch: Path) -> dict:
    compiled()
    print("CPU us: of the web server per request, without the backend")
    results = Results()
    rounds(options, [front for front in FRONTS if options.chosen(front.name)], scratch, results)
    for name, reason in results.absent.items():
        print(f"{name}: not measured: {reason}")
    rows = [
        {"scenario": name, "peer": peer, "rounds": found, "calls": results.calls.get((name, peer))}
        for (name, peer), found in results.rounds.items()
    ]
    return {"rows": rows, "absent": results.absent, "verdicts": results.verdicts()}
