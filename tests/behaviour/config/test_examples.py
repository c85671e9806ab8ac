# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every example configuration is loaded by both servers and answers, with its paths moved to this checkout."""

import json
import os
import re
import shutil
from urllib.parse import quote

import pytest

from harness import hosts, places, programs, venvs
from harness.forms import multipart
from harness.websocket import WebSocket

EXAMPLES = sorted(path.parent.name for path in (places.REPOSITORY / "examples").glob("*/nginx.conf"))
# What the application says to one request, and what it needs to be set up.
ANSWERS = {
    "flask": ("/", "Flask inside"),
    "fastapi": ("/", "FastAPI inside the server"),
    "wsgi": ("/anything?x=1", "Hello from"),
    "mod_python": ("/greet?name=Ada", "Hello, Ada."),
    "cgi": ("/cgi-bin/hello/anything", "You asked for /cgi-bin/hello/anything."),
    "django": ("/", "<form"),
    "php": ("/any/page?x=1", " answers /any/page for 127.0.0.1"),
    "systemd": ("/anything?x=1", "Hello from"),
    "processes": ("/shop/", "Flask runs in process"),
    "websocket": ("/", "<title>Chat</title>"),
    "hosting": ("/shop/", "Flask in process"),
}
# Users of the examples, of which this machine has others.
USERS = ("blog", "shop", "wiki")


def localized(text, name, folder, server):
    """The example with this machine's paths instead of /srv/NAME and Debian's module folders."""
    venv = venvs.asgi_venv() if name == "fastapi" else venvs.applications_venv()
    text = re.sub(rf"/srv/({name}|blog|shop)/\.venv", str(venv), text)
    text = text.replace(f"/srv/{name}", str(folder))
    text = re.sub(r"/srv/(blog|shop|wiki)\b", rf"{folder}/\1", text)
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    text = re.sub(r"\S*/modules/(ngx_http_gangway_module|mod_gangway)\.so", str(server.module), text)
    text = re.sub(r"\S*/modules/(mod_proxy_gangway\.so)", rf"{server.module.parent}/\1", text)
    for user, account in zip([user for user in USERS if f"user={user}" in text], places.other_users(3), strict=False):
        text = text.replace(f"user={user}", f"user={account}")
    if not places.AS_ROOT:
        text = re.sub(r" user=\w+", "", text)
    if fpm := server.site.backends.get("fpm"):
        text = text.replace("unix:/run/php/php-fpm.sock|fcgi://localhost", f"fcgi://{fpm.where}")
        text = text.replace("unix:/run/php/php-fpm.sock", fpm.where)
    if host := server.site.backends.get("host"):
        text = text.replace("unix:/run/blog.sock", host.where)
    if server.kind.startswith("nginx"):
        user = f"user {places.WORKER_USER};\n" if places.AS_ROOT else ""
        home = server.folder
        names = ("client_body", "proxy", "fastcgi", "scgi", "uwsgi", *(("gangway",) if "load_module" in text else ()))
        paths = "".join(f"{n}_temp_path {home}/tmp;\n" for n in names)
        engines = f"gangway_engine_dir {server.engines};\n" if server.engines != server.module.parent and "load_module" in text else ""
        head = f"{user}daemon off;\npid {home}/nginx.pid;\nerror_log {home}/error.log info;\n"
        return head + text.replace("http {", f"http {{\n{paths}{engines}access_log {home}/access.log;\n", 1)
    user = f"User {places.WORKER_USER}\nGroup {places.WORKER_USER}\n" if places.AS_ROOT else ""
    home = server.folder
    head = f"DefaultRuntimeDir {home}\nPidFile {home}/httpd.pid\nErrorLog {home}/error.log\nLogLevel info\n"
    return head + text + user


@pytest.fixture
def example(kind, scratch):
    """`example(name)` copies an example and gives what launch() and configtest() take."""

    def prepare(name):
        folder = scratch / name
        ignored = shutil.ignore_patterns("__pycache__", ".venv", "data")
        shutil.copytree(places.REPOSITORY / "examples" / name, folder, ignore=ignored)
        folder.chmod(0o755)
        if name == "django":
            prepare_django(folder)
        if name == "hosting":
            prepare_hosting(folder)
        text = (folder / ("httpd.conf" if kind == "apache" else "nginx.conf")).read_text()

        def configure(site):
            if name == "php":
                site.program("fpm", programs.PhpFpm(site.scratch))
            if name == "systemd":
                application = places.REPOSITORY / "examples" / "wsgi"
                root = shutil.copytree(application, site.scratch / "blog")
                site.program("host", hosts.Host(site.scratch, "app:app", [f"root={root}"]))
            site.text = lambda server: localized(text, name, folder, server)

        return configure

    return prepare


