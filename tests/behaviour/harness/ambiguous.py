# SPDX-License-Identifier: MIT OR Apache-2.0
"""Requests that a front and a back might read in two ways: every one is refused or has exactly one reading."""


def smuggled(path):
    """A request that must not run where it is a part of another one's body."""
    return b"GET %s HTTP/1.1\r\nHost: localhost\r\nX-Id: smuggled\r\n\r\n" % path.encode()


def _chunked(path):
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(smuggled(path)), smuggled(path))


def _framing(path, *fields):
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nX-Id: first\r\n" % path.encode()
    return head + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


#: By what is wrong with them: functions of the path that both requests are for.
AMBIGUOUS = {
    "CL and TE": lambda path: _framing(path, b"Content-Length: 4", b"Transfer-Encoding: chunked") + _chunked(path),
    "TE and CL": lambda path: _framing(path, b"Transfer-Encoding: chunked", b"Content-Length: 6") + b"0\r\n\r\n" + smuggled(path),
    "two lengths": lambda path: _framing(path, b"Content-Length: 5", b"Content-Length: 0") + b"abcde" + smuggled(path),
    "list of lengths": lambda path: _framing(path, b"Content-Length: 0, 5") + b"abcde" + smuggled(path),
    "signed length": lambda path: _framing(path, b"Content-Length: +5") + b"abcde" + smuggled(path),
    "hex length": lambda path: _framing(path, b"Content-Length: 0x5") + b"abcde" + smuggled(path),
    "huge length": lambda path: _framing(path, b"Content-Length: 18446744073709551617") + b"a" + smuggled(path),
    "negative length": lambda path: _framing(path, b"Content-Length: -1") + smuggled(path),
    "space before colon": lambda path: _framing(path, b"Content-Length : 5") + b"abcde" + smuggled(path),
    "TE with tab": lambda path: _framing(path, b"Transfer-Encoding:\x0bchunked", b"Content-Length: 5") + b"abcde" + smuggled(path),
    "TE xchunked": lambda path: _framing(path, b"Transfer-Encoding: xchunked", b"Content-Length: 5") + b"abcde" + smuggled(path),
    "TE twice": lambda path: _framing(path, b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity") + b"0\r\n\r\n" + smuggled(path),
    "TE chunked, chunked": lambda path: _framing(path, b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n" + smuggled(path),
    "TE folded": lambda path: _framing(path, b"Transfer-Encoding:\r\n chunked") + b"0\r\n\r\n" + smuggled(path),
    "underscore": lambda path: _framing(path, b"Transfer_Encoding: chunked", b"Content-Length: 5") + b"abcde",
    "TE on 1.0": lambda path: _framing(path, b"Transfer-Encoding: chunked").replace(b"1.1", b"1.0") + b"0\r\n\r\n" + smuggled(path),
    "bad chunk size": lambda path: _framing(path, b"Transfer-Encoding: chunked") + b"zz\r\nabc\r\n0\r\n\r\n" + smuggled(path),
    "huge chunk size": lambda path: _framing(path, b"Transfer-Encoding: chunked") + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n" + smuggled(path),
    "negative chunk": lambda path: _framing(path, b"Transfer-Encoding: chunked") + b"-1\r\nabc\r\n0\r\n\r\n" + smuggled(path),
    "chunk with 0x": lambda path: _framing(path, b"Transfer-Encoding: chunked") + b"0x3\r\nabc\r\n0\r\n\r\n" + smuggled(path),
    "chunk too long": lambda path: _framing(path, b"Transfer-Encoding: chunked") + b"2\r\nabc\r\n0\r\n\r\n" + smuggled(path),
    "chunk ends with LF": lambda path: _framing(path, b"Transfer-Encoding: chunked") + b"3\nabc\n0\n\n" + smuggled(path),
}
