# SPDX-License-Identifier: MIT OR Apache-2.0
"""The cold paths of the Python engine: loading an application and explaining why it failed.

Compiled into the runtime and run once, when the interpreter starts. The path of a request is in Rust.
"""

import atexit
import gc
import importlib
import importlib.machinery
import importlib.util
import io
import os
import sys
import threading  # imported here, so that this thread is Python's main thread
import traceback
import types

FILE = "<gangway>"
WATCHED_FILES = 1000


class RequestTimeout(BaseException):
    """Raised in a request whose deadline has passed."""


RequestTimeout.__module__ = "gangway"


def prepare(argument, stdout, stderr):
    """Makes the interpreter what an application expects."""
    # The first one that is registered is the last one that runs.
    atexit.register(let_go, os.getpid())
    sys.argv = [argument]
    sys.stdout, sys.stderr = stdout, stderr
    module = types.ModuleType("gangway", "The Gangway server that runs this application.")
    module.RequestTimeout = RequestTimeout
    sys.modules.setdefault("gangway", module)


BUFFERED = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def let_go(process):
    """Leaves what the applications have to the end of the process.

    The interpreter would look for all cycles and free every object, which takes most of the time for its end: with frameworks
    0.15 s of a quiet processor, of the second that a worker has. Of that, only the files are missed.
    """
    if os.getpid() != process:
        # What a forked child finds in buffers is the server's.
        return
    for one in gc.get_objects():
        if issubclass(type(one), BUFFERED):
            try:
                one.flush()
            except Exception:
                # It is closed, or cannot be written to.
                pass
    gc.freeze()


# ---- the search path -----------------------------------------------------------------------------------------


class _Roots:
    """The roots of this process's applications, and a finder that refuses a name that two of them have."""

    def __init__(self):
        self.paths = []

    def add(self, root):
        if root in self.paths:
            return
        self.paths.append(root)
        if root not in sys.path:
            sys.path.insert(len(self.paths) - 1, root)
        if len(self.paths) == 2:
            sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        if path is None:
            holders = [root for root in self.paths if _has_module(root, name)]
            if len(holders) > 1:
                raise NameClash(name, holders[0], holders[1])
        return None

    def clash(self, root):
        """The module of another root that is imported already and that `root` has as well."""
        others = [other for other in self.paths if other != root]
        for name, module in list(sys.modules.items()):
            if "." in name or not others:
                continue
            home = _home(module)
            if home in others and _has_module(root, name):
                return NameClash(name, home, root)
        return None


class NameClash(ImportError):
    def __init__(self, name, first, second):
        super().__init__(
            f'module "{name}" is in {first} and in {second}, and one server process has one module of a name; '
            "rename one of the two",
            name=name,
        )


_ROOTS = _Roots()


def _has_module(root, name):
    base = os.path.join(root, name)
    if os.path.isfile(os.path.join(base, "__init__.py")):
        return True
    return any(os.path.isfile(base + suffix) for suffix in importlib.machinery.all_suffixes())


def _home(module):
    """The folder from which a top-level module was imported."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return None
    folder = os.path.dirname(file)
    return os.path.dirname(folder) if hasattr(module, "__path__") else folder


# ---- loading -------------------------------------------------------------------------------------------------


def add_root(root):
    """Puts the root on the search path; returns a line if it cannot share this process."""
    root = os.path.realpath(root)
    clash = _ROOTS.clash(root)
    if clash is not None:
        return str(clash)
    _ROOTS.add(root)
    return None


def known_modules():
    """What must stay when an attempt to load is undone."""
    return frozenset(sys.modules)


def load_module(name):
    return importlib.import_module(name)


def load_file(path):
    stem, extension = os.path.splitext(os.path.basename(path))
    if extension == ".py" and stem.isidentifier() and stem not in sys.modules:
        # Under its own name, so that a sibling that imports it gets this module and not a second one.
        spec = importlib.util.find_spec(stem)
        if spec is not None and spec.origin is not None and os.path.exists(spec.origin):
            if os.path.samefile(spec.origin, path):
                return importlib.import_module(stem)
    module = sys.modules.get(stem)
    if module is not None and getattr(module, "__file__", None) == path:
        return module
    name = "_gangway_" + "".join(c if c.isalnum() else "_" for c in path)
    if name in sys.modules:
        return sys.modules[name]
    loader = importlib.machinery.SourceFileLoader(name, path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, path, loader=loader))
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


class NoCallable(Exception):
    pass


def find_callable(module, path, interface):
    """The callable of a target; `path` may have dots."""
    found = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise NoCallable(_no_attribute(module, path, part, found is module)) from None
    if not callable(found):
        kind = type(found).__name__
        raise NoCallable(f'"{path}" in {_shown(module)} is not callable (it is a {kind}); name the {interface} application')
    return found


def _no_attribute(module, path, part, top):
    text = f'{_shown(module)} has no "{part}"' if top else f'"{path}" in {_shown(module)} does not exist'
    usual = ("application", "app", "wsgi_app", "wsgi", "asgi", "site")
    there = [name for name in usual if callable(getattr(module, name, None))]
    if there:
        return f'{text}, but it has "{there[0]}"; correct the name after the colon'
    return f"{text}; correct the name after the colon"


def _shown(module):
    file = getattr(module, "__file__", None)
    return f'module "{module.__name__}"' + (f" ({file})" if file else "")


def own_threads():
    """The names of the threads that an application has started."""
    return [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]


def forget(names):
    """Removes the modules of a failed attempt, so that the next one starts anew."""
    importlib.invalidate_caches()
    for name in names:
        sys.modules.pop(name, None)


def _imported_since(before, root):
    """The application's own modules that an attempt has imported."""
    if root is None:
        return []
    root = os.path.realpath(root)
    modules = list(sys.modules.items())
    return [name for name, module in modules if name not in before and _is_below(module, root)]


