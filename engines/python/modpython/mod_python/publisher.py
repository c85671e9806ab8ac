# SPDX-License-Identifier: MIT OR Apache-2.0
"""Modules as sites: `PythonHandler mod_python.publisher` has `/page.py/name` or `/page/name` call `name` of `page.py` with the fields of the form.

What a function answers is the page. Without a name it is `index`, without a file `index.py`. Names that begin with an underscore, modules
and classes are never published. `__auth__`, `__access__` and `__auth_realm__` say who may come.
"""

import base64
import binascii
import functools
import os
import types

from mod_python import _guards, apache, util

#: What a path may neither end at nor go through.
_PRIVATE = (type, types.ModuleType, types.BuiltinFunctionType, types.BuiltinMethodType, types.MethodWrapperType, types.WrapperDescriptorType)
#: What a path may end at and not go through: members of these are nobody's pages.
_LEAVES = (
    bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, type(None), type(Ellipsis), types.FunctionType,
    types.MethodType, types.GeneratorType, types.CodeType, types.FrameType, types.TracebackType, functools.partial, type(functools.lru_cache(len)),
)  # fmt: skip
_METHODS = ("GET", "HEAD", "POST")


def handler(req):
    """Answers a request with what its path stands for.

    Raises apache.SERVER_RETURN: 400 (Authorization or a form that is none), 401 and 403 (who may not come, private names), 404, 405.
    """
    if req.method not in _METHODS:
        # The server tells the client; HEAD is a matter of GET's.
        _allow(req)
        return apache.HTTP_METHOD_NOT_ALLOWED
    path, names = _resolve(req.filename, (req.path_info or "").strip("/"), getattr(req, "extension", None))
    # Before the module's code runs for a path that can be none of it.
    _check_names(names)
    req.filename = path
    kind = req.content_type
    module = apache.import_module(path)
    realm, user, password = process_auth(req, module)
    found = resolve_object(req, module, ".".join(names), realm, user, password)
    _allow(req)
    try:
        publish_object(req, found, kind)
    finally:
        # Its uploads are open files, and a request may be remembered until another one comes.
        req.__dict__.pop("form", None)
    return apache.OK


def _allow(req):
    req.allowed |= 1 << apache.M_GET | 1 << apache.M_POST


def _resolve(filename, rest, extension):
    """The file of the module, and the names of the path in it."""
    names = rest.replace("/", ".").split(".") if rest else []
    filename = (filename or "").rstrip("/")
    if not filename or "\0" in filename:
        raise apache.SERVER_RETURN(apache.HTTP_NOT_FOUND)
    if os.path.isdir(filename):
        folder, name = filename, "index"
    else:
        folder, name = os.path.split(filename)
        for suffix in (".py", extension):
            if suffix and name.endswith(suffix) and len(name) > len(suffix):
                name = name[: -len(suffix)]
                break
        if not os.path.isfile(os.path.join(folder, name + ".py")):
            # A name of index.py.
            names.insert(0, name)
            name = "index"
    path = os.path.join(folder, name + ".py")
    if name.startswith(("_", ".")):
        raise apache.SERVER_RETURN(apache.HTTP_FORBIDDEN)
    if not os.path.isfile(path):
        raise apache.SERVER_RETURN(apache.HTTP_NOT_FOUND)
    return path, names or ["index"]


def _check_names(names):
    for name in names:
        if name.startswith("_"):
            raise apache.SERVER_RETURN(apache.HTTP_FORBIDDEN)
        if not name.isidentifier():
            raise apache.SERVER_RETURN(apache.HTTP_NOT_FOUND)


def resolve_object(req, obj, object_str, realm=None, user=None, passwd=None):
    """What a path of names with dots between them stands for, from an object on; everything on the way may say who may come.

    Raises apache.SERVER_RETURN: 403 for names with an underscore in front and what is not published, 404 for names that are none, and what
    process_auth() does.
    """
    names = object_str.split(".")
    _check_names(names)
    for at, name in enumerate(names):
        if at and isinstance(obj, _LEAVES):
            _forbid(req, object_str, f"{names[at - 1]} has no pages below it")
        try:
            obj = getattr(obj, name)
        except AttributeError:
            raise apache.SERVER_RETURN(apache.HTTP_NOT_FOUND) from None
        if isinstance(obj, _PRIVATE):
            _forbid(req, object_str, f"{name} is a module, a class or one of Python's own")
        realm, user, passwd = process_auth(req, obj, realm, user, passwd)
    return obj


