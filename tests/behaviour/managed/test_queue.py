# SPDX-License-Identifier: MIT OR Apache-2.0
"""Requests that wait for a process do so in one queue of all workers: first come, first served."""

import json
import os
import signal

import pytest

from harness import processes, programs
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")

CROWD = 6


def configure_queue(site, kind, serve):
    # Prefork: one for each request, and one for who asks how many wait.
    site.workers = CROWD + 2 if kind == "apache-prefork" else 2
    site.status("/gangway")
    site.wsgi("/which", "bad_days:app", threads=4)
    serve(site)


def own(server):
    applications = json.loads(server.get("/gangway?json").body)["applications"]
    return next(app for app in applications if app["kind"] == "managed")


def connection(server):
    """A connection, and the worker that has it."""
    client = server.connect()
    client.request("GET", "/which/pid")
    return client, int(client.response().text)


def connections(server, kind):
    """As many as there are requests, in turn those of one worker and of the other."""
    if kind == "apache-prefork":
        found = [connection(server) for _ in range(CROWD)]
        assert len({worker for _, worker in found}) == CROWD
        return [client for client, _ in found]
    of_each = []
    for worker in server.workers():
        # Left alone one of them would have all.
        others = [other for other in server.workers() if other != worker]
        processes.stop(*others)
        try:
            found = [connection(server) for _ in range(CROWD // 2)]
        finally:
            for other in others:
                os.kill(other, signal.SIGCONT)
        assert {of for _, of in found} == {worker}
        of_each.append([client for client, _ in found])
    return [client for pair in zip(*of_each, strict=True) for client in pair]


def come_and_go(server, clients, gate, path):
    """Each asks when the one before is seen to wait. Answers in which order they had their turn, which is that of their answers."""
    turns = []
    for number, client in enumerate(clients):
        client.request("GET", f"{path}{gate.query}&name=n{number}&what=n{number}")
        if number == 0:
            visitor = gate.visitor()
        wait_until(lambda number=number: own(server)["waiting"] == number, lambda number=number: f"{number} wait: {own(server)}")
    for number, client in enumerate(clients):
        if number:
            visitor = gate.visitor()
        turns.append(visitor.next())
        waiting = own(server)["waiting"]
        assert waiting == len(clients) - 1 - number
        visitor.go()
        response = client.response()
        assert (response.status, response.text) == (200, f"n{number}")
    return turns


@pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])
def test_first_come_first_served_over_all_workers(launch, gate, kind, preload):
    serve = lambda site: site.wsgi("/app", "slow:app", processes=1, threads=1, timeout="60s", preload=preload)
    server = launch(lambda site: configure_queue(site, kind, serve), warm=["/app/hello", "/which/pid", "/gangway"])
    clients = connections(server, kind)
    names = [f"n{number}" for number in range(CROWD)]
    for _ in range(2):
        assert come_and_go(server, clients, gate, "/app/wait?") == names
    # In the other order they come from the other worker first.
    assert come_and_go(server, clients[::-1], gate, "/app/wait?") == names


def test_the_same_for_a_program(launch, gate, kind):
    def serve(site):
        root = programs.sources(site.scratch) / "php"
        site.apache_main += f"DocumentRoot {root}\n<Directory {root}>\nRequire all granted\n</Directory>\n"
        site.spawn(r"\.php(/|$)", "/usr/bin/php-cgi", kind="regex", processes=1, timeout="60s", nginx=f"root {root};")

    server = launch(lambda site: configure_queue(site, kind, serve), warm=["/env.php", "/which/pid", "/gangway"])
    assert come_and_go(server, connections(server, kind), gate, "/gate.php?") == [f"n{number}" for number in range(CROWD)]
