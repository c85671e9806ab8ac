# SPDX-License-Identifier: MIT OR Apache-2.0
"""`gangway check`: the applications of a configuration are loaded as their users, and no server is told of it."""

import os

import pytest

from harness import places, processes, programs
from harness.command import Gangway

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

USERS = places.other_users() if places.AS_ROOT else []


@pytest.fixture
def check(launch, workspace):
    """Writes a configuration and checks it. Answers the status and what is said."""

    def run(configure, change=None):
        server = launch.prepare(configure)
        server.write_configuration()
        if change is not None:
            server.rewrite(change(server.configuration.read_text()))
        words = ["check", "--server", str(server.binary), "-c", str(server.configuration)]
        done = Gangway(workspace, server).run(*words, environment={"APACHE_RUN_DIR": str(server.folder)})
        return done.returncode, done.stdout + done.stderr

    return run


def lines(said):
    return [line for line in said.splitlines() if not line.startswith(" ")]


def test_all_that_can_be_loaded_is_said_to_be(check, scratch):
    path = scratch / "journal"
    path.touch()
    path.chmod(0o666)
    before = processes.trees()

    def configure(site):
        site.wsgi("/one", "counted:app", env=[f"JOURNAL={path}"], processes=1, name="one")
        site.wsgi("/alone", "counted:app", env=[f"JOURNAL={path}"], processes=1, preload=False, name="alone")
        site.location("/inside", target="process:app", options=[f"root={site.apps}"])
        site.spawn("/perl", "/usr/bin/perl", programs.sources(site.scratch) / "fcgi.pl", name="perl")
        if USERS:
            site.wsgi("/his", "counted:app", env=[f"JOURNAL={path}"], user=USERS[0], name="his")

    status, said = check(configure)
    assert status == 0, said
    owner = places.WORKER_USER
    expected = {f"one: ok (user {owner})", f"alone: ok (user {owner})", f"process:app: ok (user {owner})"}
    expected.add(f"perl: a program, which loads nothing before it serves (user {owner})")
    if USERS:
        expected.add(f"his: ok (user {USERS[0]})")
    assert set(lines(said)) == expected, said
    assert processes.trees() == before


def test_what_cannot_be_loaded_says_why(check, scratch):
    (scratch / "broken.py").write_text("print('it begins', flush=True)\ndef deep():\n    import no_such_module\ndeep()\n")
    (scratch / "leaves.py").write_text("import os\nos._exit(7)\n")

    def configure(site):
        site.wsgi("/broken", "broken:app", root=scratch, processes=1, name="broken")
        site.wsgi("/leaves", "leaves:app", root=scratch, processes=1, name="leaves")
        site.location("/inside", target="broken:app", options=[f"root={scratch}"])
        site.wsgi("/good", "process:app", processes=1, name="good")

    status, said = check(configure)
    assert status == 1, said
    states = {line.split(" (")[0] for line in lines(said)}
    assert states == {"broken: failed", "leaves: failed", "broken:app: failed", "good: ok"}, said
    for part in ("it begins", "no_such_module", "in deep", "it ended with status 7"):
        assert part in said, (part, said)


@pytest.mark.skipif(not USERS, reason="needs root and an account beside the workers'")
def test_it_is_the_user_who_loads(check, scratch):
    scratch.chmod(0o755)
    (scratch / "secret").write_text("x")
    (scratch / "secret").chmod(0o600)
    (scratch / "reads.py").write_text(f"open({str(scratch / 'secret')!r})\nimport os\ndef app(e, s):\n    s('200 OK', [])\n    return [b'']\n")
    status, said = check(lambda site: site.wsgi("/app", "reads:app", root=scratch, user=USERS[0], name="reads"))
    assert status == 1 and "PermissionError" in said and f"reads: failed (user {USERS[0]})" in said, said


def test_a_configuration_that_is_wrong_is_the_server_s_to_tell(check):
    status, said = check(lambda site: site.wsgi("/app", "process:app", processes="none"))
    assert status == 1 and "its test of the configuration fails" in said and "GW0102" in said, said


def test_words_of_included_files_count(check, scratch, kind):
    (scratch / "broken.py").write_text("import no_such_module\n")
    words = f"broken:app root={scratch} processes=1 name=included"
    part = scratch / "part.conf"
    if kind == "apache":
        part.write_text(f'<Location "/part">\nGangwayWSGI {words}\n</Location>\n')
        change = lambda text: f"{text}\nInclude {part}\n"
    else:
        part.write_text(f"location /part {{ gangway_wsgi {words}; }}\n")
        change = lambda text: text.replace("location = /.ready", f"include {part};\nlocation = /.ready", 1)
    status, said = check(lambda site: site.wsgi("/app", "process:app", processes=1, name="plain"), change)
    assert status == 1 and "included: failed" in said and "plain: ok" in said, said


def test_without_applications_that_is_said(check):
    status, said = check(lambda site: None)
    assert (status, said) == (0, "the configuration has no applications\n")


def test_without_a_server_that_is_said(launch, workspace):
    server = launch.prepare(lambda site: None)
    done = Gangway(workspace, server).run("check", "--server", "/no/such/nginx", environment={"TMPDIR": str(server.folder)})
    assert done.returncode == 1 and "it cannot be run" in done.stderr
    assert not [name for name in os.listdir(server.folder) if name.startswith("gangway-check-")]
