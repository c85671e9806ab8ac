# SPDX-License-Identifier: MIT OR Apache-2.0
"""Threads that a handler leaves running: what they do with its request reaches nobody, and harms no process."""

import threading

import pytest

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")

MODULE = """
import sys, threading
from mod_python import apache

# Threads take turns as often as they can.
sys.setswitchinterval(1e-6)

def uses(req, ended):
    calls = (
        lambda: req.write("INTRUDER" * 100),
        lambda: req.flush(),
        lambda: req.read(),
        lambda: req.sendfile(__file__),
        lambda: req.internal_redirect("/x"),
        lambda: req.headers_out.add("X-Intruder", "1"),
    )
    while not ended.wait(0.0001):
        for call in calls:
            try:
                call()
            except (RuntimeError, ValueError, OSError):
                continue

def handler(req):
    ended = threading.Event()
    for _ in range(4):
        threading.Thread(target=uses, args=(req, ended), daemon=True).start()
    threading.Timer(0.05, ended.set).start()
    body = req.read()
    req.write("own " + str(len(body)))
    return apache.OK
"""
CLIENTS, REQUESTS = 4, 40


@pytest.mark.parametrize("processes", ["", "processes=1"], ids=["server", "processes"])
def test_they_reach_nobody(launch, scratch, kind, processes):
    folder = scratch / "threads"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "leaves.py").write_text(MODULE)

    def configure(site):
        site.workers = CLIENTS if kind == "apache-prefork" else 1
        site.location("/leaves", handlers=(f"leaves root={folder} {processes}",))

    server = launch(configure, warm=["/leaves"])
    server.log.allow("GW0207|GW0501|GW0505")
    workers, others, wrong = server.workers(), server.managed(), []

    def ask(number):
        client = server.connect()
        for count in range(REQUESTS):
            try:
                client.request("POST", "/leaves", body=b"x" * count * 500)
                response = client.response()
            except (OSError, AssertionError) as error:
                wrong.append((number, count, error))
                return
            if (response.status, response.body, response.header("X-Intruder")) != (200, b"own %d" % (count * 500), None):
                wrong.append((number, count, response))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert (server.workers(), server.managed()) == (workers, others)
