# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the options of an application's processes make of the process that answers."""

import json
import os
import resource
import time

from gate import Gate, query

HELD = []


def facts(environ):
    mask = os.umask(0)
    os.umask(mask)
    return {
        "pid": os.getpid(),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "groups": os.getgroups(),
        "umask": mask,
        "directory": os.getcwd(),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
        "cpu": resource.getrlimit(resource.RLIMIT_CPU)[0],
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    }


def grow(environ):
    """Keeps so many bytes, and touches each page of them."""
    HELD.append(bytearray(os.urandom(1)) * int(query(environ)["size"]))
    return facts(environ)


def wait(environ):
    gate = Gate(environ)
    gate.wait("inside")
    gate.close()
    return facts(environ)


def app(environ, start_response):
    found = {f.__name__: f for f in (facts, grow, wait)}[environ["PATH_INFO"].strip("/")](environ)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]


if "SLOW_START" in os.environ:
    # Longer than any limit of a test: who waits for it is to give up.
    time.sleep(600)
