# SPDX-License-Identifier: MIT OR Apache-2.0
"""Parts of a page (mod_include): httpd hands the variables of the page on to them, but a part has a script, a path and a body of its own."""

import json

import pytest

from harness import scripts

pytestmark = pytest.mark.servers("apache")

WAYS = ["wsgi", "relay", "cgi", "fastcgi", "scgi", "uwsgi", "mounted-scgi", "mounted-uwsgi"]
PROTOCOLS = ["fastcgi", "scgi", "uwsgi"]
FORMS = ["length", "chunked"]
# What of a page's own marks mod_include lets pass: of files and programs by default neither.
MARKS = {"plain": [], "dated": ["LastModified"], "tagged": ["ETag"]}


def configure(site, kind):
    folder = scripts.Folder(site.scratch / "cgi")
    folder.python("env", scripts.SEE)
    pages = site.scratch / "pages"
    pages.mkdir()
    for way in WAYS:
        part = "" if way.startswith("mounted") else "/env"
        pages.joinpath(f"{way}.html").write_text(f'<!--#include virtual="/{way}{part}" -->')
    site.static("/pages/", pages, apache="Options +Includes\nSetOutputFilter INCLUDES\nAcceptPathInfo On")
    for name, marks in MARKS.items():
        lines = "\n".join(f"SSI{mark} On" for mark in marks)
        site.wsgi(f"/{name}", "conditions:app", apache=f"Options +Includes\nSetOutputFilter INCLUDES\n{lines}")
    site.wsgi("/wsgi", "pep3333:app")
    site.wsgi("/relay", "pep3333:app", timeout="20s")
    site.cgi("/cgi", folder)
    for protocol in PROTOCOLS:
        backend = site.recorder(protocol)
        site.passes(f"/{protocol}", backend)
        if protocol != "fastcgi":
            site.passes(f"/mounted-{protocol}", backend)


WARM = ["/wsgi/env", "/relay/env", "/cgi/env"]


def answer(request, _):
    told = {name.decode(): value.decode("latin-1") for name, value in request.variables}
    return b"Status: 200\r\nContent-Type: application/json\r\n\r\n" + json.dumps(told).encode()


def variables(server, way, *request, **kw):
    """What the program behind a part was told."""
    protocol = way.removeprefix("mounted-")
    if protocol in PROTOCOLS:
        with server.site.backends[protocol].serving(answer):
            response = server.request(*request, **kw)
    else:
        response = server.request(*request, **kw)
    assert response.status == 200, response
    told = json.loads(response.body)
    return told.get("env", told)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS)
def test_a_part_has_no_body(server, way, form):
    body = b"a=b" if form == "length" else [b"a=b"]
    fields = [("Content-Type", "text/x-page"), ("Content-Encoding", "identity"), ("Content-Language", "en")]
    told = variables(server, way, "POST", f"/pages/{way}.html", fields, body)
    assert told["REQUEST_METHOD"] == "GET"
    # SCGI says so in its own way: the length is 0.
    assert told.get("CONTENT_LENGTH") in (None, "", "0")
    described = "CONTENT_TYPE HTTP_CONTENT_TYPE HTTP_CONTENT_LENGTH HTTP_CONTENT_ENCODING HTTP_CONTENT_LANGUAGE HTTP_TRANSFER_ENCODING"
    assert [name for name in described.split() if told.get(name)] == []


@pytest.mark.parametrize("way", WAYS)
def test_a_part_has_a_path_of_its_own(server, way):
    part = f"/{way}" if way.startswith("mounted") else f"/{way}/env"
    direct = variables(server, way, "GET", part)
    told = variables(server, way, "GET", f"/pages/{way}.html/of/the/page?q=1")
    names = "SCRIPT_NAME SCRIPT_FILENAME PATH_INFO PATH_TRANSLATED QUERY_STRING DOCUMENT_ROOT"
    assert [(name, told.get(name)) for name in names.split()] == [(name, direct.get(name)) for name in names.split()]


@pytest.mark.parametrize("name", MARKS)
def test_a_page_of_parts_has_the_date_of_its_application_only_where_mod_include_is_told_so(server, name):
    response = server.get(f"/{name}", [("If-None-Match", '"v2"')])
    assert (response.status, response.body) == (200, b"0123456789")
    assert (response.header("Last-Modified") is not None) == (name == "dated")
    assert (response.header("ETag") is not None) == (name == "tagged")
