# SPDX-License-Identifier: MIT OR Apache-2.0
"""Scripts that httpd's own modules ask: passwords for Basic, hashes for Digest, groups for Require, and who may come at all."""

import base64
import hashlib
import re

import pytest

from harness import places

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")


def configure(site, kind):
    script, files = site.apps / "handlers" / "auth.wsgi.py", str(site.apps / "served")
    site.apache_main = f"""
        LoadModule auth_digest_module {places.APACHE_MODULES}/mod_auth_digest.so
        LoadModule authz_groupfile_module {places.APACHE_MODULES}/mod_authz_groupfile.so
    """
    basic = f"""
        AuthType Basic
        AuthName "a realm"
        AuthBasicProvider gangway file
        GangwayAuthnProvider {script}
        AuthUserFile {site.apps}/handlers/passwords
    """
    digest = f"""
        AuthType Digest
        AuthName "a realm"
        AuthDigestProvider gangway
        GangwayAuthnProvider {script}
        Require valid-user
    """
    wsgi = f"""
        AuthType Basic
        AuthName "a realm"
        AuthBasicProvider wsgi
        WSGIAuthUserScript {script} application-group=%{{GLOBAL}}
        WSGIAuthGroupScript {script}
        WSGIAccessScript {script}
        Require wsgi-group admins staff
    """
    site.static("/basic/", files, apache=f"{basic}\nRequire valid-user")
    site.static("/groups/", files, apache=f"{basic}\nGangwayAuthzProvider {script}\nRequire gangway-group 'two words' staff")
    site.static("/others/", files, apache=f"{basic}\nGangwayAuthzProvider {script}\nRequire gangway-group admins")
    site.static("/any/", files, apache=f"{basic}\nGangwayAuthzProvider {script}\nRequire gangway-group staff\nRequire user eve")
    site.static("/digest/", files, apache=digest)
    site.static("/wsgi/", files, apache=wsgi)
    site.static("/access/", files, apache=f"GangwayAccess {script}")
    site.static("/nothing/", files, apache="AuthType Basic\nAuthName x\nAuthBasicProvider gangway\nRequire valid-user\nGangwayAccess /none.py")
    site.wsgi("/app", "pep3333:env_app", apache=f"{basic}\nRequire valid-user")
    folder = site.scratch / "authorities"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    (folder / "README").write_text("behind .htaccess")
    (folder / ".htaccess").write_text(f"{wsgi}\n")
    site.apache_host = f"""
        Alias /htaccess "{folder}"
        <Directory "{folder}">
            AllowOverride AuthConfig
        </Directory>
    """


def ask(server, path, user=None, **headers):
    found = list(headers.items())
    if user is not None:
        found.append(("Authorization", "Basic " + base64.b64encode(user.encode()).decode()))
    return server.get(path, headers=found).status


def digest(server, path, user, password):
    """RFC 7616 with MD5, as mod_auth_digest has it."""
    asked = server.get(path).header("www-authenticate")
    assert asked.startswith("Digest ")
    told = dict(re.findall(r'(\w+)="([^"]*)"', asked))

    def md5(*parts):
        return hashlib.md5(":".join(parts).encode()).hexdigest()

    secret, request = md5(user, told["realm"], password), md5("GET", path)
    words = {
        "username": user,
        "realm": told["realm"],
        "nonce": told["nonce"],
        "uri": path,
        "response": md5(secret, told["nonce"], "00000001", "0a4f113b", "auth", request),
        "cnonce": "0a4f113b",
    }
    quoted = ", ".join(f'{name}="{value}"' for name, value in words.items())
    return server.get(path, headers=[("Authorization", f"Digest {quoted}, qop=auth, nc=00000001, algorithm=MD5")])


def quiet(server):
    server.log.allow("AH0161[78]|AH0179[0-9]|AH016[23]|authentication failure|user .* not found|password mismatch|asked for")


@pytest.mark.parametrize("path", ["/basic/README", "/app"])
def test_passwords(server, path):
    quiet(server)
    assert ask(server, path) == 401
    assert ask(server, path, "ada:lovelace") == 200
    assert ask(server, path, "ada:wrong") == 401
    # One that the script does not know is a matter of the next provider.
    assert ask(server, path, "eve:secret") == 200
    assert ask(server, path, "eve:wrong") == 401
    assert ask(server, path, "error:x") == 500
    server.log.expect("GW0319 .*ValueError: no decision")
    assert ask(server, path, "text:x") == 500
    server.log.expect("GW0319 .*TypeError: check_password")


def test_a_script_may_give_a_user_another_name(server):
    quiet(server)
    word = base64.b64encode(b"alias:x").decode()
    response = server.get("/app", headers=[("Authorization", f"Basic {word}")])
    assert b"'REMOTE_USER': 'ada'" in response.body or b'"REMOTE_USER": "ada"' in response.body


def test_groups(server):
    quiet(server)
    assert ask(server, "/groups/README") == 401
    assert ask(server, "/groups/README", "ada:lovelace") == 200
    assert ask(server, "/groups/README", "bob:builder") in (401, 403)
    assert ask(server, "/others/README", "ada:lovelace") in (401, 403)
    # One of several rules is enough.
    assert ask(server, "/any/README", "eve:secret") == 200
    server.log.allow("AH01630|AH01631|AH01629")


def test_digest(server):
    quiet(server)
    assert digest(server, "/digest/README", "ada", "lovelace").status == 200
    assert digest(server, "/digest/README", "ada", "wrong").status == 401
    assert digest(server, "/digest/README", "eve", "lovelace").status == 401
    assert digest(server, "/digest/README", "error", "x").status == 500
    server.log.expect("GW0319 .*ValueError: no decision")
    assert digest(server, "/digest/README", "text", "x").status == 500
    server.log.expect("GW0319 .*32 hexadecimal digits")


@pytest.mark.parametrize("path", ["/wsgi/README", "/htaccess/README"])
def test_directives_of_mod_wsgi(server, path):
    quiet(server)
    server.log.allow("AH01630|AH01631|AH01629")
    assert ask(server, path) == 401
    assert ask(server, path, "ada:lovelace") == 200
    assert ask(server, path, "bob:builder") in (401, 403)
    assert ask(server, path, "ada:lovelace", **{"X-Let-In": "no"}) == 403
    assert ask(server, path, "ada:lovelace", **{"X-Let-In": "error"}) == 500
    server.log.expect("GW0319 .*ValueError: no decision")


def test_access(server):
    quiet(server)
    assert ask(server, "/access/README") == 200
    assert ask(server, "/access/README", **{"X-Let-In": "no"}) == 403
    assert ask(server, "/access/README", **{"X-Let-In": "error"}) == 500
    server.log.expect("GW0319 .*ValueError: no decision")
    assert ask(server, "/nothing/README", "ada:lovelace") == 500
    server.log.expect("GW0319 ")
