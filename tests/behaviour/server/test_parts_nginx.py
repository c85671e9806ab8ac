# SPDX-License-Identifier: MIT OR Apache-2.0
"""Parts of a page (SSI) and checks before a request (auth_request) in nginx: both are a GET of their own without the client's body."""

import json

import pytest

from harness import scripts
from harness.upstreams import hello

pytestmark = pytest.mark.servers("nginx", "nginx128")

PROTOCOLS = ["fastcgi", "scgi", "uwsgi"]
WAYS = ["wsgi", "cgi", *PROTOCOLS]
BODIES = [b"a=b", [b"a=b"], b"x" * 200_000]


def configure(site, kind):
    folder = scripts.Folder(site.scratch / "cgi")
    folder.python("env", scripts.SEE)
    site.wsgi("/wsgi/", "pep3333:app")
    site.cgi("/cgi/", folder)
    for protocol in PROTOCOLS:
        site.passes(f"/{protocol}/", site.recorder(protocol), nginx="gangway_script_check off;")
    for way in WAYS:
        site.location(f"/checked/{way}", nginx=f"auth_request /{way}/env; gangway_wsgi bodies:digest root={site.apps};")
    # The body has been read before the parts of the page are asked for.
    site.wsgi("/pages/", "pages:app", nginx="ssi on; ssi_types *;")
    site.nginx_server = "client_body_buffer_size 16k;"


WARM = ["/wsgi/env", "/cgi/env"]


def served(server, way, method, path, body):
    """What the application at `way` was told, and the response."""
    described = [("Content-Type", "text/x-page"), ("Content-Encoding", "identity"), ("Content-Language", "en")]
    if way in PROTOCOLS:
        with server.site.backends[way].serving(lambda *_: hello(way)) as requests:
            response = server.request(method, path, described, body)
        return {name.decode(): value.decode("latin-1") for name, value in requests[0].variables}, requests[0].body, response
    response = server.request(method, path, described, body)
    told = json.loads(response.body)
    return told.get("env", told), told.get("body", "").encode(), response


@pytest.mark.parametrize("body", BODIES, ids=["length", "chunked", "file"])
@pytest.mark.parametrize("way", WAYS)
def test_a_part_has_no_body(server, way, body):
    told, got, response = served(server, way, "POST", f"/pages/of/{way}", body)
    assert response.status == 200
    assert (told["REQUEST_METHOD"], got) == ("GET", b"")
    # SCGI says so in its own way: the length is 0.
    assert told.get("CONTENT_LENGTH") in (None, "", "0")
    described = "CONTENT_TYPE HTTP_CONTENT_TYPE HTTP_CONTENT_LENGTH HTTP_CONTENT_ENCODING HTTP_CONTENT_LANGUAGE HTTP_TRANSFER_ENCODING"
    assert [name for name in described.split() if told.get(name)] == []


@pytest.mark.parametrize("way", PROTOCOLS)
def test_a_check_is_a_get_and_the_request_keeps_its_body(server, way):
    told, got, response = served(server, way, "POST", f"/checked/{way}", b"x" * 200_000)
    assert (told["REQUEST_METHOD"], got) == ("GET", b"")
    found = json.loads(response.body)
    assert (found["method"], found["length"]) == ("POST", 200_000)
