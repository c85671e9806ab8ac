# SPDX-License-Identifier: MIT OR Apache-2.0
"""gangway_python_handler and GangwayPythonHandler: the same words, and the same requests, in both servers."""

import base64
import json
import shutil

import pytest

from harness import places
from harness.wire import Truncated

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")


def configure(site, kind):
    folder, files = site.apps / "handlers", str(site.apps / "served")
    where = f"root={folder}"
    site.handlers = (
        f"post_read_request hello {where}",
        f"trans hello {where} option=outer=everywhere option=both=outer",
        f"fixup hello::trace_ok {where}",
    )
    site.location("/hello", handlers=(f"hello {where}",))
    site.location("/app/hello", handlers=(f"hello {where}",))
    site.location("/echo", handlers=(f"content hello::echo {where}",))
    site.location("/returns", handlers=(f"hello::returns {where}",))
    site.location("/debug", handlers=(f"hello::returns {where} debug=on",))
    site.location("/redirects", handlers=(f"hello::redirects {where}",))
    site.location("/chain", handlers=(f"hello::trace_ok hello::trace_ok {where}", f"hello::facts {where}"))
    site.location(
        "/app/facts",
        handlers=(
            f"hello::facts {where}",
            f'init hello {where} option=both=inner "option=place=with blanks" interpreter=named',
            f"header_parser hello {where}",
            f"access hello {where}",
            f"fixup hello hello::trace_declined {where}",
        ),
    )
    site.location("/quiet", handlers=(f"hello::facts {where}", "fixup off"))
    site.location("/silent", handlers=("off", f"hello::facts {where}"))
    site.static("/files/", files, handlers=(f"access guard {where} option=who=guard",))
    private = (f'authen guard {where} "realm=the vault"', f"authz guard {where}")
    site.static("/private/", files, handlers=private)
    site.static("/asked/", files, handlers=(f"authz guard {where}",))
    site.static("/nameless/", files, handlers=(f"authen hello::trace_ok {where}",))
    site.static("/undecided/", files, handlers=(f"authen guard::declines {where} realm=x",))
    site.static("/unallowed/", files, handlers=(f'authen guard {where} "realm=the vault"', f"authz guard::declines {where}"))
    site.static("/missing/", files, handlers=(f"access none_such {where}",))
    site.static("/typed/", str(folder) + "/", handlers=(f'"hello | .py" {where}',))
    site.wsgi("/wsgi", "pep3333:env_app" if kind.startswith("apache") else "pep3333:app")
    site.locations[-1].handlers = private


def facts(response):
    assert response.status == 200, response.body
    return json.loads(response.body)


def credentials(user, realm="the vault"):
    text = f"{user}:secret of {user} in {realm}"
    return [("Authorization", "Basic " + base64.b64encode(text.encode()).decode())]


@pytest.mark.parametrize("path", ["/hello", "/hello/below/it"])
def test_content_needs_no_other_word(server, path):
    for _ in range(3):
        response = server.get(path)
        assert (response.status, response.body) == (200, b"Hello from mod_python\n")


def test_a_body(server):
    assert server.post("/echo", b"0123456789" * 7000).body == b"0123456789" * 7000


def test_facts(server):
    seen = facts(server.get("/app/facts/more?a=b", headers=[("X-Early", "early")]))
    assert (seen["phase"], seen["interpreter"], seen["uri"]) == ("PythonHandler", "named", "/app/facts/more")
    assert seen["options"] == {"outer": "everywhere", "both": "inner", "place": "with blanks"}
    assert seen["notes"]["early"] == "early"
    assert seen["trail"] == [
        "ok PythonInitHandler",
        "declined PythonHeaderParserHandler",
        "declined PythonAccessHandler",
        "ok PythonFixupHandler",
        "declined PythonFixupHandler",
    ]


def test_a_path_is_another_one_before_the_place_is_known(server):
    seen = facts(server.get("/translated"))
    assert (seen["notes"]["translated"], seen["uri"]) == ("yes", "/app/facts")


def test_several_directives_of_one_phase_run_in_order(server):
    assert facts(server.get("/chain"))["trail"] == ["ok PythonFixupHandler", "ok PythonHandler", "ok PythonHandler"]


def test_off_ends_a_phase_or_all(server):
    assert facts(server.get("/quiet"))["trail"] == []
    assert facts(server.get("/silent"))["trail"] == []


@pytest.mark.parametrize(("query", "status"), [("status=404", 404), ("raise=403", 403), ("both=409", 409)])
def test_what_a_handler_returns(server, query, status):
    assert server.get("/returns?" + query).status == status


