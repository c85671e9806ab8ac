# SPDX-License-Identifier: MIT OR Apache-2.0
"""gangway-host, started by hand: a FastCGI backend that runs an application."""

import os
import pwd
import shutil
import signal
import socket
import subprocess

from . import places, processes, server
from .deadline import wait_until

PROGRAM = "gangway-host"


def installed(folder):
    """The program and its engines where the workers' user can read them."""
    target = folder / "host-bin"
    if not target.exists():
        made = folder / f"host-bin.{os.getpid()}"
        made.mkdir()
        for name in (PROGRAM, *places.ENGINE_FILES):
            shutil.copy(places.DIST / name, made / name)
            (made / name).chmod(0o755)
        made.chmod(0o755)
        made.rename(target)
    return target / PROGRAM


class Host:
    """A running gangway-host with the options of gangway_wsgi."""

    protocol = "fastcgi"

    def __init__(self, folder, target, options=(), *, name="host", unix=True, drain=10, interface="wsgi", environment=None):
        folder.chmod(0o1777)
        self.folder = folder
        self.path = folder / f"{name}.sock" if unix else None
        # The harness knows idle connections to ports of backends; those to sockets it would take for leaks.
        self.port = None if unix else places.free_port()
        self.log = folder / f"{name}.log"
        # What a program says on a terminal or in a file; its lines have the form of nginx's.
        self.errors = server.ErrorLog(self.log)
        self.command = [installed(folder), f"--drain={drain}", "--listen", f"unix:{self.path},mode=0666" if unix else self.where]
        self.command += [interface, target, *options]
        self.environment = environment or {}
        self.process = None
        self.start()

    @property
    def where(self):
        return f"unix:{self.path}" if self.path else f"127.0.0.1:{self.port}"

    @property
    def address(self):
        return f"fastcgi://{self.where}"

    @property
    def pid(self):
        return self.process.pid

    def start(self):
        user = pwd.getpwnam(places.WORKER_USER)
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if places.AS_ROOT else {}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in self.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **self.environment},
                **who,
            )
        # It is no orphan of a server under test.
        server.RUNNING.add(self.process.pid)
        wait_until(self.is_ready, lambda: f"gangway-host listens: {self.log.read_text(errors='replace')}", 30)

    def is_ready(self):
        assert self.process.poll() is None, f"gangway-host ended: {self.log.read_text(errors='replace')}"
        family, address = (socket.AF_UNIX, str(self.path)) if self.path else (socket.AF_INET, ("127.0.0.1", self.port))
        with socket.socket(family) as connection:
            return connection.connect_ex(address) == 0

    def end(self, number=signal.SIGTERM, timeout=20):
        """Ends it and answers its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
                raise AssertionError(f"gangway-host did not end: {self.log.read_text(errors='replace')}") from None
        server.RUNNING.discard(self.process.pid)
        processes.reap_orphans(server.RUNNING)
        return self.process.returncode

    def restart(self):
        self.end()
        self.start()

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.end()
