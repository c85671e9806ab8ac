# SPDX-License-Identifier: MIT OR Apache-2.0
"""threads=, queue= and timeout=: admission, refusal, and the deadline."""

import time

import pytest

from harness import processes, wire
from harness.deadline import wait_until
from harness.http2 import Reset

SECOND = 1.0
WARM = ("/two/hello", "/one/hello", "/timed/hello", "/plain/hello")


def configure(site, kind):
    site.http2 = True
    site.threads_per_child = 64
    site.wsgi("/two", "slow:app", threads=2, queue=3, timeout="30s")
    site.wsgi("/one", "slow:app", threads=1, timeout="1s")
    site.wsgi("/timed", "slow:app", threads=2, timeout="1s")
    site.wsgi("/plain", "slow:app", threads=4)


def ask(server, path):
    client = server.connect()
    client.request("GET", path)
    return client


def fill(server, gate):
    """Both threads of /two run, and its queue of three is full: the five clients, and where the two run."""
    clients = [ask(server, f"/two/wait?{gate.query}") for _ in range(2)]
    visitors = [gate.visitor().at("here") for _ in clients]
    waiting = [ask(server, f"/two/wait?{gate.query}") for _ in range(4)]
    # One too many: which of them comes last is the server's affair.
    late = wire.first_to_answer(waiting)
    assert late.response().status == 503
    waiting.remove(late)
    return clients + waiting, visitors


def test_at_most_threads_requests_run_and_the_others_wait_in_order(server, gate):
    clients = [ask(server, f"/two/wait?{gate.query}&name=r0"), ask(server, f"/two/wait?{gate.query}&name=r1")]
    running = {}
    for _ in range(2):
        visitor = gate.visitor()
        running[visitor.next()] = visitor
    assert set(running) == {"r0", "r1"}
    for number in (2, 3, 4):
        clients.append(ask(server, f"/two/wait?{gate.query}&name=r{number}"))
        # The next is sent when the server has read this one, and a request of another application has gone through: httpd's
        # threads for connections start in any order.
        wait_until(lambda sent=clients[-1].socket: processes.has_read(sent), "the server has read the request")
        assert server.get("/plain/hello").text == "hello"
    for number in (2, 3, 4):
        running.pop(next(iter(running))).go()
        visitor = gate.visitor()
        name = visitor.next()
        assert name == f"r{number}"
        running[name] = visitor
    for visitor in running.values():
        visitor.go()
    assert [client.response().text for client in clients] == [f"r{n}" for n in range(5)]
    assert server.get("/two/peak").text == "2"


def test_a_full_queue_is_503_with_retry_after(server, gate):
    clients, visitors = fill(server, gate)
    refused = server.get("/two/hello")
    assert refused.status == 503
    assert int(refused.header("Retry-After")) > 0
    line = server.log.expect("GW0401")
    assert "queue=3" in line.raw
    assert server.http2().get("/two/hello").status == 503
    for visitor in visitors:
        visitor.go()
    for _ in range(3):
        gate.visitor().at("here").go()
    assert [client.response().status for client in clients] == [200] * 5
    assert server.get("/two/hello").text == "hello"


def test_refusals_do_not_flood_the_log(server, gate):
    clients, visitors = fill(server, gate)
    for _ in range(100):
        assert server.get("/two/hello").status == 503
    server.log.expect("GW0401")
    assert len(server.log.find("GW0401")) < 20
    for visitor in visitors:
        visitor.go()
    for _ in range(3):
        gate.visitor().at("here").go()
    assert [client.response().status for client in clients] == [200] * 5


def test_one_application_does_not_stop_another(server, gate):
    server.log.allow("GW0401")
    clients, visitors = fill(server, gate)
    assert server.get("/plain/hello").text == "hello"
    assert server.get("/.ready").status == 204
    for visitor in visitors:
        visitor.go()
    for _ in range(3):
        gate.visitor().go()
    assert [client.response().status for client in clients] == [200] * 5


@pytest.mark.parametrize("what", ["loop", "sleep"])
def test_a_deadline_is_504_on_time(server, gate, what):
    start = time.monotonic()
    response = server.get(f"/timed/{what}?seconds=3&{gate.query}")
    took = time.monotonic() - start
    assert response.status == 504
    assert SECOND * 0.9 < took < SECOND * 2
    server.log.expect("GW0402 slow:app gave no output for 1s")
    line = server.log.expect("GW0313")
    # httpd's own context is the client's address; a line that comes after the answer has the request line.
    assert f"/timed/{what}?" in line.raw or (server.kind == "apache" and "[client 127.0.0.1:" in line.raw)
    if what == "sleep":
        # Only then may the server be stopped.
        gate.visitor().at("over")


@pytest.mark.parametrize("what", ["loop", "clean"])
def test_the_next_request_on_an_interrupted_thread_is_unharmed(server, gate, what):
    """With one thread the next request can only be served by the one that was interrupted."""
    thread = server.get("/one/thread").text
    server.log.allow("GW0402|GW0313")
    for _ in range(3):
        assert server.get(f"/one/{what}?{gate.query}").status == 504
        if what == "clean":
            gate.visitor().at("running").at("cleaned")
        assert server.get("/one/thread").text == thread
    server.log.expect("GW0313")


def test_the_interrupted_place_is_logged(server):
    assert server.get("/timed/loop").status == 504
    server.log.expect("GW0402")
    server.log.expect(r"GW0313 .*")
    server.log.expect(r"slow\.py.*loop|in loop")


