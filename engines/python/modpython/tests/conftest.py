# SPDX-License-Identifier: MIT OR Apache-2.0
"""The package outside of a server: what the engine brings along is made of numbers and a list of lines."""

import pathlib
import re
import sys
import types

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
HEADER = PACKAGE.parents[2] / "include" / "gangway.h"
LINES = []

server = types.ModuleType("mod_python._server")
server.numbers = {
    name: int(number) for name, number in re.findall(r"#define GW_((?:PHASE|FACT|NUMBER|TABLE|CHANGE)_\w+) (\d+)u", HEADER.read_text())
}
server.log_process = lambda level, text: LINES.append((level, text))
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

    def text(self, fact):
        return self.texts.get(fact)

    def set_text(self, fact, value):
        self.texts[fact] = value

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

    def write(self, data, flush):
        self.written.append(data)

    def log(self, level, text):
        self.lines.append((level, text))


@pytest.fixture
def transaction():
    return Transaction()
