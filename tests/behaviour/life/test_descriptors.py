# SPDX-License-Identifier: MIT OR Apache-2.0
"""At the limit of open files the log names the limit, and nobody who is not at fault."""

import contextlib
import subprocess

import pytest

from harness import places, processes, scripts

WARM = ("/cgi/see", "/app/hello")
NAMED = r"too many open files: this process has reached its limit of \d+ descriptors"


def configure(site, kind):
    folder = scripts.Folder(site.scratch / "cgi")
    folder.python("see", scripts.SEE)
    site.cgi("/cgi", folder)
    # httpd would look for such files itself.
    site.apache_main = '<Directory "/">\nAllowOverride None\n</Directory>'
    site.wsgi("/app", "pep3333:app")
    site.file = site.scratch / "file"
    site.file.write_bytes(b"f" * 300_000)
    if kind.startswith("apache"):
        site.passes("/unix/", f"fastcgi://unix:{site.scratch}/nobody.sock")


def limit(pid, soft=None):
    """Sets the soft limit of a worker, as its own user, who may. Answers the one before."""
    if soft is None:
        asked = ["--output=SOFT", "--noheadings", "--nofile"]
    else:
        asked = [f"--nofile={soft}:"]
    user = {"user": places.WORKER_USER, "group": places.WORKER_USER, "extra_groups": []} if places.AS_ROOT else {}
    done = subprocess.run(["prlimit", f"--pid={pid}", *asked], capture_output=True, text=True, check=True, timeout=30, **user)
    return done.stdout.strip()


@contextlib.contextmanager
def full(server):
    """No descriptor is left for the worker; connections that are open already go on."""
    worker = server.worker()
    before = limit(worker)
    used = set(processes.descriptors(worker))
    limit(worker, next(number for number in range(len(used) + 1) if number not in used))
    try:
        yield
    finally:
        limit(worker, before)


def test_a_script(server):
    with server.connect() as client:
        client.request("GET", "/app/hello")
        assert client.response().status == 200
        with full(server):
            client.request("GET", "/cgi/see")
            assert client.response().status in (500, 502, 503)
        line = server.log.expect(f"GW08.*{NAMED}|GW0601.*{NAMED}").raw
        assert "reload the server" not in line
        server.log.allow("GW08|GW06|socket\\(\\) failed|Too many open files")
    assert server.get("/cgi/see").status == 200


def test_a_file_of_an_application(server):
    with server.connect() as client:
        client.request("GET", "/app/hello")
        assert client.response().status == 200
        with full(server):
            client.request("GET", f"/app/send_file?path={server.site.file}")
            with contextlib.suppress(Exception):
                client.response()
        assert not server.log.find("broke its contract")
        server.log.allow("GW|Too many open files|Traceback|File|OSError|    ")
    assert server.get(f"/app/send_file?path={server.site.file}").status == 200


@pytest.mark.servers("apache")
def test_a_backend(server):
    with server.connect() as client:
        client.request("GET", "/app/hello")
        assert client.response().status == 200
        with full(server):
            client.request("GET", "/unix/x")
            assert client.response().status == 503
        server.log.expect(f"GW0601.*{NAMED}")
        assert not server.log.find("AH0095[79]"), "the backend is not at fault"
