# SPDX-License-Identifier: MIT OR Apache-2.0
"""Internal redirects in nginx: where an application may send a request, and whose choice it is where nginx goes from there."""

from urllib.parse import quote

import pytest

from harness import scripts
from harness.gateway import AUTHORIZER
from harness.upstreams import hello

pytestmark = pytest.mark.servers("nginx", "nginx128")
WARM = ("/wsgi/hello", "/cgi/see")
SAY = 'from urllib.parse import unquote_to_bytes\nout.write(unquote_to_bytes(env["QUERY_STRING"]))'


def configure(site, kind):
    site.http2 = True
    folder = site.folder = scripts.Folder(site.scratch / "cgi")
    folder.python("see", scripts.SEE)
    folder.python("say", SAY)
    folder.python("again", 'n = int(env["QUERY_STRING"])\nprint(f"Location: /cgi/again?{n - 1}\\n" if n else "\\nthe end")')
    files = site.scratch / "files"
    for name in ("a.txt", "dir/index.html", "priv/x.txt", "e403.html", "e404.html", "a b#c.txt"):
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).write_text(name)
    app = site.recorder("fastcgi", name="fastcgi")
    where = f"fastcgi://{app.where}"
    site.nginx_server = "rewrite ^/moved/(.*)$ /in/$1;"
    site.location("/", nginx=f"root {files};")
    site.wsgi("/wsgi", "accel:app")
    site.passes("/pass/", app)
    site.passes("/ignores/", app, nginx="gangway_ignore_headers X-Accel-Redirect;")
    cache = "gangway_cache z; gangway_cache_key $arg_to; gangway_cache_valid 200 1m;"
    site.passes("/shared-ignores/", app, nginx=f"{cache} gangway_ignore_headers X-Accel-Redirect;")
    site.passes("/shared/", app, nginx=cache)
    site.passes("/intercepts/", app, nginx="gangway_intercept_errors on; error_page 404 /e404.html;")
    site.cgi("/cgi", folder)
    # Each kind of application, with a page for what leads nowhere: one that any client may see, and one that none may.
    site.wsgi("/inner-wsgi", "accel:app", nginx="internal;")
    for kind, page in (("open", "/e404.html"), ("app", "/inner-wsgi/hello")):
        line = f"error_page 404 = {page};"
        site.wsgi(f"/wsgi-{kind}", "accel:app", nginx=line)
        site.passes(f"/pass-{kind}/", app, nginx=line)
        site.cgi(f"/cgi-{kind}", folder, nginx=line)
    site.cgi("/strict", folder, nginx="gangway_ignore_headers X-Accel-Redirect;")
    site.cgi("/unbuffered", folder, nginx="gangway_request_buffering off;")
    # Internal locations, from where nginx goes on by itself.
    files = f"alias {files}/;"
    go = lambda path, lines: site.location(path, nginx=f"internal; {lines}")
    go("/in/", files)
    go("/in/priv/", f"{files} deny all;")
    go("/in-404/", f"{files} error_page 404 /e404.html;")
    go("/in-403/", "error_page 403 /e403.html; return 403;")
    go("/in-try/", "try_files /nothing /a.txt;")
    go("/in-last/", "rewrite ^ /a.txt last;")
    go("/in-index/", f"{files}")
    go("/in-app/", "error_page 404 = /pass/found;")
    go("/in-wsgi/", "error_page 404 = /wsgi/hello;")
    site.location("@named", kind="named", nginx=f"root {site.scratch}/files; rewrite ^ /a.txt break;")
    # What guards.
    site.location("/priv/", nginx="deny all;")
    site.location("/only-internal/", nginx="internal;")
    asks = lambda word: f"gangway_authorize {where}; gangway_authorize_param REALM {word};"
    site.location("/asked/", nginx=f"{asks('allow')} alias {site.scratch}/files/;")
    site.location("/refused/", nginx=f"{asks('deny')} alias {site.scratch}/files/;")
    site.location("/to-refused/", nginx=f"{asks('allow')} try_files /nothing @refused;")
    site.location("@refused", kind="named", nginx=f"{asks('deny')} root {site.scratch}/files; rewrite ^ /a.txt break;")
    site.location("/to-asked/", nginx=f"{asks('allow')} error_page 404 /asked/a.txt;")
    site.location("/any/", nginx=f"{asks('deny')} satisfy any; allow all; try_files /nothing @refused;")
    site.passes("/known/", app, nginx=asks("allow"))
    site.location("/to-known/", nginx=f"{asks('other')} try_files /nothing /known/x;")
    site.location("/ssi/", nginx=f"{files} {asks('allow')} ssi on; ssi_types *;")
    (site.scratch / "files" / "page.html").write_text('[<!--# include virtual="/pass/of-a-part" -->]')
    for name, target in (("jumps", "/in/a.txt"), ("leaks", "/a.txt")):
        (site.scratch / "files" / f"{name}.html").write_text(f'[<!--# include virtual="/pass/x?to={target}" -->]' * 30)
    site.nginx_http = f"gangway_cache_path {site.scratch}/cache keys_zone=z:1m;"
    cached = "gangway_cache z; gangway_cache_valid any 1m;"
    site.cgi("/cached", folder, nginx=cached)
    folder.python("when", 'print("Content-Type: text/plain\\n\\n" + env["REQUEST_URI"] + f" {time.time_ns()}")')
    site.location("/error-page/", nginx="return 404; error_page 404 = /cgi/say?Location:%20/a.txt%0a%0a;")
    site.location("/mirrored/", nginx=f"{files} mirror /mirror;")
    site.location("/mirror", kind="exact", nginx="internal; rewrite ^ /cgi/say?Location:%20/a.txt%0a%0a? last;")
    local = '<!--# include virtual="/cgi/say?Location:%20/priv/x.txt%0a%0a" -->'
    (site.scratch / "files" / "local.html").write_text(f"[{local}]")


