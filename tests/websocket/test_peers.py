"""Talking to another implementation: `websockets`, in a native thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rawframes import random_bytes
from websockets.sync import client as peer
from websockets.sync import server as peer_server

from corolib.testing import settle
from corolib.threadpool import ThreadPool
from corolib.websocket import WebSocketServer, connect

#: Text and bytes, from nothing to what takes several frames, that compresses well and not at all.
MESSAGES: list[str | bytes] = [
    *("", "x", "grüße €\U0001f600", "a" * 125, "b" * 126, "c" * 65535, "d" * 65536, "e" * 300_000),
    *(b"", b"\x00", random_bytes(126), random_bytes(70_000), bytes(300_000)),
]


#: Bounds what would otherwise hang; theirs would be 10 s.
LONG = 60


@contextmanager
def server(handle: Callable[[Any], object], **options: Any) -> Iterator[str]:
    """A server of `websockets`: where it is."""
    with peer_server.serve(handle, "127.0.0.1", 0, open_timeout=LONG, **options) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{made.socket.getsockname()[1]}/"
        finally:
            made.shutdown()
            thread.join()


def echo(ws: Any) -> None:
    for message in ws:
        ws.send(message)


@pytest.mark.parametrize("theirs", [None, "deflate"])
@pytest.mark.parametrize("ours", [False, True])
def test_our_client_and_their_server(ours: bool, theirs: str | None) -> None:
    with server(echo, compression=theirs) as url, connect(url, compression=ours) as ws:
        for message in MESSAGES:
            ws.send(message)
            assert ws.receive() == message
        ws.send_fragments(["a" * 1000, "b", "c" * 100_000])
        assert ws.receive() == "a" * 1000 + "b" + "c" * 100_000
        ws.ping(b"x")
        ws.close(4001, "grüße")
        assert (ws.close_code, ws.close_reason) == (4001, "grüße")


def test_their_server_closes_first() -> None:
    with server(lambda ws: ws.close(4002, "bye")) as url, connect(url) as ws:
        assert ws.receive() is None
        assert (ws.close_code, ws.close_reason) == (4002, "bye")


@pytest.mark.parametrize("theirs", [None, "deflate"])
@pytest.mark.parametrize("ours", [False, True])
def test_their_client_and_our_server(ours: bool, theirs: str | None) -> None:
    def talk(url: str) -> str:
        with peer.connect(url, compression=theirs, open_timeout=LONG, close_timeout=LONG) as ws:
            for message in MESSAGES:
                ws.send(message)
                assert ws.recv() == message
            ws.send(iter(["a" * 1000, "b", "c" * 100_000]))
            assert ws.recv() == "a" * 1000 + "b" + "c" * 100_000
            assert ws.ping(b"x").wait(LONG)
            ws.close(4003, "grüße")
            return f"{ws.protocol.close_code} {ws.protocol.close_reason}"

    ends: list[Any] = []

    def handle(ws: Any) -> None:
        echo(ws)
        ends.append((ws.close_code, ws.close_reason))

    pool = ThreadPool(1)
    with WebSocketServer(("127.0.0.1", 0), handle, options={"compression": ours}) as made:
        made.start()
        assert pool.spawn(talk, f"ws://127.0.0.1:{made.server_port}/").get() == "4003 grüße"
    settle()
    pool.kill()
    assert ends == [(4003, "grüße")]
