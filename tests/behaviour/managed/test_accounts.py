# SPDX-License-Identifier: MIT OR Apache-2.0
"""The account of an application is removed while it runs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import places
from harness.command import Gangway
from harness.deadline import wait_until

pytestmark = [
    pytest.mark.servers("nginx", "apache"),
    pytest.mark.skipif(not places.AS_ROOT, reason="only root can start an application as another user"),
]

NAME = f"blog{os.getpid()}"
ACCOUNT = "gwremoved:x:47990:65534::/nonexistent:/usr/sbin/nologin\n"
MODULE = """
import os

def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{os.getpid()} {os.getuid()}".encode()]
"""


@pytest.fixture
def accounts(scratch):
    """A file of accounts in the place of the machine's, for a server alone."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount")
    path = scratch / "passwd"
    shutil.copy("/etc/passwd", path)
    path.chmod(0o644)
    with path.open("a") as file:
        file.write(ACCOUNT)
    return path


def with_accounts(server, accounts):
    """Has the server started where those accounts are."""
    script = accounts.with_name("starter")
    script.write_text(
        f"#!/bin/sh\nexec unshare -m --propagation private sh -c 'mount --bind {accounts} /etc/passwd && exec \"$0\" \"$@\"' {server.binary} \"$@\"\n"
    )
    script.chmod(0o755)
    server.binary = script


@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_restart_says_why_and_what_runs_stays(launch, scratch, workspace, accounts, preload):
    scratch.chmod(0o755)
    (scratch / "site_of_nobody.py").write_text(MODULE)

    def configure(site):
        site.wsgi("/app", "site_of_nobody:app", root=scratch, name=NAME, processes=1, user="gwremoved", preload=preload)

    server = launch.prepare(configure)
    with_accounts(server, accounts)
    server.start()
    try:
        server.warm("/app")
        gangway = Gangway(workspace, server)
        pid, user = server.get("/app").text.split()
        assert user == "47990"
        server.log.allow(r"GW090[357]|gangway-host: ")
        # In its place: the file is mounted.
        Path(accounts).write_text(accounts.read_text().replace(ACCOUNT, ""))
        said = gangway("restart", NAME, status=1)
        assert "generation 2 cannot be started" in said
        server.log.expect('user= cannot be used any more: there is no user "gwremoved" on this machine')
        assert server.get("/app").text.split() == [pid, user]
        # The number is somebody else's: it is not his application.
        Path(accounts).write_text(accounts.read_text() + ACCOUNT.replace("47990", "47991"))
        server.log.expect('"gwremoved" of user= is user 47991 now, and was user 47990', 60)
        assert server.get("/app").text.split() == [pid, user]
        Path(accounts).write_text(accounts.read_text().replace("47991", "47990"))
        wait_until(lambda: server.get("/app").text.split()[0] != pid, "the next attempt heals it", 60)
        server.settle()
    finally:
        server.finish()