def answer(request, peer):
    if request.role == AUTHORIZER:
        if request["REALM"] == "deny":
            return b"Status: 403 No\r\n\r\n"
        return b"Status: 200 OK\r\nVariable-WHO: %s\r\n\r\n" % request["REALM"].encode()
    if "QUERY_STRING" in request and request["QUERY_STRING"].startswith("to="):
        from urllib.parse import unquote_to_bytes

        status = b"404 Not Found" if request["REQUEST_URI"].startswith("/intercepts/") else b"200 OK"
        return b"Status: %s\r\nX-Accel-Redirect: %s\r\n\r\n" % (status, unquote_to_bytes(request["QUERY_STRING"][3:]))
    who = request["WHO"] if "WHO" in request else "nobody"
    return f"Content-Type: text/plain\r\n\r\n{request['DOCUMENT_URI']} for {who}".encode()


@pytest.fixture
def app(server):
    recorder = server.site.backends["fastcgi"]
    recorder.reset()
    with recorder.serving(answer) as requests:
        yield requests
    recorder.reset()


@pytest.fixture(params=["wsgi", "pass", "cgi"])
def send(request, server, app):
    """A request whose application answers with X-Accel-Redirect."""

    def send(target, **kw):
        words = quote(target, safe="")
        path = {"wsgi": f"/wsgi/to?{words}", "pass": f"/pass/x?to={words}", "cgi": f"/cgi/say?X-Accel-Redirect:%20{words}%0a%0a"}
        return server.get(path[request.param], **kw)

    return send


# ---- X-Accel-Redirect: what is checked, and what is not ----


@pytest.mark.parametrize(
    ("target", "status", "body"),
    [
        ("/in/a.txt", 200, "a.txt"),
        ("@named", 200, "a.txt"),
        ("/moved/a.txt", 200, "a.txt"),
        ("/in-404/nothing", 404, "e404.html"),
        ("/in-403/x", 403, "e403.html"),
        ("/in-try/x", 200, "a.txt"),
        ("/in-last/x", 200, "a.txt"),
        ("/in-index/dir/", 200, "dir/index.html"),
        ("/in-app/x", 200, "/pass/found for nobody"),
        ("/in-wsgi/x", 200, "hello"),
    ],
)
def test_where_nginx_goes_from_there_is_its_own_choice(server, send, target, status, body):
    server.log.allow("No such file|access forbidden")
    response = send(target)
    assert (response.status, response.body.decode()) == (status, body)


