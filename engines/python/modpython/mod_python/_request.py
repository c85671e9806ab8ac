# SPDX-License-Identifier: MIT OR Apache-2.0
"""`req`, `req.connection` and `req.server`: what handlers get to know of a request, and what they do with it."""

import base64
import binascii
import os

from mod_python._derived import Derived
from mod_python._server import numbers
from mod_python._tables import LiveTable

_LATER = "is not in this version of Gangway; docs/mod_python.md says what is"


class _Text:
    """A text of the server, each byte a character; None where there is none."""

    def __init__(self, name, doc, writable=False, files=False):
        self.number, self.writable, self.files = numbers["FACT_" + name], writable, files
        self.__doc__ = doc

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, holder, owner=None):
        if holder is None:
            return self
        value = holder._transaction.text(self.number)
        if self.files and value is not None and not value.isascii():
            # As everything of Python's takes the name of a file.
            value = os.fsdecode(value.encode("latin-1"))
        return value

    def __set__(self, holder, value):
        if not self.writable:
            raise AttributeError(f"{self.name} cannot be set")
        if self.files and isinstance(value, str):
            value = os.fsencode(value)
        if value is not None and not isinstance(value, (str, bytes)):
            raise TypeError(f"{self.name} must be str, not {type(value).__name__}")
        holder._transaction.set_text(self.number, value)


class _Number:
    """A number of the server."""

    def __init__(self, name, doc, writable=False, unit=1):
        self.number, self.writable, self.unit = numbers["NUMBER_" + name], writable, unit
        self.__doc__ = doc

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, holder, owner=None):
        if holder is None:
            return self
        value = holder._transaction.number(self.number)
        return value if self.unit == 1 else value / self.unit

    def __set__(self, holder, value):
        if not self.writable:
            raise AttributeError(f"{self.name} cannot be set")
        holder._transaction.set_number(self.number, int(value * self.unit))


class _Table:
    """A table of the server."""

    def __init__(self, name, doc):
        self.number = numbers["TABLE_" + name]
        self.__doc__ = doc

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, holder, owner=None):
        if holder is None:
            return self
        found = LiveTable(holder._transaction, self.number)
        # Beside it in the object from now on, where it is found without this.
        holder.__dict__[self.name] = found
        return found


class _Holder:
    #: Names of mod_python that are not here yet.
    _missing = frozenset()

    def __getattr__(self, name):
        kind = type(self).__name__
        if name in self._missing:
            raise AttributeError(f"{kind}.{name} {_LATER}")
        raise AttributeError(f"{kind!r} object has no attribute {name!r}")


class Server(_Holder):
    """The virtual host of a request."""

    _missing = frozenset(
        "defn_name defn_line_number wild_names names pathlen path addrs limit_req_line limit_req_fieldsize limit_req_fields send_buffer_size"
        " register_cleanup".split()
    )

    def __init__(self, request):
        self._transaction = request._transaction
        self._request = request

    server_hostname = _Text("SERVER_HOSTNAME", "The name that ServerName gives.")
    server_admin = _Text("SERVER_ADMIN", "The address of the administrator.")
    error_fname = _Text("ERROR_FNAME", "The file of the error log.", files=True)
    port = _Number("SERVER_PORT", "The port that ServerName gives, or 0.")
    timeout = _Number("TIMEOUT", "Timeout, in seconds.", unit=1_000_000)
    keep_alive_timeout = _Number("KEEP_ALIVE_TIMEOUT", "KeepAliveTimeout, in seconds.", unit=1_000_000)
    keep_alive_max = _Number("KEEP_ALIVE_MAX", "MaxKeepAliveRequests.")
    keep_alive = _Number("KEEP_ALIVE", "Whether KeepAlive is on.")
    loglevel = _Number("LOGLEVEL", "LogLevel, as one of apache.APLOG_*.")
    is_virtual = _Number("IS_VIRTUAL", "Whether this is a virtual host.")

    def get_config(self):
        """Directives of Python's for this request, by name."""
        return self._request.get_config()

    def get_options(self):
        """PythonOption for this request."""
        return self._request.get_options()

    def log_error(self, message, level=3):
        self._request.log_error(message, level)


class Connection(_Holder):
    """The connection of the client."""

    _missing = frozenset("read readline write local_host remote_logname".split())

    def __init__(self, request):
        self._transaction = request._transaction
        self._request = request

    remote_ip = _Text("REMOTE_IP", "The address at the other end of the connection.")
    local_ip = _Text("LOCAL_IP", "The address at this end.")
    remote_host = _Text("REMOTE_HOST", "The name of the client, where HostnameLookups is on.")
    id = _Number("CONNECTION_ID", "A number that no other open connection of the server has.")
    aborted = _Number("ABORTED", "Whether the client is known to have left.")
    keepalive = _Number("KEEPALIVE", "One of apache.AP_CONN_*.")
    keepalives = _Number("KEEPALIVES", "How many requests there were before this one.")
    double_reverse = _Number("DOUBLE_REVERSE", "1, 0 or -1: what a second look-up of the name has shown.")
    notes = _Table("CONNECTION_NOTES", "What modules tell each other about the connection.")
    _remote_port = _Number("REMOTE_PORT", "The client's port.")
    _local_port = _Number("LOCAL_PORT", "The server's port.")

    @property
    def remote_addr(self):
        """Address and port of the client."""
        return self.remote_ip, self._remote_port

    client_addr = remote_addr

    @property
    def client_ip(self):
        """As remote_ip."""
        return self.remote_ip

    @property
    def local_addr(self):
        """Address and port of the server."""
        return self.local_ip, self._local_port

    @property
    def base_server(self):
        """The server of the request: one without a request has none."""
        return self._request.server

    def log_error(self, message, level=3):
        self._request.log_error(message, level)


