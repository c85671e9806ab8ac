# SPDX-License-Identifier: MIT OR Apache-2.0
"""httpd's other MPMs: everything that depends on which thread or process runs a request."""

import json

import pytest

from harness import applications, processes, wire
from harness.deadline import wait_until
from harness.load import Load

pytestmark = pytest.mark.servers("apache-worker", "apache-prefork")
CHILDREN = 4  # prefork: so many requests at a time


def configure(site, kind):
    if kind == "apache-prefork":
        site.workers = CHILDREN
    site.tls = True
    site.wsgi("/app", "pep3333:app")
    site.wsgi("/timed", "slow:app", timeout="1s")
    site.wsgi("/process", "process:app")


def test_requests_bodies_and_errors(server):
    assert server.get("/app/types").text == ""
    assert server.get("/app/hello", port="tls").text == "hello"
    for body in (b"", b"x" * 10, b"y" * 300_000):
        assert server.post("/app/echo", body).body == body
        assert server.post("/app/echo", [body]).body == body
    assert json.loads(server.post("/app/lines?how=iterate", b"a\nb").body) == ["a\n", "b"]
    assert server.get("/app/wrong?what=raise").status == 500
    server.log.expect("GW0306")
    assert len(server.get("/app/large?size=5000000").body) == 5_000_000
    client = server.connect()
    client.request("GET", "/app/failing?at=1")
    with pytest.raises(wire.Truncated):
        client.response()


def test_keep_alive(server):
    client = server.connect()
    for number in range(20):
        client.request("POST", "/app/echo", body=b"n%d" % number)
        assert client.response().body == b"n%d" % number


def test_streams(server, gate):
    applications.streams(server, gate, "/app/blocks_gate")


def test_a_client_that_leaves_is_seen(server, gate):
    applications.sees_its_client_leave(server, gate, "reset")


def test_several_requests_at_a_time(server, gate):
    clients = [server.connect() for _ in range(CHILDREN)]
    for client in clients:
        client.request("GET", f"/app/stays?{gate.query}")
    for application in [gate.visitor() for _ in clients]:
        application.at("inside").go()
    assert [client.response().body for client in clients] == [b"(False, False)"] * CHILDREN


def test_a_deadline(server):
    assert server.get("/timed/loop").status == 504
    server.log.expect("GW0402")
    server.log.expect("GW0313")
    assert server.get("/timed/hello").text == "hello"


def test_what_an_application_says(server):
    server.get("/process/say?how=print")
    server.log.expect("printed line")


def test_files(server, scratch):
    path = scratch / "file"
    path.write_bytes(b"f" * 200_000)
    assert server.get(f"/app/send_file?path={path}").body == b"f" * 200_000
    part = server.get(f"/app/send_file?path={path}&etag=%22v%22", [("Range", "bytes=5-9")])
    assert (part.status, part.body) == (206, b"fffff")


def test_graceful_restarts_under_load_lose_nothing(launch, scratch, kind):
    journal = scratch / "journal"
    journal.touch()
    journal.chmod(0o666)

    def counted(site):
        site.workers = CHILDREN if kind == "apache-prefork" else 1
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={journal}"])

    server = launch(counted, warm=["/app/get"])
    with Load(server, "/app", fresh=2, kept=1) as load:
        for _ in range(3):
            before = load.done
            server.reload()
            wait_until(lambda: load.done > before + 20, "requests go on after the restart", 30)
    assert not load.failures, load.failures[:5]
    seen = set(journal.read_text().split())
    assert not seen & set(load.closed_while_idle)


@pytest.mark.parametrize("how", ["quit", "stop"])
def test_the_end(launch, how, gate, kind):
    def one(site):
        site.workers = 2 if kind == "apache-prefork" else 1
        site.wsgi("/app", "slow:app")

    server = launch(one, warm=["/app/hello"])
    client = server.connect()
    client.request("GET", f"/app/wait?{gate.query}")
    visitor = gate.visitor().at("here")
    server.send_signal(how)
    if how == "quit":
        visitor.go()
        assert client.response().text == "done"
        client.close()
    else:
        server.log.allow("GW0208|GW0313|GW0307|GW0311|AH00045|AH00046")
    assert server.wait(20) == 0


@pytest.mark.servers("apache-prefork")
def test_an_idle_child_costs_no_cpu(server):
    children = server.workers()
    before = [processes.cpu_seconds(pid) for pid in children]
    wait_until(lambda: server.get("/app/hello").status == 200, "it answers")
    assert sum(processes.cpu_seconds(pid) for pid in children) - sum(before) < 0.5
