# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs in the root of an image, as an engine would run it: the root is read-only, the entry point is the first process of its own namespace and
belongs to nobody but the image's user, without capabilities. Asks it for pages and ends it. `check.py SERVER`."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

SERVER = sys.argv[1]
USER = 10001
URL = "http://127.0.0.1:8080"
APPS = "/tests/apps"


class Container:
    """One run of the image on one application."""

    def __init__(self, folder, env=(), writable_tmp=False):
        self.env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "GANGWAY_DRAIN": "20", "GANGWAY_WORKERS": "1", **dict(env)}
        # /srv/app is mounted in a namespace of its own, as -v does.
        tmp = "mount -t tmpfs -o mode=1777 tmpfs /tmp &&" if writable_tmp else ""
        command = f"mount --bind {APPS}/{folder} /srv/app && {tmp} exec setpriv --reuid={USER} --regid={USER} --clear-groups --no-new-privs " \
            "--bounding-set=-all --inh-caps=-all gangway-image"
        words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", command]
        self.process = subprocess.Popen(words, env=self.env, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # The streams of an engine belong to the user of the image.
        for stream in (self.process.stdout, self.process.stderr):
            os.fchown(stream.fileno(), USER, USER)
        self.lines = {"stdout": [], "stderr": []}
        self.readers = [
            threading.Thread(target=self.read, args=(name, getattr(self.process, name)), daemon=True) for name in self.lines
        ]
        for reader in self.readers:
            reader.start()

    def read(self, name, stream):
        for line in stream:
            self.lines[name].append(line.decode("utf-8", "replace").rstrip("\n"))

    def first(self):
        """The number of the entry point: the only child of unshare."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as file:
            return int(file.read().split()[0])

    def ask(self, path="/", timeout=20):
        deadline = time.monotonic() + timeout
        while True:
            try:
                with urllib.request.urlopen(URL + path, timeout=30) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as answer:
                return answer.code, answer.read().decode()
            except OSError:
                assert self.process.poll() is None, f"it has ended: {self.lines}"
                assert time.monotonic() < deadline, f"no answer: {self.lines}"
                time.sleep(0.1)

    def run(self, *words, env=()):
        """What `docker exec` would run, as the user of the image."""
        words = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "gangway-image", *words]
        return subprocess.run(words, env={**self.env, **dict(env)}, cwd="/", capture_output=True, text=True, timeout=30)

    def health(self, **env):
        return self.run("health", env=env)

    def end(self, number=signal.SIGTERM, status=0):
        os.kill(self.first(), number)
        assert self.process.wait(40) == status, (self.process.returncode, self.lines)
        for reader in self.readers:
            reader.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # With the first process of a namespace all others go.
        if self.process.poll() is None:
            os.kill(self.first(), signal.SIGKILL)
            self.process.wait()


def wait_for(condition, what, container):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what}: {container.health(GANGWAY_HEALTH='off')}, {container.lines}"
        time.sleep(0.05)


def an_application_is_found(folder, page, env=()):
    with Container(folder, env) as container:
        status, body = container.ask()
        assert (status, body) == (200, page), (status, body, container.lines)
        assert container.health().returncode == 0
        container.end()


def logs_and_users():
    with Container("wsgi") as container:
        assert container.ask("/whoami")[1] == f"{USER} {USER}\n"
        assert container.ask("/print?word=hello")[0] == 200
        container.end()
    out, err = container.lines["stdout"], container.lines["stderr"]
    assert any(re.search(r'"GET /whoami HTTP/1.1" 200', line) for line in out), out
    assert any("hello from the application" in line for line in err), err


def failing_is_unhealthy():
    with Container("broken") as container:
        assert container.ask()[0] == 500
        # By the status alone as well, and both say why.
        for env in ({}, {"GANGWAY_HEALTH": "off"}):
            health = container.health(**env)
            assert health.returncode != 0 and re.match(r"app:app is failing: .*a_module_that_is_not_there", health.stderr), health
        container.end()


def health_goes_by_the_status():
    with Container("php") as container:
        container.ask()
        healthy = container.health(GANGWAY_HEALTH="off")
        name = healthy.stdout.partition(": ")[0]
        assert (healthy.returncode, healthy.stdout.partition(": ")[2][:7]) == (0, "serving"), healthy
        stopped = container.run("gangway", "stop", name)
        assert stopped.returncode == 0, stopped
        wait_for(lambda: "is stopped" in container.health(GANGWAY_HEALTH="off").stderr, "its state is not known", container)
        health = container.health()
        assert health.returncode != 0, health
        started = container.run("gangway", "start", name)
        assert started.returncode == 0, started
        wait_for(lambda: container.health().returncode == 0, "it is not healthy again", container)
        # Who is not in the container gets pages of the application, whatever the path.
        assert container.ask("/?json")[1].startswith("php"), container.ask("/?json")
        container.end()
    gone = container.health()
    assert gone.returncode != 0 and "the server tells no status" in gone.stderr, gone


def nothing_to_serve():
    with Container("empty") as container:
        assert container.process.wait(20) == 78
        time.sleep(0.2)
    assert len(container.lines["stderr"]) == 1 and "GANGWAY_APP=module:callable" in container.lines["stderr"][0], container.lines


def draining(number):
    with Container("wsgi") as container:
        container.ask()
        pages = []
        client = threading.Thread(target=lambda: pages.append(container.ask("/slow")))
        client.start()
        wait_for(lambda: any("slow has begun" in line for line in container.lines["stderr"]), "no slow request", container)
        container.end(number)
        client.join(10)
    assert pages == [(200, "begin\nend\n")], (pages, container.lines)


def installed_requirements(folder, page):
    """What is installed at the start, with a /tmp; the image itself is never written."""
    env = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/tests/wheels"}
    with Container(folder, env, writable_tmp=True) as container:
        assert container.ask(timeout=180) == (200, page), container.lines
        assert container.health().returncode == 0
        container.end()


def bill_of_materials():
    with open("/usr/share/gangway/sbom.cdx.json", encoding="utf-8") as file:
        bill = json.load(file)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    purls = {re.sub(r"[@?].*", "", component["purl"]) for component in bill["components"]}
    package = "nginx" if SERVER == "nginx" else "apache2-bin"
    assert {f"pkg:deb/debian/{package}", "pkg:deb/debian/gangway-engine-python", "pkg:cargo/memchr", "pkg:cargo/gangway"} <= purls, purls


def nothing_is_set_uid_by_us():
    """The user of the image has no password, no shell, and owns nothing but the places of the application."""
    found = subprocess.run(["find", "/", "-xdev", "-uid", str(USER)], capture_output=True, text=True).stdout.split()
    assert set(found) <= {"/srv/app", "/srv/venv"}, found


def main():
    checks = [
        ("the user of the image owns nothing else", nothing_is_set_uid_by_us),
        ("a bill of materials", bill_of_materials),
        ("app.py", lambda: an_application_is_found("wsgi", "wsgi\n")),
        ("app.py with an ASGI application", lambda: an_application_is_found("asgi", "asgi\n")),
        ("GANGWAY_INTERFACE", lambda: an_application_is_found("asgi", "asgi\n", {"GANGWAY_APP": "wrapped:app", "GANGWAY_INTERFACE": "asgi"})),
        ("manage.py and a package with wsgi.py", lambda: an_application_is_found("django", "project\n")),
        ("index.php", lambda: an_application_is_found("php", "php cgi-fcgi\n")),
        ("GANGWAY_APP", lambda: an_application_is_found("wsgi", "other\n", {"GANGWAY_APP": "other:handler"})),
        ("logs and users", logs_and_users),
        ("an application that cannot be loaded is not healthy", failing_is_unhealthy),
        ("health goes by the status", health_goes_by_the_status),
        ("no application", nothing_to_serve),
        ("SIGTERM drains", lambda: draining(signal.SIGTERM)),
        ("SIGQUIT drains", lambda: draining(signal.SIGQUIT)),
        ("requirements.txt of Flask", lambda: installed_requirements("flask", "hello from Flask\n")),
        ("requirements.txt of FastAPI", lambda: installed_requirements("fastapi", '"hello from FastAPI"')),
    ]
    failed = 0
    for name, check in checks:
        try:
            with contextlib.ExitStack():
                check()
            print(f"image {SERVER}: {name}", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"image {SERVER}: FAILED: {name}: {error}", flush=True)
    print(f"{len(checks) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