@pytest.mark.parametrize("target", ["/a.txt", "/priv/x.txt", "/pass/x", "/dir/"])
def test_a_location_that_is_not_internal_is_404(server, send, target):
    assert send(target).status == 404
    server.log.expect("GW0508.*not internal")


def test_an_error_page_in_the_place_of_a_response_is_no_jump(server, app):
    response = server.get("/intercepts/x?to=/in/a.txt")
    assert (response.status, response.body) == (404, b"e404.html")


def test_the_header_can_be_ignored(server, app):
    response = server.get("/ignores/x?to=/in/a.txt")
    assert (response.status, response.body) == (200, b"")


@pytest.mark.parametrize("target, status", [("/a.txt", 404), ("/inner-wsgi/hello", 500), ("/in/a.txt", 200), ("/in/../../x", 404)])
def test_a_header_in_a_cache_is_of_another_location(server, app, target, status):
    # The one that has put it there ignores it; the one that obeys asks the backend.
    assert server.get(f"/shared-ignores/x?to={target}").status == 200
    assert [server.get(f"/shared/x?to={target}").status for _ in range(2)] == [status] * 2
    assert len(app) == 3
    server.log.expect("cached response is not used")
    server.log.expect("contains invalid header")
    server.log.allow("unsafe URI")
    if status != 200:
        server.log.expect("GW0508")


@pytest.mark.parametrize("target", ["/in//priv/x.txt", "/in/./priv/x.txt", "/in/y/../priv/x.txt", "/in/%2e/priv/x.txt", "/in%2F/priv/x.txt"])
def test_a_target_is_read_as_a_path_of_a_client(server, send, target):
    server.log.allow("access forbidden")
    assert send(target).status == 403


@pytest.mark.parametrize("target", ["/in/a b#c.txt", "/in/a%20b%23c.txt", "//in//./a b#c.txt"])
def test_names_of_files_need_no_escapes(send, target):
    assert send(target).body == b"a b#c.txt"


@pytest.mark.parametrize("target", ["/in/../../x", "/in/%zz", "/in/%00", "in/a.txt", "http://x/"])
def test_a_target_that_is_no_path_is_404(server, send, target):
    assert send(target).status == 404
    server.log.expect("GW0508.*leads nowhere")
    server.log.allow("unsafe URI")


@pytest.mark.parametrize("target", ["/in/../../x", "/in/%zz", "in/a.txt", "?"])
@pytest.mark.parametrize("page, body", [("open", b"e404.html"), ("app", b"hello")])
@pytest.mark.parametrize("place", ["/wsgi-{}/to?{}", "/pass-{}/x?to={}", "/cgi-{}/say?X-Accel-Redirect:%20{}%0a%0a"])
def test_the_error_page_of_a_target_that_is_no_path(server, app, place, page, body, target):
    response = server.get(place.format(page, quote(target, safe="/")))
    assert (response.status, response.body) == (200, body)
    server.log.expect("GW0508.*leads nowhere")
    server.log.allow("unsafe URI")


# ---- gangway_authorize belongs to a location ----


def test_an_index_is_asked_about_and_found(server, app):
    response = server.get("/asked/dir/")
    assert (response.status, response.body) == (200, b"dir/index.html")


def test_the_next_location_is_asked(server, app):
    server.log.allow("access forbidden")
    assert server.get("/to-refused/x").status == 403
    assert [request["REALM"] for request in app] == ["allow", "deny"]


def test_an_error_page_of_a_guarded_location(server, app):
    server.log.allow("No such file")
    response = server.get("/to-asked/x")
    assert (response.status, response.body) == (404, b"a.txt")
    assert [request["REALM"] for request in app] == ["allow", "allow"]


