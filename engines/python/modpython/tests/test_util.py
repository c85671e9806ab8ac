# SPDX-License-Identifier: MIT OR Apache-2.0
"""Forms: fields, files, limits; redirects; calls with what a form holds."""

import gc
import io
import tracemalloc
import weakref

import pytest

from mod_python import apache, util

MULTIPART = {"Content-Type": "multipart/form-data; boundary=B"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def part(name, content, more=""):
    return f'--B\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


def refused(call):
    with pytest.raises(apache.SERVER_RETURN) as error:
        call()
    return error.value.args[0]


def test_fields_of_query_and_body(make):
    form = util.FieldStorage(make(b"b=2&a=%C3%A4+x&bad=%ff", FORM, ARGS="a=1&c=&d"))
    assert form.items() == [("a", "1"), ("b", "2"), ("a", "\xe4 x"), ("bad", "\udcff")]
    assert form.keys() == ["a", "b", "bad"] and len(form) == 3 and list(form) == form.keys()
    assert form["a"] == ["1", "\xe4 x"] and form["b"] == "2" and form.values() == [["1", "\xe4 x"], "2", "\udcff"]
    assert form.getfirst("a") == "1" and form.getfirst("z") is None and form.getfirst("z", "-") == "-"
    assert form.getlist("b") == ["2"] and form.getlist("z") == [] and form.get("z", 5) == 5
    assert "b" in form and form.has_key("b") and "z" not in form
    with pytest.raises(KeyError):
        form["z"]
    field = form["b"]
    assert isinstance(field, util.StringField) and isinstance(field, str)
    assert (field.value, field.name, field.filename, field.file.read()) == ("2", "b", None, "2")
    assert type(field.value) is str


def test_fields_can_be_changed(make):
    form = util.FieldStorage(make(ARGS="a=1&a=2&b=3"))
    form["a"] = "x"
    form.add_field("b", b"4")
    assert form["a"] == "x" and form["b"] == ["3", "4"]
    form["b"] = ["5", "6"]
    assert form["b"] == ["5", "6"]
    del form["a"]
    with pytest.raises(KeyError):
        del form["a"]
    form.clear()
    assert not form and form.list == []


def test_blank_values_and_what_is_no_pair(make):
    assert util.FieldStorage(make(ARGS="a=&b&c=1"), keep_blank_values=1).items() == [("a", ""), ("b", ""), ("c", "1")]
    assert refused(lambda: util.FieldStorage(make(ARGS="a=1&b"), strict_parsing=1)) == 400
    assert util.FieldStorage(make(ARGS="a=1;b=2")).items() == [("a", "1;b=2")]


def test_a_body_is_read_for_post_alone(make):
    assert util.FieldStorage(make(b"a=1", FORM, METHOD="PUT")).items() == []
    assert util.FieldStorage(make(b"a=1", {}, METHOD="POST")).items() == [("a", "1")]
    assert refused(lambda: util.FieldStorage(make(b"{}", {"Content-Type": "application/json"}))) == 501
    assert util.FieldStorage(make(b"", MULTIPART, METHOD="POST")).items() == []


def test_files_and_fields_of_a_multipart_body(make):
    body = part("text", b"\xc3\xa4\r\n-") + part("blank", b"") + part("up", b"\0\xff" * 10, '; filename="C:\\x\\\xe4.bin"')
    body += part("none", b"", '; filename=""') + b"--B\r\n\r\nnameless\r\n"
    body += b'--B\r\nContent-Disposition: form-data; name="old"\r\nContent-Type: text/plain; charset=ISO-8859-1\r\n\r\n\xe4\r\n'
    form = util.FieldStorage(make(body + b"--B--", MULTIPART))
    assert form.keys() == ["text", "blank", "up", "none", "old"]
    assert form["text"] == "\xe4\r\n-" and form["blank"] == "" and form["old"] == "\xe4"
    assert form["old"].type_options == {"charset": "ISO-8859-1"} and form["old"].disposition == "form-data"
    upload = form["up"]
    assert isinstance(upload, util.Field) and upload.filename == "C:\\x\\\xe4.bin" and upload.type == "application/octet-stream"
    assert upload.disposition_options["name"] == "up" and upload.headers["content-disposition"].startswith("form-data")
    assert upload.file.read(3) == b"\0\xff\0" and upload.value == b"\0\xff" * 10 and upload.file.read(1) == b"\xff"
    assert form["none"].filename == "" and form["none"].value == b""


NESTED = (
    b'--B\r\nContent-Disposition: form-data; name="files"\r\nContent-Type: multipart/mixed; boundary=BB\r\n\r\n'
    b'--BB\r\nContent-Disposition: file; filename="1"\r\n\r\none\r\n--BB\r\nContent-Disposition: file; filename="2"\r\n\r\ntwo\r\n--BB--\r\n'
)


def test_multipart_in_multipart(make):
    form = util.FieldStorage(make(NESTED + part("x", b"1") + b"--B--", MULTIPART))
    assert [(field.filename, field.value) for field in form["files"]] == [("1", b"one"), ("2", b"two")] and form["x"] == "1"
    assert refused(lambda: util.FieldStorage(make(NESTED.replace(b"--BB--", b"--BB-") + b"--B--", MULTIPART))) == 400


def test_multipart_in_multipart_has_an_end(make):
    body = b"--B\r\nContent-Type: multipart/mixed; boundary=B1\r\n\r\n"
    body += b"".join(b"--B%d\r\nContent-Type: multipart/mixed; boundary=B%d\r\n\r\n" % (number, number + 1) for number in range(1, 50))
    assert refused(lambda: util.FieldStorage(make(body, MULTIPART))) == 400


class Cut:
    """A body that comes in pieces, as a client's may."""

    def __init__(self, body, at):
        self.pieces = [piece for piece in (body[:at], body[at:]) if piece]

    def read(self, count):
        return self.pieces.pop(0) if self.pieces else b""


def test_cut_anywhere(make):
    body = part("a", b"1\r\n--") + NESTED + part("up", b"\r\n--Bx", '; filename="f"') + b"--B--\r\n"

    def fields(at):
        form = util.FieldStorage(make(Cut(body, at), MULTIPART, METHOD="POST"))
        return [(name, field.filename, field.value) for name, field in form.items()]

    whole = fields(len(body))
    assert whole[0] == ("a", None, "1\r\n--") and whole[-1] == ("up", "f", b"\r\n--Bx") and len(whole) == 4
    for at in range(1, len(body)):
        assert fields(at) == whole, f"cut before byte {at}"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "multipart/form-data"}, b"--B--"),
        ({"Content-Type": "multipart/form-data; boundary="}, b"----"),
        (MULTIPART, b"no boundary"),
        ({"Content-Type": "a/b" + "".join(f"; p{number}=1" for number in range(17))}, b"x"),
        (MULTIPART, part("a", b"1", "".join(f"; p{number}=1" for number in range(17))) + b"--B--"),
        (MULTIPART, part("a", b"1")),
        (MULTIPART, b"--B\r\nrubbish\r\n\r\n\r\n--B--"),
        (MULTIPART, b"--B\r\nContent-Type: multipart/mixed\r\n\r\n\r\n--B--"),
    ],
)
def test_what_is_no_form(make, headers, body):
    assert refused(lambda: util.FieldStorage(make(body, headers))) == 400


