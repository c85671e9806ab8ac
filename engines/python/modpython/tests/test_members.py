# SPDX-License-Identifier: MIT OR Apache-2.0
"""docs/mod_python.md says of every member what there is of it, and says nothing of what there is not."""

import re

import pytest
from conftest import PACKAGE

from mod_python import apache
from mod_python._filter import Filter
from mod_python._request import Request
from mod_python._server_facts import Connection, Server

PAGE = (PACKAGE.parents[2] / "docs" / "mod_python.md").read_text()

#: What `dir(req)` and `dir(req.server)` tell in mod_python 3.5, and its documentation of connections, filters and tables.
REQUEST = """
    add_cgi_vars add_common_vars add_handler add_input_filter add_output_filter allow_methods allowed allowed_methods
    allowed_xmethods ap_auth_type args assbackwards auth_name auth_type build_wsgi_env bytes_sent canonical_filename chunked
    clength connection construct_url content_encoding content_languages content_type discard_request_body document_root eos_sent
    err_headers_out expecting_100 extension filename finfo flush get_addhandler_exts get_basic_auth_pw get_config get_options
    get_remote_host handler header_only headers_in headers_out hlist hostname internal_redirect interpreter is_https log_error
    main meets_conditions method method_number mtime next no_cache no_local_copy notes parsed_uri path_info phase prev proto_num
    protocol proxyreq range read read_body read_chunked read_length readline readlines register_cleanup register_input_filter
    register_output_filter remaining request_time send_http_header sendfile sent_bodyct server set_content_length set_etag
    set_last_modified ssl_var_lookup status status_line subprocess_env the_request unparsed_uri update_mtime uri used_path_info
    user useragent_addr useragent_ip vlist_validator write wsgi_start_response
    requires is_https
""".split()
SERVER = """
    defn_line_number defn_name error_fname get_config get_options is_virtual keep_alive keep_alive_max keep_alive_timeout
    limit_req_fields limit_req_fieldsize limit_req_line log_error loglevel my_generation names next path pathlen port
    register_cleanup restart_time server_admin server_hostname timeout wild_names
    addrs send_buffer_size
""".split()
CONNECTION = """
    aborted base_server client_addr client_ip double_reverse id keepalive keepalives local_addr local_host local_ip log_error notes read readline
    remote_addr remote_host remote_ip remote_logname write
""".split()
FILTER = "close closed dir disable flush handler is_input name pass_on read readline req write".split()
TABLE = "add clear copy get has_key items iteritems iterkeys itervalues keys popitem setdefault update values".split()


def section(heading):
    return PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def told(text):
    """Words between backticks."""
    return {word.partition("(")[0].removeprefix("req.") for word in re.findall(r"`([^`]+)`", text)}


def has(kind, name):
    return hasattr(kind, name) or f"self.{name}" in SOURCES


SOURCES = "".join(path.read_text() for path in (PACKAGE / "mod_python").glob("_*.py"))


@pytest.mark.parametrize(("kind", "names"), [(Request, REQUEST), (Server, SERVER), (Connection, CONNECTION)])
def test_each_member_is_there_or_says_why_not(kind, names):
    for name in names:
        assert has(kind, name) or name in kind._missing, name
        assert not (hasattr(kind, name) and name in kind._missing), name


@pytest.mark.parametrize(("kind", "names"), [(Request, REQUEST), (Server, SERVER), (Connection, CONNECTION)])
def test_the_page_has_each_member_of_mod_python(kind, names):
    known = told(section("Members of `req`"))
    assert sorted(set(names) - known) == []


def test_the_page_says_of_what_is_missing_that_it_is():
    """A row, or a clause between semicolons or full stops, that names such a member says AttributeError."""
    rows = [row for row in section("Members of `req`").splitlines() if row.startswith("| ")]
    for kind in (Request, Server, Connection):
        for name in kind._missing:
            assert any(f"`{name}`" in row and "AttributeError" in row for row in rows), name


def test_filters_and_tables():
    assert sorted(set(FILTER) - told(section("Filters"))) == []
    for name in FILTER:
        assert has(Filter, name), name
    for name in TABLE:
        assert hasattr(apache.table, name), name


def test_names_of_rows_are_members():
    """What the first column names is there, or in the list of what is not."""
    for row in section("Members of `req`").splitlines():
        if not row.startswith("| `") or row.startswith(("| `connection`", "| `server`")):
            continue
        for name in told(row.split(" | ")[0]):
            assert has(Request, name) or name in Request._missing, name
