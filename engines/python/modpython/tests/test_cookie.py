# SPDX-License-Identifier: MIT OR Apache-2.0
"""Cookies: what is written, what is read, and what is not believed."""

import base64
import marshal
import types

import pytest

from mod_python import Cookie, apache


def request(cookie=None):
    headers = apache.table({} if cookie is None else {"Cookie": cookie})
    return types.SimpleNamespace(headers_in=headers, headers_out=apache.table(), err_headers_out=apache.table())


def test_a_cookie_as_text():
    cookie = Cookie.Cookie("name", "value", path="/", expires=0, secure=True, httponly=False, max_age=5)
    assert str(cookie) == "name=value; path=/; secure; expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=5"
    for date in ("Wed, 09-Jun-2021 10:18:14 GMT", "Wed, 09 Jun 2021 10:18:14 GMT"):
        assert str(Cookie.Cookie("a", "b", expires=date, samesite="Lax")) == f"a=b; expires={date}; SameSite=Lax"
    with pytest.raises(ValueError):
        Cookie.Cookie("a", "b", expires="whenever")
    assert str(Cookie.Cookie("a", "b", expires=None, path="/")) == "a=b; path=/"
    # As every client keeps it, and reads it back but for quotes around all of it.
    for value in ("a b", "a, b", 'a "b" c', "a\\b"):
        assert str(Cookie.Cookie("a", value)) == f"a={value}" and Cookie.Cookie.parse(f"x=1; a={value}; y=2")["a"].value == value
    with pytest.raises(AttributeError):
        Cookie.Cookie("a", "b", colour="red")


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "a\r\nb", "\xe4"])
def test_names_that_are_none(name):
    with pytest.raises(Cookie.CookieError):
        Cookie.Cookie(name, "x")


@pytest.mark.parametrize("value", ["a;b", "a\r\nSet-Cookie: x", "a\tb", "a\0", "\x7f", "\xe4"])
def test_values_that_would_end_it(value):
    with pytest.raises(Cookie.CookieError):
        str(Cookie.Cookie("a", value))
    with pytest.raises(Cookie.CookieError):
        str(Cookie.SignedCookie("a", value, "secret"))


def test_what_is_not_signed_may_be_asked_for():
    good = str(Cookie.SignedCookie("c", "some value", "secret"))
    forged = good[:-1] + "x"
    for kind in (Cookie.SignedCookie, Cookie.MarshalCookie):
        header = request(forged)
        assert Cookie.get_cookies(header, kind, secret="secret", mismatch=Cookie.Cookie.IGNORE) == {}
        with pytest.raises(Cookie.CookieError):
            Cookie.get_cookies(header, kind, secret="secret", mismatch=Cookie.Cookie.EXCEPTION)
        found = Cookie.get_cookies(header, kind, secret="secret", mismatch=Cookie.Cookie.DOWNGRADE)["c"]
        assert type(found) is Cookie.Cookie and found.value == forged[2:]
    assert Cookie.get_cookie(request(good), "c", Cookie.SignedCookie, secret="secret", mismatch=Cookie.Cookie.EXCEPTION).value == "some value"
    with pytest.raises(Cookie.CookieError):
        str(Cookie.SignedCookie("c", "blank ", "secret"))


def test_attributes_cannot_add_others():
    with pytest.raises(Cookie.CookieError):
        str(Cookie.Cookie("a", "b", path="/; domain=evil"))


def test_cookies_of_a_request():
    found = Cookie.get_cookies(request('a=1; b="two"; $Version=1; a=3; broken; c=x=y;; d='))
    assert {name: cookie.value for name, cookie in found.items()} == {"a": "1", "b": "two", "c": "x=y", "d": ""}
    assert Cookie.get_cookie(request("a=1"), "a").value == "1"
    assert Cookie.get_cookie(request("a=1"), "b") is None
    assert Cookie.get_cookies(request()) == {}


def test_a_response_has_its_cookies_and_is_not_kept():
    req = request()
    Cookie.add_cookie(req, Cookie.Cookie("a", "1"))
    Cookie.add_cookie(req, "b", "2", path="/x")
    assert req.err_headers_out["Set-Cookie"] == ["a=1", "b=2; path=/x"] and not req.headers_out
    assert req.err_headers_out["Cache-Control"] == 'no-cache="set-cookie"'


def roundtrip(kind, value, secret="secret", reading="secret", change=lambda text: text, name="c"):
    text = str(kind("c", value, "secret" if secret is None else secret)).partition("=")[2]
    return Cookie.get_cookies(request(f"{name}={change(text)}"), kind, secret=reading)


@pytest.mark.parametrize("kind", [Cookie.SignedCookie, Cookie.MarshalCookie])
def test_signed_cookies_are_believed_and_no_others(kind):
    assert roundtrip(kind, "value")["c"].value == "value"
    assert roundtrip(kind, "value", reading="other") == {}
    assert roundtrip(kind, "value", name="d") == {}, "the name is signed as well"
    for at in (0, 10, 63, 64, -1):
        def flip(text, at=at):
            changed = "A" if text[at] != "A" else "B"
            return text[:at] + changed + text[at + 1 or len(text) :]

        assert roundtrip(kind, "value", change=flip) == {}, at
    assert roundtrip(kind, "value", change=lambda text: text[64:]) == {}
    assert roundtrip(kind, "value", change=lambda text: "") == {}
    for wrong in (None, ""):
        with pytest.raises(Cookie.CookieError):
            kind("c", "value", wrong)
        with pytest.raises(Cookie.CookieError):
            kind.parse("c=x", wrong)


def test_marshal_holds_any_value():
    value = {"list": [1, 2.5, None], "text": "\xe4; \r\n"}
    assert roundtrip(Cookie.MarshalCookie, value)["c"].value == value
    with pytest.raises(Cookie.CookieError):
        str(Cookie.MarshalCookie("c", "x" * 5000, "secret"))


def test_marshal_never_sees_what_is_not_signed(monkeypatch):
    def loads(data):
        raise AssertionError("marshal was given what nobody has signed")

    monkeypatch.setattr(Cookie.marshal, "loads", loads)
    text = base64.b64encode(marshal.dumps([1])).decode()
    for forged in (text, "0" * 64 + text, ""):
        assert Cookie.get_cookies(request(f"c={forged}"), Cookie.MarshalCookie, secret="secret") == {}
