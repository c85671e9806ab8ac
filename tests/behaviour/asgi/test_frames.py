# SPDX-License-Identifier: MIT OR Apache-2.0
"""What Autobahn's fuzzingclient asks of a server, as a fixed subset: the numbers are those of its cases.

A case is bytes that a client sends, written one after the other, and what may come back: frames, then the end. Judged as there: the frames must be
one of the sequences that are right, who closes must be the one who should, a close code of the server's must be the right one, and the server ends
the connection.
"""

import contextlib
import json
import random
import zlib
from dataclasses import dataclass

import pytest

from harness.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, SERVERS, TAIL, TEXT, WebSocket, close_payload, frame

pytestmark = pytest.mark.servers(*SERVERS)

WARM = ("/hello",)
MIB = 1024 * 1024
HELLO = "Hello-µ@ßöäüàá-UTF-8!!".encode()


def configure(site, kind):
    site.asgi("/", "asgi_sockets:app", ws_max_message=f"{4 * MIB}")
    # The event MPM counts a WebSocket for a second after its beginning, however short it was.
    site.apache_main = "AsyncRequestWorkerFactor 64"


@dataclass
class Case:
    """`sent`: what is written, piece by piece. `right`: sequences of frames, of which one must come back. `fails`: the close code of
    a server that has to end it; without it the client closes once it has its frames."""

    sent: list
    right: list
    fails: int | None = None


def octets(*frames):
    """The same one by one."""
    return [bytes([byte]) for byte in b"".join(frames)]


def chops(size, *frames):
    stream = b"".join(frames)
    return [stream[at : at + size] for at in range(0, len(stream), size)]


def fragments(opcode, payload, size, reserved=0):
    """A message in frames of so many bytes."""
    parts = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
    last = len(parts) - 1
    return [
        frame(CONTINUATION if number else opcode, part, final=number == last, reserved=0 if number else reserved)
        for number, part in enumerate(parts)
    ]


def echoes(opcode, payload, sent=None):
    return Case(sent or [frame(opcode, payload)], [[(opcode, payload)]])


def fails(*sent, first=(), code=1002):
    """The server ends it. What came before the fault may have been answered, or not (Autobahn's NON-STRICT)."""
    return Case(list(sent), [list(first[:count]) for count in range(len(first) + 1)], code)


def judge(server, case):
    client = WebSocket(server.connect(), "/echo")
    # A server may end it before everything has been written.
    with contextlib.suppress(ConnectionError) if case.fails else contextlib.nullcontext():
        for piece in case.sent:
            client.connection.send(piece)
    seen, closed_by, told = [], None, None
    if not case.fails and [] in case.right:
        closed_by = "client"
        client.send(CLOSE, close_payload(1000))
    while (found := client.frame()) is not None:
        if found[0] == CLOSE:
            told = found[1]
            if closed_by is None:
                closed_by = "server"
                with contextlib.suppress(ConnectionError):
                    client.send(CLOSE, told[:2])
            continue
        assert told is None, f"{found} after the close frame"
        seen.append(found)
        if not case.fails and seen in case.right and closed_by is None:
            closed_by = "client"
            client.send(CLOSE, close_payload(1000))
    assert seen in case.right
    assert closed_by == ("server" if case.fails else "client")
    assert told is not None and told[:2] == close_payload(case.fails or 1000), told


# ---- 1: framing, 2: pings and pongs ----

SIZES = [0, 125, 126, 127, 128, 65535, 65536]
PINGS = [b"payload-%d" % number for number in range(10)]

