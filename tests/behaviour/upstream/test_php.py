# SPDX-License-Identifier: MIT OR Apache-2.0
"""php-fpm: what PHP applications rely on, and that a request cannot make PHP run what is no script."""

import hashlib
import json
import os
import time

import pytest

from harness import programs
from harness.deadline import wait_until

SCRIPT = r"\.(php|phtml)(/|$)"


def serve(site, fpm, nginx="", paths=SCRIPT):
    """Scripts below the root go to php-fpm, as an administrator writes it for either server."""
    site.apache_main += f"DocumentRoot {fpm.root}\n"
    # PHP reads as much as CONTENT_LENGTH says, and httpd streams what has no length unless it is told to count first.
    handler = f'SetHandler "proxy:fcgi://{fpm.where}"\nSetEnv proxy-sendcl 1'
    # nginx: without a regular expression too, Gangway finds the script by itself.
    site.passes(paths, fpm, kind="regex", nginx=f"root {fpm.root}; {nginx}", apache=handler)


def configure(site, kind):
    site.http2 = True
    site.body_limit = 64 << 20
    fpm = site.program("fpm", programs.PhpFpm(site.scratch, children=3))
    stock = 'fastcgi_split_path_info ^(.+?\\.(?:php|phtml))(/.*)$; fastcgi_param PATH_INFO $fastcgi_path_info;'
    serve(site, fpm, stock if site.upstream == "stock" else "gangway_keepalive_timeout 1s;")


@pytest.fixture
def fpm(server):
    return server.site.backends["fpm"]


def test_the_variables_of_php(server, fpm):
    body = b"a=1&b=2"
    fields = [("Content-Type", "application/x-www-form-urlencoded"), ("Cookie", "c=3"), ("X-Field", "v")]
    found = json.loads(server.post("/env.php?x=%20y", body, fields).body)
    expected = {
        "REQUEST_METHOD": "POST",
        "REQUEST_URI": "/env.php?x=%20y",
        "QUERY_STRING": "x=%20y",
        "SCRIPT_NAME": "/env.php",
        "SCRIPT_FILENAME": str(fpm.root / "env.php"),
        "PHP_SELF": "/env.php",
        "DOCUMENT_ROOT": str(fpm.root),
        "CONTENT_LENGTH": "7",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_X_FIELD": "v",
    }
    assert {name: found["server"].get(name) for name in expected} == expected
    assert found["server"].get("PATH_INFO", "") == ""
    assert (found["get"], found["post"], found["cookie"]) == ({"x": " y"}, {"a": "1", "b": "2"}, {"c": "3"})


@pytest.mark.parametrize("info", ["/a", "/a/b%20c", "/", "/a//b", "/x.txt"])
def test_path_info(server, fpm, info):
    found = json.loads(server.get(f"/env.php{info}?q").body)["server"]
    decoded = info.replace("%20", " ")
    if server.kind.startswith("nginx"):
        decoded = decoded.replace("//", "/")  # merge_slashes
    assert found["SCRIPT_NAME"] == "/env.php"
    assert found["PATH_INFO"].replace("//", "/") == decoded.replace("//", "/")
    assert found["SCRIPT_FILENAME"] == str(fpm.root / "env.php")
    assert found["PHP_SELF"].replace("//", "/") == "/env.php" + decoded.replace("//", "/")


def test_another_suffix(server, fpm):
    assert json.loads(server.get("/other.phtml").body)["server"]["SCRIPT_NAME"] == "/other.phtml"


