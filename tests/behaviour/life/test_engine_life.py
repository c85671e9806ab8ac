# SPDX-License-Identifier: MIT OR Apache-2.0
"""From import to exit: what an application finds in its process, how it fails, heals, speaks and ends."""

import json
import os
import subprocess

import pytest

from harness import places
from harness.deadline import wait_until

pytestmark = pytest.mark.in_process("how a process of the server loads and ends applications; managed/ has it of an application's own")

HELLO = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"healed"]
"""


def write(path, text):
    """Replaces a file in one step; its time differs from that of the file before."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o644)
    if new.stat().st_mtime_ns == before:
        os.utime(new, ns=(before + 10**9, before + 10**9))
    new.rename(path)


BROKEN = {
    "missing module": ("import no_such_module_at_all\n", r"no module \"no_such_module_at_all\""),
    "syntax error": ("def app(:\n", r"SyntaxError"),
    "raises": ("raise ValueError('at import')\n", r"ValueError: at import"),
    "exits": ("import sys\nsys.exit(4)\n", r"SystemExit: 4"),
    "no callable": ("application = None\n", r"app"),
    "not callable": ("app = 5\n", r"app"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_failing_import_is_500_logged_and_heals(launch, scratch, name):
    text, cause = BROKEN[name]
    write(scratch / "broken.py", text)

    def configure(site):
        site.wsgi("/broken", "broken:app", root=scratch)
        site.static("/static/", scratch)

    server = launch(configure)
    line = server.log.expect(rf"GW030[12] .*{cause}")
    assert "broken" in line.raw
    response = server.get("/broken")
    assert response.status == 500
    assert b"Traceback" not in response.body
    assert server.get("/static/broken.py").status == 200
    server.log.allow(r"GW03\d\d")
    write(scratch / "broken.py", HELLO)
    wait_until(lambda: server.get("/broken").text == "healed", "the application heals", 15)


def test_a_failing_import_logs_its_traceback_and_a_line_with_the_cause(launch, scratch):
    write(scratch / "deeper.py", "import os\n\nraise LookupError('deep down')\n")
    write(scratch / "outer.py", "import deeper\n" + HELLO)
    server = launch(lambda site: site.wsgi("/", "outer:app", root=scratch))
    server.log.expect(r"GW0301 .*\"outer:app\".*LookupError: deep down")
    server.log.expect(rf'File "{scratch}/outer.py", line 1')
    server.log.expect(rf'File "{scratch}/deeper.py", line 3')
    # Importing is not tried again for every request, and every file it touched is watched.
    for _ in range(5):
        assert server.get("/").status == 500
    assert len(server.log.find(r"GW0301")) == 1
    server.log.allow(r"GW03\d\d")
    write(scratch / "deeper.py", "")
    wait_until(lambda: server.get("/").text == "healed", "the application heals", 15)


def test_a_module_that_appears_heals_the_import(launch, scratch):
    server = launch(lambda site: site.wsgi("/", "later:app", root=scratch))
    server.log.expect(r"GW0301 .*\"later:app\".*no module \"later\" .*root")
    assert server.get("/").status == 500
    server.log.allow(r"GW03\d\d")
    write(scratch / "later.py", HELLO)
    wait_until(lambda: server.get("/").text == "healed", "the application heals", 15)


def test_debug_shows_the_traceback_and_its_absence_does_not(launch, scratch):
    write(scratch / "shown.py", "def app(environ, start_response):\n    raise ValueError('for <b>your</b> eyes')\n")

    def configure(site):
        site.wsgi("/debug", "shown:app", root=scratch, debug=True)
        site.wsgi("/plain", "shown:app", root=scratch)

    server = launch(configure)
    server.log.allow(r"GW0306|Traceback|File|raise|ValueError")
    shown = server.get("/debug")
    assert shown.status == 500
    assert "ValueError: for" in shown.text
    assert "<b>your</b>" not in shown.text
    plain = server.get("/plain")
    assert plain.status == 500
    assert "ValueError" not in plain.text


def test_a_file_as_target(launch, scratch):
    write(scratch / "any name.wsgi", HELLO)
    server = launch(lambda site: site.wsgi("/", f"{scratch}/any name.wsgi:app", root=None))
    assert server.get("/").text == "healed"


def test_applications_load_in_the_worker_and_not_in_the_master(launch, scratch):
    write(
        scratch / "where.py",
        "import os\nPID = os.getpid()\ndef app(e, s):\n    s('200 OK', [])\n    return [str(PID).encode()]\n",
    )
    server = launch(lambda site: site.wsgi("/", "where:app", root=scratch))
    assert int(server.get("/").text) == server.worker()
    maps = open(f"/proc/{server.pid()}/maps").read()
    assert "libpython" not in maps
    assert "libpython" in open(f"/proc/{server.worker()}/maps").read()


def test_applications_load_at_start_without_a_request(launch, scratch):
    write(scratch / "eager.py", f"open({str(scratch / 'loaded')!r}, 'w').close()\n" + HELLO)
    launch(lambda site: site.wsgi("/", "eager:app", root=scratch))
    wait_until((scratch / "loaded").exists, "the application is loaded")


def test_two_locations_with_one_specification_share_one_application(launch):
    def configure(site):
        for path in ("/a", "/b"):
            site.wsgi(path, "process:app", threads=3)

    server = launch(configure)
    assert server.get("/a/count").text == "1"
    assert server.get("/b/count").text == "2"


@pytest.fixture
def venv(scratch):
    path = scratch / "venv"
    subprocess.run([places.SYSTEM_PYTHON, "-m", "venv", "--without-pip", str(path)], check=True, timeout=60)
    (packages,) = path.glob("lib/python3.*/site-packages")
    (packages / "only_in_venv.py").write_text("VALUE = 'from the venv'\n")
    (packages / "added.pth").write_text(f"{scratch}/by_pth\n")
    (scratch / "by_pth").mkdir()
    return path


def facts(server, path="/facts"):
    return json.loads(server.get(path).body)


def test_the_process_of_a_venv(launch, venv, scratch, workspace):
    server = launch(lambda site: site.wsgi("/", "process:app", venv=venv))
    found = facts(server)
    assert found["prefix"] == str(venv)
    assert found["base_prefix"] == "/usr"
    assert found["executable"] in (f"{venv}/bin/python", f"{venv}/bin/python3")
    assert found["argv"] == [""] or len(found["argv"]) == 1
    assert str(workspace.apps) in found["path"]
    assert f"{scratch}/by_pth" in found["path"]
    assert any(entry.startswith(str(venv)) for entry in found["path"])
    assert found["only_in_venv"] == "from the venv"
    assert found["main"] == "__main__"


def test_the_process_without_a_venv(launch):
    found = facts(launch(lambda site: site.wsgi("/", "process:app")))
    assert found["prefix"] == found["base_prefix"] == "/usr"
    assert found["executable"].startswith("/usr/bin/python3")
    assert found["only_in_venv"] is None
    assert found["flags"]["optimize"] == 0
    assert found["encoding"] == "utf-8"


def test_an_applications_threads_and_signals(launch):
    server = launch(lambda site: site.wsgi("/", "process:app"))
    assert facts(server, "/signal")["outcome"] in ("ignored", "ValueError")
    server.log.allow("GW0314")
    found = facts(server, "/threads")
    assert found["local_kept"] is True
    assert found["joined"] is True


def test_a_thread_keeps_its_thread_state(launch):
    """threading.local survives from request to request: in nginx on the one pool thread, in httpd on its own two."""

    def few(site):
        site.threads_per_child = 2
        site.wsgi("/", "process:app", threads=1)

    server = launch(few)
    counts = [int(server.get("/local").text) for _ in range(20)]
    assert max(counts) >= 10
    assert sum(counts) >= sum(range(1, 11)) * 2


def test_an_applications_own_threads_run_while_no_request_does(launch):
    server = launch(lambda site: site.wsgi("/", "process:app"))
    first = int(server.get("/ticks").text)
    # Not one request at a time: the thread must get on between them too.
    wait_until(lambda: int(server.get("/ticks").text) > first + 200, "the thread has run")


def test_exit_statuses_of_children_are_the_applications(launch):
    """Also right after the start, while the server still opens and closes sockets whose numbers pipes of the application get."""
    server = launch(lambda site: site.wsgi("/", "process:app", threads=4))
    for _ in range(50):
        assert json.loads(server.get("/children").body) == {
            "multiprocessing": 5, "fork": 6, "run": 7, "system": 8, "named": True, "output": "said",
        }  # fmt: skip


def test_requests_wait_while_the_application_loads(launch, scratch, gate):
    text = "from gate import Gate\ng = Gate({'QUERY_STRING': %r})\ng.wait('loading')\ng.close()\n" % gate.query
    write(scratch / "slow_start.py", text + HELLO)
    (scratch / "gate.py").write_text((places.SUITE / "apps" / "gate.py").read_text())

    def configure(site):
        site.wsgi("/", "slow_start:app", root=scratch)
        site.wsgi("/other", "slow_start:app", root=scratch, threads=1)

    server = launch(configure)
    loading = gate.visitor().at("loading")
    clients = [server.connect() for _ in range(5)]
    for client in clients:
        client.request("GET", "/")
    assert server.get("/.ready").status == 204
    loading.go()
    assert [client.response().text for client in clients] == ["healed"] * 5
    assert server.get("/other").text == "healed"


@pytest.mark.parametrize("name", ["two words", "caf\u00e9", "semi;colon", "dollar$HOME", 'quo"te'])
def test_folders_with_unusual_names(launch, scratch, name):
    folder = scratch / name
    folder.mkdir()
    write(folder / "named.py", HELLO)
    server = launch(lambda site: site.wsgi("/", "named:app", root=folder))
    assert server.get("/").text == "healed"


def test_env_and_env_file(launch, scratch, kind):
    (scratch / "env").write_text('# settings\nFROM_FILE=plain\nQUOTED="two words"\nexport BOTH=file\nEMPTY=\n\n')
    (scratch / "env").chmod(0o644)

    def configure(site):
        site.wsgi(
            "/",
            "process:app",
            env_file=scratch / "env",
            env=["FROM_OPTION=a=b; c", "BOTH=option", "DJANGO_SETTINGS_MODULE=x.y"],
        )

    server = launch(configure)
    found = facts(server)
    expected = {
        "FROM_FILE": "plain",
        "QUOTED": "two words",
        "EMPTY": "",
        "FROM_OPTION": "a=b; c",
        "BOTH": "option",
        "DJANGO_SETTINGS_MODULE": "x.y",
    }
    assert {name: found["environ"].get(name) for name in expected} == expected
    # Child processes and C libraries see them too.
    assert facts(server, "/child_environ")["FROM_FILE"] == "plain"


SPEECH = {
    "print": "printed line",
    "stderr": "to standard error",
    "errors": "to wsgi.errors",
    "warning": "UserWarning: careful",
    "logging": "a logged warning",
    "unicode": "caf",
}


@pytest.mark.parametrize("how", SPEECH)
def test_what_an_application_says_is_in_the_error_log_with_its_request(launch, kind, how):
    server = launch(lambda site: site.wsgi("/", "process:app"))
    server.get(f"/say?how={how}")
    line = server.log.expect(SPEECH[how])
    server.log.allow("more lines|warnings.warn")
    assert "127.0.0.1" in line.raw
    if kind.startswith("nginx"):
        assert f'request: "GET /say?how={how} HTTP/1.1"' in line.raw


@pytest.mark.parametrize("path, first, last, times", [
    ("/raises", "Traceback", r"GW0306 .*LookupError: in vain", 2),
    ("/say?how=record", "it failed", "LookupError: looked up in vain", 1),
    ("/say?how=traceback", "Traceback", "LookupError: looked up in vain", 2),
])  # fmt: skip
@pytest.mark.parametrize("timeout", ["", "20s"])
def test_a_traceback_says_its_request_once(launch, kind, scratch, path, first, last, times, timeout):
    write(scratch / "raises.py", "def app(environ, start_response):\n    raise LookupError('in vain')\n")

    def configure(site):
        options = {"timeout": timeout} if timeout else {}
        site.wsgi("/", "process:app", **options)
        site.wsgi("/raises", "raises:app", root=scratch, **options)

    server = launch(configure)
    server.get(path)
    server.log.expect(last)
    server.log.allow("Traceback|File|raise|LookupError|it failed|    ")
    lines = [line.raw for line in server.log.lines() if line.level == "error"]
    assert len(lines) >= 4 and first in lines[0]
    context = "request: " if kind.startswith("nginx") else "[client "
    assert sum(context in line for line in lines) == times, lines
    assert context in lines[0]


def test_lines_stay_lines(launch):
    """Parts are collected to lines, lines are split, and no byte of a line can forge another."""
    server = launch(lambda site: site.wsgi("/", "process:app"))
    server.get("/say?how=parts")
    server.log.expect("one part and another")
    server.get("/say?how=lines")
    first, second = server.log.expect("first of two"), server.log.expect("second of two")
    assert first != second
    server.get("/say?how=forged")
    line = server.log.expect("looks harmless")
    assert line.raw.count("[emerg]") <= 1
    assert not [line for line in server.log.lines() if line.level == "emerg"]
    server.get("/say?how=long")
    server.log.expect("x{1000}")
    server.log.allow("x{100}")
    server.get("/say?how=unfinished")
    server.log.expect("no end of line")


def test_output_at_import_is_logged(launch, scratch):
    write(scratch / "talks.py", "import sys\nprint('while importing')\nprint('aside', file=sys.stderr)\n" + HELLO)
    server = launch(lambda site: site.wsgi("/", "talks:app", root=scratch))
    server.log.expect("while importing")
    server.log.expect("aside")
    assert server.get("/").text == "healed"


@pytest.mark.parametrize("how", ["stop", "quit", "reload"])
def test_atexit_handlers_run_when_the_worker_ends(launch, scratch, how):
    witness = scratch / "at_exit"
    (scratch / "ends.py").write_text(
        f"import atexit, os, threading\n"
        f"def end():\n"
        f"    with open({str(witness)!r}, 'a') as out:\n"
        f"        out.write(f'{{os.getpid()}} {{threading.current_thread() is threading.main_thread()}}\\n')\n"
        f"    print('saying goodbye')\n"
        f"atexit.register(end)\n" + HELLO
    )
    server = launch(lambda site: site.wsgi("/", "ends:app", root=scratch))
    assert server.get("/").text == "healed"
    worker = server.worker()
    server.log.allow("saying goodbye")
    server.reload() if how == "reload" else server.end(how)
    wait_until(witness.exists, "the handler ran")
    assert f"{worker} True" in witness.read_text().splitlines()


@pytest.mark.parametrize("how", ["stop", "reload"])
def test_what_stands_in_buffers_of_files_is_written_when_the_worker_ends(launch, scratch, how):
    """Also of a file that only a cycle of objects holds, and by an exit handler."""
    witness = scratch / "buffered"
    witness.touch()
    witness.chmod(0o666)
    (scratch / "writes.py").write_text(
        f"import atexit\n"
        f"class Holder:\n"
        f"    def __init__(self):\n"
        f"        self.out, self.own = open({str(witness)!r}, 'a'), self\n"
        f"        self.out.write('before ')\n"
        f"        atexit.register(self.end)\n"
        f"    def end(self):\n"
        f"        self.out.write('at the end')\n"
        f"Holder()\n" + HELLO
    )
    server = launch(lambda site: site.wsgi("/", "writes:app", root=scratch), warm=["/"])
    server.reload() if how == "reload" else server.end(how)
    wait_until(lambda: "before at the end" in witness.read_text(), "it is written")


def test_an_atexit_handler_that_hangs_does_not_stop_the_exit(launch, scratch):
    (scratch / "hangs.py").write_text("import atexit, time\natexit.register(time.sleep, 3600)\n" + HELLO)
    server = launch(lambda site: site.wsgi("/", "hangs:app", root=scratch))
    assert server.get("/").text == "healed"
    server.log.allow("GW0208|GW0313|AH00045|AH00046")
    server.send_signal("quit")
    assert server.wait(40) == 0
    server.log.expect("GW0208")


def test_nothing_links_libpython(kind, workspace):
    paths = [workspace.module(kind.partition("-")[0]), *(workspace.modules / name for name in places.ENGINE_FILES)]
    for path in paths:
        done = subprocess.run(["ldd", str(path)], capture_output=True, text=True, timeout=20, check=True)
        assert "libpython" not in done.stdout, path


LOCALES = [
    [],
    ["LC_ALL=C"],
    ["LC_ALL=POSIX"],
    ["LC_ALL=C.UTF-8"],
    ["LC_ALL=en_US.UTF-8"],
    ["LC_ALL=no_SUCH.ISO-8859-1"],
    ["LC_ALL="],
    ["LANG=en_US.UTF-8"],
    ["LANG=C.UTF-8"],
    ["LC_CTYPE=no_SUCH.UTF-8", "LANG=C.UTF-8"],
    ["LC_CTYPE=C"],
    ["PYTHONUTF8=0"],
    ["PYTHONUTF8=1", "LANG=C.UTF-8"],
    ["PYTHONUTF8="],
    ["PYTHONCOERCECLOCALE=0"],
    ["PYTHONUTF8=0", "PYTHONCOERCECLOCALE=0"],
    ["LC_ALL=en_US.UTF-8", "PYTHONUTF8=0"],
]


@pytest.mark.parametrize("variables", LOCALES, ids=" ".join)
def test_encodings_are_those_of_a_plain_python(launch, kind, workspace, variables):
    """Also where the locale that is asked for is none of this machine's."""
    server = launch(lambda site: site.wsgi("/", "encoded:app", env=variables))
    code = "import sys, json; sys.path.insert(0, sys.argv[1]); import encoded; print(json.dumps(encoded.facts()))"
    # nginx clears the environment of its processes.
    inherited = {} if kind.startswith("nginx") else {k: v for k, v in os.environ.items() if k.startswith(("LC_", "LANG"))}
    environ = {**inherited, **dict(variable.split("=", 1) for variable in variables)}
    command = [places.SYSTEM_PYTHON, "-c", code, str(workspace.apps)]
    done = subprocess.run(command, env=environ, capture_output=True, check=True, timeout=30)
    assert json.loads(server.get("/").body) == json.loads(done.stdout)
