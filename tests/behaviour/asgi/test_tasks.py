# SPDX-License-Identifier: MIT OR Apache-2.0
"""The Tasks of requests: one that has never waited serves the next request, which sees nothing of that, and one that waits is asyncio's."""

import json

import pytest

from harness import venvs
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-prefork")

LOOPS = ("asyncio", "uvloop")
ODD = ("generated", "awaited", "future", "called")
WRONG = ("raising", "nothing", "stopping")
WAITS = ("nap", "child", "shield", "thread", "gather", "wait_for", "timeout", "group", "bare", "generator")


def configure(site, kind):
    venv = venvs.loops_venv()
    for loop in LOOPS:
        site.asgi(f"/{loop}", "asgi_tasks:app", venv=venv, loop=loop)
        site.asgi(f"/{loop}-odd", "asgi_tasks:odd", venv=venv, loop=loop)


WARM = tuple(path for loop in LOOPS for path in (f"/{loop}/wait?what=thread", f"/{loop}-odd/plain?app=called"))


class Asker:
    def __init__(self, server, loop):
        self.server, self.loop = server, loop

    def __call__(self, path, app=""):
        response = self.server.get(f"/{self.loop}{app}/{path}")
        assert response.status == 200, response.text
        facts = json.loads(response.body)
        assert facts["in_all"] and facts["is_current"]
        return facts

    def fresh(self):
        """A request that sees nothing of another one. Answers the name of its Task, which no other has."""
        facts = self("plain")
        seen = {key: facts[key] for key in ("var", "variables", "cancelling", "callbacks", "kept")}
        assert seen == {"var": "none", "variables": 0, "cancelling": 0, "callbacks": 0, "kept": False}
        return facts["name"]


@pytest.fixture(params=LOOPS)
def ask(request, server):
    asker = Asker(server, request.param)
    asker("forget")
    # Those that came before have waited, perhaps.
    asker.fresh()
    return asker


def test_a_task_that_never_waited_serves_the_next_request(ask):
    names = {ask.fresh() for _ in range(10)}
    assert len(names) == 1 and names.pop().startswith("Task-")


@pytest.mark.parametrize(
    "what",
    ["task", "coroutine", "weak", "weak callback", "weak key", "callback", "no callback", "variable", "no variable", "context", "name"]
    + ["cancellation", "uncancelled"],
)
def test_a_task_of_which_something_is_kept_does_not(ask, what):
    before = ask.fresh()
    facts = ask(f"keep?what={what}".replace(" ", "%20"))
    if facts["found"] is not None:
        return
    assert facts["name"] == before
    after = ask.fresh()
    assert after == ask.fresh()
    assert after != "leaked"
    # What has been undone need not be seen.
    assert after != before or what in ("no callback", "no variable", "uncancelled")
    found = ask("forget")["found"]
    assert found["ended"] == ([True] if what == "task" else [])
    assert found["alive"] == 0
    if what == "callback":
        assert found["done"] == [before]
    assert len(found["done"]) == (what in ("callback", "weak callback"))


@pytest.mark.parametrize("what", WAITS)
def test_a_task_that_waits_is_its_requests_own(ask, what):
    before = ask.fresh()
    names = set()
    # The third of them is expected to wait.
    for times in (1, 2, 3, 1, 3):
        facts = ask(f"wait?what={what}&times={times}")
        assert facts["found"] == ["woken"] * times + ["mine"]
        assert (facts["var"], facts["variables"]) == ("none", 0)
        names.add(facts["name"])
    assert len(names) == 5 and before in names
    assert ask.fresh() not in names
    assert ask.fresh() == ask.fresh()


@pytest.mark.parametrize("expected", [False, True], ids=["not expected to wait", "expected to wait"])
@pytest.mark.parametrize("what", [what for what in WAITS if what not in ("wait_for", "timeout", "group")])
def test_a_cancellation_before_the_first_wait_is_of_that(ask, what, expected):
    if expected:
        for _ in range(3):
            ask("wait?what=nap")
    found = ask(f"cancel?what={what}")["found"]
    # What gather() waits for is cancelled, and says so itself.
    assert found == ["enough"] or what in ("gather", "child", "thread", "shield") and found in ([], ["enough"])
    ask.fresh()


@pytest.mark.parametrize(
    ("what", "says"), [("itself", "await on itself"), ("number", "bad yield: 42"), ("other loop", "attached to a different loop")]
)
def test_what_cannot_be_waited_for(ask, what, says):
    assert says in ask(f"misuse?what={what}".replace(" ", "%20"))["found"]
    ask.fresh()


def test_a_task_looks_as_others_do(ask):
    for _ in range(4):
        first, later = ask("look")["found"]
        for found in (first, later):
            assert "Task pending name='Task-" in found["repr"] and "coro=<app() running at" in found["repr"]
            assert found["stack"][-1] == "app"
            assert "asgi_tasks.py" in found["report"] and "in app" in found["report"]
            assert found["state"] == "CORO_RUNNING"
            assert found["coroutine"] and found["from_thread"] and found["kinds"]


def test_nobody_steps_a_coroutine_that_runs(ask):
    assert ask("reenter")["found"] == ["coroutine already executing"] * 4
    ask.fresh()


