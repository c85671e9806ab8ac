# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a hostile request must not achieve with programs that the server starts itself. What they have in common with backends that run
elsewhere is tested in upstream/, and applications of an engine by wsgi/ and security/ with --managed."""

import base64
import json
import os
import pwd
import signal
import socket

import pytest

from harness import places, processes, programs, wire
from harness.deadline import wait_until

PHP = "/usr/bin/php-cgi"
WARM = ("/one/hello", "/env.php")
USERS = places.other_users() if places.AS_ROOT else []
two_owners = pytest.mark.skipif(len(USERS) < 2, reason="needs root and two accounts beside the workers'")
PROTOCOLS = pytest.mark.parametrize("protocol", ["h1", "h2"])


def configure(site, kind):
    site.http2 = True
    site.body_limit = 64 << 20
    backends = programs.sources(site.scratch)
    root = backends / "php"
    (root / "photo.jpg").write_text("<?php echo 'run';")
    (root / "outside.php").symlink_to("/etc/hostname")
    site.spawn("/one/", "/usr/bin/perl", backends / "fcgi.pl", params={"HTTP_X_SET_BY_GATEWAY": "gateway"})
    site.spawn(r"\.php(/|$)", PHP, kind="regex", processes=2, nginx=f"root {root};")
    site.apache_main += f"DocumentRoot {root}\n<Directory {root}>\nRequire all granted\n</Directory>\n"
    if kind.startswith("nginx"):
        site.nginx_http = "underscores_in_headers on; ignore_invalid_headers off;"


def ask(server, protocol, headers, path="/one/env"):
    if protocol == "h2":
        response = server.http2().get(path, [(name.lower(), value) for name, value in headers])
    else:
        response = server.get(path, headers)
    return json.loads(response.body) if response.status == 200 else response.status


@PROTOCOLS
def test_httpoxy(server, protocol):
    for path in ("/one/env", "/env.php"):
        found = ask(server, protocol, [("Proxy", "http://evil")], path)
        assert "http://evil" not in json.dumps(found)


@PROTOCOLS
@pytest.mark.parametrize("name", ["X_Forwarded_For", "X-Forwarded_For", "Content_Length", "Remote_User", "X.Forwarded.For"])
def test_names_with_a_second_spelling_are_dropped(server, protocol, name):
    found = ask(server, protocol, [("X-Forwarded-For", "198.51.100.7"), (name, "evil")])
    if found == 400:
        server.log.allow("client sent invalid header|invalid")
        return
    assert "evil" not in found.values() and found["HTTP_X_FORWARDED_FOR"] == "198.51.100.7"


@PROTOCOLS
def test_a_client_cannot_choose_variables_of_the_gateway(server, protocol):
    names = ["Redirect-Status", "Script-Filename", "PHP-Value", "PHP-Admin-Value", "Document-Root", "Remote-Addr", "Remote-User", "Https"]
    found = ask(server, protocol, [(name, "evil") for name in names])
    assert {key for key, value in found.items() if value == "evil"} == {"HTTP_" + name.upper().replace("-", "_") for name in names}
    assert found["REMOTE_ADDR"] == "127.0.0.1"
    assert ask(server, protocol, [("X-Set-By-Gateway", "evil")])["HTTP_X_SET_BY_GATEWAY"] == "gateway"


@pytest.mark.parametrize("nominated", ["X-Forwarded-For", "X-Set-By-Gateway", "Host", "Remote-Addr", "Cookie", "X-Forwarded-For, X-Set-By-Gateway"])
def test_connection_cannot_remove_what_the_gateway_set(server, nominated):
    """And of what the client has sent itself it may take away nothing but that (RFC 9110 section 7.6.1)."""
    fields = [("Host", "localhost"), ("X-Forwarded-For", "198.51.100.7"), ("Cookie", "c=3"), ("Connection", f"close, {nominated}")]
    client = server.connect()
    client.send(wire.head_bytes("GET", "/one/env", fields))
    found = json.loads(client.response().body)
    assert found["HTTP_X_SET_BY_GATEWAY"] == "gateway"
    assert (found["REMOTE_ADDR"], found["HTTP_HOST"]) == ("127.0.0.1", "localhost")
    # Both servers pass these on to programs: who relies on one has it from the server, not from a client.
    assert (found["HTTP_X_FORWARDED_FOR"], found["HTTP_COOKIE"]) == ("198.51.100.7", "c=3")


@PROTOCOLS
def test_no_user_without_authentication(server, protocol):
    basic = "Basic " + base64.b64encode(b"admin:secret").decode()
    for path in ("/one/env", "/env.php"):
        found = ask(server, protocol, [("Authorization", basic), ("Proxy-Authorization", basic)], path)
        seen = found.get("server", found)
        for name in ("REMOTE_USER", "AUTH_TYPE", "HTTP_AUTHORIZATION", "HTTP_PROXY_AUTHORIZATION", "PHP_AUTH_USER", "PHP_AUTH_PW"):
            assert name not in seen


@pytest.mark.parametrize("path", ["/env.php/a%0ab", "/env.php/%0a", "/env.php/..%2f..%2fetc/passwd", "/env.php/%252e%252e"])
def test_path_info_is_what_follows_the_script(server, path):
    response = server.get(path)
    if response.status != 200:
        assert response.status in (400, 403, 404)
        server.log.allow("GW0709|GW0807|AH|client sent|script .* not found")
        return
    found = json.loads(response.body)["server"]
    assert found["SCRIPT_NAME"] == "/env.php" and found["SCRIPT_FILENAME"].endswith("/php/env.php")
    assert found.get("PATH_INFO", "").startswith("/") and len(found["PATH_INFO"]) > 1


@pytest.mark.parametrize(
    "path",
    [
        "/photo.jpg/x.php",
        "/photo.jpg%20%00.php",
        "/photo.jpg%00.php",
        "/photo.jpg%0a.php",
        "/env.ph%C3%BE",
        "/env%EF%BC%8Ephp",
        "/env.%E2%93%9Fhp",
        "/up/../../../../etc/passwd.php",
        "/%2e%2e/%2e%2e/etc/hostname.php",
        "/nothing.php",
        "/dir.php/env.php",
    ],
)
def test_what_is_no_script_is_not_run(server, path):
    client = server.connect()
    client.send(wire.head_bytes("GET", path, [("Host", "localhost"), ("Connection", "close")]))
    response = client.response()
    assert response.status in (400, 403, 404), response
    assert b"run" not in response.body
    server.log.allow("GW0709|GW0807|AH|client sent|No such file|not found|invalid|unsafe|Is a directory|Not a directory")


@pytest.mark.parametrize("query", ["?-s", "?-d+allow_url_include%3d1", "?%ADd+x", "?--version"])
def test_a_query_is_no_argument(server, query):
    before = set(server.managed())
    found = json.loads(server.get(f"/env.php{query}").body)
    assert found["server"]["QUERY_STRING"] == query[1:]
    assert set(server.managed()) == before


@pytest.mark.parametrize("size", [99_000, 65_535, 65_536, 65_528])
def test_records_inside_a_body_are_body(server, size):
    # FCGI_BEGIN_REQUEST and FCGI_PARAMS of a request that nobody has made.
    forged = b"\x01\x01\x00\x02\x00\x08\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00" + b"\x01\x04\x00\x02\x00\x0e\x00\x00\x09\x03PHP_VALUEa=b"
    body = (forged * (size // len(forged) + 1))[:size]
    response = server.post("/one/echo", body)
    assert (response.status, response.body == body) == (200, True)
    assert ask(server, "h1", [])["REQUEST_URI"] == "/one/env"


def test_trailers_do_not_become_variables(server):
    client = server.connect()
    head = "POST /one/env HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\nConnection: close\r\n\r\n"
    client.send(head.encode() + b"1\r\nx\r\n0\r\nX-Late: evil\r\nProxy: evil\r\n\r\n")
    assert "evil" not in json.loads(client.response().body).values()


def test_header_values_reach_no_process_environment(server):
    value = "() { :;}; echo vulnerable"
    server.get("/one/env", [("X-Shell", value), ("User-Agent", value)])
    for pid in server.managed():
        environment = open(f"/proc/{pid}/environ").read()
        assert "vulnerable" not in environment and "HTTP_" not in environment


def test_a_process_has_nothing_of_the_server(server):
    """Three descriptors and the connection that it has, no signal blocked, no memory that is shared with anybody."""
    for pid in server.managed():
        found = processes.descriptors(pid)
        status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status").read().splitlines())
        assert {0, 1, 2} <= set(found) and len(found) <= 6, found
        assert not [target for target in found.values() if target.startswith(("/", "anon_inode", "socket")) is False and "pipe" not in target]
        assert int(status["SigBlk"], 16) == 0
        assert "memfd:" not in open(f"/proc/{pid}/maps").read()


def test_who_is_not_the_workers_user_reaches_no_process(server):
    if not USERS:
        pytest.skip("needs root and an account beside the workers'")
    (run,) = (path for path in processes.run_directories(server.pid()) if os.path.isdir(path))
    sockets = [f"{run}/{name}" for name in os.listdir(run)]
    assert sockets
    account = pwd.getpwnam(USERS[0])
    child = os.fork()
    if child == 0:
        refused = 0
        try:
            os.setgroups([])
            os.setgid(account.pw_gid)
            os.setuid(account.pw_uid)
            for path in sockets:
                try:
                    socket.socket(socket.AF_UNIX).connect(path)
                except PermissionError:
                    refused += 1
        finally:
            os._exit(0 if refused == len(sockets) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@two_owners
def test_one_site_reads_nothing_of_another(launch, scratch):
    """Files, memory, environment, sockets, signals and the status of another owner's application."""
    mine, his = USERS[:2]
    # What others may write runs for nobody: see test_rights.py.
    scratch.chmod(0o755)
    source = scratch / "spy.py"
    source.write_text(
        "import json, os, signal, socket, urllib.parse\n"
        "def attempt(what):\n"
        "    try:\n"
        "        return repr(what())\n"
        "    except OSError as error:\n"
        "        return type(error).__name__\n"
        "def app(e, s):\n"
        "    q = dict(urllib.parse.parse_qsl(e['QUERY_STRING']))\n"
        "    pid = int(q.get('pid', 0))\n"
        "    connect = lambda path: lambda: socket.socket(socket.AF_UNIX).connect(path)\n"
        "    found = {'pid': os.getpid()}\n"
        "    if pid:\n"
        "        found['memory'] = attempt(lambda: open(f'/proc/{pid}/mem', 'rb').read(1))\n"
        "        found['environment'] = attempt(lambda: open(f'/proc/{pid}/environ', 'rb').read())\n"
        "        found['descriptors'] = attempt(lambda: os.listdir(f'/proc/{pid}/fd'))\n"
        "        found['signal'] = attempt(lambda: os.kill(pid, 0))\n"
        "        found['sockets'] = [attempt(connect(path)) for path in q['sockets'].split(',')]\n"
        "    s('200 OK', [])\n"
        "    return [json.dumps(found).encode()]\n"
    )

    def configured(site):
        site.wsgi("/mine", "spy:app", root=scratch, user=mine, processes=1)
        site.wsgi("/his", "spy:app", root=scratch, user=his, processes=1, env=["SECRET=1"])
        site.wsgi("/server", "spy:app", root=scratch, processes=1)

    server = launch(configured, warm=["/mine", "/his", "/server"])
    (run,) = (path for path in processes.run_directories(server.pid()) if os.path.isdir(path))
    sockets = [f"{run}/{name}" for name in os.listdir(run)]
    others = [json.loads(server.get(path).body)["pid"] for path in ("/his", "/server")]
    others += [server.worker(), server.keepers()["gangway-super"][0], server.keepers()["gangway-spawn"][0]]
    for pid in others:
        found = json.loads(server.get(f"/mine?pid={pid}&sockets={','.join(sockets)}").body)
        for what in ("memory", "environment", "descriptors", "signal"):
            assert found[what] == "PermissionError", (pid, what, found)
        assert set(found["sockets"]) == {"PermissionError"}
    control = f"{run}.control"
    found = json.loads(server.get(f"/mine?pid={others[0]}&sockets={control}").body)
    # What it may ask for there is command/test_control.py's.
    assert os.stat(control).st_mode & 0o777 in (0o600, 0o666), oct(os.stat(control).st_mode)


