# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers of modules that are loaded once (autoreload=off): from the second request on the engine calls them without the package's dispatcher, and
nothing else is to be seen of that."""

import pytest

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")

MODULE = """
import sys
from mod_python import apache

def handler(req):
    name = req.uri.rpartition("/")[2]
    req.content_type = "text/plain"
    return globals()[name](req)

def tells(req):
    told = req.phase, req.hlist.handler, apache.interpreter == req.interpreter, req.get_options(), req.hlist.directory is not None
    req.write(repr(told))
    return apache.OK

def adds(req):
    req.add_handler("PythonHandler", "steady::last")
    req.write("first ")
    return apache.OK

def last(req):
    req.write("last")
    return apache.OK

def stops(req):
    req.add_handler("PythonHandler", "steady::last")
    req.write("alone")
    return apache.DONE

def returns(req): raise apache.SERVER_RETURN(apache.HTTP_NOT_FOUND)
def true(req): return True
def none(req): pass
def fails(req): raise ValueError("on purpose")
def large(req): return 10**20
def leaves(req): sys.exit(3)

def ends(req):
    req._at_end = [lambda: ended.append(req.uri)]
    req.write(str(len(ended)))
    return apache.OK
ended = []

def replaces(req):
    global handler
    handler = replaced
    req.write("from now on")
    return apache.OK

def replaced(req):
    req.write("another one")
    return apache.OK

def beside(req):
    found = []
    for name in ("main", "prev", "next"):
        try:
            found.append(getattr(req, name) is not None)
        except ValueError:
            found.append("refused")
    req.write(repr(found))
    return apache.OK

def goes(req):
    req.internal_redirect("/steady/beside")
    return apache.OK

def accesshandler(req):
    req.notes["access"] = req.phase
    return apache.OK

def both(req):
    req.write(req.notes["access"] + " " + req.phase)
    return apache.OK
"""


@pytest.fixture
def server(launch, scratch):
    folder = scratch / "steady"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "steady.py").write_text(MODULE)

    def configure(site):
        site.workers = 1
        words = f"root={folder} autoreload=off option=a=b"
        site.location("/checked", handlers=(f"access steady {words}", f"steady {words}"))
        site.location("/steady", handlers=(f"steady {words}",))

    server = launch(configure)
    server.log.allow("GW0319|GW0301|GW0501|GW0502|SystemExit|ValueError|TypeError|OverflowError|Traceback|File|raise|sys.exit|the handlers could not be run")
    return server


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("tells", 200, b"('PythonHandler', 'steady', True, {'a': 'b'}, True)"),
        ("adds", 200, b"first last"),
        ("stops", 200, b"alone"),
        ("returns", 404, None),
        ("true", 500, None),
        ("none", 500, None),
        ("fails", 500, None),
        ("large", 500, None),
        ("leaves", 500, None),
    ],
)
def test_each_time_the_same(server, name, status, body):
    for _ in range(4):
        response = server.get("/steady/" + name)
        assert response.status == status
        assert body is None or response.body == body
    # What was before does not stay.
    assert server.get("/steady/adds").body == b"first last"


def test_requests_beside_it(server, kind):
    assert server.get("/steady/beside").body == b"[False, False, False]"
    redirected = server.get("/steady/goes").body
    assert redirected == (b"[False, 'refused', False]" if kind.startswith("nginx") else b"[False, True, False]")


def test_two_phases_of_one_request(server):
    for _ in range(3):
        assert server.get("/checked/both").body == b"PythonAccessHandler PythonHandler"


def test_what_waits_for_the_end_comes_with_it(server):
    assert [server.get("/steady/ends").body for _ in range(3)] == [b"0", b"1", b"2"]


def test_who_sets_another_object_means_that(server):
    assert server.get("/steady/tells").status == 200
    assert server.get("/steady/replaces").body == b"from now on"
    assert [server.get("/steady/tells").body for _ in range(2)] == [b"another one"] * 2
