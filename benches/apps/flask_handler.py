# SPDX-License-Identifier: MIT OR Apache-2.0
"""A handler of mod_python that has Flask make its page: what it imports is what the Flask application imports."""

from flask_hello import application
from mod_python import apache


def handler(req):
    with application.test_request_context(req.uri):
        page = application.full_dispatch_request()
    req.content_type = page.content_type
    req.write(page.get_data())
    return apache.OK
