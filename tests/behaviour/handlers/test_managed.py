# SPDX-License-Identifier: MIT OR Apache-2.0
"""Content handlers with processes= and user=: the same handlers, publisher and pages, in processes of their own."""

import base64
import json
import os
import pwd
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import places
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")

USERS = places.other_users() if places.AS_ROOT else []

MINE = """
import os, sys, threading
from mod_python import apache, util

def who(req):
    req.write(f"{os.getpid()} {os.getuid()}")
    return apache.OK

def chatty(req):
    req.log_error("said by a handler")
    req.register_cleanup(lambda _: apache.log_error("cleaned up after " + req.uri), None)
    req.write("said")
    return apache.OK

def chain(req):
    req.trail = ["first"]
    return apache.OK

def chained(req):
    req.trail.append("second")
    req.write(" ".join(req.trail))
    return apache.OK

def goes(req):
    util.redirect(req, "/elsewhere")

def inside(req):
    req.internal_redirect("/elsewhere")

def half(req):
    req.write(req.read(10))
    return apache.OK

def ends(req):
    os._exit(3)

def slow(req):
    threading.Event().wait(60)

BEGUN = os.getpid()

def begun(req):
    threading.Event().wait(0.2)
    req.write(f"{os.getpid()} {BEGUN} {req.interpreter}")
    return apache.OK
"""

BROKEN = "import a_module_that_nobody_has\n\ndef handler(req):\n    return 0\n"

SHOP = """
from mod_python import Session, psp, util

def index(req):
    return "<html>the shop</html>"

def add(req, item):
    session = Session.Session(req)
    session.setdefault("items", []).append(item)
    session.save()
    return str(len(session["items"]))

def upload(req, picture):
    return f"{picture.filename} {len(picture.value)}"

def template(req):
    return psp.PSP(req, "page.html", vars={"title": "from a file"})

class Admin:
    __auth__ = {"eve": "apple"}
    __auth_realm__ = "the office"
    def users(self, req):
        return "users for " + req.user

admin = Admin()
"""


@pytest.fixture
def serve(launch, scratch, workspace):
    """Starts a server with handlers in processes: of a folder of modules, and of a site of the publisher and of pages."""

    def start(**more):
        folder, site_folder, sessions = scratch / "handlers", scratch / "site", scratch / "sessions"
        shutil.copytree(workspace.apps / "handlers", folder)
        site_folder.mkdir()
        sessions.mkdir(mode=0o700)
        if places.AS_ROOT:
            shutil.chown(sessions, places.WORKER_USER)
        (folder / "mine.py").write_text(MINE)
        (folder / "broken.py").write_text(BROKEN)
        for name, text in {"shop.py": SHOP, "page.html": "<h1><%= title %></h1>", "now.psp": "<%= 6 * 7 %>"}.items():
            (site_folder / name).write_text(text)

        def configure(site):
            site.body_limit = 16_000_000
            where = f"root={folder} processes=1"
            words = {
                "/hello": f"hello {where}",
                "/app/facts": f'hello::facts {where} "option=place=with blanks" interpreter=named',
                "/echo": f"content hello::echo {where}",
                "/returns": f"hello::returns {where}",
                "/debug": f"hello::returns {where} debug=on",
                "/split": f"hello::split {where}",
                "/large": f"hello::large {where}",
                "/who": f"mine::who {where}",
                "/chatty": f"mine::chatty {where}",
                "/chain": f"mine::chain mine::chained {where}",
                "/goes": f"mine::goes {where}",
                "/inside": f"mine::inside {where}",
                "/half": f"mine::half {where}",
                "/ends": f"mine::ends {where}",
                "/asks": f'hello::authenhandler {where} "realm=the vault"',
                **more,
            }
            for path, line in words.items():
                site.location(path, handlers=(line,))
            options = f"option=mod_python.session.database_directory={sessions} processes=1"
            site.location(
                "/site/",
                nginx=f"alias {site_folder}/;\ngangway_python_handler mod_python.publisher {options};",
                apache=f"GangwayPythonHandler mod_python.publisher {options}",
            )
            site.location(
                "/pages/",
                nginx=f"alias {site_folder}/;\ngangway_python_handler mod_python.psp {options};",
                apache=f"GangwayPythonHandler mod_python.psp {options}",
            )
            site.apache_host = f'Alias /site/ "{site_folder}/"\nAlias /pages/ "{site_folder}/"'

        return launch(configure, warm=["/hello"])

    start.folder = scratch / "handlers"
    start.site = scratch / "site"
    return start


@pytest.fixture
def server(serve):
    return serve()


