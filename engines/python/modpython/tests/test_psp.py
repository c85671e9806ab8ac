# SPDX-License-Identifier: MIT OR Apache-2.0
"""Pages with Python in them: what they write, where errors are, and when a page is read again."""

import os
import traceback

import pytest

from mod_python import apache, psp, util
from mod_python._request import Request


@pytest.fixture
def request_of(transaction, tmp_path):
    """A request for a page of this text."""

    def make(text=None, name="page.psp"):
        path = tmp_path / name
        if text is not None:
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        request = Request(type(transaction)())
        request.filename = str(path)
        request._transaction.texts[type(request)._document_root.number] = str(tmp_path)
        request._transaction.texts[type(request).__dict__["method"].number] = "GET"
        return request

    return make


def written(request):
    return b"".join(request._transaction.written).decode()


def shown(request_of, text, **variables):
    request = request_of()
    psp.PSP(request, string=text, vars=variables).run()
    return written(request)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("", ""),
        ("plain 'text' \"\"\" \\ \\n\r\n", "plain 'text' \"\"\" \\ \\n\r\n"),
        # Escapes are those of Python's strings, but for four, as in mod_python.
        (r"it\'s \x41\101\u0041\N{DIGIT ONE} \\ \d \n\r\t\" \N{NONE} \x4 \U99999999", "it's AAA1 \\ \\d \\n\\r\\t\\\" \\N{NONE} \\x4 \\U99999999"),
        ("one\\\nline\\", "oneline\\"),
        ("a<%= 1 + 1 %>b", "a2b"),
        # Empty code that ends with an empty line ends blocks.
        ("<%\nfor n in range(2):\n    m = n\n%>a<%\n%>b", "aab"),
        ("<% for n in range(2): %>a<%\n\n%>b<%\t\n%>c", "aabc"),
        ("<%\nfor n in range(2):\n    m = n\n%>a<% %>b<%\n    \n%>c<%\n  \n%>d", "abcdabcd"),
        ("<%= 1 # a comment %>|", "1|"),
        ("<%=\n  (1,\n   2)\n%>", "(1, 2)"),
        ("<%-- <% nothing %> --%>x", "x"),
        (r"<\%= 1 %\>", "<%= 1 %>"),
        ("<% x = '%\\>' %><%= x %>", "%>"),
        ("<%\nfor n in range(3):\n    # This indent will persist\n%>\nrow\n<%\n# ends\n%>\nend", "\nrow\n" * 3 + "\nend"),
        ("<% for n in range(2): %>a<%= n %><% # end %>b", "a0a1b"),
        ("<% if x: # why %>yes<% else: %>no<% # end %>.", "yes."),
        ("<% if not x: %>yes<% else: %>no<% # end %>.", "no."),
        # Four spaces, tabs and marks on one line, in blocks of blocks.
        ("<% for n in (1, 2): %>a<%\n    y = n\n    if y == 2:\n%>two<%\n    # inner end\n%>b<% # end %>.", "abatwob."),
        ("<% for n in (1, 2): %>a<%\n\ty = n\n\tif y == 2:\n%>two<%\n\t# inner end\n%>b<% # end %>.", "abatwob."),
        ("<% for n in (1, 2): %><%     if n == 2: %>two<%     # inner end %>b<% # end %>.", "btwob."),
        ("<% for n in (1, 2): %><%= [\nn] %>,<%\n  m = n\n%>;<% # end %><%= m %>", "[1],;[2],;2"),
        ("<%  y = 1 %><%= y %>", "1"),
        ("<%\ntext = '''one\n\n  two'''\n# end\n%><%= text %>", "one\n\n  two"),
        ("<%\r\nif x:\r\n    # in\r\n%>yes<%\r\n# out\r\n%>", "yes"),
        ("<%\ndef twice(n):\n    return n * 2\n# end\n%><%= twice(x) %>", "2"),
        ("<% # a comment: %>text", "text"),
        ("<% %>text<%\n\n%>", "text"),
    ],
)
def test_pages(request_of, page, expected):
    assert shown(request_of, page, x=1) == expected


def test_bytes_of_a_page_stay_as_they_are(request_of):
    request = request_of(b"\xe4\xff\xc3\xa4 <%= '\xc3\xb6' %>")
    psp.PSP(request).run()
    assert b"".join(request._transaction.written) == b"\xe4\xff\xc3\xa4 \xc3\xb6"


@pytest.mark.parametrize(
    ("page", "line", "message"),
    [
        ("a\nb\n<% x = 1", 3, "<% without %>"),
        ("a\n<%-- x %>", 2, "without --%>"),
        ("\n\n<%= %>", 3, "without an expression"),
        ("a\n<%\nx = 1\ny = = 2\n%>", 4, "invalid syntax"),
        ("a\n<%= 1 + %>", 2, "invalid syntax"),
        ("a\n\n<%\nreturn 1\n%>", 4, "outside function"),
        ("a\n<%@ page language=\"python\" %>", 2, "a directive must be"),
        ("a\n<%@ include file=\"no such file\" %>", 2, "cannot be included"),
        ("<% x = '\0' %>", 1, "null"),
    ],
)
def test_errors_of_pages_name_their_line(request_of, page, line, message):
    request = request_of(page)
    with pytest.raises(SyntaxError, match=message) as raised:
        psp.PSP(request)
    assert (raised.value.filename, raised.value.lineno) == (request.filename, line)


def test_exceptions_name_the_line_of_the_page(request_of):
    request = request_of("one\ntwo\n<%\nx = 1\nif x:\n    # in\n%>\ntext\nmore <%= 1 / 0 %>\n")
    with pytest.raises(ZeroDivisionError) as raised:
        psp.PSP(request).run()
    last = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == (request.filename, 9)
    assert "more" in last.line


