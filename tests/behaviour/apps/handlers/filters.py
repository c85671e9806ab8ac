# SPDX-License-Identifier: MIT OR Apache-2.0
"""Filters, in the manner of mod_python's documentation."""

from mod_python import apache


def outputfilter(filter):
    piece = filter.read()
    while piece:
        filter.write(piece.upper())
        piece = filter.read()
    if piece is None:
        filter.close()


def inputfilter(filter):
    piece = filter.read()
    while piece:
        filter.write(piece.lower() + b"!")
        piece = filter.read()
    if piece is None:
        filter.close()


def lines(filter):
    while line := filter.readline():
        filter.write(b"[" + line.rstrip(b"\n") + b"]")


def small(filter):
    """Reads little at a time, and writes more than it reads."""
    while piece := filter.read(7):
        filter.write(piece * 3, )


def says(filter):
    req = filter.req
    req.seen = [*getattr(req, "seen", []), (filter.name, filter.is_input, req.phase)]
    for call in (lambda: req.write("x"), req.read):
        try:
            call()
        except ValueError:
            continue
        raise RuntimeError("a filter could read or write a body")
    filter.pass_on()


def fails(filter):
    raise ValueError("a filter fails")


def fails_late(filter):
    piece = filter.read()
    if getattr(filter.req, "began", False):
        raise ValueError("a filter fails in the middle")
    if piece:
        filter.req.began = True
        filter.write(piece)
        filter.flush()


def once(filter):
    filter.write(b"<first>")
    filter.disable()


def twice(filter):
    """Each of both passes all that is there; in mod_python's programs they stand together in either order."""
    filter.write(b"<")
    for _ in range(2):
        filter.pass_on()
        filter.disable()
    filter.pass_on()


def cuts(filter):
    """Ends the body before its end."""
    filter.write(filter.read(5) or b"")
    filter.close()
    filter.close()


def drops(filter):
    """Reads nothing."""


def ends(filter):
    raise apache.SERVER_RETURN(apache.OK)


# ---- handlers ----


def handler(req):
    req.content_type = "text/plain"
    for part in ("one ", "two ", "three"):
        req.write(part)
    return apache.OK


def echo(req):
    req.write(req.read())
    return apache.OK


def adds(req):
    req.register_output_filter("mine", __file__ + "::says")
    req.add_output_filter("MINE")
    req.add_output_filter("UPPER")
    try:
        req.add_output_filter("no-such-filter")
    except ValueError:
        req.write("refused ")
    req.write("text")
    req.log_error(f"seen {req.seen} in {req.phase}", apache.APLOG_NOTICE)
    return apache.OK


def adds_input(req):
    req.register_input_filter("lower", __file__ + "::inputfilter")
    req.add_input_filter("lower")
    return echo(req)


def large(req):
    req.content_type = "text/plain"
    block = "abcdefgh" * 1024
    for _ in range(512):
        req.write(block, 0)
    return apache.OK


def failing(req):
    req.write("one")
    req.write("two")
    return apache.OK
