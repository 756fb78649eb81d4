"""Tracers of switches, to find out whether a stretch of code, or a greenlet, keeps the hub from running.

Each is a switch hook of the thread that made it (`_switch.add_switch_hook`): it takes no tracer's place, and
no tracer that is set later takes its. A hook costs some tenths of a microsecond at each switch; kill() takes
it out.

A greenlet that waits may switch straight to the next that is ready, past the hub, which has said that there
is time for that. So "the hub was reached" means here that a greenlet has waited, or that the hub itself has
run.
"""

import math
import sys
from typing import Any, Self

from .._hub import standing, turn
from .._native import monotonic
from .._switch import add_switch_hook, getcurrent, gettrace, greenlet, remove_switch_hook
from .._waitgraph import stack_lines, stack_of
from ..hub import Hub, get_hub
from .tree import format_run_info

__all__ = ["GreenletTracer", "HubSwitchTracer", "MaxSwitchTracer", "assert_switches"]


class GreenletTracer:
    """Counts the switches of the thread that makes it, until kill(), and knows who runs."""

    #: How many switches there have been since did_block_hub() was last asked.
    greenlet_switch_counter = 0
    #: Who was switched to last; None before the first switch, and while it is ignored.
    active_greenlet: greenlet | None = None
    #: What settrace() had set when this was made; it is called as before.
    previous_trace_function: object = None

    def __init__(self) -> None:
        self.previous_trace_function = gettrace()
        self._killed = False
        self._hook = self._on_switch
        add_switch_hook(self._hook)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} switches={self.greenlet_switch_counter}>"

    def kill(self) -> None:
        """Take the hook out. In the thread that made it; once more does no harm."""
        if not self._killed:
            self._killed = True
            remove_switch_hook(self._hook)

    def _on_switch(self, event: str, args: tuple[greenlet, greenlet]) -> None:
        self.greenlet_switch_counter += 1
        self.active_greenlet = args[1]
        self._switched(*args)

    def _switched(self, origin: greenlet, target: greenlet) -> None:
        """For subclasses."""

    def ignore_current_greenlet_blocking(self) -> None:
        """Whoever runs may block until the next switch."""
        self.active_greenlet = None

    def monitor_current_greenlet_blocking(self) -> None:
        """Take that back."""
        self.active_greenlet = getcurrent()

    def did_block_hub(self, hub: Hub) -> tuple[bool, greenlet] | None:
        """(True, who runs) if there has been no switch since this was last asked, and it is not the hub that
        runs; else None. Any thread; from another one it may now and then count a switch too few.
        """
        active, switched = self.active_greenlet, self.greenlet_switch_counter != 0
        self.greenlet_switch_counter = 0
        if switched or active is None or active is hub:
            return None
        return True, active

    def did_block_hub_report(
        self, hub: Hub, active_greenlet: greenlet, format_kwargs: dict[str, Any]
    ) -> list[str]:
        """Lines that say so: who it is, what its thread runs, and format_run_info(**format_kwargs)."""
        return blocked_report(self.describe(hub, active_greenlet), hub, format_kwargs)

    def describe(self, hub: Hub, active_greenlet: greenlet) -> str:
        """One line."""
        return f"{active_greenlet!r} has not switched away; {hub!r} waits for it"


class _Timed(GreenletTracer):
    """One that compares the longest stretch of a kind with a limit."""

    #: The longest stretch so far that was over, in seconds.
    max_blocking = 0.0

    def __init__(self, hub: Hub, max_blocking_time: float) -> None:
        self.hub = hub
        self.max_blocking_time = max_blocking_time
        #: When the stretch of now began.
        self.began = monotonic()
        super().__init__()

    def _next(self, counts: bool) -> None:
        """A stretch is over, and the next begins."""
        now = monotonic()
        if counts:
            self.max_blocking = max(self.max_blocking, now - self.began)
        self.began = now

    def did_block_hub(self, hub: Hub) -> tuple[bool, greenlet] | None:
        """(True, who runs) if a stretch was longer than `max_blocking_time`, or that of now is; else None."""
        active = self.active_greenlet
        if active is not hub:
            self.max_blocking = max(self.max_blocking, monotonic() - self.began)
        if self.max_blocking <= self.max_blocking_time:
            return None
        return True, active or getcurrent()


