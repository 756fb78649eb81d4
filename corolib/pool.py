"""Group, greenlets that are joined and killed together, and Pool, a Group of limited size; and their map()
and imap().

Who is in a group leaves it when it is over, by a rawlink. `Mapper` is what Group and ThreadPool have in
common.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    overload,
)
from weakref import ref as weakref

from ._hub import WaitList
from ._switch import GreenletExit, getcurrent, greenlet
from .greenlet import Greenlet, SuccessSpawnedLink, joinall
from .hub import Killer, sleep
from .hub import kill as kill_any
from .lock import DummySemaphore, Semaphore
from .queue import Queue
from .timeout import Timeout

if TYPE_CHECKING:
    from contextvars import Context
    from queue import Full

    class PoolFull(Full):
        """The pool has no free place, and the caller did not want to wait for one."""


__all__ = ["Group", "IMap", "IMapUnordered", "Mapper", "Pool", "PoolFull"]

_T = TypeVar("_T")
_A = TypeVar("_A")
_P = ParamSpec("_P")


def __getattr__(name: str) -> Any:
    if name != "PoolFull":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in globals():
        return globals()[name]
    # Made when it is first needed: its base is in the standard library's queue module, which brings threading
    # with it.
    from queue import Full

    text = "The pool has no free place, and the caller did not want to wait for one."
    made = globals()["PoolFull"] = type("PoolFull", (Full,), {"__doc__": text, "__module__": __name__})
    return made


class _Failure:
    """An exception in the place of a result."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


#: In the place of a result: there are no more.
_END = object()


class IMapUnordered(Greenlet[None], Generic[_T]):
    """What imap_unordered() returns: a greenlet that has the calls made, and an iterator over their results.

    Results come as soon as they are there. next() switches unless one is; it raises what the call raised, at
    the end what iterating over `iterable` raised. With `maxsize`, no more than so many results are unread or
    under way; ValueError if it is below 1.
    """

    def __init__(
        self,
        function: Callable[..., _T],
        iterable: Iterable[Any],
        spawn: Callable[..., Any],
        maxsize: int | None = None,
        _zipped: bool = False,
    ) -> None:
        super().__init__()
        if maxsize is not None and maxsize < 1:
            raise ValueError(f"maxsize: expected 1 or more, or None, found {maxsize!r}")
        self._function = function
        self._arguments: Iterator[tuple[Any, ...]] = iter(iterable) if _zipped else zip(iterable)
        self._spawn = spawn
        self._places: Semaphore | DummySemaphore = DummySemaphore() if maxsize is None else Semaphore(maxsize)
        #: (number of the call, its result), as they arrive.
        self._results: Queue[tuple[int, Any]] = Queue()
        #: Calls under way -> their numbers.
        self._calls: dict[Any, int] = {}
        self._count = 0
        self._failure: _Failure | None = None
        self._fed = False
        self._ended = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> _T:
        """The next result, or what its call raised; StopIteration at the end. Switches unless it is there."""
        if self._ended:
            raise StopIteration
        result = self._next_result()
        if result is _END:
            self._ended = True
            raise StopIteration
        self._places.release()
        if isinstance(result, _Failure):
            raise result.error
        return cast(_T, result)

    next = __next__

    def _next_result(self) -> Any:
        return self._results.get()[1]

    def _run(self) -> None:
        try:
            for arguments in self._arguments:
                self._places.acquire()
                call = self._spawn(self._function, *arguments)
                self._calls[call] = self._count
                self._count += 1
                call.rawlink(self._arrived)
        except BaseException as error:  # the reader is to have it, whatever it is
            self._failure = _Failure(error)
        self._fed = True
        self._end_if_done()

    def _arrived(self, call: Any) -> None:
        """A call is over."""
        self._give(self._calls.pop(call), call.value if call.successful() else _Failure(call.exception))
        self._end_if_done()

    def _give(self, number: int, result: Any) -> None:
        self._results.put((number, result))

    def _end_if_done(self) -> None:
        if self._fed and not self._calls:
            if self._failure is not None:
                self._give(self._count, self._failure)
                self._count += 1
            self._give(self._count, _END)


