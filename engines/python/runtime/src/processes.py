# SPDX-License-Identifier: MIT OR Apache-2.0
"""The child processes of applications: they begin as a shell would start them, whatever the server process is like.

The threads of a server block all signals, for those of the server are for its main thread. What an application starts
must not inherit that, nor may the application unblock a signal in a thread of the server, as multiprocessing does. So
each thread has a second signal mask, the one that its children begin with; that is the one the application sees.

Compiled into the runtime and run once, when the interpreter starts.
"""

import _posixsubprocess
import atexit
import functools
import os
import posix
import signal
import sys
import threading
import traceback
from types import CodeType

_MASKS = threading.local()
_FORKED = False


def prepare(warn, leave_server, launch, note_inheritable, is_expected):
    """`warn` logs one line; `leave_server` is for forked children; `launch` is the engine's own fork_exec();
    `note_inheritable` is told of descriptors that children are to have; `is_expected` says whether it is the server that
    forks, for a process that answers requests."""
    _guard_handlers(warn)
    _guard_mask()

    def in_child():
        global _FORKED
        if _FORKED or is_expected():
            return
        _FORKED = True
        leave_server(sorted(_mask()))
        _become_main_thread()
        _leave_executor(sys._getframe())
        sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)

    os.register_at_fork(after_in_child=in_child)
    _replace(_posixsubprocess, "fork_exec", functools.partial(_fork_exec, _posixsubprocess.fork_exec, launch))
    for name in ("posix_spawn", "posix_spawnp"):
        real = getattr(posix, name)
        _replace(posix, name, functools.wraps(real)(functools.partial(_posix_spawn, real)))
    _replace(posix, "system", functools.wraps(posix.system)(functools.partial(_system, posix.system)))
    for function in (_set_inheritable, _dup2):
        name = function.__name__[1:]
        real = getattr(posix, name)
        _replace(posix, name, functools.wraps(real)(functools.partial(function, real, note_inheritable)))
    _replace(os, "execve", functools.wraps(os.execve)(functools.partial(_exec, os.execve)))
    _replace(os, "execv", functools.wraps(os.execv)(functools.partial(_exec, os.execv)))


def _replace(module, name, function):
    """In the module and in those that have taken the name from there."""
    real = getattr(module, name)
    setattr(module, name, function)
    for other, alias in (("os", name), ("posix", name), ("subprocess", "_fork_exec")):
        other = sys.modules.get(other)
        if getattr(other, alias, None) is real:
            setattr(other, alias, function)


# ---- signals -------------------------------------------------------------------------------------------------


def _guard_handlers(warn):
    set_handler = signal.signal

    @functools.wraps(set_handler)
    def signal_ignored(signalnum, handler):
        if _FORKED:
            return set_handler(signalnum, handler)
        caller = sys._getframe(1)
        place = f"{caller.f_code.co_filename} line {caller.f_lineno}"
        warn(
            f"signal.signal({signalnum!r}, ...) in {place} is ignored: signals belong to the web server; use atexit "
            "for work at the end of the process"
        )
        return signal.getsignal(signalnum)

    signal.signal = signal_ignored


def _mask():
    return getattr(_MASKS, "signals", frozenset())


def _guard_mask():
    real = signal.pthread_sigmask

    @functools.wraps(real)
    def pthread_sigmask(how, mask):
        if _FORKED:
            return real(how, mask)
        before = _mask()
        # An empty change has the real function check the arguments.
        real(signal.SIG_BLOCK if how in (signal.SIG_BLOCK, signal.SIG_UNBLOCK, signal.SIG_SETMASK) else how, ())
        given = frozenset(signal.valid_signals() & set(mask))
        if how == signal.SIG_BLOCK:
            _MASKS.signals = before | given
        elif how == signal.SIG_UNBLOCK:
            _MASKS.signals = before - given
        else:
            _MASKS.signals = given
        return set(before)

    signal.pthread_sigmask = pthread_sigmask


# ---- ways to start something ---------------------------------------------------------------------------------


