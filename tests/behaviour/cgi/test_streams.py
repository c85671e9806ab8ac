# SPDX-License-Identifier: MIT OR Apache-2.0
"""CGI programs that read and write in every order: nothing hangs, nothing grows, nothing is late, nothing is left."""

import os
import pwd
import shutil
import signal

import pytest

from harness import processes, scripts, wire
from harness.deadline import growth, wait_until
from harness.processes import named

WARM = ("/cgi/hello",)
MIB = 1 << 20


def configure(site, kind):
    folder = scripts.Folder(site.scratch / "cgi")
    site.folder = folder
    site.gates = site.scratch
    folder.shell("hello", 'echo "Content-Type: text/plain"; echo; echo hello')
    folder.shell("count", 'echo; exec wc -c')
    folder.shell("unread", 'echo; echo unread')
    folder.shell("slow-unread", "sleep 0.3; echo; echo unread")
    folder.shell("first", "echo; head -c 3000000 /dev/zero; exec wc -c")
    folder.shell("echo", "echo; exec cat")
    folder.shell("closes", "echo; echo done; exec >&- 2>&-; sleep 1")
    folder.shell("daemon", 'echo; echo done; sleep 4 &\nexit 0')
    folder.shell("endless", "echo; exec cat /dev/zero")
    folder.shell("large", "echo; head -c 200000000 /dev/zero")
    folder.shell("sleeps", "echo; echo begun; exec sleep 300")
    folder.python(
        "gate",
        """
import socket
gate = socket.socket(socket.AF_UNIX)
gate.connect(env["QUERY_STRING"].replace("%2F", "/").partition("=")[2])
lines = gate.makefile("r")
kind = env.get("PATH_INFO", "/text/plain")[1:]
out.write(b"Content-Type: " + kind.encode() + b"\\n\\n")
out.flush()
for number in range(3):
    gate.sendall(b"before %d\\n" % number)
    gate.recv(1)
    out.write(b"event %d\\n" % number)
    out.flush()
gate.sendall(b"end\\n")
gate.recv(1)
""",
    )
    site.cgi("/cgi", folder, timeout="20s")
    now = "gangway_request_buffering off; gangway_buffering off;"
    site.cgi("/now", folder, timeout="20s", nginx=now)
    site.cgi("/goes-on", folder, timeout="20s", abort=False)
    site.body_limit = 0


BOTH = pytest.mark.parametrize("base", ["/cgi", "/now"])


@pytest.fixture(autouse=True)
def spooling(request):
    """nginx says so when it spools a response, which it does here by its own rules."""
    if "server" in request.fixturenames:
        request.getfixturevalue("server").log.allow("an upstream response is buffered to a temporary file")


@BOTH
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000])
def test_a_script_that_reads_to_the_end(server, base, size):
    assert server.post(f"{base}/count", b"x" * size).text.strip() == str(size)


@BOTH
def test_a_chunked_body_ends_as_well(server, base):
    with server.connect() as client:
        client.request("POST", f"{base}/count", body=[b"x" * 50_000] * 5)
        assert client.response().text.strip() == "250000"


@BOTH
@pytest.mark.parametrize("script", ["unread", "slow-unread"])
@pytest.mark.parametrize("size", [0, 10, 300_000])
def test_a_script_that_reads_nothing(server, base, script, size):
    server.log.allow("Broken pipe|Connection reset")
    assert server.post(f"{base}/{script}", b"x" * size).text == "unread\n"


@BOTH
def test_a_script_that_writes_before_it_reads(server, base):
    body = server.post(f"{base}/first", b"x" * (4 * MIB)).body
    assert body.strip(b"\0") == b"%d\n" % (4 * MIB)


@BOTH
@pytest.mark.parametrize("which", ["any", "brief"])
def test_a_script_that_reads_and_writes(server, base, which):
    if which == "brief":
        brief_ones(server, base)
    data = os.urandom(3 * MIB)
    assert server.post(f"{base}/echo", data).body == data


@BOTH
def test_a_script_that_closes_its_output_does_not_hold_the_client(server, base):
    with server.connect() as client:
        client.request("GET", f"{base}/closes")
        # Long before the script ends.
        client.socket.settimeout(0.9)
        assert client.response().body == b"done\n"


