# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a process of gangway-host has of others: these descriptors and this memory and nothing else, and whatever an application does with that costs nobody
but itself."""

import concurrent.futures
import json
import os
import signal
from pathlib import Path

import pytest

from harness import processes
from harness.command import Gangway
from harness.deadline import wait_until
from harness.wire import Closed, Truncated

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

PRELOAD = pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])
NAME = f"scribbler{os.getpid()}"
# Of its own, made by gangway-host and the engine.
OWN = {"anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:[signalfd]", "anon_inode:[timerfd]"}


def requests_share(kind):
    """Whether requests of a worker share a connection, and with it a page of memory."""
    return kind.startswith("nginx")


def sockets():
    """The unix sockets of this machine, as /proc/PID/fd names them -> where they or who accepted them listens."""
    lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()[1:]
    return {f"socket:[{fields[6]}]": fields[7] if len(fields) > 7 else None for fields in (line.split() for line in lines)}


def shared(pid):
    """The memory that a process has together with others and may write. (Of what may be read alone there is the C library's table of character sets.)"""
    fields = (line.split(None, 5) for line in Path(f"/proc/{pid}/maps").read_text().splitlines())
    return {found[5].strip() if len(found) > 5 else "" for found in fields if found[1][3] == "s" and "w" in found[1]}


def together(server, path, count):
    """So many at a time, each with a status or nothing."""

    def ask(_):
        try:
            return server.get(path, timeout=30).status
        except (OSError, Closed, Truncated):
            return None

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(ask, range(count)))


def serve(launch, kind, preload):
    def configure(site):
        site.workers = 2
        site.wsgi("/bad", "scribbler:app", name=NAME, processes=1, threads=4, timeout="2s", preload=preload)
        site.wsgi("/good", "bad_days:app", processes=1, threads=4, timeout="60s", preload=preload)
        site.wsgi("/inside", "pep3333:app", threads=4)

    return launch(configure, warm=["/bad/pid", "/good/pid", "/inside/hello"])


@PRELOAD
def test_a_process_has_these_descriptors_and_this_memory(launch, gate, kind, preload):
    server = serve(launch, kind, preload)
    together(server, "/bad/pid", 8)
    pid = json.loads(server.get("/bad/pid").body)
    client = server.connect()
    client.request("GET", f"/bad/wait?{gate.query}")
    visitor = gate.visitor().at("inside")
    assert visitor.pid == pid
    (run,) = (path for path in processes.run_directories(server.pid()) if os.path.isdir(path))
    found, known = processes.descriptors(pid), sockets()
    # It takes requests on the first, and writes into the log by the others, which are one.
    # What it was given as its descriptor 0 it has taken elsewhere; by the others, which are one, it writes into the log.
    assert found[0] == "/dev/null" and found[1] == found[2] and found[1].startswith("pipe:"), found
    others = {number: target for number, target in found.items() if number > 2 and target not in OWN}
    # The gate is the application's own: its end has no name.
    own = {number for number, target in others.items() if target in known and known[target] is None}
    assert len(own) == 1, (others, known)
    # Where it listens, and who has connected to it there.
    names = {number: known.get(target) for number, target in others.items() if number not in own}
    assert len(set(names.values())) == 1 and os.path.dirname(names.popitem()[1]) == run, others
    # One of each worker at least, and in httpd one for each request that was there at a time.
    assert len(others) - 1 <= 12, others
    assert shared(pid) <= ({"/memfd:gangway-begun (deleted)"} if requests_share(kind) else set())
    status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status").read().splitlines())
    # Which it takes from a descriptor.
    assert int(status["SigBlk"], 16) == sum(1 << (number - 1) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    visitor.go()
    assert client.response().status == 200


@PRELOAD
def test_a_template_has_its_descriptors_and_no_memory_of_others(launch, kind, preload):
    if not preload:
        pytest.skip("there is no template")
    server = serve(launch, kind, preload)
    serving = {json.loads(server.get("/bad/pid").body), int(server.get("/good/pid").text)}
    for pid in set(server.managed()) - serving:
        found = processes.descriptors(pid)
        assert found[1] == found[2] and found[1].startswith("pipe:"), found
        others = {number: target for number, target in found.items() if number not in (1, 2) and target not in OWN}
        # The way to gangway-spawn, and what stands in its old place.
        assert sorted(target.partition(":")[0] for target in others.values()) == ["/dev/null", "socket"], found
        assert shared(pid) == set()


@PRELOAD
@pytest.mark.parametrize("value", ["0", "1", "2", "3", str((1 << 64) - 1), "noise"])
def test_an_application_that_scribbles_over_all_that_it_shares_harms_nobody_else(launch, workspace, gate, kind, preload, value):
    server = serve(launch, kind, preload)
    server.log.allow(r"GW04\d\d|GW07\d\d|GW090[1-7]|GW03\d\d|upstream|prematurely|recv\(\)|readv\(\)|connect\(\) to unix")
    workers, good = server.workers(), int(server.get("/good/pid").text)
    # Others of its own wait meanwhile.
    waiting = [server.connect() for _ in range(2)]
    for client in waiting:
        client.request("GET", f"/bad/wait?{gate.query}")
    visitors = [gate.visitor().at("inside") for _ in waiting]
    response = server.get(f"/bad/scribble?value={value}", timeout=30)
    if response.status == 200:
        assert set(json.loads(response.body)) == ({"/memfd:gangway-begun (deleted)"} if requests_share(kind) else set())
    # Its own requests get what it has made of them, but for ever they do not wait.
    mine = together(server, "/bad/pid", 12)
    assert set(mine) <= {200, 500, 502, 503, 504}, mine
    for visitor in visitors:
        visitor.go()
    for client in waiting:
        try:
            assert client.response().status in (200, 500, 502, 503, 504)
        except (Closed, Truncated):
            pass
    for path in ("/good/pid", "/inside/hello"):
        assert together(server, path, 12) == [200] * 12, path
    assert (server.workers(), int(server.get("/good/pid").text)) == (workers, good)
    # Another process of it begins with memory of its own.
    gangway = Gangway(workspace, server)
    gangway("restart", NAME)
    wait_until(lambda: together(server, "/bad/pid", 8) == [200] * 8, "it answers again", 60)
    server.settle()
