# SPDX-License-Identifier: MIT OR Apache-2.0
"""Applications are looked at, restarted, stopped and started by hand, and by what their owners may touch."""

import os
import pwd
import time

import pytest

from harness import places, processes, programs
from harness.command import Gangway
from harness.deadline import wait_until
from harness.load import Load

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

USERS = places.other_users() if places.AS_ROOT else []
two_owners = pytest.mark.skipif(len(USERS) < 2, reason="needs root and two accounts beside the workers'")
# Servers of several test processes may share a run directory.
NAME = f"blog{os.getpid()}"
OTHER = f"shop{os.getpid()}"


@pytest.fixture
def run(launch, workspace):
    def start(configure, **options):
        server = launch(configure, **options)
        return server, Gangway(workspace, server)

    return start


def perl(site, path, **options):
    site.spawn(path, "/usr/bin/perl", programs.sources(site.scratch) / "fcgi.pl", **options)


def journal(scratch):
    path = scratch / "journal"
    path.touch()
    path.chmod(0o666)
    return path


def owned(scratch, name, user):
    """A file of a site's owner."""
    path = scratch / name
    path.touch()
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)
    return path


def test_the_status_is_what_runs(run):
    server, gangway = run(lambda site: (perl(site, "/one/", processes=2, name=NAME), perl(site, "/two/", processes="0-2", name=OTHER)))
    for _ in range(5):
        assert server.get("/one/hello").body == b"hello"
    ready = lambda: [process["state"] for process in gangway.applications()[NAME]["processes"]] == ["ready"] * 2
    wait_until(ready, "both of its processes take requests")
    found = gangway.applications()
    assert set(found) == {NAME, OTHER}
    blog, shop = found[NAME], found[OTHER]
    assert (blog["state"], shop["state"], shop["processes"]) == ("serving", "idle", [])
    assert sorted(process["pid"] for process in blog["processes"]) == server.managed()
    assert sum(process["requests"] for process in blog["processes"]) == 5
    assert all(process["state"] == "ready" and process["rss_bytes"] > 1 << 20 for process in blog["processes"])
    text = gangway("status")
    assert f"{NAME}: serving, user " in text and f"{OTHER}: idle" in text
    pids = sorted(process["pid"] for process in blog["processes"])
    server.reload()
    again = gangway.applications()[NAME]
    assert sorted(process["pid"] for process in again["processes"]) == pids and again["generation"] == 1


def test_programs_that_do_not_answer_the_question_are_replaced_at_once(run):
    """Perl's FCGI takes the question whether it takes requests and answers it never; it hears no TERM while it waits for one."""
    server, gangway = run(lambda site: perl(site, "/one/", processes=2, name=NAME), warm=["/one/hello"])
    before = set(server.managed())
    began = time.monotonic()
    gangway("restart", NAME)
    assert time.monotonic() - began < 1.9
    wait_until(lambda: not before & set(server.managed()), "the old ones have ended")
    # Nobody has had to be killed for that.
    assert not server.log.find("GW0906")
    assert server.get("/one/hello").body == b"hello"


def test_twenty_restarts_lose_nothing(run, scratch):
    path = journal(scratch)

    def configure(site):
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], timeout="60s", processes=2, name=NAME)

    server, gangway = run(configure, warm=["/app/get", "/app/stream"])
    with Load(server, "/app", fresh=2, kept=2) as load:
        for number in range(20):
            before = {process["pid"] for process in gangway.applications()[NAME]["processes"]}
            assert gangway("restart", NAME) == f"{NAME}: restarted\n"
            serving = {p["pid"] for p in gangway.applications()[NAME]["processes"] if p["state"] == "ready"}
            assert serving and not serving & before, number
    assert not load.failures, f"{len(load.failures)} of {load.done} failed: {load.failures[:5]}"
    assert gangway.applications()[NAME]["generation"] == 21
    seen = [name for name in path.read_text().split() if name != "none"]
    assert len(seen) == len(set(seen)), "a request ran twice"


def test_what_is_stopped_refuses_until_it_is_started(run):
    server, gangway = run(lambda site: (perl(site, "/one/", processes=2, name=NAME), perl(site, "/two/", name=OTHER)), warm=["/one/hello"])
    pids = [process["pid"] for process in gangway.applications()[NAME]["processes"]]
    assert gangway("stop", NAME) == f"{NAME}: stopped\n"
    assert not any(processes.alive(pid) for pid in pids)
    server.log.allow("GW0901")
    response = server.get("/one/hello")
    assert response.status == 503 and response.header("Retry-After")
    assert server.get("/two/hello").body == b"hello"
    server.reload()
    assert server.get("/one/hello").status == 503
    assert "it was stopped; start it" in gangway("restart", NAME, status=1)
    assert gangway("start", NAME) == f"{NAME}: started\n"
    assert server.get("/one/hello").body == b"hello"


def test_code_that_cannot_be_started_is_said_and_changes_nothing(run, scratch):
    (scratch / "site_of_a_test.py").write_text("def app(e, s):\n    s('200 OK', [])\n    return [b'old']\n")
    server, gangway = run(lambda site: site.wsgi("/app", "site_of_a_test:app", root=scratch, processes=1, name=NAME), warm=["/app"])
    server.log.allow("GW090[37]|GW0905|Traceback|no_such_module")
    (scratch / "site_of_a_test.py").write_text("import no_such_module\n")
    said = gangway("restart", NAME, status=1)
    assert "generation 2 cannot be started (there is no module" in said and "no_such_module" in said
    assert server.get("/app").text == "old"
    assert "could not be started" in gangway("status")
    (scratch / "site_of_a_test.py").write_text("def app(e, s):\n    s('200 OK', [])\n    return [b'newer']\n")
    gangway("restart", NAME)
    assert server.get("/app").text == "newer"


