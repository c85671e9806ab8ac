#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""A server with many sites, each with an application of its own user in processes of its own that run when somebody asks.

    benches/sites.py [nginx|httpd] [--sites 500] [--use 50] [--keep]

Each site is an included file with `processes=0-2 idle=60`. Prints what they cost while nobody asks and what a test of the configuration takes, asks
some of them at once, reloads with other words for one of them, and judges each figure. Needs root; the users are there for this script and what it
starts alone, in a mount namespace of its own.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

from harness import processes  # noqa: E402
from harness.managed_peers import ADOPT, HOST  # noqa: E402
from harness.peers import DIST, HTTPD, NGINX, asked  # noqa: E402
from harness.running import free_port  # noqa: E402

FIRST_USER = 47_000
WORKERS = 2
APPLICATION = """\
import os


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.getpid()} {os.getuid()}\\n".encode()]
"""
# Limits: seconds of a test, bytes of an idle application, seconds of the status page.
TEST, MEMORY, PAGE = 2.0, 32 * 1024, 0.1


def name(number: int) -> str:
    return f"gwsite{number}"


def with_users(count: int) -> None:
    """Goes on in a mount namespace that has the users."""
    if "GANGWAY_SITES" in os.environ:
        return
    with tempfile.NamedTemporaryFile("w", prefix="passwd-", delete=False) as file:
        file.write(Path("/etc/passwd").read_text())
        nobody = pwd.getpwnam("nobody").pw_gid
        file.writelines(f"{name(n)}:x:{FIRST_USER + n}:{max(nobody, 1000)}::/nonexistent:/usr/sbin/nologin\n" for n in range(count))
    os.chmod(file.name, 0o644)
    os.environ["GANGWAY_SITES"] = file.name
    script = 'mount --bind "$GANGWAY_SITES" /etc/passwd && rm -f "$GANGWAY_SITES" && exec "$@"'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sites", sys.executable, *sys.argv]
    os.execvp(command[0], command)


