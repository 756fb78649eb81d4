"""Watchers: a callback, and what it waits for. One class does the work; each kind is a row at the end.

A started watcher is kept alive by its loop, which holds the cffi handle that libev's `data` points to. The handle
goes when the watcher stops, and libev forgets pending events of a stopped watcher, so no handle is used after its
end. libev stops a one-shot timer (and an io watcher of a bad descriptor) by itself before it calls back.

The functions of `os` are bound here at import: they must stay the plain ones when the program is patched.
"""

import os
from collections.abc import Callable
from math import isnan
from operator import index
from os import WNOHANG, close, fsdecode, fsencode, waitpid
from signal import NSIG, SIGKILL, SIGSTOP
from typing import Any, ClassVar, NamedTuple, Self

from ._libev import ffi, lib
from .loop import MAXPRI, MINPRI, READ, WRITE, Loop

#: None where Python was built without it.
pidfd_open: Callable[[int], int] | None = getattr(os, "pidfd_open", None)


class Watcher:
    """What all kinds have in common. Its loop's thread only, async_.send() excepted.

    `ref`: whether it keeps Loop.run() going while it is active. `priority`: -2 to 2, None is 0.
    """

    _make: ClassVar[str]
    _start: ClassVar[Callable[[Any, Any], None]]
    _stop: ClassVar[Callable[[Any, Any], None]]

    def __init_subclass__(cls, kind: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind is not None:
            cls._make = f"ev_{kind} *"
            cls._start = staticmethod(getattr(lib, f"ev_{kind}_start"))
            cls._stop = staticmethod(getattr(lib, f"ev_{kind}_stop"))

    def __init__(self, loop: Loop, ref: bool = True, priority: int | None = None) -> None:
        loop._alive()
        self.loop = loop
        self.callback: Callable[..., object] | None = None
        self.args: tuple[Any, ...] = ()
        self._ref = bool(ref)
        #: libev counts this watcher out: ev_unref() was called, ev_ref() is owed before it stops.
        self._unrefd = False
        #: Changes with each start() and stop(), so that a callback queued before is known to be stale.
        self._turn = 0
        self._queued = -1
        self._revents = 0
        self._closed = False
        self._w: Any = ffi.new(self._make)
        lib.corolib_ev_init(self._w)
        if priority is not None:
            self.priority = priority

    def __repr__(self) -> str:
        states = [name for name in ("active", "pending") if getattr(self, name)]
        details = "".join(f" {word}" for word in [self._describe(), *states] if word)
        return f"<{type(self).__name__} at {id(self):#x}{details}>"

    def _describe(self) -> str:
        return ""

    # -- start and stop ---------------------------------------------------------------------------------------

    def start(self, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback(*args)` at each event, until stop(). If it is active: only change the callback."""
        if self._closed:
            raise ValueError(f"this {type(self).__name__} watcher has been closed")
        if not callable(callback):
            raise TypeError(f"callback: expected a callable, found {type(callback).__name__}")
        self.loop._alive()
        self._turn += 1
        self.callback = callback
        self.args = args
        if not self.active:
            self._enter()

    def stop(self) -> None:
        """No more callbacks, not even one whose event has come in already. If it is not active: nothing."""
        self._turn += 1
        self.callback = None
        self.args = ()
        if not self.loop.destroyed:
            self._leave()

    def close(self) -> None:
        """stop() for good: another start() is a ValueError."""
        self._closed = True
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _enter(self) -> None:
        """Start in libev: count it if it counts, keep this object alive."""
        ptr = self.loop._alive()
        handle = ffi.new_handle(self)
        self._w.data = handle
        self.loop._active[self] = handle
        self._start(ptr, self._w)
        if not self._ref:
            lib.ev_unref(ptr)
            self._unrefd = True

    def _leave(self) -> None:
        """Stop in libev; the mirror of _enter(). Also after libev has stopped it by itself."""
        ptr = self.loop._alive()
        if self._unrefd:
            lib.ev_ref(ptr)
            self._unrefd = False
        self._stop(ptr, self._w)
        self.loop._active.pop(self, None)

    # -- events -----------------------------------------------------------------------------------------------

    def _event(self, revents: int) -> None:
        """From the trampoline, inside libev's dispatch."""
        if not lib.ev_is_active(self._w):
            self._leave()
        self._notify(revents)

    def _notify(self, revents: int) -> None:
        """Call back, or let the hub do it. Events that come while one is queued are one event."""
        dispatch = self.loop.dispatch
        if dispatch is None:
            self._revents = revents
            self._deliver(self._turn)
        elif self._queued == self._turn:
            self._revents |= revents
        else:
            self._revents = revents
            self._queued = self._turn
            dispatch(self._deliver, (self._turn,))

    def _deliver(self, turn: int) -> None:
        self._queued = -1
        if turn == self._turn and self.callback is not None:
            self.callback(*self._arguments())

    def _arguments(self) -> tuple[Any, ...]:
        return self.args

    def feed(self, revents: int, callback: Callable[..., object], *args: Any) -> None:
        """Make an event up: start(), and call back in this turn of the loop as if `revents` had come."""
        self.start(callback, *args)
        lib.ev_feed_event(self.loop._alive(), self._w, revents)

    # -- what it is -------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Started, and neither stopped nor (a one-shot) done."""
        return bool(lib.ev_is_active(self._w))

    @property
    def pending(self) -> bool:
        """An event has come, and the callback has not been called yet."""
        return bool(lib.ev_is_pending(self._w)) or self._queued == self._turn

    @property
    def ref(self) -> bool:
        """Whether it keeps Loop.run() going; may be changed at any time."""
        return self._ref

    @ref.setter
    def ref(self, value: bool) -> None:
        self._ref = bool(value)
        if self.active and self._unrefd == self._ref:
            (lib.ev_ref if self._ref else lib.ev_unref)(self.loop._alive())
            self._unrefd = not self._ref

    @property
    def priority(self) -> int:
        """-2 to 2, higher ones first. Setting it while active is an AttributeError."""
        priority: int = lib.ev_priority(self._w)
        return priority

    @priority.setter
    def priority(self, value: int) -> None:
        if self.active:
            raise AttributeError("the priority of an active watcher cannot be changed: stop() it first")
        if not MINPRI <= value <= MAXPRI:
            raise ValueError(f"priority: expected {MINPRI} to {MAXPRI}, found {value}")
        lib.ev_set_priority(self._w, value)


@ffi.def_extern(name="corolib_ev_event", onerror=lambda *error: _trampoline_failed(*error))
def _trampoline(raw: Any, revents: int) -> None:
    """libev's way in. A local of this name is read by _trampoline_failed()."""
    watcher: Watcher = ffi.from_handle(raw.data)
    watcher._event(revents)


def _trampoline_failed(type: type[BaseException], value: BaseException, tb: Any) -> None:
    """A callback raised, or a signal handler of Python's inside the trampoline. libev must never see it.

    What a signal handler raises here costs the event in hand; a hub therefore runs no handlers while it dispatches.
    """
    watcher = tb.tb_frame.f_locals.get("watcher")
    if watcher is None:
        watcher = ffi.from_handle(tb.tb_frame.f_locals["raw"].data)
    watcher.loop._report(watcher, value)


# -- the kinds --------------------------------------------------------------------------------------------------


class io(Watcher, kind="io"):
    """A descriptor can be read (READ) or written (WRITE) without blocking; called at each turn while that is so.

    Stop it before the descriptor is closed. `start(..., pass_events=True)` puts the events found before the arguments.
    """

    def __init__(self, loop: Loop, fd: int, events: int, ref: bool = True, priority: int | None = None) -> None:
        self.fd = index(fd)
        self.events = index(events)
        if self.fd < 0:
            raise ValueError(f"fd: expected a descriptor, 0 or more, found {fd}")
        if self.events not in (READ, WRITE, READ | WRITE):
            raise ValueError(f"events: expected READ ({READ}), WRITE ({WRITE}) or both, found {events}")
        self._pass_events = False
        super().__init__(loop, ref, priority)

    def start(self, callback: Callable[..., object], *args: Any, pass_events: bool = False) -> None:
        self._pass_events = pass_events
        super().start(callback, *args)

    def _enter(self) -> None:
        # Each time: the number may mean another file than last time, and libev is to ask the kernel about it anew.
        lib.ev_io_set(self._w, self.fd, self.events)
        super()._enter()

    def _arguments(self) -> tuple[Any, ...]:
        return (self._revents, *self.args) if self._pass_events else self.args

    @property
    def events_str(self) -> str:
        return "|".join(name for name, flag in (("READ", READ), ("WRITE", WRITE)) if self.events & flag)

    def _describe(self) -> str:
        return f"fd={self.fd} {self.events_str}"


class timer(Watcher, kind="timer"):
    """After `after` seconds, then (if `repeat` is not 0) every `repeat` seconds. 0: at the next turn."""

    def __init__(
        self,
        loop: Loop,
        after: float = 0.0,
        repeat: float = 0.0,
        ref: bool = True,
        priority: int | None = None,
    ) -> None:
        # libev keeps timers in a heap, which a NaN would break.
        if isnan(after) or isnan(repeat) or repeat < 0:
            raise ValueError(f"timer: expected numbers of seconds, repeat 0 or more, found {after!r}, {repeat!r}")
        self.after = float(after)
        self.repeat = float(repeat)
        super().__init__(loop, ref, priority)

    def start(self, callback: Callable[..., object], *args: Any, update: bool = True) -> None:
        """`update`: count from this moment; else from the beginning of the loop's turn, which costs no system call."""
        if update:
            self.loop.update_now()
        super().start(callback, *args)

    def again(self, callback: Callable[..., object], *args: Any, update: bool = True) -> None:
        """Put it off: the next time is `repeat` seconds from now. ValueError if it does not repeat."""
        if not self.repeat:
            raise ValueError("again() needs a timer that repeats: repeat is 0")
        self.stop()
        after, self.after = self.after, self.repeat
        try:
            self.start(callback, *args, update=update)
        finally:
            self.after = after

    def _enter(self) -> None:
        lib.ev_timer_set(self._w, self.after, self.repeat)
        super()._enter()

    @property
    def at(self) -> float:
        """When it is due, on the clock of Loop.now(); of an inactive one: 0.0."""
        if not self.active:
            return 0.0
        remaining: float = lib.ev_timer_remaining(self.loop._alive(), self._w)
        return self.loop.now() + remaining

    def _describe(self) -> str:
        return f"after={self.after} repeat={self.repeat}"


class signal(Watcher, kind="signal"):
    """The process was sent a signal. While one is active, libev has the signal: what was done about it before
    (Python's handler, say) is put back when the last one stops. One loop at a time for each signal.
    """

    #: Process-wide as signals are: for each signal its loop, how many watchers, and what was done before.
    _watched: ClassVar[dict[int, tuple[Loop, int, Any]]] = {}

    def __init__(self, loop: Loop, signalnum: int, ref: bool = True, priority: int | None = None) -> None:
        self.signalnum = index(signalnum)
        if not 0 < self.signalnum < NSIG:
            raise ValueError(f"signal number: expected 1 to {NSIG - 1}, found {signalnum}")
        if self.signalnum in (SIGKILL, SIGSTOP):
            raise ValueError(f"signal {self.signalnum} cannot be caught")
        super().__init__(loop, ref, priority)
        lib.ev_signal_set(self._w, self.signalnum)

    def _enter(self) -> None:
        loop, count, before = self._watched.get(self.signalnum, (self.loop, 0, None))
        if loop is not self.loop:
            # libev would abort the process.
            raise RuntimeError(f"signal {self.signalnum} is watched by another loop: {loop!r}")
        if not count:
            before = ffi.new("struct sigaction *")
            lib.sigaction(self.signalnum, ffi.NULL, before)
        super()._enter()
        self._watched[self.signalnum] = (loop, count + 1, before)

    def _leave(self) -> None:
        if not self.active:
            return
        super()._leave()
        loop, count, before = self._watched.pop(self.signalnum)
        if count > 1:
            self._watched[self.signalnum] = (loop, count - 1, before)
        else:
            # libev leaves SIG_DFL.
            lib.sigaction(self.signalnum, before, ffi.NULL)

    def _describe(self) -> str:
        return f"signal={self.signalnum}"


class child(Watcher, kind="io"):
    """A child process has ended. Called once: `rpid` is its number, `rstatus` what waitpid() said; it is reaped here.

    Stands on a pidfd, so that SIGCHLD stays the program's. Where the system has none (Linux before 5.3, macOS, some
    sandboxes, no descriptor left) it asks every POLL seconds instead. If somebody else has reaped the child, its
    status is lost and rstatus is 0, as in subprocess.
    """

    #: Fifty times a second: late enough to cost nothing, early enough for a person who waits.
    POLL = 0.02

    def __init__(self, loop: Loop, pid: int, ref: bool = True, priority: int | None = None) -> None:
        self.pid = index(pid)
        if self.pid <= 0:
            raise ValueError(f"pid: expected the number of one child process, 1 or more, found {pid}")
        self.rpid = 0
        self.rstatus = 0
        self._pidfd = -1
        super().__init__(loop, ref, priority)

    def _enter(self) -> None:
        after = self.POLL
        if pidfd_open is not None:
            try:
                self._pidfd = pidfd_open(self.pid)
            except ProcessLookupError:
                after = 0.0  # it has ended and been reaped
            except OSError:
                pass  # no such system call, or not allowed, or too many open files
        if self._pidfd >= 0:
            self._become("io")
            lib.ev_io_set(self._w, self._pidfd, READ)
        else:
            self._become("timer")
            lib.ev_timer_set(self._w, after, self.POLL)
        super()._enter()

    def _become(self, kind: str) -> None:
        """Wait by another kind of libev's watchers from now on; only while it is inactive."""
        priority = self.priority
        self._make = f"ev_{kind} *"
        self._start = getattr(lib, f"ev_{kind}_start")
        self._stop = getattr(lib, f"ev_{kind}_stop")
        self._w = ffi.new(self._make)
        lib.corolib_ev_init(self._w)
        self.priority = priority

    def _leave(self) -> None:
        super()._leave()
        if self._pidfd >= 0:
            pidfd, self._pidfd = self._pidfd, -1
            close(pidfd)

    def _event(self, revents: int) -> None:
        if not self.rpid:
            try:
                self.rpid, self.rstatus = waitpid(self.pid, WNOHANG)
            except ChildProcessError:
                self.rpid = self.pid
        if self.rpid:
            self._leave()
            self._notify(revents)

    def _describe(self) -> str:
        return f"pid={self.pid}"


class async_(Watcher, kind="async"):
    """Somebody called send(), in whatever thread. Several calls before the loop gets to it are one event."""

    def send(self) -> None:
        """Wake the loop. Any thread, any signal handler."""
        lib.ev_async_send(self.loop._alive(), self._w)

    def send_ignoring_arg(self, _ignored: object) -> None:
        """send() for those who call back with an argument."""
        self.send()

    @property
    def pending(self) -> bool:
        return bool(lib.ev_async_pending(self._w)) or super().pending


class idle(Watcher, kind="idle"):
    """Nothing else of this priority or higher is there to do; called at each turn, so the loop never sleeps."""


class prepare(Watcher, kind="prepare"):
    """The loop is about to wait for events."""


class check(Watcher, kind="check"):
    """The loop has just looked for events."""


class fork(Watcher, kind="fork"):
    """Loop.fork() was called: in the child, first thing in the next turn."""


class StatData(NamedTuple):
    """What a stat watcher knows of a file; names and meaning as in os.stat_result, times in whole seconds."""

    st_dev: int
    st_ino: int
    st_mode: int
    st_nlink: int
    st_uid: int
    st_gid: int
    st_rdev: int
    st_size: int
    st_atime: int
    st_mtime: int
    st_ctime: int


class stat(Watcher, kind="stat"):
    """A path changed: its file, or what stat() says about that. libev looks every `interval` seconds (0: it
    chooses) and, where the system tells of changes, at once. `attr` is how it is, `prev` how it was; None: no file.
    """

    def __init__(
        self,
        loop: Loop,
        path: str | bytes,
        interval: float = 0.0,
        ref: bool = True,
        priority: int | None = None,
    ) -> None:
        if isnan(interval) or interval < 0:
            raise ValueError(f"interval: expected seconds, 0 or more, found {interval!r}")
        super().__init__(loop, ref, priority)
        self.interval = float(interval)
        # libev keeps the pointer: the memory lives as long as this object.
        self._path = ffi.new("char[]", fsencode(path))
        lib.ev_stat_set(self._w, self._path, self.interval)

    @property
    def path(self) -> str:
        return fsdecode(ffi.string(self._path))

    @property
    def attr(self) -> StatData | None:
        return _stat_data(self._w.attr)

    @property
    def prev(self) -> StatData | None:
        return _stat_data(self._w.prev)

    def _describe(self) -> str:
        return f"path={self.path!r}"


def _stat_data(raw: Any) -> StatData | None:
    if not raw.st_nlink:
        return None
    return StatData(*(getattr(raw, name) for name in StatData._fields))
