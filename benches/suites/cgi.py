# SPDX-License-Identifier: MIT OR Apache-2.0
"""CGI programs: Gangway beside fcgiwrap, mod_cgid, mod_cgi and lighttpd, and the ceiling of a bare posix_spawn loop.

Most of the CPU time is that of programs which live for half a millisecond. So each peer runs in a control group of its own,
whose clock also counts what has ended. Needs root.
"""

import argparse
import os
import random
import subprocess
import time
import urllib.request
from pathlib import Path
from statistics import median

from harness import load, report
from harness.cgi_peers import PEERS, SOURCES, Site
from harness.groups import Group
from harness.load import BenchError
from harness.scenarios import Scenario

ANSWER = b"hello\n"
PROGRAMS = {
    "c": Scenario("cgi-bin/hello", "static C", ANSWER),
    "sh": Scenario("cgi-bin/hello.sh", "/bin/sh", ANSWER),
}
SCENARIO_NAMES = list(PROGRAMS)
DEFAULTS = {"rounds": 5, "seconds": 2.0, "connections": (16,)}
QUICK = {"rounds": 1, "seconds": 1.0, "connections": (16,)}
# Targets: of the bare loop for the static program; with 1 GiB in the worker, of the same without.
CEILING = 1.3
LARGE = 1.1


def cannot_run() -> str | None:
    return None if os.geteuid() == 0 else "needs root, for its control groups"


def prepare(root):
    scripts = root / "cgi-bin"
    scripts.mkdir()
    for source, name, flags in (("hello.c", "hello", ["-static"]), ("ceiling.c", "ceiling", [])):
        target = scripts / name if name == "hello" else root / name
        subprocess.run(["gcc", "-O2", *flags, SOURCES / source, "-o", target], check=True)
    (scripts / "hello.sh").write_text("#!/bin/sh\necho 'Content-Type: text/plain'\necho\necho hello\n")
    for file in scripts.iterdir():
        file.chmod(0o755)


def answer(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
        return response.read()


def begin(site, peer):
    """The group of a running peer."""
    group = Group(site.name)
    try:
        for command in PEERS[peer](site):
            group.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                if answer(site.port, "/cgi-bin/hello") == ANSWER:
                    break
            except OSError as error:
                if time.monotonic() > deadline:
                    log = site.folder / "error.log"
                    raise BenchError(f"{error}; {log.read_text()[-600:] if log.exists() else ''}") from None
            time.sleep(0.05)
        if peer.endswith("-1g") and answer(site.port, "/ballast") != b"1073741824\n":
            raise BenchError("has no ballast")
    except (BenchError, OSError, TypeError) as error:
        group.end()
        raise BenchError(str(error)) from None
    return group


def ceiling(root, program, seconds):
    """CPU time and rate of the bare loop."""
    group = Group("ceiling")
    child = group.start(root / "ceiling", root / program.name, seconds, stdout=subprocess.PIPE)
    runs = int(child.communicate()[0])
    result = {"requests": runs, "cpu": group.cpu() / runs * 1e6, "rate": runs / seconds, "p99": 0.0, "errors": 0}
    group.end()
    return result


def measure(site, group, program, options):
    before = group.cpu()
    got = load.wrk(site.port, program, options.connections[0], options.seconds)
    if not got["requests"]:
        raise BenchError(f"{site.name}: no request was answered")
    # Programs that were under way when the load ended are the round's as well.
    time.sleep(0.2)
    return load.figures(got, len(program.answer), group.cpu() - before)


def middle(rounds, key):
    return median(entry[key] for entry in rounds)


def table(title, peers):
    base = middle(peers["ceiling"], "cpu")
    lines = [f"CGI hello, {title}: CPU of server and programs per request"]
    for name, rounds in sorted(peers.items(), key=lambda item: middle(item[1], "cpu")):
        cpu, rate, p99 = (middle(rounds, key) for key in ("cpu", "rate", "p99"))
        errors = sum(entry["errors"] for entry in rounds)
        more = f"  {errors} ERRORS" if errors else ""
        lines.append(f"  {name:18} {cpu:7.0f} us  {cpu / base:5.2f} x ceiling  {rate:7.0f}/s  p99 {p99 / 1e3:7.1f} ms{more}")
    return "\n".join(lines)


def verdicts(name, peers):
    """Every promise that was measured: ahead of every peer, near the loop for the static program, and no difference with 1 GiB."""
    ours = [peer for peer in peers if "gangway" in peer]
    limits = [(mine, other, 1.0) for mine in ours for other in peers if other not in ours and other != "ceiling"]
    limits += [(mine, "ceiling", CEILING) for mine in ours if name == "c"]
    if {"nginx-gangway", "nginx-gangway-1g"} <= set(ours):
        limits.append(("nginx-gangway-1g", "nginx-gangway", LARGE))
    found = []
    for mine, other, limit in limits:
        ratios = [a["cpu"] / b["cpu"] for a, b in zip(peers[mine], peers[other])]
        sound = not any(entry["errors"] for entry in peers[mine])
        where = {"scenario": PROGRAMS[name].title, "ours": mine, "other": other, "figure": "CPU"}
        found.append(where | report.judge(ratios, limit, sound))
    return found


def rounds(options, root, running, results):
    for _ in range(options.rounds):
        for name in options.only:
            program = PROGRAMS[name]
            results[name].setdefault("ceiling", []).append(ceiling(root, program, options.seconds))
            for peer in random.sample(list(running), len(running)):
                results[name].setdefault(peer, []).append(measure(*running[peer], program, options))


def run(options: argparse.Namespace, scratch: Path) -> dict:
    results = {name: {} for name in options.only}
    running, absent = {}, {}
    try:
        prepare(scratch)
        for peer in filter(options.chosen, PEERS):
            try:
                site = Site(scratch, peer)
                running[peer] = (site, begin(site, peer))
            except BenchError as error:
                absent[peer] = str(error)
        rounds(options, scratch, running, results)
    finally:
        for _, group in running.values():
            group.end()
    for name, peers in results.items():
        print("\n" + table(PROGRAMS[name].title, peers), flush=True)
    for name, reason in absent.items():
        print(f"  {name:18} not measured: {reason}")
    return {"results": results, "absent": absent, "verdicts": [one for name, peers in results.items() for one in verdicts(name, peers)]}
