# SPDX-License-Identifier: MIT OR Apache-2.0
"""`from mod_python import apache`: constants, exceptions and functions for handlers."""

import os
import sys

from mod_python import _environ, _importer, _locks, _server_facts, mp_version
from mod_python._derived import stat
from mod_python._process import register_cleanup  # noqa: F401 (a part of the interface)
from mod_python._query import parse_qs, parse_qsl
from mod_python._server import current, log_process, numbers, replace_current
from mod_python._server_facts import log_level
from mod_python._tables import table

version = mp_version

# ---- what handlers answer ----

OK = 0
DECLINED = -1
DONE = -2

HTTP_CONTINUE = 100
HTTP_SWITCHING_PROTOCOLS = 101
HTTP_PROCESSING = 102
HTTP_OK = 200
HTTP_CREATED = 201
HTTP_ACCEPTED = 202
HTTP_NON_AUTHORITATIVE = 203
HTTP_NO_CONTENT = 204
HTTP_RESET_CONTENT = 205
HTTP_PARTIAL_CONTENT = 206
HTTP_MULTI_STATUS = 207
HTTP_MULTIPLE_CHOICES = 300
HTTP_MOVED_PERMANENTLY = 301
HTTP_MOVED_TEMPORARILY = 302
HTTP_SEE_OTHER = 303
HTTP_NOT_MODIFIED = 304
HTTP_USE_PROXY = 305
HTTP_TEMPORARY_REDIRECT = 307
HTTP_BAD_REQUEST = 400
HTTP_UNAUTHORIZED = 401
HTTP_PAYMENT_REQUIRED = 402
HTTP_FORBIDDEN = 403
HTTP_NOT_FOUND = 404
HTTP_METHOD_NOT_ALLOWED = 405
HTTP_NOT_ACCEPTABLE = 406
HTTP_PROXY_AUTHENTICATION_REQUIRED = 407
HTTP_REQUEST_TIME_OUT = 408
HTTP_CONFLICT = 409
HTTP_GONE = 410
HTTP_LENGTH_REQUIRED = 411
HTTP_PRECONDITION_FAILED = 412
HTTP_REQUEST_ENTITY_TOO_LARGE = 413
HTTP_REQUEST_URI_TOO_LARGE = 414
HTTP_UNSUPPORTED_MEDIA_TYPE = 415
HTTP_RANGE_NOT_SATISFIABLE = 416
HTTP_EXPECTATION_FAILED = 417
HTTP_IM_A_TEAPOT = 418
HTTP_UNPROCESSABLE_ENTITY = 422
HTTP_LOCKED = 423
HTTP_FAILED_DEPENDENCY = 424
HTTP_UPGRADE_REQUIRED = 426
HTTP_INTERNAL_SERVER_ERROR = 500
HTTP_NOT_IMPLEMENTED = 501
HTTP_BAD_GATEWAY = 502
HTTP_SERVICE_UNAVAILABLE = 503
HTTP_GATEWAY_TIME_OUT = 504
HTTP_VERSION_NOT_SUPPORTED = 505
HTTP_VARIANT_ALSO_VARIES = 506
HTTP_INSUFFICIENT_STORAGE = 507
HTTP_NOT_EXTENDED = 510

# ---- methods ----

(
    M_GET, M_PUT, M_POST, M_DELETE, M_CONNECT, M_OPTIONS, M_TRACE, M_PATCH, M_PROPFIND, M_PROPPATCH, M_MKCOL, M_COPY, M_MOVE, M_LOCK,
    M_UNLOCK, M_VERSION_CONTROL, M_CHECKOUT, M_UNCHECKOUT, M_CHECKIN, M_UPDATE, M_LABEL, M_REPORT, M_MKWORKSPACE, M_MKACTIVITY,
    M_BASELINE_CONTROL, M_MERGE, M_INVALID,
) = range(27)  # fmt: skip

# ---- words of members of a request ----

