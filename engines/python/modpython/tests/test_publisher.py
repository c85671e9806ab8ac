# SPDX-License-Identifier: MIT OR Apache-2.0
"""The publisher: which paths are pages, what they get and answer, and who may come."""

import base64
import itertools
import sys

import pytest

from mod_python import _guards, apache, publisher
from mod_python._request import Request

NUMBERS = itertools.count()

SITE = '''
import os
import functools
from os import system, listdir
from mod_python import apache

ran = True
text = "a text"
number = 5
pair = ["one", "two"]
_secret = "secret"
nothing = None

def index(req, who="nobody"):
    return "index of " + who

def page(req, a, b="default", _c="private"):
    return f"{a} {b}"

def html(req):
    return "<html><p>x</p></html>"

def typed(req):
    req.content_type = "image/x-own"
    return b"\\x00</"

def rows(req):
    for n in range(3):
        yield f"row {n}\\n"

def writes(req):
    req.write("written")

def silent(req):
    pass

def fields(req):
    return repr(sorted(req.form.keys()))

def answers_class(req):
    return Tree

class Tree:
    label = "leaf"
    _hidden = "secret"
    def __init__(self):
        self.below = None
        self.data = {"key": "value"}
    def method(self, req, a="1"):
        return "method " + a
    def __call__(self, req):
        return "called"

tree = Tree()
tree.below = Tree()
tree.below.label = "deep"
partial = functools.partial(page, a="given")

def guarded(req):
    def __auth__(req, user, password):
        return user == "eve" and password == "apple"
    def __access__(req, user):
        return user == "eve"
    __auth_realm__ = "inner"
    return "guarded for " + req.user

def listed(req):
    __auth__ = {"eve": "apple", "adam": "rib", "nobody": None}
    __access__ = ["eve"]
    __auth_realm__ = 'a "realm"'
    return "listed"

def closed(req):
    __access__ = 0
    return "never"

def opened(req):
    __access__ = True
    return "open"

def unclear(req):
    __auth__ = {"eve": os.environ["HOME"]}
    return "never"

def unclear_twice(req):
    if req:
        __access__ = 1
    return "never"

def closure(req):
    wanted = "apple"
    def __auth__(req, user, password):
        return password == wanted
    return "never"

def given(req, __access__=0):
    return "never"

def decorate(function):
    @functools.wraps(function)
    def wrapper(req):
        return function(req)
    return wrapper

@decorate
def decorated(req):
    __access__ = 0
    return "never"

@functools.lru_cache
def remembered(req):
    __access__ = 0
    return "never"

remembered_in_part = functools.partial(remembered)

class Remembering:
    @functools.lru_cache
    def method(self, req):
        __access__ = 0
        return "never"

remembering = Remembering()

class Decorator:
    def __init__(self, function):
        functools.update_wrapper(self, function)
    def __call__(self, req):
        return self.__wrapped__(req)

@Decorator
def decorated_by_an_object(req):
    __access__ = 0
    return "never"

def attribute(req):
    return "never"
attribute.__access__ = 0

class Guarded:
    __auth__ = {"eve": "apple"}
    open = "never without"
    def method(self, req):
        return "method of " + req.user

behind = Guarded()
'''


