# SPDX-License-Identifier: MIT OR Apache-2.0
"""An ASGI application: nothing but the callable says so."""


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"asgi\n"})
