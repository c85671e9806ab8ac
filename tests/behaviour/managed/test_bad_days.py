# SPDX-License-Identifier: MIT OR Apache-2.0
"""What goes wrong around applications in processes of their own: full disks, limits that are too low, applications that do what they
should not, processes that are stopped. Requests that can be answered are, the log says what is wrong, and it heals by itself."""

import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess

import pytest

from harness import places, processes, programs
from harness.deadline import growth, wait_until
from harness.load import Load

pytestmark = pytest.mark.servers("nginx", "apache")

CUT = r"GW0904|GW0703|upstream prematurely closed|recv\(\) failed|readv\(\) failed|writev\(\) failed|connect\(\) to unix"
as_root = pytest.mark.skipif(not places.AS_ROOT, reason="needs root")
PRELOAD = pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])


def perl(site, path="/one/", **options):
    site.spawn(path, "/usr/bin/perl", programs.sources(site.scratch) / "fcgi.pl", **options)


def bad(site, **options):
    site.wsgi("/app", "bad_days:app", **{"processes": 1, "timeout": "60s", **options})


def supervisor(server):
    (pid,) = server.keepers()["gangway-super"]
    return pid


def limit_descriptors(pid, soft):
    """As the process' own user: not every root may do that to others."""
    hard = int(limits(pid)[1])
    status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status").read().splitlines())
    user, group = int(status["Uid"].split()[0]), int(status["Gid"].split()[0])
    child = os.fork()
    if child == 0:
        try:
            if places.AS_ROOT:
                os.setresgid(group, group, group)
                os.setresuid(user, user, user)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def limits(pid):
    """How many descriptors a process may have: now, and at most."""
    (line,) = (line for line in open(f"/proc/{pid}/limits").read().splitlines() if line.startswith("Max open files"))
    return tuple(int(word) for word in line[26:].split()[:2])


def say(server, old, new):
    text = server.configuration.read_text()
    assert old in text
    server.rewrite(text.replace(old, new))


# ---- the run directory ----


def unprivileged(site, temporary):
    """Its run directory is below this one."""
    site.starter = "nobody"
    site.environment = {"TMPDIR": str(temporary)}


@pytest.fixture
def small_disk(scratch):
    """A file system on which there is room for a few files."""
    folder = scratch / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777,nr_inodes=12", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@as_root
def test_a_full_disk_is_told_and_heals(launch, small_disk):
    def configure(site):
        unprivileged(site, small_disk)
        perl(site, processes=2)

    server = launch(configure, warm=["/one/hello"])
    filled = []
    for number in range(64):
        try:
            (small_disk / f"file{number}").touch()
        except OSError:
            break
        filled.append(small_disk / f"file{number}")
    assert len(filled) < 64
    server.log.allow(CUT + "|GW0901")
    # Another number of processes takes other sockets.
    say(server, "processes=2", "processes=3")
    server.reload()
    server.log.expect("GW0902 a process of .* could not be started: No space left on device", 30)
    for path in filled:
        path.unlink()
    wait_until(lambda: server.get("/one/hello").status == 200, "it serves again, and nobody has reloaded", 60)


@as_root
@pytest.mark.parametrize("mode, owner, cure", [(0o777, "nobody", "chmod 755, or remove it"), (0o755, "root", "remove it")])
def test_a_run_directory_that_others_may_write_to_is_refused(launch, scratch, mode, owner, cure):
    folder = scratch / f"gangway-{pwd.getpwnam('nobody').pw_uid}"
    folder.mkdir()
    folder.chmod(mode)
    shutil.chown(folder, owner)

    def configure(site):
        unprivileged(site, scratch)
        perl(site)

    with pytest.raises(AssertionError, match=f"GW0908.*{cure}"):
        launch.prepare(configure).start()