@pytest.fixture
def site(transaction, tmp_path):
    """Asks for a path of a site in a folder of its own."""
    folder = tmp_path / f"site{next(NUMBERS)}"
    folder.mkdir()
    (folder / "page.py").write_text(SITE)

    def ask(path, query=None, method="GET", user=None, header=None):
        request = Request(type(transaction)())
        # As httpd: the first name that is no folder, and the rest.
        name, _, rest = path.lstrip("/").partition("/")
        request.filename = f"{folder}/{name}"
        request.path_info = "/" + rest if rest or path.endswith("/") else ""
        request.uri, request.args = path, query
        request._transaction.texts[type(request).__dict__["method"].number] = method
        if user:
            header = "Basic " + base64.b64encode(user.encode()).decode()
        if header:
            request.headers_in["Authorization"] = header
        request.interpreter = str(folder)
        outer = apache._CURRENT.replace(request)
        try:
            status = publisher.handler(request)
        except apache.SERVER_RETURN as error:
            status = error.args[0]
        finally:
            apache._CURRENT.replace(outer)
        ask.request = request
        return b"".join(request._transaction.written).decode() if status == apache.OK else status

    ask.folder = folder
    yield ask
    for name in ("page", "index"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        ("/page.py", None, "index of nobody"),
        ("/page.py/", "who=you", "index of you"),
        ("/page", None, "index of nobody"),
        ("/page/index", "unknown=1&req=2", "index of nobody"),
        ("/page.py/page", "a=1", "1 default"),
        ("/page.py/page", "a=1&b=2&a=3", "['1', '3'] 2"),
        ("/page.py/page", "b=2", 400),
        ("/page.py/text", None, "a text"),
        ("/page.py/number", None, "5"),
        ("/page.py/pair", None, "['one', 'two']"),
        ("/page.py/rows", None, "row 0\nrow 1\nrow 2\n"),
        ("/page.py/writes", None, "written"),
        ("/page.py/silent", None, ""),
        ("/page.py/nothing", None, ""),
        ("/page.py/fields", "a=&b", "['a', 'b']"),
        ("/page.py/partial", "b=2", "given 2"),
        ("/page.py/tree", None, "called"),
        ("/page.py/tree/method", "a=2", "method 2"),
        ("/page.py/tree/below/label", None, "deep"),
        ("/page.py/tree.below.label", None, "deep"),
        ("/page.py/absent", None, 404),
        ("/page.py/tree/absent", None, 404),
        ("/absent", None, 404),
    ],
)
def test_pages(site, path, query, expected):
    assert site(path, query) == expected


@pytest.mark.parametrize(
    "path",
    [
        "_secret", "__doc__", "__builtins__", "tree/_hidden", "tree/__class__", "tree/__init__/__globals__", "tree/method/__func__", "os", "os/system",
        "apache", "system", "listdir", "Tree", "Tree/label", "Tree/method", "page/im_func", "page/func_globals", "text/upper", "pair/append",
        "number/real", "tree/data/keys", "rows/gi_frame", "index/index", "functools/partial", "partial/keywords", "partial/func", "remembered/cache_parameters", "tree.__class__", "tree/below/_hidden",
    ],
)  # fmt: skip
def test_what_is_never_published(site, path):
    assert site(f"/page.py/{path}") in (403, 404)
    assert site(f"/page/{path}") in (403, 404)


@pytest.mark.parametrize(
    "path",
    ["/page.py/a b", "/page.py/a\0b", "/page.py/\u2160ndex", "/page.py/..", "/page.py/tree/../_secret", "/page.py/tree//label",
     "/..", "/.hidden", "/page.py/%5fsecret", "/page.py/" + "a/" * 5000],
)  # fmt: skip
def test_hostile_paths(site, path):
    assert site(path) in (403, 404)


def test_private_modules_and_modules_that_are_none(site):
    (site.folder / "_private.py").write_text("def index(req): return 'never'")
    (site.folder / ".hidden.py").write_text("def index(req): return 'never'")
    (site.folder / "folder.py").mkdir()
    for path in ("/_private.py", "/_private", "/.hidden.py", "/.hidden"):
        assert site(path) == 403, path
    assert site("/folder.py") == 404
    # A path that can be none of the module's does not run its code.
    (site.folder / "runs.py").write_text("raise SystemError('it has run')")
    assert site("/runs.py/_x") == 403


def test_names_of_the_index(site):
    (site.folder / "index.py").write_text("def index(req):\n    return 'home'\ndef about(req):\n    return 'about'\n_x = 1\n")
    assert site("/") == "home"
    assert site("/about") == "about"
    assert site("/about/more") == 403
    assert site("/_x") == 403
    assert site("/absent") == 404


def test_types_of_pages(site):
    for path, kind in (("text", "text/plain; charset=utf-8"), ("html", "text/html; charset=utf-8"), ("typed", "image/x-own")):
        site(f"/page.py/{path}")
        assert site.request.content_type == kind, path


