# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_python.wsgi, mod_python.cgihandler, mod_python.testhandler, and configurations as Python."""

import os
import sys
import threading

import pytest

from mod_python import apache, cgihandler, httpdconf, testhandler, wsgi


@pytest.fixture
def serve(make, transaction, tmp_path, monkeypatch):
    """Runs an application by the name of its function."""
    monkeypatch.setattr(wsgi, "_application", lambda req: req.application)

    def serve(application, body=b"", **texts):
        transaction.written.clear()
        request = make(body, **texts)
        request.headers_out.clear()
        request.application = application
        answer = wsgi.handler(request)
        return answer, request, b"".join(transaction.written)

    return serve


def test_a_wsgi_application(serve, transaction):
    def application(environ, start_response):
        start_response("201 Made", [("Content-Type", "text/plain"), ("X-A", "1"), ("x-a", "2"), ("Content-Length", "7")])
        assert environ["wsgi.version"] == (1, 0) and environ["wsgi.url_scheme"] == "http"
        assert environ["wsgi.input"].readline() == b"ab\n" and list(environ["wsgi.input"]) == [b"cd\n", b"e"]
        environ["wsgi.errors"].writelines(["one\ntwo\n", "three"])
        return [b"", b"abc", b"defg", b"too much"]

    answer, request, body = serve(application, b"ab\ncd\ne")
    assert answer == apache.OK and request.status == 201 and request.status_line == "201 Made" and body == b"abcdefg"
    assert request.content_type == "text/plain" and request.headers_out["X-A"] == ["1", "2"] and transaction.length == 7
    assert [line for _, line in transaction.lines] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        ("200", [("Connection", "close")], [b""]),
        ("200 OK", [("transfer-encoding", "chunked")], [b""]),
        ("200 OK", [("Content-Length", "-1")], [b""]),
        ("200 OK", [("Content-Length", "5")], [b"four"]),
        ("200 OK", [(b"A", "b")], [b""]),
        ("99 low", [], [b""]),
        ("199 interim", [], [b""]),
        ("2000 high", [], [b""]),
        (200, [], [b""]),
        ("200 OK", [], ["text"]),
    ],
)
def test_what_a_wsgi_application_must_not_say(serve, status, headers, body):
    with pytest.raises((TypeError, ValueError)):
        serve(lambda environ, start_response: start_response(status, headers) and body)


def test_start_response_is_called_once_and_before_the_body(serve):
    with pytest.raises(AssertionError, match="before it calls"):
        serve(lambda environ, start_response: [b"x"])
    with pytest.raises(AssertionError, match="before it calls"):
        serve(lambda environ, start_response: [])

    def twice(environ, start_response):
        start_response("200 OK", [])
        start_response("200 OK", [])

    with pytest.raises(AssertionError, match="second time"):
        serve(twice)

    def corrected(environ, start_response):
        start_response("200 OK", [("X-Old", "1")])
        try:
            raise KeyError("late")
        except KeyError:
            start_response("500 No", [], sys.exc_info())
        return [b"sorry"]

    _, request, body = serve(corrected)
    assert request.status == 500 and body == b"sorry" and "X-Old" not in request.headers_out

    def too_late(environ, start_response):
        start_response("200 OK", [])(b"begun")
        try:
            raise KeyError("late")
        except KeyError:
            start_response("500 No", [], sys.exc_info())

    with pytest.raises(KeyError, match="late"):
        serve(too_late)


def test_a_body_is_closed_whatever_happens(serve):
    class Body:
        closed = 0

        def __iter__(self):
            yield b"x"
            raise KeyError("on purpose")

        def close(self):
            Body.closed += 1

    with pytest.raises(KeyError):
        serve(lambda environ, start_response: start_response("200 OK", []) and Body())
    assert Body.closed == 1


def test_files_are_sent_by_the_server(serve, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    opened = []

    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", "4")])
        opened.append(open(path, "rb"))
        opened[0].seek(3)
        return environ["wsgi.file_wrapper"](opened[0], 100)

    assert serve(application)[2] == b"3456" and opened[0].closed

    def in_memory(environ, start_response):
        import io

        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](io.BytesIO(b"abc"), 2)

    assert serve(in_memory)[2] == b"abc"


@pytest.fixture
def run(make, transaction, tmp_path):
    def run(script, body=b"", head='print("Content-Type: text/plain\\n")\n', **texts):
        path = tmp_path / "script.py"
        path.write_text(head + script)
        transaction.written.clear()
        transaction.redirected = None
        request = make(body, FILENAME=str(path), **texts)
        request.headers_out.clear()
        answer = cgihandler.handler(request)
        return answer, request, b"".join(transaction.written).decode()

    return run


def test_a_script(run, tmp_path):
    (tmp_path / "beside.py").write_text("VALUE = 5\n")
    here = os.getcwd()
    answer, request, text = run(
        """
import beside, os, sys
assert __name__ == "__main__" and sys.argv == [__file__]
print(beside.VALUE, os.getcwd(), os.environ["QUERY_STRING"], os.getenv("HTTP_PROXY"), sys.stdin.read())
os.environ["LEFT"] = "behind"
sys.exit(3)
""",
        b"\xc3\xa4",
        ARGS="a=b",
    )
    assert answer == apache.OK and text == f"5 {tmp_path} a=b None \xe4\n" and request.content_type == "text/plain"
    assert os.getcwd() == here and "LEFT" not in os.environ and "beside" not in sys.modules and str(tmp_path) not in sys.path
    (tmp_path / "beside.py").write_text("VALUE = 678\n")
    assert run("import beside; print(beside.VALUE)")[2] == "678\n"


