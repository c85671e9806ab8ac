# SPDX-License-Identifier: MIT OR Apache-2.0
"""What mod_python brings along, in httpd: forms and uploads, redirects, CGI scripts, WSGI applications, facts that follow from others."""

import base64
import json
import threading

import pytest

from harness import processes, wire
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("apache")

ANY = pytest.mark.servers("apache", "apache-worker", "apache-prefork")

def configure(site, kind):
    folder = site.apps / "handlers" / "modules"
    if kind == "apache-prefork":
        site.workers = 2
    names = "handler large redirects late calls facts discards".split()
    for name in names:
        site.location(f"/forms/{name}", apache=f"SetHandler mod_python\nPythonHandler {folder}/forms.py::{name}")
    site.location(
        "/limited",
        apache=f"""
        SetHandler mod_python
        PythonHandler {folder}/forms.py
        PythonOption mod_python.form.memory 1000
        PythonOption mod_python.form.fields 5
        PythonOption mod_python.form.files 2
        """,
    )
    site.location(
        "/wsgi",
        apache=f"""
        SetHandler mod_python
        PythonHandler mod_python.wsgi
        PythonOption mod_python.wsgi.application {folder}/app.py::application
        PythonOption mod_python.wsgi.base_uri /wsgi
        """,
    )
    site.location("/denied", apache=f"Require all denied\nSetHandler mod_python\nPythonHandler {folder}/forms.py::calls")
    site.location("/testhandler", apache="SetHandler mod_python\nPythonHandler mod_python.testhandler\nPythonOption shown <b>")
    site.apache_host = f"""
        Alias /cgi "{folder}/cgi"
        <Directory "{folder}/cgi">
            AcceptPathInfo On
            SetHandler mod_python
            PythonHandler mod_python.cgihandler | .cgi
            PythonHandler {folder}/forms.py::facts | .txt
        </Directory>
    """


def part(name, content, more=""):
    return f'--cut\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


MULTIPART = [("Content-Type", 'multipart/form-data; boundary="cut"')]
FORM = [("Content-Type", "application/x-www-form-urlencoded")]


@ANY
def test_forms(server):
    assert json.loads(server.get("/forms/handler?a=1&b=&a=%C3%A4").body) == [["a", "1"], ["b", ""], ["a", "\xe4"]]
    assert json.loads(server.post("/forms/handler?a=1", b"b=2", FORM).body) == [["a", "1"], ["b", "2"]]
    assert json.loads(server.post("/forms/handler", [b"a=", b"1&b", b"=2"], FORM).body) == [["a", "1"], ["b", "2"]]
    assert server.post("/forms/handler", b"{}", [("Content-Type", "application/json")]).status == 501


@ANY
def test_uploads(server):
    content = bytes(range(256)) * 1000 + b"\r\n--cu"
    body = part("text", b"\xc3\xa4") + part("up", content, '; filename="../../etc/passwd"\r\nContent-Type: image/png')
    body += part("none", b"", '; filename=""') + b"--cut--\r\n"
    for sent in (body, [body[at : at + 7777] for at in range(0, len(body), 7777)]):
        text, upload, none = json.loads(server.post("/forms/handler", sent, MULTIPART).body)
        assert text == ["text", "\xe4"] and none[:4] == ["none", "", "application/octet-stream", 0]
        assert upload[:4] == ["up", "../../etc/passwd", "image/png", len(content)]


def test_an_upload_that_is_cut_at_every_kind_of_place(server):
    body = part("a", b"1") + part("up", b"x" * 50, '; filename="f"') + b"--cut--"
    for cut in range(0, len(body), 3):
        assert server.post("/forms/handler", body[:cut], MULTIPART).status == (400 if cut else 200), cut
    assert server.post("/forms/handler", body, MULTIPART).status == 200


def test_a_large_upload_takes_no_memory(server):
    """128 MiB through a temporary file, while the process stays as large as it is."""
    import hashlib

    server.post("/forms/large", part("upload", b"warm", '; filename="f"') + b"--cut--", MULTIPART)
    block = bytes(range(256)) * 4096
    head, tail = part("upload", b"", '; filename="f"')[:-2], b"\r\n--cut--\r\n"
    before = processes.memory(server.worker(), "Rss")
    length = len(head) + 128 * len(block) + len(tail)
    with server.connect() as client:
        client.send(wire.head_bytes("POST", "/forms/large", [("Host", "x"), *MULTIPART, ("Content-Length", str(length))]) + head)
        digest = hashlib.sha256()
        for _ in range(128):
            client.send(block)
            digest.update(block)
        client.send(tail)
        response = client.response()
    assert response.body.decode() == f"{128 << 20} {digest.hexdigest()}"
    assert processes.memory(server.worker(), "Rss") - before < 16 << 20


def test_an_upload_that_is_broken_off(server):
    """The handler sees an error, and the file is gone with it."""
    body = part("upload", b"x" * 200_000, '; filename="f"') + b"--cut--"
    for _ in range(3):
        client = server.connect()
        client.send(wire.head_bytes("POST", "/forms/large", [("Host", "x"), *MULTIPART, ("Content-Length", str(len(body)))]) + body[:150_000])
        client.close()
    wait_until(lambda: len(server.log.find("GW0319 .*the request body ended early")) == 3, "each handler sees it")
    server.log.expect("GW0319")
    assert server.post("/forms/large", body, MULTIPART).body.startswith(b"200000 ")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (part("a", b"x" * 900), 200),
        (part("a", b"x" * 1000), 413),
        (part("a", b"1") * 5, 200),
        (part("a", b"1") * 6, 413),
        (part("a", b"x" * 5000, '; filename="f"') * 2, 200),
        (part("a", b"x", '; filename="f"') * 3, 413),
        (b"--cut\r\nX: " + b"x" * 20_000 + b"\r\n\r\n\r\n", 400),
        (b"--cut\r\nContent-Type: multipart/mixed; boundary=cut\r\n\r\n" * 5, 400),
    ],
)
def test_hostile_bodies_meet_limits(server, body, status):
    assert server.post("/limited", body + b"--cut--", MULTIPART).status == status


