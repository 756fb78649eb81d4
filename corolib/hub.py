"""The hub of a thread: what is policy about it. The loop it runs, and the one wait, are in C (`_hub`).

Policy is: what becomes of an exception that nobody catches, what a deadlock report says, what exists once per
hub (`service`), and which faces of the loop others see (`hub.loop`). This is the only module that brings
`_switch`, `_ev` and `_hub` together. Long, but one class, and what it shows to those who derive from it.
"""

import os
import sys
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from importlib import import_module
from types import TracebackType
from typing import Any, Protocol, TextIO, TypeVar, cast
from weakref import WeakSet
from weakref import ref as weakref

from . import _ev, _hub, _reports
from ._config import config
from ._hub import held_long, set_hub, sleep, spawn_raw
from ._loop import HubLoop
from ._native import get_ident, in_main_thread, thread_local
from ._services import Services
from ._spawntree import note_spawn
from ._switch import GreenletExit, getcurrent, greenlet
from ._waitgraph import WaitGraph, live_hubs, safe_repr, signals_may_wake
from .errors import (
    BlockingSwitchOutError,
    ConcurrentObjectUseError,
    HubDestroyed,
    InvalidSwitchError,
    InvalidThreadUseError,
    LoopExit,
)

__all__ = [
    "MAIN_THREAD_IDENT",
    "BlockingSwitchOutError",
    "ConcurrentObjectUseError",
    "GreenletExit",
    "Hub",
    "HubDestroyed",
    "HubLoop",
    "InvalidSwitchError",
    "InvalidThreadUseError",
    "LoopExit",
    "get_hub",
    "get_hub_if_exists",
    "get_loop",
    "getcurrent",
    "idle",
    "kill",
    "reinit",
    "set_hub",
    "set_loop",
    "sleep",
    "spawn_raw",
]

_T = TypeVar("_T")

#: What kill() and its like accept: a class, an instance, or (class, value, traceback).
Killer = (
    type[BaseException]
    | BaseException
    | tuple[type[BaseException], BaseException | str | None, TracebackType | None]
)

#: The thread that imported this module first, which is usually the main one.
MAIN_THREAD_IDENT = get_ident()

#: What users look for in this module although it stands above: where it is. Fetched by its word when first
#: used, as the roof does; within the package these names come from where they are.
_above = {
    "Waiter": ("._waiting", "Waiter"),
    "iwait": ("._waiting", "iwait"),
    "linkproxy": (".greenlet", "linkproxy"),
    "signal": (".signal", "signal_handler"),
    "wait": ("._waiting", "wait"),
}


def __getattr__(name: str) -> Any:
    if name not in _above:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _above[name]
    value = globals()[name] = getattr(import_module(module, __package__), attribute)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_above})


class Waitable(Protocol):
    """A watcher: whatever calls back once something has happened."""

    def start(self, callback: Callable[..., object], /, *args: Any) -> None: ...
    def stop(self) -> None: ...


class Ident:
    """A number in use; free again once this object is gone."""

    __slots__ = ("_free", "number")

    def __init__(self, number: int, free: list[int]) -> None:
        self.number = number
        self._free = free

    def __del__(self) -> None:
        heappush(self._free, self.number)


class IdentRegistry:
    """Small numbers for greenlets, for people to read: always the smallest that is free."""

    def __init__(self) -> None:
        self._free: list[int] = []
        self._next = 0

    def get_ident(self, owner: greenlet) -> int:
        """The number of `owner`, given out at the first call and kept while it lives."""
        ident = owner.__dict__.get("_ident")
        if ident is None:
            if self._free:
                number = heappop(self._free)
            else:
                number = self._next
                self._next += 1
            ident = owner.__dict__["_ident"] = Ident(number, self._free)
        return cast(Ident, ident).number


_hub_idents = IdentRegistry()

#: Every hub of the process, for reports on all threads.
_hubs: "WeakSet[Hub]" = WeakSet()


class _Kept(thread_local):
    """Per native thread: the loop for its next hub."""

    loop: HubLoop | None = None


_kept = _Kept()


def get_loop() -> HubLoop | None:
    """The loop that the next hub of this thread is going to run; None: a new one."""
    return _kept.loop


