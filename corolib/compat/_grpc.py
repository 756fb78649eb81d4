"""What grpcio takes of gevent when it is told to wait in greenlets, and nothing else.

Its switch imports gevent by name, once, and keeps two things: the thread pool of a hub, in whose threads it
waits in C from then on, and a group that spawns one greenlet. So two modules are there under that name while
the switch is thrown, whoever had the name has it again afterwards, and what grpcio keeps is ours.

A pool of its own, rather than the hub's: a call keeps a thread until it is answered, and the hub's few are
for names of hosts and files; and a server keeps one for good, so that calls to a server in the same process,
enough of them, would wait for it forever.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

from .._adopt import Overlay
from .._config import config
from .._hub import persist
from .._native import allocate_lock, start_new_thread
from ..greenlet import Greenlet
from ..hub import Hub, get_hub, get_hub_if_exists
from ..threadpool import ThreadPool, _check_maxsize

__all__ = ["Threads", "wait_in"]

_T = TypeVar("_T")


class Threads:
    """Native threads that wait for grpcio: a pool for each hub, at most `most` threads in each."""

    def __init__(self, most: int) -> None:
        _check_maxsize(most)
        self.most = most

    def apply(self, function: Callable[..., _T], args: tuple[Any, ...]) -> _T:
        """What `function(*args)` returns or raises, called in a native thread.

        Switches. In a thread without greenlets it is called where it is: nobody else is held up.
        """
        hub = get_hub_if_exists()
        if hub is None:
            return function(*args)
        return hub.service("grpc", self._pool).apply(function, args)

    def _pool(self, hub: Hub) -> ThreadPool:
        return ThreadPool(self.most, hub, config.threadpool_idle_task_timeout)


class _Group:
    """Where grpcio spawns what calls the functions that it is handed, such as those that make credentials."""

    def spawn(self, function: Callable[[], object]) -> None:
        """In a greenlet of this thread, or in a native thread if this one has no greenlets: then nobody would
        run it.
        """
        if get_hub_if_exists() is None:
            start_new_thread(persist, (function,))
        else:
            Greenlet.spawn(function)


class _Poller:
    """What the asyncio side of grpcio takes of a thread: one that waits in C for good, and has to be native.

    Patched, it would be a greenlet, and no other would ever run again.
    """

    def __init__(self, *, target: Callable[[], object], daemon: bool) -> None:
        self._target = target
        self._runs = allocate_lock()

    def start(self) -> None:
        self._runs.acquire()
        start_new_thread(persist, (self._run,))

    def _run(self) -> None:
        try:
            self._target()
        finally:
            self._runs.release()

    def join(self, timeout: float | None = None) -> None:
        """Blocks: it has been told to end, and whoever waits for that may be a destructor."""
        if self._runs.acquire(timeout=-1 if timeout is None else timeout):
            self._runs.release()


def _threading(real: Any) -> Overlay:
    """The module `threading` as grpcio sees it."""

    def Thread(*args: Any, **kwargs: Any) -> Any:
        polls = getattr(kwargs.get("target"), "__name__", "") == "_poll_wrapper"
        return (_Poller if polls else real.Thread)(*args, **kwargs)

    return Overlay(real, Thread=Thread)


@contextmanager
def _standing_in(modules: dict[str, Any]) -> Iterator[None]:
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def wait_in(threads: Threads, grpc: Any) -> None:
    """Have grpcio, of which `grpc` is the module written in Cython, wait in these threads."""
    # This thread is going to have greenlets, whether it has had one already or not.
    get_hub()
    gevent: Any = ModuleType("gevent")
    gevent.hub = SimpleNamespace(get_hub=lambda: SimpleNamespace(threadpool=threads))
    gevent.pool = SimpleNamespace(Group=_Group)
    with _standing_in({"gevent": gevent, "gevent.hub": gevent.hub, "gevent.pool": gevent.pool}):
        grpc.init_grpc_gevent()
    if not isinstance(grpc.threading, Overlay):
        grpc.threading = _threading(grpc.threading)
