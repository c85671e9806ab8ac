# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where a handler stands, and what it finds of what it has written."""

from mod_python import apache


def where(req):
    req.content_type = "text/plain"
    req.write(f"{req.filename} {req.path_info} {req.finfo[apache.FINFO_FILETYPE]}")
    return apache.OK


def declines(req):
    return apache.DECLINED


def counts(req):
    """What was written is gone for whoever looks."""
    req.write("first")
    told = req.sent_bodyct
    req.headers_out["X-Late"] = "1"
    req.write(f" {told}")
    return apache.OK


def fails(req):
    """The client has the beginning."""
    req.write("first")
    raise RuntimeError("on purpose")


def asks(req):
    """The client answers when it has seen what was written."""
    req.write("name?\n")
    req.write(req.read())
    return apache.OK
