# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_wsgi's scripts before any location of nginx, and what handlers change for those who come after them."""

import base64
import http.server
import json
import threading

import pytest

from harness.applications import environ
from harness.upstreams import hello

pytestmark = pytest.mark.servers("nginx", "nginx128")

CHANGES = '''
from mod_python import apache

def accesshandler(req):
    headers = req.headers_in
    headers["X-User-Id"] = "42"
    headers["Cookie"] = "from=handler"
    del headers["X-Secret"]
    headers.add("X-Many", "1")
    headers.add("X-Many", "2")
    headers["User-Agent"] = "changed"
    headers["Authorization"] = "Bearer made-here"
    # What frames the message is nginx's.
    headers["Host"] = "evil.example"
    headers["Content-Length"] = "5"
    headers["Transfer-Encoding"] = "chunked"
    headers["Connection"] = "upgrade"
    req.subprocess_env["TOLD"] = "by a handler"
    req.subprocess_env["SCRIPT_NAME"] = "/forged"
    req.subprocess_env["REMOTE_USER"] = "forged"
    req.subprocess_env["HTTP_X_FORGED"] = "forged"
    return apache.OK

def splits(req):
    for name, value in (("X-Bad", "a\\r\\nX-Forged: 1"), ("X-Bad\\r\\nX-Forged", "1")):
        try:
            req.headers_in[name] = value
        except ValueError:
            continue
        return apache.HTTP_INTERNAL_SERVER_ERROR
    return apache.OK
'''


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length", 0))
        body = json.dumps({"headers": [*self.headers.items()], "body": self.rfile.read(length).decode()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module", autouse=True)
def backend():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    Backend.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield
    server.shutdown()
    server.server_close()


def configure(site, kind):
    site.http2 = True
    folder = site.scratch / "changes"
    folder.mkdir(exist_ok=True)
    (folder / "changes.py").write_text(CHANGES)
    script = f"{site.apps}/handlers/auth.wsgi.py"
    fastcgi = site.recorder("fastcgi", name="backend")
    access = f"gangway_access {script};"
    users = f'gangway_authn_provider {script} "realm=the files";'
    groups = f'{users} gangway_authz_provider {script} "groups=admins staff";'
    port = Backend.port
    for name, lines in (("access", access), ("users", users), ("groups", groups)):
        site.static(f"/files/{name}/", site.apps / "served", nginx=lines)
        site.location(f"/proxy/{name}/", nginx=f"{lines} proxy_pass http://127.0.0.1:{port}/;")
        site.passes(f"/backend/{name}/", fastcgi, nginx=lines)
        site.wsgi(f"/wsgi/{name}", "pep3333:app", nginx=lines)
    site.location("/files/users/open/", nginx=f"gangway_authn_provider off; alias {site.apps}/served/;")
    changes = f"gangway_python_handler access changes root={folder};"
    site.location("/changed/", nginx=f"{changes} proxy_pass http://127.0.0.1:{port}/; proxy_set_header X-Told $gangway_env_told; proxy_set_header X-Agent $http_user_agent;")
    site.location(
        "/asked-before/",
        nginx=f'if ($http_user_agent = "none") {{ return 403; }} if ($cookie_from = "nobody") {{ return 403; }} {changes} proxy_pass http://127.0.0.1:{port}/; proxy_set_header X-Agent "$http_user_agent $cookie_from";',
    )
    site.wsgi("/changed-wsgi", "pep3333:app", nginx=changes)
    site.passes("/changed-backend/", fastcgi, nginx=changes)
    site.static("/splits/", site.apps / "served", nginx=f"gangway_python_handler access changes::splits root={folder};")


def credentials(text):
    return [("Authorization", "Basic " + base64.b64encode(text.encode()).decode())]


def seen(response):
    assert response.status == 200, response.body
    found = json.loads(response.body)
    return [(name.lower(), value) for name, value in found["headers"]], found["body"]


@pytest.mark.parametrize("kind_of", ["files", "proxy"])
def test_access(server, kind_of):
    server.log.allow("asked for")
    path = f"/{kind_of}/access/README"
    assert server.get(path).status == 200
    assert server.get(path, headers=[("X-Let-In", "no")]).status == 403
    assert server.get(path, headers=[("X-Let-In", "error")]).status == 500
    server.log.expect("GW0319 .*ValueError: no decision")


@pytest.mark.parametrize("kind_of", ["files", "proxy"])
def test_passwords(server, kind_of):
    path = f"/{kind_of}/users/README"
    asked = server.get(path)
    assert (asked.status, asked.header("www-authenticate")) == (401, 'Basic realm="the files"')
    assert server.get(path, headers=credentials("ada:wrong")).status == 401
    assert server.get(path, headers=credentials("ada:lovelace")).status == 200
    # Nobody else is asked about a user whom the script does not know.
    assert server.get(path, headers=credentials("mallory:x")).status == 401
    server.log.expect("GW0510")
    assert server.get(path, headers=credentials("error:x")).status == 500
    server.log.expect("GW0319 .*ValueError: no decision")
    assert server.get("/files/users/open/README").status == 200


@pytest.mark.parametrize("kind_of", ["files", "proxy"])
def test_groups(server, kind_of):
    path = f"/{kind_of}/groups/README"
    assert server.get(path, headers=credentials("ada:lovelace")).status == 200
    assert server.get(path, headers=credentials("bob:builder")).status == 403
    assert server.get(path, headers=credentials("bob:wrong")).status == 401
    assert server.get(path).status == 401


def test_backends_and_applications_know_the_user(server):
    assert environ(server, "/wsgi/users/env", headers=credentials("ada:lovelace"))["REMOTE_USER"] == "ada"
    recorder = server.site.backends["backend"]
    recorder.reset()
    client = server.connect()
    client.request("GET", "/backend/users/x", credentials("ada:wrong"))
    assert client.response().status == 401
    client.request("GET", "/backend/users/x", credentials("ada:lovelace"))
    peer = recorder.next(client)
    assert peer.request()["REMOTE_USER"] == "ada"
    peer.answer(hello("fastcgi"))
    assert client.response().status == 200
    recorder.reset()


def test_what_handlers_change_reaches_proxies(server):
    sent = [("X-Secret", "s"), ("Cookie", "from=client"), ("X-Kept", "k"), ("User-Agent", "client")]
    client = server.connect()
    for path in ("/changed/x", "/asked-before/x"):
        client.request("POST", path, sent, b"the whole body")
        headers, body = seen(client.response())
        assert body == "the whole body"
        found = dict(headers)
        assert (found["x-user-id"], found["cookie"], found["x-kept"]) == ("42", "from=handler", "k")
        assert (found["user-agent"], found["authorization"]) == ("changed", "Bearer made-here")
        assert "x-secret" not in found
        assert [value for name, value in headers if name == "x-many"] == ["1", "2"]
        assert "evil" not in found["host"] and found["content-length"] == "14" and "transfer-encoding" not in found
        if path == "/changed/x":
            assert (found["x-told"], found["x-agent"]) == ("by a handler", "changed")
        else:
            assert found["x-agent"] == "changed handler"


def test_what_handlers_change_reaches_applications(server):
    sent = [("X-Secret", "s"), ("Cookie", "from=client")]
    found = environ(server, "/changed-wsgi/env", headers=sent)
    assert (found["HTTP_X_USER_ID"], found["HTTP_COOKIE"], found["TOLD"]) == ("42", "from=handler", "by a handler")
    assert "HTTP_X_SECRET" not in found and "HTTP_X_FORGED" not in found
    assert (found["SCRIPT_NAME"], found.get("REMOTE_USER")) == ("/changed-wsgi", None)
    assert "HTTP_AUTHORIZATION" not in found, "passed where it is asked for alone"
    recorder = server.site.backends["backend"]
    recorder.reset()
    client = server.connect()
    client.request("GET", "/changed-backend/x", sent)
    peer = recorder.next(client)
    request = peer.request()
    assert (request["HTTP_X_USER_ID"], request["TOLD"]) == ("42", "by a handler")
    assert "HTTP_X_SECRET" not in request and "HTTP_X_FORGED" not in request and "REMOTE_USER" not in request
    peer.answer(hello("fastcgi"))
    assert client.response().status == 200
    recorder.reset()


def test_a_header_cannot_be_split(server):
    server.log.allow("GW0501")
    assert server.get("/splits/README").status == 200


def test_over_http2(server):
    with server.http2() as client:
        assert client.get("/files/users/README").status == 401
        assert client.get("/files/users/README", [(name.lower(), value) for name, value in credentials("ada:lovelace")]).status == 200
        headers, _ = seen(client.get("/changed/x", [("x-secret", "s"), ("cookie", "a=1"), ("cookie", "b=2")]))
        assert [value for name, value in headers if name == "cookie"] == ["from=handler"]


@pytest.mark.parametrize(
    ("lines", "cure"),
    [
        ("gangway_access /nowhere;", "no file"),
        ("gangway_access;", "invalid number"),
        ("gangway_authn_provider /etc/hostname;", "realm=TEXT"),
        ("gangway_authz_provider /etc/hostname;", "groups=NAME"),
        ("gangway_access /etc/hostname user=web;", "handlers of phases"),
    ],
)
def test_what_the_configuration_test_refuses(configtest, lines, cure):
    result = configtest(lambda site: site.location("/x", nginx=lines))
    assert result.status != 0
    assert cure in result.output