def _forbid(req, path, why):
    req.log_error(f"publisher: {path} is refused: {why}", apache.APLOG_WARNING)
    raise apache.SERVER_RETURN(apache.HTTP_FORBIDDEN)


# ---- pages ----


def publish_object(req, object, _kind=None):
    """Writes what an object stands for: a callable is called with the form's fields and `req`, other things are written as text, the items
    of a generator one after the other.

    Without a `content_type` of the application's, what begins or ends as a document of HTML is text/html and other text text/plain, both
    UTF-8. Answers whether there was anything.
    """
    if callable(object) and not isinstance(object, _PRIVATE):
        req.form = util.FieldStorage(req, keep_blank_values=1)
        return publish_object(req, util.apply_fs_data(object, req.form, req=req), _kind)
    if object is None:
        return False
    if hasattr(object, "__next__"):
        published = False
        for item in object:
            published |= publish_object(req, item, _kind)
        return published
    if not isinstance(object, (str, bytes, bytearray, memoryview)):
        object = str(object)
    if req.content_type == _kind and not req.sent_bodyct and not getattr(req, "_began", False):
        req.content_type = _type_of(object)
    # Of HEAD as well: the server sends its length alone.
    req.write(object, 0)
    return True


def _type_of(value):
    if not isinstance(value, str):
        value = bytes(value).decode("latin-1")
    first, last = value[:100].lower(), value[-100:].lower()
    is_html = "<html" in first or "<!doctype html" in first or "</html>" in last
    return "text/html; charset=utf-8" if is_html else "text/plain; charset=utf-8"


# ---- who may come ----


def process_auth(req, object, realm="unknown", user=None, passwd=None):
    """Lets a request pass, or raises apache.SERVER_RETURN: 401, 403, or 400 for credentials that are none.

    Looks for `__auth__` (what `(req, user, password)` is called with, a dictionary of passwords by user, or a truth value), `__access__` (what
    `(req, user)` is called with, a list of users, or a truth value) and `__auth_realm__` of the object, or written inside of a function.
    Answers realm, user and password for the objects below. What cannot be understood raises: it never lets anybody pass.
    """
    for guards in _guards.of(object):
        realm = guards.get("__auth_realm__", realm) or "unknown"
        if "__auth__" in guards:
            user, passwd = _authenticate(req, guards["__auth__"], realm)
            req.user, req.ap_auth_type = user, "Basic"
        if "__access__" in guards:
            allowed = guards["__access__"]
            if callable(allowed):
                allowed = allowed(req, user)
            elif isinstance(allowed, (list, tuple, set, frozenset, dict)):
                allowed = user is not None and user in allowed
            if not allowed:
                raise apache.SERVER_RETURN(apache.HTTP_FORBIDDEN)
    return realm, user, passwd


def _authenticate(req, allowed, realm):
    header = req.headers_in.get("Authorization")
    if header is None:
        _challenge(req, realm)
    user, password = _credentials(header)
    if callable(allowed):
        passes = allowed(req, user, password)
    elif hasattr(allowed, "get"):
        passes = _guards.is_same(allowed.get(user), password)
    else:
        passes = allowed
    if not passes:
        _challenge(req, realm)
    return user, password


def _credentials(header):
    """RFC 7617."""
    scheme, _, given = (header if isinstance(header, str) else "").partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError(scheme)
        plain = base64.b64decode(given.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise apache.SERVER_RETURN(apache.HTTP_BAD_REQUEST) from None
    try:
        text = plain.decode("utf-8")
    except UnicodeDecodeError:
        text = plain.decode("latin-1")
    user, colon, password = text.partition(":")
    if not colon or "\0" in text:
        raise apache.SERVER_RETURN(apache.HTTP_BAD_REQUEST)
    return user, password


def _challenge(req, realm):
    quoted = "".join(char for char in str(realm) if " " <= char <= "~").replace("\\", "\\\\").replace('"', '\\"')
    req.err_headers_out["WWW-Authenticate"] = f'Basic realm="{quoted}"'
    raise apache.SERVER_RETURN(apache.HTTP_UNAUTHORIZED)