REMOTE_HOST, REMOTE_NAME, REMOTE_NOLOOKUP, REMOTE_DOUBLE_REV = range(4)
PROXYREQ_NONE, PROXYREQ_PROXY, PROXYREQ_REVERSE, PROXYREQ_RESPONSE = range(4)
REQ_PROCEED, REQ_NOACTION, REQ_ABORTED, REQ_EXIT = 0, -1, 500, "REQ_EXIT"
REQUEST_NO_BODY, REQUEST_CHUNKED_ERROR, REQUEST_CHUNKED_DECHUNK = range(3)
AP_CONN_UNKNOWN, AP_CONN_CLOSE, AP_CONN_KEEPALIVE = range(3)
AP_REQ_ACCEPT_PATH_INFO, AP_REQ_REJECT_PATH_INFO, AP_REQ_DEFAULT_PATH_INFO = range(3)

# ---- pieces of req.parsed_uri and of req.finfo ----

URI_SCHEME, URI_HOSTINFO, URI_USER, URI_PASSWORD, URI_HOSTNAME, URI_PORT, URI_PATH, URI_QUERY, URI_FRAGMENT = range(9)
(
    FINFO_MODE, FINFO_INO, FINFO_DEV, FINFO_NLINK, FINFO_UID, FINFO_GID, FINFO_SIZE, FINFO_ATIME, FINFO_MTIME, FINFO_CTIME, FINFO_FNAME,
    FINFO_NAME, FINFO_FILETYPE,
) = range(13)  # fmt: skip
APR_NOFILE, APR_REG, APR_DIR, APR_CHR, APR_BLK, APR_PIPE, APR_LNK, APR_SOCK = range(8)
APR_UNKFILE = 127
APR_FINFO_LINK, APR_FINFO_MTIME, APR_FINFO_CTIME, APR_FINFO_ATIME = 0x1, 0x10, 0x20, 0x40
APR_FINFO_SIZE, APR_FINFO_CSIZE, APR_FINFO_DEV, APR_FINFO_INODE, APR_FINFO_NLINK = 0x100, 0x200, 0x1000, 0x2000, 0x4000
APR_FINFO_TYPE, APR_FINFO_USER, APR_FINFO_GROUP = 0x8000, 0x10000, 0x20000
APR_FINFO_UPROT, APR_FINFO_GPROT, APR_FINFO_WPROT = 0x100000, 0x200000, 0x400000
APR_FINFO_ICASE, APR_FINFO_NAME = 0x1000000, 0x2000000
APR_FINFO_MIN, APR_FINFO_IDENT, APR_FINFO_OWNER = 0x8170, 0x3000, 0x30000
APR_FINFO_PROT, APR_FINFO_NORM, APR_FINFO_DIRENT = 0x700000, 0x73B170, 0x2000000

# ---- types that httpd gives to what is none ----

CGI_MAGIC_TYPE, DIR_MAGIC_TYPE = "application/x-httpd-cgi", "httpd/unix-directory"
INCLUDES_MAGIC_TYPE, INCLUDES_MAGIC_TYPE3 = "text/x-server-parsed-html", "text/x-server-parsed-html3"

# ---- levels of the log ----

APLOG_EMERG, APLOG_ALERT, APLOG_CRIT, APLOG_ERR, APLOG_WARNING, APLOG_NOTICE, APLOG_INFO, APLOG_DEBUG = range(8)
APLOG_NOERRNO = 0


class SERVER_RETURN(Exception):  # noqa: N801, N818 (mod_python's name)
    """Ends a handler, from wherever it is: `raise apache.SERVER_RETURN(apache.HTTP_NOT_FOUND)`.

    The first argument is what the handler answers; a second one becomes `req.status`.
    """


class _Current:
    """The request whose handlers the calling thread runs: the engine knows it, for threading.local costs several times as much."""

    @property
    def request(self):
        """None outside of handlers."""
        return current()

    def replace(self, request):
        """Another one in its place; None for none. Answers the one before."""
        return replace_current(request)


_CURRENT = _Current()


def log_error(message, level=APLOG_ERR, server=None):
    """A line of the error log; of that of a server (apache.main_server), else about the current request, where there is one."""
    request = _CURRENT.request
    if isinstance(server, _server_facts.OtherServer):
        server.log_error(message, level)
    elif request is not None:
        request.log_error(message, level)
    else:
        log_process(log_level(level), str(message))


