# SPDX-License-Identifier: MIT OR Apache-2.0
"""A handler of the same name as one of another directory."""

import beside
from mod_python import apache


def handler(req):
    req.write(f"{beside.NAME} {__file__}")
    return apache.OK