def test_a_handler_is_not_in_the_server(server):
    assert server.get("/hello/below").body == b"Hello from mod_python\n"
    pid, _ = server.get("/who").body.split()
    assert int(pid) in server.managed()


@pytest.mark.skipif(not USERS, reason="needs another user")
def test_its_own_user(serve):
    words = f"mine::who root={serve.folder} user={USERS[0]}"
    _, owner = serve(**{"/mine": words}).get("/mine").body.split()
    assert int(owner) == pwd.getpwnam(USERS[0]).pw_uid


def test_facts(server):
    seen = json.loads(server.get("/app/facts/a%20b?x=1", headers=[("X-Some", "thing")]).body)
    assert (seen["method"], seen["uri"], seen["args"], seen["interpreter"]) == ("GET", "/app/facts/a b", "x=1", "named")
    assert seen["the_request"].startswith("GET /app/facts/a%20b?x=1 HTTP/1.")
    assert (seen["options"], seen["phase"]) == ({"place": "with blanks"}, "PythonHandler")
    assert dict((name.lower(), value) for name, value in seen["headers_in"])["x-some"] == "thing"
    assert seen["remote"] == ["127.0.0.1", "127.0.0.1"] and seen["server"] == "localhost"
    # The web server's word to the process is not the handler's.
    assert not [name for name in seen["env"] if name.startswith("GANGWAY_")]


def test_bodies(server):
    server.log.allow("buffered to a temporary file")
    for size in (0, 10, 70_000, 3_000_000):
        assert server.post("/echo", b"b" * size).body == b"b" * size
    assert len(server.get("/large?8388608").body) == 8 * 1024 * 1024
    assert server.post("/half", b"0123456789" * 1000).body == b"0123456789"
    assert server.get("/hello").status == 200


@pytest.mark.parametrize(("query", "status"), [("status=404", 404), ("raise=403", 403), ("both=409", 409), ("declined", 404), ("status=204", 204)])
def test_what_a_handler_returns(server, query, status):
    assert server.get("/returns?" + query).status == status


@pytest.mark.parametrize("query", ["none", "bool", "error", "staged"])
def test_what_is_no_answer_is_500(server, query):
    assert server.get("/returns?" + query).status == 500
    server.log.expect("GW0319")
    if query != "staged":
        shown = server.get("/debug?" + query)
        assert shown.status == 500 and b"because of PythonDebug On" in shown.body
        server.log.expect("GW0319")


def test_what_would_split_a_head_is_refused(server):
    response = server.get("/split")
    assert (response.status, response.body, response.header("Evil")) == (200, b"refused", None)
    server.log.expect("GW0501")


def test_handlers_of_one_directive_share_the_request(server):
    assert server.get("/chain").body == b"first second"


def test_lines_and_what_comes_after_the_response(server):
    assert server.get("/chatty").body == b"said"
    server.log.expect("said by a handler")
    server.log.expect("cleaned up after /chatty")


def test_redirects(server):
    gone = server.get("/goes")
    assert gone.status == 302 and gone.header("Location").endswith("/elsewhere")
    assert server.get("/inside").status == 500
    server.log.expect("internal_redirect\\(\\) is for handlers in the server's own process")
    server.log.expect("GW0319")


def test_passwords(server):
    asked = server.get("/asks")
    assert (asked.status, asked.header("WWW-Authenticate")) == (401, 'Basic realm="the vault"')
    given = "Basic " + base64.b64encode(b"ada:lovelace").decode()
    assert server.get("/asks", headers=[("Authorization", given)]).status == 200


def test_a_process_that_ends_is_another_one_for_the_next_request(server):
    assert server.get("/ends").status in (502, 503)
    server.log.allow("ended|exited|status 3|GW0|upstream prematurely closed")
    wait_until(lambda: server.get("/who").status == 200, "a new process answers")


def test_a_time_limit(serve):
    server = serve(**{"/slow": f"mine::slow root={serve.folder} processes=1 timeout=1s"})
    assert server.get("/slow").status == 504
    server.log.allow("GW0|slow")
    assert server.get("/hello").status == 200


