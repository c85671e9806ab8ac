# SPDX-License-Identifier: MIT OR Apache-2.0
"""How an application on an event loop begins, is bounded, and ends."""

import json
import time

import pytest

from harness import wire
from harness.configtest import one_line
from harness.deadline import wait_until


def directive(kind):
    return "GangwayASGI" if kind.startswith("apache") else "gangway_asgi"


@pytest.fixture
def place(scratch):
    """The folder of an application that changes."""
    folder = scratch / "own"
    folder.mkdir(mode=0o755)
    return folder


def beside(target, **options):
    """An application, and a healthy one, which is loaded after it: when that answers, the first has been tried."""

    def configure(site):
        site.asgi("/", target, **options)
        site.asgi("/well", "asgi_app:app")

    return configure


BROKEN = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        return
"""
WHOLE = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("no lifespan")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"healed"})
"""


def test_a_failing_startup_is_500_and_heals(launch, place, kind):
    place.joinpath("own.py").write_text(BROKEN)
    server = launch(beside("own:app", root=place), warm=["/well/hello"])
    assert server.get("/").status == 500
    server.log.expect("GW0301.*no database")
    server.log.expect("StartupFailed: the application's startup failed: no database")
    server.log.expect("GW0304")
    place.joinpath("own.py").write_text(WHOLE)
    wait_until(lambda: server.get("/").status == 200, "it is healed")
    assert server.get("/").body == b"healed"
    server.log.expect("GW0305")
    server.log.allow("GW0304")


ENDLESS = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await asyncio.Event().wait()
"""


def test_a_startup_that_never_ends_is_500_and_heals(launch, place, kind):
    place.joinpath("own.py").write_text(ENDLESS)
    server = launch(beside("own:app", root=place, startup_timeout="300ms"), warm=["/well/hello"])
    assert server.get("/").status == 500
    server.log.expect("GW0301.*startup has not ended within 0.3s; .*raise startup_timeout=")
    server.log.allow("StartupFailed|GW0304")
    place.joinpath("own.py").write_text(WHOLE)
    wait_until(lambda: server.get("/").status == 200, "it is healed")
    server.log.expect("GW0305")
    server.log.allow("GW0304")


def test_a_startup_that_takes_long_holds_nobody_else(launch, place):
    place.joinpath("own.py").write_text(ENDLESS)
    server = launch(beside("own:app", root=place, timeout="300ms"), warm=["/well/hello"])
    assert server.get("/").status == 504
    server.log.expect("GW0402")
    assert server.get("/well/hello").body == b"hello"
    # It is told to end while it starts.
    server.log.allow("GW0301|StartupFailed|GW0402")


def test_a_lifespan_that_must_be(launch, place):
    place.joinpath("own.py").write_text(WHOLE)
    server = launch(beside("own:app", root=place, lifespan="on"), warm=["/well/hello"])
    assert server.get("/").status == 500
    server.log.expect("GW0301.*no lifespan")
    server.log.allow("RuntimeError: no lifespan|Traceback|own.py|raise RuntimeError")
    server.log.expect("GW0304")


def test_without_a_lifespan(launch, place):
    place.joinpath("own.py").write_text(WHOLE)
    server = launch(lambda site: site.asgi("/", "own:app", root=place, lifespan="off"), warm=["/"])
    assert server.get("/").body == b"healed"


def test_the_shutdown_runs(launch, scratch):
    note = scratch / "note"
    note.touch()
    note.chmod(0o666)
    server = launch(
        lambda site: site.asgi("/", "asgi_app:app", env=f"SHUTDOWN_NOTE={note}"), warm=["/hello"]
    )
    server.reload()
    wait_until(lambda: note.read_text() == "shut down\n", "the shutdown has run")


@pytest.fixture
def journal(scratch):
    path = scratch / "note"
    path.touch()
    path.chmod(0o666)
    return path


@pytest.mark.parametrize("seconds", ["0.5", "3600"])
def test_work_after_a_response_has_two_seconds_when_the_process_ends(launch, gate, journal, seconds):
    server = launch(lambda site: site.asgi("/", "asgi_app:app", env=f"SHUTDOWN_NOTE={journal}"), warm=["/hello"])
    assert server.get(f"/tidy?{gate.query}&seconds={seconds}").body == b"whole"
    visitor = gate.visitor().at("tidying")
    began = time.monotonic()
    server.send_signal("reload")
    visitor.at("tidied" if seconds == "0.5" else "cancelled")
    if seconds == "3600":
        assert time.monotonic() - began > 1.9
    wait_until(lambda: journal.read_text() == "shut down\n", "the shutdown has run after it")


@pytest.mark.servers("nginx", "nginx128")
def test_a_fast_stop_cancels_what_runs(launch, gate):
    server = launch(lambda site: site.asgi("/", "asgi_app:app"), warm=["/hello"])
    client = server.connect()
    client.request("GET", f"/sleep?{gate.query}")
    visitor = gate.visitor().at("asleep")
    server.stop()
    visitor.at("cancelled")
    server.log.expect("GW0208 asgi_app:app: \"GET /sleep.*it is cancelled")


@pytest.mark.servers("nginx", "nginx128")
def test_requests_in_flight_are_bounded(launch, gate):
    server = launch(lambda site: site.asgi("/", "asgi_app:app", in_flight=1, queue=1), warm=["/hello"])
    first, second, third = server.connect(), server.connect(), server.connect()
    first.request("GET", f"/gate?{gate.query}")
    visitor = gate.visitor().at("waiting")
    second.request("GET", "/hello")
    third.request("GET", "/hello")
    refused = wire.first_to_answer([second, third])
    response = refused.response()
    assert (response.status, response.header("Retry-After")) == (503, "1")
    server.log.expect("GW0401")
    visitor.go()
    assert first.response().body == b"let on"
    waited = third if refused is second else second
    assert waited.response().body == b"hello"


def test_a_deadline_cancels_the_task(launch, gate):
    server = launch(beside("asgi_app:app", timeout="500ms"), warm=["/well/hello"])
    client = server.connect()
    client.request("GET", f"/sleep?{gate.query}")
    visitor = gate.visitor().at("asleep")
    assert client.response().status == 504
    visitor.at("cancelled")
    server.log.expect("GW0402")
    assert server.get("/hello").body == b"hello"


def test_a_task_that_ignores_its_cancellation_is_named(launch, gate):
    server = launch(beside("asgi_app:app", timeout="500ms"), warm=["/well/hello"])
    client = server.connect()
    client.request("GET", f"/stubborn?{gate.query}")
    visitor = gate.visitor().at("asleep")
    assert client.response().status == 504
    visitor.at("cancelled")
    server.log.expect("GW0402")
    line = server.log.expect("GW0403").raw
    assert "its task has not heeded" in line and "thread" not in line
    server.log.allow("GW0404")
    visitor.go()


def test_a_loop_that_is_blocked_is_named(launch, gate):
    server = launch(beside("asgi_app:app", timeout="500ms"), warm=["/well/hello"])
    client = server.connect()
    client.request("GET", f"/block?{gate.query}")
    visitor = gate.visitor().at("blocking")
    assert client.response().status == 504
    server.log.expect("GW0402")
    server.log.expect("GW0322")
    server.log.expect("in do_block")
    server.log.allow("File |    ")
    visitor.go()
    wait_until(lambda: server.get("/hello").status == 200, "the loop goes on")
    server.log.allow("GW0402")


def test_a_loop_that_stays_stuck_costs_its_worker(launch, gate, kind):
    server = launch(beside("asgi_app:app", timeout="500ms"), warm=["/well/hello"])
    old = server.workers()
    client = server.connect()
    client.request("GET", f"/block?{gate.query}")
    gate.visitor().at("blocking")
    assert client.response().status == 504
    server.log.expect("GW0402")
    server.log.expect("GW0322")
    server.log.allow("File |    |GW0208")
    line = server.log.expect("GW0403", 20).raw
    if kind.startswith("apache"):
        assert "apachectl graceful replaces the process" in line
        server.reload(timeout=60)
    else:
        server.log.expect("GW0404 a task of asgi_app:app is lost: this worker process shuts down gracefully")
        wait_until(lambda: not set(old) & set(server.workers()), "the worker is replaced", 30)
    wait_until(lambda: server.get("/hello").body == b"hello", "another one serves", 20)


@pytest.mark.servers("nginx", "nginx128", "apache")
def test_a_loop_that_computes_is_named(launch, scratch):
    """It holds the interpreter's lock, which who names it needs as well."""
    server = launch(beside("asgi_app:app", timeout="off"), warm=["/well/hello"])
    client = server.connect(timeout=90)
    client.request("GET", f"/compute?{scratch}/enough")
    # A machine that has no time for it makes it no loop that is stuck.
    server.log.expect("GW0322 the event loop of application", 60)
    server.log.expect("in do_compute")
    server.log.allow("File |    ")
    (scratch / "enough").touch()
    assert client.response().body == b"computed"


