"""WSGIHandler: answers the requests of one connection of a web server.

It calls the application, sends what that gives, and goes on to the next request. How requests are read is in
`connection`; here are the order of things and the hooks for subclasses.

The way of a request that meets no obstacle is one recv() and one send(). It is written for speed: a deadline
is set only when it differs from the last, what is not asked for is not made.
"""

import errno
import io
import sys
from collections.abc import Iterable
from types import GetSetDescriptorType, MemberDescriptorType, TracebackType
from typing import Any, ClassVar, Final

from .._switch import GreenletExit
from ..hub import get_hub
from ..socket import socket
from ..timeout import Timeout
from ._http import (
    ANSWERED,
    CHUNKED,
    CLOSE,
    COMPLETE,
    DATE,
    EXPECTS,
    HEAD,
    KEEP,
    OLD,
    OTHER,
    TOGETHER,
    UPGRADE,
    Exchange,
    Refused,
    answer,
)
from .accesslog import NoLog
from .connection import Connection
from .filewrapper import CannotSendFile, FileWrapper, send_file
from .http1 import LAST_CHUNK, refusal
from .input import Input, InputError, UpgradeInput

__all__ = ["WSGIHandler"]

_KEEP_OR_OTHER: Final = KEEP | OTHER
_NO_BODY: Final = COMPLETE | UPGRADE

#: Methods that _send_at_once() does without, and with them those that serve() does without.
_ANSWERING: Final = ("process_result", "write", "finalize_headers", "start_response", "_sendall", "_write")
_SERVING: Final = (
    *("handle_one_request", "read_request", "get_environ", "handle_one_response", "run_application"),
    *("_make_input", "_send_result", "_finish_request"),
)


