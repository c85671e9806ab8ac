# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where things are, and a scratch folder that the workers' user can read."""

import os
import pwd
import random
import shutil
import socket
import stat
import tempfile
from pathlib import Path

SUITE = Path(__file__).resolve().parents[1]
REPOSITORY = SUITE.parents[1]
DIST = Path(os.environ.get("GANGWAY_DIST", REPOSITORY / "dist"))
BUILD = Path(os.environ.get("GANGWAY_BUILD", REPOSITORY / "build"))
NGINX = Path(os.environ.get("GANGWAY_NGINX", "/usr/sbin/nginx"))
NGINX128 = Path(os.environ.get("GANGWAY_NGINX128", BUILD / "nginx-1.28" / "objs" / "nginx"))
APACHE = Path(os.environ.get("GANGWAY_APACHE", "/usr/sbin/apache2"))
APACHE_MODULES = Path(os.environ.get("GANGWAY_APACHE_MODULES", "/usr/lib/apache2/modules"))
SYSTEM_PYTHON = "/usr/bin/python3"

ENGINE_FILES = ("gangway_python.so", "gangway_python_abi3.so")
PROXY_MODULE = "mod_proxy_gangway.so"
HOST = "gangway-host"
AS_ROOT = os.geteuid() == 0
WORKER_USER = "www-data" if AS_ROOT else pwd.getpwuid(os.geteuid()).pw_name


def other_users(most=2):
    """Accounts that user= takes, besides that of the workers: so many at most."""
    taken = {WORKER_USER, "root"}
    fit = [a.pw_name for a in pwd.getpwall() if min(a.pw_uid, a.pw_gid) >= 100 and a.pw_name not in taken]
    return sorted(fit, key=lambda name: name != "nobody")[:most]


def readable_by_worker(path):
    """May the workers' user reach and read this path? (A clone below /root is out of its reach.)"""
    if not AS_ROOT:
        return os.access(path, os.R_OK)
    path = Path(path).resolve()
    if any(not parent.stat().st_mode & stat.S_IXOTH for parent in path.parents):
        return False
    return bool(path.stat().st_mode & stat.S_IROTH)


class Workspace:
    """Copies of the modules and applications, and a folder per server, in one scratch folder."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="gangway-"))
        self.root.chmod(0o755)
        self.apps = self.root / "apps"
        shutil.copytree(SUITE / "apps", self.apps, ignore=shutil.ignore_patterns("__pycache__"))
        self.modules = self.root / "modules"
        self._count = 0

    def module(self, kind):
        """The path of a server module, copied here with the engines beside it."""
        source = {
            "nginx": DIST / "ngx_http_gangway_module.so",
            "nginx128": DIST / "nginx-1.28" / "ngx_http_gangway_module.so",
            "apache": DIST / "mod_gangway.so",
        }[kind]
        for path in (source, *(DIST / name for name in ENGINE_FILES)):
            if not path.exists():
                raise FileNotFoundError(f"{path} is missing: run `make` first")
        # Debian's nginx finds its engines beside the module; nginx 1.28 is told where they are by a directive.
        folder = self.modules / ("nginx-1.28" if kind == "nginx128" else "")
        folder.mkdir(parents=True, exist_ok=True)
        self._copy(source, folder / source.name)
        for name in ENGINE_FILES:
            self._copy(DIST / name, self.modules / name)
        if (DIST / HOST).exists():
            self._copy(DIST / HOST, folder / HOST)
        if kind == "apache" and (DIST / PROXY_MODULE).exists():
            self._copy(DIST / PROXY_MODULE, self.modules / PROXY_MODULE)
        return folder / source.name

    def _copy(self, source, target):
        if not target.exists():
            shutil.copy(source, target)
            target.chmod(0o755)

    def folder(self, name="server"):
        """A new folder that both this process and the workers may write."""
        self._count += 1
        path = self.root / f"{name}{self._count}"
        path.mkdir()
        path.chmod(0o1777)
        return path

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)


_handed_out = set()


def free_port():
    """A loopback port nobody listens on, outside the range of ephemeral ports so that no client takes it."""
    while True:
        port = random.SystemRandom().randrange(10000, 32000)
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port
