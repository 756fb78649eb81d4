"""Semaphore and its kin, for greenlets of one thread or of many.

Whoever waits is served in the order of arrival: release() hands its unit to the longest waiting greenlet at
once, instead of raising the counter for whoever comes first; so nobody is overtaken. A unit that was handed
to a greenlet which was then resumed by an exception of its own goes back (`WaitList`'s undo).

The hot half of Semaphore is in C (`_hub/semaphore.c`).

The threads' side: look, change and join are steps without a call between them. CPython changes threads, and
runs signal handlers and finalisers, at calls of Python functions, after calls, and at jumps back only; so
each such stretch is one step for everybody, a finaliser that takes the same lock included.

Woken waiters of an RLock are handed the lock itself: so the function that takes back what did not arrive
needs no reference to the lock, and a lock that is dropped is freed at once.
"""

from types import TracebackType
from typing import Literal
from weakref import ref as weakref

from . import _hub
from ._hub import WaitList, shield, wake
from ._switch import getcurrent, greenlet
from ._waiting import Linkable, wait
from .hub import get_hub

__all__ = ["BoundedSemaphore", "DummySemaphore", "RLock", "Semaphore"]


@_hub.own_methods
class Semaphore(_hub.Semaphore, Linkable):
    """`counter` units; acquire() takes one, waiting for it if need be, release() gives one back.

    Units and waiters may be of any thread. Links are called while a unit is free. ValueError if `value` is
    negative. (`hub` is there for compatibility: a waiter's hub is that of its thread.)
    """

    _only_while_ready = True

    def __repr__(self) -> str:
        waiting = f" waiting={len(self._waiting)}" if self._waiting else ""
        links = f" links={len(self._links)}" if self._links else ""
        return f"<{type(self).__name__} at {id(self):#x} counter={self.counter}{waiting}{links}>"

    def wait(self, timeout: float | None = None) -> int:
        """Wait until a unit is free, for `timeout` seconds at most, without taking it: the number of free
        units, which may be 0 again.

        Switches unless one is free.
        """
        if self.counter <= 0:
            wait((self,), timeout)
        return self.counter

    def _explain_wait(self, waiter: greenlet) -> tuple[str, tuple[greenlet, ...], bool]:
        """For reports (see _waitgraph): anybody may release it."""
        return "acquire", (), False


@_hub.own_methods
class BoundedSemaphore(Semaphore):
    """A Semaphore that is never released more often than acquired: ValueError."""

    def __init__(self, value: int = 1, hub: object = None) -> None:
        super().__init__(value, hub)
        self._initial_value = value


class DummySemaphore:
    """A Semaphore without end: nothing here ever waits. For code that takes a semaphore it may not need."""

    def __init__(self, value: int | None = None) -> None:
        pass

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}>"

    def locked(self) -> Literal[False]:
        """False: there is always a unit."""
        return False

    def ready(self) -> Literal[True]:
        """True."""
        return True

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> Literal[True]:
        """True, at once, whatever number of seconds `timeout` is. Never switches."""
        return True

    def release(self) -> None:
        """Nothing."""

    def rawlink(self, callback: object) -> None:
        """Nothing: the callback is not called."""

    def unlink(self, callback: object) -> None:
        """Nothing."""

    def wait(self, timeout: float | None = None) -> Literal[1]:
        """1, at once, whatever number of seconds `timeout` is. Never switches."""
        return 1

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        pass


class RLock:
    """A lock that the greenlet which holds it may acquire again; as often released, it is free. For any
    thread.

    (`hub` is there for compatibility.)
    """

    def __init__(self, hub: object = None) -> None:
        self._owner: greenlet | None = None
        self._count = 0
        self._waiting = WaitList(weakref(self), RLock._leave)

    def __repr__(self) -> str:
        waiting = f" waiting={len(self._waiting)}" if self._waiting else ""
        # Not its repr: that may have the arguments of its function, and this lock among them.
        owner = None if self._owner is None else f"<{type(self._owner).__name__} at {id(self._owner):#x}>"
        return f"<{type(self).__name__} at {id(self):#x} owner={owner} count={self._count}{waiting}>"

    def _explain_wait(self, waiter: greenlet) -> tuple[str, tuple[greenlet, ...], bool]:
        """For reports (see _waitgraph): its owner, who alone can release it."""
        return "acquire", () if self._owner is None else (self._owner,), True

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take the lock, or take it once more: True; False if it is not free within `timeout` seconds, or at
        all with `blocking` false.

        Switches unless it is free or held by the current greenlet.
        """
        me = getcurrent()
        if self._owner is me:
            self._count += 1
            return True
        if self._owner is None:
            self._owner = me
            self._count = 1
            return True
        if not blocking:
            return False
        get_hub()
        if self._owner is None:  # another thread has released it
            self._owner = me  # type: ignore[unreachable]  # mypy knows of no other threads
            self._count = 1
            return True
        return self._waiting.wait(timeout) is self  # by then we are the owner: see _leave()

    __enter__ = acquire

    def release(self) -> None:
        """Give it back. RuntimeError if the current greenlet does not hold it. Any thread; never switches."""
        if self._owner is not getcurrent():
            raise RuntimeError(f"only the greenlet that holds a lock can release it: {self!r}")
        if self._count > 1:
            self._count -= 1
        elif self._waiting:
            self._leave()
        else:
            self._owner = None
            self._count = 0

    def __exit__(self, typ: object, value: object, tb: object) -> None:
        self.release()

    def _leave(self) -> None:
        """Make the longest waiting the owner and wake it; free if there is none.

        Held once until that is done: a finaliser that runs here in the same greenlet finds its own lock.
        """
        owner = self._owner
        while self._waiting:
            heir = next(iter(self._waiting))
            self._count = 1
            self._owner = heir
            if wake(heir, self):
                return
            self._owner = owner  # its time ran out, in another thread, just now
        self._owner = None
        self._count = 0

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._owner is not None

    # What threading.Condition asks of its lock.

    def _is_owned(self) -> bool:
        return self._owner is getcurrent()

    def _release_save(self) -> tuple[int, greenlet]:
        """Release it altogether; what _acquire_restore() needs to put it back."""
        owner, count = self._owner, self._count
        if owner is None or owner is not getcurrent():
            raise RuntimeError(f"only the greenlet that holds a lock can release it: {self!r}")
        self._leave()
        return count, owner

    def _acquire_restore(self, state: tuple[int, greenlet]) -> None:
        # Whatever happens to the greenlet meanwhile: it is going to release the lock. A kill comes at its
        # next wait.
        shielded = shield(True)
        try:
            self.acquire()
        finally:
            shield(shielded)
        self._count = state[0]

    def _recursion_count(self) -> int:
        return self._count if self._owner is getcurrent() else 0

    def _at_fork_reinit(self) -> None:
        """In the child of a fork, for threading: free, and those who wait are gone."""
        self._owner = None
        self._count = 0
        self._waiting = WaitList(weakref(self), RLock._leave)
