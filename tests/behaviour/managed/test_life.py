# SPDX-License-Identifier: MIT OR Apache-2.0
"""Managed processes: who starts them, what a reload does to them, and what is left at the end."""

import json
import os
import signal
import time

import pytest

from harness import places, processes, programs
from harness.deadline import wait_until

as_root = pytest.mark.skipif(not places.AS_ROOT, reason="only root can start an application as another user")
# What depends on how httpd's parent starts and ends its children.
ALL_MPMS = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")
# What a request meets whose process is killed.
CUT = r"upstream prematurely closed|recv\(\) failed|readv\(\) failed|connect\(\) to unix|GW0703|GW0904"


def perl(site, path="/one/", **options):
    site.spawn(path, "/usr/bin/perl", programs.sources(site.scratch) / "fcgi.pl", **options)


def facts(server, path="/app/facts"):
    response = server.get(path)
    assert response.status == 200, response
    return json.loads(response.body)


def change(server, old, new):
    text = server.configuration.read_text()
    assert old in text
    server.rewrite(text.replace(old, new))


def restart(server):
    """As apachectl restart does: requests are cut."""
    old = set(server.workers())
    server.send_signal("restart")
    replaced = lambda: not old & set(server.workers()) and len(server.workers()) >= server.site.workers
    wait_until(replaced, "all children are replaced", 30)
    wait_until(lambda: server.get("/.ready").status == 204, "it serves")


def gone(server):
    pids = [pid for family in server.keepers().values() for pid in family] + server.managed()
    return lambda: not any(processes.alive(pid) for pid in pids)


def test_the_tree_has_the_rights_that_it_needs(launch):
    server = launch(lambda site: perl(site, processes=2))
    assert server.get("/one/hello").body == b"hello"
    keepers = server.keepers()
    assert {name: len(pids) for name, pids in keepers.items()} == {
        "gangway-guard": 1,
        "gangway-spawn": 1,
        "gangway-super": 1,
    }
    uid = lambda pid: os.stat(f"/proc/{pid}").st_uid
    worker = uid(server.worker())
    # A process that may not be looked into belongs to root in /proc.
    status = dict(line.split(":\t", 1) for line in open(f"/proc/{keepers['gangway-super'][0]}/status") if ":\t" in line)
    assert int(status["Uid"].split()[0]) == worker
    assert [uid(pid) for pid in server.managed()] == [worker] * 2
    assert processes.children(server.pid()) == server.workers()
    (run,) = (path for path in processes.run_directories(server.pid()) if os.path.isdir(path))
    assert os.stat(run).st_mode & 0o777 == 0o700 and os.stat(os.path.dirname(run)).st_mode & 0o022 == 0
    assert os.stat(run).st_uid == worker
    for name in os.listdir(run):
        assert os.stat(f"{run}/{name}").st_mode & 0o777 == 0o600


@ALL_MPMS
@pytest.mark.parametrize("how", ["stop", "quit"])
def test_nothing_is_left_when_the_server_ends(launch, how):
    server = launch(lambda site: perl(site, processes="2-3"), warm=["/one/hello"])
    ended = gone(server)
    server.end(how)
    wait_until(ended, "nothing is left", 20)


def programs_of(kind, site):
    if kind == "perl":
        perl(site, processes=3)
    elif kind == "c":
        site.spawn("/one/", programs.installed(site.scratch), processes=3)
    elif kind == "php":
        root = programs.sources(site.scratch) / "php"
        site.apache_main += f"DocumentRoot {root}\n<Directory {root}>\nRequire all granted\n</Directory>\n"
        site.spawn(r"\.php(/|$)", "/usr/bin/php-cgi", kind="regex", processes=3, nginx=f"root {root};")
    else:
        site.wsgi("/one", "pep3333:app", processes=3, preload=kind == "forked")


