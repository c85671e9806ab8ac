# SPDX-License-Identifier: MIT OR Apache-2.0
"""What becomes of a request is told in the server's own log where that is at debug, and nowhere else."""

import re

import pytest

from harness import scripts
from harness.deadline import wait_until
from harness.upstreams import answered, head, hello

ENDED = (
    r"the response has ended: status=(?P<status>\d+) (?P<kind>application|backend|script)=(?P<name>\S+) "
    r"queue_us=\d+ run_us=\d+( request_id=(?P<id>[\w-]+))?"
)


def told(server):
    """The lines about ends of requests."""
    lines = server.log.path.read_bytes().decode("utf-8", "replace").splitlines()
    return [line for line in lines if re.search(ENDED, line)]


def test_the_end_of_a_request_is_told_at_debug(launch):
    def configure(site):
        site.error_level = "debug"
        site.wsgi("/app", "pep3333:app", params={"REQUEST_ID": "traced-1"})

    server = launch(configure, warm=["/app/types"])
    wait_until(lambda: told(server), "the line of the request that has warmed it")
    before = len(told(server))
    assert server.get("/app/env").status == 200
    line = wait_until(lambda: told(server)[before:], "the line at the end of a request")[-1]
    found = re.search(ENDED, line)
    assert found["status"] == "200" and found["name"] == "pep3333:app" and found["id"] == "traced-1", line
    if server.kind == "apache":
        assert re.search(r"\[gangway:debug\] \[pid \d+(:tid \d+)?\] mod_gangway\.\w+\(0\): \[client 127\.", line), line
    else:
        # At this level nginx names the connection alone.
        assert re.search(r" \[debug\] \d+#\d+: \*\d+ the response", line), line


def test_a_level_is_that_of_a_location(launch, scratch):
    loud = scratch / "loud.log"

    def configure(site):
        site.error_level = "info"
        site.wsgi("/loud", "pep3333:app", nginx=f"error_log {loud} debug;", apache="LogLevel gangway:debug")
        site.wsgi("/calm", "pep3333:app")

    server = launch(configure, warm=["/calm/types"])
    log = server.log.path if server.kind == "apache" else loud

    def ends():
        return re.findall(ENDED, log.read_text(errors="replace") if log.exists() else "")

    for _ in range(3):
        assert server.get("/calm/env").status == 200
    assert server.get("/loud/env").status == 200
    assert len(wait_until(ends, "a line of the loud location")) == 1


ID = ("X-Request-ID", "traced-2")


def end(server, kind, status):
    """What is told of the end of a request of this kind with this status."""
    found = lambda: [end for line in told(server) if (end := re.search(ENDED, line)).group("kind", "status") == (kind, str(status))]
    return wait_until(found, f"the end of a request to a {kind} with {status} is told")[-1]


@pytest.mark.parametrize("protocol", ["fastcgi", "scgi", "uwsgi"])
def test_the_end_of_a_request_to_a_backend_is_told_at_debug(launch, protocol):
    def configure(site):
        site.error_level = "debug"
        site.passes(f"/{protocol}/", site.recorder(protocol))

    server = launch(configure)
    backend = server.site.backends[protocol]
    assert answered(server, backend, head(protocol, b"404 Not Found") + b"no", headers=[ID]).status == 404
    found = end(server, "backend", 404)
    assert found["id"] == "traced-2"
    assert str(backend.port) in found["name"], found["name"]
    backend.refuse()
    server.log.allow("GW07|connect|AH\\d+")
    client = server.connect()
    client.request("GET", f"/{protocol}/x")
    assert end(server, "backend", client.response().status)["name"] == found["name"]


def test_the_end_of_a_script_is_told_at_debug(launch, scratch):
    def configure(site):
        site.error_level = "debug"
        folder = scripts.Folder(scratch / "cgi")
        folder.shell("hello", "echo; echo hello")
        folder.shell("gone", "echo Status: 410; echo; echo gone")
        folder.shell("headless", "exit 3")
        site.cgi("/cgi", folder)

    server = launch(configure, warm=["/cgi/hello"])
    assert server.get("/cgi/gone", [ID]).status == 410
    found = end(server, "script", 410)
    assert found["id"] == "traced-2"
    assert found["name"].endswith("/cgi/gone"), found["name"]
    assert server.get("/cgi/headless").status == 502
    server.log.expect("GW0802")
    server.log.allow("prematurely closed")
    end(server, "script", 502)


def test_what_is_not_at_debug_tells_of_no_end(launch, scratch):
    def configure(site):
        site.error_level = "info"
        folder = scripts.Folder(scratch / "cgi")
        folder.shell("hello", "echo; echo hello")
        site.cgi("/cgi", folder)
        site.passes("/fastcgi/", site.recorder("fastcgi"))

    server = launch(configure, warm=["/cgi/hello"])
    assert server.get("/cgi/hello").status == 200
    assert answered(server, server.site.backends["fastcgi"], hello("fastcgi")).status == 200
    assert not told(server)
