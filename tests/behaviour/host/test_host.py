# SPDX-License-Identifier: MIT OR Apache-2.0
"""gangway-host behind the servers' own FastCGI modules and behind gangway_pass."""

import json
import signal
import threading

import pytest

from harness import processes
from harness.deadline import wait_until
from harness.hosts import Host

FRONTS = ("stock", "gangway")


@pytest.fixture(params=FRONTS)
def front(request, kind, launch):
    """Starts a server before a gangway-host: `front(target, *options)` answers both."""

    def start(target, *options, **kw):
        hosts = []

        def configure(site):
            site.upstream = request.param
            site.modules = request.param == "gangway"
            host = Host(site.scratch, target, [f"root={site.apps}", *options], unix=False, **kw)
            hosts.append(site.program("host", host))
            if kind == "apache":
                # The first loads what passes; the harness has a page of its own.
                site.passes("/nothing/", host, apache=f'ProxyPass "fcgi://{host.where}/nothing/"')
                site.apache_host = f'ProxyPass "/.ready" "!"\nProxyPass "/" "fcgi://{host.where}/"'
                return
            # What gangway_pass needs to know of an application at the root of the site.
            params = {"SCRIPT_NAME": "", "PATH_INFO": "$uri"} if request.param == "gangway" else {}
            site.passes("/", host, params=params, nginx="gangway_request_buffering off;")

        return launch(configure), hosts[0]

    return start


def test_requests(front):
    server, host = front("pep3333:app")
    for path in ("/hello", "/types"):
        assert server.get(path).status == 200
    found = json.loads(server.get("/env/a%20b?x=1", [("X-Y", "z")]).body)
    assert (found["SCRIPT_NAME"], found["PATH_INFO"], found["QUERY_STRING"]) == ("", "/env/a b", "x=1")
    assert (found["REQUEST_METHOD"], found["HTTP_X_Y"], found["wsgi.url_scheme"]) == ("GET", "z", "http")
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert server.request("HEAD", "/hello").body == b""
    assert host.end() == 0


def test_lines_of_a_request_have_its_context(front):
    server, host = front("slow:app", "timeout=1s")
    assert server.get("/loop").status == 504
    server.log.expect(r"GW0402 .* gave no output for 1s.*/loop" if server.kind != "apache" else r"GW0402 .* gave no output")
    server.log.expect(r"GW0313")
    server.log.allow(r"FastCGI sent in stderr|AH01071|GW0707|slow\.py|in \w+$|AH0107[0-9]")
    assert server.get("/hello").text == "hello"
    assert host.end() == 0


def test_a_signal_lets_requests_finish(front, gate):
    server, host = front("slow:app", "threads=2")
    client = server.connect()
    client.request("GET", f"/wait?name=here&{gate.query}")
    visitor = gate.visitor().at("here")
    host.process.send_signal(signal.SIGTERM)
    host.errors.expect("SIGTERM")
    assert host.process.poll() is None
    visitor.go()
    assert client.response().text == "here"
    assert host.end() == 0


def test_a_killed_one_is_missed_and_its_successor_serves(front, gate):
    server, host = front("slow:app")
    client = server.connect()
    client.request("GET", f"/wait?name=here&{gate.query}")
    gate.visitor().at("here")
    assert host.end(signal.SIGKILL) == -signal.SIGKILL
    assert client.response().status in (502, 503)
    server.log.allow(r"prematurely closed|reset by peer|refused|AH01075|AH01067|AH0111|GW07\d\d|End of file|AH010|AH00957|AH01114")
    host.start()
    wait_until(lambda: server.get("/hello").status == 200, "it serves again")


def test_a_client_that_leaves_is_seen(front, gate):
    server, host = front("slow:app", "threads=1")
    client = server.connect()
    client.request("GET", f"/clean?{gate.query}")
    visitor = gate.visitor().at("running")
    client.close()
    server.log.allow(r"client .*closed|GW07\d\d|AH0\d+|prematurely")
    visitor.close()
    # The only thread is in a loop that does not ask; what is ended by force is told.
    assert host.end(timeout=30) in (0, 1)


def test_many_at_a_time(front):
    server, host = front("slow:app", "threads=3")
    before = len(processes.descriptors(host.pid))
    failures = []

    def several():
        client = server.connect()
        for _ in range(20):
            client.request("GET", "/hello")
            response = client.response()
            if (response.status, response.text) != (200, "hello"):
                failures.append(response)

    threads = [threading.Thread(target=several) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    server.close_clients()
    wait_until(lambda: len(processes.descriptors(host.pid)) <= before + 40, "connections are few")
    assert host.end() == 0


@pytest.mark.servers("nginx")
def test_a_flood_is_refused_and_not_lost(front, gate):
    server, host = front("slow:app", "threads=1", "queue=2")
    first = server.connect()
    first.request("GET", f"/wait?name=here&{gate.query}")
    visitor = gate.visitor().at("here")
    clients = [server.connect() for _ in range(6)]
    for client in clients:
        client.request("GET", "/hello")
    server.log.expect(r"GW0401")
    server.log.allow(r"GW0401|GW0707|FastCGI sent in stderr")
    visitor.go()
    assert first.response().text == "here"
    statuses = sorted(client.response().status for client in clients)
    assert statuses == [200, 200, 503, 503, 503, 503]
    assert host.end() == 0


def test_it_says_which_files_are_its_own_if_it_is_asked(launch, kind):
    hosts = []

    def configure(site):
        environment = {"GANGWAY_REPORT_FILES": "1"}
        options = [f"root={site.apps}"]
        hosts.append(site.program("host", Host(site.scratch, "pep3333:app", options, environment=environment)))
        hosts.append(site.program("other", Host(site.scratch, "pep3333:app", options, name="other")))

    launch(configure)
    asked, other = hosts
    asked.errors.expect(r"\x01file /.*/pep3333\.py$")
    assert "/json/" not in asked.log.read_text(), "packages are not its own"
    assert "\x01" not in other.log.read_text()
    assert (asked.end(), other.end()) == (0, 0)
