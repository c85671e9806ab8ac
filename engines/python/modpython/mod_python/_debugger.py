# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers under pdb, on the terminal of a server that runs as one process (`httpd -X`)."""

import os
import pdb
import stat
import sys
import threading

#: There is one terminal.
_TERMINAL = threading.RLock()


def _is_empty(stream):
    """Whether it is /dev/null or the like, as a service has it: the debugger would be left at once."""
    return stat.S_ISCHR(os.fstat(stream.fileno()).st_mode) and not stream.isatty()


def run(handler, argument):
    """Calls a handler in steps. Whoever else wants the terminal waits; what runs inside of a handler on its thread belongs to that one's steps.

    Raises bdb.BdbQuit when the debugger is left by `quit`, or by the end of its input.
    """
    # Those of the process: handlers print to the log.
    stdin, stdout = sys.__stdin__, sys.__stdout__
    if stdin is None or stdout is None or _is_empty(stdin):
        return handler(argument)
    with _TERMINAL:
        if sys.gettrace() is not None:
            return handler(argument)
        # Signals are the server's. runcall() would answer None when the debugger is left.
        debugger = pdb.Pdb(stdin=stdin, stdout=stdout, nosigint=True)
        debugger.reset()
        sys.settrace(debugger.trace_dispatch)
        try:
            return handler(argument)
        finally:
            sys.settrace(None)
            debugger.quitting = True
