# SPDX-License-Identifier: MIT OR Apache-2.0
"""Forms and redirects: `from mod_python import util`.

`FieldStorage(req)` is what a client has sent with a form, the query included; `redirect(req, location)` sends it elsewhere.
"""

import html
import inspect
import io
import tempfile

from mod_python import apache
from mod_python._multipart import MultipartError, Parser, boundary_of, parse_header
from mod_python._query import parse_qs, parse_qsl, text

__all__ = ["Field", "FieldStorage", "StringField", "apply_fs_data", "parse_header", "parse_qs", "parse_qsl", "redirect"]

#: How much is read from the client at a time, in bytes.
_STEP = 64 * 1024
#: Limits, and the PythonOption that sets each: bytes of fields in memory, fields, files with content.
_LIMITS = {"mod_python.form.memory": 16 * 1024 * 1024, "mod_python.form.fields": 10_000, "mod_python.form.files": 100}
#: How deep multipart may stand in multipart.
_DEPTH = 3
#: Charsets that a part may have; any other would let a client choose among Python's codecs.
_CHARSETS = frozenset(("utf-8", "us-ascii", "iso-8859-1", "iso-8859-15", "windows-1252"))


class _Described:
    """What the head of a part says of a field."""

    filename = None
    type = "text/plain"
    disposition = None

    def _describe(self, headers):
        self.headers = headers
        self.disposition_options, self.type_options = {}, {}
        if "content-disposition" in headers:
            self.disposition, self.disposition_options = parse_header(headers["content-disposition"])
        if "content-type" in headers:
            self.type, self.type_options = parse_header(headers["content-type"])
        elif "filename" in self.disposition_options:
            self.type = "application/octet-stream"
        self.filename = self.disposition_options.get("filename")


class Field(_Described):
    """An uploaded file.

    `name`: the field's name. `filename`: what the client calls the file; text of a client, and not a path to write to. `file`: the content,
    a binary file that stands at its beginning. `type` and `type_options`: Content-Type. `disposition` and `disposition_options`:
    Content-Disposition. `headers`: all of the part's, names in lower case.
    """

    def __init__(self, name, file=None, headers=None):
        self.name, self.file = name, file
        self._describe({} if headers is None else headers)

    @property
    def value(self):
        """The content as bytes, all of it in memory. `file` stands where it stood."""
        place = self.file.tell()
        self.file.seek(0)
        content = self.file.read()
        self.file.seek(place)
        return content

    def __repr__(self):
        return f"Field({self.name!r}, filename={self.filename!r})"


class StringField(_Described, str):
    """The text of a field: a str, with `name`, `value` (the same text), `file` (to read it from) and what Field has besides."""

    def __new__(cls, value="", name=None, headers=None):
        field = super().__new__(cls, text(value) if isinstance(value, bytes) else value)
        field.name = name
        field._describe({} if headers is None else headers)
        return field

    @property
    def value(self):
        """The text, as str."""
        return str.__str__(self)

    @property
    def file(self):
        """The text as a file."""
        return io.StringIO(self.value)

    def __str__(self):
        return str.__str__(self)


