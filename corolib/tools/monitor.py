"""A native thread beside a hub that looks whether the hub is kept from running, and whatever else is wanted.

It costs the hub nothing: no switch is traced. The loop notes when it last looked for events, and counts what
it runs between two looks (`_hub.stretch`). As long as both stay the same, one greenlet (or callback) is
running; if that is longer than `config.max_blocking_time`, it is reported: its stack, what the other threads
and greenlets are doing, and an EventLoopBlocked event. Of one stretch a report comes at once, twice, four
times... that time.

The thread holds its hub weakly and ends with it. It uses native locks and clocks only, patched or not. What
holds the GIL all the time, as a function of C may, keeps this thread from running as well: it is seen only if
it gives up the GIL now and then.
"""

import gc
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple
from weakref import ref as weakref

from .. import _hub
from .._config import config
from .._native import allocate_lock, get_ident, monotonic, start_new_thread
from .._switch import getcurrent, greenlet
from ..events import (
    EventLoopBlocked,
    MemoryUsageThresholdExceeded,
    MemoryUsageUnderThreshold,
    PeriodicMonitorThreadStartedEvent,
    notify,
)
from ..hub import Hub
from .trace import blocked_report

__all__ = ["MonitorWarning", "PeriodicMonitoringThread"]

#: A report has so many lines at most: of thousands of greenlets the first say what there is to say.
REPORT_LINES = 500


class MonitorWarning(RuntimeWarning):
    """Something that was to be monitored cannot be."""


class _Entry:
    """A monitoring function, and when it is due."""

    __slots__ = ("due", "function", "period")

    def __init__(self, function: Callable[[Hub], object], period: float, now: float) -> None:
        self.function = function
        self.period = period
        self.due = now + period


class Stretch:
    """What is known of the stretch that the loop is in: the same greenlet runs. Pure: the time is given."""

    def __init__(self) -> None:
        self._token: tuple[float, int] | None = None
        self._since = 0.0
        self._next = 0.0
        #: A stretch that may take as long as it wants.
        self.ignored: tuple[float, int] | None = None

    def look(self, token: tuple[float, int] | None, now: float, limit: float) -> float | None:
        """For how long it has lasted, if that is to be reported now; else None."""
        if token is None or token != self._token:
            self._token = token
            # Of the first entry after the loop's look its beginning is known; of others, that it is not over.
            self._since = token[0] if token is not None and token[1] == 0 else now
            self._next = limit
        lasted = now - self._since
        if token is None or token == self.ignored or lasted < self._next:
            return None
        while self._next <= lasted:
            self._next *= 2
        return lasted


