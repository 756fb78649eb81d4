"""A WebSocket from both sides: messages, limits, deadlines, the end."""

from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from rawframes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Raw, close, frame

import corolib
from corolib import socket, ssl
from corolib.event import Event
from corolib.hub import get_hub, sleep
from corolib.queue import Queue
from corolib.server import StreamServer
from corolib.server.listeners import UNSENT
from corolib.testing import settle
from corolib.websocket import (
    HandshakeError,
    WebSocket,
    WebSocketClosed,
    WebSocketError,
    WebSocketServer,
    connect,
)

HERE = ("127.0.0.1", 0)


def echo(ws: Any) -> None:
    for message in ws:
        ws.send(message)


def url(server: Any, path: str = "/") -> str:
    return f"ws://127.0.0.1:{server.server_port}{path}"


@pytest.fixture
def serve(started: Any) -> Any:
    return lambda handle=echo, **arguments: started(WebSocketServer(HERE, handle, **arguments))


# -- messages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [False, True])
def test_messages_come_back_as_they_were(serve: Any, compression: bool) -> None:
    with connect(url(serve()), compression=compression) as ws:
        for message in ("", "grüße", "x" * 100_000, b"", b"\x00\xff" * 50_000):
            ws.send(message)
            assert ws.receive() == message
        ws.send(bytearray(b"ab"))
        assert ws.receive() == b"ab"
        ws.send(memoryview(b"cd"))
        assert ws.receive() == b"cd"
        ws.send("text as bytes", binary=True)
        assert ws.receive() == b"text as bytes"
        ws.send(b"bytes as text", binary=False)
        assert ws.receive() == "bytes as text"
        with pytest.raises(TypeError):
            ws.send(5)
        assert repr(ws) == "<WebSocket '/' open>"
    assert repr(ws) == "<WebSocket '/' closed 1000>"


def test_a_message_goes_at_once_and_little_is_kept(serve: Any) -> None:
    options = []

    def handle(ws: Any) -> None:
        for option in (socket.TCP_NODELAY, socket.TCP_NOTSENT_LOWAT):
            options.append(ws._sock.getsockopt(socket.IPPROTO_TCP, option))

    connect(url(serve(handle))).receive()
    assert options == [1, UNSENT]


def test_messages_in_fragments(serve: Any) -> None:
    server = serve(lambda ws: ws.send_fragments(iter(["a", "b", "c"])))
    with Raw(server.address) as client:
        assert [client.frame()[:3] for _ in range(3)] == [
            (TEXT, b"a", False),
            (CONTINUATION, b"b", False),
            (CONTINUATION, b"c", True),
        ]
    with connect(url(server)) as ws:
        assert ws.receive() == "abc"
    with connect(url(serve())) as ws:
        ws.send_fragments([b"1", b"2", b"3"])
        assert ws.receive() == b"123"
        ws.send_fragments([])
        assert ws.receive() == ""


def test_nobody_sends_into_a_fragmented_message(serve: Any) -> None:
    gate = Event()

    def handle(ws: Any) -> None:
        def parts() -> Iterator[str]:
            yield "a"
            yield "b"
            gate.wait()
            yield "c"

        sending = corolib.spawn(ws.send_fragments, parts())
        settle()
        other = corolib.spawn(ws.send, "other")
        settle()
        gate.set()
        corolib.joinall([sending, other], raise_error=True)

    with connect(url(serve(handle))) as ws:
        assert list(ws) == ["abc", "other"]


def test_half_a_message_ends_the_connection(serve: Any) -> None:
    def parts() -> Iterator[str]:
        yield "a"
        yield "b"
        raise KeyError("c")

    closes: list[Any] = []

    def handle(ws: Any) -> None:
        with pytest.raises(KeyError):
            ws.send_fragments(parts())
        with pytest.raises(WebSocketClosed):
            ws.send("x")
        closes.append(ws.close_code)

    with connect(url(serve(handle))) as ws:
        assert ws.receive() is None
        assert ws.close_code == 1006
    assert closes == [1011]


def test_many_send_while_one_receives(serve: Any) -> None:
    with connect(url(serve())) as ws:
        senders = [corolib.spawn(ws.send, f"{number}" * 1000) for number in range(10)]
        got = [ws.receive() for _ in range(10)]
        corolib.joinall(senders, raise_error=True)
        assert sorted(got) == sorted(f"{number}" * 1000 for number in range(10))


