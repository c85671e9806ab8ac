# SPDX-License-Identifier: MIT OR Apache-2.0
"""Members of `req` and of what hangs on it that the server tells: texts, numbers, tables, lists."""

import os

from mod_python._server import numbers
from mod_python._tables import LiveTable


class Member:
    """What the server tells, by a number and by the name that it has in its class."""

    writable = False

    def __init__(self, number, doc, kind):
        self.number = numbers[number]
        # What help() shows: the type stands with it, and what happens to who sets it.
        self.__doc__ = f"{doc} {kind}{'; can be set.' if self.writable else '; AttributeError where it is set.'}"

    def __set_name__(self, owner, name):
        self.name = name

    def check_writable(self):
        if not self.writable:
            raise AttributeError(f"{self.name} cannot be set")


class Text(Member):
    """A text of the server, each byte a character; None where there is none."""

    def __init__(self, name, doc, writable=False, files=False):
        self.writable, self.files = writable, files
        super().__init__("FACT_" + name, doc, "str or None")

    def __get__(self, holder, owner=None):
        if holder is None:
            return self
        value = holder._transaction.text(self.number)
        if self.files and value is not None and not value.isascii():
            # As everything of Python's takes the name of a file.
            value = os.fsdecode(value.encode("latin-1"))
        return value

    def __set__(self, holder, value):
        if not self.writable:
            self.check_writable()
        if self.files and isinstance(value, str):
            value = os.fsencode(value)
        if type(value) is not str and value is not None and not isinstance(value, (str, bytes)):
            raise TypeError(f"{self.name} must be str, not {type(value).__name__}")
        holder._transaction.set_text(self.number, value)


class Number(Member):
    """A number of the server."""

    def __init__(self, name, doc, writable=False, unit=1):
        self.writable, self.unit = writable, unit
        super().__init__("NUMBER_" + name, doc, "int" if unit == 1 else "float")

    def __get__(self, holder, owner=None):
        if holder is None:
            return self
        value = holder._transaction.number(self.number)
        return value if self.unit == 1 else value / self.unit

    def __set__(self, holder, value):
        self.check_writable()
        holder._transaction.set_number(self.number, int(value * self.unit))


class Table(Member):
    """A table of the server."""

    def __init__(self, name, doc):
        super().__init__("TABLE_" + name, doc, "A table as apache.table(), whose changes the server sees at once")

    def __get__(self, holder, owner=None):
        if holder is None:
            return self
        found = LiveTable(holder._transaction, self.number)
        # Beside it in the object from now on, where it is found without this.
        holder.__dict__[self.name] = found
        return found


class Own:
    """An object that each holder has for itself, from when it is asked for."""

    def __init__(self, kind):
        self.kind = kind

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, holder, owner=None):
        if holder is None:
            return self
        found = holder.__dict__[self.name] = self.kind()
        return found


class Ready:
    """A property for which a value of the holder's own may stand."""

    def __init__(self, function):
        self.function, self.__doc__ = function, function.__doc__

    def __get__(self, holder, owner=None):
        return self if holder is None else self.function(holder)


class Told:
    """What the place says whose handlers run. One that a holder has been given itself stands before it."""

    def __init__(self, name, doc):
        self.name, self.__doc__ = name, doc

    def __get__(self, holder, owner=None):
        return self if holder is None else getattr(holder._place, self.name)


class Names(Member):
    """A list of names of the server, as a tuple."""

    def __init__(self, name, doc):
        super().__init__("TABLE_" + name, doc, "Tuple of str")

    def __get__(self, holder, owner=None):
        if holder is None:
            return self
        return tuple(name for name, _ in holder._transaction.entries(self.number, None))

    def __set__(self, holder, value):
        raise AttributeError("this list is the server's")


class Missing:
    """In the place of a member of mod_python's that is not here: says why."""

    def __init__(self, name, why):
        self.name, self.why = name, why

    def __get__(self, holder, owner=None):
        raise AttributeError(f"{owner.__name__}.{self.name}: {self.why}")


class Holder:
    """What has members. It has no `__getattr__`, for Python looks for that in the class whenever any attribute is asked for."""

    #: Names of mod_python's that are not here, and why.
    _missing = {}

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for name, why in cls.__dict__.get("_missing", {}).items():
            setattr(cls, name, Missing(name, why))

    def __dir__(self):
        return [name for name in super().__dir__() if name not in self._missing]
