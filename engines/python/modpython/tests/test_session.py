# SPDX-License-Identifier: MIT OR Apache-2.0
"""Sessions: who finds which one again, for how long, and what of somebody else's is not believed."""

import gc
import os
import pickle
import resource
import subprocess
import sys
import threading
import time

import pytest

from mod_python import Session, _locks, _session, apache
from mod_python._request import Request

KINDS = ["DbmSession", "FileSession", "MemorySession"]


@pytest.fixture(params=KINDS)
def type_name(request):
    return request.param


@pytest.fixture
def ask(transaction, tmp_path):
    """Makes requests of one client: with the cookie of the response before, or with another identifier."""
    folder = tmp_path / "sessions"
    folder.mkdir(mode=0o700)
    made = type(transaction)

    def ask(cookie=None, name="FileSession", **options):
        request = Request(made())
        request._options = {"mod_python.session.database_directory": str(folder), "mod_python.session.session_type": name, **options}
        if isinstance(cookie, Request):
            cookie = cookie_of(cookie)
        if cookie:
            request.headers_in["Cookie"] = cookie if "=" in cookie else f"pysid={cookie}"
        return request

    ask.folder = folder
    return ask


def cookie_of(request):
    given = request.err_headers_out["Set-Cookie"]
    return (given[-1] if isinstance(given, list) else given).partition(";")[0]


def end(request):
    """As the dispatcher does after the last handler."""
    from mod_python import _dispatch

    _dispatch.end(request)


def begun(ask, name, value=1, **options):
    """A session that was saved, and the request that did."""
    request = ask(name=name, **options)
    session = Session.Session(request)
    session["value"] = value
    session.save()
    end(request)
    return request, session


def test_a_session_is_found_again(ask, type_name):
    first, session = begun(ask, type_name, {"any": ["value"]})
    assert session.is_new() == 1 and len(session.id()) == 32
    request = ask(first, type_name)
    again = Session.Session(request)
    assert again.is_new() == 0 and again.id() == session.id() and again["value"] == {"any": ["value"]}
    assert again.created() == session.created() and again.last_accessed() == session.last_accessed()
    assert "Set-Cookie" not in request.err_headers_out


def test_what_is_not_saved_is_not_kept(ask, type_name):
    first, _ = begun(ask, type_name)
    request = ask(first, type_name)
    Session.Session(request)["value"] = 2
    end(request)
    assert Session.Session(ask(first, type_name))["value"] == 1


def test_identifiers_are_not_taken_up(ask, type_name):
    """Somebody who gives a victim an identifier does not know the one of its session."""
    for foreign in ("0" * 32, "a" * 31, "A" * 32, "../" * 10 + "aa", "%2e" * 10 + "aa", "\u0661" * 32, "0" * 33, ""):
        request = ask(f"pysid={foreign}", type_name)
        session = Session.Session(request)
        assert session.is_new() == 1 and session.id() != foreign and session.id() in request.err_headers_out["Set-Cookie"]
    with pytest.raises(ValueError, match="Invalid Session ID"):
        Session.Session(ask(name=type_name), sid="../" * 10 + "aa")
    assert Session.Session(ask(name=type_name), sid="1" * 32).id() != "1" * 32


def test_an_identifier_may_be_given(ask, type_name):
    _, session = begun(ask, type_name)
    assert Session.Session(ask(name=type_name), sid=session.id())["value"] == 1


def test_a_session_ends_after_its_time(ask, type_name, monkeypatch):
    first, session = begun(ask, type_name)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1800 - 2)
    request = ask(first, type_name)
    assert not Session.Session(request).is_new(), "not yet, and not saved"
    end(request)
    monkeypatch.setattr(time, "time", lambda: now + 1800 + 2)
    late = Session.Session(ask(first, type_name))
    assert late.is_new() and not late and late.id() != session.id()
    monkeypatch.setattr(time, "time", lambda: now)
    assert Session.Session(ask(first, type_name)).is_new(), "it was taken away"


def test_times_of_its_own(ask, type_name, monkeypatch):
    now = time.time()
    first = ask(name=type_name)
    session = Session.Session(first, timeout=10)
    assert session.timeout() == 10
    session.set_timeout(100)
    session.save()
    end(first)
    monkeypatch.setattr(time, "time", lambda: now + 90)
    request = ask(first, type_name)
    again = Session.Session(request, timeout=10)
    assert not again.is_new() and again.timeout() == 100
    again.save()
    end(request)
    monkeypatch.setattr(time, "time", lambda: now + 180)
    assert not Session.Session(ask(first, type_name)).is_new(), "save() has begun its time anew"


