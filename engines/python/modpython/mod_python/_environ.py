# SPDX-License-Identifier: MIT OR Apache-2.0
"""Variables of a request, as CGI programs (RFC 3875) and WSGI applications (PEP 3333) get them."""

import os

# What programs would take for something else than a header of the client: HTTP_PROXY is a setting of HTTP libraries (CVE-2016-5385), and
# credentials belong to the server.
_NEVER = frozenset(("proxy", "authorization", "proxy-authorization", "content-type", "content-length"))
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def _headers(req):
    found = {}
    for name, value in req.headers_in.items():
        name = name.lower()
        # X_Y and X-Y would be one variable: only the latter is one.
        if name in _NEVER or not name or not _NAME.issuperset(name):
            continue
        key = "HTTP_" + name.upper().replace("-", "_")
        if key in found:
            value = found[key] + ("; " if name == "cookie" else ", ") + value
        found[key] = value
    return found


def _bytes(path):
    """A file's name, a character for each byte, as everything else here."""
    return None if path is None else os.fsencode(path).decode("latin-1")


def server_name(req):
    """The host that a request is for, without its port."""
    return req.hostname or req.server.server_hostname or req.connection.local_ip


def server_port(req):
    """The port that the client has asked for: of its Host header, where none stands that of the scheme; without the header that of the
    connection.
    """
    host = req.headers_in.get("Host")
    if not isinstance(host, str) or not host:
        return req.connection.local_addr[1]
    if ":" not in host.rpartition("]")[2]:
        return 443 if req.is_https() else 80
    return host_port(req) or req.connection.local_addr[1]


def host_port(req):
    """The port in the Host header; None without one."""
    host = req.headers_in.get("Host")
    if not isinstance(host, str) or ":" not in host.rpartition("]")[2]:
        return None
    port = host.rpartition(":")[2]
    return int(port) if port.isascii() and port.isdigit() and 0 < int(port) < 65536 else None


def split_path(req):
    """Path of the script, and what follows it."""
    path_info = req.path_info or ""
    uri = req.uri or ""
    if path_info and uri.endswith(path_info):
        return uri[: len(uri) - len(path_info)], path_info
    return uri, path_info


def cgi_variables(req):
    """The variables of RFC 3875 section 4.1, each byte of a value a character."""
    script, path_info = split_path(req)
    root = _bytes(req.document_root())
    found = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "Gangway",
        "SERVER_NAME": server_name(req),
        "SERVER_ADDR": req.connection.local_ip,
        "SERVER_PORT": str(server_port(req)),
        "SERVER_PROTOCOL": req.protocol,
        "SERVER_ADMIN": req.server.server_admin,
        "DOCUMENT_ROOT": root,
        "REMOTE_ADDR": req.useragent_ip,
        "REMOTE_PORT": str(req.connection.remote_addr[1]),
        "REMOTE_USER": req.user,
        "AUTH_TYPE": req.ap_auth_type,
        "REQUEST_METHOD": req.method,
        "REQUEST_SCHEME": "https" if req.is_https() else "http",
        "REQUEST_URI": req.unparsed_uri,
        "QUERY_STRING": req.args or "",
        "SCRIPT_NAME": script,
        "SCRIPT_FILENAME": _bytes(req.filename),
        "PATH_INFO": path_info or None,
        "PATH_TRANSLATED": root + path_info if root and path_info else None,
        "CONTENT_TYPE": req.headers_in.get("Content-Type"),
        "CONTENT_LENGTH": req.headers_in.get("Content-Length"),
        "HTTPS": "on" if req.is_https() else None,
    }
    found.update(_headers(req))
    return {name: value for name, value in found.items() if isinstance(value, str)}
