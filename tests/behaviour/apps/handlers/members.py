# SPDX-License-Identifier: MIT OR Apache-2.0
"""Members of requests, servers and connections."""

import json

from mod_python import apache

KEPT = []


def handler(req):
    server, connection = req.server, req.connection
    seen = {name: getattr(server, name) for name in "limit_req_line limit_req_fieldsize limit_req_fields names wild_names addrs path pathlen".split()}
    seen.update(defn_line_number=server.defn_line_number, local_host=connection.local_host, remote_logname=connection.remote_logname)
    seen.update(defn_name=server.defn_name)
    seen.update({name: getattr(req, name) for name in "main prev next remaining read_length read_chunked expecting_100 content_languages".split()})
    seen["server_root"] = apache.server_root()
    seen["threaded"] = apache.mpm_query(apache.AP_MPMQ_IS_THREADED)
    seen["defines"] = [apache.exists_config_define(name) for name in ("NO_SUCH_WORD",)]
    seen["cipher"] = req.ssl_var_lookup("SSL_CIPHER")
    seen["https"] = req.is_https()
    seen["interpreter"] = apache.interpreter == req.interpreter
    req.content_type = "application/json"
    req.write(json.dumps(seen))
    return apache.OK


def suffixes(req):
    req.write(req.get_addhandler_exts())
    return apache.OK


def tree(req):
    req.write(json.dumps(apache.config_tree()))
    return apache.OK


def methods(req):
    req.allow_methods(["GET", "POST"], 1)
    req.allow_methods(["PUT"])
    req.notes["seen"] = repr(req.allowed_methods)
    return apache.HTTP_METHOD_NOT_ALLOWED


def refuses(req):
    found = []
    for holder, name in ((req, "requires"), (req.connection, "readline"), (req.server, "send_buffer_size"), (req, "nonsense")):
        try:
            getattr(holder, name)
        except AttributeError as error:
            found.append(str(error))
    req.write("\n".join(found))
    return apache.OK


def outer(req):
    req.notes["from"] = "outer"
    req.internal_redirect("/members/inner?a=b")
    return apache.OK


def inner(req):
    before = req.prev
    before.notes["from-inner"] = "yes"
    refused = []
    for call in (lambda: before.write("x"), lambda: before.read(), lambda: before.get_options()):
        try:
            call()
        except AttributeError:
            refused.append(1)
    KEPT.append(before)
    same = before is req.prev
    req.write(f"{before.uri} {before.notes['from']} {before.prev} {before.next.uri} {before.next.args} {len(refused)} {same}")
    return apache.OK


def kept(req):
    """What is kept of another request is no longer good."""
    gone = 0
    for before in KEPT:
        try:
            before.uri
        except ValueError:
            gone += 1
    req.write(f"{gone} of {len(KEPT)}")
    return apache.OK


def loghandler(req):
    req.log_error(f"redirected to {req.next.uri} with {req.notes['from-inner']}", apache.APLOG_NOTICE)
    return apache.OK


def locks(req):
    apache._global_lock(req.server, "a name")
    again = apache._global_trylock(req.server, "a name")
    other = apache._global_trylock(req.server, "another")
    apache._global_unlock(req.server, "a name")
    later = apache._global_trylock(req.server, "a name")
    apache._global_unlock(req.server, "a name")
    apache._global_unlock(req.server, "another")
    try:
        apache._global_unlock(req.server, "another")
    except ValueError:
        req.write(f"{again}{other}{later}")
    return apache.OK
