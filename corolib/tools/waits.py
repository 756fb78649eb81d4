"""waiting(): who waits for whom right now; and the same on a signal, for a process that hangs."""

import sys
from types import FrameType
from typing import Any, TextIO

from .._native import original
from .._waitgraph import WaitGraph, stack_lines, stack_of, wakes_nobody
from ..hub import all_hubs

__all__ = ["report_waiting_on", "waiting"]


def waiting() -> WaitGraph:
    """All greenlets of all threads that wait, longest waiting first: what for, since when, who holds it, who
    is deadlocked. A sequence of records; str() of it is the report. Any thread; never switches.

    `waiting().deadlocked` are those that nothing can wake any more, though others go on; `waiting().cycles`
    the circles among them. Who asks counts as one who could wake others, unless it is a callback of the loop,
    or a signal handler that runs while the loop sleeps.
    """
    return WaitGraph(all_hubs())


def format_running(limit: int | None = None) -> list[str]:
    """What each thread runs at this moment, the innermost `limit` lines of it. Nothing of one that sleeps in
    the loop of its hub.
    """
    lines = []
    for ident, frame in sys._current_frames().items():
        stack = stack_of(frame)
        if stack:
            lines += [f"Thread {ident:#x} runs:", *stack_lines(stack, limit)]
    return lines


def report_waiting_on(signum: int, file: TextIO | None = None) -> Any:
    """Whenever signal `signum` comes, write waiting() and what each thread runs to `file`: standard error,
    unless given. For example `report_waiting_on(signal.SIGUSR1)`. To be called in the main thread.

    Returns the handler that was there before, which is not called any more: signal.signal() puts it back.
    ValueError if there is no such signal, or this is not the main thread. Works while the loop sleeps and
    while Python code keeps it from running; not while a function of C does.
    """

    def report(signum: int, frame: FrameType | None) -> None:
        text = [f"signal {signum}: {waiting()}", *format_running()]
        stream = file if file is not None else sys.stderr
        try:
            stream.write("\n".join(text) + "\n")
            stream.flush()
        except (OSError, ValueError):
            pass  # a full disk, a closed stream: there is nobody left to tell

    wakes_nobody.add(report)
    return original("signal", "signal")(signum, report)
