# SPDX-License-Identifier: MIT OR Apache-2.0
"""SCRIPT_NAME, PATH_INFO, variables and merging for the sections of httpd's configuration."""

import json

import pytest

from harness.applications import environ, mounted

pytestmark = pytest.mark.servers("apache")


def configure(site, kind):
    app = "pep3333:env_app"
    site.tls = True
    site.wsgi("/slash/", app)
    site.wsgi("/bare", app)
    site.wsgi("/exact", app, kind="exact")
    site.wsgi("^/regex/[a-z]+", app, kind="regex")
    site.wsgi(
        "/env",
        app,
        apache="""
            SetEnv FROM_SETENV "set here"
            SetEnvIf User-Agent "special" FROM_SETENVIF=matched
            SetEnv wsgi.url_scheme hacked
            SetEnv HTTP_PROXY evil
            RewriteEngine On
            RewriteRule ^ - [E=FROM_REWRITE:yes]
        """,
    )
    site.wsgi("/ssl", app, apache="SSLOptions +StdEnvVars")
    site.wsgi("/outer", app, params={"LEVEL": "outer", "KEPT": "outer"})
    site.wsgi("/outer/inner", app, params={"LEVEL": "inner"})
    site.location("/outer/static", apache="GangwayWSGI Off")
    site.location("/outer/params", apache="GangwayParam LEVEL params")
    site.wsgi(
        "/auth",
        app,
        apache="""
            AuthType Basic
            AuthName realm
            AuthUserFile ${FOLDER}/htpasswd
            Require valid-user
        """,
    )
    site.wsgi("/passauth", app, apache="CGIPassAuth On")
    site.environment["FOLDER"] = str(site.apps)
    site.location("/rewritten", apache="RewriteEngine On\nRewriteRule ^.*/rewritten/(.*)$ /bare/$1?added=1 [PT,QSA]")
    site.apache_main = f"""
        <Directory "{site.apps}/served">
            GangwayWSGI {app} root={site.apps}
        </Directory>
        Alias "/directory" "{site.apps}/served"
    """
    site.apache_host = "ErrorDocument 410 /bare/gone\nRedirect gone /vanished"


@pytest.mark.parametrize(
    ("path", "script", "info"),
    [
        ("/slash/", "/slash", "/"),
        ("/slash/a/b", "/slash", "/a/b"),
        ("/bare", "/bare", ""),
        ("/bare/", "/bare", "/"),
        ("/bare/x", "/bare", "/x"),
        ("/exact", "/exact", ""),
        ("/regex/abc", "", "/regex/abc"),
        ("/outer/a", "/outer", "/a"),
        ("/outer/inner/a", "/outer/inner", "/a"),
        ("/directory/a/b", "/directory", "/a/b"),
        ("/directory/", "/directory", "/"),
        ("/rewritten/a", "/bare", "/a"),
    ],
)
def test_section_shapes(server, path, script, info):
    assert mounted(server, path) == (script, info)


def test_slashes_that_count(launch):
    """With MergeSlashes Off the parts are still where httpd has found the directory and the file."""

    def one(site):
        app = "pep3333:env_app"
        site.wsgi("/slash/", app)
        site.wsgi("/bare", app)
        site.apache_main = f"""
            MergeSlashes Off
            AllowEncodedSlashes On
            <Directory "{site.apps}/served">
                GangwayWSGI {app} root={site.apps}
            </Directory>
            Alias "/directory" "{site.apps}/served"
        """

    server = launch(one)
    for path, script, info in [
        ("/slash/a//b", "/slash", "/a//b"),
        ("/bare//x", "/bare", "//x"),
        ("/bare/a%2Fb//c", "/bare", "/a/b//c"),
        ("/directory/a//b", "/directory", "/a//b"),
        ("/directory//a/b", "/directory", "//a/b"),
        ("/directory/x%2Fy//z", "/directory", "/x/y//z"),
        ("/directory//", "/directory", "//"),
    ]:
        found = environ(server, path)
        assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == (script, info), path
        assert found["REQUEST_URI"] == path


def test_environment_of_other_modules(server):
    found = environ(server, "/env", headers=[("User-Agent", "special")])
    assert found["FROM_SETENV"] == "set here"
    assert found["FROM_SETENVIF"] == "matched"
    assert found["FROM_REWRITE"] == "yes"
    assert "FROM_SETENVIF" not in environ(server, "/env")