def test_a_loop_that_blocks_is_named_before_anybody_gives_up(launch, gate):
    server = launch(beside("asgi_app:app", timeout="60s"), warm=["/well/hello"])
    client = server.connect()
    client.request("GET", f"/block?{gate.query}")
    visitor = gate.visitor().at("blocking")
    server.log.expect("GW0322 the event loop of application")
    server.log.expect("in do_block")
    server.log.allow("File |    ")
    visitor.go()
    assert client.response().status == 200
    # The next one is named as well.
    client.request("GET", f"/block?{gate.query}")
    visitor = gate.visitor().at("blocking")
    wait_until(lambda: len(server.log.find("GW0322 the event loop of application")) == 2, "it is named again")
    visitor.go()
    assert client.response().status == 200


def test_an_event_loop_is_not_forked(configtest, kind):
    result = configtest(lambda site: site.asgi("/", "asgi_app:app", processes=1, preload="on"))
    one_line(result, directive(kind), "GW0102", "preload=on", "not with an event loop")


@pytest.mark.parametrize("own", [{"processes": 1}, {"user": "www-data"}], ids=["processes", "user"])
def test_processes_of_its_own_have_no_websockets(configtest, kind, own):
    result = configtest(lambda site: site.asgi("/", "asgi_app:app", ws_ping="10s", **own))
    one_line(result, directive(kind), "GW0101", "ws_ping=10s", "about WebSockets", "remove it, or processes= and user=")


def test_the_loop_is_chosen(launch):
    server = launch(lambda site: site.asgi("/", "asgi_app:app", loop="asyncio"), warm=["/hello"])
    assert json.loads(server.get("/life").body)["kind"].startswith("asyncio")


@pytest.mark.parametrize(("key", "word"), [("loop", "trio"), ("lifespan", "maybe")])
def test_wrong_words(configtest, kind, key, word):
    result = configtest(lambda site: site.asgi("/", "asgi_app:app", **{key: word}))
    one_line(result, directive(kind), "GW0102", f"{key}={word} is none of auto")


def test_options_of_loops_are_not_those_of_wsgi(configtest, kind):
    result = configtest(lambda site: site.wsgi("/", "pep3333:app", in_flight=1))
    one_line(result, "GangwayWSGI" if kind.startswith("apache") else "gangway_wsgi", "GW0101", "in_flight")
