# SPDX-License-Identifier: MIT OR Apache-2.0
"""Web servers before backends that speak FastCGI, SCGI and uwsgi: Gangway's modules and the stock ones, with the same backend each.

Sockets are unix sockets. Buffers and everything else that is not named here are the modules' defaults, for everybody.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .peers import DIST, ROOT, VENV, Commands, Site, asked, httpd, nginx

SOURCES = ROOT / "benches" / "upstream"
BACKEND = ROOT / "build" / "bench" / "backend"
FPM = next((found for found in map(shutil.which, ("php-fpm8.4", "php-fpm8.2", "php-fpm")) if found), None) or next(
    iter(sorted(map(str, Path("/usr/sbin").glob("php-fpm*")))), "php-fpm"
)
# More than connections: a kept connection holds its thread or process.
THREADS = 64
CHILDREN = 40
MODULE = f"load_module {DIST}/ngx_http_gangway_module.so;"
LOCATION = "location / {{ {} }}"


def compiled() -> None:
    source = SOURCES / "backend.c"
    if not BACKEND.exists() or BACKEND.stat().st_mtime < source.stat().st_mtime:
        BACKEND.parent.mkdir(parents=True, exist_ok=True)
        asked(os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", str(source), "-o", str(BACKEND), "-lfcgi", "-lpthread")


def libfcgi(site: Site) -> list[str]:
    return [str(BACKEND), "fastcgi", str(site.socket), str(THREADS)]


def scgi(site: Site) -> list[str]:
    return [str(BACKEND), "scgi", str(site.socket), str(THREADS)]


def php(site: Site) -> list[str]:
    root = site.directory / "htdocs"
    root.mkdir(exist_ok=True)
    for name in ("hello", "body", "post", "slow"):
        shutil.copy(SOURCES / "php" / "index.php", root / f"{name}.php")
    user = "user = www-data\ngroup = www-data" if os.geteuid() == 0 else ""
    configuration = site.directory / "fpm.conf"
    configuration.write_text(f"""\
[global]
error_log = {site.directory}/fpm.log
daemonize = no
[www]
{user}
listen = {site.socket}
listen.mode = 0666
listen.backlog = 1024
pm = static
pm.max_children = {CHILDREN}
""")
    return [FPM, "--nodaemonize", "--no-php-ini", "--fpm-config", str(configuration)]


def uwsgi(site: Site) -> list[str]:
    command = [str(VENV / "bin/uwsgi"), "--master", "--processes", "1", "--socket", str(site.socket), "--chmod-socket=666"]
    command += ["--listen", "1024", "--wsgi-file", str(SOURCES / "app.py"), "--single-interpreter", "--need-app", "--die-on-term"]
    return [*command, "--disable-logging"]


def nginx_gangway(scheme: str) -> Callable[[Site], list[str]]:
    def configure(site: Site) -> list[str]:
        lines = f"root {site.directory}/htdocs; gangway_pass {scheme}://unix:{site.socket};"
        return nginx(site, f"gangway_temp_path {site.directory}/gangway;", LOCATION.format(lines), MODULE)

    return configure


def nginx_stock(scheme: str) -> Callable[[Site], list[str]]:
    parameters = "/etc/nginx/" + ("fastcgi.conf" if scheme == "fastcgi" else f"{scheme}_params")

    def configure(site: Site) -> list[str]:
        lines = f"root {site.directory}/htdocs; include {parameters}; {scheme}_pass unix:{site.socket};"
        return nginx(site, "", LOCATION.format(lines))

    return configure


def nginx_keepalive(site: Site) -> list[str]:
    upstream = f"upstream app {{ server unix:{site.socket}; keepalive 64; keepalive_requests 100000000; }}"
    lines = f"root {site.directory}/htdocs; include /etc/nginx/fastcgi.conf; fastcgi_pass app; fastcgi_keep_conn on;"
    return nginx(site, upstream, LOCATION.format(lines))


def httpd_proxy(scheme: str, module: str, options: str = "") -> Callable[[Site], list[str]]:
    def configure(site: Site) -> list[str]:
        modules = asked("apxs", "-q", "LIBEXECDIR")
        file = f"{DIST}/mod_proxy_gangway.so" if module == "gangway" else f"{modules}/mod_proxy_{module}.so"
        load = f"LoadModule proxy_module {modules}/mod_proxy.so\nLoadModule proxy_{module}_module {file}"
        path = f"{site.directory}/htdocs/" if scheme == "fcgi" else ""
        return httpd(site, f'{load}\nProxyPass "/" "unix:{site.socket}|{scheme}://localhost/{path.lstrip("/")}" {options}')

    return configure


def httpd_fcgid(site: Site, children: int = CHILDREN) -> list[str]:
    """mod_fcgid starts the program by itself, a process for each connection."""
    modules = asked("apxs", "-q", "LIBEXECDIR")
    run = site.directory / "fcgid"
    run.mkdir(exist_ok=True)
    run.chmod(0o777)
    return httpd(
        site,
        f"""LoadModule fcgid_module {modules}/mod_fcgid.so
