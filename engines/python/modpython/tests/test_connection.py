# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers of connections: who is asked, what they get, and what they answer."""

import io
import sys
import types

import pytest

from mod_python import _dispatch, _phases, apache
from mod_python._phases import Place
from mod_python._request import Request


@pytest.fixture
def run(transaction, monkeypatch):
    transaction.read_some = lambda count: transaction.body.read1(count)

    def run(*functions, body=b""):
        module = types.ModuleType("talks")
        for number, function in enumerate(functions):
            setattr(module, f"talk{number}", function)
        monkeypatch.setitem(sys.modules, "talks", module)
        transaction.body = io.BufferedReader(io.BytesIO(body))
        handlers = [(f"talks::talk{number}", "") for number in range(len(functions))]
        return _dispatch.run(Request(transaction), Place(_phases.CONNECTION, "main", handlers, {}, {"a": "b"}))

    return run


def test_a_connection_and_no_request(run, transaction):
    seen = []

    def talk(conn):
        seen.extend([conn.read(4), conn.readline(), conn.read(), conn.base_server.get_options()])
        conn.write("text ä")
        conn.write(bytearray(b"bytes"))
        assert not hasattr(conn, "headers_in") and not hasattr(conn, "uri")
        return apache.OK

    assert run(talk, body=b"1234line\nrest") == apache.OK
    assert seen == [b"1234", b"line\n", b"rest", {"a": "b"}]
    assert transaction.written == ["text ä".encode(), b"bytes"]


def test_handlers_are_asked_until_one_does_not_decline(run):
    asked = []

    def answering(answer):
        def talk(conn):
            asked.append(answer)
            return answer

        return talk

    assert run(answering(apache.DECLINED), answering(apache.OK), answering(apache.DECLINED)) == apache.OK
    assert asked == [apache.DECLINED, apache.OK]
    assert run(answering(apache.DECLINED)) == apache.DECLINED


def test_what_raises_ends_the_connection(run, transaction):
    def talk(conn):
        raise KeyError("x")

    assert run(talk) == apache.HTTP_INTERNAL_SERVER_ERROR
    assert any("GW0319 PythonConnectionHandler" in line for _, line in transaction.lines)
    assert run(lambda conn: None) == apache.HTTP_INTERNAL_SERVER_ERROR


def test_below_a_request_only_where_the_server_has_it(make, transaction):
    asked = []

    class Below:
        def read_some(self, count):
            return b"some"[:count]

        def write(self, data, flush):
            asked.append(data)

    def related(which):
        asked.append(which)
        return answers.pop()

    answers = [Below(), None]
    transaction.related = related
    request = make()
    with pytest.raises(AttributeError, match="req.read"):
        request.connection.read()
    assert request.connection.read(2) == b"so"
    request.connection.write("ä")
    assert len(asked) == 3 and asked[2] == "ä".encode()
