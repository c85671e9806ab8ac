# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs CGI scripts in Python inside of the server: a step on the way from CGI to handlers.

    AddHandler mod_python .py
    PythonHandler mod_python.cgihandler

One script runs at a time in a process, for it has the current directory, which is one of the whole process. sys.stdin, sys.stdout,
sys.argv and os.environ are the script's for its own thread alone: what other threads print goes where it always went, and none sees the
variables of somebody else's request. Programs that a script starts do not see them either; pass `env=dict(os.environ)`.
"""

import collections.abc
import io
import os
import sys
import threading

from mod_python import _environ, apache

#: The longest head of a response, in bytes.
HEAD = 64 * 1024
_LOCK = threading.Lock()
_HOP_BY_HOP = frozenset("connection keep-alive proxy-connection te trailer transfer-encoding upgrade".split())


class _File:
    """A stream that is another one on the thread of a script."""

    def __init__(self, usual, owner, own):
        self.__dict__.update(_usual=usual, _owner=owner, _own=own)

    def _here(self):
        return self._own if threading.get_ident() == self._owner else self._usual

    def __getattr__(self, name):
        return getattr(self._here(), name)

    def __setattr__(self, name, value):
        setattr(self._here(), name, value)

    def __iter__(self):
        return iter(self._here())

    def __next__(self):
        return next(self._here())


class _Variables(collections.abc.MutableMapping):
    """os.environ that is another one on the thread of a script."""

    def __init__(self, usual, owner, own):
        self._usual, self._owner, self._own = usual, owner, own

    def _here(self):
        return self._own if threading.get_ident() == self._owner else self._usual

    def __getitem__(self, name):
        return self._here()[name]

    def __setitem__(self, name, value):
        self._here()[name] = value

    def __delitem__(self, name):
        del self._here()[name]

    def __iter__(self):
        return iter(self._here())

    def __len__(self):
        return len(self._here())

    def copy(self):
        """A dictionary of them."""
        return dict(self._here())

    def __repr__(self):
        return repr(self._here())

    def __or__(self, other):
        return {**self.copy(), **other}

    def __ror__(self, other):
        return {**other, **self.copy()}

    def __ior__(self, other):
        self.update(other)
        return self


class _Input(io.RawIOBase):
    """sys.stdin.buffer: the body of the request."""

    def __init__(self, req):
        self._req = req

    def readable(self):
        return True

    def readinto(self, place):
        data = self._req.read(len(place))
        place[: len(data)] = data
        return len(data)


class _Output(io.RawIOBase):
    """sys.stdout.buffer: a head (RFC 3875 section 6), then the body."""

    def __init__(self, req):
        self._req = req
        self._head = bytearray()
        self.began = False
        #: A path of this server that answers instead (RFC 3875 section 6.2.2).
        self.elsewhere = None
        #: Nothing of what comes is sent: what waits in a buffer is written when that is collected, whenever it is.
        self.is_silent = False

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        if self.is_silent:
            return len(data)
        if self.began:
            self._req.write(data, 0)
            return len(data)
        self._head += data
        end, after = _end_of_head(self._head)
        if end >= 0 and end <= HEAD:
            rest = bytes(self._head[after:])
            lines = bytes(self._head[:end])
            self._head.clear()
            self.began = True
            self._begin(lines)
            if rest and not self.is_silent:
                self._req.write(rest, 0)
        elif len(self._head) > HEAD:
            raise ValueError(f"the script's head has more than {HEAD} bytes, or none of its lines is empty")
        return len(data)

    def _begin(self, lines):
        req, location, status = self._req, None, None
        for line in lines.decode("latin-1").split("\n"):
            name, colon, value = line.rstrip("\r").partition(":")
            name, value = name.strip(), value.strip()
            if not colon or not name:
                raise ValueError(f"the script's head has a line that is no header: {line[:80]!r}")
            lower = name.lower()
            if lower == "status":
                status = value
            elif lower == "location":
                location = value
            elif lower == "content-type":
                req.content_type = value
            elif lower == "content-length":
                # The server counts what there is.
                continue
            elif lower not in _HOP_BY_HOP:
                req.headers_out.add(name, value)
        if location is not None:
            self._redirect(location, status)
        if status is not None:
            code = status[:3]
            if not code.isascii() or not code.isdigit() or status[3:4] not in ("", " ") or not 200 <= int(code) <= 599:
                raise ValueError(f"the script's status is {status!r}")
            req.status = int(code)

    def _redirect(self, location, status):
        if location.startswith("/") and status is None:
            self.elsewhere, self.is_silent = location, True
            return
        self._req.err_headers_out["Location"] = location
        if status is None:
            self._req.status = apache.HTTP_MOVED_TEMPORARILY


def _end_of_head(head):
    """Where the head's last line ends, and where the body begins; -1 as long as there is no empty line."""
    at = 0
    while (end := head.find(b"\n", at)) >= 0:
        if head[at:end] in (b"", b"\r"):
            return max(at - 1, 0), end + 1
        at = end + 1
    return -1, -1


def _variables(req):
    """What a script's os.environ holds. As everywhere in os: bytes that are no UTF-8 are kept in surrogates."""
    found = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR") if name in os.environ}
    told = dict(req.subprocess_env.items())
    told.update(_environ.cgi_variables(req))
    found.update((name, os.fsdecode(value.encode("latin-1", "surrogateescape"))) for name, value in told.items())
    return found


def _forget(folder, before):
    """Modules of the script's own folder are loaded again by the next one: it may be another folder's, or they may have changed."""
    for name, module in list(sys.modules.items()):
        if name not in before and (getattr(module, "__file__", None) or "").startswith(folder + os.sep):
            sys.modules.pop(name, None)


def _run(path, folder):
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)
    # An open file, for the folder may be taken away meanwhile.
    back = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    before, argv = set(sys.modules), sys.argv
    sys.path.insert(0, folder)
    sys.argv = [path]
    try:
        os.chdir(folder)
        exec(code, {"__name__": "__main__", "__file__": path})
    except SystemExit:
        pass
    finally:
        os.fchdir(back)
        os.close(back)
        sys.argv = argv
        if folder in sys.path:
            sys.path.remove(folder)
        _forget(folder, before)


def handler(req):
    """Runs the script that `req.filename` names. 404 where there is none; a script that raises is 500, and one without a head as well."""
    path = req.filename
    if not path or not os.path.isfile(path):
        return apache.HTTP_NOT_FOUND
    path = os.path.abspath(path)
    owner = threading.get_ident()
    raw = _Output(req)
    output = io.TextIOWrapper(io.BufferedWriter(raw, 64 * 1024), encoding="utf-8", errors="surrogateescape", newline="\n")
    body = io.TextIOWrapper(io.BufferedReader(_Input(req)), encoding="utf-8", errors="surrogateescape", newline="\n")
    with _LOCK:
        usual = sys.stdin, sys.stdout, os.environ
        sys.stdin, sys.stdout = _File(usual[0], owner, body), _File(usual[1], owner, output)
        os.environ = _Variables(usual[2], owner, _variables(req))
        try:
            _run(path, os.path.dirname(path))
            output.flush()
        finally:
            sys.stdin, sys.stdout, os.environ = usual
            raw.is_silent = True
    if raw.elsewhere is not None:
        req.internal_redirect(raw.elsewhere)
    elif not raw.began:
        raise ValueError(f"the script {path} has ended before it has sent a head")
    return apache.OK
