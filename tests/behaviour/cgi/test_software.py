# SPDX-License-Identifier: MIT OR Apache-2.0
"""Real software as it stands: git, cgit, CGI.pm, PHP, wsgiref with Flask."""

import gzip
import os
import subprocess

from harness import scripts, venvs

WARM = ("/hello/hello",)
GIT = "/usr/lib/git-core/git-http-backend"
CGIT = "/usr/lib/cgit/cgit.cgi"


def git(*words, cwd=None, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent", "GIT_TERMINAL_PROMPT": "0"}
    who = {f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *map(str, words)],
        cwd=cwd,
        env={**clean, **quiet, **who, **environment},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, f"git {words}: {done.stderr}"
    return done.stdout


def repository(site):
    """A bare repository that the workers may write to, with a large file in its history."""
    root = site.scratch / "git"
    root.mkdir()
    work = site.scratch / "work"
    git("init", "-q", "-b", "main", work)
    (work / "README").write_text("hello\n")
    (work / "large").write_bytes(os.urandom(3_000_000))
    git("add", ".", cwd=work)
    git("commit", "-q", "-m", "first", cwd=work)
    bare = root / "project.git"
    git("clone", "-q", "--bare", work, bare)
    git("config", "http.receivepack", "true", cwd=bare)
    for folder, _, files in os.walk(root):
        os.chmod(folder, 0o777)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o666)
    return root


CGI_PM = """#!/usr/bin/perl
use strict; use warnings;
use CGI;
$CGI::POST_MAX = -1;
my $q = CGI->new;
my $file = $q->upload('file');
my ($size, $sum) = (0, 0);
while (read($file, my $part, 65536)) { $size += length $part; $sum = ($sum + unpack('%32C*', $part)) % 65521; }
print $q->header(-type => 'text/plain', -cookie => [$q->cookie('a', 1), $q->cookie('b', 2)]);
print join(' ', scalar $q->param('name'), scalar $q->param('file'), $size, $sum), "\\n";
"""

PHP = """<?php
header('X-Php: yes');
echo $_SERVER['SCRIPT_NAME'], '|', $_SERVER['PATH_INFO'] ?? '', '|', $_GET['a'] ?? '', '|', $_POST['b'] ?? '', '|', php_sapi_name();
"""

FLASK = """#!{python}
import sys
from wsgiref.handlers import CGIHandler
from flask import Flask, request
app = Flask(__name__)

@app.route("/hello/<name>")
def hello(name):
    return f"Hello {{name}} from {{request.script_root}}"

@app.route("/sum", methods=["POST"])
def total():
    return str(sum(request.get_data()))

CGIHandler().run(app)
"""


def configure(site, kind):
    folder = scripts.Folder(site.scratch / "cgi")
    site.folder = folder
    site.repositories = repository(site)
    folder.shell("hello", "echo; echo hello")
    folder.write("upload.pl", CGI_PM)
    folder.write("index.php", PHP, mode=0o644)
    folder.write("site.cgi", FLASK.format(python=venvs.applications_venv() / "bin" / "python"))
    (site.scratch / "cgitrc").write_text(
        f"css=/cgit.css\nenable-index-owner=0\nvirtual-root=/cgit/\nrepo.url=project\n"
        f"repo.path={site.repositories}/project.git\nrepo.desc=a project\n"
    )
    site.body_limit = 0
    site.cgi("/hello", folder)
    site.cgi("/perl", folder, timeout="60s")
    site.cgi("/php", folder, index="index.php", interpreter=".php:/usr/bin/php-cgi")
    site.cgi("/flask", folder.path / "site.cgi")
    safe = ["GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"]
    export = [f"GIT_PROJECT_ROOT={site.repositories}", "GIT_HTTP_EXPORT_ALL=1", "HOME=/nonexistent", *safe]
    # mod_cgid's users set REMOTE_USER by authentication; a push needs one.
    params = {"REMOTE_USER": "tester"}
    site.cgi("/git", GIT, timeout="60s", env=export, params=params)
    unbuffered = "gangway_request_buffering off; gangway_buffering off;"
    site.cgi("/now/git", GIT, timeout="60s", env=export, params=params, nginx=unbuffered)
    site.cgi("/cgit", CGIT, env=[f"CGIT_CONFIG={site.scratch}/cgitrc", "HOME=/nonexistent", *safe])


