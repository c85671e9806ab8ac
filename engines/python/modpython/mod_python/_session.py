# SPDX-License-Identifier: MIT OR Apache-2.0
"""What all sessions have in common, wherever they are kept."""

import pickle
import random
import re
import secrets
import time
import weakref

from mod_python import Cookie, _importer, _locks, apache

COOKIE_NAME = "pysid"
#: Seconds without a request after which a session is forgotten.
DFT_TIMEOUT = 30 * 60
DFT_LOCK = True
#: One of so many requests with a session looks for those that are over.
CLEANUP_CHANCE = 1000
#: Seconds that a request waits for another one that has the session; PythonOption mod_python.session.lock_timeout.
LOCK_TIMEOUT = 30
#: Bytes that a session may have in a file or a database.
LARGEST = 64 * 1024 * 1024
IDENTIFIER = re.compile(r"[0-9a-f]{32}", re.ASCII)


def option(req, *names, default=None):
    """The first of these PythonOptions that is set; mod_python has older names for most."""
    options = req.get_options()
    return next((options[name] for name in names if options.get(name)), default)


def file_option(req, *names, default=None):
    """The same where it names a file or a folder."""
    text = option(req, *names, default=default)
    return text and _importer.as_path(text)


def switch(text):
    return str(text).lower() not in ("0", "off", "no", "false", "")


def number(req, name, default, older=()):
    text = option(req, name, *older, default=str(default))
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"PythonOption {name} must be a number of seconds, not {text!r}") from None


def folder(req, kind):
    own = f"mod_python.{kind}_session.database_directory"
    return _locks.folder(file_option(req, own, "mod_python.session.database_directory", "session_directory"))


def pack(state):
    data = pickle.dumps(state, protocol=4)
    if len(data) > LARGEST:
        raise ValueError(f"a session has {len(data)} bytes, and must not have more than {LARGEST}")
    return data


def unpack(req, data, what):
    """What was saved, or None for what is no session: the log says why."""
    try:
        state = pickle.loads(data)
        if not isinstance(state["_data"], dict) or not all(isinstance(state[name], (int, float)) for name in ("_created", "_accessed", "_timeout")):
            raise ValueError("its members are not those of a session")
    except Exception as error:
        req.log_error(f"Session: {what} is no session that can be read: {type(error).__name__}: {error}", apache.APLOG_WARNING)
        return None
    return state


def is_over(state, now):
    """Whether a session was not asked for within its time."""
    return now - state["_accessed"] > state["_timeout"]


