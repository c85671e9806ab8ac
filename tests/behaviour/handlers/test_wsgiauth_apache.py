# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_wsgi's scripts for access, users and groups before files, applications and handlers, in httpd."""

import base64

import pytest

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")


def configure(site, kind):
    script = site.apps / "handlers" / "auth.wsgi.py"
    passwords = site.apps / "handlers" / "passwords"
    access = f"PythonAccessHandler mod_python.wsgiauth\nPythonOption mod_python.wsgiauth.access_script {script}"
    users = f"""
        AuthType Basic
        AuthName "a realm"
        Require valid-user
        PythonAuthenHandler mod_python.wsgiauth
        PythonOption mod_python.wsgiauth.auth_user_script {script}
        AuthUserFile {passwords}
    """
    groups = f"""
        PythonAuthzHandler mod_python.wsgiauth
        PythonOption mod_python.wsgiauth.auth_group_script {script}
        PythonOption mod_python.wsgiauth.groups "admins staff"
    """
    files = str(site.apps / "served")
    site.location("/access", files=files, apache=access)
    site.location("/users", files=files, apache=users)
    site.location("/groups", files=files, apache=users + groups)
    site.location("/nothing", files=files, apache="PythonAccessHandler mod_python.wsgiauth")
    site.wsgi("/app", "pep3333:env_app", apache=users)


def ask(server, path, user=None, **headers):
    found = list(headers.items())
    if user is not None:
        found.append(("Authorization", "Basic " + base64.b64encode(user.encode()).decode()))
    return server.get(path, headers=found).status


def test_access(server):
    server.log.allow("asked for")
    assert ask(server, "/access/README") == 200
    assert ask(server, "/access/README", **{"X-Let-In": "no"}) == 403
    assert ask(server, "/access/README", **{"X-Let-In": "error"}) == 500
    server.log.expect("GW0319 .*ValueError: no decision")
    assert ask(server, "/nothing/README") == 500
    server.log.expect("names no script")


@pytest.mark.parametrize("path", ["/users/README", "/app"])
def test_passwords(server, path):
    response = server.get(path)
    assert response.status == 401 and 'Basic realm="a realm"' in response.header("www-authenticate")
    assert ask(server, path, "ada:lovelace") == 200
    assert ask(server, path, "ada:wrong") == 401
    # One that the script does not know is a matter of httpd's own provider.
    assert ask(server, path, "eve:secret") == 200
    assert ask(server, path, "eve:wrong") == 401
    assert ask(server, path, "mallory:x") == 401
    assert ask(server, path, "error:x") == 500
    server.log.expect("GW0319 .*ValueError: no decision")
    server.log.allow("AH0161[78]|authentication failure|user .* not found")


def test_groups(server):
    assert ask(server, "/groups/README", "ada:lovelace") == 200
    assert ask(server, "/groups/README", "bob:builder") == 403
    assert ask(server, "/groups/README", "bob:wrong") == 401
