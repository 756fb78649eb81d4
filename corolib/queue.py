"""Queues between greenlets, of one thread or of many.

An item that is put while somebody waits for one is handed over at once; a slot that becomes free while
somebody waits to put is reserved for the longest waiting. So both sides are served in the order of arrival,
and an item is always either in the queue or with exactly one greenlet: if that one is resumed by an exception
of its own before it gets the item, the item goes to the next, or back to where it was taken from.

The threads' side is that of `lock`: look and change are stretches without a call of a Python function between
them.

`Empty` and, where the standard library has it, `ShutDown` and `Full` are the standard library's classes. Its
module `queue` brings `threading` with it, which must not happen by importing this module: `Full` is looked up
when it is first needed.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast
from weakref import ref as weakref

from . import _hub
from ._hub import TIMED_OUT, WaitList
from ._native import Empty
from ._switch import getcurrent, greenlet
from .hub import get_hub

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


#: What a waiting putter is woken with: a place is kept for it. And what everybody is woken with by
#: shutdown().
_SLOT = object()
_CLOSED = object()


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and timeout < 0:
        raise ValueError(f"'timeout' must be a non-negative number, found {timeout!r}")


def _give_back(owner: "weakref[SimpleQueue[Any] | Channel[Any]]", item: Any) -> None:
    """An item was handed to a greenlet that did not get it."""
    queue = owner()
    if queue is not None and item is not _CLOSED:
        queue._restore(item)


class SimpleQueue(Generic[_T]):
    """First in, first out. `maxsize` None or 0: without bound; else put() waits while so many items are in
    it.

    True in a condition, even when it is empty. Iteration gets items until it gets the class StopIteration.
    Used by several native threads at once, a bounded queue may for a moment hold an item more for each of
    them.
    """

    #: The items in it.
    queue: Any
    is_shutdown = False
    #: Where in `queue` the next item is.
    _next = 0

    def __init__(self, maxsize: int | None = None, items: Iterable[_T] = ()) -> None:
        self._maxsize = maxsize
        #: Items it may hold; None: any number, which is the fast way through put(). 0 once it is shut down.
        self._bound = maxsize if maxsize is not None and maxsize > 0 else None
        #: Places kept for putters that have been woken and have not arrived yet.
        self._kept = 0
        me: Any = weakref(self)
        #: Who waits for an item, who waits for a place; the longest waiting first.
        self.getters = WaitList(me, partial(_give_back, me))
        self.putters = WaitList(me, partial(SimpleQueue._free_place, me))
        self._store, self._fetch, self._untake = self._make(items)
        # A subclass may override _put() and _get(), as with the standard library's queues.
        own = type(self)
        self._append = self._store if own._put is SimpleQueue._put else self._put
        self._take = self._fetch if own._get is SimpleQueue._get else self._get

    def _make(
        self, items: Iterable[_T]
    ) -> tuple[Callable[[_T], object], Callable[[], _T], Callable[[_T], object]]:
        """Make the container; how to put an item in, take the next out, put it back. Functions in C, for
        speed.
        """
        self.queue = container = deque(items)
        return container.append, container.popleft, container.appendleft

    def _put(self, item: _T) -> None:
        self._store(item)

    def _get(self) -> _T:
        return self._fetch()

    # -- looking ---------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x}{self._describe()}>"

    def _describe(self) -> str:
        text = f" maxsize={self.maxsize}" if self.maxsize is not None else ""
        text += f" queue={self.queue!r}" if self.queue else ""
        text += f" getters={len(self.getters)}" if self.getters else ""
        return text + (f" putters={len(self.putters)}" if self.putters else "")

    def __len__(self) -> int:
        return len(self.queue)

    def __bool__(self) -> bool:
        return True

    def qsize(self) -> int:
        """How many items are in it."""
        return len(self.queue)

    def empty(self) -> bool:
        """Whether get() would have to wait."""
        return not self.queue

    def full(self) -> bool:
        """Whether put() would have to wait."""
        return self._bound is not None and len(self.queue) + self._kept >= self._bound

    @property
    def maxsize(self) -> int | None:
        """How many items it may hold; None: any number. May be set: who waits for a place gets it then."""
        return self._maxsize if self._maxsize is not None and self._maxsize > 0 else None

    @maxsize.setter
    def maxsize(self, value: int | None) -> None:
        self._maxsize = value
        if not self.is_shutdown:
            self._bound = self.maxsize
            self._offer_places()

    def _explain_wait(self, waiter: greenlet) -> tuple[str, tuple[greenlet, ...], bool]:
        """For reports (see _waitgraph)."""
        if waiter in self.getters:
            return "get", (), False
        return "put" if waiter in self.putters else "join", (), False

    def copy(self) -> Self:
        """Another queue with the same items. Nobody waits for it."""
        return type(self)(self.maxsize, self.queue)

    # -- putting ---------------------------------------------------------------------------------------------

    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item in. Full if there is no place in time, or at all with `block` false. ShutDown if it is
        shut down.

        Switches only if it has to wait. ValueError if `timeout` is negative.
        """
        if not self.getters and (self._bound is None or len(self.queue) + self._kept < self._bound):
            self._append(item)
        else:
            self._put_slowly(item, block, timeout)

    def put_nowait(self, item: _T) -> None:
        """put(item, block=False); never switches."""
        self.put(item, False)

    def _put_slowly(self, item: _T, block: bool, timeout: float | None) -> None:
        """Somebody waits for an item, or there is no place, or it is shut down."""
        if timeout is not None and block:
            _check_timeout(timeout)
        if self.is_shutdown:
            raise _shut_down()
        if self._bound is None or len(self.queue) + self._kept < self._bound:
            self._enter(item)
            return
        if not block:
            raise _full()
        answer = self.putters.wait(timeout)
        if answer is TIMED_OUT:
            raise _full()
        if answer is _SLOT:
            self._kept -= 1
        if self.is_shutdown:
            raise _shut_down()
        self._enter(item)

    def _enter(self, item: _T) -> None:
        """There is a place: to whoever waits for an item, else into the queue."""
        if not self.getters.wake(item):
            self._append(item)
        elif self.putters:
            self._offer_places()

    def _offer_places(self) -> None:
        """Wake as many putters as there are places, keeping a place for each."""
        while self.putters and (self._bound is None or len(self.queue) + self._kept < self._bound):
            self._kept += 1
            if not self.putters.wake(_SLOT):
                self._kept -= 1

    @staticmethod
    def _free_place(owner: "weakref[SimpleQueue[Any]]", answer: object) -> None:
        """A putter was woken, and resumed by an exception of its own before it got there."""
        queue = owner()
        if queue is not None and answer is _SLOT:
            queue._kept -= 1
            queue._offer_places()

    # -- getting ---------------------------------------------------------------------------------------------

    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Take the next item out. Empty if there is none in time, or at all with `block` false.

        Switches only if it has to wait. ShutDown if the queue is shut down and empty. ValueError if `timeout`
        is negative.
        """
        if timeout is None and self.queue and not self.putters:
            return self._take()
        return self._get_slowly(block, timeout)

    def get_nowait(self) -> _T:
        """get(block=False); never switches."""
        return self.get(False)

    def peek(self, block: bool = True, timeout: float | None = None) -> _T:
        """The next item, which stays in the queue. Waits, switches and raises as get() does."""
        if block:
            _check_timeout(timeout)
        if self.queue:
            item: _T = self.queue[self._next]
        else:
            item = self._await_item(block, timeout)
            self._restore(item)
        return item

    def peek_nowait(self) -> _T:
        """peek(block=False); never switches."""
        return self.peek(False)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T:
        """get(); the iteration ends when that is the class StopIteration."""
        item = self.get()
        if item is StopIteration:
            raise StopIteration
        return item

    def _get_slowly(self, block: bool, timeout: float | None) -> _T:
        """There is a time limit, or no item, or somebody waits for a place."""
        if timeout is not None and block:
            _check_timeout(timeout)
        item = self._take() if self.queue else self._await_item(block, timeout)
        if self.putters:
            self._offer_places()
        return item

    def _await_item(self, block: bool, timeout: float | None) -> _T:
        """There was no item: wait to be handed one."""
        get_hub()
        if self.queue:
            return self._take()  # another thread has just put it
        if self.is_shutdown:
            raise _shut_down()
        if not block:
            raise Empty
        if self.putters:
            self._offer_places()
        item: _T = self.getters.wait(timeout)
        if item is TIMED_OUT:
            raise Empty
        if item is _CLOSED:
            raise _shut_down()
        return item

    def _restore(self, item: _T) -> None:
        """Put an item back that had been taken out: it is the next one again."""
        if not self.getters.wake(item):
            self._untake(item)


class Queue(SimpleQueue[_T]):
    """A SimpleQueue that counts unfinished tasks, so that one can wait until all are done; and that can be
    shut down.

    An item put is a task; who gets it says task_done() when it has been dealt with. `unfinished_tasks`: how
    many there are to begin with, else the number of `items`.
    """

    def __init__(
        self, maxsize: int | None = None, items: Iterable[_T] = (), unfinished_tasks: int | None = None
    ) -> None:
        super().__init__(maxsize, items)
        self.unfinished_tasks = len(self.queue) if unfinished_tasks is None else unfinished_tasks
        self._joiners = WaitList(weakref(self))
        #: shutdown(immediate=True): what comes back now is thrown away, too.
        self._emptied = False

    def _describe(self) -> str:
        tasks = f" tasks={self.unfinished_tasks}" if self.unfinished_tasks else ""
        return super()._describe() + tasks + (" shut down" if self.is_shutdown else "")

    def copy(self) -> Self:
        return type(self)(self.maxsize, self.queue, self.unfinished_tasks)

    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item in. Full if there is no place in time, or at all with `block` false. ShutDown if it is
        shut down.

        Switches only if it has to wait. ValueError if `timeout` is negative.
        """
        if not self.getters and (self._bound is None or len(self.queue) + self._kept < self._bound):
            self.unfinished_tasks += 1
            self._append(item)
        else:
            self._put_slowly(item, block, timeout)

    def _enter(self, item: _T) -> None:
        self.unfinished_tasks += 1
        if not self.getters.wake(item):
            self._append(item)
        elif self.putters:
            self._offer_places()

    def task_done(self) -> None:
        """An item that was got has been dealt with. ValueError if there are no unfinished tasks. Never
        switches.
        """
        if self.unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        self.unfinished_tasks -= 1
        if not self.unfinished_tasks:
            self._joiners.wake_all(True)

    def join(self, timeout: float | None = None) -> bool:
        """Wait until there are no unfinished tasks: True; False if that takes longer than `timeout` seconds.

        Switches unless there are none.
        """
        get_hub()
        if self.unfinished_tasks <= 0:
            return True
        return self._joiners.wait(timeout) is True

    def shutdown(self, immediate: bool = False) -> None:
        """No more items: put() raises ShutDown from now on, get() once the queue is empty. Never switches.

        Those who wait get ShutDown too. `immediate`: the items are thrown away, as if they had been dealt
        with.
        """
        self.is_shutdown = True
        self._bound = 0
        if immediate:
            self._emptied = True
            while self.queue:
                self._take()
                if self.unfinished_tasks > 0:
                    self.unfinished_tasks -= 1
            if not self.unfinished_tasks:
                self._joiners.wake_all(True)
        self.putters.wake_all(_CLOSED)
        self.getters.wake_all(_CLOSED)

    def _restore(self, item: _T) -> None:
        if not self._emptied:
            super()._restore(item)
        elif self.unfinished_tasks > 0:
            self.task_done()