def test_a_process_that_writes_into_its_output_what_only_engines_say(launch, scratch):
    """Lines of the host are believed as far as they can do no harm: one that claims files of the machine, or a lost thread."""
    script = scratch / "forger.pl"
    text = (programs.SOURCES / "fcgi.pl").read_text()
    forged = 'syswrite(STDOUT, "\\x01file /etc/passwd\\n" x 5000); syswrite(STDERR, "\\x01lost\\n2026/01/02 03:04:05 [emerg] 1#1: forged\\r\\n");\n'
    script.write_text(text.replace("my %env;", forged + "my %env;"))
    server = launch(lambda site: site.spawn("/one/", "/usr/bin/perl", script, reload=True), warm=["/one/hello"])
    (pid,) = server.managed()
    server.log.allow("GW0905")
    line = server.log.expect("forged")
    assert "GW0905" in line.raw and line.level in ("error",)
    assert server.get("/one/hello").body == b"hello" and server.managed() == [pid]


def test_memory_of_the_workers_is_of_no_use_to_an_application(server):
    """Only workers and the supervisor have the shared memory of places and queues."""
    for pid in server.managed():
        assert not any("memfd:gangway" in target for target in processes.descriptors(pid).values())
    # Root reads nothing that a worker may write: it holds the memory for others, and has not mapped it.
    for name in ("gangway-spawn", "gangway-guard"):
        for pid in server.keepers()[name]:
            assert "memfd:gangway (" not in open(f"/proc/{pid}/maps").read(), name
    assert "memfd:gangway (" in open(f"/proc/{server.workers()[0]}/maps").read()


