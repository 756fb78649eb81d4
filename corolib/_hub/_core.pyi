"""The built module corolib._hub._core: where greenlets and the loop meet."""

import _socket
from collections.abc import Callable, Iterator
from contextvars import Context
from types import CodeType, GenericAlias, TracebackType
from typing import Any, Final, Generic, ParamSpec, Self, TypeVar, final, overload

from typing_extensions import disjoint_base

from corolib._switch import greenlet

_P = ParamSpec("_P")
_T = TypeVar("_T")
_R = TypeVar("_R")
_S = TypeVar("_S", bound="Socket")

#: What a wait returns when its time ran out.
TIMED_OUT: Final[object]

@final
class callback:
    """A function in the ready queue; false once it ran or was stopped."""

    callback: Callable[..., object] | None
    args: tuple[object, ...] | None
    @property
    def pending(self) -> bool: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def __bool__(self) -> bool: ...

@disjoint_base
class timer:
    """One entry of the deadline heap; its callback runs in the hub, through the ready queue.

    It has `callback` and `args` while it is active, or its call is pending; else to set one is a ValueError.
    """

    def __init__(
        self, hub: Hub, after: float = 0.0, repeat: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> None: ...
    callback: Callable[..., object] | None
    args: tuple[object, ...] | None
    ref: bool
    priority: int
    @property
    def loop(self) -> Any: ...
    @property
    def active(self) -> bool: ...
    @property
    def pending(self) -> bool: ...
    @property
    def at(self) -> float: ...
    def start(self, callback: Callable[..., object], *args: object, update: bool = True) -> None: ...
    def again(self, callback: Callable[..., object], *args: object, update: bool = True) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def feed(self, revents: int, callback: Callable[..., object], /, *args: object) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...

@disjoint_base
class io:
    """Readiness of a descriptor; level-triggered: the callback is queued once for each turn of the loop that
    finds it ready.
    """

    def __init__(
        self, hub: Hub, fd: int, events: int, ref: bool = True, priority: int | None = None
    ) -> None: ...
    callback: Callable[..., object] | None
    args: tuple[object, ...] | None
    ref: bool
    priority: int
    @property
    def loop(self) -> Any: ...
    @property
    def fd(self) -> int: ...
    @property
    def events(self) -> int: ...
    @property
    def events_str(self) -> str: ...
    @property
    def active(self) -> bool: ...
    @property
    def pending(self) -> bool: ...
    def start(self, callback: Callable[..., object], *args: object, pass_events: bool = False) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...
    def wait(self, timeout: float | None = None, /) -> int | object:
        """Park until the descriptor is ready: the events that are, or TIMED_OUT. One waiter at a time."""
    def feed(self, revents: int, callback: Callable[..., object], /, *args: object) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...

@disjoint_base
class Hub(greenlet):
    """The C half of a hub: ready queue, deadlines, loop. One per thread, made by corolib.hub."""

    def __init__(self, table: int, loop: int, watch_signals: bool) -> None: ...
    #: Number of entries in the ready queue, and of greenlets that are parked in this hub's waits.
    @property
    def ready_count(self) -> int: ...
    @property
    def parked_count(self) -> int: ...
    #: What something outside can still end; at 0 it may be a deadlock.
    @property
    def live_count(self) -> int: ...
    @property
    def deadline_count(self) -> int: ...
    #: How often the loop has looked for events, and whether it waits for some now.
    @property
    def poll_count(self) -> int: ...
    @property
    def polling(self) -> bool: ...
    @property
    def thread_ident(self) -> int: ...
    @property
    def destroyed(self) -> bool: ...
    #: Counts jobs outside that will still wake somebody (a thread pool's): no LoopExit while it is above 0.
    def external_enter(self) -> None: ...
    def external_leave(self) -> None: ...
    def switch(self, *args: object) -> Any:
        """Park the caller until somebody switches to it (the way third parties wait for a watcher)."""
    @overload
    def run_callback(
        self, fn: Callable[..., object], /, *args: Any, context: Context, **kwargs: Any
    ) -> callback: ...
    @overload
    def run_callback(self, fn: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs) -> callback: ...
    @overload
    def run_callback_threadsafe(
        self, fn: Callable[..., object], /, *args: Any, context: Context, **kwargs: Any
    ) -> callback: ...
    @overload
    def run_callback_threadsafe(
        self, fn: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> callback: ...
    def now(self) -> float:
        """The clock of deadlines, in seconds (CLOCK_MONOTONIC, unless a test has stopped it)."""
    def stop_clock(self, at: float, patience: float | None, /) -> None:
        """The clock shows `at` and stands still; the loop moves it to the next deadline when nothing else is
        left.
        """
    def run_clock(self) -> None: ...
    def move_clock(self, seconds: float, /) -> None: ...
    def shuffle(self, seed: int | None, /) -> None:
        """Take what is ready in an order that the seed decides; None: first in, first out."""
    def fd_closing(self, fd: int, /) -> int:
        """A descriptor number is about to be closed: its waiters get EBADF, its watchers stop. Returns how
        many.
        """
    def intact(self) -> bool:
        """Whether the descriptors that the hub has for itself are what they were: nobody has closed them."""

    def leave_loop(self) -> None:
        """The first half of moving to another loop of libev's: nothing of it is active in the old one."""

    def enter_loop(self, loop: int, /) -> None:
        """The second half: all of it is active in the loop at this address."""

    def after_fork(self) -> None: ...
    def chain_signals(self) -> tuple[int, int]:
        """Have signals wake the loop, and the descriptor of set_wakeup_fd() too: (ours, the one before)."""
    def destroy(self, error: Any = ..., /) -> None: ...
    def vanish_all(self) -> None:
        """vanish() all greenlets that wait here or are about to run, the main one too; not the current."""
    def parked(self) -> list[greenlet]:
        """The greenlets that are parked in a wait of this hub."""
    # handle_error() and loop_exit() are called here, and defined in corolib.hub.Hub.

@disjoint_base
class Loop:
    """What is called often of `hub.loop`; the rest is corolib._loop.HubLoop."""

    @property
    def hub(self) -> Hub | None:
        """The hub that runs it, or None."""
    def adopt(self, hub: Hub | None, /) -> None:
        """From now on it is the loop of this hub; None: of no hub."""
    def run_callback(self, fn: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> callback:
        """Call fn in the hub, after what is ready now. Any thread; never switches."""
    def run_callback_threadsafe(
        self, fn: Callable[_P, object], *args: _P.args, **kwargs: _P.kwargs
    ) -> callback: ...
    def timer(
        self, after: float, repeat: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> timer:
        """A watcher of the clock: after `after` seconds, then each `repeat` seconds."""

def get_hub() -> Hub:
    """The hub of this thread, made on demand."""

def close(fd: int, /) -> None:
    """Close a descriptor. Greenlets of this thread that wait for it get OSError (EBADF). Never switches."""

def get_hub_if_exists() -> Hub | None: ...
def set_hub(hub: Hub | None, /) -> None: ...
def set_hub_factory(factory: Callable[[], Hub], /) -> None: ...
def sleep(seconds: float = 0, ref: bool = True) -> None:
    """Switch to the hub for `seconds`; 0 or less lets what is ready run first."""

def instances(types: list[type], among: list[Any] = ..., /) -> list[Any]:
    """All objects of exactly the types in a list, each once, also those that the collector knows by their
    holders only. `among`: what gc.get_objects() has given, for several walks.
    """

def referrers(objects: list[Any], among: list[Any] = ..., /) -> list[Any]:
    """What `gc.get_referrers(*objects)` gives, of a list: one walk, however many there are."""

def held_long() -> bool:
    """For whoever finds work again and again: whether nothing has been polled for five milliseconds, so that
    others should run first; False in the hub. Never switches.
    """

def park(kind: str, object: object = None, timeout: float | None = None, external: bool = False) -> Any:
    """Wait until wake() or wake_error(): the value, or TIMED_OUT. `external`: something outside will end it,
    no deadlock.
    """

def wake(target: greenlet, value: object = None, /) -> bool:
    """End the wait of `target` with a value; False if it does not wait. Any thread."""

def wake_error(target: greenlet, error: BaseException, /) -> bool: ...
def interrupt(target: greenlet, error: BaseException, /) -> bool:
    """Deliver an exception exactly once: at the wait of `target`, or (False) pending, at its next one. Any
    thread.
    """

def cancel_interrupt(target: greenlet, error: BaseException, /) -> bool:
    """Take a pending interrupt back, by identity; False if there is none (any more)."""

def vanish(target: greenlet, /) -> None:
    """It is never resumed again, and nothing is raised in it: a thread that is not there in the child of a
    fork. It leaves what it waits for, and lives for ever.
    """

def thread_failed(function: object, error: BaseException, /) -> None:
    """sys.unraisablehook() with what a thread's function has raised, as _thread reports it."""

def shield(on: bool, /) -> bool:
    """While it is on, interrupts of the current greenlet are not delivered at its waits but stay pending.
    Returns whether it was on, to be put back.
    """

def waiting(target: greenlet, /) -> tuple[str, object, float] | None:
    """(kind, object, since) of a parked greenlet, or None."""

def waits(hub: Hub, /) -> list[tuple[greenlet, str, object, float, float | None, bool, int]]:
    """(greenlet, kind, object, since, due, external, turn) of all that wait there, longest waiting first."""

def standing(target: greenlet, /) -> str:
    """'dead', 'waiting', 'ready', 'running', 'fresh' (not started) or 'suspended' (by hand)."""

def turn(target: greenlet, /) -> int:
    """How often a greenlet has waited or yielded."""

def activity(hub: Hub, /) -> tuple[int, int, int, bool, list[greenlet]]:
    """(ready, live, external, polling, targets): what is going on in a hub, and the greenlets that a timer or
    a queued call names.
    """

def stretch(hub: Hub, /) -> tuple[float, int] | None:
    """(when the loop last looked for events, how many entries of the ready queue have run since). None if the
    loop sleeps, or has never run.
    """

def threads() -> tuple[list[int], int]:
    """Identifiers of all threads of Python, and how many of these can wake nobody."""

@overload
def spawn_raw(fn: Callable[..., object], /, *args: Any, context: Context, **kwargs: Any) -> greenlet: ...
@overload
def spawn_raw(fn: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs) -> greenlet: ...

@disjoint_base
class WaitList:
    """FIFO of waiting greenlets. `owner` is what a report names as waited for (default: the list itself).

    `undo(value)` is called when a wake-up had been handed to a greenlet that was then resumed by an exception
    from somewhere else, so that nothing is lost: it gets the value back to hand it to the next.
    """

    def __init__(self, owner: object = None, undo: Callable[[Any], object] | None = None) -> None: ...
    def wait(self, timeout: float | None = None) -> Any:
        """Park at the end of the list: the value of the wake-up, or TIMED_OUT."""
    def wake(self, value: object = None, count: int = 1) -> int:
        """Wake up to `count` waiters, longest waiting first; how many. Any thread. Never switches."""
    def wake_all(self, value: object = None) -> int: ...
    def wake_error(self, error: BaseException, /) -> int:
        """Raise `error` in all waiters."""
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    def __iter__(self) -> Iterator[greenlet]: ...
    def __contains__(self, target: object, /) -> bool: ...

@disjoint_base
class Semaphore:
    """The hot half of corolib.lock.Semaphore."""

    #: Free units. May be changed by hand; who waits then is served at the next release().
    counter: int
    #: A release() that would raise `counter` above it is a ValueError; -1: none is.
    _initial_value: int
    _links: list[Any] | None
    def __init__(self, value: int = 1, hub: object = None) -> None: ...
    #: A list of the greenlets that wait, longest waiting first.
    _waiting: Any
    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Take a unit: True; False if there is none within `timeout` seconds, or at all with `blocking`
        false. Switches unless one is free.
        """
    def __enter__(self) -> bool: ...
    def release(self) -> int:
        """Give a unit back, to the longest waiting if any; the number of free units. Any thread; never
        switches.
        """
    def __exit__(self, *exc: object) -> None: ...
    def locked(self) -> bool: ...
    def ready(self) -> bool: ...
    def _serve(self) -> None:
        """Hand free units to those who wait."""
    def _at_fork_reinit(self) -> None: ...

@disjoint_base
class Lock:
    """The hot half of corolib.thread.LockType, which has _release_not_owned()."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock: True, or False if that was not possible at once or within `timeout` seconds.
        Switches to the hub if somebody else has it.
        """
    def __enter__(self) -> bool: ...
    def release(self) -> None:
        """Give the lock up; RuntimeError if nobody has it. The first who waits has it from now on."""
    def __exit__(self, *exc: object) -> None: ...
    def locked(self) -> bool: ...
    def _renew(self) -> None:
        """Free, whoever has it; those who wait try again."""

@disjoint_base
class RLock:
    """The hot half of corolib.thread.RLock, which has _release_not_owned()."""

    def __init__(self, *args: object, **kwargs: object) -> None: ...
    _count: int
    @property
    def _owner(self) -> int | None: ...
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, once more if it is ours: True, or False if that was not possible in time. Switches
        to the hub if somebody else has it.
        """
    def __enter__(self) -> bool: ...
    def release(self) -> None:
        """Undo one acquire(); RuntimeError if the lock is not ours. The last one gives it to the first who
        waits.
        """
    def __exit__(self, *exc: object) -> None: ...
    def locked(self) -> bool: ...
    def _is_owned(self) -> bool: ...
    def _recursion_count(self) -> int: ...
    def _renew(self) -> None:
        """Free, whoever has it; those who wait try again."""

@disjoint_base
class SimpleQueue(Generic[_T]):
    """The hot half of corolib.queue.SimpleQueue; what it raises comes from _empty_error() and the like."""

    def __init__(
        self,
        maxsize: int | None,
        container: Any,
        store: Callable[[_T], object],
        fetch: Callable[[], _T],
        untake: Callable[[_T], object],
        guarded: bool = False,
    ) -> None: ...
    #: The items in it.
    queue: Any
    maxsize: int | None
    @property
    def is_shutdown(self) -> bool: ...
    @property
    def _kept(self) -> int: ...
    @property
    def getters(self) -> list[greenlet]:
        """Who waits for an item, longest waiting first."""
    @property
    def putters(self) -> list[greenlet]:
        """Who waits for a place, longest waiting first."""
    def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None:
        """Put an item in. Full if there is no place in time, or at all with `block` false; ShutDown if it is
        shut down. Switches only if it has to wait.
        """
    def put_nowait(self, item: _T, /) -> None: ...
    def get(self, block: bool = True, timeout: float | None = None) -> _T:
        """Take the next item out. Empty if there is none in time, or at all with `block` false; ShutDown if
        it is shut down and empty. Switches only if it has to wait.
        """
    def get_nowait(self) -> _T: ...
    def peek(self, block: bool = True, timeout: float | None = None) -> _T: ...
    def peek_nowait(self) -> _T: ...
    def qsize(self) -> int: ...
    def empty(self) -> bool: ...
    def full(self) -> bool: ...
    def __len__(self) -> int: ...
    def __bool__(self) -> bool: ...
    # For subclasses to override, as with the standard library's queues.
    def _put(self, item: _T, /) -> Any: ...
    def _get(self) -> _T: ...
    def _qsize(self) -> int: ...
    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

class Queue(SimpleQueue[_T]):
    """The hot half of corolib.queue.Queue: a SimpleQueue that counts tasks and can be shut down."""

    unfinished_tasks: int
    @property
    def _joiners(self) -> list[greenlet]: ...
    def task_done(self) -> None: ...
    def join(self, timeout: float | None = None) -> bool: ...
    def shutdown(self, immediate: bool = False) -> None: ...

@disjoint_base
class Greenlet(greenlet, Generic[_T]):
    """State, result, links and joiners of a greenlet in C; corolib.greenlet.Greenlet adds the rest."""

    # `context=` of type Context is what it runs in; every other keyword is an argument of the function.
    @overload
    def __init__(self, run: None = None) -> None: ...
    @overload
    def __init__(self, run: Callable[..., _T], *args: Any, context: Context, **kwargs: Any) -> None: ...
    @overload
    def __init__(self, run: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> None: ...
    # With the types of what it runs: in corolib.greenlet.
    @classmethod
    def spawn(cls, *args: Any, **kwargs: Any) -> Self: ...
    @classmethod
    def spawn_later(cls, seconds: float, /, *args: Any, **kwargs: Any) -> Self: ...
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    value: _T | None
    exception: BaseException | None
    @property
    def exc_info(self) -> tuple[type[BaseException], BaseException, TracebackType | None] | tuple[()]: ...
    @property
    def hub(self) -> Hub: ...
    @property
    def started(self) -> bool: ...
    #: Where it was made, innermost first: (code, line) of four frames at most.
    @property
    def places(self) -> tuple[tuple[CodeType, int], ...]: ...
    def start(self) -> None: ...
    def start_later(self, seconds: float, /) -> None: ...
    def ready(self) -> bool: ...
    def successful(self) -> bool: ...
    def join(self, timeout: float | None = None) -> None: ...
    def get(self, block: bool = True, timeout: float | None = None) -> _T: ...
    def rawlink(self, callback: Callable[[Self], object], /) -> None: ...
    def unlink(self, callback: Callable[..., object], /) -> None: ...
    def unlink_all(self) -> None: ...
    def has_links(self) -> int: ...
    def cancel(self, error: BaseException = ..., /) -> bool:
        """Before it ran: it never will; ready with `error` (GreenletExit()), links are run. False if it had
        started.
        """
    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
    def _run(self, *args: Any, **kwargs: Any) -> _T: ...
    #: Called in place of raising when get() runs out of time or is not to block: () -> exception (set by
    #: corolib.greenlet).
    _timeout_error: Callable[[float | None], BaseException]

@disjoint_base
class Socket(_socket.socket):
    """_socket.socket whose blocking operations park. The descriptor is always non-blocking; the timeout is
    ours.
    """

    #: How many files makefile() has made that are open, and whether close() or detach() was called.
    _io_refs: int
    _closed: bool
    @property
    def timeout(self) -> float | None: ...
    def _real_close(self) -> None:
        """Close the descriptor: what close() does once no file of makefile() is open."""
    def _with_address(self, address: Any, /) -> Any:
        """What sendto() and sendmsg() send to; a subclass may look a name up."""
    def _take_turn(self) -> None:
        """Before an operation that is done elsewhere: every so often, others run."""
    def wait_read(self, timeout: float | None = ...) -> None:
        """Park until readable, for the socket's own timeout unless one is given; then TimeoutError."""
    def wait_write(self, timeout: float | None = ...) -> None: ...
    def accept_as(self, type: type[_S], /) -> tuple[_S, Any]:
        """The next connection as an object of this type, and the peer's address; parks until there is one."""
    def accept4(self) -> tuple[int, Any]:
        """Like _socket's _accept: (descriptor, address); parks until there is one."""

@final
class TaskQueue(Generic[_T]):
    """Tasks on their way to the native threads of a pool, first in, first out; false if empty.

    A thread that waits is woken only if none is on its way: it wakes the next if it leaves a task.
    """

    def put(self, task: _T, /) -> None:
        """At the end. Any thread; never switches."""
    def get(self, patience: float | None, /) -> _T:
        """Block this native thread until there is a task, and take it; TIMED_OUT after `patience` seconds,
        unless that is None. A thread that waits here puts off no LoopExit. Never switches.
        """
    def __bool__(self) -> bool: ...
    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...

def thread_idle(delta: int, /) -> None:
    """Counts native threads that cannot wake anybody (idle workers of a pool): they put off no LoopExit."""

def own_methods(cls: type[_T], /) -> type[_T]:
    """For a class derived in Python from those here: the methods in C that it inherits become its own, which
    CPython calls with less ado. Returns the class.
    """

def persist(function: Callable[..., _T], /, *args: Any) -> _T:
    """function(*args), for the beginning of a native thread: if there is no memory to begin the call with, it
    is tried again every ten milliseconds. Never switches.
    """

def tell(function: Callable[[_T], _R], argument: _T, /) -> _R:
    """function(argument) in a thread that has done its work, and wakes a hub of another one by that: the GIL
    is given to it at once. Never switches.
    """

def set_context_of(target: greenlet, context: Context | None, /) -> None:
    """Before the start: the context that `target` runs in."""
