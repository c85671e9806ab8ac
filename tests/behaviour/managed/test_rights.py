# SPDX-License-Identifier: MIT OR Apache-2.0
"""What runs as user= is chosen by that user, its group and root, and by nobody else: gangway-host, which is executed, is always the machine's own, so that
`root=` and what the target names below it are looked at."""

import grp
import os
import pwd

import pytest

from harness import places
from harness.command import Gangway
from harness.deadline import wait_until

USERS = places.other_users() if places.AS_ROOT else []
pytestmark = [
    pytest.mark.servers("nginx", "apache"),
    pytest.mark.skipif(len(USERS) < 2, reason="needs root and two accounts beside the workers'"),
]
PRELOAD = pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])

NAME = f"owned{os.getpid()}"
MODULE = "import os\ndef app(e, s):\n    s('200 OK', [])\n    return [str(os.getuid()).encode()]\n"
MINE, OTHERS = [pwd.getpwnam(user) for user in USERS[:2]] if len(USERS) > 1 else [None, None]
# The parts of what is loaded, and what each may be.
PARTS = {"root": ".", "package": "shop", "module": "shop/wsgi.py"}


@pytest.fixture
def site_of_mine(scratch):
    """A package that is its user's own."""
    root = scratch / "site"
    (root / "shop").mkdir(parents=True)
    (root / "shop" / "__init__.py").write_text("")
    (root / "shop" / "wsgi.py").write_text(MODULE)
    for path in [root, *root.rglob("*")]:
        os.chown(path, MINE.pw_uid, MINE.pw_gid)
        path.chmod(0o755 if path.is_dir() else 0o644)
    return root


@pytest.fixture
def serve(launch, site_of_mine):
    def start(**options):
        words = {"root": site_of_mine, "user": USERS[0], "name": NAME, "processes": 1, "boot_timeout": "20s", **options}
        return launch(lambda site: site.wsgi("/app", "shop.wsgi:app", **words))

    return start


def serves(server):
    return server.get("/app", timeout=60).text == str(MINE.pw_uid)


def strange_group():
    return next(group.gr_gid for group in grp.getgrall() if group.gr_gid >= 100 and group.gr_gid != MINE.pw_gid)


# What makes a part somebody else's, and what the log says of it.
STRANGERS = {
    "everybody": (lambda path: path.chmod(path.stat().st_mode | 0o002), "can be written by everybody"),
    "another group": (lambda path: (os.chown(path, -1, strange_group()), path.chmod(path.stat().st_mode | 0o020)), "can be written by group"),
    "another user": (lambda path: os.chown(path, OTHERS.pw_uid, MINE.pw_gid), "belongs to user"),
}


@PRELOAD
@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("part", PARTS)
def test_what_others_may_change_does_not_run(serve, site_of_mine, part, who, preload):
    path = site_of_mine / PARTS[part]
    spoil, words = STRANGERS[who]
    spoil(path)
    server = serve(preload=preload)
    server.log.allow("GW090[1-5]")
    assert server.get("/app", timeout=60).status in (500, 503)
    line = server.log.expect(f"{words}.*so that others than the user of user= choose what runs", 30)
    assert str(path.resolve() if part != "root" else site_of_mine) in line.raw
    os.chown(path, MINE.pw_uid, MINE.pw_gid)
    path.chmod(0o755 if path.is_dir() else 0o644)
    wait_until(lambda: serves(server), "it heals by itself", 60)
    server.settle()


@PRELOAD
@pytest.mark.parametrize("what", ["as it is", "its group may write", "of root", "of root and the group of root"])
def test_what_the_user_its_group_and_root_may_change_runs(serve, site_of_mine, what, preload):
    for path in [site_of_mine, *site_of_mine.rglob("*")]:
        if what == "its group may write":
            path.chmod(path.stat().st_mode | 0o020)
        elif what == "of root":
            os.chown(path, 0, MINE.pw_gid)
        elif what == "of root and the group of root":
            os.chown(path, 0, 0)
            path.chmod(path.stat().st_mode | 0o020)
    assert serves(serve(preload=preload))


@PRELOAD
def test_what_serves_already_stays_and_the_restart_says_why(serve, site_of_mine, workspace, preload):
    server = serve(preload=preload, processes=2)
    server.warm("/app")
    gangway = Gangway(workspace, server)
    server.log.allow("GW090[3-7]|so that others than the user")
    site_of_mine.chmod(0o777)
    said = gangway("restart", NAME, status=1)
    assert "generation 2 cannot be started" in said
    assert serves(server)
    site_of_mine.chmod(0o755)
    gangway("restart", NAME)
    assert serves(server)


def test_the_check_says_so_too(launch, site_of_mine, workspace):
    def configure(site):
        site.wsgi("/app", "shop.wsgi:app", root=site_of_mine, user=USERS[0], name=NAME)

    server = launch(configure, warm=["/app"])
    (site_of_mine / "shop" / "wsgi.py").chmod(0o666)
    done = Gangway(workspace, server).run("check", "--server", str(server.binary), "-c", str(server.configuration))
    assert done.returncode == 1 and "can be written by everybody" in done.stdout + done.stderr, done


HANDLER = "from mod_python import apache\nimport os\ndef handler(req):\n    req.write(str(os.getuid()))\n    return apache.OK\n"


@PRELOAD
@pytest.mark.parametrize("part", PARTS)
def test_handlers_are_looked_at_as_applications_are(launch, site_of_mine, part, preload):
    (site_of_mine / "shop" / "wsgi.py").write_text(HANDLER)
    path = site_of_mine / PARTS[part]
    path.chmod(path.stat().st_mode | 0o002)
    words = f"shop.wsgi root={site_of_mine} user={USERS[0]} preload={'on' if preload else 'off'} name={NAME}"
    server = launch(lambda site: site.location("/app", handlers=(words,)))
    server.log.allow("GW090[1-5]")
    assert server.get("/app", timeout=60).status in (500, 503)
    server.log.expect("can be written by everybody.*so that others than the user of user= choose what runs", 30)
    path.chmod(path.stat().st_mode & ~0o002)
    wait_until(lambda: serves(server), "it heals by itself", 60)
    server.settle()


def test_an_application_of_the_workers_user_is_not_asked(launch, site_of_mine):
    """It runs as the server does: nobody becomes somebody else by it."""
    site_of_mine.chmod(0o777)
    server = launch(lambda site: site.wsgi("/app", "shop.wsgi:app", root=site_of_mine, processes=1), warm=["/app"])
    assert server.get("/app").text == str(pwd.getpwnam(places.WORKER_USER).pw_uid)


def test_a_program_and_its_directory_are_looked_at_as_before(launch, scratch):
    script = scratch / "program"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o757)
    server = launch(lambda site: site.spawn("/app", script, user=USERS[0]))
    server.log.allow("GW090[1-5]")
    assert server.get("/app", timeout=60).status == 503
    server.log.expect("GW0902 ", 30)