class PeriodicMonitoringThread:
    """Calls monitoring functions from time to time, in a native thread of its own, until kill() or the end of
    the hub. `hub.start_periodic_monitoring_thread()` makes and starts it.

    There from the beginning: monitor_blocking(); with `config.max_memory_usage`, monitor_memory_usage().
    """

    #: Shorter periods are made so long, in seconds: looking must not become a load.
    min_sleep_time = 0.005
    #: The same for looks at the memory in use, which take longer.
    min_memory_monitor_period = 2
    #: How long the thread sleeps if there is nothing to call.
    inactive_sleep_time = 2.0

    def __init__(self, hub: Hub) -> None:
        self._hub = weakref(hub, self._wake_up)
        #: The thread's identifier, once it runs.
        self.monitor_thread_ident: int | None = None
        self.should_run = True
        self._functions: list[_Entry] = []
        self._stretch = Stretch()
        #: The most memory seen in use since it is too much; 0 while it is not.
        self._most_used = 0
        self.add_monitoring_function(self.monitor_blocking, self._blocking_period())
        self._start()

    def __repr__(self) -> str:
        state = "" if self.should_run else " killed"
        return f"<{type(self).__name__} at {id(self):#x} of {self._hub()!r}{state}>"

    @property
    def hub(self) -> Hub | None:
        """The hub that it watches; None if that is gone."""
        return self._hub()

    # -- the thread ------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.pid = os.getpid()
        #: Taken; released to end a sleep.
        self._alarm = allocate_lock()
        self._alarm.acquire()
        start_new_thread(self._run, ())

    def _wake_up(self, _: object = None) -> None:
        try:
            self._alarm.release()
        except RuntimeError:
            pass  # it is awake

    def kill(self) -> None:
        """Let the thread end. Any thread; never switches, and does not wait for the end."""
        self.should_run = False
        self._wake_up()

    def after_fork(self) -> None:
        """In the child of a fork, where the thread is not there: start it anew. Called by itself."""
        if self.should_run and self.pid != os.getpid():
            self._start()

    def _run(self) -> None:
        """What the thread does. It wakes nobody, and so puts off no LoopExit."""
        self.monitor_thread_ident = get_ident()
        _hub.thread_idle(1)
        try:
            self._guarded(self._begin)
            while self.should_run and self._hub() is not None:
                self._alarm.acquire(True, self.calculate_sleep_time())
                self._call_due()
        finally:
            _hub.thread_idle(-1)

    def _begin(self, hub: Hub) -> None:
        notify(PeriodicMonitorThreadStartedEvent(self))
        if config.max_memory_usage is not None:
            self.install_monitor_memory_usage()

    def _call_due(self) -> None:
        """Call what is due; its next time counts from now on."""
        now = monotonic()
        for entry in list(self._functions):
            if entry.due <= now and self.should_run:
                self._guarded(entry.function)
                entry.due = monotonic() + entry.period

    def _guarded(self, function: Callable[[Hub], object]) -> None:
        """What a function raises is printed; the others go on."""
        hub = self._hub()
        if hub is None or hub.destroyed:
            self.should_run = False
            return
        try:
            function(hub)
        except BaseException as error:  # whatever it is must not end the thread
            if not sys.is_finalizing():
                text = traceback.format_exception(error)
                _write(hub, "".join([*text, f"{self!r} goes on after this failure of {function!r}\n\n"]))

    # -- monitoring functions --------------------------------------------------------------------------------

    def add_monitoring_function(self, function: Callable[[Hub], object], period: float | None) -> None:
        """Call `function(hub)` each `period` seconds, in this thread, from then on; if it is there already,
        with this period. None: not any more. ValueError if the period is not above 0.

        It must not touch greenlets: it runs beside them.
        """
        if not callable(function):
            raise TypeError(f"a monitoring function must be callable, not {type(function).__name__}")
        if period is not None and period <= 0:
            raise ValueError(
                f"period of a monitoring function: expected more than 0 seconds, found {period!r}"
            )
        others = [entry for entry in self._functions if entry.function != function]
        if period is not None:
            others.append(_Entry(function, max(period, self.min_sleep_time), monotonic()))
        self._functions = others
        if self.monitor_thread_ident is not None:
            self._wake_up()  # it may be due before what the thread sleeps for

    def monitoring_functions(self) -> list[_Entry]:
        """What is called: objects with `function` and `period`."""
        return list(self._functions)

    def calculate_sleep_time(self) -> float:
        """Seconds until the next function is due."""
        if not self._functions:
            return self.inactive_sleep_time
        return max(min(entry.due for entry in self._functions) - monotonic(), self.min_sleep_time)

    # -- a blocked hub ---------------------------------------------------------------------------------------

    @staticmethod
    def _blocking_period() -> float:
        """Half the time: so a report comes before twice the time is over."""
        return float(config.max_blocking_time) / 2

    def ignore_current_greenlet_blocking(self) -> None:
        """Whoever runs may block its hub until it waits next. In the hub's thread."""
        hub = self._hub()
        self._stretch.ignored = None if hub is None else _hub.stretch(hub)

    def monitor_current_greenlet_blocking(self) -> None:
        """Take that back."""
        self._stretch.ignored = None

    def monitor_blocking(self, hub: Hub) -> EventLoopBlocked | None:
        """A monitoring function: report if one greenlet has run for longer than config.max_blocking_time; the
        event, or None.
        """
        limit = float(config.max_blocking_time)
        lasted = self._stretch.look(_hub.stretch(hub), hub.now(), limit)
        if lasted is None:
            return None
        active = _running(hub)
        headline = f"{active!r} has kept {hub!r} from running for {lasted:.3f} s, more than {limit} s allow"
        info = {"thread_stacks": True, "greenlet_stacks": False, "current_thread_ident": get_ident()}
        report = blocked_report(headline, hub, info)
        if len(report) > REPORT_LINES:
            report[REPORT_LINES:] = [f"... and {len(report) - REPORT_LINES} lines more"]
        if not self.should_run and self.monitor_thread_ident == get_ident():
            return None  # killed while the report was made
        if config.print_blocking_reports:
            self._show_blocking_report(hub, report, active)
        event = EventLoopBlocked(active, lasted, report, hub=hub)
        notify(event)
        return event

    def _show_blocking_report(self, hub: Hub, report: list[str], active_greenlet: greenlet | None) -> None:
        """Write it to the hub's exception_stream, in one piece."""
        _write(hub, "\n".join(report) + "\n")

    # -- memory ----------------------------------------------------------------------------------------------

    def can_monitor_memory_usage(self) -> bool:
        """Whether psutil, or the system, tells how much memory is in use."""
        return _memory_reader() is not None

    def install_monitor_memory_usage(self) -> None:
        """Add monitor_memory_usage(), each config.memory_monitor_period seconds. MonitorWarning is raised if
        nothing tells how much memory is in use.
        """
        if not self.can_monitor_memory_usage():
            raise MonitorWarning("psutil is not there, nor /proc: memory cannot be monitored")
        period = max(float(config.memory_monitor_period), self.min_memory_monitor_period)
        self.add_monitoring_function(self.monitor_memory_usage, period)

    def monitor_memory_usage(
        self, _hub: Hub | None = None
    ) -> MemoryUsageThresholdExceeded | MemoryUsageUnderThreshold | None:
        """A monitoring function: an event if more than config.max_memory_usage bytes are in use, and more
        than were seen before; one more when it is less again. The event, or None.
        """
        allowed, read = config.max_memory_usage, _memory_reader()
        if allowed is None or read is None:
            return None
        used, info = read()
        event: MemoryUsageThresholdExceeded | MemoryUsageUnderThreshold
        if used > allowed:
            if used <= self._most_used:
                return None
            self._most_used = used
            event = MemoryUsageThresholdExceeded(used, allowed, info)
        elif self._most_used:
            event = MemoryUsageUnderThreshold(used, allowed, info, self._most_used)
            self._most_used = 0
        else:
            return None
        notify(event)
        return event


