# SPDX-License-Identifier: MIT OR Apache-2.0
"""Local redirects of CGI programs (RFC 3875, section 6.2.2): what a client's GET for the path would give."""

import json
from urllib.parse import quote

import pytest

from harness import scripts

WARM = ("/cgi/see", "/cgi/say?%0a")


def configure(site, kind):
    folder = site.folder = scripts.Folder(site.scratch / "cgi")
    folder.python("see", scripts.SEE)
    folder.python("say", 'from urllib.parse import unquote_to_bytes\nout.write(unquote_to_bytes(env["QUERY_STRING"]))')
    folder.python("again", 'n = int(env["QUERY_STRING"])\nprint(f"Location: /cgi/again?{n - 1}\\n" if n else "\\nthe end")')
    files = site.scratch / "files"
    for name in ("open/page.txt", "priv/x.txt", "hidden/x.txt"):
        (files / name).parent.mkdir(parents=True)
        (files / name).write_text(name)
    site.cgi("/cgi", folder)
    site.cgi("/files-of-cgi", folder, nginx="rewrite ^/files-of-cgi/(.*)$ /cgi/$1 last;", apache="RewriteEngine On\nRewriteRule ^.*/files-of-cgi/(.*)$ /cgi/$1 [PT]")
    site.static("/open/", files / "open")
    site.static("/priv/", files / "priv", nginx="deny all;", apache="Require all denied")
    site.static("/hidden/", files / "hidden", nginx="internal;", apache="Require all denied")


def say(server, output, method="GET", *a, **kw):
    return server.request(method, f"/cgi/say?{quote(output)}", *a, **kw)


def facts(response):
    """What a script was told, without what is another one for each connection, and what httpd says about the redirect itself."""
    assert response.status == 200, response
    told = json.loads(response.body)
    return {k: v for k, v in told["env"].items() if k != "REMOTE_PORT" and not k.startswith("REDIRECT_")}, told["body"], told["argv"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize("target", ["/cgi/see/a%20b/c?d=e%2F&f", "/cgi/see", "//cgi/./see/x", "/files-of-cgi/see?x"])
def test_another_script_sees_a_get(server, method, target):
    fields = [("X-Field", "v"), ("Cookie", "a=b")]
    body = [("Content-Type", "text/x"), ("Content-Language", "en")] if method != "GET" else []
    redirected = say(server, f"Location: {target}\n\n", method, fields + body, b"the body" if body else None)
    assert facts(redirected) == facts(server.get(target, fields))


def test_a_large_body_is_gone(server):
    redirected = say(server, "Location: /cgi/see\n\n", "POST", (), b"x" * 300_000)
    assert facts(redirected) == facts(server.get("/cgi/see"))


def test_the_connection_goes_on(server):
    client = server.connect()
    for size in (0, 10, 300_000):
        for body in (b"x" * size, [b"y" * size] if size else []):
            client.request("POST", "/cgi/say?" + quote("Location: /open/page.txt\n\n"), body=body)
            assert client.response().body == b"open/page.txt"


def test_head(server):
    response = say(server, "Location: /open/page.txt\n\n", "HEAD")
    assert (response.status, response.body, response.header("Content-Length")) == (200, b"", "13")


def test_ten_and_no_more(server):
    assert server.get("/cgi/again?10").body == b"the end\n"
    assert server.get("/cgi/again?11").status == 502
    server.log.expect("GW0808")


@pytest.mark.parametrize(
    "target",
    ["/priv/x.txt", "//priv/x.txt", "/./priv/x.txt", "/open/../priv/x.txt", "/%70riv/x.txt", "/priv%2e/../priv//x.txt"],
)
def test_what_a_client_may_not_have_a_script_does_not_give(server, target):
    assert say(server, f"Location: {target}\n\n").status == 403
    server.log.allow("access forbidden|AH01630")


def test_internal_places_are_hidden(server):
    assert say(server, "Location: /hidden/x.txt\n\n").status in (403, 404)
    server.log.allow("GW0808|AH01630")


@pytest.mark.parametrize("target", ["/../etc/passwd", "/open/%2e%2e/../x", "/%", "/%00", "/%zz"])
def test_a_target_that_no_client_could_ask_for(server, target):
    assert say(server, f"Location: {target}\n\n").status in (400, 404, 502)
    server.log.allow("GW0808|AH")


def test_nothing_is_there(server):
    server.log.allow("No such file|AH00128|GW08")
    assert say(server, "Location: /open/nothing\n\n").status == 404
    assert say(server, "Location: /cgi/nothing\n\n").status == 404
