# SPDX-License-Identifier: MIT OR Apache-2.0
"""Configurations of httpd as Python: every name that begins with a capital letter is a directive or a section.

    from mod_python.httpdconf import *
    print(Container(Listen("8080"), Directory("/srv", SetHandler("mod_python"), PythonHandler("mod_python.testhandler"))))

`from ... import *` gives the usual ones; any other is an attribute of the module: `httpdconf.ProxyPass("/a http://b")`.
"""

import re

#: Directives that have others inside of them.
_SECTIONS = (
    "AuthnProviderAlias Directory DirectoryMatch Else ElseIf Files FilesMatch If IfDefine IfModule IfVersion Limit LimitExcept Location LocationMatch"
    " Proxy ProxyMatch RequireAll RequireAny RequireNone VirtualHost"
).split()
_DIRECTIVES = (
    "AddHandler AddOutputFilter AddType Alias AllowOverride AuthName AuthType CustomLog DocumentRoot ErrorLog Include KeepAliveTimeout Listen LoadModule"
    " LogFormat LogLevel MaxClients MaxConnectionsPerChild MaxRequestsPerChild MaxSpareServers MaxSpareThreads MinSpareThreads NameVirtualHost Options Order"
    " PidFile PythonAccessHandler PythonAuthenHandler PythonAuthzHandler PythonAutoReload PythonCleanupHandler PythonConnectionHandler PythonDebug"
    " PythonFixupHandler PythonHandler PythonHandlerModule PythonHeaderParserHandler PythonHome PythonImport PythonInitHandler PythonInputFilter"
    " PythonInterpPerDirectory PythonInterpPerDirective PythonInterpreter PythonLogHandler PythonOption PythonOutputFilter PythonPath"
    " PythonPostReadRequestHandler PythonTransHandler PythonTypeHandler Require Satisfy ServerAdmin ServerName ServerPath ServerRoot SetHandler StartServers"
    " ThreadsPerChild Timeout TypesConfig"
).split()
_NAME = re.compile(r"[A-Z][A-Za-z0-9]*\Z")


def _line(value):
    """A text that stays on its line: what follows on another one would be a directive of its own."""
    value = str(value)
    if "\n" in value or "\r" in value or "\0" in value or value.endswith("\\"):
        raise ValueError(f"what a directive says must stay on its line: {value!r}")
    return value


def quote_if_space(value):
    """A word as httpd reads it: in quotation marks where it has blanks."""
    value = str(value)
    if not re.search(r"[\s\"]", value) or (len(value) > 1 and value[0] == value[-1] == '"'):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Directive:
    """A line: a name, and what it says. `flipslash` is there for mod_python's sake."""

    def __init__(self, name, val, flipslash=1):
        self.name, self.val, self.indent, self.flipslash = name, _line(val), 0, flipslash

    def __str__(self):
        return f"{' ' * self.indent}{self.name} {self.val}\n"

    def __repr__(self):
        return f"{self.name}({self.val!r})"


class Comment:
    """Lines for people."""

    def __init__(self, comment):
        self.comment, self.indent = comment, 0

    def __str__(self):
        return "".join(f"{' ' * self.indent}# {line}\n" for line in str(self.comment).splitlines())

    def __repr__(self):
        return f"Comment({self.comment!r})"


class Container:
    """Several, one below the other. What is None is left out. `only_if` is an expression of Python: where it is false there is nothing."""

    def __init__(self, *args, **kwargs):
        self.args, self.indent, self.only_if = list(args), 0, kwargs.pop("only_if", None)
        if kwargs:
            raise TypeError(f"unknown: {', '.join(kwargs)}")

    def append(self, value):
        """Adds one at the end."""
        self.args.append(value)

    def _is_wanted(self):
        return self.only_if is None or bool(eval(self.only_if) if isinstance(self.only_if, str) else self.only_if)

    def __str__(self):
        if not self._is_wanted():
            return ""
        parts = []
        for one in self.args:
            if one is not None:
                one.indent = self.indent
                parts.append(str(one))
        return "".join(parts)

    def __repr__(self):
        return f"Container({', '.join(map(repr, self.args))})"


class ContainerTag:
    """A section: its name, what it is for, and the directives in it."""

    def __init__(self, tag, attr, args):
        self.tag, self.attr, self.args, self.indent = tag, _line(attr), list(args), 0

    def append(self, value):
        """Adds one at the end."""
        self.args.append(value)

    def __str__(self):
        blanks = " " * self.indent
        parts = [f"{blanks}<{self.tag}{' ' if self.attr else ''}{self.attr}>\n"]
        for one in self.args:
            if one is not None:
                one.indent = self.indent + 2
                parts.append(str(one))
        return "".join(parts) + f"{blanks}</{self.tag}>\n"

    def __repr__(self):
        return f"{self.tag}({', '.join(map(repr, [self.attr, *self.args]))})"


def _directive(name):
    def make(val="", **options):
        return Directive(name, val, **options)

    make.__name__ = name
    make.__doc__ = f"The directive {name}."
    return make


def _section(name):
    def make(attr="", *args):
        return ContainerTag(name, attr, args)

    make.__name__ = name
    make.__doc__ = f"The section <{name}>."
    return make


def __getattr__(name):
    if not _NAME.match(name):
        raise AttributeError(f"module 'mod_python.httpdconf' has no attribute {name!r}")
    return _directive(name)


globals().update({name: _section(name) for name in _SECTIONS})
globals().update({name: _directive(name) for name in _DIRECTIVES})
__all__ = ["Comment", "Container", "ContainerTag", "Directive", "quote_if_space", *_SECTIONS, *_DIRECTIVES]
