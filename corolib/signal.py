"""The `signal` module, and handlers that run in greenlets.

A handler of the standard library runs between any two instructions of whichever greenlet is current. The hub
is often that one and must not wait, but a handler may have to: it logs, and another greenlet has the lock of
the log. So one that is set with signal() of this module has a greenlet of its own when it comes to the hub;
if it does not wait it is over by the next instruction, as ever. `signal_handler` runs one in a new greenlet
in any case, and so do handlers of SIGCHLD that are set with signal(). SIGCHLD itself is the program's:
corolib waits for children by other means.
"""

import contextvars
import signal as _signals
from collections.abc import Callable
from operator import index
from signal import NSIG, SIG_DFL, SIGCHLD, default_int_handler
from types import FrameType
from typing import Any

from ._hub import standing
from ._native import original
from ._switch import getcurrent, greenlet
from ._waitgraph import wakes_nobody
from .greenlet import Greenlet
from .hub import Hub, get_hub, get_hub_if_exists, spawn_raw

__implements__ = ("getsignal", "set_wakeup_fd", "signal")
__all__ = ["getsignal", "set_wakeup_fd", "signal", "signal_handler"]

# Bound here: these names are replaced by patching.
_signal: Callable[[int, Any], Any] = original("signal", "signal")
_getsignal: Callable[[int], Any] = original("signal", "getsignal")
_set_wakeup_fd: Callable[..., int] = original("signal", "set_wakeup_fd")


def __getattr__(name: str) -> Any:
    # Everything else is the standard library's, as it is at the moment.
    return getattr(_signals, name)


# -- what stands in for the standard library's ---------------------------------------------------------------


class _Handler:
    """A handler as the interpreter calls it: runs the program's where it may wait, once there is a hub."""

    __slots__ = ("handler", "spawned")

    def __init__(self, handler: Callable[[int, FrameType | None], object], spawned: bool) -> None:
        self.handler = handler
        #: Each time in a greenlet that starts when its turn comes.
        self.spawned = spawned

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        hub = get_hub_if_exists()
        if hub is None or hub.destroyed:
            self.handler(signum, frame)
        elif self.spawned:
            spawn_raw(self.handler, signum, frame)
        elif getcurrent() is hub:
            self._run_beside(hub, signum, frame)
        else:
            try:
                self.handler(signum, frame)
            except KeyboardInterrupt:
                raise  # Ctrl-C interrupts what runs, a loop without an end above all; then it is main's
            except BaseException as error:
                if not _is_mains(hub, error):
                    raise

    def _run_beside(self, hub: Hub, signum: int, frame: FrameType | None) -> None:
        """Called in the hub: run the handler now, in a greenlet that the hub does not wait for.

        What it raises is raised here, and goes to the main greenlet; also if that comes later.
        """
        raised: list[BaseException] = []
        at_once = True

        def run() -> None:
            try:
                self.handler(signum, frame)
            except BaseException as error:
                if at_once:
                    raised.append(error)
                else:
                    hub.handle_error(None, type(error), error, error.__traceback__)

        greenlet(run, hub).switch()
        at_once = False
        if raised:
            try:
                raise raised[0]
            finally:
                del raised[:]


def _is_mains(hub: Hub, error: BaseException) -> bool:
    """Handlers run in the main thread, so what one raises while another greenlet runs goes to the main one,
    at its next turn; that the other one goes on is what it would do as a thread. Whether that is so.

    Not if there is no main greenlet to take it: one that has switched to others by hand, or has stayed in the
    parent of a fork.
    """
    main = hub.parent
    if main is None or getcurrent() is main or standing(main) not in ("waiting", "ready"):
        return False
    hub.run_callback(hub.handle_error, None, type(error), error, error.__traceback__)
    return True


def _callable_by_hub(signalnum: int, handler: Any) -> Any:
    # SIG_DFL and SIG_IGN, enumeration members and numbers, are not callable. The last one never waits.
    if not callable(handler) or handler is default_int_handler:
        return handler
    return _Handler(handler, spawned=signalnum == SIGCHLD)


def signal(signalnum: int, handler: Any, /) -> Any:
    """signal.signal(), but the handler may wait, whenever it is called; other greenlets run meanwhile.

    A handler of SIGCHLD runs in a new greenlet for each delivery.
    """
    before = getsignal(signalnum)
    _signal(signalnum, _callable_by_hub(signalnum, handler))
    return before


