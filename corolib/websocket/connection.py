"""WebSocket: an open connection, of either side.

What is a frame, and what is wrong with one, is decided by wsproto. Here is the waiting, who may send when,
the limits, and how a connection ends.
"""

import zlib
from _socket import SHUT_WR
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Final, Self

from wsproto import WSConnection, events
from wsproto.connection import Connection, ConnectionState
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError

from ..event import Event
from ..hub import sleep
from ..lock import Semaphore
from ..timeout import Timeout

__all__ = ["Deflate", "HandshakeError", "WebSocket", "WebSocketClosed", "WebSocketError"]

#: Received in one go, and so the most that is decompressed in one go: 16 MiB at most come out of it.
CHUNK: Final = 16384
#: Bytes of a message (characters of a text) and of a frame that are taken.
MAX_MESSAGE: Final = 1 << 20
#: Seconds for the handshake, for the peer's answer to a close, and for it to take what is sent.
HANDSHAKE_TIMEOUT: Final = 10.0
CLOSE_TIMEOUT: Final = 10.0
SEND_TIMEOUT: Final = 30.0
#: After so many seconds of silence the peer is asked whether it is still there, and has as many to answer.
PING_INTERVAL: Final = 30.0
#: What is read and thrown away after a close, so that the peer gets it in place of a reset.
LINGER_BYTES: Final = 1 << 20
#: So many pieces of a message are kept as they came, more only if they have as many bytes on average. An
#: object for each byte would take 60 times what is in it, joining at each piece the square of their number.
PARTS: Final = 64
#: So many frames that have arrived are read before other greenlets have their turn.
FAIR_STREAK: Final = 64

_NORMAL, AWAY, _ABNORMAL, _TOO_BIG, INTERNAL_ERROR = 1000, 1001, 1006, 1009, 1011


class WebSocketError(Exception):
    """Something is wrong with a WebSocket."""


class WebSocketClosed(WebSocketError):
    """Nothing can be sent: the connection is closed, with `code` and `reason`."""

    def __init__(self, code: int | None, reason: str) -> None:
        super().__init__(f"the connection is closed ({code}{': ' if reason else ''}{reason})")
        self.code = code
        self.reason = reason


class HandshakeError(WebSocketError):
    """The handshake failed; `status` is that of the answer, if there was one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Deflate(PerMessageDeflate):
    """permessage-deflate that refuses a message as soon as it is too long.

    Neither side keeps its context from one message to the next: compression would cost 300 KB for each
    connection that is idle.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(client_no_context_takeover=True, server_no_context_takeover=True)
        self._limit = limit
        self._room = limit

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> bytes | CloseReason:
        """As in wsproto, of which these attributes are, but for the limit."""
        if not self._inbound_compressed or not self._inbound_is_compressible:
            return data
        assert self._decompressor is not None
        try:
            found = self._decompressor.decompress(bytes(data), self._room + 1)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._room -= len(found)
        return CloseReason.MESSAGE_TOO_BIG if self._room < 0 else found

    def frame_inbound_complete(self, proto: Any, fin: bool) -> bytes | CloseReason | None:
        """The end of a frame; with `fin` that of the message."""
        if fin and self._inbound_is_compressible:
            self._room = self._limit
        return super().frame_inbound_complete(proto, fin)


