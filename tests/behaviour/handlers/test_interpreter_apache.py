# SPDX-License-Identifier: MIT OR Apache-2.0
"""What directives of mod_python say of the interpreter itself: PythonOptimize, and of how it runs handlers: PythonEnablePdb."""

import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import places
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("apache")

ANY = pytest.mark.servers("apache", "apache-worker", "apache-prefork")

FLAGS = """
import sys
import from_the_path

def flags():
    try:
        assert False
        asserted = False
    except AssertionError:
        asserted = True
    return f"{sys.flags.optimize} {__debug__} {asserted} {from_the_path.__cached__} {from_the_path.__doc__}"

def handler(req):
    req.write(flags())
    return 0

def application(environ, start_response):
    start_response("200 OK", [])
    return [flags().encode()]
"""


def sites(scratch, extra):
    """Handlers and an application that stands before them, in one process."""
    folder, library = scratch / "flags", scratch / "flags" / "library"
    library.mkdir(parents=True)
    (folder / "flags.py").write_text(FLAGS)
    (library / "from_the_path.py").write_text('"""Documented."""\n')
    for path in (folder, library):
        path.chmod(0o755)
        if places.AS_ROOT:
            shutil.chown(path, places.WORKER_USER)

    def configure(site):
        path = f"sys.path + ['{library}', '{folder}']"
        site.apache_host = f"""
            <Location "/application">
                GangwayWSGI flags:application root={folder}
            </Location>
            PythonPath "{path}"
            <Location "/handler">
                SetHandler mod_python
                PythonHandler flags
            </Location>
            {extra}
        """

    return library, configure


@ANY
@pytest.mark.parametrize("said", ["main", "host"])
def test_python_starts_without_assertions(launch, scratch, said):
    """Where one says On, an Off elsewhere changes nothing: there is one interpreter."""
    library, configure = sites(scratch, "PythonOptimize On" if said == "main" else "<VirtualHost *:1>\nPythonOptimize On\n</VirtualHost>\nPythonOptimize Off")
    server = launch(configure)
    for path in ("/handler", "/application"):
        text = server.get(path).text
        assert text.startswith("1 False False ") and text.endswith(".opt-1.pyc Documented."), text
    assert all(path.name.endswith(".opt-1.pyc") for path in (library / "__pycache__").iterdir())


def test_python_starts_with_assertions_where_nothing_is_said(launch, scratch):
    _, configure = sites(scratch, "PythonOptimize Off")
    assert launch(configure).get("/handler").text.startswith("0 True True ")


@pytest.mark.parametrize(
    ("lines", "cure"),
    [
        ("PythonOptimize 1", "must be On or Off"),
        ("<Location /x>\nPythonOptimize On\n</Location>", "not allowed in <Location> context"),
        ("PythonOptimize On\nGangwayPythonHandler x::y env=PYTHONOPTIMIZE=2", 'GW0104 "env=PYTHONOPTIMIZE=2" stands beside PythonOptimize On'),
        (
            "PythonOptimize On\n<Location /x>\nGangwayWSGI blog:application root=/ env=PYTHONOPTIMIZE=\n</Location>",
            "set the environment variable PYTHONOPTIMIZE to different values",
        ),
    ],
)
def test_one_process_has_one_interpreter(configtest, lines, cure):
    def wrong(site):
        site.apache_host = lines

    result = configtest(wrong)
    assert result.status != 0 and cure in result.output, result.output


DEBUGGED = """
import atexit
from mod_python import apache

atexit.register(print, "the interpreter ends")

def handler(req):
    number = len(req.uri)
    print("said by the handler")
    req.write(f"{number} of {req.uri}")
    return apache.OK

def accesshandler(req):
    return apache.DECLINED

def add(filter):
    part = filter.read()
    while part:
        filter.write(part.upper())
        part = filter.read()
    if part is None:
        filter.close()

def outer(req):
    req.internal_redirect("/plain/" + req.uri.rpartition("/")[2])
    return apache.OK
"""


def debugged(folder):
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "debugged.py").write_text(DEBUGGED)

    def configure(site):
        site.apache_host = f"""
            PythonPath "sys.path + ['{folder}']"
            PythonAutoReload Off
            PythonOutputFilter debugged::add UPPER
            <Location "/stepped">
                PythonEnablePdb On
                SetHandler mod_python
                PythonHandler debugged
            </Location>
            <Location "/checked">
                PythonEnablePdb On
                PythonAccessHandler debugged
                SetHandler mod_python
                PythonHandler debugged
            </Location>
            <Location "/filtered">
                PythonEnablePdb On
                SetOutputFilter UPPER
            </Location>
            <Location "/outer">
                PythonEnablePdb On
                SetHandler mod_python
                PythonHandler debugged::outer
            </Location>
            <Location "/plain">
                SetHandler mod_python
                PythonHandler debugged
            </Location>
        """

    return configure


