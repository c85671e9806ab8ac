# SPDX-License-Identifier: MIT OR Apache-2.0
"""The package outside of a server: what the engine brings along is made of numbers and a list of lines."""

import importlib.util
import io
import os
import pathlib
import re
import sys
import threading
import types

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
HEADER = PACKAGE.parents[2] / "include" / "gangway.h"
LINES = []

server = types.ModuleType("mod_python._server")
server.numbers = {
    name: int(number) for name, number in re.findall(r"#define GW_((?:PHASE|FACT|NUMBER|TABLE|CHANGE|RELATED|LOOK_UP)_\w+) (\d+)u", HEADER.read_text())
}
CURRENT = {}


def replace_current(request):
    before = CURRENT.pop(threading.get_ident(), None)
    if request is not None:
        CURRENT[threading.get_ident()] = request
    return before


server.servers = None


def next_server(transaction):
    if server.servers is None:
        raise NotImplementedError("the server does not tell of servers")
    at = 0 if transaction is None else server.servers.index(transaction) + 1
    return server.servers[at] if at < len(server.servers) else None


server.next_server = next_server
server.current, server.replace_current = lambda: CURRENT.get(threading.get_ident()), replace_current
server.log_process = lambda level, text: LINES.append((level, text))
spec = importlib.util.spec_from_file_location("bootstrap", PACKAGE.parent / "runtime" / "src" / "bootstrap.py")
bootstrap = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bootstrap)
server.lines, server.one_line = bootstrap.lines, bootstrap.one_line
sys.modules["mod_python._server"] = server
sys.path.insert(0, str(PACKAGE))


@pytest.fixture
def log():
    """Lines of the process's log."""
    LINES.clear()
    return LINES


class Transaction:
    """A request in memory."""

    def __init__(self):
        self.texts, self.figures, self.tables, self.written, self.lines = {}, {}, {}, [], []
        self.body = io.BytesIO()
        self.length = self.redirected = None
        self.added, self.awaits_cleanup = [], False

    def text(self, fact):
        return self.texts.get(fact)

    def set_text(self, fact, value):
        # As in the server: each byte a character.
        self.texts[fact] = value.decode("latin-1") if isinstance(value, bytes) else value

    def number(self, number):
        return self.figures.get(number, 0)

    def set_number(self, number, value):
        self.figures[number] = value

    def entries(self, table, name):
        from mod_python._tables import table as own

        found = self.tables.setdefault(table, own())
        return found.items() if name is None else found._of(name)

    def change(self, table, change, name, value):
        from mod_python._tables import table as own

        self.tables.setdefault(table, own())._change(change, name, value)

    def read(self, count):
        return self.body.read(count)

    def read_line(self, count):
        return self.body.readline(count)

    def set_length(self, length):
        self.length = length

    def redirect(self, uri):
        self.redirected = uri

    def send_file(self, number, offset, count, flush):
        self.written.append(os.pread(number, count, offset))

    def write(self, data, flush):
        # As in the server: text is ASCII.
        self.written.append(data.encode("ascii") if isinstance(data, str) else data)

    def add_handler(self, phase, name, directory):
        self.added.append((phase, name, directory))

    def await_cleanup(self):
        self.awaits_cleanup = True

    def log(self, level, text):
        self.lines.append((level, text))


@pytest.fixture
def transaction():
    return Transaction()


@pytest.fixture
def make(transaction):
    """Makes a request: texts by the names of their numbers, headers, body."""
    from mod_python._request import Request

    def make(body=b"", headers=(), options=(), **texts):
        given = {"METHOD": "POST" if body else "GET", "URI": "/", "UNPARSED_URI": "/", "PROTOCOL": "HTTP/1.1", "LOCAL_IP": "127.0.0.1", **texts}
        for name, value in given.items():
            transaction.texts[server.numbers["FACT_" + name]] = value
        transaction.body = io.BytesIO(body) if isinstance(body, bytes) else body
        request = Request(transaction)
        request.headers_in.clear()
        request.headers_in.update(dict(headers))
        request._options = dict(options)
        return request

    return make
