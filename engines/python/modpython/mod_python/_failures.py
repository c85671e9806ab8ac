# SPDX-License-Identifier: MIT OR Apache-2.0
"""Exceptions of handlers and of their modules, as lines of the log."""

import os
import traceback

from mod_python._server import log_process

ERROR, FURTHER = 1, 6  # levels of gangway.h


def lines(error):
    """The traceback without the frames of this package."""
    frames = error.__traceback__
    while frames is not None and _is_own(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    try:
        blocks = traceback.format_exception(type(error), error, frames)
    except Exception:
        blocks = [f"{type(error).__name__} (its traceback could not be formatted)"]
    # A line of a log that says nothing is none.
    return [line for line in "".join(blocks).splitlines() if line.strip()]


def one_line(error):
    """`ValueError: text at FILE line N in FUNCTION`"""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its str() failed)"
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if not _is_own(frame.f_code.co_filename):
            place = f" at {frame.f_code.co_filename} line {line} in {frame.f_code.co_name}"
    return text[:500] + place


def tell(log, error, text):
    """The traceback, and below it a line with the cause. `log` takes a level of gangway.h and a line."""
    for at, line in enumerate(lines(error)):
        log(ERROR if at == 0 else FURTHER, line)
    log(ERROR, f"{text}{one_line(error)}")


def tell_kept(path, error):
    """A changed module cannot be loaded, and the one from before goes on."""
    tell(log_process, error, f"GW0320 the changed {path} cannot be loaded, the one from before goes on: ")


def _is_own(filename):
    return filename.startswith(("<gangway>", "<frozen importlib")) or f"{os.sep}importlib{os.sep}" in filename