@BOTH
def test_a_daemon_with_the_output_does_not_hold_the_client(server, base):
    with server.connect() as client:
        client.request("GET", f"{base}/daemon")
        client.socket.settimeout(3)
        assert client.response().body == b"done\n"
    wait_until(lambda: not named("sleep"), "the daemon ends by itself")


def brief_ones(server, base):
    """Scripts that end at once: from that it follows how the next one is waited for."""
    for _ in range(10):
        assert server.get(f"{base}/hello").body == b"hello\n"


@BOTH
@pytest.mark.parametrize("media", ["text/event-stream", "text/plain"])
@pytest.mark.parametrize("which", ["any", "brief"])
def test_events_arrive_at_once(server, gate, base, media, which):
    if which == "brief":
        brief_ones(server, base)
    client = server.connect()
    client.request("GET", f"{base}/gate/{media}?{gate.query}")
    script = gate.visitor()
    script.at("before 0")
    blocks = None
    for number in range(3):
        script.go()
        blocks = blocks or client.blocks(client.head())
        assert next(blocks) == b"event %d\n" % number
        script.at("end" if number == 2 else f"before {number + 1}")
    script.go()
    assert list(blocks) == []


@BOTH
@pytest.mark.parametrize("script", ["sleeps", "endless"])
def test_a_client_that_leaves_ends_the_script(server, base, script):
    name = {"sleeps": "sleep", "endless": "cat"}[script]
    server.log.allow("Broken pipe|Connection reset|prematurely closed")
    client = server.connect()
    client.request("GET", f"{base}/{script}")
    next(client.blocks(client.head()))
    # The shell has written before it starts this program.
    wait_until(lambda: named(name), "the script runs its program")
    client.close()
    wait_until(lambda: not named(name), "the script has ended")


def test_a_script_may_go_on_without_its_client(server, scratch):
    marker = scratch / "marker"
    server.site.folder.shell("long", f"echo; echo begun; sleep 0.7; head -c 300000 /dev/zero; touch {marker}")
    client = server.connect()
    client.request("GET", "/goes-on/long")
    next(client.blocks(client.head()))
    client.close()
    wait_until(marker.exists, "the script has come to its end")


@pytest.mark.parametrize("base", ["/cgi", "/goes-on"])
@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_client_that_is_gone_costs_no_cpu(server, gate, base, size):
    """A connection that was reset shows that at once, each time that it is asked."""
    server.log.allow("Broken pipe|Connection reset|prematurely closed|GW0505")
    client = server.connect()
    client.request("POST", f"{base}/gate?{gate.query}", body=b"x" * size)
    script = gate.visitor().at("before 0")
    client.reset()
    pids = server.workers()
    assert growth(lambda: sum(processes.cpu_seconds(pid) for pid in pids)) < 0.3
    if base == "/goes-on":
        for event in ("before 1", "before 2", "end"):
            script.go().at(event)
        script.go()
    assert script.next() == ""


@BOTH
def test_a_slow_client_makes_the_script_wait(server, base):
    server.log.allow("Broken pipe|Connection reset|prematurely closed")
    worker = server.worker()
    before = processes.resident(worker)
    client = wire.Connection(server.port, receive_buffer=32 * 1024)
    client.request("GET", f"{base}/endless")
    blocks = client.blocks(client.head())
    total = sum(len(next(blocks)) for _ in range(20))
    script = named("cat")
    assert len(script) == 1 and total > 0
    written = lambda: int(open(f"/proc/{script[0]}/io").read().split("wchar: ")[1].split()[0])
    state = [written()]

    def stands():
        state.append(written())
        return len(state) > 5 and state[-1] == state[-5]

    # nginx spools what its client does not take into a file, by its own rules.
    if base == "/now" or server.kind.startswith("apache"):
        wait_until(stands, "the script waits for its client")
        assert state[-1] < 20 * MIB
    assert processes.resident(worker) - before < 24 * MIB
    client.close()
    wait_until(lambda: not named("cat"), "the script has ended")


@BOTH
def test_large_responses_need_no_memory(server, base):
    worker = server.worker()
    before, most, total = processes.resident(worker), 0, 0
    with server.connect(timeout=60) as client:
        client.request("GET", f"{base}/large")
        for number, block in enumerate(client.blocks(client.head())):
            total += len(block)
            if number % 100 == 0:
                most = max(most, processes.resident(worker))
    assert total == 200_000_000
    assert most - before < 24 * MIB