def _is_below(module, root):
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        # A namespace package has folders instead of a file.
        paths = list(getattr(module, "__path__", ()))
        file = os.path.join(paths[0], "x") if paths and isinstance(paths[0], str) else None
    if file is None:
        return False
    file = os.path.realpath(file)
    inside = file.startswith(root.rstrip("/") + "/")
    # A virtual environment is often kept inside the root; its packages are not the application's.
    return inside and not file.startswith(os.path.realpath(sys.prefix) + "/") and "/site-packages/" not in file


def own_files(before, target, root):
    """The files of the modules that are the application's own, without those of the packages that it uses."""
    names = dict.fromkeys([target, *_imported_since(before, root)])
    files = [target] + [getattr(sys.modules.get(name), "__file__", None) or "" for name in names]
    return list(dict.fromkeys(file for file in files if os.path.isabs(file)))[:WATCHED_FILES]


# ---- explaining ----------------------------------------------------------------------------------------------


def explain(error, target, root, venv, before):
    """(cause and cure in one line, the traceback's lines, the files whose change is a reason to try again, the
    modules to forget before that)"""
    if isinstance(error, (NameClash, NoCallable)):
        cause = str(error)
    elif isinstance(error, SyntaxError) and error.filename:
        cause = f"{type(error).__name__} in {error.filename} line {error.lineno}: {error.msg}; correct it"
    elif isinstance(error, ModuleNotFoundError) and error.name:
        cause = _missing(error.name, target, root, venv)
    else:
        cause = one_line(error) + "; the traceback is above"
    imported = _imported_since(before, root)
    files = [target] if os.path.isabs(target) else []
    return cause, lines(error), files + _watched(error, imported), imported


def _missing(name, target, root, venv):
    searched = " and ".join(
        [f"root {root}"] * (root is not None) + [f"venv {venv}"] * (venv is not None)
        or [f"the packages of {sys.prefix}"]
    )
    text = f'there is no module "{name}" (searched {searched})'
    closed = next((folder for folder in (root, venv) if folder is not None and not _is_open(folder)), None)
    if closed is not None:
        return f"{text}; the user of the server's workers may not read {closed}: open it and what is above to that user"
    if target == name or target.startswith(name + "."):
        if root is None:
            return f"{text}; add root= with the folder that holds it"
        return f"{text}; correct the target or root="
    pip = os.path.join(sys.prefix, "bin", "pip") if venv is not None else "pip"
    if root is not None and _has_module(root, name.partition(".")[0]):
        return f"{text}; correct the import"
    return f"{text}; install it with {pip} install, or correct the import"


def _is_open(folder):
    try:
        os.listdir(folder)
    except PermissionError:
        return False
    except OSError:
        pass
    return True


def one_line(error):
    """`ValueError: text at FILE line N in FUNCTION`"""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(its str() failed)"
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if not _own(frame.f_code.co_filename):
            place = f" at {frame.f_code.co_filename} line {line} in {frame.f_code.co_name}"
    return text[:500] + (place or "")


def lines(error):
    """The traceback without the frames of the engine and of importlib."""
    frames = error.__traceback__
    while frames is not None and _own(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    try:
        blocks = traceback.format_exception(type(error), error, frames)
    except Exception:
        blocks = [f"{type(error).__name__} (its traceback could not be formatted)"]
    return "".join(blocks).splitlines()


def _own(filename):
    return filename.startswith((FILE, "<frozen importlib")) or "/importlib/" in filename


def stack(ident):
    """The Python stack of a thread, innermost call last."""
    frame = sys._current_frames().get(ident)
    if frame is None:
        return []
    return "".join(traceback.format_stack(frame)).splitlines()


def _watched(error, imported):
    files = []
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        files += [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)]
        if isinstance(error, SyntaxError) and error.filename:
            files.append(error.filename)
        if isinstance(error, ImportError) and error.name:
            files += _candidates(error.name)
        if isinstance(error, OSError) and isinstance(error.filename, str):
            files.append(error.filename)
        error = error.__cause__ or error.__context__
    files += [getattr(sys.modules.get(name), "__file__", None) or "" for name in imported]
    return list(dict.fromkeys(file for file in files if os.path.isabs(file)))[:WATCHED_FILES]


def _candidates(name):
    """Where a missing module could appear. A folder changes when something is put into it."""
    parts = name.split(".")
    found = []
    for folder in sys.path:
        if not os.path.isdir(folder):
            continue
        for part in parts:
            found.append(folder)
            base = os.path.join(folder, part)
            found += [base + ".py", os.path.join(base, "__init__.py")]
            folder = base
    return found
