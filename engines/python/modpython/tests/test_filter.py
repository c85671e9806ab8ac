# SPDX-License-Identifier: MIT OR Apache-2.0
"""Filters: what they read and write, and which handler runs."""

import pytest

from mod_python import _dispatch, _phases, apache
from mod_python._filter import Filter
from mod_python._phases import Place
from mod_python._server import numbers

OUTPUT, INPUT = numbers["PHASE_OUTPUT_FILTER"], numbers["PHASE_INPUT_FILTER"]

MODULE = """
from mod_python import apache
def outputfilter(filter):
    filter.req.seen = (filter.name, filter.is_input, filter.handler, filter.dir, filter.req.phase, filter.req.get_options(), filter.req.hlist.handler)
    filter.write(filter.read().upper())
def inputfilter(filter):
    filter.write(filter.read().lower())
def fails(filter):
    raise ValueError("on purpose")
def returns(filter):
    raise apache.SERVER_RETURN(apache.OK)
class Kept:
    def __init__(self, filter): self.filter = filter
    def run(self, filter): assert filter is self.filter; filter.write(b"kept")
"""


class Passing:
    """What passes, beside the rest of a request in memory."""

    def __init__(self, transaction, *pieces, ends=True):
        self.pieces, self.ends = list(pieces), ends
        self.written, self.calls = [], []
        transaction.filter_read = self.read
        transaction.filter_write = lambda data, flush: self.written.append(data + b"|" * flush)
        transaction.filter_close = lambda: self.calls.append("close")
        transaction.filter_pass = lambda always: self.calls.append(("pass", always))
        transaction.add_filter = self.add

    def read(self, size):
        if not self.pieces:
            return None if self.ends else b""
        piece = self.pieces.pop(0)
        if len(piece) > size:
            self.pieces.insert(0, piece[size:])
        return piece[:size]

    def add(self, kind, name, handler, directory):
        if name == b"unknown":
            raise ValueError("the server refuses this filter")
        self.calls.append((kind, name, handler, directory))


@pytest.fixture
def filtering(make, transaction):
    def filtering(*pieces, ends=True, is_input=False):
        passing = Passing(transaction, *pieces, ends=ends)
        return Filter(make(), "NAME", is_input, "m::f", ""), passing

    return filtering


def test_reading(filtering):
    filter, _ = filtering(b"one ", b"two", ends=True)
    assert (filter.read(), filter.read(), filter.read()) == (b"one two", None, None)
    filter, _ = filtering(b"one", ends=False)
    assert (filter.read(0), filter.read(2), filter.read(2), filter.read(2)) == (b"", b"on", b"e", b"")
    large = b"x" * 200_000
    assert filtering(large)[0].read() == large
    assert filtering(large)[0].read(150_000) == large[:150_000]


def test_lines(filtering):
    filter, _ = filtering(b"one\ntw", b"o\n", b"three", ends=True)
    assert filter.readline() == b"one\n"
    assert filter.read(1) == b"t"
    assert [filter.readline(), filter.readline(3), filter.readline(), filter.readline()] == [b"wo\n", b"thr", b"ee", None]
    filter, _ = filtering(b"a\nb\nc", ends=False)
    assert [filter.readline(), filter.read(), filter.readline()] == [b"a\n", b"b\nc", b""]


def test_writing(filtering):
    filter, passing = filtering()
    for value in ("é", b"b", bytearray(b"c"), b"", ""):
        filter.write(value)
    filter.flush()
    filter.close()
    filter.close()
    assert passing.written == ["é".encode(), b"b", b"c", b"|"] and passing.calls == ["close"] and filter.closed == 1
    filter, passing = filtering(is_input=True)
    filter.flush()
    assert passing.written == [] and filter.is_input == 1


def test_what_was_read_too_far_passes_first(filtering):
    filter, passing = filtering(b"one\ntwo", ends=False)
    assert filter.readline() == b"one\n"
    filter.pass_on()
    filter.disable()
    assert passing.written == [b"two"] and passing.calls == [("pass", False), ("pass", True)]


@pytest.fixture
def run(tmp_path, transaction, make):
    (tmp_path / "filters_here.py").write_text(MODULE)

    def run(name, phase=OUTPUT, request=None):
        passing = Passing(transaction, b"Text")
        request = request or make()
        handlers = [("filters_here" + name, str(tmp_path))]
        answer = _dispatch.run(request, Place(phase, str(tmp_path), handlers, {}, {"of": "filter"}, "SOME"))
        return answer, passing.written, request

    return run


def test_handlers(run, tmp_path):
    assert run("")[:2] == (apache.OK, [b"TEXT"])
    assert run("", INPUT)[:2] == (apache.OK, [b"text"])
    assert run("::Kept.run")[:2] == (apache.OK, [b"kept"])
    assert run("::returns")[0] == apache.OK
    answer, written, request = run("::fails")
    assert (answer, written) == (500, []) and "on purpose" in request._transaction.lines[-1][1]
    assert run("::missing")[0] == 500


def test_a_run_leaves_the_request_as_it_was(run, make, tmp_path):
    request = make()
    del request._options
    request._place = Place(_phases.CONTENT, "main", [("handler", "/srv")], {}, {"of": "request"})
    run("", request=request)
    assert request.seen == ("SOME", 0, "filters_here", str(tmp_path), "PythonOutputFilter", {"of": "filter"}, "filters_here")
    assert (request.phase, request._directory, request.hlist.handler) == ("PythonHandler", "/srv", "handler")
    assert request.get_options() == {"of": "request"}


def test_filters_of_one_request(make, transaction):
    passing = Passing(transaction)
    request = make()
    request._directory = "/srv"
    request.register_output_filter("Mine", "m::f")
    request.register_input_filter("mine", "m::g", "/elsewhere")
    request.add_output_filter("MINE")
    request.add_input_filter("mine")
    request.add_output_filter("DEFLATE")
    assert passing.calls == [
        (OUTPUT, b"Mine", b"m::f", b"/srv"),
        (INPUT, b"mine", b"m::g", b"/elsewhere"),
        (OUTPUT, b"DEFLATE", b"", b""),
    ]
    with pytest.raises(ValueError, match="no filter of the name 'unknown'"):
        request.add_output_filter("unknown")
    with pytest.raises(ValueError):
        request.register_output_filter("", "m")


def test_what_is_disabled_may_be_passed_on(filtering):
    """As handlers of mod_python's have it: the first of both calls passes all."""
    filter, passing = filtering(b"line one\nline two\n")
    assert filter.readline() == b"line one\n"
    filter.disable()
    filter.pass_on()
    filter.disable()
    assert (passing.written, passing.calls) == ([b"line two\n"], [("pass", True)])
