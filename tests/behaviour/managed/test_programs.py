# SPDX-License-Identifier: MIT OR Apache-2.0
"""gangway_spawn and GangwaySpawn: FastCGI programs that the server starts, feeds and ends."""

import concurrent.futures
import hashlib
import json
import os
import signal

import pytest

from harness import processes, programs, venvs
from harness.deadline import wait_until

PHP = "/usr/bin/php-cgi"
# The queue and what hangs: threads and processes of httpd wait for their turn in other ways.
ALL_MPMS = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")
WARM = ("/one/hello", "/perl/hello", "/c/hello", "/env.php")


def configure(site, kind):
    is_prefork = kind == "apache-prefork"
    # One for each request of the largest crowd.
    site.workers = 24 if is_prefork else 2
    site.http2 = not is_prefork
    site.body_limit = 64 << 20
    backends = programs.sources(site.scratch)
    root = backends / "php"
    site.spawn("/one/", "/usr/bin/perl", backends / "fcgi.pl", name="one", queue=2, timeout="10s")
    site.spawn("/perl/", "/usr/bin/perl", backends / "fcgi.pl", processes=3)
    site.spawn("/c/", programs.installed(site.scratch), name="c", processes=2, env=["BACKEND=c", "A=b"])
    short = "timeout=1s"
    site.spawn(r"^/short(/.*\.php)", PHP, short, kind="regex", name="short", processes=2, nginx=f"alias {root}$1;")
    site.spawn(r"^/narrow(/.*\.php)", PHP, kind="regex", name="narrow", queue=2, nginx=f"alias {root}$1;")
    site.spawn(r"^/[^/]*\.php(/|$)", PHP, kind="regex", processes=3, env="PHP_FCGI_MAX_REQUESTS=100000", nginx=f"root {root};")
    cached = "gangway_cache kept; gangway_cache_valid 200 1m;"
    site.nginx_http += f"gangway_cache_path {site.scratch}/cache keys_zone=kept:1m;"
    site.spawn("/cached/", "/usr/bin/perl", backends / "fcgi.pl", name="cached", queue=1, nginx=cached)
    caught = "ErrorDocument 404 /perl/hello\nRequire all granted"
    site.location("/caught/", nginx="error_page 404 = /perl/hello; return 404;", apache=caught)
    site.location("/guarded/", nginx="auth_request /perl/hello; return 200 passed;")
    included = "Options +Includes\nSetOutputFilter INCLUDES"
    site.location("/page/", nginx=f"ssi on; root {site.scratch}; default_type text/html;", apache=included)
    site.apache_host += (
        f'AliasMatch "^/(?:short|narrow)(/.*\\.php)" "{root}$1"\n'
        f'AliasMatch "^(/[^/]*\\.php.*)" "{root}$1"\n'
        f'Alias "/page/" "{site.scratch}/page/"\n'
    )
    (site.scratch / "page").mkdir()
    (site.scratch / "page" / "hello.html").write_text(
        '<!--#include virtual="/perl/hello" -->|<!--#include virtual="/c/hello" -->|<!--#include virtual="/perl/hello" -->'
    )


def env(server, path, *a, **kw):
    response = server.request(kw.pop("method", "GET"), path, *a, **kw)
    assert response.status == 200, (path, response)
    return json.loads(response.body)


def together(*calls):
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_each_language_answers(server):
    assert (server.get("/perl/hello").body, server.get("/c/hello").body) == (b"hello", b"hello")
    assert server.get("/c/hello").header("X-Backend") == "c"
    assert server.get("/perl/missing").status == 404


