# SPDX-License-Identifier: MIT OR Apache-2.0
"""Requests of a worker that share a connection to a process: none of them is held up, cut or confused by another."""

import json
import os
import random
import re
import signal
import threading
from pathlib import Path

import pytest

from harness import processes
from harness.deadline import looks, wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128")

MANY = 4
UNBUFFERED = pytest.mark.parametrize("lines", ["", "gangway_buffering off;"], ids=["buffered", "unbuffered"])


def running(server):
    """How many requests each process has."""
    (application,) = json.loads(server.get("/gangway?json").body)["applications"]
    return {process["pid"]: process["running"] for process in application["processes"]}


def serve(launch, lines=""):
    """One worker and one process, which have a connection that requests share."""

    def configure(site):
        site.workers = 1
        site.status("/gangway")
        site.wsgi("/app", "shared:app", nginx=lines, threads=MANY, processes=1, timeout="60s", preload=False)

    server = launch(configure, warm=["/app/hello"])
    server.site.kept_connections = 32
    # The first request has a connection of its own and has the other one made.
    for _ in range(3):
        assert server.get("/app/hello").text == "hello"
    return server


def sockets(server):
    (pid,) = server.managed()
    return sum(target.startswith("socket:") for target in processes.descriptors(pid).values())


def waiting(pid):
    """How many of the threads that run requests wait for Python's lock: they look for it every few milliseconds."""

    def wakes():
        found = {}
        for task in Path(f"/proc/{pid}/task").iterdir():
            if re.search(r"/\d+$", (task / "comm").read_text().strip()):
                found[task] = (task / "status").read_text().partition("voluntary_ctxt_switches:")[2].split()[0]
        return found

    before, after = looks(wakes, 0.1)
    return sum(after[task] != count for task, count in before.items())


def begin(server, gate, name):
    client = server.connect()
    client.request("GET", f"/app/waits?{gate.query}&name={name}")
    return client, gate.visitor().at(name)


def test_several_at_a_time_need_no_further_connection(launch, gate):
    server = serve(launch)
    before = sockets(server)
    running = [begin(server, gate, f"n{number}") for number in range(MANY)]
    # The application itself has one to the gate for each.
    assert sockets(server) == before + MANY
    for number, (client, visitor) in reversed(list(enumerate(running))):
        visitor.go()
        assert client.response().text == f"n{number}"
    # So has what must not be sent twice.
    client = server.connect()
    client.request("POST", f"/app/waits?{gate.query}&name=post", body=b"x" * 1000)
    visitor = gate.visitor().at("post")
    assert sockets(server) == before + 1
    visitor.go()
    assert client.response().text == "post"


def test_bodies_of_all_sizes_are_their_own(launch):
    server = serve(launch, "client_max_body_size 10m; client_body_buffer_size 128k;")
    server.log.allow("buffered to a temporary file")
    before = sockets(server)
    for size in [0, 1, 1000, 65_536]:
        assert server.post("/app/echo", b"z" * size).body == b"z" * size
    # Longer ones have connections of their own.
    assert sockets(server) == before
    assert server.post("/app/echo", b"z" * 65_537).status == 200
    assert sockets(server) == before + 1
    sizes = [0, 1, 100, 4096, 16_384, 30_000, 65_527, 65_528, 65_529, 65_536, 65_537, 131_073, 1_000_000]
    failures = []

    def ask(number):
        chance = random.Random(number)
        for size in sizes[number % 3 :: 3] * 4:
            body = chance.randbytes(size)
            found = server.post("/app/echo", body)
            if (found.status, found.body) != (200, body):
                failures.append((number, size, found.status, len(found.body)))
            if server.post("/app/ignores", body).text != "ignored":
                failures.append((number, size, "ignored"))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3 * MANY)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures


def test_a_body_is_read_as_the_application_likes(launch):
    server = serve(launch)
    assert server.post("/app/lines", b"first\nthe second\nand the rest").body == b"first\n|the second|\nand the rest"
    client = server.connect()
    client.request("POST", "/app/lines", body=b"first\nand more", chunked=True)
    assert client.response().body == b"first\n|and more|"


