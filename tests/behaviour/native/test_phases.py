# SPDX-License-Identifier: MIT OR Apache-2.0
"""An engine in C that states the interface "handlers": a check, a filter and a handler of the log, in both servers."""

import subprocess

import pytest

from harness import places

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")

SOURCE = places.REPOSITORY / "tests" / "engines" / "good" / "phases.c"


@pytest.fixture
def server(launch, scratch):
    engines, files = scratch / "engines", scratch / "files"
    engines.mkdir()
    files.mkdir()
    (files / "page.txt").write_text("a page of text" * 10_000)
    engine = engines / "gangway_phases.so"
    command = ["cc", "-shared", "-fPIC", f"-I{places.REPOSITORY / 'include'}", "-o", str(engine), str(SOURCE)]
    subprocess.run(command, check=True, timeout=60)
    engine.chmod(0o755)

    def configure(site):
        site.engine_dir = engines
        site.static("/checked/", files, handlers=("access let-in",))
        site.static("/upper/", files, handlers=("output_filter upper",))
        site.static("/logged/", files, handlers=("log log-it",))
        site.location("/written", handlers=("content write",))
        site.static("/plain/", files)

    return launch(configure, warm=["/plain/page.txt"])


def test_a_check(server):
    assert server.get("/checked/page.txt").status == 403
    assert server.get("/checked/page.txt", headers=[("X-Welcome", "no")]).status == 403
    assert server.get("/checked/page.txt", headers=[("X-Welcome", "yes")]).status == 200


def test_a_filter(server):
    assert server.get("/upper/page.txt").body == b"A PAGE OF TEXT" * 10_000
    assert server.get("/plain/page.txt").body == b"a page of text" * 10_000


def test_a_handler_of_the_log(server):
    assert server.get("/logged/page.txt").status == 200
    server.log.expect("ended with 200")
    assert server.get("/logged/none.txt").status == 404
    server.log.expect("ended with 404")
    server.log.allow("none.txt")


def test_a_response(server):
    response = server.post("/written", b"some bytes")
    assert (response.status, response.body, response.header("Content-Type")) == (201, b"some bytes", "text/plain")
