# SPDX-License-Identifier: MIT OR Apache-2.0
"""Folders that may hold what is believed later, and locks between threads and processes that a request cannot keep for ever."""

import errno
import fcntl
import hashlib
import os
import stat
import struct
import tempfile
import threading
import time

#: How long a lock is waited for between two looks, in seconds: the first and the longest time.
_FIRST, _LONGEST = 0.001, 0.025
_BUSY = (errno.EACCES, errno.EAGAIN)
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC


class Refused(OSError):
    """A file or a folder that somebody else could have put there."""


def folder(path=None):
    """The folder for sessions, made where it does not exist. Without a path, one of this user's in that for temporary files.

    Raises Refused where everybody may write to it or it belongs to another user, OSError where it cannot be made.
    """
    own = path is None
    if own:
        # A name of the user's own: httpd's children and the sites of other users share the folder around it.
        path = os.path.join(tempfile.gettempdir(), f"mp_sess-{os.geteuid()}")
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    # A link is followed where an administrator has named it, and never in a folder that everybody may write to.
    found = os.lstat(path) if own else os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise Refused(errno.ENOTDIR, "is no folder", path)
    if found.st_uid != os.geteuid() and (own or found.st_uid != 0):
        raise Refused(errno.EPERM, f"belongs to user {found.st_uid}, who could put sessions there", path)
    if found.st_mode & stat.S_IWOTH:
        raise Refused(errno.EPERM, "can be written to by everybody; take another folder, or that right away", path)
    return path


def check_file(found, path):
    """Raises Refused for a file (os.stat_result) that is not this user's own."""
    if not stat.S_ISREG(found.st_mode):
        raise Refused(errno.EINVAL, "is no regular file", path)
    if found.st_uid != os.geteuid():
        raise Refused(errno.EPERM, f"belongs to user {found.st_uid}", path)
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Refused(errno.EPERM, "can be written to by others", path)


def open_own(path, flags, mode=0o600):
    """A file descriptor of a file that is this user's own; never that of a link's target. Raises Refused, OSError."""
    number = os.open(path, flags | _FLAGS | os.O_NONBLOCK, mode)
    try:
        check_file(os.fstat(number), path)
    except BaseException:
        os.close(number)
        raise
    return number


class MemoryLock:
    """A lock of a name between the threads of this process."""

    _held = {}

    def __init__(self, name):
        self._name = name
        self._token = None

    def attempt(self):
        """Whether it is held now."""
        token = object()
        # One step of the interpreter's: no other lock, which a collection of garbage could wait for.
        if self._held.setdefault(self._name, token) is not token:
            return False
        self._token = token
        return True

    def release(self):
        if self._token is not None:
            self._token = None
            self._held.pop(self._name, None)

    __del__ = release


class FileLock:
    """A lock of a name between all threads and processes that know the folder.

    A byte of one file stands for each name, so there are no lock files to take away, and two names do not wait for each other. It belongs
    to an open file (fcntl's F_OFD_SETLK): the end of a process, whatever ends it, gives it back, and a child of os.fork() without exec keeps
    it until it ends as well.
    """

    def __init__(self, directory, name):
        self._path = os.path.join(directory, ".locks")
        self._place = int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") >> 2
        self._number = None

    def attempt(self):
        """Whether it is held now. Raises Refused, OSError."""
        number = open_own(self._path, os.O_RDWR | os.O_CREAT)
        try:
            # struct flock: type, whence, start, length, process.
            wanted = struct.pack("@hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, self._place, 1, 0)
            fcntl.fcntl(number, fcntl.F_OFD_SETLK, wanted)
        except OSError as error:
            os.close(number)
            if error.errno in _BUSY:
                return False
            raise
        self._number = number
        return True

    def release(self):
        number, self._number = self._number, None
        if number is not None:
            os.close(number)

    __del__ = release


def acquire(lock, seconds):
    """Waits for a lock. Answers whether it is held now: False when the time is over."""
    end = time.monotonic() + seconds
    pause = _FIRST
    while not lock.attempt():
        left = end - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, _LONGEST)
    return True


class OfRequest:
    """A lock that a request takes once, however many of its sessions ask, and that it gives back when it ends."""

    def __init__(self, lock):
        self._lock = lock
        self._count = 0
        self._guard = threading.Lock()

    def take(self, seconds):
        """Answers whether it is held now."""
        with self._guard:
            if self._count == 0 and not acquire(self._lock, seconds):
                return False
            self._count += 1
            return True

    def give(self):
        """Takes back one take()."""
        with self._guard:
            if self._count == 1:
                self._lock.release()
            self._count = max(self._count - 1, 0)

    def end(self):
        """Takes back all of them."""
        with self._guard:
            self._count = 0
            self._lock.release()
