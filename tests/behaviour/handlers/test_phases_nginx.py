# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers of phases in nginx: gangway_python_handler before static files, backends and applications, and for the content."""

import base64
import json

import pytest

from harness.applications import environ
from harness.upstreams import hello

pytestmark = pytest.mark.servers("nginx", "nginx128")

CHECK = '''
from mod_python import apache

def accesshandler(req):
    answer = req.headers_in.get("X-Let-In", "yes")
    if answer == "error":
        raise ValueError("a check that fails")
    if answer == "none":
        return None
    if answer == "exit":
        raise SystemExit(3)
    if answer == "page":
        req.status = apache.HTTP_FORBIDDEN
        req.content_type = "text/plain"
        req.headers_out["X-Page"] = "own"
        req.write("a page of the check's own")
        return apache.DONE
    if answer == "login":
        req.headers_out["Location"] = "/login"
        req.err_headers_out.add("Set-Cookie", "tried=1")
        return apache.HTTP_MOVED_TEMPORARILY
    if answer == "body":
        req.read()
    req.headers_out["X-Checked"] = "yes"
    req.err_headers_out["X-Always"] = "yes"
    req.notes["checks"] = str(int(req.notes.get("checks", "0")) + 1)
    return apache.OK if answer == "yes" else int(answer)

def authenhandler(req):
    password = req.get_basic_auth_pw()
    if req.headers_in.get("Cookie") == "ticket=grace":
        req.user, req.ap_auth_type = "grace", "Ticket"
        return apache.OK
    return apache.OK if (req.user, password) == ("ada", "lovelace") else apache.HTTP_UNAUTHORIZED

def authzhandler(req):
    return apache.OK if req.user in ("ada", "grace") else apache.HTTP_FORBIDDEN

def declines(req):
    return apache.DECLINED

def hands(req):
    req.err_headers_out["Set-Cookie"] = "seen=1"
    req.headers_out["X-Accel-Redirect"] = "/internal/README"
    return apache.OK

def waits(req):
    import gate
    gate.Gate({"QUERY_STRING": req.args}).wait("in the check")
    return apache.OK

def counts(req):
    """Says how often its module's checks have run for this request."""
    req.write(req.notes.get("checks", "0"))
    return apache.OK
'''


def configure(site, kind):
    site.http2 = True
    site.body_limit = 8_000_000
    folder = site.apps / "handlers"
    checks = site.scratch / "checks"
    checks.mkdir(exist_ok=True)
    (checks / "check.py").write_text(CHECK)
    where = f"root={checks}"
    backend = site.recorder("fastcgi", name="backend")
    site.nginx_server = f"""
        gangway_python_handler post_read_request hello root={folder};
        gangway_python_handler trans hello root={folder} option=outer=everywhere option=both=outer;
    """
    handler = f"gangway_python_handler hello root={folder};"

    def location(name, lines="", path=None):
        site.location(path or f"/app/{name}", nginx=f"gangway_python_handler hello::{name} root={folder};\n{lines}")

    site.location("/hello", nginx=handler)
    for name in ("echo", "lines", "headers", "split", "returns", "large", "cookies", "redirects", "logs", "imports"):
        location(name)
    site.location("/app/hello", nginx=handler)
    site.location("/app/method", nginx=f"gangway_python_handler hello::Method.serve root={folder};")
    location(
        "facts",
        f"""
        gangway_python_handler init hello root={folder} option=both=inner "option=place=with blanks" interpreter=named;
        gangway_python_handler header_parser hello root={folder};
        gangway_python_handler access hello root={folder};
        gangway_python_handler fixup hello hello::trace_declined root={folder};
        gangway_param FROM_NGINX $request_method;
        """,
    )
    site.location("/debug", nginx=f"gangway_python_handler hello::returns root={folder} debug=on;")
    site.location("/chain", nginx=f"gangway_python_handler hello::trace_ok hello::trace_ok hello::facts root={folder};")
    access = f"gangway_python_handler access check {where};"
    private = f"""
        gangway_python_handler authen check {where} "realm=a realm";
        gangway_python_handler authz check {where};
    """
    site.static("/files/", site.apps / "served", nginx=access)
    site.static("/private/", site.apps / "served", nginx=private)
    site.static("/either/", site.apps / "served", nginx=f"satisfy any; deny all;\n{private}")
    site.static("/undecided/", site.apps / "served", nginx=f"gangway_python_handler authen check::declines {where};")
    site.static("/missing/", site.apps / "served", nginx=f"gangway_python_handler access none_such {where};")
    site.passes("/backend/", backend, nginx=access)
    site.passes("/known/", backend, nginx=private)
    site.wsgi("/wsgi", "pep3333:app", nginx=private)
    site.location(
        "/outer/",
        nginx=f"""
        {access}
        location /outer/open/ {{ gangway_python_handler off; alias {site.apps}/served/; }}
        location /outer/access/ {{ gangway_python_handler access off; alias {site.apps}/served/; }}
        location /outer/page/ {{ gangway_python_handler check::counts {where}; }}
        """,
    )
    site.location(
        "/twice/",
        nginx=f"""
        {access}
        gangway_python_handler check::counts {where};
        location /twice/first/ {{ rewrite ^/twice/first/(.*)$ /twice/$1 last; {access} }}
        error_page 404 /twice/lost;
        location /twice/none/ {{ gangway_python_handler content off; alias {site.apps}/served/; }}
        """,
    )
    site.static("/if/", site.apps / "served", nginx=f"if ($args = checked) {{ {access} }}")
    site.static("/internal/", site.apps / "served", nginx="internal;")
    site.location("/hands/", nginx=f"gangway_python_handler check::hands {where};")
    site.static("/slow/", site.apps / "served", nginx=f"gangway_python_handler access check::waits {where} env=PYTHONPATH={site.apps};")
    site.location(
        "/suffix/",
        nginx=f"""
        alias {folder}/;
        gangway_python_handler "hello | .py" root={folder};
        gangway_python_handler "hello::sends | .txt" root={folder};
        """,
    )


