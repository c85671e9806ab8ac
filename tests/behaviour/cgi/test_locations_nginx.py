# SPDX-License-Identifier: MIT OR Apache-2.0
"""CGI below nginx's kinds of locations: which part of the mapped path is the script."""

import json

import pytest

from harness import scripts

pytestmark = pytest.mark.servers("nginx", "nginx128")
WARM = ("/b/pi.cgi",)


def configure(site, kind):
    folder = site.folder = scripts.Folder(site.scratch / "cgi")
    folder.python("pi.cgi", scripts.SEE)
    folder.python("sub/deep.cgi", scripts.SEE)
    folder.python("home/eve/cgi-bin/own.cgi", scripts.SEE)
    outside = scripts.Folder(site.scratch / "outside").python("see", scripts.SEE)
    (folder.path / "escape").symlink_to(outside)
    (folder.path / "home/eve/cgi-bin/escape").symlink_to(folder.path / "pi.cgi")
    on = "gangway_cgi on;"
    site.location("^/b/(.*)$", kind="regex", nginx=f"alias {folder}/$1; {on}")
    site.location("^/named/(?<rest>.*)$", kind="regex", nginx=f"alias {folder}/${{rest}}; {on}")
    site.location("^/git(/.*)$", kind="regex", nginx=f"alias {folder}/pi.cgi$1; {on}")
    site.location("^/~([^/]+)/cgi-bin/(.*)$", kind="regex", nginx=f"alias {folder}/home/$1/cgi-bin/$2; {on}")
    site.location("^/fixed/", kind="regex", nginx=f"alias {folder}/pi.cgi; {on}")
    site.location("/whole/", nginx=f"alias {folder}/pi.cgi; {on}")
    site.location("/slashed/", nginx=f"alias {folder}/pi.cgi/; {on}")
    site.location("/plain/", nginx=f"alias {folder}/; {on}")


@pytest.mark.parametrize(
    ("path", "script", "info", "file"),
    [
        ("/b/pi.cgi", "/b/pi.cgi", None, "pi.cgi"),
        ("/b/pi.cgi/x/y", "/b/pi.cgi", "/x/y", "pi.cgi"),
        ("/b/pi.cgi/", "/b/pi.cgi", "/", "pi.cgi"),
        ("/b/sub/deep.cgi/x", "/b/sub/deep.cgi", "/x", "sub/deep.cgi"),
        ("/named/pi.cgi/x/y", "/named/pi.cgi", "/x/y", "pi.cgi"),
        ("/git/a.git/info/refs", "/git", "/a.git/info/refs", "pi.cgi"),
        ("/git/", "/git", "/", "pi.cgi"),
        ("/~eve/cgi-bin/own.cgi/x", "/~eve/cgi-bin/own.cgi", "/x", "home/eve/cgi-bin/own.cgi"),
        ("/fixed/x", "/fixed/x", None, "pi.cgi"),
        ("/whole/", "/whole", "/", "pi.cgi"),
        ("/whole/a/b", "/whole", "/a/b", "pi.cgi"),
        ("/slashed/a/b", "/slashed", "/a/b", "pi.cgi"),
        ("/plain/pi.cgi/a", "/plain/pi.cgi", "/a", "pi.cgi"),
    ],
)
def test_the_first_file_of_the_mapped_path_is_the_script(server, path, script, info, file):
    response = server.get(path)
    assert response.status == 200, response
    env = json.loads(response.body)["env"]
    assert (env["SCRIPT_NAME"], env.get("PATH_INFO") or None) == (script, info)
    assert env["SCRIPT_FILENAME"] == str(server.site.folder.path / file)


def test_the_file_of_a_path_info_is_below_the_root_of_the_location(server):
    env = json.loads(server.get("/b/pi.cgi/x/y").body)["env"]
    assert env["PATH_TRANSLATED"] == f"{server.site.folder}/x/y"


@pytest.mark.parametrize("path", ["/b/escape", "/~eve/cgi-bin/escape", "/plain/escape"])
def test_a_link_out_of_the_root_is_not_run(server, path):
    assert server.get(path).status == 403
    server.log.expect("GW0807")


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/b/none", "none"),
        ("/b/none/pi.cgi", "none/pi.cgi"),
        ("/gitx", None),
        ("/plain/none/x", "none/x"),
        ("/~bob/cgi-bin/own.cgi", "home/bob/cgi-bin/own.cgi"),
    ],
)
def test_what_is_not_there_is_named_in_the_log(server, path, file):
    assert server.get(path).status == 404
    if file is None:
        server.log.expect("No such file")
    else:
        server.log.expect(rf"\[error\].*GW0807 {server.site.folder}/{file}: there is no such file")


def test_a_program_that_is_the_whole_site(launch):
    def configure(site):
        site.folder = scripts.Folder(site.scratch / "cgi")
        file = site.folder.python("cgit.cgi", scripts.SEE)
        site.location("/", nginx=f"alias {file}; gangway_cgi on;")

    server = launch(configure, warm=("/repo",))
    for path in ("/", "/repo", "/repo/about/"):
        env = json.loads(server.get(path).body)["env"]
        assert (env["SCRIPT_NAME"], env["PATH_INFO"]) == ("", path)