def test_strict_wants_names(make):
    body = b"--B\r\n\r\nnameless\r\n--B--"
    assert util.FieldStorage(make(body, MULTIPART)).items() == []
    assert refused(lambda: util.FieldStorage(make(body, MULTIPART), strict_parsing=1)) == 400


@pytest.mark.parametrize(
    ("option", "value", "fits", "exceeds"),
    [
        ("fields", "3", part("a", b"1") * 3, part("a", b"1") * 4),
        ("files", "2", part("a", b"1", '; filename="f"') * 2 + part("a", b"", '; filename=""'), part("a", b"1", '; filename="f"') * 3),
        ("memory", "200", part("a", b"1" * 100), part("a", b"1" * 200)),
        ("memory", "200", part("a", b"1" * 9999, '; filename="f"'), part("a", b"1" * 60) * 3),
    ],
)
def test_limits_of_multipart(make, option, value, fits, exceeds):
    options = {f"mod_python.form.{option}": value}
    util.FieldStorage(make(fits + b"--B--", MULTIPART, options))
    assert refused(lambda: util.FieldStorage(make(exceeds + b"--B--", MULTIPART, options))) == 413


@pytest.mark.parametrize(("option", "value", "size"), [("fields", "3", 4), ("memory", "16", 5)])
def test_limits_of_other_forms(make, option, value, size):
    options = {f"mod_python.form.{option}": value}
    util.FieldStorage(make(b"a=1&" * (size - 2) + b"a=1", FORM, options))
    assert refused(lambda: util.FieldStorage(make(b"a=1&" * (size - 1) + b"a=1", FORM, options))) == 413


def test_limits_are_numbers(make):
    with pytest.raises(ValueError, match=r"mod_python\.form\.fields"):
        util.FieldStorage(make(ARGS="a=1", options={"mod_python.form.fields": "many"}))


