"""Event, a flag to wait for, and AsyncResult, a value to wait for.

Both may be set from any thread and never switch when they are. The threads' side of it: a look at the flag,
followed at once by the call that joins the list of waiters, is one step, since CPython changes threads (and
runs signal handlers and finalisers) at calls of Python functions, after calls, and at jumps back only. What
is made on demand, the hub, is made before.
"""

from functools import partial
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, cast
from weakref import ref as weakref

from ._hub import TIMED_OUT
from ._switch import getcurrent
from ._waiting import Linkable
from .hub import get_hub, get_hub_if_exists, sleep
from .timeout import Timeout

__all__ = ["AsyncResult", "Event"]

_T = TypeVar("_T")

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Event(Linkable):
    """A flag. wait() waits until it is set; what threading.Event is for threads.

    Whoever waits at the time of set() is woken, longest waiting first, even if clear() follows at once; who
    comes then goes on after them.
    """

    def __init__(self) -> None:
        self._flag = False
        #: How many have been woken and have not gone on yet.
        self._coming = 0
        # Of Linkable: in the instance, where they are found faster.
        self._waiting = None
        self._links = None

    def __repr__(self) -> str:
        state = "set" if self._flag else "cleared"
        waiting = f" waiting={len(self._waiting)}" if self._waiting else ""
        links = f" links={len(self._links)}" if self._links else ""
        return f"<{type(self).__name__} at {id(self):#x} {state}{waiting}{links}>"

    def is_set(self) -> bool:
        """Whether the flag is set."""
        return self._flag

    isSet = is_set
    ready = is_set

    def set(self) -> None:
        """Set the flag, wake all who wait. Any thread; never switches."""
        self._flag = True
        if self._waiting:
            woken = self._waiting.wake_all(True)
            self._coming += woken  # no call in between: other threads count, too
        if self._links:
            self._notify()

    def clear(self) -> None:
        """Take the flag down. Never switches."""
        self._flag = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set: True; False if that takes longer than `timeout` seconds. Switches
        unless it is set and all who waited for that have gone on.
        """
        if self._flag:
            if self._coming:
                self._let_pass()
            return True
        get_hub()
        if self._waiting is None:
            self._make_waiters(partial(Event._not_coming, weakref(self)))
        if self._flag:  # another thread has set it
            return True  # type: ignore[unreachable]  # mypy knows of no other threads
        if self._waiting.wait(timeout) is not True:  # type: ignore[union-attr]  # made above
            return False
        self._coming -= 1
        return True

    @staticmethod
    def _not_coming(owner: "weakref[Event]", _: object) -> None:
        """One that was woken was resumed by an exception of its own, or its thread has ended."""
        event = owner()
        if event is not None:
            event._coming -= 1

    @staticmethod
    def _let_pass() -> None:
        """Those that stand in the ready queue of this thread go first."""
        hub = get_hub_if_exists()
        if hub is not None and getcurrent() is not hub:
            sleep(0)

    def _at_fork_reinit(self) -> None:
        """In the child of a fork, for threading: nothing, greenlets that wait are there still."""


_NONE: Final[Any] = object()


class AsyncResult(Linkable, Generic[_T]):
    """A value that comes later, once, or the exception that comes in its place.

    May be the target of a link: `greenlet.link(result)` passes the greenlet's result on. To set it again
    replaces what is there; a value goes before an exception.
    """

    def __init__(self) -> None:
        self._value: _T = _NONE
        self._exc_info: ExcInfo | None = None
        # Of Linkable: in the instance, where they are found faster.
        self._waiting = None
        self._links = None

    def __repr__(self) -> str:
        if self._value is not _NONE:
            state = f"value={self._value!r}"
        elif self._exc_info is not None:
            state = f"exception={self._exc_info[1]!r}"
        else:
            state = "unset"
        waiting = f" waiting={len(self._waiting)}" if self._waiting else ""
        links = f" links={len(self._links)}" if self._links else ""
        return f"<{type(self).__name__} at {id(self):#x} {state}{waiting}{links}>"

    # -- what it is ------------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether a value or an exception is there."""
        return self._value is not _NONE or self._exc_info is not None

    done = ready

    def successful(self) -> bool:
        """Whether a value is there."""
        return self._value is not _NONE

    @property
    def value(self) -> _T | None:
        """The value; None if there is none (yet)."""
        return None if self._value is _NONE else self._value

    @property
    def exc_info(self) -> ExcInfo | tuple[()]:
        """The exception as a triple, or ()."""
        return self._exc_info or ()

    @property
    def exception(self) -> BaseException | None:
        """The exception, or None."""
        return None if self._exc_info is None else self._exc_info[1]

    def cancel(self) -> bool:
        """False: it cannot be cancelled. For those who expect a future."""
        return False

    def cancelled(self) -> bool:
        """False."""
        return False

    # -- giving ----------------------------------------------------------------------------------------------

    def set(self, value: _T | None = None) -> None:
        """Put the value in, wake all who wait. Any thread; never switches."""
        self._value = cast(_T, value)
        self._wake()

    set_result = set

    def set_exception(self, exception: BaseException, exc_info: ExcInfo | None = None) -> None:
        """Put an exception in: get() raises it, with the traceback of `exc_info` if given. Any thread; never
        switches.
        """
        if not isinstance(exception, BaseException):
            raise TypeError(f"expected an exception instance, found {exception!r}")
        self._exc_info = exc_info or (type(exception), exception, exception.__traceback__)
        self._wake()

    def _wake(self) -> None:
        if self._waiting:
            self._waiting.wake_all()
        if self._links:
            self._notify()

    def __call__(self, source: Any) -> None:
        """As the target of a link: take over the result of `source`."""
        if source.successful():
            self.set(source.value)
        else:
            self.set_exception(source.exception, getattr(source, "exc_info", None))

    # -- taking ----------------------------------------------------------------------------------------------

    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """The value, or raises the exception. Timeout if it is not there within `timeout` seconds, or at all
        with `block` false.

        Switches unless it is there.
        """
        if self._value is not _NONE:
            return self._value
        if self._exc_info is None:
            if not block:
                raise Timeout()
            if not self._await(timeout):
                raise Timeout(timeout)
            if self._value is not _NONE:
                return self._value
        assert self._exc_info is not None
        _, error, tb = self._exc_info
        # Its own traceback each time, without what earlier raises have added.
        raise error.with_traceback(tb)

    def get_nowait(self) -> _T:
        """get(block=False)"""
        return self.get(block=False)

    def result(self, timeout: float | None = None) -> _T:
        """get(), under the name of a future's method; `timeout` in seconds. Switches unless it is there."""
        return self.get(timeout=timeout)

    def wait(self, timeout: float | None = None) -> _T | None:
        """Wait until it is ready. The value; None if it is an exception or not there within `timeout`
        seconds. Switches unless it is there.
        """
        if not self.ready():
            self._await(timeout)
        return self.value

    def _await(self, timeout: float | None) -> bool:
        """True unless the time is over. Called when it is not ready."""
        get_hub()
        if self._waiting is None:
            self._make_waiters()
        if self._value is not _NONE or self._exc_info is not None:
            return True
        return self._waiting.wait(timeout) is not TIMED_OUT  # type: ignore[union-attr]  # made above