def test_an_ended_session(ask, type_name):
    first, _ = begun(ask, type_name)
    request = ask(first, type_name)
    session = Session.Session(request)
    session.invalidate()
    session["value"] = 2
    session.save()
    end(request)
    assert "expires=Thu, 01 Jan 1970" in request.err_headers_out["Set-Cookie"]
    assert Session.Session(ask(first, type_name)).is_new()


def test_the_cookie(ask, transaction):
    request = ask(**{"mod_python.session.cookie_name": "own", "mod_python.session.application_domain": "example.org"})
    request._transaction.texts[type(request)._document_root.number] = "/srv/www"
    request._transaction.figures[type(request)._is_https.number] = 1
    request._directory = "/srv/www/shop/"
    given = str(Session.Session(request).make_cookie())
    assert given.startswith("own=") and given.endswith("; path=/shop; domain=example.org; secure; HttpOnly; SameSite=Lax")
    request._options["mod_python.session.application_path"] = "/other"
    assert "; path=/other;" in str(Session.Session(request).make_cookie())
    request = ask()
    assert "; path=/;" in str(Session.Session(request).make_cookie())
    request._transaction.texts[type(request)._document_root.number] = "/srv/www"
    for outside in ("/srv/www2/shop", "/srv/www/a;b", "/srv"):
        request._directory = outside
        assert "; path=/;" in str(Session.Session(request).make_cookie()), outside


def test_signed_identifiers(ask):
    request = ask()
    session = Session.Session(request, secret="a secret")
    session.save()
    end(request)
    again = ask(request)
    assert not Session.Session(again, secret="a secret").is_new()
    end(again)
    assert Session.Session(ask(request), secret="another").is_new()
    assert Session.Session(ask(f"pysid={session.id()}"), secret="a secret").is_new()


def test_a_type_that_is_none(ask):
    with pytest.raises(ValueError, match="session_type must be one of"):
        Session.Session(ask(name="os.system"))
    with pytest.raises(ValueError, match="number of seconds"):
        Session.Session(ask(**{"mod_python.session.lock_timeout": "soon"}))


# ---- what others have written ----


def file_of(ask, session):
    return ask.folder / session.id()[:2] / session.id()


class Evil:
    """Leaves a trace when it is unpickled."""

    seen = []

    def __reduce__(self):
        return (Evil.seen.append, (1,))


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"\x80\x05", pickle.dumps([1]), pickle.dumps({"_data": 1, "_created": 1, "_accessed": 1, "_timeout": 1}),
     pickle.dumps({"_data": {}, "_created": "x", "_accessed": None, "_timeout": 1}), b"cnosuchmodule\nthing\n."],
)  # fmt: skip
def test_corrupt_files_are_no_sessions(ask, content):
    first, session = begun(ask, "FileSession")
    file_of(ask, session).write_bytes(content)
    request = ask(first)
    assert Session.Session(request).is_new()
    assert any("is no session that can be read" in line for _, line in request._transaction.lines)


def test_files_of_others_are_not_believed(ask, monkeypatch, tmp_path):
    first, session = begun(ask, "FileSession")
    path = file_of(ask, session)
    hostile = pickle.dumps({"_data": {}, "_created": 1, "_accessed": Evil(), "_timeout": 1})

    def refused():
        request = ask(first)
        assert Session.Session(request).is_new()
        assert any("is refused" in line for _, line in request._transaction.lines)
        end(request)

    path.write_bytes(hostile)
    path.chmod(0o666)
    refused()
    path.unlink()
    other = tmp_path / "other"
    other.write_bytes(hostile)
    path.symlink_to(other)
    refused()
    path.unlink()
    os.mkfifo(path)
    refused()
    path.unlink()
    path.write_bytes(hostile)
    path.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
        refused()
    assert not Evil.seen


@pytest.mark.parametrize("name", ["DbmSession", "FileSession"])
def test_folders_of_others_are_refused(ask, name, tmp_path):
    ask.folder.chmod(0o777)
    with pytest.raises(_locks.Refused, match="written to by everybody"):
        Session.Session(ask(name=name))
    ask.folder.chmod(0o1777)
    with pytest.raises(_locks.Refused, match="written to by everybody"):
        Session.Session(ask(name=name))
    ask.folder.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(ask.folder, 12345, 12345)
        with pytest.raises(_locks.Refused, match="belongs to user 12345"):
            Session.Session(ask(name=name))


