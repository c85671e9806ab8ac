# SPDX-License-Identifier: MIT OR Apache-2.0
"""Modules of handlers, loaded from their files and again when those have changed.

A module is known by the name of its interpreter and the path of its file, so two `index.py` of two directories are two modules. A changed
one is loaded beside the old one, which serves until the new one is whole; one that cannot be loaded leaves the old one in its place. A
module that was imported by a changed one's user is a reason to load that user again. A module may say `__mp_path__`, further folders of what
it imports, `__mp_clone__(module)`, which gets the one that is made in its place before its code runs, and `__mp_purge__()`, which is called
when that one stands there.
"""

import builtins
import importlib
import os
import sys
import threading
import time
import types

from mod_python import _failures
from mod_python._server import current, log_process

# A file that has changed within this time may be half written: who has an older version goes on with that.
SETTLES = 0.1  # seconds

_LOCK = threading.RLock()
_ENTRIES = {}
# Where the file of a module was found, as it is spelled there: by interpreter, name and folders.
_FOUND = {}
_NOWHERE = None, None
# What Python itself has found: by the same.
_PLAIN = set()
_LOADS = {}
_PATHS = {}
_THREAD = threading.local()
_KEY = "__gangway_entry__"
#: PythonOption: further folders in which modules of handlers are looked for, as a list of Python's.
OPTION = "mod_python.importer.path"
_FOLDERS = {}
# Whether nothing is loaded again in this process.
_FROZEN = False


class Loading:
    """A lock for those who load modules, one in the other. Whose `__mp_purge__` is due is asked when nobody has it: that may wait for a thread
    which imports something.
    """

    def __init__(self):
        self._lock, self._depth, self._replaced = threading.RLock(), 0, []

    def acquire(self, blocking):
        """Whether this thread has it now."""
        taken = self._lock.acquire(blocking)
        if taken:
            self._depth += 1
        return taken

    def replaced(self, path, module):
        """Another module stands in the place of this one. For who has the lock."""
        self._replaced.append((path, module))

    def release(self):
        replaced = ()
        self._depth -= 1
        if self._depth == 0:
            replaced, self._replaced = self._replaced, []
        self._lock.release()
        for path, module in replaced:
            try:
                module.__mp_purge__()
            except Exception as error:
                _failures.tell(log_process, error, f"GW0319 __mp_purge__() of {path} raised ")


class Section:
    """Where a handler is named: its interpreter, and its folder and options, each byte of which is a character as in `req.get_options()`."""

    def __init__(self, interpreter, folder, options):
        self.interpreter, self.folder, self.options = interpreter, folder, options

    def load(self, name):
        """The module of a handler before there is a request. Its code is in this section, as that of one which a request loads."""
        outer, _THREAD.section = asked_before_requests(), self
        try:
            return of_handler(self.interpreter, name, self.folder, self.options, True)
        finally:
            _THREAD.section = outer


def asked_before_requests():
    """The section whose module this thread loads without a request; None for any other code."""
    return getattr(_THREAD, "section", None)


def section():
    """The section of the handler that this thread runs or loads; None outside of them."""
    request = current()
    if request is None:
        return asked_before_requests()
    return Section(request.interpreter, request._directory, request._options)