#: Every Queue is one.
JoinableQueue = Queue


class LifoQueue(Queue[_T]):
    """A Queue whose last item comes out first."""

    _next = -1

    def _make(
        self, items: Iterable[_T]
    ) -> tuple[Callable[[_T], object], Callable[[], _T], Callable[[_T], object]]:
        self.queue = container = list(items)
        return container.append, container.pop, container.append


class PriorityQueue(Queue[_T]):
    """A Queue whose smallest item comes out first. Items are compared with each other: often pairs (number,
    thing).

    The comparison must not wait.
    """

    def _make(
        self, items: Iterable[_T]
    ) -> tuple[Callable[[_T], object], Callable[[], _T], Callable[[_T], object]]:
        container: list[Any] = list(items)
        heapify(container)
        self.queue = container
        push = partial(heappush, container)
        return push, partial(heappop, container), push


class _Offer(Generic[_T]):
    """An item of a Channel, and the greenlet that waits for somebody to take it."""

    __slots__ = ("greenlet", "item", "parked", "taken")

    def __init__(self, item: _T, greenlet: greenlet | None) -> None:
        self.item = item
        #: None: its putter has gone; the item was given back by a getter.
        self.greenlet = greenlet
        self.parked = False
        self.taken = False


class Channel(Generic[_T]):
    """A queue without room: put() waits until somebody gets the item. `maxsize` is there for compatibility,
    it must be 1.
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
        """Give the item to somebody. Full if nobody takes it in time, or nobody waits with `block` false.

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
        """Take an item from somebody. Empty if nobody gives one in time, or nobody waits with `block` false.

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

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T:
        """get(); the iteration ends when that is the class StopIteration."""
        item = self.get()
        if item is StopIteration:
            raise StopIteration
        return item

    next = __next__

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