FRAMING = {
    **{f"1.1.{n}": echoes(TEXT, b"*" * size) for n, size in enumerate(SIZES, 1)},
    "1.1.8": echoes(TEXT, b"*" * 65536, chops(997, frame(TEXT, b"*" * 65536))),
    **{f"1.2.{n}": echoes(BINARY, b"\xfe" * size) for n, size in enumerate(SIZES, 1)},
    "1.2.8": echoes(BINARY, b"\xfe" * 65536, chops(997, frame(BINARY, b"\xfe" * 65536))),
    "2.1": Case([frame(PING)], [[(PONG, b"")]]),
    "2.2": Case([frame(PING, b"Hello, world!")], [[(PONG, b"Hello, world!")]]),
    "2.3": Case([frame(PING, b"\0\xff\xfe\xfd\xfc\xfb\0\xff")], [[(PONG, b"\0\xff\xfe\xfd\xfc\xfb\0\xff")]]),
    "2.4": Case([frame(PING, b"\xfe" * 125)], [[(PONG, b"\xfe" * 125)]]),
    "2.5": fails(frame(PING, b"\xfe" * 126)),
    "2.6": Case(octets(frame(PING, b"\xfe" * 125)), [[(PONG, b"\xfe" * 125)]]),
    "2.7": Case([frame(PONG)], [[]]),
    "2.8": Case([frame(PONG, b"unasked")], [[]]),
    "2.9": Case([frame(PONG, b"unasked"), frame(PING, b"asked")], [[(PONG, b"asked")]]),
    "2.10": Case([b"".join(frame(PING, payload) for payload in PINGS)], [[(PONG, payload) for payload in PINGS]]),
    "2.11": Case(octets(*(frame(PING, payload) for payload in PINGS)), [[(PONG, payload) for payload in PINGS]]),
}

# ---- 3: reserved bits, 4: opcodes ----

FIRST = frame(TEXT, b"Hello, world!")
ECHO = [(TEXT, b"Hello, world!")]


def reserved(bits):
    return frame(TEXT, b"Hello, world!", reserved=bits)


RESERVED = {
    "3.1": fails(reserved(1)),
    "3.2": fails(FIRST + reserved(2) + frame(PING), first=ECHO),
    "3.3": fails(FIRST, reserved(3), frame(PING), first=ECHO),
    "3.4": fails(*octets(FIRST, reserved(4), frame(PING)), first=ECHO),
    "3.5": fails(frame(BINARY, b"\0\xff\xfe", reserved=5)),
    "3.6": fails(frame(PING, b"Hello, world!", reserved=6)),
    "3.7": fails(frame(CLOSE, close_payload(1000), reserved=7)),
    "4.1.1": fails(frame(3)),
    "4.1.2": fails(frame(4, b"reserved opcode payload")),
    "4.1.3": fails(FIRST + frame(5) + frame(PING), first=ECHO),
    "4.1.4": fails(FIRST, frame(6, b"Hello, world!"), frame(PING), first=ECHO),
    "4.1.5": fails(*octets(FIRST, frame(7, b"Hello, world!"), frame(PING)), first=ECHO),
    "4.2.1": fails(frame(11)),
    "4.2.2": fails(frame(12, b"reserved opcode payload")),
    "4.2.3": fails(FIRST + frame(13) + frame(PING), first=ECHO),
    "4.2.4": fails(FIRST, frame(14, b"Hello, world!"), frame(PING), first=ECHO),
    "4.2.5": fails(*octets(FIRST, frame(15, b"Hello, world!"), frame(PING)), first=ECHO),
}

# ---- 5: fragments ----

TWO = [frame(TEXT, b"fragment1", final=False), frame(CONTINUATION, b"fragment2")]
BOTH = (TEXT, b"fragment1fragment2")
BETWEEN = [TWO[0], frame(PING, b"ping payload"), TWO[1]]
PONG_FIRST = [(PONG, b"ping payload"), BOTH]
LOST = frame(CONTINUATION, b"nothing to go on with")
LOST_OPEN = frame(CONTINUATION, b"nothing to go on with", final=False)
FIVE = [
    frame(TEXT, b"fragment1", final=False),
    frame(CONTINUATION, b"fragment2", final=False),
    frame(PING, b"pongme 1!"),
    frame(CONTINUATION, b"fragment3", final=False),
    frame(CONTINUATION, b"fragment4", final=False),
    frame(PING, b"pongme 2!"),
    frame(CONTINUATION, b"fragment5"),
]
FIVE_BACK = [(PONG, b"pongme 1!"), (PONG, b"pongme 2!"), (TEXT, b"".join(b"fragment%d" % n for n in range(1, 6)))]