def test_the_folder_without_options(ask, monkeypatch, tmp_path):
    monkeypatch.setattr(_locks.tempfile, "gettempdir", lambda: str(tmp_path))
    request = ask()
    request._options = {}
    Session.Session(request).save()
    own = tmp_path / f"mp_sess-{os.geteuid()}"
    assert own.stat().st_mode & 0o777 == 0o700
    own.rename(tmp_path / "elsewhere")
    own.symlink_to(tmp_path / "elsewhere")
    request = ask()
    request._options = {}
    with pytest.raises(_locks.Refused, match="is no folder"):
        Session.Session(request)


def test_databases_of_others_are_refused(ask, tmp_path):
    first, _ = begun(ask, "DbmSession")
    for file in ask.folder.glob("mp_sess.dbm*"):
        file.chmod(0o666)
    with pytest.raises(_locks.Refused):
        Session.Session(ask(first, "DbmSession"))


def test_corrupt_entries_of_a_database(ask):
    first, session = begun(ask, "DbmSession")
    with session._open() as base:
        base[session.id()] = b"garbage"
    assert Session.Session(ask(first, "DbmSession")).is_new()


# ---- cleanup ----


def test_cleanup_takes_away_what_is_over_and_nothing_else(ask, type_name, monkeypatch):
    now = time.time()
    old, _ = begun(ask, type_name)
    monkeypatch.setattr(time, "time", lambda: now + 1700)
    young, _ = begun(ask, type_name)
    monkeypatch.setattr(time, "time", lambda: now + 1900)
    request = ask(name=type_name)
    if type_name == "FileSession":
        os.utime(file_of(ask, Session.Session(ask(young))), (now + 1700, now + 1700))
    options = {"grace_period": 0} if type_name == "FileSession" else {}
    session = getattr(Session, type_name)(request, **options)
    session.cleanup()
    end(request)
    monkeypatch.setattr(time, "time", lambda: now)
    assert Session.Session(ask(old, type_name)).is_new()
    assert not Session.Session(ask(young, type_name)).is_new()


@pytest.mark.parametrize("kind", ["dbm.dumb", "dbm.gnu", "dbm.ndbm"])
def test_a_session_for_which_there_is_no_room_is_not_said_to_be_kept(ask, kind, capfd):
    """As with a full disk. Not every database tells its caller."""
    database = pytest.importorskip(kind, exc_type=ImportError)
    request = ask()
    session = Session.DbmSession(request, dbmtype=database)
    session["n"] = "small"
    session.save()
    session["n"] = os.urandom(200_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limits[1]))
    try:
        with pytest.raises(OSError):
            session.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    session["n"] = "small again"
    session.save()
    end(request)
    assert Session.DbmSession(ask(request), dbmtype=database)["n"] == "small again"
    capfd.readouterr()


def clean(ask, **options):
    request = ask()
    Session.FileSession(request, **options).cleanup()
    end(request)


