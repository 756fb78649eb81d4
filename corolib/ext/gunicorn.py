"""A gunicorn worker: corolib's own web server in gunicorn's processes.

    gunicorn -k corolib.ext.gunicorn.Worker --workers 2 --worker-connections 1000 app:app

The worker patches the standard library when it starts, before it loads the application. With --preload the
application is loaded before that, so have all of gunicorn patched: `corolib-run gunicorn --preload ...`.

What gunicorn says about processes holds: TERM stops in order within --graceful-timeout, HUP reloads, a worker
that dies or is stuck is replaced, --max-requests renews them. Requests are read by corolib's parser, which
obeys --keep-alive, --limit-request-line and --limit-request-fields. The access log, --certfile and its kin,
secure_scheme_headers, forwarded_allow_ips and the hooks mean what they mean in gunicorn; the request that
pre_request and post_request get has the attributes of gunicorn's, without the body. HTTP/2 and the PROXY
protocol are not there.
"""

import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..event import Event
from ..greenlet import Greenlet, joinall
from ..hub import get_hub, reinit
from ..pool import Pool
from ..server.handler import WSGIHandler
from ..server.http1 import Limits
from ..server.wsgi import WSGIServer
from ..socket import socket

if TYPE_CHECKING:
    Worker: Any

#: `Worker` is made when it is asked for: its base class is gunicorn's.
__all__: tuple[str, ...] = ()

#: Seconds between two signs of life: gunicorn's --timeout counts whole ones.
_BEAT = 1.0


class _Request:
    """Of a request, what gunicorn's hooks look at."""

    def __init__(self, handler: WSGIHandler) -> None:
        environ: dict[str, Any] = handler.environ or {}  # it is there while the application runs
        self.method = environ["REQUEST_METHOD"]
        self.uri = handler.path or ""
        target, _, self.fragment = self.uri.partition("#")
        self.path, _, self.query = target.partition("?")
        self.version = tuple(map(int, environ["SERVER_PROTOCOL"].removeprefix("HTTP/").split(".")))
        self.headers = [(name.upper(), value) for name, value in handler.headers.items()]
        self.scheme = environ["wsgi.url_scheme"]
        self.peer_addr = self.remote_addr = handler.client_address


class _Response:
    """Of an answer, what gunicorn's access log and hooks look at."""

    def __init__(self, handler: WSGIHandler) -> None:
        self.status = handler.status or str(handler.code)
        self.headers = handler.response_headers
        self.sent = handler.response_length


class _Handler(WSGIHandler):
    """A connection, with gunicorn's environ, hooks and access log."""

    _request: _Request | None = None

    def get_environ(self) -> dict[str, Any]:
        environ = super().get_environ()
        environ["RAW_URI"] = self.path
        environ["gunicorn.socket"] = self.socket
        worker = self.server.worker
        if worker.trusts(environ["REMOTE_ADDR"]) and any(
            environ.get("HTTP_" + name.upper().replace("-", "_")) == value
            for name, value in worker.cfg.secure_scheme_headers.items()
        ):
            environ["wsgi.url_scheme"] = "https"
        return environ

    def run_application(self) -> None:
        worker = self.server.worker
        self._request = _Request(self)
        worker.cfg.pre_request(worker, self._request)
        super().run_application()

    def log_request(self) -> None:
        worker = self.server.worker
        if self.environ is not None:  # else it was answered before the head was complete
            spent = timedelta(seconds=max(0.0, self.time_finish - self.time_start))
            response = _Response(self)
            worker.log.access(response, self.headers.items(), self.environ, spent)
            request, self._request = self._request, None
            try:
                if request is not None:
                    worker.cfg.post_request(worker, request, self.environ, response)
            except Exception:
                worker.log.exception("Exception in post_request hook")
        worker.count()


class _Server(WSGIServer):
    """A server that knows its worker."""

    worker: Any


