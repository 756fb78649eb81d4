"""Connection: what a web server's connection brings. Heads and bodies of requests, each by its deadline.

What the bytes mean is decided in `http1`; here is who waits how long for them, what is answered to a request
that is refused, and how a connection ends so that the peer still gets its answer.
"""

import errno
import io
import struct
import sys
from _socket import SHUT_WR, SO_LINGER, SOL_SOCKET
from collections.abc import Callable, Iterable
from http.client import HTTPMessage
from select import POLLIN
from typing import Any, Final

from .._native import poll
from ..hub import get_hub
from ..socket import socket
from ._http import RECEIVE, Exchange, Refused
from .accesslog import escape
from .http1 import CONTINUE, make_reader, refusal
from .input import InputError, RawInput

__all__ = ["Connection", "have_asked"]

#: The piece that a peer has to take within `write_timeout`.
PIECE: Final = 65536
#: Of a body that the application did not read: so much is read and dropped to keep the connection.
DRAIN: Final = 65536
#: After the last answer: the peer may send on for so long, and so much, before it is reset. Without this it
#: may lose the answer (RFC 9112, 9.6).
LINGER: Final = 2.0
LINGER_BYTES: Final = 1 << 20
#: For SO_LINGER: close() sends nothing more.
_RESET: Final = struct.pack("ii", 1, 0)


def have_asked(connections: Iterable["Connection"]) -> list["Connection"]:
    """Those of the connections that something has come on which was not read yet. Never switches."""
    found = {descriptor: each for each in connections if (descriptor := each.socket.fileno()) >= 0}
    asked = poll()
    for descriptor in found:
        asked.register(descriptor, POLLIN)
    return [found[descriptor] for descriptor, _ in asked.poll(0)]


