# SPDX-License-Identifier: MIT OR Apache-2.0
"""What was counted of a request, in the server's own log: variables of nginx, notes of httpd."""

from pathlib import Path

import pytest

from harness import upstreams
from harness.deadline import wait_until

WARM = ("/app/hello", "/own/hello", "/cgi/hello")
NGINX = "$uri|$gangway_application|$gangway_queue_time|$gangway_app_time|$gangway_process"
HTTPD = "%U|%{gangway-application}n|%{gangway-queue-time}n|%{gangway-app-time}n|%{gangway-process}n"


def configure(site, kind):
    site.nginx_http += f"log_format counted '{NGINX}'; log_subrequest on;"
    site.nginx_server += f"access_log {site.scratch}/counted.log counted;"
    site.apache_host += f'CustomLog "{site.scratch}/counted.log" "{HTTPD}"\n'
    (site.scratch / "counted.log").touch()
    (site.scratch / "counted.log").chmod(0o666)
    site.wsgi("/app", "pep3333:app", threads=4, timeout="20s")
    site.wsgi("/plain", "process:app", threads=4)
    site.wsgi("/own", "pep3333:app", processes=1, name="own")
    site.passes("/behind/", site.recorder("fastcgi", unix=True))
    scripts = site.scratch / "scripts"
    scripts.mkdir()
    (scripts / "hello").write_text("#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\nhello'\n")
    (scripts / "hello").chmod(0o755)
    site.cgi("/cgi/", scripts)
    caught = "ErrorDocument 404 /own/hello\nRequire all granted"
    site.location("/caught/", nginx="error_page 404 = /own/hello; return 404;", apache=caught)
    site.location("/nothing/", nginx="return 204;", apache='Redirect 410 "/nothing/"')
    included = "Options +Includes\nSetOutputFilter INCLUDES"
    site.location("/page/", nginx=f"ssi on; root {site.scratch}; default_type text/html;", apache=included)
    site.apache_host += f'Alias "/page/" "{site.scratch}/page/"\n'
    (site.scratch / "page").mkdir()
    (site.scratch / "page" / "two.html").write_text('<!--#include virtual="/app/hello" -->')


def line(server, path, logged=None, ask=None):
    """What the log says of one request for this path."""
    log = Path(server.site.scratch) / "counted.log"
    before = len(log.read_text().splitlines())
    (ask or server.get)(path)

    def found():
        lines = [line.split("|") for line in log.read_text().splitlines()[before:]]
        return [words[1:] for words in lines if words[0] == (logged or path)]

    return wait_until(found, lambda: f"a line for {logged or path}: {log.read_text()}")[0]


def is_time(text):
    return 0 <= float(text) < 20 and len(text.partition(".")[2]) == 6


def test_an_application_in_the_server(server):
    for path, name in (("/app/hello", "pep3333:app"), ("/plain/facts", "process:app")):
        application, queue, run, process = line(server, path)
        assert application == name and is_time(queue) and is_time(run)
        assert int(process) in server.workers()


def test_an_application_in_processes_of_its_own(server):
    application, queue, run, process = line(server, "/own/hello")
    assert application == "own" and is_time(queue) and is_time(run)
    assert int(process) in server.managed()


def test_a_cgi_program(server):
    application, queue, run, process = line(server, "/cgi/hello")
    assert application.strip("/") == "cgi" and is_time(queue) and is_time(run)
    assert process in ("", "-")


def test_a_backend(server):
    backend = server.site.backends["fastcgi"]

    def answered(path):
        client = server.connect()
        client.request("GET", path)
        peer = backend.next(client)
        peer.request()
        peer.answer(upstreams.hello("fastcgi"))
        assert client.response().status == 200

    application, queue, run, process = line(server, "/behind/x", ask=answered)
    # As mod_proxy calls it, and as the word of gangway_pass does.
    assert application == ("fcgi://localhost/behind/" if server.kind == "apache" else backend.address) and is_time(run)
    assert process in ("", "-")


def test_what_is_no_applications_has_nothing(server):
    assert set(line(server, "/nothing/")) <= {"", "-"}


def test_an_internal_redirect_leads_to_what_answered(server):
    logged = "/own/hello" if server.kind.startswith("nginx") else "/caught/x"
    application, _, run, process = line(server, "/caught/x", logged)
    assert application == "own" and is_time(run) and int(process) in server.managed()


# httpd logs no parts of pages.
@pytest.mark.servers("nginx", "nginx128")
def test_a_part_of_a_page_has_its_own(server):
    application, _, run, _ = line(server, "/page/two.html", "/app/hello")
    assert application == "pep3333:app" and is_time(run)
