# SPDX-License-Identifier: MIT OR Apache-2.0
"""The servers that are compared, each set up as its own documentation recommends for one process."""

import functools
import os
import pwd
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .load import BenchError
from .scenarios import HELLO, Scenario

ROOT = Path(__file__).resolve().parents[2]
APPS = ROOT / "benches" / "apps"
VENV = ROOT / "build" / "venv-bench"
DIST = Path(os.environ.get("GANGWAY_DIST", ROOT / "dist"))
NGINX = os.environ.get("NGINX") or shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx"
HTTPD = os.environ.get("HTTPD") or shutil.which("apache2", path=f"{os.environ['PATH']}:/usr/sbin") or "apache2"
# Nothing of the caller's own Python setup reaches a peer.
ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ""}


@dataclass
class Site:
    """One peer at work on one scenario."""

    directory: Path
    port: int
    scenario: Scenario

    @property
    def socket(self) -> Path:
        return self.directory / "app.sock"

    @property
    def worker_connections(self) -> int:
        return max(1024, 4 * max(self.scenario.connections))

    @property
    def kept(self) -> int:
        """Connections to an application server that stay open: one for each client."""
        return max(64, *self.scenario.connections)


Commands = list[list[str]]


@dataclass(frozen=True)
class Peer:
    """`prepare` writes the configuration and returns what to run, application server first."""

    name: str
    title: str
    server: str
    role: str
    prepare: Callable[[Site], Commands]
    # Files that must exist for this peer to take part.
    needs: tuple[Path, ...] = ()
    # The ceiling's own answer where it cannot give the scenario's.
    answers: Callable[[Scenario], bytes] = lambda scenario: scenario.answer
    # Scenarios that it cannot run.
    lacks: tuple[str, ...] = ()

    def missing(self) -> str | None:
        file = next((file for file in self.needs if not file.exists()), None)
        return f"no {os.path.relpath(file, ROOT)}" if file else None


def nginx(site: Site, http: str, location: str, main: str = "") -> list[str]:
    user = "user root;" if os.geteuid() == 0 else ""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "\n    ".join(f"{kind}_temp_path {site.directory}/{kind};" for kind in kinds)
    configuration = site.directory / "nginx.conf"
    configuration.write_text(f"""\
{main}
{user}
daemon off;
worker_processes 1;
pid {site.directory}/nginx.pid;
error_log {site.directory}/error.log warn;
events {{ worker_connections {site.worker_connections}; }}
http {{
    access_log off;
    default_type text/plain;
    sendfile on;
    keepalive_timeout 75s;
    keepalive_requests 100000000;
    client_body_buffer_size 64k;
    {temporary}
    {http}
    server {{
        listen 127.0.0.1:{site.port} backlog=1024;
        server_name localhost;
        {location}
    }}
}}
""")
    return [NGINX, "-p", str(site.directory), "-e", str(site.directory / "error.log"), "-c", str(configuration)]


def nginx_proxy(site: Site) -> list[str]:
    """A kept-alive connection per client, and buffers that hold the largest answer, so that nothing goes through a file."""
    upstream = f"upstream app {{ server unix:{site.socket} fail_timeout=0; keepalive {site.kept}; keepalive_requests 100000000; }}"
    return nginx(
        site,
        upstream,
        """location / {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_redirect off;
            proxy_buffer_size 16k;
            proxy_buffers 8 16k;
            proxy_busy_buffers_size 64k;
        }""",
    )


# Scenarios whose answer is too large for a word of a configuration.
LARGE = ("body", "stream")


def nginx_return(site: Site) -> Commands:
    hello = HELLO.decode().replace("\n", "\\n")
    if site.scenario.name not in LARGE:
        return [[*nginx(site, "", f'location / {{ return 200 "{hello}"; }}')]]
    # More than a word of configuration can hold: a file that stays open.
    (site.directory / "htdocs").mkdir()
    (site.directory / "htdocs" / site.scenario.name).write_bytes(site.scenario.answer)
    return [nginx(site, "open_file_cache max=16 inactive=600s; open_file_cache_valid 600s;", f"root {site.directory}/htdocs;")]


def nginx_gunicorn(site: Site) -> Commands:
    # https://docs.gunicorn.org/en/stable/deploy.html; its keep-alive of 2 seconds is meant for clients, not for an upstream.
    gunicorn = [str(VENV / "bin/gunicorn"), "--worker-class", "gthread", "--workers", "1", "--threads", str(site.scenario.threads)]
    gunicorn += ["--keep-alive", "75", "--bind", f"unix:{site.socket}", "--worker-tmp-dir", "/dev/shm", "--no-control-socket"]
    gunicorn += ["--log-level", "warning", f"{site.scenario.module}:application"]
    return [gunicorn, nginx_proxy(site)]


