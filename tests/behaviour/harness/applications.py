# SPDX-License-Identifier: MIT OR Apache-2.0
"""What several test modules serve alike, and ask of it."""

import json


def pep3333(site, kind):
    """apps/pep3333.py, plain below /app and inside wsgiref's validator below /checked; also over HTTP/2."""
    site.http2 = True
    site.wsgi("/app", "pep3333:app", timeout="30s")
    site.wsgi("/checked", "pep3333:checked", timeout="30s")


PEP3333_WARM = ("/app/hello", "/checked/hello")


def environ(server, path, **kw):
    """The environ of a request, as an application answers that shows it."""
    response = server.get(path, **kw)
    assert response.status == 200, response
    return json.loads(response.body)


def mounted(server, path):
    """Where an application takes itself to be mounted, and what it is asked for."""
    found = environ(server, path)
    assert found["REQUEST_URI"] == path
    return found["SCRIPT_NAME"], found["PATH_INFO"]


def streams(server, gate, path):
    """Each of three blocks of an application that stops at a gate is sent before the next one is asked for."""
    client = server.connect()
    client.request("GET", f"{path}?{gate.query}")
    application = gate.visitor().at("before 0").go()
    head = client.head()
    blocks = client.blocks(head)
    for number in range(3):
        assert next(blocks) == b"block %d" % number
        application.at("before end" if number == 2 else f"before {number + 1}").go()
    assert list(blocks) == []
    assert head.complete


def sees_its_client_leave(server, gate, how):
    client = server.connect()
    client.request("GET", f"/app/waits_for_leave?{gate.query}")
    application = gate.visitor()
    application.at("running False")
    getattr(client, how)()
    application.at("left True").at("closed")
