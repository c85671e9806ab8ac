# SPDX-License-Identifier: MIT OR Apache-2.0
"""Named by GANGWAY_APP."""


def handler(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"other\n"]
