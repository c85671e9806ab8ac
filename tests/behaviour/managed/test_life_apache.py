# SPDX-License-Identifier: MIT OR Apache-2.0
"""What managed processes have of httpd alone."""

import pytest

from harness.deadline import wait_until
from harness.load import Load

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")


@pytest.mark.parametrize("words", ["same", "other"])
def test_graceful_restarts_under_load_lose_nothing(launch, scratch, words, kind):
    path = scratch / "journal"
    path.touch()
    path.chmod(0o666)

    def configure(site):
        # Children that end gracefully serve their connections to the end.
        site.workers = {"apache": 2, "apache-worker": 1, "apache-prefork": 8}[kind]
        site.wsgi("/app", "counted:app", env=[f"JOURNAL={path}", "VERSION=0"], timeout="60s", processes=2)

    server = launch(configure, warm=["/app/get", "/app/stream"])
    text = server.configuration.read_text()
    with Load(server, "/app", fresh=2, kept=2) as load:
        for number in range(1, 6):
            if words == "other":
                server.rewrite(text.replace("VERSION=0", f"VERSION={number}"))
            server.reload(60)
            done = load.done
            wait_until(lambda done=done: load.done > done + 20 or load.failures, "requests go on", 60)
    assert not load.failures, f"{len(load.failures)} of {load.done} failed: {load.failures[:3]}"
    seen = [name for name in path.read_text().split() if name != "none"]
    assert len(seen) == len(set(seen)), "a request ran twice"


def test_images_below_a_location_of_php_are_no_scripts(launch):
    def configure(site):
        root = site.scratch / "htdocs"
        root.mkdir()
        (root / "photo.jpg").write_bytes(b"JFIF <?php echo 'run'; ?>")
        (root / "index.php").write_text("<?php echo 'index ', $_SERVER['SCRIPT_NAME'];")
        site.spawn("/wiki/", "/usr/bin/php-cgi", files=root, apache="DirectoryIndex index.php")

    server = launch(configure)
    assert server.get("/wiki/photo.jpg").body == b"JFIF <?php echo 'run'; ?>"
    assert server.get("/wiki/").body == b"index /wiki/index.php"
    assert server.get("/wiki/photo.jpg/x.php").status == 404
    server.log.expect("GW0709")