def test_methods(site):
    assert site("/page.py/text", method="HEAD") == "a text"
    for method in ("PUT", "DELETE", "OPTIONS", "get", ""):
        assert site("/page.py/text", method=method) == 405
        assert site.request.allowed == 1 << apache.M_GET | 1 << apache.M_POST


def test_a_class_that_is_answered_is_not_made(site):
    assert "class" in site("/page.py/answers_class")


# ---- who may come ----


def test_guards_inside_of_functions(site):
    assert site("/page.py/guarded") == 401
    assert site.request.err_headers_out["WWW-Authenticate"] == 'Basic realm="inner"'
    assert site("/page.py/guarded", user="eve:rib") == 401 and site.request.user is None
    assert site("/page.py/guarded", user="eve:apple") == "guarded for eve"
    assert site("/page.py/listed") == 401
    assert site.request.err_headers_out["WWW-Authenticate"] == 'Basic realm="a \\"realm\\""'
    assert site("/page.py/listed", user="eve:apple") == "listed"
    assert site("/page.py/listed", user="adam:rib") == 403
    for wrong in ("eve:", "eve:appl", "eve:apple ", "nobody:", "nobody:None", "unknown:x", ":"):
        assert site("/page.py/listed", user=wrong) == 401, wrong
    assert site("/page.py/closed") == 403
    assert site("/page.py/opened") == "open"
    assert site("/page.py/decorated") == 403
    for path in ("remembered", "remembered_in_part", "remembering/method", "decorated_by_an_object"):
        assert site(f"/page.py/{path}") == 403, path
    assert site("/page.py/attribute") == 403


def test_what_wraps_itself_has_an_end():
    class Wrapper:
        def __call__(self, req):
            return "page"

    circle = Wrapper()
    circle.__wrapped__ = circle
    assert list(_guards.of(circle)) == []


@pytest.mark.parametrize("header", ["Basic", "Basic !", "Bearer x", "Basic " + base64.b64encode(b"eve").decode(), "Basic " + base64.b64encode(b"e\0:x").decode()])
def test_credentials_that_are_none(site, header):
    assert site("/page.py/listed", header=header) == 400


def test_guards_that_are_not_understood_let_nobody_pass(site):
    for path in ("unclear", "unclear_twice", "closure", "given"):
        for user in (None, "eve:apple"):
            with pytest.raises(_guards.NotUnderstood):
                site(f"/page.py/{path}", "__access__=1", user=user)


def test_guards_of_objects_hold_for_what_is_below(site):
    assert site("/page.py/behind/open") == 401
    assert site("/page.py/behind/method") == 401
    assert site("/page.py/behind/method", user="eve:apple") == "method of eve"


def test_guards_of_modules_hold_for_all_pages(site):
    (site.folder / "closed.py").write_text(
        "__auth_realm__ = 'outer'\ndef __auth__(req, user, password): return password == 'apple'\n__access__ = ['eve']\n"
        "def index(req): return 'inside'\nvalue = 1\n"
    )
    for path in ("/closed", "/closed.py/value", "/closed/absent"):
        assert site(path) == 401, path
        assert site(path, user="adam:apple") == 403, path
    assert site("/closed", user="eve:apple") == "inside"
    sys.modules.pop("closed", None)


def test_realms_cannot_split_a_head(site):
    (site.folder / "realm.py").write_text("__auth_realm__ = 'a\\r\\nSet-Cookie: x'\n__auth__ = 0\n")
    assert site("/realm") == 401
    assert site.request.err_headers_out["WWW-Authenticate"] == 'Basic realm="aSet-Cookie: x"'
    sys.modules.pop("realm", None)


def test_a_check_that_raises_lets_nobody_pass(site):
    (site.folder / "raises.py").write_text("def __auth__(req, user, password): raise ValueError\ndef index(req): return 'never'\n")
    with pytest.raises(ValueError):
        site("/raises", user="a:b")
    sys.modules.pop("raises", None)
