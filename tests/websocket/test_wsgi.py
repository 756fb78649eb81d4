"""WebSockets in WSGI applications."""

from collections.abc import Iterator
from typing import Any

import pytest
from rawframes import BINARY, CLOSE, TEXT, Raw, close, frame

import corolib
from corolib import socket
from corolib.event import Event
from corolib.hub import get_hub, sleep
from corolib.pywsgi import WSGIServer
from corolib.testing import settle
from corolib.websocket import HandshakeError, WebSocketHandler, connect

HERE = ("127.0.0.1", 0)


@pytest.fixture
def serve(started: Any) -> Any:
    def make(application: Any, handler: type = WebSocketHandler, **attributes: Any) -> WSGIServer:
        server = WSGIServer(HERE, application, handler_class=handler, log=None, error_log=None)
        vars(server).update(attributes)
        return started(server)

    return make


@pytest.fixture
def errors() -> Iterator[list[Any]]:
    """The types of what the hub was told."""
    found: list[Any] = []
    get_hub().handle_error = lambda context, type, value, tb: found.append(type)  # type: ignore[method-assign]
    yield found
    del get_hub().handle_error


def echo(environ: dict[str, Any], start_response: Any) -> Any:
    ws = environ.get("wsgi.websocket")
    if ws is None:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"a page"]
    for message in ws:
        ws.send(message)
    return None  # as applications for other servers do


def url(server: Any) -> str:
    return f"ws://127.0.0.1:{server.server_port}/"


@pytest.mark.parametrize("compression", [False, True])
def test_echo(serve: Any, compression: bool) -> None:
    with connect(url(serve(echo)), compression=compression) as ws:
        for message in ("grüße", b"\x00\xff", "x" * 200_000):
            ws.send(message)
            assert ws.receive() == message
    assert ws.close_code == 1000


def test_pages_are_served_beside(serve: Any) -> None:
    server = serve(echo)
    with socket.create_connection(server.address) as client:
        for _ in range(2):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            data = b""
            while not data.endswith(b"a page"):
                data += client.recv(1000)
            assert data.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_websocket_after_other_requests_and_frames_that_come_with_the_request(serve: Any) -> None:
    with Raw(serve(echo).address, handshake=False) as client:
        client.send(
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            + frame(BINARY, b"GET / HTTP/1.1\r\n\r\n")
            + frame(TEXT, b"early")
        )
        assert client.until(b"a page").startswith(b"HTTP/1.1 200 OK")
        head = client.until(b"\r\n\r\n").decode()
        assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
        assert "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        assert "Content-Length" not in head and "chunked" not in head
        assert client.frame()[:2] == (BINARY, b"GET / HTTP/1.1\r\n\r\n")
        assert client.frame()[:2] == (TEXT, b"early")
        client.send(close(1000))
        assert client.rest() == [(CLOSE, b"\x03\xe8")]


def test_byte_by_byte(serve: Any) -> None:
    request = (
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with Raw(serve(echo).address, handshake=False) as client:
        for byte in request + frame(TEXT, b"slow") + close(1000):
            client.send(bytes([byte]))
            settle()
        client.until(b"\r\n\r\n")
        assert client.rest() == [(TEXT, b"slow"), (CLOSE, b"\x03\xe8")]


def test_an_application_that_does_not_use_it_refuses(serve: Any) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        assert "wsgi.websocket" in environ
        start_response("403 Forbidden", [])
        return [b"not you"]

    with pytest.raises(HandshakeError) as caught:
        connect(url(serve(application)))
    assert caught.value.status == 403


def test_what_was_refused_is_forgotten_by_the_next_request(serve: Any) -> None:
    seen: list[bool] = []

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        seen.append("wsgi.websocket" in environ)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"no"]

    with Raw(serve(application).address) as client:
        client.until(b"no")
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in client.until(b"no")
    assert seen == [True, False]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("Version: 13", "Version: 8"), b"426"),
        (("dGhlIHNhbXBsZSBub25jZQ==", "short"), b"400"),
    ],
)
def test_a_wrong_handshake_never_reaches_the_application(
    serve: Any, change: tuple[str, str], status: bytes
) -> None:
    calls: list[Any] = []
    request = (
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).replace(*change)
    with Raw(serve(lambda *call: calls.append(call)).address, handshake=False) as client:
        client.send(request.encode())
        assert client.until(b"\r\n").startswith(b"HTTP/1.1 " + status)
        with pytest.raises(EOFError):
            client.until(b"no such thing")
    assert calls == []


def test_the_application_chooses_the_subprotocol(serve: Any) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        ws = environ["wsgi.websocket"]
        with pytest.raises(ValueError, match="'none'"):
            ws.accept("none")
        ws.accept("b", [("X-More", "more")])
        ws.accept()
        ws.send(ws.path + ws.subprotocol)
        return []

    with connect(url(serve(application)), subprotocols=["a", "b"]) as ws:
        assert (ws.subprotocol, ws.receive()) == ("b", "/b")


def test_failures_are_reported_and_close_with_1011(serve: Any, errors: list[Any]) -> None:
    def application(environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.websocket"].send("x")
        raise KeyError("x")

    with connect(url(serve(application))) as ws:
        assert ws.receive() == "x"
        assert ws.receive() is None
        assert ws.close_code == 1011
    settle()
    assert errors == [KeyError]


def test_sending_to_a_peer_that_is_gone_is_no_news(serve: Any, errors: list[Any]) -> None:
    over = Event()

    def application(environ: dict[str, Any], start_response: Any) -> Any:
        ws = environ["wsgi.websocket"]
        try:
            while True:
                ws.send("x" * 1000)
                sleep(0)
        finally:
            over.set()

    with Raw(serve(application).address):
        pass
    assert over.wait(60)
    settle()
    assert errors == []


@pytest.mark.corolib(clock=True)
def test_the_limits_of_requests_end_where_the_websocket_begins(serve: Any) -> None:
    class Handler(WebSocketHandler):
        websocket_options = {"max_message": 10}

    limits = dict.fromkeys(
        ("request_timeout", "keepalive_timeout", "connect_timeout", "header_timeout"), 0.05
    )
    with connect(url(serve(echo, Handler, **limits))) as ws:
        ws.send("before")
        assert ws.receive() == "before"
        sleep(0.2)
        ws.send("after")
        assert ws.receive() == "after"
        ws.send("x" * 11)
        assert ws.receive() is None
        assert ws.close_code == 1009


def test_draining_cuts_what_goes_on_for_ever(serve: Any) -> None:
    server = serve(echo)
    with connect(url(server)) as ws:
        ws.send("x")
        assert ws.receive() == "x"
        draining = corolib.spawn(server.drain, 0.05)
        assert ws.receive() is None
        assert ws.close_code == 1001
        assert draining.get(timeout=60) == 1
