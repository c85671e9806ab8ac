# SPDX-License-Identifier: MIT OR Apache-2.0
"""What an application finds in its process, and what it says."""

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings

from gate import query

LOCAL = threading.local()
COUNT = 0
TICKS = 0


def tick():
    global TICKS
    while True:
        TICKS += 1
        time.sleep(0.001)


# A thread that an application starts at import, as schedulers and metrics do.
threading.Thread(target=tick, daemon=True).start()


def facts(environ):
    try:
        from only_in_venv import VALUE
    except ImportError:
        VALUE = None
    return {
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "executable": sys.executable,
        "argv": sys.argv,
        "path": sys.path,
        "environ": dict(os.environ),
        "only_in_venv": VALUE,
        "flags": {"optimize": sys.flags.optimize},
        "encoding": sys.getdefaultencoding(),
        "main": sys.modules["__main__"].__name__,
        "version": list(sys.version_info[:3]),
    }


def child_environ(environ):
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    return json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


def set_signal(environ):
    try:
        signal.signal(signal.SIGTERM, lambda *_: None)
    except ValueError:
        return {"outcome": "ValueError"}
    return {"outcome": "ignored"}


def threads(environ):
    LOCAL.value = "mine"
    seen = []
    thread = threading.Thread(target=lambda: seen.append(getattr(LOCAL, "value", None)))
    thread.start()
    thread.join(10)
    return {"joined": seen == [None], "local_kept": LOCAL.value == "mine"}


def local(environ):
    LOCAL.count = getattr(LOCAL, "count", 0) + 1
    return LOCAL.count


def count(environ):
    global COUNT
    COUNT += 1
    return COUNT


def ticks(environ):
    return TICKS


def children(environ):
    """Exit statuses of children made in every way are the application's own."""
    # Logging asks for it, too. From now on `threading` knows this thread, which is none of its own.
    name = threading.current_thread().name
    context = multiprocessing.get_context("fork")
    worker = context.Process(target=sys.exit, args=(5,))
    worker.start()
    worker.join(20)
    pid = os.fork()
    if pid == 0:
        os._exit(6)
    return {
        "multiprocessing": worker.exitcode,
        "fork": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]),
        "run": subprocess.run(["sh", "-c", "exit 7"]).returncode,
        "system": os.waitstatus_to_exitcode(os.system("exit 8")),
        "named": bool(name),
        "output": subprocess.check_output(["echo", "said"], text=True).strip(),
    }


def say(environ):
    how = query(environ)["how"]
    errors = environ["wsgi.errors"]
    if how == "print":
        print("printed line")
    elif how == "stderr":
        print("to standard error", file=sys.stderr)
    elif how == "errors":
        errors.write("to wsgi.errors\n")
        errors.writelines(["more ", "lines\n"])
        errors.flush()
    elif how == "warning":
        warnings.warn("careful", UserWarning, stacklevel=1)
    elif how == "logging":
        logging.getLogger("process").warning("a logged warning")
    elif how == "unicode":
        print("caf\u00e9 \u20ac \U0001f40d \udcff")
    elif how == "parts":
        sys.stderr.write("one part ")
        sys.stderr.write("and another")
        sys.stderr.write("\n")
    elif how == "lines":
        sys.stderr.write("first of two\nsecond of two\n")
    elif how == "forged":
        sys.stderr.write("looks harmless\r2026/01/02 03:04:05 [emerg] 1#1: forged\0\x1b[31m\n")
    elif how == "long":
        sys.stderr.write("x" * 20000 + "\n")
    elif how in ("record", "traceback"):
        try:
            raise LookupError("looked up in vain")
        except LookupError:
            traceback.print_exc() if how == "traceback" else logging.getLogger("process").exception("it failed")
    elif how == "unfinished":
        sys.stderr.write("no end of line")
    return how


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/").partition("/")[0]
    work = {
        "facts": facts,
        "child_environ": child_environ,
        "signal": set_signal,
        "threads": threads,
        "local": local,
        "count": count,
        "ticks": ticks,
        "children": children,
        "say": say,
    }[name]
    result = work(environ)
    body = (json.dumps(result) if isinstance(result, dict) else str(result)).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
