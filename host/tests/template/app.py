# SPDX-License-Identifier: MIT OR Apache-2.0
"""Says what it is: a process that was forked from one that has imported this, or one that has imported it itself."""

import atexit
import json
import os
import random
import ssl
import sys
import tempfile
import threading
import time

IMPORTED_BY = os.getpid()
HOW = os.environ.get("HOW", "")
FORKS = []
os.register_at_fork(before=lambda: FORKS.append("before"), after_in_child=lambda: FORKS.append("child"))
OWN = tempfile.TemporaryFile()


def hold():
    """Says where it is, and waits until the file is gone."""
    path = os.environ["HOLD"]
    if os.path.exists(path):
        with open(path, "a") as file:
            file.write(f"{os.getpid()}\n")
    while os.path.exists(path):
        time.sleep(0.01)


if HOW == "loads":
    hold()
if HOW == "forks-late":
    os.register_at_fork(before=hold)

if HOW == "fails":
    raise RuntimeError("the database is not there")
if HOW == "exits":
    os._exit(3)
if HOW == "threads":
    threading.Thread(target=threading.Event().wait, name="metrics", daemon=True).start()
if HOW in ("hostile", "repeats", "forks"):
    import socket

    for name in os.listdir("/proc/self/fd"):
        try:
            link = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if link.startswith("socket:"):
            way = socket.socket(fileno=os.dup(int(name)))
            if way.type == socket.SOCK_SEQPACKET:
                if HOW == "hostile":
                    # "It is me", for a process that nobody has asked for.
                    way.send((0x52).to_bytes(8, sys.byteorder) + (1).to_bytes(8, sys.byteorder))
                for _ in range(100 if HOW == "repeats" else 0):
                    # "I have loaded it", again and again.
                    way.send((0x50).to_bytes(8, sys.byteorder))
                if HOW == "forks" and os.fork() == 0:
                    # A descendant in the place of a process, which nobody has asked for.
                    parent = os.getpid()
                    if os.fork() == 0:
                        while os.getppid() == parent:
                            pass
                        way.send((0x52).to_bytes(8, sys.byteorder) + (999).to_bytes(8, sys.byteorder))
                        threading.Event().wait()
                    os._exit(0)


@atexit.register
def write_end():
    if path := os.environ.get("ENDS"):
        with open(path, "a") as file:
            file.write(f"{os.getpid()}\n")


def status(key):
    for line in open("/proc/self/status"):
        if line.startswith(key + ":"):
            return line.split()[1]


def application(environ, start_response):
    answers, forks = [], list(FORKS)
    thread = threading.Thread(target=lambda: answers.append(threading.current_thread().name), name="begun")
    thread.start()
    thread.join()
    fds = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            fds[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass
    child = os.fork()
    if child == 0:
        # What is the server's is closed in it, and what is the application's is not.
        left = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds if os.path.exists(f"/proc/self/fd/{fd}")]
        is_so = any(link.endswith("(deleted)") for link in left) and not any(link.startswith("socket:") for link in left)
        os._exit(0 if is_so else 7)
    facts = {
        "pid": os.getpid(),
        "imported_by": IMPORTED_BY,
        "uid": os.getuid(),
        "forks": forks,
        "random": random.random(),
        "bytes": ssl.RAND_bytes(8).hex(),
        "thread": answers,
        "main": threading.main_thread().name,
        "group": os.getpgrp(),
        "fds": fds,
        "child": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]),
        "blocked": status("SigBlk"),
        "version": os.environ.get("VERSION"),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(facts, sort_keys=True).encode()]
