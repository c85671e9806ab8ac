# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Django site with its admin, sqlite, and static files served by the web server."""

import os
import re
import shutil
import threading
from urllib.parse import urlencode

import pytest

from harness import places, venvs
from harness.forms import FORM, multipart

WARM = ("/", "/admin/login/")


def manage(venv, project, data, *words):
    environment = {**os.environ, "DJANGO_DATA": str(data), "DJANGO_SUPERUSER_PASSWORD": "secret"}
    return venvs.run(str(venv / "bin" / "python"), "manage.py", *words, cwd=project, env=environment)


def configure(site, kind):
    venv = venvs.applications_venv()
    project = site.apps / "djangosite"
    data = site.apps.parent / f"django-{kind}"
    data.mkdir()
    site.body_limit = 20 << 20
    manage(venv, project, data, "migrate", "--verbosity=0")
    manage(venv, project, data, "createsuperuser", "--noinput", "--username=admin", "--email=a@example.org")
    manage(venv, project, data, "collectstatic", "--noinput", "--verbosity=0")
    (data / "served.bin").write_bytes(os.urandom(300_000))
    (data / "media").mkdir()
    for path in (data, data / "db.sqlite3", data / "media"):
        shutil.chown(path, places.WORKER_USER)
    site.wsgi(
        "/", "site_of_tests.wsgi:application", root=project, venv=venv, env=[f"DJANGO_DATA={data}"], threads=4,
    )  # fmt: skip
    site.static("/static/", data / "static", apache="GangwayWSGI Off")
    site.data = data


