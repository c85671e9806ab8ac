# SPDX-License-Identifier: MIT OR Apache-2.0
"""One engine for every libpython of this machine."""

import json
import shutil
import subprocess

import pytest

from harness import places, pythons

PYTHONS = pythons.installed()


@pytest.fixture(params=PYTHONS, ids=lambda python: python.name)
def python(request, workspace):
    return pythons.reachable(request.param, workspace)


def test_the_systems_python_is_among_them():
    assert any(str(python.prefix) == "/usr" for python in PYTHONS)


def whole_job(server):
    """A request of each kind that touches the interpreter's own types."""
    assert server.get("/app/types").text == ""
    assert server.get("/app/iterables?kind=generator").text == "abc"
    assert server.get("/app/write?how=then").text == "writen+iterated"
    assert server.post("/app/echo", b"x" * 100_000).body == b"x" * 100_000
    assert json.loads(server.post("/app/lines?how=iterate", b"a\nb").body) == ["a\n", "b"]
    assert server.get("/app/wrong?what=raise").status == 500
    server.log.expect("GW0306 .*ValueError")
    server.log.allow("Traceback|File|raise")
    server.get("/process/say?how=print")
    server.log.expect("printed line")


HANDLER = """
from mod_python import Session, apache, psp, util

def handler(req):
    form = util.FieldStorage(req)
    session = Session.Session(req)
    session.setdefault("items", []).append(str(form["item"]))
    session.save()
    req.content_type = "text/plain; charset=utf-8"
    psp.PSP(req, string="<% for item in items: %><%= item %>;", vars={"items": session["items"]}).run()
    return apache.OK
"""


def handlers_of(scratch, python):
    """A handler with forms, sessions and pages: the words of its directive."""
    folder, sessions = scratch / "handlers", scratch / "sessions"
    folder.mkdir()
    folder.chmod(0o755)
    sessions.mkdir(mode=0o700)
    if places.AS_ROOT:
        shutil.chown(sessions, places.WORKER_USER)
    (folder / "items.py").write_text(HANDLER)
    return f"items root={folder} python={python.prefix} option=mod_python.session.database_directory={sessions}"


def job_of_handlers(server):
    """A handler, twice: with a session, a form and a page."""
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    first = server.post("/items", b"item=p%C3%A9ars", headers=[kind])
    assert (first.status, first.body) == (200, b"p\xc3\xa9ars;")
    cookie = ("Cookie", first.header("Set-Cookie").partition(";")[0])
    assert server.post("/items", b"item=plums", headers=[kind, cookie]).body == b"p\xc3\xa9ars;plums;"


def test_by_prefix(launch, python, scratch):
    words = handlers_of(scratch, python)

    def configure(site):
        site.location("/items", handlers=(words,))
        site.wsgi("/app", "pep3333:app", python=python.prefix)
        site.wsgi("/process", "process:app", python=python.prefix)

    server = launch(configure, warm=["/app/hello", "/process/facts"])
    found = json.loads(server.get("/process/facts").body)
    assert tuple(found["version"]) == python.version
    assert found["prefix"] == str(python.prefix)
    whole_job(server)
    job_of_handlers(server)
    server.reload()
    assert server.get("/app/hello").text == "hello"


def test_by_library(launch, python):
    server = launch(lambda site: site.wsgi("/process", "process:app", python=python.library))
    assert tuple(json.loads(server.get("/process/facts").body)["version"]) == python.version
    pid = (server.managed() or server.workers())[0]
    maps = open(f"/proc/{pid}/maps").read()
    assert str(python.library.resolve()) in maps


def test_by_venv(launch, python, scratch):
    venv = scratch / "venv"
    subprocess.run([str(python.program), "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    server = launch(lambda site: site.wsgi("/process", "process:app", venv=venv))
    found = json.loads(server.get("/process/facts").body)
    assert tuple(found["version"]) == python.version
    assert found["prefix"] == str(venv)
    assert found["base_prefix"] == str(python.prefix)


def test_children(launch, python, scratch):
    """How a program is started is CPython's own affair, and differs from version to version."""
    # A copy for the workers is not where its program looks for the library.
    library = f"LD_LIBRARY_PATH={python.library.parent}"
    server = launch(lambda site: site.wsgi("/", "children:app", python=python.prefix, env=library))
    server.log.allow("DeprecationWarning|os.fork|self.pid|Traceback|File|raise|LookupError|    ")
    assert json.loads(server.get("/signals").body)["SIGTERM"] == -15
    for way in ("run", "inherit", "preexec", "session", "cwd", "system", "posix_spawn", "spawnv", "fork", "mp-spawn"):
        facts = json.loads(server.get(f"/look?way={way}&out={scratch}/{way}").body)
        assert int(facts["SigBlk"], 16) == 0 and int(facts["SigIgn"], 16) & ~(3 << 31) == 0, way
        assert [entry.split()[0] for entry in facts["fds"]] == ["0", "1", "2", "3"], way
    assert [name for name, _ in json.loads(server.get("/failures").body)] == [
        "FileNotFoundError", "FileNotFoundError", "PermissionError", "FileNotFoundError", "ValueError",
    ]  # fmt: skip
    for method in ("fork", "forkserver"):
        assert json.loads(server.get(f"/pools?method={method}").body) == [1, 2, 3, 4, 5]
    for how, status in (("return", 0), ("exit", 5), ("raise", 1)):
        assert server.post(f"/leave?how={how}&out={scratch}/left", b"x").text == str(status)


@pytest.mark.parametrize("variable", ["LC_ALL=en_US.UTF-8", "LC_ALL=C", "LANG=C.UTF-8"])
def test_encodings(launch, python, variable):
    server = launch(lambda site: site.wsgi("/", "encoded:app", python=python.prefix, env=variable))
    found = json.loads(server.get("/").body)
    assert (found["filesystem"], found["preferred"].lower(), found["open"]) == ("utf-8", "utf-8", "utf-8")


def test_deadlines(launch, python):
    server = launch(lambda site: site.wsgi("/slow", "slow:app", python=python.prefix, threads=1, timeout="1s"))
    server.log.allow("GW0402|GW0313|Traceback|File")
    assert server.get("/slow/loop").status == 504
    assert server.get("/slow/hello").text == "hello"


def test_the_system_python_by_version(launch):
    version = ".".join(map(str, next(p for p in PYTHONS if str(p.prefix) == "/usr").version[:2]))
    server = launch(lambda site: site.wsgi("/process", "process:app", python=version))
    assert json.loads(server.get("/process/facts").body)["base_prefix"] == "/usr"
    assert places.SYSTEM_PYTHON.startswith("/usr/")


@pytest.mark.in_process("applications in processes of their own may each have a Python; managed/test_sites.py has two")
@pytest.mark.skipif(len(PYTHONS) < 2, reason="this machine has one Python only")
def test_two_applications_that_want_different_libpythons_are_refused(configtest, workspace):
    one, two = (pythons.reachable(python, workspace) for python in PYTHONS[:2])

    def both(site):
        site.wsgi("/one", "pep3333:app", python=one.prefix)
        site.wsgi("/two", "process:app", python=two.prefix)

    result = configtest(both)
    assert result.status != 0
    (line,) = [line for line in result.output.splitlines() if "GW0104" in line]
    for part in (".".join(map(str, one.version[:2])), ".".join(map(str, two.version[:2])), "one Python"):
        assert part in line
