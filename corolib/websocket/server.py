"""The server's side: the handshake, for web servers that have read the request; and a server of its own."""

from _socket import SHUT_WR
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from h11 import NEED_DATA, SERVER, EndOfMessage, RemoteProtocolError, Request
from h11 import Connection as H11Connection
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.utilities import generate_accept_token

from ..greenlet import Greenlet
from ..hub import get_hub
from ..server.listeners import set_for_answers
from ..server.stream import StreamServer
from ..timeout import Timeout
from .connection import AWAY, CHUNK, CLOSE_TIMEOUT, LINGER_BYTES, Deflate, HandshakeError, WebSocket

__all__ = ["WebSocketServer", "check_handshake", "from_environ", "negotiate_deflate"]


class _Accepting(WebSocket):
    """A connection whose handshake waits for the application."""

    _respond: Callable[[str, list[tuple[str, str]]], object]
    _buffered: Callable[[], bytes]
    _compression: bool

    def accept(self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        if self._connection is not None:
            return
        environ = self.environ
        if subprotocol is not None and subprotocol not in _tokens(environ, "HTTP_SEC_WEBSOCKET_PROTOCOL"):
            raise ValueError(f"expected a subprotocol that the client offers, found {subprotocol!r}")
        token = generate_accept_token(environ["HTTP_SEC_WEBSOCKET_KEY"].strip().encode("latin-1")).decode()
        answer = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", token)]
        if subprotocol is not None:
            answer.append(("Sec-WebSocket-Protocol", subprotocol))
        extensions: list[Extension] = []
        if self._compression:
            offers = environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "")
            agreed = negotiate_deflate(offers, self.max_message)
            if agreed is not None:
                extensions.append(agreed[0])
                answer.append(("Sec-WebSocket-Extensions", agreed[1]))
        self.subprotocol = subprotocol
        connection = Connection(ConnectionType.SERVER, extensions)
        self._respond("101 Switching Protocols", [*answer, *headers])
        self._sock.settimeout(None)
        connection.receive_data(self._buffered())
        self._connection = connection


def from_environ(
    environ: dict[str, Any],
    sock: Any,
    respond: Callable[[str, list[tuple[str, str]]], object],
    buffered: Callable[[], bytes] = bytes,
    *,
    compression: bool = True,
    **options: Any,
) -> WebSocket | None:
    """For web servers: what becomes `environ["wsgi.websocket"]`; None if the request is for something else.

    The connection is taken over when the application uses it first: `respond(status, headers)` then sends the
    head of the answer, and `buffered()` gives what has come after the request. Until then the application may
    answer as ever. HandshakeError, with the status to answer, if the handshake is wrong. `options` are those
    of WebSocket. Never switches.
    """
    if environ.get("HTTP_UPGRADE", "").strip().lower() != "websocket":
        return None
    check_handshake(environ)
    made = _Accepting(sock, None, environ=environ, **options)
    made._respond = respond
    made._buffered = buffered
    made._compression = compression
    return made


def check_handshake(environ: dict[str, Any]) -> None:
    """HandshakeError, with the status to answer, unless the request is a handshake of RFC 6455, 4.2.1."""
    if environ.get("REQUEST_METHOD") != "GET" or environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        raise HandshakeError("expected GET and HTTP/1.1", 400)
    if "upgrade" not in (token.lower() for token in _tokens(environ, "HTTP_CONNECTION")):
        raise HandshakeError("expected `Connection: Upgrade`", 400)
    version = environ.get("HTTP_SEC_WEBSOCKET_VERSION", "").strip()
    if version != "13":
        raise HandshakeError(f"expected Sec-WebSocket-Version 13, found {version!r}", 426)
    key = environ.get("HTTP_SEC_WEBSOCKET_KEY", "").strip()
    try:
        right = len(key) == 24 and len(b64decode(key, validate=True)) == 16
    except ValueError:
        right = False
    if not right:
        raise HandshakeError(f"expected 16 bytes in base64 as Sec-WebSocket-Key, found {key!r}", 400)


def _tokens(environ: dict[str, Any], name: str) -> list[str]:
    return [token for part in environ.get(name, "").split(",") if (token := part.strip())]


def negotiate_deflate(offers: str, limit: int) -> tuple[PerMessageDeflate, str] | None:
    """The extension, and what to answer, for the first offer that is right and can be met; None if there is
    none.
    """
    for offer in offers.split(","):
        name, *rest = (piece.strip() for piece in offer.split(";"))
        if name.lower() != PerMessageDeflate.name:
            continue
        parameters = dict[str, str]()
        for each in rest:
            key, equals, value = (piece.strip() for piece in each.partition("="))
            value = value.strip('"')
            if key in parameters or not _is_parameter(key, equals, value):
                break
            parameters[key] = f"{key}={value}" if value else key
        else:
            made = Deflate(limit)
            answer = made.accept("; ".join([name, *parameters.values()]))
            if isinstance(answer, str):
                return made, f"{made.name}; {answer}" if answer else made.name
    return None


def _is_parameter(key: str, equals: str, value: str) -> bool:
    if key in ("client_no_context_takeover", "server_no_context_takeover"):
        return not equals
    if key == "client_max_window_bits" and not equals:
        return True
    return key in ("client_max_window_bits", "server_max_window_bits") and value in _WINDOWS