class Browser:
    """Keeps cookies and the CSRF token, as a browser does."""

    def __init__(self, server):
        self.server = server
        self.cookies = {}

    def request(self, method, path, body=None, headers=()):
        fields = [*headers, ("Cookie", "; ".join(f"{k}={v}" for k, v in self.cookies.items()))]
        response = self.server.request(method, path, fields, body)
        for line in response.all("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, **fields):
        token = {"csrfmiddlewaretoken": self.cookies.get("csrftoken", "")}
        return self.request("POST", path, urlencode({**token, **fields}).encode(), FORM)


@pytest.fixture
def admin(server):
    browser = Browser(server)
    assert "csrfmiddlewaretoken" in browser.get("/admin/login/").text
    response = browser.post("/admin/login/?next=/admin/", username="admin", password="secret")
    assert (response.status, response.header("Location")) == (302, "/admin/"), response.text
    return browser


def test_the_admin_logs_in_and_out(server, admin):
    page = admin.get("/admin/")
    assert page.status == 200
    assert "Site administration" in page.text
    assert admin.post("/admin/logout/").status == 200
    assert admin.get("/admin/").status == 302


def test_a_wrong_password_does_not_log_in(server):
    browser = Browser(server)
    browser.get("/admin/login/")
    response = browser.post("/admin/login/", username="admin", password="wrong")
    assert response.status == 200
    assert "Please enter the correct username" in response.text


def test_the_admin_adds_a_row(server, admin):
    assert admin.get("/admin/notes/note/add/").status == 200
    assert admin.post("/admin/notes/note/add/", title="by the admin", _save="Save").status == 302
    assert "by the admin" in admin.get("/admin/notes/note/").text


def test_a_form_needs_its_token(server):
    assert server.post("/notes/", b"title=x", FORM).status == 403
    server.log.expect("Forbidden")


def test_a_form_writes_to_the_database(server):
    browser = Browser(server)
    browser.get("/notes/")
    assert browser.post("/notes/", title="grüß dich").status == 302
    assert "grüß dich" in browser.get("/notes/").text
    assert browser.post("/notes/", title="x" * 51).status == 422
    server.log.allow("Unprocessable")


@pytest.mark.parametrize("size", [1000, 5_000_000])
def test_a_file_field(server, size):
    """Above 2.5 MB Django writes uploads to temporary files."""
    browser = Browser(server)
    browser.get("/notes/")
    content = os.urandom(size)
    body, headers = multipart(content, title=f"note {size}", csrfmiddlewaretoken=browser.cookies["csrftoken"])
    body = body.replace(b'name="file"; filename="up.bin"', b'name="attachment"; filename="up%d.bin"' % size)
    assert browser.request("POST", "/notes/", body, headers).status == 302
    assert browser.get(f"/download/up{size}.bin").body == content


def test_static_files_are_the_servers(server):
    response = server.get("/static/admin/css/base.css")
    assert response.status == 200
    assert response.body == (server.site.data / "static/admin/css/base.css").read_bytes()
    # Django's own answers say this; a file of the server's does not.
    assert response.header("Cross-Origin-Opener-Policy") is None
    assert server.get("/").header("Cross-Origin-Opener-Policy") == "same-origin"


def test_streaming_and_files(server):
    assert server.get("/stream/").text == "".join(f"line {number}\n" for number in range(1000))
    response = server.get("/file/")
    assert response.body == (server.site.data / "served.bin").read_bytes()
    assert response.header("Content-Length") == "300000"


def test_errors(server):
    response = server.get("/broken/")
    assert response.status == 500
    assert "Server Error (500)" in response.text
    server.log.expect("RuntimeError: in a Django view")
    server.log.allow("Internal Server Error|Traceback|File|\\^|    |raise|response =")
    assert server.get("/nowhere/").status == 404
    server.log.allow("Not Found")


def test_append_slash_and_redirects(server):
    response = server.get("/notes")
    assert (response.status, response.header("Location")) == (301, "/notes/")


def test_the_request_is_seen_as_it_is(server):
    assert server.get("/?q=%C3%A9").text == "/?q=%C3%A9 of  for AnonymousUser"
    assert server.get("/", [("Host", "evil.example")]).status == 400
    server.log.expect("Invalid HTTP_HOST header")
    server.log.allow("Bad Request|Traceback|File|\\^|    |django|DisallowedHost|raise")


def test_writers_at_the_same_time(server):
    browsers = [Browser(server) for _ in range(6)]
    statuses = []

    def write(index, browser):
        browser.get("/notes/")
        for number in range(5):
            statuses.append(browser.post("/notes/", title=f"w{index}n{number}").status)

    threads = [threading.Thread(target=write, args=pair) for pair in enumerate(browsers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [302] * 30
    assert len(set(re.findall(r"w\dn\d", server.get("/notes/").text))) == 30


DOCUMENTED = re.search(r"```python\n(LOGGING = \{.*?\n\})\n```", (places.REPOSITORY / "docs" / "python.md").read_text(), re.S)[1]


def changed_site(site, scratch, kind, settings, **options):
    """The site with other settings for what it logs."""
    project = scratch / "project"
    shutil.copytree(site.apps / "djangosite", project)
    file = project / "site_of_tests" / "settings.py"
    text = re.sub(r"LOGGING = \{.*?\n\}\n", "", file.read_text(), flags=re.S)
    file.write_text(text + settings)
    data = scratch / "data"
    data.mkdir()
    target = "site_of_tests.wsgi:application"
    site.wsgi("/", target, root=project, venv=venvs.applications_venv(), env=[f"DJANGO_DATA={data}"], **options)


def test_the_documented_logging_shows_errors_of_views(launch, kind, scratch):
    server = launch(lambda site: changed_site(site, scratch, kind, DOCUMENTED))
    assert server.get("/broken/").status == 500
    line = server.log.expect("ERROR django.request: Internal Server Error: /broken/")
    assert "127.0.0.1" in line.raw
    server.log.expect("Traceback")
    server.log.expect("views.py")
    server.log.allow("WARNING django|    |  File|Error")


def test_without_it_django_logs_nothing_and_debug_shows_nothing(launch, kind, scratch):
    server = launch(lambda site: changed_site(site, scratch, kind, "", debug=True))
    page = server.get("/broken/")
    assert page.status == 500 and "Traceback" not in page.text
    assert not server.log.find("Traceback|broken/.*Error")


def test_django_lets_exceptions_through_where_it_is_told_to(launch, kind, scratch):
    server = launch(lambda site: changed_site(site, scratch, kind, "DEBUG_PROPAGATE_EXCEPTIONS = True\n", debug=True))
    page = server.get("/broken/")
    assert page.status == 500 and "views.py" in page.text
    server.log.expect("GW0306")
    server.log.allow("Traceback|    |  File|Error")