def set_loop(loop: HubLoop | None) -> None:
    """Have the next hub of this thread run `loop`, one that a hub has left
    (`hub.destroy(destroy_loop=False)`).
    """
    if loop is not None and not isinstance(loop, HubLoop):
        raise TypeError(f"expected a loop that a hub has left, or None, found {type(loop).__name__}")
    _kept.loop = loop


@_hub.own_methods
class Hub(_hub.Hub, Services):
    """The greenlet that runs the loop of its thread. Made by get_hub() when something first waits.

    Replace or override `handle_error` and `print_exception` to change what becomes of uncaught exceptions.
    `loop` is one that another hub has left, ValueError if it is not; without it get_loop() is asked, then one
    is made. `default` is there for older programs: libev's default loop is never used.
    """

    #: Not printed.
    NOT_ERROR: tuple[type[BaseException], ...] = (GreenletExit, SystemExit)
    #: Raised in the main greenlet as well.
    SYSTEM_ERROR: tuple[type[BaseException], ...] = (KeyboardInterrupt, SystemExit, SystemError)
    loop_class = HubLoop

    name = ""

    def __init__(self, loop: HubLoop | None = None, default: bool | None = None) -> None:
        if loop is None:
            loop, _kept.loop = _kept.loop, None
        elif not isinstance(loop, HubLoop):
            raise TypeError(f"expected a loop that a hub has left, found {type(loop).__name__}")
        if loop is not None and (loop._loop.owned or loop._loop.destroyed):
            state = "destroyed" if loop._loop.destroyed else "run by its hub"
            raise ValueError(f"{loop!r} is {state}; expected one that a hub has left")
        self._loop = _ev.Loop(config.libev_backend) if loop is None else loop._loop
        self._main = in_main_thread()
        super().__init__(table=_ev.table_address(), loop=self._loop.ptr, watch_signals=self._main)
        me = weakref(self)
        self._loop.owned = True
        self._loop.dispatch = lambda callback, args: _alive(me).run_callback(callback, *args)
        self._loop.handle_error = lambda *error: _alive(me).handle_error(*error)  # type: ignore[method-assign]  # meant to be replaced
        if loop is None:
            loop = self.loop_class(self, self._loop)
        else:
            loop.adopt(self)
        self.loop = loop
        self.ident_registry = IdentRegistry()
        self._services: dict[str, Any] = {}
        self._stream: TextIO | None = None
        self._quiet = False
        self._pid = os.getpid()
        _hubs.add(self)
        if self._main and config.monitor_thread:
            # In the first turn of the loop: what the monitor does may need the hub that is being made.
            self.run_callback(self.start_periodic_monitoring_thread)

    def __repr__(self) -> str:
        label = f" {self.name!r}" if self.name else ""
        if self.destroyed:
            return f"<{type(self).__name__}{label} at {id(self):#x} destroyed>"
        return (
            f"<{type(self).__name__}{label} at {id(self):#x} {self.backend} ready={self.ready_count} "
            f"waiting={self.parked_count} thread_ident={self.thread_ident:#x}>"
        )

    @property
    def backend(self) -> str:
        """How libev polls: 'epoll', 'poll', 'kqueue'..."""
        return self._loop.backend

    @property
    def main_hub(self) -> bool:
        """Whether it is the hub of the thread that runs signal handlers."""
        return self._main

    @property
    def minimal_ident(self) -> int:
        """A small number that no other living hub has."""
        return _hub_idents.get_ident(self)

    # -- waiting ---------------------------------------------------------------------------------------------

    def wait(self, watcher: Waitable) -> None:
        """Start `watcher` and wait until it calls back; stopped in any case. Switches.

        InvalidSwitchError if something else resumes the greenlet; BlockingSwitchOutError in the hub itself.
        """
        watcher.start(_hub.wake, getcurrent(), watcher)
        try:
            _hub.park("watcher", watcher, external=bool(getattr(watcher, "ref", True)))
        finally:
            watcher.stop()

    def cancel_wait(self, watcher: Any, error: Killer, close_watcher: bool = False) -> None:
        """Let wait(watcher) raise `error` in its greenlet; nothing if nobody waits. Never switches."""
        if watcher.callback is _hub.wake:
            _hub.wake_error(watcher.args[0], as_error(error))
        if close_watcher:
            watcher.close()

    def cancel_waits_close_and_then(
        self, watchers: Iterable[Any], error: Killer, then: Callable[..., object], *then_args: Any
    ) -> None:
        """Soon, in the hub: let the waits for `watchers` raise `error`, and close these; once the greenlets
        that waited have had their turn, call `then(*then_args)`. Never switches.
        """
        self.run_callback(self._cancel_waits, tuple(watchers), as_error(error), then, then_args)

    def _cancel_waits(
        self,
        watchers: tuple[Any, ...],
        error: BaseException,
        then: Callable[..., object],
        then_args: tuple[Any, ...],
    ) -> None:
        for watcher in watchers:
            self.cancel_wait(watcher, error, close_watcher=True)
        self.run_callback(then, *then_args)

    def switch_out(self) -> None:
        """Always BlockingSwitchOutError: the hub is never the one that waits."""
        raise BlockingSwitchOutError("the hub cannot wait: spawn a greenlet in the callback that is to")

    def join(self, timeout: float | None = None) -> bool:
        """Wait until there is nothing left to do: True; False if `timeout` seconds are over first. Switches.

        For the main greenlet of the thread: AssertionError elsewhere. As long as another native thread lives
        that could wake somebody here, there is something left to do.
        """
        main = self.parent
        if main is None or getcurrent() is not main:
            raise AssertionError("hub.join() is for the main greenlet of the hub's own thread")
        limit = None
        if timeout is not None:
            # Without a reference: it must not count as something to wait for.
            limit = _hub.timer(self, timeout, 0.0, False)
            limit.start(_hub.wake, main)
        try:
            _hub.park("join", self)
        except LoopExit as exit:
            if exit.hub is not self:
                raise
            return True
        finally:
            if limit is not None:
                limit.stop()
        return False

    # -- errors ----------------------------------------------------------------------------------------------

    def handle_error(
        self,
        context: object,
        type: type[BaseException] | None,
        value: BaseException | str | None,
        tb: TracebackType | None,
    ) -> None:
        """An exception that nobody has caught: from a greenlet, a callback or a watcher, which is `context`.

        Prints it, unless it is one of NOT_ERROR or main gets it without a context; one of SYSTEM_ERROR is
        then raised in the main greenlet, as is every exception without a context (from a signal handler).
        (None, None, None) is the exception being handled.
        """
        if type is None:
            type, value, tb = sys.exc_info()
            if type is None:
                return
        if not isinstance(value, BaseException):
            value = as_error((type, value, tb))
        # What a signal handler has raised, Ctrl-C above all, is main's to catch or to die of: printed here,
        # it would be printed twice, or although it is caught.
        if not issubclass(type, (*self.NOT_ERROR, KeyboardInterrupt)) and context is not None:
            self.print_exception(context, type, value, tb)
        if context is None or issubclass(type, self.SYSTEM_ERROR):
            self.handle_system_error(type, value, tb)

    def handle_system_error(
        self, type: type[BaseException], value: BaseException, tb: TracebackType | None = None
    ) -> None:
        """Raise it in the main greenlet, now: whatever that had been given and not yet taken goes back.
        Switches.
        """
        main = self.parent
        assert main is not None
        current = getcurrent()
        if current is self or current is main:
            main.throw(type, value, tb)
            return
        # A greenlet at its end; it is to get its turn again.
        back = self.run_callback(current.switch)
        try:
            main.throw(type, value, tb)
        finally:
            back.stop()

    def print_exception(
        self,
        context: object,
        type: type[BaseException],
        value: BaseException,
        tb: TracebackType | None,
    ) -> None:
        """Log the exception and what failed (logger `corolib`), or write it to `exception_stream` if that was
        assigned; with the innermost frames of where a Greenlet was spawned.

        In the hub the log is written by a greenlet of its own, since handlers of a log may wait.
        """
        if self._quiet:
            return
        text = _reports.message(None if context is None else self.format_context(context), context, type)
        if self._stream is not None:
            _reports.write(self._stream, text, type, value, tb)
        elif getcurrent() is self:
            greenlet(self._log, self).switch(text, type, value, tb)
        else:
            self._log(text, type, value, tb)

    def _log(
        self, text: str, type: type[BaseException], value: BaseException, tb: TracebackType | None
    ) -> None:
        try:
            _reports.log(text, type, value, tb)
        except (KeyboardInterrupt, SystemExit) as error:  # Ctrl-C, just now
            self.run_callback(self.handle_system_error, error.__class__, error, error.__traceback__)

    def format_context(self, context: object) -> str:
        """How print_exception() names what failed: config.format_context. Must not raise."""
        try:
            return str(config.choose("format_context", {"repr": safe_repr})(context))
        except Exception:  # a setting of the user's; the report must come out
            return safe_repr(context)

    @property
    def exception_stream(self) -> TextIO | None:
        """Where print_exception() writes, if assigned; something false turns printing off.

        Unless assigned it is sys.stderr, which is where the log goes to unless it is configured.
        """
        if self._quiet:
            return None
        return self._stream if self._stream is not None else cast("TextIO | None", sys.stderr)

    @exception_stream.setter
    def exception_stream(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._quiet = not stream

    def loop_exit(self) -> LoopExit | None:
        """The exception for the main greenlet when nothing can wake anybody any more: says who waits for
        what.

        None if the program handles signals: one of them may. hub.join() does not wait for that.
        """
        text = "This operation would block forever"
        main = self.parent
        if main is not None and (_hub.waiting(main) or ())[:2] == ("join", self):
            return LoopExit(text, self)  # how join() ends: nobody reads it
        if self._main and signals_may_wake():
            return None
        graph = WaitGraph([self], dry=True)
        return LoopExit(text, self, tuple(graph.lines()), graph)

    # -- life ------------------------------------------------------------------------------------------------

    def after_fork(self) -> None:
        """In the child of a fork: make the kernel's side of the loop anew, tell the services. Called by
        itself.
        """
        super().after_fork()
        self._pid = os.getpid()
        self._main = True  # the thread that forked is the only one, and runs signal handlers
        for service in list(self._services.values()):
            renew = getattr(service, "after_fork", None)
            if renew is not None:
                renew()

    def renew(self) -> None:
        """Make the descriptors that the hub has for itself anew, because somebody has closed them: called by
        itself. Watchers and waits go on. OSError, and nothing has changed, if the system has none left. Never
        switches.
        """
        self._loop.renew(self.leave_loop, self.enter_loop)

    def destroy(self, destroy_loop: bool | None = None) -> None:
        """End the hub: services are closed, what waits is dropped, the loop is freed. With
        `destroy_loop=False` the next hub of this thread runs the same loop, with the watchers of libev that
        are active in it.

        For the main greenlet of its thread: RuntimeError within the hub, InvalidThreadUseError in another
        thread. The next thing that waits in this thread makes a new hub.
        """
        if self.destroyed or sys.is_finalizing():
            return  # at the end of the interpreter nothing of ours can run any more, and the process goes
        if getcurrent() is self:
            raise RuntimeError("a hub cannot be destroyed from within itself; do it from another greenlet")
        gone = self.thread_ident != get_ident()
        if gone and self.thread_ident in _hub.threads()[0]:
            raise InvalidThreadUseError("a hub is destroyed in its own thread only")
        services, self._services = self._services, {}
        for service in reversed(services.values()):
            close = getattr(service, "close", None) or getattr(service, "kill", None)
            if close is not None:
                close()
        if gone:
            return  # its thread has ended; the C half frees itself, and then the loop, in its finaliser
        keep = destroy_loop is not None and not destroy_loop
        intact = self.intact()
        super().destroy(HubDestroyed(not keep))
        self._loop.dispatch = None
        self._loop.owned = False
        self.loop.adopt(None)
        if not intact:
            self._loop.forget()  # nothing of it is ours any more
        elif keep:
            set_loop(self.loop)
        else:
            self._loop.destroy()


def _alive(hub: "weakref[Hub]") -> Hub:
    found = hub()
    if found is None:
        raise RuntimeError("the hub of this watcher is gone")
    return found


def as_error(killer: Killer) -> BaseException:
    """The instance that a class, an instance or a triple stands for. TypeError for anything else."""
    if isinstance(killer, tuple):
        kind, value, tb = killer
        if not isinstance(value, BaseException):
            value = kind() if value is None else kind(value)
        error = value
    else:
        tb = None
        error = killer() if isinstance(killer, type) else killer
    if not isinstance(error, BaseException):
        raise TypeError(f"expected an exception class, instance or triple, found {killer!r}")
    return error if tb is None else error.with_traceback(tb)


_hub.set_hub_factory(Hub)

if config.track_greenlet_tree:

    def spawn_raw(fn: Callable[..., object], /, *args: Any, **kwargs: Any) -> greenlet:  # type: ignore[no-redef]  # in place of the one in C
        """Schedule fn in a raw greenlet: no result, no links. With an empty context, unless `context=` is
        one. It remembers who spawned it, and where.
        """
        made = _hub.spawn_raw(fn, *args, **kwargs)
        note_spawn(made, sys._getframe(1))
        return made


#: The hub of this thread, made on demand; the function of the C half, without a frame around it.
get_hub = cast("Callable[[], Hub]", _hub.get_hub)
#: The hub of this thread, or None.
get_hub_if_exists = cast("Callable[[], Hub | None]", _hub.get_hub_if_exists)
# Under the names that others use for them.
_get_hub, _get_hub_noargs = get_hub_if_exists, get_hub


def all_hubs() -> list[Hub]:
    """The hubs of all threads. Any thread."""
    while True:
        try:
            hubs = list(_hubs)
            break
        except RuntimeError:  # another thread has just made one
            continue
    return cast("list[Hub]", live_hubs(hubs))


def idle(priority: int = 0) -> None:
    """Wait until nothing else of this priority or higher is ready. Switches."""
    hub = get_hub()
    watcher = hub.loop.idle(priority=priority)
    hub.wait(watcher)
    while hub.ready_count:  # libev was idle, greenlets are not
        hub.wait(watcher)


def kill(greenlet: greenlet, exception: Killer = GreenletExit) -> None:
    """Raise `exception` in any greenlet, raw or main ones too, at its wait or its next one. Never switches.

    One that has not run yet never will. Nothing if it is over.
    """
    if greenlet.dead:
        return
    error = as_error(exception)
    hub = get_hub()
    if isinstance(greenlet, _hub.Greenlet):
        if greenlet.cancel(error):
            return
        hub = cast(Hub, greenlet.hub)
    if not _hub.interrupt(greenlet, error) and greenlet is not getcurrent():
        hub.run_callback(_throw_pending, hub, greenlet, error)


def _throw_pending(hub: Hub, greenlet: greenlet, error: BaseException) -> None:
    """It was not waiting when it was killed. What was ready then has run since; so if it has not had the
    exception yet, somebody has switched away from it by hand, and there may be no next wait.
    """
    root = greenlet
    while root.parent is not None:
        root = root.parent
    if root is not hub.parent or _hub.standing(greenlet) != "suspended":
        return  # of another thread, not started, or its next wait is to come: it is shielded
    if _hub.cancel_interrupt(greenlet, error):
        if greenlet is not root:
            greenlet.parent = hub  # its end is to come back here, not to somebody who waits
        greenlet.throw(error)


def hub_to_wait_in() -> Hub | None:
    """The hub of this thread, if whoever calls may wait in it: it is there, not destroyed, and not itself the
    one that calls. For what blocks the thread otherwise, as ever. Never switches.
    """
    hub = get_hub_if_exists()
    return None if hub is None or hub.destroyed or getcurrent() is hub else hub


def be_fair() -> None:
    """For whoever finds something to do each time: sleep(0) if nothing has been polled for five milliseconds.
    Never in the hub.
    """
    if held_long():
        sleep(0)


def reinit(hub: Hub | None = None) -> None:
    """Repair the hub and its services: in the child of a fork, or when its own descriptors have been closed.
    Nothing if that has been done already.

    It has been by the time os.fork() returns: this is for processes that were forked past Python, by a server
    in C that embeds it. And the loop finds out by itself, before it polls next, that a daemon has closed all
    descriptors; here it is done at once, before others get the numbers. Never switches.
    """
    if hub is None:
        hub = get_hub_if_exists()
    if hub is None or hub.destroyed:
        return
    if hub._pid != os.getpid():
        hub.after_fork()
    elif not hub.intact():
        hub.renew()


os.register_at_fork(after_in_child=reinit)
