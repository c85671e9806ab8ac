# SPDX-License-Identifier: MIT OR Apache-2.0
"""What several test modules serve alike."""


def pep3333(site, kind):
    """apps/pep3333.py, plain below /app and inside wsgiref's validator below /checked; also over HTTP/2."""
    site.http2 = True
    site.wsgi("/app", "pep3333:app", timeout="30s")
    site.wsgi("/checked", "pep3333:checked", timeout="30s")


PEP3333_WARM = ("/app/hello", "/checked/hello")