@two_owners
def test_an_owner_has_his_own_application_and_nobody_elses(run, scratch):
    path = journal(scratch)
    mine, his = USERS[:2]

    def configure(site):
        site.wsgi("/mine", "counted:app", user=mine, env=[f"JOURNAL={path}"], processes=1, name=NAME)
        site.wsgi("/his", "counted:app", user=his, env=[f"JOURNAL={path}"], processes=1, name=OTHER)

    server, gangway = run(configure, warm=["/mine/get", "/his/get"])
    server.log.allow("GW0901")
    name = {"/mine": NAME, "/his": OTHER}
    pid = lambda path: [p["pid"] for p in gangway.applications()[name[path]]["processes"] if p["state"] == "ready"]
    assert set(gangway.applications(user=mine)) == {NAME}
    assert set(gangway.applications(user=his)) == {OTHER}
    assert set(gangway.applications(user=places.WORKER_USER)) == {NAME, OTHER}
    for verb in ("restart", "stop", "start"):
        assert "no such application, or it belongs to another user" in gangway(verb, OTHER, user=mine, status=4)
    before = {path: pid(path) for path in ("/mine", "/his")}
    gangway("restart", NAME, user=mine)
    assert pid("/mine") != before["/mine"] and pid("/his") == before["/his"]
    gangway("stop", NAME, user=mine)
    assert (server.get("/mine/get").status, server.get("/his/get").status) == (503, 200)
    gangway("start", NAME, user=mine)
    assert server.get("/mine/get").status == 200 and pid("/his") == before["/his"]


@pytest.mark.parametrize("user", [None, *USERS[:1]])
def test_a_file_of_the_owner_restarts(run, scratch, user):
    path = journal(scratch)
    touched = owned(scratch, "restart.txt", user)
    options = {"user": user} if user else {}

    def configure(site):
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], processes=2, reload=touched, name=NAME, **options)

    server, gangway = run(configure, warm=["/app/get"])
    before = {process["pid"] for process in gangway.applications()[NAME]["processes"]}
    # The owner of a file may set its time, and nobody needs root for that.
    os.utime(touched, (time.time() + 5, time.time() + 5))
    serving = lambda: {p["pid"] for p in gangway.applications()[NAME]["processes"] if p["state"] == "ready"}
    wait_until(lambda: len(serving()) == 2 and not serving() & before, "both are others", 30)
    server.log.expect(f'GW0907 .*restart.txt" of "{NAME}" has changed')
    assert server.get("/app/get").status == 200


def test_changed_code_restarts(run, scratch):
    module = scratch / "site_of_a_test.py"
    text = "def app(e, s):\n    s('200 OK', [])\n    return [b'{}']\n"
    module.write_text(text.format("old"))

    def configure(site):
        site.wsgi("/app", "site_of_a_test:app", root=scratch, processes=2, reload=True, timeout="60s", name=NAME)

    server, _ = run(configure, warm=["/app"])
    server.log.allow("GW090[37]|GW0905|Traceback|SyntaxError|site_of_a_test|def app")
    assert server.get("/app").text == "old"
    # Python takes what it has compiled for that of another file of the same second and length.
    module.write_text(text.format("newer"))
    wait_until(lambda: server.get("/app").text == "newer", "the new code serves", 30)
    module.write_text("def app(e, s)\n")
    server.log.expect("GW0907 generation 3 of .* cannot be started", 30)
    assert server.get("/app").text == "newer"
    module.write_text(text.format("corrected"))
    wait_until(lambda: server.get("/app").text == "corrected", "the correction serves", 30)


def test_a_warm_up_comes_before_all_requests(run, scratch):
    path = journal(scratch)
    (scratch / "site_of_a_test.py").write_text(
        "import os\n"
        "def app(e, s):\n"
        f"    with open({str(path)!r}, 'a') as file:\n"
        "        file.write(f\"{os.getpid()} {e['PATH_INFO']} {e['QUERY_STRING']} {e['HTTP_HOST']}\\n\")\n"
        "    s('500 Bad' if e['PATH_INFO'] == '/bad' else '200 OK', [])\n"
        "    return [b'x']\n"
    )

    def configure(site):
        site.wsgi("/app", "site_of_a_test:app", root=scratch, processes=2, warmup="/health?deep=1", name=NAME)
        site.wsgi("/bad", "site_of_a_test:app", root=scratch, processes=1, warmup="/bad", name=OTHER)

    server, gangway = run(configure)
    # A warm-up that fails is told, and keeps nobody from serving.
    server.log.expect("GW0910 .* did not answer warmup=/bad well")
    for _ in range(10):
        assert server.get("/app/page").status == 200
    gangway("restart", NAME)
    assert server.get("/app/page").status == 200
    assert server.get("/bad").status == 200
    by_process = {}
    for line in path.read_text().splitlines():
        pid, what = line.split(" ", 1)
        by_process.setdefault(pid, []).append(what)
    firsts = sorted(lines[0] for lines in by_process.values())
    assert firsts[-4:] == ["/health deep=1 localhost"] * 4 and set(firsts[:-4]) == {"/bad  localhost"}
    assert all(line.startswith("/health") is False for lines in by_process.values() for line in lines[1:])
