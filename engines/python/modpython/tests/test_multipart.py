# SPDX-License-Identifier: MIT OR Apache-2.0
"""Bodies of forms, wherever they are cut."""

import random

import pytest

from mod_python._multipart import HEAD, MultipartError, Parser, boundary_of, parse_header

BODY = (
    b"preamble\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\n--Bx\r\n--B-\r\n-- B\r\n"
    b"\r\n--B \t\r\nA: 1\r\n 2\r\nb:\r\n\r\n\r\n--B\r\n\r\nheadless\r--B\n--B\r\n--B--\r\nepilogue\r\n--B\r\n"
)
PARTS = [
    ({"content-disposition": 'form-data; name="a"'}, b"one\r\n--Bx\r\n--B-\r\n-- B\r\n"),
    ({"a": "1 2", "b": ""}, b""),
    ({}, b"headless\r--B\n--B"),
]


class Sink:
    def __init__(self):
        self.parts, self.open = [], None

    def part(self, headers):
        assert self.open is None
        self.open = (headers, bytearray())

    def data(self, data):
        assert data, "nothing is no data"
        self.open[1].extend(data)

    def end(self):
        self.parts.append((self.open[0], bytes(self.open[1])))
        self.open = None


def parse(*pieces, boundary=b"B"):
    sink = Sink()
    parser = Parser(boundary, sink)
    for piece in pieces:
        parser.feed(piece)
    parser.finish()
    return sink.parts


def test_whole_byte_by_byte_and_cut_anywhere():
    assert parse(BODY) == PARTS
    assert parse(*(BODY[at : at + 1] for at in range(len(BODY)))) == PARTS
    for cut in range(len(BODY)):
        assert parse(BODY[:cut], BODY[cut:]) == PARTS, f"cut before byte {cut}"


def test_random_bodies_in_random_pieces():
    """Content is made of what delimiters are made of."""
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    words = [b"\r", b"\n", b"\r\n", b"-", b"--", b"--bou", b"--boundary", b"x", b"\0", b" ", b"\r\n--boundar", b"\r\n\r\n", b"\xff" * 50]
    for _ in range(400):
        parts = []
        for number in range(dice.randrange(5)):
            content = b"".join(dice.choice(words) for _ in range(dice.randrange(12)))
            # Nothing in it is a delimiter, but what begins as one.
            while b"\r\n--boundary" in b"\r\n" + content:
                content = content.replace(b"--boundary", b"--boundar")
            parts.append(({"n": str(number)}, content))
        body = b"".join(b"\r\n--boundary\r\nN: %s\r\n\r\n%s" % (head["n"].encode(), content) for head, content in parts)
        body = (body + b"\r\n--boundary--\r\n")[2:]
        cuts = sorted(dice.randrange(len(body) + 1) for _ in range(dice.randrange(20)))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)])]
        assert parse(*pieces, boundary=b"boundary") == parts, f"seed {seed}: {pieces}"


def test_what_ends_too_early_is_no_body():
    last = BODY.index(b"--B--") + len(b"--B--")
    for end in range(last):
        with pytest.raises(MultipartError):
            parse(BODY[:end])
    assert parse(BODY[:last]) == PARTS


@pytest.mark.parametrize(
    "head",
    [
        b"no colon",
        b": no name",
        b" continues nothing",
        b"a: 1\r\nA: 2",
        b"a: \0",
        b"a: " + b"x" * HEAD,
        b"a: 1\r\n" * (HEAD // 6 + 1),
        b"\r\n".join(b"h%d: 1" % number for number in range(17)),
    ],
)
def test_heads_that_are_none(head):
    for step in (1000, 100_000):
        body = b"--B\r\n" + head + b"\r\n\r\n\r\n--B--"
        with pytest.raises(MultipartError):
            parse(*(body[at : at + step] for at in range(0, len(body), step)))


def test_a_head_without_end_takes_no_memory():
    sink = Sink()
    parser = Parser(b"B", sink)
    parser.feed(b"--B\r\n")
    with pytest.raises(MultipartError):
        for _ in range(1000):
            parser.feed(b"x" * 1000)
    assert len(parser._held) < 2 * HEAD


def test_what_looks_like_delimiters_takes_time_in_proportion():
    """2 MiB of lines that begin as a delimiter does."""
    content = b"\r\n--Bx" * 350_000
    ((_, found),) = parse(b"--B\r\n\r\n" + content + b"\r\n--B--")
    assert found == content


@pytest.mark.parametrize(
    ("value", "main", "options"),
    [
        ("form-data", "form-data", {}),
        ("Form-Data ; Name = a ;; X;y=; =z", "form-data", {"name": "a", "y": ""}),
        ('form-data; name="a;b=\\"c\\""; filename="C:\\dir\\f.txt"', "form-data", {"name": 'a;b="c"', "filename": "C:\\dir\\f.txt"}),
        ('form-data; name="open', "form-data", {"name": "open"}),
        ('form-data; name="one"; name="two"', "form-data", {"name": "one"}),
        ('form-data; name=""x"; b=1', "form-data", {"name": "", "b": "1"}),
        ("", "", {}),
        (";" * 5 + "a=1", "", {"a": "1"}),
    ],
)
def test_parameters(value, main, options):
    assert parse_header(value) == (main, options)


def test_parameters_take_time_in_proportion():
    """A mebibyte of what has no value, and then one that has."""
    assert parse_header("a" + "; b" * 350_000 + "=1") == ("a", {"b": "1"})
    assert parse_header("a" + "; b=1" * 200_000) == ("a", {"b": "1"})
    assert len(parse_header("a" + "".join(f"; b{number}=1" for number in range(16)))[1]) == 16
    with pytest.raises(MultipartError):
        parse_header("a" + "".join(f"; b{number}=1" for number in range(17)))


@pytest.mark.parametrize("boundary", ["", "x" * 201, "\xe4", "a\r\nb", "a ", None])
def test_boundaries_that_are_none(boundary):
    with pytest.raises(MultipartError):
        boundary_of({} if boundary is None else {"boundary": boundary})