@pytest.mark.parametrize("size", [10, 100_000, 5_000_000])
@pytest.mark.parametrize("over", ["h1", "h2", "chunked"])
def test_an_upload(server, fpm, size, over):
    server.log.allow("body is buffered")
    data = bytes(n * 7 % 256 for n in range(256)) * (size // 256 + 1)
    data = data[:size]
    parts = b'--XX\r\nContent-Disposition: form-data; name="title"\r\n\r\nthe title\r\n'
    parts += b'--XX\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\nContent-Type: x/y\r\n\r\n'
    parts += data + b"\r\n--XX--\r\n"
    fields = [("content-type", "multipart/form-data; boundary=XX")]
    if over == "h2":
        response = server.http2().request("POST", "/upload.php", fields, parts)
    else:
        response = server.post("/upload.php", parts, fields, chunked=over == "chunked")
    found = json.loads(response.body)
    assert found == {
        "title": "the title",
        "name": "f.bin",
        "type": "x/y",
        "size": size,
        "error": 0,
        "hash": hashlib.md5(data).hexdigest(),
    }


def test_sessions(server, fpm):
    first = server.get("/session.php")
    (cookie,) = first.all("Set-Cookie")
    name = cookie.partition(";")[0]
    assert first.body == b"1"
    for number in (2, 3):
        assert server.get("/session.php", [("Cookie", name)]).text == str(number)
    assert server.get("/session.php").body == b"1"


@pytest.mark.better("the stock modules hold output until a buffer is full", strict=False)
def test_flush(server, fpm, gate):
    client = server.connect()
    client.request("GET", f"/gate.php?{gate.query}&what=flush")
    php = gate.visitor()
    php.at("after 0")
    head = client.head()
    blocks = client.blocks(head)
    assert next(blocks) == b"part 0;"
    for number in (1, 2):
        php.go().at(f"after {number}")
        assert next(blocks) == b"part %d;" % number
    php.go()
    assert list(blocks) == []
    assert head.complete


def test_fastcgi_finish_request(server, fpm, gate):
    """The client has its whole answer while PHP goes on."""
    client = server.connect()
    client.request("GET", f"/gate.php?{gate.query}&what=finish")
    assert client.response().body == b"the answer"
    php = gate.visitor()
    php.at("finished").go().at("still here")
    assert server.get("/answer.php?how=status&status=200").status == 200


def test_a_client_that_leaves_ends_the_script(server, fpm, gate):
    server.log.allow("client|upstream|GW0[57]|AH\\d+|buffered")
    client = server.connect()
    client.request("GET", f"/gate.php?{gate.query}&what=leave")
    php = gate.visitor()
    php.at("running").go()
    client.head()
    client.reset()
    assert php.next() == "aborted 1"


@pytest.mark.parametrize("status", [200, 201, 204, 304, 400, 404, 418, 500, 503])
def test_statuses(server, fpm, status):
    if server.site.upstream == "stock":
        server.log.allow("more data than specified")
    response = server.get(f"/answer.php?how=status&status={status}")
    assert response.status == status
    assert response.body == (b"" if status in (204, 304) else b"body")


@pytest.mark.parametrize("to", ["http://other.example/x", "/local?y=1", "relative"])
def test_redirects(server, fpm, to):
    response = server.get(f"/answer.php?how=redirect&to={to.replace('?', '%3F')}")
    assert response.status == 302
    assert response.header("Location").endswith(to)


def test_cookies_and_length(server, fpm):
    assert len(server.get("/answer.php?how=cookies").all("Set-Cookie")) == 2
    assert server.get("/answer.php?how=length").body == b"body"
    assert server.request("HEAD", "/answer.php?how=length").body == b""


@pytest.mark.better("a head fits one buffer", on=("nginx",), when={"count": [30, 55]})
@pytest.mark.parametrize("count", [2, 30, 55])
def test_large_heads(server, fpm, count):
    response = server.get(f"/answer.php?how=headers&count={count}")
    assert (response.status, response.body) == (200, b"body")
    assert len([name for name, _ in response.headers if name.startswith("X-Large-")]) == count


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 10_000_000])
def test_large_answers(server, fpm, size):
    server.log.allow("response is buffered")
    body = server.get(f"/answer.php?how=large&size={size}").body
    assert len(body) == size
    assert body == (b"0123456789abcdef" * (size // 16 + 1))[:size]


def test_error_log_lines(server, fpm):
    assert server.get("/answer.php?how=log").body == b"logged"
    server.log.expect("a line of the application")
    server.log.expect("two lines")
    server.log.allow("of the application")


def test_a_fatal_error(server, fpm):
    response = server.get("/answer.php?how=fatal")
    assert response.status == 500 or response.body == b"before"
    server.log.allow("nobody catches this|Stack trace|#0|thrown in|PHP")
    server.log.expect("nobody catches this")


def test_a_php_process_that_dies(server, fpm):
    server.log.allow("upstream|GW07|AH\\d+|proxy|recv")
    assert server.get("/answer.php?how=exit").status in (500, 502, 503)
    assert server.get("/answer.php?how=status&status=200").status == 200


# ---- scripts ----

WRONG_SCRIPTS = [
    "/up/photo.jpg/x.php",
    "/up/photo.jpg%2Fx.php",
    "/up/photo.jpg%20/x.php",
    "/up/photo.jpg/.php",
    "/up/photo.jpg%0a/x.php",
    "/up/photo.jpg%0a.php",
    "/up/photo.jpg%20.php",
    "/none.php",
    "/none.php/a",
    "/none.php/env.php",
    "/dir/none.php/../../env.phpx/a.php",
    "/env.php%20/x.php",
    "/dir.php",
    "/up/x.PHP/y.php",
    "/env.\u2c65hp/x.php",
    "/env\uff0e\uff50\uff48\uff50/x.php",
    "/env.\u24df\u24d7\u24df/x.php",
    "/\u023a\u023a\u023a/env.txt/x.php",
]


@pytest.mark.parametrize("path", WRONG_SCRIPTS)
def test_what_is_no_script_is_not_run(server, fpm, path):
    """CVE-2019-11043 and the many sites with cgi.fix_pathinfo: an upload or a strange path never runs."""
    response = server.get(path.encode("utf-8"))
    assert response.status in (400, 403, 404), f"{response.status} {response.body}"
    assert b"the photo ran" not in response.body
    server.log.allow("No such file|Primary script|not found|AH\\d+|GW|FastCGI sent|Not a directory|is forbidden|invalid")


@pytest.mark.parametrize("path", ["/up/photo.jpg%00.php", "/env.php%00", "/env.php%00.jpg", "/%00env.php"])
def test_a_nul_in_the_path(server, fpm, path):
    assert server.get(path).status in (400, 404)
    server.log.allow("AH\\d+|GW|invalid|client")


@pytest.mark.parametrize("path", ["/env.php/a%0ab", "/env.php/%0a", "/env.php/a%0d%0ab", "/env.php/%c8%ba/x.php"])
def test_path_info_is_what_follows_the_script(server, fpm, path):
    """Right or refused, never a script with a path that does not fit it."""
    response = server.get(path)
    server.log.allow("AH\\d+|GW|Primary script|FastCGI sent")
    if response.status == 200:
        found = json.loads(response.body)["server"]
        assert found["SCRIPT_FILENAME"] == str(fpm.root / "env.php")
        assert found["SCRIPT_NAME"] == "/env.php"
        assert found["PATH_INFO"].startswith("/")
        assert len(found["PATH_INFO"]) >= 2
    else:
        assert response.status in (403, 404)


def test_a_client_cannot_set_php_values(server, fpm):
    names = ["PHP-Value", "PHP-Admin-Value", "Script-Filename", "Document-Root", "Redirect-Status"]
    fields = [(name, "auto_prepend_file=/etc/passwd") for name in names]
    found = json.loads(server.get("/env.php", fields).body)
    assert found["server"]["SCRIPT_FILENAME"] == str(fpm.root / "env.php")
    assert "PHP_VALUE" not in found["server"]


@pytest.mark.better("the stock module sends any path", on=("nginx",), absent=True)
@pytest.mark.servers("nginx", "nginx128")
class TestWithoutARegularExpression:
    """`location /` alone: Gangway knows what a script is."""

    @pytest.fixture
    def whole(self, launch, workspace):
        def site_of(site, nginx=""):
            fpm = site.program("fpm", programs.PhpFpm(site.scratch, children=2))
            site.passes("/", fpm, nginx=f"root {fpm.root}; {nginx} gangway_keepalive_timeout 500ms;")

        return lambda nginx="": launch(lambda site: site_of(site, nginx))

    def test_scripts_run_and_nothing_else(self, whole):
        server = whole("gangway_index index.php;")
        server.log.allow("GW|FastCGI|Primary|Access|access|denied|limit_ext|upstream")
        assert json.loads(server.get("/env.php/a").body)["server"]["PATH_INFO"] == "/a"
        for path in ("/up/photo.jpg/x.php", "/none.php", "/env.php%0a/x.php"):
            response = server.get(path)
            assert response.status in (403, 404), path
            assert b"photo ran" not in response.body

    def test_links_and_folders(self, whole):
        server = whole("disable_symlinks if_not_owner;")
        fpm = server.site.backends["fpm"]
        (fpm.root / "folder.php").mkdir()
        os.symlink("/etc/passwd", fpm.root / "passwd.php")
        server.log.allow("GW|symbolic|Primary|FastCGI|denied|directory")
        assert server.get("/folder.php").status in (403, 404)
        assert server.get("/folder.php/x").status in (403, 404)

    def test_trees_of_links_need_a_word(self, whole):
        """As Debian's MediaWiki: the folder below the root is a link to another place."""

        def linked(server):
            root = server.site.backends["fpm"].root
            (root.parent / "share").mkdir()
            os.rename(root / "env.php", root.parent / "share" / "env.php")
            os.symlink(root.parent / "share", root / "wiki")
            return server

        server = linked(whole())
        assert server.get("/wiki/env.php").status == 404
        assert "gangway_script_check symlinks" in server.log.expect("GW0709").raw
        server = linked(whole("gangway_script_check symlinks;"))
        assert json.loads(server.get("/wiki/env.php/a").body)["server"]["PATH_INFO"] == "/a"

    def test_the_check_is_off_for_other_machines(self, whole):
        server = whole("gangway_script_check off;")
        server.log.allow("GW|Primary|FastCGI|File not found")
        response = server.get("/none.php")
        # php-fpm itself says so.
        assert (response.status, response.body) == (404, b"File not found.\n")


def test_one_child_serves_all_workers(launch, kind):
    """A kept connection pins the only child: it is given up as soon as somebody else waits."""

    def configure(site):
        site.workers = 2
        fpm = site.program("fpm", programs.PhpFpm(site.scratch, children=1))
        serve(site, fpm, "add_header X-Worker $pid;" if kind.startswith("nginx") else "")
        site.threads_per_child = 8

    server = launch(configure)
    server.log.allow("response is buffered")
    slowest, seen = 0.0, set()
    for number in range(60):
        begun = time.monotonic()
        response = server.get(f"/answer.php?how=status&status=200&n={number}")
        slowest = max(slowest, time.monotonic() - begun)
        assert response.status == 200
        seen.add(response.header("X-Worker"))
    if kind.startswith("nginx"):
        assert len(seen) == 2, "both workers had requests"
    assert slowest < 2, f"a request waited {slowest:.1f}s for a child that nobody used"
    wait_until(lambda: server.get("/answer.php?how=status&status=200").status == 200, "it still answers")
