# SPDX-License-Identifier: MIT OR Apache-2.0
"""A browser of versions in the manner of viewvc: folders, files, versions of files and downloads below one path."""

import html
import os
import urllib.parse

from mod_python import apache, util


def handler(req):
    root = req.get_options()["root"]
    base = req.get_options()["base"]
    form = util.FieldStorage(req, keep_blank_values=1)
    # Each byte of a path is a character of req.uri.
    below = os.fsdecode(req.uri.encode("latin-1"))[len(base) :]
    path = os.path.normpath(root + "/" + below.lstrip("/"))
    if not (path + "/").startswith(root + "/"):
        return apache.HTTP_FORBIDDEN
    if os.path.isdir(path):
        return folder(req, base, root, path, form)
    if not os.path.isfile(path):
        return apache.HTTP_NOT_FOUND
    return file(req, root, path, form)


def folder(req, base, root, path, form):
    if not req.uri.endswith("/"):
        # With the query, as the client has written it.
        util.redirect(req, req.uri + "/" + ("?" + req.args if req.args else ""), permanent=1)
    if form.getfirst("jump"):
        util.redirect(req, base + "/" + form.getfirst("jump"))
    names = sorted(os.listdir(path), reverse=form.getfirst("sort") == "down")
    req.content_type = "text/html; charset=utf-8"
    req.headers_out["Cache-Control"] = "private"
    if req.header_only:
        return apache.OK
    req.write(f"<h1>{html.escape(os.path.relpath(path, root))}</h1>\n")
    for name in names:
        slash = "/" if os.path.isdir(os.path.join(path, name)) else ""
        req.write(f'<a href="{urllib.parse.quote(name)}{slash}">{html.escape(name)}</a>\n', 0)
    return apache.OK


def file(req, root, path, form):
    wanted = form.getfirst("view", "markup")
    state = os.stat(path)
    req.update_mtime(state.st_mtime)
    req.set_last_modified()
    status = req.meets_conditions()
    if status != apache.OK:
        return status
    if wanted == "co":
        req.content_type = "application/octet-stream"
        req.headers_out["Content-Disposition"] = "attachment"
        req.set_content_length(state.st_size)
        req.sendfile(path)
        return apache.OK
    if wanted != "markup":
        req.err_headers_out["X-Known"] = "co, markup"
        raise apache.SERVER_RETURN(apache.HTTP_BAD_REQUEST)
    req.content_type = "text/html; charset=utf-8"
    with open(path, encoding="utf-8") as opened:
        for number, line in enumerate(opened, 1):
            req.write(f"<a name=l{number}>{html.escape(line.rstrip())}</a>\n", 0)
    return apache.OK
