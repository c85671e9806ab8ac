# SPDX-License-Identifier: MIT OR Apache-2.0
"""CGI programs that crash, hang, flood and fork: the server goes on, and nothing is left."""

import os
import pwd
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import places, scripts, wire
from harness.deadline import wait_until
from harness.processes import named

WARM = ("/cgi/hello", "/short/hello")


def configure(site, kind):
    folder = scripts.Folder(site.scratch / "cgi")
    site.folder = folder
    folder.shell("hello", "echo; echo hello")
    folder.shell("sleeps", "exec sleep 300")
    folder.shell("begins", "echo; echo begun; exec sleep 300")
    folder.shell("family", "sleep 301 & sleep 302 & wait")
    folder.shell("stubborn", "trap '' TERM; sleep 303 & while :; do wait; sleep 1; done")
    folder.shell("trickle", "echo; for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done")
    folder.shell("crash", "kill -SEGV $$")
    folder.shell("killed", "echo; echo some; kill -KILL $$")
    folder.shell("nothing", "exit 7")
    folder.shell("closes", "exec >&- 2>&- <&-; exec sleep 300")
    folder.shell("daemon", "echo; echo done; setsid sleep 3 >/dev/null 2>&1 </dev/null &")
    folder.shell("loud", "echo; echo quiet; head -c 3000000 /dev/zero | tr '\\0' 'x' >&2")
    folder.python("flood", "out.write(b'X: ')\nwhile True: out.write(b'x' * 65536)")
    folder.python("heads", "for n in range(1_000_000): out.write(b'X-%d: x\\n' % n)")
    folder.python("lines", "while True: out.write(b'\\0\\xff\\n')")
    folder.python("forks", "out.write(b'\\n')\nfor n in range(5):\n    if os.fork() == 0:\n        time.sleep(1)\n        os._exit(0)\n")
    folder.python("memory", "out.write(b'\\n')\ndata = bytearray(300 << 20)\nout.write(b'large')")
    folder.python("descriptors", "out.write(b'\\n')\nn = 0\ntry:\n    while True: os.dup(1); n += 1\nexcept OSError: out.write(b'%d' % n)")
    folder.python("spins", "out.write(b'\\n')\nout.flush()\nwhile True: pass")
    folder.write("no-interpreter", "#!/no/such/interpreter\n")
    folder.write("windows", "#!/bin/sh\r\necho\r\n")
    folder.write("no-first-line", "echo\n")
    folder.write("empty", "")
    site.cgi("/cgi", folder, timeout="20s", processes=80)
    site.cgi("/short", folder, timeout="1s", processes=80)
    site.cgi("/few", folder, timeout="20s", processes=2, queue=1)
    site.cgi("/small", folder, timeout="20s", memory="200m", cpu="1s", files=10)
    site.cgi("/silent", folder, timeout="20s", stderr_level="off")
    site.threads_per_child = 80


NGINX = "prematurely closed|upstream timed out"


@pytest.mark.parametrize("script", ["sleeps", "family", "stubborn"])
def test_a_silent_script_is_ended_with_its_group(server, script):
    server.log.allow(NGINX)
    began = time.monotonic()
    assert server.get(f"/short/{script}").status == 504
    assert time.monotonic() - began < 3
    assert "gave no output for 1s" in server.log.expect("GW0804").raw
    wait_until(lambda: not named("sleep"), "the whole group has ended", 15)


def test_a_script_that_falls_silent_is_cut(server):
    server.log.allow(NGINX)
    with server.connect() as client:
        client.request("GET", "/short/begins")
        with pytest.raises(wire.Truncated) as cut:
            client.response()
    assert cut.value.response.body == b"begun\n"
    server.log.expect("GW0804")
    wait_until(lambda: not named("sleep"), "the script has ended")


def test_each_output_starts_the_time_anew(server):
    assert server.get("/short/trickle").body == b"1\n2\n3\n4\n5\n6\n"


def test_a_script_that_goes_on_without_output_is_ended_after_its_time(server):
    server.log.allow("GW0802|" + NGINX)
    assert server.get("/short/closes").status == 502
    server.log.expect("GW0804")
    wait_until(lambda: not named("sleep"), "the script has ended")