def prepare_django(folder):
    python = str(venvs.applications_venv() / "bin" / "python")
    venvs.run(python, "manage.py", "migrate", "--verbosity=0", cwd=folder)
    venvs.run(python, "manage.py", "collectstatic", "--noinput", "--verbosity=0", cwd=folder)
    for path in (folder / "data", *(folder / "data").glob("*.sqlite3")):
        shutil.chown(path, places.WORKER_USER)


def prepare_hosting(folder):
    python = str(venvs.applications_venv() / "bin" / "python")
    owners = dict(zip(USERS, places.other_users(3), strict=False)) if places.AS_ROOT else {}
    for site in ("blog", "wiki"):
        (folder / site / "data").mkdir()
    venvs.run(python, "manage.py", "migrate", "--verbosity=0", cwd=folder / "blog")
    for site in ("blog", "wiki"):
        (folder / site / "data").chmod(0o700)
        for path in (folder / site / "data", *(folder / site / "data").iterdir()):
            shutil.chown(path, owners.get(site))


def test_examples_are_complete():
    assert {"fastapi", "flask", "wsgi", "django", "cgi", "php"} <= set(EXAMPLES)
    assert set(EXAMPLES) == set(ANSWERS), "a new example needs its request in ANSWERS"
    for name in EXAMPLES:
        assert (places.REPOSITORY / "examples" / name / "httpd.conf").exists()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_answers(example, launch, configtest, name):
    configure = example(name)
    result = configtest(configure)
    assert result.status == 0, result.output
    path, expected = ANSWERS[name]
    server = launch(configure, warm=[path])
    # The harness asks every server for a page that examples do not have.
    server.log.allow(r"/\.ready")
    response = server.get(path)
    assert (response.status, expected in response.text) == (200, True), response.text[:500]


def test_the_chat_example_tells_everybody(example, launch):
    server = launch(example("websocket"), warm=["/"])
    server.log.allow(r"/\.ready")
    first, second = (WebSocket(server.connect(), "/") for _ in range(2))
    second.text("hello, all")
    for client in (first, second):
        client.expect_text("hello, all")
        client.close()


def test_the_fastapi_example_streams_and_works_on(example, launch):
    server = launch(example("fastapi"), warm=["/", "/facts", "/notes"])
    server.log.allow(r"/\.ready")
    client = server.connect()
    client.request("GET", "/events")
    head = client.head()
    assert head.header("Content-Type").startswith("text/event-stream")
    # Each by itself, half a second after the one before.
    events = [block.decode() for block in client.blocks(head)]
    assert [event.split(" at ")[0] for event in events] == [f"data: {number}" for number in range(1, 6)]
    kind = [("Content-Type", "application/json")]
    # Each process has its own, and a connection has one process.
    client = server.connect()
    client.request("POST", "/notes", kind, b'{"text": "rope"}')
    added = client.response()
    assert (added.status, json.loads(added.body)) == (201, {"text": "rope", "done": False})
    server.log.expect("a note was added: rope")
    client.request("GET", "/notes")
    assert json.loads(client.response().body) == [{"text": "rope", "done": False}]
    body, headers = multipart(bytes(100_000), title="a file")
    assert json.loads(server.post("/upload", body, headers).body)["size"] == 100_000


def test_the_example_with_processes_has_three_users(example, launch):
    server = launch(example("processes"), warm=["/shop/", "/any/page"])
    shop, wiki = server.get("/shop/").text.split(), server.get("/any/page").text.split()
    assert wiki[:4] == ["PHP", "8", "answers", "/any/page"]
    pids = int(shop[4]), int(wiki[-1])
    assert set(pids) <= set(server.managed())
    if places.AS_ROOT and len(places.other_users()) > 1:
        users = {os.stat(f"/proc/{pid}").st_uid for pid in (*pids, server.workers()[0])}
        assert len(users) == 3 and int(shop[-1]) == os.stat(f"/proc/{pids[0]}").st_uid


