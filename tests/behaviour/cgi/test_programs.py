# SPDX-License-Identifier: MIT OR Apache-2.0
"""CGI programs: which file, what it is told, what it answers (RFC 3875), and what must not become of a request."""

import json
import os
import pwd

import pytest

from harness import places, scripts

WARM = ("/cgi/see", "/cgi/hello.c.cgi")


def configure(site, kind):
    folder = scripts.Folder(site.scratch / "cgi")
    site.folder = folder
    folder.python("see", scripts.SEE)
    folder.python("sub/index.cgi", scripts.SEE)
    folder.python("nested/see", scripts.SEE)
    folder.compile("hello.c.cgi", scripts.HELLO)
    folder.write("plain.txt", "no script\n", mode=0o644)
    folder.write("run.me", scripts.PYTHON + scripts.SEE, mode=0o644)
    folder.write("photo.jpg", "JFIF", mode=0o644)
    folder.shell("raw", 'printf "$QUERY_STRING" | sed "s/%0[dD]/\\\\r/g; s/%0[aA]/\\\\n/g; s/%20/ /g"')
    folder.python(
        "say",
        """
from urllib.parse import unquote_to_bytes
out.write(unquote_to_bytes(env["QUERY_STRING"]))
""",
    )
    folder.python("nph-say", "from urllib.parse import unquote_to_bytes\nout.write(unquote_to_bytes(env['QUERY_STRING']))")
    folder.shell("stderr", 'echo "one"; echo "first" >&2; printf "second\\nthird" >&2', mode=0o755)
    os.mkfifo(folder.path / "pipe")
    outside = scripts.Folder(site.scratch / "outside")
    outside.python("see", scripts.SEE)
    (folder.path / "escape").symlink_to(outside.path / "see")
    (folder.path / "inside").symlink_to(folder.path / "see")
    (site.scratch / "static").mkdir()
    (site.scratch / "static" / "page.txt").write_text("static page")
    common = dict(env=["OWN=1", "SPACED=a b"], pass_env="GW_TEST_PASSED", index="none.cgi,index.cgi")
    site.environment = {"GW_TEST_PASSED": "passed", "GW_TEST_SECRET": "secret"}
    strict = {} if not kind.startswith("apache") else {"symlinks": "inside"}
    site.cgi("/cgi", folder, **common, **strict)
    site.cgi("/any", folder, symlinks="any")
    site.cgi("/args", folder, args=True)
    site.cgi("/auth", folder, pass_authorization=True)
    site.cgi("/old", folder, refuse_shellshock=False)
    site.cgi("/interpreted", folder, interpreter=".me:/usr/bin/python3")
    site.cgi("/file", folder.path / "see")
    site.static("/static/", site.scratch / "static")
    site.location("/hidden/", files=str(site.scratch / "static"), nginx="internal;", apache="Require all denied")


def see(server, path, *a, **kw):
    response = server.request(kw.pop("method", "GET"), path, *a, **kw)
    assert response.status == 200, (path, response)
    return json.loads(response.body)


# ---- which file ----


@pytest.mark.parametrize(
    ("path", "script", "info", "file"),
    [
        ("/cgi/see", "/cgi/see", None, "see"),
        ("/cgi/see/", "/cgi/see", "/", "see"),
        ("/cgi/see/a/b%20c", "/cgi/see", "/a/b c", "see"),
        ("/cgi/nested/see/x", "/cgi/nested/see", "/x", "nested/see"),
        ("/cgi/sub/", "/cgi/sub/index.cgi", None, "sub/index.cgi"),
        ("/cgi/see/photo.jpg", "/cgi/see", "/photo.jpg", "see"),
        ("/file", "/file", None, "see"),
        ("/file/a/b", "/file", "/a/b", "see"),
    ],
)
def test_the_first_file_of_the_path_is_the_script(server, path, script, info, file):
    env = see(server, path)["env"]
    assert env["SCRIPT_NAME"] == script
    assert (env.get("PATH_INFO") or None) == info
    assert env["SCRIPT_FILENAME"] == str(server.site.folder.path / file)
    assert ("PATH_TRANSLATED" in env) == (info is not None)


@pytest.mark.parametrize("path", ["/cgi/none", "/cgi/none/see", "/cgi/see.txt", "/cgi/%2e%2e/outside/see", "/cgi/seeⓟ"])
def test_what_is_not_there_is_404(server, path):
    server.log.allow("GW0807|AH00127|AH10244|No such file")
    assert server.get(path.encode()).status in (404, 400)


