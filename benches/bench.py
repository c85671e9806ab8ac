#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Gangway beside its peers, in interleaved rounds: a suite for each kind of handler. See benches/README.md for the method."""

import argparse
import contextlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from harness import report  # noqa: E402
from harness.peers import ROOT  # noqa: E402
from suites import asgi, cgi, handlers, managed, upstreams, wsgi  # noqa: E402

SUITES = {"wsgi": wsgi, "asgi": asgi, "managed": managed, "upstreams": upstreams, "cgi": cgi, "handlers": handlers}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="few short rounds: whether it works, not what it costs")
    parser.add_argument("--only", action="append", metavar="SCENARIO", help="repeatable; a suite that has none of them does not run")
    parser.add_argument("--peers", metavar="NAME,NAME", default="", help="default: all; a part of a name is enough")
    parser.add_argument("--connections", type=lambda text: tuple(map(int, text.split(","))), help="wsgi: of the scenario's own; cgi: the number")
    parser.add_argument("--rounds", type=int, help="default: 15, cgi 5")
    parser.add_argument("--seconds", type=float, help="length of a round; default: 0.25, cgi 2")
    parser.add_argument("--starts", type=int, help="upstreams: how often everything is started; the rounds are divided among them (default 3)")
    parser.add_argument("--limit", type=float, default=690.0, help="wsgi: seconds after which no further round starts (default 690)")
    syscalls = argparse.BooleanOptionalAction
    parser.add_argument("--syscalls", action=syscalls, help="count system calls per request; default: upstreams does unless --quick")
    parser.add_argument("--check", action="store_true", help="exit status 1 when a target is missed")
    parser.add_argument("--keep", action="store_true", help="keep configurations and logs")
    options = parser.parse_args()
    options.suites = options.suites or list(SUITES)
    if unknown := set(options.suites) - set(SUITES):
        parser.error(f"{', '.join(sorted(unknown))}: the suites are {', '.join(SUITES)}")
    known = {name for suite in options.suites for name in SUITES[suite].SCENARIO_NAMES}
    if unknown := set(options.only or ()) - known:
        parser.error(f"--only {', '.join(sorted(unknown))}: the scenarios are {', '.join(sorted(known))}")
    return options


def machine() -> dict:
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?")
    return {"cpus": os.cpu_count(), "model": model, "kernel": platform.release(), "load": os.getloadavg(), "python": platform.python_version()}


def for_suite(suite: str, options: argparse.Namespace) -> argparse.Namespace:
    """The options with the suite's own defaults."""
    own = argparse.Namespace(**vars(options))
    defaults = SUITES[suite].QUICK if options.quick else SUITES[suite].DEFAULTS
    for name, value in defaults.items():
        if getattr(own, name) is None:
            setattr(own, name, value)
    own.only = [name for name in SUITES[suite].SCENARIO_NAMES if not options.only or name in options.only]
    own.chosen = lambda name: any(part in name for part in options.peers.split(","))
    return own


def run(suite: str, options: argparse.Namespace) -> list[dict]:
    """The verdicts of a suite, whose results are then in a file."""
    started, facts = time.monotonic(), machine()
    print(f"\n{suite}: {facts['cpus']} x {facts['model']}, load {facts['load'][0]:.1f}; {options.rounds} rounds of {options.seconds:g} s, medians")
    with contextlib.ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="gangway-bench-"))
        if options.keep:
            print(f"configurations and logs: {scratch}")
        else:
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        scratch.chmod(0o755)
        found = SUITES[suite].run(options, scratch)
    print("\n" + "\n".join(report.summary(found["verdicts"]) if found["verdicts"] else ["targets: Gangway took no part"]))
    settings = {name: getattr(options, name) for name in ("rounds", "seconds", "starts", "connections", "quick")}
    file = ROOT / "benches/results" / time.strftime(f"{suite}-%Y%m%dT%H%M%S.json", time.gmtime())
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"suite": suite, "machine": facts, "settings": settings} | found, indent=1) + "\n")
    print(f"{time.monotonic() - started:.0f} s; {file.relative_to(ROOT)}", flush=True)
    return found["verdicts"]


def main() -> int:
    options, verdicts = arguments(), []
    if not shutil.which("wrk"):
        print("wrk is missing: make bench-setup installs the packages of tools/packages-bench.txt", file=sys.stderr)
        return 2
    for suite in options.suites:
        own = for_suite(suite, options)
        if reason := SUITES[suite].cannot_run():
            print(f"\n{suite}: {reason}")
        elif own.only:
            verdicts += run(suite, own)
    return 1 if options.check and any(verdict["result"] == "MISSED" for verdict in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
