# SPDX-License-Identifier: MIT OR Apache-2.0
"""An ASGI application in a function that is none: GANGWAY_INTERFACE says what it is."""
import app as inner


def app(scope, receive, send):
    return inner.app(scope, receive, send)
