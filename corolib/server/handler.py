"""WSGIHandler: one connection of a web server, from its first byte to its last.

It waits for a head, calls the application, sends what that gives, and waits for the next. What the bytes mean
is decided in `http1`; here are the deadlines, the order of things, and the hooks for subclasses. One class,
since all of it is the state of one request.

The way of a request that meets no obstacle is one recv() and one send(). It is written for speed: a deadline
is set only when it differs from the last, what is not asked for is not made.
"""

import errno
import io
import os
import stat
import sys
import time
from _socket import MSG_DONTWAIT, SHUT_WR
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPMessage
from types import TracebackType
from typing import Any, ClassVar, Final

from .._switch import GreenletExit
from ..hub import get_hub
from ..socket import socket
from ..timeout import Timeout
from ._http import (
    CHUNKED,
    CLOSE,
    COMPLETE,
    DATE,
    EXPECTS,
    HEAD,
    KEEP,
    OLD,
    ORDINARY,
    OTHER,
    STAYS,
    UPGRADE,
    Refused,
    answer,
    check,
)
from .accesslog import NoLog
from .http1 import CONTINUE, LAST_CHUNK, make_reader, refusal
from .input import Input, InputError, RawInput

__all__ = ["FileWrapper", "WSGIHandler"]

#: What one recv() takes at most. A head seldom has more; a body comes in as many as it needs.
RECEIVE: Final = 16384
#: A body up to this size is put behind its head, so that both leave in one send(). Copying it costs less than
#: a second system call.
TOGETHER: Final = 65536
#: The piece that a peer has to take within `write_timeout`.
PIECE: Final = 65536
#: sendfile() moves so much in one go, then the other greenlets have their turn.
FILE_PIECE: Final = 1 << 18
#: Of a body that the application did not read: so much is read and dropped to keep the connection.
DRAIN: Final = 65536
#: After the last answer: the peer may send on for so long, and so much, before it is reset. Without this it
#: may lose the answer (RFC 9112, 9.6).
LINGER: Final = 2.0
LINGER_BYTES: Final = 1 << 20

#: What sendfile() says of files that it cannot send.
NO_SENDFILE: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EOVERFLOW)

_KEEP_OR_OTHER: Final = KEEP | OTHER
_NO_BODY: Final = COMPLETE | UPGRADE
_SPECIAL: Final = HEAD | EXPECTS