LoadModule alias_module {modules}/mod_alias.so
FcgidIPCDir {run}
FcgidProcessTableFile {run}/shm
FcgidMaxProcesses {children}
FcgidMaxProcessesPerClass {children}
FcgidMinProcessesPerClass {children}
FcgidMaxRequestsPerProcess 0
<Location "/">
    SetHandler fcgid-script
    FcgidWrapper "{BACKEND}" virtual
    Options +ExecCGI
</Location>""",
    )


@dataclass(frozen=True)
class Front:
    """A web server before a backend. `role`: ours, default (stock out of the box) or tuned (stock at its best)."""

    name: str
    server: str
    backend: str
    role: str
    web: Callable[[Site], list[str]]
    behind: Callable[[Site], list[str]] | None
    scenarios: tuple[str, ...]
    needs: tuple[Path, ...] = ()

    def commands(self, site: Site) -> Commands:
        return [self.behind(site), self.web(site)] if self.behind else [self.web(site)]


ALL, FAST, HELLO = ("hello", "body", "post", "slow"), ("hello", "body", "post"), ("hello",)
NGINX_MODULE, HTTPD_MODULE = (DIST / "ngx_http_gangway_module.so",), (DIST / "mod_proxy_gangway.so",)
UWSGI = (VENV / "bin/uwsgi",)


def fastcgi_fronts(backend: str, behind: Callable[[Site], list[str]]) -> tuple[Front, ...]:
    return (
        Front(f"nginx gangway_pass {backend}", "nginx", backend, "ours", nginx_gangway("fastcgi"), behind, ALL, NGINX_MODULE),
        Front(f"nginx fastcgi_pass {backend}", "nginx", backend, "default", nginx_stock("fastcgi"), behind, ALL),
        Front(f"nginx fastcgi_pass keepalive {backend}", "nginx", backend, "tuned", nginx_keepalive, behind, ALL),
        Front(f"httpd proxy_gangway {backend}", "httpd", backend, "ours", httpd_proxy("fcgi", "gangway"), behind, FAST, HTTPD_MODULE),
        Front(f"httpd proxy_fcgi {backend}", "httpd", backend, "default", httpd_proxy("fcgi", "fcgi"), behind, FAST),
        Front(f"httpd proxy_fcgi reuse {backend}", "httpd", backend, "tuned", httpd_proxy("fcgi", "fcgi", "enablereuse=on"), behind, FAST),
    )


def other_fronts(scheme: str, behind: Callable[[Site], list[str]], needs: tuple[Path, ...] = ()) -> tuple[Front, ...]:
    ours = httpd_proxy(scheme, "gangway")
    return (
        Front(f"nginx gangway_pass {scheme}", "nginx", scheme, "ours", nginx_gangway(scheme), behind, ALL, NGINX_MODULE + needs),
        Front(f"nginx {scheme}_pass", "nginx", scheme, "default", nginx_stock(scheme), behind, ALL, needs),
        Front(f"httpd proxy_gangway {scheme}", "httpd", scheme, "ours", ours, behind, HELLO, HTTPD_MODULE + needs),
        Front(f"httpd proxy_{scheme}", "httpd", scheme, "default", httpd_proxy(scheme, scheme), behind, HELLO, needs),
    )


FCGID = Path("/usr/lib/apache2/modules/mod_fcgid.so")
FRONTS = (
    *fastcgi_fronts("libfcgi", libfcgi),
    Front("httpd fcgid libfcgi", "httpd", "libfcgi", "tuned", httpd_fcgid, None, FAST, (FCGID,)),
    *fastcgi_fronts("php-fpm", php),
    *other_fronts("scgi", scgi),
    *other_fronts("uwsgi", uwsgi, UWSGI),
)
