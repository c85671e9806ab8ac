# SPDX-License-Identifier: MIT OR Apache-2.0
"""What applications start is as if a shell had started it, and what they fork never gets back to the server."""

import json
import os

import pytest

from harness.deadline import wait_until

WAYS = (
    "run inherit preexec session cwd system popen posix_spawn posix_spawnp spawnv fork pty thread mp-fork mp-spawn"
    " mp-forkserver"
).split()
FORKED_MULTITHREADED = "DeprecationWarning|os.fork|forkpty|self.pid"


def configure(site, kind="nginx"):
    if kind == "apache-prefork":
        site.workers = 2
    site.wsgi("/app", "children:app", threads=4)
    site.wsgi("/timed", "children:app", threads=4, timeout="20s")


pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-prefork")


@pytest.fixture(params=["/app", "/timed"])
def place(request):
    return request.param


def masks(server):
    found = {}
    for worker in server.workers():
        for task in os.listdir(f"/proc/{worker}/task"):
            with open(f"/proc/{worker}/task/{task}/status") as status:
                facts = dict(line.rstrip().split(":\t", 1) for line in status if line.startswith(("Name", "SigBlk")))
            found[task] = (facts["Name"], facts["SigBlk"])
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_child_begins_as_a_shell_would_start_it(server, scratch, place, way):
    server.log.allow(FORKED_MULTITHREADED)
    response = server.get(f"{place}/look?way={way}&out={scratch}/{place[1:]}-{way}")
    assert response.status == 200, response.text
    facts = json.loads(response.body)
    # glibc's posix_spawn(3) has children ignore the two signals that it keeps to itself (32 and 33).
    found = [int(facts[name], 16) & ~(3 << 31) for name in ("SigBlk", "SigIgn", "SigCgt")]
    assert found == [0, 0, 0]
    assert facts["Umask"] == "0022"
    numbers = [entry.split()[0] for entry in facts["fds"]]
    assert numbers == ["0", "1", "2", "3"], facts["fds"]
    assert "/proc/" in facts["fds"][-1]


@pytest.mark.servers("nginx", "nginx128")
def test_a_daemon_has_no_umask_but_what_it_starts_has_one(launch, scratch):
    before = os.umask(0)
    try:
        server = launch(configure)
    finally:
        os.umask(before)
    for way in ("run", "system", "posix_spawn", "fork"):
        assert json.loads(server.get(f"/app/look?way={way}&out={scratch}/{way}").body)["Umask"] == "0022"


def test_descriptors_that_an_application_makes_inheritable_are_inherited(server, place):
    server.log.allow(FORKED_MULTITHREADED)
    found = json.loads(server.get(f"{place}/inherited").body)
    assert (found.pop("no"), found.pop("no-longer")) == ("", "")
    assert set(found.values()) == {"heard"}, found


def test_signals_reach_children(server, place):
    assert json.loads(server.get(f"{place}/signals").body) == {
        "SIGTERM": -15, "SIGHUP": -1, "SIGINT": -2, "SIGUSR1": -10, "SIGQUIT": -3,
        "timeout": 124, "pipe": ["y", "141"], "system": -15,
    }  # fmt: skip


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pools_of_processes_work_and_end(server, place, method):
    server.log.allow(FORKED_MULTITHREADED)
    before = masks(server)
    assert json.loads(server.get(f"{place}/pools?method={method}").body) == [1, 2, 3, 4, 5]
    after = masks(server)
    assert {task: after[task] for task in before if task in after} == {t: before[t] for t in before if t in after}


def test_what_cannot_be_started_is_said_as_everywhere(server, place):
    assert json.loads(server.get(f"{place}/failures").body) == [
        ["FileNotFoundError", "no-such-program-at-all"],
        ["FileNotFoundError", "/no/such/program"],
        ["PermissionError", "/etc/passwd"],
        ["FileNotFoundError", "/no/such/folder"],
        ["ValueError", None],
    ]


def test_a_mask_that_an_application_sets_is_its_childrens(server, place):
    before = masks(server)
    found = json.loads(server.get(f"{place}/masks").body)
    assert found == [[], 1 << 11, [12], []]
    after = masks(server)
    assert all(after[task] == before[task] for task in before if task in after)


LEFT = {"return": 0, "exit": 5, "raise": 1, "text": 1, "read": 1, "print": 0, "nested": 7}


