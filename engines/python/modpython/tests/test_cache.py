# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_python.cache."""

import gc
import http.server
import os
import threading

import pytest

from mod_python import cache


class Squares(cache.Cache):
    made = 0

    def build(self, key, name, opened, entry):
        self.made += 1
        return key * key


def test_values_are_made_once_and_the_oldest_leave():
    squares = Squares(2)
    assert [squares[n] for n in (2, 2, 3, 2, 4, 2, 3)] == [4, 4, 9, 4, 16, 4, 9]
    # 3 has left for 4, and is made again.
    assert squares.made == 4
    assert (squares.mru(), squares.lru()) == (3, 2)
    squares[7] = "set"
    assert squares[7] == "set"
    del squares[7]
    with pytest.raises(KeyError):
        del squares[7]
    squares.clear()
    with pytest.raises(KeyError):
        squares.lru()


def test_what_cannot_be_made_leaves_nothing_behind():
    class Fails(cache.Cache):
        def build(self, key, name, opened, entry):
            raise OSError("not now")

    fails = Fails()
    with pytest.raises(OSError, match="not now"):
        fails["x"]
    with pytest.raises(KeyError):
        fails.mru()


def test_threads_make_a_value_once():
    begun, go = threading.Event(), threading.Event()
    made = []

    class Slow(cache.Cache):
        def build(self, key, name, opened, entry):
            made.append(key)
            begun.set()
            go.wait(20)
            return key

    slow = Slow()
    threads = [threading.Thread(target=lambda: slow["x"]) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    go.set()
    for thread in threads:
        thread.join(20)
    assert made == ["x"]


def test_weak_values():
    class Value:
        pass

    class Weak(cache.WeakCache):
        def build(self, key, name, opened, entry):
            return Value()

    weak = Weak()
    held = weak["x"]
    assert weak["x"] is held
    del held
    gc.collect()
    with pytest.raises(KeyError):
        weak.mru()
    assert isinstance(weak["x"], Value)


def test_files_and_modules(tmp_path):
    file = tmp_path / "page.py"
    file.write_text("x = 1")
    files, modules = cache.FileCache(), cache.ModuleCache()
    assert files[str(file)] == b"x = 1" and cache.FileCache(mode="r")[str(file)] == "x = 1"
    first = modules[str(file)]
    assert first.x == 1 and modules[str(file)] is first
    file.write_text("x = 22")
    assert files[str(file)] == b"x = 22" and modules[str(file)].x == 22
    file.write_text("x = (")
    for _ in range(2):
        with pytest.raises(SyntaxError):
            modules[str(file)]
    os.unlink(file)
    with pytest.raises(FileNotFoundError):
        files[str(file)]


def test_functions():
    asked = []
    add = cache.FunctionCache(lambda a, b=0: asked.append((a, b)) or a + b)
    assert [add(1, b=2), add(1, b=2), add(3)] == [3, 3, 3]
    assert asked == [(1, 2), (3, 0)]


@pytest.fixture
def web():
    class Pages(http.server.BaseHTTPRequestHandler):
        asked = []

        def do_GET(self):
            self.asked.append((self.path, self.headers.get("If-None-Match")))
            if self.headers.get("If-None-Match") == '"1"':
                self.send_response(304)
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("ETag", '"1"')
            if self.path == "/kept":
                self.send_header("Cache-Control", "max-age=600")
            self.end_headers()
            self.wfile.write(b"a page")

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.asked, server.url = Pages.asked, f"http://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    thread.join(20)
    server.server_close()


def test_documents(web):
    pages = cache.HTTPCache()
    assert str(pages[web.url + "/kept"]) == "a page" and pages[web.url + "/kept"].entity == b"a page"
    assert [pages[web.url + "/asked"].entity for _ in range(2)] == [b"a page", b"a page"]
    assert web.asked == [("/kept", None), ("/asked", None), ("/asked", '"1"')]
    with pytest.raises(ValueError, match="no URL"):
        pages["file:///etc/passwd"]


def test_dates():
    assert cache.parseRFC822Time("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777
    with pytest.raises(ValueError, match="no date"):
        cache.parseRFC822Time("soon")


def test_code_of_others_is_not_run():
    with pytest.raises(AttributeError, match="ModuleCache"):
        cache.HttpModuleCache