def test_git_clone_fetch_and_push(server, scratch):
    for number, base in enumerate(("/git", "/now/git")):
        url = f"http://127.0.0.1:{server.port}{base}/project.git"
        first, second = scratch / f"first{number}", scratch / f"second{number}"
        git("clone", "-q", url, first)
        git("clone", "-q", url, second)
        assert (first / "README").read_text() == "hello\n"
        assert (first / "large").stat().st_size == 3_000_000
        (first / f"new{number}").write_bytes(os.urandom(2_000_000))
        git("add", ".", cwd=first)
        git("commit", "-q", "-m", "second", cwd=first)
        # A pack above http.postBuffer is sent chunked.
        git("push", "-q", "origin", "main", cwd=first)
        git("pull", "-q", cwd=second)
        assert (second / f"new{number}").read_bytes() == (first / f"new{number}").read_bytes()
        git("fsck", "--strict", cwd=second)


def test_git_takes_compressed_requests(server):
    capabilities = "multi_ack_detailed side-band-64k ofs-delta agent=test"
    head = git("rev-parse", "main", cwd=server.site.repositories / "project.git").strip()
    lines = [f"want {head} {capabilities}\n"]
    wanted = "".join(f"{len(line) + 4:04x}{line}" for line in lines) + "0000" + "0009done\n"
    body = gzip.compress(wanted.encode())
    fields = [("Content-Type", "application/x-git-upload-pack-request"), ("Content-Encoding", "gzip")]
    response = server.post("/git/project.git/git-upload-pack", body, fields)
    assert response.status == 200
    assert b"PACK" in response.body


def test_git_answers_for_what_is_not_there(server):
    # It sends Expires twice.
    server.log.allow("GW0803|upstream sent duplicate header line")
    assert server.get("/git/none.git/info/refs?service=git-upload-pack").status == 404
    assert server.get("/git/project.git/info/refs?service=git-none").status == 403


def test_cgit(server):
    page = server.get("/cgit/")
    assert page.status == 200 and b"a project" in page.body
    log = server.get("/cgit/project/log/")
    assert log.status == 200 and b"first" in log.body
    plain = server.get("/cgit/project/plain/README")
    assert (plain.status, plain.body) == (200, b"hello\n")


def test_an_upload_by_cgi_pm(server):
    data = os.urandom(5_000_000)
    mark = b"boundary"
    body = b"".join(
        [
            b"--" + mark + b'\r\nContent-Disposition: form-data; name="name"\r\n\r\nvalue\r\n',
            b"--" + mark + b'\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n',
            b"Content-Type: application/octet-stream\r\n\r\n" + data + b"\r\n--" + mark + b"--\r\n",
        ]
    )
    response = server.post("/perl/upload.pl", body, [("Content-Type", "multipart/form-data; boundary=boundary")])
    total = 0
    for at in range(0, len(data), 65536):
        total = (total + sum(data[at : at + 65536])) % 65521
    assert response.text.split() == ["value", "f.bin", "5000000", str(total)]
    assert len(response.all("Set-Cookie")) == 2


def test_php_with_force_redirect(server):
    response = server.post(
        "/php/index.php/info?a=1", b"b=2", [("Content-Type", "application/x-www-form-urlencoded")]
    )
    assert (response.status, response.text) == (200, "/php/index.php|/info|1|2|cgi-fcgi")
    assert response.header("X-Php") == "yes"
    assert server.get("/php/").text.startswith("/php/index.php|")


def test_php_takes_no_switches_from_a_query(server):
    for query in ("-s", "-d+allow_url_include%3d1", "%ADd+x", "-h"):
        response = server.get(f"/php/index.php?{query}")
        assert response.text.startswith("/php/index.php|"), (query, response)
        assert "<?php" not in response.text


def test_flask_by_wsgiref(server):
    assert server.get("/flask/hello/you").text == "Hello you from /flask"
    assert server.post("/flask/sum", b"\x01" * 300_000).text == "300000"
    assert server.get("/flask/none").status == 404
