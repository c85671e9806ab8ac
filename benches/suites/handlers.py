# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_python's handlers: in httpd beside mod_python itself, in nginx beside `return 200`; what a check before a static file costs, and what
handlers cost a request that has none."""

import argparse
from functools import partial
from pathlib import Path

from harness import report
from harness.peers import APPS, HTTPD_MODULES, NGINX_MODULES, Commands, DIST, Peer, Site, asked, httpd, nginx, nginx_gangway, nginx_return
from harness.scenarios import HELLO, Scenario
from suites import wsgi

SCENARIOS = (
    Scenario("httpd", "mod_python hello in httpd", HELLO),
    Scenario("nginx", "mod_python hello and checks in nginx", HELLO),
)
SCENARIO_NAMES = [scenario.name for scenario in SCENARIOS]
DEFAULTS, QUICK = wsgi.DEFAULTS, wsgi.QUICK | {"connections": (32, 1)}

MODULE = "handler_hello"
MOD_PYTHON = Path("/usr/lib/apache2/modules/mod_python.so")
# Where nobody says so, nothing is measured that a kept interpreter would make unequal: both have the system's Python.
PATH = f"PythonPath \"['{APPS}'] + sys.path\""

# CPU of ours against another's at so many connections: the targets.
LIMITS = (
    ("httpd", 32, "httpd-gangway", "httpd-mod_python", 0.7),
    ("httpd", 1, "httpd-gangway", "httpd-mod_python", 1.0),
    ("httpd", 32, "httpd-gangway-reload", "httpd-mod_python-reload", 1.0),
    ("httpd", 1, "httpd-gangway-reload", "httpd-mod_python-reload", 1.0),
    ("nginx", 32, "nginx-handler", "nginx-return", 2.2),
)
# What a check adds to a static file, against what a hello of WSGI adds to `return 200`.
CHECK = 1.5
# A request without handlers, with the module and without it: what two measurements of one thing may differ by.
NOISE = 1.03


def cannot_run() -> str | None:
    return None


def file(site: Site) -> Path:
    """A static file that answers as all others do."""
    folder = site.directory / "htdocs"
    folder.mkdir(exist_ok=True)
    (folder / site.scenario.name).write_bytes(HELLO)
    return folder


def handled(site: Site, load: str, reload: str) -> Commands:
    lines = f"{load}\n{PATH}\nPythonAutoReload {reload}\n<Location />\n    SetHandler mod_python\n    PythonHandler {MODULE}\n</Location>"
    return [httpd(site, lines)]


def gangway_module() -> str:
    return f"LoadModule gangway_module {DIST}/mod_gangway.so"


def ours(site: Site, reload: str) -> Commands:
    return handled(site, gangway_module(), reload)


def theirs(site: Site, reload: str) -> Commands:
    modules = asked("apxs", "-q", "LIBEXECDIR")
    return handled(site, f"LoadModule python_module {modules}/mod_python.so", reload)


def httpd_file(site: Site, lines: str) -> Commands:
    file(site)
    return [httpd(site, lines)]


def httpd_unloaded(site: Site) -> Commands:
    """With the section that httpd looks at there, too."""
    return httpd_file(site, "<Location /elsewhere>\n    SetHandler none\n</Location>")


def httpd_loaded(site: Site) -> Commands:
    """The module, with a handler somewhere else."""
    elsewhere = f"<Location /elsewhere>\n    SetHandler mod_python\n    PythonHandler {MODULE}\n</Location>"
    return httpd_file(site, f"{gangway_module()}\n{PATH}\n{elsewhere}")


def nginx_with(site: Site, location: str) -> Commands:
    return [nginx(site, "", location, f"load_module {DIST}/ngx_http_gangway_module.so;")]


def nginx_handler(site: Site) -> Commands:
    return nginx_with(site, f"location / {{ gangway_python_handler {MODULE} root={APPS} autoreload=off threads={site.scenario.threads}; }}")


def nginx_file(site: Site, lines: str = "") -> Commands:
    return nginx_with(site, f"location / {{ root {file(site)}; {lines} }}")


def nginx_checked(site: Site) -> Commands:
    return nginx_file(site, f"gangway_python_handler access {MODULE} root={APPS} autoreload=off threads={site.scenario.threads};")


def nginx_wsgi(site: Site) -> Commands:
    hello = Scenario("hello", "WSGI hello", HELLO, module="hello_anywhere")
    return nginx_gangway(Site(site.directory, site.port, hello))


def of_httpd(name: str, title: str, prepare, needs=HTTPD_MODULES) -> Peer:
    return Peer(name, title, "httpd", "compared", prepare, needs, lacks=("nginx",))


def of_nginx(name: str, title: str, prepare) -> Peer:
    return Peer(name, title, "nginx", "compared", prepare, NGINX_MODULES, lacks=("httpd",))


FIELD = (
    of_httpd("httpd-gangway", "httpd + Gangway, PythonAutoReload Off", partial(ours, reload="Off")),
    of_httpd("httpd-mod_python", "httpd + mod_python, PythonAutoReload Off", partial(theirs, reload="Off"), (MOD_PYTHON,)),
    of_httpd("httpd-gangway-reload", "httpd + Gangway, PythonAutoReload On", partial(ours, reload="On")),
    of_httpd("httpd-mod_python-reload", "httpd + mod_python, PythonAutoReload On", partial(theirs, reload="On"), (MOD_PYTHON,)),
    of_httpd("httpd-file", "httpd, a static file, without the module", httpd_unloaded, ()),
    of_httpd("httpd-file-loaded", "httpd, a static file, with the module and a handler elsewhere", httpd_loaded),
    of_nginx("nginx-return", "nginx return 200", nginx_return),
    of_nginx("nginx-handler", "nginx + Gangway, a handler", nginx_handler),
    of_nginx("nginx-wsgi", "nginx + Gangway, a WSGI hello", nginx_wsgi),
    of_nginx("nginx-file", "nginx, a static file", nginx_file),
    of_nginx("nginx-file-checked", "nginx, a static file behind an access handler", nginx_checked),
)


def verdict(group: dict, ours: str, other: str, ratios: list[float], limit: float) -> dict:
    sound = not any(one["errors"] for one in group["rounds"].get(ours, []))
    where = {"scenario": group["scenario"], "connections": group["connections"], "figure": "CPU", "ours": ours, "other": other}
    return where | report.judge(ratios, limit, sound)


def cpu(group: dict, *names: str) -> list[tuple[float, ...]]:
    """What these cost in each round that all of them have."""
    return list(zip(*([one["cpu"] for one in group["rounds"].get(name, [])] for name in names)))


def verdicts(group: dict) -> list[dict]:
    found = []
    for scenario, connections, mine, other, limit in LIMITS:
        pairs = cpu(group, mine, other)
        if (group["scenario"], group["connections"]) == (scenario, connections) and pairs:
            found.append(verdict(group, mine, other, [a / b for a, b in pairs], limit))
    if pairs := cpu(group, "httpd-file-loaded", "httpd-file"):
        found.append(verdict(group, "httpd-file-loaded", "httpd-file", [a / b for a, b in pairs], NOISE))
    names = ("nginx-file-checked", "nginx-file", "nginx-wsgi", "nginx-return")
    if rounds := [row for row in cpu(group, *names) if row[2] > row[3]]:
        ratios = [(checked - plain) / (wsgi_hello - empty) for checked, plain, wsgi_hello, empty in rounds]
        found.append(verdict(group, "what a check adds", "what a WSGI hello adds", ratios, CHECK))
    return found


def run(options: argparse.Namespace, scratch: Path) -> dict:
    print("CPU us: user + system time of the server per request. Reload: PythonAutoReload On for both. Targets below.")
    found = wsgi.run_all(wsgi.Field(FIELD, SCENARIOS, {}), options, scratch)
    found["verdicts"] = [one for group in found["groups"] for one in verdicts(group)]
    for one in found["verdicts"]:
        ratio = "-" if one["ratio"] is None else f"{one['ratio']:.2f}"
        print(f"{one['result']:6} {one['scenario']} at {one['connections']}: {one['ours']} {ratio} x {one['other']} (at most {one['limit']})")
    return found
