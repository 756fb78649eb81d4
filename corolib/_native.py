"""The standard library as it was before patching.

What corolib itself must never call in its cooperative form is taken from here: a native thread for the thread
pool, a lock that blocks its thread, a sleep that blocks the process. Only modules written in C are imported,
so that importing corolib pulls in neither `threading` nor `socket`; everything else is looked up when
somebody asks (`original`).
"""

import _thread
import importlib
import select as _select
import sys
import time as _time
from signal import set_wakeup_fd
from typing import Any

__all__ = [
    "RLock",
    "allocate_lock",
    "get_ident",
    "get_native_id",
    "in_main_thread",
    "monotonic",
    "original",
    "originals",
    "perf_counter",
    "poll",
    "saved",
    "select",
    "sleep",
    "start_new_thread",
    "thread_local",
]

RLock = _thread.RLock
allocate_lock = _thread.allocate_lock
get_ident = _thread.get_ident
get_native_id = _thread.get_native_id
start_new_thread = _thread.start_new_thread
thread_local = _thread._local
sleep = _time.sleep
monotonic = _time.monotonic
perf_counter = _time.perf_counter
select = _select.select
poll = _select.poll

#: Module name -> name -> what stood there before it was replaced. Filled by corolib.monkey.
saved: dict[str, dict[str, object]] = {}


def original(module: str, name: str) -> Any:
    """The object that `module.name` was before patching, whether it has been patched or not.

    Imports the module if need be. AttributeError if it has no such name.
    """
    try:
        return saved[module][name]
    except KeyError:
        return getattr(importlib.import_module(module), name)


def originals(module: str, *names: str) -> tuple[Any, ...]:
    """`original` for several names of one module."""
    return tuple(original(module, name) for name in names)


def in_main_thread() -> bool:
    """Whether the calling thread is the one in which Python runs signal handlers.

    `threading` knows, but importing it here would be too early, and in a thread it did not start it may be
    wrong.
    """
    if sys.version_info >= (3, 13):
        return _thread._get_main_thread_ident() == get_ident()
    try:
        before = set_wakeup_fd(-1)  # refused in every other thread
    except ValueError:
        return False
    try:
        set_wakeup_fd(before)
    except (OSError, ValueError):
        pass  # it has been closed, in the child of a fork for example: nobody wants it back
    return True
