# SPDX-License-Identifier: MIT OR Apache-2.0
"""What applications are told when a request has passed through several locations of nginx, and under which name it was sent."""

import json

import pytest

from harness import scripts
from harness.upstreams import hello

pytestmark = pytest.mark.servers("nginx", "nginx128")
WARM = ("/cgi/see",)

# Variables that nginx keeps after their first use.
USED = "set $used $document_root$remote_port$uri;"


def configure(site, kind):
    site.http2 = True
    site.roots = {}
    for name in ("a", "b"):
        folder = site.roots[name] = scripts.Folder(site.scratch / name)
        for script in ("see", "one/see", "two/see", "fall/see", "around/see"):
            folder.python(script, scripts.SEE)
        for page in ("dup.php", "auth.php", "fall.php"):
            folder.write(page, page, mode=0o644)
    outside = scripts.Folder(site.scratch / "outside").write("page.php", "", mode=0o644)
    (site.roots["a"].path / "link.php").symlink_to(outside)
    a, b = site.roots["a"], site.roots["b"]
    a.shell("named", "printf 'X-Who: guard\\n\\n'")
    a.write("page.shtml", '[<!--#include virtual="/one/see/x" -->,<!--#include virtual="/two/see/x" -->]', mode=0o644)
    site.location("/page.shtml", nginx=f"root {a}; ssi on; ssi_types *; {USED}")
    auth, main = (site.recorder("fastcgi", name=name).address for name in ("auth", "main"))
    for protocol in ("scgi", "uwsgi"):
        site.passes(f"/{protocol}/", site.recorder(protocol))
    site.passes("/fastcgi/", site.recorder("fastcgi"))
    site.nginx_server = f"""
        location = /auth.php {{ internal; root {b}; gangway_pass {auth}; }}
        location /app/ {{
            auth_request /auth.php; rewrite ^/app(/.*)$ $1 break; root {a}; gangway_pass {main};
            gangway_param ROOT $document_root;
        }}
        location /pages/ {{ root {a}; {USED} error_page 404 = /fall.php; return 404; }}
        location = /fall.php {{ root {b}; gangway_pass {main}; }}
        location /named/ {{ root {a}; {USED} rewrite ^/named(/.*)$ $1 break; try_files /none @other; }}
        location @other {{ root {b}; gangway_pass {main}; }}
        location /one/ {{ root {a}; gangway_cgi on; }}
        location /two/ {{ root {b}; gangway_cgi on; }}
        location /variable/ {{ set $letter b; rewrite ^/variable(/.*)$ $1 break; root {site.scratch}/$letter; gangway_cgi on; {USED} }}
        location /lax/ {{ alias {a}/; gangway_script_check symlinks; gangway_pass {main}; }}
        location /strict/ {{ alias {a}/; gangway_pass {main}; }}
        location /around/ {{ root {b}; gangway_cgi on; addition_types *; add_before_body /one/see/x; add_after_body /two/see/x; }}
        location = /guard {{ internal; root {a}; {USED} gangway_wsgi pep3333:env_app root={site.apps}; }}
        location /guarded/ {{ auth_request /guard; root {b}; gangway_wsgi pep3333:env_app root={site.apps}; }}
        location = /who/wsgi {{ internal; rewrite ^ /ok break; gangway_wsgi accel:guard root={site.apps}; }}
        location = /who/cgi {{ internal; alias {a}/named; gangway_cgi on; }}
        location /by-wsgi/ {{
            auth_request /who/wsgi; auth_request_set $sent $sent_http_x_who; auth_request_set $up $upstream_http_x_who;
            gangway_param SENT $sent; gangway_param UPSTREAM $up; gangway_wsgi pep3333:env_app root={site.apps};
        }}
        location /by-cgi/ {{
            auth_request /who/cgi; auth_request_set $sent $sent_http_x_who; auth_request_set $up $upstream_http_x_who;
            gangway_param SENT $sent; gangway_param UPSTREAM $up; gangway_wsgi pep3333:env_app root={site.apps};
        }}
        location ~ ^/asked/(.)/(.*)$ {{
            root {site.scratch}/$1; gangway_authorize {auth}; gangway_authorize_param REST $2; gangway_wsgi pep3333:env_app root={site.apps};
        }}
        location /real/ {{
            {USED} set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP; gangway_wsgi pep3333:env_app root={site.apps};
        }}
        location /wsgi/ {{ gangway_wsgi pep3333:env_app root={site.apps}; }}
        location /cgi/ {{ alias {a}/; gangway_cgi on; }}
        location /cached/ {{
            alias {a}/; gangway_cgi on; gangway_cache zone; gangway_cache_valid 200 1h;
            add_header X-Key-Host $gangway_host;
        }}
    """
    site.nginx_http = "ignore_invalid_headers off;"
    site.nginx_http += f"gangway_cache_path {site.scratch}/cache keys_zone=zone:1m;"


