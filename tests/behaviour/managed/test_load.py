# SPDX-License-Identifier: MIT OR Apache-2.0
"""Requests that go on while everything around them is replaced: none fails that may run again."""

import concurrent.futures
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import threading
import time

import pytest

from harness import processes, programs
from harness.deadline import wait_until
from harness.load import Load

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

# Where it depends on which thread or process of httpd has a request.
ALL_MPMS = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")
RELOADS = 20
# How long processes are killed, one each second. By hand: GANGWAY_SOAK=60.
SOAK = float(os.environ.get("GANGWAY_SOAK", 6))
# Processes that load the application by themselves, and those that are forked from one that has.
PRELOAD = pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])
# What the log says of a killed process, and of the requests that it had.
CUT = (
    r"GW0904|GW0703|GW090[2356]|upstream prematurely closed|recv\(\) failed|readv\(\) failed|writev\(\) failed|send\(\) failed|"
    r"connect\(\) to unix"
)


def journal(scratch, name="journal"):
    path = scratch / name
    path.touch()
    path.chmod(0o666)
    return path


def status(site):
    site.status("/gangway")


def application(server):
    (found,) = json.loads(server.get("/gangway?json").body)["applications"]
    return found


def running(server):
    """How many requests each process has."""
    return {process["pid"]: process["running"] for process in application(server)["processes"]}


def generation(server):
    return application(server)["generation"]


def deployed(server):
    """How many generations began after the first one, by what they began for."""
    counts = {key.removeprefix("restarts_begun_"): count for key, count in application(server).items() if key.startswith("restarts_begun_")}
    return {reason: count for reason, count in counts.items() if count or reason in ("restart_file", "server_reload")}


