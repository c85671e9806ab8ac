# SPDX-License-Identifier: MIT OR Apache-2.0
"""The encodings of a Python: that of a server, or a plain one that imports this."""

import json
import locale
import os
import sys


def facts():
    with open(os.devnull) as file:
        opened = file.encoding
    return {
        "filesystem": sys.getfilesystemencoding(),
        "errors": sys.getfilesystemencodeerrors(),
        "preferred": locale.getpreferredencoding(False),
        "open": opened.lower(),
        "utf8_mode": sys.flags.utf8_mode,
        "locale": locale.setlocale(locale.LC_CTYPE, None),
        "LC_CTYPE": os.environ.get("LC_CTYPE"),
    }


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(facts()).encode()]