@pytest.mark.parametrize(
    ("head", "status", "headers", "body"),
    [
        (r"Status: 404 Not Found\nX-A: 1\nX-A: 2\n\nbody", 404, {"X-A": ["1", "2"]}, "body"),
        (r"A: b\r\n\r\n", 200, {"A": "b"}, "\n"),
        (r"Transfer-Encoding: chunked\nContent-Length: 1\nConnection: x\nA: b\n\nbody", 200, {"A": "b"}, "body"),
    ],
)
def test_heads_of_scripts(run, transaction, head, status, headers, body):
    from mod_python._server import numbers

    transaction.figures[numbers["NUMBER_STATUS"]] = 200
    _, request, text = run(f'print("{head}")', head="")
    assert request.status == status and text.rstrip("\n") == body.rstrip("\n")
    assert {name: request.headers_out[name] for name in request.headers_out} == headers


@pytest.mark.parametrize("script", ["", "print('no head')", "print('no colon\\n')", "print('Status: high\\n')", "print('A: ' + 'x' * 70000)"])
def test_scripts_without_a_head(run, script):
    with pytest.raises(ValueError, match="script"):
        run(script, head="")


def test_redirects_of_scripts(run, transaction):
    _, request, text = run('print("Location: http://x/\\n")', head="")
    assert request.status == 302 and request.err_headers_out["Location"] == "http://x/" and transaction.redirected is None
    _, request, text = run('print("Location: /local\\nX: 1\\n\\nlost")', head="")
    assert transaction.redirected == "/local" and text == ""


def test_a_script_that_raises(run, transaction):
    usual = sys.stdin, sys.stdout, os.environ
    with pytest.raises(KeyError):
        run('print("waits in a buffer"); raise KeyError("x")')
    assert (sys.stdin, sys.stdout, os.environ) == usual and not transaction.written
    assert run("print(1)")[2] == "1\n"


def test_no_script(make):
    assert cgihandler.handler(make(FILENAME="/no/such/file")) == 404
    assert cgihandler.handler(make(FILENAME=None)) == 404


def test_other_threads_keep_what_is_theirs(run, monkeypatch):
    """While a script runs, another thread sees neither its variables nor its output."""
    running, looked = threading.Event(), threading.Event()
    monkeypatch.setenv("USUAL", "1")
    seen = []

    def look():
        running.wait()
        seen.append((os.environ.get("QUERY_STRING"), os.environ["USUAL"], "QUERY_STRING" in os.environ.copy()))
        print("from elsewhere")
        looked.set()

    thread = threading.Thread(target=look)
    thread.start()
    monkeypatch.setattr(cgihandler, "test_events", (running, looked), raising=False)
    script = "from mod_python import cgihandler\nimport os\na, b = cgihandler.test_events\na.set()\nb.wait()\nprint(os.environ['QUERY_STRING'])"
    try:
        text = run(script, ARGS="q")[2]
    finally:
        running.set()
        thread.join()
    assert text == "q\n" and seen == [(None, "1", False)]


def test_one_script_at_a_time(make, tmp_path):
    path = tmp_path / "script.py"
    path.write_text('print("A: b\\n")\n')
    done = []
    with cgihandler._LOCK:
        thread = threading.Thread(target=lambda: done.append(cgihandler.handler(make(FILENAME=str(path)))))
        thread.start()
        thread.join(0.2)
        assert not done
    thread.join()
    assert done == [apache.OK]


def test_the_test_page(make, transaction):
    request = make(headers={"Authorization": "Basic c2VjcmV0", "Cookie": "id=secret", "X": "<b>"}, THE_REQUEST="GET /")
    assert testhandler.handler(request) == apache.OK
    page = b"".join(transaction.written).decode()
    assert "&lt;b&gt;" in page and "<b>" not in page and "secret" not in page and "c2VjcmV0" not in page


def test_configurations():
    assert httpdconf.quote_if_space("a b") == '"a b"' and httpdconf.quote_if_space("ab") == "ab"
    config = httpdconf.Container(
        httpdconf.Listen("8080"),
        None,
        httpdconf.Directory("/srv", httpdconf.SetHandler("mod_python"), httpdconf.IfModule("x.c", httpdconf.ProxyPass("/a http://b"))),
        httpdconf.Container(httpdconf.Timeout("1"), only_if="False"),
    )
    config.append(httpdconf.Comment("two\nlines"))
    assert str(config) == (
        "Listen 8080\n<Directory /srv>\n  SetHandler mod_python\n  <IfModule x.c>\n    ProxyPass /a http://b\n  </IfModule>\n</Directory>\n"
        "# two\n# lines\n"
    )
    for wrong in ("a\nb", "a\\", "a\0"):
        with pytest.raises(ValueError):
            httpdconf.Listen(wrong)
        with pytest.raises(ValueError):
            httpdconf.Directory(wrong)
    with pytest.raises(AttributeError):
        httpdconf.lower  # noqa: B018
    names = {}
    exec("from mod_python.httpdconf import *", names)
    assert "PythonHandler" in names and "VirtualHost" in names
