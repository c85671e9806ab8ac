# SPDX-License-Identifier: MIT OR Apache-2.0
"""Managed processes in nginx: who starts them, what a reload does to them, and what is left at the end."""

import json
import os
import signal

import pytest

from harness import places, processes, programs
from harness.deadline import wait_until

PHP = "/usr/bin/php-cgi"

pytestmark = pytest.mark.servers("nginx", "nginx128")

as_root = pytest.mark.skipif(not places.AS_ROOT, reason="only root can start an application as another user")
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
    server.configuration.write_text(text.replace(old, new))


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


@pytest.mark.parametrize("how", ["stop", "quit"])
def test_nothing_is_left_when_the_server_ends(launch, how):
    server = launch(lambda site: perl(site, processes="2-3"), warm=["/one/hello"])
    ended = gone(server)
    server.end(how)
    wait_until(ended, "nothing is left", 20)


def test_quit_lets_what_runs_end(launch, gate):
    server = launch(lambda site: site.wsgi("/app", "slow:app", processes=1, timeout="60s"), warm=["/app/hello"])
    running = server.connect()
    running.request("GET", f"/app/wait?{gate.query}&name=runs")
    visitor = gate.visitor().at("runs")
    server.send_signal("quit")
    visitor.go()
    assert running.response().text == "runs"
    assert server.wait() == 0


def test_a_test_of_the_configuration_starts_nothing(configtest):
    assert configtest(perl).status == 0
    assert not processes.trees() - {guard for other in () for guard in other}
    failed = configtest(lambda site: perl(site, processes="none"))
    assert failed.status == 1 and "GW0102" in failed.output


def test_without_such_an_application_there_is_nothing_of_it(launch):
    server = launch(lambda site: site.wsgi("/app", "process:app"), warm=["/app/facts"])
    if not server.site.managed:
        assert server.keepers() == {} and server.managed() == []
        assert not any("memfd:gangway" in target for target in processes.descriptors(server.pid()).values())


def test_a_killed_master_leaves_the_processes_to_its_workers(launch):
    server = launch.prepare(lambda site: perl(site, processes=2))
    server.start()
    worker, ended = server.worker(), gone(server)
    os.kill(server.pid(), signal.SIGKILL)
    server.process.wait(10)
    assert server.get("/one/hello").body == b"hello"
    os.kill(worker, signal.SIGKILL)
    wait_until(ended, "nothing is left", 20)
    processes.reap_orphans(set())


def test_a_reload_keeps_the_processes_of_the_same_words(launch):
    server = launch(lambda site: (perl(site, processes=2), perl(site, "/two/", name="two")))
    before, keepers = server.managed(), server.keepers()
    for _ in range(3):
        server.reload()
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


def test_applications_come_and_go_with_reloads(launch):
    server = launch(lambda site: site.location("/one/", nginx="return 204;"))
    server.site.kept_connections = 32
    script = programs.sources(server.site.scratch) / "fcgi.pl"
    plain = server.configuration.read_text()
    assert server.keepers() == {}
    server.configuration.write_text(plain.replace("return 204;", f"gangway_spawn /usr/bin/perl {script} processes=2;"))
    server.reload()
    assert server.get("/one/hello").body == b"hello"
    ended = gone(server)
    assert len(server.managed()) == 2
    server.configuration.write_text(plain)
    server.reload()
    assert server.get("/one/hello").status == 204
    wait_until(ended, "nothing is left", 20)
    assert processes.run_directories(server.pid()) == []


def test_a_reload_that_the_processes_cannot_follow_leaves_what_runs(launch):
    server = launch(lambda site: perl(site, processes=2), warm=["/one/hello"])
    before = server.managed()
    many = " ".join(f"env=A{number}={'x' * 3000}" for number in range(50))
    more = f"gangway_spawn /usr/bin/perl nothing {many};"
    script = programs.sources(server.site.scratch) / "fcgi.pl"
    change(server, f"gangway_spawn /usr/bin/perl {script} processes=2;", f"gangway_spawn /usr/bin/perl {script} processes=2; }} location /two/ {{ {more}")
    server.reload()
    server.log.expect("GW0908 applications cannot have processes of their own: the words .* are too many; what runs already")
    assert server.get("/one/hello").body == b"hello"
    assert server.managed() == before
    assert server.get("/two/hello").status == 500
    server.log.expect("GW0601")


