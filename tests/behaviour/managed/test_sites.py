# SPDX-License-Identifier: MIT OR Apache-2.0
"""Several sites in one server: Pythons, virtual environments, users and modules of their own."""

import json
import os
import subprocess

import pytest

from harness import places, pythons
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

PYTHONS = sorted(pythons.installed(), key=lambda python: python.version)
USERS = places.other_users() if places.AS_ROOT else []


def venv(python, folder):
    subprocess.run([str(python.program), "-m", "venv", "--without-pip", str(folder)], check=True, timeout=60)
    return folder


def facts(server, path):
    response = server.get(path)
    assert response.status == 200, response
    return json.loads(response.body)


@pytest.mark.skipif(len(PYTHONS) < 2, reason="this machine has one Python only")
def test_two_pythons_with_environments_of_their_own(launch, scratch, workspace):
    chosen = [pythons.reachable(python, workspace) for python in (PYTHONS[0], PYTHONS[-1])]
    folders = [venv(python, scratch / f"venv{number}") for number, python in enumerate(chosen)]

    def configure(site):
        for number, folder in enumerate(folders):
            user = {"user": USERS[number]} if len(USERS) > 1 else {}
            site.wsgi(f"/{number}", "process:app", venv=folder, processes=2, preload=False, **user)
        # And one in the workers.
        site.location("/2", target="process:app", options=[f"root={site.apps}"])

    server = launch(configure, warm=["/0/facts", "/1/facts", "/2/facts"])
    for number, python in enumerate(chosen):
        found = facts(server, f"/{number}/facts")
        assert (tuple(found["version"]), found["prefix"]) == (python.version, str(folders[number]))
    owners = {os.stat(f"/proc/{pid}").st_uid for pid in server.managed()}
    assert len(owners) == (2 if len(USERS) > 1 else 1)
    server.reload()
    assert [tuple(facts(server, f"/{number}/facts")["version"]) for number in (0, 1)] == [p.version for p in chosen]


@pytest.mark.skipif(len(PYTHONS) < 2, reason="this machine has one Python only")
def test_what_cannot_share_a_process_is_told_of_processes(configtest, workspace):
    def both(site, **options):
        for path, python in zip(("/one", "/two"), PYTHONS[:2], strict=True):
            words = [f"root={site.apps}", f"python={pythons.reachable(python, workspace).prefix}"]
            site.location(path, target="process:app", options=[*words, *options.pop("more", [])])

    result = configtest(both)
    assert result.status == 1 and "GW0104" in result.output and "processes=1" in result.output
    result = configtest(lambda site: both(site, more=["processes=1"]))
    assert result.status == 0, result.output


def test_one_name_of_two_modules(launch, scratch):
    for name in ("a", "b"):
        (scratch / name).mkdir()
        text = f"def app(e, s):\n    s('200 OK', [])\n    return [b'{name}']\n"
        (scratch / name / "site_of_its_own.py").write_text(text)

    def configure(site):
        for name in ("a", "b"):
            site.wsgi(f"/{name}", "site_of_its_own:app", root=scratch / name, processes=1)

    server = launch(configure)
    assert [server.get(f"/{name}").text for name in ("a", "b")] == ["a", "b"]


def test_an_application_that_cannot_be_imported_says_why(launch, scratch):
    (scratch / "broken.py").write_text("import no_such_module\n")
    server = launch(lambda site: site.wsgi("/", "broken:app", root=scratch, processes=1))
    assert server.get("/").status == 500
    server.log.expect("no_such_module")
    server.log.allow("GW03")
    (scratch / "broken.py").write_text("def app(e, s):\n    s('200 OK', [])\n    return [b'mended']\n")
    wait_until(lambda: server.get("/").text == "mended", "the correction is found")