def test_what_is_kept_of_a_request_is_over(ask):
    for _ in range(2):
        ask("leave")
    found = ask("late")["found"]
    assert found[:2] == ["leave", "http.disconnect"]
    assert found[2:4] == [f"'http.response.{part}' after the response has been completed" for part in ("start", "body")]
    assert found[4:] == found[:4]


def test_work_after_the_response(ask):
    for _ in range(4):
        assert ask.server.get(f"/{ask.loop}/background").body == b"{}"
        ask.fresh()
    done = []
    wait_until(lambda: done.extend(ask("forget")["found"]["done"]) or len(done) == 4, "all of it is done")
    assert done == ["background http.disconnect"] * 4


def test_a_generator_that_is_left_open_is_closed(ask):
    assert ask("open_generator")["found"] == 1
    wait_until(lambda: ask("forget")["found"]["done"] == ["closed"], "the loop has closed it")
    ask.fresh()


def test_what_the_collector_gives_the_loop_is_called(ask):
    ask("collect")
    try:
        for _ in range(5):
            ask("wait?what=nap")
            ask("plain")
    finally:
        asked, called = ask("collected")["found"]
    assert asked == called > 100


def test_an_applications_own_call_soon_stays(ask):
    for _ in range(4):
        ask("own_call_soon")
        ask("plain")
    assert ask("drop_call_soon")["found"]
    ask.fresh()


def test_a_request_without_a_task_is_answered(ask):
    ask("break")
    assert ask.server.get(f"/{ask.loop}/plain").status == 500
    ask.server.log.expect("GW0306.*MemoryError: no Task")
    ask.server.log.allow("Traceback|File|raise|MemoryError|    ")
    ask.fresh()


def test_a_factory_of_tasks_has_them_all(ask):
    ask("factory")
    try:
        assert [ask("plain")["kind"] for _ in range(3)] == ["Made"] * 3
        assert ask("wait?what=nap&times=2")["kind"] == "Made"
        assert ask("keep?what=variable")["kind"] == "Made"
    finally:
        ask("factory")
    assert ask.fresh().startswith("Task-")


@pytest.mark.parametrize("tool", ["debug", "profile"])
def test_tools_see_nothing_else(ask, tool):
    ask(tool)
    try:
        assert ask.fresh() == ask.fresh()
        for _ in range(3):
            assert ask("wait?what=nap&times=2")["found"] == ["woken", "woken", "mine"]
        assert ask("cancel?what=nap")["found"] == ["enough"]
        ask.fresh()
    finally:
        ask(tool)
    ask.fresh()


@pytest.mark.parametrize("expected", [False, True], ids=["not expected to wait", "expected to wait"])
@pytest.mark.parametrize("how", ["left", "entered"])
@pytest.mark.servers("nginx", "nginx128", "apache")
def test_a_loop_that_runs_inside_of_a_task(server, how, expected):
    ask = Asker(server, "asyncio")
    ask("forget")
    for _ in range(3):
        ask("wait?what=nap" if expected else "plain")
    outer = server.connect()
    outer.request("GET", f"/asyncio/nested?how={how}")
    for waits in ("yes", "no"):
        # The outer one holds the loop until they come, for which a process has to take more than one.
        inner = server.connect()
        inner.request("GET", f"/asyncio/inner?waits={waits}")
        assert inner.response().status == 200
    assert outer.response().status == 200
    ask("forget")
    ask.fresh()


@pytest.mark.parametrize("waits", ["yes", "no"])
@pytest.mark.parametrize("what", ["exit", "interrupt", "error", "close"])
def test_a_request_that_raises_is_one_request(ask, what, waits):
    assert ask.server.get(f"/{ask.loop}/raise?what={what}&waits={waits}").status == 500
    ask.server.log.expect("GW0306.*(SystemExit|KeyboardInterrupt|LookupError|GeneratorExit)")
    ask.server.log.allow("Traceback|File|raise|    |Error|Exit|Interrupt|exception")
    ask.fresh()


@pytest.mark.parametrize("name", ODD)
def test_applications_whose_calls_are_no_coroutines_of_functions(ask, name):
    for _ in range(3):
        assert ask(f"plain?app={name}", "-odd")["var"] == "none"
        assert ask(f"wait?app={name}&what=nap&times=2", "-odd")["found"] == ["woken", "woken", "mine"]
    assert ask(f"keep?app={name}&what=variable", "-odd")["variables"] == 0
    assert ask(f"plain?app={name}", "-odd")["variables"] == 0


@pytest.mark.parametrize("name", WRONG)
def test_applications_that_cannot_be_awaited(ask, name):
    for _ in range(2):
        assert ask.server.get(f"/{ask.loop}-odd/plain?app={name}").status == 500
        ask.server.log.expect("GW0306.*(LookupError|TypeError|StopIteration)")
    ask.server.log.allow("Traceback|File|raise|    |Error|StopIteration")


@pytest.mark.servers("nginx", "nginx128", "apache")
def test_requests_at_the_same_time_have_tasks_of_their_own(ask):
    clients = [ask.server.connect() for _ in range(20)]
    for number, client in enumerate(clients):
        client.request("GET", f"/{ask.loop}/wait?what=nap&times={number % 4}")
    answers = [json.loads(client.response().body) for client in clients]
    assert all(answer["var"] == "none" and answer["variables"] == 0 for answer in answers)
    waited = [answer["name"] for answer in answers if len(answer["found"]) > 1]
    assert len(set(waited)) == 15