def make_existing_cooperative() -> None:
    """Handlers that were set before patching: as if by signal() of this module."""
    for signalnum in range(1, NSIG):
        handler = _getsignal(signalnum)
        if isinstance(handler, _Handler) or handler is _deliver or handler in wakes_nobody:
            continue  # ours never wait
        wanted = _callable_by_hub(signalnum, handler)
        if wanted is not handler:
            try:
                _signal(signalnum, wanted)
            except ValueError:
                return  # not in the main thread


def getsignal(signalnum: int, /) -> Any:
    """The handler that signal() has set."""
    handler = _getsignal(signalnum)
    return handler.handler if isinstance(handler, _Handler) else handler


def set_wakeup_fd(fd: int, /, *, warn_on_full_buffer: bool = True) -> int:
    """signal.set_wakeup_fd(); the hub, which needs the same to be woken by signals, passes them on to `fd`.

    So `fd` gets the numbers of signals when the loop runs. Those that it has no room for are dropped, without
    a warning, once there is a hub.
    """
    before = _set_wakeup_fd(fd, warn_on_full_buffer=warn_on_full_buffer)
    hub = get_hub_if_exists()
    if hub is None or hub.destroyed:
        return before
    ours, passed_on = hub.chain_signals()
    return passed_on if before == ours else before


# -- handlers in greenlets -----------------------------------------------------------------------------------

#: Signal number -> who is to be told, in that order. Of the process, as signals are.
_handlers: dict[int, list["signal_handler"]] = {}
#: What the interpreter called before the first of them.
_before: dict[int, Any] = {}


def _deliver(signum: int, frame: FrameType | None) -> None:
    for each in list(_handlers.get(signum, ())):
        each.handle()


class signal_handler:
    """Call `handler(*args, **kwargs)` in a new greenlet of the main thread, each time the signal comes.

    For the main thread (ValueError elsewhere, as from signal.signal()). Several for one signal are called in
    the order of their making; what signal.signal() had set before is put back by the last cancel(). While
    there is one, a wait of the main greenlet is no deadlock; hub.join() does not wait for it, unless `ref` is
    set. The greenlets have copies of the context that the handler was set in. TypeError if `handler` is not
    callable, ValueError or OSError if there is no such signal or it cannot be caught.
    """

    def __init__(self, signalnum: int, handler: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        if not callable(handler):
            raise TypeError(f"signal handler must be callable, not {type(handler).__name__}: {handler!r}")
        self.signalnum = index(signalnum)
        self.handler = handler
        self.args = args
        self.kwargs = kwargs
        self._context = contextvars.copy_context()
        #: Counts as something that hub.join() waits for.
        self._counted: Hub | None = None
        if _getsignal(self.signalnum) is not _deliver:
            _before[self.signalnum] = _signal(self.signalnum, _deliver)
        _handlers.setdefault(self.signalnum, []).append(self)
        # Whatever descriptor is set for signals by now: the loop is to be woken as well.
        get_hub().chain_signals()

    def __repr__(self) -> str:
        state = "" if self in _handlers.get(self.signalnum, ()) else " cancelled"
        return f"<{type(self).__name__} {self.signalnum} {self.handler!r}{state}>"

    def handle(self) -> None:
        """What is done when the signal comes: start a greenlet. Never switches."""
        # A copy: a signal may come while this one is in use here.
        self._context.copy().run(Greenlet.spawn, self.handler, *self.args, **self.kwargs)

    def cancel(self) -> None:
        """No more calls; again: nothing. Greenlets that run already go on."""
        mine = _handlers.get(self.signalnum, [])
        if self not in mine:
            return
        if len(mine) == 1:
            if _getsignal(self.signalnum) is _deliver:  # else somebody has set theirs since
                before = _before[self.signalnum]
                # None: it was not Python that had set it, so Python cannot put it back.
                _signal(self.signalnum, SIG_DFL if before is None else before)
            _before.pop(self.signalnum, None)
        mine.remove(self)
        if not mine:
            _handlers.pop(self.signalnum, None)
        self.ref = False

    @property
    def ref(self) -> bool:
        """Whether hub.join() waits as long as this is set; False to begin with."""
        return self._counted is not None

    @ref.setter
    def ref(self, value: bool) -> None:
        if bool(value) == (self._counted is not None):
            return
        if value:
            self._counted = get_hub()
            self._counted.external_enter()
        else:
            hub, self._counted = self._counted, None
            if hub is not None:
                hub.external_leave()
