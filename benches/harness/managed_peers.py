# SPDX-License-Identifier: MIT OR Apache-2.0
"""Applications in one process of their own: Gangway's, beside those that it runs in the server, application servers behind nginx, mod_wsgi's
daemon mode and mod_fcgid."""

import dataclasses
import sys
from pathlib import Path

from .peers import APPS, DIST, HTTPD_MODULES, NGINX_MODULES, PEERS, VENV, Commands, Peer, Site, before, httpd, nginx
from .upstream_peers import CHILDREN, FCGID, compiled, httpd_fcgid

ADOPT = str(Path(__file__).with_name("adopt.py"))
HOST = "gangway-host"
# One process for each connection of the scenario that waits: a process of mod_fcgid's has one request at a time.
WAITING = 64


def target(site: Site) -> str:
    return f"{APPS / site.scenario.module}.py:application venv={VENV} threads={site.scenario.threads} processes=1"


def adopted(command: list[str]) -> Commands:
    return [[sys.executable, ADOPT, *command]]


def nginx_managed(site: Site, dist: Path = DIST) -> Commands:
    location = f"location / {{ gangway_wsgi {target(site)}; }}"
    return adopted(nginx(site, "", location, f"load_module {dist}/ngx_http_gangway_module.so;"))


def httpd_managed(site: Site, dist: Path = DIST) -> Commands:
    lines = f"LoadModule gangway_module {dist}/mod_gangway.so\n<Location />\n    GangwayWSGI {target(site)}\n</Location>"
    return adopted(httpd(site, lines))


def fcgid(site: Site) -> Commands:
    compiled()
    return [httpd_fcgid(site, WAITING if site.scenario.waits else CHILDREN)]


def of(name: str, role: str) -> Peer:
    """One of the other suite's, in another role."""
    return dataclasses.replace(next(peer for peer in PEERS if peer.name == name), role=role)


NGINX_NEEDS, HTTPD_NEEDS = (*NGINX_MODULES, DIST / HOST), (*HTTPD_MODULES, DIST / HOST)
MANAGED_PEERS = (
    of("nginx-gangway", "ceiling"),
    Peer("nginx-managed", "nginx + managed Gangway", "nginx", "gangway", nginx_managed, NGINX_NEEDS),
    of("nginx-granian", "peer"),
    of("nginx-uwsgi", "peer"),
    of("nginx-gunicorn", "peer"),
    of("httpd-gangway", "ceiling"),
    Peer("httpd-managed", "httpd + managed Gangway", "httpd", "gangway", httpd_managed, HTTPD_NEEDS),
    of("httpd-mod_wsgi-daemon", "peer"),
    Peer("httpd-fcgid", "httpd + mod_fcgid, a C program", "httpd", "peer", fcgid, (FCGID,), lacks=("flask",)),
)
MANAGED_PEERS += before(nginx_managed, httpd_managed, "managed")