class FieldStorage:
    """The fields of a form: those of the query, then those of the body of a POST, which is read to its end.

    A name gives a StringField, a Field for an uploaded file, or a list of these where the form has several. Text is UTF-8; bytes that are
    none are kept in surrogates. Files lie in temporary files without a name, whatever their size: they take no memory.

    `keep_blank_values`: fields without a value are kept. `strict_parsing`: a query or body with what is no field is refused; otherwise that
    is left out. `file_callback(filename)`: makes the file of an upload; it needs write(bytes) and seek(0). `field_callback()`: makes the
    file that another field of a multipart body is collected in; it needs read() as well.

    Raises apache.SERVER_RETURN: 400 for a body that is not what its type says, 413 for more than the limits (PythonOption
    mod_python.form.memory, in bytes; mod_python.form.fields; mod_python.form.files), 501 for a body that is no form. Raises OSError where
    the client breaks off.
    """

    def __init__(self, req, keep_blank_values=0, strict_parsing=0, file_callback=None, field_callback=None):
        #: Field and StringField, in order.
        self.list = []
        reader = _Reader(self, req, keep_blank_values, strict_parsing)
        reader.files, reader.texts = file_callback, field_callback
        reader.query(req.args or "")
        if req.method == "POST":
            reader.body()

    def add_field(self, name, value):
        """Adds a field: text, bytes, a Field, or a file to read."""
        if isinstance(value, (str, bytes)) and not isinstance(value, StringField):
            value = StringField(value, name)
        elif not isinstance(value, (Field, StringField)):
            value = Field(name, value)
        value.name = name
        self.list.append(value)

    def getlist(self, name):
        """The values of a name, in order; none is an empty list."""
        return [field for field in self.list if field.name == name]

    def getfirst(self, name, default=None):
        """The first value of a name."""
        return next((field for field in self.list if field.name == name), default)

    def get(self, name, default=None):
        """The value of a name, or a list of them where there are several."""
        values = self.getlist(name)
        return (values[0] if len(values) == 1 else values) if values else default

    def __getitem__(self, name):
        values = self.getlist(name)
        if not values:
            raise KeyError(name)
        return values[0] if len(values) == 1 else values

    def __setitem__(self, name, value):
        """Has a name stand for this value, or for these of a list, and for no other."""
        self.list = [field for field in self.list if field.name != name]
        for one in value if isinstance(value, list) else [value]:
            self.add_field(name, one)

    def __delitem__(self, name):
        if name not in self:
            raise KeyError(name)
        self.list = [field for field in self.list if field.name != name]

    def __contains__(self, name):
        """Whether there is a field of this name. bool"""
        return any(field.name == name for field in self.list)

    has_key = __contains__

    def __len__(self):
        return len(self.keys())

    def __iter__(self):
        return iter(self.keys())

    def keys(self):
        """The names, each once, in order."""
        return list(dict.fromkeys(field.name for field in self.list))

    def values(self):
        """What get() answers for each name."""
        found = {}
        for field in self.list:
            found.setdefault(field.name, []).append(field)
        return [values[0] if len(values) == 1 else values for values in found.values()]

    def items(self):
        """Name and value of every field, in order."""
        return [(field.name, field) for field in self.list]

    def clear(self):
        """Takes all fields away."""
        self.list = []

    def __repr__(self):
        return f"FieldStorage({self.list!r})"


class _Reader:
    """Fills a FieldStorage, within limits."""

    def __init__(self, storage, req, keep, strict):
        self.storage, self.req, self.keep, self.strict = storage, req, bool(keep), bool(strict)
        self.files = self.texts = None
        #: Files of the parts so far.
        self.opened = []
        options = req.get_options()
        self.memory, self.most_fields, self.most_files = (_limit(options, name) for name in _LIMITS)

    def query(self, qs):
        """Fields of the query, and of a body that is written as one."""
        if not qs:
            return
        self.take_fields(qs.count(b"&" if isinstance(qs, bytes) else "&") + 1)
        try:
            pairs = parse_qsl(qs, self.keep, self.strict)
        except ValueError as error:
            raise self.refused(apache.HTTP_BAD_REQUEST, str(error)) from None
        for name, value in pairs:
            self.storage.add_field(name, value)

    def body(self):
        given = self.req.headers_in.get("Content-Type") or "application/x-www-form-urlencoded"
        if isinstance(given, list):
            raise self.refused(apache.HTTP_BAD_REQUEST, "a request with several types")
        try:
            kind, options = parse_header(given)
            if kind == "application/x-www-form-urlencoded":
                self.query(self.text_body())
            elif kind.startswith("multipart/"):
                self.multipart(boundary_of(options))
            else:
                raise apache.SERVER_RETURN(apache.HTTP_NOT_IMPLEMENTED)
        except MultipartError as error:
            raise self.refused(apache.HTTP_BAD_REQUEST, str(error)) from None

    def text_body(self):
        parts = []
        while data := self.req.read(_STEP):
            self.take_memory(len(data))
            parts.append(data)
        return b"".join(parts)

    def multipart(self, boundary):
        parser = Parser(boundary, _Sink(self, None, 1))
        empty = True
        try:
            while data := self.req.read(_STEP):
                empty = False
                parser.feed(data)
            if not empty:
                parser.finish()
        except BaseException:
            # An application's files may be deleted by being closed.
            for file in self.opened:
                file.close()
            raise

    # ---- limits ----

    def take_fields(self, count):
        self.most_fields -= count
        if self.most_fields < 0:
            raise self.refused(apache.HTTP_REQUEST_ENTITY_TOO_LARGE, "a form has more fields than mod_python.form.fields")

    def take_file(self):
        self.most_files -= 1
        if self.most_files < 0:
            raise self.refused(apache.HTTP_REQUEST_ENTITY_TOO_LARGE, "a form has more files than mod_python.form.files")

    def take_memory(self, count):
        self.memory -= count
        if self.memory < 0:
            raise self.refused(apache.HTTP_REQUEST_ENTITY_TOO_LARGE, "a form has more text than mod_python.form.memory")

    def refused(self, status, why):
        self.req.log_error(f"{why}: refused with status {status}", apache.APLOG_INFO)
        return apache.SERVER_RETURN(status)


