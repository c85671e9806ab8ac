# SPDX-License-Identifier: MIT OR Apache-2.0
"""Each option of an application in processes of its own has its effect, for applications of an engine and, where they are started in
another way, for programs. Those with more to say have files of their own: `replay=` test_load.py, `cgroup=` test_cgroup.py, `reload=`, `name=`
and `warmup=` command/test_control.py, `memory=` and `cpu=` test_deadlines.py."""

import grp
import json
import os
import pwd
import signal

import pytest

from harness import places, processes, programs
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

USERS = places.other_users() if places.AS_ROOT else []
another_user = pytest.mark.skipif(not USERS, reason="needs root and an account beside the workers'")
PRELOAD = pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])


def facts(server, path="/app/facts"):
    response = server.get(path)
    assert response.status == 200, response
    return json.loads(response.body)


def application(server):
    (found,) = json.loads(server.get("/gangway?json").body)["applications"]
    return found


def ready(server):
    """The processes that take requests."""
    return {process["pid"] for process in application(server)["processes"] if process["state"] == "ready"}


@pytest.fixture
def run(launch):
    def start(**options):
        def configure(site):
            site.status("/gangway")
            site.wsgi("/app", "options:app", **{"processes": 1, "timeout": "60s", **options})

        return launch(configure, warm=["/gangway"])

    return start


@PRELOAD
def test_what_a_process_is_given(run, scratch, preload):
    scratch.chmod(0o755)
    words = {"umask": "027", "chdir": scratch, "nice": 5, "memory": "2g", "cpu": "100s", "files": 77}
    found = facts(run(preload=preload, **words))
    expected = {"umask": 0o027, "directory": str(scratch), "nice": 5, "memory": 2 << 30, "cpu": 100, "files": 77}
    assert {name: found[name] for name in expected} == expected


def test_what_a_process_is_given_without_options(run):
    found = facts(run())
    worker = pwd.getpwnam(places.WORKER_USER)
    expected = {"umask": 0o022, "directory": "/", "nice": 0, "memory": -1, "cpu": -1, "uid": worker.pw_uid, "gid": worker.pw_gid}
    assert {name: found[name] for name in expected} == expected


def test_what_a_program_is_given(launch, scratch):
    scratch.chmod(0o755)
    words = ["umask=027", f"chdir={scratch}", "nice=5", "memory=2g", "cpu=100s", "files=77"]

    def configure(site):
        site.spawn("/one/", "/usr/bin/perl", programs.sources(site.scratch) / "fcgi.pl", *words)

    server = launch(configure, warm=["/one/hello"])
    (pid,) = server.managed()
    status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status").read().splitlines())
    limits = {line[:26].strip(): line[26:].split()[0] for line in open(f"/proc/{pid}/limits").read().splitlines()[1:]}
    assert int(status["Umask"], 8) == 0o027 and os.readlink(f"/proc/{pid}/cwd") == str(scratch)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 5
    assert [limits[name] for name in ("Max address space", "Max cpu time", "Max open files")] == [str(2 << 30), "100", "77"]


@another_user
@PRELOAD
def test_user_and_group(run, preload):
    user = pwd.getpwnam(USERS[0])
    group = next(group for group in grp.getgrall() if group.gr_gid >= 100 and group.gr_gid != user.pw_gid)
    found = facts(run(user=USERS[0], preload=preload))
    assert (found["uid"], found["gid"]) == (user.pw_uid, user.pw_gid)
    found = facts(run(user=USERS[0], group=group.gr_name, preload=preload))
    assert (found["uid"], found["gid"]) == (user.pw_uid, group.gr_gid)
    assert 0 not in found["groups"]


@PRELOAD
def test_a_range_grows_with_requests_and_shrinks_when_they_are_gone(run, gate, preload):
    server = run(processes="0-3", threads=1, idle="1s", preload=preload)
    assert server.managed() == [] and application(server)["state"] == "idle"
    clients = [server.connect() for _ in range(5)]
    for client in clients:
        client.request("GET", f"/app/wait?{gate.query}")
    # The first one has waited for its process.
    visitors = [gate.visitor(60) for _ in range(3)]
    assert len({visitor.at("inside").pid for visitor in visitors}) == 3
    assert len(ready(server)) == 3
    for visitor in visitors:
        visitor.go()
    for _ in range(2):
        gate.visitor(60).at("inside").go()
    assert {client.response().status for client in clients} == {200}
    server.close_clients()
    wait_until(lambda: server.managed() == [], "those that nobody asks have ended", 60)
    assert application(server)["state"] == "idle"
    assert facts(server)["pid"] in ready(server)