class Request(Derived, _Holder):
    """A request, from its first phase to its last: handlers may keep attributes of their own in it."""

    _missing = frozenset(
        "add_handler add_input_filter add_output_filter register_cleanup register_input_filter register_output_filter requires"
        " ssl_var_lookup hlist main prev next remaining read_length read_body read_chunked expecting_100 allow_methods allowed_methods"
        " allowed_xmethods content_languages".split()
    )

    def __init__(self, transaction):
        self._transaction = transaction
        self.phase = self.interpreter = None
        self._settings, self._options = {}, {}
        #: Of the section that names the handler; empty for a section without one.
        self._directory = ""
        #: Whether bytes of the response have been given to the server.
        self._began = False

    # ---- facts ----

    method = _Text("METHOD", "GET, POST and so on.")
    uri = _Text("URI", "The path, decoded.", writable=True)
    unparsed_uri = _Text("UNPARSED_URI", "The target as the client has sent it.")
    filename = _Text("FILENAME", "The file that the path stands for.", writable=True, files=True)
    canonical_filename = _Text("CANONICAL_FILENAME", "The same without links.", writable=True, files=True)
    path_info = _Text("PATH_INFO", "What follows the file in the path.", writable=True)
    args = _Text("ARGS", "The query, as the client has sent it; None without one.", writable=True)
    protocol = _Text("PROTOCOL", "HTTP/1.1 and so on.")
    hostname = _Text("HOSTNAME", "The host that the client has asked for.")
    the_request = _Text("THE_REQUEST", "The request line.")
    content_type = _Text("CONTENT_TYPE", "The type of the response.", writable=True)
    content_encoding = _Text("CONTENT_ENCODING", "The coding of the response.", writable=True)
    handler = _Text("HANDLER", "The name of who gives the content.", writable=True)
    user = _Text("USER", "Who the client is, once that is known.", writable=True)
    ap_auth_type = _Text("AP_AUTH_TYPE", "How that became known.", writable=True)
    status_line = _Text("STATUS_LINE", "The status with its words, where they are not the usual ones.", writable=True)
    range = _Text("RANGE", "The header of that name.")
    vlist_validator = _Text("VLIST_VALIDATOR", "Of content negotiation.")
    useragent_ip = _Text("USERAGENT_IP", "The client's address; with mod_remoteip another one than that of the connection.")

    status = _Number("STATUS", "The status of the response.", writable=True)
    method_number = _Number("METHOD_NUMBER", "One of apache.M_*; HEAD is M_GET.")
    proto_num = _Number("PROTO_NUM", "1001 for HTTP/1.1.")
    assbackwards = _Number("ASSBACKWARDS", "Whether the response has no head: HTTP/0.9.", writable=True)
    header_only = _Number("HEADER_ONLY", "Whether the client wants the head alone.")
    proxyreq = _Number("PROXYREQ", "One of apache.PROXYREQ_*.", writable=True)
    request_time = _Number("REQUEST_TIME", "When it came, in seconds since 1970.", unit=1_000_000)
    mtime = _Number("MTIME", "When the document was changed, in seconds since 1970.", writable=True, unit=1_000_000)
    no_cache = _Number("NO_CACHE", "Whether the response must not be kept.", writable=True)
    no_local_copy = _Number("NO_LOCAL_COPY", "Whether a copy of the client's is never good enough.", writable=True)
    bytes_sent = _Number("BYTES_SENT", "Bytes of the body that have left.")
    sent_bodyct = _Number("SENT_BODYCT", "Whether the body has begun.")
    clength = _Number("CLENGTH", "The length of the response, where it is known.")
    chunked = _Number("CHUNKED", "Whether the response is sent in chunks.")
    allowed = _Number("ALLOWED", "The methods that are allowed, a bit for each number.", writable=True)
    eos_sent = _Number("EOS_SENT", "Whether the response has ended.")
    used_path_info = _Number("USED_PATH_INFO", "Whether path_info is welcome: one of apache.AP_REQ_*.", writable=True)
    _is_https = _Number("IS_HTTPS", "Whether the client speaks TLS.")

    headers_in = _Table("HEADERS_IN", "Headers of the request.")
    headers_out = _Table("HEADERS_OUT", "Headers of the response.")
    err_headers_out = _Table("ERR_HEADERS_OUT", "Headers of the response that leave with an error page, too.")
    subprocess_env = _Table("SUBPROCESS_ENV", "Variables, as of SetEnv.")
    notes = _Table("NOTES", "What modules tell each other about the request.")

    _auth_type = _Text("AUTH_TYPE", "AuthType.")
    _auth_name = _Text("AUTH_NAME", "AuthName.")
    _document_root = _Text("DOCUMENT_ROOT", "DocumentRoot.", files=True)
    _remote_host = _Text("REMOTE_HOST", "The name of the client.")

    @property
    def connection(self):
        """The connection of the client."""
        found = self.__dict__["connection"] = Connection(self)
        return found

    @connection.setter
    def connection(self, value):
        raise AttributeError("connection cannot be set")

    @property
    def server(self):
        """The virtual host."""
        found = self.__dict__.get("_server")
        if found is None:
            found = self.__dict__["_server"] = Server(self)
        return found

    # ---- configuration ----

    def get_config(self):
        """Directives of Python's that apply here, by name: {"PythonDebug": "1"}."""
        return dict(self._settings)

    def get_options(self):
        """PythonOption, as far as it applies here."""
        return dict(self._options)

    def document_root(self):
        """DocumentRoot, or what mod_vhost_alias and its kin have made of it."""
        return self._document_root

    def auth_name(self):
        """AuthName; None without it."""
        return self._auth_name

    def auth_type(self):
        """AuthType; None without it."""
        return self._auth_type

    def get_basic_auth_pw(self):
        """The password of a client that has sent one (RFC 7617), or None. `user` becomes the name.

        As in mod_python only where AuthType is Basic.
        """
        if (self._auth_type or "").lower() != "basic":
            return None
        header = "Proxy-Authorization" if self.proxyreq == 1 else "Authorization"
        scheme, _, credentials = (self.headers_in.get(header) or "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            plain = base64.b64decode(credentials.strip(), validate=True).decode("latin-1")
        except (binascii.Error, ValueError):
            return None
        user, colon, password = plain.partition(":")
        if not colon or "\0" in plain:
            return None
        self.user, self.ap_auth_type = user, "Basic"
        return password

    def get_remote_host(self, type=2, str_is_ip=None):
        """The name of the client where HostnameLookups is on, else its address. With apache.REMOTE_HOST None instead of an address."""
        name = self._remote_host
        if type == 0:
            return name
        name = name or self.useragent_ip
        if str_is_ip is not None:
            return name, int(name == self.useragent_ip)
        return name

    def is_https(self):
        """Whether the client speaks TLS: 1 or 0."""
        return self._is_https

    # ---- the body of the request ----

    def read(self, len=-1):
        """So many bytes of the body, or all that is left. Fewer only at its end. Waits for the client.

        Raises OSError where the client breaks off or is too slow.
        """
        return self._transaction.read(len)

    def readline(self, len=-1):
        """A line of the body with its end, or the first so many bytes of it; b"" at the end."""
        return self._transaction.read_line(len)

    def readlines(self, sizehint=-1):
        """The lines of the body, and no further ones once they have so many bytes together."""
        lines, total = [], 0
        while line := self.readline():
            lines.append(line)
            total += len(line)
            if 0 < sizehint <= total:
                break
        return lines

    # ---- the response ----

    def write(self, string, flush=1):
        """Sends bytes, or text in UTF-8. With flush=0 it may wait for more. Waits for a client that reads slowly.

        Raises OSError when the client has left.
        """
        if isinstance(string, str):
            string = string.encode("utf-8", "surrogateescape")
        elif not isinstance(string, bytes):
            string = bytes(memoryview(string))
        self._began = True
        self._transaction.write(string, bool(flush))

    def flush(self):
        """Sends what waits."""
        self._began = True
        self._transaction.write(b"", True)

    def sendfile(self, path, offset=0, len=-1):
        """Sends a file, or a part of it, without reading it. Answers how many bytes.

        Raises OSError where it cannot be opened, ValueError for a part that it does not have.
        """
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if offset < 0 or offset > size:
                raise ValueError(f"the file has {size} bytes, and no part from {offset} on")
            count = size - offset if len < 0 else min(len, size - offset)
            self._began = True
            if count:
                self._transaction.send_file(file.fileno(), offset, count, False)
        return count

    def set_content_length(self, len):
        """Declares how long the response is."""
        self._transaction.set_length(len)

    def send_http_header(self):
        """Nothing: the head leaves with the first bytes of the body, as in every httpd since 2.0."""

    def meets_conditions(self):
        """apache.OK, or the status for a client whose copy is as good (If-Modified-Since and its kin)."""
        return self._transaction.meets_conditions()

    def internal_redirect(self, new_uri):
        """Has another path of this server answer."""
        self._began = True
        self._transaction.redirect(new_uri)

    # ---- the log ----

    def log_error(self, message, level=3):
        """A line of the error log, about this request. `level` is one of apache.APLOG_*."""
        self._transaction.log(log_level(level), str(message))


# apache.APLOG_EMERG to APLOG_DEBUG in the levels of gangway.h.
_LEVELS = (1, 1, 1, 1, 2, 3, 4, 5)


def log_level(level):
    """A level of httpd's in the numbers of gangway.h; bits above the level are ignored."""
    return _LEVELS[level & 7]