def test_requests_that_a_killed_process_has_not_begun_go_to_another(launch):
    server = serve(launch)
    (before,) = server.managed()
    processes.stop(before)
    clients = [server.connect() for _ in range(MANY)]
    for number, client in enumerate(clients):
        client.request("POST", "/app/echo", body=b"%d" % number * 3000)
    wait_until(lambda: running(server) == {before: MANY}, "the process that does nothing has them")
    os.kill(before, signal.SIGKILL)
    for number, client in enumerate(clients):
        assert client.response().body == b"%d" % number * 3000
    server.log.expect("GW0904")
    server.log.expect("upstream prematurely closed connection while reading response header.*POST /app/echo")
    server.log.allow(r"connect\(\) to unix|recv\(\) failed")


def test_requests_of_a_killed_process_that_wait_for_the_lock_of_python_go_to_another(launch, gate):
    """Threads have taken them, and nothing of the application has run for them."""
    server = serve(launch)
    (before,) = server.managed()
    holder = server.connect()
    holder.request("POST", f"/app/holds?{gate.query}", body=b"x")
    gate.visitor().at("holds")
    clients = [server.connect() for _ in range(MANY - 1)]
    for number, client in enumerate(clients):
        client.request("POST", "/app/echo", body=b"%d" % number * 3000)
    wait_until(lambda: waiting(before) == MANY - 1, "threads of the process have taken all of them")
    os.kill(before, signal.SIGKILL)
    for number, client in enumerate(clients):
        assert client.response().body == b"%d" % number * 3000
    assert holder.response().status == 502
    server.log.expect("GW0904")
    server.log.expect("upstream prematurely closed connection while reading response header.*POST /app/holds")
    server.log.allow(r"upstream prematurely closed connection|connect\(\) to unix|recv\(\) failed")


def test_a_request_that_a_killed_process_has_begun_runs_once(launch, gate):
    server = serve(launch)
    client = server.connect()
    client.request("POST", f"/app/waits?{gate.query}&name=once", body=b"x")
    gate.visitor().at("once")
    (before,) = server.managed()
    os.kill(before, signal.SIGKILL)
    assert client.response().status == 502
    assert server.get("/app/hello").text == "hello"
    server.log.expect("GW0904")
    server.log.expect("upstream prematurely closed connection while reading response header.*POST /app/waits")
    server.log.allow(r"connect\(\) to unix")