@BOTH
def test_large_bodies_need_no_memory(server, base):
    worker = server.worker()
    before, most = processes.resident(worker), 0
    size, piece = 200 * MIB, b"x" * MIB
    with server.connect(timeout=60) as client:
        client.send(wire.head_bytes("POST", f"{base}/count", [("Host", "localhost"), ("Content-Length", str(size))]))
        for number in range(size // MIB):
            client.send(piece)
            if number % 10 == 0:
                most = max(most, processes.resident(worker))
        assert client.response().text.strip() == str(size)
    assert most - before < 24 * MIB


def test_over_http2(launch):
    def configure(site):
        site.http2 = True
        site.nginx_http = "gangway_max_temp_file_size 0;"
        folder = scripts.Folder(site.scratch / "cgi")
        folder.shell("echo", "echo; exec cat")
        folder.shell("hello", "echo; echo hello")
        site.cgi("/cgi", folder)

    server = launch(configure, warm=["/cgi/hello"])
    data = os.urandom(300_000)
    with server.http2() as client:
        assert client.get("/cgi/hello").body == b"hello\n"
        assert client.request("POST", "/cgi/echo", body=data).body == data


def test_a_cache_in_front_of_a_slow_script(launch, kind):
    if kind.startswith("apache"):
        pytest.skip("httpd's caches are other modules")

    def configure(site):
        folder = scripts.Folder(site.scratch / "cgi")
        folder.shell("report", 'echo "Cache-Control: max-age=60"; echo; date +%N')
        folder.shell("hello", "echo; echo hello")
        site.nginx_http = f"gangway_cache_path {site.scratch}/cache keys_zone=reports:1m;"
        lines = "gangway_cache reports; gangway_cache_key $uri; add_header X-Cache $upstream_cache_status;"
        site.cgi("/cgi", folder, nginx=lines)

    server = launch(configure, warm=["/cgi/hello"])
    first, second = server.get("/cgi/report"), server.get("/cgi/report")
    assert (first.header("X-Cache"), second.header("X-Cache")) == ("MISS", "HIT")
    assert first.body == second.body != b""


def test_a_reload_lets_scripts_end_and_makes_a_new_spawner(launch, gate):
    def configure(site):
        folder = scripts.Folder(site.scratch / "cgi")
        folder.write("gate", (site_folder(site) / "gate").read_bytes())
        folder.shell("hello", "echo; echo hello")
        site.cgi("/cgi", folder)

    def site_folder(site):
        source = scripts.Folder(site.scratch / "source")
        source.python(
            "gate",
            """
import socket
gate = socket.socket(socket.AF_UNIX)
gate.connect(env["QUERY_STRING"].replace("%2F", "/").partition("=")[2])
out.write(b"Content-Type: text/plain\\n\\n")
gate.sendall(b"here\\n")
gate.recv(1)
out.write(b"done")
""",
        )
        return source.path

    others = set(named(processes.SPAWNER))
    server = launch(configure, warm=["/cgi/hello"])
    client = server.connect()
    client.request("GET", f"/cgi/gate?{gate.query}")
    script = gate.visitor().at("here")
    old = set(named(processes.SPAWNER)) - others
    server.send_signal("reload")
    wait_until(lambda: set(named(processes.SPAWNER)) - old - others, "there is a new spawner")
    wait_until(lambda: server.get("/cgi/hello").body == b"hello\n", "the new workers run scripts")
    script.go()
    assert client.response().body == b"done"
    client.close()
    wait_until(lambda: not old & set(named(processes.SPAWNER)), "the old spawner ends with the last old worker")


def test_a_helper_that_is_killed_is_replaced(launch):
    def configure(site):
        folder = scripts.Folder(site.scratch / "cgi")
        folder.shell("hello", "echo; echo hello")
        folder.shell("sleeps", "echo; echo begun; exec sleep 300")
        site.cgi("/cgi", folder)

    others = named(processes.SPAWNER)
    server = launch(configure, warm=["/cgi/hello"])
    everything = processes.processes()
    mine = [pid for pid in named(processes.SPAWNER) if pid not in others]
    helpers = [pid for pid in mine if everything[everything[pid].parent].name == processes.SPAWNER]
    assert len(helpers) == 1
    os.kill(helpers[0], signal.SIGKILL)
    server.log.expect("GW0806")
    wait_until(lambda: server.get("/cgi/hello").body == b"hello\n", "another helper runs scripts")


def starters(others):
    """The spawners, guardians and helpers below this process that have come since, by what they are."""
    found = processes.processes()

    def is_below(process):
        while process is not None and process.pid != os.getpid():
            process = found.get(process.parent)
        return process is not None

    names = (processes.SPAWNER, processes.GUARDIAN)
    mine = {p.pid: p for p in found.values() if p.name in names and p.pid not in others and is_below(p)}

    def kind(process):
        parent = mine.get(process.parent)
        return process.name if parent is None or parent.name == processes.GUARDIAN else "helper"

    living = [p for p in mine.values() if p.state not in "ZX"]
    return {name: [p.pid for p in living if kind(p) == name] for name in (*names, "helper")}


def present():
    """Those that other servers of this process have: a living one's number is nobody else's, and numbers come round."""
    return {pid for pids in starters(()).values() for pid in pids}


def configure_hello(site, user=None):
    folder = scripts.Folder(site.scratch / "cgi")
    folder.shell("hello", "echo; echo hello; id -un")
    if user:
        mode = (folder.path / "hello").stat().st_mode
        group = pwd.getpwnam(user).pw_gid
        shutil.chown(folder.path, user, group)
        shutil.chown(folder.path / "hello", user, group)
        (folder.path / "hello").chmod(mode)
    site.cgi("/cgi", folder, **({"user": user} if user else {}))


@pytest.mark.parametrize("killed", [["spawner", "helper"], ["guardian", "helper"], ["guardian", "spawner", "helper"]], ids=",".join)
def test_a_spawner_that_is_killed_is_replaced(launch, killed):
    others = present()
    server = launch(configure_hello, warm=["/cgi/hello"])
    names = {"spawner": processes.SPAWNER, "guardian": processes.GUARDIAN, "helper": "helper"}
    # One that has just been started may still have its parent's name.
    wait_until(lambda: [len(pids) for pids in starters(others).values()] == [1, 1, 1], "there is one of each")
    before = starters(others)
    # All of them at once: none has the time to do something about another.
    pids = [pid for name in killed for pid in before[names[name]]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    server.log.expect("GW0806")
    # A request may meet the helper before its end is known.
    server.log.allow("GW0806|GW0802|prematurely closed")
    wait_until(lambda: server.get("/cgi/hello").status == 200, "another spawner's helper runs scripts")

    def is_whole():
        # Where the helper was asked for before the end of the guardian was seen, who has made it is the guardian now, as whose child it looks like a spawner.
        spawners, guardians, helpers = (len(found) for found in starters(others).values())
        return guardians == 1 and spawners + helpers == 2

    wait_until(is_whole, lambda: f"there is one of each again: {starters(others)}")
    server.reload()
    assert server.get("/cgi/hello").text.startswith("hello")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_scripts_of_other_users_are_started_by_the_new_spawner(launch):
    others = present()
    server = launch(lambda site: configure_hello(site, "nobody"), warm=["/cgi/hello"])
    before = starters(others)
    for name in (processes.SPAWNER, "helper"):
        for pid in before[name]:
            os.kill(pid, signal.SIGKILL)
    server.log.expect("GW0806")
    wait_until(lambda: server.get("/cgi/hello").status == 200, "another spawner's helper runs scripts")
    assert server.get("/cgi/hello").text == "hello\nnobody\n"


@pytest.mark.servers("apache-prefork", "apache-worker")
def test_other_mpms(launch):
    def configure(site):
        folder = scripts.Folder(site.scratch / "cgi")
        folder.shell("hello", "echo; echo hello")
        folder.shell("count", "echo; exec wc -c")
        site.cgi("/cgi", folder, processes=4)

    server = launch(configure, warm=["/cgi/hello"])
    assert [server.get("/cgi/hello").body for _ in range(5)] == [b"hello\n"] * 5
    assert server.post("/cgi/count", b"x" * 300_000).text.strip() == "300000"
    server.reload()
    assert server.get("/cgi/hello").body == b"hello\n"
