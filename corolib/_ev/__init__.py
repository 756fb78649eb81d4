"""libev for Python: a loop and every kind of watcher. Knows no greenlet; can be used alone."""

try:
    from .kinds import StatData, async_, check, child, fork, idle, io, prepare, signal, stat, timer
    from .loop import (
        MAXPRI,
        MINPRI,
        READ,
        WRITE,
        Loop,
        embeddable_backends,
        header_version,
        recommended_backends,
        supported_backends,
        table_address,
        time,
        version,
    )
    from .watcher import Watcher
except ModuleNotFoundError as error:
    from .._unbuilt import explain

    raise explain(error) from None

__all__ = [
    "MAXPRI",
    "MINPRI",
    "READ",
    "WRITE",
    "Loop",
    "StatData",
    "Watcher",
    "async_",
    "check",
    "child",
    "embeddable_backends",
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
