"""An event loop of asyncio in a greenlet: others run while it waits, and have loops of their own.

*Others run.* With a selector of the standard library they do so by itself, since that is cooperative once it
is patched. With one of somebody else's making, which answers at once or waits in its own way, no other
greenlet would ever run, not even the threads of run_in_executor(), which the loop waits for.

*Which loop runs* is noted by asyncio for each native thread, and so are the hooks of asynchronous generators
and (from Python 3.14 on) the task that runs. Threads of a patched program are greenlets of one native thread,
so what is noted of a loop goes and comes with the greenlet that runs it, and with the raw greenlets below
that. While one runs, each switch of its thread costs a microsecond more.
"""

import selectors
import sys
from functools import wraps
from importlib import import_module
from typing import Any

from ._imports import when_imported
from ._native import thread_local
from ._switch import add_switch_hook, getcurrent, greenlet, remove_switch_hook
from .hub import Hub, get_hub_if_exists, sleep

__all__ = ["patch_asyncio"]

#: Where they wait they let others run.
_COOPERATIVE = {
    getattr(selectors, name).select
    for name in ("SelectSelector", "PollSelector", "EpollSelector", "DevpollSelector", "KqueueSelector")
    if hasattr(selectors, name)
}


def patch_asyncio() -> None:
    """Now, or when it is imported."""
    when_imported("asyncio.base_events", _patch_loops)


def _patch_loops(base_events: Any) -> None:
    cls, events = base_events.BaseEventLoop, base_events.events
    plain_turn, plain_run = cls._run_once, cls.run_forever

    @wraps(plain_turn)
    def _run_once(self: Any) -> None:
        plain_turn(self)
        selector = getattr(self, "_selector", None)
        if getattr(type(selector), "select", None) not in _COOPERATIVE and get_hub_if_exists() is not None:
            sleep(0)

    @wraps(plain_run)
    def run_forever(self: Any) -> None:
        home = _home(getcurrent())
        with _notes_of_this_thread().get(home) or _Notes(events, home):
            plain_run(self)

    cls._run_once = _run_once
    cls.run_forever = run_forever


class _Notes:
    """What asyncio has noted in this native thread: kept here while a greenlet of another home is current."""

    __slots__ = ("_around", "_events", "_home", "_hooks", "_loop", "_runs", "_task")

    def __init__(self, events: Any, home: greenlet) -> None:
        self._events = events
        self._home = home
        #: Loops that run there: one inside another, or in raw greenlets beside each other.
        self._runs = 0
        #: The hooks of who runs no loop.
        self._around: Any = sys.get_asyncgen_hooks()

    def __enter__(self) -> None:
        notes = _notes_of_this_thread()
        if not notes:
            add_switch_hook(_on_switch)
        notes[self._home] = self
        self._runs += 1

    def __exit__(self, *exc: object) -> None:
        self._runs -= 1
        if not self._runs:
            notes = _notes_of_this_thread()
            del notes[self._home]
            if not notes:
                remove_switch_hook(_on_switch)

    def take(self) -> None:
        self._loop = loop = self._events._get_running_loop()
        self._hooks = sys.get_asyncgen_hooks()
        self._task = None if loop is None else _swap_task(loop, None)
        self._events._set_running_loop(None)
        sys.set_asyncgen_hooks(*self._around)

    def put_back(self) -> None:
        self._events._set_running_loop(self._loop)
        sys.set_asyncgen_hooks(*self._hooks)
        if self._task is not None:
            _swap_task(self._loop, self._task)
        self._loop = self._task = None


def _home(current: greenlet) -> greenlet:
    """The greenlet whose loop this one finds: itself, or above a raw one, such as SQLAlchemy and Playwright
    make for a call, the thread or Greenlet that has made it. Without patching these find the thread's.
    """
    while not isinstance(current, Hub):
        above = current.parent
        if above is None or isinstance(above, Hub):
            break
        current = above
    return current


#: In each native thread: the homes of loops that run there, and their notes.
_here = thread_local()


def _notes_of_this_thread() -> dict[greenlet, _Notes]:
    try:
        notes: dict[greenlet, _Notes] = _here.notes
    except AttributeError:
        notes = _here.notes = {}
    return notes


def _on_switch(event: str, greenlets: tuple[greenlet, greenlet]) -> None:
    """Called at each switch of a thread in which a loop runs."""
    notes = _here.notes
    left, arrived = notes.get(_home(greenlets[0])), notes.get(_home(greenlets[1]))
    if left is arrived:
        return
    if left is not None:
        left.take()
    if arrived is not None:
        arrived.put_back()


if sys.version_info >= (3, 14):

    def _swap_task(loop: Any, task: Any) -> Any:
        """The task that runs: noted in the thread."""
        # Late: asyncio is there by now.
        return import_module("asyncio.tasks")._swap_current_task(loop, task)

else:

    def _swap_task(loop: Any, task: Any) -> Any:
        """Nothing: each loop notes its own task."""