def _fork_exec(real, launch, *arguments):
    if _FORKED:
        return real(*arguments)
    pid = launch(arguments, sorted(_mask()), _chdir_failed())
    return real(*arguments) if pid is None else pid


@functools.lru_cache(maxsize=None)
def _chdir_failed():
    """What this version's subprocess takes for a working directory that cannot be entered."""
    import subprocess

    return b"noexec:chdir" if "noexec:chdir" in _constants(subprocess.Popen._execute_child.__code__) else b"noexec"


def _constants(code):
    return [constant for constant in code.co_consts if not isinstance(constant, CodeType)]


def _posix_spawn(real, path, argv, env, **keywords):
    if not _FORKED:
        if keywords.get("setsigmask") is None:
            keywords["setsigmask"] = _mask()
        keywords["setsigdef"] = signal.valid_signals()
    return real(path, argv, env, **keywords)


def _system(real, command):
    """system(3) would also make this process ignore SIGINT and SIGQUIT for as long as the command runs, and the second
    one is how nginx is told to end."""
    if _FORKED:
        return real(command)
    sys.audit("os.system", command)
    command = os.fsencode(command)
    try:
        pid = posix.posix_spawn("/bin/sh", [b"sh", b"-c", command], os.environ)
    except OSError:
        return 127 << 8
    return os.waitpid(pid, 0)[1]


def _exec(real, *arguments):
    # Python ignores these two; subprocess takes that back, the os.spawn*() functions do not.
    if _FORKED:
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            if signal.getsignal(number) in (signal.SIG_IGN, None):
                signal.signal(number, signal.SIG_DFL)
    return real(*arguments)


def _set_inheritable(real, note_inheritable, fd, inheritable):
    """PEP 446: the application's own descriptors are inherited where it says so."""
    real(fd, inheritable)
    if inheritable and not _FORKED:
        note_inheritable(fd)


def _dup2(real, note_inheritable, fd, fd2, inheritable=True):
    real(fd, fd2, inheritable)
    if inheritable and not _FORKED:
        note_inheritable(fd2)
    return fd2


# ---- in a forked child ---------------------------------------------------------------------------------------


def _become_main_thread():
    """Makes the one thread of a forked child its main thread. Before 3.12 (gh-102512) Python forgets it where the thread
    was none of its own and `threading.current_thread()` had been asked for it: a child of multiprocessing, whatever its
    exit status was, then ended with 1."""
    main = threading.main_thread()
    if type(main) is not threading._DummyThread:
        return
    main.__class__ = threading._MainThread
    main._name, main._daemonic = "MainThread", False
    if getattr(main, "_tstate_lock", True) is None:
        main._set_tstate_lock()


def _leave_executor(frame):
    """A thread of an executor would wait for other work when this one has ended, and nobody is there to give it any."""
    executors = sys.modules.get("concurrent.futures.thread")
    if executors is None:
        return
    code = executors._WorkItem.run.__code__
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    future = getattr(frame and frame.f_locals.get("self"), "future", None)
    if future is not None:
        # Another thread may have had its lock.
        future._condition = threading.Condition()
        # Exit handlers wait for threads of executors, and this is the one that runs them.
        executors._threads_queues.pop(threading.current_thread(), None)
        future.add_done_callback(lambda done: end_child(done.exception()))


def end_child(error):
    """Ends a forked child that has left the application, as the end of a program: by a return or by an exception."""
    status = 1
    try:
        status = _status(error)
        for step in (threading._shutdown, atexit._run_exitfuncs, sys.stdout.flush, sys.stderr.flush):
            try:
                step()
            except BaseException as failure:
                if step is not atexit._run_exitfuncs:
                    traceback.print_exception(type(failure), failure, failure.__traceback__)
    finally:
        os._exit(status)


def _status(error):
    if isinstance(error, RuntimeError) and isinstance(error.__context__, SystemExit):
        # asyncio knows of no running loop in a child, which raises in what an exit goes through (scopes of anyio).
        error = error.__context__
    if error is None:
        return 0
    if not isinstance(error, SystemExit):
        traceback.print_exception(type(error), error, error.__traceback__)
        return 1
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)
    return 1