FRAGMENTS = {
    "5.1": fails(frame(PING, b"fragment1", final=False), frame(CONTINUATION, b"fragment2")),
    "5.2": fails(frame(PONG, b"fragment1", final=False), frame(CONTINUATION, b"fragment2")),
    "5.3": Case([b"".join(TWO)], [[BOTH]]),
    "5.4": Case(TWO, [[BOTH]]),
    "5.5": Case(octets(*TWO), [[BOTH]]),
    "5.6": Case([b"".join(BETWEEN)], [PONG_FIRST]),
    "5.7": Case(BETWEEN, [PONG_FIRST]),
    "5.8": Case(octets(*BETWEEN), [PONG_FIRST]),
    "5.9": fails(LOST + FIRST),
    "5.10": fails(LOST, FIRST),
    "5.11": fails(*octets(LOST, FIRST)),
    "5.12": fails(LOST_OPEN + FIRST),
    "5.13": fails(LOST_OPEN, FIRST),
    "5.14": fails(*octets(LOST_OPEN, FIRST)),
    "5.15": fails(b"".join(TWO) + LOST_OPEN + FIRST, first=[BOTH]),
    "5.16": fails(*[LOST_OPEN, frame(TEXT, b"fragment2", final=False), frame(CONTINUATION, b"fragment3")] * 2),
    "5.17": fails(*[LOST, frame(TEXT, b"fragment2", final=False), frame(CONTINUATION, b"fragment3")] * 2),
    "5.18": fails(frame(TEXT, b"fragment1", final=False), frame(TEXT, b"fragment2")),
    "5.19": Case([b"".join(FIVE)], [FIVE_BACK]),
    "5.20": Case(FIVE, [FIVE_BACK]),
}

# ---- 6: UTF-8. Kuhn's collection ("UTF-8 decoder capability and stress test") ----

GREEK = "κόσμε".encode()


def whole(text):
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def starts(low, high):
    return b"".join(bytes([byte, 0x20]) for byte in range(low, high + 1))


CUT_SHORT = [bytes.fromhex(text) for text in "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf".split()]
FAR = [(plane << 16 | last) for plane in range(0x11) for last in (0xFFFE, 0xFFFF)]
SEQUENCES = {
    "6.5": [f"hello{sign}world".encode() for sign in "$¢€\U00024b62"] + [GREEK],
    "6.6": [GREEK[:length] for length in range(1, len(GREEK) + 1)],
    "6.7": [chr(point).encode() for point in (0, 0x80, 0x800, 0x10000)],
    "6.8": [bytes.fromhex(text) for text in ("f888808080", "fc8480808080")],
    "6.9": [chr(point).encode() for point in (0x7F, 0x7FF, 0xFFFF, 0x10FFFF)],
    "6.10": [bytes.fromhex(text) for text in ("f7bfbfbf", "fbbfbfbfbf", "fdbfbfbfbfbf")],
    "6.11": [chr(point).encode() for point in (0xD7FF, 0xE000, 0xFFFD, 0x10FFFF)] + [b"\xf4\x90\x80\x80"],
    "6.12": [b"\x80", b"\xbf", *((b"\x80\xbf" * 3)[:length] for length in range(2, 7)), bytes(range(0x80, 0xC0))],
    "6.13": [starts(*pair) for pair in ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD))],
    "6.14": CUT_SHORT,
    "6.15": [b"".join(CUT_SHORT)],
    "6.16": [b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"],
    "6.17": [bytes.fromhex(text) for text in ("c0af", "e080af", "f08080af", "f8808080af", "fc80808080af")],
    "6.18": [bytes.fromhex(text) for text in ("c1bf", "e09fbf", "f08fbfbf", "f887bfbfbf", "fc83bfbfbfbf")],
    "6.19": [bytes.fromhex(text) for text in ("c080", "e08080", "f0808080", "f880808080", "fc8080808080")],
    "6.20": [chr(point).encode("utf-8", "surrogatepass") for point in (0xD800, 0xDB7F, 0xDB80, 0xDBFF, 0xDC00, 0xDF80, 0xDFFF)],
    "6.21": [
        (chr(high) + chr(low)).encode("utf-8", "surrogatepass")
        for high in (0xD800, 0xDB7F, 0xDB80, 0xDBFF)
        for low in (0xDC00, 0xDFFF)
    ],
    "6.22": [chr(point).encode() for point in FAR],
    "6.23": [chr(point).encode() for point in range(0xFFF9, 0x10000)],
}
NOT_TEXT = {"6.8", "6.10", "6.12", "6.13", "6.14", "6.15", "6.16", "6.17", "6.18", "6.19", "6.20", "6.21"}
SPOILT = GREEK + b"\xf4\x90\x80\x80" + b"edited"