def test_a_published_site(server):
    assert server.get("/site/shop").body == b"<html>the shop</html>"
    assert server.get("/site/shop.py/").header("Content-Type") == "text/html; charset=utf-8"
    first = server.post("/site/shop/add", b"item=pears", headers=[("Content-Type", "application/x-www-form-urlencoded")])
    assert first.body == b"1"
    cookie = [("Cookie", first.header("Set-Cookie").partition(";")[0])]
    assert server.get("/site/shop/add?item=plums", headers=cookie).body == b"2"
    assert server.get("/site/shop/template").body == b"<h1>from a file</h1>"
    body = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n' + b"p" * 100_000 + b"\r\n--x--\r\n"
    uploaded = server.post("/site/shop/upload", body, headers=[("Content-Type", "multipart/form-data; boundary=x")])
    assert uploaded.body == b"a.png 100000"
    refused = server.get("/site/shop/admin/users")
    assert (refused.status, refused.header("WWW-Authenticate")) == (401, 'Basic realm="the office"')
    given = "Basic " + base64.b64encode(b"eve:apple").decode()
    assert server.get("/site/shop/admin/users", headers=[("Authorization", given)]).body == b"users for eve"
    for hidden in ("shop/_secret", "shop/Session", "shop/index/__globals__", "shop/..%2f_hidden"):
        assert server.get("/site/" + hidden).status in (400, 403, 404), hidden
    server.log.allow("publisher: .* is refused")
    server.log.allow("AH00026|AH10244")
    assert server.get("/pages/now.psp").body == b"42"
    assert server.get("/pages/none.psp").status == 404


def test_a_changed_module(server, serve):
    assert server.get("/site/shop").body == b"<html>the shop</html>"
    (serve.site / "new").write_text(SHOP.replace("the shop", "another"))
    os.replace(serve.site / "new", serve.site / "shop.py")
    wait_until(lambda: server.get("/site/shop").body == b"<html>another</html>", "the changed module answers")


# A server of one request at a time asks for one process at a time.
@pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker")
def test_the_module_of_a_handler_is_loaded_once_for_all_processes(serve):
    server = serve(**{"/begun": f"mine::begun root={serve.folder} processes=2 threads=1"})

    def answers():
        with ThreadPoolExecutor(6) as crowd:
            return crowd.map(lambda _: server.get("/begun").text, range(6))

    found = set()

    def both():
        found.update(answers())
        return len(found) == 2

    wait_until(both, "both processes have answered")
    pids, begun, interpreters = (set(parts) for parts in zip(*(text.split() for text in found), strict=True))
    assert len(pids) == 2 and len(begun) == 1 and not begun & pids
    assert int(*begun) in server.managed() and interpreters == {"main"}


@pytest.mark.parametrize("preload", ["on", "off"])
def test_a_handler_that_cannot_be_loaded(serve, preload):
    server = serve(**{"/broken": f"broken root={serve.folder} processes=1 preload={preload}"})
    server.log.expect('GW0301 cannot load "broken": there is no module "a_module_that_nobody_has"', 30)
    server.log.allow("GW0301|GW0319|GW090|Traceback|ModuleNotFoundError|import a_module|File ")
    assert server.get("/broken", timeout=60).status == 500
    assert server.get("/hello").status == 200
    (serve.folder / "new").write_text("def handler(req):\n    req.write('healed')\n    return 0\n")
    os.replace(serve.folder / "new", serve.folder / "broken.py")
    wait_until(lambda: server.get("/broken").body == b"healed", "it has healed", 60)


@pytest.mark.parametrize(
    ("line", "cure"),
    [
        ("access hello processes=2", "for the phase content"),
        ("output_filter hello processes=2", "for the phase content"),
        ("hello umask=002", "with processes=N or user=NAME"),
        ("hello processes=0", "such as 4"),
        ("hello processes=1 prozesses=2", "did you mean"),
        ("hello processes=1 root=/none", "no directory"),
        ("hello processes=1 handler=hello", 'unknown option "handler"'),
    ],
)
def test_what_cannot_be(configtest, line, cure):
    result = configtest(lambda site: site.location("/x", handlers=(line,)))
    assert result.status == 1 and cure in result.output


def test_it_is_the_only_handler_of_its_place(configtest):
    for lines in [("hello processes=1", "hello processes=1"), ("hello", "hello processes=1"), ("hello processes=1", "hello")]:
        result = configtest(lambda site, lines=lines: site.location("/x", handlers=lines))
        assert result.status == 1, (lines, result.output)


@pytest.mark.servers("apache")
def test_an_inner_place_ends_it(launch, scratch, workspace):
    htdocs = scratch / "files"
    htdocs.mkdir()
    (htdocs / "page.txt").write_text("a page")

    def configure(site):
        site.location("/", handlers=(f"hello root={workspace.apps / 'handlers'} processes=1",))
        site.location("/files", handlers=("off",))
        site.apache_host = f'Alias /files "{htdocs}"'

    server = launch(configure, warm=["/hello"])
    assert server.get("/hello").body == b"Hello from mod_python\n"
    assert server.get("/files/page.txt").body == b"a page"