def test_idle_leaves_the_least(run, gate):
    server = run(processes="1-3", threads=1, idle="1s", preload=False)
    clients = [server.connect() for _ in range(3)]
    for client in clients:
        client.request("GET", f"/app/wait?{gate.query}")
    for visitor in [gate.visitor(60) for _ in range(3)]:
        visitor.at("inside").go()
    assert {client.response().status for client in clients} == {200}
    wait_until(lambda: len(server.managed()) == 1, "the least is left", 60)


@PRELOAD
def test_max_requests(run, preload):
    server = run(max_requests=20, preload=preload)
    first = facts(server)["pid"]

    def others():
        found = facts(server)["pid"]
        return found if found != first else None

    assert wait_until(others, "another one answers", 60)
    server.log.expect(rf"GW0907 process {first} .* has had (1[89]|[2-9]\d|\d{{3,}}) requests, of which max_requests= allows no more")
    wait_until(lambda: not processes.alive(first), "the first one has ended", 60)


@PRELOAD
def test_max_rss(run, preload):
    server = run(max_rss="150m", preload=preload)
    first = facts(server)["pid"]
    assert facts(server, f"/app/grow?size={200 << 20}")["pid"] == first
    wait_until(lambda: facts(server)["pid"] != first, "another one answers", 60)
    server.log.expect(rf"GW0907 process {first} .* of resident memory, of which max_rss= allows no more")
    wait_until(lambda: not processes.alive(first), "the first one has ended", 60)


@PRELOAD
def test_lifetime(run, preload):
    server = run(lifetime="2s", preload=preload)
    first = facts(server)["pid"]
    wait_until(lambda: first not in ready(server) and ready(server), "another one is ready", 60)
    server.log.expect(rf"GW0907 process {first} .* has reached the age of lifetime=")
    assert facts(server)["pid"] != first
    wait_until(lambda: not processes.alive(first), "the first one has ended", 60)


@PRELOAD
def test_boot_timeout(run, preload):
    server = run(boot_timeout="1s", env="SLOW_START=1", preload=preload)
    response = server.get("/app/facts")
    assert response.status == 503 and response.header("Retry-After")
    if preload:
        server.log.expect("GW0903 the template of .* did not load the application within boot_timeout=, and is killed")
    line = server.log.expect("GW0903 .*process .* took no requests within boot_timeout=, and is killed")
    assert "process 0" not in line.raw
    server.log.allow("GW090[135]")


@PRELOAD
def test_drain_timeout(run, gate, preload):
    server = run(drain_timeout="1s", threads=2, env="VERSION=1", preload=preload)
    client = server.connect()
    client.request("GET", f"/app/wait?{gate.query}")
    visitor = gate.visitor().at("inside")
    text = server.configuration.read_text()
    server.rewrite(text.replace("VERSION=1", "VERSION=2"))
    server.send_signal("reload")
    server.log.expect(rf"GW0906 requests of process {visitor.pid} .* did not end within drain_timeout=; it is told to end", 60)
    # What it hears then interrupts the request, in time or by KILL.
    server.log.allow("GW0906|GW0408|GW0703|GW0904|GW03|GW0905|prematurely closed|readv\\(\\)|recv\\(\\)")
    wait_until(lambda: not processes.alive(visitor.pid), "it has ended", 60)
    server.close_clients()
    wait_until(lambda: facts(server)["pid"] != visitor.pid, "another one answers", 60)
    server.settle()


def test_preload_has_a_template_and_no_preload_has_none(run):
    # Each has what it was asked for, and the one that they are forked from.
    for preload, more in ((True, 1), (False, 0)):
        server = run(processes=2, preload=preload)
        wait_until(lambda server=server: len(ready(server)) == 2, "both are ready", 60)
        titles = [open(f"/proc/{pid}/cmdline").read().replace("\0", " ") for pid in server.managed()]
        assert len(titles) == 2 + more and sum("template of options:app" in title for title in titles) == more, titles


def test_a_process_that_was_asked_for_and_has_not_come_has_no_number(run):
    """A template that is stopped makes none: it is replaced after boot_timeout=."""
    server = run(processes="1-2", threads=1, boot_timeout="2s")
    (first,) = wait_until(lambda: ready(server), "one is ready", 60)
    (template,) = set(server.managed()) - {first}
    processes.stop(template)
    os.kill(first, signal.SIGKILL)
    assert facts(server)["pid"] != first
    line = server.log.expect("GW0903 .* took no requests within boot_timeout=")
    assert "a process of" in line.raw
    server.log.allow("GW090[234]")
    assert not processes.alive(template)
    server.log.allow("connect\\(\\) to unix|prematurely closed|recv\\(\\) failed|GW0703")
    server.settle()
