#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a hello costs in instructions and allocations, of WSGI, ASGI and mod_python's API, by callgrind: a run with many requests less one with few, so that
starting and ending do not count. Each goes over one connection, one request after the other, and nothing depends on the
speed of the machine."""

import argparse
import collections
import contextlib
import re
import socket
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from harness import asgi_peers, managed_peers, processes  # noqa: E402
from harness.load import BenchError  # noqa: E402
from harness.peers import APPS, DIST, ENVIRONMENT, HELLO, Site, httpd_gangway, nginx_gangway  # noqa: E402
from harness.running import Running  # noqa: E402
from harness.scenarios import SCENARIOS  # noqa: E402
from suites import asgi, handlers  # noqa: E402

SERVERS = {"nginx": (nginx_gangway, SCENARIOS), "httpd": (httpd_gangway, SCENARIOS)}
SERVERS |= {"nginx-asgi": (asgi_peers.gangway_in_nginx, asgi.SCENARIOS), "httpd-asgi": (asgi_peers.gangway_in_httpd, asgi.SCENARIOS)}
SERVERS |= {"nginx-handler": (handlers.nginx_handler, SCENARIOS), "httpd-handler": (partial(handlers.ours, reload="Off"), SCENARIOS)}
SERVERS |= {"httpd-file": (handlers.httpd_unloaded, SCENARIOS), "httpd-file-loaded": (handlers.httpd_loaded, SCENARIOS)}
# The worker's part; whether that of the process is in it depends on which file of callgrind's is written when it is told to end.
SERVERS |= {"nginx-managed": (managed_peers.nginx_managed, SCENARIOS)}
FEW, MANY = 1000, 9000
# What ours, and others, take memory by.
ALLOCATORS = ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc")
OURS = re.compile(r"((ngx_http_gangway_module|mod_gangway|gangway_python\w*)\.so|gangway-host)$")
CALLGRIND = ["valgrind", "--tool=callgrind", "--trace-children=yes", "--quiet", "--compress-pos=no"]
# Of a server that starts, or ends, in slow motion.
PATIENCE = 180.0


def ask(*connections: socket.socket) -> None:
    for connection in connections:
        connection.sendall(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
    for connection in connections:
        read_answer(connection)


def read_answer(connection: socket.socket) -> None:
    answer = b""
    # A handler that flushes what it writes has it sent in chunks.
    while not answer.endswith((HELLO, b"\r\n0\r\n\r\n")):
        piece = connection.recv(65536)
        if not piece:
            raise BenchError(f"the server has closed the connection behind {answer!r}")
        answer += piece
    if not answer.startswith(b"HTTP/1.1 200"):
        raise BenchError(f"not an answer: {answer[:200]!r}")


def connect(running: Running) -> socket.socket:
    end = time.monotonic() + PATIENCE
    while True:
        connection = socket.socket()
        connection.settimeout(PATIENCE)
        try:
            connection.connect(("127.0.0.1", running.port))
            ask(connection)
            return connection
        except (OSError, BenchError) as error:
            connection.close()
            if time.monotonic() > end or any(process.poll() is not None for process in running.processes):
                raise BenchError(f"it does not answer: {error}; {running.last_words()}") from None
            time.sleep(0.1)


def run(server: str, requests: int, connections: int, folder: Path) -> collections.Counter:
    """What a server counts that answers so many requests over so many connections."""
    running = Running(server, folder)
    # The user of the workers writes here.
    folder.chmod(0o1777)
    peer, scenarios = SERVERS[server]
    site = Site(folder, running.port, next(scenario for scenario in scenarios if scenario.name == "hello"))
    [command] = peer(site)
    running.start([[*CALLGRIND, f"--callgrind-out-file={folder}/callgrind.%p", *command]], APPS, ENVIRONMENT)
    try:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(contextlib.closing(connect(running))) for _ in range(connections)]
            for _ in range(requests // connections):
                ask(*clients)
    finally:
        processes.stop(running.processes, PATIENCE)
    counted = collections.Counter()
    for file in folder.glob("callgrind.*"):
        counted.update(count(file))
    return counted


def count(file: Path) -> collections.Counter:
    """Instructions of each object, and calls of allocators by ours and by all."""
    counted, names = collections.Counter(), {"ob": {}, "fn": {}}
    place, called = {"ob": "", "fn": ""}, {"ob": "", "fn": ""}
    is_inclusive = False
    for line in file.open(errors="replace"):
        if match := re.match(r"(c?)(ob|fn)=\((\d+)\)(?: (.*))?", line):
            prefix, kind, number, name = match.groups()
            if name is not None:
                names[kind][number] = name.strip()
            (called if prefix else place)[kind] = names[kind][number]
        elif line.startswith("calls="):
            function = called["fn"].split("'")[0]
            if function in ALLOCATORS:
                calls = int(line[6:].split()[0])
                counted["allocations", function] += calls
                if OURS.search(place["ob"]):
                    counted["our allocations", function] += calls
            called["ob"] = place["ob"]
            is_inclusive = True
        elif re.match(r"[\d+*-]\S* \d", line):
            if not is_inclusive:
                counted["instructions", Path(place["ob"]).name] += int(line.split()[1])
                kind = "functions" if OURS.search(place["ob"]) else "other functions"
                counted[kind, place["fn"]] += int(line.split()[1])
            is_inclusive = False
    return counted


def report(server: str, spent: collections.Counter, requests: int, functions: int) -> None:
    each = {key: value / requests for key, value in spent.items()}
    ours = sum(value for (kind, name), value in each.items() if kind == "instructions" and OURS.search(name))
    total = sum(value for (kind, _), value in each.items() if kind == "instructions")
    print(f"{server}: a hello takes {ours:,.0f} instructions of ours, {total:,.0f} in all")
    others = [(value, name) for (kind, name), value in each.items() if kind == "instructions" and not OURS.search(name)]
    print("  " + ", ".join(f"{name or '?'} {value:,.0f}" for value, name in sorted(others, reverse=True) if value >= 50))
    for kind in ("our allocations", "allocations"):
        parts = [f"{name} {value:.2f}" for (found, name), value in sorted(each.items()) if found == kind and value >= 0.005]
        print(f"  {kind}: {', '.join(parts) or 'none'}")
    for listed in ("functions", "other functions"):
        most = sorted(((value, name) for (kind, name), value in each.items() if kind == listed), reverse=True)
        if functions:
            print(f"  {listed}:")
        for value, name in most[:functions]:
            print(f"  {value:7,.0f}  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"of {', '.join(SERVERS)}; default: all")
    parser.add_argument("--functions", type=int, default=0, metavar="N", help="list the N that take the most, of ours and of others")
    parser.add_argument("--connections", type=int, default=1, metavar="N", help="at the same time; default: 1")
    arguments = parser.parse_args()
    servers = arguments.servers or list(SERVERS)
    if unknown := set(servers) - set(SERVERS):
        parser.error(f"{', '.join(sorted(unknown))}: the servers are {', '.join(SERVERS)}")
    print(f"modules of {DIST}")
    for server in servers:
        with tempfile.TemporaryDirectory(prefix="gangway-instructions-") as folder:
            Path(folder).chmod(0o755)
            counted = [run(server, requests, arguments.connections, Path(folder, str(requests))) for requests in (FEW, MANY)]
            few, many = counted
            many.subtract(few)
            report(server, many, MANY - FEW, arguments.functions)


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"instructions: {error}")
