# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tables of the server: headers, variables, notes. Names are found in any case, and one name may have several values."""

from mod_python._server import numbers

_SET = numbers["CHANGE_SET"]
_ADD = numbers["CHANGE_ADD"]
_UNSET = numbers["CHANGE_UNSET"]
_CLEAR = numbers["CHANGE_CLEAR"]
_ABSENT = object()


def _text(value):
    """What a table takes: str and bytes as they are, everything else as str() shows it."""
    return value if isinstance(value, (str, bytes)) else str(value)


def _name(key):
    if not isinstance(key, (str, bytes)):
        raise TypeError(f"table keys must be strings, not {type(key).__name__}")
    return key


class _Base:
    """What live tables and those of an application's own have in common. Below are `_all`, `_of` and `_change`."""

    def __getitem__(self, key):
        values = self._of(_name(key))
        if not values:
            raise KeyError(key)
        return values[0] if len(values) == 1 else values

    def __setitem__(self, key, value):
        self._change(_SET, _name(key), _text(value))

    def __delitem__(self, key):
        if not self._of(_name(key)):
            raise KeyError(key)
        self._change(_UNSET, key, "")

    def __contains__(self, key):
        """Whether there is an entry of this name, in any case. bool"""
        return isinstance(key, (str, bytes)) and bool(self._of(key))

    has_key = __contains__

    def __len__(self):
        return len(self._all())

    def __bool__(self):
        return bool(self._all())

    def __iter__(self):
        return iter(self.keys())

    def __eq__(self, other):
        if isinstance(other, _Base):
            return self._all() == other._all()
        return NotImplemented

    __hash__ = None

    def __repr__(self):
        return "{" + ", ".join(f"{key!r}: {value!r}" for key, value in self._all()) + "}"

    def get(self, key, default=None):
        """The value of a name; a list where it has several."""
        values = self._of(_name(key))
        if not values:
            return default
        return values[0] if len(values) == 1 else values

    def keys(self):
        """The names, in order; one that has several values stands several times."""
        return [key for key, _ in self._all()]

    def values(self):
        """The values, in order, as a list of str."""
        return [value for _, value in self._all()]

    def items(self):
        """(name, value) of each entry, in order, as a list."""
        return self._all()

    def iterkeys(self):
        """As keys(), one after the other."""
        return iter(self.keys())

    def itervalues(self):
        """As values(), one after the other."""
        return iter(self.values())

    def iteritems(self):
        """As items(), one after the other."""
        return iter(self.items())

    def add(self, key, value):
        """A value beside those that the name has already, as for Set-Cookie. Raises ValueError for what would split a head."""
        self._change(_ADD, _name(key), _text(value))

    def clear(self):
        """Takes all entries away."""
        self._change(_CLEAR, "", "")

    def copy(self):
        """A table of the application's own with the same entries."""
        return table(self._all())

    def setdefault(self, key, default=""):
        """As get(); a name that is not there gets this value. Raises ValueError as when it is set."""
        values = self._of(_name(key))
        if values:
            return values[0] if len(values) == 1 else values
        self[key] = default
        return default

    def update(self, other=(), /, **more):
        """Sets what a dictionary, a table or pairs have. Raises ValueError for what would split a head."""
        pairs = other.items() if hasattr(other, "items") else other
        for key, value in (*pairs, *more.items()):
            self[key] = value

    def pop(self, key, default=_ABSENT):
        """As get(), and takes the name away. Raises KeyError where it is not there and nothing is given for that."""
        value = self.get(key, default)
        if value is _ABSENT:
            raise KeyError(key)
        if key in self:
            del self[key]
        return value

    def popitem(self):
        """The name of the last entry and its value or values, and takes them away. Raises KeyError where there is none."""
        entries = self._all()
        if not entries:
            raise KeyError("popitem(): the table is empty")
        key, _ = entries[-1]
        return key, self.pop(key)


class LiveTable(_Base):
    """A table of a request: the server sees every change at once."""

    __slots__ = ("_number", "_transaction")

    def __init__(self, transaction, number):
        self._transaction = transaction
        self._number = number

    def _all(self):
        return self._transaction.entries(self._number, None)

    def _of(self, key):
        return self._transaction.entries(self._number, key)

    def _change(self, change, key, value):
        self._transaction.change(self._number, change, key, value)


class table(_Base):  # noqa: N801 (mod_python's name)
    """A table of the application's own: `apache.table()`."""

    def __init__(self, entries=()):
        self._entries = []
        pairs = entries.items() if hasattr(entries, "items") else entries
        for key, value in pairs:
            self.add(key, value)

    def _all(self):
        return list(self._entries)

    def _of(self, key):
        if isinstance(key, bytes):
            key = key.decode("latin-1")
        key = key.lower()
        return [value for known, value in self._entries if known.lower() == key]

    def _change(self, change, key, value):
        key, value = (part.decode("latin-1") if isinstance(part, bytes) else part for part in (key, value))
        if change == _ADD:
            self._entries.append((key, value))
            return
        if change == _CLEAR:
            self._entries.clear()
            return
        places = [at for at, (known, _) in enumerate(self._entries) if known.lower() == key.lower()]
        if change == _SET:
            if places:
                self._entries[places.pop(0)] = (key, value)
            else:
                self._entries.append((key, value))
        for at in reversed(places):
            del self._entries[at]