def test_the_mod_python_example_has_files_for_members(example, launch):
    server = launch(example("mod_python"), warm=["/greet"])
    server.log.allow(r"/\.ready")
    asked = server.get("/members/minutes.txt")
    assert (asked.status, asked.header("WWW-Authenticate")) == (401, 'Basic realm="The members"')
    let_in = server.get("/members/minutes.txt", headers=[("Authorization", "Basic YWRhOmxvdmVsYWNl")])
    assert (let_in.status, let_in.text) == (200, "For members.\n")


def test_the_django_example_keeps_entries_and_leaves_static_files_to_the_server(example, launch):
    server = launch(example("django"))
    page = server.get("/")
    assert server.get("/static/style.css").header("Content-Type").startswith("text/css")
    cookie = page.header("Set-Cookie").partition(";")[0]
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
    fields = [("Cookie", cookie), ("Content-Type", "application/x-www-form-urlencoded")]
    assert server.post("/", f"csrfmiddlewaretoken={token}&text=kept".encode(), fields).status == 302
    assert "kept" in server.get("/").text


@pytest.fixture
def host(example, launch):
    if places.AS_ROOT and len(places.other_users(3)) < 3:
        pytest.skip("there are not three accounts besides that of the workers")
    server = launch(example("hosting"), warm=["/blog/", "/shop/", "/wiki/admin/"])
    server.log.allow(r"/\.ready")
    return server


def runs(server, path):
    """In which process of which user an application has answered."""
    found = re.search(r"in process (\d+) of user (\d+)", server.get(path).text)
    return int(found[1]), int(found[2])


def test_the_example_of_a_host_has_three_sites_of_three_users(host):
    found = {path: runs(host, path) for path in ("/blog/", "/shop/", "/wiki/admin/")}
    assert {pid for pid, _ in found.values()} <= set(host.managed())
    assert all(os.stat(f"/proc/{pid}").st_uid == user for pid, user in found.values())
    if places.AS_ROOT:
        users = {user for _, user in found.values()}
        assert len(users) == 3 and not users & {0, os.stat(f"/proc/{host.workers()[0]}").st_uid}
    applications = json.loads(host.get("/gangway?json", headers=[("Accept", "*/*")]).body)["applications"]
    assert sorted(app["name"] for app in applications) == ["blog.wsgi:application", "php-cgi", "shop:app"]
    assert all(app["state"] == "serving" for app in applications)
    assert host.get("/shop/goods/rope").text.strip() == '{"name":"rope","price":15}'
    assert 'href="/shop/goods/rope"' in host.get("/shop/").text


def test_the_blog_of_the_host_publishes(host):
    page = host.get("/blog/")
    cookie = page.header("Set-Cookie").partition(";")[0]
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
    fields = [("Cookie", cookie), ("Content-Type", "application/x-www-form-urlencoded")]
    sent = host.post("/blog/", f"csrfmiddlewaretoken={token}&title=A+day+at+sea&text=Calm.".encode(), fields)
    assert (sent.status, sent.header("Location")) == (302, "/blog/1/")
    assert "<h1>A day at sea</h1>" in host.get("/blog/1/").text
    assert 'href="/blog/1/"' in host.get("/blog/").text


def test_the_wiki_of_the_host_has_addresses_that_are_no_files(host):
    assert host.get("/wiki/").status == host.get("/wiki/Knots").status == 404
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    for title, text in (("Knots", "Bowline & sheet bend"), ("Main page", "Welcome")):
        sent = host.post("/wiki/admin/", f"title={quote(title)}&text={quote(text)}".encode(), form)
        assert sent.status == 303 and sent.header("Location").endswith(f"/wiki/{quote(title)}")
    assert "Bowline &amp; sheet bend" in host.get("/wiki/Knots?x=1").text
    assert "Welcome" in host.get("/wiki/").text and "Welcome" in host.get("/wiki/index.php").text
    style = host.get("/wiki/style.css")
    assert (style.status, style.header("Content-Type"), "font-family" in style.text) == (200, "text/css", True)
    for path in ("/wiki/../data/Knots.txt", "/data/Knots.txt", "/wiki/%2e%2e/data/Knots.txt"):
        assert "Bowline" not in host.get(path).text
    host.log.allow("open\\(\\)|AH\\d+|File does not exist|is not found")