def told(response):
    assert response.status == 200, response
    found = json.loads(response.body)
    return found.get("env", found)


# ---- the root of the location in which the request is ----


def test_the_script_is_that_of_the_location_after_its_check(server):
    client = server.connect()
    client.request("GET", "/app/dup.php")
    auth = server.site.backends["auth"].next(client)
    assert auth.request()["SCRIPT_FILENAME"] == f"{server.site.roots['b']}/auth.php"
    auth.answer(hello("fastcgi"))
    peer = server.site.backends["main"].next(client)
    request = peer.request()
    peer.answer(hello("fastcgi"))
    assert client.response().status == 200
    assert request["SCRIPT_FILENAME"] == f"{server.site.roots['a']}/dup.php"
    assert request["DOCUMENT_ROOT"] == request["ROOT"] == str(server.site.roots["a"])


@pytest.mark.parametrize(("path", "script"), [("/pages/x", "fall.php"), ("/named/dup.php", "dup.php")])
def test_the_script_is_that_of_the_location_that_a_request_was_led_to(server, path, script):
    client = server.connect()
    client.request("GET", path)
    peer = server.site.backends["main"].next(client)
    request = peer.request()
    peer.answer(hello("fastcgi"))
    assert client.response().status == 200
    assert request["SCRIPT_FILENAME"] == f"{server.site.roots['b']}/{script}"
    assert request["DOCUMENT_ROOT"] == str(server.site.roots["b"])


def located(env):
    return env["DOCUMENT_ROOT"], env["SCRIPT_FILENAME"], env["PATH_TRANSLATED"]


def test_each_part_of_a_page_has_its_own_root(server):
    response = server.get("/page.shtml")
    one, two = (part["env"] for part in json.loads(response.body))
    for env, root, folder in ((one, server.site.roots["a"], "one"), (two, server.site.roots["b"], "two")):
        assert located(env) == (str(root), f"{root}/{folder}/see", f"{root}/x")


def test_what_is_added_before_and_after_has_its_own_root(server):
    decode, text, found = json.JSONDecoder().raw_decode, server.get("/around/see/x").body.decode(), []
    while text:
        part, end = decode(text)
        found.append(located(part["env"]))
        text = text[end:]
    a, b = server.site.roots["a"], server.site.roots["b"]
    assert found == [(str(r), f"{r}/{f}/see", f"{r}/x") for r, f in ((a, "one"), (b, "around"), (b, "two"))]


def test_a_root_of_variables_is_made_for_each_request(server):
    assert located(told(server.get("/variable/see/x"))) == tuple(
        f"{server.site.roots['b']}{rest}" for rest in ("", "/see", "/x")
    )


def test_an_application_behind_a_check_has_its_own_root(server):
    assert told(server.get("/guarded/x"))["DOCUMENT_ROOT"] == str(server.site.roots["b"])


def test_an_authorizer_is_told_of_the_captures_of_its_location(server):
    client = server.connect()
    client.request("GET", "/asked/b/rest")
    auth = server.site.backends["auth"].next(client)
    asked = auth.request()
    auth.answer(b"Status: 200 OK\r\n\r\n")
    found = told(client.response())
    assert (asked["DOCUMENT_ROOT"], asked["REST"]) == (str(server.site.roots["b"]), "rest")
    assert found["DOCUMENT_ROOT"] == str(server.site.roots["b"])


@pytest.mark.parametrize(("checker", "upstream"), [("wsgi", ""), ("cgi", "guard")])
def test_what_a_checking_application_has_answered(server, checker, upstream):
    found = told(server.get(f"/by-{checker}/x"))
    assert (found["SENT"], found["UPSTREAM"]) == ("guard", upstream)


def test_the_port_of_the_client_belongs_to_its_address(server):
    found = told(server.get("/real/x", headers=[("X-Real-IP", "10.1.2.3:4567")]))
    assert (found["REMOTE_ADDR"], found["REMOTE_PORT"]) == ("10.1.2.3", "4567")