class Connection(Exchange):
    """The requests of one connection, one after the other. The attributes are those of the current one.

    Those that every request has are in the base, in C: `socket`, `environ`, `status`, `headers_sent`, `idle`
    (it waits for a request), `fresh` (nothing of a request has come yet, ever) and so on.
    """

    _continued = False  # 100 Continue was sent
    _input_failed = 0  # the status that a bad body is answered with; 0: it was not bad
    _broken = False  # nothing more can be sent
    _environ: dict[str, Any] | None = None  # as read_request() has got it
    _waited = 0.0  # seconds for this body
    _raw: io.BufferedReader | None = None

    def __init__(self, sock: Any, address: Any, server: Any, rfile: Any = None) -> None:
        self.socket = sock
        self.client_address = address
        self.server = server
        self._counters = server.counters
        self._keepalive = server.keepalive_timeout
        self._receive: Callable[[int], bytes] = sock.recv if rfile is None else rfile.read1
        self._reader = make_reader(server.connection_environ(address), server.limits)
        self._direct = type(sock) is socket

    def _forget(self) -> None:
        """Drop what refers to this object, and what was for the application. The server closes the socket."""
        self._reader.close()
        self._drop_references()
        self._environ = self._raw = None
        del self._receive

    # -- the request, as it was sent -------------------------------------------------------------------------

    @property
    def command(self) -> str | None:
        """The method."""
        return self._reader.method

    @property
    def path(self) -> str | None:
        """The target: path and query, nothing decoded."""
        return self._reader.target

    @property
    def request_version(self) -> str | None:
        """HTTP/1.1 or HTTP/1.0."""
        return None if self._reader.method is None else f"HTTP/1.{self._reader.minor}"

    @property
    def requestline(self) -> str | None:
        """The first line."""
        method = self._reader.method
        return None if method is None else f"{method} {self._reader.target} HTTP/1.{self._reader.minor}"

    @property
    def headers(self) -> HTTPMessage:
        """The fields, as they were sent: repeated ones too, and those that the environ leaves out."""
        message = HTTPMessage()
        for line in (self._reader.raw_head or b"").split(b"\r\n")[1:-2]:
            name, _, value = line.decode("latin-1").partition(":")
            message[name] = value.strip(" \t")
        return message

    @property
    def rfile(self) -> io.BufferedReader:
        """The bytes that come after the head, of whatever protocol they are. Reading it ends HTTP on this
        connection.
        """
        if self._raw is None:
            self._raw = io.BufferedReader(RawInput(self._take_over, self.socket))
        return self._raw

    def _take_over(self) -> bytes:
        self.close_connection = True
        self._set_timeout(None)
        return self._reader.rest()

    # -- its head --------------------------------------------------------------------------------------------

    def _set_timeout(self, seconds: float | None) -> None:
        if seconds != self._timeout:
            self._timeout = seconds
            self.socket.settimeout(seconds)

    def read_request(self) -> bool:
        """Wait for the next head. False if there is none: the connection has ended, or what came was refused,
        and answered.
        """
        reader, server = self._reader, self.server
        deadline = None
        try:
            if reader.buffered or reader.started:
                environ = reader.head()
                if environ is None:
                    deadline = self._begin_head()
            else:
                environ = None
                if server.draining and not have_asked([self]):
                    return False
                self._set_timeout(server.connect_timeout if self.fresh else self._keepalive)
                self.idle = True
            if environ is None:
                while True:
                    data = self._receive(RECEIVE)
                    self.idle = False
                    environ = reader.head(data)
                    if environ is not None:
                        break
                    if not data:
                        # Nobody is there to be told what was wrong with half a head.
                        return False
                    if deadline is None:
                        deadline = self._begin_head()
                    elif server.header_timeout is not None:
                        left = deadline - get_hub().now()
                        if left <= 0:
                            raise TimeoutError("timed out")
                        self._set_timeout(left)
        except TimeoutError:
            if deadline is None:
                self._count_idle()
            else:
                server.counters.cut("header")
                self._refuse(408, "the head took too long")
            return False
        except Refused as refused:
            self._refuse(*refused.args)
            return False
        self._environ = environ
        self._flags = reader.flags
        self.fresh = False
        return True

    def _count_idle(self) -> None:
        """No request has come in time."""
        self.idle = False
        self.server.counters.cut("connect" if self.fresh else "keepalive")

    def _begin_head(self) -> float:
        """The first bytes of a head are there: when the rest has to be."""
        timeout = self.server.header_timeout
        self._set_timeout(timeout)
        return get_hub().now() + (timeout or 0.0)

    def _refuse(self, status: int, reason: str) -> None:
        """Answer what is not served, and end the connection."""
        self.server.counters.refuse(status)
        self.close_connection = True
        self.code, self.status = status, str(status)
        self.log_error("refused %s: %s", self._peer(), reason)
        try:
            self._set_timeout(LINGER)
            self.socket.sendall(refusal(status))
        except OSError:
            return
        self.linger()

    def _end_politely(self) -> None:
        """Before it is closed: see that the peer gets the answer, if it has got it at all."""
        if self._broken:
            return
        if not self._reader.complete or self._reader.buffered:
            self.linger()

    # -- the body of the request -----------------------------------------------------------------------------

    def _more_body(self) -> bytes:
        """What comes next of the body; b"" at its end. For wsgi.input. Switches."""
        reader, server = self._reader, self.server
        try:
            data = reader.body()
            while not data and not reader.complete:
                if reader.expects and not self._continued:
                    self._continued = True
                    if not reader.buffered and not self.headers_sent:
                        self._sendall(CONTINUE)
                # Only waiting counts: an application that takes its time is not the client's fault.
                timeout = server.body_timeout
                if timeout is not None:
                    timeout += reader.body_bytes / server.body_rate - self._waited
                    if timeout <= 0:
                        raise TimeoutError("timed out")
                self._set_timeout(timeout)
                before = get_hub().now()
                received = self._receive(PIECE)
                self._waited += get_hub().now() - before
                if not received:
                    raise InputError(errno.ECONNRESET, "the client closed before the end of the body")
                data = reader.body(received)
        except Refused as refused:
            self._bad_input(refused.args[0])
            raise InputError(errno.EPROTO, f"the body is not valid: {refused.args[1]}") from None
        except TimeoutError:
            server.counters.cut("body")
            self._bad_input(408)
            raise InputError(errno.ETIMEDOUT, "the client took too long to send the body") from None
        except OSError as error:
            self._bad_input(400)
            if isinstance(error, InputError):
                raise
            raise InputError(error.errno, f"the connection broke during the body: {error}") from error
        return data

    def _bad_input(self, status: int) -> None:
        self.close_connection = True
        self._input_failed = status

    def _drop_body(self) -> bool:
        """Read what the application has left of the body, if that is little. False: close."""
        reader = self._reader
        if reader.expects and not self._continued:
            return False  # it may come or not: nobody can tell
        left = DRAIN
        if not reader.chunked and reader.content_length - reader.body_bytes > left:
            return False
        before = reader.body_bytes
        try:
            while self._more_body():
                if reader.body_bytes - before > left:
                    return False
        except OSError:
            return False
        return True

    # -- what is sent ----------------------------------------------------------------------------------------

    def _sendall(self, data: bytes) -> None:
        """Send it all, each PIECE within the time for that."""
        self._set_timeout(self.server.write_timeout)
        try:
            if len(data) <= PIECE * 2:
                self.socket.sendall(data)
                return
            view = memoryview(data)
            for start in range(0, len(data), PIECE):
                self.socket.sendall(view[start : start + PIECE])
        except BaseException as error:
            self._cannot_send(error)
            raise

    def _cannot_send(self, error: BaseException) -> None:
        """What was to be sent has gone in part, or not at all."""
        self.close_connection = self._broken = True
        if isinstance(error, TimeoutError):
            self.server.counters.cut("write")
            # Or else the kernel would keep what the peer has not taken, and go on sending it as slowly as the
            # peer likes, after this connection has ended and is counted no more.
            self._drop_unsent()

    def _drop_unsent(self) -> None:
        """Let close() drop what was not sent yet, and tell the peer so."""
        try:
            self.socket.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        except OSError:
            pass  # closed already

    def _reset(self) -> None:
        """End the connection so that nobody takes what was sent for the whole: TLS does not end, either."""
        self._broken = True
        self._drop_unsent()
        self.socket.close()

    def _peer(self) -> str:
        """Its address for a log: that of a UNIX socket is a path, with whatever its owner likes in it."""
        return escape(str(self.client_address))

    def log_error(self, msg: str, *args: object) -> None:
        """Write a line to the server's `error_log`."""
        try:
            text = msg % args if args else msg
            self.server.error_log.write(f"{text}\n")
        except Exception:
            # A log that cannot be written is no reason not to answer.
            get_hub().handle_error(self, *sys.exc_info())

    def linger(self) -> None:
        """Say that nothing more comes; then drop what the peer still sends, for a while. Switches."""
        sock = self.socket
        try:
            secure = getattr(sock, "_sslobj", None)
            if secure is not None:
                try:
                    secure.shutdown()
                except OSError:
                    pass  # the peer's answer to that is not waited for
            sock.shutdown(SHUT_WR)  # for TLS too: what comes after it is not decrypted any more
            until, left = get_hub().now() + LINGER, LINGER_BYTES
            while left > 0 and (seconds := until - get_hub().now()) > 0:
                self._set_timeout(seconds)
                data = sock.recv(RECEIVE)
                if not data:
                    break
                left -= len(data)
        except (OSError, ValueError):
            pass  # it has gone, or its time is over
