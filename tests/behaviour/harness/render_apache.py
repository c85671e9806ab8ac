# SPDX-License-Identifier: MIT OR Apache-2.0
"""httpd.conf from a Site."""

import re

from . import places
from .site import quoted

ACCESS_FORMAT = "%m %U%q %>s %B %u"

MODULES = (
    "access_compat alias auth_basic authn_core authn_file authz_core authz_host authz_user deflate dir env expires "
    "filter headers include mime reqtimeout rewrite setenvif"
).split()


STOCK_PROXY = ("proxy_fcgi", "proxy_scgi", "proxy_uwsgi")
BALANCING = ("proxy_balancer", "slotmem_shm", "lbmethod_byrequests")
SCHEMES = {"fastcgi": "fcgi", "scgi": "scgi", "uwsgi": "uwsgi"}


def backend_url(address, path):
    """The address of a backend as ProxyPass takes it, for what is below `path`."""
    protocol, _, where = address.partition("://")
    if where.startswith("unix:"):
        return f"{where}|{SCHEMES[protocol]}://localhost{path}"
    return f"{SCHEMES[protocol]}://{where}{path}"


def section(spec):
    opening, name = {
        "prefix": (f"<Location {quoted(spec.path)}>", "Location"),
        "exact": (f'<LocationMatch "^{re.escape(spec.path)}$">', "LocationMatch"),
        "regex": (f"<LocationMatch {quoted(spec.path)}>", "LocationMatch"),
        "directory": (f"<Directory {quoted(spec.path)}>", "Directory"),
    }[spec.kind]
    lines = []
    if spec.files is not None:
        slash = "/" if spec.path.endswith("/") else ""
        lines.append(f"Alias {quoted(spec.path)} {quoted(spec.files.rstrip('/') + slash)}")
    lines.append(opening)
    if spec.target is not None:
        lines.append(f"    Gangway{spec.interface.upper()} " + " ".join([quoted(spec.target), *map(quoted, spec.options)]))
    if spec.cgi is not None:
        lines += ["    Options +ExecCGI", "    GangwayCGI " + " ".join(["On", *map(quoted, spec.cgi)])]
    if spec.spawn is not None:
        lines.append("    GangwaySpawn " + " ".join(map(quoted, spec.spawn)))
    if spec.passes is not None and not any(other in spec.apache for other in ("proxy:", "ProxyPass", "GangwayPass")):
        # A backend that refused a connection is asked again at once.
        lines.append(f"    ProxyPass {quoted(backend_url(spec.passes, spec.path))} retry=0")
    lines += [f"    GangwayPythonHandler {words}" for words in spec.handlers]
    for key, value in spec.params.items():
        # SetEnv reaches every backend of mod_proxy, whichever module speaks to it.
        lines.append(f"    {'GangwayParam' if spec.passes is None or spec.hosted else 'SetEnv'} {key} {quoted(value)}")
    if spec.apache:
        lines += ["    " + line.strip() for line in spec.apache.strip().splitlines()]
    lines.append(f"</{name}>")
    return "\n".join(lines)


def mpm(site, name):
    if name == "prefork":
        return [
            f"StartServers {site.workers}",
            f"MinSpareServers {site.workers}",
            f"MaxSpareServers {site.workers}",
            f"MaxRequestWorkers {site.workers}",
        ]
    per_child = site.threads_per_child
    total = site.workers * per_child
    # A fixed number of processes: a test that compares descriptors and memory must not meet a new one.
    return [
        f"ThreadsPerChild {per_child}",
        f"ThreadLimit {per_child}",
        # Room for the processes that finish their requests after a graceful restart.
        f"ServerLimit {site.workers + 8}",
        f"StartServers {site.workers}",
        f"MaxRequestWorkers {total}",
        # More would make the event MPM warn that no process is left to start.
        "MinSpareThreads 1",
        f"MaxSpareThreads {total + per_child}",
    ]


def render(site, folder, ports, module, engines, mpm_name, certificate):
    names = [f"mpm_{mpm_name}", *MODULES]
    if site.http2:
        names.append("http2")
    if site.tls:
        names += ["ssl", "socache_shmcb"]
    proxying = any(spec.passes for spec in site.locations)
    if proxying:
        names += ["proxy", *BALANCING, *(STOCK_PROXY if site.upstream == "stock" else ())]
    lines = [f"ServerRoot {quoted(folder)}", f"DefaultRuntimeDir {quoted(folder)}"]
    lines += [f"LoadModule {n}_module {places.APACHE_MODULES}/mod_{n}.so" for n in names]
    if module is not None:
        lines.append(f"LoadModule gangway_module {quoted(module)}")
        if proxying and site.upstream == "gangway":
            lines.append(f"LoadModule proxy_gangway_module {quoted(module.parent / places.PROXY_MODULE)}")
    if places.AS_ROOT:
        user = site.user or places.WORKER_USER
        lines += [f"User {user}", f"Group {user}"]
    lines += mpm(site, mpm_name)
    lines += [
        f"PidFile {quoted(folder / 'httpd.pid')}",
        f"Mutex file:{folder} default",
        "ServerName localhost",
        f"Listen 127.0.0.1:{ports['http']}",
        f"ErrorLog {quoted(folder / 'error.log')}",
        f"LogLevel {'trace8' if site.error_level == 'debug' else 'info'}{' ssl:warn' if site.tls else ''}",
        f'LogFormat "{ACCESS_FORMAT}" harness',
        f"CustomLog {quoted(folder / 'access.log')} harness env=!quiet",
        "SetEnvIf Request_URI ^/\\.ready$ quiet",
        f"TypesConfig {quoted(folder / 'mime.types')}",
        f"DocumentRoot {quoted(folder / 'htdocs')}",
        '<Directory "/">',
        "    Require all granted",
        "</Directory>",
        'RedirectMatch 204 "^/\\.ready$"',
    ]
    if site.http2:
        # Without the last line httpd keeps 103 to itself.
        lines += [f"Listen 127.0.0.1:{ports['http2']}", "Protocols h2 h2c http/1.1", "H2EarlyHints on"]
    if site.gzip:
        lines.append("SetOutputFilter DEFLATE")
    if site.body_limit is not None:
        lines.append(f"LimitRequestBody {site.body_limit}")
    if module is not None and engines != module.parent:
        lines.append(f"GangwayEngineDir {quoted(engines)}")
    lines += [f"GangwayPythonHandler {words}" for words in site.handlers]
    lines.append(site.apache_main)
    content = [site.apache_host, *(section(spec) for spec in site.locations)]
    if not site.tls:
        return "\n".join(lines + content) + "\n"
    lines += [f"Listen 127.0.0.1:{ports['tls']}", f"SSLSessionCache shmcb:{folder}/ssl(65536)"]
    for port, ssl in ((ports["http"], []), (ports["tls"], ssl_lines(certificate))):
        lines += [f"<VirtualHost 127.0.0.1:{port}>", *ssl, *content, "</VirtualHost>"]
    if site.http2:
        lines += [f"<VirtualHost 127.0.0.1:{ports['http2']}>", *content, "</VirtualHost>"]
    return "\n".join(lines) + "\n"


def ssl_lines(certificate):
    return ["SSLEngine on", f"SSLCertificateFile {certificate}.crt", f"SSLCertificateKeyFile {certificate}.key"]