def facts(response):
    assert response.status == 200, response.body
    return json.loads(response.body)


def credentials(text):
    return [("Authorization", "Basic " + base64.b64encode(text.encode()).decode())]


def test_hello(server):
    for _ in range(3):
        response = server.get("/hello")
        assert (response.status, response.body) == (200, b"Hello from mod_python\n")
        assert response.header("content-type") == "text/plain"
    assert server.request("HEAD", "/hello").body == b""


def test_facts_of_a_request(server):
    seen = facts(server.get("/app/facts/more?a=b%20c", headers=[("X-Early", "yes"), ("X-Two", "2")]))
    assert (seen["method"], seen["uri"], seen["args"]) == ("GET", "/app/facts/more", "a=b%20c")
    assert (seen["unparsed_uri"], seen["protocol"], seen["proto_num"]) == ("/app/facts/more?a=b%20c", "HTTP/1.1", 1001)
    assert seen["the_request"] == "GET /app/facts/more?a=b%20c HTTP/1.1"
    assert (seen["method_number"], seen["header_only"], seen["status"]) == (0, 0, 200)
    assert (seen["phase"], seen["interpreter"]) == ("PythonHandler", "named")
    assert seen["options"] == {"outer": "everywhere", "both": "inner", "place": "with blanks"}
    assert ["X-Two", "2"] in seen["headers_in"]
    assert seen["remote"] == ["127.0.0.1", "127.0.0.1"]
    assert (seen["server"], seen["env"]["FROM_NGINX"]) == ("localhost", "GET")


def test_phases_run_in_order_and_share_the_object(server):
    seen = facts(server.get("/app/facts", headers=[("X-Early", "early")]))
    assert seen["trail"] == [
        "ok PythonInitHandler",
        "declined PythonHeaderParserHandler",
        "declined PythonAccessHandler",
        "ok PythonFixupHandler",
        "declined PythonFixupHandler",
    ]
    assert seen["notes"]["early"] == "early"
    assert (seen["notes"]["from-fixup"], seen["env"]["FROM_FIXUP"]) == ("a note", "a variable")


def test_a_path_is_another_one_before_the_location_is_chosen(server):
    seen = facts(server.get("/translated?x=y"))
    assert (seen["uri"], seen["unparsed_uri"], seen["args"]) == ("/app/facts", "/translated?x=y", "x=y")
    assert seen["notes"]["translated"] == "yes"