class WebSocket:
    """One connection, of either side. Made by connect(), by WebSocketServer, or found in a WSGI environ as
    `wsgi.websocket`.

    As an iterator it gives messages until the connection is closed; with `with` it is closed at the end of
    the block. `subprotocol` is the one that was agreed on, `path` and `environ` are the request's.
    `close_code` and `close_reason` are None and '' until it is closed; 1006 is an end without a good-bye.

    `max_message` and `max_frame` limit what is taken: what is longer closes the connection with 1009.
    `ping_interval` (None: never) is the seconds of silence after which receive() pings, and those it then
    waits for a sign of life. `send_timeout` and `close_timeout` are seconds, too.
    """

    def __init__(
        self,
        sock: Any,
        connection: Connection | WSConnection | None,
        *,
        client: bool = False,
        subprotocol: str | None = None,
        environ: dict[str, Any] | None = None,
        path: str = "",
        max_message: int = MAX_MESSAGE,
        max_frame: int | None = None,
        ping_interval: float | None = PING_INTERVAL,
        send_timeout: float | None = SEND_TIMEOUT,
        close_timeout: float | None = CLOSE_TIMEOUT,
    ) -> None:
        self.subprotocol = subprotocol
        self.environ = environ if environ is not None else {}
        self.path = path or self.environ.get("PATH_INFO", "")
        self.close_code: int | None = None
        self.close_reason = ""
        self.max_message = max_message
        self.max_frame = max_message if max_frame is None else max_frame
        self.ping_interval = ping_interval
        self.send_timeout = send_timeout
        self.close_timeout = close_timeout
        self._sock = sock
        self._connection = connection
        self._client = client
        self._sending = Semaphore(1)
        self._receiving = False
        self._over = Event()
        #: Frames read since others had their turn.
        self._streak = 0
        #: Of the message that is arriving: its pieces, their length, and that of the current frame.
        self._parts: list[Any] = []
        self._length = 0
        self._frame_length = 0
        if connection is not None:
            sock.settimeout(None)

    def __repr__(self) -> str:
        state = "open" if not self.closed else f"closed {self.close_code} {self.close_reason}".rstrip()
        return f"<{type(self).__name__} {self.path!r} {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        type: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(_NORMAL if type is None else AWAY if self._client else INTERNAL_ERROR)

    def __iter__(self) -> Iterator[str | bytes]:
        while (message := self.receive()) is not None:
            yield message

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self._over.is_set()

    @property
    def origin(self) -> str | None:
        """The Origin of the request: the site whose page opened the connection, if a browser did."""
        return self.environ.get("HTTP_ORIGIN")

    def accept(self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Server: answer the handshake, with a subprotocol that the client has offered, and more headers.

        Whatever uses the connection first does it otherwise; an application that answers the request in
        another way refuses it. Nothing if it is done already. Switches. ValueError for a subprotocol that was
        not offered.
        """

    def _protocol(self) -> Connection | WSConnection:
        if self._connection is None:
            self.accept()
        assert self._connection is not None
        return self._connection

    # -- receiving -------------------------------------------------------------------------------------------

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        """The next message: str for text, bytes for binary; None when the connection is closed. Switches.

        TimeoutError if none is there within `timeout` seconds; the connection goes on. WebSocketError if
        another greenlet is receiving already.
        """
        if self.closed:
            return None
        if self._receiving:
            raise WebSocketError("another greenlet is receiving from this connection already")
        self._receiving = True
        try:
            if timeout is None:
                return self._next_message()
            # Not a TimeoutError to begin with: that is an OSError, as if the connection were broken.
            limit = Timeout.start_new(timeout)
            try:
                return self._next_message()
            except Timeout as error:
                if error is not limit:
                    raise
                raise TimeoutError("timed out") from None
            finally:
                limit.cancel()
        finally:
            self._receiving = False

    def _next_message(self) -> str | bytes | None:
        while not self.closed:
            found = self._protocol().events()
            while (event := self._next_event(found)) is not None:
                message = self._take(event)
                if message is not None:
                    return message
                if self._over.is_set():
                    return None
            if not self.closed:
                self._read_more()
        return None

    def _next_event(self, found: Iterator[Any]) -> Any:
        """The next of what has arrived; None if that is all, or the connection is over. Switches at times: a
        frame is read in 20 us, and a peer that sends small ones would hold the hub as long as it likes.
        """
        self._streak += 1
        if self._streak > FAIR_STREAK:
            self._streak = 0
            sleep(0)
            if self.closed:
                return None
        return next(found, None)

    def _read_more(self) -> None:
        """Wait for bytes and hand them to the protocol."""
        try:
            data = self._recv(self.ping_interval)
            if data is None:
                self._write(events.Ping(b""))
                data = self._recv(self.ping_interval)
        except (OSError, WebSocketClosed):
            data = b""
        if data:
            self._protocol().receive_data(data)
        elif data is None:
            self._end(_ABNORMAL, "the peer gives no sign of life")
        else:
            self._end(_ABNORMAL, "")

    def _recv(self, limit: float | None) -> bytes | None:
        data: bytes | None = None
        if limit is None:
            return bytes(self._sock.recv(CHUNK))
        with Timeout(limit, False):
            data = self._sock.recv(CHUNK)
        return data

    def _take(self, event: Any) -> str | bytes | None:
        """What an event of the protocol means; a message if it is complete."""
        if isinstance(event, events.Message):
            self._add(event.data)
            if self._length > self.max_message or self._frame_length > self.max_frame:
                what = "message" if self._length > self.max_message else "frame"
                self._fail(_TOO_BIG, f"the {what} is too long")
                return None
            if event.frame_finished:
                self._frame_length = 0
            if not event.message_finished:
                return None
            parts, self._parts, self._length = self._parts, [], 0
            empty: Any = "" if isinstance(event, events.TextMessage) else b""
            message: str | bytes = empty.join(parts)
            return message
        if isinstance(event, events.Ping):
            self._try_to_write(event.response())
        elif isinstance(event, events.CloseConnection):
            self._closed_by_peer(event)
        return None

    def _add(self, data: Any) -> None:
        """A piece of the message that is arriving. However small they are, and of those without anything in
        them a peer may send any number, they take little more memory than what is in them.
        """
        if not data:
            return
        self._parts.append(data)
        self._length += len(data)
        self._frame_length += len(data)
        if len(self._parts) > max(PARTS, self._length // PARTS):
            self._parts = [data[:0].join(self._parts)]

    def _closed_by_peer(self, event: Any) -> None:
        state = self._protocol().state
        if state is ConnectionState.REMOTE_CLOSING:
            self._try_to_write(event.response())
            self._end(int(event.code), event.reason or "")
        elif state is ConnectionState.CLOSED:  # the answer to ours
            self._end(int(event.code), event.reason or "")
        else:
            # Not from the peer: what it has sent is against the protocol.
            self._fail(int(event.code), event.reason or "")

    # -- sending ---------------------------------------------------------------------------------------------

    def send(self, message: Any, binary: bool | None = None) -> None:
        """Send a message: str as text, bytes-like as binary; `binary` says otherwise. Switches.

        WebSocketClosed if the connection is closed, or breaks, or the peer takes nothing for `send_timeout`
        seconds.
        """
        self._write(_message(message, binary))

    def send_fragments(self, parts: Iterable[Any], binary: bool | None = None) -> None:
        """Send one message in several frames, each as soon as its part is there. Switches.

        All parts must be of one kind. Nobody else sends a message meanwhile. If the iterator raises, the
        connection is closed: there is no other way to end half a message.
        """
        with self._sending:
            last: Any = None
            try:
                for part in parts:
                    if last is not None:
                        self._write_locked(_message(last, binary, finished=False))
                    last = part
                self._write_locked(_message("" if last is None else last, binary))
            except BaseException:
                if not self.closed:
                    self._break(INTERNAL_ERROR, "a message was given up half-way")
                raise

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping, of 125 bytes at most, else ValueError; its answer is not told. Switches."""
        if len(payload) > 125:
            raise ValueError(f"a ping has 125 bytes at most, found {len(payload)}")
        self._write(events.Ping(bytes(payload)))

    def _write(self, event: Any) -> None:
        with self._sending:
            self._write_locked(event)

    def _write_locked(self, event: Any) -> None:
        if self.closed:
            raise WebSocketClosed(self.close_code, self.close_reason)
        try:
            data = self._protocol().send(event)
        except ProtocolError:
            # It is being closed: nothing but the answer to that may be sent.
            raise WebSocketClosed(None, "closing") from None
        try:
            self._send_bytes(data)
        except (OSError, Timeout) as error:
            if isinstance(error, Timeout) and error is not self._limit:
                self._break(_ABNORMAL, "sending was interrupted")
                raise
            self._break(_ABNORMAL, str(error) if isinstance(error, OSError) else "the peer takes nothing")
            raise WebSocketClosed(self.close_code, self.close_reason) from None
        except BaseException:  # killed: half a frame may have gone
            self._break(_ABNORMAL, "sending was interrupted")
            raise

    _limit: Timeout | None = None

    def _send_bytes(self, data: bytes) -> None:
        self._limit = Timeout.start_new(self.send_timeout)
        try:
            self._sock.sendall(data)
        finally:
            self._limit.cancel()

    def _try_to_write(self, event: Any) -> None:
        try:
            self._write(event)
        except WebSocketClosed:
            pass  # what reads finds out

    # -- the end ---------------------------------------------------------------------------------------------

    def close(self, code: int = _NORMAL, reason: str | bytes = "") -> None:
        """Say good-bye, wait `close_timeout` seconds for the peer to say so too, and close. Switches.

        Messages that come meanwhile are lost, unless a greenlet is receiving. Nothing if it is closed.
        ValueError for a code that may not be sent.
        """
        if self.closed:
            return
        if isinstance(reason, bytes):
            reason = reason.decode()
        if not (code in (1000, 1001, 1002, 1003) or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            raise ValueError(f"expected a code that may be sent (1000, 3000 to 4999...), found {code}")
        self._try_to_write(events.CloseConnection(code, reason or None))
        with Timeout(self.close_timeout, False):
            if self._receiving:
                self._over.wait()
            while not self.closed:
                self.receive()
        if not self.closed:
            self._break(_ABNORMAL, "the peer did not answer the close")

    def _fail(self, code: int, reason: str) -> None:
        """The peer has done something wrong: tell it, and close."""
        self._try_to_write(events.CloseConnection(code, reason))
        self._end(code, reason)

    def _end(self, code: int, reason: str) -> None:
        """All is said: close the connection in such a way that the peer gets what was sent."""
        if self.closed:
            return
        self.close_code, self.close_reason = code, reason
        self._parts = []
        self._over.set()
        left = LINGER_BYTES if code != _ABNORMAL else 0
        try:
            with Timeout(self.close_timeout, False):
                if left and not self._client:
                    self._sock.shutdown(SHUT_WR)
                while left > 0 and (data := self._sock.recv(CHUNK)):
                    left -= len(data)
        except (OSError, ValueError):
            pass  # gone already
        finally:
            self._sock.close()

    def _break(self, code: int, reason: str) -> None:
        """Close at once."""
        if not self.closed:
            self.close_code, self.close_reason = code, reason
            self._over.set()
        self._sock.close()


def _message(data: Any, binary: bool | None, finished: bool = True) -> Any:
    if not isinstance(data, str):
        data = memoryview(data)  # TypeError for what is not like bytes
    if binary is None:
        binary = not isinstance(data, str)
    if binary:
        found = data.encode() if isinstance(data, str) else bytes(data)
        return events.BytesMessage(found, message_finished=finished)
    if not isinstance(data, str):
        data = bytes(data).decode()
    return events.TextMessage(data, message_finished=finished)