def nginx_granian(site: Site) -> Commands:
    # One blocking thread is what Granian measures itself with and advises under the GIL; for I/O one per waiting request.
    threads = site.scenario.threads if site.scenario.waits else 1
    granian = [str(VENV / "bin/granian"), "--interface", "wsgi", "--uds", str(site.socket), "--uds-permissions", "666", "--workers", "1"]
    granian += ["--blocking-threads", str(threads), "--http", "1", "--no-ws", "--log-level", "warning", "--working-dir", str(APPS)]
    return [[*granian, f"{site.scenario.module}:application"], nginx_proxy(site)]


def nginx_uwsgi(site: Site) -> Commands:
    # "Things to know" of its documentation: master, single interpreter, need-app, die-on-term. Without threads unless they are of
    # use: that is uWSGI's default and its fastest form for an application that never waits.
    options = {"master": "true", "processes": "1", "socket": str(site.socket), "chmod-socket": "666", "listen": "1024"}
    options |= {"venv": str(VENV), "chdir": str(APPS), "module": f"{site.scenario.module}:application", "single-interpreter": "true"}
    options |= {"need-app": "true", "die-on-term": "true", "vacuum": "true", "disable-logging": "true"}
    if site.scenario.waits:
        options |= {"enable-threads": "true", "threads": str(site.scenario.threads)}
    configuration = site.directory / "uwsgi.ini"
    configuration.write_text("[uwsgi]\n" + "".join(f"{key} = {value}\n" for key, value in options.items()))
    location = f"""location / {{
            include /etc/nginx/uwsgi_params;
            uwsgi_pass unix:{site.socket};
            uwsgi_buffer_size 16k;
            uwsgi_buffers 8 16k;
            uwsgi_busy_buffers_size 64k;
        }}"""
    return [[str(VENV / "bin/uwsgi"), "--ini", str(configuration)], nginx(site, "", location)]


def nginx_gangway(site: Site, dist: Path = DIST) -> Commands:
    target = f"{APPS / site.scenario.module}.py:application"
    location = f"location / {{ gangway_wsgi {target} venv={VENV} threads={site.scenario.threads}; }}"
    return [nginx(site, "", location, f"load_module {dist}/ngx_http_gangway_module.so;")]


@functools.cache
def asked(*command: str) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise BenchError(f"{shlex.join(command)}: {error}") from None


