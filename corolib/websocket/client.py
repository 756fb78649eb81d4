"""The client's side: connect()."""

from _socket import IPPROTO_TCP, TCP_NODELAY
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from wsproto import ConnectionType, WSConnection, events
from wsproto.utilities import ProtocolError

from ..socket import create_connection
from ..timeout import Timeout
from .connection import CHUNK, HANDSHAKE_TIMEOUT, MAX_MESSAGE, Deflate, HandshakeError, WebSocket

if TYPE_CHECKING:
    import ssl

__all__ = ["connect"]


def connect(
    url: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Iterable[tuple[str, str]] = (),
    timeout: float | None = HANDSHAKE_TIMEOUT,
    ssl_context: "ssl.SSLContext | None" = None,
    compression: bool = True,
    **options: Any,
) -> WebSocket:
    """Connect to ws://host/path, or wss:// with TLS. Switches.

    `subprotocols` are offered, `headers` sent with the request. All has `timeout` seconds, then TimeoutError.
    ValueError if it is no such address, OSError if there is no connection, HandshakeError if the answer is
    not one to a handshake. `options` are WebSocket's.
    """
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.fragment:
        raise ValueError(f"expected ws://host[:port]/path or wss://..., without #, found {url!r}")
    secure = parts.scheme == "wss"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    limit = Timeout.start_new(timeout)
    sock: Any = None
    try:
        try:
            sock = create_connection((parts.hostname, parts.port or (443 if secure else 80)), timeout=None)
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            if secure:
                sock = _secured(sock, parts.hostname, ssl_context)
            longest = options.get("max_message", MAX_MESSAGE)
            request = events.Request(
                host=parts.netloc.rpartition("@")[2],
                target=target,
                subprotocols=list(subprotocols),
                extensions=[Deflate(longest)] if compression else [],
                extra_headers=[(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers],
            )
            connection, subprotocol = _shake_hands(sock, request)
        except Timeout as error:
            if error is not limit:
                raise
            raise TimeoutError(f"no WebSocket within {timeout:g} s") from None
        finally:
            limit.cancel()
    except BaseException:
        if sock is not None:
            sock.close()
        raise
    return WebSocket(sock, connection, client=True, subprotocol=subprotocol, path=target, **options)


def _secured(sock: Any, host: str, context: "ssl.SSLContext | None") -> Any:
    from ..ssl import SSLSocket, create_default_context  # only where TLS is spoken

    context = context or create_default_context()
    made: Callable[..., Any] = getattr(SSLSocket, "_create")  # noqa: B009 - the standard library's, adopted
    return made(sock, context=context, server_hostname=host)


def _shake_hands(sock: Any, request: Any) -> tuple[WSConnection, str | None]:
    connection = WSConnection(ConnectionType.CLIENT)
    try:
        sock.sendall(connection.send(request))
        while True:
            data = sock.recv(CHUNK)
            if not data:
                raise HandshakeError("the connection was closed before an answer to the handshake")
            connection.receive_data(data)
            for event in connection.events():
                if isinstance(event, events.AcceptConnection):
                    return connection, event.subprotocol
                if isinstance(event, events.RejectConnection):
                    raise HandshakeError(
                        f"the server refused the handshake with status {event.status_code}", event.status_code
                    )
    except (ProtocolError, ValueError) as error:
        raise HandshakeError(f"the answer to the handshake is wrong: {error}") from None
