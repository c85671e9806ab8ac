# SPDX-License-Identifier: MIT OR Apache-2.0
"""FastCGI, SCGI and uwsgi as bytes, written from their specifications and sharing nothing with what is tested."""

import struct
from dataclasses import dataclass, field

PROTOCOLS = ("fastcgi", "scgi", "uwsgi")

BEGIN_REQUEST, ABORT_REQUEST, END_REQUEST, PARAMS, STDIN, STDOUT, STDERR, DATA = range(1, 9)
GET_VALUES, GET_VALUES_RESULT, UNKNOWN_TYPE = range(9, 12)
RESPONDER, AUTHORIZER, FILTER = 1, 2, 3
KEEP_CONN = 1
REQUEST_COMPLETE, CANT_MPX_CONN, OVERLOADED, UNKNOWN_ROLE = range(4)


class ProtocolError(AssertionError):
    """The server under test sent what its protocol does not allow."""


@dataclass(frozen=True)
class Record:
    """FastCGI §3.3."""

    type: int
    content: bytes
    id: int = 1
    version: int = 1
    padding: int = 0


@dataclass
class Request:
    """What a backend received, exactly."""

    variables: list  # (name, value) in order, bytes
    body: bytes = b""
    role: int = RESPONDER
    keep: bool = False
    id: int = 1
    modifiers: tuple = (0, 0)
    records: list = field(default_factory=list)

    def all(self, name):
        name = name if isinstance(name, bytes) else name.encode()
        return [value for key, value in self.variables if key == name]

    def __contains__(self, name):
        return bool(self.all(name))

    def bytes(self, name):
        values = self.all(name)
        assert len(values) == 1, f"{name} was sent {len(values)} times"
        return values[0]

    def __getitem__(self, name):
        return self.bytes(name).decode("latin-1")

    def get(self, name, default=None):
        return self[name] if name in self else default

    @property
    def path(self):
        """SCRIPT_NAME and PATH_INFO put together are the path (RFC 3875 §4.1.5)."""
        return self.get("SCRIPT_NAME", "") + self.get("PATH_INFO", "")


# ---- FastCGI ----


def record(type, content=b"", *, id=1, padding=0, version=1, length=None):
    """One record. `length` lies about the content."""
    length = len(content) if length is None else length
    return struct.pack("!BBHHBB", version, type, id, length, padding, 0) + content + bytes(padding)


def stream(type, data, *, id=1, step=65535, padding=0):
    """`data` as records of a stream, without the empty one that ends it."""
    return b"".join(
        record(type, data[at : at + step], id=id, padding=padding) for at in range(0, len(data), step)
    )


def stdout(data, **kw):
    return stream(STDOUT, data, **kw)


def stderr(data, **kw):
    return stream(STDERR, data, **kw)


def end_request(app_status=0, protocol_status=REQUEST_COMPLETE, *, id=1):
    return record(END_REQUEST, struct.pack("!IB3x", app_status, protocol_status), id=id)


def fastcgi_answer(data, *, app_status=0, padding=0, id=1):
    """A whole response: STDOUT, its end, END_REQUEST."""
    return stdout(data, padding=padding, id=id) + record(STDOUT, id=id) + end_request(app_status, id=id)


def pair_length(length):
    """§3.4: one byte up to 127, four above."""
    return bytes([length]) if length < 128 else struct.pack("!I", length | 0x80000000)


def read_length(data, at):
    first = data[at]
    if first < 128:
        return first, at + 1
    return struct.unpack_from("!I", data, at)[0] & 0x7FFFFFFF, at + 4


def decode_pairs(data):
    """§3.4: name-value pairs; a length in four bytes that one could hold is noticed too."""
    found, at = [], 0
    try:
        while at < len(data):
            name_length, at = read_length(data, at)
            value_length, at = read_length(data, at)
            if at + name_length + value_length > len(data):
                raise ProtocolError(f"pair of {name_length} + {value_length} bytes at {at} of {len(data)}")
            name = data[at : at + name_length]
            at += name_length
            found.append((name, data[at : at + value_length]))
            at += value_length
    except (IndexError, struct.error):
        raise ProtocolError(f"pairs end inside a length at {at} of {len(data)}") from None
    return found


