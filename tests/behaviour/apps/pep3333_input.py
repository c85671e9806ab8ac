# SPDX-License-Identifier: MIT OR Apache-2.0
"""wsgi.input, read in every way."""

import hashlib
import json

from gate import Gate, query

APPS = {}


def register(function):
    APPS[function.__name__] = function
    return function


def answer(start_response, body):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def text(pieces):
    return [piece.decode("latin-1") for piece in pieces]


@register
def echo(environ, start_response):
    return answer(start_response, environ["wsgi.input"].read(-1))


@register
def echo_by_length(environ, start_response):
    """As an application of PEP 333's time reads: exactly CONTENT_LENGTH."""
    return answer(start_response, environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))


@register
def echo_stream(environ, start_response):
    """Answers while it reads."""
    size = int(query(environ).get("size", 8192))
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return iter(lambda: environ["wsgi.input"].read(size), b"")


@register
def digest(environ, start_response):
    size = int(query(environ).get("size", 65536))
    found, count = hashlib.sha256(), 0
    while block := environ["wsgi.input"].read(size):
        found.update(block)
        count += len(block)
    return answer(start_response, {"length": count, "sha256": found.hexdigest()})


@register
def received(environ, start_response):
    """What came, beside what was announced."""
    body = b"".join(iter(lambda: environ["wsgi.input"].read(65536), b""))
    digest = hashlib.sha256(body).hexdigest()
    return answer(
        start_response, {"length": len(body), "sha256": digest, "announced": environ.get("CONTENT_LENGTH")}
    )


@register
def count(environ, start_response):
    total = 0
    while block := environ["wsgi.input"].read(262144):
        total += len(block)
    return answer(start_response, {"length": total, "CONTENT_LENGTH": environ.get("CONTENT_LENGTH")})


@register
def lines(environ, start_response):
    """`?how=`: which call, `?size=`: its argument."""
    stream, chosen = environ["wsgi.input"], query(environ)
    arguments = [int(chosen["size"])] if "size" in chosen else []
    how = chosen["how"]
    if how == "iterate":
        found = list(stream)
    elif how == "next":
        found = [next(iter(stream)), *stream]
    elif how == "readlines":
        found = stream.readlines(*arguments)
        while more := stream.readlines(*arguments):
            found.append(b"|")
            found += more
    elif how == "readline":
        found = list(iter(lambda: stream.readline(*arguments), b""))
    else:
        found = list(iter(lambda: stream.read(*arguments), b""))
    return answer(start_response, text(found))


@register
def mixed(environ, start_response):
    stream = environ["wsgi.input"]
    found = [stream.read(3), stream.readline(), stream.read(0), stream.readline(2), stream.readline(0)]
    found += [next(iter(stream)), *stream.readlines(), stream.read(), stream.read(5), stream.readline()]
    return answer(start_response, text(found))


@register
def ignore(environ, start_response):
    """Never looks at the body."""
    return answer(start_response, b"ignored")


@register
def part(environ, start_response):
    """Reads a part and leaves the rest."""
    return answer(start_response, environ["wsgi.input"].read(int(query(environ).get("size", 10))))


@register
def read_late(environ, start_response):
    """Sends its head and a block, then reads."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"first,"
    yield environ["wsgi.input"].read()


@register
def read_gate(environ, start_response):
    """Waits for the test before it reads the rest of the body."""
    gate = Gate(environ)
    gate.wait("called")
    body = environ["wsgi.input"].read()
    gate.close()
    return answer(start_response, body)


@register
def read_failing(environ, start_response):
    """Says through the gate how reading ended."""
    gate = Gate(environ)
    gate.tell("reading")
    try:
        while environ["wsgi.input"].read(1024):
            pass
    except Exception as error:
        gate.tell(f"failed {isinstance(error, OSError)}")
        raise
    else:
        gate.tell("ended")
    finally:
        gate.close()
    return answer(start_response, b"whole")


@register
def has_no_close(environ, start_response):
    """PEP 3333: an application must not close the input; whether it tries must not matter to the server."""
    stream = environ["wsgi.input"]
    if hasattr(stream, "close"):
        stream.close()
    return answer(start_response, b"closed")