class Sites:
    """The server. `count` of the sites have an application, the others answer by themselves."""

    def __init__(self, scratch: Path, server: str, sites: int):
        self.scratch, self.server, self.sites, self.port = scratch, server, sites, free_port()
        self.has_status = False
        self.verbose = False
        self.words: dict[int, str] = {}
        self.process: subprocess.Popen | None = None
        for folder in ("conf.d", "sites", "htdocs"):
            (scratch / folder).mkdir()
        for number in range(sites):
            place = scratch / "sites" / name(number)
            place.mkdir()
            (place / "app.py").write_text(APPLICATION)

    def words_of(self, number: int) -> str:
        more = self.words.get(number, "")
        return f"app:application root={self.scratch}/sites/{name(number)} user={name(number)} processes=0-2 idle=60 {more}"

    def write_site(self, number: int, managed: bool) -> None:
        if self.server == "nginx":
            line = f"gangway_wsgi {self.words_of(number)};" if managed else "return 200;"
            text = f"server {{\n listen 127.0.0.1:{self.port};\n server_name {name(number)};\n location / {{ {line} }}\n}}\n"
        else:
            line = f"GangwayWSGI {self.words_of(number)}" if managed else "Redirect 204 /"
            text = f"<VirtualHost 127.0.0.1:{self.port}>\n ServerName {name(number)}\n <Location />\n  {line}\n </Location>\n</VirtualHost>\n"
        (self.scratch / "conf.d" / f"{name(number)}.conf").write_text(text)

    def configure(self, managed: int) -> None:
        for number in range(self.sites):
            self.write_site(number, number < managed)
        text = self.nginx() if self.server == "nginx" else self.httpd()
        (self.scratch / "server.conf").write_text(text)

    def nginx(self) -> str:
        status = f"location = /status {{ gangway_status; allow 127.0.0.1; deny all; }}" if self.has_status else ""
        return f"""\
load_module {DIST}/ngx_http_gangway_module.so;
user www-data;
daemon off;
worker_processes {WORKERS};
pid {self.scratch}/nginx.pid;
error_log {self.scratch}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    server_names_hash_max_size 4096;
    server {{ listen 127.0.0.1:{self.port} default_server; server_name localhost; location / {{ return 404; }} {status} }}
    include {self.scratch}/conf.d/*.conf;
}}
"""

    def httpd(self) -> str:
        modules = asked("apxs", "-q", "LIBEXECDIR")
        status = "<Location /status>\n SetHandler gangway-status\n Require local\n</Location>" if self.has_status else ""
        return f"""\
ServerRoot {self.scratch}
ServerName localhost
DefaultRuntimeDir {self.scratch}
PidFile {self.scratch}/httpd.pid
Listen 127.0.0.1:{self.port}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_host_module {modules}/mod_authz_host.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule gangway_module {DIST}/mod_gangway.so
User www-data
Group www-data
ErrorLog {self.scratch}/error.log
LogLevel warn
StartServers {WORKERS}
ServerLimit {WORKERS}
ThreadsPerChild 64
MaxRequestWorkers {WORKERS * 64}
DocumentRoot {self.scratch}/htdocs
<VirtualHost 127.0.0.1:{self.port}>
 ServerName localhost
 {status}
</VirtualHost>
IncludeOptional {self.scratch}/conf.d/*.conf
"""

    def command(self, *more: str) -> list[str]:
        if self.server == "nginx":
            return [NGINX, "-p", str(self.scratch), "-e", str(self.scratch / "error.log"), "-c", str(self.scratch / "server.conf"), *more]
        return [HTTPD, "-d", str(self.scratch), "-f", str(self.scratch / "server.conf"), *more]

    def test(self) -> tuple[float, float]:
        """Seconds of CPU of a test of the configuration, which is what it takes on a machine that does nothing else, and how long it took
        here: the least of five."""
        times = []
        for _ in range(5):
            before, begun = os.times(), time.monotonic()
            done = subprocess.run(self.command("-t"), capture_output=True, text=True, check=False)
            elapsed, after = time.monotonic() - begun, os.times()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            times.append((spent, elapsed))
            if done.returncode != 0:
                raise SystemExit(f"the configuration test failed: {done.stderr.strip()[-600:]}")
        return min(times)

    def knows_status(self) -> bool:
        """Whether this build has a status page."""
        self.has_status = True
        self.configure(0)
        module = DIST / ("ngx_http_gangway_module.so" if self.server == "nginx" else "mod_gangway.so")
        if self.server == "nginx":
            self.has_status = subprocess.run(self.command("-t"), capture_output=True, check=False).returncode == 0
        else:
            self.has_status = b"gangway-status" in module.read_bytes()
        # The line about it is none of the server's that comes.
        (self.scratch / "error.log").unlink(missing_ok=True)
        return self.has_status

    def start(self) -> None:
        more = [] if self.server == "nginx" else ["-DFOREGROUND"]
        self.process = processes.start([sys.executable, ADOPT, *self.command(*more)], self.scratch, self.scratch, {})
        end = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("localhost", "/")[0] == 404:
                    return
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"the server does not start: {(self.scratch / 'error.log').read_text()[-600:]}")
            time.sleep(0.02)

    def everybody(self) -> list[int]:
        return [pid for pid in processes.tree([self.process.pid]) if pid != self.process.pid]

    def stop(self) -> None:
        if self.process and (killed := processes.stop([self.process], 20.0)):
            print(f"{len(killed)} processes had to be killed")
        self.process = None

    def get(self, host: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path, headers={"Host": host, "Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def ask(self, number: int) -> int:
        """The process that has answered."""
        status, body = self.get(name(number), "/")
        found = re.fullmatch(rb"(\d+) (\d+)\n", body)
        if status != 200 or not found or int(found[2]) != FIRST_USER + number:
            raise SystemExit(f"{name(number)} answered {status} {body[:200]!r}")
        return int(found[1])

    def workers(self) -> set[int]:
        server = next(pid for pid in processes.tree([self.process.pid]) if pid != self.process.pid and is_server(pid))
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        return {int(pid) for pid in children if is_server(int(pid))}

    def reload(self) -> None:
        before = self.workers()
        server = int((self.scratch / ("nginx.pid" if self.server == "nginx" else "httpd.pid")).read_text())
        os.kill(server, signal.SIGHUP if self.server == "nginx" else signal.SIGUSR1)
        end = time.monotonic() + 60
        while self.workers() & before or len(self.workers()) < WORKERS:
            if time.monotonic() > end:
                raise SystemExit("the reload does not end")
            time.sleep(0.02)


def program(pid: int) -> str:
    """What it runs; nothing if it has ended."""
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    except OSError:
        return ""


def is_server(pid: int) -> bool:
    try:
        title = Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return False
    return program(pid) in (os.path.basename(os.path.realpath(NGINX)), os.path.basename(os.path.realpath(HTTPD))) and not title.startswith("gangway")


def hosts(pids: list[int]) -> list[int]:
    return [pid for pid in pids if program(pid) == HOST]


def memory(pids: list[int]) -> int:
    return processes.proportional_memory(pids)


FAILED = []


def judge(what: str, value: float, limit: float, form: str, more: str = "") -> None:
    met = value <= limit
    FAILED.extend([] if met else [what])
    print(f"  {'met   ' if met else 'MISSED'} {what}: {form.format(value)} (at most {form.format(limit)}){more}", flush=True)


def idle(sites: Sites, several: int) -> int:
    """What applications cost that nobody asks: the difference between one of them and all."""
    sites.configure(0)
    plain, _ = sites.test()
    sites.configure(several)
    spent, elapsed = sites.test()
    more = f"; {plain:.3f} s without applications, and {elapsed:.1f} s until it was done here"
    judge("CPU that the configuration test takes more", spent - plain, TEST, "{:.3f} s", more)
    sizes = []
    for managed in (1, several):
        sites.configure(managed)
        sites.start()
        time.sleep(1.0)
        pids = sites.everybody()
        sizes.append(memory(pids))
        judge(f"processes of {managed} idle applications", len(hosts(pids)), 0, "{:.0f}")
        if managed == several:
            before = processes.usage(pids)
            time.sleep(5.0)
            spent = processes.usage(pids).since(before)
            judge("idle: ms of CPU a second", spent.cpu / 5 * 1000, 0.1, "{:.3f}", f"; {spent.switches / 5:.1f} switches of context a second")
        else:
            sites.stop()
    each = (sizes[1] - sizes[0]) / (several - 1)
    judge("memory of an idle application", each / 1024, MEMORY / 1024, "{:.1f} KiB", f"; all of the server {sizes[1] / 2**20:.1f} MiB")
    if sites.verbose:
        for pid in sites.everybody():
            print(f"    {memory([pid]) / 1024:8.0f} KiB {Path(f'/proc/{pid}/comm').read_text().strip()}")
    return sizes[1]


def in_use(sites: Sites, use: int) -> dict[int, int]:
    """Asks so many at once, first when none of them runs. Answers their processes."""
    with concurrent.futures.ThreadPoolExecutor(use) as pool:
        begun = time.monotonic()
        pids = dict(zip(range(use), pool.map(sites.ask, range(use))))
        first = time.monotonic() - begun
        begun = time.monotonic()
        rounds = 20
        list(pool.map(lambda one: sites.ask(one % use), range(use * rounds)))
        rest = time.monotonic() - begun
    print(f"  {use} at once that had no process: all answered after {first:.2f} s; then {use * rounds / rest:.0f} requests a second to all of them")
    judge(f"processes of {use} in use", len(set(pids.values()) & set(hosts(sites.everybody()))) - use, 0, "{:+.0f}")
    return pids


def reload(sites: Sites, before: dict[int, int], several: int) -> None:
    """Other words for one of them."""
    changed = 0
    known = set(hosts(sites.everybody()))
    sites.words[changed] = "umask=027"
    sites.write_site(changed, True)
    begun = time.monotonic()
    sites.reload()
    took = time.monotonic() - begun
    after = {number: sites.ask(number) for number in before}
    still = set(hosts(sites.everybody()))
    moved = [number for number in before if number != changed and after[number] not in known]
    judge(f"of {several - 1} applications with the same words, other processes after a reload", len(moved), 0, "{:.0f}", f"; it took {took:.2f} s")
    gone = [pid for number, pid in before.items() if number != changed and pid not in still]
    judge("of their processes, ended by the reload", len(gone), 0, "{:.0f}")
    # The old one answers until the new one is ready.
    end = time.monotonic() + 30
    while after[changed] == before[changed] and time.monotonic() < end:
        after[changed] = sites.ask(changed)
    judge("the changed one has its old process", int(after[changed] == before[changed]), 0, "{:.0f}")


def status_page(sites: Sites) -> None:
    times = []
    for _ in range(11):
        begun = time.monotonic()
        status, body = sites.get("localhost", "/status")
        times.append(time.monotonic() - begun)
        if status != 200 or name(0).encode() not in body and b"app:application" not in body:
            raise SystemExit(f"the status page answered {status} {body[:200]!r}")
    judge("the status page", sorted(times)[5] * 1000, PAGE * 1000, "{:.1f} ms", f"; at most {max(times) * 1000:.1f} ms, {len(body) / 1024:.0f} KiB")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", nargs="?", choices=("nginx", "httpd"), default="nginx")
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--use", type=int, default=50, help="how many are asked at once")
    parser.add_argument("--keep", action="store_true", help="keep the configuration and the log")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("needs root, for users of its own", file=sys.stderr)
        return 2
    with_users(options.sites)
    scratch = Path(tempfile.mkdtemp(prefix="gangway-sites-"))
    scratch.chmod(0o755)
    sites = Sites(scratch, options.server, options.sites)
    sites.verbose = options.keep
    print(f"{options.server}: {options.sites} sites, {WORKERS} workers")
    try:
        has_status = sites.knows_status()
        idle(sites, options.sites)
        pids = in_use(sites, options.use)
        reload(sites, pids, options.sites)
        if has_status:
            status_page(sites)
        else:
            print("  this build has no status page")
    finally:
        sites.stop()
        log = (scratch / "error.log").read_text(errors="replace") if (scratch / "error.log").exists() else ""
        bad = [line for line in log.splitlines() if re.search(r"\[(warn|error|crit|alert|emerg)", line)]
        if bad:
            print(f"  {len(bad)} lines of the log, such as: {bad[0][:300]}")
        if options.keep:
            print(scratch)
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
