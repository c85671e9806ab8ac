# SPDX-License-Identifier: MIT OR Apache-2.0
"""An application that cannot be loaded answers its requests with errors, and the status says so: since when, and why. It heals, and so does what is
said of it."""

import json
import os
import signal

import pytest

from harness.command import Gangway
from harness.deadline import looks, wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

GOOD = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'VERSION']\n"
BROKEN = "import no_such_module_at_all\n"
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"VERSION"})
"""
NAME = f"broken{os.getpid()}"
# Where the application runs: in the server, in processes that load it by themselves, or that are forked from one that cannot load it.
KINDS = {"in_process": {}, "alone": {"processes": 1, "preload": "off"}, "forked": {"processes": 1}}


def write(scratch, text):
    """Replaces the module in one step, with another time."""
    path = scratch / "site_that_fails.py"
    before = path.stat().st_mtime_ns if path.exists() else 0
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o644)
    if new.stat().st_mtime_ns <= before:
        os.utime(new, ns=(before + 10**9, before + 10**9))
    new.rename(path)


def of_page(server):
    (found,) = json.loads(server.get("/gangway?json").body)["applications"]
    return found


def metric(server):
    (line,) = (line for line in server.get("/gangway?metrics").text.splitlines() if line.startswith("gangway_failing{"))
    return int(line.split()[-1])


@pytest.fixture(params=KINDS)
def kind_of_process(request):
    return request.param


@pytest.mark.in_process("the test says itself where applications run")
def test_it_is_said_and_heals(launch, scratch, workspace, kind_of_process):
    write(scratch, BROKEN)

    def configure(site):
        name = {} if kind_of_process == "in_process" else {"name": NAME}
        site.wsgi("/app", "site_that_fails:app", root=scratch, **name, **KINDS[kind_of_process])
        site.status("/gangway")

    server = launch(configure)
    server.log.allow(r"GW03\d\d|GW090[357]|Traceback|no_such_module")
    # Before anybody has asked for the application.
    wait_until(lambda: of_page(server)["state"] == "failing", lambda: f"it is said: {of_page(server)}", 30)
    assert server.get("/app").status == 500
    found = of_page(server)
    assert "no module" in found["failing_reason"] and "no_such_module_at_all" in found["failing_reason"]
    assert 0 <= found["failing_seconds"] < 60
    assert metric(server) == 1
    page = server.get("/gangway").text
    assert "It has been failing for" in page and "no_such_module_at_all" in page and ">failing</span>" in page
    if kind_of_process != "in_process":
        gangway = Gangway(workspace, server)
        said = gangway("status")
        assert f"{NAME}: failing" in said and "its requests have failed for" in said and "no_such_module_at_all" in said
        assert "no_such_module_at_all" in gangway("restart", NAME, status=1)
    write(scratch, GOOD)
    wait_until(lambda: server.get("/app").status == 200, "it has healed", 30)
    wait_until(lambda: of_page(server)["state"] == "serving", lambda: f"that is said: {of_page(server)}")
    found = of_page(server)
    assert "failing_reason" not in found and metric(server) == 0
    assert "It has been failing" not in server.get("/gangway").text


@pytest.mark.in_process("the test says itself where applications run")
def test_a_reload_forgets_what_workers_of_before_have_said(launch, scratch):
    write(scratch, BROKEN)

    def configure(site):
        site.wsgi("/app", "site_that_fails:app", root=scratch)
        site.status("/gangway")

    server = launch(configure)
    server.log.allow(r"GW03\d\d|Traceback|no_such_module")
    wait_until(lambda: of_page(server)["state"] == "failing", "it is said", 30)
    write(scratch, GOOD)
    server.reload()
    assert of_page(server)["state"] == "serving"
    assert server.get("/app").status == 200


@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_code_that_cannot_be_loaded_replaces_nothing_where_processes_load_it_by_themselves(launch, scratch, workspace, interface):
    good = {"wsgi": GOOD, "asgi": ASGI}[interface]
    write(scratch, good)

    def configure(site):
        words = {"preload": "off"} if interface == "wsgi" else {}
        getattr(site, interface)("/app", "site_that_fails:app", root=scratch, name=NAME, processes=2, **words)
        site.status("/gangway")

    server = launch(configure, warm=["/app"])
    gangway = Gangway(workspace, server)
    server.log.allow(r"GW03\d\d|GW090[3457]|Traceback|no_such_module")
    write(scratch, BROKEN)
    said = gangway("restart", NAME, status=1)
    assert "generation 2 cannot be started (there is no module" in said and "no_such_module_at_all" in said
    assert server.get("/app").text == "VERSION"
    found = of_page(server)
    assert "no_such_module_at_all" in found["failed_reason"] and "failing_reason" not in found
    write(scratch, good.replace("VERSION", "newer"))
    wait_until(lambda: server.get("/app").text == "newer", "the next attempt heals it", 60)
    wait_until(lambda: "failed_reason" not in of_page(server), "that is said")
    server.settle()


@pytest.mark.parametrize("way", ["alone", "forked"])
def test_another_supervisor_says_the_same(launch, scratch, way):
    write(scratch, BROKEN)

    def configure(site):
        site.wsgi("/app", "site_that_fails:app", root=scratch, name=NAME, **KINDS[way])
        site.status("/gangway")

    server = launch(configure)
    server.log.allow(r"GW03\d\d|GW090[357]|Traceback|no_such_module")
    wait_until(lambda: of_page(server)["state"] == "failing", lambda: f"it is said: {of_page(server)}", 30)
    (pid,) = server.keepers()["gangway-super"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: server.keepers().get("gangway-super", []) not in ([], [pid]), "another one is there")
    assert server.get("/app").status == 500
    wait_until(lambda: of_page(server)["state"] == "failing", lambda: f"it is said again: {of_page(server)}", 30)
    assert looks(lambda: of_page(server)["state"], 1) == ("failing", "failing")
    assert "no_such_module_at_all" in of_page(server)["failing_reason"]
    write(scratch, GOOD)
    wait_until(lambda: server.get("/app").status == 200, "it has healed", 30)
    wait_until(lambda: of_page(server)["state"] == "serving", lambda: f"that is said: {of_page(server)}")
