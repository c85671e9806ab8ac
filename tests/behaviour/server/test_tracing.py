# SPDX-License-Identifier: MIT OR Apache-2.0
"""What becomes of a request is told in the server's own log where that is at debug, and nowhere else."""

import re

from harness.deadline import wait_until

ENDED = (
    r"the response has ended: status=(?P<status>\d+) application=(?P<application>\S+) "
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
    assert found["status"] == "200" and found["application"] == "pep3333:app" and found["id"] == "traced-1", line
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