class Entry:
    """One file in one interpreter."""

    def __init__(self, interpreter, name, path, lock):
        self.interpreter, self.name, self.path = interpreter, name, path
        # Of the interpreter: modules import each other, and locks of their own would be taken in any order.
        self.lock = lock
        self.module = self.loading = None
        self.version = 0
        # Of the loaded module, and of an attempt that has failed since.
        self.stamp = self.failed = None
        # Entries that its code has imported, with the version that it has.
        self.needs = {}

    def get(self, reload):
        """The module as its file is now.

        Raises what its code raises, where there is no older version to go on with.
        """
        module = self.module
        reload = reload and not _FROZEN
        if module is not None and (not reload or self._is_fresh()):
            return module
        # Who has an older version does not wait for another thread that loads the next one.
        if not self.lock.acquire(blocking=module is None):
            return module
        try:
            if self.loading is not None:
                # One that imports one that imports it: what there is of it, as Python does.
                return self.loading
            if self.module is None or (reload and not self._is_fresh()):
                self._load()
            return self.module
        finally:
            self.lock.release()

    def current(self, spelled, reload):
        """The module where that is what this path leads to now; None where somebody has to look. A look at the file tells as well of a link that
        leads elsewhere since.
        """
        module = self.module
        if module is None or not reload or _FROZEN:
            return module
        try:
            found = os.stat(spelled)
        except OSError:
            return None
        if (found.st_mtime_ns, found.st_size, found.st_ino) != self.stamp:
            return None
        if self.needs and not all(entry.version == version and entry._is_fresh() for entry, version in list(self.needs.items())):
            return None
        return module

    def _stamp(self):
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _is_fresh(self):
        stamp = self._stamp()
        needs = [(entry, version) for entry, version in list(self.needs.items())]
        changed = [entry for entry, version in needs if entry.version != version or not entry._is_fresh()]
        if stamp == self.stamp and not changed:
            return True
        if stamp is None:
            # A file that is taken away may be on its way back: what was loaded serves.
            return True
        if self.failed is not None and self.failed == (stamp, [entry._stamp() for entry, _ in needs]):
            return True
        newest = max([stamp[0], *(found[0] for entry in changed if (found := entry._stamp()))])
        return 0 <= time.time() - newest / 1e9 < SETTLES

    def _load(self):
        stamp, needs, before = self._stamp(), dict(self.needs), self.module
        old, self.needs = self.needs, {}
        try:
            module = self._execute()
        except BaseException as error:
            if self.module is None or not isinstance(error, Exception):
                self.needs = {}
                raise
            self.needs = old
            self.failed = (stamp, [entry._stamp() for entry in needs])
            _failures.tell_kept(self.path, error)
            return
        finally:
            self.loading = None
        self.stamp, self.failed = stamp, None
        self.version += 1
        self._publish(module)
        self.module = module
        if hasattr(before, "__mp_purge__"):
            self.lock.replaced(self.path, before)

    def _execute(self):
        with open(self.path, "rb") as file:
            source = file.read()
        code = compile(source, self.path, "exec", dont_inherit=True)
        module = types.ModuleType(self.name)
        module.__file__ = self.path
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import}
        module.__dict__[_KEY] = self
        self.loading = module
        clone = getattr(self.module, "__mp_clone__", None)
        if clone is not None:
            clone(module)
        exec(code, module.__dict__)
        return module

    def _publish(self, module):
        """pickle looks for classes by the name of their module. The first file of a name has it."""
        known = sys.modules.get(self.name)
        if known is None or getattr(known, _KEY, None) is self:
            sys.modules[self.name] = module


def _import(name, globals=None, locals=None, fromlist=(), level=0):
    """`import` in a module that stands here: what is beside it comes first, each directory for itself."""
    user = (globals or {}).get(_KEY)
    if level == 0 and user is not None and "." not in name:
        path = _file_in(folders_of(globals), name)
        if path is not None and path != user.path:
            return _need(user, name, path)
    return builtins.__import__(name, globals, locals, fromlist, level)


def folders_of(asking):
    """Where what a module imports is looked for first; `asking` are its globals. Beside it, in its __mp_path__, in PythonOption's folders."""
    folders = []
    user = asking.get(_KEY)
    if user is not None:
        beside = os.path.dirname(user.path)
        folders.append(beside)
        for folder in asking.get("__mp_path__", ()):
            folders.append(named_path(folder, beside) or folder)
    here = section()
    if here is not None and OPTION in here.options:
        folders += option_folders(here.options[OPTION], here.folder)
    return folders


def option_folders(expression, root):
    """What PythonOption says: an expression of Python for a list of folders. `~/`, `./` and `../` are the section's, which is `root`."""
    folders = _FOLDERS.get((expression, root))
    if folders is None:
        value = _evaluated(as_path(expression))
        if not isinstance(value, (list, tuple)) or not all(isinstance(folder, str) for folder in value):
            raise TypeError(f"PythonOption {OPTION} {expression!r} is {type(value).__name__}, and must be a list of strings")
        folders = [named_path(folder, root, root) or folder for folder in value]
        for folder in folders:
            if not os.path.isabs(folder):
                raise ValueError(f"PythonOption {OPTION}: {folder!r} must be an absolute path, or begin with ~/, ./ or ../")
        with _LOCK:
            if len(_FOLDERS) < _MOST_FOLDERS:
                _FOLDERS[expression, root] = folders
    return folders


_MOST_FOLDERS = 1024


def as_path(text):
    """A text of the server, each byte of which is a character, as Python takes names of files."""
    return text if text.isascii() else os.fsdecode(text.encode("latin-1"))


def _evaluated(expression):
    """The value of an expression for folders, whose names may be no text in the encoding of the system: the literals have them as `os.fsdecode`."""
    return eval(expression.encode("utf-8", "backslashreplace"), {"sys": sys, "os": os})


