# SPDX-License-Identifier: MIT OR Apache-2.0
"""The object that handlers of filters get."""

from builtins import len as _length


class Filter:
    """A filter, for one run: of what passes a piece has come.

    Read until b"" (no more in this run) or None (the end), and write what is to go on. What a run does not read is gone, unless pass_on() or
    disable() is called.
    """

    def __init__(self, request, name, is_input, handler, directory):
        self._transaction = request._transaction
        #: The request whose body passes.
        self.req = request
        #: The name of the filter, as of PythonOutputFilter.
        self.name = name
        #: 1 for the body of the request, 0 for that of the response.
        self.is_input = int(is_input)
        #: The word of the configuration, or of req.register_output_filter().
        self.handler = handler
        #: The directory of its section, or "".
        self.dir = directory
        #: Whether close() was called.
        self.closed = 0
        # What readline() has read too far.
        self._ahead = b""
        # disable() was called.
        self._is_off = False

    def read(self, len=-1):
        """At most so many bytes, or all that has come. b"" where there is no more in this run; None at the end.

        Raises OSError where the client breaks off.
        """
        if len == 0:
            return b""
        parts, left, piece = [], len, b""
        if self._ahead:
            piece = self._ahead if len < 0 else self._ahead[:len]
            self._ahead = self._ahead[_length(piece) :]
            parts.append(piece)
            left -= _length(piece) if len > 0 else 0
        while left != 0:
            piece = self._transaction.filter_read(65536 if left < 0 else left)
            if not piece:
                break
            parts.append(piece)
            left -= _length(piece) if left > 0 else 0
        return b"".join(parts) if parts else piece

    def readline(self, len=-1):
        """A line with its end, the first so many bytes of one, or what has come of it; b"" and None as of read()."""
        line, piece = self._ahead, self._ahead
        self._ahead = b""
        while b"\n" not in piece and not 0 < len <= _length(line):
            piece = self._transaction.filter_read(65536)
            if not piece:
                return line or piece
            line += piece
        end = line.find(b"\n") + 1 or _length(line)
        if len > 0:
            end = min(end, len)
        self._ahead = line[end:]
        return line[:end]

    def write(self, string):
        """Passes bytes on, or text in UTF-8. Raises ValueError behind the end, OSError when the client has left."""
        if isinstance(string, str):
            string = string.encode("utf-8", "surrogateescape")
        elif not isinstance(string, bytes):
            string = bytes(memoryview(string))
        if string:
            self._transaction.filter_write(string, False)

    def flush(self):
        """Has what was written leave now. Nothing for the body of a request."""
        if not self.is_input:
            self._transaction.filter_write(b"", True)

    def close(self):
        """Ends the body. The end passes by itself: this is for one that comes before it."""
        if not self.closed:
            self.closed = 1
            self._transaction.filter_close()

    def pass_on(self):
        """Passes what has not been read of this run on as it is."""
        self._rest(False)

    def disable(self):
        """Passes what has not been read on as it is, and all that comes: the handler is not called again for this request."""
        self._rest(True)

    def _rest(self, always):
        if self._is_off:
            # That has passed it all already.
            return
        self._is_off = always
        ahead, self._ahead = self._ahead, b""
        self.write(ahead)
        self._transaction.filter_pass(always)
