# SPDX-License-Identifier: MIT OR Apache-2.0
"""`req.server` and `req.connection`."""

from mod_python._members import Holder, Names, Number, Table, Text
from mod_python._process import register_cleanup
from mod_python._server import next_server, numbers


class Server(Holder):
    """The virtual host of a request."""

    _missing = {
        "send_buffer_size": "httpd 2.4 keeps SendBufferSize to itself; read it in apache.config_tree()",
    }

    #: The one behind it, once it has been asked for.
    _behind = ()

    def __init__(self, request):
        self._transaction = request._transaction
        self._request = request

    server_hostname = Text("SERVER_HOSTNAME", "The name that ServerName gives.")
    server_admin = Text("SERVER_ADMIN", "The address of the administrator.")
    error_fname = Text("ERROR_FNAME", "The file of the error log.", files=True)
    port = Number("SERVER_PORT", "The port that ServerName gives, or 0.")
    timeout = Number("TIMEOUT", "Timeout, in seconds.", unit=1_000_000)
    keep_alive_timeout = Number("KEEP_ALIVE_TIMEOUT", "KeepAliveTimeout, in seconds.", unit=1_000_000)
    keep_alive_max = Number("KEEP_ALIVE_MAX", "MaxKeepAliveRequests.")
    keep_alive = Number("KEEP_ALIVE", "Whether KeepAlive is on.")
    loglevel = Number("LOGLEVEL", "LogLevel, as one of apache.APLOG_*.")
    is_virtual = Number("IS_VIRTUAL", "Whether this is a virtual host.")
    defn_name = Text("DEFN_NAME", "The file of the configuration in which its section stands; None for the main server.", files=True)
    defn_line_number = Number("DEFN_LINE_NUMBER", "The line of that file.")
    path = Text("SERVER_PATH", "ServerPath; None without it.")
    limit_req_line = Number("LIMIT_REQ_LINE", "LimitRequestLine, in bytes.")
    limit_req_fieldsize = Number("LIMIT_REQ_FIELDSIZE", "LimitRequestFieldSize, in bytes.")
    limit_req_fields = Number("LIMIT_REQ_FIELDS", "LimitRequestFields.")
    names = Names("SERVER_NAMES", "ServerAlias, without wildcards.")
    wild_names = Names("SERVER_WILD_NAMES", "ServerAlias, with wildcards.")

    @property
    def pathlen(self):
        """The length of `path`, in characters. int"""
        return len(self.path or "")

    @property
    def addrs(self):
        """Addresses of the section of the virtual host, each with its port: a tuple of (str, int); 0 stands for any."""
        found = self._transaction.entries(numbers["TABLE_SERVER_ADDRS"], None)
        return tuple((name, int(port)) for name, port in found)

    @property
    def next(self):
        """The next virtual host in httpd's list, which begins with apache.main_server; None behind the last one. It lasts as long as the process,
        and any thread may ask it. AttributeError in nginx and in processes of their own, which are told of no other servers.
        """
        if self._behind == ():
            self._behind = _behind(self._transaction, "server.next")
        return self._behind

    @property
    def my_generation(self):
        """How often the configuration had been read anew when this process began: 0 before the first restart. int. AttributeError in nginx and in
        processes of their own.
        """
        return self._of_starts("GENERATION", "my_generation")

    @property
    def restart_time(self):
        """When the server was started, or restarted other than gracefully, in seconds since 1970. float. AttributeError in nginx and in processes of
        their own.
        """
        return self._of_starts("RESTART_TIME", "restart_time") / 1_000_000

    def _of_starts(self, number, name):
        try:
            return self._transaction.number(numbers["NUMBER_" + number])
        except ValueError:
            pass
        raise AttributeError(f"server.{name}: httpd alone counts its starts, for handlers in its own processes")

    def get_config(self):
        """Directives of Python's for this request, by name."""
        return self._request.get_config()

    def get_options(self):
        """PythonOption for this request."""
        return self._request.get_options()

    def log_error(self, message, level=3):
        """A line of the error log, about the request. `level` is one of apache.APLOG_*."""
        self._request.log_error(message, level)

    def register_cleanup(self, request, callable, data=None):
        """As apache.register_cleanup(); the request is there for mod_python's sake."""
        register_cleanup(callable, data)