@pytest.mark.parametrize(
    ("script", "status", "code", "text"),
    [
        ("crash", 502, "GW0802", "SIGSEGV"),
        ("nothing", 502, "GW0802", "it ended with status 7"),
        ("no-interpreter", 500, "GW0801", "first line"),
        ("windows", 500, "GW0801", "line end of Windows"),
        ("no-first-line", 500, "GW0801", "#!/bin/sh"),
        ("empty", 500, "GW0801", "#!/bin/sh"),
    ],
)
def test_the_log_says_what_was_the_matter(server, script, status, code, text):
    server.log.allow(NGINX)
    assert server.get(f"/cgi/{script}").status == status
    assert text in server.log.expect(f"{code} .*/{script}").raw


@pytest.mark.parametrize("script", ["flood", "heads", "lines"])
def test_endless_heads_are_refused(server, script):
    # Python has something to say when nobody reads on.
    server.log.allow(NGINX + "|GW07|GW0803")
    assert server.get(f"/cgi/{script}").status == 502
    server.log.expect("GW0802")


def test_a_flood_of_errors_does_not_stop_the_output(server):
    server.log.allow("GW0803")
    assert server.get("/cgi/loud").body == b"quiet\n"
    wait_until(lambda: not named("loud") and not named("head"), "the script has ended")
    assert server.get("/silent/loud").body == b"quiet\n"


def test_only_so_many_run_and_wait(server):
    server.log.allow("GW0805|" + NGINX)
    clients = [server.connect() for _ in range(4)]
    for number, client in enumerate(clients):
        client.request("GET", "/few/begins")
        if number < 2:
            next(client.blocks(client.head()))
    # Two run; one of the others waits, and for the other there is no room.
    late = wire.first_to_answer(clients[2:])
    assert late.response().status == 503
    clients.remove(late)
    late.close()
    refused = server.get("/few/hello")
    assert (refused.status, refused.header("Retry-After")) == (503, "1")
    assert "processes=2" in server.log.expect("GW0805").raw
    assert server.get("/cgi/hello").status == 200
    # A place for the one that waits.
    clients[0].close()
    assert next(clients[2].blocks(clients[2].head())) == b"begun\n"
    for client in clients[1:]:
        client.close()
    wait_until(lambda: not named("sleep"), "the scripts have ended")
    assert server.get("/few/hello").body == b"hello\n"


def test_a_request_that_waits_may_leave(server):
    server.log.allow(NGINX)
    clients = [server.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        client.request("GET", "/few/begins")
        if number < 2:
            next(client.blocks(client.head()))
    clients[2].close()
    for client in clients[:2]:
        client.close()
    wait_until(lambda: not named("sleep"), "the scripts have ended")
    assert [server.get("/few/hello").body for _ in range(3)] == [b"hello\n"] * 3


def test_limits(server):
    server.log.allow("GW080[23]|GW07|" + NGINX)
    assert b"large" not in server.get("/small/memory").body
    assert server.get("/cgi/memory").body == b"large"
    assert int(server.get("/small/descriptors").body) < 10
    began = time.monotonic()
    assert server.get("/small/spins").status in (200, 502)
    assert time.monotonic() - began < 10


MISBEHAVIOUR = (
    ["sleeps", "family", "stubborn", "closes", "begins"] * 3
    + ["crash", "killed", "nothing", "daemon", "forks", "no-interpreter", "empty"] * 3
    + ["flood", "heads", "lines", "loud"] * 3
    + ["hello"] * 16
)


def test_sixty_four_that_misbehave_at_once(server):
    assert len(MISBEHAVIOUR) == 64
    server.log.allow("GW0801|GW0802|GW0803|GW0804|GW07|" + NGINX)

    def one(script):
        try:
            return script, server.get(f"/short/{script}", timeout=60).status
        except (wire.Truncated, wire.Closed):
            return script, "cut"

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(one, MISBEHAVIOUR))
    assert all(status == 200 for script, status in answers if script == "hello"), answers
    assert all(status in (200, 500, 502, 504, "cut") for _, status in answers), answers
    assert server.get("/short/hello").body == b"hello\n"
    wait_until(lambda: not named("sleep"), "all have ended", 20)


AS_ROOT = pytest.mark.skipif(not places.AS_ROOT, reason="only root can run scripts as somebody else")


