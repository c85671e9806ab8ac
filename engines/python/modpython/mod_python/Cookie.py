# SPDX-License-Identifier: MIT OR Apache-2.0
"""Cookies (RFC 6265): plain, signed, and signed ones that hold any value that marshal can write.

`get_cookies(req)` reads those of a request, `add_cookie(req, cookie)` adds one to the response.
"""

import base64
import binascii
import email.utils
import hashlib
import hmac
import marshal
import time

_EPOCH_ATTRIBUTES = ("expires",)
_ATTRIBUTES = ("version", "path", "domain", "secure", "comment", "expires", "max_age", "commentURL", "discard", "port", "httponly", "samesite")
_SWITCHES = ("secure", "discard", "httponly")
_NAMES = {"max_age": "Max-Age", "httponly": "HttpOnly", "samesite": "SameSite", "commentURL": "CommentURL"}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class CookieError(Exception):
    """A cookie that cannot be, or one of the client's that cannot be believed."""


def _date(seconds):
    """RFC 9110 section 5.6.7, whatever the locale is."""
    year, month, day, hour, minute, second, weekday = time.gmtime(seconds)[:7]
    return f"{_DAYS[weekday]}, {day:02d} {_MONTHS[month - 1]} {year:04d} {hour:02d}:{minute:02d}:{second:02d} GMT"


def _check_value(text, what):
    # Blanks, commas and quotation marks, of which RFC 6265 makes nothing either, every client has kept since mod_python's days.
    if any(char == ";" or not " " <= char <= "~" for char in text):
        raise CookieError(f"the {what} of a cookie holds what ends it: {text!r}; encode it, or use MarshalCookie")
    return text


class Cookie:
    """A cookie with its attributes: `Cookie("name", "value", path="/", expires=time.time() + 3600)`.

    `expires` may be seconds since 1970 or a date as text. Raises CookieError for a name that is none, AttributeError for an
    attribute that is none, ValueError for a date that is none.
    """

    DOWNGRADE = 0
    IGNORE = 1
    EXCEPTION = 3

    def __init__(self, name, value, **attributes):
        if not name or not _TOKEN.issuperset(name):
            raise CookieError(f"{name!r} cannot be the name of a cookie")
        self.name, self.value = name, value
        for key, given in attributes.items():
            setattr(self, key, given)

    def __setattr__(self, key, value):
        if key in ("name", "value") or key.startswith("_"):
            object.__setattr__(self, key, value)
            return
        if key not in _ATTRIBUTES:
            raise AttributeError(f"{key!r} is no attribute of a cookie: {', '.join(_ATTRIBUTES)}")
        if key in _EPOCH_ATTRIBUTES and isinstance(value, (int, float)):
            value = _date(value)
        elif key in _EPOCH_ATTRIBUTES and isinstance(value, str) and email.utils.parsedate(value) is None:
            raise ValueError(f"Invalid expires time: {value}")
        object.__setattr__(self, key, value)

    @classmethod
    def parse(cls, text, names=None, mismatch=None, **extra):
        """The cookies of a Cookie header by name; of a name that stands twice the first one, which is that of the longest path.

        Those that cannot be, or are not signed, are left out. With `mismatch` EXCEPTION they raise CookieError, with DOWNGRADE they are there
        as a Cookie, whose value nobody vouches for.
        """
        found = {}
        for part in (text or "").split(";"):
            name, equals, value = part.strip().partition("=")
            name, value = name.strip(), value.strip()
            if not equals or not name or name.startswith("$") or name in found or (names is not None and name not in names):
                continue
            if len(value) > 1 and value[0] == value[-1] == '"':
                value = value[1:-1]
            try:
                found[name] = cls._read(name, value, **extra)
            except CookieError:
                # Somebody else's, or forged.
                if mismatch == cls.EXCEPTION:
                    raise
                if mismatch == cls.DOWNGRADE and _TOKEN.issuperset(name):
                    found[name] = Cookie(name, value)
        return found

    @classmethod
    def _read(cls, name, value):
        return cls(name, value)

    def _written(self):
        return _check_value(str(self.value), "value")

    def __str__(self):
        """As Set-Cookie has it."""
        parts = [f"{self.name}={self._written()}"]
        for key in _ATTRIBUTES:
            value = getattr(self, key, None)
            if value is None or (key in _SWITCHES and not value):
                continue
            shown = _NAMES.get(key, key)
            if key in _SWITCHES:
                parts.append(shown)
                continue
            value = str(value)
            if any(char in ";\r\n\0" or not " " <= char <= "~" for char in value):
                raise CookieError(f"the attribute {key} of a cookie holds what ends it: {value!r}")
            parts.append(f"{shown}={value}")
        return "; ".join(parts)

    def __repr__(self):
        return f"<{type(self).__name__}: {self}>"