class FastCGI:
    """Reads the server's side of a connection: `read(n)` gives exactly n bytes."""

    scheme = "fastcgi"

    def __init__(self, read):
        self._read = read

    def record(self):
        version, type, id, length, padding, reserved = struct.unpack("!BBHHBB", self._read(8))
        content = self._read(length)
        self._read(padding)
        if version != 1:
            raise ProtocolError(f"record of version {version}")
        return Record(type, content, id, version, padding)

    def head(self):
        """BEGIN_REQUEST and all of PARAMS."""
        begin = self.record()
        if begin.type == ABORT_REQUEST:
            begin = self.record()  # of a request before it that has ended meanwhile
        if begin.type != BEGIN_REQUEST or len(begin.content) != 8:
            raise ProtocolError(f"no BEGIN_REQUEST: {begin}")
        role, flags = struct.unpack("!HB5x", begin.content)
        request = Request([], role=role, keep=bool(flags & KEEP_CONN), id=begin.id, records=[begin])
        pairs = b""
        while (content := self._stream(request, PARAMS)) != b"":
            pairs += content
        request.variables = decode_pairs(pairs)
        return request

    def body(self, request):
        """STDIN until its end; None when the server aborts the request first. An authorizer gets none (section 6.3)."""
        if request.role == AUTHORIZER:
            return b""
        while (content := self._stream(request, STDIN)) != b"":
            if content is None:
                return None
            request.body += content
        return request.body

    def _stream(self, request, type):
        found = self.record()
        request.records.append(found)
        if found.id != request.id:
            raise ProtocolError(f"{found} inside request {request.id}")
        if found.type == ABORT_REQUEST and type == STDIN:
            return None
        if found.type != type:
            raise ProtocolError(f"{found}, not a record of type {type}")
        return found.content

    @staticmethod
    def answer(data, **kw):
        return fastcgi_answer(data, **kw)

    @staticmethod
    def output(data):
        return stdout(data)


# ---- SCGI ----


class SCGI:
    scheme = "scgi"

    def __init__(self, read):
        self._read = read

    def head(self):
        digits = b""
        while (byte := self._read(1)) != b":":
            if not byte.isdigit() or len(digits) > 9 or digits == b"0":
                raise ProtocolError(f"netstring length {digits + byte!r}")
            digits += byte
        content = self._read(int(digits))
        if self._read(1) != b"," or not content.endswith(b"\0"):
            raise ProtocolError("netstring without its end")
        words = content[:-1].split(b"\0")
        if len(words) % 2:
            raise ProtocolError("a name without a value")
        request = Request(list(zip(words[::2], words[1::2], strict=True)))
        if words[0] != b"CONTENT_LENGTH" or request["SCGI"] != "1":
            raise ProtocolError(f"CONTENT_LENGTH must come first, SCGI must be 1: {request.variables[:2]}")
        return request

    def body(self, request):
        request.body = self._read(int(request["CONTENT_LENGTH"]))
        return request.body

    @staticmethod
    def answer(data):
        return data

    @staticmethod
    def output(data):
        return data


# ---- uwsgi ----


class Uwsgi:
    scheme = "uwsgi"

    def __init__(self, read):
        self._read = read

    def head(self):
        modifier1, length, modifier2 = struct.unpack("<BHB", self._read(4))
        content, at, found = self._read(length), 0, []
        while at < length:
            name, at = self._word(content, at)
            value, at = self._word(content, at)
            found.append((name, value))
        return Request(found, modifiers=(modifier1, modifier2))

    @staticmethod
    def _word(content, at):
        if at + 2 > len(content):
            raise ProtocolError("packet ends inside a length")
        (length,) = struct.unpack_from("<H", content, at)
        if at + 2 + length > len(content):
            raise ProtocolError(f"a word of {length} bytes at {at} of {len(content)}")
        return content[at + 2 : at + 2 + length], at + 2 + length

    def body(self, request):
        request.body = self._read(int(request.get("CONTENT_LENGTH") or 0))
        return request.body

    @staticmethod
    def answer(data):
        return data

    @staticmethod
    def output(data):
        return data


CODECS = {codec.scheme: codec for codec in (FastCGI, SCGI, Uwsgi)}
