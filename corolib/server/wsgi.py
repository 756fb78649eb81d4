"""WSGIServer: a web server for applications of PEP 3333, that can stand on the open internet."""

import os
import sys
from collections.abc import Callable, Iterable
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
from typing import Any, ClassVar, Final

from .accesslog import FORMATS, make_log
from .connection import have_asked
from .counters import Counters
from .environ import WSGISecureEnviron
from .filewrapper import FileWrapper
from .handler import WSGIHandler
from .http1 import Limits
from .listeners import set_for_answers
from .stream import StreamServer

__all__ = ["WSGIServer"]


class WSGIServer(StreamServer):
    """Serves a WSGI application over HTTP/1.1 and 1.0, and TLS as StreamServer does.

    `listener`, `backlog`, `spawn` and the arguments for TLS are those of StreamServer. `log` and `error_log`
    are something with write(), a logger, None for nothing, or 'default': sys.stderr for requests, the logger
    `corolib.pywsgi` for errors; errors of the application are reported by the hub. `environ` has entries for
    every request's environ. All deadlines are in seconds, None for no limit; docs/web-server.md says what
    each is good for.

    max_connections: so many at once, of all addresses; idle ones make room. Default: three quarters of the
        descriptors that the process may have. It is the size of the pool, so another `spawn` decides itself.
    max_per_address: so many of one address, unless it is a private one (a proxy has many). 0: no limit.
    connect_timeout: from the connection to the first byte.
    header_timeout: from the first byte of a head to its end.
    body_timeout, body_rate: what the client may be waited for during a body, and how many bytes add one
        second to that.
    write_timeout: in which the client has to take each 64 KiB.
    keepalive_timeout: between two requests.
    request_timeout: for a whole answer: 503, or cut if it has begun. None: applications that stream for hours
        are good ones, too.
    limits: of heads and bodies.
    log_format: 'timed', 'common', 'combined', 'json', or a function of a handler that returns the line.

    ValueError for a number that none of them can be, or a format that there is not.
    """

    handler_class: type[WSGIHandler] = WSGIHandler
    environ_class: type[dict[str, Any]] = dict
    secure_environ_class: type[Any] = WSGISecureEnviron
    base_env: ClassVar[dict[str, Any]] = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": f"corolib Python/{sys.version_info[0]}.{sys.version_info[1]}",
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        # Several greenlets call the application at once, which for it is as if they were threads.
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
    }
    application: Any = None
    log: Any = None
    error_log: Any = None

    connect_timeout: float | None = 10.0
    header_timeout: float | None = 10.0
    body_timeout: float | None = 20.0
    body_rate: float = 500.0
    write_timeout: float | None = 20.0
    keepalive_timeout: float | None = 10.0
    request_timeout: float | None = None
    max_connections: int | None = None
    max_per_address: int = 256
    limits: Limits = Limits()

    def __init__(
        self,
        listener: Any,
        application: Any = None,
        backlog: int | None = None,
        spawn: Any = "default",
        log: Any = "default",
        error_log: Any = "default",
        handler_class: type[WSGIHandler] | None = None,
        environ: dict[str, Any] | None = None,
        *,
        log_format: str | Callable[[WSGIHandler], str] = "timed",
        **arguments: Any,
    ) -> None:
        if "handle" in arguments:
            raise TypeError("WSGIServer() has no argument 'handle': is `application` meant?")
        for name in _SETTINGS:
            # In the instance, whose attributes are found faster than those of its class.
            given = _checked(name, arguments.pop(name)) if name in arguments else getattr(self, name)
            setattr(self, name, given)
        self.environ_class = self.environ_class
        #: The connections that are open, in the order in which they came.
        self.handlers: dict[WSGIHandler, None] = {}
        self.counters = Counters()
        self._crowded = self._draining = False
        if spawn == "default":
            if self.max_connections is None:
                self.max_connections = _descriptors() * 3 // 4
            spawn = int(self.max_connections)
        self._room = sys.maxsize if self.max_connections is None else self.max_connections
        if application is not None:
            self.application = application
        if handler_class is not None:
            self.handler_class = handler_class
        super().__init__(listener, None, backlog, spawn, **arguments)
        if self.ssl_context is not None:
            self.ssl_context.set_alpn_protocols(["http/1.1"])
        self.log = make_log(log, 20, sys.stderr)
        self.error_log = make_log(error_log, 40, _DefaultErrorLog())
        if callable(log_format):
            self.format_line = log_format
        elif log_format in FORMATS:
            self.format_line = FORMATS[log_format]
        else:
            raise ValueError(
                f"log_format: expected one of {', '.join(FORMATS)}, or a function; found {log_format!r}"
            )
        self.set_environ(environ)
        self.set_max_accept()

    #: What makes a line of the log.
    format_line: Callable[[WSGIHandler], str]

    # -- the environ -----------------------------------------------------------------------------------------

    def set_environ(self, environ: dict[str, Any] | None = None) -> None:
        """Set what every request's environ has, beside what the server itself says."""
        update = environ if environ is not None else getattr(self, "environ", None)
        self.environ = self.environ_class(self.base_env)
        self.environ["wsgi.url_scheme"] = "https" if self.ssl_enabled else "http"
        if update is not None:
            self.environ.update(update)
        if self.environ.get("wsgi.errors") is None:
            self.environ["wsgi.errors"] = _ErrorStream(self.error_log)

    def set_max_accept(self) -> None:
        """With several processes on one socket, each takes one connection at a time."""
        if self.environ.get("wsgi.multiprocess"):
            self.max_accept = 1

    def get_environ(self) -> dict[str, Any]:
        """What a connection's environs begin with: a copy."""
        return self.environ_class(self.environ)

    def connection_environ(self, address: Any) -> dict[str, Any]:
        """The same with what is known of the peer."""
        environ = self.get_environ()
        if isinstance(address, tuple) and len(address) >= 2:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = address[0], str(address[1])
        else:
            # UNIX sockets: a path, bytes, or nothing at all.
            environ["REMOTE_ADDR"] = os.fsdecode(address) if isinstance(address, (str, bytes)) else ""
            environ["REMOTE_PORT"] = ""
        return environ

    def prepare_socket(self, listener: Any) -> None:
        """As in StreamServer; nothing of an answer is held back, and little is kept for a slow peer."""
        set_for_answers(listener)
        super().prepare_socket(listener)

    def init_socket(self) -> None:
        """As in StreamServer; then update_environ()."""
        super().init_socket()
        self.update_environ()

    def update_environ(self) -> None:
        """Fill in what is known once the socket is bound: SERVER_NAME and SERVER_PORT. Asks nobody."""
        address = self.address
        if isinstance(address, tuple):
            host = address[0]
            if host in ("0.0.0.0", "::", ""):
                host = os.uname().nodename
            self.environ.setdefault("SERVER_NAME", host)
            self.environ.setdefault("SERVER_PORT", str(address[1]))
        else:
            self.environ.setdefault("SERVER_NAME", "")
            self.environ.setdefault("SERVER_PORT", "")

    # -- its end ---------------------------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        """True once drain() or stop() was called. Answers end their connections."""
        return self._draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._draining = draining
        self.counters.ending = draining or self._crowded

    @property
    def crowded(self) -> bool:
        """There is no room for another connection. While that is so, answers end theirs."""
        return self._crowded

    @crowded.setter
    def crowded(self, crowded: bool) -> None:
        self._crowded = crowded
        self.counters.ending = crowded or self._draining

    # -- connections -----------------------------------------------------------------------------------------

    def handle(self, sock: Any, address: Any) -> None:
        """Serve a connection with a `handler_class(sock, address, self)`. Switches."""
        counters = self.counters
        counters.connections += 1
        counters.open += 1
        if counters.open >= self._room:
            self.crowded = True
            self._make_room()
        try:
            self.handler_class(sock, address, self).handle()
        finally:
            counters.open -= 1
            if self._crowded:
                self.crowded = counters.open >= self._room

    def turned_away(self, address: Any) -> None:
        """Count it."""
        self.counters.connections += 1
        self.counters.turned_away += 1

    def _close_idle(self) -> None:
        """Close all connections that wait for a request, unless one has come that is only not read yet."""
        idle = [handler for handler in self.handlers if handler.idle]
        asked = set(have_asked(idle))
        for handler in idle:
            if handler not in asked:
                self._end(handler)

    def _make_room(self) -> None:
        """Close the oldest connection that waits for another request; fresh ones had no time to ask."""
        for handler in self.handlers:
            if handler.idle and not handler.fresh:
                self._end(handler)
                return

    def _end(self, handler: WSGIHandler) -> None:
        handler.idle = False
        handler.socket.close()  # which ends its wait

    def stop(self, timeout: float | None = None) -> None:
        """Close; connections that are idle end at once, what is being answered has `timeout` seconds (None:
        `stop_timeout`). Switches.
        """
        self.draining = True
        self.close()
        self._close_idle()
        super().stop(timeout)

    def drain_started(self) -> None:
        """Ends what is idle; answers from now on say Connection: close."""
        self._close_idle()