def test_two_cannot_receive(serve: Any) -> None:
    with connect(url(serve())) as ws:
        first = corolib.spawn(ws.receive)
        settle()
        with pytest.raises(WebSocketError, match="receiving from this connection already"):
            ws.receive()
        ws.send("for the first")
        assert first.get(timeout=60) == "for the first"


def test_receiving_has_a_time_limit_and_loses_nothing(serve: Any) -> None:
    def handle(ws: Any) -> None:
        with pytest.raises(TimeoutError):
            ws.receive(timeout=0.01)
        ws.send("late")
        ws.send(ws.receive(timeout=60))

    with Raw(serve(handle).address) as client:
        client.send(frame(TEXT, b"hello")[:7])
        assert client.frame()[:2] == (TEXT, b"late")
        client.send(frame(TEXT, b"hello")[7:])
        assert client.frame()[:2] == (TEXT, b"hello")


# -- pings ---------------------------------------------------------------------------------------------------


def test_pings_are_answered_while_receiving(serve: Any) -> None:
    with connect(url(serve())) as ws:
        ws.ping(b"x")
        ws.ping()
        ws.send("after")
        assert ws.receive() == "after"
        with pytest.raises(ValueError, match="125 bytes at most, found 126"):
            ws.ping(bytes(126))


@pytest.mark.corolib(clock=True)
def test_a_silent_peer_is_asked_and_then_given_up(serve: Any) -> None:
    ends: list[Any] = []

    def handle(ws: Any) -> None:
        ends.append((ws.receive(), ws.receive(), ws.close_code, ws.close_reason))

    server = serve(handle, options={"ping_interval": 0.01})
    with Raw(server.address) as client:
        for _ in range(3):
            assert client.frame()[:2] == (PING, b"")
            client.send(frame(PONG))
        client.send(frame(TEXT, b"x"))
        assert (PING, b"") in client.rest()
    assert ends == [("x", None, 1006, "the peer gives no sign of life")]


# -- limits --------------------------------------------------------------------------------------------------


def pieces(total: int, each: int) -> list[bytes]:
    count = total // each
    return [
        frame(CONTINUATION if number else BINARY, bytes(each), fin=number == count - 1)
        for number in range(count)
    ]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ([frame(BINARY, bytes(1001))], "the message is too long"),
        (pieces(1100, 100), "the message is too long"),
        ([frame(BINARY, bytes(501))], "the frame is too long"),
        ([frame(BINARY, b"", fin=False), frame(CONTINUATION, bytes(501))], "the frame is too long"),
    ],
)
def test_what_is_too_long_is_refused(serve: Any, sent: list[bytes], reason: str) -> None:
    limit = {"max_message": 1000, "max_frame": 500 if "frame" in reason else None}
    ends: list[Any] = []

    def handle(ws: Any) -> None:
        ends.append((ws.receive(), ws.close_code))

    with Raw(serve(handle, options=limit).address) as client:
        client.send(b"".join(sent))
        ((opcode, payload),) = client.rest()
        assert opcode == CLOSE
        assert payload.startswith(b"\x03\xf1" + reason.encode())
    settle()
    assert ends == [(None, 1009)]


def test_what_is_just_short_enough_is_taken(serve: Any) -> None:
    server = serve(
        lambda ws: ws.send(str(len(ws.receive()))), options={"max_message": 1000, "max_frame": 500}
    )
    with Raw(server.address) as client:
        client.send(b"".join(pieces(1000, 500)))
        assert client.frame()[1] == b"1000"


def test_a_length_is_only_an_announcement(serve: Any) -> None:
    """Memory is taken for what has come, never for what is said to come (CVE-2021-21419)."""
    import resource

    with Raw(serve().address) as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        client.send(b"\x82\xff" + (1 << 62).to_bytes(8, "big") + b"\0\0\0\0" + bytes(100_000))
        settle()
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024
        client.send(bytes(1 << 20))
        assert client.rest()[-1][1][:2] == b"\x03\xf1"


