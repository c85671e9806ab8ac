# SPDX-License-Identifier: MIT OR Apache-2.0
"""Applications for the tests of the engine: the first part of the path names the function that answers."""

import atexit
import contextvars
import gc
import gzip
import io
import os
import sys
import tempfile
import threading
import time
import warnings

TEXT = [("Content-Type", "text/plain")]
EVENTS = []


def application(environ, start_response):
    return globals()[environ["PATH_INFO"].strip("/").partition("/")[0] or "hello"](environ, start_response)


def debugged(environ, start_response):
    return application(environ, start_response)


def hello(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"hello"]


def events(environ, start_response):
    start_response("200 OK", TEXT)
    text = " ".join(EVENTS)
    EVENTS.clear()
    return [text.encode()]


class Blocks:
    """An iterable that notes what happens to it."""

    def __init__(self, blocks, fail_at=None):
        self.blocks = iter(blocks)
        self.fail_at = fail_at
        self.count = 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.count == self.fail_at:
            EVENTS.append("fail")
            raise ValueError("in the middle")
        self.count += 1
        block = next(self.blocks)
        EVENTS.append("block")
        return block

    def close(self):
        EVENTS.append("close")


# ---- environ ---------------------------------------------------------------------------------------------------


def environ_types(environ, start_response):
    assert type(environ) is dict
    for key, value in environ.items():
        assert type(key) is str, key
        if not key.startswith(("wsgi.", "gangway.")):
            assert type(value) is str, (key, value)
            value.encode("latin-1")
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.run_once"] is False
    assert environ["wsgi.input_terminated"] is True
    assert environ["wsgi.errors"] is not None
    environ["mine"] = "kept out of the next request"
    environ["SERVER_NAME"] = "spoilt"
    environ.pop("wsgi.errors")
    return hello(environ, start_response)


def dump(environ, start_response):
    start_response("200 OK", TEXT)
    keys = [key for key in sorted(environ) if not key.startswith(("wsgi.input", "wsgi.errors", "wsgi.file", "gangway"))]
    return [f"{key}={environ[key]!r}\n".encode("utf-8") for key in keys]


def validated(environ, start_response):
    from wsgiref.validate import validator

    def inner(environ, start_response):
        body = environ["wsgi.input"].read(3) + environ["wsgi.input"].readline()
        environ["wsgi.errors"].write("validated\n")
        environ["wsgi.errors"].flush()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    return validator(inner)(environ, start_response)


# ---- input -----------------------------------------------------------------------------------------------------


def echo(environ, start_response):
    start_response("200 OK", TEXT)
    return [environ["wsgi.input"].read()]


def reads(environ, start_response):
    stream = environ["wsgi.input"]
    parts = []
    for size in environ["QUERY_STRING"].split(","):
        kind, _, number = size.partition(":")
        argument = [int(number)] if number else []
        parts.append(getattr(stream, kind)(*argument))
    start_response("200 OK", TEXT)
    return [repr(parts).encode()]


def lines(environ, start_response):
    start_response("200 OK", TEXT)
    return [b"|".join(environ["wsgi.input"])]


def count_body(environ, start_response):
    total = 0
    stream = environ["wsgi.input"]
    while True:
        data = stream.read(65536)
        if not data:
            break
        total += len(data)
    start_response("200 OK", TEXT)
    return [str(total).encode()]


def file_protocol(environ, start_response):
    stream = environ["wsgi.input"]
    buffer = bytearray(5)
    count = stream.readinto(buffer)
    text = io.TextIOWrapper(io.BufferedReader(Raw(stream)), encoding="utf-8").read()
    start_response("200 OK", TEXT)
    return [repr((count, bytes(buffer), text, stream.readable(), stream.closed)).encode()]


class Raw(io.RawIOBase):
    def __init__(self, stream):
        self.stream = stream

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.stream.readinto(buffer)


def read_elsewhere(environ, start_response):
    """As asynchronous views do under WSGI: the request's thread waits for the one that reads."""
    results = []

    def read():
        results.append(environ["wsgi.input"].read())
        try:
            write(b"not from here")
        except RuntimeError as error:
            results.append(str(error).encode())

    write = start_response("200 OK", TEXT)
    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    return results


def left_behind(environ, start_response):
    """A thread still reads when the request ends."""
    started = threading.Event()

    def read():
        started.set()
        try:
            environ["wsgi.input"].read()
        except OSError:
            pass
        EVENTS.append("read")

    threading.Thread(target=read).start()
    started.wait()
    time.sleep(0.05)
    return hello(environ, start_response)


def broken_body(environ, start_response):
    results = []
    for _ in range(2):
        try:
            environ["wsgi.input"].read()
        except OSError as error:
            results.append(type(error).__name__)
    start_response("200 OK", TEXT)
    return [" ".join(results).encode()]


KEPT = {}