@as_root
def test_a_run_directory_on_which_nothing_may_be_executed_will_do(launch, scratch):
    folder = scratch / "noexec"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "mode=1777,noexec,nosuid,nodev", "none", folder]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    try:

        def configure(site):
            unprivileged(site, folder)
            perl(site)
            bad(site)

        server = launch(configure, warm=["/one/hello"])
        assert server.get("/app/pid").status == 200 and os.listdir(folder)
        server.stop()
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_two_servers_share_a_run_directory(launch):
    servers = [launch(lambda site: perl(site, processes=2), warm=["/one/hello"]) for _ in range(2)]
    first, second = ([path for path in processes.run_directories(server.pid()) if os.path.isdir(path)] for server in servers)
    assert os.path.dirname(first[0]) == os.path.dirname(second[0]) and first != second
    servers[0].stop()
    # Who looks after processes ends when the server has ended.
    wait_until(lambda: processes.run_directories(servers[0].pid()) == [], "nothing of it is left", 20)
    assert servers[1].get("/one/hello").body == b"hello"
    servers[1].reload()
    assert servers[1].get("/one/hello").body == b"hello"


def test_a_server_that_is_started_twice_leaves_the_first_alone(launch):
    server = launch(lambda site: (perl(site, processes=2), bad(site)), warm=["/one/hello", "/app/pid"])
    before = (server.managed(), server.keepers(), processes.run_directories(server.pid()))
    again = subprocess.run(server.command(), capture_output=True, text=True, timeout=60, env=server.environment())
    assert again.returncode != 0 or "already running" in again.stdout
    server.log.allow("Address already in use|could not bind|still could not bind|no listening sockets|Unable to open logs|AH00015|AH00072")
    assert server.get("/one/hello").body == b"hello"
    assert (server.managed(), server.keepers(), processes.run_directories(server.pid())) == before


# ---- descriptors ----


def test_a_supervisor_without_descriptors_says_so_and_heals(launch):
    server = launch(lambda site: (perl(site, processes=2), bad(site, processes="0-40", threads=1)), warm=["/one/hello"])
    pid = supervisor(server)
    has = len(processes.descriptors(pid))
    limit_descriptors(pid, has)
    for process in server.managed():
        os.kill(process, signal.SIGKILL)
    server.log.allow(CUT + "|GW0901|GW0908")
    server.log.expect("GW0902 a process of .* could not be started", 30)
    # Who asks for the status has to wait, and nobody looks for him again and again.
    (control,) = (path for path in processes.run_directories(server.pid()) if path.endswith(".control"))
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(control)
        assert growth(lambda: processes.cpu_seconds(pid), 1.0) < 0.3
    limit_descriptors(pid, limits(pid)[1])
    wait_until(lambda: server.get("/one/hello").status == 200, "it serves again", 60)
    wait_until(lambda: server.get("/app/pid").status == 200, "the other one as well", 60)
    server.settle()


@as_root
def test_who_looks_after_processes_has_room_and_processes_what_the_server_has(launch):
    """The soft limit is for who uses select(2); it is no limit of the machine."""

    def configure(site):
        perl(site)
        bad(site)

    server = launch.prepare(configure)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lower = min(soft, 512)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lower, hard))
    try:
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        server.warm("/one/hello", "/app/pid")
        server.log.allow("worker_connections exceed open file resource limit")
        for family in server.keepers().values():
            assert [limits(pid) for pid in family] == [(hard, hard)]
        assert {limits(pid) for pid in server.managed()} == {(lower, hard)}
    finally:
        server.finish()


# ---- applications ----


@PRELOAD
def test_what_an_application_leaves_behind_ends_with_the_server(launch, preload):
    server = launch(lambda site: bad(site, preload=preload, env="VERSION=1"), warm=["/app/pid"])
    first = int(server.get("/app/pid").text)
    daemon = int(server.get("/app/daemon").text)
    # It holds the socket and the output of its process, which is replaced all the same.
    say(server, "VERSION=1", "VERSION=2")
    server.reload()
    wait_until(lambda: int(server.get("/app/pid").text) != first, "another one serves", 60)
    wait_until(lambda: not processes.alive(first), "the first one has ended", 60)
    assert processes.alive(daemon)
    server.settle()
    server.stop()
    wait_until(lambda: not processes.alive(daemon), "nothing is left", 20)