class SignedCookie(Cookie):
    """A cookie that nobody but the server can make: HMAC-SHA256 of its name and value with a secret.

    `parse(text, secret)` leaves out those that are not signed so.
    """

    def __init__(self, name, value, secret=None, **attributes):
        super().__init__(name, value, **attributes)
        if not secret:
            raise CookieError("a signed cookie needs a secret")
        self._secret = secret.encode() if isinstance(secret, str) else bytes(secret)

    @classmethod
    def parse(cls, text, secret=None, names=None, mismatch=None, **extra):
        """As Cookie.parse(), for cookies whose signatures are to be verified. Raises CookieError without a secret."""
        if isinstance(secret, dict):  # mod_python passes keywords on in a dictionary
            secret = secret.get("secret")
        if not secret:
            raise CookieError("signed cookies need their secret")
        return super().parse(text, names=names, mismatch=mismatch, secret=secret, **extra)

    @staticmethod
    def _sign(name, text, secret):
        key = secret.encode() if isinstance(secret, str) else bytes(secret)
        # The length keeps a name and a value from being cut elsewhere.
        message = f"{len(name)}:{name}={text}".encode("latin-1", "backslashreplace")
        return hmac.new(key, message, hashlib.sha256).hexdigest()

    @classmethod
    def _unsign(cls, name, value, secret):
        signature, text = value[:64], value[64:]
        # Before anything else is done with it.
        if len(signature) != 64 or not hmac.compare_digest(signature.encode("latin-1", "replace"), cls._sign(name, text, secret).encode()):
            raise CookieError(f"the cookie {name} is not signed with this secret")
        return text

    @classmethod
    def _read(cls, name, value, secret):
        return cls(name, cls._unsign(name, value, secret), secret)

    def unsign(self, secret):
        """Verifies a value that came from a client; `value` becomes what was signed. Raises CookieError."""
        self.value = self._unsign(self.name, str(self.value), secret)

    def hexdigest(self, text):
        """The signature of a text as the value of this cookie, as str of hexadecimal digits."""
        return self._sign(self.name, text, self._secret)

    def _written(self):
        text = _check_value(str(self.value), "value")
        if text.endswith(" "):
            raise CookieError(f"the value of a signed cookie ends with a blank, which clients take away: {text!r}")
        return self.hexdigest(text) + text


class MarshalCookie(SignedCookie):
    """A signed cookie whose value may be whatever marshal writes: numbers, texts, lists, dictionaries.

    What is not signed is never given to marshal, which believes all that it reads.
    """

    @classmethod
    def _read(cls, name, value, secret):
        text = cls._unsign(name, value, secret)
        try:
            return cls(name, marshal.loads(base64.b64decode(text, validate=True)), secret)
        except (binascii.Error, EOFError, TypeError, ValueError) as error:
            raise CookieError(f"the cookie {name} holds no value of this Python: {error}") from None

    def _written(self):
        text = base64.b64encode(marshal.dumps(self.value)).decode()
        if len(text) > 4000:
            raise CookieError(f"the cookie {self.name} would have {len(text)} bytes, and clients keep 4096")
        return self.hexdigest(text) + text


def add_cookie(req, cookie, value="", **attributes):
    """Adds a cookie to the response: a Cookie, or the name and the value of one.

    It stands in `err_headers_out`, which leave with every response, also with a redirect or an error page. A response with a cookie is not
    for caches that others use.
    """
    if not isinstance(cookie, Cookie):
        cookie = Cookie(cookie, value, **attributes)
    text = str(cookie)
    if "Set-Cookie" not in req.err_headers_out:
        req.err_headers_out.add("Cache-Control", 'no-cache="set-cookie"')
    req.err_headers_out.add("Set-Cookie", text)


def get_cookies(req, Class=Cookie, **extra):
    """The cookies of the request by name. SignedCookie and MarshalCookie need `secret=`."""
    text = req.headers_in.get("Cookie")
    if isinstance(text, list):
        text = "; ".join(text)
    return Class.parse(text, **extra)


def get_cookie(req, name, Class=Cookie, **extra):
    """One cookie of the request, or None."""
    return get_cookies(req, Class, names=(name,), **extra).get(name)
