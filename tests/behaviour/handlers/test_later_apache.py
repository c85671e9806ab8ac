# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_python's handlers in httpd: after the response, at the end of a process, and those that other handlers add."""

import pytest

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")


def configure(site, kind):
    file = f"{site.apps}/handlers/later.py"
    site.apache_main = f"""
        PythonPath "sys.path + ['{site.apps}/handlers']"
        PythonImport {file}::start started
        PythonImport later started
        PythonImport no_such_module started
        LogFormat "%U %{{trail}}n" trail
        CustomLog trail.log trail
    """

    def location(name, *lines):
        handler = "handler" if name == "answer" else name
        site.location(f"/later/{name}", apache="\n".join((f"SetHandler mod_python\nPythonHandler {file}::{handler}", *lines)))

    location("answer", f"PythonLogHandler {file}", f"PythonCleanupHandler {file}")
    location("plain")
    location("registers_failing")
    location("redirects", f"PythonLogHandler {file}")
    location("started", "PythonInterpreter started", "PythonPath \"sys.path\"")
    site.location("/later/fails", apache=f"PythonLogHandler {file}::fails\nPythonCleanupHandler {file}::fails")
    site.location("/later/adds", apache=f"PythonFixupHandler {file}::adds")
    site.location("/later/files", files=str(site.apps / "served"), apache=f"PythonLogHandler {file}\nPythonCleanupHandler {file}")


@pytest.fixture
def begun(server):
    """A process has begun, and has said what it could not import."""
    server.log.allow("GW0319")
    return server


def position(server, pattern):
    server.log.expect(pattern)
    lines = [line.raw for line in server.log.lines() + server.log.beside]
    return next(at for at, line in enumerate(lines) if pattern in line)


def test_what_comes_after_a_response(begun):
    assert begun.get("/later/answer").body == b"answered"
    places = [
        position(begun, f"/later/answer: {text}")
        for text in (
            "logged 200 8 ",
            "cleanup 2 after ",
            "cleanup 1 after ",
            "cleaned PythonCleanupHandler ",
        )
    ]
    assert places == sorted(places)
    # Its object is that of the content handler, and nothing can be read or written any more.
    begun.log.expect(r"logged 200 8 \['content', 'log', 'refused', 'refused', 'refused'\]")
    # What it notes stands in the line of the log.
    assert "/later/answer content log" in (begun.folder / "trail.log").read_text()


def test_files_have_them_too(begun):
    assert begun.get("/later/files/README").status == 200
    begun.log.expect(r"/later/files/README: logged 200 \d+ ")
    begun.log.expect("/later/files/README: cleaned")
    assert begun.get("/later/files/missing").status == 404
    begun.log.expect("/later/files/missing: logged 404 ")


def test_connections_go_on(begun):
    with begun.connect() as client:
        for _ in range(20):
            client.request("GET", "/later/answer")
            assert client.response().body == b"answered"


def test_errors_change_nothing_for_the_client(begun):
    assert begun.get("/later/fails").status == 404
    begun.log.expect('PythonLogHandler ".*fails" .* ValueError: late failure')
    begun.log.expect('PythonCleanupHandler ".*fails" .* ValueError: late failure')
    assert begun.get("/later/registers_failing").body == b"answered"
    begun.log.expect("GW0319 a clean-up of interpreter .* ValueError: failed clean-up")
    begun.log.expect("the other one")


def test_a_redirected_request_has_its_end(begun):
    assert begun.get("/later/redirects").body == b"plain"
    begun.log.expect("/later/redirects: logged")
    begun.log.expect("/later/redirects: cleaned after a redirect")


def test_handlers_are_added(begun):
    assert begun.get("/later/adds").body == b"added after added_same"
    begun.log.expect("/later/adds: added log")
    begun.log.expect("/later/adds: added cleanup")
    # For that request alone.
    assert begun.get("/later/plain").body == b"plain"


def test_what_a_process_begins_and_ends_with(begun):
    assert begun.get("/later/started").body == b"['started'] True"
    begun.reload()
    begun.log.expect("the process ends with data")
    begun.log.expect('GW0319 PythonImport "no_such_module started" raised ModuleNotFoundError')
    assert begun.get("/later/started").body == b"['started'] True"