@PRELOAD
def test_an_application_that_closes_all_descriptors_costs_its_process(launch, preload):
    server = launch(lambda site: bad(site, preload=preload), warm=["/app/pid"])
    first = int(server.get("/app/pid").text)
    server.log.allow(CUT + "|GW0905|GW0905|GW0906|GW03|GW0402")
    response = server.post("/app/close_all", b"x", timeout=30)
    assert response.status in (502, 503)
    wait_until(lambda: server.get("/app/pid").status == 200, "another one serves", 60)
    assert int(server.get("/app/pid").text) != first
    wait_until(lambda: not processes.alive(first), "the first one has ended", 60)
    server.settle()


def test_a_template_that_closes_all_descriptors_is_a_failure_like_others(launch):
    server = launch(lambda site: bad(site, env="CLOSE_AT_IMPORT=1", boot_timeout="2s"))
    server.log.allow("GW090[1-6]|GW03")
    server.log.expect("GW0903 ", 30)
    assert server.get("/app/pid", timeout=60).status in (500, 502, 503)
    # Attempts are made at growing intervals, not one after the other.
    keeper = server.keepers()["gangway-spawn"][0]
    assert growth(lambda: processes.cpu_seconds(keeper), 2.0) < 0.5


@PRELOAD
def test_an_application_that_shouts_holds_nobody_up(launch, preload):
    server = launch(lambda site: (bad(site, preload=preload), perl(site)), warm=["/app/pid", "/one/hello"])
    assert server.get("/app/shout").text == "shouting"
    server.log.expect("GW0905 .*a line of no use")
    log = server.folder / "error.log"
    # A hundred lines a second of each process.
    assert growth(lambda: log.stat().st_size, 2.0) < 100_000
    for _ in range(20):
        assert server.get("/app/pid").status == 200 and server.get("/one/hello").status == 200
    server.log.expect("GW0905 .* lines more were left out")


# ---- processes that are stopped ----


def test_a_stopped_supervisor_holds_no_request_and_no_reload(launch, scratch):
    path = scratch / "journal"
    path.touch()
    path.chmod(0o666)
    server = launch(
        lambda site: (
            site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], timeout="60s", processes=2),
            perl(site, processes=2, env="VERSION=0"),
        ),
        warm=["/app/get", "/one/hello"],
    )
    pid = supervisor(server)
    processes.stop(pid)
    server.log.allow(CUT + "|GW0908")
    try:
        with Load(server, "/app", fresh=1, kept=1, repeatable=True) as load:
            # More than it can be told at a time: then another one takes its place.
            number = 0
            while supervisor_or_none(server) in (None, pid) and number < 200:
                number += 1
                say(server, f"VERSION={number - 1}", f"VERSION={number}")
                server.reload(timeout=60)
        assert load.done > 0 and not load.failures, load.failures[:5]
    finally:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
    wait_until(lambda: server.get("/one/hello").status == 200, "it serves", 60)
    server.settle()


def supervisor_or_none(server):
    found = server.keepers().get("gangway-super", [])
    return found[0] if len(found) == 1 else None


@PRELOAD
def test_a_stopped_process_is_replaced_when_its_request_is_late(launch, preload):
    server = launch(lambda site: bad(site, preload=preload, timeout="5s"), warm=["/app/pid"])
    first = int(server.get("/app/pid").text)
    processes.stop(first)
    server.log.allow("GW0402|GW0405|GW0711|GW0906|GW0904|upstream timed out|" + CUT)
    assert server.get("/app/pid", timeout=30).status == 504
    wait_until(lambda: server.get("/app/pid").status == 200, "another one serves", 60)
    assert int(server.get("/app/pid").text) != first
    # It does not hear TERM.
    wait_until(lambda: not processes.alive(first), "it has been killed", 60)
    server.settle()


# ---- the clock ----


def test_a_file_of_the_past_restarts_as_well(launch, scratch):
    """The clock was set back: what is touched is older than before."""
    touched = scratch / "restart.txt"
    touched.touch()
    server = launch(lambda site: bad(site, reload=touched), warm=["/app/pid"])
    first = int(server.get("/app/pid").text)
    os.utime(touched, (1_000_000_000, 1_000_000_000))
    wait_until(lambda: int(server.get("/app/pid").text) != first, "another one serves", 60)
    server.log.expect("GW0907 .*restart.txt.* has changed")
    wait_until(lambda: not processes.alive(first), "the first one has ended", 60)
    server.settle()
