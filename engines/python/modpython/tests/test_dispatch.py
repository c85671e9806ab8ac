# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which handlers run, and what a phase answers."""

import pytest

from mod_python import _dispatch, apache
from mod_python._phases import Place
from mod_python._request import Request
from mod_python._server import numbers

MODULE = """
from mod_python import apache
def answers(value):
    return lambda req: seen.append(value) or value
seen = []
ok, declined, done, forbidden = (answers(value) for value in (apache.OK, apache.DECLINED, apache.DONE, 403))
def none(req): pass
def true(req): return True
def raises(req): raise apache.SERVER_RETURN(404)
def both(req): raise apache.SERVER_RETURN(apache.OK, 201)
def bare(req): raise apache.SERVER_RETURN
def fails(req): raise ValueError("<on purpose>")
def handler(req): return 200
def authenhandler(req): return 401
class Thing:
    def __init__(self, req): self.req = req
    def method(self, req): return 299 if self.req is req else 500
    class Inner:
        def __init__(self, req): pass
        def method(self, req): return 298
"""


@pytest.fixture
def run(tmp_path, transaction):
    (tmp_path / "handlers_here.py").write_text(MODULE)

    def run(*names, phase="CONTENT", **settings):
        handlers = [(f"handlers_here{name}", str(tmp_path)) for name in names]
        return _dispatch.run(Request(transaction), Place(numbers["PHASE_" + phase], str(tmp_path), handlers, settings, {}))

    return run


@pytest.mark.parametrize(
    ("phase", "names", "answer"),
    [
        ("CONTENT", ("::ok", "::declined", "::forbidden"), apache.DECLINED),
        ("CONTENT", ("::ok", "::ok"), apache.OK),
        ("CONTENT", ("::done", "::ok"), apache.DONE),
        ("ACCESS", ("::ok", "::declined", "::forbidden", "::ok"), 403),
        ("AUTHEN", ("::declined", "::ok", "::forbidden"), apache.OK),
        ("TRANS", ("::declined", "::declined"), apache.DECLINED),
        ("FIXUP", ("::declined", "::ok"), apache.OK),
        # Of PythonHandlerModule: what the module has is called, what it lacks is not missed.
        ("AUTHEN", ("::?",), 401),
        ("CONTENT", ("::?", "::forbidden"), 200),
        ("ACCESS", ("::?",), apache.DECLINED),
        ("ACCESS", ("::?", "::forbidden"), 403),
        ("CONTENT", ("::ok", "::?"), 200),
    ],
)
def test_what_lets_the_next_handler_run(run, phase, names, answer):
    assert run(*names, phase=phase) == answer


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("", 200),
        ("::raises", 404),
        ("::both", apache.OK),
        ("::bare", apache.OK),
        ("::none", 500),
        ("::true", 500),
        ("::fails", 500),
        ("::absent", 500),
        ("::Thing.method", 299),
        ("::Thing.Inner.method", 298),
    ],
)
def test_answers(run, transaction, name, answer):
    assert run(name) == answer
    assert any("GW0319" in line for _, line in transaction.lines) == (answer == 500)


def test_a_phase_has_an_object_of_its_own_name(run):
    assert run("", phase="AUTHEN") == 401


def test_the_status_of_server_return(run, transaction):
    run("::both")
    assert transaction.figures[numbers["NUMBER_STATUS"]] == 201


def test_a_traceback_is_shown_escaped_and_only_where_it_is_wanted(run, transaction):
    assert run("::fails") == 500 and not transaction.written
    assert run("::fails", phase="ACCESS", PythonDebug="1") == 500 and not transaction.written
    assert run("::fails", PythonDebug="1") == apache.DONE
    page = b"".join(transaction.written)
    assert b"&lt;on purpose&gt;" in page and b"<on purpose>" not in page
    assert transaction.figures[numbers["NUMBER_STATUS"]] == 500


def test_what_is_not_there_says_so(transaction):
    request = Request(transaction)
    for name in ("requires", "no_such_member"):
        with pytest.raises(AttributeError):
            getattr(request, name)
    with pytest.raises(AttributeError, match="req.server"):
        apache.main_server  # noqa: B018
    request.own = 5
    assert request.own == 5
    with pytest.raises(AttributeError):
        request.method = "GET"


@pytest.mark.parametrize(("word", "options"), [("~/lib/deep_here.py", {}), ("deep_here", {"mod_python.importer.path": "['~/lib']"})])
def test_a_handler_in_another_folder(tmp_path, transaction, word, options):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "deep_here.py").write_text("def handler(req): return 200")
    place = Place(numbers["PHASE_CONTENT"], str(tmp_path), [(word, str(tmp_path))], {}, options)
    assert _dispatch.run(Request(transaction), place) == 200