@pytest.mark.parametrize("pieces", [1, 100])
def test_what_inflates_beyond_the_limit_is_refused(serve: Any, pieces: int) -> None:
    import resource
    import zlib

    made = zlib.compressobj(level=9, wbits=-15)
    bomb = made.compress(bytes(100_000_000)) + made.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 100_000
    step = len(bomb) // pieces + 1
    with Raw(serve().address, "Sec-WebSocket-Extensions: permessage-deflate") as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            for at in range(0, len(bomb), step):
                opcode, rsv = (CONTINUATION, 0) if at else (BINARY, 4)
                client.send(frame(opcode, bomb[at : at + step], fin=at + step >= len(bomb), rsv=rsv))
        except OSError:
            pass
        assert client.rest()[-1][1][:2] == b"\x03\xf1"
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_many_small_pieces_of_a_message_take_little_memory(serve: Any, kind: int) -> None:
    """Pieces of nothing, of which any number may come, and of one byte, whose objects are larger."""
    seen: list[Any] = []

    def handle(ws: Any) -> None:
        seen.append(ws)
        seen.append(ws.receive())

    with Raw(serve(handle).address) as client:
        client.send(frame(kind, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 1000)
        settle()
        assert seen[0]._parts == []
        client.send(frame(CONTINUATION, b"x", fin=False) * 1000)
        settle()
        assert len(seen[0]._parts) <= 65
        client.send(frame(CONTINUATION, b"y"))
        settle()
    assert seen[1] == ("x" * 1000 + "y" if kind == TEXT else b"x" * 1000 + b"y")


@pytest.mark.parametrize(
    "small",
    [
        pytest.param(frame(TEXT, b"a"), id="messages"),
        pytest.param(frame(PONG, b""), id="pongs"),
        pytest.param(frame(CONTINUATION, b"", fin=False), id="fragments"),
    ],
)
def test_a_flood_of_small_frames_leaves_others_their_turns(
    serve: Any, small: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They come at once, and cost much more time than bytes."""
    begin, over = Event(), Event()
    turns = 0
    at: list[int] = []  # which turn it is at each frame
    take = WebSocket._take

    def noting(ws: Any, event: Any) -> Any:
        at.append(turns)
        return take(ws, event)

    def handle(ws: Any) -> None:
        begin.wait()
        for message in ws:
            if message == "last":
                over.set()

    monkeypatch.setattr(WebSocket, "_take", noting)
    fragments = small.startswith(frame(CONTINUATION, b"", fin=False)[:1])
    with Raw(serve(handle).address) as client:
        client.sock.sendall(frame(TEXT, b"", fin=False) if fragments else b"")
        client.sock.sendall(small * 2000 + frame(CONTINUATION if fragments else TEXT, b"last"))
        settle()
        begin.set()
        while not over.is_set():
            turns += 1
            sleep(0)
    assert len(at) > 2000
    assert len(set(at)) > 20


@pytest.mark.corolib(clock=True)
def test_who_floods_with_pings_and_takes_no_answers_is_cut(serve: Any) -> None:
    """And others are served meanwhile."""
    ends: list[Any] = []

    def handle(ws: Any) -> None:
        ws._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # so that it is soon full
        echo(ws)
        ends.append(ws.close_code)

    server = serve(handle, options={"send_timeout": 0.2})
    flood = frame(PING, bytes(125)) * 100
    with Raw(server.address) as attacker, connect(url(server)) as other:
        attacker.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        attacker.sock.settimeout(0.05)
        rounds = 0
        while not ends:
            try:
                attacker.sock.sendall(flood)
            except OSError:
                pass
            other.send("hello")
            assert other.receive() == "hello"
            rounds += 1
    assert ends[0] == 1006
    assert rounds > 1


def test_a_limit_on_messages_is_for_each(serve: Any) -> None:
    with connect(url(serve(options={"max_message": 1000}))) as ws:
        for _ in range(5):
            ws.send("x" * 900)
            assert ws.receive() == "x" * 900


def test_a_peer_that_takes_nothing_is_cut(serve: Any) -> None:
    ends: list[Any] = []

    def handle(ws: Any) -> None:
        with pytest.raises(WebSocketClosed, match="takes nothing"):
            while True:
                ws.send(b"x" * 100_000)
        ends.append((ws.closed, ws.close_code, ws.receive()))

    with Raw(serve(handle, options={"send_timeout": 0.05}).address):
        while not ends:
            sleep(0.01)
    assert ends == [(True, 1006, None)]


# -- the end -------------------------------------------------------------------------------------------------


def test_both_sides_learn_how_it_ended(serve: Any) -> None:
    ends: Queue[Any] = Queue()

    def handle(ws: Any) -> None:
        ends.put((list(ws), ws.close_code, ws.close_reason))
        with pytest.raises(WebSocketClosed, match=r"\(4000: enough\)"):
            ws.send("too late")
        ws.close()

    ws = connect(url(serve(handle)))
    ws.send("x")
    ws.close(4000, "enough")
    assert ends.get(timeout=60) == (["x"], 4000, "enough")
    assert (ws.closed, ws.close_code, ws.close_reason, ws.receive()) == (True, 4000, "enough", None)


def test_a_handler_that_fails_closes_with_1011(serve: Any) -> None:
    get_hub().handle_error = lambda *error: None  # type: ignore[method-assign]
    with connect(url(serve(lambda ws: 1 / 0))) as ws:
        assert ws.receive() is None
        assert ws.close_code == 1011
    del get_hub().handle_error


@pytest.mark.parametrize("code", [0, 999, 1005, 1006, 1015, 2000, 5000])
def test_codes_that_may_not_be_sent(serve: Any, code: int) -> None:
    with connect(url(serve())) as ws, pytest.raises(ValueError, match=f"found {code}"):
        ws.close(code)


def test_a_connection_that_breaks_is_an_end_too(serve: Any) -> None:
    ends: Queue[Any] = Queue()
    with Raw(serve(lambda ws: ends.put((ws.receive(), ws.close_code, ws.close_reason))).address):
        pass
    assert ends.get(timeout=60) == (None, 1006, "")


def test_a_close_that_is_not_answered_is_not_waited_for_too_long(serve: Any) -> None:
    ends: Queue[Any] = Queue()

    def handle(ws: Any) -> None:
        ws.close()
        ends.put((ws.close_code, ws.close_reason))

    with Raw(serve(handle, options={"close_timeout": 0.05}).address):
        assert ends.get(timeout=60) == (1006, "the peer did not answer the close")


def test_closing_while_another_greenlet_receives(serve: Any) -> None:
    with connect(url(serve())) as ws:
        reader = corolib.spawn(ws.receive)
        settle()
        ws.close(1000, "done")
        assert reader.get(timeout=60) is None
        assert (ws.close_code, ws.close_reason) == (1000, "done")


def test_draining_says_good_bye(serve: Any) -> None:
    server = serve()
    with connect(url(server)) as ws:
        ws.send("x")
        assert ws.receive() == "x"
        draining = corolib.spawn(server.drain, 10)
        assert ws.receive() is None
        assert (ws.close_code, ws.close_reason) == (1001, "the server goes away")
        assert draining.get(timeout=60) == 0


# -- handshakes ----------------------------------------------------------------------------------------------


def test_the_request_and_the_subprotocol(serve: Any) -> None:
    def handle(ws: Any) -> None:
        ws.send(
            f"{ws.path}?{ws.environ['QUERY_STRING']} {ws.subprotocol} {ws.environ['HTTP_X_MORE']} {ws.origin}"
        )

    server = serve(handle, subprotocols=["good", "fair"])
    for offered, chosen in ((("fair", "good"), "good"), (("fair",), "fair"), (("bad",), None), ((), None)):
        headers = [("X-More", "more"), ("Origin", "https://example.org")]
        with connect(url(server, "/a%20b?c=d"), subprotocols=offered, headers=headers) as ws:
            assert ws.subprotocol == chosen
            assert ws.receive() == f"/a%20b?c=d {chosen} more https://example.org"


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"GET": "POST"}, 400),
        ({"HTTP/1.1": "HTTP/1.0"}, 400),
        ({"Upgrade: websocket": "Upgrade: h2c"}, 426),
        ({"Upgrade: websocket\r\n": ""}, 426),
        ({"keep-alive, Upgrade": "keep-alive"}, 400),
        ({"Version: 13": "Version: 8"}, 426),
        ({"Sec-WebSocket-Version: 13\r\n": ""}, 426),
        ({"dGhlIHNhbXBsZSBub25jZQ==": "dGhlIHNhbXBsZSBub25j"}, 400),
        ({"dGhlIHNhbXBsZSBub25jZQ==": "!GhlIHNhbXBsZSBub25jZQ=="}, 400),
        ({"Host: localhost\r\n": ""}, 400),
        ({"Host: localhost": "Host : localhost"}, 400),
        ({"Host: localhost": "Host: localhost\r\nContent-Length: 5\r\n\r\nhello"}, 400),
        ({"Host: localhost": "X: " + "x" * 40_000}, 431),
    ],
)
def test_a_wrong_handshake_is_refused(serve: Any, changes: dict[str, str], status: int) -> None:
    request = (
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    for before, after in changes.items():
        assert before in request
        request = request.replace(before, after)
    calls: list[Any] = []
    with Raw(serve(calls.append).address, handshake=False) as client:
        client.send(request.encode())
        assert client.until(b"\r\n").startswith(b"HTTP/1.1 %d " % status)
    assert calls == []


def test_a_request_that_does_not_come_is_not_waited_for(serve: Any) -> None:
    with Raw(serve(handshake_timeout=0.05).address, handshake=False) as client:
        client.send(b"GET / HTTP/1.1\r\n")
        assert client.until(b"\r\n").startswith(b"HTTP/1.1 408 ")


def test_pages_of_other_sites_may_be_kept_out(serve: Any) -> None:
    server = serve(origins=["https://example.org"])
    with connect(url(server), headers=[("Origin", "https://example.org")]):
        pass
    for headers in ([("Origin", "https://evil.example")], []):
        with pytest.raises(HandshakeError, match="403") as caught:
            connect(url(server), headers=headers)
        assert caught.value.status == 403


@pytest.mark.parametrize(
    ("offer", "agreed"),
    [
        ("permessage-deflate", "permessage-deflate; client_no_context_takeover; server_no_context_takeover"),
        ("permessage-deflate; client_max_window_bits", "client_max_window_bits=15"),
        ("permessage-deflate; server_max_window_bits=10", "server_max_window_bits=10"),
        ('permessage-deflate; server_max_window_bits="10"', "server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=8", None),
        ("permessage-deflate; server_max_window_bits=16", None),
        ("permessage-deflate; server_max_window_bits=x", None),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; unknown", None),
        ("permessage-deflate; client_no_context_takeover=1", None),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits", None),
        ("permessage-deflate; unknown, permessage-deflate", "permessage-deflate"),
        ("permessage-foo", None),
        ("", None),
    ],
)
def test_compression_is_agreed_on(serve: Any, offer: str, agreed: str | None) -> None:
    with Raw(serve().address, f"Sec-WebSocket-Extensions: {offer}") as client:
        if agreed is None:
            assert "Sec-WebSocket-Extensions" not in client.head
        else:
            (line,) = (line for line in client.head.splitlines() if line.startswith("Sec-WebSocket-Ext"))
            assert agreed in line
        client.send(close(1000))
        client.rest()


def test_what_follows_the_request_at_once_is_not_lost(serve: Any) -> None:
    with Raw(serve().address, handshake=False) as client:
        client.send(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            + frame(TEXT, b"early")
        )
        client.until(b"\r\n\r\n")
        assert client.frame()[:2] == (TEXT, b"early")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "status 200"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", "status 404"),
        (b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "wrong"),
        (b"HTTP/1.1 101 X\r\n\r\n", "wrong"),
        (b"nonsense\r\n\r\n", "wrong"),
        (b"", "closed before"),
    ],
)
def test_a_server_that_is_none(answer: bytes, error: str) -> None:
    def handle(sock: Any, address: Any) -> None:
        sock.recv(4096)
        sock.sendall(answer)

    with StreamServer(HERE, handle) as server:
        server.start()
        with pytest.raises(HandshakeError, match=error):
            connect(url(server))
        settle()


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(HERE) as listener:
        with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
            connect(f"ws://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.05)


@pytest.mark.parametrize("wrong", ["http://x/", "ws:///x", "ws://x/#y", "x"])
def test_urls(wrong: str) -> None:
    with pytest.raises(ValueError, match="expected ws://"):
        connect(wrong)


def test_tls(serve: Any) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    server = serve(ssl_context=context)
    with connect(f"wss://localhost:{server.server_port}/", ssl_context=trusting) as ws:
        ws.send("x" * 100_000)
        assert ws.receive() == "x" * 100_000
    assert ws.close_code == 1000
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        connect(f"wss://localhost:{server.server_port}/")