@ALL_MPMS
@pytest.mark.parametrize("how", ["stop", "quit"])
@pytest.mark.parametrize("program", ["perl", "c", "php", "alone", "forked"])
def test_nobody_waits_for_programs_that_have_nothing_to_do(launch, program, how):
    """Perl hears no TERM while it waits for a request."""
    path = "/env.php" if program == "php" else "/one/hello"
    server = launch(lambda site: programs_of(program, site), warm=[path])
    ended = gone(server)
    server.end(how)
    began = time.monotonic()
    wait_until(ended, "nothing is left", 20)
    took = time.monotonic() - began
    print(f"{server.kind} {program} {how}: {1000 * took:.0f} ms")
    # Who hears nothing is killed after 2 s.
    assert took < 1.5


@ALL_MPMS
def test_quit_lets_what_runs_end(launch, gate):
    server = launch(lambda site: site.wsgi("/app", "slow:app", processes=1, timeout="60s"), warm=["/app/hello"])
    running = server.connect()
    running.request("GET", f"/app/wait?{gate.query}&name=runs")
    visitor = gate.visitor().at("runs")
    server.send_signal("quit")
    visitor.go()
    assert running.response().text == "runs"
    assert server.wait() == 0


@ALL_MPMS
@pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])
def test_an_application_that_has_left_the_configuration_answers_its_last_requests(launch, gate, kind, preload):
    """Those whose process is killed then, and those that waited for it."""

    def configure(site):
        site.workers = 4 if kind == "apache-prefork" else 1
        site.wsgi("/app", "slow:app", name="first", processes=1, threads=1, preload=preload, timeout="60s")
        site.status("/gangway")

    server = launch(configure, warm=["/app/hello"])
    running = server.connect()
    running.request("GET", f"/app/wait?{gate.query}&name=runs")
    first = gate.visitor().at("runs")
    waiting = server.connect()
    waiting.request("GET", f"/app/wait?{gate.query}&name=waits")
    applications = lambda: {found["name"]: found for found in json.loads(server.get("/gangway?json").body)["applications"]}
    wait_until(lambda: applications()["first"]["waiting"] == 1, "one waits")
    change(server, "name=first", "name=second")
    # Old workers stay for these two.
    server.send_signal("reload")
    wait_until(lambda: applications().keys() == {"second"}, "the new configuration counts", 30)
    wait_until(lambda: applications()["second"]["state"] == "serving", "it serves", 30)
    server.log.allow(CUT)
    os.kill(first.pid, signal.SIGKILL)
    for _ in range(2):
        visitor = gate.visitor()
        visitor.next()
        visitor.go()
    assert (running.response().text, waiting.response().text) == ("runs", "waits")


def test_a_test_of_the_configuration_starts_nothing(configtest):
    before = processes.trees()
    assert configtest(perl).status == 0
    assert processes.trees() == before
    failed = configtest(lambda site: perl(site, processes="none"))
    assert failed.status == 1 and "GW0102" in failed.output


def test_without_such_an_application_there_is_nothing_of_it(launch):
    server = launch(lambda site: site.wsgi("/app", "process:app"), warm=["/app/facts"])
    if not server.site.managed:
        assert server.keepers() == {} and server.managed() == []
        for pid in (server.pid(), server.worker()):
            assert not any("memfd:gangway (" in target for target in processes.descriptors(pid).values())


@ALL_MPMS
def test_a_killed_parent_leaves_the_processes_to_its_workers(launch):
    """To the last of them."""

    def configure(site):
        site.workers = 2
        perl(site, processes=2)

    server = launch.prepare(configure)
    server.start()
    (worker, last), ended = server.workers(), gone(server)
    os.kill(server.pid(), signal.SIGKILL)
    server.process.wait(10)
    assert server.get("/one/hello").body == b"hello"
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not processes.alive(worker), "it has ended")
    assert server.get("/one/hello").body == b"hello"
    assert not ended()
    os.kill(last, signal.SIGKILL)
    wait_until(ended, "nothing is left", 20)
    processes.reap_orphans(set())


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_reload_keeps_the_processes_of_the_same_words(launch, kind, how):
    if how == "restart" and kind.startswith("nginx"):
        pytest.skip("nginx has one way to read its configuration anew")
    server = launch(lambda site: (perl(site, processes=2), perl(site, "/two/", name="two")), warm=["/one/hello"])
    before, keepers = server.managed(), server.keepers()
    for _ in range(4):
        server.reload() if how == "reload" else restart(server)
        assert server.get("/one/hello").body == b"hello"
    assert (server.managed(), server.keepers()) == (before, keepers)


