# SPDX-License-Identifier: MIT OR Apache-2.0
"""Control groups of version 2, as far as this machine has them."""

import os
from pathlib import Path

import pytest

from harness import places, programs
from harness.command import Gangway
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "apache")

NAME = f"group{os.getpid()}"


def mount():
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2" and "rw" in options.split(","):
            return Path(place)
    return None


@pytest.fixture
def parent():
    place = mount()
    if not places.AS_ROOT or place is None:
        pytest.skip("needs root and control groups of version 2 that can be written")
    group = place / f"gangway-tests-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no group can be made: {error}")
    yield group
    wait_until(lambda: not any(path.is_dir() for path in group.iterdir()), "the groups of the server are gone", 20)
    group.rmdir()


def perl(site, **options):
    site.spawn("/one/", "/usr/bin/perl", programs.sources(site.scratch) / "fcgi.pl", name=NAME, **options)


@pytest.mark.parametrize("user", [None, *places.other_users()[:1]])
def test_all_processes_are_in_one_group(launch, workspace, parent, user):
    more = {"user": user} if user else {}

    def configure(site):
        perl(site, cgroup=parent, processes=2, **more)
        # Those that are forked, with what they are forked from.
        site.wsgi("/app", "bodies:app", cgroup=parent, processes=2, name=f"{NAME}-app", **more)

    server = launch(configure)
    assert server.get("/one/hello").body == b"hello"

    def members(name):
        listed = parent / f"gangway-{name}" / "cgroup.procs"
        return {int(pid) for pid in listed.read_text().split()} if listed.exists() else set()

    def are_all_there():
        programs, forked = members(NAME), members(f"{NAME}-app")
        return (len(programs), len(forked)) == (2, 3) and programs | forked == set(server.managed())

    wait_until(are_all_there, "all have begun")
    found = Gangway(workspace, server).applications()[NAME]
    assert found["cgroup_cpu_milliseconds"] >= 0
    assert "its control group: " in Gangway(workspace, server)("status")
    server.stop()
    wait_until(lambda: not any(path.is_dir() for path in parent.iterdir()), "nothing is left", 20)


def test_what_is_no_group_is_refused(configtest, scratch):
    failed = configtest(lambda site: perl(site, cgroup=scratch))
    assert failed.status == 1
    for part in ("GW0102", f'"cgroup={scratch}"', "is no control group of version 2", "/sys/fs/cgroup/sites"):
        assert part in failed.output, failed.output



def test_a_group_that_cannot_be_made_is_told_and_tried_again(launch, parent):
    limit = parent / "cgroup.max.descendants"
    limit.write_text("0")
    server = launch(lambda site: perl(site, cgroup=parent, processes="0-1"))
    server.log.allow("GW090[123]")
    assert server.get("/one/hello").status in (503, 504)
    server.log.expect("GW0902 .* its control group of cgroup= could not be made or entered: ")
    limit.write_text("max")
    wait_until(lambda: server.get("/one/hello").status == 200, "the next attempt finds it", 60)
    # Before the group that its own is in.
    server.stop()