def expected(name, size):
    return ((name + " ") * (size // (len(name) + 1) + 1))[:size].encode()


@UNBUFFERED
def test_responses_of_all_sizes_are_their_own(launch, lines):
    server = serve(launch, lines)
    sizes = [1, 100, 4096, 65_000, 131_000, 131_072, 200_000, 1_000_000]
    failures = []

    def ask(number):
        name = f"client{number}"
        for size in sizes[number % 2 :: 2] * 3:
            for path in ("big", "one"):
                found = server.get(f"/app/{path}?name={name}&size={size}").body
                if found != expected(name, size):
                    failures.append((name, path, size, len(found)))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2 * MANY)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not failures


def test_a_client_that_does_not_read_holds_nobody_up(launch):
    server = serve(launch, "gangway_buffering off;")
    size = 30_000_000
    slow = server.connect(receive_buffer=4096, timeout=60)
    slow.request("GET", f"/app/big?name=slow&size={size}")
    assert slow.head().status == 200
    for number in range(50):
        assert server.get("/app/hello").text == "hello"
        if number % 10 == 0:
            assert server.get("/app/one?name=other&size=500000").body == expected("other", 500_000)
    slow.close()
    # Nobody waits for it: its place is another one's.
    running = [server.connect() for _ in range(MANY)]
    for client in running:
        client.request("GET", "/app/one?name=x&size=1000")
    assert all(client.response().status == 200 for client in running)


@UNBUFFERED
def test_a_file_is_whole(launch, scratch, lines):
    server = serve(launch, lines)
    path = scratch / "file"
    content = os.urandom(1_500_000)
    path.write_bytes(content)
    path.chmod(0o644)
    assert server.get(f"/app/file?path={path}").body == content


def test_a_client_that_leaves_is_told_to_its_own_application(launch, gate):
    server = serve(launch)
    other, visitor = begin(server, gate, "other")
    leaving = server.connect()
    leaving.request("GET", f"/app/watches?{gate.query}")
    watching = gate.visitor().at("works")
    leaving.close()
    watching.at("alone")
    visitor.go()
    assert other.response().text == "other"
    # All places are free again.
    running = [begin(server, gate, f"n{number}") for number in range(MANY)]
    for client, visitor in running:
        visitor.go()
        assert client.response().status == 200


@UNBUFFERED
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_an_application_whose_client_has_its_response_goes_on(launch, gate, method, lines):
    """As on a connection of its own, and in the server's process."""
    server = serve(launch, lines)
    client = server.connect()
    headers = [("If-None-Match", '"same"')] if method == "GET" else []
    # More than a lane has room for at a time.
    client.request(method, f"/app/goes_on?{gate.query}&blocks=20", headers)
    visitor = gate.visitor().at("after the head")
    assert client.response(method).status == (304 if method == "GET" else 200)
    visitor.go()
    visitor.at("at the end").go()
    # All places are free again.
    running = [begin(server, gate, f"n{number}") for number in range(MANY)]
    for other, visitor in running:
        visitor.go()
        assert other.response().status == 200


@pytest.mark.parametrize("size", [100, 300_000])
def test_a_mirror_with_a_connection_of_its_own_gives_its_place_back(launch, size):
    """As soon as the application has ended its response, which nobody reads: its process keeps the connection."""

    def configure(site):
        site.workers = 1
        site.wsgi("/app", "shared:app", threads=1, processes=1, timeout="60s", preload=False)
        site.location("/mirrored", nginx="mirror /app/one; proxy_pass http://127.0.0.1:$server_port/.ready;")

    server = launch(configure, warm=["/app/hello"])
    server.log.allow("buffered to a temporary file")
    for _ in range(3):
        # A body that is longer than a lane takes.
        assert server.post(f"/mirrored?name=copy&size={size}", b"x" * 70_000).status == 204
        assert server.get("/app/hello", timeout=5).text == "hello"


def test_what_is_left_of_a_response_goes_with_its_client(launch):
    """The application has given all of it, and the client leaves before it has left the process."""
    server = serve(launch, "gangway_buffering off;")
    slow = [server.connect(receive_buffer=4096, timeout=60) for _ in range(MANY)]
    for client in slow:
        client.request("GET", "/app/one?name=slow&size=20000000")
        assert client.head().status == 200
        client.close()
    for number in range(2 * MANY):
        assert server.get(f"/app/one?name=other&size={1000 + number}").body == expected("other", 1000 + number)


def test_a_response_that_breaks_off_breaks_no_other(launch, gate):
    server = serve(launch)
    before = sockets(server)
    other, visitor = begin(server, gate, "other")
    client = server.connect()
    client.request("GET", "/app/breaks")
    response = client.head()
    assert response.status in (200, 500)
    visitor.go()
    assert other.response().text == "other"
    assert server.get("/app/hello").text == "hello"
    assert sockets(server) == before
    # One line, and that of the application, as in the server's process.
    server.log.expect("GW0307 .*in the middle of its response.*GET /app/breaks")
    assert not server.log.find("upstream prematurely closed")


def test_requests_of_a_killed_process_run_again(launch, gate):
    server = serve(launch)
    running = [begin(server, gate, f"n{number}") for number in range(MANY)]
    (before,) = server.managed()
    os.kill(before, signal.SIGKILL)
    again = {}
    for _ in running:
        visitor = gate.visitor()
        again[visitor.next()] = visitor
    for number, (client, _) in enumerate(running):
        again[f"n{number}"].go()
        assert client.response().text == f"n{number}"
    assert server.managed() != [before]
    server.log.expect("GW0904")
    server.log.expect("upstream prematurely closed connection while reading response header.*GET /app/waits")
    # Before the supervisor has noticed.
    server.log.allow(r"connect\(\) to unix")


def test_lines_of_an_application_have_their_request(launch):
    server = serve(launch)
    assert server.get("/app/says?name=lanes").text == "said"
    server.log.expect("a line of lanes.*request: \"GET /app/says")


def test_a_process_ends_by_itself_when_it_is_told(launch):
    server = serve(launch)
    (before,) = server.managed()
    os.kill(before, signal.SIGTERM)
    wait_until(lambda: not processes.alive(before), "the process ends although the worker keeps a connection")
    assert server.get("/app/hello").text == "hello"
    assert server.managed() not in ([], [before])
    # Before the supervisor has noticed.
    server.log.allow(r"connect\(\) to unix")
