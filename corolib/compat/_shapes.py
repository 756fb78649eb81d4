"""Functions that must be there and have nothing to do, and interfaces to name in annotations."""

from typing import Any, Protocol, runtime_checkable

__all__ = [
    "CLOCKS_PER_SEC",
    "ICallback",
    "ILoop",
    "IWatcher",
    "enable_optional_cleanup",
    "get_clocks_used_doing_optional_cleanup",
    "patch_builtins",
    "patch_contextvars",
    "patch_sys",
]

#: Of C's clock(), as POSIX has it.
CLOCKS_PER_SEC = 1_000_000


def enable_optional_cleanup(enabled: bool) -> None:
    """No effect: nothing of a thread that ended is left for a collection to find."""


def get_clocks_used_doing_optional_cleanup() -> int:
    """0: see enable_optional_cleanup()."""
    return 0


def patch_sys(stdin: bool = True, stdout: bool = True, stderr: bool = True) -> None:
    """No effect: the standard streams stay what they are."""


def patch_builtins() -> None:
    """No effect: there is nothing to replace."""


def patch_contextvars() -> None:
    """No effect: each greenlet has a context of the standard library's own."""


@runtime_checkable
class ICallback(Protocol):
    """What `loop.run_callback()` returns."""

    @property
    def pending(self) -> bool: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


@runtime_checkable
class IWatcher(Protocol):
    """What `loop.io()`, `loop.timer()` and their like return."""

    def start(self, callback: Any, /, *args: Any) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


@runtime_checkable
class ILoop(Protocol):
    """`hub.loop`"""

    def run_callback(self, func: Any, /, *args: Any) -> Any: ...
    def now(self) -> float: ...
    def io(self, fd: int, events: int) -> Any: ...
    def timer(self, after: float) -> Any: ...