@pytest.mark.parametrize("query", ["none", "bool", "error"])
def test_what_is_no_answer_is_500(server, query):
    assert server.get("/returns?" + query).status == 500
    server.log.expect("GW0319")
    shown = server.get("/debug?" + query)
    assert shown.status == 500 and b"because of PythonDebug On" in shown.body
    server.log.expect("GW0319")


@pytest.mark.parametrize("number", [1, 100, 101, 199, 600])
def test_a_number_that_is_no_status_is_500(server, number):
    assert server.get(f"/returns?status={number}").status == 500
    server.log.expect(f"GW0207 a phase answered {number}, which is no status")


def test_another_path_answers(server):
    assert server.get("/redirects").body == b"Hello from mod_python\n"


def test_a_check_before_files(server):
    response = server.get("/files/README")
    assert (response.status, response.header("X-Checked")) == (200, "guard")
    for status in (403, 404, 503):
        assert server.get("/files/README", headers=[("X-Let-In", str(status))]).status == status
    assert server.get("/files/README", headers=[("X-Let-In", "error")]).status == 500
    server.log.expect("GW0319")


def test_a_check_that_is_not_there_lets_nobody_in(server):
    assert server.get("/missing/README").status == 500
    server.log.expect("GW0319")


def test_a_realm_asks_for_a_password(server):
    asked = server.get("/private/README")
    assert (asked.status, asked.all("www-authenticate")) == (401, ['Basic realm="the vault"'])
    assert server.get("/private/README", headers=credentials("ada", "another")).status == 401
    assert server.get("/private/README", headers=credentials("eve")).status == 403
    assert server.get("/private/README", headers=credentials("ada")).status == 200
    assert server.get("/private/README", headers=[("X-Let-In", "error"), *credentials("ada")]).status == 500
    server.log.expect("GW0319")


def test_applications_know_the_user(server):
    assert server.get("/wsgi/env").status == 401
    response = server.get("/wsgi/env", headers=credentials("ada"))
    assert response.status == 200 and b"ada" in response.body


def test_who_is_not_known_may_be_asked_for_alone(server):
    assert server.get("/asked/README").status == 403
    assert server.get("/nameless/README").status == 200


def test_who_declines_lets_nobody_in(server):
    response = server.get("/undecided/README")
    assert (response.status, response.header("www-authenticate")) == (401, 'Basic realm="x"')
    server.log.expect("GW0510 .*authen")
    assert server.get("/unallowed/README", headers=credentials("ada")).status == 403
    server.log.expect("GW0510 .*authz")


def test_files_by_their_suffix(server):
    assert server.get("/typed/hello.py").body == b"Hello from mod_python\n"
    assert server.get("/typed/passwords").body.startswith(b"eve:")


START = """
import os, sys
STARTED = []
def warm():
    STARTED.append(os.getpid())
    print("warmed in a process")
def handler(req):
    import from_the_path
    req.write(f"{len(STARTED)} {from_the_path.WORD} {__debug__} {sys.flags.optimize}")
    return 0
"""


@pytest.mark.parametrize("processes", ["", "processes=1"], ids=["server", "processes"])
def test_what_a_process_begins_with(launch, scratch, kind, processes):
    folder = scratch / "begins"
    (folder / "lib").mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "start.py").write_text(START)
    (folder / "lib" / "from_the_path.py").write_text("WORD = 'found'")
    words = f'"path=sys.path + [\'{folder}/lib\']" "import={folder}/start.py::warm main" "import=no_such_module_anywhere main" env=PYTHONOPTIMIZE=1'
    server = launch(lambda site: site.location("/start", handlers=(f"start root={folder} interpreter=main {words} {processes}",)))
    assert server.get("/start").text == "1 found False 1"
    server.log.expect("warmed in a process")
    server.log.expect('GW0319 PythonImport "no_such_module_anywhere main" raised ModuleNotFoundError')
    server.log.allow("GW0319|Traceback|ModuleNotFoundError")


BESIDE = """
import sys

def application(environ, start_response):
    start_response("200 OK", [])
    return [str(sys.flags.optimize).encode()]
"""


def test_what_python_reads_when_it_starts_is_told_before_other_applications(launch, scratch):
    folder = scratch / "first"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "beside.py").write_text(BESIDE)

    def configure(site):
        site.wsgi("/beside", "beside:application", root=folder)
        site.location("/handled", handlers=(f"fixup beside::no root={folder} env=PYTHONOPTIMIZE=1",))

    assert launch(configure).get("/beside").text == "1"


@pytest.mark.parametrize("how", ["word", "file"])
def test_an_application_says_how_python_starts_where_handlers_do_not(launch, scratch, how):
    folder = scratch / "first"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "beside.py").write_text(BESIDE)

    def configure(site):
        (folder / "variables").write_text("PYTHONOPTIMIZE=1\n")
        said = {"env": ["PYTHONOPTIMIZE=1"]} if how == "word" else {"env_file": folder / "variables"}
        site.wsgi("/beside", "beside:application", root=folder, **said)
        site.location("/handled", handlers=(f"fixup beside::no root={folder}",))

    assert launch(configure).get("/beside").text == "1"


