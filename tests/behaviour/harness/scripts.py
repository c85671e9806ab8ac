# SPDX-License-Identifier: MIT OR Apache-2.0
"""CGI programs of the tests."""

import subprocess

PYTHON = "#!/usr/bin/python3 -S\nimport os, sys, time, json\nout = sys.stdout.buffer\nenv = os.environ\n"


class Folder:
    """A folder of programs that the workers may run."""

    def __init__(self, path):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)

    def __str__(self):
        return str(self.path)

    def write(self, name, text, mode=0o755):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        file.chmod(mode)
        return file

    def shell(self, name, text, **kw):
        return self.write(name, "#!/bin/sh\n" + text.strip() + "\n", **kw)

    def python(self, name, text, **kw):
        return self.write(name, PYTHON + text.strip() + "\n", **kw)

    def compile(self, name, source):
        """A static program in C."""
        command = ["gcc", "-O2", "-static", "-x", "c", "-", "-o", str(self.path / name)]
        subprocess.run(command, input=source.encode(), check=True, timeout=60)
        (self.path / name).chmod(0o755)


# Everything that a script can see, as JSON.
SEE = """
see = {
    "env": dict(env), "argv": sys.argv, "cwd": os.getcwd(), "umask": os.umask(0),
    "fds": sorted(int(n) for n in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + n)),
    "ids": [os.getuid(), os.getgid(), sorted(os.getgroups())], "group": os.getpgrp() == os.getpid(),
    "body": sys.stdin.buffer.read().decode("latin-1"),
}
out.write(b"Content-Type: application/json\\r\\n\\r\\n" + json.dumps(see).encode())
"""

HELLO = """
#include <stdio.h>
int main(void) { puts("Content-Type: text/plain\\r\\n\\r\\nhello from C"); return 0; }
"""
