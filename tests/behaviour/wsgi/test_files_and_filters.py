# SPDX-License-Identifier: MIT OR Apache-2.0
"""wsgi.file_wrapper, and what the server's own filters do to an application's response."""

import gzip
from urllib.parse import quote

import pytest

from harness import applications

WARM = applications.PEP3333_WARM
ETAG = '"v1"'


def configure(site, kind):
    applications.pep3333(site, kind)
    site.wsgi(
        "/zipped", "pep3333:app", nginx="gzip on; gzip_types *; gzip_min_length 100;", apache="SetOutputFilter DEFLATE"
    )
    site.wsgi(
        "/pages",
        "pages:app",
        nginx="ssi on; ssi_types text/html; set $rate 0; if ($arg_slow) { set $rate 200k; } limit_rate $rate;",
        apache="Options +Includes\nSetOutputFilter INCLUDES",
    )
    site.wsgi(
        "/intercepted",
        "pep3333:app",
        nginx="error_page 404 /static/missing.txt;",
        apache="ErrorDocument 404 /static/missing.txt",
    )
    site.static("/static/", site.apps / "served")


@pytest.fixture
def file(scratch):
    path = scratch / "file.bin"
    path.write_bytes(bytes(range(256)) * 2000)
    path.chmod(0o644)
    return path


def url(file, extra="", base="/app"):
    return f"{base}/send_file?path={quote(str(file))}{extra}"


@pytest.mark.parametrize("how", ["wrapper", "default_size", "bytesio", "iterated", "raw", "no_length"])
def test_file_wrapper(server, file, how):
    response = server.get(url(file, f"&how={how}"))
    assert response.body == file.read_bytes()
    assert server.http2().get(url(file, f"&how={how}")).body == file.read_bytes()


def test_file_wrapper_inside_the_validator(server, file):
    assert server.get(url(file, "&how=iterated", "/checked")).body == file.read_bytes()


def test_file_wrapper_starts_where_the_file_stands(server, file):
    assert server.get(url(file, "&offset=100000")).body == file.read_bytes()[100000:]


def test_file_wrapper_obeys_content_length(server, file):
    assert server.get(url(file, "&length=1000")).body == file.read_bytes()[:1000]
    server.log.allow("GW0503")


def test_a_file_that_is_shorter_than_its_length_is_cut(server, file):
    client = server.connect()
    client.request("GET", url(file, "&length=600000"))
    assert client.refused(500)
    server.log.expect("GW0504")


def test_the_file_is_closed(server, file, gate):
    response = server.get(url(file, f"&how=watched&{gate.query}"))
    assert response.body == file.read_bytes()
    gate.visitor().at("file closed")


def test_a_client_that_leaves_closes_the_file(server, scratch, gate):
    large = scratch / "large"
    with large.open("wb") as out:
        out.truncate(200 << 20)
    client = server.connect(receive_buffer=4096)
    client.request("GET", url(large, f"&how=watched&{gate.query}"))
    client.head()
    client.reset()
    gate.visitor().at("file closed")


def test_an_empty_file(server, scratch):
    empty = scratch / "empty"
    empty.write_bytes(b"")
    response = server.get(url(empty))
    assert (response.status, response.body) == (200, b"")


def test_readers_without_a_descriptor(server):
    assert server.get("/app/send_reader").body == b"r" * 10000
    assert server.get("/app/send_pipe").body == b"through a pipe"


def test_head_of_a_file(server, file):
    response = server.request("HEAD", url(file))
    assert (response.header("Content-Length"), response.body) == (str(len(file.read_bytes())), b"")


def test_keep_alive_after_a_file(server, file):
    client = server.connect()
    for _ in range(3):
        client.request("GET", url(file))
        assert client.response().body == file.read_bytes()


@pytest.mark.not_behind_pass("ranges and preconditions of what a backend gives are the backend's own in nginx", on="nginx")
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-99", 0, 99), ("bytes=100-", 100, 511_999), ("bytes=-10", 511_990, 511_999), ("bytes=5-5", 5, 5)],
)
@pytest.mark.parametrize("kind_of", ["file", "block"])
def test_ranges(server, file, kind_of, asked, first, last):
    """A response with a known length may be asked for in parts."""
    target = url(file, f"&etag={quote(ETAG)}") if kind_of == "file" else "/app/one_block?size=512000"
    headers = [("Range", asked)]
    response = server.get(target, headers)
    if kind_of == "block" and response.status == 200:  # httpd cuts ranges when it has the whole response at once
        assert response.body == file.read_bytes()
        return
    assert response.status == 206
    assert response.header("Content-Range") == f"bytes {first}-{last}/512000"
    assert response.body == file.read_bytes()[first : last + 1]


