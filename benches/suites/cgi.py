#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""CGI programs: Gangway beside fcgiwrap, mod_cgid, mod_cgi and lighttpd, and the ceiling of a bare posix_spawn loop.

Most of the CPU time is that of programs which live for half a millisecond. So each peer runs in a control group of its own,
whose clock also counts what has ended. Needs root.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benches" / "cgi"
DIST = Path(os.environ.get("GANGWAY_DIST", ROOT / "dist"))
MODULES = Path("/usr/lib/apache2/modules")
PATH = f"{os.environ['PATH']}:/usr/sbin"
USER = "www-data"


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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Site:
    def __init__(self, root, name):
        self.name = name
        self.root = root
        self.folder = root / name
        self.folder.mkdir()
        self.port = free_port()
        self.scripts = root / "cgi-bin"


def nginx(site, location, http="", load=False):
    tool = shutil.which("nginx", path=PATH)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi") + (("gangway",) if load else ())
    temporary = "".join(f"{kind}_temp_path {site.folder}/{kind};\n" for kind in kinds)
    (site.folder / "nginx.conf").write_text(f"""
{f"load_module {DIST}/ngx_http_gangway_module.so;" if load else ""}
user {USER};
daemon off;
worker_processes 1;
pid {site.folder}/nginx.pid;
error_log {site.folder}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    {temporary}
    {http}
    server {{
        listen 127.0.0.1:{site.port} backlog=1024;
        {location}
    }}
}}
""")
    return [[tool, "-p", site.folder, "-e", site.folder / "error.log", "-c", site.folder / "nginx.conf"]]


def nginx_gangway(site):
    return nginx(site, f"location /cgi-bin/ {{ alias {site.scripts}/; gangway_cgi on processes=64; }}", load=True)


def nginx_gangway_large(site):
    ballast = f"location /ballast {{ gangway_wsgi ballast:application root={HERE}; }}"
    script = f"location /cgi-bin/ {{ alias {site.scripts}/; gangway_cgi on processes=64; }}"
    return nginx(site, ballast + script, load=True)


def nginx_fcgiwrap(site):
    address = f"{site.folder}/fcgiwrap.sock"
    location = f"""location /cgi-bin/ {{
        include /etc/nginx/fastcgi_params;
        fastcgi_param SCRIPT_FILENAME {site.root}$fastcgi_script_name;
        fastcgi_pass unix:{address};
    }}"""
    wrap = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    site.folder.chmod(0o777)
    # As many as it may run at a time: it waits for each.
    wrap += [shutil.which("fcgiwrap", path=PATH), "-c", "16", "-s", f"unix:{address}"]
    return [wrap, *nginx(site, location)]


def httpd(site, mpm, modules, lines):
    names = [f"mpm_{mpm}", "authz_core", "alias", "mime", *modules]
    load = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names)
    limits = "ThreadsPerChild 64\nMaxRequestWorkers 64\nServerLimit 1" if mpm == "event" else "MaxRequestWorkers 32\nStartServers 32"
    (site.folder / "httpd.conf").write_text(f"""
ServerRoot {site.folder}
DefaultRuntimeDir {site.folder}
{load}
User {USER}
Group {USER}
ServerName localhost
Listen 127.0.0.1:{site.port}
PidFile {site.folder}/httpd.pid
Mutex file:{site.folder} default
ErrorLog {site.folder}/error.log
LogLevel warn
TypesConfig /dev/null
DocumentRoot {site.folder}
MaxKeepAliveRequests 0
StartServers 1
{limits}
<Directory />
    Options FollowSymLinks
    AllowOverride None
    Require all granted
</Directory>
ScriptAlias /cgi-bin/ {site.scripts}/
{lines}
""")
    return [[shutil.which("apache2", path=PATH), "-d", site.folder, "-f", site.folder / "httpd.conf", "-DFOREGROUND"]]


def httpd_gangway(site):
    return httpd(site, "event", [], f"LoadModule gangway_module {DIST}/mod_gangway.so\nGangwayCGI On processes=64")


def httpd_cgid(site):
    return httpd(site, "event", ["cgid"], f"ScriptSock {site.folder}/cgid.sock")


def httpd_cgi(site):
    return httpd(site, "prefork", ["cgi"], "")


def lighttpd(site):
    (site.folder / "lighttpd.conf").write_text(f"""
server.modules = ("mod_alias", "mod_cgi")
server.document-root = "{site.folder}"
server.bind = "127.0.0.1"
server.port = {site.port}
server.username = "{USER}"
server.groupname = "{USER}"
server.max-keep-alive-requests = 100000
alias.url = ("/cgi-bin/" => "{site.scripts}/")
$HTTP["url"] =~ "^/cgi-bin/" {{ cgi.assign = ("" => "") }}
""")
    return [[shutil.which("lighttpd", path=PATH), "-D", "-f", site.folder / "lighttpd.conf"]]


PEERS = {
    "nginx-gangway": nginx_gangway,
    "nginx-gangway-1g": nginx_gangway_large,
    "nginx-fcgiwrap": nginx_fcgiwrap,
    "httpd-gangway": httpd_gangway,
    "httpd-mod_cgid": httpd_cgid,
    "httpd-mod_cgi": httpd_cgi,
    "lighttpd": lighttpd,
}
PROGRAMS = {"static C": "hello", "/bin/sh": "hello.sh"}