def _write(hub: Hub, text: str) -> None:
    """To the hub's exception_stream; not to a log, whose locks are greenlets' matter if they are patched."""
    stream = hub.exception_stream
    if not stream:
        return
    try:
        stream.write(text)
        stream.flush()
    except (OSError, ValueError):
        pass  # a full disk, a closed stream: there is nobody left to tell


def _running(hub: Hub) -> greenlet | None:
    """The greenlet that runs in the thread of a hub. Looks at every object: for reports."""
    if hub.thread_ident == get_ident():
        return getcurrent()
    for each in gc.get_objects():
        if isinstance(each, greenlet) and _hub.standing(each) == "running":
            root = each
            while root.parent is not None:
                root = root.parent
            if root is hub.parent:
                return each
    return None


class MemoryInfo(NamedTuple):
    """What the system tells, in bytes: in RAM, and of that what no other process shares."""

    rss: int
    uss: int


_ROLLUP = "/proc/self/smaps_rollup"


def _memory_reader() -> Callable[[], tuple[int, Any]] | None:
    """What returns the bytes in use that are this process's alone, and all details; None if nothing tells."""
    try:
        psutil: Any = import_module("psutil")  # optional, and read only if memory is looked at
    except ImportError:
        return _read_rollup if os.path.exists(_ROLLUP) else None

    def read() -> tuple[int, Any]:
        process = psutil.Process()
        try:
            info = process.memory_full_info()
        except psutil.AccessDenied:
            info = process.memory_info()
        return getattr(info, "uss", info.rss), info

    return read


def _read_rollup() -> tuple[int, MemoryInfo]:
    sizes: dict[str, int] = {}
    with open(_ROLLUP) as file:
        for line in file:
            name, _, value = line.partition(":")
            if value.endswith(" kB\n"):
                sizes[name] = int(value[:-4]) * 1024
    info = MemoryInfo(sizes.get("Rss", 0), sizes.get("Private_Clean", 0) + sizes.get("Private_Dirty", 0))
    return info.uss, info


Hub.factories["periodic_monitoring_thread"] = PeriodicMonitoringThread
