"""Watchers: a callback, and what it waits for. This class does the work; what differs is in kinds.py.

A started watcher is kept alive by its loop, which holds the cffi handle that libev's `data` points to. The
handle goes when the watcher stops, and libev forgets pending events of a stopped watcher, so no handle is
used after its end. libev stops a one-shot timer (and an io watcher of a bad descriptor) by itself before it
calls back.
"""

from collections.abc import Callable
from typing import Any, Self

from ._libev import ffi, lib
from .loop import MAXPRI, MINPRI, Loop


class Watcher:
    """What all kinds have in common. Its loop's thread only, async_.send() excepted.

    `ref`: whether it keeps Loop.run() going while it is active. `priority`: -2 to 2, None is 0.
    """

    # The row: how cffi makes libev's struct of this kind, and libev's functions for it. A child has its own.
    _make: str
    _start: Any
    _stop: Any

    def __init_subclass__(cls, kind: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if kind is not None:
            cls._make = f"ev_{kind} *"
            cls._start = getattr(lib, f"ev_{kind}_start")
            cls._stop = getattr(lib, f"ev_{kind}_stop")

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

    # -- start and stop --------------------------------------------------------------------------------------

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

    def _depart(self, old: Any) -> int:
        """Stop in this loop of libev's, to _arrive() in another one: events that are pending.

        See Loop.renew().
        """
        events: int = lib.ev_clear_pending(old, self._w)
        if self._unrefd:
            lib.ev_ref(old)
        self._stop(old, self._w)
        return events

    def _arrive(self, events: int) -> None:
        ptr = self.loop._alive()
        self._start(ptr, self._w)
        if self._unrefd:
            lib.ev_unref(ptr)
        if events:
            lib.ev_feed_event(ptr, self._w, events)

    # -- events ----------------------------------------------------------------------------------------------

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

    # -- what it is ------------------------------------------------------------------------------------------

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


def _trampoline(raw: Any, revents: int) -> None:
    """libev's way in. A local of this name is read by _trampoline_failed()."""
    watcher: Watcher = ffi.from_handle(raw.data)
    watcher._event(revents)


def _trampoline_failed(type: type[BaseException], value: BaseException, tb: Any) -> None:
    """A callback raised, or a signal handler of Python's inside the trampoline. libev must never see it.

    What a signal handler raises here costs the event in hand; a hub therefore runs no handlers while it
    dispatches.
    """
    watcher = tb.tb_frame.f_locals.get("watcher")
    if watcher is None:
        watcher = ffi.from_handle(tb.tb_frame.f_locals["raw"].data)
    # 3.11 does not put the traceback into an exception that C code has fetched.
    watcher.loop._report(watcher, value.with_traceback(tb))


ffi.def_extern(name="corolib_ev_event", onerror=_trampoline_failed)(_trampoline)
