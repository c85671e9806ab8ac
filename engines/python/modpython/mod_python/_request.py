# SPDX-License-Identifier: MIT OR Apache-2.0
"""`req`: what handlers get to know of a request, and what they do with it."""

import base64
import binascii
import os

from mod_python._beside import Beside
from mod_python._derived import Derived
from mod_python._filters import Filters
from mod_python._later import Later
from mod_python._members import Holder, Names, Number, Own, Ready, Table, Text, Told
from mod_python._phases import Nowhere
from mod_python._server_facts import Connection, Server, log_level


class Request(Beside, Derived, Filters, Later, Holder):
    """A request, from its first phase to its last: handlers may keep attributes of their own in it."""

    _missing = {
        "wsgi_start_response": "mod_python.wsgi has a start_response of its own",
        "requires": "httpd 2.4 has no list of requirements; mod_authz_core decides on expressions, and a PythonAuthzHandler before it",
    }

    # What most requests never say otherwise stands here once for all.
    #: Whose handlers run.
    _place = Nowhere
    phase = Told("phase", "The directive of the handlers that run, such as PythonHandler. str")
    interpreter = Told("interpreter", "The name whose modules they use. str")
    extension = Told("extension", "The suffix that the handlers which run are for, as behind `|` of PythonHandler; None where they are for all files. str or None")
    _settings, _options = Told("settings", "Directives."), Told("options", "PythonOption.")
    #: Whether bytes of the response have been given to the server.
    _began = False
    #: Handlers that run, with their directories, where they are not those of the place alone; and the number of the present one.
    _running, _at = None, 0
    #: What is called at the end: callables with their data.
    _cleanups = Own(list)
    #: Handlers that are filters of this request's own, by kind and name.
    _filters = Own(dict)
    #: Requests beside it that have been asked for in the phase that runs.
    _relatives = None
    #: What is called when the last handler has run that may look at it.
    _at_end = None

    def __init__(self, transaction):
        self._transaction = transaction

    @Ready
    def _directory(self):
        """Of the section that names the handler; empty for a section without one."""
        handlers = self._handlers()
        return handlers[self._at][1] if self._at < len(handlers) else ""

    def _handlers(self):
        return self._place.handlers if self._running is None else self._running

    # ---- facts ----

    method = Text("METHOD", "GET, POST and so on.")
    uri = Text("URI", "The path, decoded.", writable=True)
    unparsed_uri = Text("UNPARSED_URI", "The target as the client has sent it.")
    filename = Text("FILENAME", "The file that the path stands for.", writable=True, files=True)
    canonical_filename = Text("CANONICAL_FILENAME", "The same without links.", writable=True, files=True)
    path_info = Text("PATH_INFO", "What follows the file in the path.", writable=True)
    args = Text("ARGS", "The query, as the client has sent it; None without one.", writable=True)
    protocol = Text("PROTOCOL", "HTTP/1.1 and so on.")
    hostname = Text("HOSTNAME", "The host that the client has asked for.")
    the_request = Text("THE_REQUEST", "The request line.")
    content_type = Text("CONTENT_TYPE", "The type of the response.", writable=True)
    content_encoding = Text("CONTENT_ENCODING", "The coding of the response.", writable=True)
    handler = Text("HANDLER", "The name of who gives the content.", writable=True)
    user = Text("USER", "Who the client is, once that is known.", writable=True)
    ap_auth_type = Text("AP_AUTH_TYPE", "How that became known.", writable=True)
    status_line = Text("STATUS_LINE", "The status with its words, where they are not the usual ones.", writable=True)
    range = Text("RANGE", "The header of that name.")
    vlist_validator = Text("VLIST_VALIDATOR", "Of content negotiation.")
    useragent_ip = Text("USERAGENT_IP", "The client's address; with mod_remoteip another one than that of the connection.")

    status = Number("STATUS", "The status of the response.", writable=True)
    method_number = Number("METHOD_NUMBER", "One of apache.M_*; HEAD is M_GET.")
    proto_num = Number("PROTO_NUM", "1001 for HTTP/1.1.")
    assbackwards = Number("ASSBACKWARDS", "Whether the response has no head: HTTP/0.9.", writable=True)
    header_only = Number("HEADER_ONLY", "Whether the client wants the head alone.")
    proxyreq = Number("PROXYREQ", "One of apache.PROXYREQ_*.", writable=True)
    request_time = Number("REQUEST_TIME", "When it came, in seconds since 1970.", unit=1_000_000)
    mtime = Number("MTIME", "When the document was changed, in seconds since 1970.", writable=True, unit=1_000_000)
    no_cache = Number("NO_CACHE", "Whether the response must not be kept.", writable=True)
    no_local_copy = Number("NO_LOCAL_COPY", "Whether a copy of the client's is never good enough.", writable=True)
    bytes_sent = Number("BYTES_SENT", "Bytes of the body that have left.")
    sent_bodyct = Number("SENT_BODYCT", "Whether the body has begun.")
    clength = Number("CLENGTH", "The length of the response, where it is known.")
    chunked = Number("CHUNKED", "Whether the response is sent in chunks.")
    allowed = Number("ALLOWED", "The methods that are allowed, a bit for each number.", writable=True)
    eos_sent = Number("EOS_SENT", "Whether the response has ended.")
    used_path_info = Number("USED_PATH_INFO", "Whether path_info is welcome: one of apache.AP_REQ_*.", writable=True)
    remaining = Number("REMAINING", "Bytes of the body that have not been read, where its length is known.")
    read_length = Number("READ_LENGTH", "Bytes of the body that have been read.")
    read_body = Number("READ_BODY", "How modules of httpd are to read the body.")
    read_chunked = Number("READ_CHUNKED", "Whether the body comes in chunks.")
    expecting_100 = Number("EXPECTING_100", "Whether the client waits for 100 Continue.")
    allowed_xmethods = Names("ALLOWED_XMETHODS", "Methods that are allowed and have no number.")
    content_languages = Names("CONTENT_LANGUAGES", "Languages of the response.")
    _is_https = Number("IS_HTTPS", "Whether the client speaks TLS.")

    headers_in = Table("HEADERS_IN", "Headers of the request.")
    headers_out = Table("HEADERS_OUT", "Headers of the response.")
    err_headers_out = Table("ERR_HEADERS_OUT", "Headers of the response that leave with an error page, too.")
    subprocess_env = Table("SUBPROCESS_ENV", "Variables, as of SetEnv.")
    notes = Table("NOTES", "What modules tell each other about the request.")

    _auth_type = Text("AUTH_TYPE", "AuthType.")
    _auth_name = Text("AUTH_NAME", "AuthName.")
    _document_root = Text("DOCUMENT_ROOT", "DocumentRoot.", files=True)
    _remote_host = Text("REMOTE_HOST", "The name of the client.")

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
        """Directives of Python's that apply here, by name: {"PythonDebug": "1"}. A dictionary of str, a copy."""
        return dict(self._settings)

    def get_options(self):
        """PythonOption, as far as it applies here. A dictionary of str, a copy."""
        return dict(self._options)

    def document_root(self):
        """DocumentRoot, or what mod_vhost_alias and its kin have made of it. str"""
        return self._document_root

    def auth_name(self):
        """AuthName; None without it. str"""
        return self._auth_name

    def auth_type(self):
        """AuthType; None without it. str"""
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
        self._check_body()
        return self._transaction.read(len)

    def readline(self, len=-1):
        """A line of the body with its end, or the first so many bytes of it, as bytes; b"" at the end. Raises OSError as read()."""
        self._check_body()
        return self._transaction.read_line(len)

    def readlines(self, sizehint=-1):
        """The lines of the body as a list of bytes, and no further ones once they have so many bytes together. Raises OSError as read()."""
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
            if not string.isascii():
                string = string.encode("utf-8", "surrogateescape")
        elif not isinstance(string, bytes):
            string = bytes(memoryview(string))
        if self._place.is_filter:
            self._check_body()
        self._began = True
        self._transaction.write(string, True if flush else False)

    def flush(self):
        """Sends what waits. Raises OSError when the client has left."""
        self._check_body()
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
            self._check_body()
            self._began = True
            if count:
                self._transaction.send_file(file.fileno(), offset, count, False)
        return count

    def set_content_length(self, len):
        """Declares how long the response is, in bytes. More than that is dropped, and where less comes the connection is cut."""
        self._transaction.set_length(len)

    def send_http_header(self):
        """Nothing: the head leaves with the first bytes of the body, as in every httpd since 2.0."""

    def meets_conditions(self):
        """apache.OK, or the status for a client whose copy is as good (If-Modified-Since and its kin). int"""
        return self._transaction.meets_conditions()

    def internal_redirect(self, new_uri):
        """Has another path of this server answer. Raises OSError or RuntimeError where the response has begun, and in processes of their own."""
        self._check_body()
        self._began = True
        self._transaction.redirect(new_uri)

    # ---- the log ----

    def log_error(self, message, level=3):
        """A line of the error log, about this request. `level` is one of apache.APLOG_*."""
        self._transaction.log(log_level(level), str(message))