def test_included_pages(request_of, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "head.inc").write_text("<% title = 'T' %>[<%@ include file='below/inner.inc' %>]")
    (tmp_path / "below" / "inner.inc").write_text("inner <%= x %><%@ include file=\"beside.inc\"%>")
    (tmp_path / "below" / "beside.inc").write_text("!")
    request = request_of('<% x = 1 %><%@ include file="head.inc" %><%= title %>')
    psp.PSP(request).run()
    assert written(request) == "[inner 1!]T"
    (tmp_path / "below" / "beside.inc").write_text("\n\n<% = %>")
    with pytest.raises(SyntaxError) as raised:
        psp.PSP(request)
    assert (raised.value.filename, raised.value.lineno) == (str(tmp_path / "below" / "beside.inc"), 3)
    (tmp_path / "below" / "beside.inc").write_text('<%@ include file="beside.inc" %>')
    with pytest.raises(SyntaxError, match="include each other"):
        psp.PSP(request)


def test_pages_are_kept_until_they_change(request_of, tmp_path, monkeypatch):
    reads = []
    read = psp._psp_parser.read
    monkeypatch.setattr(psp._psp_parser, "read", lambda path: reads.append(path) or read(path))
    (tmp_path / "head.inc").write_text("1")
    text = '<%@ include file="head.inc" %>'
    request = request_of(text)
    for _ in range(3):
        psp.PSP(request).run()
    assert written(request) == "111" and len(reads) == 2
    (tmp_path / "new").write_text("2")
    os.replace(tmp_path / "new", tmp_path / "head.inc")
    request = request_of()
    psp.PSP(request).run()
    assert written(request) == "2" and len(reads) == 4


def test_the_number_of_kept_pages_is_bounded(request_of, monkeypatch):
    monkeypatch.setattr(psp, "_MOST", 3)
    for number in range(6):
        psp.PSP(request_of("x", name=f"{number}.psp"))
    assert len(psp._KEPT) == 3


def test_templates_in_templates(request_of, tmp_path):
    (tmp_path / "menu.html").write_text("<menu <%= name %>>")
    request = request_of("a<%= menu %>b<%= name %>")
    menu = psp.PSP(request, "menu.html", vars={"name": "inner"})
    psp.PSP(request, vars={"menu": menu, "name": "outer"}).run({"name": "last"})
    assert written(request) == "a<menu inner>blast"
    with pytest.raises(ValueError):
        psp.PSP(request, "menu.html", "text")


def test_the_form_and_what_uses_it(request_of):
    request = request_of("<%= form['a'] %>|<%= psp.apply_data(lambda a, other: a + other, other='y') %>")
    request.args = "a=1&b=2"
    psp.PSP(request).run()
    assert written(request) == "1|1y"


def test_a_redirect_ends_the_page(request_of, monkeypatch):
    request = request_of("<% psp.redirect('/other') %>never")
    with pytest.raises(apache.SERVER_RETURN):
        psp.PSP(request).run()
    assert request.err_headers_out["Location"] == "/other" and "never" not in written(request)


class Recorded(dict):
    def __init__(self, req):
        super().__init__()
        self.calls = []

    def save(self):
        self.calls.append("save")

    def unlock(self):
        self.calls.append("unlock")


def test_sessions_of_pages(request_of, monkeypatch):
    made = []
    monkeypatch.setattr(psp.Session, "Session", lambda req: made.append(Recorded(req)) or made[-1])
    psp.PSP(request_of("<% x = 'session' %>")).run()
    assert not made, "a page that does not name it has none"
    psp.PSP(request_of("<%\ndef f():\n    session['a'] = 1\nf()\n%>", name="b.psp")).run()
    assert made[0] == {"a": 1} and made[0].calls == ["save", "unlock"]
    with pytest.raises(ZeroDivisionError):
        psp.PSP(request_of("<% session['a'] = 1 / 0 %>", name="c.psp")).run()
    assert made[1].calls == ["unlock"]
    with pytest.raises(apache.SERVER_RETURN):
        psp.PSP(request_of("<% session['a'] = 1\npsp.redirect('/') %>", name="d.psp")).run()
    assert made[2].calls == ["save", "unlock"]


def test_error_pages(request_of, tmp_path):
    (tmp_path / "error.psp").write_text("<error <%= exception[0].__name__ %>: <%= exception[1] %>>")
    for name in ("error.psp", "/error.psp"):
        request = request_of(f"<% psp.set_error_page('{name}') %>begin <% raise ValueError('why') %>")
        psp.PSP(request).run()
        assert written(request) == "begin <error ValueError: why>"
        assert any("raised ValueError: why" in line for _, line in request._transaction.lines)


def test_the_handler(request_of):
    request = request_of("<b>x</b>")
    assert psp.handler(request) == apache.OK
    assert (request.content_type, written(request)) == ("text/html", "<b>x</b>")
    assert psp.handler(request_of(name="absent.psp")) == apache.HTTP_NOT_FOUND
    hidden = request_of(name="page.psp_")
    assert psp.handler(hidden) == apache.HTTP_NOT_FOUND, "sources are shown with PythonDebug On alone"
    hidden._settings = {"PythonDebug": "1"}
    assert psp.handler(hidden) == apache.OK
    assert "&lt;b&gt;x&lt;/b&gt;" in written(hidden) and "<b>" not in written(hidden)


def test_code_as_text(tmp_path):
    (tmp_path / "a").write_text("x<%= 1 %>")
    assert psp.parse("a", str(tmp_path)) == psp.parsestring("x<%= 1 %>") == psp.parse(str(tmp_path / "a"))
    assert util
