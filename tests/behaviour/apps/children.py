# SPDX-License-Identifier: MIT OR Apache-2.0
"""What an application starts, in every way that Python has, and children that leave it."""

import atexit
import concurrent.futures
import gc
import json
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import pty
import signal
import subprocess
import sys
import threading

from gate import query

# Written by the shell alone, so that nothing between the application and what is looked at changes signals.
LOOK = 'cat /proc/self/status > "$1"; ls -l /proc/self/fd > "$1.fds"'


def shell(out):
    return ["/bin/sh", "-c", LOOK, "sh", out]


def by_fork(out, leave=None):
    pid = os.fork()
    if pid == 0:
        os.execv("/bin/sh", shell(out))
    os.waitpid(pid, 0)


def by_pty(out):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv("/bin/sh", shell(out))
    os.waitpid(pid, 0)
    os.close(terminal)


def by_thread(out):
    thread = threading.Thread(target=subprocess.run, args=[shell(out)])
    thread.start()
    thread.join()


def by_process(out, method):
    process = multiprocessing.get_context(method).Process(target=subprocess.run, args=[shell(out)])
    process.start()
    process.join()
    process.close()
    end_helpers()


WAYS = {
    "run": lambda out: subprocess.run(shell(out), check=True),
    "inherit": lambda out: subprocess.run(shell(out), check=True, close_fds=False),
    "preexec": lambda out: subprocess.run(shell(out), check=True, preexec_fn=lambda: None),
    "session": lambda out: subprocess.run(shell(out), check=True, start_new_session=True),
    "cwd": lambda out: subprocess.run(shell(out), check=True, cwd="/"),
    "system": lambda out: os.system(LOOK.replace("$1", out)),
    "popen": lambda out: os.popen(LOOK.replace("$1", out)).close(),
    "posix_spawn": lambda out: os.waitpid(os.posix_spawn("/bin/sh", shell(out), os.environ), 0),
    "posix_spawnp": lambda out: os.waitpid(os.posix_spawnp("sh", shell(out), {"PATH": "/bin"}), 0),
    "spawnv": lambda out: os.spawnv(os.P_WAIT, "/bin/sh", shell(out)),
    "fork": by_fork,
    "pty": by_pty,
    "thread": by_thread,
    "mp-fork": lambda out: by_process(out, "fork"),
    "mp-spawn": lambda out: by_process(out, "spawn"),
    "mp-forkserver": lambda out: by_process(out, "forkserver"),
}


def look(environ):
    asked = query(environ)
    WAYS[asked["way"]](asked["out"])
    with open(asked["out"]) as status, open(asked["out"] + ".fds") as descriptors:
        facts = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
        # The last one is the folder that ls reads.
        facts["fds"] = [line.split(maxsplit=8)[8] for line in descriptors.read().splitlines()[1:]]
    return json.dumps(facts)


def ended(process):
    try:
        return process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        return "still running"


def signals(environ):
    """How children end that are sent a signal, or that another program sends one."""
    found = {}
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGQUIT):
        process = subprocess.Popen(["sleep", "30"])
        process.send_signal(number)
        found[number.name] = ended(process)
    found["timeout"] = ended(subprocess.Popen(["timeout", "0.2", "sleep", "30"]))
    piped = subprocess.run(
        "yes | head -1; echo ${PIPESTATUS[0]}",
        shell=True, executable="/bin/bash", capture_output=True, text=True, timeout=10,
    )  # fmt: skip
    found["pipe"] = piped.stdout.split()
    found["system"] = os.waitstatus_to_exitcode(os.system("kill -TERM $$"))
    return json.dumps(found)


def end_helpers():
    """What multiprocessing keeps for the next process lives as long as the worker."""
    multiprocessing.forkserver._forkserver._stop()
    multiprocessing.resource_tracker._resource_tracker._stop()


def pools(environ):
    done = json.dumps(used(query(environ)["method"]))
    gc.collect()
    end_helpers()
    return done


def used(method):
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
        done = list(executor.map(abs, [-1, -2, -3]))
    with context.Pool(2) as pool:
        done += pool.map(abs, [-4, -5])
    return done


def failures(environ):
    """What cannot be started is said as everywhere."""
    found = []
    for words, options in (
        (["no-such-program-at-all"], {}),
        (["/no/such/program"], {}),
        (["/etc/passwd"], {}),
        (["true"], {"cwd": "/no/such/folder"}),
        (["a\0b"], {}),
    ):
        try:
            subprocess.run(words, **options)
        except Exception as error:
            found.append([type(error).__name__, getattr(error, "filename", None)])
    return json.dumps(found)


def masks(environ):
    """A thread's mask, as the application sees and sets it, is the one of its children."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    blocked = subprocess.check_output(["grep", "SigBlk", "/proc/self/status"], text=True).split()[1]
    during = signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    after = signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return json.dumps([sorted(before), int(blocked, 16), sorted(during), sorted(after)])


def note(path, text):
    with open(path, "a") as out:
        out.write(f"{text}\n")


def say(fd):
    """A program's arguments that writes to an inherited descriptor."""
    return ["/bin/bash", "-c", f"echo heard >&{fd}"]


def forked(program, change=lambda: None):
    pid = os.fork()
    if pid == 0:
        try:
            change()
            os.execv(program[0], program)
        finally:
            os._exit(99)
    os.waitpid(pid, 0)


