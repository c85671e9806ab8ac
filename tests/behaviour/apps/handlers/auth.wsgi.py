# SPDX-License-Identifier: MIT OR Apache-2.0
"""Scripts as mod_wsgi's documentation shows them."""

import hashlib
import sys


def allow_access(environ, host):
    print("asked for", environ["PATH_INFO"] if "PATH_INFO" in environ else environ["REQUEST_URI"], host, file=environ["wsgi.errors"])
    if environ.get("HTTP_X_LET_IN") == "error":
        raise ValueError("no decision")
    return environ.get("HTTP_X_LET_IN") != "no"


def check_password(environ, user, password):
    if user == "error":
        raise ValueError("no decision")
    known = {"ada": "lovelace", "bob": "builder", "alias": "x"}
    if user == "text":
        return "no answer".encode()
    if user not in known:
        return None
    if known[user] == password and user == "alias":
        return "ada"
    return known[user] == password


def get_realm_hash(environ, user, realm):
    if user == "error":
        raise ValueError("no decision")
    if user == "text":
        return "no hash"
    if user == "ada":
        return hashlib.md5(f"{user}:{realm}:lovelace".encode()).hexdigest()
    return None


def groups_for_user(environ, user):
    if user == "bob":
        return ["builders"]
    return (name for name in ["staff", "mathematicians"])


assert sys.version_info >= (3,)
