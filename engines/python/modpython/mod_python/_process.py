# SPDX-License-Identifier: MIT OR Apache-2.0
"""The beginning and the end of a process: PythonImport, and what is called when a process ends."""

import atexit
import os

from mod_python import _failures, _importer
from mod_python._server import log_process


#: The interpreter where nothing names one: that of handlers in processes of their own.
MAIN = "main"


def begin(word, value):
    """One of the words that the server gives before the first request: `path` (PythonPath) or `import` (PythonImport)."""
    try:
        if word == "path":
            _importer.use_path(value)
        else:
            module, _, interpreter = value.partition(" ")
            import_at_start(module, interpreter or MAIN)
    except Exception as error:
        name = "PythonPath" if word == "path" else "PythonImport"
        _failures.tell(log_process, error, f'GW0319 {name} "{value}" raised ')


def load_handler(value):
    """Loads the module of a handler that this process is for: lines of its interpreter, folder and word, and NAME=VALUE for options.

    Raises what its code raises.
    """
    interpreter, folder, word, *options = value.split("\n")
    # As they come with a request.
    interpreter, *options = (os.fsencode(text).decode("latin-1") for text in (interpreter, *options))
    section = _importer.Section(interpreter, folder, dict(option.split("=", 1) for option in options))
    section.load(word.partition("::")[0])


def import_at_start(name, interpreter):
    """`MODULE`, or `MODULE::FUNCTION`, which is called without arguments."""
    module, _, path = name.partition("::")
    found = _importer.find(interpreter, module, [], True)
    for part in path.split(".") if path else ():
        found = getattr(found, part)
    if path:
        found()


def register_cleanup(callable, data=None):
    """Has `callable(data)` called when this process ends; the last one that was registered first. Not where it is killed."""
    if not hasattr(callable, "__call__"):
        raise ValueError("first argument must be a callable object")
    atexit.register(_call, callable, data)


def _call(callable, data):
    try:
        callable(data)
    except Exception as error:
        _failures.tell(log_process, error, "GW0319 a clean-up at the end of the process raised ")