def named_path(name, beside, root=None):
    """The path of a name that begins with `~/` (of the handler's section), `./` or `../` (of the module that asks); None of another name.

    Raises ImportError where there is no such folder to begin at.
    """
    start, _, rest = name.partition("/")
    if start not in ("~", ".", ".."):
        return None
    if start == "~":
        if root is None:
            here = section()
            root = here and here.folder
        if not root:
            raise ImportError(f"{name!r} begins at the folder of the handler's section, and here is none; name an absolute path", name=name)
        return os.path.normpath(os.path.join(root, rest))
    if not beside:
        raise ImportError(f"{name!r} begins at the folder of the module that asks, which the importer of handlers has not loaded; name an absolute path", name=name)
    return os.path.normpath(os.path.join(beside, name))


def of_handler(interpreter, name, folder, options, reload):
    """The module of a handler in a section, which is `folder` or nothing, with its options."""
    if name[0] in "~.":
        name = named_path(name, folder, folder) or name
    folders = (folder,) if folder else ()
    if OPTION in options:
        folders = (*folders, *option_folders(options[OPTION], folder))
    return find(interpreter, name, folders, reload)


def freeze():
    """Nothing is loaded again in this process from now on, whatever changes."""
    global _FROZEN
    _FROZEN = True


def _need(user, name, path):
    entry = _entry(user.interpreter, name, path)
    module = entry.get(reload=True)
    user.needs[entry] = entry.version
    return module


def _entry(interpreter, name, path):
    key = (interpreter, path)
    with _LOCK:
        entry = _ENTRIES.get(key)
        if entry is None:
            lock = _LOADS.setdefault(interpreter, Loading())
            entry = _ENTRIES[key] = Entry(interpreter, name, path, lock)
        return entry


def _spelled_in(folders, name):
    """The file of a module in the first of the folders that has it."""
    for folder in folders:
        path = os.path.join(folder, name + ".py")
        if os.path.isfile(path):
            return path
    return None


def _file_in(folders, name):
    """The same without links."""
    path = _spelled_in(folders, name)
    return path and os.path.realpath(path)


def find(interpreter, name, folders, reload, user=None):
    """The module of a name: a file of these folders, or one that Python itself finds. `user` are the globals of the module that asks."""
    key = (interpreter, name, *folders)
    if user is None:
        spelled, entry = _FOUND.get(key, _NOWHERE)
        if entry is not None:
            module = entry.current(spelled, reload)
        elif key in _PLAIN and not (reload and folders and "." not in name):
            module = _loaded(name)
        else:
            module = None
        if module is not None:
            return module
    if os.path.isabs(name):
        spelled, name = name, os.path.splitext(os.path.basename(name))[0]
        if not os.path.isfile(spelled):
            raise ImportError(f"there is no file {os.path.realpath(spelled)!r}", name=name)
    else:
        spelled = None if "." in name else _spelled_in(folders, name)
    if spelled is None:
        for folder in folders:
            # Behind everything else: a file of a site must not stand in the place of one of Python's own.
            if folder not in sys.path and os.path.isdir(folder):
                sys.path.append(folder)
        module = importlib.import_module(name)
        _PLAIN.add(key)
        return module
    entry = _entry(interpreter, name, os.path.realpath(spelled))
    module = entry.get(reload)
    if len(folders) < 2 or os.path.isabs(key[1]) or spelled == os.path.join(folders[0], name + ".py"):
        # In a later folder than the first it is found until an earlier one has it.
        _FOUND[key] = spelled, entry
    asking = (user or {}).get(_KEY)
    if asking is not None and asking is not entry:
        asking.needs[entry] = entry.version
    return module


def _loaded(name):
    """The module where Python has loaded it, and does not load it just now."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return None if spec is None or getattr(spec, "_initializing", False) else module


def use_path(expression):
    """PythonPath: an expression of Python for what sys.path is to be. What is new in its value is added, before or behind what is there;
    nothing is taken away, for other sites of the process have the same list.
    """
    if expression in _PATHS:
        return
    with _LOCK:
        value = _evaluated(expression)
        if not isinstance(value, (list, tuple)) or not all(isinstance(folder, str) for folder in value):
            raise TypeError(f"PythonPath {expression!r} is {type(value).__name__}, and must be a list of strings")
        last_known = max((at for at, folder in enumerate(value) if folder in sys.path), default=-1)
        first = [folder for folder in value[: last_known + 1] if folder not in sys.path]
        sys.path[:0] = first
        sys.path += [folder for folder in value if folder not in sys.path]
        _PATHS[expression] = True