def test_php_sees_what_php_fpm_would(server):
    body = b"a=1&b=2"
    fields = [("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", "c=3")]
    found = env(server, "/env.php/info?x=%20y", method="POST", body=body, headers=fields)
    expected = {
        "REQUEST_METHOD": "POST",
        "REQUEST_URI": "/env.php/info?x=%20y",
        "SCRIPT_NAME": "/env.php",
        "PATH_INFO": "/info",
        "CONTENT_LENGTH": "7",
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    assert {name: found["server"].get(name) for name in expected} == expected
    assert found["server"]["SCRIPT_FILENAME"].endswith("/php/env.php")
    assert (found["get"], found["post"], found["cookie"]) == ({"x": " y"}, {"a": "1", "b": "2"}, {"c": "3"})


def test_what_is_no_script_is_not_run(server):
    assert server.get("/nothing.php").status == 404
    server.log.expect("GW0709")


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
@pytest.mark.parametrize("base", ["/perl", "/c"])
def test_bodies_of_any_size(server, base, size):
    body = os.urandom(size)
    response = server.post(f"{base}/echo", body)
    assert (response.status, hashlib.md5(response.body).digest()) == (200, hashlib.md5(body).digest())
    assert len(server.get(f"{base}/large?size={size}").body) == size


def test_its_environment_is_chosen(server):
    found = env(server, "/c/env")
    assert found["REQUEST_URI"] == "/c/env" and "HOME" not in found


def test_php_does_not_end_by_itself_after_500_requests(server):
    assert len({env(server, "/narrow/env.php")["pid"] for _ in range(520)}) == 1


def test_processes_are_those_that_were_asked_for(server):
    pids = {env(server, "/env.php")["pid"] for _ in range(30)}
    assert 1 <= len(pids) <= 3
    # One alone is the busiest with a free place: the others may stop.
    assert len(pids) == 1


@ALL_MPMS
def test_requests_run_at_the_same_time(server, gate):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(server.get, f"/gate.php?what=inside&{gate.query}") for _ in range(3)]
        visitors = [gate.visitor() for _ in range(3)]
        for visitor in visitors:
            visitor.go()
        assert [future.result().body for future in asked] == [b"inside"] * 3


@ALL_MPMS
def test_who_finds_no_place_waits_and_the_next_is_refused(server, gate):
    ask = f"/narrow/gate.php?what=inside&{gate.query}"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        first = pool.submit(server.get, ask)
        visitor = gate.visitor()
        waiting = [pool.submit(server.get, ask) for _ in range(7)]
        refused = lambda: [one for one in waiting if one.done()]
        wait_until(lambda: len(refused()) == 5, "five find the queue full")
        for one in refused():
            assert (one.result().status, one.result().header("Retry-After")) == (503, "1")
        visitor.go()
        for _ in range(2):
            gate.visitor().go()
        answers = [future.result().status for future in [first, *waiting]]
    assert sorted(answers) == [200] * 3 + [503] * 5
    server.log.expect("GW0401")


@ALL_MPMS
def test_who_leaves_while_waiting_holds_nothing(server, gate):
    ask = f"/narrow/gate.php?what=inside&{gate.query}"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(server.get, ask)
        visitor = gate.visitor()
        before = len(server.access_log())
        for _ in range(12):
            connection = server.connect()
            connection.request("GET", ask)
            connection.close()
        # Until it is seen that they have left they may get a place.
        wait_until(lambda: len(server.access_log()) == before + 12, "they have left")
        last = pool.submit(server.get, "/narrow/env.php")
        visitor.go()
        assert (first.result().status, last.result().status) in [(200, 200), (200, 503)]
    server.log.allow("GW0401")
    assert server.get("/narrow/env.php").status == 200


@ALL_MPMS
def test_a_wait_ends_with_its_time(server, gate):
    ask = f"/short/gate.php?what=inside&{gate.query}"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(server.get, ask) for _ in range(4)]
        assert [future.result().status for future in asked] == [504] * 4
    server.log.expect("GW0405")
    # Those that answered nobody in time are replaced.
    server.log.expect("GW0906 .* did not answer a request within timeout=")
    server.log.expect("GW0402" if server.kind.startswith("apache") else "upstream timed out")


@ALL_MPMS
def test_a_stopped_process_holds_nobody_else(server):
    pid = env(server, "/env.php")["pid"]
    processes.stop(pid)
    try:
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            asked = [pool.submit(env, server, "/env.php") for _ in range(20)]
            wait_until(lambda: sum(one.done() for one in asked) == 19, "all but one are answered")
            os.kill(pid, signal.SIGCONT)
            pids = {one.result()["pid"] for one in asked}
        assert pid in pids and len(pids) > 1
    finally:
        os.kill(pid, signal.SIGCONT)


