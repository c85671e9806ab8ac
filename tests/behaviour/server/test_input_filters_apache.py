# SPDX-License-Identifier: MIT OR Apache-2.0
"""httpd's input filters: they give more or less than was asked and change how long a body is, and still every byte arrives once,
with a CONTENT_LENGTH that is right or absent, on each way to an application."""

import gzip
import hashlib
import json
import random
import threading

import pytest

from harness import places, scripts, wire

pytestmark = pytest.mark.servers("apache")

LIMIT = 1 << 20
SIZES = [1, 8000, 8001, 32_768, 65_535, 65_536, 65_537]
WAYS = ["direct", "relay", "cgi", "fastcgi"]
FORMS = ["length", "chunked", "h2", "h2 without a length"]
FILTERS = {
    "cat": "SetInputFilter inup",
    "twice": "SetInputFilter twice",
    "deflate": "SetInputFilter DEFLATE",
    "sed": 'InputSed "s/a/bcd/g"\nSetInputFilter Sed',
    "shrink": 'InputSed "s/aaaa/b/g"\nSetInputFilter Sed',
    "buffer": "SetInputFilter BUFFER\nBufferSize 20000",
    "upper": "SetInputFilter CaseFilterIn",
    "kept": "KeptBodySize 1000000",
    "both": "SetInputFilter DEFLATE;inup",
}

DIGEST = """
import hashlib
body = sys.stdin.buffer.read()
found = {"length": len(body), "sha256": hashlib.sha256(body).hexdigest(), "announced": env.get("CONTENT_LENGTH")}
out.write(b"Content-Type: application/json\\r\\n\\r\\n" + json.dumps(found).encode())
"""


def digest_of(request, _):
    found = {
        "length": len(request.body),
        "sha256": hashlib.sha256(request.body).hexdigest(),
        "announced": request.get("CONTENT_LENGTH"),
    }
    return b"Content-Type: application/json\r\n\r\n" + json.dumps(found).encode()


def configure(site, kind):
    site.http2 = True
    site.threads_per_child = 32
    names = "ext_filter sed buffer case_filter_in request".split()
    site.apache_main = "\n".join(
        [f"LoadModule {name}_module {places.APACHE_MODULES}/mod_{name}.so" for name in names]
        + ['ExtFilterDefine inup mode=input cmd="/bin/cat"', 'ExtFilterDefine twice mode=input cmd="/bin/sed s/a/aa/g"']
    )
    folder = scripts.Folder(site.scratch / "cgi")
    folder.python("received", DIGEST)
    recorder = site.recorder("fastcgi")
    for name, lines in FILTERS.items():
        site.wsgi(f"/direct/{name}", "pep3333:app", apache=lines)
        site.wsgi(f"/relay/{name}", "pep3333:app", apache=lines, timeout="30s")
        site.cgi(f"/cgi/{name}", folder, apache=lines)
        site.passes(f"/fastcgi/{name}", recorder, apache=lines)
    for way in ("direct", "relay", "cgi", "fastcgi"):
        lines = f"SetInputFilter DEFLATE\nLimitRequestBody {LIMIT}"
        match way:
            case "cgi":
                site.cgi("/cgi/limited", folder, apache=lines)
            case "fastcgi":
                site.passes("/fastcgi/limited", recorder, apache=lines)
            case _:
                site.wsgi(f"/{way}/limited", "pep3333:app", apache=lines, **({"timeout": "30s"} if way == "relay" else {}))


WARM = ["/direct/cat/hello", "/relay/cat/hello", "/cgi/cat/received"]


