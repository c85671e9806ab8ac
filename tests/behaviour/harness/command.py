# SPDX-License-Identifier: MIT OR Apache-2.0
"""`gangway`, the command line, as root or as one of the site's owners."""

import json
import os
import pwd
import shutil
import subprocess

from . import places, processes

PROGRAM = "gangway"


class Gangway:
    """The program beside the modules of a server, asking that server's run directory."""

    def __init__(self, workspace, server):
        self.server = server
        self.program = workspace.modules / PROGRAM
        for name in (PROGRAM, places.HOST):
            if not (workspace.modules / name).exists():
                shutil.copy(places.DIST / name, workspace.modules / name)
                (workspace.modules / name).chmod(0o755)

    def run_directory(self):
        (own,) = (path for path in processes.run_directories(self.server.pid()) if os.path.isdir(path))
        return os.path.dirname(own)

    def run(self, *words, user=None, environment=None, **options):
        """Runs it to its end; `user` is a name."""
        who = {}
        if user is not None:
            account = pwd.getpwnam(user)
            who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        return subprocess.run(
            [self.program, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **(environment or {})},
            **who,
            **options,
        )

    def __call__(self, *words, user=None, status=0):
        """The same for this server, with the status that it must end with. Answers what it says."""
        done = self.run("--run-directory", self.run_directory(), *words, user=user)
        assert done.returncode == status, (words, done)
        return done.stdout + done.stderr

    def applications(self, user=None):
        """Name -> what the status says. Other servers of the tests may have the same run directory."""
        (own,) = (path for path in processes.run_directories(self.server.pid()) if os.path.isdir(path))
        servers = json.loads(self("status", "--json", user=user))["servers"]
        (mine,) = (found for found in servers if found["socket"].startswith(own))
        return {found["name"]: found for found in mine["applications"]}