UTF8 = {
    "6.1.1": echoes(TEXT, b""),
    "6.1.2": echoes(TEXT, b"", [frame(TEXT, final=False), frame(CONTINUATION, final=False), frame(CONTINUATION)]),
    "6.1.3": echoes(TEXT, b"middle", [frame(TEXT, final=False), frame(CONTINUATION, b"middle", final=False), frame(CONTINUATION)]),
    "6.2.1": echoes(TEXT, HELLO),
    "6.2.2": echoes(TEXT, HELLO, fragments(TEXT, HELLO, 12)),
    "6.2.3": echoes(TEXT, HELLO, fragments(TEXT, HELLO, 1)),
    "6.2.4": echoes(TEXT, GREEK, fragments(TEXT, GREEK, 1)),
    "6.3.1": fails(frame(TEXT, GREEK + b"\xed\xa0\x80edited"), code=1007),
    "6.3.2": fails(*fragments(TEXT, GREEK + b"\xed\xa0\x80edited", 1), code=1007),
    # What follows the fault need not come: the server ends it at once.
    "6.4.1": fails(frame(TEXT, GREEK, final=False), frame(CONTINUATION, b"\xf4\x90\x80\x80", final=False), code=1007),
    "6.4.2": fails(frame(TEXT, GREEK + b"\xf4", final=False), frame(CONTINUATION, b"\x90", final=False), code=1007),
    "6.4.3": fails(frame(TEXT, SPOILT)[: 6 + len(GREEK)], code=1007),
    "6.4.4": fails(code=1007),
}
# Half of a frame: its head says more than comes.
for number, good in (("6.4.3", len(GREEK) + 4), ("6.4.4", len(GREEK) + 2)):
    masked = frame(TEXT, SPOILT)
    UTF8[number] = fails(masked[:16], masked[16 : 6 + good], code=1007)
for group, texts in SEQUENCES.items():
    for number, text in enumerate(texts, 1):
        assert group == "6.6" or whole(text) == (group not in NOT_TEXT and text != b"\xf4\x90\x80\x80"), (group, text)
        UTF8[f"{group}.{number}"] = echoes(TEXT, text) if whole(text) else fails(frame(TEXT, text), code=1007)
        UTF8[f"{group}.{number} in octets"] = (
            echoes(TEXT, text, fragments(TEXT, text, 1)) if whole(text) else fails(*fragments(TEXT, text, 1), code=1007)
        )

ALL = {**FRAMING, **RESERVED, **FRAGMENTS, **UTF8}


@pytest.mark.parametrize("number", ALL)
def test_case(server, number):
    judge(server, ALL[number])


# ---- 7: the end ----


def ends(server, *sent, echo=None):
    """What the server answers to frames of which one is a close frame: its close frame. Nothing follows that."""
    client = WebSocket(server.connect(), "/echo")
    with contextlib.suppress(ConnectionError):
        for piece in sent:
            client.connection.send(piece)
    found = client.frame()
    if echo is not None:
        assert found == echo
        client.send(CLOSE, close_payload(1000))
        found = client.frame()
    assert found is not None and found[0] == CLOSE, found
    # Who has sent a close frame, right or wrong, does not send another, and is not waited for.
    client.connection.socket.settimeout(3)
    assert client.frame() is None
    return found[1]


CLOSING = frame(CLOSE, close_payload(1000))


def test_7_1_1_a_message_before_the_close_frame(server):
    assert ends(server, FIRST, echo=(TEXT, b"Hello, world!")) == close_payload(1000)


@pytest.mark.parametrize(
    "after",
    [[CLOSING], [frame(PING)], [FIRST], [frame(PING, b"x" * 126)], [frame(TEXT, b"\xff")], [b"\xff" * 64]],
    ids=["7.1.2", "7.1.3", "7.1.4", "a ping too long", "no text", "no frame"],
)
def test_what_follows_the_close_frame_is_not_looked_at(server, after):
    assert ends(server, CLOSING, *after) == close_payload(1000)


def test_7_1_5_the_close_frame_inside_of_a_message(server):
    assert ends(server, TWO[0], CLOSING, TWO[1]) == close_payload(1000)


