# SPDX-License-Identifier: MIT OR Apache-2.0
"""docs/mod_python.md says of every member what there is of it, and says nothing of what there is not."""

import inspect
import re

import pytest
from conftest import PACKAGE

from mod_python import Cookie, Session, apache, cache, psp, publisher, util
from mod_python._filter import Filter
from mod_python._members import Member
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
#: What the documentation of mod_python 3.5 says of its module `apache`: functions and attributes, constants.
APACHE = """
    _global_lock _global_trylock _global_unlock allow_methods build_cgi_env config_tree exists_config_define freeze_modules import_module
    interpreter log_error main_server make_table mpm_query parse_qs parse_qsl register_cleanup restore_nocgi server_root setup_cgi stat table
    MODULE_MAGIC_NUMBER_MAJOR MODULE_MAGIC_NUMBER_MINOR SERVER_RETURN version
""".split()
CONSTANTS = """
    OK DECLINED DONE
    HTTP_CONTINUE HTTP_SWITCHING_PROTOCOLS HTTP_PROCESSING HTTP_OK HTTP_CREATED HTTP_ACCEPTED HTTP_NON_AUTHORITATIVE HTTP_NO_CONTENT
    HTTP_RESET_CONTENT HTTP_PARTIAL_CONTENT HTTP_MULTI_STATUS HTTP_MULTIPLE_CHOICES HTTP_MOVED_PERMANENTLY HTTP_MOVED_TEMPORARILY
    HTTP_SEE_OTHER HTTP_NOT_MODIFIED HTTP_USE_PROXY HTTP_TEMPORARY_REDIRECT HTTP_BAD_REQUEST HTTP_UNAUTHORIZED HTTP_PAYMENT_REQUIRED
    HTTP_FORBIDDEN HTTP_NOT_FOUND HTTP_METHOD_NOT_ALLOWED HTTP_NOT_ACCEPTABLE HTTP_PROXY_AUTHENTICATION_REQUIRED HTTP_REQUEST_TIME_OUT
    HTTP_CONFLICT HTTP_GONE HTTP_LENGTH_REQUIRED HTTP_PRECONDITION_FAILED HTTP_REQUEST_ENTITY_TOO_LARGE HTTP_REQUEST_URI_TOO_LARGE
    HTTP_UNSUPPORTED_MEDIA_TYPE HTTP_RANGE_NOT_SATISFIABLE HTTP_EXPECTATION_FAILED HTTP_IM_A_TEAPOT HTTP_UNPROCESSABLE_ENTITY HTTP_LOCKED
    HTTP_FAILED_DEPENDENCY HTTP_UPGRADE_REQUIRED HTTP_INTERNAL_SERVER_ERROR HTTP_NOT_IMPLEMENTED HTTP_BAD_GATEWAY HTTP_SERVICE_UNAVAILABLE
    HTTP_GATEWAY_TIME_OUT HTTP_VERSION_NOT_SUPPORTED HTTP_VARIANT_ALSO_VARIES HTTP_INSUFFICIENT_STORAGE HTTP_NOT_EXTENDED
    APLOG_EMERG APLOG_ALERT APLOG_CRIT APLOG_ERR APLOG_WARNING APLOG_NOTICE APLOG_INFO APLOG_DEBUG APLOG_NOERRNO
    AP_CONN_UNKNOWN AP_CONN_CLOSE AP_CONN_KEEPALIVE
    PROXYREQ_NONE PROXYREQ_PROXY PROXYREQ_REVERSE PROXYREQ_RESPONSE
    REQ_PROCEED REQ_NOACTION REQ_ABORTED REQ_EXIT
    REQUEST_NO_BODY REQUEST_CHUNKED_ERROR REQUEST_CHUNKED_DECHUNK
    REMOTE_HOST REMOTE_NAME REMOTE_NOLOOKUP REMOTE_DOUBLE_REV
    URI_SCHEME URI_HOSTINFO URI_USER URI_PASSWORD URI_HOSTNAME URI_PORT URI_PATH URI_QUERY URI_FRAGMENT
    FINFO_MODE FINFO_INO FINFO_DEV FINFO_NLINK FINFO_UID FINFO_GID FINFO_SIZE FINFO_ATIME FINFO_MTIME FINFO_CTIME FINFO_FNAME FINFO_NAME
    FINFO_FILETYPE APR_FINFO_LINK APR_FINFO_MTIME APR_FINFO_CTIME APR_FINFO_ATIME APR_FINFO_SIZE APR_FINFO_DEV APR_FINFO_INODE
    APR_FINFO_NLINK APR_FINFO_TYPE APR_FINFO_USER APR_FINFO_GROUP APR_FINFO_UPROT APR_FINFO_GPROT APR_FINFO_WPROT APR_FINFO_ICASE
    APR_FINFO_NAME APR_FINFO_MIN APR_FINFO_IDENT APR_FINFO_OWNER APR_FINFO_PROT APR_FINFO_NORM APR_FINFO_DIRENT
    APR_NOFILE APR_REG APR_DIR APR_CHR APR_BLK APR_PIPE APR_LNK APR_SOCK APR_UNKFILE
    M_GET M_PUT M_POST M_DELETE M_CONNECT M_OPTIONS M_TRACE M_PATCH M_PROPFIND M_PROPPATCH M_MKCOL M_COPY M_MOVE M_LOCK M_UNLOCK
    M_VERSION_CONTROL M_CHECKOUT M_UNCHECKOUT M_CHECKIN M_UPDATE M_LABEL M_REPORT M_MKWORKSPACE M_MKACTIVITY M_BASELINE_CONTROL M_MERGE
    M_INVALID
    AP_MPMQ_MAX_DAEMON_USED AP_MPMQ_IS_THREADED AP_MPMQ_IS_FORKED AP_MPMQ_HARD_LIMIT_DAEMONS AP_MPMQ_HARD_LIMIT_THREADS
    AP_MPMQ_MAX_THREADS AP_MPMQ_MIN_SPARE_DAEMONS AP_MPMQ_MIN_SPARE_THREADS AP_MPMQ_MAX_SPARE_DAEMONS AP_MPMQ_MAX_SPARE_THREADS
    AP_MPMQ_MAX_REQUESTS_DAEMON AP_MPMQ_MAX_DAEMONS AP_MPMQ_NOT_SUPPORTED AP_MPMQ_STATIC AP_MPMQ_DYNAMIC
    AP_REQ_ACCEPT_PATH_INFO AP_REQ_REJECT_PATH_INFO AP_REQ_DEFAULT_PATH_INFO
""".split()


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


