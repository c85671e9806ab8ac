# SPDX-License-Identifier: MIT OR Apache-2.0
"""A web server under test: its life, its processes, and what it must not leave behind."""

import contextlib
import functools
import os
import pwd
import re
import signal
import subprocess
from dataclasses import dataclass

from . import http2, places, processes, render_apache, render_nginx, wire
from .deadline import DeadlineError, wait_until
from .errorlog import FATAL, ErrorLog

MIME = "text/html html\ntext/plain txt\ntext/css css\n"
ADDRESS_IN_USE = re.compile(r"Address already in use|could not bind|Unable to open logs")


class HarnessFailure(AssertionError):
    """The server did, or left behind, something that no test asked for."""

    @classmethod
    def of(cls, problems):
        more = [f"... and {len(problems) - 8} more"] if len(problems) > 8 else []
        return cls("\n".join([*problems[:8], *more]))


@dataclass(frozen=True)
class ConfigTest:
    status: int
    output: str


@functools.cache
def certificate(folder):
    """A self-signed certificate for localhost, made once per folder."""
    base = folder / "localhost"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", f"{base}.key", "-out", f"{base}.crt"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return base


class Server:
    kind = None
    binary = None
    signals = {}

    def __init__(self, workspace, site):
        self.site = site
        self.folder = workspace.folder()
        (self.folder / "htdocs").mkdir()
        (self.folder / "mime.types").write_text(MIME)
        self.module = workspace.module(self.kind) if site.modules else None
        self.engines = site.engine_dir or workspace.modules
        self.certificate = certificate(workspace.root) if site.tls else None
        self.log = ErrorLog(self.folder / "error.log")
        if site.managed:
            # What is loaded once warns of threads that it has started; nginx has its own words for a response that it takes faster
            # than its client, and for one that ends too early.
            usual = ("GW0318", "an upstream response is buffered to a temporary file", "prematurely closed connection while reading upstream")
            self.log.usual += [re.compile(text) for text in usual]
        if site.host:
            # Of a response that ends too early, which the host says as well.
            usual = ("prematurely closed connection while reading upstream", "GW0703 the backend closed the connection", r"GW0707 (?!GW)")
            self.log.usual += [re.compile(text) for text in usual]
        self.process = None
        self.ports = {}
        self._connections = []
        self._baseline = None
        self._trees = set()  # the guards of its managed processes

    # ---- configuration ----

    def write_configuration(self):
        self.ports = {name: places.free_port() for name in ("http", "http2", "tls")}
        self.rewrite(self.site.text(self) if self.site.text else self.render())

    def rewrite(self, text):
        """Another configuration, in one step: httpd may be reading the one before, after one more signal than it needed."""
        new = self.configuration.with_suffix(".new")
        new.write_text(text)
        new.rename(self.configuration)

    @property
    def configuration(self):
        return self.folder / "server.conf"

    def configtest(self):
        """Tests the configuration as it stands, or one made from the site if there is none."""
        if not self.ports:
            self.write_configuration()
        done = subprocess.run(
            self.command(test=True),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            env=self.environment(),
            **self._starter(),
        )
        output = done.stdout + done.stderr
        if FATAL.search(output) or done.returncode < 0:
            raise HarnessFailure(f"the configuration test crashed ({done.returncode}): {output}")
        return ConfigTest(done.returncode, output)

    def _starter(self):
        if self.site.starter is None:
            return {}
        user = pwd.getpwnam(self.site.starter)
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def environment(self):
        base = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PYENV", "VIRTUAL_ENV", "GW_"))}
        return {**base, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **self.site.environment}

    # ---- life ----

    def start(self):
        for attempt in range(5):
            self.write_configuration()
            with (self.folder / "output.log").open("wb") as output:
                self.process = subprocess.Popen(
                    self.command(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    env=self.environment(),
                    **self._starter(),
                )
            RUNNING.add(self.pid())
            SERVERS.add(self)
            if self._becomes_ready():
                break
            RUNNING.discard(self.pid())
            SERVERS.discard(self)
            if not ADDRESS_IN_USE.search(self.last_words()) or attempt == 4:
                raise HarnessFailure(f"{self.kind} did not start:\n{self.last_words()}")
        self.settle()
        return self

    def _becomes_ready(self):
        def ready():
            if self.process.poll() is not None:
                return "ended"
            try:
                # A configuration that is not the harness's own has no such page; any answer will do.
                return self.get("/.ready", timeout=20).status == 204 or self.site.text is not None
            except (ConnectionError, OSError):
                return False

        try:
            return wait_until(ready, f"{self.kind} answers", 30) is True
        except DeadlineError:
            self.process.kill()
            self.process.wait()
            raise HarnessFailure(f"{self.kind} does not answer:\n{self.last_words()}") from None

    def last_words(self):
        texts = []
        for name in ("output.log", "error.log"):
            path = self.folder / name
            if path.exists():
                texts.append(path.read_text(errors="replace")[-4000:])
        return "\n".join(texts)

    def settle(self):
        """Takes the present descriptors as those that every later moment is compared with."""
        self.close_clients()
        self._find_trees()
        wait_until(lambda: len(self.workers()) >= self.site.workers, "all workers run")
        wait_until(lambda: not processes.accepted(set(self.ports.values())), "no connection is left")
        self._baseline = self._descriptor_counts()

    def _find_trees(self):
        """Notes the guards of managed processes that have come since other servers have noted theirs."""
        mine = processes.trees() - {guard for other in SERVERS if other is not self for guard in other._trees}
        self._trees |= mine

    def managed(self):
        """The processes of its applications, oldest first, without those who look after them."""
        own = (processes.SPAWNER, processes.GUARDIAN, processes.SUPERVISOR)
        self._find_trees()
        found = [p for guard in self._trees for p in processes.managed(guard) if p.name not in own]
        return sorted(p.pid for p in found)

    def keepers(self):
        """Who looks after them: name -> process ids."""
        self._find_trees()
        found = {}
        for guard in self._trees:
            for process in processes.managed(guard):
                if process.name in (processes.SPAWNER, processes.GUARDIAN, processes.SUPERVISOR):
                    found.setdefault(process.name, []).append(process.pid)
        return found

    def warm(self, *paths):
        """Requests each path once, so that what an application opens at first use is part of the baseline."""
        for path in paths:
            self.get(path)
        self.settle()

    def pid(self):
        return self.process.pid

    def workers(self, everything=None):
        return processes.children(self.pid(), everything) if self.site.master else [self.pid()]

    def worker(self):
        (only,) = self.workers()
        return only

    def send_signal(self, name):
        self.process.send_signal(self.signals[name])

    def reload(self, timeout=30.0):
        """A graceful reload; returns when only new workers serve."""
        old = set(self.workers())
        self.send_signal("reload")
        gone = lambda: not old & set(self.workers()) and len(self.workers()) >= self.site.workers
        wait_until(gone, lambda: f"workers {sorted(old)} are replaced, have {self.workers()}", timeout)
        self._find_trees()

    def end(self, how, timeout=30.0):
        """Ends the server by the signal of `how` and returns its exit status."""
        if self.process.poll() is None:
            self.send_signal(how)
        return self.wait(timeout)

    def wait(self, timeout=30.0):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._kill_session()
            raise HarnessFailure(f"{self.kind} did not end within {timeout:g}s:\n{self.last_words()}") from None

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        return self.end("stop")

    def quit(self):
        return self.end("quit")

    # ---- what it must not leave behind ----

    def _descriptor_counts(self):
        counts = {"worker": max((len(self._descriptors(pid)) for pid in self.workers()), default=0)}
        if self.site.master:
            counts["master"] = len(processes.descriptors(self.pid()))
        return counts

    def _descriptors(self, pid, most=-1):
        """Without the idle connections to backends, as long as they are few; with them where there are no more than `most` of
        all, for the kernel takes long to tell which ones they are."""
        found = processes.descriptors(pid)
        if len(found) <= most:
            return found
        if self.site.keeps_unix_connections():
            idle = processes.unix_connections()
            kept = {number for number, target in found.items() if target in idle}
            if len(kept) <= self.site.kept_connections:
                found = {number: target for number, target in found.items() if number not in kept}
        if ports := self.site.proxied_ports():
            idle = processes.connected(ports)
            kept = {number for number, target in found.items() if target in idle}
            if len(kept) <= self.site.kept_connections:
                return {number: target for number, target in found.items() if number not in kept}
        return found

    def _leaked(self):
        found, everything = [], processes.processes()
        for pid in self.workers(everything):
            try:
                open_now = self._descriptors(pid, self._baseline["worker"])
            except (FileNotFoundError, PermissionError):
                continue  # it has ended since
            if len(open_now) > self._baseline["worker"]:
                found.append(
                    f"worker {pid} has {len(open_now)} descriptors instead of {self._baseline['worker']}: {open_now}"
                )
            if grandchildren := processes.children(pid, everything) if self.site.master else []:
                found.append(f"worker {pid} has children {grandchildren}")
        if left := processes.scripts(os.getpid(), everything):
            found.append(f"scripts are left: {left}")
        if self.site.master:
            open_now = processes.descriptors(self.pid())
            if len(open_now) > self._baseline["master"]:
                found.append(
                    f"the master has {len(open_now)} descriptors instead of {self._baseline['master']}: {open_now}"
                )
        return found

    def verify(self, timeout=10.0):
        """Fails unless the log is explained and nothing is left over; then the next test may begin."""
        problems = self._left_over(timeout) + self.log.problems() + self._output_problems()
        self.log.mark()
        if problems:
            raise HarnessFailure.of(problems)

    def _left_over(self, timeout):
        self.close_clients()
        if not self.running():
            return []  # finish() looks at how it ended
        try:
            wait_until(lambda: not self._leaked(), "nothing is left over", timeout)
        except DeadlineError:
            return self._leaked()
        return []

    def _output_problems(self):
        text = (self.folder / "output.log").read_text(errors="replace") if self.process else ""
        return [f"fatal line on the server's output: {line}" for line in text.splitlines() if FATAL.search(line)]

    def finish(self, timeout=10.0):
        """Checks what is left over, stops the server if that has not been done, and checks its end."""
        problems = self._left_over(timeout)
        self._find_trees()
        status = self.stop() if self.running() else self.process.returncode
        survivors = self._survivors(timeout)
        if survivors:
            self._kill_session(p for p in survivors if not isinstance(p, str))
            problems.append(f"processes outlive {self.kind}: {survivors}")
        problems += self.log.problems() + self._output_problems()
        if status != 0:
            problems.append(f"{self.kind} ended with status {status}:\n{self.last_words()}")
        if problems:
            raise HarnessFailure.of(problems)

    def _survivors(self, timeout):
        """Processes of the server's session, and those that left it and were adopted by this process."""

        def found():
            processes.reap_orphans(RUNNING)
            living = [p for p in processes.processes().values() if p.state not in "ZX"]
            adopted = lambda p: p.parent == os.getpid() and p.pid not in RUNNING and not others(p)
            # The spawner and the guardian of another server that still runs.
            helpers = (processes.SPAWNER, processes.GUARDIAN)
            others = lambda p: p.name in helpers and bool(RUNNING) and p.pid not in self._trees
            left = processes.run_directories(self.pid()) if self._trees else []
            return [p for p in living if p.session == self.pid() or adopted(p)] + left

        RUNNING.discard(self.pid())
        SERVERS.discard(self)
        try:
            wait_until(lambda: not found(), "", timeout)
        except DeadlineError:
            pass
        return found()

    def _kill_session(self, survivors=()):
        survivors = list(survivors)
        for process in [*survivors, *(p for p in processes.processes().values() if p.session == self.pid())]:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in survivors:
            wait_until(lambda pid=process.pid: not processes.alive(pid), f"process {process.pid} is gone")

    # ---- clients ----

    @property
    def port(self):
        return self.ports["http"]

    def connect(self, port="http", **kw):
        connection = wire.Connection(self.ports[port], **kw)
        self._connections.append(connection)
        return connection

    def http2(self, port="http2", **kw):
        connection = http2.Connection(self.ports[port], **kw)
        self._connections.append(connection)
        return connection

    def close_clients(self):
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def request(self, method, path, headers=(), body=None, *, version="HTTP/1.1", port="http", timeout=20.0, **kw):
        """One request on a connection of its own; the whole response."""
        with wire.Connection(self.ports[port], timeout=timeout, tls=port == "tls") as connection:
            connection.request(method, path, [("Connection", "close"), *headers], body, version=version, **kw)
            return connection.response(method)

    def get(self, path, headers=(), **kw):
        return self.request("GET", path, headers, **kw)

    def post(self, path, body, headers=(), **kw):
        return self.request("POST", path, headers, body, **kw)

    def access_log(self):
        return (self.folder / "access.log").read_text(errors="backslashreplace").splitlines()


# Servers started by this process: they are its children and no orphans.
RUNNING = set()
SERVERS = set()


class Nginx(Server):
    kind = "nginx"
    binary = places.NGINX
    signals = {"stop": signal.SIGTERM, "quit": signal.SIGQUIT, "reload": signal.SIGHUP}

    @functools.cached_property
    def version(self):
        return nginx_version(self.binary)

    def command(self, test=False):
        early = self.folder / "error.log"
        return [str(self.binary), "-p", str(self.folder), "-e", str(early), "-c", str(self.configuration)] + (
            ["-t"] if test else []
        )

    def render(self):
        return render_nginx.render(
            self.site, self.folder, self.ports, self.module, self.engines, self.version, self.certificate
        )


@functools.cache
def nginx_version(binary):
    done = subprocess.run([str(binary), "-v"], capture_output=True, text=True, timeout=20)
    return tuple(int(part) for part in re.search(r"nginx/([\d.]+)", done.stderr)[1].split("."))


class Nginx128(Nginx):
    kind = "nginx128"
    binary = places.NGINX128


class Apache(Server):
    kind = "apache"
    binary = places.APACHE
    mpm = "event"
    signals = {
        "stop": signal.SIGTERM,
        "quit": signal.SIGWINCH,
        "reload": signal.SIGUSR1,
        "restart": signal.SIGHUP,
    }

    def stop(self):
        """When its threads rest. A child of the event MPM that is to end at once aborts the connections of its threads, and looks at that
        of a thread which closes it in this moment without a lock (apr_os_sock_get against apr_allocator_destroy): it may crash, with any
        module."""
        if self.running():
            with contextlib.suppress(DeadlineError):
                wait_until(lambda: processes.at_rest(*self.workers()), "its threads rest", 1.0)
        return super().stop()

    def command(self, test=False):
        return [str(self.binary), "-d", str(self.folder), "-f", str(self.configuration)] + (
            ["-t"] if test else ["-DFOREGROUND"]
        )

    def render(self):
        return render_apache.render(
            self.site, self.folder, self.ports, self.module, self.engines, self.mpm, self.certificate
        )


class ApacheWorker(Apache):
    mpm = "worker"


class ApachePrefork(Apache):
    mpm = "prefork"


KINDS = {
    "nginx": Nginx,
    "nginx128": Nginx128,
    "apache": Apache,
    "apache-worker": ApacheWorker,
    "apache-prefork": ApachePrefork,
}
DEFAULT_KINDS = ("nginx", "nginx128", "apache")