@pytest.mark.parametrize("path", ["/cgi/plain.txt", "/cgi/photo.jpg/see", "/cgi/pipe", "/cgi/nested/", "/cgi/escape"])
def test_what_must_not_run_is_403(server, path):
    server.log.allow("GW0807|AH01630|AH01276|AH00128")
    response = server.get(path)
    # httpd itself does not know what a pipe is.
    assert response.status in ((403, 404) if path.endswith("pipe") else (403,)), response
    assert b"no script" not in response.body


def test_a_directory_gets_its_slash(server):
    response = server.get("/cgi/sub")
    assert response.status == 301
    assert response.header("Location").endswith("/cgi/sub/")


def test_links_inside_of_the_root_and_links_that_may_lead_anywhere(server):
    assert see(server, "/cgi/inside")["env"]["SCRIPT_NAME"] == "/cgi/inside"
    assert see(server, "/any/escape")["env"]["SCRIPT_NAME"] == "/any/escape"


def test_a_file_without_a_run_bit_needs_an_interpreter(server):
    found = see(server, "/interpreted/run.me/info")
    assert found["env"]["PATH_INFO"] == "/info"
    assert found["env"]["REDIRECT_STATUS"] == "200"
    assert found["argv"] == [str(server.site.folder.path / "run.me")]
    server.log.allow("GW0807")
    assert server.get("/cgi/run.me").status == 403


# ---- what it is told ----


def test_its_world_is_its_own(server):
    found = see(server, "/cgi/see?a=b")
    assert found["argv"] == [str(server.site.folder.path / "see")]
    assert found["cwd"] == str(server.site.folder.path)
    assert found["umask"] == 0o022
    assert found["fds"] == [0, 1, 2]
    assert found["group"] is True
    if places.AS_ROOT:
        worker = pwd.getpwnam(places.WORKER_USER)
        assert found["ids"][:2] == [worker.pw_uid, worker.pw_gid]
        assert 0 not in found["ids"][2]


def test_its_environment_is_chosen(server):
    env = see(server, "/cgi/see/info?a=b", [("X-One", "1"), ("Cookie", "c=d")])["env"]
    for name, value in {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "a=b",
        "REQUEST_URI": "/cgi/see/info?a=b",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_X_ONE": "1",
        "HTTP_COOKIE": "c=d",
        "OWN": "1",
        "SPACED": "a b",
        "GW_TEST_PASSED": "passed",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
    }.items():
        assert env.get(name) == value, name
    assert "GW_TEST_SECRET" not in env
    assert not {"CONTENT_LENGTH", "CONTENT_TYPE", "HTTPS", "REMOTE_USER", "AUTH_TYPE"} & set(env)


@pytest.mark.parametrize("query", ["-s", "-d+allow_url_include%3d1", "%ADd+x", "a+b", ""])
def test_a_query_is_no_argument(server, query):
    assert see(server, f"/cgi/see?{query}")["argv"] == [str(server.site.folder.path / "see")]


@pytest.mark.parametrize(
    ("query", "words"), [("a+b", ["a", "b"]), ("x%20y", ["x y"]), ("a=b", []), ("", []), ("a%00b", [])]
)
def test_a_query_is_arguments_when_asked_for(server, query, words):
    assert see(server, f"/args/see?{query}")["argv"][1:] == words


def test_bodies_arrive_whole(server):
    found = see(server, "/cgi/see", [("Content-Type", "text/x")], b"body", method="POST")
    assert (found["body"], found["env"]["CONTENT_LENGTH"], found["env"]["CONTENT_TYPE"]) == ("body", "4", "text/x")
    assert see(server, "/cgi/see", [], b"x" * 200_000, method="PUT")["body"] == "x" * 200_000
    with server.connect() as client:
        client.request("POST", "/cgi/see", body=[b"abc", b"def"])
        assert json.loads(client.response().body)["body"] == "abcdef"


# ---- what it answers ----


def say(server, output, path="/cgi/say", method="GET", **kw):
    query = "".join(f"%{byte:02x}" for byte in output.encode("latin-1"))
    return server.request(method, f"{path}?{query}", **kw)


