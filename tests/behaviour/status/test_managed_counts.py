# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the status counts of applications in processes of their own: each reason for which a process ends or is replaced, what new generations
began for, those that could not be started, and what requests met meanwhile. JSON, OpenMetrics and the page say the same, also after a reload."""

import functools
import json
import os
import signal

import pytest
from prometheus_client.openmetrics import parser as prometheus

from harness import processes
from harness.command import Gangway
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache")

NAME = f"counted{os.getpid()}"
# What the log says of requests whose process has ended.
CUT = r"GW0703|GW090[1-7]|upstream prematurely closed|recv\(\) failed|readv\(\) failed|connect\(\) to unix"
EXITS = ("died", "boot_failed", "boot_timeout", "deadline", "drain_timeout", "killed", "max_requests", "max_rss", "lifetime", "idle", "finished")
BEGUN = ("files", "restart_file", "command", "server_reload", "configuration")
# How a figure of JSON is called in OpenMetrics: family, and labels beside those of the application.
SAMPLES = {
    "timeouts_queue": ("gangway_timeouts", {"phase": "queue"}),
    "timeouts_run": ("gangway_timeouts", {"phase": "run"}),
    "refused_queue_full": ("gangway_refusals", {"reason": "queue_full"}),
    "refused_no_process": ("gangway_refusals", {"reason": "no_process"}),
    "replays": ("gangway_replays", {}),
    "restarts": ("gangway_restarts", {"outcome": "done"}),
    "restarts_failed": ("gangway_restarts", {"outcome": "failed"}),
    **{f"restarts_begun_{reason}": ("gangway_restarts_begun", {"reason": reason}) for reason in BEGUN},
    **{f"exits_{reason}": ("gangway_process_exits", {"reason": reason}) for reason in EXITS},
}
# And on the page, where it is shown when there is something to show.
WORDS = {
    "timeouts_queue": "504 in the queue",
    "timeouts_run": "504 while it ran",
    "refused_queue_full": "503 queue full",
    "refused_no_process": "503 no process",
    "replays": "replayed",
    "restarts_failed": "failed restarts",
    **{f"exits_{reason}": f"ended: {reason.replace('_', ' ')}" for reason in EXITS},
}


def found(server, name=NAME):
    response = server.get("/gangway?json")
    assert response.status == 200, response
    return {app["name"]: app for app in json.loads(response.body)["applications"]}[name]


def counted(server, name=NAME):
    """The figures that only grow, by their names in JSON."""
    app = found(server, name)
    assert {key for key in app if key.startswith("exits_")} == {f"exits_{reason}" for reason in EXITS}
    assert {key for key in app if key.startswith("restarts_begun_")} == {f"restarts_begun_{reason}" for reason in BEGUN}
    return {key: app[key] for key in SAMPLES}


def of_metrics(server, name=NAME):
    """The same, from OpenMetrics."""
    families = {family.name: family for family in prometheus.text_string_to_metric_families(server.get("/gangway?metrics").text)}

    def value(family, labels):
        wanted = {"app": name, "kind": "managed", **labels}
        (sample,) = (sample for sample in families[family].samples if sample.labels == wanted)
        assert sample.name == f"{family}_total"
        return sample.value

    return {key: value(*sample) for key, sample in SAMPLES.items()}


def on_page(server, counts):
    page = server.get("/gangway").text
    for key, words in WORDS.items():
        shown = f"<dt>{words}</dt><dd>{counts[key]}</dd>"
        assert (shown in page) == (counts[key] > 0), (shown, page)
        assert (f"<dt>{words}</dt>" in page) == (counts[key] > 0), (words, page)
    begun = ", ".join(f"{reason.replace('_', ' ')} {counts[f'restarts_begun_{reason}']}" for reason in BEGUN if counts[f"restarts_begun_{reason}"])
    shown = f"<dt>restarts</dt><dd>{counts['restarts']} <small>{begun}</small></dd>"
    assert (shown in page) == bool(begun or counts["restarts"]), (shown, page)


def agree(server):
    """All forms say the same, and it outlives a reload."""
    before = counted(server)
    assert of_metrics(server) == before
    on_page(server, before)
    server.reload()
    assert counted(server) == before and of_metrics(server) == before
    on_page(server, before)
    return before


def others(counts, *but):
    return {key: count for key, count in counts.items() if count and key not in but}


def get(server, path, **kw):
    return server.get(f"/app/{path}", **kw)


def pid(server):
    response = get(server, "facts")
    assert response.status == 200, response
    return json.loads(response.body)["pid"]


@pytest.fixture
def run(launch):
    def start(target="options:app", *, warm=("/gangway",), **options):
        def configure(site):
            site.status("/gangway")
            site.wsgi("/app", target, **{"name": NAME, "processes": 1, "timeout": "60s", "preload": False, **options})

        server = launch(configure, warm=list(warm))
        server.log.allow(CUT)
        return server

    return start


def is_counted(server, key, least=1):
    wait_until(lambda: counted(server)[key] >= least, lambda: f"{key} counts: {others(counted(server))}", 60)


# ---- why processes end ----


@pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])
def test_one_that_is_killed_has_died(run, preload):
    server = run(preload=preload)
    first = pid(server)
    os.kill(first, signal.SIGKILL)
    is_counted(server, "exits_died")
    wait_until(lambda: pid(server) != first, "another one serves", 60)
    assert others(agree(server)) == {"exits_died": 1}


def test_one_that_ends_in_a_request_has_died_and_the_request_is_replayed(run):
    """It runs again, in the next process, which it ends as well: no request has a third one."""
    server = run("trouble:app", warm=["/app/pid"])
    server.log.allow("it is at ")
    response = get(server, "leave", timeout=60)
    assert response.status == 502
    is_counted(server, "exits_died", 2)
    wait_until(lambda: get(server, "pid").status == 200, "another one serves", 60)
    assert others(agree(server)) == {"exits_died": 2, "replays": 1}


def test_a_program_that_cannot_be_started(launch, scratch):
    script = scratch / "broken.pl"
    script.write_text("die 'it cannot be loaded';")

    def configure(site):
        site.status("/gangway")
        site.spawn("/app/", "/usr/bin/perl", script, name=NAME)

    server = launch(configure, warm=["/gangway"])
    server.log.allow(CUT + "|it cannot be loaded")
    is_counted(server, "exits_boot_failed", 3)
    wait_until(lambda: found(server)["state"] == "failing", lambda: f"that is said: {found(server)}", 60)
    assert get(server, "x").status == 503
    counts = counted(server)
    assert others(counts, "exits_boot_failed") == {"refused_no_process": 1}
    # Attempts go on, so that these grow.
    metrics = of_metrics(server)
    assert metrics["exits_boot_failed"] >= counts["exits_boot_failed"] and others(metrics, "exits_boot_failed") == {"refused_no_process": 1}
    page = server.get("/gangway").text
    assert "<dt>ended: boot failed</dt>" in page and "<dt>503 no process</dt><dd>1</dd>" in page
    server.reload()
    after = counted(server)
    assert after["exits_boot_failed"] >= metrics["exits_boot_failed"] and others(after, "exits_boot_failed") == {"refused_no_process": 1}


def test_one_that_takes_no_requests_in_time(run):
    server = run(env="SLOW_START=1", boot_timeout="1s")
    assert get(server, "facts", timeout=60).status == 503
    is_counted(server, "exits_boot_timeout", 3)
    counts = counted(server)
    assert others(counts, "exits_boot_timeout") == {"refused_no_process": 1}
    assert others(of_metrics(server), "exits_boot_timeout") == {"refused_no_process": 1}


def test_one_that_answers_too_late_and_does_not_end(run):
    """It is replaced because of its deadline, and killed because it hears nothing: two counts for one process."""
    server = run("bad_days:app", timeout="2s", warm=["/gangway", "/app/pid"])
    first = int(get(server, "pid").text)
    processes.stop(first)
    server.log.allow("GW0402|GW0405|GW0711|upstream timed out")
    assert get(server, "pid", timeout=60).status == 504
    is_counted(server, "exits_killed")
    wait_until(lambda: not processes.alive(first), "it has been killed", 60)
    wait_until(lambda: get(server, "pid").status == 200, "another one serves", 60)
    assert others(agree(server)) == {"timeouts_run": 1, "exits_deadline": 1, "exits_killed": 1}


def test_one_whose_requests_do_not_end(run, workspace, gate):
    server = run(drain_timeout="1s", threads=2)
    gangway = Gangway(workspace, server)
    client = server.connect()
    # No other process may have it.
    client.request("POST", f"/app/wait?{gate.query}", body=b"x")
    visitor = gate.visitor().at("inside")
    gangway("restart", NAME)
    is_counted(server, "exits_drain_timeout")
    server.log.allow("GW0408|GW03|GW0905|prematurely closed")
    wait_until(lambda: not processes.alive(visitor.pid), "it has ended", 60)
    server.close_clients()
    wait_until(lambda: pid(server) != visitor.pid, "another one answers", 60)
    counts = agree(server)
    # It may hear the first word, or none.
    assert others(counts, "exits_killed") == {"exits_drain_timeout": 1, "restarts": 1, "restarts_begun_command": 1}


def test_one_that_has_had_its_requests(run):
    server = run(max_requests=5)
    first = pid(server)
    wait_until(lambda: pid(server) != first, "another one answers", 60)
    wait_until(lambda: not processes.alive(first), "the first one has ended", 60)
    counts = counted(server)
    assert counts["exits_max_requests"] >= 1 and others(counts, "exits_max_requests") == {}
    assert of_metrics(server)["exits_max_requests"] >= 1
    assert "<div><dt>ended: max requests</dt>" in server.get("/gangway").text, "it is no cause for concern"


def test_one_with_too_much_memory(run):
    server = run(max_rss="150m")
    first = pid(server)
    assert json.loads(get(server, f"grow?size={200 << 20}").body)["pid"] == first
    wait_until(lambda: pid(server) != first, "another one answers", 60)
    wait_until(lambda: not processes.alive(first), "the first one has ended", 60)
    assert others(agree(server)) == {"exits_max_rss": 1}


def test_one_that_is_too_old(run):
    server = run(lifetime="4s")
    first = pid(server)
    is_counted(server, "exits_lifetime")
    wait_until(lambda: not processes.alive(first), "the first one has ended", 60)
    assert others(counted(server), "exits_lifetime") == {} and of_metrics(server)["exits_lifetime"] >= 1


def test_one_that_nobody_asks(run):
    server = run(processes="0-2", idle="1s")
    first = pid(server)
    assert [process["pid"] for process in found(server)["processes"]] == [first], "one request needs one process"
    server.close_clients()
    is_counted(server, "exits_idle")
    wait_until(lambda: not processes.alive(first), "it has ended", 60)
    assert others(agree(server)) == {"exits_idle": 1}
    assert "<div><dt>ended: idle</dt>" in server.get("/gangway").text, "it is no cause for concern"


def test_a_program_that_ends_by_itself_after_its_requests(launch, scratch):
    script = scratch / "counts.pl"
    script.write_text(
        "use FCGI; my %env; my $request = FCGI::Request(\\*STDIN, \\*STDOUT, \\*STDERR, \\%env, 0, 0);\n"
        "for (1..3) { last if $request->Accept() < 0; print \"Content-Type: text/plain\\r\\n\\r\\n$$\"; $request->Finish(); }\n"
    )

    def configure(site):
        site.status("/gangway")
        site.spawn("/app/", "/usr/bin/perl", script, name=NAME)

    server = launch(configure, warm=["/gangway"])
    # One that is asked as it ends is no failure either: it may be asked again.
    server.log.allow(CUT)
    pids = []
    while len(set(pids)) < 3:
        assert len(pids) < 30, pids
        pids.append(int(get(server, "x").text))
    is_counted(server, "exits_finished", 2)
    counts = counted(server)
    assert others(counts, "exits_finished", "replays") == {}
    assert of_metrics(server)["exits_finished"] >= counts["exits_finished"]


# ---- what requests meet ----


def test_a_full_queue_and_a_wait_that_is_too_long(run, gate, scratch):
    """The first one is never silent for so long; those that wait have the whole time and no more."""
    server = run("deadlines:app", threads=1, queue=1, timeout="3s", warm=["/gangway", "/app/pid"])
    server.log.allow("GW0401|GW0405|upstream timed out")
    first = server.connect()
    first.request("GET", f"/app/trickle?{gate.query}")
    gate.visitor().at("trickles")
    waits = server.connect()
    waits.request("GET", "/app/pid")
    wait_until(lambda: found(server)["waiting"] == 1, "one waits")
    assert get(server, "pid").status == 503
    assert waits.response().status == 504
    (scratch / "end").touch()
    assert first.response().body.endswith(b"ended")
    wait_until(lambda: found(server)["running"] == 0, "nothing runs")
    app = found(server)
    assert (app["requests_503"], app["requests_504"], app["waiting_highest"]) == (1, 1, 1)
    assert others(agree(server)) == {"refused_queue_full": 1, "timeouts_queue": 1}


def test_who_finds_a_place_has_not_waited(run, gate):
    server = run(processes=3, threads=1, queue=1, warm=["/gangway", "/app/facts"])
    wait_until(lambda: len([p for p in found(server)["processes"] if p["state"] == "ready"]) == 3, "all are there", 60)
    before = found(server)["waiting_highest"]
    clients = [server.connect() for _ in range(3)]
    for client in clients:
        client.request("GET", f"/app/wait?{gate.query}")
    visitors = [gate.visitor().at("inside") for _ in clients]
    assert found(server)["running"] == 3 and found(server)["waiting_highest"] == before
    for visitor in visitors:
        visitor.go()
    assert {client.response().status for client in clients} == {200}


def test_a_request_that_another_process_gets(run, gate):
    server = run(processes=2, warm=["/gangway", "/app/facts"])
    client = server.connect()
    client.request("GET", f"/app/wait?{gate.query}")
    visitor = gate.visitor().at("inside")
    os.kill(visitor.pid, signal.SIGKILL)
    gate.visitor().at("inside").go()
    assert client.response().status == 200
    is_counted(server, "exits_died")
    wait_until(lambda: len([p for p in found(server)["processes"] if p["state"] == "ready"]) == 2, "both are there", 60)
    assert others(agree(server)) == {"exits_died": 1, "replays": 1}


# ---- what new generations begin for ----

GOOD = "def app(e, s):\n    s('200 OK', [])\n    return [b'{}']\n"


def write(path, text):
    """In one step, with another time and length."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o644)
    if path.exists() and new.stat().st_mtime_ns <= path.stat().st_mtime_ns:
        os.utime(new, ns=(path.stat().st_mtime_ns + 10**9,) * 2)
    new.rename(path)


@pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])
def test_generations_count_by_what_they_began_for(launch, workspace, scratch, preload):
    module, touched = scratch / "site_of_a_test.py", scratch / "restart.txt"
    write(module, GOOD.format("0"))
    watching, waiting = f"{NAME}w", NAME

    def configure(site):
        site.status("/gangway")
        words = {"root": scratch, "processes": 1, "preload": preload}
        site.wsgi("/watching", "site_of_a_test:app", name=watching, reload=True, **words)
        site.wsgi("/app", "site_of_a_test:app", name=waiting, reload=touched, env="VERSION=1", **words)

    server = launch(configure, warm=["/gangway", "/app", "/watching"])
    server.log.allow("GW0907")
    gangway = Gangway(workspace, server)
    figures = lambda name: others(counted(server, name))
    is_said = lambda name, expected: wait_until(lambda: figures(name) == expected, lambda: f"{expected}: {figures(name)}", 60)
    assert figures(watching) == figures(waiting) == {}
    gangway("restart", waiting)
    is_said(waiting, {"restarts": 1, "restarts_begun_command": 1})
    # Of those that look after their files, one alone.
    write(module, GOOD.format("newer"))
    is_said(watching, {"restarts": 1, "restarts_begun_files": 1})
    is_said(waiting, {"restarts": 1, "restarts_begun_command": 1})
    touched.touch()
    is_said(waiting, {"restarts": 2, "restarts_begun_command": 1, "restarts_begun_restart_file": 1})
    text = server.configuration.read_text()
    server.rewrite(text.replace("VERSION=1", "VERSION=2"))
    server.reload()
    expected = {"restarts": 3, "restarts_begun_command": 1, "restarts_begun_restart_file": 1, "restarts_begun_configuration": 1}
    is_said(waiting, expected)
    assert wait_until(lambda: server.get("/app").text == "newer", "it serves")
    write(module, GOOD.format("newest of all"))
    server.reload()
    expected |= {"restarts": 4, "restarts_begun_server_reload": 1}
    is_said(waiting, expected)
    wait_until(lambda: sum(count for key, count in figures(watching).items() if "begun" in key) == 2, lambda: figures(watching), 60)
    settled = lambda: {found(server, name)["state"] for name in (watching, waiting)} == {"serving"}
    wait_until(settled, "both serve", 60)
    assert found(server)["generation"] == 5
    assert others(agree(server)) == expected
    assert of_metrics(server, watching) == counted(server, watching)