def test_7_1_6_the_close_frame_behind_a_long_message(server):
    client = WebSocket(server.connect(), "/echo")
    client.connection.send(frame(TEXT, b"x" * 256 * 1024) + FIRST + CLOSING + frame(PING))
    seen = []
    while (found := client.frame()) is not None:
        seen.append(found)
    assert seen[-1] == (CLOSE, close_payload(1000))
    assert seen[:-1] in [[], [(TEXT, b"x" * 256 * 1024)], [(TEXT, b"x" * 256 * 1024), *ECHO]]


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        (b"", b""),
        (b"\x03", close_payload(1002)),
        (close_payload(1000), close_payload(1000)),
        (close_payload(1000, "Hello World!"), close_payload(1000)),
        (close_payload(1000, "*" * 123), close_payload(1000)),
        (close_payload(1000, "*" * 124), close_payload(1002)),
        (close_payload(1000) + SPOILT, close_payload(1007)),
    ],
    ids=["7.3.1", "7.3.2", "7.3.3", "7.3.4", "7.3.5", "7.3.6", "7.5.1"],
)
def test_payloads_of_close_frames(server, payload, answer):
    assert ends(server, frame(CLOSE, payload))[:2] == answer


@pytest.mark.parametrize("code", [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_7_7_close_codes_that_may_be_sent(server, code):
    assert ends(server, frame(CLOSE, close_payload(code))) == close_payload(code)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_7_9_and_7_13_close_codes_that_must_not(server, code):
    assert ends(server, frame(CLOSE, close_payload(code)))[:2] == close_payload(1002)


# ---- 9: limits, 10: frames of a message ----

LONG = bytes(random.Random(9).randbytes(MIB))
LONG_TEXT = (HELLO * (MIB // len(HELLO) + 1))[:MIB].decode(errors="ignore").encode()


@pytest.mark.parametrize(
    ("opcode", "payload"),
    [(TEXT, LONG_TEXT[:65519]), (TEXT, LONG_TEXT), (TEXT, LONG_TEXT * 3), (BINARY, LONG[:65536]), (BINARY, LONG * 4)],
    ids=["9.1.1", "9.1.3", "9.1.4", "9.2.1", "9.2.4"],
)
def test_long_messages(server, opcode, payload):
    payload = payload.decode(errors="ignore").encode() if opcode == TEXT else payload
    judge(server, echoes(opcode, payload))


@pytest.mark.parametrize("size", [64, 256, 1024, 4096, 65536, 524288])
@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["9.3", "9.4"])
def test_long_messages_in_frames(server, opcode, size):
    payload = LONG_TEXT if opcode == TEXT else LONG
    payload = payload[: size * 4096] if opcode == BINARY else payload[: size * 4096].decode(errors="ignore").encode()
    judge(server, echoes(opcode, payload, [b"".join(fragments(opcode, payload, size))]))


@pytest.mark.parametrize("size", [64, 256, 2048])
@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["9.5", "9.6"])
def test_long_messages_in_pieces(server, opcode, size):
    payload = b"*" * size * 512
    judge(server, echoes(opcode, payload, chops(size, frame(opcode, payload))))


@pytest.mark.parametrize("size", [0, 16, 64, 256, 1024, 4096])
@pytest.mark.parametrize("opcode", [TEXT, BINARY], ids=["9.7", "9.8"])
def test_message_after_message(server, opcode, size):
    client = WebSocket(server.connect(), "/echo")
    for number in range(100):
        payload = bytes([0x20 + number % 64]) * size
        client.send(opcode, payload)
        assert client.frame() == (opcode, payload)
    client.close()


def test_10_1_1_frames_of_1300_bytes(server):
    payload = b"*" * 65536
    judge(server, echoes(TEXT, payload, fragments(TEXT, payload, 1300)))


# ---- 12 and 13: permessage-deflate ----

DOCUMENT = json.dumps([{"number": n, "text": f"the {n}th of them, µ{n * n}", "even": n % 2 == 0} for n in range(6000)]).encode()
NOISE = random.Random(12).randbytes(300_000)
ROUNDS = [(16, 0), (64, 0), (256, 0), (1024, 0), (4096, 0), (8192, 0), (16384, 0), (32768, 0), (65536, 0), (131072, 0)]
ROUNDS += [(8192, 256), (32768, 256), (131072, 1024), (131072, 4096), (131072, 32768)]
OFFERS = {
    "13.1": "permessage-deflate; client_max_window_bits",
    "13.2": "permessage-deflate; client_max_window_bits; server_no_context_takeover",
    "13.3": "permessage-deflate; client_max_window_bits; server_max_window_bits=9",
    "13.3 with 8": "permessage-deflate; client_max_window_bits; server_max_window_bits=8",
    "13.4": "permessage-deflate; client_max_window_bits; server_max_window_bits=15",
    "13.5": "permessage-deflate; client_max_window_bits; server_no_context_takeover; server_max_window_bits=9",
    "13.6": "permessage-deflate; client_max_window_bits; server_no_context_takeover; server_max_window_bits=15",
    "13.7": "permessage-deflate; client_max_window_bits; server_no_context_takeover; server_max_window_bits=9,"
    " permessage-deflate; client_max_window_bits; server_no_context_takeover, permessage-deflate; client_max_window_bits",
}


def packed(opcode, payload, size, bits=15, level=6):
    """A compressed message, in frames of `size` bytes if that is not 0."""
    packer = zlib.compressobj(level, wbits=-bits)
    data = (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
    return fragments(opcode, data, size or len(data) or 1, reserved=4)


def messages(data, size, count=12):
    """Parts of a document, as long as they may be; text ends with a whole character."""
    for number in range(count):
        at = number * size % max(len(data) - size, 1)
        yield data[at : at + size].decode(errors="ignore").encode() if data is DOCUMENT else data[at : at + size]


def exchange(client, opcode, data, size, frames, bits=15):
    for payload in messages(data, size):
        stream = packed(opcode, payload, frames, bits)
        # Behind the whole message it could be answered after the echo.
        stream.insert(len(stream) // 2, frame(PING, b"between"))
        client.connection.send(b"".join(stream))
        assert client.frame() == (PONG, b"between")
        assert client.frame() == (opcode, payload)


@pytest.mark.parametrize("size", ROUNDS, ids=lambda pair: "{} in {}".format(*pair))
@pytest.mark.parametrize("data", [(TEXT, DOCUMENT), (BINARY, NOISE)], ids=["12.4", "12.2"])
def test_12_compressed_messages(server, data, size):
    client = WebSocket(server.connect(), "/echo", extensions="permessage-deflate; client_max_window_bits")
    assert client.deflates
    exchange(client, *data, *size)
    client.close()


@pytest.mark.parametrize("number", OFFERS)
def test_13_offers(server, number):
    client = WebSocket(server.connect(), "/echo", extensions=OFFERS[number])
    assert client.deflates, "an offer of permessage-deflate is taken"
    for name in ("server_no_context_takeover", "server_max_window_bits"):
        if name in OFFERS[number].partition(",")[0]:
            assert name in client.agreed, "what the client demands is agreed on"
    for size in ((64, 0), (4096, 0), (131072, 1024)):
        exchange(client, TEXT, DOCUMENT, *size)
    client.close()


@pytest.mark.parametrize("level", [0, 1, 9])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_compressors_of_all_kinds(server, bits, level):
    client = WebSocket(server.connect(), "/echo", extensions="permessage-deflate; client_max_window_bits")
    for payload in (b"", b"x", DOCUMENT[:70_000].decode(errors="ignore").encode()):
        client.connection.send(b"".join(packed(TEXT, payload, 4096, bits, level)))
        assert client.frame() == (TEXT, payload)
    client.close()


SPOILT_DATA = {
    "a block of a kind that is none": fails(frame(TEXT, b"\x07\x00", reserved=4)),
    "a continuation with the bit": fails(frame(TEXT, b"\xf2", final=False, reserved=4), frame(CONTINUATION, b"\x48", reserved=4)),
    "a ping with the bit": fails(frame(PING, b"x", reserved=4)),
    "a distance before the beginning": fails(frame(BINARY, bytes.fromhex("020300"), reserved=4)),
    "text that is none": fails(*packed(TEXT, b"\xed\xa0\x80", 0), code=1007),
}


@pytest.mark.parametrize("name", SPOILT_DATA)
def test_compressed_messages_that_are_broken(server, name):
    client = WebSocket(server.connect(), "/echo", extensions="permessage-deflate")
    case = SPOILT_DATA[name]
    for piece in case.sent:
        client.connection.send(piece)
    client.expect_close(case.fails)