class WSGIHandler(Connection):
    """One connection. `handle()` serves its requests until it is over, and closes it.

    A subclass may override any method that has no underscore; `handler_class` of the server makes it used.
    The attributes are those of the current request, from `run_application()` to `log_request()`:

    socket, client_address, server: the connection, who is at its other end, and whose it is.
    application, environ, wsgi_input: what is called, with what, and the body of the request.
    status, code, response_headers: the first line's text, its number, and what the application gave.
    provided_date, provided_content_length: what it gave of these two; None if it did not.
    result: what it has returned.
    headers_sent, response_use_chunked, response_length: whether the head has gone; whether the body goes in
        chunks; how many bytes of it have gone.
    time_start, time_finish: when it began and ended, in seconds of time.time().
    close_connection: whether the connection ends after the answer.
    fresh, idle: whether nothing has come on the connection yet; whether it is between two requests.
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

    # What the base has not, of the request being served.
    connection_upgraded = False
    #: What ends the request if it takes too long; for protocols that have nothing to do with requests.
    request_limit: Timeout | None = None

    _add = 0  # what the head says beside what the application does
    _length = -1  # the Content-Length that we add
    _left: int | None = None  # bytes of the body that are announced and not sent; None: no number
    _bodyless = False  # the answer has a head only

    #: Nothing is overridden of what _send_at_once() does in one step, of what serve() does, of log_request().
    _plain_answer: ClassVar[bool] = True
    _plain_request: ClassVar[bool] = True
    _plain_log: ClassVar[bool] = True

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for name in vars(cls):
            if isinstance(vars(Exchange).get(name), (MemberDescriptorType, GetSetDescriptorType)):
                raise TypeError(f"{cls.__name__}.{name}: a handler has that of each request, a class cannot")
        cls._plain_answer = _inherits(cls, _ANSWERING)
        cls._plain_request = cls._plain_answer and _inherits(cls, _SERVING)
        cls._plain_log = _inherits(cls, ("log_request",))

    def __init__(self, sock: Any, address: Any, server: Any, rfile: Any = None) -> None:
        super().__init__(sock, address, server, rfile)
        self.application = server.application
        self._at_once = self._plain_answer
        self._logs = type(server.log) is not NoLog or not self._plain_log
        #: serve() does all that handle_one_request() does.
        self._ordinary = (
            self._plain_request
            and rfile is None
            and server.environ_class is dict
            and server.request_timeout is None
        )

    # -- the connection --------------------------------------------------------------------------------------

    def handle(self) -> None:
        """Serve the connection until its end. Switches."""
        handlers = self.server.handlers
        handlers[self] = None
        try:
            if self._ordinary:
                self._serve_all()
            else:
                while self.handle_one_request():
                    pass
        except Refused as refused:
            self._refuse(*refused.args)
        except OSError as error:
            # Of the connection, between two requests: it is over.
            if self.idle and isinstance(error, TimeoutError):
                self._count_idle()
        finally:
            del handlers[self]
            self._forget()

    def _serve_all(self) -> None:
        """Serve the connection, ordinary requests in C."""
        while state := self.serve():
            if not (self._finish_request() if state == ANSWERED else self.handle_one_request()):
                return

    def handle_one_request(self) -> bool | None:
        """Wait for a request and answer it. True if another one may follow."""
        if not self.read_request():
            return None
        self.environ = self.get_environ()
        self.handle_one_response()
        return self._finish_request()

    def _finish_request(self) -> bool | None:
        """After the answer: whether another request may follow."""
        if self.close_connection:
            self._end_politely()
            return None
        if not self._flags & COMPLETE and not self._reader.complete and not self._drop_body():
            self.linger()
            return None
        self.environ = self.result = self.wsgi_input = None  # not kept while the connection is idle
        return True

    # -- the answer ------------------------------------------------------------------------------------------

    def get_environ(self) -> dict[str, Any]:
        """The environ of the request: what the server says, what the request says, and `wsgi.input`."""
        environ = self._environ
        assert environ is not None
        self._environ = None
        kind = self.server.environ_class
        if kind is not dict:
            environ = kind(environ)
        environ["wsgi.input"] = self.wsgi_input = self._make_input()
        return environ

    def _make_input(self) -> Any:
        """`wsgi.input` for this request."""
        flags = self._flags
        if flags & _NO_BODY == COMPLETE:
            return io.BytesIO()
        if flags & UPGRADE:
            return UpgradeInput(lambda: self.connection_upgraded, lambda: self.rfile)
        self._waited = 0.0
        self._continued = False
        return Input(self._more_body)

    def handle_one_response(self) -> None:
        """Have the application answer the request; whatever it does, something is answered, and logged.

        Switches if the application does.
        """
        self._begin_answer()
        seconds = self.server.request_timeout
        try:
            if seconds is None:
                self.run_application()
            else:
                self._run_within(seconds)
        except BaseException as error:
            self._answer_failed(error)
        finally:
            self._end_answer()

    def _run_within(self, seconds: float) -> None:
        """Run the application, at most so long."""
        with Timeout(seconds) as late:
            self.request_limit = late
            try:
                self.run_application()
            except Timeout as timeout:
                if timeout is not late:
                    raise
                self.server.counters.cut("request")
                self.close_connection = True
                self._send_error_response_if_possible(503)

    def _answer_failed(self, error: BaseException) -> None:
        """Called with what was raised instead of an answer."""
        if isinstance(error, InputError):
            self._send_error_response_if_possible(self._input_failed or 400)
        elif isinstance(error, OSError) and self._broken:  # else it is not of this connection
            if error.errno not in self.ignored_socket_errors and not isinstance(error, TimeoutError):
                self.log_error("%s: sending the answer: %s", self._peer(), error)
        else:
            self.handle_error(type(error), error, error.__traceback__)

    def run_application(self) -> None:
        """Call the application, and send what it gives. Switches."""
        result = self.result = self.application(self.environ, self.start_response)
        if type(result) is not list or len(result) != 1 or not self._send_at_once(result[0]):
            self._send_result()

    def _send_result(self) -> None:
        """Send what the application has returned, and close it."""
        try:
            self.process_result()
        finally:
            if type(self.result) is not list:
                close = getattr(self.result, "close", None)
                if close is not None:
                    close()

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
        """Send a piece of the body, and before the first one the head. Switches if the peer is slow.
        ApplicationError before start_response().
        """
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
        self._set_timeout(self.server.write_timeout)
        try:
            for sent in send_file(self.socket, descriptor, offset, min(count, self._left)):
                self._left -= sent
                self.response_length += sent
        except CannotSendFile:
            self._send_each(wrapper)
        except BaseException as error:
            self._cannot_send(error)
            raise
        return True

    # -- errors and logs -------------------------------------------------------------------------------------

    def _send_error_response_if_possible(self, code: int) -> None:
        self.close_connection = True
        if self._broken:
            return
        if self.headers_sent:
            if not (self.response_use_chunked or self._bodyless) and self._left is None:
                self._reset()
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

    def log_request(self) -> None:
        """Write a line to the server's `log`. If it cannot be written, that is reported, and all goes on."""
        log = self.server.log
        if type(log) is not NoLog:
            try:
                log.write(self.format_request() + "\n")
            except Exception:
                get_hub().handle_error(self, *sys.exc_info())

    def format_request(self) -> str:
        """The line, in the server's format."""
        line: str = self.server.format_line(self)
        return line


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


def _inherits(cls: type[WSGIHandler], names: Iterable[str]) -> bool:
    return all(getattr(cls, name) is getattr(WSGIHandler, name) for name in names)
