# SPDX-License-Identifier: MIT OR Apache-2.0
"""start_response, write() and what an application may return."""

import io
import json
import os
import sys
import threading

from gate import query

APPS = {}
STATE = {"closed": 0, "called": 0}
TEXT = ("Content-Type", "text/plain")


def register(function):
    APPS[function.__name__] = function
    return function


class Blocks:
    """An iterable that counts close() and may be told to fail."""

    def __init__(self, blocks, fail_at=None, fail_close=False):
        self.blocks = list(blocks)
        self.fail_at = fail_at
        self.fail_close = fail_close

    def __iter__(self):
        for index, block in enumerate(self.blocks):
            if index == self.fail_at:
                raise RuntimeError("failed while iterating")
            yield block
        if self.fail_at == len(self.blocks):
            raise RuntimeError("failed at the end")

    def close(self):
        STATE["closed"] += 1
        if self.fail_close:
            raise RuntimeError("failed in close")


class Sized(Blocks):
    def __len__(self):
        return len(self.blocks)


@register
def state(environ, start_response):
    body = json.dumps({**STATE, "pid": os.getpid(), "thread": threading.get_ident()}).encode()
    start_response("200 OK", [TEXT, ("Content-Length", str(len(body)))])
    return [body]


@register
def hello(environ, start_response):
    start_response("200 OK", [TEXT])
    return [b"hello"]


@register
def iterables(environ, start_response):
    kind = query(environ)["kind"]
    if kind == "generator_head":  # start_response runs at the first next()

        def late():
            start_response("200 OK", [TEXT])
            yield b"ab"
            yield b"c"

        return late()
    start_response("200 OK", [TEXT])
    blocks = [b"a", b"", b"b", b"c"]
    return {
        "list": lambda: blocks,
        "one": lambda: [b"abc"],
        "empty": lambda: [],
        "empty_block": lambda: [b""],
        "tuple": lambda: tuple(blocks),
        "generator": lambda: (block for block in blocks),
        "iterator": lambda: iter(blocks),
        "set": lambda: {b"abc"},
        "dict": lambda: {b"abc": 1},
        "map": lambda: map(bytes.lower, blocks),
        "bytesio": lambda: io.BytesIO(b"a\nb\nc"),
        "blocks": lambda: Blocks(blocks),
        "sized_one": lambda: Sized([b"abc"]),
        "bytes": lambda: b"abc",
        "bytes_subclass": lambda: [type("Sub", (bytes,), {})(b"abc")],
    }[kind]()


@register
def wrong(environ, start_response):
    """What no application may do; `?what=`."""
    what = query(environ)["what"]
    if what == "no_start":
        return [b"x"]
    if what == "no_start_empty":
        return []
    if what == "start_late":

        def late():
            yield b"body"
            start_response("200 OK", [TEXT])

        return late()
    if what == "raise":
        raise ValueError("application broke")
    if what == "exit":
        sys.exit(3)
    if what == "keyboard":
        raise KeyboardInterrupt
    start_response("200 OK", [TEXT])
    if what == "twice":
        start_response("200 OK", [TEXT])
    if what == "raise_after_start":
        raise ValueError("application broke")
    return {
        "none": None,
        "number": 7,
        "str": ["text"],
        "str_itself": "text",
        "str_later": [b"first", "text"],
        "int_block": [5],
        "bytearray": [bytearray(b"x")],
    }.get(what, [b"unreachable"])


@register
def status(environ, start_response):
    start_response(query(environ)["line"], [TEXT])
    return [b"body"]


@register
def status_of(environ, start_response):
    """`?expr=`: a Python expression for the status."""
    start_response(eval(query(environ)["expr"]), [TEXT])
    return [b"body"]


@register
def headers(environ, start_response):
    """`?expr=`: a Python expression for the header list."""
    start_response("200 OK", eval(query(environ)["expr"]))
    return [b"body"]