def test_another_supervisor_counts_on(launch, workspace):
    def configure(site):
        site.status("/gangway")
        site.wsgi("/app", "bad_days:app", name=NAME, processes=1)

    server = launch(configure, warm=["/gangway", "/app/pid"])
    server.log.allow("GW0907")
    gangway = Gangway(workspace, server)
    gangway("restart", NAME)
    (before,) = server.keepers()["gangway-super"]
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: server.keepers().get("gangway-super", []) not in ([], [before]), "another one is there")
    assert others(counted(server)) == {"restarts": 1, "restarts_begun_command": 1}
    gangway("restart", NAME)
    assert others(agree(server)) == {"restarts": 2, "restarts_begun_command": 2}


@pytest.mark.parametrize("preload", [False, True], ids=["alone", "forked"])
def test_a_failed_deploy(launch, workspace, scratch, preload):
    module = scratch / "site_of_a_test.py"
    write(module, GOOD.format("old"))

    def configure(site):
        site.status("/gangway")
        site.wsgi("/app", "site_of_a_test:app", root=scratch, name=NAME, processes=2, preload=preload)

    server = launch(configure, warm=["/gangway", "/app"])
    server.log.allow(r"GW090[3457]|GW03\d\d|Traceback|no_such_module")
    gangway = Gangway(workspace, server)
    deploy_failed = functools.partial(metric, server, "gangway_deploy_failed")
    assert deploy_failed() == 0
    write(module, "import no_such_module\n")
    gangway("restart", NAME, status=1)
    app, counts = found(server), counted(server)
    assert app["failed_generation"] == 2 and abs(app["failed_at"] - json.loads(server.get("/gangway?json").body)["time"]) < 120
    assert "no_such_module" in app["failed_reason"] and deploy_failed() == 1
    # Attempts go on, each of which counts; where each process loads the application by itself it is one that ended before it took requests.
    assert counts["restarts_failed"] >= 1 and (counts["exits_boot_failed"] >= 1) == (not preload), counts
    assert others(counts, "restarts_failed", "exits_boot_failed") == {"restarts_begun_command": 1}
    page = server.get("/gangway").text
    assert "Generation 2 could not be started" in page and "an older one serves. " in page and "no_such_module" in page
    assert "<dt>failed restarts</dt>" in page and "<dt>restarts</dt><dd>0 <small>command 1</small></dd>" in page
    assert {process["generation"] for process in app["processes"] if process["state"] == "ready"} == {1}
    write(module, GOOD.format("newer"))
    gangway("restart", NAME)
    wait_until(lambda: server.get("/app").text == "newer", "it has healed", 60)
    app, after = found(server), counted(server)
    assert not {"failed_generation", "failed_at", "failed_reason"} & app.keys() and deploy_failed() == 0
    assert (after["restarts"], after["restarts_begun_command"], after["restarts_failed"] >= counts["restarts_failed"]) == (1, 2, True)
    wait_until(lambda: len([p for p in found(server)["processes"] if p["state"] == "ready"]) == 2, "both are there", 60)
    agree(server)


def metric(server, family, name=NAME):
    """The value of a gauge."""
    text = server.get("/gangway?metrics").text
    families = {found.name: found for found in prometheus.text_string_to_metric_families(text)}
    (sample,) = (sample for sample in families[family].samples if sample.labels["app"] == name)
    assert sample.labels == {"app": name, "kind": "managed"}
    return sample.value


def test_what_is_about_the_server_has_no_labels_of_applications(run):
    server = run()
    families = {family.name: family for family in prometheus.text_string_to_metric_families(server.get("/gangway?metrics").text)}
    (build,), (start,) = families["gangway_build"].samples, families["gangway_start_time_seconds"].samples
    assert (build.name, build.labels.keys(), start.labels) == ("gangway_build_info", {"version", "server"}, {})
    about_the_server = {"gangway_build", "gangway_start_time_seconds"}
    for family in families.values():
        for sample in family.samples:
            assert ({"app", "kind"} <= sample.labels.keys()) == (family.name not in about_the_server), sample