def test_an_answer_after_the_deadline_goes_to_nobody(server, gate):
    """The late response must not become the answer to the next request of the connection or of the thread."""
    server.log.allow("GW0402|GW0313")
    client = server.connect()
    client.request("GET", f"/timed/stubborn?seconds=2&{gate.query}")
    assert client.response().status == 504
    if not closed(client):
        client.request("GET", "/plain/hello")
        assert client.response().text == "hello"
    for _ in range(20):
        assert server.get("/timed/hello").text == "hello"
    server.log.expect("GW0313")
    gate.visitor().at("survived")


def closed(client):
    client.socket.settimeout(0.2)
    try:
        return client.at_end()
    except TimeoutError:
        return False
    finally:
        client.socket.settimeout(20)


def test_the_deadline_counts_the_time_without_output(server, gate):
    client = ask(server, f"/timed/steady?{gate.query}")
    visitor = gate.visitor()
    start = time.monotonic()
    for _ in range(6):
        visitor.at("block")
        # Each pause is shorter than the timeout, all of them together are longer.
        pause_until = time.monotonic() + 0.3
        wait_until(lambda: time.monotonic() >= pause_until, "the pause is over")
        visitor.go()
    assert client.response().text == "012345"
    assert time.monotonic() - start > 1.5 * SECOND


def test_a_deadline_after_the_head_cuts_the_connection(server):
    client = ask(server, "/timed/stall")
    head = client.head()
    start = time.monotonic()
    assert b"".join(client.blocks(head)) == b"begun"
    assert not head.complete
    assert time.monotonic() - start < 2.5 * SECOND
    server.log.expect("GW0402")
    server.log.expect("GW0313")


def behind(server, gate, path, pause):
    """A request that waits so long for the only thread of /one before its turn comes, and when it was sent."""
    first = ask(server, f"/one/wait?{gate.query}")
    visitor = gate.visitor().at("here")
    start = time.monotonic()
    second = ask(server, path)
    wait_until(lambda: time.monotonic() >= start + pause, "the pause is over")
    visitor.go()
    assert first.response().status == 200
    return second, start


def test_waiting_in_the_queue_is_not_the_applications_time(server, gate):
    """A request that begins late has all of its time: 0.7 s in the queue and 0.6 s of work are no second without output."""
    client, start = behind(server, gate, "/one/sleep?seconds=0.6", 0.7)
    response = client.response()
    assert (response.status, response.text) == (200, "slept")
    assert time.monotonic() - start > 1.2 * SECOND


def test_a_deadline_after_the_queue_comes_as_long_after_the_turn(server, gate):
    client, start = behind(server, gate, "/one/loop", 0.7)
    assert client.response().status == 504
    assert 1.6 * SECOND < time.monotonic() - start < 2.6 * SECOND
    line = server.log.expect(
        r"GW0402 slow:app gave no output for 1s \(it waited 0\.[6-9]s in the queue and has run for 1\.[0-5]s\)"
    )
    assert line
    server.log.expect("GW0313")
    assert server.get("/one/hello").text == "hello"


def test_a_deadline_resets_an_http2_stream(server):
    client = server.http2()
    with pytest.raises(Reset):
        client.get("/timed/stall")
    server.log.expect("GW0402")
    server.log.expect("GW0313")
    assert client.get("/plain/hello").body == b"hello"


def test_waiting_for_a_slow_client_is_not_the_applications_time(server):
    """A body that takes longer than timeout= to arrive is the client's affair."""
    client = server.connect()
    client.send(wire.head_bytes("POST", "/timed/hello", [("Host", "x"), ("Content-Length", "4")]))
    for value in b"body":
        pause_until = time.monotonic() + 0.4
        wait_until(lambda: time.monotonic() >= pause_until, "the pause is over")
        client.send(bytes([value]))
    assert client.response().text == "hello"


@pytest.mark.in_process("the worker is the application's process; managed/test_deadlines.py has the same of a process of its own")
def test_threads_that_cannot_be_interrupted_are_replaced_with_their_worker(launch, kind):
    """Both threads wait in C: each client has its 504, and the log says where they are. nginx's worker is retired by
    itself, httpd's by the administrator, as the line says."""

    def stuck(site):
        site.wsgi("/app", "slow:app", threads=2, timeout="1s")

    server = launch(stuck, warm=["/app/hello"])
    server.log.allow("GW0313|GW0405|AH00045|AH00046")
    before = server.worker()
    clients = [ask(server, "/app/sleep") for _ in range(2)]
    assert [client.response().status for client in clients] == [504, 504]
    server.log.expect("GW0402")
    line = server.log.expect("GW0403 .*/app/sleep")
    server.log.allow("GW0208|GW0313")
    if kind == "apache":
        assert "apachectl graceful" in line.raw
        server.send_signal("reload")
    else:
        server.log.expect("GW0404")
    wait_until(lambda: before not in server.workers() and server.workers(), "the worker is replaced", 30)
    assert server.get("/app/hello").text == "hello"


def test_an_idle_pool_costs_no_cpu(server):
    worker = server.worker()
    server.get("/plain/hello")
    before = processes.cpu_seconds(worker)
    end = time.monotonic() + 2
    wait_until(lambda: time.monotonic() >= end, "two seconds have passed")
    assert processes.cpu_seconds(worker) - before < 0.05