@pytest.mark.parametrize("how", LEFT)
def test_a_forked_child_that_leaves_the_handler_ends(server, scratch, place, how):
    server.log.allow("Traceback|File|raise|LookupError|last words|a child|forked child|^$|    |" + FORKED_MULTITHREADED)
    out = scratch / f"{place[1:]}-{how}"
    # Two requests on one connection: the answer of a child would be the second one's.
    client = server.connect()
    for _ in range(2):
        client.request("POST", f"{place}/leave?how={how}&out={out}", body=b"body")
        response = client.response()
        assert (response.status, response.text) == (200, str(LEFT[how]))
    assert out.read_text().splitlines() == ["exit handler"] * (4 if how == "nested" else 2)
    client.close()


@pytest.mark.parametrize("how, status", [("return", 0), ("exit", 5), ("yield", 1), ("write", 1)])
def test_a_forked_child_that_leaves_a_stream_ends(server, place, how, status):
    server.log.allow("Traceback|File|raise|forked child|yield|write|    |" + FORKED_MULTITHREADED)
    client = server.connect()
    for _ in range(2):
        client.request("GET", f"{place}/stream?how={how}")
        assert client.response().text == f"one {status}"
    client.close()


def test_a_forked_child_that_leaves_close_ends(server, scratch, place):
    server.log.allow(FORKED_MULTITHREADED)
    out = scratch / place[1:]
    client = server.connect()
    for _ in range(2):
        client.request("GET", f"{place}/closing?out={out}")
        assert client.response().text == "closed by"
    wait_until(lambda: out.exists() and out.read_text().split() == ["9", "9"], "both children have ended")
    client.close()


@pytest.mark.parametrize("how, status", [("return", 0), ("exit", 5)])
def test_a_child_of_a_thread_of_an_executor_ends(server, place, how, status):
    server.log.allow(FORKED_MULTITHREADED)
    for _ in range(2):
        assert server.get(f"{place}/executor?how={how}").text == str(status)


def test_a_child_of_an_applications_thread_ends_without_the_server(server, place):
    server.log.allow(FORKED_MULTITHREADED)
    assert json.loads(server.get(f"{place}/thread").body) == [0]
    assert server.get(f"{place}/thread").status == 200


FORKS_AT_IMPORT = """
import os, sys
pid = os.fork()
if pid == 0:
    {}
STATUS = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
def app(environ, start_response):
    start_response("200 OK", [])
    return [str(STATUS).encode()]
"""


@pytest.mark.parametrize("line, status", [("sys.exit(6)", 6), ("raise ValueError", 1)])
def test_a_child_that_leaves_the_import_ends(launch, scratch, line, status):
    (scratch / "forks.py").write_text(FORKS_AT_IMPORT.format(line))
    server = launch(lambda site: site.wsgi("/", "forks:app", root=scratch))
    server.log.allow("Traceback|File|ValueError|    |" + FORKED_MULTITHREADED)
    assert server.get("/").text == str(status)
    assert server.get("/").text == str(status)


def test_a_child_holds_no_connection_of_a_client(launch, scratch, gate):
    """The client of a response that ends with its connection waits for that end."""
    text = (
        "import os, time\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        time.sleep(30)\n"
        "        os._exit(0)\n"
        f"    open({str(scratch / 'pid')!r}, 'w').write(str(pid))\n"
        "    yield b'whole'\n"
    )
    (scratch / "holds.py").write_text(text)
    server = launch(lambda site: site.wsgi("/", "holds:app", root=scratch))
    server.log.allow(FORKED_MULTITHREADED)
    try:
        response = server.request("GET", "/", version="HTTP/1.0", timeout=10)
        assert response.text == "whole"
    finally:
        os.kill(int((scratch / "pid").read_text()), 9)


def test_the_standard_streams_have_descriptors(server, place):
    assert json.loads(server.get(f"{place}/speak?how=fileno").body) == [True, True, True]
    assert json.loads(server.get(f"{place}/speak?how=attributes").body) == [True, True, False]
    server.get(f"{place}/speak?how=child")
    server.log.expect("a child's standard output")
    server.log.expect("a child's standard error")
    server.get(f"{place}/speak?how=late")
    server.log.expect("later than its request")
    server.get(f"{place}/speak?how=faulthandler")
    server.log.expect("most recent call first")
    server.log.allow("  File|Thread 0x|no Python frame|^$")


def test_what_outlives_its_worker_still_reaches_the_log(launch):
    server = launch(configure)
    server.get("/app/speak?how=fileno")
    server.get("/app/speak?how=late")
    server.reload()
    server.log.expect("later than its request")
    wait_until(lambda: server.get("/app/speak?how=fileno").status == 200, "the new worker serves")
