# SPDX-License-Identifier: MIT OR Apache-2.0
"""Several sites with a Python environment each: an nginx of each site's owner behind the one in front (examples/sites)."""

import json
import os
import pwd
import re
import shutil
import signal
import subprocess

import pytest

from harness import places
from harness.deadline import wait_until

EXAMPLE = places.REPOSITORY / "examples" / "sites"
DOCUMENTED_HTTPD = re.search(
    r"```apache\n(<VirtualHost \*:80>\n    ServerName shop\.example\n.*?)```", (places.REPOSITORY / "docs" / "python.md").read_text(), re.S
)[1]  # fmt: skip
OWNER = "nobody"
APP = """
import json, os, sys
def app(environ, start_response):
    names = ("SERVER_NAME", "SERVER_PORT", "HTTP_HOST", "REMOTE_ADDR", "wsgi.url_scheme", "PATH_INFO", "HTTPS")
    found = {name: environ.get(name) for name in names}
    found["user"], found["prefix"] = os.geteuid(), sys.prefix
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]
"""


class Site:
    """What examples/sites says, moved from /srv/NAME and /run/gangway-NAME into a scratch folder."""

    def __init__(self, name, folder, server, workspace):
        # Behind httpd, too, a site has an nginx.
        self.nginx, self.module = server.binary, server.module
        if server.kind == "apache":
            self.nginx, self.module = places.NGINX, workspace.module("nginx")
        self.folder, self.run = folder / name, folder / f"run-{name}"
        self.folder.mkdir()
        self.run.mkdir()
        (self.folder / "app.py").write_text(APP)
        (self.folder / "nginx.conf").write_text(self.moved("site.conf", name, server))
        command = [places.SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(self.folder / ".venv")]
        subprocess.run(command, check=True, timeout=60)
        workers = pwd.getpwnam(places.WORKER_USER).pw_gid if places.AS_ROOT else os.getgid()
        identity = {}
        if places.AS_ROOT:
            owner = pwd.getpwnam(OWNER).pw_uid
            identity = {"user": owner, "group": workers, "extra_groups": []}
            for path in (self.folder, self.run):
                os.chown(path, owner, workers)
        self.run.chmod(0o750)
        command = [str(self.nginx), "-e", "stderr", "-c", str(self.folder / "nginx.conf")]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, **identity)
        wait_until((self.run / "http.sock").exists, "the site's nginx listens")

    def moved(self, file, name, server):
        text = (EXAMPLE / file).read_text() if file.endswith(".conf") else DOCUMENTED_HTTPD
        text = text.replace("/srv/shop", str(self.folder)).replace("/run/gangway-shop", str(self.run))
        text = text.replace("shop.example", f"{name}.example")
        text = text.replace("*:80", f"127.0.0.1:{server.port}")
        text = re.sub(r"listen 80;", f"listen 127.0.0.1:{server.port};", text)
        if self.nginx != places.NGINX:
            text = text.replace("http {", f"http {{\ngangway_engine_dir {server.engines};")
        return re.sub(r"\S*/modules/ngx_http_gangway_module\.so", str(self.module), text)

    def end(self):
        self.process.send_signal(signal.SIGQUIT)
        assert self.process.wait(20) == 0


def modules(site):
    folder = places.APACHE_MODULES
    loaded = "".join(f"<IfModule !{n}_module>\nLoadModule {n}_module {folder}/mod_{n}.so\n</IfModule>\n" for n in ("headers", "proxy", "proxy_http"))
    site.apache_main = loaded


def test_two_sites_with_a_user_and_an_environment_each(launch, scratch, kind, workspace):
    front = launch(modules)
    sites = []
    try:
        for name in ("shop", "blog"):
            sites.append(Site(name, scratch, front, workspace))
        file = "httpd" if kind == "apache" else "front.conf"
        blocks = "".join(site.moved(file, site.folder.name, front) for site in sites)
        configuration = front.folder / "server.conf"
        text = configuration.read_text()
        if kind == "apache":
            # The first virtual host is the one for all other names: the server as it was.
            others = f"<VirtualHost 127.0.0.1:{front.port}>\nServerName localhost\n</VirtualHost>\n"
            configuration.write_text(text + others + blocks)
        else:
            configuration.write_text(text.rstrip().removesuffix("}") + blocks + "}\n")
        front.reload()
        # Where the client names no port, httpd's is that of the scheme.
        port = "80" if kind == "apache" else str(front.port)
        for site in sites:
            found = ask(front, f"{site.folder.name}.example")
            assert found == {
                "SERVER_NAME": f"{site.folder.name}.example", "SERVER_PORT": port,
                "HTTP_HOST": f"{site.folder.name}.example", "REMOTE_ADDR": "127.0.0.1", "wsgi.url_scheme": "http",
                "PATH_INFO": "/a path", "HTTPS": None, "user": pwd.getpwnam(OWNER).pw_uid if places.AS_ROOT else os.geteuid(),
                "prefix": str(site.folder / ".venv"),
            }  # fmt: skip
        # A reload of one site is its owner's own affair.
        os.kill(sites[0].process.pid, signal.SIGHUP)
        wait_until(lambda: ask(front, "shop.example")["HTTP_HOST"] == "shop.example", "the site serves")
    finally:
        for site in sites:
            site.end()
        if kind == "apache":
            # mod_proxy keeps the connections, ended or not; a new process has none.
            front.reload()
            shutil.copy(site.folder / "error.log", scratch / f"{site.folder.name}.log")
    for site in sites:
        assert "[emerg]" not in (site.folder / "error.log").read_text()


def ask(front, host):
    with front.connect() as client:
        # What a client claims of itself reaches no site.
        forged = [("X-Real-IP", "192.0.2.1"), ("X-HTTPS", "on"), ("X-Port", "443")]
        client.request("GET", "/a%20path", forged, host=host)
        response = client.response()
        assert response.status == 200, response.text
        return json.loads(response.body)