class OtherServer(Server):
    """A server of the configuration, with which no request has to do."""

    def __init__(self, transaction):
        self._transaction = transaction

    def get_config(self):
        """Directives of Python's that stand outside of its sections, by name. A dictionary of str."""
        return dict(self._transaction.entries(numbers["TABLE_SETTINGS"], None))

    def get_options(self):
        """PythonOption, as far as it stands outside of its sections. A dictionary of str."""
        return dict(self._transaction.entries(numbers["TABLE_OPTIONS"], None))

    def log_error(self, message, level=3):
        """A line of its error log. `level` is one of apache.APLOG_*."""
        self._transaction.log(log_level(level), str(message))


def _behind(transaction, name):
    """The server behind that of a transaction, the main one for None; None behind the last one."""
    try:
        found = next_server(transaction)
    except NotImplementedError:
        pass
    else:
        return found and OtherServer(found)
    raise AttributeError(f"{name}: httpd alone tells handlers of its other servers, and in its own processes; req.server has what is known of that of a request")


def main_server():
    """The server that stands in no <VirtualHost>."""
    return _behind(None, "apache.main_server")


# apache.APLOG_EMERG to APLOG_DEBUG in the levels of gangway.h.
_LEVELS = (1, 1, 1, 1, 2, 3, 4, 5)


def log_level(level):
    """A level of httpd's in the numbers of gangway.h; bits above the level are ignored."""
    return _LEVELS[level & 7]


class Connection(Holder):
    """The connection of the client."""

    def __init__(self, request):
        self._transaction = request._transaction
        self._request = request

    remote_ip = Text("REMOTE_IP", "The address at the other end of the connection.")
    local_ip = Text("LOCAL_IP", "The address at this end.")
    local_host = Text("LOCAL_HOST", "The name of this end, where httpd has looked it up.")
    remote_logname = Text("REMOTE_LOGNAME", "What an ident server says (RFC 1413), with mod_ident and IdentityCheck.")
    remote_host = Text("REMOTE_HOST", "The name of the client, where HostnameLookups is on.")
    id = Number("CONNECTION_ID", "A number that no other open connection of the server has.")
    aborted = Number("ABORTED", "Whether the client is known to have left.")
    keepalive = Number("KEEPALIVE", "One of apache.AP_CONN_*.")
    keepalives = Number("KEEPALIVES", "How many requests there were before this one.")
    double_reverse = Number("DOUBLE_REVERSE", "1, 0 or -1: what a second look-up of the name has shown.")
    notes = Table("CONNECTION_NOTES", "What modules tell each other about the connection.")
    _remote_port = Number("REMOTE_PORT", "The client's port.")
    _local_port = Number("LOCAL_PORT", "The server's port.")

    @property
    def remote_addr(self):
        """Address and port of the client: (str, int)."""
        return self.remote_ip, self._remote_port

    client_addr = remote_addr

    @property
    def client_ip(self):
        """As remote_ip. str"""
        return self.remote_ip

    @property
    def local_addr(self):
        """Address and port of the server: (str, int)."""
        return self.local_ip, self._local_port

    @property
    def base_server(self):
        """The server of the request: one without a request has none."""
        return self._request.server

    # ---- bytes ----

    def read(self, length=-1):
        """At most so many bytes: what has come, and without any the call waits; b"" when the client sends no more.

        Without a length, or with a negative one, all bytes until then. Raises OSError where the client breaks off, or is silent for longer than
        Timeout. For connections that speak another protocol: a request is read with req.read().
        """
        if length < 0:
            return self._bytes().read(-1)
        return self._bytes().read_some(length)

    def readline(self, length=-1):
        """A line with its end, or the first so many bytes of it; b"" when the client sends no more. Raises OSError as read()."""
        return self._bytes().read_line(length)

    def write(self, string):
        """Sends bytes, or text in UTF-8, at once. Waits for a client that reads slowly. Raises OSError when it has left."""
        if isinstance(string, str):
            string = string.encode("utf-8", "surrogateescape")
        elif not isinstance(string, bytes):
            string = bytes(memoryview(string))
        self._bytes().write(string, True)

    def _bytes(self):
        """What reads and writes: below a request, whose response is then what is written here, and after which the connection ends."""
        known = self._request._known_relatives()
        found = known.get("CONNECTION")
        if found is None:
            try:
                found = self._transaction.related(numbers["RELATED_CONNECTION"])
            except ValueError:
                found = None
            if found is None:
                raise AttributeError("connection.read(), readline() and write() are for connections of httpd's that a request has for itself; use req.read() and req.write()")
            known["CONNECTION"] = found
        return found

    def log_error(self, message, level=3):
        """A line of the error log, about the request. `level` is one of apache.APLOG_*."""
        self._request.log_error(message, level)
