"""The loop: one struct ev_loop, the watchers started in it, and what happens to their exceptions.

Two ways of running one. Alone: `run()` here, callbacks are called from inside libev's dispatch. Under a hub:
the C hub calls ev_run itself (through the table), `owned` is true and run() refuses; `dispatch` is set, and a
watcher's event only queues its callback, because what the hub calls may switch and nothing may switch inside
libev.

A loop belongs to the thread that runs it. cffi releases the GIL around every call, so two threads in one loop
would meet inside libev; only async_.send() may come from elsewhere.
"""

import sys
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final

from ._libev import ffi, lib

READ: Final[int] = lib.EV_READ
WRITE: Final[int] = lib.EV_WRITE

#: A watcher's priority lies between these; higher ones are served first within one turn.
MINPRI: Final[int] = lib.EV_MINPRI
MAXPRI: Final[int] = lib.EV_MAXPRI

BACKENDS: Final[dict[str, int]] = {
    "epoll": lib.EVBACKEND_EPOLL,
    "kqueue": lib.EVBACKEND_KQUEUE,
    "port": lib.EVBACKEND_PORT,
    "devpoll": lib.EVBACKEND_DEVPOLL,
    "poll": lib.EVBACKEND_POLL,
    "select": lib.EVBACKEND_SELECT,
}

ExcType = type[BaseException]
#: Gets a callback and its arguments and sees to it that it is called, later and outside of libev.
Dispatch = Callable[[Callable[..., object], tuple[Any, ...]], object]


def version() -> str:
    """The version of the libev library in use."""
    return f"{lib.ev_version_major()}.{lib.ev_version_minor():02d}"


def header_version() -> str:
    """The version of the libev header this module was built with."""
    return f"{lib.EV_VERSION_MAJOR}.{lib.EV_VERSION_MINOR:02d}"


def supported_backends() -> list[str]:
    """Names of the ways of polling that this libev can use here."""
    return _names(lib.ev_supported_backends())


def recommended_backends() -> list[str]:
    """Names of those that work well with every kind of descriptor; a Loop takes the first."""
    return _names(lib.ev_recommended_backends())


def embeddable_backends() -> list[str]:
    """Names of those whose own descriptor can be watched by another loop."""
    return _names(lib.ev_embeddable_backends())


def time() -> float:
    """libev's clock: seconds since the epoch."""
    now: float = lib.ev_time()
    return now


# Before any loop runs: libev would end the process.
lib.corolib_ev_survive_errors()


def table_address() -> int:
    """Where the table of libev's functions for corolib._hub is (evapi.h)."""
    address: int = lib.corolib_evapi_table()
    return address


def _names(flags: int) -> list[str]:
    return [name for name, flag in BACKENDS.items() if flags & flag]


