"""WebSockets (RFC 6455, and RFC 7692 for compression): both sides, over cooperative sockets.

    def chat(ws):                                  # ws is environ["wsgi.websocket"], or a WebSocketServer's
        for message in ws:                         # str or bytes, until the peer closes
            ws.send(message)

    with connect("wss://example.org/chat") as ws:
        ws.send("hello")
        print(ws.receive())

What is a frame, and what is wrong with one, is decided by `wsproto`, which does no I/O (install
`corolib[websocket]`). Here is what it leaves to others: waiting, limits, deadlines, and who may send when.

One greenlet at a time receives; any number may send, also meanwhile. Pings are answered while somebody is in
receive(). The limits hold however a message is cut into frames, and before it is decompressed whole.
"""

try:
    import wsproto as _wsproto  # noqa: F401
except ImportError as error:
    raise ImportError(
        f"corolib.websocket needs wsproto: pip install 'corolib[websocket]' ({error})"
    ) from error

from .client import connect
from .connection import HandshakeError, WebSocket, WebSocketClosed, WebSocketError
from .server import WebSocketServer, from_environ
from .wsgi import WebSocketHandler

__all__ = [
    "HandshakeError",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketError",
    "WebSocketHandler",
    "WebSocketServer",
    "connect",
    "from_environ",
]
