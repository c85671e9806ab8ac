# SPDX-License-Identifier: MIT OR Apache-2.0
"""Takes connections as a FastCGI program does: answers FCGI_GET_VALUES, and anything else by what it knows of itself."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

how = sys.argv[1] if len(sys.argv) > 1 else ""
if how == "crash":
    print("it cannot be loaded", file=sys.stderr)
    sys.exit(3)
if how == "hang":
    time.sleep(600)
if how == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
asked = held = None
if "NAMES" in os.environ:
    # As an engine does that is asked which files the application was loaded from.
    print(f"\x01file {os.environ['NAMES']}", flush=True)
child = None
if how == "forks":
    child = subprocess.Popen(["/bin/sleep", "600"]).pid
if how == "daemon":
    child = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True).pid

listener = socket.socket(fileno=0)
while True:
    connection, _ = listener.accept()
    question = connection.recv(4096)
    if question[:2] == b"\x01\x09":
        connection.sendall(b"\x01\x0a" + bytes(6))
    elif question[:2] == b"\x01\x01":
        # A FastCGI request: what it holds, for who asks later, and an answer by its path.
        asked = question
        status = b"500" if b"/broken" in question else b"204"
        if b"/never" not in question:
            body = b"Status: " + status + b"\r\nX-A: b\r\n\r\n"
            connection.sendall(b"\x01\x06\x00\x01" + len(body).to_bytes(2, "big") + b"\0\0" + body)
            connection.sendall(b"\x01\x03\x00\x01\x00\x08\0\0" + bytes(8))
        else:
            held = connection
            continue
    elif question == b"asked":
        connection.sendall(asked.decode("latin-1").encode())
    elif question.startswith(b"connect "):
        try:
            socket.socket(socket.AF_UNIX).connect(question[8:])
            connection.sendall(b"connected")
        except OSError as error:
            connection.sendall(type(error).__name__.encode())
    elif question == b"grow":
        kept = b"x" * (80 << 20)
        connection.sendall(b"done")
    elif question == b"exit":
        os._exit(1)
    elif question == b"lines":
        print("said aloud\nand twice", flush=True)
        connection.sendall(b"done")
    elif question:
        own = {listener.fileno(), connection.fileno()}
        fds = sorted(fd for fd in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{fd}"))
        status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\t" in line)
        facts = {
            "pid": os.getpid(),
            "uid": os.getuid(),
            "groups": sorted(os.getgroups()),
            "environment": dict(os.environ),
            "more": [os.readlink(f"/proc/self/fd/{fd}") for fd in fds if fd > 2 and fd not in own],
            "signals": [status["SigBlk"], status["SigIgn"]],
            "umask": status["Umask"],
            "directory": os.getcwd(),
            "nice": os.nice(0),
            "group": os.getpgrp(),
            "limits": open("/proc/self/limits").read(),
            "child": child,
        }
        connection.sendall(json.dumps(facts).encode())
    connection.close()
