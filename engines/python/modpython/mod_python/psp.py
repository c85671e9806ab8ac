# SPDX-License-Identifier: MIT OR Apache-2.0
"""Python Server Pages: `AddHandler mod_python .psp` with `PythonHandler mod_python.psp`, or templates that a handler runs itself.

A page knows `req`, `psp` (a PSPInterface), and, where it names them, `session` and `form`.
"""

import collections
import html
import os
import sys
import threading

from mod_python import Session, _psp_parser, apache, util

__all__ = ["PSP", "PSPInterface", "handler", "parse", "parsestring"]

#: Pages that are kept, with what was made of them.
_MOST = 512
_KEPT = collections.OrderedDict()
_GUARD = threading.Lock()


def parse(filename, dir=None):
    """The Python code of a page, as text. Raises OSError, and SyntaxError with the page's line for marks that are not closed."""
    path = os.path.join(dir, filename) if dir else filename
    return _psp_parser.Page(_psp_parser.read(path), path, os.path.dirname(path)).code


def parsestring(string):
    """The Python code of a page that is given as text."""
    return _psp_parser.Page(string, "<psp>", "").code


def _is_fresh(files):
    try:
        return all(_psp_parser.stamp(path) == stamp for path, stamp in files)
    except OSError:
        return False


def _load(path):
    """The code of a file, made anew when it or what it includes has changed. Raises OSError, SyntaxError."""
    with _GUARD:
        kept = _KEPT.get(path)
        if kept is not None:
            _KEPT.move_to_end(path)
    if kept is not None and _is_fresh(kept[1]):
        return kept[0]
    own = path, _psp_parser.stamp(path)
    page = _psp_parser.Page(_psp_parser.read(path), path, os.path.dirname(path))
    code = page.compile()
    with _GUARD:
        _KEPT[path] = code, [own, *page.files]
        while len(_KEPT) > _MOST:
            _KEPT.popitem(last=False)
    return code


def _names(code):
    """All names that are looked up globally, in functions as well."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            found |= _names(constant)
    return found


class PSPInterface:
    """`psp` in a page."""

    def __init__(self, req, filename, form):
        self.req, self.filename, self._form = req, filename, form
        self.error_page = None

    def set_error_page(self, filename):
        """Has another page run where this one raises: it finds what sys.exc_info() tells as `exception`.

        A path from "/" on is one below DocumentRoot, any other is beside the page. Raises OSError, SyntaxError.
        """
        if filename.startswith("/"):
            filename = os.path.join(self.req.document_root() or "/", filename.lstrip("/"))
        else:
            filename = os.path.join(os.path.dirname(self.filename), filename)
        self.error_page = PSP(self.req, filename)

    def apply_data(self, object, **kw):
        """Calls something with the fields of the form, and `kw`; answers what it answers."""
        if self._form is None:
            self._form = util.FieldStorage(self.req, keep_blank_values=1)
        return util.apply_fs_data(object, self._form, **kw)

    def redirect(self, location, permanent=0):
        """Sends the client elsewhere, and ends the page. Raises OSError when something has been written already."""
        util.redirect(self.req, location, permanent)


class PSP:
    """A page as a template: `PSP(req, "page.html", vars={"name": value}).run()`.

    `filename`: a path, from the directory of `req.filename` on; without it that file itself. `string`: the page's text instead. `vars`:
    what the page knows besides. As text (`str(template)`, `<%= template %>`) it runs in that place.

    Raises ValueError for both a file and a text, OSError where there is no file, SyntaxError with the line of the page.
    """

    def __init__(self, req, filename=None, string=None, vars=None):
        if filename is not None and string is not None:
            raise ValueError("Must specify either filename or string")
        self.req, self.vars, self._string = req, dict(vars or {}), string
        if string is not None:
            self.filename = req.filename or ""
            self.code = _psp_parser.Page(string, "<psp>", os.path.dirname(self.filename)).compile()
            return
        self.filename = os.path.join(os.path.dirname(req.filename or ""), filename) if filename else req.filename
        self.code = _load(self.filename)

    def run(self, vars=None, flush=0):
        """Writes the page. `vars` are added to those from before; `flush` has it leave at once.

        A session that the page names is saved and unlocked at its end. Raises what the page does, where it has no error page.
        """
        known = {**self.vars, **(vars or {})}
        names = _names(self.code)
        session = None
        if "session" in names and "session" not in known:
            session = known["session"] = Session.Session(self.req)
        if "form" in names and "form" not in known:
            known["form"] = util.FieldStorage(self.req, keep_blank_values=1)
        interface = PSPInterface(self.req, self.filename, known.get("form"))
        known = {"__name__": "__psp__", "__file__": self.filename, "req": self.req, "psp": interface, **known}
        try:
            self._execute(known, interface, flush)
            if session is not None:
                session.save()
        except apache.SERVER_RETURN:
            # A redirect, most often after what it is to tell the next page was put into the session.
            if session is not None:
                session.save()
            raise
        finally:
            if session is not None:
                session.unlock()

    def _execute(self, known, interface, flush):
        try:
            exec(self.code, known)
        except apache.SERVER_RETURN:
            raise
        except Exception as error:
            if interface.error_page is None:
                raise
            self.req.log_error(f"PSP: {self.filename} raised {type(error).__name__}: {error}; its error page answers", apache.APLOG_ERR)
            interface.error_page.run({"exception": sys.exc_info()}, flush)
        if flush:
            self.req.flush()

    def __str__(self):
        self.req.content_type = "text/html"
        self.run()
        return ""

    def display_code(self):
        """Writes the page and the Python code that was made of it, side by side."""
        text = self._string if self._string is not None else _psp_parser.read(self.filename)
        made = parsestring(text) if self._string is not None else parse(self.filename)
        shown = "".join(f"<td><pre>{html.escape(part)}</pre></td>" for part in (text, made))
        self.req.write(f"<!doctype html>\n<title>PSP</title>\n<table><tr valign=top>{shown}</tr></table>\n")


def handler(req):
    """Runs the page of `req.filename`: 404 where there is none. With PythonDebug On `page.psp_` shows the code of `page.psp`."""
    path = req.filename or ""
    shows = path.endswith("_") and not os.path.exists(path) and req.get_config().get("PythonDebug") == "1"
    path = path[:-1] if shows else path
    if not os.path.isfile(path):
        return apache.HTTP_NOT_FOUND
    req.content_type = "text/html"
    page = PSP(req, path)
    if shows:
        page.display_code()
    else:
        page.run()
    return apache.OK
