# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the status says of the requests that processes of their own have, and of memory that workers may not look at."""

import json
import os

import pytest

from harness import places
from harness.deadline import wait_until

NGINX = pytest.mark.servers("nginx", "nginx128")


def serve(launch, **options):
    def configure(site):
        site.status("/gangway")
        site.status("/full", full=True)
        site.wsgi("/app", "shared:app", processes=1, threads=4, timeout="60s", **options)

    return launch(configure, warm=["/app/hello", "/gangway", "/full"])


def running(server, page="/gangway?json"):
    (app,) = json.loads(server.get(page).body)["applications"]
    return [process.get("request") for process in app["processes"]]


def test_the_request_that_a_process_has_longest_is_shown(launch, gate):
    server = serve(launch)
    assert running(server) == [None]
    clients = []
    for name in ("first", "second<b>"):
        client = server.connect()
        client.request("GET", f"/app/waits?{gate.query}&name={name}")
        clients.append((client, gate.visitor().at(name)))
    assert running(server) == ["GET /app/waits"]
    # The page is for people: nothing of a path is markup.
    page = server.get("/gangway").text
    assert "GET /app/waits</small>" in page and "name=second" not in page
    (full,) = running(server, "/full?json")
    assert full.startswith("GET /app/waits?")
    for client, visitor in clients:
        visitor.go()
        assert client.response().status == 200
    wait_until(lambda: running(server) == [None], "nothing runs any more")


@NGINX
def test_another_word_is_refused(configtest):
    found = configtest(lambda site: site.location("/gangway", nginx="gangway_status whole; allow 127.0.0.1; deny all;"))
    assert found.status == 1 and "full" in found.output


@pytest.mark.skipif(not places.AS_ROOT, reason="only root can start an application as another user")
def test_the_memory_of_another_users_processes_is_known(launch):
    """Only the root process may see it: it looks when a process is ready, and when somebody asks."""
    server = serve(launch, user="nobody")

    def memory():
        (app,) = json.loads(server.get("/gangway?json").body)["applications"]
        return [process.get("pss_bytes") for process in app["processes"]]

    wait_until(lambda: all(memory()), "it is known")
    (bytes_,) = memory()
    (app,) = json.loads(server.get("/gangway?json").body)["applications"]
    assert 1 << 20 < bytes_ <= app["processes"][0]["rss_bytes"] * 1.05
    assert "resident" not in server.get("/gangway").text
    assert "gangway_app_memory_pss_bytes{" in server.get("/gangway?metrics").text


def test_ps_and_top_show_what_a_process_does(launch, gate):
    server = serve(launch)
    pids = [process["pid"] for process in json.loads(server.get("/gangway?json").body)["applications"][0]["processes"]]
    title = lambda: [open(f"/proc/{pid}/cmdline").read().rstrip("\0") for pid in pids]
    wait_until(lambda: title() == ["gangway-host: shared:app (idle)"], lambda: f"it is idle: {title()}")
    client = server.connect()
    client.request("GET", f"/app/waits?{gate.query}&name=x")
    visitor = gate.visitor().at("x")
    wait_until(lambda: title() == ["gangway-host: shared:app (1 of 4 busy)"], lambda: f"it is busy: {title()}")
    (pid,) = pids
    shown = lambda task: open(f"/proc/{pid}/task/{task}/comm").read().rstrip("\n")
    wait_until(lambda: shown(pid) == "shared:app 1/4", lambda: f"top shows it: {shown(pid)}")
    assert {f"shared:app/{number}" for number in range(1, 5)} <= {shown(task) for task in os.listdir(f"/proc/{pid}/task")}
    visitor.go()
    assert client.response().text == "x"
    wait_until(lambda: title() == ["gangway-host: shared:app (idle)"], lambda: f"it is idle: {title()}")
    wait_until(lambda: shown(pid) == "shared:app idle", lambda: f"top shows it: {shown(pid)}")