def test_another_rule_that_is_satisfied_does_not_satisfy_the_next_location(server, app):
    assert server.get("/any/x").status == 403
    assert [request["REALM"] for request in app][-1] == "deny"


def test_what_is_known_is_what_the_last_authorizer_said(server, app):
    assert server.get("/to-known/y").body == b"/known/x for allow"


def test_a_part_of_a_page_is_told_what_is_known_of_the_client(server, app):
    assert server.get("/ssi/page.html").body == b"[/pass/of-a-part for allow]"


# ---- local redirects of scripts ----


def say(server, output, path="/cgi/say", **kw):
    return server.request(kw.pop("method", "GET"), f"{path}?{quote(output)}", **kw)


@pytest.mark.parametrize(("target", "status"), [("/asked/a.txt", 200), ("/refused/a.txt", 403), ("/asked/dir/", 200)])
def test_a_script_leads_to_a_guarded_location(server, app, target, status):
    assert say(server, f"Location: {target}\n\n").status == status


def test_a_script_leads_to_applications(server, app):
    assert say(server, "Location: /pass/x?a=b\n\n").body == b"/pass/x for nobody"
    assert say(server, "Location: /wsgi/hello\n\n").body == b"hello"
    assert say(server, "Location: /wsgi/to?/in/a.txt\n\n").body == b"a.txt"
    assert say(server, "Location: /cgi/say?Location:%20/in/a.txt%0a%0a\n\n").status == 404
    server.log.expect("GW0808.*internal")


def test_a_script_in_an_internal_location_may_lead_on(server, app):
    response = say(server, "Location: /asked/nothing\n\n")
    assert response.status == 404
    server.log.allow("No such file")


def test_ignoring_the_header_of_backends_does_not_stop_local_redirects(server):
    assert say(server, "X-Accel-Redirect: /in/a.txt\n\nbody", "/strict/say").body == b"body"
    assert say(server, "Location: /a.txt\n\n", "/strict/say").body == b"a.txt"


def test_a_redirect_while_the_body_still_comes(server):
    target = "/unbuffered/say?" + quote("Location: /cgi/see\n\n")
    with server.connect() as client:
        client.send(f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n".encode() + b"x" * 1000)
        response = client.response()
    assert response.status == 200
    assert b"CONTENT_LENGTH" not in response.body


def test_a_redirect_in_a_part_of_a_page_leads_nowhere(server, app):
    body = server.get("/ssi/local.html").body
    assert body.startswith(b"[") and b"priv" not in body
    server.log.expect("GW0808.*subrequest")


def test_a_redirect_over_http2(server, app):
    client = server.http2()
    words = quote("Location: /cgi/see\n\n")
    response = client.request("POST", f"/cgi/say?{words}", body=b"x" * 50000)
    assert response.status == 200
    assert b'"body": ""' in response.body


# ---- with nginx's other features ----


def test_parts_of_a_page_may_jump_as_pages_do(server, app):
    assert server.get("/ssi/jumps.html").body == b"[a.txt]" * 30


def test_parts_of_a_page_may_jump_nowhere_else(server, app):
    assert b"a.txt" not in server.get("/ssi/leaks.html").body
    server.log.expect("GW0508.*not internal")


def test_a_cache_knows_a_redirected_request_by_its_target(server):
    one, two, again = (say(server, f"Location: /cached/when?{n}\n\n", "/cached/say").body for n in (1, 2, 1))
    assert one.startswith(b"/cached/when?1 ") and two.startswith(b"/cached/when?2 ")
    assert again == one == server.get("/cached/when?1").body


def test_an_error_page_that_leads_on(server):
    assert server.get("/error-page/x").body == b"a.txt"


def test_a_script_in_a_mirror_leads_nowhere(server):
    assert server.get("/mirrored/a.txt").body == b"a.txt"
    server.log.expect("GW0808.*subrequest")