class IMap(IMapUnordered[_T]):
    """What imap() returns: as IMapUnordered, but results come in the order of the calls."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._early: dict[int, Any] = {}
        self._turn = 0

    def _next_result(self) -> Any:
        while self._turn not in self._early:
            number, result = self._results.get()
            self._early[number] = result
        self._turn += 1
        return self._early.pop(self._turn - 1)


_M = TypeVar("_M", bound=IMapUnordered[Any])


class Mapper:
    """apply(), map() and imap() for whatever can spawn(): a function in a greenlet, or in a thread."""

    def spawn(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Have the function called; returns what has rawlink(), get(), successful(), value and exception."""
        raise NotImplementedError

    def full(self) -> bool:
        """Whether spawn() would have to wait."""
        return False

    def _apply_at_once(self) -> bool:
        """Whether apply() calls the function right here, since waiting for a place could be for ever."""
        return False

    def apply(
        self,
        func: Callable[..., _T],
        args: Iterable[Any] | None = None,
        kwds: dict[str, Any] | None = None,
    ) -> _T:
        """`func(*args, **kwds)` in the pool: its result, or what it raised. Switches.

        Called from within the pool, it calls the function at once.
        """
        if self._apply_at_once():
            return func(*(args or ()), **(kwds or {}))
        return cast(_T, self.spawn(func, *(args or ()), **(kwds or {})).get())

    def apply_cb(
        self,
        func: Callable[..., _T],
        args: Iterable[Any] | None = None,
        kwds: dict[str, Any] | None = None,
        callback: Callable[[_T], object] | None = None,
    ) -> _T:
        """apply(); with `callback`, that is called with the result in a new greenlet."""
        result = self.apply(func, args, kwds)
        if callback is not None:
            Greenlet.spawn(callback, result)
        return result

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] | None = None,
        kwds: dict[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
    ) -> Any:
        """apply() without waiting: what spawn() returns. `callback` is called with the result unless it
        fails.

        Never switches: if there is no place, a greenlet waits for one.
        """
        if self.full():
            return Greenlet.spawn(self.apply_cb, func, args, kwds, callback)
        call = self.spawn(func, *(args or ()), **(kwds or {}))
        if callback is not None:
            call.rawlink(SuccessSpawnedLink(lambda source: callback(source.value)))
        return call

    def map(self, func: Callable[[_A], _T], iterable: Iterable[_A]) -> list[_T]:
        """`func` of each item, in order; the first failure in that order is raised. Switches."""
        return list(self.imap(func, iterable))

    def map_cb(
        self,
        func: Callable[[_A], _T],
        iterable: Iterable[_A],
        callback: Callable[[list[_T]], object] | None = None,
    ) -> list[_T]:
        """map(); `callback` is called with the list."""
        result = self.map(func, iterable)
        if callback is not None:
            callback(result)
        return result

    def map_async(
        self,
        func: Callable[[_A], _T],
        iterable: Iterable[_A],
        callback: Callable[[list[_T]], object] | None = None,
    ) -> Greenlet[list[_T]]:
        """map() in a greenlet, which is returned. Never switches."""
        return Greenlet.spawn(self.map_cb, func, iterable, callback)

    def imap(
        self, func: Callable[..., _T], *iterables: Iterable[Any], maxsize: int | None = None
    ) -> IMap[_T]:
        """Iterator over `func` of the items, in order; see IMap. Never switches itself."""
        return self._start_map(IMap(func, zip(*iterables, strict=False), self.spawn, maxsize, True))

    def imap_unordered(
        self, func: Callable[..., _T], *iterables: Iterable[Any], maxsize: int | None = None
    ) -> IMapUnordered[_T]:
        """Iterator over `func` of the items, as they come; see IMapUnordered. Never switches itself."""
        return self._start_map(IMapUnordered(func, zip(*iterables, strict=False), self.spawn, maxsize, True))

    @staticmethod
    def _start_map(made: _M) -> _M:
        made.start()
        return made