def test_handlers_of_one_phase_run_until_one_does_not_let_the_next_run(server):
    assert facts(server.get("/chain"))["trail"] == ["ok PythonHandler", "ok PythonHandler"]


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
def test_bodies_come_and_go(server, size):
    body = bytes(range(256)) * (size // 256 + 1)
    response = server.request("POST", "/app/echo", body=body[:size])
    assert (response.status, response.body) == (200, body[:size])


def test_lines_of_a_body(server):
    response = server.request("POST", "/app/lines", body=b"one\ntwo\nthree")
    assert response.body.decode() == repr([b"one", b"\n", b"two\n", b"three"])


def test_a_large_response_is_whole(server):
    assert server.get("/app/large?8388608").body == b"x" * 8388608


def test_headers_of_a_response(server):
    response = server.get("/app/headers")
    assert (response.status, response.header("X-One")) == (201, "second")
    assert [value for name, value in response.headers if name.lower() == "set-cookie"] == ["a=1", "b=2"]


def test_a_head_cannot_be_split(server):
    server.log.allow("GW0501")
    response = server.get("/app/split")
    assert (response.status, response.body) == (200, b"refused")


@pytest.mark.parametrize(
    ("query", "status"),
    [("status=404", 404), ("status=-2", 200), ("raise=403", 403), ("both=418", 418), ("status=302", 302), ("status=204", 204)],
)
def test_what_a_handler_returns(server, query, status):
    assert server.get("/app/returns?" + query).status == status


@pytest.mark.parametrize("query", ["none", "bool", "error", "exit", "status=7", "staged"])
def test_what_is_no_answer_is_500(server, query):
    server.log.allow("GW0319|GW0315|GW0207")
    assert server.get("/app/returns?" + query).status == 500
    assert server.get("/hello").status == 200


def test_a_response_that_has_begun_is_cut(server):
    server.log.allow("GW0319")
    with pytest.raises(Exception, match="."):
        server.get("/app/returns?late")
    assert server.get("/hello").status == 200


def test_debug_shows_the_traceback(server):
    server.log.allow("GW0319")
    response = server.get("/debug?error")
    assert response.status == 500 and b"on purpose" in response.body
    assert b"on purpose" not in server.get("/app/returns?error").body


def test_one_request_sees_its_own_path_and_class(server):
    assert server.get("/app/method").body == b"/app/method True"


def test_signed_cookies_count(server):
    first = server.get("/app/cookies")
    cookie = first.header("set-cookie").partition(";")[0]
    assert (first.body, server.get("/app/cookies", headers=[("Cookie", cookie)]).body) == (b"1", b"2")


def test_another_path_answers(server):
    assert server.get("/app/redirects").body == b"Hello from mod_python\n"


def test_files_by_their_suffix(server):
    assert server.get("/suffix/hello.py").body == b"Hello from mod_python\n"
    server.log.allow("No such file")
    # Without a handler for it nginx gives the file itself.
    other = server.get("/suffix/inner/hello.pyc")
    assert other.status == 404


# ---- who may come ----


def test_a_check_before_static_files(server):
    response = server.get("/files/README")
    assert (response.status, response.header("X-Checked"), response.header("X-Always")) == (200, "yes", "yes")
    server.log.allow("No such file")
    missing = server.get("/files/none.txt")
    assert (missing.status, missing.header("X-Checked"), missing.header("X-Always")) == (404, None, "yes")


@pytest.mark.parametrize(("answer", "status"), [("403", 403), ("404", 404), ("-1", 200), ("0", 200), ("503", 503)])
def test_what_a_check_answers(server, answer, status):
    assert server.get("/files/README", headers=[("X-Let-In", answer)]).status == status


@pytest.mark.parametrize("answer", ["error", "none", "exit", "1", "body", "99"])
@pytest.mark.parametrize("path", ["/files/README", "/backend/x"])
def test_a_check_that_fails_lets_nobody_in(server, path, answer):
    server.log.allow("GW0319|GW0315|GW0207|GW0507")
    response = server.get(path, headers=[("X-Let-In", answer)])
    assert response.status == 500
    assert response.header("X-Checked") is None


def test_a_check_without_its_module_lets_nobody_in(server):
    server.log.allow("GW0319")
    assert server.get("/missing/README").status == 500


def test_a_check_gives_a_page_of_its_own(server):
    client = server.connect()
    for _ in range(2):
        client.request("POST", "/files/README", [("X-Let-In", "page")], b"x" * 3000)
        response = client.response()
        assert (response.status, response.body) == (403, b"a page of the check's own")
        assert response.header("X-Page") == "own"


def test_a_check_sends_a_client_elsewhere(server):
    response = server.get("/files/README", headers=[("X-Let-In", "login")])
    assert response.status == 302
    assert response.header("location").endswith("/login")
    assert response.header("set-cookie") == "tried=1"


def test_basic_authentication(server):
    asked = server.get("/private/README")
    assert (asked.status, asked.header("www-authenticate")) == (401, 'Basic realm="a realm"')
    assert server.get("/private/README", headers=credentials("ada:babbage")).status == 401
    assert server.get("/private/README", headers=credentials("ada:lovelace")).status == 200


def test_any_rule_is_enough_where_nginx_says_so(server):
    asked = server.get("/either/README")
    assert (asked.status, asked.header("www-authenticate")) == (401, 'Basic realm="a realm"')
    granted = server.get("/either/README", headers=credentials("ada:lovelace"))
    assert (granted.status, granted.header("www-authenticate")) == (200, None)


def test_who_declines_lets_nobody_in(server):
    server.log.allow("GW0510")
    assert server.get("/undecided/README").status == 401


def test_applications_are_told_the_user(server):
    seen = environ(server, "/wsgi/env", headers=credentials("ada:lovelace"))
    assert (seen["REMOTE_USER"], seen["AUTH_TYPE"]) == ("ada", "Basic")
    seen = environ(server, "/wsgi/env", headers=[("Cookie", "ticket=grace")])
    assert (seen["REMOTE_USER"], seen["AUTH_TYPE"]) == ("grace", "Ticket")


def test_a_backend_behind_a_check(server):
    backend = server.site.backends["backend"]
    backend.reset()
    client = server.connect()
    client.request("POST", "/backend/x", [], b"the body")
    peer = backend.next(client)
    request = peer.request()
    assert (request.body, "REMOTE_USER" in request) == (b"the body", False)
    peer.answer(hello("fastcgi"))
    response = client.response()
    assert (response.status, response.body, response.header("X-Checked")) == (200, b"hello", "yes")
    client.request("GET", "/known/x", [("Cookie", "ticket=grace")])
    peer = backend.next(client)
    assert peer.request()["REMOTE_USER"] == "grace"
    peer.answer(hello("fastcgi"))
    assert client.response().status == 200
    backend.reset()


def test_inner_places_inherit_by_phase(server):
    refused = [("X-Let-In", "403")]
    assert server.get("/outer/open/README", headers=refused).status == 200
    assert server.get("/outer/access/README", headers=refused).status == 200
    assert server.get("/outer/page/x", headers=refused).status == 403
    assert server.get("/outer/page/x").body == b"1"


def test_a_request_that_is_sent_on_is_asked_again(server):
    assert server.get("/twice/x").body == b"1"
    # `rewrite ... last` leads to the other location before the first one's access phase.
    assert server.get("/twice/first/x").body == b"1"
    server.log.allow("No such file")
    # An error page is another request to handlers; what leaves with errors stays.
    response = server.get("/twice/none/none.txt")
    assert (response.status, response.body, response.header("X-Always")) == (404, b"1", "yes")


@pytest.mark.parametrize("count", [40])
def test_many_at_a_time(server, count):
    clients = [server.connect() for _ in range(count)]
    for client in clients:
        client.request("GET", "/files/README")
    assert {client.response().status for client in clients} == {200}


def test_over_http2(server):
    with server.http2() as client:
        assert client.get("/files/README").status == 200
        assert client.get("/files/README", [("x-let-in", "403")]).status == 403
        assert client.get("/hello").body == b"Hello from mod_python\n"
        assert client.request("POST", "/app/echo", body=b"x" * 100_000).body == b"x" * 100_000


def test_a_block_of_if_has_handlers_of_its_own(server):
    assert server.get("/if/README").status == 200
    assert server.get("/if/README?checked", headers=[("X-Let-In", "403")]).status == 403
    assert server.get("/if/README", headers=[("X-Let-In", "403")]).status == 200


def test_files_that_a_handler_hands_over(server):
    response = server.get("/hands/README")
    assert (response.status, [value for name, value in response.headers if name == "Set-Cookie"]) == (200, ["seen=1"])
    assert server.get("/internal/README").status == 404


def test_a_client_that_leaves_during_a_check(server, gate):
    client = server.connect()
    client.request("GET", f"/slow/README?{gate.query}")
    visitor = gate.visitor().at("in the check")
    client.close()
    visitor.go()
    assert server.get("/files/README").status == 200
