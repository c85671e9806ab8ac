# SPDX-License-Identifier: MIT OR Apache-2.0
"""Sessions: what a server remembers of a client from one request to the next.

`Session(req)` is a dictionary that its client finds again by an identifier in a cookie. What a handler has put there is kept when it calls
`save()`. Unless `lock=0`, a session is locked from when it is made until `unlock()` or the end of the request, so requests of one client
run one after the other.
"""

import contextlib
import dbm as databases
import errno
import os
import random
import re
import secrets
import tempfile
import time

from mod_python import _locks, _session, apache
from mod_python._session import (
    COOKIE_NAME,
    DFT_LOCK,
    DFT_TIMEOUT,
    IDENTIFIER,
    LARGEST,
    BaseSession,
    file_option,
    folder,
    is_over,
    number,
    option,
    pack,
    switch,
    unpack,
)

__all__ = ["COOKIE_NAME", "DFT_LOCK", "DFT_TIMEOUT", "BaseSession", "DbmSession", "FileSession", "MemorySession", "Session"]


#: Bytes by which a database may grow beside what is put into it.
_SPARE = 64 * 1024


class MemorySession(BaseSession):
    """A session in this process's memory: for servers with one process. Others do not know it, and it ends with a restart."""

    _kept = {}

    def __init__(self, req, sid=0, secret=None, timeout=0, lock=1):
        super().__init__(req, sid=sid, secret=secret, timeout=timeout, lock=lock)

    def _make_lock(self):
        sid = self._sid
        return ("memory", sid), lambda: _locks.MemoryLock(sid)

    def do_load(self):
        return self._kept.get(self._sid)

    def do_save(self, dict):
        self._kept[self._sid] = dict

    def do_delete(self):
        self._kept.pop(self._sid, None)

    def do_cleanup(self):
        now = time.time()
        for sid, state in list(self._kept.items()):
            if is_over(state, now):
                self._kept.pop(sid, None)


