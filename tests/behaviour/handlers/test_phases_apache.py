# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_python's handlers in httpd: phases, facts and tables, bodies, errors."""

import base64
import json

import pytest

from harness import wire

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")


def configure(site, kind):
    folder = site.apps / "handlers"
    if kind == "apache-prefork":
        site.workers = 2
    site.apache_main = f"""
        PythonPostReadRequestHandler {folder}/hello.py
        PythonTransHandler {folder}/hello.py
        PythonOption outer everywhere
        PythonOption both outer
    """

    def location(name, lines=""):
        site.location(f"/app/{name}", apache=f"SetHandler mod_python\nPythonHandler {folder}/hello.py::{name}\n{lines}")

    site.location("/hello", apache=f"SetHandler mod_python\nPythonHandler {folder}/hello.py")
    for name in ("echo", "lines", "headers", "split", "returns", "large", "cookies", "redirects", "logs", "imports"):
        location(name)
    site.location("/app/hello", apache=f"SetHandler mod_python\nPythonHandler {folder}/hello.py")
    site.location("/app/method", apache=f"SetHandler mod_python\nPythonHandler {folder}/hello.py::Method.serve")
    location(
        "facts",
        f"""
        PythonOption both inner
        PythonOption place "with blanks"
        PythonInterpreter named
        PythonInitHandler {folder}/hello.py
        PythonHeaderParserHandler {folder}/hello.py
        PythonAccessHandler {folder}/hello.py
        PythonTypeHandler {folder}/hello.py
        PythonFixupHandler {folder}/hello.py {folder}/hello.py::trace_declined
        """,
    )
    site.location("/debug", apache=f"SetHandler mod_python\nPythonHandler {folder}/hello.py::returns\nPythonDebug On")
    site.location(
        "/chain",
        apache=f"SetHandler mod_python\nPythonHandler {folder}/hello.py::trace_ok {folder}/hello.py::trace_ok {folder}/hello.py::facts",
    )
    site.location(
        "/private",
        apache=f"""
        AuthType Basic
        AuthName "a realm"
        Require valid-user
        PythonAuthenHandler {folder}/hello.py
        PythonAuthzHandler {folder}/hello.py
        SetHandler mod_python
        PythonHandler {folder}/hello.py::facts
        """,
    )
    site.location("/guarded", files=str(site.apps / "served"), apache=f"PythonAccessHandler {folder}/hello.py")
    site.apache_host = f"""
        Alias /files "{folder}"
        <Directory "{folder}">
            PythonInterpreter one
            <Files "*.txt">
                SetHandler mod_python
                PythonHandler hello::sends
            </Files>
            AddHandler mod_python .py
            PythonHandler hello
            PythonHandler hello::imports | .py
        </Directory>
        <Directory "{folder}/inner">
            PythonHandler hello
            PythonHandler hello | .py
        </Directory>
    """


def facts(response):
    assert response.status == 200, response.body
    return json.loads(response.body)


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
    assert (seen["method_number"], seen["header_only"], seen["status"]) == (0, 0, 200)
    assert (seen["phase"], seen["interpreter"], seen["handler"]) == ("PythonHandler", "named", "mod_python")
    assert seen["options"] == {"outer": "everywhere", "both": "inner", "place": "with blanks"}
    assert seen["config"]["PythonInterpreter"] == "named"
    assert ["X-Two", "2"] in seen["headers_in"]
    assert seen["remote"] == ["127.0.0.1", "127.0.0.1"]
    assert seen["server"] == "localhost"


def test_phases_run_in_order_and_share_the_object(server):
    seen = facts(server.get("/app/facts", headers=[("X-Early", "early")]))
    assert seen["trail"] == [
        "ok PythonInitHandler",
        "declined PythonHeaderParserHandler",
        "declined PythonAccessHandler",
        "declined PythonTypeHandler",
        "ok PythonFixupHandler",
        "declined PythonFixupHandler",
    ]
    assert seen["notes"]["early"] == "early"
    assert seen["notes"]["from-fixup"] == "a note"
    assert seen["env"]["FROM_FIXUP"] == "a variable"


def test_handlers_of_one_phase_run_in_order(server):
    assert facts(server.get("/chain"))["trail"] == ["ok PythonHandler"] * 2


def test_the_path_can_be_changed_before_it_is_mapped(server):
    seen = facts(server.get("/translated"))
    assert seen["notes"]["translated"] == "yes"
    assert seen["uri"] == "/app/facts"


