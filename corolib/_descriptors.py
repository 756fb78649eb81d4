"""os.read() and os.write() of a patched program: the standard library's, but other greenlets run while a
blocking descriptor is not ready.

`corolib.os` has functions of the same names that wait for a non-blocking descriptor as well. These do not:
who made it non-blocking wants to be told. So they may be used in callbacks of the loop, too. Every call costs
one poll(2) more; a regular file is always ready.
"""

import os
import stat
from collections.abc import Callable
from fcntl import F_GETFL, fcntl
from select import PIPE_BUF, POLLIN, POLLOUT
from typing import Any

from ._hub import held_long, io, sleep
from ._native import original, poll
from .hub import get_hub_if_exists, hub_to_wait_in

__all__ = ["read", "wait_for", "write"]
__implements__ = ("read", "write")

_read: Callable[[int, int], bytes] = original("os", "read")
_write: Callable[[int, Any], int] = original("os", "write")

#: What poll(2) is asked -> the loop's word for it, and how a descriptor is open that it cannot be done with.
_EVENTS = {POLLIN: (1, os.O_WRONLY), POLLOUT: (2, os.O_RDONLY)}


def wait_for(fd: Any, event: int) -> None:
    """Switches until the descriptor is ready, and now and then if it always is.

    Not if it would not block or is refused, nor in the hub.
    """
    hub = hub_to_wait_in()
    if hub is None:
        return
    asked = poll()
    try:
        asked.register(fd, event)
    except (TypeError, ValueError, OverflowError):
        return  # the call itself knows better what to say
    if held_long() and _may_fill(fd):
        sleep(0)
    events, refused = _EVENTS[event]
    while not asked.poll(0):
        flags = fcntl(fd, F_GETFL)
        if flags & os.O_NONBLOCK or flags & os.O_ACCMODE == refused:
            return
        with io(hub, fd, events) as watcher:
            watcher.wait()


def read(fd: int, length: int, /) -> bytes:
    """os.read(): switches while a blocking descriptor has nothing to read.

    Blocks the thread nevertheless if somebody else takes what there was in that moment.
    """
    wait_for(fd, POLLIN)
    return _read(fd, length)


def write(fd: int, data: Any, /) -> int:
    """os.write(): all of `data` for a blocking descriptor, as ever; switches while it takes nothing more."""
    try:
        view = memoryview(data).cast("B")
    except TypeError:
        return _write(fd, data)  # which knows better what to say
    wait_for(fd, POLLOUT)
    if len(view) <= PIPE_BUF or get_hub_if_exists() is None or not _may_fill(fd):
        return _write(fd, view)
    # What it has room for is not known, except that it is this much: more at once could block the thread.
    written = 0
    try:
        while written < len(view):
            wait_for(fd, POLLOUT)
            written += _write(fd, view[written : written + PIPE_BUF])
    except OSError:
        if not written:
            raise  # else the next call will say it
    return written


def _may_fill(fd: int) -> bool:
    try:
        mode = os.fstat(fd).st_mode
        return (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(fd)) and os.get_blocking(fd)
    except OSError:
        return False
