# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the status counts: exact over all workers, over a reload, and when a worker is killed."""

import concurrent.futures
import json
import os
import re
import signal
from pathlib import Path

import pytest

from harness import programs, upstreams
from harness.deadline import wait_until

WARM = ("/app/hello", "/own/hello", "/cgi/hello", "/gangway")


def configure(site, kind):
    site.workers = 2
    site.status("/gangway")
    site.wsgi("/app", "pep3333:app", threads=4)
    site.wsgi("/own", "pep3333:app", processes=2, threads=2, name="own")
    site.wsgi("/full", "slow:app", threads=1, queue=1, timeout="30s")
    site.wsgi("/late", "slow:app", threads=1, timeout="1s")
    site.passes("/back/", site.recorder("fastcgi"))
    scripts = site.scratch / "scripts"
    scripts.mkdir(exist_ok=True)
    script = scripts / "hello"
    script.write_text("#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhello'\n")
    script.chmod(0o755)
    site.cgi("/cgi/", scripts)


def status(server):
    response = server.get("/gangway?json")
    assert response.status == 200, response
    return {(app["kind"], app["name"]): app for app in json.loads(response.body)["applications"]}


NAMES = {"in_process": "pep3333:app", "managed": "own"}


def only(server, kind):
    found = [app for (of, name), app in status(server).items() if of == kind and name == NAMES.get(kind, name)]
    assert len(found) == 1, found
    return found[0]


def many(server, path, times, **kw):
    def ask(_):
        return server.get(path, **kw).status

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, range(times)))


@pytest.mark.parametrize("of, path", [("in_process", "/app/hello"), ("managed", "/own/hello"), ("cgi", "/cgi/hello")])
def test_every_request_of_every_worker_counts_once(server, of, path):
    server.get(path)
    before = only(server, of)
    assert many(server, path, 60) == [200] * 60
    wait_until(lambda: only(server, of)["running"] == 0, "nothing to run")
    after = only(server, of)
    assert after["requests"] - before["requests"] == 60
    assert after["requests_2xx"] - before["requests_2xx"] == 60
    assert (after["waiting"], after["failures"]) == (0, before["failures"])
    assert after["run_microseconds"] > before["run_microseconds"]


def test_requests_for_a_backend_count_with_their_connections(server):
    backend = server.site.backends["fastcgi"]

    def answer(words):
        client = server.connect()
        client.request("GET", "/back/x")
        peer = backend.next(client)
        peer.request()
        peer.answer(words)
        return client.response().status

    assert answer(upstreams.hello("fastcgi")) == 200
    wait_until(lambda: only(server, "upstream")["running"] == 0, "the end of it")
    before = only(server, "upstream")
    missing = b"Status: 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    assert [answer(upstreams.hello("fastcgi")), answer(missing)] == [200, 404]
    wait_until(lambda: only(server, "upstream")["running"] == 0, "the end of them")
    after = only(server, "upstream")
    counted = {key: after[key] - before[key] for key in ("requests", "requests_2xx", "requests_4xx")}
    assert counted == {"requests": 2, "requests_2xx": 1, "requests_4xx": 1}
    connections = [app["connections_kept"] + app["connections_fresh"] for app in (before, after)]
    assert connections[1] - connections[0] == 2


def test_failures_are_counted_by_their_status(server):
    before = only(server, "in_process")
    assert server.get("/app/wrong?what=no_start_empty").status == 500
    server.log.expect(r"GW0[35]\d\d ")
    after = only(server, "in_process")
    assert (after["requests_500"] - before["requests_500"], after["failures"] - before["failures"]) == (1, 1)


def test_a_full_queue_and_a_deadline_are_counted(launch, gate):
    def app(name):
        return next(app for (_, of), app in status(server).items() if of == name)

    def configured(site):
        site.status("/gangway")
        site.wsgi("/full", "slow:app", threads=1, queue=1, timeout="30s")

    server = launch(configured)
    clients = [server.connect(), server.connect()]
    clients[0].request("GET", f"/full/wait?{gate.query}")
    # Before its turn has come it would be the one that may wait.
    visitor = gate.visitor().at("here")
    clients[1].request("GET", f"/full/wait?{gate.query}")
    wait_until(lambda: app("slow:app")["waiting"] == 1, "one waits")
    assert (app("slow:app")["running"], app("slow:app")["waiting_highest"]) == (1, 1)
    assert server.get(f"/full/wait?{gate.query}").status == 503
    server.log.expect("GW0401")
    seen = app("slow:app")
    assert (seen["refused_queue_full"], seen["requests_503"], seen["requests"]) == (1, 1, 1)
    visitor.go()
    gate.visitor().at("here").go()
    assert [client.response().status for client in clients] == [200, 200]
    wait_until(lambda: app("slow:app")["running"] == 0, "the end of them")
    seen = app("slow:app")
    assert (seen["requests"], seen["requests_2xx"], seen["waiting"]) == (3, 2, 0)


