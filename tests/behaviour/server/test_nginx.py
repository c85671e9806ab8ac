# SPDX-License-Identifier: MIT OR Apache-2.0
"""What only nginx has: X-Accel-*, auth_request, mirror, error_page interception, its variables."""

import pytest

from harness import applications
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128")
WARM = ("/app/hello", "/accel/hello", "/guard/ok")
FORMAT = "log_format facts '$uri $status $body_bytes_sent $sent_http_content_type $sent_http_x_seen $request_length';"


def configure(site, kind):
    applications.pep3333(site, kind)
    site.wsgi("/accel", "accel:app")
    site.wsgi("/guard", "accel:guard")
    site.location("/protected/", nginx="internal;", files=str(site.apps / "served"))
    site.location("/open/", files=str(site.apps / "served"))
    site.wsgi("/internal-app", "pep3333:app", nginx="internal;")
    site.wsgi(
        "/guarded", "pep3333:app", nginx="auth_request /guard/decide; auth_request_set $who $upstream_http_x_who;"
    )
    site.wsgi("/mirrored", "pep3333:app", nginx="mirror /mirror;")
    site.location("/mirror", kind="exact", nginx="internal; gangway_wsgi accel:mirror root=%s;" % site.apps)
    site.wsgi("/facts", "pep3333:app", nginx="access_log facts.log facts;")
    site.nginx_http = FORMAT
    site.wsgi("/added", "pep3333:app", nginx="add_header X-Added yes; expires 1h;")
    site.wsgi("/limited", "pep3333:app", nginx="limit_except GET { deny all; }")
    site.wsgi("/blocks", "pep3333:app", nginx="if ($arg_x) { expires 1h; } limit_except GET { deny 10.0.0.0/8; }")


def test_x_accel_redirect_to_a_file(server):
    response = server.get("/accel/file")
    assert response.status == 200
    assert response.body == (server.site.apps / "served" / "README").read_bytes()
    assert response.header("X-Accel-Redirect") is None
    assert response.header("Set-Cookie") == "kept=1"
    assert response.header("Content-Type") == "text/kept"
    assert response.header("Content-Disposition") == "attachment"


def test_x_accel_redirect_never_runs_a_second_application(server):
    response = server.get("/accel/app")
    assert response.status == 500
    assert b"hello" not in response.body
    server.log.expect("GW0508 X-Accel-Redirect leads to an application")


def test_x_accel_redirect_with_a_body_that_is_dropped(server):
    assert server.get("/accel/with_body").body == (server.site.apps / "served" / "README").read_bytes()


def test_x_accel_redirect_to_nowhere_is_404(server):
    server.log.allow("No such file")
    assert server.get("/accel/missing").status == 404


def test_x_accel_redirect_cannot_leave_the_root(server):
    server.log.allow("unsafe|No such file|GW")
    assert server.get("/accel/dots").status in (403, 404, 500, 502)


def test_x_accel_redirect_keeps_the_connection(server):
    client = server.connect()
    for _ in range(3):
        client.request("GET", "/accel/file")
        assert client.response().status == 200
        client.request("POST", "/accel/file", body=b"x" * 20000)
        assert client.response().body.startswith(b"A folder")


def test_x_accel_buffering_and_expires_do_not_reach_the_client(server):
    response = server.get("/accel/words")
    assert response.header("X-Accel-Expires") is None
    assert response.header("X-Accel-Buffering") is None
    assert response.text == "words"


def test_internal_locations_stay_internal(server):
    server.log.allow("No such file|internal")
    assert server.get("/protected/README").status == 404
    assert server.get("/internal-app/hello").status == 404


def test_auth_request_asks_an_application(server):
    assert server.get("/guarded/hello").status == 401
    assert server.get("/guarded/hello", [("X-Token", "wrong")]).status == 403
    server.log.allow("access forbidden")
    response = server.get("/guarded/hello", [("X-Token", "right")])
    assert (response.status, response.body) == (200, b"hello")
    assert server.post("/guarded/echo", b"b" * 50000, [("X-Token", "right")]).body == b"b" * 50000


@pytest.mark.in_process("two applications have a module together in one process alone")
def test_mirrored_requests_run_and_their_answers_vanish(server):
    before = int(server.get("/guard/mirrored").text)
    assert server.get("/mirrored/hello").body == b"hello"
    wait_until(lambda: int(server.get("/guard/mirrored").text) == before + 1, "the mirror has run")


def test_access_log_variables(server):
    server.get("/facts/no_body?status=299+x")
    log = server.folder / "facts.log"
    line = wait_until(lambda: log.read_text(), "the access log has a line")
    assert line.split()[:4] == ["/facts/no_body", "299", "14", "-"]
    assert line.split()[4] == "yes"


def test_headers_of_nginx_itself_are_added(server):
    response = server.get("/added/hello")
    assert response.header("X-Added") == "yes"
    assert response.header("Cache-Control") == "max-age=3600"


def test_access_rules_come_before_the_application(server):
    assert server.get("/limited/hello").status == 200
    assert server.post("/limited/echo", b"x").status == 403
    server.log.expect("access forbidden by rule")


def test_blocks_of_if_and_limit_except_run_their_location_s_application(server):
    """Their configuration replaces the location's, handler included."""
    assert server.get("/blocks/hello").body == b"hello"
    response = server.get("/blocks/hello?x=1")
    assert (response.status, response.body) == (200, b"hello")
    assert response.header("Cache-Control") == "max-age=3600"
    assert server.request("POST", "/blocks/hello", body=b"x").body == b"hello"


def test_master_process_off(launch):
    def single(site):
        site.master = False
        site.wsgi("/app", "pep3333:app")

    server = launch(single, warm=["/app/hello"])
    assert server.get("/app/hello").body == b"hello"
    assert server.post("/app/echo", b"x" * 100000).body == b"x" * 100000
    assert server.quit() == 0