def _limit(options, name):
    given = options.get(name)
    if given is None:
        return _LIMITS[name]
    if not given.isascii() or not given.isdigit():
        raise ValueError(f"PythonOption {name} must be a number, not {given!r}")
    return int(given)


class _Sink:
    """Makes fields of the parts of a multipart body. A part that is one itself has a parser of its own."""

    def __init__(self, reader, name, depth):
        # The name is that of the part around: RFC 2388 section 4.2 sends several files of one field so.
        self.reader, self.around, self.depth = reader, name, depth
        self.inner = self.file = None

    def part(self, headers):
        self.reader.take_fields(1)
        self.reader.take_memory(sum(len(name) + len(value) for name, value in headers.items()))
        self.headers = headers
        self.size = 0
        _, options = parse_header(headers.get("content-disposition", ""))
        self.name = options.get("name", self.around)
        self.filename = options.get("filename")
        self.file = self.inner = None
        if "content-type" in headers:
            kind, parameters = parse_header(headers["content-type"])
            if kind.startswith("multipart/") and self.filename is None:
                if self.depth >= _DEPTH:
                    raise MultipartError(f"a multipart body inside of {_DEPTH} others")
                self.inner = Parser(boundary_of(parameters), _Sink(self.reader, self.name, self.depth + 1))
                return
        if self.name is None:
            if self.reader.strict:
                raise MultipartError("a part without a name")
            return
        if self.filename is not None:
            self.file = self.reader.files(self.filename) if self.reader.files else None
        else:
            self.file = self.reader.texts() if self.reader.texts else io.BytesIO()
        if self.file is not None:
            self.reader.opened.append(self.file)

    def data(self, data):
        if self.inner is not None:
            self.inner.feed(data)
            return
        if self.name is None:
            return
        if self.filename is None:
            self.reader.take_memory(len(data))
        elif not self.size:
            self.reader.take_file()
            if self.file is None:
                self.file = tempfile.TemporaryFile("w+b")
                self.reader.opened.append(self.file)
        self.size += len(data)
        self.file.write(data)

    def end(self):
        if self.inner is not None:
            self.inner.finish()
            return
        if self.name is None:
            return
        if self.filename is not None:
            # Browsers send a part for an input that no file was chosen for.
            file = io.BytesIO() if self.file is None else self.file
            file.seek(0)
            self.reader.storage.list.append(Field(self.name, file, self.headers))
        else:
            # An empty one as well: blank values are a matter of queries.
            self.reader.storage.list.append(self._text())

    def _text(self):
        self.file.seek(0)
        value = self.file.read()
        if isinstance(value, bytes):
            charset = parse_header(self.headers.get("content-type", ""))[1].get("charset", "").lower()
            if charset in _CHARSETS - {"utf-8"}:
                value = value.decode(charset, "replace")
        return StringField(value, self.name, self.headers)


def redirect(req, location, permanent=0, text=None):
    """Sends the client to another address: 302, or 301 where `permanent`. `text` is what a client shows that does not follow it.

    Never returns: raises apache.SERVER_RETURN with apache.DONE. Raises OSError when the response has begun, ValueError for a location that
    would split its head.
    """
    if req.sent_bodyct or getattr(req, "_began", False):
        raise OSError("Cannot redirect after headers have already been sent.")
    req.err_headers_out["Location"] = location
    req.status = apache.HTTP_MOVED_PERMANENTLY if permanent else apache.HTTP_MOVED_TEMPORARILY
    if text is None:
        req.content_type = "text/html; charset=utf-8"
        text = f'<p>The document has moved <a href="{html.escape(str(location))}">here</a></p>\n'
    req.write(text)
    raise apache.SERVER_RETURN(apache.DONE)


def apply_fs_data(object, fs, **args):
    """Calls something with the fields of a form that it has parameters for, and answers what it answers.

    `args` are further arguments, which no field replaces: `apply_fs_data(function, FieldStorage(req), req=req)`; those that it has no
    parameter for are left out. A parameter of several fields gets the list of them. Fields without a parameter are left out, except where
    it takes any (`**fields`). Raises apache.SERVER_RETURN with status 400 where a field is missing that it needs.
    """
    signature = inspect.signature(object)
    kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
    named = {name for name, kind in kinds.items() if kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)}
    takes_any = inspect.Parameter.VAR_KEYWORD in kinds.values()
    given = {}
    for name, value in zip(fs.keys(), fs.values()):
        # The name of a parameter that is given by its place alone is none that a field may take.
        if name in named or (takes_any and name not in kinds):
            given[name] = value
    given.update((name, value) for name, value in args.items() if name in named or takes_any)
    try:
        signature.bind(**given)
    except TypeError as error:
        raise apache.SERVER_RETURN(apache.HTTP_BAD_REQUEST) from error
    return object(**given)