def replace(path, text):
    """In one step: who looks at it sees one change."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def check(load):
    assert not load.failures, f"{len(load.failures)} of {load.done} failed: {load.failures[:5]}"


def go_on(load, count=20):
    before = load.done
    wait_until(lambda: load.done > before + count or load.failures, "requests go on", 60)


@PRELOAD
def test_twenty_reloads_with_the_same_words(launch, scratch, preload):
    path = journal(scratch)

    def configure(site):
        site.workers = 2
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], timeout="60s", preload=preload, processes=2)

    server = launch(configure, warm=["/app/get", "/app/stream"])
    before = server.managed()
    with Load(server, "/app") as load:
        for _ in range(RELOADS):
            server.reload()
            go_on(load)
    check(load)
    assert server.managed() == before
    seen = [name for name in path.read_text().split() if name != "none"]
    assert len(seen) == len(set(seen)), "a request ran twice"


@PRELOAD
def test_twenty_reloads_with_other_words(launch, scratch, preload):
    path = journal(scratch)

    def configure(site):
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}", "VERSION=0"], timeout="60s", preload=preload, processes=2)

    server = launch(configure, warm=["/app/get", "/app/stream"])
    text = server.configuration.read_text()
    with Load(server, "/app", fresh=2, kept=2) as load:
        for number in range(1, RELOADS + 1):
            server.rewrite(text.replace("VERSION=0", f"VERSION={number}"))
            server.reload()
            version = str(number)
            wait_until(lambda version=version: server.get("/app/get").header("X-Version") == version, "it is the new code", 60)
            go_on(load)
    check(load)
    seen = [name for name in path.read_text().split() if name != "none"]
    assert len(seen) == len(set(seen)), "a request ran twice"


@PRELOAD
def test_reloads_with_more_and_fewer_processes(launch, scratch, preload):
    path = journal(scratch)

    def configure(site):
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], timeout="60s", preload=preload, processes=2)

    server = launch(configure, warm=["/app/get", "/app/stream"])
    text = server.configuration.read_text()
    with Load(server, "/app", fresh=2, kept=2) as load:
        for number in itertools.islice(itertools.cycle((3, 1, 2)), 6):
            server.rewrite(text.replace("processes=2", f"processes={number}"))
            server.reload()
            go_on(load)
    check(load)
    wait_until(lambda: len(server.managed()) == 2 + preload, "there are as many as were asked for", 60)


@PRELOAD
def test_reloads_and_kills_lose_no_request_that_may_run_again(launch, scratch, preload):
    path = journal(scratch)
    chance = random.Random(20)

    def configure(site):
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], timeout="60s", preload=preload, processes=3)
        site.spawn("/one/", "/usr/bin/perl", programs.sources(site.scratch) / "fcgi.pl", processes=2)

    server = launch(configure, warm=["/app/get", "/one/hello"])
    server.log.allow(CUT)
    with Load(server, "/app", fresh=2, kept=2, repeatable=True) as load:
        before = server.managed()
        for number in range(RELOADS):
            # One that begins has done nothing yet: three of them in a row that end are an application that cannot be started.
            now = server.managed()
            if grown := [pid for pid in now if pid in before]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(grown), signal.SIGKILL)
            before = now
            if number % 2:
                server.reload()
            go_on(load)
            assert server.get("/one/hello").body == b"hello"
    check(load)
    # A template that was killed while it loaded is tried again when somebody is missing.
    wait_until(lambda: 5 <= len(server.managed()) <= 5 + preload, "all are there again", 60)
    server.settle()


def test_a_broken_deploy_leaves_the_old_code(launch, scratch):
    path = journal(scratch)

    def configure(site):
        site.spawn("/one/", "/usr/bin/perl", programs.sources(site.scratch) / "fcgi.pl", processes=2, drain_timeout="5s")

    server = launch(configure, warm=["/one/hello"])
    text = server.configuration.read_text()
    old = server.managed()
    broken = path.with_suffix(".pl")
    broken.write_text("die 'it cannot be loaded';")
    script = programs.sources(server.site.scratch) / "fcgi.pl"
    server.rewrite(text.replace(str(script), str(broken)))
    server.reload()
    server.log.expect("GW0907 generation 2 of .* cannot be started")
    server.log.allow("GW090[2357]|it cannot be loaded")
    for _ in range(20):
        assert server.get("/one/hello").body == b"hello"
    assert set(old) <= set(server.managed())
    server.rewrite(text)
    server.reload()
    wait_until(lambda: server.get("/one/hello").body == b"hello", "it serves")
    wait_until(lambda: not any(processes.alive(pid) for pid in old) or server.managed() == old, "it has settled", 60)


@PRELOAD
def test_restarts_reloads_kills_and_a_broken_deploy(launch, scratch, kind, preload):
    """All of it at once: nothing fails that may run again, nothing runs twice that may not, and of that only what a process had at
    the moment when it was killed gets no answer."""
    path, begun = journal(scratch), journal(scratch, "begun")
    chance = random.Random(13)
    code, restart = scratch / "counted.py", scratch / "restart.txt"
    kills, posts = 0, 2

    def configure(site):
        site.workers = 2
        for name in ("counted.py", "gate.py"):
            shutil.copy(site.apps / name, scratch / name)
        status(site)
        site.wsgi("/app", "counted:app", root=scratch, env=[f"JOURNAL={path}", f"BEGUN={begun}"], timeout="60s", preload=preload, processes=3, reload=restart)

    server = launch(configure, warm=["/app/get"])
    server.log.allow(CUT + "|GW0907|GW0905|GW0301|GW0306|SyntaxError")
    good = code.read_text()
    with Load(server, "/app", fresh=2, kept=2, repeatable=True, posts=posts) as load:
        began, steps = time.monotonic(), 0
        next_kill = began + 1
        while time.monotonic() - began < SOAK or steps < RELOADS:
            is_broken = steps == RELOADS // 2
            if is_broken:
                code.write_text("this is no Python")
            replace(restart, str(steps))
            # Whoever is faster sees it: who looks once a second, or who looks at a reload.
            if is_broken:
                # An earlier one may have failed because its first process was killed.
                begins = lambda: deployed(server) == {"restart_file": steps + 1, "server_reload": 0}
                wait_until(begins, lambda: f"the broken one begins: {deployed(server)}", 60)
                wait_until(lambda: application(server).get("failed_generation") == generation(server), "it cannot be started", 60)
                server.log.expect(f"GW0907 generation {generation(server)} .* cannot be started", 60)
                go_on(load)
                code.write_text(good)
            server.reload()
            deploys = {"restart_file": steps + 1, "server_reload": int(steps >= RELOADS // 2)}
            wait_until(lambda deploys=deploys: deployed(server) == deploys, lambda deploys=deploys: f"{deploys}: {deployed(server)}", 60)
            go_on(load)
            steps += 1
            if time.monotonic() >= next_kill:
                next_kill += 1
                before = server.managed()
                go_on(load, 50)
                # One that begins has done nothing yet: three of them in a row that end are an application that cannot be started.
                if grown := [pid for pid in server.managed() if pid in before]:
                    # One that a reload replaces may end by itself meanwhile.
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(chance.choice(grown), signal.SIGKILL)
                        kills += 1
    ran = path.read_text().split()
    # Those that a process had begun when it was killed may not run again. In httpd one that a thread has read is begun, though it waits for the
    # interpreter; in nginx only what has it.
    others = set(load.cut) - set(begun.read_text().split())
    print(
        f"{load.done} requests, {load.posted} POST, {len(load.cut)} of them cut, of which the application had {len(load.cut) - len(others)}; "
        f"{kills} kills, {steps} deploys and reloads"
    )
    check(load)
    assert kills > 0 and load.posted > 0
    # Each step and what healed the broken one: no more generations, and no less.
    assert generation(server) == 1 + steps + 1
    if kind.startswith("nginx"):
        assert not others, f"the application had not begun {others}"
    assert len(load.cut) <= kills * posts, f"{kills} kills, and {load.cut} got no answer"
    once = [name for name in ran if name.startswith("p")]
    assert len(once) == len(set(once)), "a request ran twice that must not"
    wait_until(lambda: server.get("/app/get").status == 200, "it serves")
    wait_until(lambda: len(server.managed()) == 3 + preload, "all are there again", 60)
    server.settle()


def test_php_is_restarted_reloaded_and_killed(launch, scratch):
    """The same for a program that takes one request at a time and knows nothing of it."""
    chance = random.Random(8)
    restart = scratch / "restart.txt"

    def configure(site):
        site.workers = 2
        root = programs.sources(site.scratch) / "php"
        site.apache_main += f"DocumentRoot {root}\n<Directory {root}>\nRequire all granted\n</Directory>\n"
        site.spawn(r"\.php(/|$)", "/usr/bin/php-cgi", kind="regex", processes=3, reload=restart, nginx=f"root {root};")

    server = launch(configure, warm=["/env.php"])
    server.log.allow(CUT + "|GW0907")
    stop, failures, done = threading.Event(), [], []

    def ask():
        while not stop.is_set():
            try:
                response = server.get("/env.php", timeout=60)
                (done if response.status == 200 else failures).append(response.status)
            except OSError as error:
                failures.append(repr(error))

    def go_on_asking(count=20):
        before = len(done)
        wait_until(lambda: len(done) > before + count or failures, "requests go on", 60)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    try:
        began, steps, kills = time.monotonic(), 0, 0
        next_kill = began
        while time.monotonic() - began < SOAK or steps < RELOADS:
            restart.write_text(str(steps))
            server.reload()
            steps += 1
            before = server.managed()
            go_on_asking()
            if time.monotonic() >= next_kill and (grown := [pid for pid in server.managed() if pid in before]):
                # One that a restart replaces may end by itself meanwhile.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(grown), signal.SIGKILL)
                    kills += 1
                    # One that comes late does not bring the next one forward: a request that has lost one process is with its second.
                    next_kill = time.monotonic() + 1
    finally:
        stop.set()
        for client in clients:
            client.join(60)
    print(f"{len(done)} requests; {kills} kills, {steps} deploys and reloads")
    assert not failures, f"{len(failures)} of {len(done)} failed: {failures[:5]}"
    assert kills > 0
    wait_until(lambda: len(server.managed()) == 3, "all are there again", 60)
    server.settle()


LINGERS = r"""
use FCGI;
my %env;
my $request = FCGI::Request(\*STDIN, \*STDOUT, \*STDERR, \%env, 0, 0);
exit if $request->Accept() < 0;
print "Content-Type: text/plain\r\n\r\n$$";
$request->Finish();
select(undef, undef, undef, 0.01) until -e "FOLDER/leave-$$";
"""


@ALL_MPMS
@pytest.mark.parametrize("method, replay", [("GET", "on"), ("POST", "all")])
def test_programs_that_end_by_themselves_one_after_the_other_cost_no_request(launch, scratch, kind, method, replay):
    """Each has answered one request and is about to end: who comes then waits in the queue of its socket, and is cut with that. So ends PHP after
    PHP_FCGI_MAX_REQUESTS."""
    script = scratch / "lingers.pl"
    script.write_text(LINGERS.replace("FOLDER", str(scratch)))

    def configure(site):
        site.workers = 6 if kind == "apache-prefork" else 1
        status(site)
        site.spawn("/one/", "/usr/bin/perl", script, processes=3, replay=replay)

    server = launch(configure, warm=["/gangway"])
    server.log.allow(CUT)
    wait_until(lambda: len(running(server)) == 3, "all are there", 60)
    answered = lambda: int(server.get("/one/x").text)
    has = lambda pid: running(server).get(pid) == 1
    clients = [server.connect() for _ in range(2)]
    lingering = []
    for client in clients:
        # The first that is free gets both.
        lingering.append(answered())
        client.request(method, "/one/x")
        wait_until(lambda: has(lingering[-1]), "it has another one")
    lingering.append(answered())
    (scratch / f"leave-{lingering[0]}").touch()
    wait_until(lambda: has(lingering[2]), "the third one has the request of the first")
    (scratch / f"leave-{lingering[2]}").touch()
    response = clients[0].response()
    assert (response.status, int(response.text) in lingering) == (200, False)


@ALL_MPMS
@PRELOAD
def test_a_post_that_its_process_has_not_begun_goes_to_another(launch, scratch, kind, preload):
    path = journal(scratch)

    def configure(site):
        site.workers = 6 if kind == "apache-prefork" else 1
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], timeout="60s", preload=preload, processes=2, threads=2)

    server = launch(configure, warm=["/app/get"])
    server.log.allow(CUT)
    stopped = int(server.get("/app/get").header("X-Pid"))
    processes.stop(stopped)
    names = [f"p{number}" for number in range(4)]
    post = lambda name: server.post("/app/post", name.encode(), [("X-Id", name)])
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(post, name) for name in names]
        # The busiest has the first ones: those stay with the process that does nothing.
        wait_until(lambda: sum(one.done() for one in asked) == 2, "those that another process has are answered")
        os.kill(stopped, signal.SIGKILL)
        answers = [one.result() for one in asked]
    assert [(answer.status, answer.text) for answer in answers] == [(200, name) for name in names]
    ran = [name for name in path.read_text().split() if name != "none"]
    assert sorted(ran) == names


# In memory, in a file of nginx, in several records.
LONG = {"nginx": (17_000, 60_000, 300_000, 3_000_000), "nginx128": (17_000, 300_000), "apache": (17_000, 60_000)}


def test_a_long_post_that_its_process_has_not_begun_goes_to_another(launch, scratch, kind):
    path = journal(scratch)

    def configure(site):
        site.body_limit = 10_000_000
        status(site)
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], timeout="60s", processes=2, threads=8)

    server = launch(configure, warm=["/app/get"])
    server.log.allow(CUT + "|buffered to a temporary file")
    bodies = {f"p{size}": os.urandom(size) for size in LONG[kind]}
    stopped = int(server.get("/app/get").header("X-Pid"))
    processes.stop(stopped)
    with concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool:
        asked = {name: pool.submit(server.post, "/app/post", body, [("X-Id", name)]) for name, body in bodies.items()}
        # On a busy machine another process may have taken one from it before.
        done = lambda: sum(one.done() for one in asked.values())
        wait_until(lambda: running(server)[stopped] + done() >= len(bodies), "the process that does nothing has them")
        os.kill(stopped, signal.SIGKILL)
        answers = {name: one.result() for name, one in asked.items()}
    assert {name: answer.status for name, answer in answers.items()} == dict.fromkeys(bodies, 200)
    assert {name: answer.body for name, answer in answers.items()} == bodies
    assert sorted(name for name in path.read_text().split() if name != "none") == sorted(bodies)


@pytest.mark.parametrize("method, runs_again", [("PUT", True), ("POST", False)])
def test_a_long_body_that_a_killed_process_has_begun_runs_again_where_it_may(launch, scratch, gate, kind, method, runs_again):
    path = journal(scratch)

    def configure(site):
        site.body_limit = 10_000_000
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], timeout="60s", processes=2)

    server = launch(configure, warm=["/app/get"])
    server.log.allow(CUT + "|buffered to a temporary file")
    for size in LONG[kind]:
        client, name, body = server.connect(), f"one{size}", os.urandom(size)
        client.request(method, f"/app/wait?{gate.query}", [("X-Id", name)], body=body)
        visitor = gate.visitor().at("inside")
        os.kill(visitor.pid, signal.SIGKILL)
        if runs_again:
            gate.visitor().at("inside").go()
        response = client.response()
        assert (response.status, response.body == body) == (200 if runs_again else 502, runs_again)
        assert path.read_text().split().count(name) == 1 + runs_again


@ALL_MPMS
@pytest.mark.parametrize(
    "replay, method, runs_again", [("on", "GET", True), ("on", "POST", False), ("off", "GET", False), ("all", "POST", True)]
)
def test_what_a_killed_process_has_begun_runs_again_where_it_may(launch, scratch, gate, kind, replay, method, runs_again):
    path = journal(scratch)
    options = {} if replay == "on" else {"replay": replay}

    def configure(site):
        site.workers = 3 if kind == "apache-prefork" else 1
        status(site)
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}"], timeout="60s", processes=2, **options)

    server = launch(configure, warm=["/app/get"])
    server.log.allow(CUT)
    client = server.connect()
    client.request(method, f"/app/wait?{gate.query}", [("X-Id", "one")], body=b"" if method == "GET" else b"one")
    gate.visitor().at("inside")
    (busy,) = [pid for pid, count in running(server).items() if count]
    os.kill(busy, signal.SIGKILL)
    if runs_again:
        gate.visitor().at("inside").go()
    assert client.response().status == (200 if runs_again else 502)
    assert path.read_text().split().count("one") == 1 + runs_again
