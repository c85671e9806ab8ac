#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""FastCGI, SCGI and uwsgi: Gangway beside the stock modules of nginx and httpd, in interleaved rounds. See benches/README.md."""

import argparse
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from harness import calls, load, processes, report, slow  # noqa: E402
from harness.load import BenchError  # noqa: E402
from harness.peers import HTTPD, NGINX, ROOT, Site  # noqa: E402
from harness.scenarios import HELLO, PATTERN, POSTED, Scenario  # noqa: E402
from harness.upstream_peers import FRONTS, SOURCES, Front, compiled  # noqa: E402

CONNECTIONS = 32
SIZES = {"hello": HELLO, "body": PATTERN * (64 * 1024 // 16), "post": HELLO, "slow": PATTERN * (1024 * 1024 // 16)}
TITLES = {"hello": "hello", "body": "64 KiB response", "post": "16 KiB POST", "slow": "1 MiB response to slow readers"}
# Issue targets: the web server's CPU time of a FastCGI hello against stock nginx out of the box.
OUT_OF_THE_BOX = 0.6
# Batches of events are never quite the same: what is within two percent is no more.
CALLS = 1.02
# Not a part of a request: the less a worker has to do, the more often it waits, for fewer events each time.
WAITS = {"epoll_wait", "epoll_pwait"}
FIGURES = ("cpu", "total", "rate", "p50", "p99", "foreign")


class Running:
    """A started front with its backend."""

    def __init__(self, front: Front, scratch: Path):
        self.front = front
        self.site = Site(scratch / front.name.replace(" ", "-"), 0, self.scenario("hello"))
        self.site.directory.mkdir(mode=0o755)
        self.processes = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.site.port = probe.getsockname()[1]

    def scenario(self, name: str) -> Scenario:
        suffix = ".php" if self.front.backend == "php-fpm" else ""
        return Scenario(name + suffix, TITLES[name], SIZES[name], posted=POSTED if name == "post" else b"")

    def start(self) -> None:
        for command in self.front.commands(self.site):
            self.processes.append(processes.start(command, self.site.directory, SOURCES, {}))

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        for name in self.front.scenarios:
            while True:
                try:
                    load.check_answer(self.site.port, self.scenario(name), SIZES[name])
                    break
                except (BenchError, OSError, load.http.client.HTTPException) as error:
                    if time.monotonic() > deadline:
                        raise BenchError(f"{name}: {error}; {self.last_words()}") from None
                time.sleep(0.05)

    def last_words(self) -> str:
        logs = [self.site.directory / name for name in ("output.log", "error.log", "fpm.log")]
        lines = [line.strip() for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()[-3:]]
        return " | ".join(lines)[-600:]

    def everybody(self) -> list[int]:
        return processes.tree([process.pid for process in self.processes])

    def web(self) -> list[int]:
        """The web server's own processes; what mod_fcgid has started is none of them."""
        program = os.path.realpath(NGINX if self.front.server == "nginx" else HTTPD)
        tree = processes.tree([self.processes[-1].pid])
        return [pid for pid in tree if os.path.realpath(f"/proc/{pid}/exe") == program]

    def put_load(self, name: str, seconds: float) -> dict:
        scenario = self.scenario(name)
        if name == "slow":
            return slow.load(self.site.port, scenario.path, len(scenario.answer), CONNECTIONS, seconds)
        return load.wrk(self.site.port, scenario, CONNECTIONS, seconds)

    def stop(self) -> None:
        processes.stop(self.processes)


def measure(running: Running, name: str, seconds: float) -> dict:
    """One round: CPU time of the web server only. `foreign` is the share of the machine that was nobody's of this benchmark."""
    web, everybody = running.web(), running.everybody()
    before, whole = processes.usage(web), processes.usage(everybody)
    own, busy, clock = own_cpu(), processes.busy_seconds(), time.monotonic()
    got = running.put_load(name, seconds)
    elapsed = time.monotonic() - clock
    spent, total = processes.usage(web).since(before), processes.usage(everybody).since(whole)
    requests = got["requests"]
    if not requests:
        raise BenchError(f"{name}: no request was answered; {running.last_words()}")
    foreign = processes.busy_seconds() - busy - total.cpu - (own_cpu() - own)
    errors = sum(got[kind] for kind in ("status", "connect", "read", "write", "timeout"))
    return {
        "requests": requests,
        "rate": requests / (got["micros"] / 1e6),
        "p50": got["p50"],
        "p99": got["p99"],
        "cpu": spent.cpu / requests * 1e6,
        "total": total.cpu / requests * 1e6,
        "switches": spent.switches / requests,
        "errors": max(errors, int(got["bytes"] < requests * len(SIZES[name]))),
        "foreign": max(0.0, foreign / elapsed / (os.cpu_count() or 1)),
    }


def own_cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def system_calls(running: Running, name: str, seconds: float) -> dict[str, float]:
    """System calls of the web server per request, by name."""
    return calls.count(running.web(), running.site.directory / "calls", lambda: running.put_load(name, seconds)["requests"])


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
                    box = (front.server, front.backend, other.role, name) == ("nginx", "libfcgi", "default", "hello")
                    sound = not any(one["errors"] for one in self.rounds[name, ours])
                    found.append(verdict(name, front, other, "CPU", ratios, OUT_OF_THE_BOX if box else 1.0, sound))
                mine, theirs = self.calls.get((name, ours)), self.calls.get((name, other.name))
                if mine and theirs and front.server == "nginx":
                    found.append(verdict(name, front, other, "system calls", [own(mine) / own(theirs)], CALLS, True))
        return found


def own(made: dict[str, float]) -> float:
    return sum(count for call, count in made.items() if call not in WAITS)


def verdict(name: str, ours: Front, other: Front, figure: str, ratios: list[float], limit: float, sound: bool) -> dict:
    found = {"scenario": name, "ours": ours.name, "other": other.name, "figure": figure}
    return found | report.judge(ratios, limit, sound)


def rivals(front: Front) -> list[Front]:
    return [other for other in FRONTS if (other.server, other.backend) == (front.server, front.backend) and other.role != "ours"]


def start_all(fronts: list[Front], scratch: Path, results: Results, everything: list[Running]) -> list[Running]:
    for front in fronts:
        if lacking := next((file for file in front.needs if not file.exists()), None):
            results.absent[front.name] = f"no {lacking.name}"
            continue
        running = Running(front, scratch)
        everything.append(running)
        running.start()
    ready = []
    for running in everything:
        try:
            running.wait()
            ready.append(running)
        except BenchError as error:
            results.absent[running.front.name] = str(error)
    return ready


def shuffled(fronts: list[Running]) -> list[Running]:
    """Another order in every round, in which those that are compared follow each other: then they meet the same neighbours."""
    groups: dict[tuple[str, str], list[Running]] = {}
    for running in fronts:
        groups.setdefault((running.front.server, running.front.backend), []).append(running)
    order = random.sample(list(groups.values()), len(groups))
    return [running for group in order for running in random.sample(group, len(group))]


def run(options: argparse.Namespace, scratch: Path, results: Results) -> None:
    """The rounds are spread over several starts of every server: where its memory happens to lie decides some percent of what
    a process costs, for as long as it lives."""
    for start in range(options.starts):
        everything: list[Running] = []
        try:
            place = scratch / str(start)
            place.mkdir(mode=0o755)
            ready = start_all(options.fronts, place, results, everything)
            is_last = start == options.starts - 1
            for name in options.only or TITLES:
                taking_part = [running for running in ready if name in running.front.scenarios]
                for number in range(-1, -(-options.rounds // options.starts)):
                    for running in shuffled(taking_part):
                        got = measure(running, name, options.seconds if number >= 0 else 0.3)
                        if number >= 0:
                            results.rounds.setdefault((name, running.front.name), []).append(got)
                for running in taking_part if options.syscalls and is_last else []:
                    results.calls[name, running.front.name] = system_calls(running, name, max(1.0, options.seconds))
        finally:
            for running in everything:
                running.stop()
    for name in options.only or TITLES:
        print("\n" + results.table(name), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", action="append", choices=TITLES, help="repeatable")
    parser.add_argument("--peers", default="", help="comma separated parts of names, of which a name must have one")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--starts", type=int, default=3, help="how often everything is started; the rounds are divided among them")
    parser.add_argument("--seconds", type=float, default=0.25, help="length of a round")
    parser.add_argument("--no-syscalls", dest="syscalls", action="store_false", help="do not count system calls")
    parser.add_argument("--check", action="store_true", help="exit status 1 when a target is missed")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs")
    options = parser.parse_args()
    options.fronts = [front for front in FRONTS if any(part in front.name for part in options.peers.split(","))]
    options.syscalls = options.syscalls and calls.tool() is not None
    return options


def main() -> int:
    options, results, started = arguments(), Results(), time.monotonic()
    compiled()
    scratch = Path(tempfile.mkdtemp(prefix="gangway-bench-"))
    scratch.chmod(0o755)
    facts = f"load {os.getloadavg()[0]:.1f}; {options.rounds} rounds of {options.seconds:g} s, {options.starts} starts"
    print(f"CPU us: of the web server per request, without the backend; {facts}")
    try:
        run(options, scratch, results)
    finally:
        print(f"configurations and logs: {scratch}") if options.keep else shutil.rmtree(scratch, ignore_errors=True)
    for name, reason in results.absent.items():
        print(f"{name}: not measured: {reason}")
    verdicts = results.verdicts()
    print("\n" + "\n".join(report.summary(verdicts)))
    file = ROOT / "benches/results" / time.strftime("upstreams-%Y%m%dT%H%M%S.json", time.gmtime())
    file.parent.mkdir(exist_ok=True)
    rows = [
        {"scenario": name, "peer": peer, "rounds": rounds, "calls": results.calls.get((name, peer))}
        for (name, peer), rounds in results.rounds.items()
    ]
    file.write_text(json.dumps({"rows": rows, "absent": results.absent, "verdicts": verdicts}, indent=1) + "\n")
    print(f"{time.monotonic() - started:.0f} s; {file.relative_to(ROOT)}")
    return 1 if options.check and any(one["result"] == "MISSED" for one in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
