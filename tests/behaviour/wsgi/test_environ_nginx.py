# SPDX-License-Identifier: MIT OR Apache-2.0
"""SCRIPT_NAME, PATH_INFO and variables for the shapes of nginx's locations."""

import pytest

from harness.applications import environ, mounted

pytestmark = pytest.mark.servers("nginx", "nginx128")
PASSWORDS = "user:{PLAIN}secret\n"


def configure(site, kind):
    app = "pep3333:env_app"
    site.wsgi("/slash/", app)
    site.wsgi("/bare", app)
    site.wsgi("/exact", app, kind="exact")
    site.wsgi("^/regex/(?<tail>.*)$", app, kind="regex", params={"TAIL": "$tail", "WHOLE": "$1"})
    site.wsgi("@fallback", app, kind="named")
    site.location("/tries/", nginx="try_files $uri @fallback;")
    site.location("/old/", nginx="rewrite ^/old/(.*)$ /bare/$1?added=1 last;")
    site.location("/moved/", nginx="error_page 404 = /bare/missing; return 404;")
    site.wsgi("^~ /alias/", app, nginx="alias /srv/elsewhere/;")
    site.wsgi("/outer/", app, nginx="location /outer/inner/ { gangway_wsgi pep3333:env_app root=%s; }" % site.apps)
    site.wsgi(
        "/params/",
        app,
        nginx="""
            gangway_param HOST_AND_URI $host$uri;
            gangway_param EMPTY "" if_not_empty;
            gangway_param ARGUMENT $arg_x if_not_empty;
            gangway_param SCRIPT_NAME /params/deeper;
        """,
    )
    site.wsgi(
        "/inherits/",
        app,
        nginx="location /inherits/own/ { gangway_param OWN yes; gangway_wsgi pep3333:env_app root=%s; }" % site.apps,
    )
    site.wsgi("/auth/", app, nginx="auth_basic realm; auth_basic_user_file htpasswd;")
    site.nginx_server = "gangway_param FROM_SERVER yes;"
    site.nginx_http = "underscores_in_headers on;"


@pytest.mark.not_behind_pass("where an application is mounted says the configuration of gangway_pass, and not the location")
@pytest.mark.parametrize(
    ("path", "script", "info"),
    [
        ("/slash/", "/slash", "/"),
        ("/slash/a/b", "/slash", "/a/b"),
        ("/bare", "/bare", ""),
        ("/bare/", "/bare", "/"),
        ("/bare/x", "/bare", "/x"),
        ("/barefoot/x", "", "/barefoot/x"),
        ("/exact", "/exact", ""),
        ("/regex/a/b", "", "/regex/a/b"),
        ("/tries/nothing", "", "/tries/nothing"),
        ("/alias/a", "/alias", "/a"),
        ("/outer/a", "/outer", "/a"),
        ("/outer/inner/a", "/outer/inner", "/a"),
        ("/old/a", "/bare", "/a"),
    ],
)
def test_location_shapes(server, path, script, info):
    assert mounted(server, path) == (script, info)


def test_the_prefix_without_its_slash_redirects_like_other_handlers_or_is_not_found(server):
    """nginx redirects /slash to /slash/ for its own proxying handlers; without that it is a 404."""
    assert server.get("/slash").status in (301, 404)
    server.log.allow("No such file")


def test_a_rewrite_changes_the_query_but_not_the_request_uri(server):
    found = environ(server, "/old/x?q=1")
    assert found["REQUEST_URI"] == "/old/x?q=1"
    assert found["QUERY_STRING"] == "added=1&q=1"


def test_an_error_page_reaches_the_application(server):
    found = environ(server, "/moved/x")
    assert (found["SCRIPT_NAME"], found["PATH_INFO"], found["REQUEST_URI"]) == ("/bare", "/missing", "/moved/x")


def test_captures_and_variables_in_params(server):
    found = environ(server, "/regex/one/two")
    assert (found["TAIL"], found["WHOLE"]) == ("one/two", "one/two")
    found = environ(server, "/params/a")
    assert found["HOST_AND_URI"] == "localhost/params/a"
    assert "EMPTY" not in found
    assert "ARGUMENT" not in found
    assert environ(server, "/params/a?x=7")["ARGUMENT"] == "7"


def test_script_name_as_a_param_moves_the_mount(server):
    found = environ(server, "/params/deeper/a")
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/params/deeper", "/a")


@pytest.mark.not_behind_pass("the location has a parameter of its own, which says where the application is mounted")
def test_params_are_inherited_unless_the_level_has_its_own(server):
    assert environ(server, "/inherits/a")["FROM_SERVER"] == "yes"
    found = environ(server, "/inherits/own/a")
    assert found["OWN"] == "yes"


def test_names_with_underscores_are_variables_where_nginx_accepts_them(server):
    found = environ(server, "/slash/", headers=[("X_Token", "one"), ("X-Real", "good")])
    assert (found["HTTP_X_TOKEN"], found["HTTP_X_REAL"]) == ("one", "good")


@pytest.mark.parametrize("other", ["X_Token", "x_token"])
def test_the_name_with_a_dash_wins(server, other):
    for headers in ([(other, "evil"), ("X-Token", "good")], [("X-Token", "good"), (other, "evil")]):
        assert environ(server, "/slash/", headers=headers)["HTTP_X_TOKEN"] == "good"


@pytest.mark.parametrize(
    "name", ["X_Forwarded_For", "X-Forwarded_For", "Remote_User", "Content_Length", "Content_Type", "Proxy_", "X_Real_IP"]
)
def test_no_other_spelling_speaks_for_the_server_or_a_proxy(server, name):
    assert "evil" not in environ(server, "/slash/", headers=[(name, "evil")]).values()


def test_remote_user_after_real_authentication(server):
    (server.folder / "htpasswd").write_text(PASSWORDS)
    assert server.get("/auth/").status == 401
    server.log.allow("no user/password was provided")
    found = environ(server, "/auth/", headers=[("Authorization", "Basic dXNlcjpzZWNyZXQ=")])
    assert (found["REMOTE_USER"], found["AUTH_TYPE"]) == ("user", "Basic")
    assert "HTTP_AUTHORIZATION" not in found