class _DefaultErrorLog:
    """The logger `corolib.pywsgi`, imported when something is written."""

    def write(self, text: str) -> None:
        import logging  # only when there is something to say: the program may still want to patch

        logging.getLogger("corolib.pywsgi").error("%s", text.rstrip("\n"))

    def flush(self) -> None:
        """Nothing."""

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


class _ErrorStream:
    """`wsgi.errors`: whatever the log is made of, it has write(), writelines() and flush()."""

    def __init__(self, log: Any) -> None:
        self._log = log

    def write(self, text: str) -> None:
        self._log.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._log.write(line)

    def flush(self) -> None:
        flush = getattr(self._log, "flush", None)
        if flush is not None:
            flush()


#: Arguments that are attributes of the same name, and whether each may be None.
_SETTINGS: Final[dict[str, bool]] = {
    "connect_timeout": True,
    "header_timeout": True,
    "body_timeout": True,
    "body_rate": False,
    "write_timeout": True,
    "keepalive_timeout": True,
    "request_timeout": True,
    "max_connections": True,
    "max_per_address": False,
    "limits": False,
}


def _checked(name: str, value: Any) -> Any:
    """The value of such an argument, if it can be one."""
    if name == "limits":
        if not isinstance(value, Limits):
            raise TypeError(f"limits: expected a Limits, found {value!r}")
        return value
    if value is None and _SETTINGS[name]:
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected a number{' or None' if _SETTINGS[name] else ''}, found {value!r}")
    if not value > 0 and not (name == "max_per_address" and value == 0):
        raise ValueError(f"{name}: expected a number above 0, found {value!r}")
    return value


def _descriptors() -> int:
    """How many descriptors the process may have."""
    soft, _ = getrlimit(RLIMIT_NOFILE)
    return 1 << 20 if soft == RLIM_INFINITY else soft
