# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers that read forms, and members of req that follow from others."""

import hashlib
import json

from mod_python import apache, util


def described(field):
    if isinstance(field, util.Field):
        return [field.name, field.filename, field.type, len(field.value), hashlib.sha256(field.value).hexdigest()]
    return [field.name, str(field)]


def handler(req):
    form = util.FieldStorage(req, keep_blank_values=1)
    req.content_type = "application/json"
    req.write(json.dumps([described(field) for field in form.list]))
    return apache.OK


def large(req):
    """Never all of it in memory."""
    upload = util.FieldStorage(req)["upload"]
    digest, size = hashlib.sha256(), 0
    while block := upload.file.read(65536):
        digest.update(block)
        size += len(block)
    req.write(f"{size} {digest.hexdigest()}")
    return apache.OK


def redirects(req):
    util.redirect(req, util.FieldStorage(req)["to"].value)


def late(req):
    req.write("begun")
    try:
        util.redirect(req, "/")
    except OSError:
        req.write(", and stays")
    return apache.OK


def calls(req):
    def target(req, a, b="none"):
        return f"{a} {b}"

    req.write(util.apply_fs_data(target, util.FieldStorage(req), req=req))
    return apache.OK


def facts(req):
    req.add_common_vars()
    req.set_etag()
    req.update_mtime(1000000000)
    req.set_last_modified()
    seen = {name: getattr(req, name) for name in ("parsed_uri", "finfo")}
    seen.update(url=req.construct_url("/x"), env=dict(req.subprocess_env.items()))
    req.write(json.dumps(seen))
    return apache.OK


def discards(req):
    req.discard_request_body()
    req.write(repr(req.read()))
    return apache.OK
