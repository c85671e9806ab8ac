# SPDX-License-Identifier: MIT OR Apache-2.0
"""A page that shows that handlers run, and with what: `PythonHandler mod_python.testhandler`. Not for everyone to see."""

import html
import os
import sys

from mod_python import apache

# Values that let whoever sees them in as somebody else.
_SECRET = frozenset(("authorization", "proxy-authorization", "cookie"))


def _table(title, rows):
    cells = "".join(f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(value))}</td></tr>\n" for name, value in rows)
    return f"<h2>{html.escape(title)}</h2>\n<table>\n{cells}</table>\n"


def _without_secrets(items):
    return [(name, "(not shown)" if name.lower() in _SECRET or name == "HTTP_COOKIE" else value) for name, value in items]


def handler(req):
    """Answers the page."""
    req.add_common_vars()
    parts = [
        _table(
            "Python",
            [
                ("mod_python's interface", apache.version),
                ("Python", sys.version),
                ("prefix", sys.prefix),
                ("process", os.getpid()),
                ("interpreter", req.interpreter),
                ("phase", req.phase),
            ],
        ),
        _table("Directives", sorted(req.get_config().items())),
        _table("PythonOption", sorted(req.get_options().items())),
        _table("Request", [("the_request", req.the_request), ("uri", req.uri), ("filename", req.filename), ("path_info", req.path_info)]),
        _table("headers_in", _without_secrets(req.headers_in.items())),
        _table("subprocess_env", sorted(_without_secrets(req.subprocess_env.items()))),
    ]
    req.content_type = "text/html; charset=utf-8"
    req.write("<!doctype html>\n<title>mod_python in Gangway</title>\n<h1>Handlers run</h1>\n" + "".join(parts))
    return apache.OK
