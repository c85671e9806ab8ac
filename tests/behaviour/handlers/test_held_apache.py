# SPDX-License-Identifier: MIT OR Apache-2.0
"""The beginning of a response that waits in httpd: what passes it on, and what it meets there."""

from pathlib import Path

import pytest

from harness.deadline import growth

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")


def configure(site, kind):
    folder = site.apps / "handlers"

    def handler(path, name, more=""):
        site.location(path, apache=f"SetHandler mod_python\nPythonHandler {folder}/{name}\n{more}")

    site.location("/fixed", apache=f"PythonFixupHandler {folder}/flushes.py::notes")
    handler("/looks", "flushes.py::looks", """Header set X-There yes "expr=-U '/fixed/file'" """)
    handler("/bad", "flushes.py::looks", "ErrorDocument 500 /page")
    # A client's bytes in a header that no handler has set.
    site.apache_host = "RewriteEngine On\nRewriteRule ^/bad/(.*)$ - [CO=name:$1:localhost]"
    handler("/page", "flushes.py::page")
    handler("/below", "flushes.py::below")
    handler("/asks", "places.py::asks")


def test_headers_that_ask_for_another_path(server):
    """mod_headers runs the phases of that path, handlers among them, on the thread that passes the response on."""
    for _ in range(3):
        response = server.get("/looks")
        assert (response.status, response.body, response.header("X-There")) == (200, b"first last", "yes")


def test_a_head_that_httpd_refuses(server):
    """httpd has an error's page answer then, which is a handler's."""
    for _ in range(3):
        response = server.get("/bad/%01")
        assert (response.status, response.body) == (500, b"the error's page")
    server.log.expect("AH02430.*Set-Cookie")


def test_what_is_written_below_follows(server):
    client = server.connect()
    client.request("GET", "/below")
    head = client.head()
    assert b"".join(client.blocks(head)).startswith(b"first last")


def wakes(server):
    """How often the threads that pass on what waits have slept."""
    tasks = [task for pid in server.workers() for task in Path(f"/proc/{pid}/task").iterdir()]
    told = [(task / "status").read_text() for task in tasks if (task / "comm").read_text() == "gw-held\n"]
    assert told
    return sum(int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) for text in told)


def test_nobody_looks_at_what_has_left(server):
    """However long the handler goes on, and whatever for."""
    client = server.connect()
    client.send(b"POST /asks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n")
    blocks = client.blocks(client.head())
    assert next(blocks) == b"name?\n"
    assert growth(lambda: wakes(server), 0.5) < 20
    client.send(b"anna")
    assert list(blocks) == [b"anna"]


@pytest.mark.servers("apache", "apache-worker")
@pytest.mark.parametrize("more", ["", "&head"], ids=["small buffer", "large head"])
def test_a_client_that_does_not_read_holds_up_nobody_else(launch, gate, more):
    """What waits leaves only where the kernel takes all of it: the request's thread has the interpreter's lock, and may ask for the response."""

    def small(site):
        configure(site, None)
        handler = f"SetHandler mod_python\nPythonHandler {site.apps}/handlers/flushes.py::stays"
        site.location("/stays", apache=handler)
        site.apache_main = "" if more else "SendBufferSize 2048"

    server = launch(small, warm=["/page"])
    client = server.connect(receive_buffer=1024)
    client.request("GET", f"/stays?{gate.query}{more}")
    handler = gate.visitor()
    for _ in range(50):
        assert server.get("/page").body == b"the error's page"
    handler.go()
    assert client.response().status == 200


@pytest.mark.servers("apache", "apache-worker")
def test_who_waits_for_a_client_has_no_lock(launch):
    """What is done with a head lets leave what waits, to a client that has not read what it had before."""

    def bounded(site):
        configure(site, None)
        site.location("/late", apache=f"SetHandler mod_python\nPythonHandler {site.apps}/handlers/flushes.py::late")
        site.apache_main = "SendBufferSize 65536\nMaxKeepAliveRequests 0"

    server = launch(bounded, warm=["/page", "/late"])
    client = server.connect(receive_buffer=1024)
    client.send(b"GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
    for _ in range(100):
        assert server.get("/page").body == b"the error's page"
    for _ in range(100):
        response = client.response()
        assert (response.status, response.header("X-Late")) == (200, None)
