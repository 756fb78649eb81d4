"""`multiprocessing` in a patched program: its waits let other greenlets run, and a forked child begins alone.

Its pipes are read and written by os.read() and os.write(), which are cooperative, and waited for by a
selector, which is, too. What remains is put right here as its modules are imported: semaphores, which belong
to the kernel; pipes made of sockets, which corolib has made non-blocking; and the child of a fork, which must
not go on with the greenlets, timers and descriptors of its parent: it is to run one function.
"""

import os
from functools import wraps
from types import ModuleType
from typing import Any

from ._imports import when_imported
from ._native import monotonic
from .hub import get_hub_if_exists, hub_to_wait_in, sleep
from .thread import get_ident

__all__ = ["patch_multiprocessing"]

#: How often a greenlet looks whether a semaphore is free, in seconds: first, and at the longest. Nothing
#: could tell the loop of it.
POLL, POLL_MOST = 0.0005, 0.01


def patch_multiprocessing() -> None:
    """Now, or when its modules are imported."""
    when_imported("_multiprocessing", _patch_semaphores)
    when_imported("multiprocessing.connection", _patch_connections)
    when_imported("multiprocessing.popen_fork", _patch_forks)


def _patch_semaphores(native: Any) -> None:
    if hasattr(native, "SemLock"):  # else this system has none
        native.SemLock = _semaphore(native.SemLock)


def _semaphore(base: Any) -> type:
    class SemLock(base):  # type: ignore[misc]  # a class of this system
        """The kernel's semaphore. acquire() lets others run; a recursive lock belongs to a greenlet."""

        __slots__ = ("_owner",)

        def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
            """Take it: True, or False if that was not possible at once or within `timeout` seconds."""
            if hub_to_wait_in() is None:
                return self._taken(block, timeout)
            limit = None if timeout is None else monotonic() + max(0.0, timeout)
            pause = POLL
            while not self._taken(False):
                left = POLL_MOST if limit is None else limit - monotonic()
                if not block or left <= 0:
                    return False
                sleep(min(pause, left))
                pause = min(2 * pause, POLL_MOST)
            return True

        def __enter__(self) -> bool:
            return self.acquire()

        def _taken(self, *how: Any) -> bool:
            me = get_ident()
            if self._is_of_another_greenlet(me) or not super().acquire(*how):
                return False
            self._owner = me
            return True

        def _is_of_another_greenlet(self, me: int) -> bool:
            # The kernel's word is about native threads, of which all greenlets here are one.
            return self.kind == 0 and super()._is_mine() and self._owner != me

        def _is_mine(self) -> bool:
            return super()._is_mine() and not self._is_of_another_greenlet(get_ident())

        def release(self) -> None:
            """Give it back; AssertionError if it is a recursive lock of somebody else's."""
            if self._is_of_another_greenlet(get_ident()):
                raise AssertionError("attempt to release recursive lock not owned by thread")
            super().release()

        def __exit__(self, *exc: object) -> None:
            self.release()

    SemLock.__module__ = base.__module__
    return SemLock


def _patch_connections(connection: ModuleType) -> None:
    cls: Any = connection.Connection
    plain = cls.__init__

    @wraps(plain)
    def __init__(self: Any, handle: int, *args: Any, **kwargs: Any) -> None:
        plain(self, handle, *args, **kwargs)
        os.set_blocking(self.fileno(), True)

    cls.__init__ = __init__


def _patch_forks(popen_fork: ModuleType) -> None:
    cls: Any = popen_fork.Popen
    plain = cls._launch

    @wraps(plain)
    def _launch(self: Any, process: Any) -> None:
        bootstrap = process._bootstrap

        def alone(*args: Any, **kwargs: Any) -> Any:
            _forget_the_parents_greenlets()
            return bootstrap(*args, **kwargs)

        process._bootstrap = alone
        try:
            plain(self, process)
        finally:
            del process._bootstrap

    cls._launch = _launch


def _forget_the_parents_greenlets() -> None:
    hub = get_hub_if_exists()
    if hub is not None and not hub.destroyed:
        hub.vanish_all()
        hub.destroy()
