"""The few things of eventlet that have another shape here: green threads, their pools, events, tpool.

Everything else of eventlet's common part is corolib's own under eventlet's names: see eventlet.py.
"""

import sys
from _socket import AF_INET, SO_REUSEADDR, SO_REUSEPORT, SOL_SOCKET
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, NoReturn

from .._native import saved
from .._switch import GreenletExit, getcurrent, greenlet
from ..event import AsyncResult
from ..greenlet import Greenlet
from ..hub import get_hub
from ..hub import spawn_raw as spawn_n
from ..lock import Semaphore as _Semaphore
from ..pool import Pool
from ..queue import LifoQueue as _LifoQueue
from ..queue import PriorityQueue as _PriorityQueue
from ..queue import Queue as _Queue
from ..queue import SimpleQueue as _SimpleQueue
from ..socket import socket, wait_read, wait_readwrite, wait_write
from ..timeout import Timeout

__all__ = [
    "CappedSemaphore",
    "Event",
    "GreenPile",
    "GreenPool",
    "GreenThread",
    "LifoQueue",
    "LightQueue",
    "PriorityQueue",
    "Proxy",
    "Queue",
    "Semaphore",
    "StopServe",
    "connect",
    "execute",
    "is_monkey_patched",
    "is_timeout",
    "kill",
    "killall",
    "listen",
    "monkey_patch",
    "original",
    "serve",
    "server",
    "set_num_threads",
    "spawn",
    "spawn_after",
    "spawn_after_local",
    "spawn_n",
    "trampoline",
    "wrap_ssl",
]

# -- green threads -------------------------------------------------------------------------------------------


class GreenThread(Greenlet[Any]):
    """A Greenlet with eventlet's wait(), link(), cancel() and kill()."""

    def wait(self) -> Any:
        """Its result, or what it raised; GreenletExit if it was killed. Switches."""
        result = self.get()
        if isinstance(result, GreenletExit):
            raise result
        return result

    def link(self, func: Callable[..., object], *args: object, **kwargs: object) -> None:  # type: ignore[override]
        """Call `func(green thread, *args, **kwargs)` once it is over."""
        super().link(lambda me: func(me, *args, **kwargs))

    def unlink(self, func: Callable[..., object], *args: object, **kwargs: object) -> NoReturn:
        """Not here: NotImplementedError."""
        raise NotImplementedError("links of a green thread cannot be taken back here")

    def kill(self, *throw_args: Any, block: bool = False, timeout: float | None = None) -> None:
        """Raise GreenletExit, or what throw() would take, in it at its next wait. Never switches."""
        super().kill(_thrown(throw_args), block, timeout)


def _thrown(arguments: tuple[Any, ...]) -> Any:
    """An exception, given as throw() takes it, as kill() takes it."""
    return arguments if len(arguments) > 1 else arguments[0] if arguments else GreenletExit


spawn = GreenThread.spawn
spawn_after = GreenThread.spawn_later