def test_the_gateways_own_keys_cannot_be_replaced_by_setenv(server):
    found = environ(server, "/env")
    assert found["wsgi.url_scheme"] == "http"


def test_mod_ssl_variables(server):
    found = environ(server, "/ssl", port="tls")
    assert found["SSL_PROTOCOL"].startswith("TLSv1.")
    assert found["SSL_SERVER_S_DN_CN"] == "localhost"
    assert found["HTTPS"] == "on"
    assert "SSL_PROTOCOL" not in environ(server, "/ssl")


def test_sections_merge(server):
    found = environ(server, "/outer/x")
    assert (found["LEVEL"], found["KEPT"]) == ("outer", "outer")
    found = environ(server, "/outer/inner/x")
    assert (found["LEVEL"], found["KEPT"]) == ("inner", "outer")
    found = environ(server, "/outer/params/x")
    assert (found["LEVEL"], found["KEPT"], found["SCRIPT_NAME"]) == ("params", "outer", "/outer")


def test_off_ends_inheritance(server):
    response = server.get("/outer/static/x")
    assert response.status == 404
    server.log.allow("AH00128|File does not exist")


def test_an_error_document_reaches_the_application(server):
    response = server.get("/vanished")
    assert response.status == 410
    found = json.loads(response.body)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"]) == ("/bare", "/gone")
    assert (found["REDIRECT_STATUS"], found["REDIRECT_URL"]) == ("410", "/vanished")


def test_remote_user_after_real_authentication(server):
    # The hash of "secret" by openssl passwd -apr1.
    import subprocess

    done = subprocess.run(["openssl", "passwd", "-apr1", "secret"], capture_output=True, text=True, check=True)
    (server.site.apps / "htpasswd").write_text("user:" + done.stdout)
    assert server.get("/auth/").status == 401
    found = environ(server, "/auth/", headers=[("Authorization", "Basic dXNlcjpzZWNyZXQ=")])
    assert (found["REMOTE_USER"], found["AUTH_TYPE"]) == ("user", "Basic")
    assert "HTTP_AUTHORIZATION" not in found


def test_cgipassauth_passes_the_header(server):
    headers = [("Authorization", "Bearer token")]
    assert environ(server, "/passauth", headers=headers)["HTTP_AUTHORIZATION"] == "Bearer token"
    assert "HTTP_AUTHORIZATION" not in environ(server, "/bare", headers=headers)


def test_htaccess_cannot_name_an_application(launch, workspace):
    """Whoever may write a page must not run code in the server's process."""
    folder = workspace.folder("pages")
    (folder / ".htaccess").write_text(f"GangwayWSGI hostile:app root={workspace.apps}\n")
    (folder / "page.txt").write_text("page")

    def overridable(site):
        site.wsgi("/app", "pep3333:app")
        site.apache_main = f"""
            Alias "/pages" "{folder}"
            <Directory "{folder}">
                AllowOverride All
            </Directory>
        """

    server = launch(overridable)
    assert server.get("/pages/page.txt").status == 500
    server.log.expect("GangwayWSGI not allowed here")


def test_virtual_hosts_have_their_own_applications(launch):
    def hosts(site):
        site.wsgi("/everywhere", "pep3333:env_app", params={"HOST_IS": "a section outside of all hosts"})
        site.apache_main = f"""
            <VirtualHost *>
                ServerName one.example
                GangwayParam HOST_IS one
                <Location "/">
                    GangwayWSGI pep3333:env_app root={site.apps}
                </Location>
            </VirtualHost>
            <VirtualHost *>
                ServerName two.example
                <Location "/sub">
                    GangwayWSGI pep3333:env_app root={site.apps}
                    GangwayParam HOST_IS two
                </Location>
            </VirtualHost>
        """

    server = launch(hosts)
    one = environ(server, "/x", headers=[("Host", "one.example")])
    assert (one["HOST_IS"], one["SERVER_NAME"]) == ("one", "one.example")
    # The sections outside of all hosts are merged into each.
    every = environ(server, "/everywhere/x", headers=[("Host", "two.example")])
    assert (every["HOST_IS"], every["SCRIPT_NAME"]) == ("a section outside of all hosts", "/everywhere")
    two = environ(server, "/sub/x", headers=[("Host", "two.example")])
    assert (two["HOST_IS"], two["SCRIPT_NAME"]) == ("two", "/sub")