@pytest.mark.not_behind_pass("ranges and preconditions of what a backend gives are the backend's own in nginx", on="nginx")
def test_a_range_beyond_the_end_is_416(server, file):
    response = server.get(url(file, f"&etag={quote(ETAG)}"), [("Range", "bytes=600000-")])
    assert response.status == 416


def test_several_ranges(server, file):
    response = server.get(url(file, f"&etag={quote(ETAG)}"), [("Range", "bytes=0-1,5-6")])
    if response.status == 200:  # a server may ignore Range; nginx joins no parts of a response in several buffers
        assert response.body == file.read_bytes()
        return
    assert response.status == 206
    assert response.header("Content-Type").startswith("multipart/byteranges")
    assert b"\x00\x01" in response.body
    assert b"\x05\x06" in response.body


def test_what_has_no_length_has_no_ranges(server):
    """A page that the server happens to see whole is no better than one that comes in parts."""
    for path in ("/app/large?size=20&block=20", "/app/large?size=20&block=5"):
        whole = server.get(path)
        for asked in ("bytes=0-2", "bytes=999-"):
            response = server.get(path, [("Range", asked)])
            assert (response.status, response.body) == (200, whole.body)


@pytest.mark.servers("apache")
def test_ranges_of_a_page_whose_length_is_known(server):
    assert server.get("/app/one_block?size=20", [("Range", "bytes=0-2")]).status == 206
    response = server.get("/app/one_block?size=20", [("Range", "bytes=999-")])
    assert response.status == 416
    response = server.request("POST", "/app/one_block?size=20", [("Range", "bytes=0-2")], b"x")
    assert (response.status, len(response.body)) == (200, 20), "RFC 9110 section 14.2: ranges are of GET"


@pytest.mark.not_behind_pass("ranges and preconditions of what a backend gives are the backend's own in nginx", on="nginx")
def test_conditional_requests(server, file):
    modified = "Wed, 01 Jan 2025 00:00:00 GMT"
    target = url(file, f"&etag={quote(ETAG)}&modified={quote(modified)}")
    assert server.get(target).header("ETag") == ETAG
    matched = server.get(target, [("If-None-Match", ETAG)])
    assert (matched.status, matched.body) == (304, b"")
    assert server.get(target, [("If-Modified-Since", modified)]).status == 304
    assert server.get(target, [("If-None-Match", '"v2"')]).status == 200


@pytest.mark.parametrize("path", ["large?size=100000&length=1", "large?size=100000&block=100", "one_block?size=100000"])
def test_compression(server, path):
    response = server.get(f"/zipped/{path}", [("Accept-Encoding", "gzip")])
    assert response.header("Content-Encoding") == "gzip"
    plain = server.get(f"/zipped/{path}")
    assert plain.header("Content-Encoding") is None
    assert gzip.decompress(response.body) == plain.body


def test_compression_of_a_file(server, file):
    response = server.get(url(file, base="/zipped"), [("Accept-Encoding", "gzip")])
    assert gzip.decompress(response.body) == file.read_bytes()


def test_an_error_inside_a_compressed_response_is_visible(server):
    client = server.connect()
    client.request("GET", "/zipped/failing?at=1", [("Accept-Encoding", "gzip")])
    assert client.refused()
    server.log.expect(r"GW03\d\d")


def test_a_page_may_include_another_application_path(server):
    """A subrequest: its output stands inside the page, its head does not count."""
    response = server.get("/pages/outer")
    assert response.text.split() == ["before", "[inner", "GET", "/pages/inner", "x=1]", "after"]
    assert response.status == 200


def test_a_page_may_include_itself_several_times_in_order(server):
    response = server.get("/pages/several")
    assert response.text.split() == [f"[{n}]" for n in range(5)]


def test_a_failing_include_leaves_the_rest_of_the_page(server):
    response = server.get("/pages/broken")
    server.log.expect(r"GW03\d\d")
    server.log.allow("AH01|unable to include|subrequest")
    assert response.status == 200
    assert response.text.startswith("before")
    assert "after" in response.text


def test_streams_are_parts_of_a_page_for_a_slow_client(server):
    """The end of a part comes by itself while what is before it still waits: nginx called it a mistake in its log."""
    assert server.get("/pages/streams?slow=1").body == b"1" * 81920 + b"2" * 81920


def test_the_applications_own_error_pages_are_kept(server):
    """error_page / ErrorDocument do not replace what an application says."""
    response = server.get("/intercepted/nothing-here")
    assert (response.status, response.text) == (404, "no application 'nothing-here'")
