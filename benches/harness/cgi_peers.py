# SPDX-License-Identifier: MIT OR Apache-2.0
"""Servers that run CGI programs, each as its distribution sets it up."""

import os
import shutil
from pathlib import Path

from . import running
from .peers import DIST, ROOT

SOURCES = ROOT / "benches" / "cgi"
MODULES = Path("/usr/lib/apache2/modules")
PATH = f"{os.environ['PATH']}:/usr/sbin"
USER = "www-data"


class Site:
    def __init__(self, root, name):
        self.name = name
        self.root = root
        self.folder = root / name
        self.folder.mkdir()
        self.port = running.free_port()
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
    ballast = f"location /ballast {{ gangway_wsgi ballast:application root={SOURCES}; }}"
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