class _Worker:
    """What is ours of the worker; see the head of this module."""

    # Of gunicorn's class.
    alive: bool
    cfg: Any
    log: Any
    max_requests: int
    nr: int
    pid: Any
    ppid: int
    sockets: list[Any]
    wsgi: Any

    _wake: Event

    def init_process(self) -> None:
        """In the new process: patch, then all that gunicorn does, which ends with run()."""
        from ..monkey import patch_all

        patch_all()
        reinit()
        self._wake = Event()
        self.sockets = [socket(fileno=each.sock.detach()) for each in self.sockets]
        super().init_process()  # type: ignore[misc]  # gunicorn's

    def run(self) -> None:
        """Serve until it is told to stop. Switches."""
        servers = [self._server(each) for each in self.sockets]
        for server in servers:
            server.start()
        while self.alive:
            self.notify()
            self._wake.wait(_BEAT)
        self._drain(servers)

    def _server(self, listener: socket) -> _Server:
        cfg = self.cfg
        options: dict[str, Any] = {}
        if cfg.is_ssl:
            from gunicorn.sock import ssl_context

            options["ssl_context"] = ssl_context(cfg)
        server = _Server(
            listener,
            self.wsgi,
            spawn=Pool(cfg.worker_connections),
            log=None,
            error_log=self.log.error_log,
            handler_class=_Handler,
            environ={
                "SERVER_SOFTWARE": "gunicorn corolib",
                "wsgi.multiprocess": cfg.workers > 1,
            },
            max_connections=cfg.worker_connections,
            keepalive_timeout=cfg.keepalive,
            limits=_limits(cfg),
            **options,
        )
        server.worker = self
        return server

    def _drain(self, servers: list[_Server]) -> None:
        """Let what runs end, and stay alive for the master meanwhile."""
        # The master's patience ends after the same time, and it kills without asking what was cut off.
        seconds = 0.9 * self.cfg.graceful_timeout
        drains = [Greenlet.spawn(server.drain, seconds) for server in servers]
        while len(joinall(drains, timeout=_BEAT)) < len(drains):
            self.notify()
        killed = sum(drain.get() for drain in drains)
        if killed:
            self.log.warning("Worker graceful timeout (pid:%s): %d requests were cut off", self.pid, killed)

    def notify(self) -> None:
        """Show the master that this worker lives; end if the master does not."""
        super().notify()  # type: ignore[misc]  # gunicorn's
        if self.ppid != os.getppid():
            self.log.info("Parent changed, shutting down: %s", self)
            sys.exit(0)

    def count(self) -> None:
        """A request is over."""
        self.nr += 1
        if self.alive and self.nr >= self.max_requests:
            self.log.info("Autorestarting worker after current request.")
            self.stop()

    def stop(self) -> None:
        """End in order."""
        self.alive = False
        self._wake.set()

    def trusts(self, address: str) -> bool:
        """Whether a peer may say that the client came by HTTPS."""
        allowed = self.cfg.forwarded_allow_ips
        return "*" in allowed or address in allowed or not address  # a UNIX socket has none

    # -- signals: a handler runs wherever the process is, which may be in the hub, and gunicorn's own wait ---

    def handle_exit(self, sig: int, frame: object) -> None:
        """TERM: end in order."""
        self.stop()

    def handle_quit(self, sig: int, frame: object) -> None:
        """QUIT, INT: end now."""
        get_hub().loop.run_callback(Greenlet.spawn, super().handle_quit, sig, frame)  # type: ignore[misc]

    def handle_usr1(self, sig: int, frame: object) -> None:
        """USR1: open the logs anew."""
        get_hub().loop.run_callback(Greenlet.spawn, super().handle_usr1, sig, frame)  # type: ignore[misc]


def _limits(cfg: Any) -> Limits:
    """gunicorn's, which has none for bodies; where it has 0, for none, ours."""
    ours = Limits()
    target = cfg.limit_request_line or ours.target
    return Limits(
        target=target,
        head=max(ours.head, target + cfg.limit_request_field_size),
        fields=cfg.limit_request_fields or ours.fields,
        body=sys.maxsize,
    )


def __getattr__(name: str) -> Any:
    if name != "Worker":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from gunicorn.workers.base import Worker as Base

    made = type("Worker", (_Worker, Base), {"__doc__": _Worker.__doc__, "__module__": __name__})
    globals()["Worker"] = made
    return made
