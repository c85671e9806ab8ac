# SPDX-License-Identifier: MIT OR Apache-2.0
"""Checks and filters that a place of the configuration names."""

from mod_python import apache


def accesshandler(req):
    answer = req.headers_in.get("X-Let-In", "yes")
    if answer == "error":
        raise ValueError("a check that fails")
    req.headers_out["X-Checked"] = req.get_options().get("who", "nobody")
    return apache.OK if answer == "yes" else int(answer)


def authenhandler(req):
    if req.headers_in.get("X-Let-In") == "error":
        raise ValueError("a check that fails")
    password = req.get_basic_auth_pw()
    return apache.OK if password == f"secret of {req.user} in {req.auth_name()}" else apache.HTTP_UNAUTHORIZED


def authzhandler(req):
    return apache.OK if req.user == "ada" else apache.HTTP_FORBIDDEN


def declines(req):
    return apache.DECLINED


def upper(filter):
    while piece := filter.read():
        filter.write(piece.upper())
    if piece is None:
        filter.close()


def swaps(filter):
    while piece := filter.read():
        filter.write(piece.swapcase())
    if piece is None:
        filter.close()


def loghandler(req):
    req.log_error(f"GUARD logged {req.status} {req.uri}")
    return apache.OK


def cleanuphandler(req):
    req.log_error(f"GUARD cleaned up {req.uri}")
    return apache.OK


def typehandler(req):
    req.content_type = "text/x-guarded"
    return apache.OK
