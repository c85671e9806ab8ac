# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_wsgi's scripts of WSGIAccessScript, WSGIAuthUserScript and WSGIAuthGroupScript, before any resource of the server.

httpd's own modules ask the functions with "provider" in their names. PythonAccessHandler, PythonAuthenHandler and PythonAuthzHandler may also
name this module; the scripts are absolute paths:

    PythonOption mod_python.wsgiauth.access_script      has allow_access(environ, host)
    PythonOption mod_python.wsgiauth.auth_user_script   has check_password(environ, user, password), for AuthType Basic,
                                                        and get_realm_hash(environ, user, realm), for AuthType Digest
    PythonOption mod_python.wsgiauth.auth_group_script  has groups_for_user(environ, user)
    PythonOption mod_python.wsgiauth.groups             names of groups with blanks between them, one of which the user needs

A script that raises, or answers what it should not, lets nobody pass: the status is 500.
"""

import sys

from mod_python import _environ, _importer, apache

_PREFIX = "mod_python.wsgiauth."
_DIRECTIVES = {"access_script": "GangwayAccess", "auth_user_script": "GangwayAuthnProvider", "auth_group_script": "GangwayAuthzProvider"}
#: A note, which the server takes away again.
_HASH = "gangway-realm-hash"


def _function(req, option, name):
    path = _importer.as_path(req.get_options().get(_PREFIX + option) or "")
    if not path:
        raise LookupError(f"{_DIRECTIVES[option]}, or PythonOption {_PREFIX}{option}, names no script")
    if not path.startswith("/"):
        raise ValueError(f"PythonOption {_PREFIX}{option} must be an absolute path: {path!r}")
    module = _importer.find(req.interpreter, path, [], req.get_config().get("PythonAutoReload", "1") == "1")
    return getattr(module, name)


def _variables(req):
    """What mod_wsgi's scripts get: the variables of CGI, and what of PEP 3333 has no body."""
    found = dict(req.subprocess_env.items())
    found.update(_environ.cgi_variables(req))
    found.update(
        {"wsgi.version": (1, 0), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "https" if req.is_https() else "http", "wsgi.multithread": True}
    )
    return found


def _is_known(answer, name, kinds):
    if answer is not None and not isinstance(answer, kinds):
        raise TypeError(f"{name}() returned {type(answer).__name__}")
    return answer is not None


def accesshandler(req):
    """allow_access(environ, host): True lets pass, False is 403, None leaves it to the next handler and to httpd."""
    answer = _function(req, "access_script", "allow_access")(_variables(req), req.get_remote_host(apache.REMOTE_NOLOOKUP))
    if not _is_known(answer, "allow_access", bool):
        return apache.DECLINED
    return apache.OK if answer else apache.HTTP_FORBIDDEN


def authenhandler(req):
    """check_password(environ, user, password): True, or a name that the user is to have from here on, lets pass; False is 401; None
    leaves it to the next handler and to httpd.
    """
    if (req.auth_type() or "").lower() != "basic":
        raise ValueError("mod_python.wsgiauth checks passwords, which a client sends with AuthType Basic alone")
    check = _function(req, "auth_user_script", "check_password")
    password = req.get_basic_auth_pw()
    if password is None:
        return apache.HTTP_UNAUTHORIZED
    return _checked(req, check, req.user, password)


def _checked(req, check, user, password):
    answer = check(_variables(req), user, password)
    if not _is_known(answer, "check_password", (bool, str)):
        return apache.DECLINED
    if isinstance(answer, str) and answer:
        req.user = answer
    return apache.OK if answer else apache.HTTP_UNAUTHORIZED


def authzhandler(req):
    """groups_for_user(environ, user): whether one of the groups is asked for; who has none of them is 403."""
    wanted = set((req.get_options().get(_PREFIX + "groups") or "").split())
    if not wanted:
        raise LookupError(f"PythonOption {_PREFIX}groups names no group")
    if req.user is None:
        raise LookupError("nobody has said who the user is; PythonAuthenHandler, or AuthType with a provider, does")
    return _in_group(req, wanted)


def _in_group(req, wanted):
    found = _function(req, "auth_group_script", "groups_for_user")(_variables(req), req.user)
    # It may be read once alone.
    found = found if isinstance(found, (str, bytes)) else list(found)
    if isinstance(found, (str, bytes)) or not all(isinstance(name, str) for name in found):
        raise TypeError("groups_for_user() must return a list of names")
    return apache.OK if wanted.intersection(found) else apache.HTTP_FORBIDDEN


def _told(told, name):
    """A character for each byte, as everything else that comes from clients."""
    return told[_PREFIX + name].encode("utf-8", "surrogateescape").decode("latin-1")


def passwordprovider(req):
    """For mod_auth_basic and its kin, which know name and password: as authenhandler, and None leaves it to the next provider."""
    told = req.get_options()
    check = _function(req, "auth_user_script", "check_password")
    return _checked(req, check, _told(told, "user"), _told(told, "password"))


def hashprovider(req):
    """For mod_auth_digest. get_realm_hash(environ, user, realm): the MD5 of "user:realm:password" in hexadecimal digits, or None for a user
    that it does not know.
    """
    told = req.get_options()
    ask = _function(req, "auth_user_script", "get_realm_hash")
    answer = ask(_variables(req), _told(told, "user"), _told(told, "realm"))
    if not _is_known(answer, "get_realm_hash", str):
        return apache.DECLINED
    if len(answer) != 32 or not set(answer) <= set("0123456789abcdef"):
        raise ValueError("get_realm_hash() must return 32 hexadecimal digits in lower case, the MD5 of user:realm:password")
    req.notes[_HASH] = answer
    return apache.OK


def groupsprovider(req):
    """For `Require gangway-group NAME ...`."""
    return _in_group(req, set(req.get_options()[_PREFIX + "required"].split("\n")))