@AS_ROOT
def test_another_user(launch):
    nobody = pwd.getpwnam("nobody")

    def configure(site):
        folder = scripts.Folder(site.scratch / "cgi")
        site.folder = folder
        folder.shell("hello", "echo; id -u; id -g; id -G")
        folder.shell("foreign", "echo; echo ran")
        folder.shell("writable", "echo; echo ran", mode=0o777)
        folder.shell("setuid", "echo; echo ran", mode=0o4755)
        for name in ("hello", "writable", "setuid"):
            mode = (folder.path / name).stat().st_mode
            os.chown(folder.path / name, nobody.pw_uid, nobody.pw_gid)
            (folder.path / name).chmod(mode)
        os.chown(folder.path, nobody.pw_uid, nobody.pw_gid)
        site.cgi("/cgi", folder, user="nobody")
        site.cgi("/own", folder)

    server = launch(configure, warm=["/cgi/hello"])
    assert server.get("/cgi/hello").text.split() == [str(nobody.pw_uid), str(nobody.pw_gid), str(nobody.pw_gid)]
    worker = pwd.getpwnam(places.WORKER_USER)
    assert server.get("/own/hello").text.split()[:2] == [str(worker.pw_uid), str(worker.pw_gid)]
    for name, why in [("foreign", "belong"), ("writable", "written by others"), ("setuid", "set-user-ID")]:
        assert server.get(f"/cgi/{name}").status == 403
        assert why in server.log.expect(f"GW0801 .*/{name}").raw


def test_error_pages_are_the_servers(launch, kind):
    def configure(site):
        folder = scripts.Folder(site.scratch / "cgi")
        folder.shell("hello", "echo; echo hello")
        folder.write("no-interpreter", "#!/no/such/interpreter\n")
        folder.shell("nothing", "exit 1")
        (site.scratch / "pages").mkdir()
        (site.scratch / "pages" / "sorry.txt").write_text("sorry")
        site.static("/pages/", site.scratch / "pages")
        site.cgi(
            "/cgi",
            folder,
            nginx="error_page 500 502 /pages/sorry.txt;",
            apache="ErrorDocument 500 /pages/sorry.txt\nErrorDocument 502 /pages/sorry.txt",
        )

    server = launch(configure, warm=["/cgi/hello"])
    server.log.allow("GW080[12]|" + NGINX)
    for name, status in [("no-interpreter", 500), ("nothing", 502)]:
        response = server.get(f"/cgi/{name}")
        assert (response.status, response.body) == (status, b"sorry")


def test_a_server_of_one_process(launch, kind):
    if kind.startswith("apache"):
        pytest.skip("httpd has a debugging mode for it")

    def configure(site):
        site.master = False
        folder = scripts.Folder(site.scratch / "cgi")
        folder.shell("hello", "echo; echo hello")
        site.cgi("/cgi", folder)

    server = launch(configure, warm=["/cgi/hello"])
    assert server.get("/cgi/hello").body == b"hello\n"


def test_a_slow_body_holds_no_place_for_long(launch):
    def configure(site):
        folder = scripts.Folder(site.scratch / "cgi")
        folder.shell("hello", "echo; echo hello")
        folder.shell("count", "echo; exec wc -c")
        site.cgi("/cgi", folder, processes=1, queue=0, timeout="2s", nginx="client_body_timeout 2s;")

    server = launch(configure, warm=["/cgi/hello"])
    server.log.allow("GW0804|GW0805|GW0507|GW0803|" + NGINX)
    fields = lambda size: [("Host", "localhost"), ("Content-Length", str(size))]

    def large_is_refused():
        with server.connect() as large:
            large.send(wire.head_bytes("POST", "/cgi/count", fields(1_000_000)) + b"x")
            # httpd starts the script with the body; its time is bounded by timeout=.
            wait_until(lambda: server.get("/cgi/hello").status == 200, "a place is free again", 8)
            return large.refused(408, 502, 504)

    with server.connect() as small:
        small.send(wire.head_bytes("POST", "/cgi/count", fields(1000)) + b"x")
        # A body that comes slowly is waited for before its script gets a place.
        wait_until(lambda: server.get("/cgi/hello").status == 200, "a place is free")
        # A script has its place until it has ended, a moment longer than its response: 503 is an answer, too.
        wait_until(large_is_refused, "a large body that comes slowly is refused", 20)
