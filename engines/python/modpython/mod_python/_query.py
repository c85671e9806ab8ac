# SPDX-License-Identifier: MIT OR Apache-2.0
"""Queries and forms as text: application/x-www-form-urlencoded."""

from urllib.parse import parse_qsl as _parse


def text(value):
    """Bytes of a client as text: UTF-8, with what is none kept in surrogates, as Python does with names of files."""
    return value.decode("utf-8", "surrogateescape")


def parse_qsl(qs, keep_blank_values=0, strict_parsing=0):
    """A query as a list of (name, value), in order.

    `qs` is a str (a text of the server's, a byte for each character, is read as UTF-8) or bytes. Pairs end at "&" alone: with ";" as well, a
    cache in front would see other fields than the handler. With `strict_parsing` what is no pair raises ValueError; without it, it is left
    out. Without `keep_blank_values` names without a value are left out.
    """
    if qs is None:
        return []
    if isinstance(qs, str) and not qs.isascii():
        try:
            qs = qs.encode("latin-1")
        except UnicodeEncodeError:
            pass
    if not isinstance(qs, str):
        qs = text(bytes(qs))
    return _parse(qs, bool(keep_blank_values), bool(strict_parsing), encoding="utf-8", errors="surrogateescape", separator="&")


def parse_qs(qs, keep_blank_values=0, strict_parsing=0):
    """A query as a dictionary: each name with the list of its values. As parse_qsl otherwise."""
    found = {}
    for name, value in parse_qsl(qs, keep_blank_values, strict_parsing):
        found.setdefault(name, []).append(value)
    return found