class Terminal:
    """httpd in one process, with a terminal or with pipes, and somebody who sits there."""

    def __init__(self, server, how, stdin=None):
        self.server = server
        server.write_configuration()
        self.read_end, self.write_end = pty.openpty() if how == "terminal" else (None, None)
        ends = (self.write_end, self.write_end) if how == "terminal" else (stdin or subprocess.PIPE, subprocess.PIPE)
        self.process = subprocess.Popen(
            [*server.command()[:-1], "-X"], stdin=ends[0], stdout=ends[1], stderr=subprocess.DEVNULL, start_new_session=True, env=server.environment()
        )
        self.input = self.read_end or (self.process.stdin and self.process.stdin.fileno())
        self.output = self.read_end or self.process.stdout.fileno()
        self.shown = ""
        wait_until(self._answers, "httpd -X answers")
        (server.folder / "htdocs" / "filtered").mkdir()
        (server.folder / "htdocs" / "filtered" / "a.txt").write_text("words")

    def _answers(self):
        with contextlib.suppress(OSError):
            return self.server.get("/.ready").status == 204

    def until(self, text):
        """What is shown up to this text and with it, since the last one."""
        while text not in self.shown:
            assert select.select([self.output], [], [], 20)[0], f"{text!r} is not shown: {self.shown!r}"
            self.shown += os.read(self.output, 4096).decode()
        before, found, self.shown = self.shown.partition(text)
        return before + found

    def go_on(self, response):
        """Continues at each stop until there is the response."""
        while not response.done():
            if select.select([self.output], [], [], 0.05)[0]:
                self.shown += os.read(self.output, 4096).decode()
            if PROMPT in self.shown:
                self.until(PROMPT)
                self.type("c")
        return response.result()

    def is_silent(self):
        return not self.shown and not select.select([self.output], [], [], 0)[0]

    def type(self, line):
        os.write(self.input, f"{line}\n".encode())

    def close(self):
        self.process.terminate()
        status = self.process.wait(30)
        # The event MPM, without any module of ours, crashes at its exit in one process in one of thirty times: its list of pools for connections is cleaned
        # up after those pools are gone. By then our part is over.
        assert status == 0 or self.server.kind == "apache" and status == -signal.SIGSEGV
        assert "the interpreter ends" in (self.server.folder / "error.log").read_text()
        for end in (self.read_end, self.write_end):
            if end is not None:
                os.close(end)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture(params=["terminal", "pipes"])
def terminal(request, launch, scratch):
    sitting = Terminal(launch.prepare(debugged(scratch / "debugged")), request.param)
    yield sitting
    sitting.close()


@pytest.fixture
def clients():
    with ThreadPoolExecutor(4) as pool:
        yield pool


PROMPT = "(Pdb) "


@ANY
def test_a_handler_runs_in_steps(terminal, clients):
    # Twice: a handler whose place is known is called another way.
    for _ in range(2):
        response = clients.submit(terminal.server.get, "/stepped/a")
        assert "-> number = len(req.uri)" in terminal.until(PROMPT)
        terminal.type("p req.uri, req.phase")
        assert "('/stepped/a', 'PythonHandler')" in terminal.until(PROMPT)
        terminal.type("next")
        assert "-> print(" in terminal.until(PROMPT)
        terminal.type("number = 7")
        terminal.until(PROMPT)
        terminal.type("!print('on the terminal', number)")
        assert "on the terminal 7" in terminal.until(PROMPT)
        terminal.type("continue")
        assert response.result(20).text == "7 of /stepped/a"
    terminal.server.log.expect("said by the handler")
    assert terminal.server.get("/plain/a").text == "8 of /plain/a"
    assert "said by" not in terminal.shown


@ANY
def test_who_leaves_the_debugger_ends_the_request(terminal, clients):
    for path in ("/stepped/a", "/checked/a", "/filtered/a.txt"):
        response = clients.submit(terminal.server.get, path)
        terminal.until(PROMPT)
        terminal.type("q")
        assert response.result(20).status == 500, path
        terminal.server.log.expect("GW0319 .*BdbQuit")
    assert terminal.server.get("/plain/a").status == 200


def test_other_phases_and_filters(terminal, clients):
    response = clients.submit(terminal.server.get, "/checked/a")
    assert "-> return apache.DECLINED" in terminal.until(PROMPT)
    terminal.type("c")
    assert "-> number = len(req.uri)" in terminal.until(PROMPT)
    terminal.type("c")
    assert response.result(20).text == "10 of /checked/a"
    response = clients.submit(terminal.server.get, "/filtered/a.txt")
    assert "-> part = filter.read()" in terminal.until(PROMPT)
    terminal.type("c")
    assert terminal.go_on(response).text == "WORDS"


def test_a_handler_inside_of_a_handler(terminal, clients):
    response = clients.submit(terminal.server.get, "/outer/a")
    assert "-> req.internal_redirect" in terminal.until(PROMPT)
    terminal.type("c")
    assert terminal.go_on(response).text == "8 of /plain/a"


@pytest.mark.servers("apache", "apache-worker")
def test_one_request_at_a_time_has_the_terminal(terminal, clients):
    responses = [clients.submit(terminal.server.get, f"/stepped/{name}") for name in "abc"]
    for _ in responses:
        terminal.until(PROMPT)
        assert terminal.is_silent()
        # Who waits for the terminal holds up nobody else.
        assert terminal.server.get("/plain/a").status == 200
        terminal.type("c")
    assert sorted(response.result(20).text for response in responses) == [f"10 of /stepped/{name}" for name in "abc"]


@ANY
def test_without_anybody_at_the_terminal_there_is_no_debugger(launch, scratch):
    nobody = Terminal(launch.prepare(debugged(scratch / "debugged")), "pipes", subprocess.DEVNULL)
    for _ in range(2):
        assert nobody.server.get("/stepped/a").text == "10 of /stepped/a"
    nobody.server.log.expect("said by the handler")
    assert nobody.server.get("/plain/a").status == 200
    nobody.close()


@ANY
def test_a_server_for_others_has_no_debugger(launch, scratch):
    server = launch(debugged(scratch / "debugged"))
    server.log.allow("the interpreter ends")
    # At its start httpd says such things on its standard error.
    said = (server.folder / "output.log").read_text()
    assert len(re.findall("GW0111 PythonEnablePdb on line .* needs the terminal of a server in one process: start httpd with -X", said)) == 1
    assert "GW0111 PythonEnablePdb" in server.configtest().output
    for _ in range(2):
        assert server.get("/stepped/a").text == "10 of /stepped/a"
    server.log.expect("said by the handler")
