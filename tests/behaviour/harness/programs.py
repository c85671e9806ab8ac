# SPDX-License-Identifier: MIT OR Apache-2.0
"""Real backends: started for a test on a free loopback port, ended by their process id."""

import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess

from . import places, processes, server, venvs
from .deadline import wait_until

SOURCES = places.SUITE / "backends"
PHP_FPM = next((path for name in ("php-fpm8.2", "php-fpm") if (path := shutil.which(name))), "php-fpm")
# How the application of each names its mount in its paths is up to the test: they look at the last part alone.
NAMES = ("libfcgi", "flup-fastcgi", "flup-scgi", "uwsgi", "suwsgi", "perl", "scgi")


class Program:
    """A backend that listens on `port` and speaks `protocol`."""

    def __init__(self, folder, protocol, command, *, tls=False, environment=None):
        self.protocol = protocol
        self.tls = tls
        self.folder = folder
        self.port = places.free_port()
        self.command = [str(word).replace("{port}", str(self.port)) for word in command]
        self.log = folder / f"{self.port}.log"
        self.environment = environment or {}
        self.process = None
        self.start()

    @property
    def where(self):
        return f"127.0.0.1:{self.port}"

    @property
    def address(self):
        return f"{'suwsgi' if self.tls else self.protocol}://{self.where}"

    def start(self):
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "BACKEND": str(self.port), **self.environment},
            )
        # It is no orphan of a server under test.
        server.RUNNING.add(self.process.pid)
        wait_until(self.is_ready, lambda: f"{self.command[0]} listens: {self.log.read_text(errors='replace')}", 30)

    def is_ready(self):
        assert self.process.poll() is None, f"{self.command[0]} ended: {self.log.read_text(errors='replace')}"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self, number=signal.SIGTERM):
        """Ends it with its children and returns when nobody listens any more."""
        family = [self.process.pid, *processes.children(self.process.pid)]
        self.process.send_signal(number)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        for pid in family[1:]:
            if processes.alive(pid):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(processes.alive(pid) for pid in family), f"{self.command[0]} has ended")
        processes.reap_orphans(server.RUNNING)
        server.RUNNING.discard(self.process.pid)

    def restart(self):
        self.stop()
        self.start()

    def close(self):
        if self.process.poll() is None:
            self.stop()


@functools.cache
def compiled():
    """The application on libfcgi, compiled once."""
    target = venvs.home() / "tests-libfcgi"
    source = SOURCES / "libfcgi.c"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        made = target.with_suffix(f".{os.getpid()}")
        venvs.run("cc", "-O2", "-Wall", "-o", str(made), str(source), "-lfcgi", "-lpthread")
        made.replace(target)
    return target


def installed(folder):
    """The application on libfcgi where a user without rights in the clone can run it."""
    target = folder / "libfcgi"
    if not target.exists():
        shutil.copy(compiled(), target)
        target.chmod(0o755)
    return target


def sources(folder):
    """A copy that a user without rights in the clone can read."""
    target = folder / "backends"
    if not target.exists():
        shutil.copytree(SOURCES, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


def libfcgi(folder, threads=32):
    return Program(folder, "fastcgi", [compiled(), "{port}", threads])


def flup(folder, protocol):
    python = venvs.backends_venv() / "bin" / "python"
    return Program(folder, protocol, [python, sources(folder) / "application.py", protocol, "{port}"])


def perl(folder, count=4):
    return Program(folder, "fastcgi", ["perl", sources(folder) / "fcgi.pl", "{port}", count])


def scgi(folder):
    return Program(folder, "scgi", [places.SYSTEM_PYTHON, sources(folder) / "scgi_server.py", "{port}"])


def uwsgi(folder, certificate=None, count=2):
    program = venvs.backends_venv() / "bin" / "uwsgi"
    listens = ["--suwsgi-socket", f"127.0.0.1:{{port}},{certificate}.crt,{certificate}.key"]
    if certificate is None:
        listens = ["--socket", "127.0.0.1:{port}"]
    command = [program, *listens, "--master", "--processes", count, "--die-on-term", "--buffer-size", 32768]
    command += ["--chdir", sources(folder), "--module", "flask_app", "--disable-logging", "--listen", 64]
    (packages,) = (venvs.backends_venv() / "lib").glob("python*/site-packages")
    command += ["--pythonpath", packages, *(["--uid", places.WORKER_USER] if places.AS_ROOT else [])]
    return Program(folder, "uwsgi", command, tls=certificate is not None)


def named(name, folder):
    """One of NAMES."""
    if name == "libfcgi":
        return libfcgi(folder)
    if name.startswith("flup-"):
        return flup(folder, name.partition("-")[2])
    if name == "suwsgi":
        return uwsgi(folder, server.certificate(folder))
    return {"uwsgi": uwsgi, "perl": perl, "scgi": scgi}[name](folder)


FPM = """[global]
daemonize = no
error_log = {folder}/fpm.log
log_level = notice
[www]
listen = {{port}}
listen.backlog = 128
pm = static
pm.max_children = {children}
pm.status_path = /fpm-status
clear_env = yes
security.limit_extensions = .php .phtml
php_admin_value[session.save_path] = {folder}/sessions
php_admin_value[upload_tmp_dir] = {folder}/uploads
php_admin_value[upload_max_filesize] = 2G
php_admin_value[post_max_size] = 2G
php_admin_value[memory_limit] = 64M
php_admin_flag[log_errors] = on
php_admin_flag[display_errors] = off
{user}
"""


class PhpFpm(Program):
    """php-fpm with a fixed number of children, and its application below `root`. `unix`: it listens on a socket there."""

    def __init__(self, folder, children=2, *, unix=False, pool=""):
        self.path = folder / "fpm.sock" if unix else None
        folder.chmod(0o755)
        self.root = folder / "htdocs"
        shutil.copytree(SOURCES / "php", self.root)
        for name in ("sessions", "uploads", "files"):
            (folder / name).mkdir()
            (folder / name).chmod(0o1777)
        name = pwd.getpwuid(os.geteuid()).pw_name if not places.AS_ROOT else places.WORKER_USER
        user = f"user = {name}\ngroup = {name}" if places.AS_ROOT else ""
        configuration = folder / "fpm.conf"
        self.template = FPM.format(folder=folder, children=children, user=f"{user}\nlisten.mode = 0666\n{pool}")
        self.configuration = configuration
        super().__init__(folder, "fastcgi", [PHP_FPM, "--nodaemonize", "--no-php-ini", "--fpm-config", configuration])

    def start(self):
        listens = str(self.path) if self.path else f"127.0.0.1:{self.port}"
        self.configuration.write_text(self.template.replace("{port}", listens))
        super().start()

    @property
    def where(self):
        return f"unix:{self.path}" if self.path else super().where

    def is_ready(self):
        if not self.path:
            return super().is_ready()
        assert self.process.poll() is None, f"php-fpm ended: {self.log.read_text(errors='replace')}"
        with socket.socket(socket.AF_UNIX) as connection:
            return connection.connect_ex(str(self.path)) == 0