class Endless:
    """A body of 1 GiB that nobody has to have."""

    def __init__(self):
        self.left = 1 << 30
        self.ends = [b"\r\n--B--", b""]
        self.block = bytes(64 * 1024)
        self.begin = part("up", b"", '; filename="f"')[:-2]

    def read(self, count):
        if self.begin:
            begin, self.begin = self.begin, b""
            return begin
        if self.left:
            self.left -= len(self.block)
            return self.block
        return self.ends.pop(0)


class Counter:
    """A file that counts."""

    size = 0
    closed = False

    def __init__(self, filename=None):
        self.filename = filename

    def write(self, data):
        self.size += len(data)

    def seek(self, place):
        assert place == 0

    def close(self):
        self.closed = True


def test_a_gibibyte_in_constant_memory(make):
    request = make(Endless(), MULTIPART, METHOD="POST")
    tracemalloc.start()
    try:
        form = util.FieldStorage(request, file_callback=Counter)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert form["up"].file.size == 1 << 30 and form["up"].file.filename == "f"
    assert peak < 1 << 20


def test_callbacks_make_the_files(make):
    texts = []

    def field_callback():
        texts.append(io.BytesIO())
        return texts[-1]

    body = part("a", b"text") + part("up", b"file", '; filename="f"') + b"--B--"
    form = util.FieldStorage(make(body, MULTIPART), 0, 0, Counter, field_callback)
    assert form["a"] == "text" and texts[0].getvalue() == b"text" and form["up"].file.size == 4


def test_files_of_a_refused_form_are_closed(make):
    made = []

    def file_callback(filename):
        made.append(Counter(filename))
        return made[-1]

    body = part("up", b"file", '; filename="f"') * 2
    assert refused(lambda: util.FieldStorage(make(body, MULTIPART), file_callback=file_callback)) == 400
    assert len(made) == 2 and all(file.closed for file in made)


def test_files_end_with_their_form(make):
    """And not when somebody collects cycles."""
    gc.disable()
    try:
        for body in (NESTED + part("x", b"1"), part("up", b"file", '; filename="f"')):
            form = util.FieldStorage(make(body + b"--B--", MULTIPART))
            files = [weakref.ref(field.file) for field in form.list if isinstance(field, util.Field)]
            assert files and all(file() is not None for file in files)
            del form
            assert all(file() is None for file in files)
    finally:
        gc.enable()


def test_redirects(make, transaction):
    request = make()
    assert refused(lambda: util.redirect(request, 'http://x/"<')) == apache.DONE
    assert request.status == 302 and request.err_headers_out["Location"] == 'http://x/"<'
    assert b'href="http://x/&quot;&lt;"' in b"".join(transaction.written)
    with pytest.raises(OSError, match="already been sent"):
        util.redirect(request, "/again")
    transaction.written.clear()
    request = make()
    assert refused(lambda: util.redirect(request, "/a", permanent=1, text="gone")) == apache.DONE
    assert request.status == 301 and transaction.written == [b"gone"]


def test_calls_with_what_a_form_holds(make):
    form = util.FieldStorage(make(ARGS="a=1&b=2&b=3&req=evil&z=9&p=7"))
    assert util.apply_fs_data(lambda req, a, b=None: (req, a, b), form, req=1) == (1, "1", ["2", "3"])
    assert util.apply_fs_data(lambda a: a, form, req=1) == "1"
    assert util.apply_fs_data(lambda **rest: rest, form, req=1) == {"a": "1", "b": ["2", "3"], "req": 1, "z": "9", "p": "7"}
    assert util.apply_fs_data(lambda q=5, /, **rest: (q, "q" in rest), form) == (5, False)
    assert refused(lambda: util.apply_fs_data(lambda missing: 0, form)) == 400

    class Callable:
        def __call__(self, a):
            return a

    assert util.apply_fs_data(Callable(), form) == "1"
    with pytest.raises(TypeError, match="of its own"):

        def raises(a):
            raise TypeError("of its own")

        util.apply_fs_data(raises, form)


def test_queries():
    assert util.parse_qs("a=1&a=2&b=%E4&c=") == {"a": ["1", "2"], "b": ["\udce4"]}
    assert util.parse_qsl("a=1&c=", 1) == [("a", "1"), ("c", "")] == apache.parse_qsl(b"a=1&c=", True)
    assert util.parse_qsl("a=\xc3\xa4") == [("a", "\xe4")], "a text of the server has a character for each byte"
    assert util.parse_qsl("a=\u20ac") == [("a", "\u20ac")]
    assert util.parse_qsl(None) == []
    with pytest.raises(ValueError):
        util.parse_qs("a", strict_parsing=1)