def prepare(root):
    scripts = root / "cgi-bin"
    scripts.mkdir()
    for source, name, flags in (("hello.c", "hello", ["-static"]), ("ceiling.c", "ceiling", [])):
        target = scripts / name if name == "hello" else root / name
        subprocess.run(["gcc", "-O2", *flags, HERE / source, "-o", target], check=True)
    (scripts / "hello.sh").write_text("#!/bin/sh\necho 'Content-Type: text/plain'\necho\necho hello\n")
    for file in scripts.iterdir():
        file.chmod(0o755)


def answer(port, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as response:
        return response.read()


def begin(site, peer):
    """The group of a running peer."""
    group = Group(site.name)
    for command in PEERS[peer](site):
        group.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while True:
        try:
            if answer(site.port, "/cgi-bin/hello") == b"hello\n":
                break
        except OSError:
            if time.monotonic() > deadline:
                log = site.folder / "error.log"
                sys.exit(f"{peer} does not answer:\n{log.read_text()[-2000:] if log.exists() else ''}")
        time.sleep(0.05)
    if peer.endswith("-1g"):
        assert answer(site.port, "/ballast") == b"1073741824\n"
    return group


def load(port, path, connections, seconds):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}{path}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    requests = int(re.search(r"(\d+) requests in", text)[1])
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    latency = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    p99 = float(latency[1]) * {"us": 1e-3, "ms": 1, "s": 1e3}[latency[2]]
    failed = int(errors[1] if errors else 0) + sum(map(int, broken.groups() if broken else ()))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
    return requests, rate, p99, failed


def ceiling(root, program, seconds):
    """CPU seconds and rate of the bare loop."""
    group = Group("ceiling")
    child = group.start(root / "ceiling", root / "cgi-bin" / program, seconds, stdout=subprocess.PIPE)
    runs = int(child.communicate()[0])
    result = {"cpu": group.cpu() / runs * 1e6, "rate": runs / seconds, "p99": 0.0, "errors": 0}
    group.end()
    return result


def measure(site, group, program, options):
    before = group.cpu()
    requests, rate, p99, errors = load(site.port, f"/cgi-bin/{program}", options.connections, options.seconds)
    time.sleep(0.2)
    return {"cpu": (group.cpu() - before) / requests * 1e6, "rate": rate, "p99": p99, "errors": errors}


def median(rounds, key):
    return statistics.median(entry[key] for entry in rounds)


def report(results):
    for title, peers in results.items():
        base = median(peers["ceiling"], "cpu")
        print(f"\nCGI hello, {title}: CPU of server and programs per request")
        for name, rounds in sorted(peers.items(), key=lambda item: median(item[1], "cpu")):
            cpu, rate, p99 = (median(rounds, key) for key in ("cpu", "rate", "p99"))
            errors = sum(entry["errors"] for entry in rounds)
            more = f"  {errors} errors" if errors else ""
            print(f"  {name:18} {cpu:7.0f} us  {cpu / base:5.2f} x ceiling  {rate:7.0f}/s  p99 {p99:7.1f} ms{more}")


def verdicts(results):
    """The targets that were missed."""
    missed = []
    for title, peers in results.items():
        cpu = {name: median(rounds, "cpu") for name, rounds in peers.items()}
        ours = [name for name in cpu if "gangway" in name]
        others = [name for name in cpu if name not in ours and name != "ceiling"]
        for name in ours:
            missed += [f"{title}: {name} is not ahead of {other}" for other in others if cpu[name] >= cpu[other]]
        if title == "static C":
            missed += [f"{title}: {name} costs more than 1.3 times the ceiling" for name in ours if cpu[name] > 1.3 * cpu["ceiling"]]
        small, large = cpu.get("nginx-gangway"), cpu.get("nginx-gangway-1g")
        if small and large and large > 1.1 * small:
            missed.append(f"{title}: 1 GiB in the worker makes a difference of {large / small:.2f}")
    return missed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--peers", default="", help="only those whose name contains this")
    parser.add_argument("--check", action="store_true", help="exit status 1 when a target is missed")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("the CGI benchmark needs root, for its control groups")
    peers = [name for name in PEERS if options.peers in name]
    results = {title: {name: [] for name in ["ceiling", *peers]} for title in PROGRAMS}
    root = Path(tempfile.mkdtemp(prefix="gangway-bench-cgi-"))
    root.chmod(0o755)
    running = {}
    try:
        prepare(root)
        for peer in peers:
            site = Site(root, peer)
            running[peer] = (site, begin(site, peer))
        for _ in range(options.rounds):
            for title, program in PROGRAMS.items():
                results[title]["ceiling"].append(ceiling(root, program, options.seconds))
                for peer in random.sample(peers, len(peers)):
                    results[title][peer].append(measure(*running[peer], program, options))
    finally:
        for _, group in running.values():
            group.end()
        shutil.rmtree(root, ignore_errors=True)
    report(results)
    missed = verdicts(results)
    print("\n" + ("\n".join(f"missed: {line}" for line in missed) if missed else "all targets are met"))
    file = ROOT / "benches" / "results" / time.strftime("cgi-%Y%m%dT%H%M%S.json", time.gmtime())
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"results": results, "missed": missed}, indent=1) + "\n")
    sys.exit(1 if missed and options.check else 0)


if __name__ == "__main__":
    main()
