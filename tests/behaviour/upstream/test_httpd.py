# SPDX-License-Identifier: MIT OR Apache-2.0
"""mod_proxy_gangway in the place of mod_proxy_fcgi, mod_proxy_scgi and mod_proxy_uwsgi, and beside them: the same
configuration, the same variables at the backend, mod_proxy's own settings."""

import contextlib
import datetime
import functools
import os
import re

import pytest

from harness import places, scripts, wire
from harness.deadline import wait_until
from harness.gateway import KEEP_CONN, PROTOCOLS
from harness.recorder import Recorder
from harness.render_apache import STOCK_PROXY, backend_url
from harness.upstreams import head, hello

pytestmark = pytest.mark.servers("apache")
PROXY = {"fastcgi": "fcgi", "scgi": "scgi", "uwsgi": "uwsgi"}
STOCK_FOLDER = places.APACHE_MODULES
# Differs from one server to the next, or from one connection to the next.
VARYING = re.compile(r"^(SERVER_PORT|HTTP_HOST|REMOTE_PORT|DOCUMENT_ROOT|CONTEXT_DOCUMENT_ROOT|UNIQUE_ID)$")


@pytest.fixture
def recorder(request):
    """A backend that several servers share."""
    with contextlib.closing(Recorder(getattr(request, "param", "fastcgi"))) as created:
        yield created


def lines(site, backend, text, *, upstream="gangway", environment="", modules=True):
    """A site whose whole proxy configuration is `text`, with %p for the port of the backend."""
    site.upstream = upstream
    site.modules = modules and upstream == "gangway"
    # The harness loads mod_proxy where something is passed.
    site.passes("/unused/", "fastcgi://127.0.0.1:1")
    site.apache_host = text.replace("%p", str(backend.port)) + "\n" + environment


def received(server, backend, path, method="GET", headers=(), body=None):
    """What the backend receives for a request."""
    client = server.connect()
    client.request(method, path, headers, body)
    peer = backend.next(client)
    request = peer.request()
    peer.answer(hello(backend.protocol))
    assert client.response(method).status == 200
    return request


def comparable(request, server):
    """The variables, without those that differ between two servers anyway."""
    found = {}
    for name, value in request.variables:
        name, value = name.decode(), value.decode("latin-1")
        assert name not in found, f"{name} was sent twice"
        if not VARYING.match(name):
            found[name] = value.replace(str(server.folder), "FOLDER")
    return found


