# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers for the security tests: they show what reached them, and answer what they must not."""

import json
import os
import threading

from mod_python import apache

SEEN = []  # the X-Id of every request that ran, in order


def answer(req, found):
    req.content_type = "application/json"
    req.write(json.dumps(found))
    return apache.OK


def env(req):
    """Everything that a handler or a program of its own could take for a variable or a header."""
    req.read()
    found = {"headers": req.headers_in.items(), "built": apache.build_cgi_env(req), "environ": dict(os.environ)}
    found["wsgi"] = {name: value for name, value in req.build_wsgi_env().items() if isinstance(value, str)}
    req.add_cgi_vars()
    req.add_common_vars()
    found["subprocess_env"] = dict(req.subprocess_env.items())
    found["user"], found["auth"] = req.user, req.ap_auth_type
    return answer(req, found)


def body(req):
    """Counts the request and echoes what it was given, with its id."""
    name = req.headers_in.get("X-Id", "none")
    SEEN.append(name)
    data = req.read()
    req.headers_out["X-Id"] = name
    req.write(data)
    return apache.OK


def seen(req):
    return answer(req, SEEN)


def forget(req):
    SEEN.clear()
    return answer(req, [])


def headers(req):
    """Answers with the status, headers and body that the request's body gives as JSON; `raised`: how many of them were refused here."""
    wanted = json.loads(req.read())
    raised = 0
    for name, value in wanted["headers"]:
        try:
            (req.err_headers_out if wanted.get("err") else req.headers_out).add(name, value)
        except (ValueError, TypeError):
            raised += 1
    if "length" in wanted:
        req.set_content_length(wanted["length"])
    req.headers_out["X-Raised"] = str(raised)
    req.write(wanted.get("body", "body"), wanted.get("flush", 1))
    return apache.OK


def late_length(req):
    """Says a length when more than that is written and nothing has left, and goes on then."""
    req.write("b" * 5000, 0)
    req.set_content_length(2500)
    req.write("b" * 5000)
    req.write("b" * 10_000)
    return apache.OK


def marks(req):
    """Leaves marks in everything that it can, and shows those that are there already."""
    tables = {name: getattr(req, name) for name in ("headers_in", "headers_out", "err_headers_out", "subprocess_env", "notes")}
    left = [name for name, table in tables.items() if "X-Mark" in table]
    left += ["attribute"] * hasattr(req, "mark") + ["user"] * (req.user == "mark") + ["option"] * ("mark" in req.get_options())
    left += ["filename"] * str(req.filename).endswith("/mark")
    req.mark, req.user, req.filename = True, "mark", "/nowhere/mark"
    for table in tables.values():
        table["X-Mark"] = "1"
    req.get_options()["mark"] = "1"
    req.register_cleanup(lambda _: None, None)
    return answer(req, left)


def forks(req):
    """A child that comes back from the handler as if it was the server."""
    pid = os.fork()
    if pid == 0:
        how = req.args
        if how == "raises":
            raise ValueError("in the child")
        if how == "exits":
            raise SystemExit(0)
        if how == "writes":
            req.write("of the child")
        return apache.OK
    _, status = os.waitpid(pid, 0)
    req.write(f"of the parent {os.getpid()}")
    return apache.OK


def waits(req):
    """Holds its thread until as many others wait, or for long."""
    threading.Event().wait(float(req.args or 0))
    req.write(req.headers_in.get("X-Id", "none"))
    return apache.OK


HANDLERS = {function.__name__: function for function in (env, body, seen, forget, headers, marks, forks, waits)}


def handler(req):
    """One place for all, so that a process of its own has them together."""
    return HANDLERS[req.uri.rpartition("/")[2]](req)
