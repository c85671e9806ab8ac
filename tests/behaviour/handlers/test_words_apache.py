# SPDX-License-Identifier: MIT OR Apache-2.0
"""GangwayPythonHandler where httpd has more than nginx: sections, .htaccess, Require, phases and filters by section, what is refused."""

import base64

import pytest

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")


def configure(site, kind):
    folder, files = site.apps / "handlers", str(site.apps / "served")
    where = f"root={folder}"
    htaccess = site.scratch / "words"
    htaccess.mkdir(exist_ok=True)
    (htaccess / ".htaccess").write_text('GangwayPythonHandler page\nGangwayPythonHandler "page::other | .other"\n')
    (htaccess / "page.py").write_text(
        "from mod_python import apache\ndef handler(req):\n    req.write('own')\n    return apache.OK\n"
        "def other(req):\n    req.write('other')\n    return apache.OK\n"
    )
    refused = site.scratch / "refused"
    refused.mkdir(exist_ok=True)
    (refused / ".htaccess").write_text("GangwayPythonHandler page venv=/srv\n")
    for path in (htaccess, refused):
        path.chmod(0o755)
    site.static("/upper/", files, handlers=(f"output_filter guard::upper {where}",))
    site.static("/twice/", files, handlers=(f"output_filter guard::upper guard::swaps {where}",))
    site.location("/echo", handlers=(f"hello::echo {where}", f"input_filter guard::swaps {where}"))
    site.location("/end", handlers=(f"hello {where}", f"log guard {where}", f"cleanup guard {where}"))
    site.static("/type/", files, handlers=(f"type guard {where}",))
    site.wsgi("/wsgi", "pep3333:app")
    site.location("/wsgi/inner", handlers=(f"hello {where}",))
    site.location("/outer", handlers=(f"hello {where}",))
    site.wsgi("/outer/wsgi", "pep3333:env_app")
    site.apache_host = f"""
        Alias /words "{htaccess}"
        Alias /refused "{refused}"
        <Directory "{htaccess}">
            AllowOverride FileInfo
        </Directory>
        <Directory "{refused}">
            AllowOverride FileInfo
        </Directory>
        Alias /require "{files}"
        <Location /require>
            AuthType Basic
            AuthName "a realm"
            AuthUserFile {folder}/passwords
            Require valid-user
            GangwayPythonHandler authen guard::declines {where}
        </Location>
        Alias /both "{files}"
        <Location /both>
            AuthType Basic
            AuthName "a realm"
            AuthUserFile {folder}/passwords
            GangwayPythonHandler authen guard::declines {where}
        </Location>
        Alias /section "{folder}"
        <Directory "{folder}">
            <Files "*.wsgi.py">
                GangwayPythonHandler hello
            </Files>
        </Directory>
    """


def test_filters_of_a_section(server):
    text = server.get("/type/README").body
    assert text != text.upper()
    assert server.get("/upper/README").body == text.upper()
    assert server.get("/twice/README").body == text.upper().swapcase()
    assert server.post("/echo", b"Small and LARGE").body == b"sMALL AND large"


def test_log_and_cleanup(server):
    assert server.get("/end").status == 200
    server.log.expect("GUARD logged 200 /end")
    server.log.expect("GUARD cleaned up /end")


def test_type(server):
    assert server.get("/type/README").header("content-type").startswith("text/x-guarded")


def test_sections_inside_of_those_of_applications(server):
    assert server.get("/wsgi/inner/x").body == b"Hello from mod_python\n"
    assert server.get("/outer/x").body == b"Hello from mod_python\n"
    assert server.get("/outer/wsgi/env").body.startswith(b"{")


def test_files_of_a_directory(server):
    assert server.get("/section/auth.wsgi.py").body == b"Hello from mod_python\n"
    assert b"mod_python" not in server.get("/section/passwords").body


def test_htaccess(server):
    assert server.get("/words/any.html").body == b"own"
    assert server.get("/words/any.other").body == b"other"
    assert server.get("/refused/any.html").status == 500
    server.log.expect("GangwayPythonHandler: stands in .htaccess, and all handlers of a process have one Python")


@pytest.mark.parametrize("path", ["/require/README", "/both/README"])
def test_httpds_own_modules_are_asked_behind_a_handler_that_declines(server, path):
    def ask(user):
        return server.get(path, headers=[("Authorization", "Basic " + base64.b64encode(user.encode()).decode())]).status

    assert server.get(path).status == 401
    assert ask("eve:secret") == 200
    assert ask("eve:wrong") == 401
    server.log.allow("AH0161[78]|authentication failure|user .* not found")


@pytest.mark.parametrize(
    ("lines", "cure"),
    [
        ("GangwayPythonHandler", "needs a handler"),
        ("GangwayPythonHandler a debug=yes", "must be on or off"),
        ("GangwayPythonHandler connection a", "PythonConnectionHandler is its directive"),
        ("<Location /a>\nGangwayPythonHandler trans a\n</Location>", "outside of sections"),
        ("<Location /a>\nGangwayPythonHandler a\nGangwayCGI On\n</Location>", "has a handler already"),
        ("<Location /a>\nGangwayCGI On\nGangwayPythonHandler a\n</Location>", "has a handler already"),
        ("GangwayPythonHandler a venv=/no/such/folder", "/no/such/folder"),
        ("PythonHome /no/such\nGangwayPythonHandler access a venv=/usr", "all handlers of phases of a process are one application"),
        ("GangwayPythonHandler access a processes=2", "handlers of phases"),
    ],
)
def test_what_is_wrong_stops_the_configuration_test(configtest, lines, cure):
    def wrong(site):
        site.apache_host = lines

    result = configtest(wrong)
    assert result.status != 0
    assert cure in result.output, result.output