PROMISES = """
from mod_python import Session, apache

def handler(req):
    table, _, value = (req.args or "").partition("=")
    if table:
        # Locked until the end of the request.
        Session.Session(req, sid="0" * 32)
    if table == "call":
        req.set_content_length(int(value))
    elif table:
        getattr(req, table)["Content-Length"] = value
    for table in (req.headers_out, req.err_headers_out):
        table["Content-Encoding"], table["ETag"], table["X-Kept"] = "gzip", '"1"', "1"
        table["Cache-Control"], table["Content-Disposition"] = "max-age=60", "attachment"
    req.content_type, req.content_encoding, req.status_line = "image/png", "gzip", "200 Fine"
    raise ValueError("on purpose, \u20ac")
"""


@pytest.mark.parametrize("processes", ["", " processes=1"], ids=["server", "processes"])
def test_a_page_of_debug_says_nothing_of_the_document_that_there_was_to_be(launch, scratch, processes):
    folder, sessions = scratch / "debug", scratch / "sessions"
    folder.mkdir()
    folder.chmod(0o755)
    sessions.mkdir(mode=0o700)
    if places.AS_ROOT:
        shutil.chown(sessions, places.WORKER_USER)
    (folder / "promises.py").write_text(PROMISES, encoding="utf-8")
    words = f"promises root={folder} debug=on option=mod_python.session.database_directory={sessions}{processes}"
    server = launch(lambda site: site.location("/x", handlers=(words,)))
    # A session that is still locked would have the next one wait.
    for query in ("", "?call=3", "?call=100000", "?headers_out=3", "?err_headers_out=100000", "?headers_out=many", "?headers_out=3"):
        response = server.get("/x" + query)
        assert (response.status, response.reason, response.header("content-type")) == (500, "Internal Server Error", "text/html; charset=utf-8"), query
        assert "on purpose, \u20ac" in response.text and response.body.endswith(b"because of PythonDebug On.</p>\n"), query
        assert response.all("content-length") == [str(len(response.body))] and set(response.all("x-kept")) == {"1"}, query
        for name in ("content-encoding", "etag", "cache-control", "content-disposition"):
            assert response.all(name) == [], (query, name)
    server.log.expect("GW0319")


LOCKS = """
import _apache
from mod_python import apache

def handler(req):
    _apache._global_lock(req.server, "a name")
    try:
        taken = _apache._global_trylock(req.server, "another name")
        _apache._global_unlock(req.server, "another name")
    finally:
        _apache._global_unlock(req.server, "a name")
    req.write(f"{taken} {_apache.SERVER_RETURN is apache.SERVER_RETURN} {_apache.table({'A': 'b'})['a']}")
    return 0
"""


@pytest.mark.parametrize("processes", ["", " processes=1"], ids=["server", "processes"])
def test_the_c_module_of_mod_python(launch, scratch, processes):
    folder = scratch / "locks"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "takes.py").write_text(LOCKS)
    server = launch(lambda site: site.location("/x", handlers=(f"takes root={folder}{processes}",)), warm=["/x"])
    assert server.get("/x").text == "1 True b"


LINES = """
def handler(req):
    first, _, last = req.args.partition("-")
    for part in (first, last):
        if part == "line":
            req.status_line = "299 Words of its own"
        elif part:
            req.status = int(part)
    req.write("x")
    return 0
"""


@pytest.mark.parametrize("processes", ["", " processes=1"], ids=["server", "processes"])
def test_the_words_of_a_status_are_of_that_status(launch, scratch, processes):
    folder = scratch / "lines"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "lines.py").write_text(LINES)
    server = launch(lambda site: site.location("/x", handlers=(f"lines root={folder}{processes}",)))
    for query in ("299-line", "line-299"):
        response = server.get(f"/x?{query}")
        assert (response.status, response.reason) == (299, "Words of its own"), query
    response = server.get("/x?line-404")
    assert (response.status, response.reason) == (404, "Not Found")


SUFFIXES = """
def handler(req):
    req.write(f"{req.extension!r}")
    return 0

def page(req):
    return f"a page {req.extension}"
"""


