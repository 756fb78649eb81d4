"""Waiter, a rendezvous of one greenlet; wait() and iwait() for several objects; what makes an object
waitable.

An object can be waited for if it has `rawlink(callback)` and `unlink(callback)`: `Linkable` gives both to the
primitives. Lists of waiting greenlets are `_hub.WaitList`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, cast, overload
from weakref import ref as weakref

from . import _hub
from ._hub import TIMED_OUT, WaitList
from ._switch import getcurrent, greenlet
from .errors import ConcurrentObjectUseError
from .hub import Hub, Killer, as_error, get_hub, get_hub_if_exists

__all__ = ["Linkable", "SupportsLink", "Waiter", "iwait", "wait"]

_T = TypeVar("_T")


class SupportsLink(Protocol):
    """What wait() and iwait() can wait for."""

    def rawlink(self, callback: Callable[[Any], object], /) -> None: ...
    def unlink(self, callback: Callable[[Any], object], /) -> None: ...


_L = TypeVar("_L", bound=SupportsLink)


class Waiter(Generic[_T]):
    """A mailbox for one value or exception and one waiting greenlet.

    `get()` waits for `switch(value)` or `throw(error)`, whichever comes first in time. Both may be called
    from the hub or from any greenlet and never switch; what comes second before a clear() takes the place of
    the first.
    """

    __slots__ = ("_error", "_filled", "_traceback", "_value", "greenlet", "hub")

    def __init__(self, hub: Hub | None = None) -> None:
        self.hub = hub if hub is not None else get_hub()
        #: Who waits in get().
        self.greenlet: greenlet | None = None
        self._filled = False
        self._value: _T | None = None
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None

    def __repr__(self) -> str:
        if self.greenlet is not None:
            state = f"of {self.greenlet!r}"
        elif not self._filled:
            state = "empty"
        else:
            state = f"value={self._value!r}" if self._error is None else f"exception={self._error!r}"
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    def clear(self) -> None:
        """Empty it, to be used once more."""
        self._filled = False
        self._value = None
        self._error = None

    def ready(self) -> bool:
        """Whether something has come."""
        return self._filled

    def successful(self) -> bool:
        """Whether a value has come."""
        return self._filled and self._error is None

    @property
    def value(self) -> _T | None:
        """The value that has come, or None."""
        return self._value

    @property
    def exc_info(self) -> tuple[type[BaseException], BaseException, TracebackType | None] | None:
        """The exception that has come, as a triple, or None."""
        error = self._error
        return None if error is None else (type(error), error, error.__traceback__)

    def switch(self, value: _T | None = None) -> None:
        """Put a value in: get() returns it."""
        self._put(value, None)

    def switch_args(self, *args: Any) -> None:
        """Put a tuple in."""
        self.switch(cast(_T, args))

    def throw(self, *throw_args: Any) -> None:
        """Put an exception in: get() raises it. A class, an instance, or class, value and traceback."""
        killer: Killer = throw_args[0] if len(throw_args) == 1 else (*throw_args, None, None)[:3]
        self._put(None, as_error(killer))

    def _put(self, value: _T | None, error: BaseException | None) -> None:
        self._value, self._error = value, error
        self._traceback = None if error is None else error.__traceback__
        self._filled = True
        if self.greenlet is not None:
            _hub.wake(self.greenlet)

    def __call__(self, source: Any) -> None:
        """As the target of a link: take over the result of `source`."""
        if source.successful():
            self.switch(source.value)
        else:
            self.throw(source.exception)

    def get(self) -> _T:
        """What has come or will come, once; again gives the same. Switches unless it is there.

        ConcurrentObjectUseError if a greenlet waits already.
        """
        if not self._filled:
            if self.greenlet is not None:
                raise ConcurrentObjectUseError(f"{self!r} is waited for already; found a second greenlet")
            self.greenlet = getcurrent()
            try:
                _hub.park("Waiter", self)
            finally:
                self.greenlet = None
        if self._error is not None:
            raise self._error.with_traceback(self._traceback)  # each raise adds to its own
        return cast(_T, self._value)


class Link:
    """One callback of a Linkable, and the hub and the context it is to be called in."""

    __slots__ = ("callback", "context", "due", "hub")

    def __init__(self, callback: Callable[[Any], object], hub: Hub) -> None:
        self.callback = callback
        self.context = copy_context()
        self.hub = hub
        #: The object has become ready, and the call has not been made or taken back yet.
        self.due = False


class Linkable:
    """Base of what can be linked to: callbacks to be called once, in the hub, when the object is ready.

    A subclass has ready(), and calls `_notify()` when it has become ready and `_links` is true. Each link is
    called in the hub of the thread that made it. A link that fails is reported to that hub; the others are
    called all the same. Any thread may do any of this.
    """

    #: In the order of their making; None until there is one, which is the usual case.
    _links: list[Link] | None = None
    #: For subclasses with waiters of their own; None until somebody has waited.
    _waiting: WaitList | None = None
    #: Whether a link is passed over if the object is not ready any more when its turn comes.
    _only_while_ready = False

    def ready(self) -> bool:
        """Whether a wait for it would be over at once."""
        raise NotImplementedError

    def _make_waiters(self, undo: Callable[[Any], object] | None = None) -> None:
        """Any thread. The list names this object by a weak reference: no circle that the collector would
        have to find.
        """
        made = WaitList(weakref(self), undo)
        if self._waiting is None:  # no other thread has been faster
            self._waiting = made

    def rawlink(self, callback: Callable[[Any], object], /) -> None:
        """Call `callback(self)` once, in the hub, as soon as this is ready; it must not wait. Never
        switches. It is called in a copy of the current context.
        """
        if not callable(callback):
            raise TypeError(f"a link must be callable, not {type(callback).__name__}: {callback!r}")
        link = Link(callback, get_hub())
        if self._links is None:
            self._links = []
        self._links.append(link)
        if self.ready():
            self._notify()

    def unlink(self, callback: Callable[[Any], object], /) -> None:
        """Take a link back, so that it is not called any more; silent if there is none."""
        for link in self._links or ():
            if link.callback == callback:
                self._remove(link)
                return

    @property
    def hub(self) -> Hub | None:
        """The hub of the current thread, or None. It belongs to none: who waits may be of any thread."""
        return get_hub_if_exists()

    def linkcount(self) -> int:
        """How many links there are."""
        return len(self._links or ())

    def _remove(self, link: Link) -> bool:
        """False if another thread has been faster."""
        link.due = False
        try:
            (self._links or []).remove(link)
        except ValueError:
            return False
        return True

    def _notify(self) -> None:
        """Have the links called that are there now. Any thread; never switches."""
        links = list(self._links or ())
        for link in links:
            link.due = True
        for hub in dict.fromkeys(link.hub for link in links):
            hub.run_callback_threadsafe(self._call_links, hub)

    def _call_links(self, hub: Hub) -> None:
        """In `hub`: call those that are due there. One may take back others that come after it."""
        for link in list(self._links or ()):
            if not link.due or link.hub is not hub:
                continue
            if self._only_while_ready and not self.ready():
                link.due = False
                continue
            if not self._remove(link):
                continue
            try:
                link.context.run(link.callback, self)
            except BaseException as error:  # whatever it is must not keep the others from being called
                hub.handle_error((link.callback, self), type(error), error, error.__traceback__)


class _Iwait(Iterator[_L]):
    """What iwait() returns. Links to the objects from the first next() until close()."""

    def __init__(self, objects: Iterable[_L], timeout: float | None, count: int | None) -> None:
        self._objects = tuple(objects)
        for each in self._objects:
            if not hasattr(each, "rawlink"):
                raise TypeError(f"cannot wait for {each!r}: it has no rawlink()")
        total = len(self._objects)
        self._left = total if count is None else min(count, total)
        self._timeout = timeout
        self._deadline: float | None = None
        self._begun = False
        self._ready: deque[_L] = deque()
        self._waiters = WaitList(weakref(self))

    def __repr__(self) -> str:
        return f"<iwait of {len(self._objects)} objects, {self._left} to come>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _explain_wait(self, waiter: greenlet) -> tuple[str, tuple[greenlet, ...], bool]:
        """For reports (see _waitgraph): if all are greenlets, those that are not over, and nobody else."""
        holders = tuple(
            each for each in self._objects if isinstance(each, _hub.Greenlet) and not each.ready()
        )
        return "join", holders, all(isinstance(each, _hub.Greenlet) for each in self._objects)

    def close(self) -> None:
        """Take all links back; nothing more comes."""
        self._left = 0
        for each in self._objects if self._begun else ():
            each.unlink(self._arrive)
        self._objects = ()

    def _arrive(self, ready: _L) -> None:
        self._ready.append(ready)
        self._waiters.wake()

    def __next__(self) -> _L:
        """The next that is ready. Switches unless one is; StopIteration when all, or `timeout`, are over."""
        try:
            if not self._begun:
                self._begin()
            while self._left > 0:
                wait, remaining = self._waiters.wait, self._remaining()
                if self._ready:  # no call in between: another thread may be about to wake us
                    break
                if wait(remaining) is TIMED_OUT and not self._ready:
                    self._left = 0
        except BaseException:
            self.close()
            raise
        if self._left <= 0:
            self.close()
            raise StopIteration
        self._left -= 1
        return self._ready.popleft()

    def _begin(self) -> None:
        self._begun = True
        now = get_hub().now()  # with a hub from here on: to make one runs other code
        if self._timeout is not None:
            self._deadline = now + self._timeout
        if self._left > 0:
            for each in self._objects:
                each.rawlink(self._arrive)

    def _remaining(self) -> float | None:
        return None if self._deadline is None else self._deadline - get_hub().now()


@overload
def iwait(objects: Iterable[_L], timeout: float | None = None, count: int | None = None) -> _Iwait[_L]: ...
@overload
def iwait(objects: None = None, timeout: float | None = None, count: int | None = None) -> Iterator[bool]: ...
def iwait(
    objects: Iterable[_L] | None = None, timeout: float | None = None, count: int | None = None
) -> "_Iwait[_L] | Iterator[bool]":
    """Iterate over `objects` as they become ready, `count` of them at most, for `timeout` seconds at most.

    next() switches unless one is ready. An object is anything with rawlink() and unlink(). Close the
    iterator, or use it in a `with` statement, if it is not run to its end: it is linked to what has not come.
    Without objects: hub.join().
    """
    if objects is None:
        return iter([get_hub().join(timeout)])
    return _Iwait(objects, timeout, count)


@overload
def wait(objects: Iterable[_L], timeout: float | None = None, count: int | None = None) -> list[_L]: ...
@overload
def wait(objects: None = None, timeout: float | None = None, count: int | None = None) -> bool: ...
def wait(
    objects: Iterable[_L] | None = None, timeout: float | None = None, count: int | None = None
) -> "list[_L] | bool":
    """The objects that became ready within `timeout` seconds, in that order; `count` of them at most.
    Switches unless so many are ready.

    Without objects: wait until there is nothing left to do at all, see hub.join() (True, or False when
    `timeout` is over).
    """
    if objects is None:
        return get_hub().join(timeout)
    with _Iwait(objects, timeout, count) as ready:
        return list(ready)
