# SPDX-License-Identifier: MIT OR Apache-2.0
"""CGI in httpd: its own rules about scripts hold."""

import json

import pytest

from harness import scripts

pytestmark = pytest.mark.servers("apache")

WARM = ("/alias/see",)


def configure(site, kind):
    folder = scripts.Folder(site.scratch / "cgi")
    site.folder = folder
    folder.python("see", scripts.SEE)
    folder.python("see.cgi", scripts.SEE)
    folder.write("page.txt", "a page", mode=0o644)
    folder.shell("error.cgi", 'echo "Content-Type: text/plain"; echo; echo "sorry: $REDIRECT_STATUS $REDIRECT_URL"')
    site.apache_main = "GangwayCGI On"
    site.apache_host = f"""
ScriptAlias /alias {folder}
Alias /marked {folder}
Alias /forbidden {folder}
Alias /off {folder}
Alias /stray {folder}
Alias /own {folder}
ErrorDocument 404 /marked/error.cgi
<Location /marked>
    Options +ExecCGI
    AddHandler cgi-script .cgi
</Location>
<Location /forbidden>
    Options -ExecCGI
    GangwayCGI On
</Location>
<Location /off>
    Options +ExecCGI
    GangwayCGI On
    <If "true">
        SetHandler default-handler
    </If>
</Location>
<Location /stray>
    Options +ExecCGI
    GangwayCGI Off
    SetHandler gangway-cgi
</Location>
<Location /own>
    Options +ExecCGI
    AddHandler gangway-cgi .cgi
    SetEnv FROM_SETENV yes
</Location>
"""


def test_script_alias(server):
    found = json.loads(server.get("/alias/see/info").body)
    assert (found["env"]["SCRIPT_NAME"], found["env"]["PATH_INFO"]) == ("/alias/see", "/info")


def test_slashes_that_count(launch):
    """With MergeSlashes Off the script is found as mod_cgid finds it."""

    def one(site):
        configure(site, "apache")
        site.apache_host += "\nMergeSlashes Off\nAllowEncodedSlashes On"

    server = launch(one, warm=WARM)
    for path, script, info in [
        ("/alias/see/a//b", "/alias/see", "/a/b"),
        ("/alias/see/a%2Fb//c", "/alias/see", "/a/b/c"),
        ("/alias//see/a//b", "/alias//see", "/a/b"),
        ("/alias/see//", "/alias/see", "/"),
        ("/alias/see//a/", "/alias/see", "/a/"),
        ("/own/see.cgi//a%2f", "/own/see.cgi", "/a/"),
        ("/alias//see", "/alias//see", None),
    ]:
        env = json.loads(server.get(path).body)["env"]
        assert (env["SCRIPT_NAME"], env.get("PATH_INFO") or None, env["REQUEST_URI"]) == (script, info, path)
        if info:
            assert env["PATH_TRANSLATED"].endswith("/htdocs" + info)


def test_of_a_server_only_marked_files_are_scripts(server):
    assert json.loads(server.get("/marked/see.cgi").body)["env"]["SCRIPT_NAME"] == "/marked/see.cgi"
    assert server.get("/marked/page.txt").body == b"a page"


def test_the_modules_own_handler_name(server):
    env = json.loads(server.get("/own/see.cgi").body)["env"]
    assert env["FROM_SETENV"] == "yes"


def test_without_exec_cgi_nothing_runs(server):
    response = server.get("/forbidden/see")
    assert response.status == 403 and b"env" not in response.body
    assert "Options +ExecCGI" in server.log.expect("GW0807").raw


def test_another_handler_wins(server):
    assert server.get("/off/page.txt").body == b"a page"


def test_a_handler_without_its_directive_sends_no_source(server):
    response = server.get("/stray/see.cgi")
    assert response.status == 500 and b"import" not in response.body
    assert "GangwayCGI is not On" in server.log.expect("GW0807").raw


def test_an_error_page_by_a_script(server):
    response = server.get("/nowhere")
    assert response.status == 404
    assert response.text == "sorry: 404 /nowhere\n"
