# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a test wants served, in words that belong to no server."""

from dataclasses import dataclass, field


@dataclass
class Location:
    path: str
    kind: str = "prefix"  # prefix, exact, regex; for nginx also "named"; for httpd also "directory"
    target: str | None = None  # of gangway_wsgi / GangwayWSGI; None: no handler here, "off" ends inheritance
    options: list = field(default_factory=list)  # key=value words, in order
    params: dict = field(default_factory=dict)
    files: str | None = None  # static files from this folder
    nginx: str = ""  # raw lines for one server
    apache: str = ""


@dataclass
class Site:
    apps: object = None  # default root= of applications
    workers: int = 1
    threads_per_child: int = 16  # httpd alone
    master: bool = True  # nginx's master_process
    user: str | None = None  # of the workers; None: the harness's choice
    http2: bool = False
    tls: bool = False
    gzip: bool = False
    body_limit: int | None = None
    modules: bool = True  # load Gangway at all
    engine_dir: object = None  # where the engines are; None: where the harness put them
    environment: dict = field(default_factory=dict)  # of the server process itself
    nginx_main: str = ""
    nginx_http: str = ""
    nginx_server: str = ""
    apache_main: str = ""
    apache_host: str = ""
    locations: list = field(default_factory=list)
    text: object = None  # a whole configuration instead of all this: a function of the server

    def location(self, path, **kw):
        location = Location(path, **kw)
        self.locations.append(location)
        return location

    def wsgi(self, path, target, *, kind="prefix", root="apps", params=None, nginx="", apache="", **options):
        """Serves a WSGI application below `path`. Further keywords are options; a list repeats its key."""
        words = []
        if root == "apps":
            root = self.apps
        if root is not None:
            words.append(f"root={root}")
        for key, value in options.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(one, bool):
                    one = "on" if one else "off"
                words.append(f"{key}={one}")
        return self.location(
            path, kind=kind, target=target, options=words, params=params or {}, nginx=nginx, apache=apache
        )

    def static(self, path, folder, **kw):
        return self.location(path, files=str(folder), **kw)


def quoted(word):
    """A word of a configuration file; both servers take double quotes and backslashes."""
    word = str(word)
    if word and not any(c in word for c in " \t;{}\"'\\#"):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
