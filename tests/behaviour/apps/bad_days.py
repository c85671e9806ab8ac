# SPDX-License-Identifier: MIT OR Apache-2.0
"""An application that does to its process what no application should."""

import os
import subprocess
import sys
import threading

TEXT = [("Content-Type", "text/plain")]


def pid(environ):
    return str(os.getpid())


def daemon(environ):
    """Leaves a process behind that has left its group and session, and holds whatever is open here."""
    code = "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nif os.fork(): os._exit(0)\nprint(os.getpid(), flush=True)\nos.close(1)\ntime.sleep(600)"
    done = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, close_fds=False)
    return done.stdout.readline().strip()


def close_all(environ):
    """All of them, also those that are the process' own."""
    os.closerange(0, 65536)
    return "closed"


def flood():
    block = b"a line of no use, again and again\n" * 1000
    while True:
        os.write(2, block)


def shout(environ):
    """Writes without end to its standard error, beside its requests."""
    threading.Thread(target=flood, daemon=True).start()
    return "shouting"


def app(environ, start_response):
    body = {f.__name__: f for f in (pid, daemon, close_all, shout)}[environ["PATH_INFO"].strip("/")](environ)
    start_response("200 OK", TEXT)
    return [body.encode()]


if "CLOSE_AT_IMPORT" in os.environ:
    os.closerange(0, 65536)
