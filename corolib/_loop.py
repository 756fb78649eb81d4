"""`hub.loop`: one facade over the two halves that have watchers, the hub's own (`_hub`) and libev's
(`_ev`).
"""

from abc import ABC
from types import TracebackType
from typing import Any, Final

from . import _ev, _hub

__all__ = ["HubLoop", "WatcherType"]


class WatcherType(ABC):  # noqa: B024  # nothing to implement: its watchers are registered
    """For isinstance(): whatever a loop's methods make to watch something, of whichever half."""


for _kind in (_ev.Watcher, _hub.io, _hub.timer):
    WatcherType.register(_kind)


@_hub.own_methods
class HubLoop(_hub.Loop):
    """`hub.loop`: callbacks, timers and descriptors of the hub itself, every other watcher of libev.

    Watchers call back in the hub: a callback may do anything but wait. `hub` is the hub that runs this loop,
    or None: RuntimeError from what needs one.
    """

    #: Without a dict CPython finds the methods with less ado; since 3.12 one that is in use prevents it.
    __slots__ = ("__weakref__", "_loop")

    WatcherType: Final = WatcherType
    #: A watcher's priority lies between these.
    MINPRI: Final = _ev.MINPRI
    MAXPRI: Final = _ev.MAXPRI
    #: Seconds: epoll waits in whole milliseconds.
    approx_timer_resolution: Final = 0.001

    def __init__(self, hub: _hub.Hub, loop: _ev.Loop) -> None:
        self._loop = loop
        self.adopt(hub)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.hub!r}: {self._loop!r}>"

    def _owner(self) -> _hub.Hub:
        hub = self.hub
        if hub is None:
            raise RuntimeError("the hub of this loop is destroyed")
        return hub

    # -- watchers; timer() and run_callback() are in C -------------------------------------------------------

    def io(self, fd: int, events: int, ref: bool = True, priority: int | None = None) -> _hub.io:
        """A watcher of a descriptor: 1 is readable, 2 writable."""
        return _hub.io(self._owner(), fd, events, ref, priority)

    def signal(self, signalnum: int, ref: bool = True, priority: int | None = None) -> _ev.signal:
        """A watcher of a signal of the process."""
        return _ev.signal(self._loop, signalnum, ref, priority)

    def child(self, pid: int, trace: int = 0, ref: bool = True) -> _ev.child:
        """A watcher of the end of a child process, which it reaps. `trace` must be 0, stops are not seen:
        ValueError.
        """
        if trace:
            raise ValueError(f"trace: expected 0, found {trace}; only the end of a child can be watched")
        return _ev.child(self._loop, pid, ref)

    def async_(self, ref: bool = True, priority: int | None = None) -> _ev.async_:
        """A watcher that any thread can set off with send()."""
        return _ev.async_(self._loop, ref, priority)

    def idle(self, ref: bool = True, priority: int | None = None) -> _ev.idle:
        """A watcher of the loop's having nothing else to do."""
        return _ev.idle(self._loop, ref, priority)

    def prepare(self, ref: bool = True, priority: int | None = None) -> _ev.prepare:
        """A watcher of the moment before the loop waits for events."""
        return _ev.prepare(self._loop, ref, priority)

    def check(self, ref: bool = True, priority: int | None = None) -> _ev.check:
        """A watcher of the moment after that."""
        return _ev.check(self._loop, ref, priority)

    def fork(self, ref: bool = True, priority: int | None = None) -> _ev.fork:
        """A watcher of the process's having been forked; calls back in the child."""
        return _ev.fork(self._loop, ref, priority)

    def stat(
        self, path: str | bytes, interval: float = 0.0, ref: bool = True, priority: int | None = None
    ) -> _ev.stat:
        """A watcher of a path, which is looked at each `interval` seconds; 0: as often as libev sees fit."""
        return _ev.stat(self._loop, path, interval, ref, priority)

    def install_sigchld(self) -> None:
        """Nothing to do: children are watched without SIGCHLD, which stays the program's."""

    def reset_sigchld(self) -> None:
        """Nothing to do, as in install_sigchld()."""

    def closing_fd(self, fd: int) -> bool:
        """A descriptor is about to be closed: its waiters get an error, its watchers stop. Whether there were
        any.
        """
        return self._owner().fd_closing(fd) > 0

    # -- errors ----------------------------------------------------------------------------------------------

    @property
    def error_handler(self) -> _hub.Hub:
        """Whose handle_error() gets what a callback raises: the hub. Replace that method to change it."""
        return self._owner()

    def handle_error(
        self,
        context: object,
        type: type[BaseException] | None,
        value: BaseException | str | None,
        tb: TracebackType | None,
    ) -> None:
        """The hub's handle_error()."""
        hub: Any = self._owner()
        hub.handle_error(context, type, value, tb)

    # -- the clock -------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The clock of all timers, in seconds; not related to the time of day."""
        return self._owner().now()

    def update_now(self) -> None:
        """Nothing to do: the clock is read whenever it is asked for."""

    update = update_now

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def activecnt(self) -> int:
        """How much may still happen: watchers with `ref`, waits and timers of the hub, calls of ref(). At 0
        a wait is a deadlock.
        """
        hub = self.hub
        return self._loop.activecnt + (0 if hub is None else hub.live_count)

    @property
    def pendingcnt(self) -> int:
        """What is ready and has not been served: entries of the ready queue, and events in libev's hands."""
        hub = self.hub
        return self._loop.pendingcnt + (0 if hub is None else hub.ready_count)

    # What follows is libev's: see _ev.Loop.

    @property
    def iteration(self) -> int:
        """How many turns there have been."""
        return self._loop.iteration

    @property
    def depth(self) -> int:
        """1 within libev's own part of a turn, else 0."""
        return self._loop.depth

    @property
    def backend(self) -> str:
        """How libev polls: 'epoll', 'poll', 'kqueue'..."""
        return self._loop.backend

    @property
    def backend_int(self) -> int:
        """The same as libev's flag."""
        return self._loop.backend_int

    @property
    def origflags(self) -> list[str]:
        """The ways of polling that were asked for; none: libev has chosen."""
        return self._loop.origflags

    @property
    def origflags_int(self) -> int:
        """The same as libev's flags."""
        return self._loop.origflags_int

    @property
    def default(self) -> bool:
        """False: libev's default loop would take SIGCHLD away from the program."""
        return self._loop.default

    @property
    def sigfd(self) -> int:
        """-1: signals do not come by a signalfd."""
        return self._loop.sigfd

    @property
    def ptr(self) -> int:
        """The address of libev's struct; 0 once destroyed."""
        return self._loop.ptr

    @property
    def destroyed(self) -> bool:
        """Whether it has gone with its hub."""
        return self._loop.destroyed

    def ref(self) -> None:
        """Put off LoopExit although nothing can be seen that may happen; taken back with unref()."""
        self._loop.ref()

    def unref(self) -> None:
        """The opposite of ref()."""
        self._loop.unref()

    def verify(self) -> None:
        """Let libev check its own data; it aborts the process if they are damaged (only if built with
        EV_VERIFY).
        """
        self._loop.verify()

    def break_(self) -> None:
        """End libev's part of this turn; the hub goes on with the next."""
        self._loop.break_()

    def run(self, nowait: bool = False, once: bool = False) -> bool:
        """RuntimeError while there is a hub, which runs it: wait with corolib.sleep() or hub.join()
        instead.
        """
        return self._loop.run(nowait, once)

    def destroy(self) -> None:
        """Free a loop that a hub has left. RuntimeError while there is a hub: hub.destroy() ends both."""
        self._loop.destroy()

    def reinit(self) -> None:
        """In the child of a fork: make the kernel's side anew. os.fork() has seen to it; again does no
        harm.
        """
        _hub.Hub.after_fork(self._owner())


# An attribute of this name can be reached with getattr() alone; older programs do.
setattr(HubLoop, "async", HubLoop.async_)
