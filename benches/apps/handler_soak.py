# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers of mod_python's API for soak.py --handlers: one for each path, and those of other phases."""

from mod_python import Session, apache, util


def hello(req):
    req.content_type = "text/plain"
    req.write("Hello, World!\n")
    return apache.OK


def session(req):
    found = Session.MemorySession(req, timeout=2)
    found["seen"] = found.get("seen", 0) + 1
    found.save()
    req.write(f"{found['seen']}\n")
    return apache.OK


def form(req):
    fields = util.FieldStorage(req, keep_blank_values=True)
    req.write(f"{fields['name'].value} {len(fields['file'].file.read())}\n")
    return apache.OK


def fails(req):
    raise ValueError(req.uri)


def check(req):
    req.user = "somebody"
    return apache.HTTP_FORBIDDEN if req.args == "no" else apache.OK


def upper(filter):
    while found := filter.read():
        filter.write(found.upper())
    if found is None:
        filter.close()


def note(req):
    req.notes["noted"] = str(req.bytes_sent)
    return apache.OK