def spawn_after_local(seconds: float, func: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
    """spawn_after(), unless who calls this is over by then."""
    owner = getcurrent()

    def unless_over() -> Any:
        return None if owner.dead else func(*args, **kwargs)

    made: GreenThread = GreenThread.spawn_later(seconds, unless_over)
    return made


def kill(g: greenlet, *throw_args: Any) -> None:
    """GreenThread.kill(), of any greenlet."""
    from ..hub import kill as kill_any

    kill_any(g, _thrown(throw_args))


class GreenPool:
    """At most `size` green threads at the same time."""

    def __init__(self, size: int = 1000) -> None:
        self._pool = Pool(size, greenlet_class=GreenThread)
        self._waiting = 0

    @property
    def size(self) -> int:
        """How many there may be."""
        return self._pool.size or 0

    def resize(self, new_size: int) -> None:
        """Let so many run at the same time from now on; those that do finish."""
        by, self._pool.size = new_size - self.size, new_size
        places: Any = self._pool._semaphore
        for _ in range(by):
            places.release()
        places.counter += min(by, 0)

    def running(self) -> int:
        """How many there are."""
        return len(self._pool)

    def free(self) -> int:
        """How many more there may be; negative after a resize() to fewer than run."""
        return self.size - len(self._pool)

    def waiting(self) -> int:
        """How many greenlets wait for a place."""
        return self._waiting

    def spawn(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> GreenThread:
        """Start a green thread; switches while the pool is full, but not if one of the pool asks."""
        if getcurrent() in self._pool and not self.free():
            # It would wait for its own place: run it here and now, as eventlet does.
            result: AsyncResult[Any] = AsyncResult()
            try:
                result.set(function(*args, **kwargs))
            except Exception as error:
                result.set_exception(error)
            done: GreenThread = GreenThread.spawn(result.get)
            return done
        self._waiting += 1
        try:
            made: GreenThread = self._pool.spawn(function, *args, **kwargs)  # type: ignore[assignment]
        finally:
            self._waiting -= 1
        return made

    def spawn_n(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """spawn(), of which nobody wants the result."""
        self.spawn(function, *args, **kwargs)

    def waitall(self) -> None:
        """Wait until nobody is left. AssertionError if one of the pool asks. Switches."""
        assert getcurrent() not in self._pool, "a green thread of the pool would wait for itself"
        self._pool.join()

    def imap(self, function: Callable[..., Any], *iterables: Iterable[Any]) -> Iterator[Any]:
        """Results in order, made as they are asked for, `size` at the same time."""
        return iter(self._pool.imap(function, *iterables, maxsize=self.size))

    def starmap(self, function: Callable[..., Any], iterable: Iterable[Iterable[Any]]) -> Iterator[Any]:
        """imap() of argument lists."""
        return iter(self._pool.imap(lambda args: function(*args), iterable, maxsize=self.size))


class GreenPile:
    """Green threads whose results are iterated in the order in which they were started."""

    def __init__(self, size_or_pool: int | GreenPool = 1000) -> None:
        self.pool = size_or_pool if isinstance(size_or_pool, GreenPool) else GreenPool(size_or_pool)
        self._started: deque[GreenThread] = deque()

    def spawn(self, func: Callable[..., Any], *args: Any, **kw: Any) -> None:
        """Start one. Switches while the pool is full."""
        self._started.append(self.pool.spawn(func, *args, **kw))

    def __iter__(self) -> "GreenPile":
        return self

    def __next__(self) -> Any:
        if not self._started:
            raise StopIteration
        return self._started.popleft().wait()

    next = __next__


# -- what they wait for --------------------------------------------------------------------------------------


class Event:
    """A value, or an exception, that is sent once."""

    def __init__(self) -> None:
        self._result: AsyncResult[Any] = AsyncResult()

    def send(self, result: object = None, exc: Any = None) -> None:
        """Wake all who wait, with a result or an exception. AssertionError if there was one already."""
        assert not self._result.ready(), "the event has been sent already: reset() it first"
        if exc is None:
            self._result.set(result)
        else:
            error = exc[1] if isinstance(exc, tuple) and len(exc) > 1 and exc[1] is not None else exc
            error = error[0] if isinstance(error, tuple) else error
            self._result.set_exception(error() if isinstance(error, type) else error)

    def send_exception(self, *args: Any) -> None:
        """send() an exception, as `raise` or throw() would take it."""
        self.send(None, args if len(args) > 1 else args[0])

    def wait(self, timeout: float | None = None) -> Any:
        """What is sent; None if that takes longer than `timeout` seconds. Switches."""
        if not self._result.ready():
            self._result.wait(timeout)
        return self._result.get() if self._result.ready() else None

    def ready(self) -> bool:
        """Whether it has been sent."""
        return self._result.ready()

    def has_exception(self) -> bool:
        """Whether it was an exception that was sent."""
        return self._result.exception is not None

    def has_result(self) -> bool:
        """Whether it was a result that was sent."""
        return self.ready() and not self.has_exception()

    def poll(self, notready: object = None) -> Any:
        """wait() if that takes no time, else `notready`."""
        return self.wait() if self.ready() else notready

    def poll_result(self, notready: object = None) -> Any:
        """The result, if there is one."""
        return self.wait() if self.has_result() else notready

    def poll_exception(self, notready: object = None) -> Any:
        """Raise the exception, if there is one."""
        return self.wait() if self.has_exception() else notready

    def reset(self) -> None:
        """Let it be sent once more. AssertionError if it has not been sent."""
        assert self._result.ready(), "the event has not been sent"
        self._result = AsyncResult()


class Semaphore(_Semaphore):
    """Semaphore, with a balance."""

    _acquiring = 0

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a unit; False if there is none in time, or none and it may not wait. Switches."""
        self._acquiring += 1
        try:
            return super().acquire(blocking, timeout)
        finally:
            self._acquiring -= 1

    def __enter__(self) -> bool:
        return self.acquire()

    @property
    def balance(self) -> int:
        """Units that are free, less those who wait for one."""
        return int(self.counter) - self._acquiring

    def bounded(self) -> bool:
        """False: release() is never refused."""
        return False


class CappedSemaphore:
    """A semaphore whose release() waits while it has `limit` units."""

    def __init__(self, count: int, limit: int) -> None:
        if count < 0 or limit < count:
            raise ValueError(f"expected 0 <= count <= limit, found {count} and {limit}")
        self._taken = _Semaphore(limit - count)
        self._free = _Semaphore(count)

    def acquire(self, blocking: bool = True) -> bool:
        """Take a unit; False if there is none and it may not wait. Switches."""
        if not self._free.acquire(blocking):
            return False
        self._taken.release()
        return True

    def release(self, blocking: bool = True) -> bool:
        """Give one back, or wait until there is room for it; False if it may not wait. Switches."""
        if not self._taken.acquire(blocking):
            return False
        self._free.release()
        return True

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def balance(self) -> int:
        """Units that are free."""
        return int(self._free.counter)


class _Sizes:
    """What eventlet's queues tell of themselves beside."""

    def getting(self) -> int:
        """How many wait for an item."""
        return len(self.getters)  # type: ignore[attr-defined]

    def putting(self) -> int:
        """How many wait for room."""
        return len(self.putters)  # type: ignore[attr-defined]

    def resize(self, size: int | None) -> None:
        """Have room for so many from now on; None: for any number."""
        self.maxsize = size


class LightQueue(_Sizes, _SimpleQueue[Any]):
    """A queue without task_done() and join()."""


class Queue(_Sizes, _Queue[Any]):
    """A queue."""


class LifoQueue(_Sizes, _LifoQueue[Any]):
    """A stack."""


class PriorityQueue(_Sizes, _PriorityQueue[Any]):
    """The smallest item first."""


def is_timeout(obj: object) -> bool:
    """Whether an exception says that time is over."""
    return isinstance(obj, (Timeout, TimeoutError)) or bool(getattr(obj, "is_timeout", False))


# -- sockets -------------------------------------------------------------------------------------------------


def trampoline(
    fd: Any,
    read: object = None,
    write: object = None,
    timeout: float | None = None,
    timeout_exc: Any = Timeout,
    mark_as_closed: object = None,
) -> None:
    """Wait until a descriptor is readable, or writable, or either. Switches."""
    assert read or write, "there is nothing to wait for: neither read nor write"
    number = fd if isinstance(fd, int) else fd.fileno()
    wait = wait_readwrite if read and write else wait_read if read else wait_write
    error = timeout_exc() if isinstance(timeout_exc, type) else timeout_exc
    wait(number, timeout, error)


def listen(
    addr: Any,
    family: int = AF_INET,
    backlog: int = 50,
    reuse_addr: bool = True,
    reuse_port: bool | None = None,
) -> socket:
    """A socket that listens."""
    made = socket(family)
    try:
        if reuse_addr:
            made.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        made.bind(addr)
        made.listen(backlog)
    except BaseException:
        made.close()
        raise
    return made


def connect(addr: Any, family: int = AF_INET, bind: Any = None) -> socket:
    """A socket that is connected. Switches."""
    made = socket(family)
    try:
        if bind is not None:
            made.bind(bind)
        made.connect(addr)
    except BaseException:
        made.close()
        raise
    return made


def wrap_ssl(sock: Any, *args: Any, **kwargs: Any) -> Any:
    """A TLS socket on a socket: `certfile`, `keyfile`, `server_side` and the rest as SSLContext has them."""
    from ..ssl import PROTOCOL_TLS_CLIENT, PROTOCOL_TLS_SERVER, SSLContext

    names = ("keyfile", "certfile", "server_side")
    kwargs |= dict(zip(names, args, strict=False))
    context = SSLContext(PROTOCOL_TLS_SERVER if kwargs.get("server_side") else PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = kwargs.pop("cert_reqs", 0)
    if ca := kwargs.pop("ca_certs", None):
        context.load_verify_locations(ca)
    cert, key = kwargs.pop("certfile", None), kwargs.pop("keyfile", None)
    if cert:
        context.load_cert_chain(cert, key)
    return context.wrap_socket(sock, **kwargs)


class StopServe(Exception):
    """Raised by a handler of serve(): serve() returns."""


def serve(sock: Any, handle: Callable[[Any, Any], object], concurrency: int = 1000) -> None:
    """Call `handle(connection, address)` in a green thread for each connection. Returns when one raises
    StopServe, and raises what else one raises. Switches.
    """
    pool = GreenPool(concurrency)
    server = getcurrent()

    def ended(thread: GreenThread, connection: Any) -> None:
        connection.close()
        if thread.exception is not None and not thread.successful():
            kill(server, type(thread.exception), thread.exception, None)

    while True:
        try:
            connection, address = sock.accept()
            pool.spawn(handle, connection, address).link(ended, connection)
        except StopServe:
            return


def server(
    sock: Any, site: Any, log: Any = None, environ: Mapping[str, Any] | None = None, **options: Any
) -> None:
    """Serve a WSGI application on a socket that listens, as eventlet.wsgi.server(); switches, and returns
    when the socket is closed. `max_size`, `custom_pool`, `keepalive` (seconds, or false), `log_output`.
    TypeError for others.
    """
    from ..server.wsgi import WSGIServer

    pool = options.pop("custom_pool", None)
    size = options.pop("max_size", None) or (pool.size if pool is not None else 1024)
    keepalive = options.pop("keepalive", True)
    quiet = not options.pop("log_output", True)
    if options:
        raise TypeError(f"eventlet.wsgi.server() takes no {', '.join(options)} here")
    web = WSGIServer(
        sock,
        site,
        spawn=size,
        log=None if quiet else log if log is not None else sys.stderr,
        environ=dict(environ or {}),
        keepalive_timeout=10.0 if keepalive is True else float(keepalive or 0.001),
    )
    web.serve_forever()


# -- native threads, patching --------------------------------------------------------------------------------


def execute(meth: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The result of a function that runs in a native thread; the greenlet waits. Switches."""
    return get_hub().threadpool.spawn(meth, *args, **kwargs).get()


def set_num_threads(nthreads: int) -> None:
    """How many native threads there are for execute()."""
    get_hub().threadpool.maxsize = nthreads


def killall() -> None:
    """End these threads. Switches."""
    get_hub().threadpool.kill()


class Proxy:
    """An object whose methods run in native threads. What they return is wrapped as well if its type is in
    `autowrap` or the method's name in `autowrap_names`.
    """

    def __init__(
        self, obj: object, autowrap: tuple[type, ...] = (), autowrap_names: tuple[str, ...] = ()
    ) -> None:
        self._obj = obj
        self._autowrap = autowrap
        self._autowrap_names = autowrap_names

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        result = execute(getattr(self._obj, name), *args, **kwargs)
        if isinstance(result, self._autowrap) or name in self._autowrap_names:
            return Proxy(result, self._autowrap, self._autowrap_names)
        return result

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._obj, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._call(name, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call("__call__", *args, **kwargs)

    def __getitem__(self, key: object) -> Any:
        return self._call("__getitem__", key)

    def __setitem__(self, key: object, value: object) -> None:
        self._call("__setitem__", key, value)

    def __len__(self) -> int:
        return len(self._obj)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._obj)  # type: ignore[call-overload,no-any-return]

    def __repr__(self) -> str:
        return f"<Proxy of {self._obj!r}>"


#: monkey_patch()'s words, and what patch_all() calls the same.
_WORDS = {
    "os": ("os", "signal"),
    "select": ("select",),
    "socket": ("socket", "dns", "ssl"),
    "subprocess": ("subprocess",),
    "thread": ("thread", "queue"),
    "time": ("time",),
}
_WITHOUT_EFFECT = ("MySQLdb", "all", "builtins", "psycopg")


def monkey_patch(**on: bool) -> None:
    """patch_all() with eventlet's words: those that are true, or all but those that are false."""
    from ..monkey import patch_all

    unknown = set(on) - {*_WORDS, *_WITHOUT_EFFECT}
    if unknown:
        raise TypeError(f"monkey_patch() got an unexpected keyword argument {', '.join(sorted(unknown))}")
    default = on.get("all", not any(on.values()))
    chosen = {switch: on.get(word, default) for word, switches in _WORDS.items() for switch in switches}
    patch_all(**chosen)


def is_monkey_patched(module: str | ModuleType) -> bool:
    """Whether anything of a module, or of the one of that name, has been replaced."""
    return bool(saved.get(module if isinstance(module, str) else module.__name__))


def original(modname: str) -> ModuleType:
    """A module with the names that it had before patching. What is written in Python there finds by its
    global names what is there now.
    """
    __import__(modname)
    module = sys.modules[modname]
    made = ModuleType(modname, module.__doc__)
    vars(made).update(vars(module))
    vars(made).update(saved.get(modname, {}))
    return made