def test_a_script_that_one_location_has_found_is_not_found_for_another(server):
    client = server.connect()
    client.request("GET", "/lax/link.php")
    peer = server.site.backends["main"].next(client)
    peer.request()
    peer.answer(hello("fastcgi"))
    assert client.response().status == 200
    assert server.get("/strict/link.php").status == 404
    server.log.expect("GW0709")


# ---- the host that the request is for ----

HOSTS = [
    ("", "localhost"),
    ("", "LocalHost"),
    ("", "localhost:81"),
    ("", "localhost."),
    ("", "evil.example"),
    ("http://localhost", "evil.example"),
    ("http://localhost:82", "evil.example"),
    ("http://LOCALHOST", "evil.example"),
    ("http://other.example", "localhost"),
    ("HTTP://localhost.:83", "localhost"),
    ("http://[::1]:84", "localhost"),
    ("http://third.example", None),
    ("", None),
]


def host_of(target, host):
    return target.partition("://")[2] or host


@pytest.mark.parametrize(("target", "host"), HOSTS)
@pytest.mark.parametrize("place", ["wsgi", "cgi", "fastcgi", "scgi", "uwsgi"])
def test_the_host_of_the_request_target_wins(server, place, target, host):
    """RFC 9112 section 3.2.2."""
    version = "HTTP/1.1" if host else "HTTP/1.0"
    if place in ("wsgi", "cgi"):
        found = told(server.get(f"{target}/{place}/see", host=host, version=version))
    else:
        client = server.connect()
        client.request("GET", f"{target}/{place}/x", host=host, version=version)
        backend = server.site.backends[place]
        peer = backend.next(client)
        found = peer.request()
        peer.answer(hello(place))
        assert client.response().status == 200
    assert found.get("HTTP_HOST") == host_of(target, host)
    assert found["SERVER_NAME"] == "localhost"
    assert found["REQUEST_URI"] == f"/{place}/" + ("see" if place in ("wsgi", "cgi") else "x")


@pytest.mark.parametrize(
    ("host", "expected"), [(None, "other.example:80"), ("other.example:80", "other.example:80"), ("evil.example", None)]
)
def test_authority_and_host_over_http2(server, host, expected):
    client = server.http2()
    fields = [("host", host)] if host else []
    stream = client.send_head("GET", "/wsgi/x", fields, host="other.example:80")
    try:
        response = client.response(stream)
    except ConnectionError:
        # One of the two spoke of nothing that the other said: nginx ends the stream.
        assert expected is None
        return
    if response.status == 400:
        return
    assert told(response)["HTTP_HOST"] == expected


def test_a_cache_serves_nobody_what_another_host_has_made(server):
    for _ in range(2):
        for target, host in HOSTS:
            version = "HTTP/1.1" if host else "HTTP/1.0"
            response = server.get(f"{target}/cached/see", host=host, version=version)
            assert told(response).get("HTTP_HOST") == host_of(target, host), (target, host)
            expected = host_of(target, host) or f"localhost:{server.ports['http']}"
            assert response.header("X-Key-Host") == expected


# ---- names that nginx lets in because the administrator wants them ----


@pytest.mark.parametrize("place", ["wsgi", "cgi", "fastcgi", "scgi", "uwsgi"])
@pytest.mark.parametrize("port", ["http", "http2"])
def test_names_with_underscores_reach_every_application(server, place, port):
    fields = [("x_token", "one"), ("x_other", "evil"), ("x-other", "good"), ("remote_user", "evil"), ("x.dot", "evil")]
    client = server.connect() if port == "http" else server.http2()
    path = f"/{place}/see"
    if port == "http":
        client.request("GET", path, fields)
    else:
        stream = client.send_head("GET", path, fields, host="localhost")
    if place not in ("wsgi", "cgi"):
        peer = server.site.backends[place].next(client)
        found = peer.request()
        peer.answer(hello(place))
    response = client.response() if port == "http" else client.response(stream)
    if place in ("wsgi", "cgi"):
        found = told(response)
    assert response.status == 200
    assert (found["HTTP_X_TOKEN"], found["HTTP_X_OTHER"]) == ("one", "good")
    values = [value for _, value in found.variables] if hasattr(found, "variables") else found.values()
    assert not [value for value in values if value in ("evil", b"evil")]


def test_a_cached_answer_depends_on_no_other_spelling_of_a_condition(server):
    """What the cache decides is hidden from the program, however it is spelled."""
    found = told(server.get("/cached/see/conditions", headers=[("If_Match", '"x"'), ("If-None-Match", '"x"')]))
    assert not [name for name in found if name.startswith("HTTP_IF_")]
