# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers that are added, and what is called at the end."""

import pytest

from mod_python import _dispatch, apache
from mod_python._phases import Place
from mod_python._request import Request
from mod_python._server import numbers

MODULE = """
from mod_python import apache
ran = []
def adds(req):
    req.add_handler("PythonHandler", "handlers_later::last")
    ran.append((req.hlist.handler, req.hlist.directory == req._directory))
    return apache.OK
def last(req):
    names = []
    handlers = req.hlist
    while handlers.handler is not None:
        names.append(handlers.handler)
        handlers.next()
    ran.append(names)
    return apache.OK
def plain(req): return apache.OK
def registers(req):
    def again(data):
        ran.append(data)
        if data < 4:
            req.register_cleanup(again, data + 2)
    req.register_cleanup(again, 1)
    req.register_cleanup(again, 2)
    return apache.OK
def cleanuphandler(req):
    ran.append("handler")
    return apache.OK
"""


@pytest.fixture
def run(tmp_path, transaction):
    (tmp_path / "handlers_later.py").write_text(MODULE)

    def run(*names, phase="CONTENT", request=None):
        handlers = [(f"handlers_later{name}", str(tmp_path)) for name in names]
        request = request or Request(transaction)
        answer = _dispatch.run(request, Place(numbers["PHASE_" + phase], str(tmp_path), handlers, {}, {}))
        assert answer in (apache.OK, apache.DECLINED), transaction.lines
        return request

    def ran():
        from mod_python._importer import find

        return find(str(tmp_path), "handlers_later", [str(tmp_path)], True).ran

    run.ran = ran
    return run


def test_a_handler_of_the_phase_that_runs_comes_last(run):
    run("::adds", "::plain")
    assert run.ran() == [("handlers_later::adds", True), ["handlers_later::last"]]


def test_later_phases_are_the_servers(run, transaction, tmp_path):
    request = run("::plain", phase="ACCESS")
    request.add_handler("PythonLogHandler", "m\u00e9::log", "/elsewhere")
    request.add_handler("PythonHandler", "m")
    assert transaction.added == [
        (numbers["PHASE_LOG"], "m\u00e9::log".encode(), b"/elsewhere"),
        (numbers["PHASE_CONTENT"], b"m", str(tmp_path).encode()),
    ]
    for wrong in ("PythonTransHandler", "PythonOutputFilter", "x"):
        with pytest.raises(ValueError):
            request.add_handler(wrong, "m")
    with pytest.raises(ValueError):
        request.add_handler("PythonHandler", "")


def test_cleanups_run_last_come_first_served_before_the_handlers(run, transaction):
    request = run("::registers")
    assert transaction.awaits_cleanup and run.ran() == []
    run("", phase="CLEANUP", request=request)
    assert run.ran() == [2, 4, 1, 3, 5, "handler"]


def test_only_what_can_be_called_is_registered(run, transaction):
    request = run("::plain")
    for register in (request.register_cleanup, apache.register_cleanup):
        with pytest.raises(ValueError):
            register("no function")
    assert not transaction.awaits_cleanup
