# SPDX-License-Identifier: MIT OR Apache-2.0
"""`<!--#python eval="..." -->` and `<!--#python exec="..." -->` in pages of mod_include, for httpd."""


def evaluate(filter):
    """Puts the value of an expression into the page, as str() shows it."""
    value = eval(_source(filter).strip(), _names(filter))
    filter.write(value if isinstance(value, (str, bytes)) else str(value))


def execute(filter):
    """Runs statements, which write with `filter.write()`."""
    exec(compile(_source(filter) + "\n", f"<python of {filter.req.filename}>", "exec"), _names(filter))


def _source(filter):
    code = filter.read() or b""
    return code.decode("utf-8").replace("\r\n", "\n")


def _names(filter):
    """The names of a page, which all of its elements share: those of req.ssi_globals, if a handler has made it."""
    request = filter.req
    names = request.__dict__.setdefault("ssi_globals", {})
    names["filter"], names["req"] = filter, request
    return names