@register
def content_length(environ, start_response):
    """`?says=`: the header, `?blocks=`: sizes of the blocks."""
    chosen = query(environ)
    sizes = [int(size) for size in chosen["blocks"].split(",")]
    start_response("200 OK", [TEXT, ("Content-Length", chosen["says"])])
    return Blocks([b"x" * size for size in sizes])


@register
def no_body(environ, start_response):
    """A status of the query, with a body that must not leave for HEAD, 204 and 304."""
    chosen = query(environ)
    fields = [("X-Seen", "yes")]
    if "length" in chosen:
        fields.append(("Content-Length", chosen["length"]))
    start_response(chosen["status"], fields)
    return Blocks([b"body that ", b"must not leave"]) if chosen.get("blocks") else [b"must not leave"]


@register
def failing(environ, start_response):
    """Fails at block `?at=`, or in close()."""
    chosen = query(environ)
    fields = [TEXT]
    if "length" in chosen:
        fields.append(("Content-Length", chosen["length"]))
    start_response("200 OK", fields)
    at = int(chosen["at"]) if "at" in chosen else None
    return Blocks([b"first", b"second"], at, "close" in chosen)


@register
def exc_info(environ, start_response):
    """`?when=`: before or after the head has left."""
    when = query(environ)["when"]
    start_response("200 OK", [TEXT, ("X-First", "yes")])

    def blocks():
        if when == "after":
            yield b"block"
        try:
            raise LookupError("the reason")
        except LookupError:
            start_response("501 Replaced", [TEXT, ("X-Second", "yes")], sys.exc_info())
        yield b"replacement"

    return blocks()


@register
def exc_info_first(environ, start_response):
    """exc_info with the very first call is allowed."""
    try:
        raise LookupError("the reason")
    except LookupError:
        start_response("503 Sorry", [TEXT], sys.exc_info())
    return [b"sorry"]


@register
def exc_info_write(environ, start_response):
    """After write() the head has left."""
    start_response("200 OK", [TEXT])(b"block")
    try:
        raise LookupError("the reason")
    except LookupError:
        start_response("501 Replaced", [TEXT], sys.exc_info())
    return [b"unreachable"]


@register
def write(environ, start_response):
    how = query(environ)["how"]
    fields = [TEXT] + ([("Content-Length", "6")] if how == "length" else [])
    send = start_response("200 OK", fields)
    send(b"wri")
    send(b"")
    if how == "str":
        send("text")
    send(b"ten")
    return {"only": [], "then": [b"+", b"iterated"], "length": [], "generator": iter([b"+"])}.get(how, [])


@register
def write_late(environ, start_response):
    """write() inside the iteration: discouraged, but in order."""
    send = start_response("200 OK", [TEXT])
    yield b"1"
    send(b"2")
    yield b"3"


@register
def close_order(environ, start_response):
    """close() must come after the last block and exactly once, also for an iterable that is its own iterator."""

    class Own(Blocks):
        def __init__(self):
            super().__init__([b"x"])
            self.left = [b"1", b"2"]

        def __iter__(self):
            return self

        def __next__(self):
            if not self.left:
                raise StopIteration
            return self.left.pop()

    start_response("200 OK", [TEXT])
    return Own()


@register
def generator_finally(environ, start_response):
    """A generator has close() too."""
    start_response("200 OK", [TEXT])
    try:
        yield b"x" * 10
        yield b"y" * 10
    finally:
        STATE["closed"] += 1


@register
def mutate(environ, start_response):
    """The header list belongs to the server after start_response; the application may change its own copy."""
    fields = [TEXT, ("X-Kept", "1")]
    start_response("200 OK", fields)
    fields.clear()
    return [b"kept"]


@register
def environ_changes(environ, start_response):
    """Middleware may add, change and delete."""
    environ.clear()
    start_response("200 OK", [TEXT])
    return [b"cleared"]
