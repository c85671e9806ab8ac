# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs a WSGI application (PEP 3333) as a handler.

    PythonHandler mod_python.wsgi
    PythonOption mod_python.wsgi.application mysite.wsgi::application

`mod_python.wsgi.base_uri` is the path that the application stands under (SCRIPT_NAME), "" where it has the whole site. Without Gangway's
own GangwayWSGI, which has threads, timeouts and processes: this is for sites that have it already.
"""

import io
import os
import stat

from mod_python import _importer, apache

#: Headers of a connection, which an application has no say in (PEP 3333, "Other HTTP Features").
_HOP_BY_HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split()
)
_STEP = 64 * 1024
#: Files that hold what their descriptor holds; one of gzip's does not.
_FILES = (io.BufferedReader, io.BufferedRandom, io.FileIO)


class Input:
    """wsgi.input: the body of the request, as bytes."""

    def __init__(self, req):
        self._req = req

    def read(self, size=-1):
        """So many bytes, fewer only at the end; all that is left without a number."""
        return self._req.read(-1 if size is None else size)

    def readline(self, size=-1):
        """A line with its end; b"" at the end of the body."""
        return self._req.readline(-1 if size is None else size)

    def readlines(self, hint=-1):
        """The lines that are left; with a hint no further ones once they have so many bytes."""
        return self._req.readlines(-1 if hint is None else hint)

    def __iter__(self):
        return iter(self.readline, b"")


class Errors:
    """wsgi.errors: lines of the server's error log."""

    def __init__(self, req):
        self._req = req

    def write(self, text):
        for line in str(text).splitlines():
            if line.strip():
                self._req.log_error(line, apache.APLOG_ERR)

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def flush(self):
        """Nothing waits."""


class FileWrapper:
    """wsgi.file_wrapper: a file as the body of a response, in blocks of `size` bytes."""

    def __init__(self, file, size=_STEP):
        self.file, self.size = file, size

    def __iter__(self):
        return iter(lambda: self.file.read(self.size), b"")

    def close(self):
        if hasattr(self.file, "close"):
            self.file.close()


class _Response:
    """What start_response() is told, and the bytes that follow."""

    def __init__(self, req):
        self.req = req
        self.head = None
        self.began = False
        self.length = None
        self.sent = 0

    def start(self, status, headers, exc_info=None):
        if exc_info is not None:
            try:
                if self.began:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.head is not None:
            raise AssertionError("start_response() is called a second time, without exc_info")
        self.head = _checked_status(status), [_checked_header(name, value) for name, value in headers]
        return self.write

    def begin(self):
        if self.head is None:
            raise AssertionError("the application sends a body, or ends, before it calls start_response()")
        (code, line), headers = self.head
        self.began = True
        self.req.status = code
        self.req.status_line = line
        for name, value in headers:
            lower = name.lower()
            if lower == "content-type":
                self.req.content_type = value
            elif lower == "content-length":
                if not value.isascii() or not value.isdigit():
                    raise ValueError(f"Content-Length is {value!r}, and must be a number")
                self.length = int(value)
                self.req.set_content_length(self.length)
            else:
                self.req.headers_out.add(name, value)

    def write(self, data):
        if not isinstance(data, bytes):
            raise TypeError(f"a WSGI application sends bytes, not {type(data).__name__}")
        if not data:
            # The head may still change.
            return
        if not self.began:
            self.begin()
        if self.length is not None and self.sent + len(data) > self.length:
            # More than that would be read as the next response.
            data = data[: self.length - self.sent]
        self.sent += len(data)
        if data:
            self.req.write(data)

    def send_file(self, body):
        """Has the server send what is left of a file. False where that is not a file of the system's."""
        if type(body.file) not in _FILES:
            return False
        offset, size = body.file.tell(), os.fstat(body.file.fileno())
        if not stat.S_ISREG(size.st_mode):
            return False
        if not self.began:
            self.begin()
        count = max(size.st_size - offset, 0)
        count = count if self.length is None else min(count, self.length - self.sent)
        self.sent += count
        if count:
            self.req._began = True
            self.req._transaction.send_file(body.file.fileno(), offset, count, False)
        return True

    def end(self):
        if not self.began:
            self.begin()
        bodiless = self.req.header_only or self.head[0][0] in (204, 304)
        if self.length is not None and self.sent < self.length and not bodiless:
            raise ValueError(f"the application has declared {self.length} bytes and sent {self.sent}")


def _checked_status(status):
    code, _, words = status.partition(" ") if isinstance(status, str) else ("", "", "")
    if len(code) != 3 or not code.isascii() or not code.isdigit() or not 200 <= int(code) <= 599:
        raise ValueError(f"{status!r} is no status of a response, such as '200 OK'")
    return int(code), status


def _checked_header(name, value):
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"the header {name!r} and its value must be str")
    if name.lower() in _HOP_BY_HOP:
        raise ValueError(f"{name} is a header of the connection, and the server's business")
    return name, value


def _application(req):
    option = req.get_options().get("mod_python.wsgi.application")
    if not option:
        raise ValueError("PythonOption mod_python.wsgi.application is missing: module::application")
    module, _, name = _importer.as_path(option).partition("::")
    folder = req._directory
    found = apache.import_module(module, path=[folder] if folder else [])
    for part in (name or "application").split("."):
        found = getattr(found, part)
    return found


def handler(req):
    """Answers apache.OK when the application has answered, apache.DECLINED for a path that is not below base_uri."""
    application = _application(req)
    environ = req.build_wsgi_env()
    if environ is None:
        return apache.DECLINED
    environ.update(
        {
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https" if req.is_https() else "http",
            "wsgi.input": Input(req),
            "wsgi.input_terminated": True,
            "wsgi.errors": Errors(req),
            "wsgi.file_wrapper": FileWrapper,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
        }
    )
    response = _Response(req)
    body = application(environ, response.start)
    try:
        if not (isinstance(body, FileWrapper) and response.send_file(body)):
            for data in body:
                response.write(data)
        response.end()
    finally:
        if hasattr(body, "close"):
            body.close()
    return apache.OK