class Loop:
    """An event loop of its own; never libev's default loop, which would take SIGCHLD away from the program.

    `backend` is one name of supported_backends() or several with commas; without it libev chooses (and
    listens to the environment variable LIBEV_FLAGS). ValueError for a name it does not know, OSError if the
    system refuses.
    """

    def __init__(self, backend: str | None = None) -> None:
        self._ptr: Any = ffi.NULL
        #: Started watchers and the cffi handles that libev finds them by: what keeps them alive while active.
        self._active: dict[Any, Any] = {}
        self._refs = 0
        #: Turns of earlier loops of libev's, see renew().
        self._turns = 0
        self._stopping = False
        self._failure: BaseException | None = None
        #: What was asked for, as libev's flags.
        self.origflags_int = _flags(backend)
        #: True once a hub runs this loop; run() then refuses.
        self.owned = False
        #: See the head of this file; None: callbacks are called at once.
        self.dispatch: Dispatch | None = None
        ptr = lib.ev_loop_new(self.origflags_int)
        if ptr == ffi.NULL:
            raise OSError(f"libev cannot make a loop (backend asked for: {backend or 'any'}; open files?)")
        self._ptr = ptr

    def __repr__(self) -> str:
        if not self._ptr:
            return f"<{type(self).__name__} at {id(self):#x} destroyed>"
        return (
            f"<{type(self).__name__} at {id(self):#x} {self.backend} active={self.activecnt}"
            f"{' owned' if self.owned else ''}>"
        )

    def _alive(self) -> Any:
        """The pointer, or ValueError."""
        if not self._ptr:
            raise ValueError("this loop has been destroyed")
        return self._ptr

    # -- running ---------------------------------------------------------------------------------------------

    def run(self, nowait: bool = False, once: bool = False) -> bool:
        """Serve events until no active watcher with a reference is left, or break_(). True if some are left.

        `once`: wait for one batch of events; `nowait`: only look whether there are any. A callback's
        exception goes to handle_error(); one that is no Exception (KeyboardInterrupt) ends the run and is
        raised here. RuntimeError if a hub runs this loop, or if it is running already.
        """
        ptr = self._alive()
        if self.owned:
            raise RuntimeError(
                "this loop is run by its hub: wait with corolib.sleep() or hub.join() instead of run()"
            )
        if self.depth:
            raise RuntimeError("this loop is running already")
        self._stopping = False
        # One turn of libev at a time, so that Python's signal handlers run after each. A signal that comes
        # between the last bytecode and the poll waits for the next event; a hub's loop has no such gap.
        flags = lib.EVRUN_NOWAIT if nowait else lib.EVRUN_ONCE
        while True:
            more = bool(lib.ev_run(ptr, flags))
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            if not more or nowait or once or self._stopping:
                return more

    def break_(self) -> None:
        """Let run() return after the callbacks of this turn. Nothing if it does not run."""
        self._stopping = True
        lib.ev_break(self._alive(), lib.EVBREAK_ALL)

    def handle_error(
        self,
        context: object,
        type: ExcType | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Called with the exception of a watcher's callback; may be replaced on the instance. Must not
        switch.

        This one prints it through sys.excepthook and lets run() go on; one that is no Exception ends run().
        """
        if value is None or type is None:
            return
        if not issubclass(type, Exception):
            self._fail(value)
            return
        sys.excepthook(type, value, tb)

    def _fail(self, value: BaseException) -> None:
        """End run() with this exception; if a hub runs the loop, printing it is all that is left."""
        if self.owned:
            sys.excepthook(type(value), value, value.__traceback__)
            return
        self._failure = value
        self.break_()

    def _report(self, context: object, value: BaseException) -> None:
        """From the trampoline: hand an exception to handle_error(), outside of libev if there is a hub."""
        error = (context, type(value), value, value.__traceback__)
        try:
            if self.dispatch is not None:
                self.dispatch(self.handle_error, error)
            else:
                self.handle_error(*error)
        except BaseException as failed:  # the last stop before libev
            self._fail(failed)

    # -- time ------------------------------------------------------------------------------------------------

    def now(self) -> float:
        """When this turn began, on libev's clock (seconds since the epoch); timers count from there."""
        now: float = lib.ev_now(self._alive())
        return now

    def update_now(self) -> None:
        """Read the clock anew: after long work, before a timer is started."""
        lib.ev_now_update(self._alive())

    # -- life ------------------------------------------------------------------------------------------------

    def ref(self) -> None:
        """Keep run() going although no watcher does; taken back with unref()."""
        lib.ev_ref(self._alive())
        self._refs += 1

    def unref(self) -> None:
        """The opposite of ref()."""
        lib.ev_unref(self._alive())
        self._refs -= 1

    def verify(self) -> None:
        """Let libev check its own data; it aborts the process if they are damaged (only if built with
        EV_VERIFY).
        """
        lib.ev_verify(self._alive())

    def fork(self) -> None:
        """In the child after a fork, before the next run: make the kernel's side anew, the parent's is
        shared.
        """
        lib.ev_loop_fork(self._alive())

    def renew(self, leave: Callable[[], object], enter: Callable[[int], object]) -> None:
        """Go on with another loop of libev's: the kernel's side of this one is closed, and its numbers may be
        another's by now. So it is left as it is, neither closed nor freed.

        Active watchers come along. `leave()` and `enter(address)` are for a hub, which has some of its own.
        OSError, and nothing has changed, if the system refuses.
        """
        old = self._alive()
        new = lib.ev_loop_new(self.origflags_int)
        if new == ffi.NULL:
            raise OSError("libev cannot make a loop (too many open files?)")
        try:
            leave()
        except BaseException:
            lib.ev_loop_destroy(new)
            raise
        # All leave before one enters: a signal belongs to one loop.
        leaving = [(watcher, watcher._depart(old)) for watcher in list(self._active)]
        self._turns += lib.ev_iteration(old)
        self._ptr = new
        for _ in range(abs(self._refs)):
            (lib.ev_ref if self._refs > 0 else lib.ev_unref)(new)
        enter(self.ptr)
        for watcher, events in leaving:
            watcher._arrive(events)

    def forget(self) -> None:
        """destroy() without closing anything: see renew()."""
        for watcher in list(self._active):
            watcher._depart(self._ptr)
        self._active.clear()
        self._ptr = ffi.NULL

    def destroy(self) -> None:
        """Stop all watchers and free the loop; again: nothing. RuntimeError while it runs, or belongs to a
        hub.
        """
        if not self._ptr:
            return
        if self.owned:
            raise RuntimeError("this loop is run by its hub: hub.destroy() ends both")
        if self.depth:
            raise RuntimeError("a loop cannot be destroyed while it runs")
        for watcher in list(self._active):
            watcher.stop()
        ptr, self._ptr = self._ptr, ffi.NULL
        lib.ev_loop_destroy(ptr)

    def __del__(self) -> None:
        # A loop that is running has a caller with a reference to it, so this is never inside a run. An owned
        # one has watchers of its hub, which ends it: the collector may come to the loop of a forgotten hub
        # first.
        if self._ptr and not self.owned:
            self.destroy()

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def ptr(self) -> int:
        """The address of libev's struct; 0 once destroyed."""
        return int(ffi.cast("uintptr_t", self._ptr))

    @property
    def destroyed(self) -> bool:
        return not self._ptr

    @property
    def backend(self) -> str:
        """The way of polling in use, a name of supported_backends()."""
        flag = self.backend_int
        return next((name for name, known in BACKENDS.items() if known == flag), f"unknown ({flag:#x})")

    @property
    def backend_int(self) -> int:
        """The same as libev's flag."""
        flag: int = lib.ev_backend(self._alive())
        return flag

    @property
    def origflags(self) -> list[str]:
        """The ways of polling that were asked for; none: libev has chosen."""
        return _names(self.origflags_int)

    @property
    def default(self) -> bool:
        """False: this is never libev's default loop, which would take SIGCHLD away from the program."""
        return False

    @property
    def sigfd(self) -> int:
        """-1: signals do not come by a signalfd."""
        return -1

    @property
    def activecnt(self) -> int:
        """How much keeps run() going: started watchers made with ref=True, and calls of ref(); a hub's not
        counted.
        """
        return sum(1 for watcher in self._active if watcher.ref) + self._refs

    @property
    def pendingcnt(self) -> int:
        """Events that have come in and are not yet served in this turn."""
        count: int = lib.ev_pending_count(self._alive())
        return count

    @property
    def iteration(self) -> int:
        """How many turns there have been."""
        count: int = self._turns + lib.ev_iteration(self._alive())
        return count

    @property
    def depth(self) -> int:
        """1 while it runs, else 0."""
        depth: int = lib.ev_depth(self._alive())
        return depth


def _flags(backend: str | None) -> int:
    if not backend:
        return 0
    flags = 0
    for name in backend.split(","):
        flag = BACKENDS.get(name.strip(), 0)
        if not flag & lib.ev_supported_backends():
            raise ValueError(
                f"unknown backend {name.strip()!r}: libev has {', '.join(supported_backends())} here"
            )
        flags |= flag
    return flags
