# SPDX-License-Identifier: MIT OR Apache-2.0
"""Filters of responses in nginx: files, applications, handlers, backends, parts of pages, and nginx's own filters behind them."""

import gzip
import http.server
import threading

import pytest

from harness import wire
from harness.deadline import wait_until

pytestmark = pytest.mark.servers("nginx", "nginx128")

NAMES = ("outputfilter", "lines", "small", "says", "fails", "fails_late", "once", "twice", "cuts", "drops", "ends")

OWN = '''
import gate

def waits(filter):
    req = filter.req
    piece = filter.read()
    if piece:
        gate.Gate({"QUERY_STRING": req.args}).wait("in the filter")
        try:
            filter.write(piece)
        except OSError:
            # Its client has left. When it is noticed depends on the machine, and a line about it would be that of any later test.
            pass

def grows(filter):
    """Much more than it reads."""
    piece = filter.read()
    while piece:
        for _ in range(40):
            filter.write(piece)
        piece = filter.read()

def facts(filter):
    req = filter.req
    if not getattr(req, "said", None):
        req.said = True
        filter.write(f"{filter.name} {req.uri} {req.content_type} {req.status} {getattr(req, 'early', None)} {req.notes.get('early')} ")
    filter.pass_on()

def accesshandler(req):
    req.early, req.notes["early"] = "object", "note"
    return 0

def hides(filter):
    """Gives nothing before the end."""
    kept = filter.req.__dict__.setdefault("kept", [])
    piece = filter.read()
    if piece is None or not piece:
        piece = b""
    kept.append(piece)
    rest = filter.read()
    if rest is None:
        filter.write(b"".join(kept))

def links(filter):
    """Makes SSI of it."""
    if not getattr(filter.req, "began", None):
        filter.req.began = True
        filter.write('<!--#include virtual="/part" -->|')
    filter.pass_on()

def gives_up(req):
    """Fails while its response is in the filter."""
    req.write("a part ")
    gate.Gate({"QUERY_STRING": req.args}).wait("in the handler")
    raise ValueError("on purpose")

def page(req):
    """An error's page that takes its time."""
    gate.Gate({"QUERY_STRING": req.args}).wait("in the page")
    req.write("the page")
    return 0
'''


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = b"from the backend " * (50_000 if "large" in self.path else 1)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("ETag", '"the-backends"')
        if "chunked" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 10_000):
                part = body[at : at + 10_000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module", autouse=True)
def backend():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    Backend.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield
    server.shutdown()
    server.server_close()


def configure(site, kind):
    site.http2 = True
    folder = site.scratch / "filters"
    folder.mkdir(exist_ok=True)
    (folder / "own.py").write_text(OWN)
    (folder / "large.txt").write_bytes(b"abcdefgh" * 400_000)
    (folder / "page.shtml").write_text('before <!--#include virtual="/part" --> after')
    where = f"root={site.apps}/handlers"
    own = f"root={folder} env=PYTHONPATH={site.apps}"
    for name in NAMES:
        lines = f"gangway_python_handler output_filter filters::{name} {where};"
        site.static(f"/files/{name}/", site.apps / "served", nginx=lines)
        site.location(f"/app/{name}", nginx=f"{lines} gangway_python_handler filters {where};")
    site.location("/late", nginx=f"gangway_python_handler output_filter filters::fails_late {where}; gangway_python_handler filters::large {where};")
    upper = f"gangway_python_handler output_filter filters {where};"
    site.static("/upper/", site.apps / "served", nginx=upper)
    site.static("/large/", folder, nginx=upper)
    site.static("/gzip/", folder, nginx=f"{upper} gzip on; gzip_types *; gzip_min_length 0;")
    site.static("/both/", site.apps / "served", nginx=f"gangway_python_handler output_filter filters::lines filters {where};")
    site.static("/grows/", folder, nginx=f"gangway_python_handler output_filter own::grows {own};")
    site.static("/waits/", site.apps / "served", nginx=f"gangway_python_handler output_filter own::waits {own};")
    site.static(
        "/facts/", site.apps / "served", nginx=f"gangway_python_handler access own {own}; gangway_python_handler output_filter own::facts {own};"
    )
    site.location("/gives-up", nginx=f"gangway_python_handler output_filter own::waits {own}; gangway_python_handler own::gives_up {own}; error_page 500 /slow-page?$args;")
    site.location("/slow-page", nginx=f"gangway_python_handler own::page {own};")
    site.static("/ssi/", folder, nginx=f"ssi on; {upper}")
    site.static("/links/", site.apps / "served", nginx=f"ssi on; ssi_types *; gangway_python_handler output_filter own::links {own};")
    site.location("/part", nginx=f"gangway_python_handler output_filter filters {where}; return 200 'a part';")
    site.location("/plain", nginx="return 200 'a part';")
    site.static("/limited/", folder, nginx=f"{upper} limit_rate 20m;")
    site.static("/suffix/", folder, nginx=f'gangway_python_handler output_filter "filters | .shtml" {where};')
    port = Backend.port
    for name, more in (("proxy", ""), ("unbuffered", "proxy_buffering off;")):
        site.location(f"/{name}/", nginx=f"{upper} proxy_pass http://127.0.0.1:{port}/; {more}")
    site.wsgi("/wsgi", "pep3333:env_app", nginx=upper)
    site.location(
        "/errors/", nginx=f"{upper} error_page 404 /page; error_page 500 /plain; location /errors/fails {{ gangway_python_handler output_filter filters::fails {where}; return 200 x; }}"
    )
    site.location("/page", nginx="return 200 'the page';")
    site.location(
        "/outer/",
        nginx=f"{upper} location /outer/off {{ gangway_python_handler output_filter off; return 200 'as it is'; }} location /outer/on {{ return 200 'as it is'; }}",
    )


def served(server, name="README"):
    return (server.site.apps / "served" / name).read_bytes()


def test_files_pass(server):
    response = server.get("/upper/README")
    assert (response.status, response.body) == (200, served(server).upper())
    assert (response.header("etag"), response.header("last-modified"), response.header("accept-ranges")) == (None, None, None)
    assert server.get("/upper/README", headers=[("Range", "bytes=0-3")]).body == served(server).upper()
    assert server.get("/large/large.txt").body == b"ABCDEFGH" * 400_000
    assert server.get("/limited/large.txt").body == b"ABCDEFGH" * 400_000


def test_a_connection_serves_one_behind_the_other(server):
    client = server.connect()
    for _ in range(5):
        for method in ("GET", "HEAD"):
            client.request(method, "/upper/README")
            response = client.response(method)
            assert response.status == 200
            assert response.body == (served(server).upper() if method == "GET" else b"")


def test_what_has_no_body_passes(server):
    assert server.request("HEAD", "/upper/README").header("content-length") is None
    fresh = server.get("/files/outputfilter/README")
    assert fresh.status == 200
    unchanged = server.get("/upper/README", headers=[("If-Modified-Since", "Fri, 31 Dec 2100 00:00:00 GMT")])
    assert (unchanged.status, unchanged.body) == (304, b"") or unchanged.status == 200


def test_compression_stands_behind(server):
    response = server.get("/gzip/large.txt", headers=[("Accept-Encoding", "gzip")])
    assert response.header("content-encoding") == "gzip"
    assert gzip.decompress(response.body) == b"ABCDEFGH" * 400_000
    assert len(response.body) < 40_000, "it is compressed as a whole, not piece by piece"


@pytest.mark.parametrize("path", ["/proxy/small", "/proxy/large", "/proxy/chunked/large", "/unbuffered/small", "/unbuffered/large", "/unbuffered/chunked/large"])
def test_backends_pass(server, path):
    server.log.allow("buffered to a temporary file")
    client = server.connect()
    for _ in range(3):
        client.request("GET", path)
        response = client.response()
        assert response.status == 200
        assert response.body == b"FROM THE BACKEND " * (50_000 if "large" in path else 1)
        assert response.header("etag") is None


def test_applications_and_handlers_pass(server):
    assert server.get("/app/outputfilter").body == b"ONE TWO THREE"
    response = server.get("/wsgi")
    assert response.status == 200 and response.body == response.body.upper()


def test_lines_and_small_pieces(server):
    text = served(server)
    assert server.get("/files/lines/README").body == b"".join(b"[" + line + b"]" for line in text.splitlines())
    assert server.get("/files/small/README").body == b"".join(text[at : at + 7] * 3 for at in range(0, len(text), 7))


def test_filters_stand_in_a_row(server):
    lines = [b"[" + line + b"]" for line in served(server).splitlines()]
    assert server.get("/both/README").body == b"".join(lines).upper()


def test_what_a_filter_does_with_what_it_gets(server):
    assert server.get("/files/drops/README").body == b""
    assert server.get("/files/ends/README").body == b""
    assert server.get("/app/once").body == b"<first>one two three"
    assert server.get("/files/once/README").body == b"<first>" + served(server)
    assert server.get("/app/twice").body == b"<one two three"
    assert server.get("/files/twice/README").body == b"<" + served(server)
    client = server.connect()
    for _ in range(3):
        client.request("GET", "/files/cuts/README")
        assert client.response().body == served(server)[:5]


def test_a_filter_knows_the_request(server):
    body = server.get("/facts/README").body
    assert body.startswith(b"own::facts /facts/README text/plain 200 object note ") or body.startswith(
        b"own::facts /facts/README application/octet-stream 200 object note "
    )
    assert server.get("/files/says/README").body == served(server)


def test_an_exception_is_500(server):
    server.log.allow("GW0319")
    for path in ("/files/fails/README", "/app/fails"):
        response = server.get(path)
        assert response.status == 500 and b"one" not in response.body
    server.log.expect('GW0319 PythonOutputFilter "filters::fails" .* ValueError: a filter fails')
    assert server.get("/upper/README").status == 200


def test_an_exception_after_the_head_cuts_the_response(server):
    server.log.allow("GW0319")
    client = server.connect()
    client.request("GET", "/late")
    with pytest.raises(wire.Truncated):
        client.response()
    server.log.expect("a filter fails in the middle")


def test_error_pages(server):
    server.log.allow("No such file|GW0319")
    assert server.get("/errors/none").body == b"the page"
    # The page of another location in the place of a response whose filter failed.
    response = server.get("/errors/fails")
    assert response.status == 500 and response.body == b"a part"
    response = server.get("/upper/none")
    assert response.status == 404 and b"NOT FOUND" in response.body


def test_parts_of_pages_have_filters_of_their_own(server):
    # Includes are looked for in what the filter has made: in upper case there are none.
    assert server.get("/part").body == b"A PART"
    assert server.get("/ssi/page.shtml").body == b'BEFORE <!--#INCLUDE VIRTUAL="/PART" --> AFTER'
    assert server.get("/links/README").body == b"A PART|" + served(server)


def test_places_inherit(server):
    assert server.get("/outer/on").body == b"AS IT IS"
    assert server.get("/outer/off").body == b"as it is"
    assert server.get("/suffix/page.shtml").body.startswith(b"BEFORE")
    assert server.get("/suffix/large.txt").body == b"abcdefgh" * 400_000


def test_a_client_that_reads_slowly_holds_the_filter_up(server):
    client = server.connect()
    client.request("GET", "/grows/large.txt")
    seen = len(client.response().body)
    assert seen == 40 * 3_200_000


def test_a_client_that_leaves(server, gate):
    client = server.connect()
    client.request("GET", f"/waits/README?{gate.query}")
    visitor = gate.visitor().at("in the filter")
    client.close()
    visitor.go()
    assert server.get("/upper/README").status == 200


def test_others_are_served_while_a_filter_waits(server, gate):
    client = server.connect()
    client.request("GET", f"/waits/README?{gate.query}")
    visitor = gate.visitor().at("in the filter")
    assert server.get("/plain").body == b"a part"
    assert server.get("/upper/README").status == 200
    visitor.go()
    assert client.response().body == served(server)


def test_the_page_of_a_response_that_failed_in_its_filter(server, gate):
    """What the filter still gives belongs to a response that nobody waits for."""
    client = server.connect()
    client.request("GET", f"/gives-up?{gate.query}")
    visitors = {visitor.next(): visitor for visitor in (gate.visitor(), gate.visitor())}
    visitors["in the handler"].go()
    page = gate.visitor().at("in the page")
    visitors["in the filter"].go()
    wait_until(lambda: visitors["in the filter"].next() == "", "the filter has ended")
    for _ in range(5):
        assert server.get("/plain").body == b"a part"
    page.go()
    response = client.response()
    assert (response.status, response.body) == (500, b"the page")
    server.log.expect("GW0319.*on purpose")


def test_many_at_a_time(server):
    server.log.allow("buffered to a temporary file")
    clients = [server.connect() for _ in range(30)]
    for number, client in enumerate(clients):
        client.request("GET", ("/upper/README", "/large/large.txt", "/app/outputfilter", "/proxy/large")[number % 4])
    assert {client.response().status for client in clients} == {200}


def test_over_http2(server):
    server.log.allow("buffered to a temporary file")
    with server.http2() as client:
        assert client.get("/upper/README").body == served(server).upper()
        assert client.get("/large/large.txt").body == b"ABCDEFGH" * 400_000
        assert client.get("/proxy/large").body == b"FROM THE BACKEND " * 50_000


def test_one_thread_is_enough_for_a_handler_and_its_filter(launch):
    def configure(site):
        where = f"root={site.apps}/handlers threads=1"
        site.location("/app", nginx=f"gangway_python_handler filters::large {where}; gangway_python_handler output_filter filters {where};")

    server = launch(configure)
    clients = [server.connect() for _ in range(4)]
    for client in clients:
        client.request("GET", "/app")
    for client in clients:
        assert client.response().body == b"ABCDEFGH" * 1024 * 512


def test_a_reload_lets_filters_end(launch):
    def configure(site):
        site.workers = 2
        site.static("/upper/", site.apps / "served", nginx=f"gangway_python_handler output_filter filters root={site.apps}/handlers;")

    server = launch(configure)
    for _ in range(3):
        assert server.get("/upper/README").body == served(server).upper()
        server.reload()
    wait_until(lambda: server.get("/upper/README").status == 200, "the new workers answer")
