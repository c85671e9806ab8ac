# SPDX-License-Identifier: MIT OR Apache-2.0
"""FastCGI programs of other languages than those of test_programs, with their own libraries."""

import concurrent.futures
import functools
import os
import shutil
import subprocess

import pytest

from harness import programs, venvs
from harness.command import Gangway
from harness.deadline import wait_until

# Servers of other tests are asked as well when something is asked for by its name.
NAME = f"spoken-{os.getpid()}"
GO = shutil.which("go")
LANGUAGES = ["ruby", pytest.param("go", marks=pytest.mark.skipif(GO is None, reason="Go is not installed"))]


@functools.cache
def go_program():
    """Compiled once."""
    target = venvs.home() / "tests-fcgi-go"
    source = programs.SOURCES / "fcgi.go"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        made = target.with_suffix(f".{os.getpid()}")
        folders = {"HOME": str(venvs.home()), "GOCACHE": str(venvs.home() / "go-cache"), "GO111MODULE": "off", "CGO_ENABLED": "0"}
        subprocess.run([GO, "build", "-o", made, source], check=True, env=os.environ | folders, timeout=300)
        made.replace(target)
    return target


def ruby(site):
    site.body_limit = 8 << 20
    site.spawn("/app/", "/usr/bin/ruby", programs.sources(site.scratch) / "fcgi.rb", name=NAME, processes=2)


def go(site):
    site.body_limit = 8 << 20
    # The server's user cannot look into everybody's folders.
    program = site.scratch / "fcgi-go"
    shutil.copy(go_program(), program)
    program.chmod(0o755)
    site.spawn("/app/", program, name=NAME, threads=4, timeout="10s")


@pytest.fixture
def begun(launch, request):
    """A server with the program, which has answered."""
    language = request.param
    server = launch(ruby if language == "ruby" else go)
    if language == "ruby":
        # Ruby's library in Ruby ends when it is asked what it can do, and says so at length.
        server.log.allow("GW090[35]")
    wait_until(lambda: server.get("/app/hello").status == 200, "it answers")
    return server


@pytest.mark.parametrize("begun", LANGUAGES, indirect=True)
def test_it_answers_and_a_restart_loses_nothing(begun, workspace):
    assert begun.get("/app/hello").body == b"hello"
    assert begun.get("/app/missing").status == 404
    for size in (0, 1, 70_000, 3_000_000):
        body = os.urandom(size)
        response = begun.post("/app/echo", body)
        assert (response.status, response.body == body) == (200, True)
    before = begun.get("/app/hello").header("X-Process")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(begun.get, "/app/hello") for _ in range(50)]
        Gangway(workspace, begun)("restart", NAME)
        assert {answer.result().status for answer in asked} == {200}
    begun.log.expect("GW0907")
    wait_until(lambda: begun.get("/app/hello").header("X-Process") != before, "another process answers")


@pytest.mark.parametrize("begun", ["ruby"], indirect=True)
def test_a_program_that_ends_when_it_is_asked_is_not_asked_again(begun, workspace):
    """Each process would end before its first request; once is enough to know that."""
    begun.log.expect("GW0903 .*ends when it is asked whether it takes requests")
    failed = len(begun.log.find("ended before it took requests"))
    # The two processes may have begun at the same time.
    assert failed in (1, 2)
    Gangway(workspace, begun)("restart", NAME)
    begun.log.expect("GW0907")
    assert len(begun.log.find("ended before it took requests")) == failed


@pytest.mark.parametrize("begun", LANGUAGES[1:], indirect=True)
def test_a_program_may_have_several_requests_at_a_time(begun):
    """With threads=4 one process has four of them, each of which waits for the others."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: begun.get("/app/together", timeout=20), range(4)))
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"together")] * 4
    assert len({answer.header("X-Process") for answer in answers}) == 1
