# SPDX-License-Identifier: MIT OR Apache-2.0
"""Those who look after processes are killed, and so are young processes: requests do not notice."""

import os
import signal
from pathlib import Path

import pytest

from harness import processes
from harness.command import Gangway
from harness.deadline import wait_until
from harness.load import Load

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker")

# What the log says of a killed process, and of the requests that it had.
CUT = (
    r"GW0904|GW0703|GW090[356]|upstream prematurely closed|recv\(\) failed|readv\(\) failed|writev\(\) failed|send\(\) failed|"
    r"connect\(\) to unix"
)


def counted(site, scratch, **options):
    path = scratch / "journal"
    path.touch()
    path.chmod(0o666)
    site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], timeout="60s", **options)


def kill(*pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def go_on(load, count=20):
    before = load.done
    wait_until(lambda: load.done > before + count or load.failures, "requests go on", 60)


def forked(server):
    """Processes of the application, and the template that they come from."""
    name = lambda pid: Path(f"/proc/{pid}/comm").read_text().strip() if processes.alive(pid) else ""
    pids = server.managed()
    templates = [pid for pid in pids if name(pid) == "gw-template"]
    return [pid for pid in pids if pid not in templates], templates


def both_forked(server):
    """The same once two processes have their own names: one that answers may be there before the other has been forked."""
    wait_until(lambda: [len(pids) for pids in forked(server)] == [2, 1], "two processes and their template are there")
    return forked(server)


@pytest.fixture
def ready(workspace):
    """A function of a server: processes that take requests."""

    def find(server):
        (application,) = Gangway(workspace, server).applications().values()
        return [process["pid"] for process in application["processes"] if process["state"] == "ready"]

    return find


@pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])
def test_young_processes_that_are_killed_all_at_once_make_nobody_be_refused(launch, scratch, ready, preload):
    server = launch(lambda site: counted(site, scratch, processes=3, preload=preload), warm=["/app/get"])
    server.log.allow(CUT)
    server._connections.clear()
    for _ in range(5):
        # Those that take requests: one has had some, the others have not.
        wait_until(lambda: len(ready(server)) == 3, "three take requests", 60)
        pids = ready(server)
        kill(*pids)
        # One that has not wholly ended takes connections that nobody answers.
        wait_until(lambda pids=set(pids): not pids & set(ready(server)), "they have ended")
        # It waits for the next one.
        assert server.get("/app/get").status == 200
    assert not server.log.find("GW0901")


def test_a_killed_supervisor_costs_no_template_and_no_request(launch, scratch):
    server = launch(lambda site: counted(site, scratch, processes=2), warm=["/app/get", "/app/stream"])
    before = both_forked(server)
    with Load(server, "/app", fresh=2, kept=2) as load:
        for _ in range(5):
            (pid,) = server.keepers()["gangway-super"]
            kill(pid)
            others = lambda pid=pid: server.keepers().get("gangway-super", []) not in ([], [pid])
            wait_until(others, "another one is there")
            go_on(load)
    assert not load.failures, f"{len(load.failures)} of {load.done} failed: {load.failures[:5]}"
    assert forked(server) == before
    # It goes on with its work: what is missing is forked from the template that was there.
    server.log.allow(CUT)
    server._connections.clear()
    kill(*before[0])
    wait_until(lambda: len(forked(server)[0]) == 2 and not set(forked(server)[0]) & set(before[0]), "there are others")
    assert forked(server)[1] == before[1]
    assert server.get("/app/get").status == 200
    server.settle()


def test_a_killed_supervisor_leaves_the_next_one_the_files_that_are_watched(launch, scratch):
    """Those that the application was loaded from it has told the one before."""
    module, helper = scratch / "site_of_a_test.py", scratch / "helper_of_a_test.py"
    module.write_text("import helper_of_a_test\ndef app(e, s):\n    s('200 OK', [])\n    return [helper_of_a_test.TEXT]\n")
    helper.write_text("TEXT = b'old'\n")
    server = launch(
        lambda site: site.wsgi("/app", "site_of_a_test:app", root=scratch, processes=2, reload=True, timeout="60s"), warm=["/app"]
    )
    server.log.allow("GW0907")
    before = both_forked(server)

    def kill_supervisor():
        (pid,) = server.keepers()["gangway-super"]
        kill(pid)
        wait_until(lambda: server.keepers().get("gangway-super", []) not in ([], [pid]), "another one is there")

    kill_supervisor()
    assert server.get("/app").text == "old" and forked(server) == before
    helper.write_text("TEXT = b'newer'\n")
    wait_until(lambda: server.get("/app").text == "newer", "the change is seen", 30)
    # What changes while nobody watches is seen as well.
    processes.stop(server.keepers()["gangway-spawn"][0])
    try:
        kill(*server.keepers()["gangway-super"])
        helper.write_text("TEXT = b'the newest'\n")
    finally:
        os.kill(server.keepers()["gangway-spawn"][0], signal.SIGCONT)
    wait_until(lambda: server.get("/app").text == "the newest", "the change is seen", 30)
    server.settle()
