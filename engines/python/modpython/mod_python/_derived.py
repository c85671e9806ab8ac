# SPDX-License-Identifier: MIT OR Apache-2.0
"""Members of `req` that follow from what the server tells: addresses, dates, files, variables."""

import os
import stat as modes
import time
from email.utils import formatdate
from urllib.parse import urlsplit

from mod_python import _environ

_FILE_TYPES = (
    (modes.S_ISREG, 1), (modes.S_ISDIR, 2), (modes.S_ISCHR, 3), (modes.S_ISBLK, 4), (modes.S_ISFIFO, 5), (modes.S_ISLNK, 6), (modes.S_ISSOCK, 7),
)  # fmt: skip


class FileInfo(tuple):
    """What is known of a file: a tuple whose places are apache.FINFO_*, with the same by name.

    `protection` (mode bits), `inode`, `device`, `nlink`, `user` and `group` (numbers), `size` (bytes), `atime`, `mtime`, `ctime` (seconds since
    1970), `fname` (path), `name` (its last part), `filetype` (apache.APR_*; APR_NOFILE where there is none), `valid` (bits of what is known).
    """

    __slots__ = ()
    _places = (
        "protection inode device nlink user group size atime mtime ctime fname name filetype valid".split()
    )

    def __getattr__(self, name):
        if name in self._places:
            return self[self._places.index(name)]
        raise AttributeError(f"'finfo' object has no attribute {name!r}")


def _info(path, found):
    name = os.path.basename(path) if path else None
    if found is None:
        return FileInfo((None,) * 10 + (path, name, 0, 0))
    kind = next((number for is_one, number in _FILE_TYPES if is_one(found.st_mode)), 127)
    return FileInfo(
        (
            modes.S_IMODE(found.st_mode), found.st_ino, found.st_dev, found.st_nlink, found.st_uid, found.st_gid, found.st_size,
            int(found.st_atime), int(found.st_mtime), int(found.st_ctime), path, name, kind, 0x00008170,
        )
    )  # fmt: skip


def stat(fname, wanted=0):
    """What is known of a file, as for req.finfo. All of it, whatever is wanted. Raises OSError where there is none."""
    return _info(fname, os.stat(fname))


class Derived:
    """A part of Request."""

    @property
    def parsed_uri(self):
        """The address that was asked for, in pieces: places are apache.URI_*, and what it does not have is None; the port is a number,
        that of the Host header where the address has none."""
        target = self.unparsed_uri or ""
        path, query, fragment, scheme, hostinfo, user, password, name, port = (None,) * 9
        if target.startswith("/") or "://" not in target:
            path, _, fragment = target.partition("#")
            path, mark, query = path.partition("?")
            return None, None, None, None, None, _environ.host_port(self), path, query if mark else None, fragment or None
        try:
            parts = urlsplit(target)
            scheme, hostinfo, path, query, fragment = parts
            user, password, name, port = parts.username, parts.password, parts.hostname, parts.port
        except ValueError:
            # An address without a host that could be one; the server knows what it made of it.
            path = self.uri
        return tuple(value if value != "" else None for value in (scheme, hostinfo, user, password, name, port, path, query, fragment))

    def construct_url(self, uri):
        """The whole address of a path on this server: scheme, host and, where it is not the usual one, the port."""
        scheme, usual = ("https", 443) if self.is_https() else ("http", 80)
        name, port = _environ.server_name(self), _environ.server_port(self)
        if ":" in name and not name.startswith("["):
            name = f"[{name}]"
        return f"{scheme}://{name}{'' if port == usual else f':{port}'}{uri}"

    @property
    def useragent_addr(self):
        """Address and port of the client. The port is that of the connection, which with mod_remoteip is another one's."""
        return self.useragent_ip, self.connection.remote_addr[1]

    def get_addhandler_exts(self):
        """The suffixes that AddHandler gives to Python anywhere in the server's configuration, without dots, with spaces between them. str

        What stands in .htaccess is not among them. Raises AttributeError where apache.config_tree() does.
        """
        from mod_python import apache

        def suffixes(nodes):
            for node in nodes:
                if not isinstance(node[0], str):
                    yield from suffixes(node)
                elif node[0].lower() == "addhandler":
                    handler, *words = node[1].split()
                    if handler.strip('"').lower() in ("mod_python", "python-program"):
                        yield from (word.strip('"').lstrip(".").lower() for word in words)

        return " ".join(dict.fromkeys(suffixes(apache.config_tree())))

    # ---- variables ----

    def add_cgi_vars(self):
        """Fills subprocess_env with the variables of a CGI program: those of the request and of its headers.

        Left out are headers that are never a program's business: Proxy, Authorization, names with an underscore.
        """
        table = self.subprocess_env
        for name, value in _environ.cgi_variables(self).items():
            table[name] = value

    #: The same: nobody has told them apart.
    add_common_vars = add_cgi_vars

    def build_wsgi_env(self):
        """A dictionary for a WSGI application (PEP 3333), without the wsgi.* of its server.

        SCRIPT_NAME is PythonOption mod_python.wsgi.base_uri (default: ""), PATH_INFO the rest of the path. None where the path does not
        begin with it. Raises ValueError for a base_uri that ends with "/".
        """
        base = self.get_options().get("mod_python.wsgi.base_uri", "")
        if base.endswith("/"):
            raise ValueError(f"PythonOption mod_python.wsgi.base_uri must not end with '/': {base!r}")
        uri = self.uri or ""
        if not uri.startswith(base) or uri[len(base) : len(base) + 1] not in ("", "/"):
            return None
        found = dict(self.subprocess_env.items())
        found.update(_environ.cgi_variables(self))
        found["SCRIPT_NAME"], found["PATH_INFO"] = base, uri[len(base) :]
        found.pop("PATH_TRANSLATED", None)
        return found

    # ---- the file, and what caches ask for ----

    @property
    def finfo(self):
        """What is known of the file that `filename` names, as of apache.stat(); its filetype is apache.APR_NOFILE where there is none."""
        given = self.__dict__.get("_finfo")
        if given is not None:
            return given
        path = self.filename
        try:
            found = os.stat(path) if path else None
        except (OSError, ValueError):
            found = None
        return _info(path, found)

    @finfo.setter
    def finfo(self, value):
        self.__dict__["_finfo"] = value

    def update_mtime(self, dependency_mtime):
        """Has `mtime` be no earlier than this, in seconds since 1970: that of something that the response is made of."""
        if dependency_mtime > self.mtime:
            self.mtime = dependency_mtime

    def set_last_modified(self):
        """Last-Modified from `mtime`, where that is set. Never in the future (RFC 9110 section 8.8.2.1)."""
        if self.mtime > 0:
            self.headers_out["Last-Modified"] = formatdate(min(self.mtime, time.time()), usegmt=True)

    def set_etag(self):
        """ETag from size and date of the file of `filename`; nothing where there is none.

        Weak while the file may change again within the same tick of its clock.
        """
        try:
            found = os.stat(self.filename or "")
        except (OSError, ValueError):
            return
        if modes.S_ISREG(found.st_mode):
            weak = "W/" if time.time() - found.st_mtime < 1 else ""
            self.headers_out["ETag"] = f'{weak}"{found.st_size:x}-{found.st_mtime_ns // 1000:x}"'

    # ---- the rest ----

    def discard_request_body(self):
        """Reads what is left of the body and forgets it. Answers apache.OK. Raises OSError where the client breaks off."""
        while self.read(64 * 1024):
            pass
        return 0
