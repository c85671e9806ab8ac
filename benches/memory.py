#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Memory of four processes of a Flask application: forked from gangway-host's template, each on its own, and under gunicorn; and of a handler of
mod_python that uses Flask, forked and each on its own.

    benches/memory.py DIST VENV

DIST holds gangway-host and the engines, VENV Flask and gunicorn. Proportional set sizes (PSS) of all processes, with what starts them, after each has
answered a hundred requests. This script stands in for gangway-spawn: it is the reaper of orphans, and asks the template for processes.
"""

import array
import ctypes
import http.client
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

APPS = Path(__file__).resolve().parent / "apps"
PROCESSES = 4
THREADS = 8
REQUESTS = 100
BIRTH, LOADED, BORN = 0x40, 0x50, 0x52
KEPT = []


def record(kind, content=b""):
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def request():
    variables = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": "/flask", "QUERY_STRING": "", "SERVER_NAME": "localhost"}
    variables |= {"SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost"}
    pairs = b"".join(bytes([len(name), len(value)]) + (name + value).encode() for name, value in variables.items())
    return record(1, bytes([0, 1, 0, 0, 0, 0, 0, 0])) + record(4, pairs) + record(4) + record(5)


def ask_fastcgi(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(request())
        answer = b""
        while block := connection.recv(65536):
            answer += block
    assert b"Status: 200" in answer, answer


def ask_http(path):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    connection.request("GET", "/flask", headers={"Connection": "close"})
    response = connection.getresponse()
    response.read()
    assert response.status == 200
    connection.close()


def pss(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError(pid)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def listener(folder, number):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(folder / f"{number}.sock"))
    listening.listen(100)
    return listening


def until(ready):
    end = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.01)


WSGI = "wsgi", "flask_hello:application"
HANDLER = "handlers", "content", "flask_handler"


def host(dist, venv, what):
    return [str(dist / "gangway-host")], ["--engines", str(dist), *what, f"root={APPS}", f"venv={venv}", f"threads={THREADS}"]


def template(folder, dist, venv, what):
    program, words = host(dist, venv, what)
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    process = subprocess.Popen([*program, "--template", *words], stdin=there)
    assert struct.unpack("=Q", here.recv(4096)[:8])[0] == LOADED
    pids, times = [], []
    for number in range(PROCESSES):
        begun = time.monotonic()
        with listener(folder, number) as listening:
            fds = array.array("i", [listening.fileno(), 2])
            here.sendmsg([struct.pack("=QQ", BIRTH, number)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        message, ancillary, _, _ = here.recvmsg(4096, socket.CMSG_SPACE(12))
        assert struct.unpack("=QQ", message) == (BORN, number)
        pids.append(struct.unpack("=iII", ancillary[0][2])[0])
        ask_fastcgi(folder / f"{number}.sock")
        times.append(time.monotonic() - begun)
    print(f"from asking for a process to its first answer: {', '.join(f'{time * 1000:.1f}' for time in times)} ms")
    # Its end would be that of the template.
    KEPT.append(here)
    return [process.pid, *pids], lambda: [ask_fastcgi(folder / f"{number}.sock") for number in range(PROCESSES)]


def apart(folder, dist, venv, what):
    program, words = host(dist, venv, what)
    pids = []
    for number in range(PROCESSES):
        with listener(folder, number) as listening:
            pids.append(subprocess.Popen([*program, *words], stdin=listening).pid)
    return pids, lambda: [ask_fastcgi(folder / f"{number}.sock") for number in range(PROCESSES)]


def gunicorn(folder, venv, *more):
    path = folder / "gunicorn.sock"
    words = [venv / "bin/gunicorn", "--worker-class", "gthread", "--workers", str(PROCESSES), "--threads", str(THREADS), "--bind", f"unix:{path}"]
    words += ["--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--log-level", "warning", *more, "flask_hello:application"]
    process = subprocess.Popen(list(map(str, words)), cwd=APPS)
    until(lambda: path.exists() and len(children(process.pid)) == PROCESSES)
    return [process.pid, *children(process.pid)], lambda: [ask_http(path) for _ in range(PROCESSES)]


def measure(name, start, *words):
    with tempfile.TemporaryDirectory() as folder:
        pids, ask = start(Path(folder), *words)
        for _ in range(REQUESTS):
            ask()
        sizes = [pss(pid) for pid in pids]
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        for pid in pids:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass
    print(f"{name:32} {sum(sizes):6.1f} MiB  ({', '.join(f'{size:.1f}' for size in sizes)})", flush=True)
    return sum(sizes)


def compare(dist, venv):
    """MiB of each, printed as they are found."""
    # Orphans become this process's children: PR_SET_CHILD_SUBREAPER.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    found = {}
    for name, start, words in (
        ("gangway, preload=on", template, (dist, venv, WSGI)),
        ("gangway, preload=off", apart, (dist, venv, WSGI)),
        ("handler, preload=on", template, (dist, venv, HANDLER)),
        ("handler, preload=off", apart, (dist, venv, HANDLER)),
        ("gunicorn", gunicorn, (venv,)),
        ("gunicorn --preload", gunicorn, (venv, "--preload")),
    ):
        found[name] = measure(name, start, *words)
    forked, plain, preloaded = (found[name] for name in ("gangway, preload=on", "gunicorn", "gunicorn --preload"))
    print(f"a handler forked against each on its own: {found['handler, preload=on'] / found['handler, preload=off']:.2f}")
    print(f"preload=on against gunicorn: {forked / plain:.2f}, against gunicorn --preload: {forked / preloaded:.2f}")
    return found


def main():
    compare(*(Path(word).resolve() for word in sys.argv[1:]))


if __name__ == "__main__":
    main()
