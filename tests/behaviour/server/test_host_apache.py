# SPDX-License-Identifier: MIT OR Apache-2.0
"""httpd: which host an application is told, and which one a cached answer belongs to, are one: RFC 9112, section 3.2.2."""

import json

import pytest

from harness import places, scripts, upstreams
from harness.upstreams import hello

pytestmark = pytest.mark.servers("apache")
WARM = ("/cgi/see",)
# With it httpd goes by the target and leaves the header as it is.
LAX = "HttpProtocolOptions Unsafe"


def configure(site, kind):
    cache = site.scratch / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    folder = scripts.Folder(site.scratch / "cgi")
    folder.python("see", scripts.SEE)
    site.cgi("/cgi", folder)
    site.wsgi("/app", "pep3333:env_app")
    site.wsgi("/cached", "pep3333:env_app", apache="CacheEnable disk")
    upstreams.recorders(site)
    loads = [f"LoadModule {name}_module {places.APACHE_MODULES}/mod_{name}.so" for name in ("cache", "cache_disk")]
    settings = [f"CacheRoot {cache}", "CacheIgnoreNoLastMod On", "CacheDefaultExpire 60", "CacheQuickHandler Off"]
    site.apache_main = "\n".join([LAX, *loads, *settings])


def ask(server, path, target_host, fields, version="1.1"):
    client = server.connect()
    lines = [f"GET http://{target_host}{path} HTTP/{version}", *fields, "Connection: close", "", ""]
    client.send("\r\n".join(lines).encode())
    return client


ASKED = [
    ("localhost", ["Host: evil.example"], "localhost"),
    ("localhost:81", ["Host: evil.example:82"], "localhost:81"),
    ("LOCALHOST", ["Host: evil.example"], "localhost"),
    ("[::1]:81", ["Host: evil.example"], "[::1]:81"),
    ("localhost", ["Host: localhost"], "localhost"),
]


@pytest.mark.parametrize(("target", "fields", "told"), ASKED)
@pytest.mark.parametrize("path", ["/app/x", "/cgi/see"])
def test_the_target_wins(server, path, target, fields, told):
    answer = json.loads(ask(server, path, target, fields).response().body)
    env = answer.get("env", answer)
    name = told.rpartition(":")[0] if told.endswith(":81") else told
    assert (env["HTTP_HOST"], env["SERVER_NAME"].strip("[]")) == (told, name.strip("[]"))
    assert env["SERVER_PORT"] == ("81" if told.endswith(":81") else "80")


@pytest.mark.parametrize("path", ["/app/x", "/cgi/see"])
def test_a_target_without_host_is_a_host(server, path):
    answer = json.loads(ask(server, path, "localhost:81", [], "1.0").response().body)
    assert answer.get("env", answer)["HTTP_HOST"] == "localhost:81"


@pytest.mark.parametrize(("target", "fields", "told"), ASKED)
@pytest.mark.parametrize("protocol", ["fastcgi", "scgi", "uwsgi"])
def test_backends_are_told_the_same(server, backend, target, fields, told):
    client = ask(server, f"/{backend.protocol}/x", target, fields)
    peer = backend.next(client)
    request = peer.request()
    peer.answer(hello(backend.protocol))
    client.response()
    assert request["HTTP_HOST"] == told


def test_a_cached_answer_is_of_the_host_that_it_was_made_for(server):
    assert json.loads(ask(server, "/cached/p", "localhost", ["Host: evil.example"]).response().body)["HTTP_HOST"] == "localhost"
    kept = ask(server, "/cached/p", "localhost", ["Host: localhost"]).response()
    assert kept.header("Age") is not None, "it comes from the cache"
    assert b"evil" not in kept.body


def test_a_closed_root_directory_closes_no_application(launch):
    """As Debian's apache2.conf has it: what a section of paths lets in has nothing to do with the file system."""

    def configure(site):
        site.wsgi("/app", "pep3333:app")
        site.apache_main += "<Directory />\nAllowOverride None\nRequire all denied\n</Directory>\n"

    server = launch(configure)
    server.log.allow("AH01630")
    assert server.get("/app/hello").status == 200
    assert server.get("/none").status == 403
