# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a handler flushes leaves although the handler goes on."""

import pytest

pytestmark = pytest.mark.servers("nginx", "nginx128", "apache", "apache-worker", "apache-prefork")


def configure(site, kind):
    where = f"root={site.apps / 'handlers'}"
    site.location("/once", handlers=(f"flushes::once {where}",))
    site.location("/stops", handlers=(f"flushes::stops {where}",))


def test_a_handler_that_goes_on_is_seen(server, gate):
    client = server.connect()
    client.request("GET", f"/stops?{gate.query}")
    handler = gate.visitor().at("wrote 0")
    head = client.head()
    blocks = client.blocks(head)
    for number in range(3):
        if number:
            handler.at(f"wrote {number}")
        assert next(blocks) == b"block %d" % number, "it leaves while the handler waits"
        handler.go()
    assert list(blocks) == [] and head.complete


def test_one_that_ends_is_whole(server):
    for _ in range(20):
        response = server.get("/once")
        assert (response.status, response.body, response.complete) == (200, b"all there is", True)


def test_a_head_is_a_head(server):
    for _ in range(3):
        response = server.request("HEAD", "/once")
        assert (response.status, response.body) == (200, b"")
        assert response.header("Content-Length") in (None, "12")
