# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_python's sessions in httpd: over its processes and threads, with what a request forgets to give back."""

import shutil
import threading

import pytest

from harness import places

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")

COUNTER = """
from mod_python import Session, apache

def handler(req):
    session = Session.Session(req)
    session["count"] = session.get("count", 0) + 1
    session.save()
    if req.args == "raise":
        raise ValueError("with the session in its hands")
    if req.args == "end":
        session.invalidate()
    req.write(f"{session['count'] if session else 'ended'} {int(session.is_new())}")
    return apache.OK

def login(req):
    session = Session.Session(req)
    session["user"] = "eve"
    session.save()
    req.err_headers_out["Location"] = "/"
    raise apache.SERVER_RETURN(apache.HTTP_SEE_OTHER)

def authenhandler(req):
    session = Session.Session(req)
    return apache.OK if "user" in session else apache.HTTP_UNAUTHORIZED
"""


@pytest.fixture
def site(launch, scratch, kind):
    def start(session_type="FileSession", lines=""):
        folder = scratch / "sessions"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
        if places.AS_ROOT:
            shutil.chown(folder, places.WORKER_USER)
        (scratch / "counter.py").write_text(COUNTER)

        def configure(site):
            if kind == "apache-prefork":
                site.workers = 3
            site.apache_main = f"""
                PythonOption mod_python.session.session_type {session_type}
                PythonOption mod_python.session.database_directory "{folder}"
                {lines}
            """
            site.location("/count", apache=f"SetHandler mod_python\nPythonHandler {scratch}/counter.py")
            site.location("/login", apache=f"SetHandler mod_python\nPythonHandler {scratch}/counter.py::login")

        return launch(configure)

    start.folder = scratch / "sessions"
    return start


def cookie_of(response):
    text = response.header("Set-Cookie")
    assert "; HttpOnly" in text and "; SameSite=Lax" in text and "; path=/" in text
    return [("Cookie", text.partition(";")[0])]


@pytest.mark.parametrize("session_type", ["FileSession", "DbmSession"])
def test_no_count_is_lost(site, session_type):
    """Requests of one client at the same time, some of which raise and leave the lock behind: what all have saved is there."""
    server = site(session_type)
    first = server.get("/count")
    assert first.body == b"1 1"
    cookie = cookie_of(first)
    wrong = []

    def ask(number):
        for step in range(10):
            raises = (number + step) % 5 == 0
            response = server.get("/count?raise" if raises else "/count", headers=cookie)
            if response.status != (500 if raises else 200):
                wrong.append(response)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.log.expect("GW0319")
    assert not wrong, wrong[:3]
    assert server.get("/count", headers=cookie).body == b"42 0"


def test_a_session_survives_a_reload_and_ends(site):
    server = site()
    cookie = cookie_of(server.get("/count"))
    server.reload()
    assert server.get("/count", headers=cookie).body == b"2 0"
    ended = server.get("/count?end", headers=cookie)
    assert ended.body == b"ended 0" and "expires=Thu, 01 Jan 1970" in ended.header("Set-Cookie")
    assert server.get("/count", headers=cookie).body == b"1 1"


def test_identifiers_are_not_taken_up(site):
    server = site()
    for foreign in ("0" * 32, "../../../../../../../../etc/passwd", "..%2f..%2fx"):
        response = server.get("/count", headers=[("Cookie", f"pysid={foreign}")])
        assert response.body == b"1 1" and foreign not in response.header("Set-Cookie")


def test_a_cookie_leaves_with_a_redirect(site):
    response = site().get("/login")
    assert response.status == 303 and cookie_of(response)


def test_a_folder_for_everybody_is_refused(site):
    server = site()
    site.folder.chmod(0o1777)
    assert server.get("/count").status == 500
    server.log.expect("can be written to by everybody")
    server.log.expect("GW0319")


def test_hostile_files_are_not_believed(site):
    server = site()
    cookie = cookie_of(server.get("/count"))
    (file,) = [path for path in site.folder.glob("*/*") if path.is_file()]
    trace = site.folder / "trace"
    code = b"cos\nsystem\n(S'touch " + str(trace).encode() + b"'\ntR."
    file.write_bytes(code)
    file.chmod(0o666)
    assert server.get("/count", headers=cookie).body == b"1 1"
    server.log.expect("is refused: .*written to by others")
    assert not trace.exists()