class Group(Mapper):
    """Greenlets that belong together: each leaves when it is over.

    Made of the greenlets given, or of one iterable of them. False in a condition when it is empty.
    """

    #: What spawn() makes.
    greenlet_class: type[Greenlet[Any]] = Greenlet

    def __init__(self, *greenlets: Any) -> None:
        if len(greenlets) == 1 and not isinstance(greenlets[0], greenlet):
            (greenlets,) = greenlets
        self.greenlets: set[greenlet] = set()
        #: Those that kill() was tried on.
        self.dying: set[greenlet] = set()
        self._joiners = WaitList(weakref(self))
        for each in greenlets:
            self.add(each)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self.greenlets!r}>"

    def __len__(self) -> int:
        return len(self.greenlets)

    def __contains__(self, item: object) -> bool:
        return item in self.greenlets

    def __iter__(self) -> Iterator[greenlet]:
        """Over those that are in it now."""
        return iter(list(self.greenlets))

    def _explain_wait(self, waiter: greenlet) -> tuple[str, tuple[greenlet, ...], bool]:
        """For reports (see _waitgraph): its members, though anybody may discard one."""
        return "join", tuple(self.greenlets), False

    # -- coming and going ------------------------------------------------------------------------------------

    def add(self, greenlet: greenlet) -> None:
        """Take it in until it is over; a raw one until discard(). Nothing if it is in already. Never
        switches.
        """
        if greenlet in self.greenlets:
            return
        self._link(greenlet)

    def _link(self, greenlet: greenlet) -> None:
        link = getattr(greenlet, "rawlink", None)
        if link is not None:
            link(self._discard)
        self.greenlets.add(greenlet)

    def discard(self, greenlet: greenlet) -> None:
        """Let it go; silent if it is not in the group."""
        unlink = getattr(greenlet, "unlink", None)
        if unlink is not None:
            unlink(self._discard)
        self._discard(greenlet)

    def _discard(self, greenlet: greenlet) -> None:
        self.greenlets.discard(greenlet)
        self.dying.discard(greenlet)
        if not self.greenlets:
            self._joiners.wake_all(True)

    def start(self, greenlet: Greenlet[Any]) -> None:
        """add() and start it."""
        self.add(greenlet)
        greenlet.start()

    @overload
    def spawn(
        self, function: Callable[..., _T], /, *args: Any, context: "Context", **kwargs: Any
    ) -> Greenlet[_T]: ...
    @overload
    def spawn(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Greenlet[_T]: ...
    def spawn(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Greenlet[Any]:
        """Call `function(*args, **kwargs)` in a new greenlet of the group, which is returned."""
        made = self.greenlet_class(function, *args, **kwargs)
        self.start(made)
        return made

    # -- the end ---------------------------------------------------------------------------------------------

    def join(self, timeout: float | None = None, raise_error: bool = False) -> bool:
        """Wait until the group is, for a moment, empty: True; False if that takes longer than `timeout`
        seconds.

        `raise_error`: raise the failure of one that was in it at the call. Switches unless it is empty.
        """
        watched = list(self.greenlets) if raise_error else ()
        empty = not self.greenlets or self._joiners.wait(timeout) is True
        for each in watched:
            error = getattr(each, "exception", None)
            if error is not None:
                raise error
        return empty

    def kill(
        self, exception: Killer = GreenletExit, block: bool = True, timeout: float | None = None
    ) -> None:
        """Kill all; with `block` wait until the group is empty, those that come meanwhile included.

        Ends quietly after `timeout` seconds. Switches only with `block`.
        """
        limit = Timeout.start_new(timeout)
        try:
            while self.greenlets:
                for each in [each for each in self.greenlets if each not in self.dying]:
                    self.dying.add(each)
                    kill_any(each, exception)
                if not block:
                    return
                if getcurrent() in self.greenlets:
                    sleep(0)  # raises here
                self._kill_wait()
        except Timeout as error:
            if error is not limit:
                raise
        finally:
            limit.cancel()

    def _kill_wait(self) -> None:
        """Until those that are being killed are over. Raw greenlets cannot be waited for; they have had their
        exception.
        """
        joinall([each for each in self.greenlets if hasattr(each, "join")])
        sleep(0)  # who has been joined is not discarded yet: its links are called by the hub
        for each in [each for each in self.greenlets if each.dead]:
            self._discard(each)

    def killone(
        self,
        greenlet: greenlet,
        exception: Killer = GreenletExit,
        block: bool = True,
        timeout: float | None = None,
    ) -> None:
        """Kill one of the group; nothing if it is not in it, or is being killed. With `block`, for
        `timeout` seconds at most, as Greenlet.kill(): switches.
        """
        if greenlet not in self.greenlets or greenlet in self.dying:
            return
        self.dying.add(greenlet)
        kill_any(greenlet, exception)
        join = getattr(greenlet, "join", None)
        if block and join is not None:
            join(timeout)

    def full(self) -> bool:
        """False: a group has room for all."""
        return False

    def wait_available(self, timeout: float | None = None) -> int:
        """How many could come: always 1 at least, so that `timeout`, in seconds, is not needed. Never
        switches.
        """
        return 1

    def _apply_at_once(self) -> bool:
        return getcurrent() in self.greenlets


class Pool(Group):
    """A Group of `size` greenlets at most: spawn(), start() and add() wait while it is full.

    A place is taken before the greenlet starts, and given back when its links are called. None: no limit.
    ValueError if `size` is negative; with 0 nobody ever gets in.
    """

    def __init__(self, size: int | None = None, greenlet_class: type[Greenlet[Any]] | None = None) -> None:
        if size is not None and size < 0:
            raise ValueError(f"size of a pool: expected 0 or more, or None, found {size}")
        super().__init__()
        self.size = size
        if greenlet_class is not None:
            self.greenlet_class = greenlet_class
        self._semaphore: Semaphore | DummySemaphore = DummySemaphore() if size is None else Semaphore(size)

    def add(self, greenlet: greenlet, blocking: bool = True, timeout: float | None = None) -> None:
        """Take it in. PoolFull if there is no place within `timeout` seconds, or at all with `blocking`
        false. Switches if it is full.
        """
        if greenlet in self.greenlets:
            return
        if not self._semaphore.acquire(blocking, timeout):
            raise cast(Exception, __getattr__("PoolFull")())
        try:
            self._link(greenlet)
        except BaseException:
            self._semaphore.release()
            raise

    def start(self, greenlet: Greenlet[Any], blocking: bool = True, timeout: float | None = None) -> None:
        """add() and start it: waits for a place as add() does, for `timeout` seconds at most, and raises as
        it does. Switches if it is full.
        """
        self.add(greenlet, blocking, timeout)
        greenlet.start()

    def _discard(self, greenlet: greenlet) -> None:
        if greenlet in self.greenlets:
            super()._discard(greenlet)
            self._semaphore.release()

    def free_count(self) -> int:
        """How many places are free; 1 if there is no limit."""
        return 1 if self.size is None else max(0, self.size - len(self))

    def full(self) -> bool:
        """Whether there is no free place."""
        return self.free_count() <= 0

    def wait_available(self, timeout: float | None = None) -> int:
        """Wait until there is a place, for `timeout` seconds at most, without taking it: how many there are.
        Switches if it is full.
        """
        return self._semaphore.wait(timeout)