@pytest.mark.parametrize("managed", [False, True], ids=["in_process", "managed"])
def test_a_deadline_is_counted_as_504(launch, managed):
    options = {"processes": 1} if managed else {}

    def configured(site):
        site.status("/gangway")
        site.wsgi("/late", "slow:app", threads=1, timeout="1s", **options)

    server = launch(configured)
    server.log.allow("GW")
    assert server.get("/late/sleep?seconds=4").status == 504
    (app,) = status(server).values()
    assert (app["requests_504"], app["failures"], app["timeouts_run"], app["timeouts_queue"]) == (1, 1, 1, 0)


def one(site):
    site.workers = 2
    site.status("/gangway")
    site.wsgi("/app", "pep3333:app", threads=4)
    site.wsgi("/own", "pep3333:app", processes=1, name="own")


def test_a_reload_keeps_the_counts(launch):
    server = launch(one, warm=["/app/hello", "/own/hello"])
    before = status(server)
    assert many(server, "/app/hello", 10) + many(server, "/own/hello", 10) == [200] * 20
    server.reload()
    assert many(server, "/app/hello", 10) + many(server, "/own/hello", 10) == [200] * 20

    def counted():
        after = status(server)
        return {key: app["requests"] - before[key]["requests"] for key, app in after.items()}

    wait_until(lambda: counted() == {("in_process", "pep3333:app"): 20, ("managed", "own"): 20}, counted)


def test_a_reload_keeps_the_counts_of_programs_and_backends(launch):
    def configured(site):
        site.workers = 2
        site.status("/gangway")
        site.passes("/back/", site.program("perl", programs.perl(site.scratch)))
        scripts = site.scratch / "scripts"
        scripts.mkdir()
        (scripts / "hello").write_text("#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhello'\n")
        (scripts / "hello").chmod(0o755)
        site.cgi("/cgi/", scripts)

    server = launch(configured, warm=["/cgi/hello", "/back/hello"])
    before = status(server)
    assert {kind for kind, _ in before} == {"cgi", "upstream"}
    for _ in range(2):
        assert many(server, "/cgi/hello", 10) + many(server, "/back/hello", 10) == [200] * 20
        server.reload()
    # httpd knows of a backend when it is asked.
    assert many(server, "/cgi/hello", 1) + many(server, "/back/hello", 1) == [200] * 2

    def counted():
        after = status(server)
        return {key: after[key]["requests"] - before[key]["requests"] if key in after else None for key in before}

    wait_until(lambda: set(counted().values()) == {21}, counted)
    connections = {key: app["connections_kept"] + app["connections_fresh"] for key, app in status(server).items() if key[0] == "upstream"}
    assert all(count >= 21 for count in connections.values()), connections
    page = server.get("/gangway").text
    for _, name in before:
        assert name in page, (name, re.findall("<h2>(.*?)</h2>", page))
    assert "kept" in page


def has_ended(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return True
    return state in "ZX"


def test_a_killed_worker_takes_no_count_with_it(launch, gate):
    def configured(site):
        one(site)
        site.wsgi("/slow", "slow:app", threads=2, timeout="60s")

    server = launch.prepare(configured)
    server.start()
    assert many(server, "/app/hello", 20) == [200] * 20
    client = server.connect()
    client.request("GET", f"/slow/wait?{gate.query}")
    gate.visitor().at("here")
    before = status(server)
    assert before["in_process", "slow:app"]["running"] == 1
    # The parent would say in the log that a worker was killed, which no test may allow, and start another one.
    parent, workers = server.pid(), server.workers()
    os.kill(parent, signal.SIGKILL)
    server.process.wait(10)
    (busy,) = [process["pid"] for process in before["in_process", "slow:app"]["processes"] if process["running"]]
    os.kill(busy, signal.SIGKILL)
    wait_until(lambda: has_ended(busy), "its end")
    seen = status(server)
    assert seen["in_process", "pep3333:app"]["requests"] == 20
    assert seen["in_process", "slow:app"]["running"] == 0
    for worker in set(workers) - {busy}:
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not server.keepers() and not server.managed(), "nothing is left", 20)