def keep(environ, start_response):
    write = start_response("200 OK", TEXT)
    kept = {
        "input": environ["wsgi.input"],
        "disconnected": environ["gangway.disconnected"],
        "start_response": start_response,
        "write": write,
    }
    name = environ["QUERY_STRING"]
    KEPT[name] = kept[name]
    return [b"kept"]


def use_kept(environ, start_response):
    uses = {
        "input": lambda kept: [kept.read(), kept.read(0)],
        "disconnected": lambda kept: kept(),
        "start_response": lambda kept: kept("200 OK", []),
        "write": lambda kept: kept(b"stray"),
    }
    name = environ["QUERY_STRING"]
    try:
        text = repr(uses[name](KEPT.pop(name)))
    except ValueError as error:
        text = str(error)
    start_response("200 OK", TEXT)
    return [text.encode()]


# ---- start_response ----------------------------------------------------------------------------------------------


def head(environ, start_response):
    """The query is evaluated as the arguments of start_response."""
    start_response(*eval(environ["QUERY_STRING"]))
    return [b"body"]


def second_start(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b"never"]


def replaced(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        raise KeyError("x")
    except KeyError:
        start_response("500 Oops", [("X-Replaced", "yes")], sys.exc_info())
    return [b"replaced"]


def too_late(environ, start_response):
    write = start_response("200 OK", TEXT)
    write(b"sent")
    try:
        raise KeyError("the original")
    except KeyError:
        start_response("500 Oops", TEXT, sys.exc_info())
    return [b"never"]


def caught(environ, start_response):
    try:
        start_response("200 OK", [("X-Bad", "a\r\nb")])
    except ValueError:
        start_response("200 OK", [("X-Good", "yes")])
    return [b"healed"]


def never_started(environ, start_response):
    return [b"body"]


def started_late(environ, start_response):
    yield b""
    start_response("200 OK", TEXT)
    yield b"late"


def write_callable(environ, start_response):
    write = start_response("200 OK", TEXT)
    assert write(b"one ") is None
    write(b"")
    write(b"two ")
    return [b"three"]


def write_str(environ, start_response):
    start_response("200 OK", TEXT)("text")
    return []


# ---- iterables ---------------------------------------------------------------------------------------------------


def empty_list(environ, start_response):
    start_response(environ["QUERY_STRING"] or "200 OK", TEXT)
    return []


def pair(environ, start_response):
    start_response("200 OK", TEXT)
    return (b"one", b"", b"two")


def generator(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"one"
    yield b""
    yield b"two"


def empty_generator(environ, start_response):
    start_response("200 OK", TEXT)
    return iter(())


def iterator_object(environ, start_response):
    start_response("200 OK", TEXT)
    return Blocks([b"one", b"two"])


def returns(environ, start_response):
    start_response("200 OK", TEXT)
    return eval(environ["QUERY_STRING"])


def too_much(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return Blocks([b"abc", b"defgh", b"never"])


def large(environ, start_response):
    start_response("200 OK", TEXT)
    return Blocks([b"x" * 100000, b"y" * 20000])


class Tracked(bytes):
    alive = 0

    def __new__(cls, size):
        Tracked.alive += 1
        return super().__new__(cls, size)

    def __del__(self):
        Tracked.alive -= 1


class Loud(bytes):
    def __del__(self):
        print("freed", len(self))


def loud(environ, start_response):
    start_response("200 OK", TEXT)
    return [Loud(int(environ["QUERY_STRING"]))]


def blocks_allocated(environ, start_response):
    gc.collect()
    start_response("200 OK", TEXT)
    return [str(sys.getallocatedblocks()).encode()]


def tracked(environ, start_response):
    start_response("200 OK", TEXT)
    return [Tracked(int(environ["QUERY_STRING"]))]


def tracked_alive(environ, start_response):
    start_response("200 OK", TEXT)
    return [str(Tracked.alive).encode()]


def endless(environ, start_response):
    start_response("200 OK", TEXT)
    return Blocks(iter(lambda: b"x" * 1000, None))


# ---- errors ------------------------------------------------------------------------------------------------------


def raises(environ, start_response):
    raise ValueError("<b>wrong</b>")


def raises_exit(environ, start_response):
    sys.exit(3)


def raises_interrupt(environ, start_response):
    raise KeyboardInterrupt


def raises_in_the_middle(environ, start_response):
    start_response("200 OK", TEXT)
    return Blocks([b"part"], fail_at=1)


def raises_at_once(environ, start_response):
    start_response("200 OK", TEXT)
    return Blocks([b"part"], fail_at=0)


class BadClose(Blocks):
    def close(self):
        super().close()
        raise RuntimeError("close failed")


def bad_close(environ, start_response):
    start_response("200 OK", TEXT)
    return BadClose([b"fine"])


def raises_when_gone(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"x" * 100
    if environ["gangway.disconnected"]():
        raise RuntimeError("client gone")


# ---- files -------------------------------------------------------------------------------------------------------


def make_file(content=b"0123456789" * 1000):
    file = tempfile.TemporaryFile()
    file.write(content)
    file.seek(0)
    return file


def file(environ, start_response):
    opened = make_file()
    opened.seek(int(environ["QUERY_STRING"] or 0))
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](opened, 4096)


def file_with_length(environ, start_response):
    start_response("200 OK", [("Content-Length", "15")])
    return environ["wsgi.file_wrapper"](make_file())


def file_read_before(environ, start_response):
    opened = make_file()
    opened.read(3)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](opened)


def named_file(environ, start_response):
    opened = tempfile.NamedTemporaryFile()
    opened.write(b"named")
    opened.flush()
    opened.seek(0)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](opened)


class NotingFile(io.BytesIO):
    def close(self):
        EVENTS.append("file closed")
        super().close()


def memory_file(environ, start_response):
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](NotingFile(b"in memory"), 4)


