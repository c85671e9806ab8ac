# SPDX-License-Identifier: MIT OR Apache-2.0
"""Exceptions of handlers and of their modules, as lines of the log."""

from mod_python._server import lines as lines_of, log_process, one_line

ERROR, FURTHER = 1, 6  # levels of gangway.h


def lines(error):
    """The traceback without the frames of this package. A line of a log that says nothing is none."""
    return [line for line in lines_of(error) if line.strip()]


def tell(log, error, text):
    """The traceback, and below it a line with the cause. `log` takes a level of gangway.h and a line."""
    for at, line in enumerate(lines(error)):
        log(ERROR if at == 0 else FURTHER, line)
    log(ERROR, f"{text}{one_line(error)}")


def tell_kept(path, error):
    """A changed module cannot be loaded, and the one from before goes on."""
    tell(log_process, error, f"GW0320 the changed {path} cannot be loaded, the one from before goes on: ")
