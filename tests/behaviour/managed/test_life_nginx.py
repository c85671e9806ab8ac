# SPDX-License-Identifier: MIT OR Apache-2.0
"""What managed processes have of nginx alone."""

import pytest

from harness import programs

PHP = "/usr/bin/php-cgi"

pytestmark = pytest.mark.servers("nginx", "nginx128")


def perl(site, path="/one/", **options):
    site.spawn(path, "/usr/bin/perl", programs.sources(site.scratch) / "fcgi.pl", **options)


def test_one_process_for_everything(launch):
    def configure(site):
        site.master = False
        perl(site, processes=2)
        site.wsgi("/app", "process:app", processes=1, preload=False)

    server = launch(configure, warm=["/one/hello", "/app/facts"])
    assert server.get("/one/hello").body == b"hello"
    assert len(server.managed()) == 3


def test_what_lies_beside_scripts_of_php_is_nginx_s_own(launch):
    """A whole application in one location, as a weblog has it: pictures, an index, pages that try_files leads to a script."""

    def configure(site):
        root = site.scratch / "htdocs"
        (root / "wiki" / "sub").mkdir(parents=True)
        for name, text in (
            ("photo.jpg", "JFIF <?php echo 'run'; ?>"),
            ("page", "page <?php echo 'run'; ?>"),
            ("index.php", "<?php echo 'index ', $_SERVER['SCRIPT_NAME'], '|', $_SERVER['PATH_INFO'] ?? '';"),
            ("sub/about.php", "<?php echo 'about';"),
        ):
            (root / "wiki" / name).write_text(text)
        site.spawn("/wiki/", PHP, name="wiki", nginx=f"root {root}; index index.php;")
        site.spawn("/tried/", PHP, name="wiki", nginx=f"alias {root}/wiki/; index index.php; try_files $uri $uri.php /tried/index.php;")
        site.spawn("/fixed/", PHP, name="wiki", nginx=f"root {root};", params={"SCRIPT_FILENAME": f"{root}/wiki/index.php"})
        site.spawn("/other/", PHP, name="wiki", nginx=f"root {root}; if ($arg_other) {{ return 200 other; }} limit_except GET POST {{ deny all; }}")

    server = launch(configure)
    assert server.get("/wiki/photo.jpg").body == b"JFIF <?php echo 'run'; ?>"
    assert server.request("POST", "/wiki/photo.jpg", body=b"x").status == 405
    assert server.get("/wiki/page").body == b"page <?php echo 'run'; ?>"
    assert server.get("/wiki/").body == b"index /wiki/index.php|"
    assert server.get("/wiki/index.php/a/b").body == b"index /wiki/index.php|/a/b"
    assert server.request("POST", "/wiki/sub/about.php", body=b"x").body == b"about"
    assert server.get("/wiki/sub").status == 301
    assert server.get("/wiki/photo.jpg/x.php").status == 404
    server.log.expect("GW0709")
    assert server.get("/wiki/none.css").status == 404
    assert server.get("/tried/photo.jpg").body == b"JFIF <?php echo 'run'; ?>"
    assert server.get("/tried/pretty/name").body == b"index /tried/index.php|"
    # What try_files makes of a path is looked at, not what the client has asked for: no source of a script is given away.
    assert server.get("/tried/sub/about").body == b"about"
    # The administrator's own file runs whatever the path is.
    assert server.get("/fixed/photo.jpg").body.startswith(b"index ")
    assert server.get("/other/x.css?other=1").body == b"other"
    server.log.allow(r"open\(\) .* failed|directory index of|GW0709")