def gzip_file(environ, start_response):
    packed = tempfile.TemporaryFile()
    with gzip.GzipFile(fileobj=packed, mode="wb") as out:
        out.write(b"unpacked")
    packed.seek(0)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](gzip.GzipFile(fileobj=packed))


def iterated_file(environ, start_response):
    wrapper = environ["wsgi.file_wrapper"](make_file(b"abcdef"), 4)
    start_response("200 OK", TEXT)
    return [b"|".join(wrapper)]


class Closeless:
    def __init__(self):
        self.left = [b"a", b"b"]

    def read(self, size):
        return self.left.pop(0) if self.left else b""


def closeless_file(environ, start_response):
    wrapper = environ["wsgi.file_wrapper"](Closeless())
    assert not hasattr(wrapper, "close")
    start_response("200 OK", TEXT)
    return wrapper


def pipe_file(environ, start_response):
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    start_response("200 OK", TEXT)
    return environ["wsgi.file_wrapper"](os.fdopen(reading, "rb"))


# ---- log ---------------------------------------------------------------------------------------------------------


def prints(environ, start_response):
    print("one", 1)
    print("two\nthree")
    print("part", end="")
    sys.stderr.write("err\n")
    environ["wsgi.errors"].writelines(["w1\n", "w2\n"])
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful")
    print("\udcff snowman \u2603")
    sys.stdout.buffer.write(b"bytes\n")
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()
    print("descriptor", sys.stdout.fileno())
    print("x" * 20000)
    print("tail", end="")
    return hello(environ, start_response)


def sets_signal(environ, start_response):
    import signal

    signal.signal(signal.SIGTERM, lambda *_: None)
    return hello(environ, start_response)


# ---- interpreter -------------------------------------------------------------------------------------------------


def facts(environ, start_response):
    values = {
        "prefix": sys.prefix,
        "executable": sys.executable,
        "argv": sys.argv,
        "version": "%d.%d" % sys.version_info[:2],
        "path0": sys.path[0],
        "encoding": sys.getfilesystemencoding(),
        "set": os.environ.get("GANGWAY_TEST_SET"),
        "file": os.environ.get("GANGWAY_TEST_FILE"),
        "main": threading.main_thread() is threading.current_thread(),
        "multithread": environ["wsgi.multithread"],
        "multiprocess": environ["wsgi.multiprocess"],
    }
    start_response("200 OK", TEXT)
    return [repr(values).encode()]


VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def context(environ, start_response):
    seen = VARIABLE.get()
    VARIABLE.set("set by a request")
    start_response("200 OK", TEXT)
    return [seen.encode()]


STUCK = threading.Event()


def stuck(environ, start_response):
    STUCK.set()
    while True:
        time.sleep(0.001)


def stuck_and_swallows(environ, start_response):
    from gangway import RequestTimeout

    STUCK.set()
    try:
        while True:
            time.sleep(0.001)
    except RequestTimeout:
        EVENTS.append("swallowed")
    return hello(environ, start_response)


def wait_until_stuck(environ, start_response):
    STUCK.wait()
    STUCK.clear()
    return hello(environ, start_response)


def count_a_little(environ, start_response):
    return [start_response("200 OK", TEXT) and str(sum(range(100000))).encode()]


def starts_threads(environ, start_response):
    def forever():
        while True:
            print("daemon")
            time.sleep(0.001)

    def a_while():
        time.sleep(0.2)
        print("non-daemon thread has ended")

    threading.Thread(target=forever, daemon=True).start()
    # A thread of a thread that Python did not start would be a daemon by default.
    threading.Thread(target=a_while, daemon=False).start()
    return hello(environ, start_response)


def executor(environ, start_response):
    import concurrent.futures

    global POOL
    POOL = concurrent.futures.ThreadPoolExecutor(2)
    start_response("200 OK", TEXT)
    return [POOL.submit(lambda: b"from an executor").result()]


@atexit.register
def goodbye():
    print("goodbye from atexit")