def import_module(name, autoreload=None, log=None, path=None):
    """The module of a name, or of a file: an absolute path, `./file.py` or `../file.py` from the folder of the module that asks, or
    `~/file.py` from that of the handler's section. Loaded again when its file has changed.

    A name is looked for in the folders of `path`, beside the module that asks, in its `__mp_path__`, in those of
    `PythonOption mod_python.importer.path`, and where Python itself looks (modules from there are not loaded again). `autoreload` is
    PythonAutoReload where it is not given. `log` is there for mod_python's sake. Raises ImportError where there is none.
    """
    asking = sys._getframe(1).f_globals
    request = _CURRENT.request
    settings = request._settings if request is not None else {}
    reload = settings.get("PythonAutoReload", "1") == "1" if autoreload is None else bool(autoreload)
    entry = asking.get(_importer._KEY)
    beside = os.path.dirname(entry.path) if entry is not None else None
    name = _importer.named_path(name, beside) or name
    folders = [_importer.named_path(folder, beside) or folder for folder in path or ()] + _importer.folders_of(asking)
    here = _importer.section()
    interpreter = here.interpreter if here is not None else entry.interpreter if entry is not None else ""
    return _importer.find(interpreter, name, folders, reload, asking)


def freeze_modules():
    """Has this process load no module again from now on, even where its file changes: as PythonAutoReload Off, for all handlers."""
    _importer.freeze()


#: An older name of table.
make_table = table


# ---- the server ----

(
    AP_MPMQ_MAX_DAEMON_USED, AP_MPMQ_IS_THREADED, AP_MPMQ_IS_FORKED, AP_MPMQ_HARD_LIMIT_DAEMONS, AP_MPMQ_HARD_LIMIT_THREADS,
    AP_MPMQ_MAX_THREADS, AP_MPMQ_MIN_SPARE_DAEMONS, AP_MPMQ_MIN_SPARE_THREADS, AP_MPMQ_MAX_SPARE_DAEMONS, AP_MPMQ_MAX_SPARE_THREADS,
    AP_MPMQ_MAX_REQUESTS_DAEMON, AP_MPMQ_MAX_DAEMONS,
) = range(1, 13)  # fmt: skip
AP_MPMQ_NOT_SUPPORTED, AP_MPMQ_STATIC, AP_MPMQ_DYNAMIC = range(3)


class _Unasked:
    """Answers in the place of a server where a process of its own loads handlers, as the process does when they run."""

    _MPM = {str(AP_MPMQ_IS_THREADED): "1", str(AP_MPMQ_IS_FORKED): "1"}

    def look_up(self, what, name):
        return self._MPM.get(name) if what == numbers["LOOK_UP_MPM"] else None

    def text(self, fact):
        return None

    def entries(self, table, name):
        return ()


def _transaction(name):
    request = _CURRENT.request
    if request is not None:
        return request._transaction
    try:
        # What is the same for all servers.
        return _main_server()._transaction
    except AttributeError:
        pass
    if _importer.asked_before_requests() is not None:
        return _Unasked()
    raise RuntimeError(f"apache.{name} asks the server, which answers while a handler runs; outside of one there is nobody to ask here")


def mpm_query(code):
    """What the MPM says to one of apache.AP_MPMQ_*: a number. Raises ValueError for a question that it does not know.

    In nginx and in processes of their own AP_MPMQ_IS_THREADED and AP_MPMQ_IS_FORKED are AP_MPMQ_STATIC, and others are not known.
    """
    answer = _transaction("mpm_query()").look_up(numbers["LOOK_UP_MPM"], str(code))
    if answer is None:
        raise ValueError(f"the server does not answer the query {code} about its processes and threads")
    return int(answer)


def exists_config_define(name):
    """Whether the server was started with -D and this word: True or False. nginx has no such words, so False there."""
    return _transaction("exists_config_define()").look_up(numbers["LOOK_UP_DEFINE"], name) is not None


