# SPDX-License-Identifier: MIT OR Apache-2.0
"""Scripts as mod_wsgi's documentation shows them."""

import sys


def allow_access(environ, host):
    print("asked for", environ["PATH_INFO"] if "PATH_INFO" in environ else environ["REQUEST_URI"], host, file=environ["wsgi.errors"])
    if environ.get("HTTP_X_LET_IN") == "error":
        raise ValueError("no decision")
    return environ.get("HTTP_X_LET_IN") != "no"


def check_password(environ, user, password):
    if user == "error":
        raise ValueError("no decision")
    known = {"ada": "lovelace", "bob": "builder"}
    if user not in known:
        return None
    return known[user] == password


def groups_for_user(environ, user):
    if user == "bob":
        return ["builders"]
    return ["staff", "mathematicians"]


assert sys.version_info >= (3,)