def aged(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def test_rules_of_cleaning_files(ask, monkeypatch):
    request = ask()
    session = Session.FileSession(request, timeout=4000)
    session.save()
    end(request)
    path = file_of(ask, session)
    aged(path, 3000)
    clean(ask)
    assert path.exists(), "its own time is longer than that of the cleaner"
    clean(ask, verify_cleanup=0, timeout=5000)
    assert path.exists(), "the file is younger than the cleaner's time"
    clean(ask, verify_cleanup=0, grace_period=2000)
    assert path.exists(), "the grace period is not over"
    clean(ask, verify_cleanup=0)
    assert not path.exists()


def test_without_fast_cleanup_every_file_is_opened(ask):
    first, session = begun(ask, "FileSession")
    path = file_of(ask, session)
    path.write_bytes(b"garbage")
    clean(ask)
    assert path.exists(), "young files are not opened"
    clean(ask, fast_cleanup=0)
    assert not path.exists()


def test_cleanup_leaves_sessions_in_use_and_files_that_are_none(ask):
    request = ask()
    used = Session.FileSession(request)
    used.save()
    aged(file_of(ask, used), 10**6)
    (ask.folder / used.id()[:2] / "README").write_text("mine")
    half = ask.folder / used.id()[:2] / (used.id() + ".12345678")
    half.write_text("half")
    clean(ask, verify_cleanup=0)
    assert file_of(ask, used).exists() and half.exists()
    end(request)
    aged(half, 10**6)
    clean(ask, verify_cleanup=0)
    assert not file_of(ask, used).exists() and not half.exists()
    assert (ask.folder / used.id()[:2] / "README").exists()


def test_cleanup_has_a_time_limit(ask):
    _, session = begun(ask, "FileSession")
    aged(file_of(ask, session), 10**6)
    request = ask(**{"mod_python.file_session.cleanup_time_limit": "-1"})
    Session.FileSession(request, verify_cleanup=0).cleanup()
    end(request)
    assert file_of(ask, session).exists()


def test_requests_clean_up_by_chance(ask, monkeypatch):
    _, session = begun(ask, "FileSession")
    aged(file_of(ask, session), 10**6)
    monkeypatch.setattr(_session.random, "randrange", lambda count: 0)
    request = ask(**{"mod_python.file_session.verify_session_timeout": "off"})
    Session.FileSession(request)
    end(request)
    assert not file_of(ask, session).exists()


# ---- locks ----


def test_a_second_request_waits_and_gives_up(ask, type_name):
    first, _ = begun(ask, type_name)
    holder = ask(first, type_name)
    Session.Session(holder)
    waiting = ask(first, type_name, **{"mod_python.session.lock_timeout": "0.1"})
    with pytest.raises(apache.SERVER_RETURN) as raised:
        Session.Session(waiting)
    assert raised.value.args == (503,)
    assert any("keeps this session for too long" in line for _, line in waiting._transaction.lines)
    end(holder)
    Session.Session(waiting)


def test_locks_are_given_back(ask, type_name):
    first, _ = begun(ask, type_name)
    impatient = {"mod_python.session.lock_timeout": "0"}
    request = ask(first, type_name, **impatient)
    session = Session.Session(request)
    session.unlock()
    other = ask(first, type_name, **impatient)
    Session.Session(other)
    end(other)
    session.lock()
    # A request that keeps its session is no circle: its end is the end of the lock, without a collection.
    request.session = session
    gc.disable()
    try:
        del request, session
        Session.Session(ask(first, type_name, **impatient))
    finally:
        gc.enable()


def test_without_locks(ask, type_name):
    first, _ = begun(ask, type_name)
    holder = ask(first, type_name)
    Session.Session(holder)
    assert not Session.Session(ask(first, type_name), lock=0).is_new()


def test_one_request_may_ask_twice(ask, type_name):
    """mod_python would wait for ever."""
    first, _ = begun(ask, type_name)
    request = ask(first, type_name, **{"mod_python.session.lock_timeout": "0"})
    one, two = Session.Session(request), Session.Session(request)
    one.unlock()
    with pytest.raises(apache.SERVER_RETURN):
        Session.Session(ask(first, type_name, **{"mod_python.session.lock_timeout": "0"}))
    two.unlock()
    Session.Session(ask(first, type_name, **{"mod_python.session.lock_timeout": "0"}))


def test_threads_do_not_lose_what_others_have_saved(ask, type_name):
    first, _ = begun(ask, type_name, 0)

    def work():
        for _ in range(25):
            request = ask(first, type_name)
            session = Session.Session(request)
            session["value"] += 1
            session.save()
            end(request)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Session.Session(ask(first, type_name))["value"] == 100


PROCESS = """
import sys
sys.path.insert(0, sys.argv[1])
import conftest
from mod_python import Session, _dispatch
from mod_python._request import Request
for _ in range(40):
    request = Request(conftest.Transaction())
    request._options = {"mod_python.session.database_directory": sys.argv[2], "mod_python.session.session_type": sys.argv[3]}
    request.headers_in["Cookie"] = "pysid=" + sys.argv[4]
    session = Session.Session(request)
    session["value"] += 1
    session.save()
    _dispatch.end(request)
"""


@pytest.mark.parametrize("name", ["DbmSession", "FileSession"])
def test_processes_do_not_lose_what_others_have_saved(ask, name):
    first, session = begun(ask, name, 0)
    words = [sys.executable, "-c", PROCESS, os.path.dirname(__file__), str(ask.folder), name, session.id()]
    processes = [subprocess.Popen(words) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert Session.Session(ask(first, name))["value"] == 80


def test_a_process_that_is_killed_keeps_no_lock(ask):
    first, session = begun(ask, "FileSession")
    code = PROCESS.replace("_dispatch.end(request)", "print('held', flush=True); __import__('time').sleep(60)")
    words = [sys.executable, "-c", code, os.path.dirname(__file__), str(ask.folder), "FileSession", session.id()]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(apache.SERVER_RETURN):
            Session.Session(ask(first, **{"mod_python.session.lock_timeout": "0"}))
        process.kill()
    assert not Session.Session(ask(first)).is_new()
