"""libev for Python: a loop and every kind of watcher. Knows no greenlet; can be used alone."""

from .kinds import StatData, async_, check, child, fork, idle, io, prepare, signal, stat, timer
from .loop import (
    READ,
    WRITE,
    Loop,
    header_version,
    recommended_backends,
    supported_backends,
    table_address,
    time,
    version,
)
from .watcher import Watcher

__all__ = [
    "READ",
    "WRITE",
    "Loop",
    "StatData",
    "Watcher",
    "async_",
    "check",
    "child",
    "fork",
    "header_version",
    "idle",
    "io",
    "prepare",
    "recommended_backends",
    "signal",
    "stat",
    "supported_backends",
    "table_address",
    "time",
    "timer",
    "version",
]
