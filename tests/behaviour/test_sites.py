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

pytestmark = pytest.mark.servers("nginx", "nginx128")

EXAMPLE = places.REPOSITORY / "examples" / "sites"
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

    def __init__(self, name, folder, server):
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
        command = [str(server.binary), "-e", "stderr", "-c", str(self.folder / "nginx.conf")]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, **identity)
        wait_until((self.run / "http.sock").exists, "the site's nginx listens")

    def moved(self, file, name, server):
        text = (EXAMPLE / file).read_text()
        text = text.replace("/srv/shop", str(self.folder)).replace("/run/gangway-shop", str(self.run))
        text = text.replace("shop.example", f"{name}.example")
        text = re.sub(r"listen 80;", f"listen 127.0.0.1:{server.port};", text)
        return re.sub(r"\S*/modules/ngx_http_gangway_module\.so", str(server.module), text)

    def end(self):
        self.process.send_signal(signal.SIGQUIT)
        assert self.process.wait(20) == 0


def test_two_sites_with_a_user_and_an_environment_each(launch, scratch):
    front = launch(lambda site: None)
    sites = []
    try:
        for name in ("shop", "blog"):
            sites.append(Site(name, scratch, front))
        blocks = "".join(site.moved("front.conf", site.folder.name, front) for site in sites)
        configuration = front.folder / "server.conf"
        text = configuration.read_text()
        configuration.write_text(text.rstrip().removesuffix("}") + blocks + "}\n")
        front.reload()
        for site in sites:
            found = ask(front, f"{site.folder.name}.example")
            assert found == {
                "SERVER_NAME": f"{site.folder.name}.example", "SERVER_PORT": str(front.port),
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
