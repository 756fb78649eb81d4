"""Queues between greenlets, of one thread or of many.

An item that is put while somebody waits for one is handed over at once; a slot that becomes free while
somebody waits to put is reserved for the longest waiting. So both sides are served in the order of arrival,
and an item is always either in the queue or with exactly one greenlet: if that one is resumed by an exception
of its own before it gets the item, the item goes to the next, or back to where it was taken from.

The hot half is in C (`_hub/queue.c`), all but `Channel`. There the threads' side is that look and change are
stretches without a call of a Python function between them: see `event`.

`Empty` and, where the standard library has it, `ShutDown` and `Full` are the standard library's classes. Its
module `queue` brings `threading` with it, which must not happen by importing this module: `Full` is looked up
when it is first needed.
"""

import sys
from _queue import Empty
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial, wraps
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast
from weakref import ref as weakref

from . import _hub
from ._hub import TIMED_OUT, WaitList
from ._switch import getcurrent, greenlet
from .hub import Hub, get_hub, get_hub_if_exists, hub_to_wait_in, sleep

if TYPE_CHECKING:
    from queue import Full

__all__ = [
    "Channel",
    "Empty",
    "Full",
    "JoinableQueue",
    "LifoQueue",
    "PriorityQueue",
    "Queue",
    "ShutDown",
    "SimpleQueue",
]

_T = TypeVar("_T")

if sys.version_info < (3, 13):

    class ShutDown(Exception):
        """The queue was shut down. (From Python 3.13 on it is the class of the standard library's queue
        module.)
        """

elif TYPE_CHECKING:
    from queue import ShutDown

_FROM_STDLIB = {"Full", "ShutDown"}


def __getattr__(name: str) -> Any:
    if name not in _FROM_STDLIB:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import queue  # late: see the head of this file

    value = globals()[name] = getattr(queue, name)
    return value


def _full() -> Exception:
    return cast(Exception, __getattr__("Full")())


def _shut_down() -> Exception:
    return ShutDown() if sys.version_info < (3, 13) else cast(Exception, __getattr__("ShutDown")())


class _Iterated(Generic[_T]):
    """Iteration of whatever can get(): until that is the class StopIteration."""

    __slots__ = ()

    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        raise NotImplementedError

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T:
        """get(); the iteration ends when that is the class StopIteration."""
        item = self.get()
        if item is StopIteration:
            raise StopIteration
        return item

    next = __next__

    @property
    def hub(self) -> Hub | None:
        """The hub of the current thread, or None. It belongs to none: who waits may be of any thread."""
        return get_hub_if_exists()


@_hub.own_methods
class SimpleQueue(_hub.SimpleQueue[_T], _Iterated[_T]):
    """First in, first out. `maxsize` None or 0: without bound; else put() waits while so many items are in
    it.

    True in a condition, even when it is empty. Iteration gets items until it gets the class StopIteration.
    A subclass may override _put(), _get(), _qsize() and _init(), as with the standard library's queues; they
    must not wait.
    """

    #: Where in `queue` the next item is.
    _next = 0
    #: Whether putting or taking an item may run Python code.
    _guarded = False

    # What is raised: made by these.
    _empty_error = Empty
    _full_error = staticmethod(_full)
    _shut_down_error = staticmethod(_shut_down)

    def __init__(self, maxsize: int | None = None, items: Iterable[_T] = ()) -> None:
        super().__init__(maxsize, *self._make(items), self._guarded)
        self._init(maxsize or 0)

    def _init(self, maxsize: int) -> None:
        """For subclasses: may replace `queue`, if _put() and _get() are overridden, too."""

    def _make(
        self, items: Iterable[_T]
    ) -> tuple[Any, Callable[[_T], object], Callable[[], _T], Callable[[_T], object]]:
        """The container; how to put an item in, take the next out, put it back."""
        container = deque(items)
        return container, container.append, container.popleft, container.appendleft

    def _peek(self) -> _T:
        item: _T = self.queue[self._next]
        return item

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}{self._describe()}>"

    def _describe(self) -> str:
        text = f" maxsize={self.maxsize}" if self.maxsize is not None else ""
        text += f" queue={self.queue!r}" if self.queue else ""
        text += f" getters={len(self.getters)}" if self.getters else ""
        return text + (f" putters={len(self.putters)}" if self.putters else "")

    def _explain_wait(self, waiter: greenlet) -> tuple[str, tuple[greenlet, ...], bool]:
        """For reports (see _waitgraph)."""
        if waiter in self.getters:
            return "get", (), False
        return "put" if waiter in self.putters else "join", (), False

    def copy(self) -> Self:
        """Another queue with the same items. Nobody waits for it."""
        return type(self)(self.maxsize, self.queue)