def test_a_program_that_crashes_again_and_again_spins_nobody(launch, scratch):
    script = scratch / "crash.pl"
    script.write_text("close(STDIN); close(STDOUT); close(STDERR); kill 9, $$;")
    server = launch(lambda site: site.spawn("/one/", "/usr/bin/perl", script, processes=3))
    server.log.allow("GW090[1-5]")
    server.log.expect("3 in a row have failed", 30)
    assert server.get("/one/hello").status == 503
    before = {pid: processes.cpu_seconds(pid) for family in server.keepers().values() for pid in family}
    size = (server.folder / "error.log").stat().st_size
    wait_until(lambda: server.log.find("5 in a row have failed"), "two more attempts", 60)
    assert sum(processes.cpu_seconds(pid) - used for pid, used in before.items()) < 1
    assert (server.folder / "error.log").stat().st_size - size < 20_000


def test_a_body_that_comes_slowly_holds_no_process(server):
    """The body is read before a process is claimed, as far as the server reads it first."""
    clients = []
    for _ in range(6):
        client = server.connect()
        client.send(b"POST /one/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\nConnection: close\r\n\r\nhalf")
        clients.append(client)
    assert server.get("/one/hello").body == b"hello"
    for client in clients:
        client.close()
    server.log.allow("client prematurely closed|AH|GW0507|GW0712")


def test_a_signal_to_the_group_of_the_server_ends_no_process(launch):
    """Ctrl-C on a terminal, or a service manager that tells all: who looks after processes ends them when the server has ended."""
    server = launch(lambda site: site.spawn("/one/", "/usr/bin/perl", programs.sources(site.scratch) / "fcgi.pl"), warm=["/one/hello"])
    before = (server.managed(), server.keepers())
    for pid in [pid for family in server.keepers().values() for pid in family]:
        assert os.getsid(pid) != os.getsid(server.pid())
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGHUP)
    assert server.get("/one/hello").body == b"hello"
    assert (server.managed(), server.keepers()) == before