def test_parts_of_a_page(server):
    assert server.get("/page/hello.html").body == b"hello|hello|hello"


def test_error_page(server):
    response = server.get("/caught/hello")
    # httpd keeps the status of the error.
    assert (response.status, response.body) == (404 if server.kind == "apache" else 200, b"hello")


@pytest.mark.servers("nginx", "nginx128")
def test_auth_request(server):
    assert server.get("/guarded/hello").body == b"passed"


@pytest.mark.servers("nginx", "nginx128")
def test_what_is_cached_needs_no_process(server):
    assert server.get("/cached/hello").body == b"hello"
    assert together(*[lambda: server.get("/cached/hello").status] * 8) == [200] * 8


def test_http2(server):
    connection = server.http2()
    assert [connection.get("/perl/hello").body for _ in range(5)] == [b"hello"] * 5


@ALL_MPMS
def test_a_process_that_is_killed_loses_no_request_that_may_be_repeated(server):
    failures, done = [], 0

    def ask(number):
        response = server.get("/env.php")
        if response.status != 200:
            failures.append(response)

    all_of_them = len(server.managed())
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for round_ in range(8):
            # Three that are killed before another one has come are taken for a program that cannot run.
            wait_until(lambda: len(server.managed()) == all_of_them, "another one has come")
            pid = env(server, "/env.php")["pid"]
            asked = [pool.submit(ask, number) for number in range(40)]
            os.kill(pid, signal.SIGKILL)
            done += len([one.result() for one in asked])
    assert (failures, done) == ([], 320)
    server.log.allow("GW0904|connect\\(\\) to unix|upstream prematurely closed|recv\\(\\) failed|GW0703|readv\\(\\) failed|writev\\(\\) failed|send\\(\\) failed")


@pytest.fixture
def flup(launch):
    """A script on flup, as its pages show it, with four requests at a time in one process."""

    def configure(site):
        python = venvs.backends_venv() / "bin" / "python"
        script = programs.sources(site.scratch) / "application.py"
        site.status("/gangway")
        site.spawn("/flup/", python, script, "fastcgi", 0, name="flup", threads=4, queue=2, timeout="60s")

    return launch(configure, warm=["/flup/hello", "/gangway"])


def test_flup_takes_requests_on_descriptor_0(flup):
    server = flup
    assert server.get("/flup/hello").body == b"hello"
    found = env(server, "/flup/env?a=b", headers=[("X-Some", "thing")])
    assert (found["REQUEST_URI"], found["QUERY_STRING"], found["HTTP_X_SOME"]) == ("/flup/env?a=b", "a=b", "thing")
    for size in (0, 70_000, 1_000_000):
        assert server.post("/flup/echo", b"b" * size).body == b"b" * size
    assert server.get("/flup/missing").status == 404
    assert server.get("/flup/complain").body == b"complained"
    server.log.expect("a complaint of the application")
    assert len(server.managed()) == 1


def test_flup_runs_four_requests_at_a_time_in_threads_and_the_others_wait(flup, gate):
    server = flup
    ask = f"/flup/gate?{gate.query}"
    (pid,) = server.managed()
    clients = [server.connect() for _ in range(6)]
    for client in clients[:4]:
        client.request("GET", ask)
    visitors = [gate.visitor() for _ in clients[:4]]
    assert {visitor.pid for visitor in visitors} == {pid}
    assert len({visitor.next() for visitor in visitors}) == 4, "each has a thread of its own"
    status = lambda: json.loads(server.get("/gangway?json").body)["applications"][0]
    for client in clients[4:]:
        client.request("GET", ask)
    wait_until(lambda: status()["waiting"] == 2, status)
    assert status()["running"] == 4
    assert server.get(ask).status == 503
    server.log.expect("GW0401")
    for visitor in visitors:
        visitor.go()
    for _ in clients[4:]:
        visitor = gate.visitor()
        visitor.next()
        visitor.go()
    assert [client.response().text for client in clients] == [str(pid)] * 6
