# SPDX-License-Identifier: MIT OR Apache-2.0
"""The units in examples/systemd are understood by systemd, and say what the program wants."""

import shutil
import subprocess

import pytest

from harness import hosts, places

UNITS = places.REPOSITORY / "examples" / "systemd"


def settings(text):
    lines = [line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#")]
    return {key: value for key, _, value in lines}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this machine has no systemd-analyze")
def test_units_are_understood(scratch):
    program = hosts.installed(scratch)
    for name in ("blog.socket", "blog.service"):
        text = (UNITS / name).read_text()
        text = text.replace("/usr/lib/gangway/gangway-host", str(program))
        text = text.replace("=blog\n", f"={places.WORKER_USER}\n").replace("/srv/blog", str(scratch))
        (scratch / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(scratch / "blog.service"), str(scratch / "blog.socket")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    # It looks at every unit of the machine that these name; only lines about these are ours.
    about = [line for line in (done.stdout + done.stderr).splitlines() if "blog." in line]
    assert not about, about


def test_units_fit_the_program():
    service, socket = (settings((UNITS / f"blog.{kind}").read_text()) for kind in ("service", "socket"))
    # READY=1 and STOPPING=1 are told; the time to stop is longer than the program's own, which is 30 s without --drain.
    assert service["Type"] == "notify" and int(service["TimeoutStopSec"]) > 30
    assert service["ExecStart"].startswith("/usr/lib/gangway/gangway-host wsgi ") and "--listen" not in service["ExecStart"]
    assert socket["ListenStream"] == "/run/blog.sock" and socket["SocketMode"] == "0660"
    for name in ("nginx.conf", "httpd.conf"):
        assert "unix:/run/blog.sock" in (UNITS / name).read_text(), name
