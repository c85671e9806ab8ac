# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a test wants served, in words that belong to no server."""

from dataclasses import dataclass, field

from .hosts import Host
from .recorder import Recorder


@dataclass
class Location:
    path: str
    kind: str = "prefix"  # prefix, exact, regex; for nginx also "named"; for httpd also "directory"
    interface: str = "wsgi"  # whose directive has the target
    target: str | None = None  # of gangway_wsgi / GangwayWSGI; None: no handler here, "off" ends inheritance
    options: list = field(default_factory=list)  # key=value words, in order
    params: dict = field(default_factory=dict)
    files: str | None = None  # static files from this folder
    passes: str | None = None  # address of gangway_pass: fastcgi://host:port and the like
    hosted: bool = False  # what is there is a gangway-host of the site's
    spawn: list | None = None  # words of gangway_spawn / GangwaySpawn; `files` is where its scripts are
    cgi: list | None = None  # words of gangway_cgi / GangwayCGI after `on`; `files` is where the scripts are
    handlers: tuple = ()  # lines of gangway_python_handler / GangwayPythonHandler, each as it is written behind the name
    nginx: str = ""  # raw lines for one server
    apache: str = ""


@dataclass
class Site:
    apps: object = None  # default root= of applications
    workers: int = 1
    threads_per_child: int = 16  # httpd alone
    master: bool = True  # nginx's master_process
    user: str | None = None  # of the workers; None: the harness's choice
    starter: str | None = None  # who starts the server, if not the user of the tests
    http2: bool = False
    tls: bool = False
    gzip: bool = False
    body_limit: int | None = None
    modules: bool = True  # load Gangway at all
    managed: bool = False  # applications run in processes of their own, whatever a test says of that
    host: bool = False  # WSGI applications run in gangway-host, behind gangway_pass, and not in the server
    upstream: str = "gangway"  # who speaks to the backends: gangway, or stock for the server's own modules
    scratch: object = None  # a folder for sockets
    error_level: str = "info"  # debug: of the server's own talk, too
    kept_connections: int = 32  # idle connections to backends that a worker may keep
    engine_dir: object = None  # where the engines are; None: where the harness put them
    environment: dict = field(default_factory=dict)  # of the server process itself
    handlers: tuple = ()  # as those of a location, for the whole server
    nginx_main: str = ""
    nginx_http: str = ""
    nginx_server: str = ""
    apache_main: str = ""
    apache_host: str = ""
    locations: list = field(default_factory=list)
    backends: dict = field(default_factory=dict)
    text: object = None  # a whole configuration instead of all this: a function of the server

    @property
    def elsewhere(self):
        """Whether WSGI applications run in other processes than the server's."""
        return self.managed or self.host

    def location(self, path, **kw):
        location = Location(path, **kw)
        self.locations.append(location)
        return location

    def status(self, path, *, full=False):
        """Shows the status to this machine."""
        detail, handler = (" full", "gangway-status-full") if full else ("", "gangway-status")
        nginx = f"gangway_status{detail}; allow 127.0.0.1; deny all;"
        return self.location(path, nginx=nginx, apache=f"SetHandler {handler}\nRequire ip 127.0.0.1")

    def wsgi(self, path, target, *, kind="prefix", root="apps", params=None, nginx="", apache="", **options):
        """Serves a WSGI application below `path`. Further keywords are options; a list repeats its key."""
        words = []
        if self.managed and not options.keys() & {"processes", "user"}:
            words.append("processes=1")
        if root == "apps":
            root = self.apps
        if root is not None:
            words.append(f"root={root}")
        for key, value in options.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(one, bool):
                    one = "on" if one else "off"
                words.append(f"{key}={one}")
        if self.host and target != "off":
            return self.hosted(path, target, words, kind=kind, params=params, nginx=nginx, apache=apache)
        return self.location(
            path, kind=kind, target=target, options=words, params=params or {}, nginx=nginx, apache=apache
        )

    def asgi(self, path, target, *, kind="prefix", root="apps", params=None, nginx="", apache="", **options):
        """Serves an ASGI application below `path`. Further keywords are options; a list repeats its key."""
        words = [f"root={self.apps}" if root == "apps" else f"root={root}"] if root is not None else []
        for key, value in options.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                words.append(f"{key}={one}")
        return self.location(
            path, kind=kind, interface="asgi", target=target, options=words, params=params or {}, nginx=nginx, apache=apache
        )

    def hosted(self, path, target, words, *, kind="prefix", params=None, nginx="", apache=""):
        """The same in a gangway-host of its own; the same words share one. In nginx a variable says where it is mounted, in httpd GangwayPass
        does."""
        name = f"host-{target}-{'-'.join(words)}"
        host = self.backends.get(name)
        if host is None:
            number = sum(other.startswith("host-") for other in self.backends)
            host = self.program(name, Host(self.scratch, target, words, name=f"host{number}", unix=False))
        if kind == "prefix":
            mount = path.rstrip("/")
            nginx = f"gangway_param SCRIPT_NAME {quoted(mount)};\n{nginx}"
        apache = f"GangwayPass {host.address}\n{apache}"
        location = self.passes(path, host, kind=kind, params=params, nginx=nginx, apache=apache)
        location.hosted = True
        return location

    def cgi(self, path, place, *, kind="prefix", params=None, nginx="", apache="", **options):
        """Runs the scripts of the folder `place`, or that file, below `path`. Further keywords are options; a list repeats its key."""
        words = []
        for key, value in options.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(one, bool):
                    one = "on" if one else "off"
                words.append(f"{key}={one}")
        return self.location(
            path, kind=kind, cgi=words, files=str(place), params=params or {}, nginx=nginx, apache=apache
        )

    def spawn(self, path, *words, files=None, kind="prefix", params=None, nginx="", apache="", **options):
        """Runs a FastCGI program in processes of the server's own. Further keywords are options; a list repeats its key."""
        words = [*words]
        for key, value in options.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(one, bool):
                    one = "on" if one else "off"
                words.append(f"{key}={one}")
        files = None if files is None else str(files)
        return self.location(path, kind=kind, spawn=words, files=files, params=params or {}, nginx=nginx, apache=apache)

    def passes(self, path, address, *, kind="prefix", params=None, nginx="", apache=""):
        """Passes what is below `path` to a backend: a Recorder, a Program or an address. The lines for nginx use the names
        of Gangway; for the stock modules the prefix changes and lines that only Gangway knows are left out."""
        if not isinstance(address, str):
            address = address.address
        return self.location(path, kind=kind, passes=address, params=params or {}, nginx=nginx, apache=apache)

    def has_processes(self):
        """Whether the server has processes of applications, with idle connections to them."""
        words = [str(word) for spec in self.locations for word in (*spec.options, *(spec.spawn or ()))]
        words += [word for spec in self.locations for line in spec.handlers for word in line.split()]
        asks = any(word.startswith(("processes=", "user=")) for word in words)
        return asks or any(spec.spawn is not None for spec in self.locations) or self.text is not None

    def keeps_unix_connections(self):
        """Whether idle connections of unix sockets may stay open: to processes, and to backends with a path."""
        return self.has_processes() or any(getattr(backend, "path", None) for backend in self.backends.values())

    def recorder(self, protocol, *, name=None, unix=False, certificate=None):
        """A backend in the test's hands, found again as `site.backends[name]`."""
        path = self.scratch / f"{name or protocol}.sock" if unix else None
        recorder = self.backends[name or protocol] = Recorder(protocol, path, certificate)
        return recorder

    def program(self, name, program):
        """A real backend, ended with the site."""
        self.backends[name] = program
        return program

    def proxied_ports(self):
        """Ports of backends: idle connections to them may stay open."""
        return {port for backend in self.backends.values() if (port := getattr(backend, "port", None))}

    def close(self):
        for backend in self.backends.values():
            backend.close()

    def static(self, path, folder, **kw):
        return self.location(path, files=str(folder), **kw)


def quoted(word):
    """A word of a configuration file; both servers take double quotes and backslashes."""
    word = str(word)
    if word and not any(c in word for c in " \t;{}\"'\\#"):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