def server_root():
    """ServerRoot, as str; in nginx its prefix (`nginx -p`). Raises AttributeError where nobody has told it: under a gangway-host that was started
    by hand, without GANGWAY_SERVER_ROOT in its environment.
    """
    root = _transaction("server_root()").text(numbers["FACT_SERVER_ROOT"])
    if root is not None:
        return _importer.as_path(root)
    # Processes of their own are told when they start.
    root = os.environ.get("GANGWAY_SERVER_ROOT")
    if root is None:
        raise AttributeError("apache.server_root(): this process is not told where the server's files are: set GANGWAY_SERVER_ROOT in its environment")
    return root


def config_tree():
    """The directives of the server's configuration, without .htaccess: a list of (directive, arguments). Behind a section stands a list of
    what is in it. A copy. Raises AttributeError where the server does not tell it: in nginx, and in processes of their own.
    """
    around = [[]]
    for name, arguments in _transaction("config_tree()").entries(numbers["TABLE_CONFIG_TREE"], None):
        directive = name.lstrip("\t")
        depth = len(name) - len(directive)
        del around[depth + 1 :]
        if depth == len(around):
            around.append([])
            around[-2].append(around[-1])
        around[-1].append((directive, arguments))
    if not around[0]:
        raise AttributeError("apache.config_tree(): handlers see the directives of httpd alone, and in its own processes; `nginx -T` shows those of nginx")
    return around[0]


def allow_methods(*args):
    """As req.allow_methods(), with each method as an argument of its own: its name, or one of apache.M_*. The first one may be the request;
    without it that of the running handler is meant. Raises RuntimeError where none runs, ValueError for a method that httpd has no number for.
    """
    request = _CURRENT.request
    if args and hasattr(args[0], "allow_methods"):
        request, *args = args
    if request is None:
        raise RuntimeError("apache.allow_methods() is for the request whose handler runs; outside of one give it the request first")
    request.allow_methods(args)


def build_cgi_env(req):
    """The variables of a CGI program for a request, as a dictionary."""
    return _environ.cgi_variables(req)


# ---- locks of all processes ----

_HELD = {}


def _lock_name(key, index):
    return f"global lock {key}" if index < 0 else f"global lock number {index}"


def _global_lock(server, key, index=-1):
    """Waits for a lock of this name, or of this number, that no other thread of any process of the server's user has.

    Who asks twice waits for itself. A process that ends gives back what it has. `server` is there for mod_python's sake.
    """
    name = _lock_name(key, index)
    lock = _locks.FileLock(_locks.folder(), name)
    _locks.acquire(lock, float("inf"))
    _HELD[name] = lock


def _global_trylock(server, key, index=-1):
    """As _global_lock(), without waiting: whether it is held now, as 1 or 0."""
    name = _lock_name(key, index)
    lock = _locks.FileLock(_locks.folder(), name)
    if not lock.attempt():
        return 0
    _HELD[name] = lock
    return 1


def _global_unlock(server, key, index=-1):
    """Gives a lock back. Raises ValueError where this process does not have it."""
    lock = _HELD.pop(_lock_name(key, index), None)
    if lock is None:
        raise ValueError(f"the lock {key!r} is not held here")
    lock.release()


_MISSING = {
    "setup_cgi": "mod_python.cgihandler sets the environment of a script for its own thread; nothing else needs it",
    "restore_nocgi": "mod_python.cgihandler sets the environment of a script for its own thread; nothing else needs it",
    "MODULE_MAGIC_NUMBER_MAJOR": "modules of handlers do not depend on httpd's ABI",
    "MODULE_MAGIC_NUMBER_MINOR": "modules of handlers do not depend on httpd's ABI",
}


def _main_server():
    """The same object for all who ask."""
    found = globals().get("main_server")
    return found if found is not None else globals().setdefault("main_server", _server_facts.main_server())


def __getattr__(name):
    if name == "main_server":
        return _main_server()
    if name == "interpreter":
        # Of the handler that this thread runs or loads.
        here = _importer.section()
        return here.interpreter if here is not None else None
    if name in _MISSING:
        raise AttributeError(f"apache.{name}: {_MISSING[name]}")
    raise AttributeError(f"module 'mod_python.apache' has no attribute {name!r}")
