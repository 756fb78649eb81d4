"""Timeout: raise an exception in a greenlet that takes too long.

A Timeout is a timer of the hub whose callback delivers an exception with `_hub.interrupt`, the one way to do
that: at the wait of the greenlet, or, if that has already been given something, at its next one. cancel()
takes an exception that is still on its way back, so nothing arrives after the block that it was for. Several
Timeouts of one greenlet are told apart by identity: catch `Timeout as t` and compare `t is mine`.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar, overload

from . import _hub
from ._switch import getcurrent, greenlet
from .hub import get_hub

__all__ = ["Timeout", "with_timeout"]

_T = TypeVar("_T")
_D = TypeVar("_D")
_P = ParamSpec("_P")


class Timeout(BaseException):
    """Raised in the greenlet that called start() once `seconds` have passed without cancel().

    `exception` is what is raised: a class or an instance; None, or a text that is added to the message, is
    this object itself. `seconds` None never fires, 0 or less at the next wait. As a context manager it is
    started and cancelled; with `exception` False, `with` then swallows it (this one only). `ref` False: it
    alone does not keep a program waiting.

    A BaseException, so that `except Exception` in the timed code does not stop it. `priority` is there for
    compatibility: what is due at the same time fires in the order of start().
    """

    def __init__(
        self,
        seconds: float | None = None,
        exception: type[BaseException] | BaseException | str | bool | None = None,
        ref: bool = True,
        priority: int = -1,
    ) -> None:
        super().__init__()
        self.seconds = seconds
        self.exception = exception
        self._ref = ref
        self.timer: _hub.timer | None = None
        #: Whom it will be, or has been, raised in, and what; until cancel().
        self._target: tuple[greenlet, BaseException] | None = None

    @classmethod
    def start_new(
        cls,
        timeout: "Timeout | float | None" = None,
        exception: type[BaseException] | BaseException | str | bool | None = None,
        ref: bool = True,
    ) -> "Timeout":
        """A started Timeout of so many seconds. One that is given is started if it is not, and returned."""
        if not isinstance(timeout, Timeout):
            timeout = cls(timeout, exception, ref)
        if not timeout.pending:
            timeout.start()
        return timeout

    def start(self) -> None:
        """Count from now, for the current greenlet. AssertionError if it is counting already. Never
        switches.
        """
        if self.pending:
            raise AssertionError(f"{self!r} is started already; cancel it before it is started again")
        if self.seconds is None:
            return
        thrown = self.exception
        error: BaseException
        if thrown is None or isinstance(thrown, str | bool):
            error = self
            self.__traceback__ = None  # of the last time
        else:
            error = thrown() if isinstance(thrown, type) else thrown
        me = getcurrent()
        timer = _hub.timer(get_hub(), self.seconds, 0.0, self._ref)
        self._target = me, error
        self.timer = timer
        if type(self)._on_expiration is Timeout._on_expiration:
            timer.start(_hub.interrupt, me, error)  # in order with all that is due, without a call in between
        else:
            timer.start(self._on_expiration, me, error)

    def _on_expiration(self, prev_greenlet: greenlet, ex: BaseException) -> None:
        """In the hub, when the time is over; may be overridden to do something beside."""
        _hub.interrupt(prev_greenlet, ex)

    @property
    def pending(self) -> bool:
        """Whether it is started and has not fired yet."""
        timer = self.timer
        return timer is not None and (timer.active or timer.pending)

    def cancel(self) -> None:
        """It will not be raised any more, even if its time is over already. May be started again. Never
        switches.
        """
        timer = self.timer
        if timer is not None:
            self.timer = None
            timer.stop()
        target = self._target
        if target is not None:
            self._target = None
            _hub.cancel_interrupt(*target)

    def close(self) -> None:
        """The same as cancel(); nothing is left behind."""
        self.cancel()

    def __enter__(self) -> Self:
        """Start it, unless it is started. Never switches."""
        if not self.pending:
            self.start()
        return self

    def __exit__(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> bool:
        self.cancel()
        return value is self and self.exception is False

    def __repr__(self) -> str:
        state = " pending" if self.pending else ""
        exception = "" if self.exception is None else f" exception={self.exception!r}"
        return f"<{type(self).__name__} at {id(self):#x} seconds={self.seconds}{exception}{state}>"

    def __str__(self) -> str:
        """'1 second', '0.5 seconds: what was given as `exception`'."""
        if self.seconds is None:
            return ""
        text = f"{self.seconds} second{'' if self.seconds == 1 else 's'}"
        if self.exception is None:
            return text
        return f"{text} (silent)" if self.exception is False else f"{text}: {self.exception}"

    # Compared by length, so that it may stand where a number of seconds is checked.

    def __lt__(self, other: "Timeout | float") -> bool:
        return _length(self) < _length(other)

    def __gt__(self, other: "Timeout | float") -> bool:
        return _length(self) > _length(other)


def _length(timeout: Timeout | float) -> float:
    """Seconds; None is for ever."""
    seconds = timeout.seconds if isinstance(timeout, Timeout) else timeout
    return float("inf") if seconds is None else seconds


_UNSET: Final = object()


@overload
def with_timeout(
    seconds: "Timeout | float | None",
    function: Callable[..., _T],
    /,
    *args: Any,
    timeout_value: _D,
    **kwargs: Any,
) -> _T | _D: ...
@overload
def with_timeout(
    seconds: "Timeout | float | None", function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
) -> _T: ...
def with_timeout(
    seconds: "Timeout | float | None",
    function: Callable[..., _T],
    /,
    *args: Any,
    timeout_value: Any = _UNSET,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, or Timeout if it takes longer than `seconds` seconds; with `timeout_value`
    given, that is returned instead.

    A Timeout of other code that passes through is left alone. Switches only as the function does.
    """
    timeout = Timeout.start_new(seconds)
    try:
        return function(*args, **kwargs)
    except Timeout as error:
        if error is timeout and timeout_value is not _UNSET:
            return timeout_value
        raise
    finally:
        timeout.cancel()
