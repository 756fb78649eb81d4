"""`python -m corolib.pywsgi module:application`: serves an application, in as many processes as one likes."""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields
from signal import SIGTERM
from typing import Any, Final

from . import monkey
from .event import Event
from .greenlet import Greenlet
from .hub import sleep
from .server.accesslog import FORMATS
from .server.http1 import Limits
from .server.listeners import bound_socket, parse_address, remove_unix_path, unix_identity
from .server.prefork import NOT_STARTED, RELOAD, Manager
from .server.wsgi import WSGIServer
from .signal import signal_handler
from .socket import AF_UNIX, wait_read

__all__ = ["main"]

#: How often --reload looks at the files, in seconds.
LOOK: Final = 0.5
#: With --reload nobody wants to wait for what still runs.
RELOAD_GRACE: Final = 0.5

_TIMEOUTS: Final = {
    "connect": "from the connection to the first byte",
    "header": "for the whole head of a request",
    "body": "to wait for a body, and more as it comes",
    "write": "in which each 64 KiB of an answer has to be taken",
    "keepalive": "between two requests",
    "request": "for a whole answer (default: no limit)",
}


def say(text: str) -> None:
    """Tell whoever has started us."""
    print(f"corolib.pywsgi: {text}", file=sys.stderr, flush=True)


def _seconds(text: str) -> float | None:
    if text == "none":
        return None
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, or none; found {text!r}")
    return value


def _workers(text: str) -> int:
    count = len(os.sched_getaffinity(0)) if text == "auto" else int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, or auto; found {text!r}")
    return count


def arguments() -> argparse.ArgumentParser:
    """What the command takes."""
    parser = argparse.ArgumentParser(
        prog="python -m corolib.pywsgi",
        description="Serve a WSGI application over HTTP. SIGTERM and Ctrl-C end it in order.",
    )
    parser.add_argument("application", help="module:name, or module:name() for a function that makes it")
    parser.add_argument(
        *("-b", "--bind"),
        action="append",
        metavar="ADDRESS",
        help="host:port, [host]:port, :port or unix:path; any number of times (default: 127.0.0.1:8000)",
    )
    parser.add_argument(
        *("-w", "--workers"),
        type=_workers,
        default=1,
        help="processes, or auto: one for each core (default: 1)",
    )
    parser.add_argument("--certfile", help="serve TLS with this certificate and what leads to it")
    parser.add_argument("--keyfile", help="its key, if that is not in the same file")
    parser.add_argument("--log", default="-", help="where a line for each request goes: a file, - or none")
    parser.add_argument(
        "--log-format", choices=sorted(FORMATS), default="combined", help="(default: combined)"
    )
    parser.add_argument(
        "--websocket",
        action="store_true",
        help='give the application environ["wsgi.websocket"] (needs corolib[websocket])',
    )
    parser.add_argument("--reload", action="store_true", help="start anew when a file of the program changes")
    parser.add_argument("--no-patch", action="store_true", help="leave the standard library as it is")
    parser.add_argument(
        "--grace", type=_seconds, default=30.0, help="seconds to end what runs when told to end (default: 30)"
    )
    for name, what in _TIMEOUTS.items():
        default = getattr(WSGIServer, f"{name}_timeout")
        about = what if default is None else f"{what} (default: {default:g})"
        parser.add_argument(
            f"--{name}-timeout", type=_seconds, default=default, metavar="SECONDS", help=about
        )
    parser.add_argument("--max-connections", type=int, metavar="N", help="at once, in each process")
    parser.add_argument("--max-per-address", type=int, default=WSGIServer.max_per_address, metavar="N")
    for field in fields(Limits):
        parser.add_argument(f"--max-{field.name}", type=int, default=field.default, metavar="N")
    return parser


def load(name: str) -> Any:
    """The application of a name such as "package.module:make()"."""
    module, colon, path = name.partition(":")
    if not colon or not module or not path:
        raise ValueError(f"expected module:name, found {name!r}")
    made: Any = importlib.import_module(module)
    for part in path.removesuffix("()").split("."):
        made = getattr(made, part)
    if path.endswith("()"):
        made = made()
    if not callable(made):
        raise TypeError(f"{name} is no application: expected something to call, found {made!r}")
    return made


def listeners(options: argparse.Namespace) -> list[Any]:
    """Bind every address before anything is forked, so that errors are seen at once.

    Sockets of UNIX are shared by the workers. The others only hold the address: each worker binds it, too,
    and the system shares the connections out.
    """
    made: list[Any] = []
    for each in options.bind or ["127.0.0.1:8000"]:
        family, address = parse_address(each)
        if family == AF_UNIX:
            made.append(WSGIServer.get_listener(address, family=family))
        else:
            made.append(bound_socket(family, address, reuse_port=True))
    return made