def test_the_static_program(server):
    response = server.get("/cgi/hello.c.cgi")
    assert (response.status, response.body) == (200, b"hello from C\n")
    assert response.header("Content-Type") == "text/plain"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_status_and_fields(server, end):
    lines = ["Status: 418 I'm a teapot", "Content-Type: text/x", "X-A: 1", "Set-Cookie: a=1", "Set-Cookie: b=2", "", "body"]
    response = say(server, end.join(lines))
    assert (response.status, response.reason, response.body) == (418, "I'm a teapot", b"body")
    assert response.all("Set-Cookie") == ["a=1", "b=2"]
    assert (response.header("X-A"), response.header("Content-Type")) == ("1", "text/x")


def test_a_redirect_of_the_client(server):
    response = say(server, "Location: http://example.org/x\n\n")
    assert (response.status, response.header("Location")) == (302, "http://example.org/x")
    response = say(server, "Status: 303 See Other\nLocation: /static/page.txt\n\n")
    assert response.status == 303
    assert response.header("Location").endswith("/static/page.txt")


def test_a_redirect_of_the_server(server):
    response = say(server, "Location: /static/page.txt\n\n")
    assert (response.status, response.body, response.header("Location")) == (200, b"static page", None)
    assert say(server, "Location: /static/page.txt\n\n", method="HEAD").status == 200


def test_a_script_that_writes_http_itself(server):
    response = say(server, "HTTP/1.1 202 Fine\r\nContent-Type: text/x\r\n\r\nbody", path="/cgi/nph-say")
    assert (response.status, response.body) == (202, b"body")


def test_early_hints_come_before_the_answer(server):
    output = "Status: 103 Early Hints\nLink: </a.css>; rel=preload\n\nContent-Type: text/x\n\nbody"
    query = "".join(f"%{byte:02x}" for byte in output.encode())
    with server.connect() as client:
        client.request("GET", f"/cgi/say?{query}")
        hints = client.head()
        assert (hints.status, hints.header("Link")) == (103, "</a.css>; rel=preload")
        final = client.response()
    assert (final.status, final.body, final.header("Link")) == (200, b"body", None)


def test_head_has_no_body(server):
    response = say(server, "Content-Type: text/x\n\nbody", method="HEAD")
    assert (response.status, response.body) == (200, b"")


def test_not_modified_has_no_body(server):
    response = say(server, "Status: 304 Not Modified\nETag: \"x\"\n\nbody")
    assert (response.status, response.body, response.header("ETag")) == (304, b"", '"x"')


def test_ranges_are_the_servers(server):
    output = "Content-Type: text/x\nContent-Length: 10\nETag: \"e\"\n\n0123456789"
    nginx = not server.kind.startswith("apache")
    response = say(server, output, headers=[("Range", "bytes=2-4")])
    # nginx makes parts only of responses that its cache holds.
    assert (response.status, response.body) in ([(206, b"234"), (200, b"0123456789")] if nginx else [(206, b"234")])


@pytest.mark.parametrize("asked", ["bytes=2-4", "bytes=999-"])
def test_what_has_no_length_has_no_ranges(server, asked):
    response = say(server, "Content-Type: text/x\n\n0123456789", headers=[("Range", asked)])
    assert (response.status, response.body) == (200, b"0123456789")


def test_the_length_is_held(server):
    server.log.allow("GW0503|GW0504|GW070[38]|prematurely closed")
    response = say(server, "Content-Length: 3\n\nbody")
    assert response.body == b"bod"
    with server.connect() as client:
        query = "".join(f"%{byte:02x}" for byte in b"Content-Length: 9\n\nbody")
        client.request("GET", f"/cgi/say?{query}")
        assert client.refused(500, 502)


def test_framing_is_the_servers(server):
    response = say(server, "Transfer-Encoding: chunked\nConnection: X-A\nX-A: 1\nKeep-Alive: 9\n\n5\r\nhello\r\n0\r\n\r\n")
    assert response.body == b"5\r\nhello\r\n0\r\n\r\n"
    assert response.header("Keep-Alive") is None


@pytest.mark.parametrize(
    "output",
    [
        "<!-- a traceback of cgitb -->\n<html>",
        "X-A: 1\rX-B: 2\n\n",
        "X-A: a\0b\n\n",
        "X A: 1\n\n",
        "X-A: 1\n folded\n\n",
        "Status: 2xx\n\n",
        "Status: 200 OK\nStatus: 404 No\n\n",
        "no head at all",
        "Content-Length: -1\n\n",
        "Status: 101 Switching Protocols\nUpgrade: x\nConnection: Upgrade\n\nbytes",
        "Status: 103\n\nStatus: 101\n\nbytes",
    ],
)
def test_what_is_no_head_is_502_and_its_start_is_in_the_log(server, output):
    server.log.allow("GW07|prematurely closed")
    response = say(server, output)
    assert response.status == 502
    assert b"traceback" not in response.body
    assert server.log.expect("GW0802").text


