# SPDX-License-Identifier: MIT OR Apache-2.0
"""What an application on an event loop starts, with asyncio's own loop and with uvloop."""

import json

import pytest

from harness import venvs

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-prefork")

FORKED_MULTITHREADED = "DeprecationWarning|os.fork|self.pid"


def configure(site, kind):
    venv = venvs.loops_venv()
    for loop in ("asyncio", "uvloop"):
        site.asgi(f"/{loop}", "asgi_children:app", venv=venv, loop=loop)


WARM = ("/asyncio/pipes", "/uvloop/pipes")


@pytest.fixture(params=["asyncio", "uvloop"])
def ask(request, server):
    server.log.allow(FORKED_MULTITHREADED)

    def get(path):
        response = server.get(f"/{request.param}/{path}")
        assert response.status == 200, response.text
        return json.loads(response.body)

    assert get("loop").startswith(request.param)
    get.loop = request.param
    return get


@pytest.mark.parametrize("way", ["exec", "shell", "to_thread", "run", "system", "posix_spawn", "fork"])
def test_a_child_begins_as_a_shell_would_start_it(ask, scratch, way):
    facts = ask(f"look?way={way}&out={scratch}/{way}")
    # As in life/test_children.py.
    found = [int(facts[name], 16) & ~(3 << 31) for name in ("SigBlk", "SigIgn", "SigCgt")]
    assert found == [0, 0, 0]
    found = dict(entry.split(" -> ") for entry in facts["fds"])
    # uvloop's children have the copies that it makes of 0, 1 and 2, wherever it runs.
    copies = {number for number, target in found.items() if ask.loop == "uvloop" and target.endswith(("/dev/null", ".log"))}
    assert found.keys() - copies - {"0", "1", "2"} == {"3"}, found
    assert len(copies - {"0", "1", "2"}) <= 3, found


@pytest.mark.parametrize(("how", "status"), [("terminate", -15), ("kill", -9)])
def test_a_child_is_ended_and_waited_for(ask, how, status):
    assert ask(f"end?how={how}") == status


def test_pipes_of_a_child(ask):
    assert ask("pipes") == [True, 0]


def test_many_children_at_once(ask):
    assert ask("many") == list(range(20))


ENDS = [
    ("handler", "return", 0),
    ("handler", "exit", 5),
    ("handler", "raise", 1),
    ("handler", "wait", 1),
    ("task", "exit", 5),
    ("task", "raise", 1),
    ("task", "wait", 1),
    ("thread", "return", 0),
    ("thread", "exit", 5),
    ("thread", "raise", 1),
]


@pytest.mark.parametrize(("where", "how", "status"), ENDS)
def test_a_forked_child_ends_where_it_leaves_the_handler(ask, server, where, how, status):
    if how in ("raise", "wait"):
        server.log.allow("Traceback|File|LookupError|RuntimeError|forked child|    ")
    for _ in range(2):
        assert ask(f"fork?how={how}&where={where}") == status
    # Who does not get back to the loop takes nothing of it away.
    assert ask("pipes") == [True, 0]
    if how == "raise":
        server.log.expect("LookupError: the child has failed")


def test_a_forked_child_does_not_look_for_events_of_its_parent(ask, server):
    server.log.allow("Traceback|File|RuntimeError|forked child|    ")
    assert [ask("fork?how=look") for _ in range(10)] == [1] * 10


def test_a_child_of_a_thread_while_the_loop_is_debugged(ask):
    ask("debug?on=1")
    try:
        assert ask("fork?how=return&where=thread") == 0
    finally:
        ask("debug?on=0")


def test_a_child_of_the_end_of_the_process(launch):
    """The harness refuses the lines that a hook would write."""
    server = launch(lambda site: site.asgi("/", "asgi_children:app"), warm=["/at_exit"])
    server.log.allow(FORKED_MULTITHREADED)
    server.reload()


def test_timeouts_and_groups_of_tasks(ask):
    found = ask("tasks")
    if found is None:
        pytest.skip("this Python has neither")
    assert found == ["timeout", "cancelled", ["LookupError"], [0, 1, 2]]
