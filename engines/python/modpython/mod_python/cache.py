# SPDX-License-Identifier: MIT OR Apache-2.0
"""Caches of values, files, modules and documents, for the threads of a process."""

import calendar
import collections
import email.utils
import os
import re
import threading
import time
import types
import urllib.error
import urllib.request
import weakref

#: In the place of a value that has not been made.
NOT_INITIALIZED = object()


class Entry:
    """What a cache keeps for a key. `check()` and `build()` may keep attributes of their own in it."""

    def __init__(self, key):
        self.key = key
        self._value = NOT_INITIALIZED
        self._lock = threading.RLock()


class Cache:
    """Values that `build()` makes when they are asked for: `cache[name]`. Threads that ask for the same one make it once."""

    def __init__(self, max_size=0):
        """Of at most so many entries, the ones that were used last; 0: of any number."""
        self.max_size = max_size
        #: In the order of their use.
        self._entries = collections.OrderedDict()
        self._lock = threading.RLock()

    def __getitem__(self, name):
        return self._checkitem(name)[2]

    def __setitem__(self, name, value):
        entry = self._get_entry(self.key(name))
        with entry._lock:
            self._pack(entry, value)
        self._changed()

    def __delitem__(self, name):
        with self._lock:
            del self._entries[self.key(name)]
        self._changed()

    def _checkitem(self, name):
        """Answers whether it had to be made, its key, the value and the entry."""
        key = self.key(name)
        entry = self._get_entry(key)
        with entry._lock:
            value = self._unpack(entry)
            opened = self.check(key, name, entry)
            is_new = value is NOT_INITIALIZED or opened is not None
            if is_new:
                try:
                    made = self.build(key, name, opened, entry)
                except BaseException:
                    if value is NOT_INITIALIZED:
                        self._forget(entry)
                    raise
                value = made
                self._pack(entry, value)
        if is_new:
            self._changed()
        return is_new, key, value, entry

    def _get_entry(self, key):
        """The entry of a key, which is the one that was used last from now on."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                entry = self._entries[key] = Entry(key)
                if self.max_size and len(self._entries) > self.max_size:
                    self._entries.popitem(last=False)
            self._entries.move_to_end(key)
            return entry

    def _forget(self, entry):
        with self._lock:
            if self._entries.get(entry.key) is entry:
                del self._entries[entry.key]

    def _changed(self):
        with self._lock:
            self.commit()

    def mru(self):
        """The key that was used last. KeyError in an empty cache."""
        return self._end(reversed)

    def lru(self):
        """The key that was not used for longest. KeyError in an empty cache."""
        return self._end(iter)

    def _end(self, ordered):
        with self._lock:
            for key in ordered(self._entries):
                return key
        raise KeyError("the cache is empty")

    def clear(self):
        """Forgets all."""
        with self._lock:
            self._entries.clear()
        self._changed()

    # ---- to be overridden ----

    def key(self, name):
        """The key for what stands in the brackets."""
        return name

    def commit(self):
        """Called when something has changed."""

    def check(self, key, name, entry):
        """None, or what `build()` gets as `opened`: then the value is made anew. One thread at a time for a key."""
        return None

    def build(self, key, name, opened, entry):
        """Makes the value. One thread at a time for a key."""
        raise NotImplementedError

    def _pack(self, entry, value):
        entry._value = value

    def _unpack(self, entry):
        return entry._value


class WeakCache(Cache):
    """Values that are kept for as long as somebody else has them."""

    def _pack(self, entry, value):
        entry._value = weakref.ref(value, lambda _, entry=entry: self._forget(entry) if self._unpack(entry) is NOT_INITIALIZED else None)

    def _unpack(self, entry):
        if entry._value is NOT_INITIALIZED:
            return NOT_INITIALIZED
        value = entry._value()
        return NOT_INITIALIZED if value is None else value


class FileCache(Cache):
    """The contents of files by their names, read anew when a file has changed."""

    def __init__(self, max_size=0, mode="rb"):
        super().__init__(max_size)
        self.mode = mode

    def check(self, key, name, entry):
        state = os.stat(key)
        now = (state.st_mtime_ns, state.st_size, state.st_ino)
        if getattr(entry, "_state", None) == now:
            return None
        entry._state = now
        return open(key, self.mode)

    def build(self, key, name, opened, entry):
        """The content of `opened`, which is open. To be overridden."""
        try:
            with opened:
                return opened.read()
        except BaseException:
            entry._state = None
            raise


def parseRFC822Time(t):
    """Seconds since 1970 of a date as it stands in headers."""
    parsed = email.utils.parsedate_tz(t)
    if parsed is None:
        raise ValueError(f"{t!r} is no date")
    return calendar.timegm(parsed[:6] + (0, 0, 0)) - (parsed[9] or 0)


re_max_age = re.compile(r"max-age\s*=\s*(\d+)", re.I)


class HTTPEntity:
    """A document and its headers."""

    def __init__(self, entity, metadata):
        self.entity = entity
        self.metadata = metadata

    def __repr__(self):
        return f"HTTPEntity({self.entity!r}, {self.metadata!r})"

    def __str__(self):
        return self.entity if isinstance(self.entity, str) else self.entity.decode("utf-8", "replace")


class HTTPCache(Cache):
    """Documents by their URL, as HTTPEntity: asked for again when they are too old, with what is known of the old ones."""

    #: Seconds that another server may take.
    timeout = 30

    def check(self, key, name, entry):
        now = time.time()
        if self._unpack(entry) is not NOT_INITIALIZED and now < entry._fresh_until:
            return None
        if not key.startswith(("http://", "https://")):
            raise ValueError(f"{key!r} is no URL of HTTP")
        request = urllib.request.Request(key)
        if self._unpack(entry) is not NOT_INITIALIZED:
            for header, value in (("If-None-Match", entry._etag), ("If-Modified-Since", entry._modified)):
                if value:
                    request.add_header(header, value)
        try:
            opened = urllib.request.urlopen(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            if error.code != 304 or self._unpack(entry) is NOT_INITIALIZED:
                raise
            entry._fresh_until = _fresh_until(error.headers, now)
            return None
        entry._etag, entry._modified = opened.headers.get("ETag"), opened.headers.get("Last-Modified")
        entry._fresh_until = _fresh_until(opened.headers, now)
        return opened

    def build(self, key, name, opened, entry):
        with opened:
            return HTTPEntity(opened.read(), opened.headers)


def _fresh_until(headers, now):
    found = re_max_age.search(headers.get("Cache-Control", ""))
    if found:
        return now + int(found.group(1))
    try:
        return parseRFC822Time(headers["Expires"]) if "Expires" in headers else now
    except ValueError:
        return now


re_not_word = re.compile(r"\W+")


class ModuleCache(FileCache):
    """Modules by the names of their files, made anew when a file has changed. They are not in sys.modules."""

    def __init__(self, max_size=0):
        super().__init__(max_size, "rb")

    def build(self, key, name, opened, entry):
        source = super().build(key, name, opened, entry)
        module = types.ModuleType(re_not_word.sub("_", key))
        module.__file__ = key
        try:
            exec(compile(source, key, "exec"), module.__dict__)
        except BaseException:
            # It is tried again at the next time.
            entry._state = None
            raise
        return module


class FunctionCache(Cache):
    """What a function has answered, by its arguments: `FunctionCache(function)(argument)`."""

    def __init__(self, function, max_size=0):
        super().__init__(max_size)
        self.function = function

    def __call__(self, *args, **kw):
        return self[args, tuple(sorted(kw.items()))]

    def build(self, key, name, opened, entry):
        args, named = name
        return self.function(*args, **dict(named))


def __getattr__(name):
    if name == "HttpModuleCache":
        raise AttributeError("HttpModuleCache: it would run what another server sends; have the file on this machine, and use ModuleCache")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