def text(size):
    """Lines of letters that compress a little, the same in each run."""
    source = random.Random(size)
    letters = "".join(source.choice("aaaabcdefgh\n") for _ in range(min(size, 5000)))
    # Sed adds a line's end where it is missing.
    return (letters * (size // len(letters) + 1))[: size - 1].encode() + b"\n"


def through(name, body):
    """What comes out of a filter, and what goes in."""
    if name in ("deflate", "both", "limited"):
        return body, gzip.compress(body, 1), [("Content-Encoding", "gzip")]
    changed = {
        "twice": lambda: body.replace(b"a", b"aa"),
        "sed": lambda: body.replace(b"a", b"bcd"),
        "shrink": lambda: body.replace(b"aaaa", b"b"),
        "upper": lambda: body.upper(),
    }.get(name, lambda: body)()
    return changed, body, []


def post(server, form, path, body, fields):
    if form == "h2":
        return server.http2().request("POST", path, [*fields, ("content-length", str(len(body)))], body)
    if form == "h2 without a length":
        client = server.http2()
        stream = client.send_head("POST", path, fields, end=False)
        client.send_body(stream, body)
        return client.response(stream)
    if form == "chunked":
        return server.post(path, [body[at : at + 1000] for at in range(0, len(body), 1000)], fields)
    return server.post(path, body, fields)


def send(server, way, name, form, body, fields=()):
    path = f"/{way}/{name}/received"
    if form.startswith("h2"):
        fields = [(key.lower(), value) for key, value in fields]
    if way != "fastcgi":
        return post(server, form, path, body, fields)
    with server.site.backends["fastcgi"].serving(digest_of):
        return post(server, form, path, body, fields)


def check(response, expected, form):
    assert response.status == 200, response
    found = json.loads(response.body)
    announced = found.pop("announced", None)
    assert found == {"length": len(expected), "sha256": hashlib.sha256(expected).hexdigest()}
    assert announced is None or int(announced) == len(expected)
    if form == "length":
        # The client has said how long its body is, so the application may rely on a length, too.
        assert announced is not None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [405_264])
def test_every_byte_arrives(server, name, way, form, size):
    expected, body, fields = through(name, text(size))
    check(send(server, way, name, form, body, fields), expected, form)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["cat", "deflate", "sed"])
@pytest.mark.parametrize("size", SIZES)
def test_sizes_around_the_blocks(server, name, way, size):
    expected, body, fields = through(name, text(size))
    check(send(server, way, name, "length", body, fields), expected, "length")


@pytest.mark.servers("apache", "apache-worker", "apache-prefork")
@pytest.mark.parametrize("way", ["direct", "relay", "cgi"])
@pytest.mark.parametrize("name", ["cat", "deflate", "sed"])
def test_a_body_that_comes_in_pieces(server, name, way):
    expected, body, fields = through(name, text(150_000))
    with server.connect() as client:
        fields = [("Host", "localhost"), ("Content-Length", str(len(body))), *fields]
        client.send(wire.head_bytes("POST", f"/{way}/{name}/received", fields))
        step = len(body) // 7 + 1
        for at in range(0, len(body), step):
            client.send(body[at : at + step])
            # As long as the pieces are whole packets the server may take each by itself.
            threading.Event().wait(0.01)
        check(client.response(), expected, "length")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_the_limit_is_for_what_comes_out(server, way, form):
    """A small body that inflates to more than LimitRequestBody is 413, as everywhere in httpd."""
    server.log.allow(r"AH|GW05|GW03|GW07|Traceback|  File|    |OSError|[a-z]+Error|larger")
    fine, body, fields = through("limited", text(LIMIT))
    check(send(server, way, "limited", form, body, fields), fine, form)
    _, body, fields = through("limited", text(LIMIT + 1))
    assert len(body) < LIMIT
    assert send(server, way, "limited", form, body, fields).status == 413


@pytest.mark.parametrize("way", ["direct", "relay", "cgi"])
def test_a_filter_that_steps_aside_keeps_the_length(server, way):
    """DEFLATE leaves a body alone that is not compressed."""
    body = text(200_000)
    response = send(server, way, "deflate", "length", body)
    check(response, body, "length")


@pytest.mark.parametrize("way", ["direct", "relay", "cgi"])
def test_a_broken_body_behind_a_filter_is_no_short_body(server, way):
    server.log.allow("AH|GW0507|GW05|GW03|GW08|zlib|inflat")
    body = bytearray(gzip.compress(text(300_000), 1))
    body[len(body) // 2 :] = bytes(len(body) - len(body) // 2)
    try:
        status = send(server, way, "deflate", "length", bytes(body), [("Content-Encoding", "gzip")]).status
    except (wire.Closed, wire.Truncated):
        return
    assert status >= 400