@pytest.mark.parametrize("processes", ["", " processes=1"], ids=["server", "processes"])
def test_handlers_know_the_suffix_that_they_are_for(launch, scratch, processes):
    folder = scratch / "suffixes"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "suffixes.py").write_text(SUFFIXES)

    def configure(site):
        # In processes of their own one line is all that a place has.
        others = (f"suffixes root={folder}",) if not processes else ()
        site.static("/x/", folder, handlers=(f'"suffixes | .htm" root={folder}{processes}', *others))
        site.static("/all/", folder, handlers=(f"suffixes root={folder}{processes}",))
        site.static("/pages/", folder, handlers=(f'"mod_python.publisher | .htm" root={folder}{processes}',))

    server = launch(configure)
    assert server.get("/x/suffixes.htm").text == "'.htm'"
    for path in ("/all/suffixes.htm", "/all/suffixes") + (("/x/suffixes.txt", "/x/suffixes") if not processes else ()):
        assert server.get(path).text == "None", path
    assert server.get("/pages/suffixes.htm/page").text == "a page .htm"


BEGUN = """
def handler(req):
    req.content_type = "text/html"
    if req.args == "promised":
        req.set_content_length(20)
    if req.args == "flushed":
        req.write("x" * 100000)
        req.flush()
    req.write("<p>begun</p>")
    raise ValueError("late, on purpose")
"""


@pytest.mark.parametrize("processes", ["", " processes=1"], ids=["server", "processes"])
def test_debug_shows_what_goes_wrong_behind_the_beginning_of_a_response(launch, scratch, processes):
    folder = scratch / "begun"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "begun.py").write_text(BEGUN)

    def configure(site):
        site.location("/debug", handlers=(f"begun root={folder} debug=on{processes}",))

    server = launch(configure)
    for query in ("", "?flushed"):
        response = server.get("/debug" + query)
        assert response.complete and response.status in (200, 500), query
        assert response.text.lstrip("x").startswith("<p>begun</p>\n<h1>PythonHandler begun failed</h1>"), query
        assert "late, on purpose" in response.text and response.body.endswith(b"because of PythonDebug On.</p>\n"), query
    # What was promised is not broken: there are so many bytes, or the client sees that some are missing.
    try:
        response = server.get("/debug?promised")
        assert not response.complete or len(response.body) in (20, int(response.header("content-length")))
    except (ConnectionError, Truncated) as error:
        assert b"on purpose" not in getattr(error, "response", response).body
    server.log.expect("GW0319")
    server.log.allow("GW0503|GW0504|GW0703|prematurely")


ANNOUNCED = """
def handler(req):
    how, _, kind = req.args.partition("-")
    if how == "call":
        req.set_content_length(100020)
    else:
        getattr(req, how)["Content-Length"] = "100020"
    if kind == "small":
        req.write("x" * 5, 0)
    else:
        req.write("x" * 100000)
        req.flush()
    if kind == "cleared":
        req.headers_out.clear()
    raise ValueError("late, on purpose")
"""


@pytest.mark.parametrize("processes", ["", " processes=1"], ids=["server", "processes"])
def test_no_traceback_fills_a_length_that_was_announced(launch, scratch, processes):
    """A client takes so many bytes for the whole response, whatever they are."""
    folder = scratch / "announced"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "announced.py").write_text(ANNOUNCED)
    server = launch(lambda site: site.location("/debug", handlers=(f"announced root={folder} debug=on{processes}",)))
    for how in ("call", "headers_out", "err_headers_out"):
        for kind in ("", "cleared"):
            with pytest.raises(Truncated) as cut:
                server.get(f"/debug?{how}-{kind}")
            body = cut.value.response.body
            assert cut.value.response.status == 200 and body == b"x" * len(body), (how, kind)
        # Nothing has left: the page of the error stands in its place, or behind it.
        response = server.get(f"/debug?{how}-small")
        assert (response.status, response.complete) == (500, True), how
        assert response.header("content-length") in (None, str(len(response.body))), how
        assert b"xxx" not in response.body or b"on purpose" in response.body, how
    server.log.expect("GW0319")
    server.log.allow("GW0503|GW0504|GW0703|prematurely|GW0209")


PARTS = """
def handler(req):
    req.content_type = "text/plain"
    for flush in req.args or "":
        req.write("part", int(flush))
    return 0
"""


@pytest.mark.parametrize("processes", ["", " processes=1"], ids=["server", "processes"])
def test_a_response_of_which_nothing_has_left_has_its_length(launch, scratch, processes):
    """What is flushed may have left."""
    folder = scratch / "parts"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "parts.py").write_text(PARTS)
    server = launch(lambda site: site.location("/x", handlers=(f"parts root={folder}{processes}",)))
    for query in ("", "0", "00"):
        response = server.get(f"/x?{query}")
        assert (response.text, response.all("content-length")) == ("part" * len(query), [str(4 * len(query))]), query
        with server.connect() as client:
            client.request("HEAD", f"/x?{query}")
            assert client.response("HEAD").status == 200
