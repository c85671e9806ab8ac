# SPDX-License-Identifier: MIT OR Apache-2.0
"""Servers of ASGI applications, each as its own documentation recommends for one process, with uvloop everywhere."""

from pathlib import Path

from .peers import (
    APPS,
    DIST,
    HTTPD_MODULES,
    LARGE,
    NGINX_MODULES,
    VENV,
    Commands,
    Peer,
    Site,
    before,
    httpd,
    httpd_c,
    nginx,
    nginx_proxy,
    nginx_return,
)
from .scenarios import HELLO, Scenario

# A child of httpd holds a thread for each request.
MANY = ("io1000",)


def target(site: Site) -> str:
    return f"{APPS / site.scenario.module}.py:application venv={VENV} in_flight=4000"


def gangway_in_nginx(site: Site, dist: Path = DIST) -> Commands:
    location = f"location / {{ gangway_asgi {target(site)}; }}"
    return [nginx(site, "", location, f"load_module {dist}/ngx_http_gangway_module.so;")]


def gangway_in_httpd(site: Site, dist: Path = DIST) -> Commands:
    lines = f"LoadModule gangway_module {dist}/mod_gangway.so\n<Location />\n    GangwayASGI {target(site)}\n</Location>"
    return [httpd(site, lines)]


def uvicorn(site: Site, *bind: str) -> list[str]:
    # https://www.uvicorn.org/deployment/ and /settings/; its keep-alive of 5 seconds is meant for clients, not for an upstream.
    command = [str(VENV / "bin/uvicorn"), *bind, "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    return [*command, "--timeout-keep-alive", "75", "--app-dir", str(APPS), f"{site.scenario.module}:application"]


def granian(site: Site, *bind: str) -> list[str]:
    command = [str(VENV / "bin/granian"), "--interface", "asgi", *bind, "--workers", "1", "--loop", "uvloop", "--http", "1"]
    return [*command, "--log-level", "warning", "--working-dir", str(APPS), f"{site.scenario.module}:application"]


def nginx_uvicorn(site: Site) -> Commands:
    return [uvicorn(site, "--uds", str(site.socket)), nginx_proxy(site)]


def nginx_granian(site: Site) -> Commands:
    return [granian(site, "--uds", str(site.socket), "--uds-permissions", "666", "--no-ws"), nginx_proxy(site)]


def nginx_hypercorn(site: Site) -> Commands:
    # https://hypercorn.readthedocs.io/en/latest/how_to_guides/configuring.html
    command = [str(VENV / "bin/hypercorn"), "--bind", f"unix:{site.socket}", "--workers", "1", "--worker-class", "uvloop"]
    command += ["--keep-alive", "75", "--log-level", "warning"]
    return [[*command, f"{site.scenario.module}:application"], nginx_proxy(site)]


def uvicorn_alone(site: Site) -> Commands:
    return [uvicorn(site, "--host", "127.0.0.1", "--port", str(site.port))]


def granian_alone(site: Site) -> Commands:
    return [granian(site, "--host", "127.0.0.1", "--port", str(site.port))]


def ceiling_answer(scenario: Scenario) -> bytes:
    return scenario.answer if scenario.name in LARGE else HELLO


def answer_in_c(scenario: Scenario) -> bytes:
    return scenario.answer if scenario.posted else ceiling_answer(scenario)


UVICORN, GRANIAN, HYPERCORN = ((VENV / "bin" / name,) for name in ("uvicorn", "granian", "hypercorn"))
ASGI_PEERS = (
    Peer("nginx-return", "nginx return 200 (a file for large answers)", "nginx", "ceiling", nginx_return, answers=ceiling_answer),
    Peer("nginx-gangway", "nginx + Gangway", "nginx", "gangway", gangway_in_nginx, NGINX_MODULES),
    Peer("nginx-uvicorn", "nginx + uvicorn", "nginx", "peer", nginx_uvicorn, UVICORN),
    Peer("nginx-granian", "nginx + granian", "nginx", "peer", nginx_granian, GRANIAN),
    Peer("nginx-hypercorn", "nginx + hypercorn", "nginx", "peer", nginx_hypercorn, HYPERCORN),
    Peer("httpd-c", "httpd C handler", "httpd", "ceiling", httpd_c, answers=answer_in_c, lacks=MANY),
    Peer("httpd-gangway", "httpd + Gangway", "httpd", "gangway", gangway_in_httpd, HTTPD_MODULES, lacks=MANY),
)
# Of WebSockets, and of visitors: nobody's proxy is between.
ALONE_PEERS = (
    Peer("nginx-gangway", "nginx + Gangway", "alone", "gangway", gangway_in_nginx, NGINX_MODULES),
    Peer("httpd-gangway", "httpd + Gangway", "alone", "gangway", gangway_in_httpd, HTTPD_MODULES),
    Peer("uvicorn", "uvicorn", "alone", "peer", uvicorn_alone, UVICORN),
    Peer("granian", "granian", "alone", "peer", granian_alone, GRANIAN),
)
ASGI_PEERS += before(gangway_in_nginx, gangway_in_httpd, lacks=MANY)
ALONE_PEERS += before(gangway_in_nginx, gangway_in_httpd, server="alone")