@ANY
def test_redirects(server):
    response = server.get("/forms/redirects?to=http://other.example/%3Ca%3E")
    assert response.status == 302 and response.header("location") == "http://other.example/<a>"
    assert b"http://other.example/&lt;a&gt;" in response.body
    assert server.get("/forms/late").body == b"begun, and stays"


def test_a_redirect_cannot_split_the_head(server):
    response = server.get("/forms/redirects?to=/x%0d%0aX-Evil:%201")
    assert response.status == 500 and not response.all("x-evil")
    server.log.expect("GW0501 the value of the header Location holds control bytes")
    server.log.expect("GW0319")


def test_calls_with_fields(server):
    assert server.get("/forms/calls?a=1&c=3&req=evil").body == b"1 none"
    assert server.get("/forms/calls?b=1").status == 400


@ANY
def test_scripts(server):
    response = server.post("/cgi/script.cgi/more?x", b"12345", [("Proxy", "http://evil"), ("Authorization", "Basic YTpi")])
    assert response.status == 201 and response.header("x-a") == "1" and response.header("content-type") == "text/plain"
    assert response.body == b"beside the script cgi POST None None /more /cgi/script.cgi 5\n"
    assert server.get("/cgi/script.cgi/a%0ab?x").body.startswith(b"beside the script cgi GET None None /a\nb /cgi/script.cgi 0")
    assert server.get("/cgi/none.cgi").status == 404
    away = server.get("/cgi/script.cgi?away")
    assert away.status == 302 and away.header("location") == "http://other.example/"
    assert server.get("/cgi/script.cgi?elsewhere").body == b"1 none"


def test_scripts_and_framing(server):
    with server.connect() as client:
        for _ in range(2):
            client.request("GET", "/cgi/script.cgi?framed")
            assert client.response().body == b"all of it\n"


@pytest.mark.parametrize("target", ["/denied", "//denied", "/forms/../denied", "/./denied", "/%64enied"])
def test_redirects_of_scripts_are_asked_for_like_any_request(server, target):
    """No way of writing a path leads past the rules of that path."""
    assert server.get("/denied?a=1").status == 403
    response = server.get(f"/cgi/script.cgi?to={target}")
    assert response.status == 403 and b"1 none" not in response.body
    server.log.expect("AH01630: client denied by server configuration")


def test_scripts_that_fail(server):
    for name in ("raises", "headless"):
        assert server.get(f"/cgi/script.cgi?{name}").status == 500
    server.log.expect("GW0319")


def test_scripts_take_turns(server):
    answers = []

    def ask(number):
        for _ in range(5):
            answers.append(server.post("/cgi/script.cgi?x", b"x" * number).body.split()[-1])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == sorted([str(number).encode() for number in range(1, 7)] * 5)


@ANY
def test_a_wsgi_application(server):
    response = server.get("/wsgi/a%0ab?c=d", [("Proxy", "http://evil"), ("X_Under", "evil"), ("X-Own", "1")])
    env = json.loads(response.body)
    assert response.status == 202 and response.all("set-cookie") == ["a=1", "b=2"]
    assert (env["SCRIPT_NAME"], env["PATH_INFO"], env["QUERY_STRING"], env["HTTP_X_OWN"]) == ("/wsgi", "/a\nb", "c=d", "1")
    assert env["SERVER_PROTOCOL"] == "HTTP/1.1" and env["SERVER_PORT"] == "80"
    assert not {"HTTP_PROXY", "HTTP_X_UNDER", "REMOTE_USER", "HTTP_AUTHORIZATION"} & set(env)
    body = bytes(range(256)) * 1000
    assert server.post("/wsgi/echo", body).body == body
    assert server.post("/wsgi/echo", [body, body]).body == body * 2
    assert b"def application" in server.get("/wsgi/file").body


def test_wsgi_applications_that_fail(server):
    assert server.get("/wsgi/raises").status == 500
    assert server.get("/wsgi/hop").status == 500
    with server.connect() as client:
        client.request("GET", "/wsgi/short")
        with pytest.raises(Exception):  # noqa: B017 (whatever the client calls a response that is cut)
            client.response()
    server.log.expect("GW0319")


@ANY
def test_facts(server):
    response = server.get("/cgi/document.txt?a=b", [("Authorization", "Basic " + base64.b64encode(b"a:b").decode())])
    seen = json.loads(response.body)
    assert seen["parsed_uri"] == [None, None, None, None, None, None, "/cgi/document.txt", "a=b", None]
    assert seen["url"] == "http://localhost/x"
    assert seen["finfo"][6] == 5 and seen["finfo"][12] == 1
    assert seen["env"]["QUERY_STRING"] == "a=b" and seen["env"]["SCRIPT_NAME"] == "/cgi/document.txt"
    assert "REMOTE_USER" not in seen["env"] and "HTTP_AUTHORIZATION" not in seen["env"]
    assert '"5-' in response.header("etag") and response.header("last-modified")


def test_bodies_that_nobody_reads(server):
    assert server.post("/forms/discards", b"x" * 300_000).body == b"b''"


def test_the_test_page(server):
    page = server.get("/testhandler", [("Cookie", "id=secret")]).body
    assert b"Handlers run" in page and b"&lt;b&gt;" in page and b"id=secret" not in page
