"""The cases of the Autobahn test-suite, by its numbers, against an echo server.

The suite itself, which needs Python 2.7, is run by storms/autobahn.py. Its cases are few ideas many times
over: what a frame says, what must come back, and how the connection ends. A case is a row here: what is sent,
and all frames that come back.
"""

import struct
import zlib
from typing import Any

import pytest
from rawframes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, close, frame, random_bytes

from corolib.testing import settle
from corolib.websocket import WebSocketServer

BYE = close(1000)


def said(code: int) -> tuple[int, bytes]:
    """The server's close frame: its code, whatever its reason."""
    return CLOSE, struct.pack("!H", code)


def echo(ws: Any) -> None:
    for message in ws:
        ws.send(message)


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    return {"max_message": 1 << 24}


@pytest.fixture
def server(options: dict[str, Any], started: Any) -> WebSocketServer:
    return started(WebSocketServer(("127.0.0.1", 0), echo, options=options))


def shorten(frames: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    return [(opcode, payload[:2] if opcode == CLOSE else payload) for opcode, payload in frames]


SIZES = (0, 125, 126, 127, 128, 65535, 65536)
#: Number -> what is sent, what comes back. A list of pieces is sent piece by piece.
CASES: dict[str, tuple[Any, list[tuple[int, bytes]]]] = {
    # 1: echo of text and binary
    **{f"1.1 {size}": (frame(TEXT, b"*" * size) + BYE, [(TEXT, b"*" * size), said(1000)]) for size in SIZES},
    **{
        f"1.2 {size}": (frame(BINARY, b"\xfe" * size) + BYE, [(BINARY, b"\xfe" * size), said(1000)])
        for size in SIZES
    },
    "1.1.8 in pieces": (
        [frame(TEXT, b"*" * 65536)[at : at + 997] for at in range(0, 65550, 997)] + [BYE],
        [(TEXT, b"*" * 65536), said(1000)],
    ),
    # 2: pings and pongs
    "2.1": (frame(PING) + BYE, [(PONG, b""), said(1000)]),
    "2.2": (frame(PING, b"Hello, world!") + BYE, [(PONG, b"Hello, world!"), said(1000)]),
    "2.3": (
        frame(PING, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff") + BYE,
        [(PONG, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), said(1000)],
    ),
    "2.4": (frame(PING, b"\xfe" * 125) + BYE, [(PONG, b"\xfe" * 125), said(1000)]),
    "2.5": (frame(PING, b"\xfe" * 126), [said(1002)]),
    "2.6": (
        [bytes([byte]) for byte in frame(PING, b"\xfe" * 125) + BYE],
        [(PONG, b"\xfe" * 125), said(1000)],
    ),
    "2.7": (frame(PONG) + BYE, [said(1000)]),
    "2.8": (frame(PONG, b"unsolicited") + BYE, [said(1000)]),
    "2.9": (frame(PONG, b"unsolicited") + frame(PING, b"p") + BYE, [(PONG, b"p"), said(1000)]),
    "2.10": (
        b"".join(frame(PING, b"%d" % n) for n in range(10)) + BYE,
        [*((PONG, b"%d" % n) for n in range(10)), said(1000)],
    ),
    # 3: reserved bits
    **{f"3.{rsv}": (frame(TEXT, b"x", rsv=rsv), [said(1002)]) for rsv in range(1, 8)},
    "3.3": (frame(TEXT, b"x") + frame(TEXT, b"x", rsv=3) + frame(PING), [(TEXT, b"x"), said(1002)]),
    "3.6": (frame(BINARY, b"x", rsv=6), [said(1002)]),
    "3 ping": (frame(PING, b"x", rsv=5), [said(1002)]),
    # 4: opcodes that are none
    **{f"4 {code}": (frame(code, b"x"), [said(1002)]) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    **{
        f"4 {code} later": (frame(TEXT, b"x") + frame(code), [(TEXT, b"x"), said(1002)])
        for code in (3, 7, 11, 15)
    },
    # 5: fragmentation
    "5.1": (frame(PING, b"x", fin=False) + frame(CONTINUATION, b"y"), [said(1002)]),
    "5.2": (frame(PONG, b"x", fin=False) + frame(CONTINUATION, b"y"), [said(1002)]),
    "5.3": (
        frame(TEXT, b"frag", fin=False) + frame(CONTINUATION, b"ment") + BYE,
        [(TEXT, b"fragment"), said(1000)],
    ),
    "5.6": (
        frame(TEXT, b"frag", fin=False) + frame(PING, b"ping") + frame(CONTINUATION, b"ment") + BYE,
        [(PONG, b"ping"), (TEXT, b"fragment"), said(1000)],
    ),
    "5.8": (
        [
            bytes([byte])
            for byte in frame(TEXT, b"a", fin=False) + frame(PING, b"p") + frame(CONTINUATION, b"b") + BYE
        ],
        [(PONG, b"p"), (TEXT, b"ab"), said(1000)],
    ),
    "5.9": (frame(CONTINUATION, b"x") + frame(TEXT, b"y"), [said(1002)]),
    "5.12": (frame(CONTINUATION, b"x", fin=False) + frame(TEXT, b"y"), [said(1002)]),
    "5.15": (
        frame(TEXT, b"1", fin=False) + frame(CONTINUATION, b"2") + frame(CONTINUATION, b"3", fin=False),
        [(TEXT, b"12"), said(1002)],
    ),
    "5.18": (frame(TEXT, b"1", fin=False) + frame(TEXT, b"2"), [said(1002)]),
    "5.19": (
        frame(TEXT, b"1", fin=False)
        + frame(CONTINUATION, b"2", fin=False)
        + frame(PING, b"p1")
        + frame(CONTINUATION, b"3", fin=False)
        + frame(CONTINUATION, b"4", fin=False)
        + frame(PING, b"p2")
        + frame(CONTINUATION, b"5")
        + BYE,
        [(PONG, b"p1"), (PONG, b"p2"), (TEXT, b"12345"), said(1000)],
    ),
    # 6: UTF-8
    "6.1.1": (frame(TEXT) + BYE, [(TEXT, b""), said(1000)]),
    "6.1.2": (
        frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) + frame(CONTINUATION) + BYE,
        [(TEXT, b""), said(1000)],
    ),
    "6.2.1": (frame(TEXT, "Hellö-µ@ßöä".encode()) + BYE, [(TEXT, "Hellö-µ@ßöä".encode()), said(1000)]),
    "6.2.3": (
        b"".join(
            frame(TEXT if not at else CONTINUATION, bytes([byte]), fin=False)
            for at, byte in enumerate("κόσμε €\U0010ffff".encode())
        )
        + frame(CONTINUATION)
        + BYE,
        [(TEXT, "κόσμε €\U0010ffff".encode()), said(1000)],
    ),
    **{
        f"6.3 {bad!r}": (frame(TEXT, b"good" + bad), [said(1007)])
        for bad in (
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",  # a surrogate
            b"\xf4\x90\x80\x80",  # beyond Unicode
            b"\xff",
            b"\xc0\xaf",  # overlong
            b"\xe0\x80\xaf",
            b"\xf8\x88\x80\x80\x80",
            b"\x80",
            b"\xed\xbf\xbf",
            b"\xc3",  # incomplete
            b"\xf0\x9f\x98",
        )
    },
    "6.4.1 fails fast": (
        frame(TEXT, b"good\xf4\x90", fin=False),  # the rest is not waited for
        [said(1007)],
    ),
    "6.4.3 fails fast within a frame": (frame(TEXT, b"good\xff" + b"x" * 100)[:20], [said(1007)]),
    "6.20 noncharacters": (
        frame(TEXT, "\ufffe\uffff\U0001fffe".encode()) + BYE,
        [(TEXT, "\ufffe\uffff\U0001fffe".encode()), said(1000)],
    ),
    # 7: the end
    "7.1.1": (frame(TEXT, b"x") + BYE, [(TEXT, b"x"), said(1000)]),
    "7.1.2": (BYE + BYE, [said(1000)]),
    "7.1.3": (BYE + frame(PING), [said(1000)]),
    "7.1.4": (BYE + frame(TEXT, b"x"), [said(1000)]),
    "7.1.5": (frame(TEXT, b"x", fin=False) + BYE + frame(CONTINUATION, b"y"), [said(1000)]),
    "7.3.1": (frame(CLOSE), [(CLOSE, b"")]),
    "7.3.2": (frame(CLOSE, b"x"), [said(1002)]),
    "7.3.4": (close(1000, b"Hello World!"), [said(1000)]),
    "7.3.5": (close(1000, b"*" * 123), [said(1000)]),
    "7.3.6": (close(1000, b"*" * 124), [said(1002)]),
    "7.5.1": (close(1000, b"\xce\xba\xed\xa0\x80"), [said(1007)]),
    **{
        f"7.7 {code}": (close(code), [said(code)])
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    },
    **{
        f"7.9 {code}": (close(code), [said(1002)])
        for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    # a mask is for clients
    "unmasked": (frame(TEXT, b"x", mask=None), [said(1002)]),
    # lengths that could be shorter, or are longer than a number
    "length 16": (b"\x81\xfe\x00\x05\0\0\0\0hello", [said(1002)]),
    "length 64": (b"\x81\xff" + struct.pack("!Q", 5) + b"\0\0\0\0hello", [said(1002)]),
    "length sign": (b"\x81\xff" + struct.pack("!Q", 1 << 63) + b"\0\0\0\0", [said(1002)]),
}


@pytest.mark.parametrize("number", CASES)
def test_case(server: WebSocketServer, number: str) -> None:
    sent, expected = CASES[number]
    with Raw(server.address) as client:
        for piece in sent if isinstance(sent, list) else [sent]:
            client.send(piece)
            if isinstance(sent, list):
                settle()
        client.sock.shutdown(1)
        assert shorten(client.rest()) == expected


@pytest.mark.parametrize("cut", [1, 2, 7])
def test_however_it_is_cut_the_result_is_the_same(server: WebSocketServer, cut: int) -> None:
    for number, (sent, expected) in CASES.items():
        if isinstance(sent, list) or len(sent) > 300:
            continue
        with Raw(server.address) as client:
            for at in range(0, len(sent), cut):
                try:
                    client.send(sent[at : at + cut])
                except OSError:
                    break  # it has been closed already, and says why
                settle()
            assert shorten(client.rest()) == expected, number


@pytest.mark.parametrize("size", [1 << 16, 1 << 18, 1 << 20, pytest.param(1 << 24, marks=pytest.mark.slow)])
@pytest.mark.parametrize("pieces", [1, 16, 256])
def test_9_long_messages_in_frames_and_pieces(server: WebSocketServer, size: int, pieces: int) -> None:
    data = random_bytes(size)
    step = size // pieces
    with Raw(server.address) as client:
        for at in range(0, size, step):
            last = at + step >= size
            client.send(frame(CONTINUATION if at else BINARY, data[at : at + step], fin=last))
        opcode, payload, fin, _ = client.frame()
        assert (opcode, fin) == (BINARY, True)
        assert payload == data
        client.send(BYE)
        assert shorten(client.rest()) == [said(1000)]


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def squeezed(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-15)
    return (made.compress(data) + made.flush(zlib.Z_SYNC_FLUSH))[:-4]


def restored(data: bytes) -> bytes:
    return zlib.decompressobj(wbits=-15).decompress(data + b"\0\0\xff\xff")


@pytest.mark.parametrize("size", [0, 16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072])
@pytest.mark.parametrize("pieces", [1, 3])
def test_12_and_13_compressed_messages(server: WebSocketServer, size: int, pieces: int) -> None:
    data = (b"what compresses well, " * (size // 22 + 1))[:size]
    sent = squeezed(data)
    step = len(sent) // pieces + 1
    with Raw(server.address, DEFLATE) as client:
        assert "permessage-deflate" in client.head
        for _ in range(3):
            for at in range(0, len(sent), step):
                opcode, rsv = (CONTINUATION, 0) if at else (TEXT, 4)
                client.send(frame(opcode, sent[at : at + step], fin=at + step >= len(sent), rsv=rsv))
            opcode, payload, fin, rsv = client.frame()
            assert (opcode, fin, rsv) == (TEXT, True, 4)
            assert restored(payload) == data
        # and one that is not compressed
        client.send(frame(BINARY, b"plain") + BYE)
        opcode, payload, _, rsv = client.frame()
        assert (opcode, restored(payload) if rsv else payload) == (BINARY, b"plain")
        assert shorten(client.rest()) == [said(1000)]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(frame(TEXT, b"\xff\xff\xff\xff", rsv=4), id="no such data"),
        pytest.param(frame(TEXT, squeezed(b"\xff\xfe"), rsv=4), id="no UTF-8 inside"),
    ],
)
def test_what_does_not_decompress_is_refused(server: WebSocketServer, sent: bytes) -> None:
    with Raw(server.address, DEFLATE) as client:
        client.send(sent)
        assert shorten(client.rest()) == [said(1007)]


@pytest.mark.parametrize(
    "sent",
    [
        frame(PING, b"x", rsv=4),
        frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"y", rsv=4),
        frame(TEXT, b"x", rsv=2),
    ],
)
def test_reserved_bits_with_compression(server: WebSocketServer, sent: bytes) -> None:
    with Raw(server.address, DEFLATE) as client:
        client.send(sent)
        assert shorten(client.rest()) == [said(1002)]