_WINDOWS: Final = tuple(map(str, range(8, 16)))


class WebSocketServer(StreamServer):
    """A server for WebSockets and nothing else: calls `handle(ws)` for each, and closes it after that.

    `listener`, `spawn`, TLS and the rest as in StreamServer. `subprotocols` are those that are spoken, the
    best first. `origins` are the sites whose pages may connect, as browsers send them: "https://example.org"
    (None: all). Who is no browser sends what it likes. `options` are those of WebSocket, and `compression`.
    The request has `handshake_timeout` seconds, after the same for TLS.
    """

    def __init__(
        self,
        listener: Any,
        handle: Callable[..., object] | None = None,
        backlog: int | None = None,
        spawn: Any = "default",
        *,
        subprotocols: Sequence[str] = (),
        origins: Iterable[str] | None = None,
        options: dict[str, Any] | None = None,
        **server_args: Any,
    ) -> None:
        self.subprotocols = tuple(subprotocols)
        self.origins = None if origins is None else frozenset(origins)
        self.options = options or {}
        #: The open connections.
        self._open: set[WebSocket] = set()
        super().__init__(listener, handle, backlog, spawn, **server_args)

    def set_handle(self, handle: Callable[..., object] | None) -> None:
        """Set what is called with each WebSocket."""
        super().set_handle(handle)
        if self.handle != self.handle_connection:
            self._application: Callable[..., object] = self.handle
        # Called with a socket and an address, after the TLS handshake if there is one.
        super().set_handle(self.handle_connection)

    def handle_connection(self, sock: Any, address: Any) -> None:
        """What runs for each connection: the request, the handler, the end. Switches."""
        try:
            with Timeout(self.handshake_timeout, HandshakeError("no request in time", 408)):
                environ, rest = _read_request(sock, address)
            respond = partial(_send_head, sock)
            ws = from_environ(environ, sock, respond, lambda: rest, **self.options)
            if ws is None:
                raise HandshakeError("expected a request to upgrade to websocket", 426)
            if self.origins is not None and ws.origin not in self.origins:
                raise HandshakeError(f"pages of {ws.origin!r} may not connect", 403)
        except HandshakeError as error:
            _refuse(sock, error)
            return
        except OSError:
            return  # gone before its request was complete
        offered = _tokens(environ, "HTTP_SEC_WEBSOCKET_PROTOCOL")
        try:
            ws.accept(next((each for each in self.subprotocols if each in offered), None))
        except OSError:
            return
        self._open.add(ws)
        try:
            with ws:
                self._application(ws)
        finally:
            self._open.discard(ws)

    def prepare_socket(self, listener: Any) -> None:
        """As in StreamServer; a message goes at once, and little is kept for a slow peer."""
        set_for_answers(listener)
        super().prepare_socket(listener)

    def drain_started(self) -> None:
        """Tell everybody that the server goes away."""
        for ws in list(self._open):
            get_hub().loop.run_callback(_spawn_close, ws)


def _spawn_close(ws: WebSocket) -> None:
    Greenlet.spawn(ws.close, AWAY, "the server goes away")


def _read_request(sock: Any, address: Any) -> tuple[dict[str, Any], bytes]:
    """The environ of the one request, and what came after it."""
    reader = H11Connection(SERVER, max_incomplete_event_size=16384)
    try:
        while (event := reader.next_event()) is NEED_DATA:
            reader.receive_data(sock.recv(CHUNK))
        if not isinstance(event, Request):
            raise ConnectionResetError("the connection was closed before a request")
        while (more := reader.next_event()) is NEED_DATA:
            reader.receive_data(sock.recv(CHUNK))
        if not isinstance(more, EndOfMessage):
            raise HandshakeError("expected a request without a body", 400)
    except RemoteProtocolError as error:
        raise HandshakeError(str(error), error.error_status_hint or 400) from None
    path, _, query = event.target.decode("latin-1").partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": event.method.decode("latin-1"),
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": f"HTTP/{event.http_version.decode('latin-1')}",
        "REMOTE_ADDR": address[0] if isinstance(address, tuple) else "",
    }
    for name, value in event.headers:
        key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ, reader.trailing_data[0]


def _send_head(sock: Any, status: str, headers: list[tuple[str, str]]) -> None:
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    if any(character in line for line in lines for character in "\r\n\0"):
        raise ValueError(f"expected headers of one line each, found {headers!r}")
    sock.sendall("".join([*(line + "\r\n" for line in lines), "\r\n"]).encode("latin-1"))


def _refuse(sock: Any, error: HandshakeError) -> None:
    body = f"{error}\n".encode("ascii", "backslashreplace").decode()
    headers = [("Connection", "close"), ("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
    if error.status == 426:
        headers += [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    try:
        with Timeout(CLOSE_TIMEOUT, False):
            _send_head(sock, f"{error.status} {_REASONS.get(error.status or 400, 'Bad Request')}", headers)
            sock.sendall(body.encode())
            sock.shutdown(SHUT_WR)
            for _ in range(LINGER_BYTES // CHUNK):
                if not sock.recv(CHUNK):
                    break
    except OSError:
        pass  # gone already


_REASONS: Final = {
    400: "Bad Request",
    403: "Forbidden",
    408: "Request Timeout",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
}
