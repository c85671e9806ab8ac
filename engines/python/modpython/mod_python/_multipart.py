# SPDX-License-Identifier: MIT OR Apache-2.0
"""multipart/form-data (RFC 7578) and what it is made of (RFC 2046), without a server: bytes are pushed in, wherever they are cut, and a sink
is told what they are. What is held at a time is a part's head or the length of a delimiter.
"""

from mod_python._query import text

#: The longest head of a part, in bytes.
HEAD = 16 * 1024
#: The most headers of a part, and parameters of a header: an object for each of a few bytes would be a lot of memory.
HEADERS = 16
PARAMETERS = 16
#: The longest boundary, in bytes. RFC 2046 section 5.1.1 has 70.
BOUNDARY = 200
#: Blanks that may follow a boundary on its line, in bytes.
PADDING = 128
#: What a line is that begins as a delimiter does: one between parts, the last one, one that has not come yet, or a longer line.
_NEXT, _LAST, _UNKNOWN, _OTHER = range(4)


class MultipartError(ValueError):
    """Bytes that are no multipart body."""


def parse_header(value):
    """`form-data; name="a"` as ("form-data", {"name": "a"}). Names of parameters are in lower case; of several equal ones the first counts.

    As browsers write it: a quotation mark inside of quotation marks has a backslash before it, and any other backslash is one of a path.
    Raises MultipartError for more than 16 parameters.
    """
    main, _, rest = value.partition(";")
    found = {}
    at = 0
    while at < len(rest):
        equals, end = rest.find("=", at), rest.find(";", at)
        if equals < 0:
            break
        if 0 <= end < equals:
            # Parameters without a value, all at once: one by one each would be a search to the same place.
            at = rest.rindex(";", at, equals) + 1
            continue
        if len(found) == PARAMETERS:
            raise MultipartError(f"a header has more than {PARAMETERS} parameters")
        name = rest[at:equals].strip().lower()
        at = equals + 1
        while at < len(rest) and rest[at] in " \t":
            at += 1
        if rest[at : at + 1] == '"':
            given, at = _quoted(rest, at + 1)
            end = rest.find(";", at)
        else:
            end = rest.find(";", at)
            given = rest[at : end if end >= 0 else len(rest)].strip()
        at = end + 1 if end >= 0 else len(rest)
        if name:
            found.setdefault(name, given)
    return main.strip().lower(), found


def _quoted(rest, at):
    """The text up to the next quotation mark, and where it goes on."""
    parts = []
    while True:
        end = rest.find('"', at)
        if end < 0:
            parts.append(rest[at:])
            return "".join(parts), len(rest)
        if end > at and rest[end - 1] == "\\":
            parts.append(rest[at : end - 1] + '"')
            at = end + 1
            continue
        parts.append(rest[at:end])
        return "".join(parts), end + 1


def boundary_of(options):
    """The boundary of a Content-Type's parameters, as bytes. Raises MultipartError."""
    boundary = options.get("boundary", "")
    if not 0 < len(boundary) <= BOUNDARY or not boundary.isascii() or not boundary.isprintable() or boundary.endswith(" "):
        raise MultipartError("a multipart body without a boundary that could be one")
    return boundary.encode()


class Parser:
    """`feed(bytes)` as often as there are some, then `finish()`.

    The sink has `part(headers)`, with the names in lower case and the values as text, `data(bytes)` and `end()`. Both calls raise
    MultipartError where the bytes are no multipart body.
    """

    def __init__(self, boundary, sink):
        self._delimiter = b"\r\n--" + boundary
        self._sink = sink
        # The first delimiter may stand at the very beginning, where there is no end of a line before it.
        self._held = bytearray(b"\r\n")
        # Functions and not methods: an object that holds itself is collected late, and with it the files of its sink.
        self._state = Parser._preamble

    @property
    def is_complete(self):
        """Whether the last delimiter has been seen."""
        return self._state is Parser._epilogue

    def feed(self, data):
        self._held += data
        while self._state(self):
            pass

    def finish(self):
        if not self.is_complete:
            raise MultipartError("a multipart body that ends before its last boundary")

    # ---- each of these answers whether there is more to do with what is held ----

    def _preamble(self):
        return self._to_delimiter(None)

    def _body(self):
        return self._to_delimiter(self._sink)

    def _epilogue(self):
        self._held.clear()
        return False

    def _to_delimiter(self, sink):
        held, delimiter = self._held, self._delimiter
        start = 0
        while (at := held.find(delimiter, start)) >= 0:
            kind, length = self._line_at(at + len(delimiter))
            if kind is not _OTHER:
                self._give(sink, at)
                if kind is _UNKNOWN:
                    return False
                del held[: len(delimiter) + length]
                self._state = Parser._head if kind is _NEXT else Parser._epilogue
                if sink is not None:
                    sink.end()
                return True
            start = at + 2
        # The end may be the beginning of a delimiter.
        self._give(sink, len(held) - len(delimiter) + 1)
        return False

    def _line_at(self, after):
        """What the line is that begins as a delimiter does, and how many bytes of it follow the boundary."""
        rest = bytes(self._held[after : after + PADDING + 2])
        if rest.startswith(b"--"):
            return _LAST, 2
        blanks = len(rest) - len(rest.lstrip(b" \t"))
        line_end = rest[blanks : blanks + 2]
        if line_end == b"\r\n":
            return _NEXT, blanks + 2
        if line_end in (b"", b"\r") and blanks <= PADDING or rest == b"-":
            return _UNKNOWN, 0
        return _OTHER, 0

    def _give(self, sink, count):
        if count > 0:
            if sink is not None:
                sink.data(bytes(memoryview(self._held)[:count]))
            del self._held[:count]

    def _head(self):
        held = self._held
        if held.startswith(b"\r\n"):
            lines, used = b"", 2
        else:
            end = held.find(b"\r\n\r\n", 0, HEAD + 4)
            if end < 0:
                if len(held) >= HEAD + 4:
                    raise MultipartError(f"a part's head has more than {HEAD} bytes")
                return False
            lines, used = bytes(held[:end]), end + 4
        del held[:used]
        self._state = Parser._body
        self._sink.part(_headers(lines))
        return True


def _headers(lines):
    found = {}
    name = None
    for line in lines.split(b"\r\n") if lines else ():
        if line[:1] in (b" ", b"\t"):
            # RFC 5322 section 2.2.3: the line before goes on.
            if name is None:
                raise MultipartError("a part's head begins with a line that continues none")
            found[name] += " " + text(line.strip())
            continue
        key, colon, value = line.partition(b":")
        name = text(key).strip().lower()
        if not colon or not name or b"\0" in line:
            raise MultipartError("a part's head has a line that is no header")
        if len(found) == HEADERS:
            raise MultipartError(f"a part's head has more than {HEADERS} headers")
        # A second one of the name: whoever looks at the body before may take the other.
        if name in found:
            raise MultipartError(f"a part's head has {name[:40]!r} twice")
        found[name] = text(value.strip())
    return found