@pytest.mark.parametrize("value", ["404: Not Found", "404.1", "404Gone"])
def test_what_is_no_reason_phrase_leaves_the_status(server, value):
    response = say(server, f"Status: {value}\nX-Kept: yes\n\nbody")
    assert (response.status, response.body, response.header("X-Kept")) == (404, b"body", "yes")
    assert response.reason == "Not Found", "the phrase is the server's own"


def test_output_without_a_head_is_502(server):
    server.log.allow("prematurely closed")
    response = say(server, "")
    assert response.status == 502
    assert "it printed nothing; it ended with status 0" in server.log.expect("GW0802").raw


def test_a_head_of_many_bytes(server):
    assert say(server, "X-Large: " + "x" * 1500 + "\n\n").header("X-Large") == "x" * 1500


def test_standard_error_becomes_lines(server):
    server.log.allow("GW07|GW0802|prematurely closed")
    assert server.get("/cgi/stderr").status == 502
    for text in ("first", "second", "third"):
        assert "/cgi/stderr" in server.log.expect(f"GW0803 .*: {text}").raw


# ---- what must not become of a request ----


def test_httpoxy(server):
    env = see(server, "/cgi/see", [("Proxy", "http://evil")])["env"]
    assert "HTTP_PROXY" not in env and "http://evil" not in env.values()


def test_headers_of_several_lines(server):
    env = see(server, "/cgi/see", [("Cookie", "one=1"), ("Accept", "a/b"), ("Cookie", "two=2"), ("Accept", "c/d")])["env"]
    assert (env["HTTP_COOKIE"], env["HTTP_ACCEPT"]) == ("one=1; two=2", "a/b, c/d")


def test_headers_with_a_second_spelling(server):
    evil = [("X_Forwarded_For", "evil"), ("Content_Length", "9"), ("Remote_User", "evil"), ("X-Forwarded_For", "evil")]
    assert "evil" not in see(server, "/cgi/see", evil)["env"].values()


def test_credentials_pass_only_when_asked_for(server):
    basic = [("Authorization", "Basic YWRtaW46c2VjcmV0")]
    env = see(server, "/cgi/see", basic)["env"]
    assert not {"HTTP_AUTHORIZATION", "REMOTE_USER", "AUTH_TYPE"} & set(env)
    assert see(server, "/auth/see", basic)["env"]["HTTP_AUTHORIZATION"] == basic[0][1]


def test_shellshock(server):
    evil = [("User-Agent", "() { :;}; echo; echo vulnerable")]
    server.log.allow("GW0807")
    assert server.get("/cgi/see", evil).status == 400
    assert see(server, "/old/see", evil)["env"]["HTTP_USER_AGENT"] == evil[0][1]


def test_a_client_cannot_say_that_a_redirect_has_happened(server):
    env = see(server, "/interpreted/see", [("Redirect-Status", "1")])["env"]
    assert "HTTP_REDIRECT_STATUS" not in env and "REDIRECT_STATUS" not in env


@pytest.mark.parametrize(
    "path", ["/cgi/../outside/see", "/cgi/..%2foutside/see", "/cgi/%2e%2e/%2e%2e/etc/passwd", "/cgi/see%00.jpg", "/cgi/photo.jpg%20%00see"]
)
def test_traversal(server, path):
    server.log.allow("GW0807|AH10244|AH00127|AH0[0-9]+|No such file")
    response = server.get(path)
    assert response.status in (400, 403, 404), response
    assert b'"env"' not in response.body


@pytest.mark.parametrize("info", ["/a%0ab", "/a%0d%0ab"])
def test_line_ends_in_the_path_are_kept_as_they_are(server, info):
    response = server.get("/cgi/see" + info)
    # A server may refuse such a path; it must not lose what follows the script's name.
    if response.status == 200:
        assert json.loads(response.body)["env"]["PATH_INFO"] == info.replace("%0a", "\n").replace("%0d", "\r")
    else:
        assert response.status in (400, 403, 404)