@_hub.own_methods
class Queue(_hub.Queue[_T], SimpleQueue[_T]):
    """A SimpleQueue that counts unfinished tasks, so that one can wait until all are done; and that can be
    shut down.

    An item put is a task; who gets it says task_done() when it has been dealt with. `unfinished_tasks`: how
    many there are to begin with, else the number of `items`.
    """

    def __init__(
        self, maxsize: int | None = None, items: Iterable[_T] = (), unfinished_tasks: int | None = None
    ) -> None:
        SimpleQueue.__init__(self, maxsize, items)
        self.unfinished_tasks = len(self.queue) if unfinished_tasks is None else unfinished_tasks

    def _describe(self) -> str:
        tasks = f" tasks={self.unfinished_tasks}" if self.unfinished_tasks else ""
        return super()._describe() + tasks + (" shut down" if self.is_shutdown else "")

    def copy(self) -> Self:
        """Another queue with the same items and unfinished tasks. Nobody waits for it."""
        return type(self)(self.maxsize, self.queue, self.unfinished_tasks)


#: Every Queue is one.
JoinableQueue = Queue


@_hub.own_methods
class LifoQueue(Queue[_T]):
    """A Queue whose last item comes out first."""

    _next = -1

    def _make(
        self, items: Iterable[_T]
    ) -> tuple[Any, Callable[[_T], object], Callable[[], _T], Callable[[_T], object]]:
        container = list(items)
        return container, container.append, container.pop, container.append


@_hub.own_methods
class PriorityQueue(Queue[_T]):
    """A Queue whose smallest item comes out first. Items are compared with each other: often pairs (number,
    thing).

    The comparison must not wait.
    """

    _guarded = True

    def _make(
        self, items: Iterable[_T]
    ) -> tuple[Any, Callable[[_T], object], Callable[[], _T], Callable[[_T], object]]:
        container: list[Any] = list(items)
        heapify(container)
        push = partial(heappush, container)
        return container, push, partial(heappop, container), push


def let_others_run_when_refused(module: Any) -> None:
    """For the queues of the standard library, in a patched program: who asks again and again without waiting
    must not keep those from running who would put something in, or take something out.
    """
    cls = module.Queue
    plain_get, plain_put = cls.get, cls.put

    @wraps(plain_get)
    def get(self: Any, block: bool = True, timeout: float | None = None) -> Any:
        try:
            return plain_get(self, block, timeout)
        except module.Empty:
            if not block:
                _let_others_run()
            raise

    @wraps(plain_put)
    def put(self: Any, item: Any, block: bool = True, timeout: float | None = None) -> None:
        try:
            plain_put(self, item, block, timeout)
        except module.Full:
            if not block:
                _let_others_run()
            raise

    cls.get, cls.put = get, put


def _let_others_run() -> None:
    if hub_to_wait_in() is not None:
        sleep(0)


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and timeout < 0:
        raise ValueError(f"'timeout' must be a non-negative number, found {timeout!r}")