def row_of(module):
    return next(row for row in section("Modules").splitlines() if row.startswith(f"| `{module}` |"))


@pytest.mark.parametrize("name", APACHE + CONSTANTS)
def test_each_name_of_apache_is_there_or_says_why_not(name):
    try:
        getattr(apache, name)
    except AttributeError as error:
        if name == "main_server":
            # Where the server tells of none.
            assert "req.server" in str(error)
            return
        assert name in apache._MISSING and str(error) == f"apache.{name}: {apache._MISSING[name]}"
    else:
        assert name not in apache._MISSING


def test_the_page_has_each_function_of_apache():
    row = row_of("apache")
    # A star stands for what is left out.
    patterns = [re.escape(name).replace(r"\*", ".*") for name in told(row)]
    assert [name for name in APACHE if not any(re.fullmatch(pattern, name) for pattern in patterns)] == []
    assert "`AttributeError`" in row


def test_another_name_is_an_error_as_in_any_module():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = apache.no_such_name


OWN = [kind for kind in (Request, Server, Connection, Filter, apache.table)]
OWN += [
    member
    for module in (apache, Cookie, Session, cache, psp, publisher, util)
    for member in vars(module).values()
    if inspect.isclass(member) and member.__module__ == module.__name__ and not member.__name__.startswith("_")
]


def public(kind):
    missing = getattr(kind, "_missing", {})
    for name in dir(kind):
        own = any(name in vars(base) for base in kind.__mro__ if base.__module__.startswith("mod_python"))
        if own and not name.startswith("_") and name not in missing:
            yield name, inspect.getattr_static(kind, name)


@pytest.mark.parametrize("kind", OWN, ids=lambda kind: kind.__name__)
def test_help_says_something_of_each_member(kind):
    silent = []
    for name, member in public(kind):
        text = inspect.getdoc(member if not callable(member) or isinstance(member, type) else getattr(kind, name))
        is_plain = not (callable(member) or isinstance(member, (property, Member)) or hasattr(member, "__get__"))
        if not is_plain and not (text and len(text) > 9):
            silent.append(name)
    assert silent == []


@pytest.mark.parametrize("kind", [Request, Server, Connection])
def test_help_says_the_type_of_what_the_server_tells(kind):
    facts = {name: member.__doc__ for name, member in public(kind) if isinstance(member, Member)}
    assert len(facts) > 5
    for name, text in facts.items():
        assert re.search(r"\b(str or None|int|float|table|Tuple of str)\b", text), name
        assert text.endswith(("can be set.", "AttributeError where it is set.")), name
        if "float" in text:
            assert "seconds" in text, name


@pytest.mark.parametrize("name", APACHE)
def test_help_says_something_of_each_function_of_apache(name):
    found = getattr(apache, name, None)
    if callable(found):
        assert inspect.getdoc(found), name


READS_OR_WRITES = "read readline readlines write flush sendfile discard_request_body internal_redirect".split()


@pytest.mark.parametrize("name", READS_OR_WRITES)
def test_help_says_what_calls_raise(name):
    assert "Raises OSError" in getattr(Request, name).__doc__


def test_servers_of_the_configuration(make, transaction, monkeypatch):
    import sys

    numbers, told = sys.modules["mod_python._server"].numbers, [type(transaction)() for _ in range(3)]
    for at, one in enumerate(told):
        one.texts[numbers["FACT_SERVER_HOSTNAME"]] = f"server-{at}.example"
    monkeypatch.setattr(sys.modules["mod_python._server"], "servers", told)
    first = apache.main_server
    monkeypatch.delitem(vars(apache), "main_server")
    assert first.server_hostname == "server-0.example" and first.next.next.server_hostname == "server-2.example" and first.next.next.next is None
    assert first.next is first.next and first.get_options() == {} and first.get_config() == {}
    told[0].change(numbers["TABLE_OPTIONS"], numbers["CHANGE_SET"], "name", "value")
    assert first.get_options() == {"name": "value"}
    apache.log_error("a line", apache.APLOG_WARNING, first)
    assert told[0].lines == [(2, "a line")]
    request = make()
    monkeypatch.setattr(sys.modules["mod_python._server"], "servers", [transaction, told[1]])
    assert request.server.next.server_hostname == "server-1.example" and request.server.next.next is None
    transaction.figures[numbers["NUMBER_RESTART_TIME"]] = 1_500_000
    assert (request.server.restart_time, request.server.my_generation) == (1.5, 0)
