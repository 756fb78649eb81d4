"""run(): a program's main function, and an orderly end when it is told to end.

The first SIGINT or SIGTERM is an exception in the main greenlet, at its wait; what else runs is killed once
main is over. All that together has so many seconds of grace. A second signal ends the process as if nobody
had asked for it.
"""

import gc
import math
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn, ParamSpec, TypeVar

from . import _hub, _reports
from ._native import in_main_thread, original
from ._switch import getcurrent, greenlet
from ._waitgraph import WaitGraph, safe_repr
from .hub import Hub, get_hub, kill, sleep, spawn_raw

__all__ = ["GRACE", "run"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: Seconds that everybody has for cleaning up; supervisors (docker: after 10 s) use SIGKILL in the end.
GRACE = 8.0

#: How often the end of what was killed is looked for: raw greenlets cannot be joined.
_POLL = 0.01

_signal: Callable[[int, Any], Any] = original("signal", "signal")
_getsignal: Callable[[int], Any] = original("signal", "getsignal")


class _Run:
    """One call of run()."""

    #: The call under way: there is one main greenlet that gets signals, so one at a time.
    current: "_Run | None" = None

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self.hub: Hub = get_hub()
        self.main = getcurrent()
        self.main_over = False
        #: The first signal, what was raised in main for it, and when the time is up.
        self.signum = 0
        self.error: BaseException | None = None
        #: It has been raised: main was not over before.
        self.noticed = False
        self.deadline = math.inf
        self.before: dict[int, Any] = {}

    # -- signals ---------------------------------------------------------------------------------------------

    def install(self) -> None:
        _Run.current = self
        for number in (signal.SIGINT, signal.SIGTERM):
            if _getsignal(number) is not signal.SIG_IGN:  # as for a background job of a shell
                self.before[number] = _signal(number, self.on_signal)
        self.hub.chain_signals()

    def restore(self) -> None:
        _Run.current = None
        for number, handler in self.before.items():
            # Once told to end: whatever the end of the interpreter waits for, another signal ends it.
            _signal(number, signal.SIG_DFL if self.signum or handler is None else handler)

    def on_signal(self, signum: int, frame: FrameType | None) -> None:
        """Called between two instructions of any greenlet, the hub too."""
        if self.signum:
            _die_of(signum)
        self.signum = signum
        self.deadline = self.hub.now() + self.grace
        if self.main_over:
            return
        self.hub.loop.timer(self.grace, ref=False).start(spawn_raw, self.give_up)
        self.error = KeyboardInterrupt() if signum == signal.SIGINT else SystemExit(128 + signum)
        if getcurrent() is self.main:
            raise self.error
        kill(self.main, self.error)

    def give_up(self) -> None:
        """The time is up, and main is not over."""
        if self.main_over:
            return
        self.report([self.main, *self.others()])
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass  # none, full, closed
        _die_of(self.signum)

    # -- the end ---------------------------------------------------------------------------------------------

    def others(self) -> list[greenlet]:
        """The greenlets of this hub that run, apart from the current one."""
        # Those that wait are known to the hub even if gc.freeze() hides them here.
        known = {id(each): each for each in self.hub.parked()}
        known |= {id(each): each for each in gc.get_objects() if isinstance(each, greenlet)}
        me = getcurrent()
        return [each for each in known.values() if each and each.parent is self.hub and each is not me]

    def clean_up(self) -> None:
        """Main is over. Kill the others, wait for them, report who is left. Switches.

        What comes for main meanwhile (SystemExit of another greenlet, say) is raised at the end.
        """
        self.main_over = True
        if self.error is not None:
            self.noticed = not _hub.cancel_interrupt(self.main, self.error)
        if not self.signum:
            self.deadline = self.hub.now() + self.grace
        stray = self.pause(0)  # who has been spawned and not run yet gets as far as a wait
        left = self.others()
        spared = [] if self.signum else [each for each in left if _is_lasting_thread(each)]
        left = [each for each in left if each not in spared]
        for each in left:
            kill(each)
        while left:
            stray = self.pause(_POLL) or stray
            if self.signum and spared:
                for each in spared:
                    kill(each)
                left, spared = left + spared, []
            # What they have spawned to clean up is waited for, and not killed.
            left = [each for each in left if not each.dead] or [
                each for each in self.others() if each not in spared
            ]
            if self.hub.now() >= self.deadline:
                break  # after one turn at least: who ends at once does, however short the time
        if left:
            self.report(left)
        if stray is not None:
            raise stray

    def pause(self, seconds: float) -> BaseException | None:
        try:
            sleep(seconds)
        except BaseException as error:  # not ours to lose, see clean_up()
            return error
        return None

    def report(self, left: list[greenlet]) -> None:
        waits = {id(wait.greenlet): wait for wait in WaitGraph([self.hub])}
        told = signal.Signals(self.signum).name if self.signum else "the end of main"
        lines = [f"still running {self.grace:g} s after {told}:"]
        for each in left:
            wait = waits.get(id(each))
            lines += (safe_repr(each) if wait is None else wait.format()).splitlines()
        _reports.warn("\n    ".join(lines))


def _is_lasting_thread(candidate: greenlet) -> bool:
    """Whether it is a thread of a patched program that the process waits for anyway."""
    threads: dict[int, Any] = getattr(sys.modules.get("threading"), "_active", {})
    thread = threads.get(id(candidate))
    return thread is not None and not thread.daemon


def _die_of(signum: int) -> NoReturn:
    """End the process, at once, in the way that says which signal it was."""
    _signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
    os._exit(128 + signum)  # the first process of a container is not killed by signals


def run(main: Callable[..., _T], /, *args: Any, grace: float = GRACE) -> _T:
    """Call `main(*args)` in the main greenlet and return what it returns; then end what else runs. Switches.

    SIGINT (Ctrl-C) raises KeyboardInterrupt in main, SIGTERM raises SystemExit, at its wait, or at once if it
    is running. When main is over, however that came, the other greenlets are killed (threads of a patched
    program that are no daemons only after a signal). After a signal all this may take `grace` seconds,
    without one the others have as many: what still runs then is named in the log, and left; if that is main,
    the process ends. A second signal ends the process at once.

    If main lets the signal's exception through, so does this, as SystemExit(128 + number): 130 for SIGINT,
    143 for SIGTERM. Everything else that main raises is raised. A signal that is ignored stays so.
    ValueError for a negative `grace`; RuntimeError elsewhere than in the main greenlet of the main thread, or
    while another run() runs.
    """
    if not callable(main):
        raise TypeError(f"run() takes a callable, not {type(main).__name__}: {main!r}")
    if not grace >= 0:
        raise ValueError(f"grace: expected seconds, 0 or more, found {grace!r}")
    if not in_main_thread() or getcurrent().parent is not None:
        raise RuntimeError("run() must be called in the main greenlet of the main thread")
    if _Run.current is not None:
        raise RuntimeError("run() is running already")
    this = _Run(grace)
    this.install()
    try:
        try:
            result = main(*args)
        finally:
            this.clean_up()
    except BaseException as error:
        if this.error is None or error is not this.error:
            raise
        raise SystemExit(128 + this.signum) from None
    finally:
        this.restore()
    if this.signum and not this.noticed:
        raise SystemExit(128 + this.signum)
    return result