def _give_back(owner: "weakref[Channel[Any]]", item: Any) -> None:
    """An item was handed to a greenlet that did not get it."""
    channel = owner()
    if channel is not None:
        channel._restore(item)


class _Offer(Generic[_T]):
    """An item of a Channel, and the greenlet that waits for somebody to take it."""

    __slots__ = ("greenlet", "item", "parked", "taken")

    def __init__(self, item: _T, greenlet: greenlet | None) -> None:
        self.item = item
        #: None: its putter has gone; the item was given back by a getter.
        self.greenlet = greenlet
        self.parked = False
        self.taken = False


class Channel(_Iterated[_T]):
    """A queue without room: put() waits until somebody gets the item. `maxsize` is there for compatibility,
    it must be 1: ValueError.
    """

    def __init__(self, maxsize: int = 1) -> None:
        if maxsize != 1:
            raise ValueError(f"maxsize of a channel: expected 1, found {maxsize!r}")
        me: Any = weakref(self)
        self.getters = WaitList(me, partial(_give_back, me))
        self.putters: deque[_Offer[_T]] = deque()

    def __repr__(self) -> str:
        waiting = f"getters={len(self.getters)} putters={len(self.putters)}"
        return f"<{type(self).__name__} at {id(self):#x} {waiting}>"

    def _explain_wait(self, waiter: greenlet) -> tuple[str, tuple[greenlet, ...], bool]:
        """For reports (see _waitgraph)."""
        return "get" if waiter in self.getters else "put", (), False

    @property
    def balance(self) -> int:
        """How many wait to put; negative: how many wait to get."""
        return len(self.putters) - len(self.getters)

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        return True

    def qsize(self) -> int:
        """0: there is nothing in it."""
        return 0

    def empty(self) -> bool:
        """True."""
        return True

    def full(self) -> bool:
        """True."""
        return True

    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Give the item to somebody. Full if nobody takes it within `timeout` seconds, or nobody waits
        with `block` false.

        Switches unless somebody waits for it. ValueError if `timeout` is negative.
        """
        if self.getters and self.getters.wake(item):
            return
        if not block:
            raise _full()
        _check_timeout(timeout)
        get_hub()
        offer = _Offer(item, getcurrent())
        self.putters.append(offer)
        try:
            if self.getters:  # of another thread, just now
                self._match()
            if offer.taken:
                return
            offer.parked = True
            if _hub.park("Channel", self, timeout) is TIMED_OUT:
                raise _full()
        finally:
            if not offer.taken and offer in self.putters:
                self.putters.remove(offer)

    def put_nowait(self, item: _T) -> None:
        """put(item, block=False); never switches."""
        self.put(item, False)

    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Take an item from somebody. Empty if nobody gives one within `timeout` seconds, or nobody waits
        with `block` false.

        Switches unless somebody waits with one. ValueError if `timeout` is negative.
        """
        if block:
            _check_timeout(timeout)
            get_hub()
        while self.putters:
            offer = self.putters.popleft()
            if self._take(offer):
                return offer.item
        if not block:
            raise Empty
        item: _T = self.getters.wait(timeout)
        if item is TIMED_OUT:
            raise Empty
        return item

    def get_nowait(self) -> _T:
        """get(block=False); never switches."""
        return self.get(False)

    def _take(self, offer: _Offer[_T]) -> bool:
        """Whether its putter still offers it; from then on it does not."""
        if offer.parked and offer.greenlet is not None and not _hub.wake(offer.greenlet):
            return False  # its time is over, or it was killed, and it has not come round to say so
        offer.taken = True
        return True

    def _match(self) -> None:
        """Bring together who waits on both sides."""
        while self.putters and self.getters:
            offer = self.putters.popleft()
            if self._take(offer) and not self.getters.wake(offer.item):
                self._restore(offer.item)

    def _restore(self, item: _T) -> None:
        if not (self.getters and self.getters.wake(item)):
            self.putters.appendleft(_Offer(item, None))
