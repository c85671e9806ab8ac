# SPDX-License-Identifier: MIT OR Apache-2.0
"""Members of `req` about what runs later in its life: handlers that are added, and what is called at its end."""

import os

from mod_python import _phases

_SILENT = "::" + _phases.IF_THERE


class HandlerList:
    """`req.hlist`: the handler that runs, and the ones behind it."""

    #: Lists of handlers have none around them.
    parent = None

    def __init__(self, running, at):
        self._running, self._at = running, at

    @property
    def handler(self):
        """The word of the configuration; None behind the last one."""
        return self._word.removesuffix(_SILENT) if self._word is not None else None

    @property
    def silent(self):
        """Whether the module may lack it, as with PythonHandlerModule. Elsewhere that is an error."""
        return int((self._word or "").endswith(_SILENT))

    @property
    def _word(self):
        return self._running[self._at][0] if self._at < len(self._running) else None

    @property
    def directory(self):
        """The directory of its section; None for a section without one."""
        return (self._running[self._at][1] or None) if self._at < len(self._running) else None

    @property
    def is_location(self):
        """Whether its section is one of paths: 1 or 0."""
        return int(self.directory is None)

    def next(self):
        """Goes on to the next one: this object alone, not what runs."""
        self._at += 1


class Later:
    """A part of Request."""

    def add_handler(self, htype, handler, dir=None):
        """Has a handler run in a phase of this request, behind those of the configuration: `req.add_handler("PythonHandler", "module::object")`.

        `dir` is where its module is looked for; without it that of the handler that asks. In the phase that runs it comes behind the last one.
        Raises ValueError for what is no phase, and for one that is over.
        """
        phase = _phases.NUMBERS.get(htype)
        if phase is None:
            raise ValueError(f"{htype!r} is no directive for handlers of a request")
        if not isinstance(handler, str) or not handler:
            raise ValueError(f"{handler!r} is no handler; give 'module' or 'module::object'")
        # Filters run while the response is made.
        current = _phases.NUMBERS.get(self.phase, _phases.CONTENT)
        directory = self._directory if dir is None else dir
        if phase == current and self.phase == htype:
            if self._running is None:
                self._running = list(self._place.handlers)
            self._running.append((handler, directory))
        elif _phases.is_past(phase, current):
            raise ValueError(f"the phase of {htype} is over")
        else:
            self._transaction.add_handler(phase, os.fsencode(handler), os.fsencode(directory))

    @property
    def hlist(self):
        """The handlers of the phase that runs, from the present one on."""
        return HandlerList(self._handlers(), self._at)

    def register_cleanup(self, callable, data=None):
        """Has `callable(data)` called at the end of this request, when its response has left; the last one that was registered first."""
        if not hasattr(callable, "__call__"):
            raise ValueError("first argument must be a callable object")
        self._cleanups.append((callable, data))
        self._transaction.await_cleanup()
