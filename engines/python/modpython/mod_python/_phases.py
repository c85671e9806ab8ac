# SPDX-License-Identifier: MIT OR Apache-2.0
"""The phases of a request: what mod_python calls them, and what lets the next handler of one run."""

import types

from mod_python._filters import FILTERS
from mod_python._server import numbers

OK, DECLINED = 0, -1
_GO_ON = frozenset((OK, DECLINED))
_WHEN_DECLINED = frozenset((DECLINED,))

#: By number, in the order in which a request comes to them: the directive, and the answers after which the next handler runs.
PHASES = {
    numbers["PHASE_" + word]: (name, going)
    for word, name, going in (
        ("POST_READ_REQUEST", "PythonPostReadRequestHandler", _GO_ON),
        ("TRANS", "PythonTransHandler", _WHEN_DECLINED),
        ("INIT", "PythonInitHandler", _GO_ON),
        ("HEADER_PARSER", "PythonHeaderParserHandler", _GO_ON),
        ("ACCESS", "PythonAccessHandler", _GO_ON),
        ("AUTHEN", "PythonAuthenHandler", _WHEN_DECLINED),
        ("AUTHZ", "PythonAuthzHandler", _WHEN_DECLINED),
        ("TYPE", "PythonTypeHandler", _WHEN_DECLINED),
        ("FIXUP", "PythonFixupHandler", _GO_ON),
        ("CONTENT", "PythonHandler", frozenset((OK,))),
        ("LOG", "PythonLogHandler", _GO_ON),
        ("CLEANUP", "PythonCleanupHandler", _GO_ON),
    )
}
CONTENT = numbers["PHASE_CONTENT"]
CLEANUP = numbers["PHASE_CLEANUP"]
#: After which a request is forgotten as far as its handlers can see.
LAST = frozenset((CONTENT, numbers["PHASE_LOG"], CLEANUP))
#: The object of a handler of PythonHandlerModule, whose module may lack it.
IF_THERE = "?"
NUMBERS = {name: number for number, (name, _) in PHASES.items()}


def default_object(name):
    """The object of a handler that names none: `handler` for PythonHandler, `accesshandler` for PythonAccessHandler."""
    return name[len("Python") :].lower()


#: The same by number.
DEFAULTS = {number: default_object(name) for number, (name, _) in PHASES.items()}


def is_past(number, current):
    """Whether a phase comes before the one that runs."""
    order = list(PHASES)
    return order.index(number) < order.index(current)


class Place:
    """The handlers of a phase at a place of the configuration, and what they are told there: made once for many requests, which change nothing of
    it.
    """

    __slots__ = ("number", "phase", "default", "going", "interpreter", "handlers", "settings", "options", "filter_name", "is_filter", "steady", "extension")

    def __init__(self, number, interpreter, handlers, settings, options, filter_name="", extension=None):
        self.number, self.interpreter = number, interpreter
        #: The words of the configuration with the directories of their sections.
        self.handlers = handlers
        self.settings, self.options, self.filter_name, self.extension = settings, options, filter_name, extension
        self.phase, self.going, self.default, self.is_filter = _KINDS[number]
        #: Where handlers of modules are that are loaded once (PythonAutoReload Off): module and name, by the handler's place in the list.
        self.steady = {}

    @property
    def is_last(self):
        """Whether nobody asks after a request when these have run."""
        return self.number in LAST

    @property
    def is_debugged(self):
        """Whether handlers run under pdb, if the server has a terminal."""
        return self.settings.get("PythonEnablePdb") == "1"

    @property
    def is_plain(self):
        """Whether all that is to be done is to call the handlers with the request."""
        return self.number in PHASES and self.number != CLEANUP


CONNECTION = numbers["PHASE_CONNECTION"]
_KINDS = {number: (name, going, DEFAULTS[number], False) for number, (name, going) in PHASES.items()}
_KINDS |= {number: (name, _GO_ON, default, True) for number, (name, default) in FILTERS.items()}
_KINDS[CONNECTION] = "PythonConnectionHandler", _WHEN_DECLINED, "connectionhandler", False


class Nowhere:
    """Of a request that no handler has run for."""

    phase = interpreter = extension = None
    handlers, settings, options, is_filter = (), types.MappingProxyType({}), types.MappingProxyType({}), False