# Where the descriptor was made inheritable: in the process of the application, or in its forked child.
INHERITORS = {
    "popen": (True, lambda fd: subprocess.run(say(fd), close_fds=False)),
    "preexec": (True, lambda fd: subprocess.run(say(fd), close_fds=False, preexec_fn=lambda: None)),
    "system": (True, lambda fd: os.system(f"/bin/bash -c '{say(fd)[2]}'")),
    "posix_spawn": (True, lambda fd: os.waitpid(os.posix_spawn("/bin/bash", say(fd), {}), 0)),
    "spawnv": (True, lambda fd: os.spawnv(os.P_WAIT, "/bin/bash", say(fd))),
    "fork": (True, lambda fd: forked(say(fd))),
    "child": (False, lambda fd: forked(say(fd), lambda: os.set_inheritable(fd, True))),
    "child-dup2": (False, lambda fd: forked(say(77), lambda: os.dup2(fd, 77))),
    "pass_fds": (False, lambda fd: subprocess.run(say(fd), pass_fds=[fd])),
    "dup2": (False, lambda fd: (os.dup2(fd, 88), subprocess.run(say(88), close_fds=False), os.close(88))),
    "no": (False, lambda fd: subprocess.run(say(fd), close_fds=False, stderr=subprocess.DEVNULL)),
    "no-longer": (
        True,
        lambda fd: (os.set_inheritable(fd, False), subprocess.run(say(fd), close_fds=False, stderr=subprocess.DEVNULL)),
    ),
}


def inherited(environ):
    """What programs write that were started in these ways to a pipe of the application's."""
    found = {}
    for way, (before, start) in INHERITORS.items():
        for _ in range(2):
            incoming, outgoing = os.pipe()
            os.set_blocking(incoming, False)
            if before:
                os.set_inheritable(outgoing, True)
            start(outgoing)
            os.close(outgoing)
            found[way] = os.read(incoming, 100).decode().strip()
            os.close(incoming)
    return json.dumps(found)


def leave(environ):
    """A child that leaves the handler as `how` says. The parent says how it ended."""
    asked = query(environ)
    pid = os.fork()
    if pid == 0:
        atexit.register(note, asked["out"], "exit handler")
        if asked["how"] == "return":
            return "from the child"
        if asked["how"] == "exit":
            sys.exit(5)
        if asked["how"] == "text":
            sys.exit("the last words of a child")
        if asked["how"] == "nested":
            inner = os.fork()
            if inner == 0:
                sys.exit(3)
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1]) + 4)
        if asked["how"] == "print":
            print("a child prints")
            environ["wsgi.errors"].write("a child writes\n")
            return "from the child"
        if asked["how"] == "read":
            environ["wsgi.input"].read()
        raise LookupError("the child has failed")
    return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def fork_and_leave(how):
    pid = os.fork()
    if pid == 0 and how == "exit":
        sys.exit(5)
    return pid


def by_executor(environ):
    """A child that leaves a function in a thread of an executor. The parent says how it ended."""
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        pid = executor.submit(fork_and_leave, query(environ)["how"]).result()
    timer = threading.Timer(10, os.kill, (pid, signal.SIGKILL))
    timer.start()
    status = os.waitpid(pid, 0)[1]
    timer.cancel()
    return str(os.waitstatus_to_exitcode(status))


def stream(environ, start_response):
    """A generator that forks; the child leaves it as `how` says."""
    how = query(environ)["how"]
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one "
    pid = os.fork()
    if pid == 0:
        if how == "yield":
            yield b"from the child"
        if how == "write":
            write(b"from the child")
        if how == "exit":
            sys.exit(5)
        return
    yield str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode()


class Closing:
    """An iterable whose close() forks."""

    def __init__(self, out):
        self.out = out

    def __iter__(self):
        return iter([b"closed by"])

    def close(self):
        pid = os.fork()
        if pid == 0:
            sys.exit(9)
        note(self.out, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def by_own_thread(environ):
    """A thread of the application's forks, and its child leaves that thread: no exit handler of the server may run in it."""
    found = []

    def work():
        pid = os.fork()
        if pid:
            found.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return json.dumps(found)


def speak(environ):
    """Lines by descriptors."""
    how = query(environ)["how"]
    if how == "fileno":
        return json.dumps([stream.fileno() > 0 for stream in (sys.stdout, sys.stderr, environ["wsgi.errors"])])
    if how == "child":
        subprocess.run(["echo", "a child's standard output"], stdout=sys.stderr, check=True)
        subprocess.run("echo a child\\'s standard error >&2", shell=True, stderr=sys.stdout, check=True)
    if how == "late":
        subprocess.Popen("sleep 0.5; echo later than its request", shell=True, stdout=sys.stderr)
    if how == "faulthandler":
        import faulthandler

        faulthandler.enable()
        faulthandler.dump_traceback()
        faulthandler.disable()
    if how == "attributes":
        return json.dumps([sys.stderr.write_through, sys.stderr.buffer.fileno() > 0, sys.stderr.isatty()])
    return "said"


def app(environ, start_response):
    name = environ["PATH_INFO"].strip("/").partition("/")[0]
    if name == "stream":
        return stream(environ, start_response)
    if name == "closing":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return Closing(query(environ)["out"])
    work = {
        "thread": by_own_thread, "look": look, "signals": signals, "pools": pools, "failures": failures, "masks": masks, "leave": leave,
        "speak": speak, "inherited": inherited, "executor": by_executor,
    }[name]  # fmt: skip
    body = work(environ).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
