# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers of mod_python's kind, for both servers and for mod_python itself."""

from mod_python import apache


def handler(req):
    req.content_type = "text/plain"
    req.write("Hello, World!\n")
    return apache.OK


def accesshandler(req):
    return apache.OK