class HubSwitchTracer(_Timed):
    """Tells whether the hub was not reached for longer than `max_blocking_time` seconds."""

    #: How often it was.
    reached = 0

    def _switched(self, origin: greenlet, target: greenlet) -> None:
        if self.hub in (origin, target) or standing(origin) in ("waiting", "ready"):
            self.reached += 1
            self._next(origin is not self.hub)

    def describe(self, hub: Hub, active_greenlet: greenlet) -> str:
        """One line."""
        seconds = f"{self.max_blocking:.4f} s, more than {self.max_blocking_time} s"
        return f"{hub!r} was not reached for {seconds} allow"


class MaxSwitchTracer(_Timed):
    """Tells whether a greenlet ran for longer than `max_blocking_time` seconds without a switch. The hub's
    own time does not count.
    """

    def _switched(self, origin: greenlet, target: greenlet) -> None:
        self._next(origin is not self.hub)

    def describe(self, hub: Hub, active_greenlet: greenlet) -> str:
        """One line."""
        return (
            f"a greenlet ran for {self.max_blocking:.4f} s without a switch, more than "
            f"{self.max_blocking_time} s allow"
        )


class _FailedToSwitch(AssertionError):
    """What assert_switches() raises."""


class assert_switches:
    """A context manager: AssertionError with a report if the body has not switched away even once.

    `max_blocking_time`: if it has run for longer than so many seconds without a switch. `hub_only`: only what
    reaches the hub counts as a switch, not one greenlet switching to another by hand. If the body raises,
    that is all that comes out.
    """

    def __init__(self, max_blocking_time: float | None = None, hub_only: bool = False) -> None:
        self.max_blocking_time = max_blocking_time
        self.hub_only = hub_only
        self.tracer: GreenletTracer | None = None

    def __enter__(self) -> Self:
        self.hub = get_hub()
        # Who yields while nobody else is ready goes on without a switch.
        self._turn = turn(getcurrent())
        limit = math.inf if self.max_blocking_time is None else self.max_blocking_time
        if self.hub_only:
            self.tracer = HubSwitchTracer(self.hub, limit)
        elif self.max_blocking_time is None:
            self.tracer = GreenletTracer()
        else:
            self.tracer = MaxSwitchTracer(self.hub, limit)
        return self

    def __exit__(self, typ: type[BaseException] | None, value: object, tb: object) -> None:
        tracer, self.tracer = self.tracer, None
        assert tracer is not None
        tracer.kill()
        if typ is not None:
            return
        if self.max_blocking_time is not None:
            failed = tracer.did_block_hub(self.hub) is not None
            headline = tracer.describe(self.hub, getcurrent())
        elif isinstance(tracer, HubSwitchTracer):
            failed = not tracer.reached and turn(getcurrent()) == self._turn
            headline = f"{getcurrent()!r} has not once reached {self.hub!r}"
        else:
            failed = not tracer.greenlet_switch_counter and turn(getcurrent()) == self._turn
            headline = f"{getcurrent()!r} has not once switched away"
        if failed:
            raise _FailedToSwitch("\n".join(blocked_report(headline, self.hub, {})))


def blocked_report(headline: str, hub: Hub, format_kwargs: dict[str, Any]) -> list[str]:
    """Lines of a report on a blocked hub: the culprit's stack, then the whole process."""
    lines = ["=" * 80, headline, ""]
    frame = sys._current_frames().get(hub.thread_ident)
    if frame is not None:
        lines += ["The thread runs:", *stack_lines(stack_of(frame), format_kwargs.get("limit", 20)), ""]
    kwargs: dict[str, Any] = {
        "thread_stacks": False,
        "current_thread_ident": hub.thread_ident,
        **format_kwargs,
    }
    return [*lines, *format_run_info(**kwargs), "=" * 80]