class Worker:
    """What one process does."""

    def __init__(self, options: argparse.Namespace, bound: list[Any]) -> None:
        self.options = options
        self.bound = bound
        self.over = Event()
        self.reload = False
        #: Files to watch that belong to no module: those of a module that could not be imported.
        self.files: set[str] = set()

    def run(self, number: int, ready: Callable[[], None], lifeline: int) -> int:
        """Serve until told to end: the status to exit with."""
        options = self.options
        signal_handler(SIGTERM, self.over.set)
        Greenlet.spawn(self.watch_manager, lifeline)
        sys.path.insert(0, os.getcwd())
        if not options.no_patch:
            monkey.patch_all()
        try:
            application = load(options.application)
            server = self.make_server(application)
            server.start()
        except Exception as error:
            traceback.print_exc()
            if options.reload:
                say("waiting for a change")
                self.failed_in(error)
                self.watch_files()
                return RELOAD if self.reload else 0
            return NOT_STARTED
        ready()
        if options.reload:
            Greenlet.spawn(self.watch_files)
        self.over.wait()
        cut = server.drain(RELOAD_GRACE if self.reload else options.grace)
        if cut and not self.reload:
            say(f"worker {number}: {cut} connections were cut, their time was over")
        return RELOAD if self.reload else 0

    def make_server(self, application: Any) -> WSGIServer:
        options = self.options
        settings: dict[str, Any] = {
            f"{name}_timeout": getattr(options, f"{name}_timeout") for name in _TIMEOUTS
        }
        if options.max_connections:
            settings["max_connections"] = options.max_connections
        if options.websocket:
            from .websocket import WebSocketHandler  # of an extra

            settings["handler_class"] = WebSocketHandler
        if options.certfile:
            settings |= {"certfile": options.certfile, "keyfile": options.keyfile}
        log = {"-": "default", "none": None}.get(options.log, options.log)
        if log == options.log:
            log = open(log, "a", buffering=1, encoding="ascii")  # until the process ends
        several = options.workers > 1
        return WSGIServer(
            [each if each.family == AF_UNIX else each.getsockname() for each in self.bound],
            application,
            log=log,
            log_format=options.log_format,
            environ={"wsgi.multiprocess": several},
            reuse_port=True,
            max_per_address=options.max_per_address,
            limits=Limits(**{field.name: getattr(options, f"max_{field.name}") for field in fields(Limits)}),
            **settings,
        )

    def watch_manager(self, lifeline: int) -> None:
        """End when the manager is gone, however that happened."""
        wait_read(lifeline)
        self.over.set()

    def failed_in(self, error: BaseException) -> None:
        """Note the files that an error has to do with."""
        self.files.update(frame.filename for frame in traceback.extract_tb(error.__traceback__))
        if isinstance(error, SyntaxError) and error.filename:
            self.files.add(error.filename)

    def watch_files(self) -> None:
        """Until a file of a module changes; then the process is to be replaced."""
        seen: dict[str, float] = {}
        while not self.over.is_set():
            modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
            for path in (*modules, *self.files):
                if not isinstance(path, str):
                    continue
                try:
                    changed = os.stat(path).st_mtime
                except OSError:
                    continue
                if seen.setdefault(path, changed) != changed:
                    say(f"{path} has changed")
                    self.reload = True
                    self.over.set()
                    return
            sleep(LOOK)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; blocks the thread, which has to be the main one, until it ends."""
    parser = arguments()
    options = parser.parse_args(argv)
    if options.keyfile and not options.certfile:
        parser.error("--keyfile needs --certfile")
    try:
        bound = listeners(options)
    except (OSError, ValueError) as error:
        say(f"cannot listen: {error}")
        return 1
    scheme = "https" if options.certfile else "http"
    for each in bound:
        where = each.getsockname()
        shown = f"unix:{where}" if each.family == AF_UNIX else f"{scheme}://{_show(where)}"
        say(f"listening on {shown}, {options.workers} {'process' if options.workers == 1 else 'processes'}")
    paths = [
        (each.getsockname(), unix_identity(each.getsockname())) for each in bound if each.family == AF_UNIX
    ]
    manager = Manager(options.workers, Worker(options, bound).run, options.grace or 0.0, say)
    status = manager.run()
    for path, identity in paths:
        remove_unix_path(path, identity)
    return status


def _show(address: tuple[Any, ...]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
