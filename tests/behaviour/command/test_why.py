# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a process was at that was killed, has crashed or was too slow."""

import os
import re
import signal

import pytest

from harness import places
from harness.command import Gangway
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

USERS = places.other_users() if places.AS_ROOT else []
NAME = f"trouble{os.getpid()}"
# What the log says of all this.
LINES = r"GW0904|GW0905|GW0703|GW0402|GW090[36]|prematurely closed|it is at|GW03|Fatal Python|trouble.py|thread|Extension modules|about to crash"
WITH_ID = "add_header X-Request-Id $request_id always;"
UNIQUE = f"LoadModule unique_id_module {places.APACHE_MODULES}/mod_unique_id.so"


@pytest.fixture
def run(launch, workspace):
    def start(*, known=True, more=(), **options):
        def configure(site):
            site.apache_main = UNIQUE if known else ""
            header = "Header always set X-Request-Id %{UNIQUE_ID}e"
            raw = {"nginx": WITH_ID, "apache": header} if known else {}
            words = {"processes": 1, "name": NAME, **options}
            site.wsgi("/app", "trouble:app", **raw, **words)
            for path, others in more:
                site.wsgi(path, "trouble:app", **raw, **others)

        server = launch(configure, warm=["/app/hello"])
        server.log.allow(LINES)
        server.log.allow_crashes()
        server._connections.clear()
        return server, Gangway(workspace, server)

    return start


def lost(server, path, body=b"x"):
    """The id of a request whose process ends."""
    response = server.request("POST", path, body=body)
    assert response.status == 502, response
    return response.header("X-Request-Id")


def test_a_killed_process_had_this_request(run, gate):
    server, gangway = run()
    for number in range(3):
        assert server.get(f"/app/page{number}").status == 200
    (pid,) = (p["pid"] for p in gangway.applications()[NAME]["processes"] if p["state"] == "ready")
    connection = server.connect()
    connection.request("POST", f"/app/wait?{gate.query}", [("Content-Length", "1")], b"x")
    gate.visitor().at("inside")
    found = gangway.applications()[NAME]["processes"]
    (process,) = (p for p in found if p["pid"] == pid)
    assert process["request"].startswith("POST /app/wait?") and process["running"] == 1
    assert f"process {pid} has it now, for " in gangway("why", process["request_id"])
    os.kill(pid, signal.SIGKILL)
    response = connection.response()
    assert response.status == 502
    name = response.header("X-Request-Id")
    assert process["request_id"] == name
    line = server.log.expect(r"GW0904 .* \(it was ended by SIGKILL\)").raw
    assert f'it had "POST /app/wait?' in line and line.rstrip().endswith(f"gangway why {name}")
    listed = gangway("why")
    assert f"{NAME}: process {pid}, generation 1, " in listed and "was ended by SIGKILL" in listed and name in listed
    for word in (name, name[:8], str(pid)):
        told = gangway("why", word)
        assert f"{NAME}: process {pid}, generation 1, " in told
        assert re.search(rf"{re.escape(name)}  POST /app/wait\?\S+  for \d+\.\d{{3}} s", told), told
        # nginx's events have room for the beginning of a path.
        before = [line for line in told.splitlines() if "answered with 200" in line]
        assert len(before) >= 4 and "GET /app/page" in before[-1], told
        assert "the process began" in told and "it took requests" in told
    assert "nothing is known of it" in gangway("why", "0" * 30, status=4)


def test_a_crash_says_where_the_application_was(run):
    server, gangway = run()
    name = lost(server, "/app/crash?x=1")
    wait_until(lambda: "SIGSEGV" in gangway("why"), "it is kept")
    told = gangway("why", name)
    for part in ("was ended by SIGSEGV", "POST /app/crash?x=1", "about to crash", "Fatal Python error: Segmentation fault", "in crash_here"):
        assert part in told, (part, told)
    assert server.get("/app/hello").status == 200


def test_one_that_leaves_says_its_status(run):
    server, gangway = run()
    name = lost(server, "/app/leave")
    wait_until(lambda: "ended with status 7" in gangway("why"), "it is kept")
    assert "POST /app/leave" in gangway("why", name)


def test_a_slow_request_has_its_stack(run):
    server, gangway = run(timeout="1s")
    response = server.get("/app/loop?slow=1")
    assert response.status == 504
    name = response.header("X-Request-Id")
    wait_until(lambda: "did not answer a request within timeout=" in gangway("why"), "it is kept")
    told = gangway("why", name)
    assert "GET /app/loop?slow=1" in told and "in loop_here" in told, told
    # It is one request, and the process goes on.
    assert server.get("/app/hello").status == 200


def test_requests_without_an_id_have_one_of_their_own(run):
    server, gangway = run(known=False)
    lost(server, "/app/crash")
    line = server.log.expect(r"GW0904 .* gangway why \S+").raw
    name = line.split()[-1]
    assert "POST /app/crash" in gangway("why", name)


@pytest.mark.skipif(len(USERS) < 2, reason="needs root and two accounts beside the workers'")
def test_an_owner_is_told_of_his_own(run):
    mine, his = USERS[:2]
    server, gangway = run(user=mine, more=[("/his", {"user": his, "name": f"{NAME}-his"})])
    name = lost(server, "/his/crash")
    wait_until(lambda: "SIGSEGV" in gangway("why", user=his), "it is kept")
    assert "POST /his/crash" in gangway("why", name, user=his)
    assert gangway("why", user=mine) == "nothing has gone wrong lately\n"
    assert "nothing is known of it" in gangway("why", name, user=mine, status=4)



def test_code_that_cannot_be_loaded_says_why(run, scratch):
    (scratch / "trouble.py").write_text((places.SUITE / "apps" / "trouble.py").read_text())
    (scratch / "gate.py").write_text((places.SUITE / "apps" / "gate.py").read_text())
    server, gangway = run(root=scratch)
    (scratch / "trouble.py").write_text("print('it begins', flush=True)\nimport no_such_module\n")
    gangway("restart", NAME, status=1)
    server.log.allow("GW0907|no_such_module|it begins|Traceback")
    told = gangway("why")
    assert f"{NAME}: process " in told and "a template, could not load the application (" in told
    (pid,) = re.findall(r"process (\d+), generation 2", told)[:1]
    told = gangway("why", pid)
    assert "it begins" in told and "no_such_module" in told, told
