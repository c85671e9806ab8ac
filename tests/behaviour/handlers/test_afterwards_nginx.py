# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers in nginx that run when the response has ended: log, cleanup, and what handlers have registered."""

import time

import pytest

from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128")

OWN = '''
import threading
from mod_python import apache
import gate

def slow(req):
    gate.Gate({"QUERY_STRING": req.args}).wait("in the log")
    return apache.OK

def facts(req):
    import json
    req.log_error("facts " + json.dumps([req.uri, req.status, req.bytes_sent > 0, dict(req.headers_out.items()), req.method,
        req.headers_in.get("X-Sent"), req.phase, req.content_type]), apache.APLOG_NOTICE)
    return apache.OK

def fails(req):
    raise ValueError("late failure")

def registers(req):
    req.register_cleanup(lambda data: req.log_error(f"cleaned up {data}", apache.APLOG_NOTICE), "a check")
    req.add_handler("PythonLogHandler", __file__ + "::added")
    return apache.OK

def added(req):
    req.log_error(f"added {req.phase}", apache.APLOG_NOTICE)
    return apache.OK

def sleeps(req):
    threading.Event().wait(0.3)
    return apache.OK
'''


def configure(site, kind):
    site.http2 = True
    site.workers = 1
    folder = site.scratch / "afterwards"
    folder.mkdir(exist_ok=True)
    (folder / "own.py").write_text(OWN)
    where = f"root={site.apps}/handlers"
    own = f"root={folder} env=PYTHONPATH={site.apps}"
    site.location(
        "/later",
        nginx=f"gangway_python_handler later {where}; gangway_python_handler log later {where}; gangway_python_handler cleanup later {where};",
    )
    site.static("/files/", site.apps / "served", nginx=f"gangway_python_handler log own::facts {own};")
    site.static("/slow/", site.apps / "served", nginx=f"gangway_python_handler log own::slow {own};")
    site.static("/fails/", site.apps / "served", nginx=f"gangway_python_handler log own::fails {own}; gangway_python_handler cleanup own::added {own};")
    site.static("/registers/", site.apps / "served", nginx=f"gangway_python_handler access own::registers {own};")
    site.static("/flood/", site.apps / "served", nginx=f"gangway_python_handler log own::sleeps {own};")
    site.location("/plain", nginx="return 200 plain;")


def said(server, pattern):
    wait_until(lambda: server.log.find(pattern), f"the log says {pattern}")
    server.log.expect(pattern)


def test_phases_share_the_object(server):
    assert server.get("/later").body == b"answered"
    said(server, r"/later: logged 200 \d+ \['content', 'log', 'refused', 'refused', 'refused'\]")
    said(server, r"/later: cleanup 2 after \['content', 'log'")
    said(server, r"/later: cleanup 1 after")
    said(server, r"/later: cleaned PythonCleanupHandler")


def test_the_response_is_known(server):
    assert server.get("/files/README?x", headers=[("X-Sent", "yes")]).status == 200
    said(server, r'facts \["/files/README", 200, true, \{.*"ETag".*\}, "GET", "yes", "PythonLogHandler", "')
    server.log.allow("No such file")
    assert server.get("/files/none").status == 404
    said(server, r'facts \["/files/none", 404')


def test_a_request_waits_for_none_of_them(server, gate):
    client = server.connect()
    client.request("GET", f"/slow/README?{gate.query}")
    assert client.response().status == 200
    visitor = gate.visitor().at("in the log")
    client.request("GET", "/files/README")
    assert client.response().status == 200, "the next request of the connection"
    visitor.go()


def test_one_that_raises_is_told(server):
    server.log.allow("GW0319")
    assert server.get("/fails/README").status == 200
    said(server, r'GW0319 PythonLogHandler "own::fails" .* ValueError: late failure.*client: 127.0.0.1')
    said(server, r"added PythonCleanupHandler")


def test_what_a_check_has_registered(server):
    assert server.get("/registers/README").status == 200
    said(server, "cleaned up a check")
    said(server, "added PythonLogHandler")


def test_over_http2(server):
    with server.http2() as client:
        assert client.get("/files/README", [("x-sent", "two")]).status == 200
    said(server, r'"GET", "two", "PythonLogHandler"')


def test_the_queue_is_bounded(server):
    server.log.allow("GW0511")
    began = time.monotonic()
    clients = [server.connect() for _ in range(8)]
    for _ in range(150):
        for client in clients:
            client.request("GET", "/flood/README")
        assert {client.response().status for client in clients} == {200}
    assert time.monotonic() - began < 60
    server.log.expect("GW0511 handlers of the phases log and cleanup do not run for this request, for too many wait")


def test_a_worker_that_ends_lets_them_run(launch, scratch):
    folder = scratch / "own"
    folder.mkdir()
    (folder / "own.py").write_text(OWN)

    def configure(site):
        site.location("/x", nginx=f"gangway_python_handler log own::sleeps own::facts root={folder} env=PYTHONPATH={site.apps}; return 200 x;")

    server = launch(configure)
    assert server.get("/x?last").status == 200
    server.reload()
    said(server, r'facts \["/x"')