def test_words_that_are_too_many_keep_the_server_from_starting(configtest, launch):
    many = [f"A{number}={'x' * 3000}" for number in range(50)]
    server = launch.prepare(lambda site: perl(site, env=many))
    with pytest.raises(AssertionError, match="GW0908"):
        server.start()


def test_what_processes_say_follows_the_log(launch):
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
    assert os.stat(log).st_uid == os.stat(f"/proc/{server.worker()}").st_uid


def test_one_process_for_everything(launch):
    def configure(site):
        site.master = False
        perl(site, processes=2)
        site.wsgi("/app", "process:app", processes=1, preload=False)

    server = launch(configure, warm=["/one/hello", "/app/facts"])
    assert server.get("/one/hello").body == b"hello"
    assert len(server.managed()) == 3


@as_root
def test_a_server_without_rights(launch):
    def configure(site):
        site.starter = "nobody"
        perl(site, processes=2)
        site.wsgi("/app", "process:app", processes=1, preload=False)

    server = launch(configure, warm=["/one/hello", "/app/facts"])
    assert server.get("/one/hello").body == b"hello"
    assert {os.stat(f"/proc/{pid}").st_uid for pid in server.managed()} == {os.stat(f"/proc/{server.pid()}").st_uid}


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


@pytest.mark.servers("nginx", "nginx128")
def test_what_lies_beside_scripts_of_php_is_nginx_s_own(launch):
    """A whole application in one location, as a weblog has it: pictures, an index, pages that try_files leads to a script."""

    def configure(site):
        root = site.scratch / "htdocs"
        (root / "wiki" / "sub").mkdir(parents=True)
        for name, text in (
            ("photo.jpg", "JFIF <?php echo 'run'; ?>"),
            ("page", "page <?php echo 'run'; ?>"),
            ("index.php", "<?php echo 'index ', $_SERVER['SCRIPT_NAME'], '|', $_SERVER['PATH_INFO'] ?? '';"),
            ("sub/about.php", "<?php echo 'about';"),
        ):
            (root / "wiki" / name).write_text(text)
        site.spawn("/wiki/", PHP, name="wiki", nginx=f"root {root}; index index.php;")
        site.spawn("/tried/", PHP, name="wiki", nginx=f"alias {root}/wiki/; index index.php; try_files $uri $uri.php /tried/index.php;")
        site.spawn("/fixed/", PHP, name="wiki", nginx=f"root {root};", params={"SCRIPT_FILENAME": f"{root}/wiki/index.php"})
        site.spawn("/other/", PHP, name="wiki", nginx=f"root {root}; if ($arg_other) {{ return 200 other; }} limit_except GET POST {{ deny all; }}")

    server = launch(configure)
    assert server.get("/wiki/photo.jpg").body == b"JFIF <?php echo 'run'; ?>"
    assert server.request("POST", "/wiki/photo.jpg", body=b"x").status == 405
    assert server.get("/wiki/page").body == b"page <?php echo 'run'; ?>"
    assert server.get("/wiki/").body == b"index /wiki/index.php|"
    assert server.get("/wiki/index.php/a/b").body == b"index /wiki/index.php|/a/b"
    assert server.request("POST", "/wiki/sub/about.php", body=b"x").body == b"about"
    assert server.get("/wiki/sub").status == 301
    assert server.get("/wiki/photo.jpg/x.php").status == 404
    server.log.expect("GW0709")
    assert server.get("/wiki/none.css").status == 404
    assert server.get("/tried/photo.jpg").body == b"JFIF <?php echo 'run'; ?>"
    assert server.get("/tried/pretty/name").body == b"index /tried/index.php|"
    # What try_files makes of a path is looked at, not what the client has asked for: no source of a script is given away.
    assert server.get("/tried/sub/about").body == b"about"
    # The administrator's own file runs whatever the path is.
    assert server.get("/fixed/photo.jpg").body.startswith(b"index ")
    assert server.get("/other/x.css?other=1").body == b"other"
    server.log.allow(r"open\(\) .* failed|directory index of|GW0709")
