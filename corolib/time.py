"""The `time` module, with a sleep() that lets other greenlets run."""

import time as _time
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex

from ._native import sleep as _sleep_natively
from .hub import get_hub_if_exists
from .hub import sleep as _sleep

__implements__ = ("sleep",)
__all__ = [name for name in dir(_time) if not name.startswith("_")]

# Everything but what is below is the standard library's.
globals().update((name, getattr(_time, name)) for name in __all__)
if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def sleep(seconds: float, /) -> None:
    """Let other greenlets run for `seconds`; 0 lets those run that are ready.

    Switches to the hub. Raises ValueError for a negative or NaN number, TypeError for what is no number.
    """
    try:
        negative = seconds < 0
    except TypeError:
        if isinstance(seconds, SupportsIndex):
            return sleep(index(seconds))
        return _sleep_natively(seconds)  # it refuses it, in this Python's own words
    if negative:
        raise ValueError("sleep length must be non-negative")
    if get_hub_if_exists() is None:
        # Without a hub this thread has no other greenlet that could run: a worker of a thread pool, for
        # example.
        _sleep_natively(seconds)
    else:
        _sleep(seconds)
