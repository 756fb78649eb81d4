"""WebSocketHandler: `environ["wsgi.websocket"]` for applications of WSGIServer.

WSGIServer(("", 8000), application, handler_class=WebSocketHandler).serve_forever()
"""

import sys
from collections.abc import Iterable
from typing import Any

from .._switch import GreenletExit
from ..server.handler import WSGIHandler
from .connection import AWAY, INTERNAL_ERROR, HandshakeError, WebSocket, WebSocketClosed
from .server import from_environ

__all__ = ["WebSocketHandler"]


class WebSocketHandler(WSGIHandler):
    """Puts a WebSocket into the environ of each request to upgrade to one.

    It is open from its first use until the application returns, which closes it; what it returns then does
    not matter. An application that does not use it answers as ever, and so refuses. A handshake that is wrong
    is answered with 400 or 426, and never seen by the application. The server's request_timeout counts until
    the connection is open, its other deadlines as well: from then on those in `websocket_options` do.
    """

    #: The arguments of WebSocket, such as max_message, and `compression`.
    websocket_options: dict[str, Any] = {}

    _websocket: WebSocket | None = None
    _opened = False
    _wrong: HandshakeError | None = None

    def get_environ(self) -> dict[str, Any]:
        """The environ of the request, with `wsgi.websocket` if it is one to upgrade."""
        environ = super().get_environ()
        self._websocket = self._wrong = None
        if self._reader.upgrade:
            try:
                self._websocket = from_environ(
                    environ, self.socket, self._open, self._reader.rest, **self.websocket_options
                )
            except HandshakeError as error:
                self._wrong = error
            if self._websocket is not None:
                environ["wsgi.websocket"] = self._websocket
        return environ

    def _open(self, status: str, headers: list[tuple[str, str]]) -> None:
        """Answer the handshake."""
        if self.headers_sent:
            raise HandshakeError("the request has been answered already")
        self.start_response(status, headers)(b"")
        self._opened = True
        if self.request_limit is not None:
            self.request_limit.cancel()

    def run_application(self) -> None:
        """Call the application, and close the WebSocket after it if it was opened. Switches."""
        application = self.application
        if self._wrong is not None:
            self.application = self._refuse_handshake
        elif self._websocket is not None:
            self.application = self._run_with_websocket
        try:
            self._inner = application
            super().run_application()
        finally:
            self.application = application

    def _run_with_websocket(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        assert self._websocket is not None
        try:
            result: Iterable[bytes] = self._inner(environ, start_response)
        except WebSocketClosed:
            # The application has sent something to a peer that is gone: no news.
            if not self._opened:
                raise
        except BaseException:
            if self._opened:
                killed = isinstance(sys.exc_info()[1], GreenletExit)
                self._websocket.close(AWAY if killed else INTERNAL_ERROR)
            raise
        else:
            if not self._opened:
                return result
            close = getattr(result, "close", None)
            if close is not None:
                close()
        self._websocket.close()
        return []

    def _refuse_handshake(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        error = self._wrong
        assert error is not None
        status = "426 Upgrade Required" if error.status == 426 else "400 Bad Request"
        headers = [("Content-Type", "text/plain"), ("Connection", "close")]
        if error.status == 426:
            headers.append(("Sec-WebSocket-Version", "13"))
        start_response(status, headers)
        return [f"{error}\n".encode("ascii", "backslashreplace")]
