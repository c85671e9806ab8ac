# SPDX-License-Identifier: MIT OR Apache-2.0
"""The HTTP messages of ASGI, with an application that has no framework."""

import json

import pytest

from harness import wire


WARM = ("/app/hello", "/loose/hello")


def configure(site, kind):
    site.http2 = True
    site.asgi("/app", "asgi_app:app")
    site.asgi("/loose", "asgi_app:app", nginx="gangway_request_buffering off;")
    site.asgi("/told", "asgi_app:app", params={"HTTP_X_USER": "me"})


def test_hello(server):
    response = server.get("/app/hello")
    assert (response.status, response.body, response.header("Content-Type")) == (200, b"hello", "text/plain")


def test_scope(server, kind):
    headers = [("X-Twice", "a"), ("Cookie", "c=1"), ("Proxy", "evil"), ("X-Twice", "b"), ("X_Forwarded_For", "evil")]
    found = json.loads(server.get("/app/scope/a%20b%C3%A9?x=%C3%A9&y", headers).body)
    assert found["type"] == "http"
    assert found["asgi"] == {"version": "3.0", "spec_version": "2.5"}
    assert (found["http_version"], found["method"], found["scheme"]) == ("1.1", "GET", "http")
    assert (found["root_path"], found["path"]) == ("/app", "/app/scope/a bé")
    assert found["raw_path"] == {"bytes": "/app/scope/a%20b%C3%A9"}
    assert found["query_string"] == {"bytes": "x=%C3%A9&y"}
    assert found["client"][0] == "127.0.0.1" and found["client"][1] > 0
    assert found["server"] == ["127.0.0.1", server.port]
    known = ["http.response.early_hint", "http.response.pathsend", "http.response.zerocopysend"]
    assert sorted(found["extensions"]) == known
    fields = [(name["bytes"], value["bytes"]) for name, value in found["headers"]]
    # httpd joins fields of one name.
    twice = [("x-twice", "a, b")] if kind.startswith("apache") else [("x-twice", "a"), ("x-twice", "b")]
    assert [field for field in fields if field[0] == "x-twice"] == twice
    assert ("cookie", "c=1") in fields
    names = [name for name, _ in fields]
    assert "proxy" not in names and "x_forwarded_for" not in names and "host" in names
    assert all(name == name.lower() for name in names)
    order = [name for name in names if name in ("x-twice", "cookie")]
    assert order[:2] == ["x-twice", "cookie"]


def test_the_administrators_fields(server):
    found = json.loads(server.get("/told/scope", [("X-User", "evil"), ("X-Other", "stays")]).body)
    fields = [(name["bytes"], value["bytes"]) for name, value in found["headers"]]
    assert [value for name, value in fields if name == "x-user"] == ["me"]
    assert ("x-other", "stays") in fields


def test_fields_that_many_requests_have_are_each_clients_own(server):
    """They are made once: what differs in its middle, is longer, or is of another name is another one."""
    values = [f"agent {left}{number:03}{right}" for number in range(100) for left, right in (("", "z" * 20), ("a" * 20, ""))]
    values += ["", "x" * 256, "x" * 257, "x" * 255 + "y"]
    for value in [*values, *reversed(values)]:
        found = json.loads(server.get("/app/scope", [("User-Agent", value), ("Accept-Language", value), ("Cookie", value)]).body)
        fields = [(name["bytes"], field["bytes"]) for name, field in found["headers"]]
        for name in ("user-agent", "accept-language", "cookie"):
            assert [known for field, known in fields if field == name] == [value]


def test_the_application_lives_on_the_thread_of_its_loop(server):
    first = json.loads(server.get("/app/life").body)
    assert first["import"] and first["startup"] and first["loop"] and first["task"]
    again = json.loads(server.get("/app/life").body)
    assert (first["own"], again["own"]) == (1, 1), "the state is a copy for each request"
    assert again["shared"] >= 2, "what it holds is not"


def test_send_is_a_coroutine_function(server):
    seen = json.loads(server.get("/app/sending").body)
    assert seen == {
        "is_function": True,
        "is_coroutine": True,
        "closed": "cannot reuse already awaited coroutine",
        "thrown": "thrown",
        "cancelled": True,
        "context": None,
    }


@pytest.mark.parametrize("place", ["/app", "/loose"])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies(server, place, chunked):
    body = b"a body"
    found = json.loads(server.post(f"{place}/echo", [body] if chunked else body).body)
    assert found["body"] == "a body"
    assert json.loads(server.post(f"{place}/echo", b"").body) == {"parts": 1, "body": ""}
    large = bytes(range(256)) * 4096
    found = json.loads(server.post(f"{place}/length", [large] if chunked else large).body)
    assert found["length"] == len(large) and found["largest"] <= 65536


def test_a_large_response(server):
    response = server.get("/app/large?64")
    assert response.body == bytes(range(256)) * 256 * 64


def test_head(server):
    response = server.request("HEAD", "/app/hello")
    assert (response.status, response.body) == (200, b"")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("body", "RuntimeError"),
        ("start,twice", "RuntimeError"),
        ("start,block", "TypeError"),
        ("kind", "ValueError"),
        ("text", "TypeError"),
        ("path", "RuntimeError"),
        ("start,path", "FileNotFoundError"),
        ("start,hint", "RuntimeError"),
        ("start,trailers", "RuntimeError"),
    ],
)
def test_what_send_refuses(server, words, found):
    assert server.get(f"/app/wrong?{words}").text == found


@pytest.mark.parametrize(("word", "code"), [("status", "GW0502"), ("line", "GW0501")])
def test_heads_that_are_refused(server, word, code):
    assert server.get(f"/app/wrong?{word}").text == "ValueError"
    server.log.expect(code)


def test_what_needs_a_task(server):
    found = json.loads(server.get("/app/tools").body)
    assert found == ["timeout", "mine", "mine", [0, 1, 2], "http.request"]


@pytest.mark.parametrize(("path", "code"), [("raise", "GW0306"), ("exit", "GW0306"), ("nothing", "GW0321")])
def test_errors_before_the_head(server, path, code):
    assert server.get(f"/app/{path}").status == 500
    server.log.expect(code)


@pytest.mark.parametrize(("path", "code"), [("raise_late", "GW0307"), ("half", "GW0321")])
def test_errors_after_the_head_cut_the_connection(server, path, code):
    with pytest.raises(wire.Truncated):
        server.get(f"/app/{path}")
    server.log.expect(code)


def test_an_error_after_the_end_harms_nobody(server):
    assert server.get("/app/raise_after").body == b"whole"
    server.log.expect("GW0307")