class FileWrapper:
    """`wsgi.file_wrapper`: a file as an iterable of blocks. Returned by an application, it is sent by the
    kernel if the file is a plain one and the connection not TLS.
    """

    def __init__(self, filelike: Any, blksize: int = 65536) -> None:
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.blksize)
        if not data:
            raise StopIteration
        return data

    def plain_file(self) -> tuple[int, int, int] | None:
        """(descriptor, offset, bytes to its end), if the kernel can send it."""
        try:
            descriptor, offset = self.filelike.fileno(), self.filelike.tell()
            status = os.fstat(descriptor)
        except (AttributeError, OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return descriptor, offset, max(0, status.st_size - offset)


class WSGIHandler:
    """One connection. `handle()` serves its requests until it is over, and closes it.

    A subclass may override any method that has no underscore; `handler_class` of the server makes it used.
    The attributes are those of the current request, from `run_application()` to `log_request()`.
    """

    protocol_version = "HTTP/1.1"
    #: Errors of the connection that are no news: the peer has gone, or the server has closed it.
    ignored_socket_errors: ClassVar[tuple[int, ...]] = (
        errno.EPIPE,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.ENOTCONN,
        errno.EBADF,
    )
    #: Raised when an application breaks the rules of WSGI.
    ApplicationError = AssertionError

    # Of the request being served; here as they are before the first.
    environ: dict[str, Any] | None = None
    application: Any = None
    #: "200 OK", as the application gave it; None before start_response().
    status: str | None = None
    code: int = 0
    #: (name, value) as the application gave them.
    response_headers: list[tuple[str, str]]
    provided_date: Any = None
    provided_content_length: Any = None
    headers_sent = False
    response_use_chunked = False
    #: Bytes of the answer's body so far.
    response_length = 0
    result: Any = None
    wsgi_input: Any = None
    #: time.time() at the head, and at the end of the answer.
    time_start = 0.0
    time_finish = 0.0
    connection_upgraded = False
    #: What ends the request if it takes too long; for protocols that have nothing to do with requests.
    request_limit: Timeout | None = None
    close_connection = False
    #: Nothing of a request has come yet, ever.
    fresh = True
    #: It waits for a request.
    idle = False

    _flags = 0  # what the reader says of the request
    _add = 0  # what the head says beside what the application does
    _length = -1  # the Content-Length that we add
    _left: int | None = None  # bytes of the body that are announced and not sent; None: no number
    _bodyless = False  # the answer has a head only
    _continued = False  # 100 Continue was sent
    _input_failed = 0  # the status that a bad body is answered with; 0: it was not bad
    _broken = False  # nothing more can be sent
    _found = 0  # what check() has found
    _environ: dict[str, Any] | None = None
    _timeout: float | None = None  # of the socket, as set last
    _waited = 0.0  # seconds for this body
    _raw: io.BufferedReader | None = None

    def __init__(self, sock: Any, address: Any, server: Any, rfile: Any = None) -> None:
        self.socket = sock
        self.client_address = address
        self.server = server
        self._receive: Callable[[int], bytes] = sock.recv if rfile is None else rfile.read1
        self._reader = make_reader(server.connection_environ(address), server.limits)
        self._direct = type(sock) is socket
        self.application = server.application

    #: Nothing of what _send_at_once() does in one step is overridden.
    _plain: ClassVar[bool] = True

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls._plain = all(
            getattr(cls, name) is getattr(WSGIHandler, name)
            for name in ("process_result", "write", "finalize_headers", "_sendall", "_write")
        )

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

    # -- the connection --------------------------------------------------------------------------------------

    def handle(self) -> None:
        """Serve the connection until its end. Switches."""
        handlers = self.server.handlers
        handlers[self] = None
        try:
            while self.handle_one_request():
                pass
        except OSError:
            pass  # of the connection, between two requests: it is over
        finally:
            del handlers[self]
            self._forget()

    def _forget(self) -> None:
        """Drop what refers to this object, and what was for the application. The server closes the socket."""
        self._reader.close()
        for name in ("socket", "environ", "_environ", "wsgi_input", "result", "_raw", "_receive"):
            self.__dict__.pop(name, None)

    def handle_one_request(self) -> bool | None:
        """Wait for a request and answer it. True if another one may follow."""
        if not self.read_request():
            return None
        self.environ = self.get_environ()
        self.handle_one_response()
        if self.close_connection:
            self._end_politely()
            return None
        if not self._flags & COMPLETE and not self._reader.complete and not self._drop_body():
            self._linger()
            return None
        self.environ = self.result = self.wsgi_input = None  # not kept while the connection is idle
        return True

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
            if reader.buffered:
                environ = reader.head()
                if environ is None:
                    deadline = self._begin_head()
            else:
                environ = None
                if server.draining:
                    return False
                timeout = server.connect_timeout if self.fresh else server.keepalive_timeout
                if timeout != self._timeout:
                    self._set_timeout(timeout)
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
            self.idle = False
            if deadline is None:
                server.counters.cut("connect" if self.fresh else "keepalive")
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
        self.log_error("refused %s: %s", self.client_address, reason)
        try:
            self._set_timeout(LINGER)
            self.socket.sendall(refusal(status))
        except OSError:
            return
        self._linger()

    def _end_politely(self) -> None:
        """Before it is closed: see that the peer gets the answer."""
        if not self._reader.complete or self._reader.buffered:
            self._linger()

    def _linger(self) -> None:
        """Say that nothing more comes; then drop what the peer still sends, for a while."""
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

    # -- the answer ------------------------------------------------------------------------------------------

    def get_environ(self) -> dict[str, Any]:
        """The environ of the request: what the server says, what the request says, and `wsgi.input`."""
        environ = self._environ
        assert environ is not None
        self._environ = None
        flags, kind = self._flags, self.server.environ_class
        if kind is not dict:
            environ = kind(environ)
        source: Any
        if flags & _NO_BODY == COMPLETE:
            source = io.BytesIO()
        elif flags & UPGRADE:
            source = UpgradeInput(self)
        else:
            self._waited = 0.0
            self._continued = False
            source = Input(self._more_body)
        environ["wsgi.input"] = self.wsgi_input = source
        return environ

    def handle_one_response(self) -> None:
        """Have the application answer the request; whatever it does, something is answered, and logged.

        Switches if the application does.
        """
        self.time_start = time.time()
        self.time_finish = 0.0
        # What ends the connection once it is set (an upgrade, a bad body) need not be reset.
        self.status = None
        self.code = 0
        self.headers_sent = False
        self.response_use_chunked = False
        self.response_length = 0
        server = self.server
        flags = self._flags
        self.close_connection = not flags & STAYS
        try:
            if server.request_timeout is None:
                self.run_application()
            else:
                with Timeout(server.request_timeout) as late:
                    self.request_limit = late
                    try:
                        self.run_application()
                    except Timeout as timeout:
                        if timeout is not late:
                            raise
                        server.counters.cut("request")
                        self.close_connection = True
                        self._send_error_response_if_possible(503)
        except InputError:
            self._send_error_response_if_possible(self._input_failed or 400)
        except OSError as error:
            if not self._broken:  # not of this connection, but of the application
                self.handle_error(*sys.exc_info())
            elif error.errno not in self.ignored_socket_errors and not isinstance(error, TimeoutError):
                self.log_error("%s: sending the answer: %s", self.client_address, error)
        except BaseException:
            self.handle_error(*sys.exc_info())
        finally:
            self.time_finish = time.time()
            received = 0 if flags & COMPLETE else self._reader.body_bytes
            server.counters.answered(
                self.code, self.response_length, received, self.time_finish - self.time_start
            )
            self.log_request()

    def run_application(self) -> None:
        """Call the application, and send what it gives. Switches."""
        try:
            result = self.result = self.application(self.environ, self.start_response)
            if type(result) is not list or len(result) != 1 or not self._send_at_once(result[0]):
                self.process_result()
        finally:
            if type(self.result) is not list:
                close = getattr(self.result, "close", None)
                if close is not None:
                    close()

    def _send_at_once(self, data: Any) -> bool:
        """Send an answer that is a single piece, as most are. False, and nothing has happened, if there is
        anything about it that process_result() and what that calls has to think of.

        The same in one step instead of five: it is a third of what a small request costs.
        """
        length, found, flags, server = self.provided_content_length, self._found, self._flags, self.server
        status = self.status
        if (
            not self._plain
            or status is None
            or not found & ORDINARY
            or type(data) is not bytes
            or (size := len(data)) > TOGETHER
            or (length is not None and length != size)
            or self.headers_sent
            or flags & _SPECIAL
        ):
            return False
        add = DATE if self.provided_date is None else 0
        if self.close_connection or server.draining or server.crowded:
            self.close_connection = True
            if not found & CLOSE:
                add |= CLOSE
        elif flags & OLD and not found & _KEEP_OR_OTHER:
            add |= KEEP
        self.headers_sent = True
        head = answer(status, self.response_headers, add, -1 if length is not None else size, data)
        if self._direct:
            # The kernel nearly always takes it: then no deadline has to be set.
            try:
                sent = self.socket.send(head, MSG_DONTWAIT)
            except BlockingIOError:
                sent = 0
            except BaseException as error:
                self._cannot_send(error)
                raise
            if sent < len(head):
                self._sendall(head[sent:])
        else:
            self._sendall(head)
        self.response_length = size
        return True

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """What the application is given to begin its answer (PEP 3333): returns write()."""
        if exc_info:
            try:
                if self.headers_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.status is not None:
            raise self.ApplicationError("start_response() was called before, and is now without exc_info")
        code, found, length = check(status, headers)
        if code == 101 and not self._flags & UPGRADE:
            raise ValueError("101 answers a request to upgrade, which this one is not")
        if length > 0 and code == 204:
            raise self.ApplicationError(
                "an answer of status 204 has no body, so Content-Length must not be there"
            )
        self.status = status
        self.code = code
        self.response_headers = list(headers)
        self._found = found
        self.provided_date = True if found & DATE else None
        self.provided_content_length = length if length >= 0 else None
        if found & CLOSE:
            self.close_connection = True
        return self.write

    def finalize_headers(self) -> None:
        """Called before the head is sent: decides what it says beside what the application does."""
        code, found = self.code, self._found
        add = DATE if self.provided_date is None else 0
        self._length = -1
        announced = self.provided_content_length
        flags = self._flags
        self._bodyless = bool(flags & HEAD) or code == 204 or code == 304 or code == 101
        if code == 101:
            self.connection_upgraded = True
            self.close_connection = True
        elif announced is None and code != 204 and code != 304:
            result = self.result
            if type(result) is list or hasattr(result, "__len__"):
                announced = self._length = _total(result)
            elif not flags & OLD:
                self.response_use_chunked = True
                add |= CHUNKED
            else:
                self.close_connection = True
        self._left = None if announced is None or announced is False or self._bodyless else announced
        server = self.server
        if (
            server.draining
            or server.crowded
            or (flags & EXPECTS and not self._continued and not self._reader.complete)
        ):
            self.close_connection = True
        if code != 101:
            if self.close_connection:
                if not found & CLOSE:
                    add |= CLOSE
            elif flags & OLD and not found & _KEEP_OR_OTHER:
                add |= KEEP
        self._add = add

    def write(self, data: bytes) -> None:
        """Send a piece of the body, and before the first one the head. Switches if the peer is slow."""
        if type(data) is not bytes:
            data = _as_bytes(data)
        if self.headers_sent:
            if data:
                self._write(data)
        elif self.status is None:
            raise self.ApplicationError("the application did not call start_response()")
        else:
            self._write_with_headers(data)

    def _write_with_headers(self, data: bytes) -> None:
        self.finalize_headers()
        length = len(data)
        if length == self._left:
            self._left = 0  # the usual case: all of it
        else:
            data = self._allowed(data)
            length = len(data)
        self.headers_sent = True
        assert self.status is not None
        if length <= TOGETHER:
            self._sendall(answer(self.status, self.response_headers, self._add, self._length, data))
            self.response_length = length
        else:
            self._sendall(answer(self.status, self.response_headers, self._add, self._length, b""))
            self._send_body(data)

    def _write(self, data: bytes) -> None:
        data = self._allowed(data)
        if data:
            self._send_body(data)

    def _allowed(self, data: bytes) -> bytes:
        """As much of the data as the answer's body may have."""
        if self._bodyless:
            if data and self._reader.method != "HEAD":
                raise self.ApplicationError(f"an answer of status {self.code} has no body")
            return b""
        if self._left is not None:
            if len(data) > self._left:
                self.close_connection = True
                self.log_error("%s: the application gave more than its Content-Length", self.requestline)
                data = data[: self._left]
            self._left -= len(data)
        return data

    def _send_body(self, data: bytes) -> None:
        if self.response_use_chunked:
            if len(data) <= TOGETHER:
                self._sendall(b"%x\r\n%b\r\n" % (len(data), data))
            else:
                self._sendall(b"%x\r\n" % len(data))
                self._sendall(data)
                self._sendall(b"\r\n")
        else:
            self._sendall(data)
        self.response_length += len(data)

    def _sendall(self, data: bytes) -> None:
        """Send it all, each PIECE within the time for that."""
        timeout = self.server.write_timeout
        if timeout != self._timeout:
            self._timeout = timeout
            self.socket.settimeout(timeout)
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

    def process_result(self) -> None:
        """Send what the application has returned. Switches if the peer is slow, or the application does."""
        result = self.result
        if type(result) is list and len(result) == 1:
            self.write(result[0])
        elif type(result) is FileWrapper and self._send_file(result):
            pass
        elif isinstance(result, (bytes, str)):
            raise TypeError(
                f"the application has to return an iterable of bytes, not {type(result).__name__}"
            )
        else:
            self._send_each(result)
        if self.response_use_chunked:
            if not self._bodyless:
                self._sendall(LAST_CHUNK)
        elif self._left:
            self.close_connection = True
            self.log_error("%s: the application gave less than its Content-Length", self.requestline)

    def _send_each(self, result: Iterable[bytes]) -> None:
        if not self.headers_sent and type(result) in (list, tuple) and _total(result) <= TOGETHER:
            self.write(b"".join(result))
            return
        for data in result:
            if data:
                self.write(data)
        if not self.headers_sent:
            self.write(b"")

    def _send_file(self, wrapper: FileWrapper) -> bool:
        """Have the kernel send a file. False if it cannot, and nothing was sent."""
        plain = wrapper.plain_file() if type(self.socket) is socket and not self.headers_sent else None
        if plain is None or self.status is None:
            return False
        descriptor, offset, count = plain
        if self.provided_content_length is None:
            self.provided_content_length = count
            self.response_headers.append(("Content-Length", str(count)))
        self.write(b"")
        if self._bodyless or self._left is None:
            return True
        count = min(count, self._left)
        self._set_timeout(self.server.write_timeout)
        sock = self.socket
        out = sock.fileno()
        while count > 0:
            try:
                sent = os.sendfile(out, descriptor, offset, min(count, FILE_PIECE))
            except BlockingIOError:
                try:
                    sock.wait_write()
                except BaseException as error:
                    self._cannot_send(error)
                    raise
                out = sock.fileno()
                continue
            except OSError as error:
                if error.errno in NO_SENDFILE:  # this file system cannot
                    self._send_each(wrapper)
                    return True
                self._cannot_send(error)
                raise
            if sent == 0:
                break  # it has become shorter
            offset += sent
            count -= sent
            self._left -= sent
            self.response_length += sent
            sock._take_turn()
        return True

    # -- errors and logs -------------------------------------------------------------------------------------

    def _send_error_response_if_possible(self, code: int) -> None:
        self.close_connection = True
        if self.headers_sent or self._broken:
            return  # what was sent has no proper end, so the peer can tell
        body = refusal(code, self._reader.method == "HEAD")
        self.code, self.status = code, str(code)
        self.headers_sent = True
        try:
            self._sendall(body)
        except OSError:
            pass

    def handle_error(
        self, type: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Called with what the application has raised: reports it, and answers 500 if nothing was sent."""
        self.close_connection = True
        if type is not None and issubclass(type, GreenletExit):
            self._send_error_response_if_possible(503)
            return
        self.server.counters.errors += 1
        self._log_error(type, value, tb)
        self._send_error_response_if_possible(500)

    def _log_error(
        self, type: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        context = self.server.secure_environ_class(self.environ or {})
        get_hub().handle_error(context, type, value, tb)

    def log_error(self, msg: str, *args: object) -> None:
        """Write a line to the server's `error_log`."""
        try:
            text = msg % args if args else msg
            self.server.error_log.write(f"{text}\n")
        except Exception:
            # A log that cannot be written is no reason not to answer.
            get_hub().handle_error(self, *sys.exc_info())

    def log_request(self) -> None:
        """Write a line to the server's `log`."""
        log = self.server.log
        if type(log) is not NoLog:
            log.write(self.format_request() + "\n")

    def format_request(self) -> str:
        """The line, in the server's format."""
        line: str = self.server.format_line(self)
        return line


class UpgradeInput(io.RawIOBase):
    """wsgi.input of a request to upgrade: empty, until the answer is 101; then what the connection brings."""

    def __init__(self, handler: WSGIHandler) -> None:
        self._handler = handler

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """See the class. Switches after the upgrade."""
        handler = self._handler
        if not handler.connection_upgraded:
            return 0
        data: bytes = handler.rfile.read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _as_bytes(data: Any) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    if data == "":
        return b""
    raise TypeError(f"the body is made of bytes: an application gave {type(data).__name__}")


def _total(parts: Any) -> int:
    if len(parts) == 1:
        (part,) = parts
        return len(part)
    return sum(map(len, parts))
