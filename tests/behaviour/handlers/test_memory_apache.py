# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers in httpd leave nothing behind, also where they raise."""

import pytest

from harness import load

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")

MODULE = """
from mod_python import apache

def handler(req):
    req.content_type = "text/plain"
    req.write("hello ")
    req.write(req.get_options().get("name", "nobody"))
    return apache.OK

def fails(req):
    raise ValueError("on purpose")
"""


@pytest.fixture
def folder(scratch):
    found = scratch / "memory"
    found.mkdir()
    found.chmod(0o755)
    (found / "hello.py").write_text(MODULE)
    return found


def test_memory_stays_flat(launch, folder):
    def configure(site):
        site.workers = 1
        site.location("/hello", apache=f"SetHandler mod_python\nPythonHandler {folder}/hello.py")
        site.location("/fails", handlers=(f"hello root={folder}", f"access hello::fails root={folder}"))

    server = launch(configure)
    server.log.allow("GW0319|on purpose")
    (worker,) = server.workers()

    def ask(count):
        # A child of prefork has one connection at a time.
        for number in range(count):
            status = 500 if number % 8 == 0 else 200
            assert server.get("/fails" if status == 500 else "/hello").status == status

    load.stays_flat(worker, ask, clients=4)