def test_a_reload_with_other_words_replaces_them(launch):
    server = launch(lambda site: site.wsgi("/app", "process:app", processes=1, preload=False, env="VERSION=1"), warm=["/app/facts"])
    (before,) = server.managed()
    assert facts(server)["environ"]["VERSION"] == "1"
    change(server, "VERSION=1", "VERSION=2")
    server.reload()
    wait_until(lambda: facts(server)["environ"]["VERSION"] == "2", "the new words count")
    wait_until(lambda: not processes.alive(before), "the old process has ended")


@pytest.mark.parametrize("preload", [True, False])
def test_a_reload_replaces_those_whose_files_have_changed(launch, scratch, preload):
    """Without `reload=`: modules of the application, not only what it is started by."""
    text = "import os, part\n\ndef app(e, s):\n    s('200 OK', [('X-Pid', str(os.getpid()))])\n    return [part.NAME, str(sorted(os.environ)).encode()]\n"
    (scratch / "changing.py").write_text(text)
    part = scratch / "part.py"
    part.write_text("NAME = b'one'\n")
    server = launch(lambda site: site.wsgi("/", "changing:app", root=scratch, processes=1, preload=preload), warm=["/"])
    first = server.get("/")
    assert first.text.startswith("one[") and "GANGWAY" not in first.text
    server.reload()
    assert server.get("/").header("X-Pid") == first.header("X-Pid"), "nothing has changed"
    part.write_text("NAME = b'other'\n")
    assert server.get("/").text.startswith("one[")
    server.reload()
    wait_until(lambda: server.get("/").text.startswith("other["), "the new code answers")
    server.log.allow("GW0907")


def test_applications_come_and_go_with_reloads(launch, kind):
    server = launch(lambda site: site.location("/one/", nginx="return 404;", apache="Redirect 404"))
    server.site.kept_connections = 32
    words = f"/usr/bin/perl {programs.sources(server.site.scratch) / 'fcgi.pl'} processes=2"
    without = server.configuration.read_text()
    if kind.startswith("nginx"):
        with_it = without.replace("return 404;", f"gangway_spawn {words};")
    else:
        with_it = without.replace("Redirect 404", f"GangwaySpawn {words}")
    assert server.keepers() == {}
    for _ in range(2):
        server.rewrite(with_it)
        server.reload()
        assert server.get("/one/hello").body == b"hello"
        assert len(server.managed()) == 2
        ended = gone(server)
        server.rewrite(without)
        server.reload()
        assert server.get("/one/hello").status == 404
        wait_until(ended, "nothing is left", 20)
        assert processes.run_directories(server.pid()) == []


def test_a_reload_that_the_processes_cannot_follow_leaves_what_runs(launch, kind):
    server = launch(lambda site: perl(site, processes=2), warm=["/one/hello"])
    before = server.managed()
    many = " ".join(f"env=A{number}={'x' * 3000}" for number in range(50))
    text = server.configuration.read_text()
    if kind.startswith("nginx"):
        text = text.replace("processes=2;", f"processes=2; }} location /two/ {{ gangway_spawn /usr/bin/perl nothing {many};")
    else:
        text += f'<Location "/two/">\nGangwaySpawn /usr/bin/perl nothing {many}\n</Location>\n'
    server.rewrite(text)
    server.reload()
    server.log.expect("GW0908 .* are too many; what runs already goes on ")
    assert server.get("/one/hello").body == b"hello"
    assert server.managed() == before
    assert server.get("/two/hello").status == 500
    server.log.expect("GW0601")


def test_words_that_are_too_many_keep_the_server_from_starting(configtest, launch):
    many = [f"A{number}={'x' * 3000}" for number in range(50)]
    server = launch.prepare(lambda site: perl(site, env=many))
    with pytest.raises(AssertionError, match="GW0908"):
        server.start()


