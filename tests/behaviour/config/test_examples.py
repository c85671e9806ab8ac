# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every example configuration is loaded by both servers and answers, with its paths moved to this checkout."""

import os
import re
import shutil

import pytest

from harness import hosts, places, programs, venvs
from harness.websocket import WebSocket

EXAMPLES = sorted(path.parent.name for path in (places.REPOSITORY / "examples").glob("*/nginx.conf"))
# What the application says to one request, and what it needs to be set up.
ANSWERS = {
    "flask": ("/", "Flask inside"),
    "fastapi": ("/", "FastAPI inside the server"),
    "wsgi": ("/anything?x=1", "Hello from"),
    "cgi": ("/cgi-bin/hello/anything", "You asked for /cgi-bin/hello/anything."),
    "django": ("/", "<form"),
    "php": ("/any/page?x=1", " answers /any/page for 127.0.0.1"),
    "systemd": ("/anything?x=1", "Hello from"),
    "processes": ("/shop/", "Flask runs in process"),
    "websocket": ("/", "<title>Chat</title>"),
}


def localized(text, name, folder, server):
    """The example with this machine's paths instead of /srv/NAME and Debian's module folders."""
    venv = venvs.asgi_venv() if name == "fastapi" else venvs.applications_venv()
    text = text.replace(f"/srv/{name}/.venv", str(venv))
    text = text.replace(f"/srv/{name}", str(folder))
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
    text = re.sub(r"\S*/modules/(ngx_http_gangway_module|mod_gangway)\.so", str(server.module), text)
    text = re.sub(r"\S*/modules/(mod_proxy_gangway\.so)", rf"{server.module.parent}/\1", text)
    for user, account in zip(("shop", "wiki"), places.other_users(), strict=False):
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


@pytest.mark.servers("nginx", "nginx128")
def test_the_chat_example_tells_everybody(example, launch):
    server = launch(example("websocket"), warm=["/"])
    server.log.allow(r"/\.ready")
    first, second = (WebSocket(server.connect(), "/") for _ in range(2))
    second.text("hello, all")
    for client in (first, second):
        client.expect_text("hello, all")
        client.close()


def test_the_example_with_processes_has_three_users(example, launch):
    server = launch(example("processes"), warm=["/shop/", "/any/page"])
    shop, wiki = server.get("/shop/").text.split(), server.get("/any/page").text.split()
    assert wiki[:4] == ["PHP", "8", "answers", "/any/page"]
    pids = int(shop[4]), int(wiki[-1])
    assert set(pids) <= set(server.managed())
    if places.AS_ROOT and len(places.other_users()) > 1:
        users = {os.stat(f"/proc/{pid}").st_uid for pid in (*pids, server.workers()[0])}
        assert len(users) == 3 and int(shop[-1]) == os.stat(f"/proc/{pids[0]}").st_uid


def test_the_django_example_keeps_entries_and_leaves_static_files_to_the_server(example, launch):
    server = launch(example("django"))
    page = server.get("/")
    assert server.get("/static/style.css").header("Content-Type").startswith("text/css")
    cookie = page.header("Set-Cookie").partition(";")[0]
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
    fields = [("Cookie", cookie), ("Content-Type", "application/x-www-form-urlencoded")]
    assert server.post("/", f"csrfmiddlewaretoken={token}&text=kept".encode(), fields).status == 302
    assert "kept" in server.get("/").text
