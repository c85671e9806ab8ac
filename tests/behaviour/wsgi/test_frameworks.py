# SPDX-License-Identifier: MIT OR Apache-2.0
"""Flask, Bottle and Pyramid from PyPI, in one virtual environment."""

import hashlib
import json
import re

import pytest

from harness import venvs
from harness.deadline import wait_until
from harness.forms import FORM, multipart

WARM = ("/flask/", "/bottle/hello/x", "/pyramid/hello/x")


def configure(site, kind):
    venv = venvs.applications_venv()
    site.http2 = True
    site.wsgi("/flask", "flask_app:app", venv=venv)
    site.wsgi("/bottle", "bottle_app:app", venv=venv)
    site.wsgi("/pyramid", "pyramid_app:app", venv=venv)


def test_flask_session(server):
    assert server.get("/flask/").text == "index of /flask, user nobody"
    response = server.post("/flask/login", b"user=J%C3%BCrgen", FORM)
    assert (response.status, response.header("Location")) == (302, "/flask/")
    cookie = response.header("Set-Cookie").partition(";")[0]
    assert server.get("/flask/", [("Cookie", cookie)]).text == "index of /flask, user Jürgen"


def test_flask_urls(server):
    found = json.loads(server.get("/flask/url?a=1&a=2&b=%C3%A9").body)
    assert found["external"] == "http://localhost/flask/item/a%20b"
    assert found["local"] == "/flask/item/%C3%A9"
    assert found["base"] == "http://localhost/flask/url"
    assert found["args"] == {"a": ["1", "2"], "b": ["é"]}
    assert (found["remote"], found["scheme"]) == ("127.0.0.1", "http")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_flask_methods_and_paths(server, method):
    body = b"data" if method == "PUT" else None
    found = json.loads(server.request(method, "/flask/item/caf%C3%A9%20x", (), body).body)
    assert found == {"name": "café x", "method": method, "data": "data" if body else ""}
    assert server.request("PATCH", "/flask/item/x").status == 405
    assert server.request("HEAD", "/flask/item/x").status == 200
    assert "GET" in server.request("OPTIONS", "/flask/item/x").header("Allow")


@pytest.mark.parametrize("size", [10, 600_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_flask_upload(server, size, chunked):
    content = bytes(range(256)) * (size // 256 + 1)
    body, headers = multipart(content, text="über")
    response = server.post("/flask/upload", [body] if chunked else body, headers)
    assert json.loads(response.body) == {
        "name": "up.bin",
        "length": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "text": "über",
    }


def test_flask_json(server):
    body = json.dumps({"values": [1, 2]}).encode()
    assert json.loads(server.post("/flask/json", body, [("Content-Type", "application/json")]).body) == {
        "doubled": [2, 4]
    }
    assert server.post("/flask/json", b"{", [("Content-Type", "application/json")]).status == 400


def test_flask_streams(server, gate):
    client = server.connect()
    client.request("GET", f"/flask/stream?word=row&{gate.query}")
    application = gate.visitor().at("row 0").go()
    head = client.head()
    blocks = client.blocks(head)
    for number in range(3):
        assert next(blocks) == b"row %d\n" % number
        if number < 2:
            application.at(f"row {number + 1}").go()
    assert list(blocks) == []


def test_flask_files(server):
    source = (server.site.apps / "flask_app.py").read_bytes()
    response = server.get("/flask/file")
    assert response.body == source
    again = server.get("/flask/file", [("If-None-Match", response.header("ETag"))])
    assert (again.status, again.body) == (304, b"")
    part = server.get("/flask/file", [("Range", "bytes=10-19")])
    assert (part.status, part.body) == (206, source[10:20])
    assert server.get("/flask/memory").body == b"m" * 100_000


def test_flask_cookies(server):
    assert [value.partition(";")[0] for value in server.get("/flask/cookies").all("Set-Cookie")] == ["one=1", "two=2"]


def test_flask_errors(server):
    assert server.get("/flask/broken").status == 500
    server.log.expect("ArithmeticError: in a view")
    server.log.allow("Exception on|Traceback|File|\\^|    |raise|return")
    response = server.get("/flask/teapot")
    assert (response.status, response.text) == (418, "handled 418")
    assert server.get("/flask/nowhere").status == 404


def test_flask_logging(server):
    server.get("/flask/log")
    server.log.expect("from the application's logger")


def test_flask_over_http2(server):
    client = server.http2()
    assert client.get("/flask/").body == b"index of /flask, user nobody"
    body, headers = multipart(b"z" * 50_000, text="h2")
    headers = [(name.lower(), value) for name, value in headers]
    assert json.loads(client.request("POST", "/flask/upload", headers, body).body)["length"] == 50_000


def test_bottle(server):
    response = server.get("/bottle/hello/W%C3%B6rld?word=welcome")
    assert response.text == "Hello Wörld, welcome!"
    assert response.header("X-Name").encode("latin-1").decode() == "Wörld"
    assert server.get("/bottle/stream").body == b"a" + b"b" * 10_000
    body, headers = multipart(b"q" * 70_000, text="t")
    assert json.loads(server.post("/bottle/form", body, headers).body) == {
        "text": "t",
        "name": "up.bin",
        "length": 70_000,
    }
    assert server.get("/bottle/static/bottle_app.py").body == (server.site.apps / "bottle_app.py").read_bytes()
    assert server.get("/bottle/static/bottle_app.py", [("Range", "bytes=0-4")]).status == 206
    assert server.get("/bottle/redirect").status in (302, 303)
    assert server.get("/bottle/broken").status == 500
    server.log.expect("KeyError: 'in a view'")
    server.log.allow("Traceback|File|\\^|    ")


def test_pyramid(server):
    assert server.get("/pyramid/hello/P%C3%B6").text == "Hello Pö at http://localhost/pyramid"
    assert server.get("/pyramid/stream").text == "part 0\npart 1\npart 2\n"
    source = (server.site.apps / "pyramid_app.py").read_bytes()
    assert server.get("/pyramid/file").body == source
    assert server.get("/pyramid/wrapped").body == source
    body, headers = multipart(b"q" * 70_000, text="t")
    assert json.loads(server.post("/pyramid/form", body, headers).body) == {"text": "t", "length": 70_000}
    assert server.get("/pyramid/redirect").header("Location") == "http://localhost/pyramid/hello/again"
    assert server.get("/pyramid/broken").status == 500
    server.log.expect("GW0306 .*IndexError: in a view")
    # The lines of its traceback, of which some are empty.
    server.log.allow(r"HTTPNotFound|#\d+: \*\d+ ?(,|$)|\[(pid|client) [^]]+\] ?$")


def test_all_three_at_once(server):
    """They share an interpreter: their requests interleave and none sees another's."""
    clients = [server.connect() for _ in range(9)]
    for number in range(30):
        for index, client in enumerate(clients):
            path = ("/flask/item/{}", "/bottle/hello/{}", "/pyramid/hello/{}")[index % 3]
            client.request("GET", path.format(f"n{number}i{index}"))
        for index, client in enumerate(clients):
            assert re.search(rf"n{number}i{index}\b", client.response().text)
    wait_until(lambda: server.get("/flask/").status == 200, "it answers")
