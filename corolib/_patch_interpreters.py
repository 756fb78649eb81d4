"""`concurrent.futures.InterpreterPoolExecutor` (Python 3.14 on) in a patched program.

Its workers are threads, and a patched thread is a greenlet; but what runs in another interpreter knows
nothing of greenlets, and would hold up the native thread until it is done: forever, if it waits for somebody
there. So each worker does with its interpreter what it does in a native thread of its own, and waits for it
cooperatively.
"""

from collections.abc import Callable
from contextlib import suppress
from threading import current_thread
from types import ModuleType
from typing import Any

from ._native import original
from .hub import hub_to_wait_in
from .threadpool import ThreadPool

__all__ = ["patch_workers"]


def patch_workers(interpreter: ModuleType) -> None:
    """In this module of concurrent.futures, which was imported just now."""
    base: Any = vars(interpreter)["WorkerContext"]
    set_name = original("_thread", "set_name")

    class WorkerContext(base):  # type: ignore[misc]  # a class of this Python
        """A worker's interpreter, used in a native thread."""

        _own_thread: ThreadPool | None = None

        def initialize(self) -> None:
            with suppress(OSError):  # as threading does it
                self._in_own_thread(set_name, current_thread().name)
            self._in_own_thread(super().initialize)

        def run(self, task: Any) -> Any:
            return self._in_own_thread(super().run, task)

        def finalize(self) -> None:
            self._in_own_thread(super().finalize)

        def __del__(self) -> None:
            # A finalizer may come anywhere, and must not wait: what is left is closed where it stands.
            if self.interp is not None:
                super().finalize()

        def _in_own_thread(self, function: Callable[..., Any], *args: Any) -> Any:
            # No hub: this is a native thread already. Of the calls within a call that is the one above.
            if hub_to_wait_in() is None:
                return function(*args)
            if self._own_thread is None:
                self._own_thread = ThreadPool(1)
            return self._own_thread.apply(function, args)

    WorkerContext.__module__ = base.__module__
    vars(interpreter)["WorkerContext"] = WorkerContext
