"""The kinds of watchers: what each waits for, and what it asks of its arguments.

The functions of `os` are bound here at import: they must stay the plain ones when the program is patched.
"""

import os
from _thread import RLock
from collections.abc import Callable
from math import isnan
from operator import index
from os import WIFCONTINUED, WIFSTOPPED, WNOHANG, close, fsdecode, fsencode, fstat, getpid, pipe, waitpid
from signal import NSIG, SIGKILL, SIGSTOP
from typing import Any, ClassVar, NamedTuple

from ._libev import ffi, lib
from .loop import READ, WRITE, Loop
from .watcher import Watcher

#: None where Python was built without it.
pidfd_open: Callable[[int], int] | None = getattr(os, "pidfd_open", None)


class io(Watcher, kind="io"):
    """A descriptor can be read (READ) or written (WRITE) without blocking; called at each turn while that is
    so.

    Starting it for a number that is not open is OSError (EBADF). Stop it before the descriptor is closed:
    libev may abort the process if it finds the number closed. `start(..., pass_events=True)` puts the events
    found before the arguments.
    """

    def __init__(
        self, loop: Loop, fd: int, events: int, ref: bool = True, priority: int | None = None
    ) -> None:
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
        # Most builds of libev have their assertions on, and one of them is that the kernel knows the
        # descriptor.
        fstat(self.fd)
        # Each time: the number may mean another file than last time, and libev is to ask the kernel about it
        # anew.
        lib.ev_io_set(self._w, self.fd, self.events)
        super()._enter()

    def _arrive(self, events: int) -> None:
        try:
            fstat(self.fd)
        except OSError:
            # As libev does with a descriptor that is not open: inactive, and one event with the error.
            self.loop._active.pop(self, None)
            self._unrefd = False
            self._notify(lib.EV_ERROR | self.events)
            return
        lib.ev_io_set(self._w, self.fd, self.events)
        super()._arrive(events)

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
            raise ValueError(
                f"timer: expected numbers of seconds, repeat 0 or more, found {after!r}, {repeat!r}"
            )
        self.after = float(after)
        self.repeat = float(repeat)
        super().__init__(loop, ref, priority)

    def start(self, callback: Callable[..., object], *args: Any, update: bool = True) -> None:
        """`update`: count from this moment; else from the beginning of the loop's turn, which costs no system
        call.
        """
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
        _check_descriptors()
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


def _identity(fd: int) -> tuple[int, int]:
    """What tells it from another one with its number, as far as the kernel says; (0, 0) if it is closed."""
    try:
        status = fstat(fd)
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _check_descriptors() -> None:
    """OSError unless there are two to be had: libev ends the process if it gets none for what wakes it."""
    for end in pipe():
        close(end)


def is_over(status: int) -> bool:
    """Whether a child of which waitpid() says this has ended, and not stopped or gone on."""
    return not WIFSTOPPED(status) and not WIFCONTINUED(status)


class child(Watcher, kind="io"):
    """A child process has ended. Called once: `rpid` is its number, `rstatus` what waitpid() said; it is
    reaped here.

    Stands on a pidfd, so that SIGCHLD stays the program's. Where the system has none (Linux before 5.3,
    macOS, some sandboxes, no descriptor left) it asks every POLL seconds instead. If somebody else has reaped
    the child other than by reap(), its status is lost and rstatus is 0, as in subprocess. In the child of a
    fork it never calls back: those are not its children.
    """

    #: Fifty times a second: late enough to cost nothing, early enough for a person who waits.
    POLL = 0.02
    #: Those that are active, by the number of the child. Of the process, as its children are.
    _waiting: ClassVar[dict[int, list["child"]]] = {}

    #: Held while a status is taken from the kernel and told to the watchers. A signal handler may reap, too.
    _reaping: ClassVar[Any] = RLock()

    @classmethod
    def reap(cls, pid: int, options: int = 0) -> tuple[int, int]:
        """waitpid() that does not wait; watchers get to know what a child ended with. Any thread."""
        with cls._reaping:
            found, status = waitpid(pid, options | WNOHANG)
            if found and is_over(status):
                for watcher in cls._waiting.get(found, ()):
                    watcher.rpid, watcher.rstatus = found, status
        return found, status

    @classmethod
    def _forked(cls) -> None:
        cls._reaping = RLock()  # another thread may have held it

    def __init__(self, loop: Loop, pid: int, ref: bool = True, priority: int | None = None) -> None:
        self.pid = index(pid)
        if self.pid <= 0:
            raise ValueError(f"pid: expected the number of one child process, 1 or more, found {pid}")
        self.rpid = 0
        self.rstatus = 0
        self._pidfd = -1
        #: Of the pidfd: by it it is known.
        self._identity = (0, 0)
        self._parent = 0
        super().__init__(loop, ref, priority)

    def _enter(self) -> None:
        self._open()
        self._parent = getpid()
        super()._enter()
        self._waiting.setdefault(self.pid, []).append(self)

    def _arrive(self, events: int) -> None:
        if self._pidfd >= 0 and _identity(self._pidfd) != self._identity:
            # Closed behind our back, as the loop's own was.
            data = self._w.data
            self._open()
            self._w.data = data
        elif self._pidfd >= 0:
            lib.ev_io_set(self._w, self._pidfd, READ)
        super()._arrive(events)

    def _open(self) -> None:
        """A pidfd, or else a timer, to be started."""
        self._pidfd = -1
        after = self.POLL
        if pidfd_open is not None:
            try:
                self._pidfd = pidfd_open(self.pid)
                self._identity = _identity(self._pidfd)
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
        same = self._waiting.get(self.pid, [])
        if self in same:
            same.remove(self)
            if not same:
                self._waiting.pop(self.pid, None)

    def _event(self, revents: int) -> None:
        if self._parent != getpid():
            self._leave()
            return
        if not self.rpid:
            try:
                self.reap(self.pid)
            except ChildProcessError:
                if not self.rpid:
                    self.rpid = self.pid
        if self.rpid:
            self._leave()
            self._notify(revents)

    def _describe(self) -> str:
        return f"pid={self.pid}"


os.register_at_fork(after_in_child=child._forked)


class async_(Watcher, kind="async"):
    """Somebody called send(), in whatever thread. Several calls before the loop gets to it are one event."""

    def _enter(self) -> None:
        _check_descriptors()
        super()._enter()

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
    """Nothing of this priority or higher is left to do; called at each turn, so the loop never sleeps."""


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
    chooses) and, where the system tells of changes, at once. `attr` is how it is, `prev` how it was; None: no
    file.
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