def test_what_processes_say_follows_the_log(launch, kind):
    server = launch(lambda site: site.wsgi("/app", "process:app", processes=1, preload=False), warm=["/app/count"])
    log = server.folder / "error.log"
    log.rename(server.folder / "error.log.1")
    server.process.send_signal(signal.SIGUSR1)
    wait_until(log.exists, "the log is opened anew")
    # What has no request is written by who reads the processes' output.
    os.kill(server.managed()[0], signal.SIGKILL)
    wait_until(lambda: "GW0904" in log.read_text(), "the line is in the new log")
    assert "GW0904" not in (server.folder / "error.log.1").read_text()
    server.log.read = 0
    server.log.allow("GW0904")
    wait_until(lambda: server.get("/app/count").status == 200, "another one serves")
    if kind.startswith("nginx"):
        assert os.stat(log).st_uid == os.stat(f"/proc/{server.worker()}").st_uid


@as_root
def test_a_server_without_rights_cannot_change_users(configtest):
    def configure(site):
        site.starter = "nobody"
        perl(site, user=places.WORKER_USER)

    failed = configtest(configure)
    assert failed.status == 1 and "GW0102" in failed.output and "start it as root or remove the option" in failed.output


@as_root
def test_an_application_of_another_user(launch):
    server = launch(lambda site: site.wsgi("/app", "process:app", user="nobody", preload=False), warm=["/app/facts"])
    (pid,) = server.managed()
    uid = lambda pid: os.stat(f"/proc/{pid}").st_uid
    assert uid(pid) != uid(server.worker())
    facts(server)


def test_its_environment_is_chosen(launch, monkeypatch):
    def configure(site):
        site.environment = {"SECRET": "of the server"}
        site.wsgi("/app", "process:app", processes=1, preload=False, env=["A=1"])

    server = launch(configure, warm=["/app/facts"])
    found = facts(server)["environ"]
    assert {name: value for name, value in found.items() if name != "LC_CTYPE"} == {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "A": "1",
    }


def test_a_missing_host_is_named_with_the_places(launch, workspace):
    server = launch.prepare(lambda site: site.wsgi("/app", "process:app", processes=1, preload=False))
    beside = list(workspace.modules.rglob(places.HOST))
    for path in beside:
        path.rename(path.with_suffix(".away"))
    try:
        failed = server.configtest()
    finally:
        for path in beside:
            path.with_suffix(".away").rename(path)
    assert failed.status == 1
    for part in ("GW0109", "gangway-host", "/usr/lib/gangway", str(workspace.modules)):
        assert part in failed.output, (part, failed.output)


def test_mistakes_name_their_cure(configtest):
    for options, parts in (
        ({"memory": "1g"}, ("GW0101", "add processes=N or user=NAME")),
        ({"processes": "4-1"}, ("GW0102", "0-4")),
        ({"processes": 2, "idle": "1m"}, ("GW0101", "0-4")),
        ({"processes": 1, "proceses": 2}, ("GW0101", "did you mean")),
    ):
        found = configtest(lambda site, options=options: site.wsgi("/app", "process:app", **options))
        assert found.status == 1 and all(part in found.output for part in parts), found.output


@ALL_MPMS
@pytest.mark.parametrize("name", ["gangway-super", "gangway-spawn", "gangway-guard"])
def test_whoever_looks_after_processes_may_be_killed(launch, name):
    server = launch(lambda site: perl(site, processes=2), warm=["/one/hello"])
    (pid,) = server.keepers()[name]
    server._connections.clear()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes.alive(pid), "it has ended")
    wait_until(lambda: server.get("/one/hello").status == 200, "requests are answered")
    server.log.allow(CUT)
    if name != "gangway-guard":
        wait_until(lambda: len(server.keepers().get(name, [])) == 1, "another one is there")
        wait_until(lambda: len(server.managed()) == 2, "and so are the processes")


@as_root
def test_a_server_without_rights(launch):
    def configure(site):
        site.starter = "nobody"
        perl(site, processes=2)
        site.wsgi("/app", "process:app", processes=1, preload=False)

    server = launch(configure, warm=["/one/hello", "/app/facts"])
    assert server.get("/one/hello").body == b"hello"
    assert {os.stat(f"/proc/{pid}").st_uid for pid in server.managed()} == {os.stat(f"/proc/{server.pid()}").st_uid}