class FileSession(BaseSession):
    """A session in a file of its own, for all processes of a server.

    Files lie in PythonOption mod_python.file_session.database_directory, else mod_python.session.database_directory, else in a folder of the
    server's user in that for temporary files. A folder that everybody may write to is refused (OSError), and so is a file of another user:
    a session is code for who can write it.

    `fast_cleanup` (default: PythonOption mod_python.file_session.enable_fast_cleanup, on): files are judged by when they were written, and
    only old ones are opened. `verify_cleanup` (mod_python.file_session.verify_session_timeout, on): whether those are opened; without it
    timeout() is taken for theirs. `grace_period` (mod_python.file_session.cleanup_grace_period, 240) are seconds for which a session that is
    over stays, mod_python.file_session.cleanup_time_limit (2) seconds that one cleanup may take.
    """

    def __init__(self, req, sid=0, secret=None, timeout=0, lock=1, fast_cleanup=-1, verify_cleanup=-1, grace_period=-1):
        prefix = "mod_python.file_session."
        self._fast, self._verify = fast_cleanup, verify_cleanup
        if fast_cleanup == -1:
            self._fast = switch(option(req, prefix + "enable_fast_cleanup", "session_fast_cleanup", default="1"))
        if verify_cleanup == -1:
            self._verify = switch(option(req, prefix + "verify_session_timeout", "session_verify_cleanup", default="1"))
        self._grace = number(req, prefix + "cleanup_grace_period", 240, ("session_grace_period",)) if grace_period == -1 else grace_period
        self._limit = number(req, prefix + "cleanup_time_limit", 2, ("session_cleanup_time_limit",))
        self._directory = folder(req, "file")
        super().__init__(req, sid=sid, secret=secret, timeout=timeout, lock=lock)

    def _file(self, sid):
        # Below 256 folders, since some file systems are slow with large ones. The identifier was looked at: digits.
        return os.path.join(self._directory, sid[:2], sid)

    def _make_lock(self):
        directory, sid = self._directory, self._sid
        return (directory, sid), lambda: _locks.FileLock(directory, sid)

    def _read(self, sid):
        path = self._file(sid)
        try:
            opened = _locks.open_own(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._req.log_error(f"Session: {path} is refused: {error}", apache.APLOG_WARNING)
            return None
        with open(opened, "rb") as file:
            data = file.read(LARGEST + 1)
        return unpack(self._req, data, path)

    def do_load(self):
        return self._read(self._sid)

    def do_save(self, dict):
        path, data = self._file(self._sid), pack(dict)
        beside = f"{path}.{secrets.token_hex(4)}"
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        try:
            with open(_locks.open_own(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
                file.write(data)
            os.replace(beside, path)
        except BaseException:
            _remove(beside)
            raise

    def do_delete(self):
        _remove(self._file(self._sid))

    def do_cleanup(self):
        """Removes the files of sessions that are over, and goes on with the next folders another time when its own time is over."""
        end = time.monotonic() + self._limit
        folders = [name for name in _names(self._directory) if re.fullmatch("[0-9a-f]{2}", name)]
        random.shuffle(folders)
        for name in folders:
            below = os.path.join(self._directory, name)
            for file in _names(below):
                if time.monotonic() > end:
                    return
                if IDENTIFIER.fullmatch(file[:32]) and file.startswith(name):
                    self._clean(os.path.join(below, file), file)

    def _clean(self, path, name):
        try:
            written = os.lstat(path).st_mtime
        except OSError:
            return
        age = time.time() - written - self._grace
        if len(name) != 32:
            # Half of one, by a process that was killed.
            if age > 3600:
                _remove(path)
            return
        if self._fast and age <= self._timeout:
            return
        lock = _locks.FileLock(self._directory, name)
        # One that a request has is not over.
        if not lock.attempt():
            return
        try:
            if self._fast and not self._verify:
                over = time.time() - os.lstat(path).st_mtime - self._grace > self._timeout
            else:
                state = self._read(name)
                over = state is None or is_over(state, time.time() - self._grace)
            if over:
                _remove(path)
        except FileNotFoundError:
            pass
        finally:
            lock.release()


class DbmSession(BaseSession):
    """A session in a database (module dbm of Python) that all sessions of a server are in.

    `dbm`: its file; without it PythonOption mod_python.dbm_session.database_filename, else mp_sess.dbm, in
    mod_python.dbm_session.database_directory, whose rules are those of FileSession. `dbmtype`: a module such as dbm.gnu; without it the one
    that has made the file, else the best of this Python. The database is open, and locked, for no longer than one look takes.
    """

    def __init__(self, req, dbm=0, sid=0, secret=None, dbmtype=None, timeout=0, lock=1):
        name = dbm or file_option(req, "mod_python.dbm_session.database_filename", "session_dbm", default="mp_sess.dbm")
        if not os.path.isabs(name):
            name = os.path.join(folder(req, "dbm"), name)
        self._database, self._kind = name, dbmtype or databases
        self._directory = _locks.folder(os.path.dirname(name))
        super().__init__(req, sid=sid, secret=secret, timeout=timeout, lock=lock)

    def _make_lock(self):
        directory, sid = self._directory, self._sid
        return (directory, sid), lambda: _locks.FileLock(directory, sid)

    @contextlib.contextmanager
    def _open(self):
        lock = _locks.FileLock(self._directory, f"database {self._database}")
        if not _locks.acquire(lock, _session.LOCK_TIMEOUT):
            raise TimeoutError(f"the database of sessions {self._database} was in use for {_session.LOCK_TIMEOUT} seconds")
        try:
            for suffix in ("", ".db", ".dat", ".dir", ".pag", ".bak", "-journal", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    _locks.check_file(os.lstat(self._database + suffix), self._database + suffix)
            base = self._kind.open(self._database, "c", 0o600)
            try:
                yield base
            finally:
                base.close()
        finally:
            lock.release()

    def do_load(self):
        with self._open() as base:
            data = base[self._sid] if self._sid in base else None
        return None if data is None else unpack(self._req, data, f"what {self._database} has for an identifier")

    def do_save(self, dict):
        data = pack(dict)
        with self._open() as base:
            # dbm.ndbm writes when it is closed, and says nothing of a disk that is full, which damages the database.
            is_silent = type(base).__module__.startswith("_dbm")
            if is_silent:
                with tempfile.TemporaryFile(dir=self._directory) as room:
                    os.posix_fallocate(room.fileno(), 0, len(data) + _SPARE)
            base[self._sid] = data
        if is_silent:
            with self._open() as base:
                if self._sid not in base or base[self._sid] != data:
                    raise OSError(errno.EIO, "the database has not kept the session", self._database)

    def do_delete(self):
        with self._open() as base, contextlib.suppress(KeyError):
            del base[self._sid]

    def do_cleanup(self):
        now = time.time()
        with self._open() as base:
            for key in list(base.keys()):
                state = unpack(self._req, base[key], f"what {self._database} has for an identifier")
                if state is None or is_over(state, now):
                    del base[key]


_TYPES = {"DbmSession": DbmSession, "FileSession": FileSession, "MemorySession": MemorySession}


def Session(req, sid=0, secret=None, timeout=0, lock=1):  # noqa: N802 (mod_python's name)
    """A session of the class that PythonOption mod_python.session.session_type names; FileSession without it.

    Arguments and errors are those of BaseSession. ValueError for a type that is none.
    """
    name = option(req, "mod_python.session.session_type", "session", default="FileSession")
    if name not in _TYPES:
        raise ValueError(f"PythonOption mod_python.session.session_type must be one of {', '.join(_TYPES)}, not {name!r}")
    return _TYPES[name](req, sid=sid, secret=secret, timeout=timeout, lock=lock)


def _remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _names(folder):
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
