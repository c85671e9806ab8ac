# SPDX-License-Identifier: MIT OR Apache-2.0
"""A process that was told to end ends, whatever its handlers do: nobody may wait for ever for one that nobody waits for."""

import time

import pytest

from harness.deadline import wait_until
from harness.processes import has_read

pytestmark = pytest.mark.in_process("how a process of the server ends; managed/test_life_*.py has the ends of an application's own")

HTTPD = pytest.mark.servers("apache", "apache-worker", "apache-prefork")
# Five seconds, what passes before somebody looks, and a busy machine.
BOUND = 12
TOLD = "GW0313|GW0208|AH0004[56]|AH00288|AH03490|Traceback|File "


def one_process(site, more=""):
    """As many processes as httpd may have: a new one begins when the old one has ended."""
    site.wsgi("/app", "slow:app", threads=4)
    site.apache_main = f"ServerLimit 1\n{more}"


def hang(server, gate):
    """A request that hangs, and whose client has left."""
    client = server.connect()
    client.request("GET", f"/app/hang?{gate.query}&secret=%22%0a")
    gate.visitor().at("inside")
    client.close()


def ended(server, worker, begun):
    wait_until(lambda: worker not in server.workers(), "the old process has ended", 30)
    assert time.monotonic() - begun < BOUND
    line = server.log.expect("GW0208 .*/app/hang.*ends without it").raw
    assert "its client has left" in line
    server.log.expect("GW0313")
    assert any("slow.py" in line.raw and "hang" in line.raw for line in server.log.lines()), "where it was"


@HTTPD
def test_a_handler_that_hangs_does_not_keep_its_process(launch, gate):
    server = launch(one_process, warm=["/app/hello"])
    server.log.allow(TOLD)
    worker = server.worker()
    hang(server, gate)
    begun = time.monotonic()
    server.send_signal("reload")
    ended(server, worker, begun)
    assert server.get("/app/hello").text == "hello"


@HTTPD
def test_what_waits_behind_it_is_answered(launch, gate, kind):
    if kind == "apache-prefork":
        pytest.skip("one request at a time")

    def one_thread(site):
        site.wsgi("/app", "slow:app", threads=1)

    server = launch(one_thread, warm=["/app/hello"])
    server.log.allow(TOLD)
    worker = server.worker()
    hang(server, gate)
    waiting = server.connect()
    waiting.request("GET", "/app/hello")
    wait_until(lambda: has_read(waiting.socket), "the request has come to the process that is to end")
    begun = time.monotonic()
    server.send_signal("reload")
    response = waiting.response()
    assert (response.status, response.header("Retry-After")) == (503, "1")
    waiting.close()
    ended(server, worker, begun)


@HTTPD
def test_a_client_that_waits_is_served(launch, gate, kind):
    """The process lives for as long as somebody is served."""
    server = launch(lambda site: one_process(site) if kind != "apache-prefork" else prefork(site), warm=["/app/hello"])
    server.log.allow(TOLD)
    hang(server, gate)
    client = server.connect()
    client.request("GET", f"/app/wait?{gate.query}")
    visitor = gate.visitor().at("here")
    begun = time.monotonic()
    server.send_signal("reload")
    wait_until(lambda: time.monotonic() > begun + 8, "longer than a handler has that nobody waits for")
    visitor.go()
    assert client.response().text == "done"
    client.close()
    server.log.expect("GW0208 .*/app/hang.*ends without it")


def prefork(site):
    site.workers = 2
    site.wsgi("/app", "slow:app")


@HTTPD
@pytest.mark.parametrize("how", ["quit", "stop"])
def test_the_server_ends(launch, gate, how):
    server = launch(one_process, warm=["/app/hello"])
    server.log.allow(TOLD)
    hang(server, gate)
    begun = time.monotonic()
    server.send_signal(how)
    assert server.wait(30) == 0
    assert time.monotonic() - begun < BOUND + 3
    if how == "quit":
        assert "ends without it" in server.log.expect("GW0208 .*/app/hang.*ends").raw


@HTTPD
def test_the_most_connections_of_a_process(launch, gate, kind):
    if kind == "apache-prefork":
        pytest.skip("a child of prefork counts between two connections")

    def few(site):
        one_process(site, "MaxConnectionsPerChild 20")

    server = launch(few, warm=["/app/hello"])
    server.log.allow(TOLD)
    worker = server.worker()
    hang(server, gate)
    begun = time.monotonic()
    wait_until(lambda: server.get("/app/hello").status and worker not in server.workers(), "its connections are over", 30)
    ended(server, worker, begun)


@pytest.mark.servers("nginx", "nginx128")
@pytest.mark.parametrize("how", ["reload", "quit", "stop"])
def test_nginx_ends_and_says_what_ran(launch, gate, how):
    server = launch(lambda site: site.wsgi("/app", "slow:app"), warm=["/app/hello"])
    server.log.allow(TOLD)
    worker = server.worker()
    hang(server, gate)
    begun = time.monotonic()
    server.send_signal(how)
    if how == "reload":
        wait_until(lambda: worker not in server.workers(), "the old process has ended", 30)
        assert server.get("/app/hello").text == "hello"
    else:
        assert server.wait(30) == 0
    assert time.monotonic() - begun < BOUND
    server.log.expect("GW0208 .*/app/hang.* is interrupted")
    server.log.expect("GW0313")
    assert any("slow.py" in line.raw and "hang" in line.raw for line in server.log.lines()), "where it was"
