# SPDX-License-Identifier: MIT OR Apache-2.0
"""The virtual environments with the frameworks and with the backends, made once."""

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

from . import places


def home():
    """build/, or a folder of this user's in /var/tmp when workers cannot reach the clone."""
    places.BUILD.mkdir(exist_ok=True)
    if places.readable_by_worker(places.BUILD):
        return places.BUILD
    folder = Path("/var/tmp") / f"gangway-tests-{os.geteuid()}"
    folder.mkdir(mode=0o755, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


def applications_venv():
    return prepared("venv-apps", places.SUITE / "apps" / "requirements.txt")


def asgi_venv():
    return prepared("venv-asgi", places.SUITE / "apps" / "requirements-asgi.txt")


def more_asgi_venv():
    return prepared("venv-asgi-more", places.SUITE / "apps" / "requirements-asgi-more.txt")


def sockets_venv():
    return prepared("venv-asgi-sockets", places.SUITE / "apps" / "requirements-asgi-sockets.txt")


def loops_venv():
    return prepared("venv-asgi-loops", places.SUITE / "apps" / "requirements-asgi-loops.txt")


def backends_venv():
    return prepared("venv-backends", places.SUITE / "backends" / "requirements.txt")


def prepared(name, requirements):
    venv = home() / name
    stamp = venv / "stamp"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    with (home() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            run(places.SYSTEM_PYTHON, "-m", "venv", "--clear", str(venv))
            # What is compiled is compiled for Debian's Python, whichever other one is in PATH.
            environment = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
            pip = (str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-cache-dir")
            run(*pip, "-r", str(requirements), env=environment)
            stamp.write_text(wanted)
    return venv


def run(*command, **kw):
    """Runs a command and shows what it said if it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, **kw)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}"
    return done.stdout