class BaseSession(dict):
    """A session. Classes that inherit say where it is kept: `do_load`, `do_save`, `do_delete` and `do_cleanup`.

    `sid`: an identifier of 32 hexadecimal digits, in the place of the cookie's; ValueError for any other. `secret`: signs the cookie, so that
    only identifiers of this server are looked at. `timeout`: seconds, 1800 where it is 0. `lock`: whether to lock.

    An identifier that the server has not given, or whose session is over, is never taken up: the client gets a new one.

    Raises apache.SERVER_RETURN with status 503 where another request keeps the session for longer than
    PythonOption mod_python.session.lock_timeout (seconds, 30), OSError where the place of sessions cannot be used.
    """

    def __init__(self, req, sid=None, secret=None, timeout=0, lock=1):
        super().__init__()
        # A request that has its session for an attribute would be a circle, and the lock kept until that is found.
        self._request = weakref.ref(req)
        self._sid, self._secret = None, secret
        self._lock, self._locked, self._held = lock, 0, None
        self._new, self._invalid = 1, 0
        self._created = self._accessed = time.time()
        self._timeout = timeout or DFT_TIMEOUT
        self.init_lock()
        if sid:
            if not IDENTIFIER.fullmatch(str(sid)):
                raise ValueError(f"Invalid Session ID: sid={sid!r} is not 32 hexadecimal digits")
            wanted = str(sid)
        else:
            wanted = self._from_cookie()
        if wanted is not None:
            self._sid = wanted
            self.lock()
            if self.load():
                self._new = 0
            else:
                self.unlock()
                self._sid = None
        if self._new:
            self._begin()
        if random.randrange(CLEANUP_CHANCE) == 0:
            self.cleanup()

    @property
    def _req(self):
        return self._request()

    def _from_cookie(self):
        name = self._cookie_name()
        if self._secret:
            cookie = Cookie.get_cookie(self._req, name, Cookie.SignedCookie, secret=self._secret)
        else:
            cookie = Cookie.get_cookie(self._req, name)
        return cookie.value if cookie is not None and IDENTIFIER.fullmatch(cookie.value) else None

    def _begin(self):
        super().clear()
        self._created = self._accessed = time.time()
        self._sid = secrets.token_hex(16)
        self.lock()
        Cookie.add_cookie(self._req, self.make_cookie())

    def _cookie_name(self):
        return option(self._req, "mod_python.session.cookie_name", "session_cookie_name", default=COOKIE_NAME)

    def make_cookie(self):
        """The cookie with the identifier.

        Its name is PythonOption mod_python.session.cookie_name (pysid), its domain mod_python.session.application_domain, its path
        mod_python.session.application_path, or the path of the handler's directory below DocumentRoot, or "/". Scripts of a page do not
        see it, requests that other sites cause by POST do not have it, and one that was made over TLS travels over TLS alone.
        """
        req = self._req
        attributes = {"path": self._path(), "httponly": True, "samesite": "Lax", "secure": bool(req.is_https())}
        domain = option(req, "mod_python.session.application_domain")
        if domain:
            attributes["domain"] = domain
        if self._secret:
            return Cookie.SignedCookie(self._cookie_name(), self._sid, self._secret, **attributes)
        return Cookie.Cookie(self._cookie_name(), self._sid, **attributes)

    def _path(self):
        req = self._req
        given = option(req, "mod_python.session.application_path", "ApplicationPath")
        if given:
            return given
        directory = (getattr(req, "_directory", None) or "").rstrip("/")
        root = (req.document_root() or "").rstrip("/")
        if root and directory.startswith(root + "/"):
            path = directory[len(root) :]
            # What a cookie cannot hold as it is; clients compare with the encoded path.
            return path if re.fullmatch(r"[\w./~-]+", path, re.ASCII) else "/"
        return "/"

    # ---- what handlers ask ----

    def is_new(self):
        """Whether this request has begun it."""
        return bool(self._new)

    def id(self):
        """The identifier: 32 hexadecimal digits."""
        return self._sid

    def created(self):
        """When it was begun, in seconds since 1970."""
        return self._created

    def last_accessed(self):
        """When it was saved before, in seconds since 1970."""
        return self._accessed

    def timeout(self):
        """Seconds after save() within which it must be asked for again."""
        return self._timeout

    def set_timeout(self, secs):
        """Sets timeout() to so many seconds; save() keeps that."""
        self._timeout = secs

    def invalidate(self):
        """Ends the session: nothing of it is kept, and the client forgets its cookie. save() does nothing from now on."""
        cookie = self.make_cookie()
        cookie.expires = 0
        Cookie.add_cookie(self._req, cookie)
        self.delete()
        self._invalid = 1

    def load(self):
        """Reads it again from where it is kept. Answers whether there is one: one that is over is taken away."""
        state = self.do_load()
        if state is None:
            return False
        if is_over(state, time.time()):
            self.delete()
            return False
        self._created, self._accessed, self._timeout = state["_created"], state["_accessed"], state["_timeout"]
        super().clear()
        self.update(state["_data"])
        return True

    def save(self):
        """Keeps it, for timeout() seconds from now. Raises what pickle does for values that cannot be kept, OSError where there is no place."""
        if self._invalid:
            return
        self._accessed = time.time()
        members = {"_created": self._created, "_accessed": self._accessed, "_timeout": self._timeout}
        self.do_save({"_data": dict(self), **members})

    def delete(self):
        """Takes it away from where it is kept; the dictionary becomes empty."""
        self.do_delete()
        super().clear()

    def cleanup(self):
        """Has sessions that are over be taken away when the request ends. Requests do so by chance."""
        _at_end(self._req, self.do_cleanup)

    # ---- locks ----

    def init_lock(self):
        """For classes that lock otherwise."""

    def lock(self):
        """Waits until no other request has this session, and keeps it. Does nothing with lock=0."""
        if not self._lock or self._locked:
            return
        req = self._req
        held = _of_request(req, self._make_lock())
        if not held.take(number(req, "mod_python.session.lock_timeout", LOCK_TIMEOUT)):
            req.log_error("Session: another request keeps this session for too long; it may have forgotten unlock()", apache.APLOG_ERR)
            raise apache.SERVER_RETURN(apache.HTTP_SERVICE_UNAVAILABLE)
        self._held, self._locked = held, 1

    def unlock(self):
        """Lets other requests have it. What they save is not seen here without load()."""
        if self._locked:
            self._held.give()
            self._held, self._locked = None, 0

    def _make_lock(self):
        """What is locked, a key that is the same for the same session, and how to make it."""
        directory = folder(self._req, "file")
        return (directory, self._sid), lambda: _locks.FileLock(directory, self._sid)

    # ---- for classes that inherit ----

    def do_load(self):
        """What do_save() was given for this identifier, or None."""
        raise NotImplementedError

    def do_save(self, dict):
        """Keeps a dictionary for this identifier."""
        raise NotImplementedError

    def do_delete(self):
        """Forgets what is kept for this identifier, if anything is."""
        raise NotImplementedError

    def do_cleanup(self):
        """Forgets all that is over."""


def _of_request(req, made):
    """The lock of a request: the same for the same key."""
    key, make = made
    known = req.__dict__.setdefault("_session_locks", {})
    held = known.get(key)
    if held is None:
        held = known[key] = _locks.OfRequest(make())
        _at_end(req, held.end)
    return held


def _at_end(req, call):
    """Has the dispatcher call this after the last handler of the request."""
    if getattr(req, "_at_end", None) is None:
        req._at_end = []
    req._at_end.append(call)