BODY = b"field=value"
REQUESTS = [
    ("GET", "/x", [], None),
    ("GET", "/a%20b/c%2Bd/?q=1&r=%2F", [("X-Custom", "1"), ("X_Dropped", "1"), ("Proxy", "http://evil")], None),
    ("HEAD", "/x.y/z", [("Authorization", "Basic YTpi")], None),
    ("POST", "/form", [("Content-Type", "application/x-www-form-urlencoded")], BODY),
    ("POST", "/chunked", [], [b"one", b"two"]),
    ("PUT", "/v1.2/script.cgi/info/more.txt", [], b""),
]
CONFIGURATIONS = {
    "ProxyPass": ("fastcgi", 'ProxyPass "/d/" "fcgi://127.0.0.1:%p/srv/www/"', ""),
    "ProxyPass at the root of the backend": ("fastcgi", 'ProxyPass "/d/" "fcgi://127.0.0.1:%p/"', ""),
    "ProxyPassMatch": ("fastcgi", 'ProxyPassMatch "^/d/(.*)$" "fcgi://127.0.0.1:%p/srv/www/$1"', ""),
    "nocanon": ("fastcgi", 'ProxyPass "/d/" "fcgi://127.0.0.1:%p/srv/www/" nocanon', ""),
    "SetHandler": ("fastcgi", '<Location "/d/">\nSetHandler "proxy:fcgi://127.0.0.1:%p"\n</Location>', ""),
    "GENERIC": ("fastcgi", 'ProxyFCGIBackendType GENERIC\nProxyPass "/d/" "fcgi://127.0.0.1:%p/srv/www/"', ""),
    "GENERIC SetHandler": (
        "fastcgi",
        '<Location "/d/">\nProxyFCGIBackendType GENERIC\nSetHandler "proxy:fcgi://127.0.0.1:%p"\n</Location>',
        "",
    ),
    "FPM": ("fastcgi", 'ProxyFCGIBackendType FPM\nProxyPass "/d/" "fcgi://127.0.0.1:%p/srv/www/"', ""),
    **{
        f"proxy-fcgi-pathinfo {value}": (
            "fastcgi",
            'ProxyPass "/d/" "fcgi://127.0.0.1:%p/srv/www/"',
            f"SetEnv proxy-fcgi-pathinfo {value}",
        )
        for value in ("1", "first-dot", "last-dot", "full", "unescape")
    },
    "proxy-sendcl": ("fastcgi", 'ProxyPass "/d/" "fcgi://127.0.0.1:%p/"', "SetEnv proxy-sendcl 1"),
    "CGIPassAuth": (
        "fastcgi",
        'ProxyPass "/d/" "fcgi://127.0.0.1:%p/"',
        '<Location "/d/">\nCGIPassAuth On\n</Location>',
    ),
    "ProxyFCGISetEnvIf": (
        "fastcgi",
        'ProxyPass "/d/" "fcgi://127.0.0.1:%p/srv/www/"',
        'ProxyFCGISetEnvIf "true" COVENV1 "value"\n'
        "ProxyFCGISetEnvIf \"reqenv('SCRIPT_FILENAME') =~ m#/www/(.)#\" PATH_TRANSLATED \"from $1\"\n"
        'ProxyFCGISetEnvIf "true" "!SERVER_SIGNATURE"\n'
        'ProxyFCGISetEnvIf "false" NEVER "x"\n'
        'ProxyFCGISetEnvIf "true" EMPTY',
    ),
    "balancer": (
        "fastcgi",
        '<Proxy "balancer://pool">\nBalancerMember "fcgi://127.0.0.1:%p"\n</Proxy>\n'
        'ProxyPass "/d/" "balancer://pool/srv/www/"',
        "",
    ),
    "rewritten": (
        "fastcgi",
        'RewriteEngine On\nRewriteRule "^/d/(.*)$" "fcgi://127.0.0.1:%p/srv/www/$1" [P]',
        "",
    ),
    "error document": (
        "fastcgi",
        'ErrorDocument 404 /d/error\nProxyPass "/d/missing" !\nProxyPass "/d/" "fcgi://127.0.0.1:%p/"',
        "",
    ),
    "scgi": ("scgi", 'ProxyPass "/d/" "scgi://127.0.0.1:%p/"', ""),
    "proxy-scgi-pathinfo": ("scgi", 'ProxyPass "/d/" "scgi://127.0.0.1:%p/"', "SetEnv proxy-scgi-pathinfo 1"),
    "uwsgi": ("uwsgi", 'ProxyPass "/d/" "uwsgi://127.0.0.1:%p/"', ""),
    "uwsgi at the same path": ("uwsgi", 'ProxyPass "/d" "uwsgi://127.0.0.1:%p/d"', ""),
    **{
        f"slashes that count, {name}": (protocol, line, "MergeSlashes Off\nAllowEncodedSlashes On" + more)
        for name, protocol, line, more in (
            ("fcgi", "fastcgi", 'ProxyPass "/d/" "fcgi://127.0.0.1:%p/srv/www/"', ""),
            ("fcgi with PATH_INFO", "fastcgi", 'ProxyPass "/d/" "fcgi://127.0.0.1:%p/"', "\nSetEnv proxy-fcgi-pathinfo 1"),
            ("SetHandler", "fastcgi", '<Location "/d/">\nSetHandler "proxy:fcgi://127.0.0.1:%p"\n</Location>', ""),
            ("scgi", "scgi", 'ProxyPass "/d/" "scgi://127.0.0.1:%p/"', "\nSetEnv proxy-scgi-pathinfo 1"),
            ("uwsgi", "uwsgi", 'ProxyPass "/d" "uwsgi://127.0.0.1:%p/d"', ""),
        )
    },
    "uwsgi nocanon": ("uwsgi", 'ProxyPass "/d/" "uwsgi://127.0.0.1:%p/" nocanon', ""),
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_backend_sees_what_it_sees_of_the_stock_module(name, launch):
    """Every variable with its value, and the body."""
    protocol, text, environment = CONFIGURATIONS[name]
    with contextlib.closing(Recorder(protocol)) as backend:
        seen = []
        for upstream in ("stock", "gangway"):
            server = launch(
                lambda site, upstream=upstream: lines(
                    site, backend, text, upstream=upstream, environment=environment
                )
            )
            requests = REQUESTS if name != "error document" else [("GET", "/missing?q=1", [], None)]
            if protocol != "fastcgi":
                # The stock modules answer 411 to a body whose length is not known.
                requests = [request for request in requests if not isinstance(request[3], list)]
            if "slashes" in name:
                requests = [("GET", path, [], None) for path in ("/a//b", "//a", "/a%2Fb//c", "//", "/")]
            if "nocanon" in name:
                # The stock modules refuse a query (fcgi) and an encoded slash in it (uwsgi) there.
                requests = [request for request in requests if "?" not in request[1]]
            found = []
            for method, path, headers, body in requests:
                if name == "error document":
                    client = server.connect()
                    client.request(method, f"/d{path}")
                    peer = backend.next(client)
                    request = peer.request()
                    # Without a status of its own it is the page of the error.
                    peer.answer(b"Content-Type: text/plain\r\n\r\nhello")
                    assert client.response().status == 404
                else:
                    request = received(server, backend, f"/d{path}", method, headers, body)
                found.append((comparable(request, server), request.body))
            seen.append(found)
            server.finish()
            backend.reset()
        stock, ours = seen
        for (expected, body), (variables, our_body) in zip(stock, ours, strict=True):
            if protocol == "scgi":
                # RFC 3875 section 4.1.4 wants it of everybody; mod_proxy_scgi leaves it out.
                assert variables.pop("GATEWAY_INTERFACE") == "CGI/1.1"
            if body == b"onetwo":
                # A chunked body that is there at once gets a length; whether it is depends on the network.
                for found in (variables, expected):
                    assert found.pop("CONTENT_LENGTH", "6") == "6"
                    found.pop("HTTP_TRANSFER_ENCODING", None)
            assert variables == expected
            assert our_body == body


@pytest.mark.parametrize("recorder", PROTOCOLS, indirect=True)
def test_ranges_are_of_responses_whose_length_the_backend_has_named(launch, recorder):
    server = launch(lambda site: lines(site, recorder, f'ProxyPass "/d/" "{PROXY[recorder.protocol]}://127.0.0.1:%p/"'))

    def answer(method, asked, fields=b""):
        client = server.connect()
        client.request(method, "/d/x", [("Range", asked)], b"body" if method == "POST" else None)
        peer = recorder.next(client)
        peer.request()
        peer.answer(head(recorder.protocol, fields=fields + b"Content-Type: text/plain\r\n") + b"hello")
        response = client.response(method)
        return response.status, response.body

    for asked in ("bytes=0-2", "bytes=999-", "bytes=0-1,3-4"):
        assert answer("GET", asked) == (200, b"hello"), asked
        assert answer("POST", asked, b"Content-Length: 5\r\n") == (200, b"hello"), asked
    # httpd makes ranges of what it has at once: on a busy machine the end may come too late for that.
    length = b"Content-Length: 5\r\n"
    wait_until(lambda: answer("GET", "bytes=0-2", length) == (206, b"hel"), "a part of the response")
    wait_until(lambda: answer("GET", "bytes=999-", length)[0] == 416, "no part of the response")
    assert not server.log.find("GW0712|has left"), "nobody has left"


@pytest.mark.parametrize("where", ["127.0.0.1", "unix"])
def test_lines_name_the_backend(launch, where):
    """Without a worker of its own it is served by mod_proxy's one for all: "proxy:reverse"."""

    def configure(site):
        backend = site.recorder("fastcgi", unix=where == "unix")
        lines(site, backend, "")
        url = backend_url(backend.address, "")
        site.apache_host = f'<Location "/d/">\nSetHandler "proxy:{url}"\n</Location>'
        site.name = url

    server = launch(configure)
    backend = server.site.backends["fastcgi"]
    client = server.connect()
    client.request("GET", "/d/x")
    peer = backend.next(client)
    peer.request()
    peer.close()
    assert client.response().status == 502
    line = server.log.expect("GW0703").raw
    assert server.site.name in line and "proxy:reverse" not in line


@pytest.mark.parametrize("first", ["stock", "gangway"])
def test_both_loaded_the_first_serves_and_our_own_schemes_are_always_ours(first, launch, recorder):
    """mod_proxy asks modules in the order of their LoadModule lines. Ours is known by the flag that keeps connections."""

    def configure(site):
        text = 'ProxyPass "/shared/" "fcgi://127.0.0.1:%p/"\nProxyPass "/own/" "gangway+fcgi://127.0.0.1:%p/"'
        lines(site, recorder, text)

    server = launch.prepare(configure)
    loads = "\n".join(f"LoadModule {n}_module {STOCK_FOLDER}/mod_{n}.so" for n in STOCK_PROXY)
    rendered = server.render

    def render():
        text = rendered()
        at = re.search(r"LoadModule proxy_gangway_module .*\n", text)
        place = at.start() if first == "stock" else at.end()
        return text[:place] + loads + "\n" + text[place:]

    server.render = render
    server.start()
    try:
        keeps = lambda path: bool(received(server, recorder, path).keep)
        assert keeps("/own/x")
        assert keeps("/shared/x") == (first == "gangway")
    finally:
        server.finish()


def test_enablereuse_off_and_keep_conn_off_close_each_connection(launch, recorder):
    text = (
        'ProxyPass "/off/" "fcgi://127.0.0.1:%p/off/" enablereuse=off\n'
        'ProxyPass "/conf/" "fcgi://127.0.0.1:%p/conf/"\n'
        'ProxyPass "/on/" "fcgi://127.0.0.1:%p/on/"\n'
        '<Location "/conf/">\nGangwayKeepConn Off\n</Location>'
    )
    server = launch(lambda site: lines(site, recorder, text))
    assert not received(server, recorder, "/off/x").keep
    assert not received(server, recorder, "/conf/x").keep
    assert recorder.accepted == 2
    # Not each one is kept on a busy machine.
    for _ in range(20):
        assert received(server, recorder, "/on/x").keep == bool(KEEP_CONN)
    assert recorder.accepted < 22


def answer_of(server, recorder, path, data):
    """The response to a request that the backend answers with `data`."""
    client = server.connect()
    client.request("GET", path)
    peer = recorder.next(client)
    peer.request()
    peer.answer(data)
    return client.response()


def test_error_override_and_reverse_mapping(launch, recorder):
    text = (
        'ProxyPass "/d/" "fcgi://127.0.0.1:%p/"\nProxyPassReverse "/d/" "http://inside/"\n'
        'ProxyPassReverseCookiePath "/" "/d/"\nErrorDocument 404 "our own page"\n'
        '<Location "/d/over">\nProxyErrorOverride On\n</Location>'
    )
    server = launch(lambda site: lines(site, recorder, text))

    answer = functools.partial(answer_of, server, recorder)
    missing = b"Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nthe backend's page"
    plain = answer("/d/x", missing)
    assert (plain.status, plain.body) == (404, b"the backend's page")
    over = answer("/d/over", missing)
    assert (over.status, over.body) == (404, b"our own page")
    # The connection is good for the next one: nothing of the page that was dropped is left on it.
    moved = answer("/d/x", b"Status: 302\r\nLocation: http://inside/y\r\nSet-Cookie: a=b; path=/\r\n\r\n")
    assert moved.header("Location") == "http://localhost/d/y"
    assert moved.header("Set-Cookie") == "a=b; path=/d/"


@pytest.mark.parametrize("recorder", ["scgi"], indirect=True)
def test_scgi_backends_may_ask_for_another_document(launch, recorder):
    text = (
        'ProxyPass "/d/" "scgi://127.0.0.1:%p/"\n'
        '<Location "/d/file">\nProxySCGISendfile On\n</Location>\n'
        '<Location "/d/off">\nProxySCGIInternalRedirect Off\n</Location>'
    )
    server = launch(lambda site: lines(site, recorder, text))
    page = server.folder / "htdocs" / "page.txt"
    page.write_text("the page")

    answer = functools.partial(answer_of, server, recorder)
    redirect = b"Content-Type: text/plain\r\nLocation: /page.txt\r\n\r\n"
    assert answer("/d/x", redirect).body == b"the page"
    assert answer("/d/x", b"Status: 302\r\n" + redirect).status == 302
    off = answer("/d/off", redirect)
    assert (off.status, off.header("Location")) == (302, "/page.txt")
    sent = answer("/d/file", b"Content-Type: text/x-own\r\nX-Sendfile: " + str(page).encode() + b"\r\n\r\n")
    assert (sent.status, sent.body, sent.header("X-Sendfile")) == (200, b"the page", None)
    assert answer("/d/file", b"X-Sendfile: /no/such/file\r\n\r\n").status == 500
    server.log.expect("GW0601")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_gangway_param_wins(protocol, launch):
    def configure(site):
        backend = site.recorder(protocol)
        text = f'GangwayParam OUTER "1"\nGangwayParam BOTH "outer"\nProxyPass "/d/" "{PROXY[protocol]}://127.0.0.1:%p/"\n'
        text += '<Location "/d/">\nSetEnv FROM_ENV "env"\nGangwayParam BOTH "inner"\nGangwayParam FROM_ENV "param"\n'
        text += 'GangwayParam EXPR "expr=%{REQUEST_METHOD} it"\nGangwayParam NONE "" if_not_empty\n'
        text += 'GangwayParam EMPTY ""\nGangwayParam SERVER_NAME "other"\n</Location>'
        lines(site, backend, text)

    server = launch(configure)
    request = received(server, server.site.backends[protocol], "/d/x")
    expected = {"OUTER": "1", "BOTH": "inner", "FROM_ENV": "param", "EXPR": "GET it", "EMPTY": "", "SERVER_NAME": "other"}
    assert {name: request[name] for name in expected} == expected
    assert "NONE" not in request


@pytest.mark.parametrize("backend_type, streams", [("FPM", False), ("GENERIC", True)])
def test_php_gets_the_length_of_every_body(backend_type, streams, launch, recorder):
    """PHP reads as many bytes as CONTENT_LENGTH says: none, when the client sent chunks."""
    text = f'ProxyFCGIBackendType {backend_type}\nProxyPass "/d/" "fcgi://127.0.0.1:%p/no-such-directory/"'
    server = launch(lambda site: lines(site, recorder, text))
    client = server.connect()
    client.send(wire.head_bytes("POST", "/d/x.php", [("Host", "x"), ("Transfer-Encoding", "chunked")]))
    client.send(wire.chunk(b"x" * 100_000))
    if streams:
        peer = recorder.next(client)
        request = peer.head()
        client.send(b"0\r\n\r\n")
        assert len(peer.codec.body(request)) == 100_000
        assert "CONTENT_LENGTH" not in request
    else:
        client.send(b"0\r\n\r\n")
        peer = recorder.next(client)
        request = peer.request()
        assert (request["CONTENT_LENGTH"], len(request.body)) == ("100000", 100_000)
    peer.answer(hello("fastcgi"))
    assert client.response().status == 200


@pytest.mark.parametrize("protocol", ["scgi", "uwsgi"])
def test_gangway_pass_looks_for_no_file(protocol, launch):
    """As ProxyPass: what is on disk does not matter, what the sections of the path say does."""

    def configure(site):
        backend = site.recorder(protocol)
        site.passes("/unused/", "fastcgi://127.0.0.1:1")
        address = f"{protocol}://{backend.where}"
        site.apache_host = f'<Location "/app">\nGangwayPass {address}\n</Location>\n'
        site.apache_host += '<Location "/app/closed">\nRequire all denied\n</Location>\n'
        site.apache_host += 'RewriteEngine On\nRewriteRule "^/moved/(.*)$" "/app/$1" [PT]\n'

    server = launch(configure)
    server.log.allow("AH01630|AH00128|AH01797")
    backend = server.site.backends[protocol]
    folder = server.folder / "htdocs" / "app"
    folder.mkdir()
    (folder / "page.html").write_text("a file")
    (folder / ".htaccess").write_text("an error if it is read")
    # No redirect to a directory's name with a slash.
    assert received(server, backend, "/app")["SCRIPT_NAME"] == "/app"
    for path in ("/", "/page.html", "/none"):
        request = received(server, backend, "/app" + path)
        assert (request["SCRIPT_NAME"], request["PATH_INFO"]) == ("/app", path)
        assert request["PATH_TRANSLATED"] == f"{server.folder}/htdocs{path}"
    assert server.get("/app/closed/x").status == 403
    # A path that a module has changed takes the way behind the file system.
    (folder / ".htaccess").unlink()
    request = received(server, backend, "/moved/x")
    assert (request["SCRIPT_NAME"], request["PATH_INFO"]) == ("/app", "/x")


def test_the_date_of_a_document_is_what_its_application_says(launch):
    """Content negotiation looks at folders, and httpd keeps the latest date that it has heard of."""
    date = "Sun, 01 Nov 2020 00:00:00 GMT"
    page = b'Content-Type: text/plain\r\nETag: "1"\r\n%s\r\nwhole'
    answers = {"dated": page % b"Last-Modified: %s\r\n" % date.encode(), "undated": page % b""}

    def configure(site):
        backend = site.recorder("fastcgi")
        site.passes("/unused/", "fastcgi://127.0.0.1:1")
        site.apache_main = f"LoadModule negotiation_module {places.APACHE_MODULES}/mod_negotiation.so"
        site.apache_main += '\n<Directory "/">\nOptions +MultiViews\n</Directory>'
        site.apache_host = f'<Location "/app">\nGangwayPass fastcgi://{backend.where}\n</Location>\n'
        folder = scripts.Folder(site.scratch / "cgi")
        for name, answer in answers.items():
            folder.python(name, f"out.write({answer!r})")
        site.cgi("/cgi", folder)

    server = launch(configure, warm=("/cgi/dated",))
    of_the_folder = datetime.datetime(2022, 1, 1).timestamp()
    os.utime(server.folder / "htdocs", (of_the_folder, of_the_folder))
    since = [("If-Modified-Since", "Sun, 01 Jan 2023 00:00:00 GMT")]
    for name, answer in answers.items():
        with server.site.backends["fastcgi"].serving(lambda request, peer, answer=answer: answer):
            for path in (f"/app/{name}", f"/cgi/{name}"):
                response = server.get(path)
                assert (response.status, response.body) == (200, b"whole")
                assert response.header("Last-Modified") == (date if name == "dated" else None), path
                assert server.get(path, since).status == (304 if name == "dated" else 200), path


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_gangway_pass(protocol, unix, launch):
    """An application is mounted where the section stands; a file goes to a FastCGI backend by its path."""

    def configure(site):
        backend = site.recorder(protocol, unix=unix)
        site.passes("/unused/", "fastcgi://127.0.0.1:1")
        address = f"{protocol}://{backend.where}"
        site.apache_host = f'<Location "/app">\nGangwayPass {address}\n</Location>\n'
        site.apache_host += f'<Location "/files">\nGangwayPass {address}\n</Location>\n'
        site.apache_host += '<Location "/app/not">\nGangwayPass Off\n</Location>\n'

    server = launch(configure)
    backend = server.site.backends[protocol]
    files = server.folder / "htdocs" / "files"
    files.mkdir()
    (files / "a.php").write_text("")
    request = received(server, backend, "/app/x%20y/z?q=1")
    assert (request["SCRIPT_NAME"], request["PATH_INFO"], request["QUERY_STRING"]) == ("/app", "/x y/z", "q=1")
    assert server.get("/app/not/x").status == 404
    if protocol == "fastcgi":
        request = received(server, backend, "/files/a.php/info")
        assert request["SCRIPT_FILENAME"].endswith(f"{files}/a.php")
        assert (request["SCRIPT_NAME"], request["PATH_INFO"]) == ("/files/a.php", "/info")
        assert server.get("/files/missing.php").status == 404
        assert server.get("/files/a.txt/x.php").status == 404
    server.log.allow("GW0709|AH00128")


def traced(site, text):
    """Sections of GangwayPass, and mod_proxy's own talk of its workers."""
    site.passes("/unused/", "fastcgi://127.0.0.1:1")
    site.apache_host = f"LogLevel proxy:trace2\n{text}"


def talk(server, pattern):
    """What mod_proxy has said at its levels debug and trace, which the harness leaves out."""
    return re.findall(f".*{pattern}.*", server.log.path.read_text(errors="replace"))


def section(path, address):
    return f'<Location "{path}">\nGangwayPass {address}\n</Location>\n'


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_sections_of_one_address_share_a_worker(protocol, launch):
    """It is looked up once, and no request is served by mod_proxy's worker for all addresses."""

    def configure(site):
        backend = site.recorder(protocol)
        address = f"{protocol}://{backend.where}"
        # What the main server says holds in the virtual host, which has the address as well.
        site.apache_main = section("/main", address)
        traced(site, section("/one", address) + section("/two", address))

    server = launch(configure)
    backend = server.site.backends[protocol]
    for path in ("/main", "/one", "/two", "/one"):
        request = received(server, backend, f"{path}/x")
        assert (request["SCRIPT_NAME"], request["PATH_INFO"]) == (path, "/x")
    name = f"gangway\\+{PROXY[protocol]}://{re.escape(backend.where)}"
    assert len(talk(server, f"found worker {name} for ")) == 4
    assert not talk(server, "default reverse proxy worker")
    made = [re.search(r"pid \d+", line)[0] for line in talk(server, f"initializing worker {name} local")]
    assert made and len(made) == len(set(made)), "one in each child"


def test_sections_of_the_main_server_have_workers_in_virtual_hosts(launch):
    """In one with a configuration of mod_proxy's, in one without, and in one that names the address itself."""

    def configure(site):
        backend = site.recorder("scgi")
        address = f"scgi://{backend.where}"
        hosts = {"localhost": "ProxyTimeout 1", "plain": "", "own": section("/own", address)}
        traced(site, section("/main", address))
        for name, text in hosts.items():
            site.apache_host += f"<VirtualHost *:*>\nServerName {name}\n{text}\n</VirtualHost>\n"

    server = launch(configure)
    backend = server.site.backends["scgi"]
    for host, path in [("localhost", "/main"), ("plain", "/main"), ("own", "/main"), ("own", "/own")]:
        received(server, backend, f"{path}/x", headers=[("Host", host)])
    assert len(talk(server, "found worker gangway")) == 4
    client = server.connect()
    client.request("GET", "/main/x")
    backend.next(client).request()
    assert client.response().status == 504, "ProxyTimeout of the virtual host"
    server.log.expect("GW0711.*for 1 seconds")


def test_ports_that_are_a_protocols_own_find_their_worker(launch):
    addresses = {"fastcgi": 8000, "scgi": 4000, "uwsgi": 3031}
    text = "".join(section(f"/{name}", f"{name}://127.77.0.1:{port}") for name, port in addresses.items())
    server = launch(lambda site: traced(site, text))
    server.log.allow("AH00957|AH01114")
    for name, port in addresses.items():
        assert server.get(f"/{name}/x").status == 503
        assert talk(server, f"found worker gangway\\+{PROXY[name]}://127.77.0.1:{port} for ")


def test_a_worker_that_is_configured_keeps_its_parameters(launch):
    """Wherever its line stands; GangwayPass uses it."""

    def configure(site):
        backend = site.recorder("scgi")
        text = f'ProxyPass "/d/" "gangway+scgi://{backend.where}/" timeout=1\n'
        traced(site, section("/before", f"scgi://{backend.where}") + text + section("/after", f"scgi://{backend.where}"))

    server = launch(configure)
    for path in ("/d/x", "/before/x", "/after/x"):
        client = server.connect()
        client.request("GET", path)
        peer = server.site.backends["scgi"].next(client)
        peer.request()
        assert client.response().status == 504, path
    assert len(server.log.find("GW0711.*for 1 seconds")) == 3
    server.log.expect("GW0711")


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_backend_that_comes_back_is_asked_at_once(protocol, unix, launch):
    def configure(site):
        backend = site.recorder(protocol, unix=unix)
        traced(site, section("/app", f"{protocol}://{backend.where}"))

    server = launch(configure)
    backend = server.site.backends[protocol]
    received(server, backend, "/app/x")
    for _ in range(2):
        backend.refuse()
        backend.reset()
        for _ in range(3):
            assert server.get("/app/x").status == 503
        server.log.expect("AH00957|AH02454")
        server.log.allow("AH01114")
        backend.listen()
        received(server, backend, "/app/x")
    assert not server.log.find("AH00959"), "it is in no state of errors"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_socket_is_a_backend_of_its_own(protocol, launch):
    """mod_proxy calls workers of all unix sockets the same."""

    def configure(site):
        text = ""
        for name in ("one", "two", "port"):
            backend = site.recorder(protocol, name=name, unix=name != "port")
            text += section(f"/{name}", f"{protocol}://{backend.where}")
        traced(site, text)

    server = launch(configure)
    for name in ("one", "two", "port", "two", "one", "port"):
        received(server, server.site.backends[name], f"/{name}/x")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_balancer_with_the_same_address_is_not_touched(protocol, launch):
    def configure(site):
        backend = site.recorder(protocol)
        member = f"gangway+{PROXY[protocol]}://{backend.where}"
        traced(
            site,
            f'<Proxy "balancer://pool">\nBalancerMember "{member}" route=r1\n</Proxy>\n'
            'ProxyPass "/b/" "balancer://pool/"\n'
            '<Location "/manager">\nSetHandler balancer-manager\n</Location>\n'
            + section("/app", f"{protocol}://{backend.where}"),
        )

    server = launch(configure)
    backend = server.site.backends[protocol]
    for _ in range(2):
        received(server, backend, "/app/x")
        received(server, backend, "/b/x")
    page = server.get("/manager").text
    server.log.allow("AH10187")
    assert page.count(f"gangway+{PROXY[protocol]}://{backend.where}</a>") == 1
    # Elected for the requests of its own alone.
    assert re.search(r"r1</td>.*?<td>2</td>", page, re.S), page


def test_reloads_keep_the_workers(launch):
    def configure(site):
        backend = site.recorder("scgi")
        site.apache_main = section("/main", f"scgi://{backend.where}")
        traced(site, section("/app", f"scgi://{backend.where}"))

    server = launch(configure)
    backend = server.site.backends["scgi"]
    for count in range(1, 4):
        for path in ("/app/x", "/main/x"):
            received(server, backend, path)
        assert len(talk(server, "found worker gangway")) == 2 * count
        server.reload()
    received(server, backend, "/app/x")
    assert not talk(server, "default reverse proxy worker")


def test_htaccess_cannot_pass_requests(launch):
    def configure(site):
        site.passes("/unused/", "fastcgi://127.0.0.1:1")
        site.apache_host = '<Directory "/">\nAllowOverride All\n</Directory>'

    server = launch(configure)
    folder = server.folder / "htdocs" / "app"
    folder.mkdir()
    (folder / ".htaccess").write_text("GangwayPass scgi://127.0.0.1:1\n")
    assert server.get("/app/x").status == 500
    server.log.expect("GangwayPass not allowed here")


@pytest.mark.parametrize(
    "line, part",
    [
        ("GangwayPass http://h:1", "must be fastcgi://"),
        ("GangwayPass fastcgi://host", "has no port"),
        ("GangwayPass fastcgi://h:1 more", "takes one word"),
        ("GangwayScriptCheck maybe", "On or Off"),
        ("GangwayScriptSuffixes", "at least one"),
        ("GangwayScriptSuffixes a/b", "a word such as php"),
        ("GangwayStderrLevel loud", "error, warn, notice"),
        ("GangwayHeadMaxSize 1", "a size such as 64k"),
        ("GangwayFlushWait 5", "a time such as 5ms"),
        ("GangwayKeepConn yes", "On or Off"),
        ("ProxyFCGIBackendType PHP", "GENERIC"),
        ('ProxyFCGISetEnvIf "true" "!A" "b"', "third argument"),
        ('ProxyFCGISetEnvIf "true" "!"', "not a valid variable name"),
        ('ProxyFCGISetEnvIf "nonsense (" A b', "does not understand"),
    ],
)
def test_a_wrong_directive_stops_the_configuration_test(line, part, configtest, recorder):
    done = configtest(lambda site: lines(site, recorder, f'<Location "/d">\n{line}\n</Location>'))
    assert done.status != 0
    assert part in done.output


RESPONSES = {
    "plain": b"Content-Type: Text/Plain; Charset=UTF-8\r\n\r\nbody",
    "no type": b"X-A: 1\r\n\r\nbody",
    "no body": b"Status: 204 No Content\r\n\r\n",
    "reason": b"Status: 299 Very Special\r\n\r\nbody",
    "unknown status": b"Status: 499\r\n\r\nbody",
    "not found": b"Status: 404\r\nContent-Type: text/html\r\n\r\nown page",
    "redirect": b"Status: 301 Moved Permanently\r\nLocation: http://elsewhere/x\r\n\r\n",
    "cookies": b"Set-Cookie: a=1\r\nSet-Cookie: b=2; path=/\r\nset-cookie: c=3\r\n\r\nbody",
    "repeated": b"X-A: 1\r\nX-B: 2\r\nX-A: 3\r\nLink: </a>\r\nLink: </b>\r\nVary: Accept\r\nVary: Cookie\r\n\r\nbody",
    "authentication": b"Status: 401\r\nWWW-Authenticate: Basic realm=x\r\nWWW-Authenticate: Bearer\r\n\r\nno",
    "dates": b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nExpires: 0\r\nETag: \"x\"\r\n\r\nbody",
    "a date that is none": b"Last-Modified: yesterday\r\n\r\nbody",
    "a type with a charset": b"Content-Type: text/html; charset=ISO-8859-1\r\nContent-Language: de\r\n\r\nbody",
    "an encoding": b"Content-Type: text/plain\r\nContent-Encoding: x-own\r\nCache-Control: no-store\r\n\r\nbody",
    "spaces": b"X-A:   padded  \r\nX-B:\r\n\r\nbody",
    "line feeds": b"Status: 200 OK\nContent-Type: text/plain\nX-A: 1\n\nbody",
    "a server of its own": b"Server: backend/1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Powered-By: x\r\n\r\nbody",
    "partial": b"Status: 206\r\nContent-Range: bytes 0-3/10\r\n\r\nbody",
}
# What a client may ask on top.
ASKS = {
    "GET": ("GET", []),
    "HEAD": ("HEAD", []),
    "a condition that holds": ("GET", [("If-None-Match", '"x"')]),
    "a date": ("GET", [("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")]),
    "another condition": ("GET", [("If-Match", '"other"')]),
    "POST": ("POST", [("If-None-Match", '"x"')]),
}


@pytest.mark.parametrize("protocol", ["fastcgi", "scgi"])
def test_the_client_sees_what_it_sees_of_the_stock_module(protocol, launch):
    """Status line, headers and body. Only the framing is httpd's, and Content-Length ours."""
    with contextlib.closing(Recorder(protocol)) as backend:
        seen = []
        for upstream in ("stock", "gangway"):
            text = f'ProxyPass "/d/" "{PROXY[protocol]}://127.0.0.1:%p/"'
            server = launch(lambda site, text=text, upstream=upstream: lines(site, backend, text, upstream=upstream))
            found = {}
            for name, data in RESPONSES.items():
                for ask, (method, headers) in ASKS.items():
                    client = server.connect()
                    client.request(method, "/d/x", headers, b"" if method == "POST" else None)
                    peer = backend.next(client)
                    peer.request()
                    peer.answer(data)
                    response = client.response(method)
                    client.close()
                    framing = ("date", "content-length", "transfer-encoding")
                    fields = [(k.lower(), v) for k, v in response.headers if k.lower() not in framing]
                    if name == "a server of its own":
                        fields += [("date", response.header("Date"))]
                    found[name, ask] = (response.status, response.reason, sorted(fields), response.body)
            seen.append(found)
            server.log.allow("AH\\d+|GW")
            server.finish()
            backend.reset()
        stock, ours = seen
        assert {case: (ours[case], stock[case]) for case in stock if ours[case] != stock[case]} == {}
