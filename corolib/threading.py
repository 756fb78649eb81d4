"""What of the `threading` module has to be replaced for its threads to be greenlets.

`threading` is Python code over `_thread`, and most of it is right as it is once `_thread` is (see
corolib.thread). Here are the names that it took from there when it was imported, and the few things of its
own that a greenlet does otherwise.
"""

import sys
import threading as _threading
import warnings
from collections.abc import Callable
from typing import Any
from weakref import ReferenceType, ref

from . import event as _event
from . import thread as _thread
from ._native import original
from ._switch import GreenletExit, getcurrent, greenlet
from .hub import get_hub
from .local import local
from .thread import LockType as Lock
from .thread import RLock, get_ident

__all__ = ["Event", "Lock", "RLock", "get_ident", "local", "main_native_thread"]

# Names under which `threading` keeps what it took from `_thread`.
_allocate_lock = _LockType = Lock
_CRLock = RLock
_start_new_thread = _thread.start_new_thread


def main_native_thread() -> _threading.Thread:
    """The Thread object of the thread that Python was started in; its identifier is the native one."""
    return _threading.main_thread()


class Event(_event.Event):
    """corolib.event.Event, with what threading.Event has besides."""

    def __repr__(self) -> str:
        state = "set" if self.is_set() else "unset"
        return f"<{type(self).__module__}.{type(self).__qualname__} at {id(self):#x}: {state}>"

    def isSet(self) -> bool:
        """is_set(), under its deprecated name."""
        warnings.warn("isSet() is deprecated, use is_set() instead", DeprecationWarning, stacklevel=2)
        return self.is_set()


class _DummyThread(_threading._DummyThread):
    """What current_thread() makes for a greenlet that `threading` has not started.

    Forgotten when the greenlet is gone.
    """

    _greenlet: ReferenceType[greenlet]

    def __init__(self) -> None:
        super().__init__()
        active: dict[int, Any] = _threading._active  # type: ignore[attr-defined]  # private
        ident = get_ident()

        def forget(gone: ReferenceType[greenlet]) -> None:
            # The number may have a new owner already.
            if getattr(active.get(ident), "_greenlet", None) is gone:
                active.pop(ident, None)

        self._greenlet = ref(getcurrent(), forget)


def _make_invoke_excepthook() -> Callable[[_threading.Thread], None]:
    """What a Thread calls when its run() has raised.

    Ctrl-C interrupts whichever greenlet runs at that moment, but it is meant for the program: it goes on to
    the main greenlet. A greenlet that was killed has nothing to report.
    """
    invoke: Callable[[_threading.Thread], None] = original("threading", "_make_invoke_excepthook")()

    def invoke_excepthook(thread: _threading.Thread) -> None:
        error = sys.exception()
        if isinstance(error, KeyboardInterrupt):
            get_hub().handle_system_error(type(error), error, error.__traceback__)
        elif not isinstance(error, GreenletExit):
            invoke(thread)

    return invoke_excepthook


_names: tuple[str, ...]
if sys.version_info >= (3, 13):
    _ThreadHandle = _thread._ThreadHandle
    _make_thread_handle = _thread._make_thread_handle
    _start_joinable_thread = _thread.start_joinable_thread
    _thread_shutdown = _thread._shutdown
    _names = (
        "_LockType",
        "_ThreadHandle",
        "_make_thread_handle",
        "_start_joinable_thread",
        "_thread_shutdown",
    )
    if sys.version_info >= (3, 14):
        _set_name = _thread.set_name
        _names += ("_set_name",)
else:
    _set_sentinel = _thread._set_sentinel
    _names = ("_set_sentinel", "_start_new_thread")

__implements__ = (
    "Event",
    "Lock",
    "_CRLock",
    "_DummyThread",
    "_allocate_lock",
    "_make_invoke_excepthook",
    "get_ident",
    "local",
    *_names,
)
