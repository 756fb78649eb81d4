"""The engine in C; README.md next to this file says how it works."""

from collections.abc import Callable
from contextvars import Context
from types import FrameType, TracebackType
from typing import Any, TypedDict, overload, type_check_only

from typing_extensions import disjoint_base

class GreenletExit(BaseException):
    """Raised in a greenlet to end it. That is a normal end: the instance is the result."""

class error(Exception):
    """A switch that cannot be, for instance to a greenlet of another thread."""

_Tracer = Callable[[str, tuple[greenlet, greenlet]], object]

@type_check_only
class Stats(TypedDict):
    """What stats() tells about the calling thread, and about the process as far as it says so."""

    machine: str  # how stacks are switched here: a CPU and its calling convention, or "ucontext"
    lanes: int  # shared lanes made so far
    lanes_limit: int  # and how many there may be
    lanes_pinned: int  # lanes with one greenlet each
    evictions: int  # slices copied out of a lane
    evicted_bytes: int
    reloads: int  # slices copied back in
    greenlets: int  # started and not finished, the main one aside
    greenlets_doomed: int  # of these, dropped by other threads and not ended yet
    chunks: int  # first chunks of the data stack in use
    chunk_bytes: int  # and their size
    objects_idle: int  # greenlet objects kept for reuse
    blocks_kept: int  # 16 KiB blocks in the cache of the process
    blocks_hits: int
    blocks_misses: int
    slices: int  # buffers for slices, of the process
    slabs: int  # 64 KiB each, that hold them
    slabs_kept: int  # of these, without a slice and kept for the next ones

@disjoint_base
class greenlet:
    """A lightweight thread of execution with a C stack of its own, switched to by hand."""

    # The module's names are attributes of the type too, as in the greenlet package.
    GreenletExit: type[GreenletExit]
    error: type[error]
    @staticmethod
    def getcurrent() -> greenlet: ...
    @staticmethod
    def gettrace() -> _Tracer | None: ...
    @staticmethod
    def settrace(callback: _Tracer | None, /) -> _Tracer | None: ...

    run: Callable[..., Any]
    parent: greenlet | None
    gr_context: Context | None
    @property
    def dead(self) -> bool: ...
    @property
    def gr_frame(self) -> FrameType | None: ...
    @property
    def _stack_saved(self) -> int: ...
    def __init__(
        self, run: Callable[..., Any] | None = None, parent: greenlet | None = None, *, pin: object = False
    ) -> None: ...
    def switch(self, *args: Any, **kwargs: Any) -> Any:
        """Run this greenlet until somebody switches back; raises what is thrown into the caller meanwhile."""

    @overload
    def throw(
        self,
        typ: type[BaseException] = ...,
        val: object = None,
        traceback: TracebackType | None = None,
        /,
    ) -> Any: ...
    @overload
    def throw(
        self, typ: BaseException = ..., val: None = None, traceback: TracebackType | None = None, /
    ) -> Any: ...
    def __bool__(self) -> bool: ...
    def __getstate__(self) -> Any: ...

def getcurrent() -> greenlet: ...
def settrace(callback: _Tracer | None, /) -> _Tracer | None: ...
def gettrace() -> _Tracer | None: ...
def add_switch_hook(hook: _Tracer, /) -> None: ...
def remove_switch_hook(hook: _Tracer, /) -> None: ...
def set_lanes(count: int, /) -> None: ...
def get_lanes() -> int: ...
def stats() -> Stats: ...

_C_API: object
_hub_api: object