def httpd(site: Site, lines: str) -> list[str]:
    """One child of MPM event, as large as one web server worker with its application."""
    modules, threads = asked("apxs", "-q", "LIBEXECDIR"), site.scenario.mpm_threads
    user = ""
    if os.geteuid() == 0:
        # httpd does not run its children as root.
        account = next(entry for entry in pwd.getpwall() if entry.pw_name in ("www-data", "apache", "nobody"))
        user = f"User {account.pw_name}\nGroup #{account.pw_gid}"
    (site.directory / "htdocs").mkdir(exist_ok=True)
    # Connections that wait beside each idle thread.
    factor = max(2, *(-(-count // threads) for count in site.scenario.connections))
    configuration = site.directory / "httpd.conf"
    configuration.write_text(f"""\
ServerRoot {site.directory}
ServerName localhost
DefaultRuntimeDir {site.directory}
PidFile {site.directory}/httpd.pid
Listen 127.0.0.1:{site.port}
ListenBackLog 1024
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
{user}
ErrorLog {site.directory}/error.log
LogLevel warn
StartServers 1
ServerLimit 1
ThreadLimit {threads}
ThreadsPerChild {threads}
MaxRequestWorkers {threads}
AsyncRequestWorkerFactor {factor}
MinSpareThreads 1
MaxSpareThreads {threads}
MaxConnectionsPerChild 0
KeepAlive On
KeepAliveTimeout 75
MaxKeepAliveRequests 0
DocumentRoot {site.directory}/htdocs
<Directory />
    AllowOverride None
    Require all granted
</Directory>
{lines}
""")
    return [HTTPD, "-d", str(site.directory), "-f", str(configuration), "-DFOREGROUND"]


def httpd_c(site: Site) -> Commands:
    source, built = ROOT / "benches/httpd_handler/mod_bench_hello.c", ROOT / "build/bench/mod_bench_hello.so"
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        built.parent.mkdir(parents=True, exist_ok=True)
        flags = asked("apr-1-config", "--includes", "--cppflags").split()
        flags += ["-O2", "-fPIC", "-shared", "-Wall", "-Wextra", f"-I{asked('apxs', '-q', 'INCLUDEDIR')}"]
        asked(os.environ.get("CC", "cc"), *flags, str(source), "-o", str(built))
    return [httpd(site, f"LoadModule bench_hello_module {built}\n<Location />\n    SetHandler bench-hello\n</Location>")]


def mod_wsgi(site: Site, lines: str) -> Commands:
    module = asked(str(VENV / "bin/mod_wsgi-express"), "module-location")
    alias = f"WSGIScriptAlias / {APPS / site.scenario.module}.py"
    return [httpd(site, f"LoadModule wsgi_module {module}\n{lines}\n{alias}\nWSGIApplicationGroup %{{GLOBAL}}")]


def httpd_mod_wsgi(site: Site) -> Commands:
    return mod_wsgi(site, f"WSGIPythonHome {VENV}\nWSGIPythonPath {APPS}")


def httpd_mod_wsgi_daemon(site: Site) -> Commands:
    # Fifteen threads are its default and its advice.
    threads = site.scenario.threads if site.scenario.waits else 15
    daemon = f"WSGIDaemonProcess bench processes=1 threads={threads} python-home={VENV} python-path={APPS}"
    return mod_wsgi(site, f"WSGIRestrictEmbedded On\nWSGISocketPrefix {site.directory}/wsgi\n{daemon}\nWSGIProcessGroup bench")


def httpd_gangway(site: Site, dist: Path = DIST) -> Commands:
    target = f"{APPS / site.scenario.module}.py:application"
    line = f"GangwayWSGI {target} venv={VENV} threads={site.scenario.threads}"
    return [httpd(site, f"LoadModule gangway_module {dist}/mod_gangway.so\n<Location />\n    {line}\n</Location>")]


def ceiling_answer(scenario: Scenario) -> bytes:
    return HELLO if scenario.posted else scenario.answer


def before(nginx, httpd, name: str = "gangway", server: str = "", lacks: tuple[str, ...] = ()) -> tuple[Peer, ...]:
    """Another build of this project in both servers, to see what a change has brought, if one is named; no target counts it."""
    build = os.environ.get("GANGWAY_BEFORE")
    if not build:
        return ()
    return tuple(
        Peer(f"{of}-{name}-before", f"{of} + {name}, {build}", server or of, "before", functools.partial(commands, dist=Path(build)), lacks=lacks)
        for of, commands in (("nginx", nginx), ("httpd", httpd))
    )


NGINX_MODULES = (DIST / "ngx_http_gangway_module.so", DIST / "gangway_python.so")
HTTPD_MODULES = (DIST / "mod_gangway.so", DIST / "gangway_python.so")
MOD_WSGI = (VENV / "bin/mod_wsgi-express",)
PEERS = (
    Peer("nginx-return", "nginx return 200 (a file for large answers)", "nginx", "ceiling", nginx_return, answers=ceiling_answer),
    Peer("nginx-gangway", "nginx + Gangway", "nginx", "gangway", nginx_gangway, NGINX_MODULES),
    Peer("nginx-granian", "nginx + granian", "nginx", "peer", nginx_granian, (VENV / "bin/granian",)),
    Peer("nginx-uwsgi", "nginx + uWSGI", "nginx", "peer", nginx_uwsgi, (VENV / "bin/uwsgi",)),
    Peer("nginx-gunicorn", "nginx + gunicorn gthread", "nginx", "peer", nginx_gunicorn, (VENV / "bin/gunicorn",)),
    Peer("httpd-c", "httpd C handler", "httpd", "ceiling", httpd_c),
    Peer("httpd-gangway", "httpd + Gangway", "httpd", "gangway", httpd_gangway, HTTPD_MODULES),
    Peer("httpd-mod_wsgi", "httpd + mod_wsgi embedded", "httpd", "peer", httpd_mod_wsgi, MOD_WSGI),
    Peer("httpd-mod_wsgi-daemon", "httpd + mod_wsgi daemon", "httpd", "peer", httpd_mod_wsgi_daemon, MOD_WSGI),
)
PEERS += before(nginx_gangway, httpd_gangway)
