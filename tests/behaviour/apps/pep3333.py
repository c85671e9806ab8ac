# SPDX-License-Identifier: MIT OR Apache-2.0
"""Small applications, one per rule of PEP 3333; the first segment of PATH_INFO chooses one."""

import json
import sys
from wsgiref.validate import validator

import pep3333_input
import pep3333_response
import pep3333_stream
from gate import query

APPS = {}
for module in (pep3333_input, pep3333_response, pep3333_stream):
    APPS.update(module.APPS)


def register(function):
    APPS[function.__name__] = function
    return function


def plain(start_response, body, status="200 OK"):
    body = body.encode() if isinstance(body, str) else body
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


@register
def env(environ, start_response):
    """Every variable, as JSON; what is not a string as [type, repr]."""
    shown = {k: v if type(v) is str else [type(v).__name__, repr(v)] for k, v in environ.items()}
    return plain(start_response, json.dumps(shown))


@register
def types(environ, start_response):
    """What PEP 3333 says of the types, checked from inside; one line per violation."""
    wrong = []
    if type(environ) is not dict:
        wrong.append(f"environ is a {type(environ)}")
    for name, value in environ.items():
        if type(name) is not str:
            wrong.append(f"name {name!r}")
        if "." not in name and type(value) is not str:
            wrong.append(f"{name} is {value!r}")
        if type(value) is str:
            value.encode("latin-1")
    for name in ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL"):
        if name not in environ:
            wrong.append(f"{name} is missing")
    for name in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
        if name in environ:
            wrong.append(f"{name} is there")
    if environ["wsgi.version"] != (1, 0):
        wrong.append("wsgi.version")
    for name in ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated"):
        if type(environ[name]) is not bool:
            wrong.append(f"{name} is {environ[name]!r}")
    environ["mine"] = object()  # the application may change it
    return plain(start_response, "\n".join(wrong))


@register
def modules(environ, start_response):
    name = query(environ)["name"]
    return plain(start_response, repr(getattr(sys.modules.get(name), "__file__", None)))


def app(environ, start_response):
    name = environ["PATH_INFO"].lstrip("/").partition("/")[0]
    if name not in APPS:
        return plain(start_response, f"no application {name!r}", "404 Not Found")
    return APPS[name](environ, start_response)


def env_app(environ, start_response):
    return env(environ, start_response)


checked = validator(app)
