# SPDX-License-Identifier: MIT OR Apache-2.0
"""Managed processes in httpd: who starts them, what a restart does to them, and what is left at the end."""

import json
import os
import signal

import pytest

from harness import places, processes, programs
from harness.deadline import wait_until
from harness.load import Load

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")

as_root = pytest.mark.skipif(not places.AS_ROOT, reason="only root can start an application as another user")


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


def restart(server):
    """As apachectl restart: requests are cut."""
    old = set(server.workers())
    server.send_signal("restart")
    replaced = lambda: not old & set(server.workers()) and len(server.workers()) >= server.site.workers
    wait_until(replaced, "all children are replaced", 30)
    wait_until(lambda: server.get("/.ready").status == 204, "it serves")


def gone(server):
    pids = [pid for family in server.keepers().values() for pid in family] + server.managed()
    return lambda: not any(processes.alive(pid) for pid in pids)


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_a_restart_keeps_the_processes_of_the_same_words(launch, how):
    server = launch(lambda site: (perl(site, processes=2), perl(site, "/two/", name="two")), warm=["/one/hello"])
    before, keepers = server.managed(), server.keepers()
    assert {name: len(pids) for name, pids in keepers.items()} == {
        "gangway-guard": 1,
        "gangway-spawn": 1,
        "gangway-super": 1,
    }
    for _ in range(4):
        server.reload() if how == "reload" else restart(server)
        assert server.get("/one/hello").body == b"hello"
    assert (server.managed(), server.keepers()) == (before, keepers)


@pytest.mark.parametrize("words", ["same", "other"])
def test_graceful_restarts_under_load_lose_nothing(launch, scratch, words, kind):
    path = scratch / "journal"
    path.touch()
    path.chmod(0o666)

    def configure(site):
        # Children that end gracefully serve their connections to the end.
        site.workers = {"apache": 2, "apache-worker": 1, "apache-prefork": 8}[kind]
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}", "VERSION=0"], timeout="60s", processes=2)

    server = launch(configure, warm=["/app/get", "/app/stream"])
    text = server.configuration.read_text()
    with Load(server, "/app", fresh=2, kept=2) as load:
        for number in range(1, 6):
            if words == "other":
                server.configuration.write_text(text.replace("VERSION=0", f"VERSION={number}"))
            server.reload(60)
            done = load.done
            wait_until(lambda done=done: load.done > done + 20 or load.failures, "requests go on", 60)
    assert not load.failures, f"{len(load.failures)} of {load.done} failed: {load.failures[:3]}"
    seen = [name for name in path.read_text().split() if name != "none"]
    assert len(seen) == len(set(seen)), "a request ran twice"


def test_other_words_replace_the_processes(launch):
    server = launch(lambda site: site.wsgi("/app", "process:app", processes=1, preload="off", env="VERSION=1"), warm=["/app/facts"])
    (before,) = server.managed()
    assert facts(server)["environ"]["VERSION"] == "1"
    change(server, "VERSION=1", "VERSION=2")
    server.reload()
    wait_until(lambda: facts(server)["environ"]["VERSION"] == "2", "the new words count")
    wait_until(lambda: not processes.alive(before), "the old process has ended")


def test_applications_come_and_go_with_restarts(launch):
    server = launch(lambda site: perl(site, processes=2), warm=["/one/hello"])
    with_it = server.configuration.read_text()
    without = "\n".join(line for line in with_it.splitlines() if "GangwaySpawn" not in line)
    ended = gone(server)
    server.configuration.write_text(without)
    server.reload()
    assert server.get("/one/hello").status == 404
    wait_until(ended, "nothing is left", 20)
    server.configuration.write_text(with_it)
    server.reload()
    assert server.get("/one/hello").body == b"hello"
    assert len(server.managed()) == 2


def test_a_restart_that_the_processes_cannot_follow_leaves_what_runs(launch):
    server = launch(lambda site: perl(site, processes=2), warm=["/one/hello"])
    before = server.managed()
    many = " ".join(f"env=A{number}={'x' * 100}" for number in range(1500))
    more = f'<Location "/two/">\nGangwaySpawn /usr/bin/perl nothing {many}\n</Location>\n'
    server.configuration.write_text(server.configuration.read_text() + more)
    server.reload()
    server.log.expect("GW0908 .* are too many; what runs already goes on as it was")
    assert server.get("/one/hello").body == b"hello"
    assert server.managed() == before
    assert server.get("/two/hello").status == 500
    server.log.expect("GW0601")


@pytest.mark.parametrize("how", ["stop", "quit"])
def test_nothing_is_left_when_the_server_ends(launch, how):
    server = launch(lambda site: perl(site, processes="2-3"), warm=["/one/hello"])
    ended = gone(server)
    server.end(how)
    wait_until(ended, "nothing is left", 20)


def test_a_killed_parent_leaves_the_processes_to_its_children(launch):
    server = launch.prepare(lambda site: perl(site, processes=2))
    server.start()
    worker, ended = server.worker(), gone(server)
    os.kill(server.pid(), signal.SIGKILL)
    server.process.wait(10)
    assert server.get("/one/hello").body == b"hello"
    os.kill(worker, signal.SIGKILL)
    wait_until(ended, "nothing is left", 20)
    processes.reap_orphans(set())


def test_a_test_of_the_configuration_starts_nothing(configtest):
    before = processes.trees()
    assert configtest(perl).status == 0
    assert processes.trees() == before


def test_without_such_an_application_there_is_nothing_of_it(launch):
    server = launch(lambda site: site.wsgi("/app", "process:app"), warm=["/app/facts"])
    if not server.site.managed:
        assert server.keepers() == {} and server.managed() == []
        for pid in (server.pid(), server.worker()):
            assert not any("memfd:gangway" in target for target in processes.descriptors(pid).values())


def test_images_below_a_location_of_php_are_no_scripts(launch):
    def configure(site):
        root = site.scratch / "htdocs"
        root.mkdir()
        (root / "photo.jpg").write_bytes(b"JFIF <?php echo 'run'; ?>")
        (root / "index.php").write_text("<?php echo 'index ', $_SERVER['SCRIPT_NAME'];")
        site.spawn("/wiki/", "/usr/bin/php-cgi", files=root, apache="DirectoryIndex index.php")

    server = launch(configure)
    assert server.get("/wiki/photo.jpg").body == b"JFIF <?php echo 'run'; ?>"
    assert server.get("/wiki/").body == b"index /wiki/index.php"
    assert server.get("/wiki/photo.jpg/x.php").status == 404
    server.log.expect("GW0709")


@as_root
def test_a_server_without_rights_cannot_change_users(configtest):
    def configure(site):
        site.starter = "nobody"
        perl(site, user=places.WORKER_USER)

    failed = configtest(configure)
    assert failed.status == 1 and "GW0102" in failed.output and "start it as root or remove the option" in failed.output


@as_root
def test_an_application_of_another_user(launch):
    server = launch(lambda site: site.wsgi("/app", "process:app", user="nobody", preload="off"), warm=["/app/facts"])
    (pid,) = server.managed()
    uid = lambda pid: os.stat(f"/proc/{pid}").st_uid
    assert uid(pid) != uid(server.worker())
    facts(server)
