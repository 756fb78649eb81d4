"""io.open() of a patched program: a file on the descriptor of a pipe (os.fdopen() makes such files, too) lets
other greenlets run while the pipe is empty or full.

Everything else is opened as ever. The layers are the standard library's, derived from only for what a native
thread does without (see _buffers).
"""

import io
import os
import stat
from collections.abc import Callable
from select import POLLIN
from typing import Any

from ._buffers import Reader, Writer
from ._descriptors import wait_for
from ._descriptors import write as _write
from ._native import original

__all__ = ["open"]
__implements__ = ("open",)

_open: Callable[..., Any] = original("io", "open")


class _Raw(io.FileIO):
    """The file itself."""

    def readinto(self, buffer: Any, /) -> Any:
        wait_for(self.fileno(), POLLIN)
        return super().readinto(buffer)

    def read(self, size: int | None = -1, /) -> Any:
        if size is None or size < 0:
            return self.readall()
        wait_for(self.fileno(), POLLIN)
        return super().read(size)

    def readall(self) -> Any:
        if not os.get_blocking(self.fileno()):
            return super().readall()
        parts = []
        while part := self.read(io.DEFAULT_BUFFER_SIZE):
            parts.append(part)
        return b"".join(parts)

    def write(self, data: Any, /) -> Any:
        if not (self.writable() and os.get_blocking(self.fileno())):
            return super().write(data)  # refuses, or says what there is room for
        return _write(self.fileno(), data)


def _is_pipe(file: Any) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(file).st_mode)
    except OSError:
        return False


class _Opener:
    """Not a plain function: a class that keeps one would call it with the instance, as io.open is not."""

    def open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        """io.open(). What it makes of the descriptor of a pipe switches in place of blocking the thread."""
        kind = str(mode).replace("b", "", 1).replace("t", "", 1)
        if type(file) is not int or kind not in ("r", "w", "a") or not _is_pipe(file):
            return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        try:
            # What there is to be warned of is; the descriptor stays open.
            _open(file, mode, buffering, encoding, errors, newline, False, opener).close()
        except Exception:
            return _open(file, mode, buffering, encoding, errors, newline, closefd, opener)  # refuses as well
        raw = _Raw(file, kind, closefd)
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffered = Reader(raw, size) if kind == "r" else Writer(raw, size)
        if "b" in mode:
            return buffered
        text = io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)
        text.mode = mode  # type: ignore[misc]  # as io.open() does
        return text

    def __reduce__(self) -> str:
        return "_opener"


_opener = _Opener()
open = _opener.open
