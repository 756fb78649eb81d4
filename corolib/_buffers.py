"""Buffered files for greenlets.

The lock of a buffer in C knows threads and no greenlets, so a second greenlet that comes while the first one
waits would be refused as if the first had called itself (RuntimeError, "reentrant call"). Here it waits for
its turn, as a second thread does. The price is a Python frame per call.
"""

import io
from collections.abc import Callable
from functools import wraps
from typing import Any

from . import _hub
from ._switch import greenlet

__all__ = ["Reader", "Writer"]


class _Turn(_hub.RLock):
    """Recursive: close() calls flush()."""

    __slots__ = ("__weakref__",)

    def _explain_wait(self, waiter: greenlet) -> tuple[str, tuple[int, ...], bool]:
        """For reports (see _waitgraph): its owner, who alone can release it."""
        return "acquire", () if self._owner is None else (self._owner,), True


def _in_turn(plain: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(plain)
    def method(self: Any, *args: Any) -> Any:
        with self._turn:
            return plain(self, *args)

    return method


class Reader(io.BufferedReader):
    """What is read ahead. One greenlet at a time."""

    def __init__(self, raw: Any, size: int) -> None:
        self._turn = _Turn()
        super().__init__(raw, size)


class Writer(io.BufferedWriter):
    """What is held back. One greenlet at a time."""

    def __init__(self, raw: Any, size: int) -> None:
        self._turn = _Turn()
        super().__init__(raw, size)


for _name in ("read", "read1", "readinto", "readinto1", "readline", "peek", "close", "__next__"):
    setattr(Reader, _name, _in_turn(getattr(io.BufferedReader, _name)))
for _name in ("write", "flush", "close"):
    setattr(Writer, _name, _in_turn(getattr(io.BufferedWriter, _name)))
del _name
