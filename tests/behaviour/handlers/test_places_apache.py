# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handlers of paths, for which httpd looks for no file, and handlers whose responses leave in one piece."""

import pytest

from harness import wire

pytestmark = pytest.mark.servers("apache", "apache-worker", "apache-prefork")


def configure(site, kind):
    folder = site.apps / "handlers"
    names = ("where", "declines", "counts", "fails", "asks")
    for name in names:
        site.location(f"/{name}", apache=f"SetHandler mod_python\nPythonHandler {folder}/places.py::{name}")
    site.location("/suffix", apache=f"SetHandler mod_python\nPythonHandler {folder}/places.py::where | .py")
    files = site.scratch / "files"
    for name in ("where", "declines", "suffix"):
        (files / name / "inner").mkdir(parents=True, exist_ok=True)
        (files / name / "inner" / "page.py").write_text("a file")
    site.apache_host = f"""
        DocumentRoot "{files}"
        <Directory "{files}">
            Require all denied
        </Directory>
        Alias /aliased "{folder}"
        <Directory "{folder}">
            Require all denied
        </Directory>
        <Location /aliased>
            SetHandler mod_python
            PythonHandler {folder}/places.py::where
        </Location>
    """


def test_handlers_of_a_path_need_no_file(server):
    # As with mod_python the section of the directory does not count.
    for path, told in (
        ("/where/inner/page.py", "/where/inner/page.py  1"),
        ("/where/inner/page.py/more", "/where/inner/page.py /more 1"),
        ("/where/none/more", "/where/none /more 0"),
        ("/where", "/where  2"),
    ):
        response = server.get(path)
        assert (response.status, response.text.partition("files")[2]) == (200, told), path


def test_a_file_counts_where_somebody_asks_for_it(server):
    server.log.allow("client denied by server configuration")
    assert server.get("/suffix/inner/page.py").status == 403, "the suffix is that of the file"
    assert server.get("/aliased/places.py").status == 403, "Alias has found the file"


def test_who_declines_leaves_nothing(server):
    server.log.allow("File does not exist")
    assert server.get("/declines/inner/page.py").status == 404


def test_what_ends_at_once_has_its_length(server):
    response = server.get("/where")
    assert response.header("Content-Length") == str(len(response.body)) and response.header("Transfer-Encoding") is None


def test_what_was_written_is_gone_for_who_looks(server):
    response = server.get("/counts")
    assert (response.body, response.header("X-Late"), response.header("Content-Length")) == (b"first 1", None, None)


def test_what_was_written_is_cut_by_an_exception(server):
    with pytest.raises(wire.Truncated) as cut:
        server.get("/fails")
    server.log.expect("GW0319.*on purpose")
    assert (cut.value.response.status, cut.value.response.body) == (200, b"first")


def test_a_client_that_waits_for_the_beginning(server):
    client = server.connect()
    client.send(b"POST /asks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n")
    head = client.head()
    blocks = client.blocks(head)
    assert next(blocks) == b"name?\n"
    client.send(b"anna")
    assert next(blocks) == b"anna" and list(blocks) == []
