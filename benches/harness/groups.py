# SPDX-License-Identifier: MIT OR Apache-2.0
"""Control groups: a clock that also counts processes which have ended. Making one needs root."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path


class Group:
    """A control group: what is started in it, and all that comes of it."""

    def __init__(self, name):
        v1 = Path("/sys/fs/cgroup/cpuacct")
        base = v1 if v1.is_dir() else Path("/sys/fs/cgroup")
        self.path = base / f"gangway-bench-{os.getpid()}-{name}"
        self.path.mkdir()

    def start(self, *command, **kw):
        enter = lambda: (self.path / "cgroup.procs").write_text(str(os.getpid()))
        return subprocess.Popen([str(word) for word in command], preexec_fn=enter, stdin=subprocess.DEVNULL, start_new_session=True, **kw)

    def cpu(self):
        """Seconds."""
        if (usage := self.path / "cpuacct.usage").exists():
            return int(usage.read_text()) / 1e9
        return int(re.search(r"usage_usec (\d+)", (self.path / "cpu.stat").read_text())[1]) / 1e6

    def end(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + 5
            while pids := (self.path / "cgroup.procs").read_text().split():
                if time.monotonic() > deadline:
                    break
                for pid in pids:
                    try:
                        os.kill(int(pid), number)
                    except ProcessLookupError:
                        continue
                time.sleep(0.05)
        self.path.rmdir()
