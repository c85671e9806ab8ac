# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers of phases, in the manner of sites that were written for mod_python."""

import json

from mod_python import Cookie, apache

import beside


def handler(req):
    req.content_type = "text/plain"
    req.write("Hello from mod_python\n")
    return apache.OK


def facts(req):
    """What a handler sees, as JSON."""
    names = (
        "method uri unparsed_uri filename path_info args protocol hostname the_request content_type handler user ap_auth_type"
        " status method_number proto_num header_only proxyreq phase interpreter useragent_ip"
    ).split()
    seen = {name: getattr(req, name) for name in names}
    seen["headers_in"] = req.headers_in.items()
    seen["options"] = req.get_options()
    seen["config"] = req.get_config()
    seen["document_root"] = req.document_root()
    seen["remote"] = req.connection.remote_addr[0], req.connection.remote_ip
    seen["server"] = req.server.server_hostname
    seen["time"] = req.request_time
    seen["trail"] = getattr(req, "trail", [])
    seen["notes"] = dict(req.notes.items())
    seen["env"] = dict(req.subprocess_env.items())
    req.content_type = "application/json"
    req.write(json.dumps(seen))
    return apache.OK


def echo(req):
    body = req.read()
    req.content_type = "application/octet-stream"
    req.set_content_length(len(body))
    req.write(body)
    return apache.OK


def lines(req):
    found = [req.readline(3), req.readline(), *req.readlines()]
    req.write(repr(found))
    return apache.OK


def headers(req):
    req.headers_out["X-One"] = "first"
    req.headers_out["x-one"] = "second"
    req.headers_out.add("Set-Cookie", "a=1")
    req.headers_out.add("Set-Cookie", "b=2")
    seen = req.headers_out["set-cookie"]
    req.status = apache.HTTP_CREATED
    req.write(repr(seen))
    return apache.OK


def split(req):
    for table in (req.headers_out, req.err_headers_out):
        for value in ("a\r\nEvil: 1", "a\nb", "a\0b"):
            try:
                table["X-Split"] = value
            except ValueError:
                continue
            return apache.HTTP_BAD_GATEWAY
    for name in ("content_type", "status_line", "content_encoding"):
        try:
            setattr(req, name, "text/plain\r\nEvil: 1")
        except ValueError:
            continue
        return apache.HTTP_BAD_GATEWAY
    req.write("refused")
    return apache.OK


def returns(req):
    name, _, value = req.args.partition("=")
    if name == "status":
        return int(value)
    if name == "raise":
        raise apache.SERVER_RETURN(int(value))
    if name == "both":
        raise apache.SERVER_RETURN(apache.OK, int(value))
    if name == "none":
        return None
    if name == "bool":
        return True
    if name == "error":
        raise ValueError("on purpose")
    if name == "exit":
        raise SystemExit(3)
    if name == "late":
        req.set_content_length(1000)
        req.write("the beginning")
        raise ValueError("in the middle")
    if name == "staged":
        req.write("not yet sent", 0)
        raise ValueError("before anything left")
    return apache.DECLINED


def large(req):
    block = b"x" * 65536
    for _ in range(int(req.args) // len(block)):
        req.write(block, 0)
    return apache.OK


def sends(req):
    count = req.sendfile(req.filename, *(int(word) for word in (req.args or "").split("+") if word))
    assert count >= 0
    return apache.OK


def cookies(req):
    """Counts visits in a signed cookie."""
    seen = Cookie.get_cookies(req, Cookie.MarshalCookie, secret="not told")
    count = seen["visits"].value["count"] + 1 if "visits" in seen else 1
    Cookie.add_cookie(req, Cookie.MarshalCookie("visits", {"count": count}, "not told", path="/"))
    req.write(str(count))
    return apache.OK


def redirects(req):
    req.internal_redirect("/app/hello?from=redirect")
    return apache.OK


def logs(req):
    req.log_error("one line\nand no other")
    apache.log_error("through the module", apache.APLOG_WARNING)
    print("printed")
    return apache.OK


def imports(req):
    req.write(f"{beside.NAME} {__file__} {__name__}")
    return apache.OK


class Method:
    """The object of a class is made for each request."""

    def __init__(self, req):
        self.uri = req.uri

    def serve(self, req):
        req.write(f"{self.uri} {self.uri == req.uri}")
        return apache.OK


def leave_trace(name):
    def trace(req):
        if not hasattr(req, "trail"):
            req.trail = []
        req.trail.append(f"{name} {req.phase}")
        return apache.OK if name == "ok" else apache.DECLINED

    return trace


trace_ok = leave_trace("ok")
trace_declined = leave_trace("declined")


def accesshandler(req):
    if req.headers_in.get("X-Let-In") == "no":
        return apache.HTTP_FORBIDDEN
    if req.headers_in.get("X-Let-In") == "error":
        raise ValueError("a check that fails")
    return trace_declined(req)


def authenhandler(req):
    password = req.get_basic_auth_pw()
    if (req.user, password) == ("ada", "lovelace"):
        return apache.OK
    return apache.HTTP_UNAUTHORIZED


def authzhandler(req):
    return apache.OK if req.user == "ada" else apache.HTTP_FORBIDDEN


def fixuphandler(req):
    req.notes["from-fixup"] = "a note"
    req.subprocess_env["FROM_FIXUP"] = "a variable"
    return trace_ok(req)


def transhandler(req):
    if req.uri == "/translated":
        req.uri = "/app/facts"
        req.notes["translated"] = "yes"
    return apache.DECLINED


def postreadrequesthandler(req):
    if "X-Early" in req.headers_in:
        req.notes["early"] = req.headers_in["X-Early"]
    return apache.OK


inithandler = leave_trace("ok")
headerparserhandler = leave_trace("declined")
typehandler = leave_trace("declined")