@pytest.mark.parametrize("size", [0, 1, 70_000, 1_000_000])
def test_bodies(server, size):
    body = b"0123456789" * (size // 10 + 1)
    body = body[:size]
    assert server.post("/app/echo", body).body == body
    assert server.post("/app/echo", [body] if body else []).body == body


def test_lines_of_a_body(server):
    found = server.post("/app/lines", b"abcdef\nsecond\nlast").body
    assert found == repr([b"abc", b"def\n", b"second\n", b"last"]).encode()


def test_headers_have_several_values(server):
    response = server.get("/app/headers")
    assert response.status == 201
    assert response.header("x-one") == "second"
    assert response.body == b"['a=1', 'b=2']"
    assert response.all("set-cookie") == ["a=1", "b=2"]


def test_heads_cannot_be_split(server):
    assert server.get("/app/split").body == b"refused"
    server.log.expect("GW0501")


@pytest.mark.parametrize("status", [204, 403, 404, 503])
def test_statuses(server, status):
    assert server.get(f"/app/returns?status={status}").status == status
    assert server.get(f"/app/returns?raise={status}").status == status
    assert server.get(f"/app/returns?both={status}").status == status


@pytest.mark.parametrize("what", ["none", "bool", "error", "exit"])
def test_what_is_no_answer_is_500(server, what):
    assert server.get(f"/app/returns?{what}=1").status == 500
    server.log.expect("GW0315" if what == "exit" else "GW0319")


def test_tracebacks_are_shown_where_that_is_wanted(server):
    response = server.get("/debug?error=%3Cb%3E")
    assert response.status == 500
    assert b"ValueError: on purpose" in response.body and b"hello.py" in response.body
    server.log.expect("GW0319")
    assert b"on purpose" not in server.get("/app/returns?error=1").body


def test_an_error_after_the_head_cuts_the_response(server):
    client = server.connect()
    client.request("GET", "/app/returns?late=1")
    with pytest.raises(wire.Truncated):
        client.response()
    server.log.expect("GW0319")


def test_what_has_not_left_is_replaced_by_an_error(server):
    response = server.get("/app/returns?staged=1")
    assert response.status == 500 and b"not yet sent" not in response.body
    server.log.expect("GW0319")


def test_large_responses(server):
    assert len(server.get("/app/large?6553600").body) == 6_553_600


def test_redirects(server):
    assert server.get("/app/redirects").body == b"Hello from mod_python\n"


def test_cookies(server):
    first = server.get("/app/cookies")
    cookie = first.header("set-cookie").partition(";")[0]
    second = server.get("/app/cookies", headers=[("Cookie", cookie)])
    assert (first.body, second.body) == (b"1", b"2")
    forged = cookie[:-4] + "AAAA"
    assert server.get("/app/cookies", headers=[("Cookie", forged)]).body == b"1"


def test_lines_of_the_log(server):
    assert server.get("/app/logs").status == 200
    server.log.expect("one line.*and no other")
    server.log.expect("through the module")
    server.log.expect("printed")


def test_a_method_of_a_class_gets_an_object(server):
    assert server.get("/app/method").body == b"/app/method True"


def test_users(server):
    def get(user):
        word = base64.b64encode(user.encode()).decode()
        return server.get("/private", headers=[("Authorization", f"Basic {word}")])

    response = server.get("/private")
    assert response.status == 401 and "Basic" in response.header("www-authenticate")
    assert get("ada:wrong").status == 401
    seen = facts(get("ada:lovelace"))
    assert (seen["user"], seen["ap_auth_type"]) == ("ada", "Basic")


def test_a_check_before_a_file(server):
    assert server.get("/guarded/README").status == 200
    assert server.get("/guarded/README", headers=[("X-Let-In", "no")]).status == 403
    # A check that fails lets nobody in.
    assert server.get("/guarded/README", headers=[("X-Let-In", "error")]).status == 500
    server.log.expect("GW0319")


def test_directories_have_modules_of_their_own(server):
    outer = server.get("/files/any.py").body.decode()
    inner = server.get("/files/inner/any.py").body.decode()
    assert outer.startswith("outer ") and outer.endswith("/handlers/hello.py hello")
    assert inner.startswith("inner ") and inner.endswith("/handlers/inner/hello.py")
