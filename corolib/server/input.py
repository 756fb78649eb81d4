"""`wsgi.input`: the body of a request, read from its connection as the application asks for it.

Nothing is read ahead of the application but what came with the head, so a body that nobody wants costs one
buffer at most.
"""

import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Input", "InputError", "RawInput", "UpgradeInput"]


class InputError(OSError):
    """The client did not send the body that it announced: it closed, took too long, or broke the rules."""


class Input:
    """A body, as a file that can be read once. b"" is its end. Reading switches.

    `more()` gives what has come next of it: b"" at its end, and only there. It raises InputError.
    """

    __slots__ = ("_at", "_buffer", "_ended", "_more", "_position")

    def __init__(self, more: Callable[[], bytes]) -> None:
        self._more = more
        self._buffer = b""
        self._at = 0
        self._ended = False
        self._position = 0

    def _fill(self) -> bool:
        """Have something in the buffer, if there is anything left."""
        if self._at < len(self._buffer):
            return True
        if not self._ended:
            self._buffer, self._at = self._more(), 0
            self._ended = not self._buffer
        return not self._ended

    def _take(self, size: int) -> bytes:
        start, self._at = self._at, min(len(self._buffer), self._at + size)
        part = (
            self._buffer if start == 0 and self._at == len(self._buffer) else self._buffer[start : self._at]
        )
        self._position += len(part)
        if self._at == len(self._buffer):
            self._buffer, self._at = b"", 0
        return part

    def read(self, size: int | None = None) -> bytes:
        """`size` bytes, fewer only at the end; all that is left if None or negative."""
        left = sys.maxsize if size is None or size < 0 else size
        first = self._part(left)
        if len(first) == left or not first:
            return first
        # Pieces are as small as the client makes them: kept one by one they would take many times their size.
        whole = io.BytesIO(first)
        whole.seek(len(first))
        left -= len(first)
        while part := self._part(left):
            whole.write(part)
            left -= len(part)
        return whole.getvalue()

    def _part(self, most: int) -> bytes:
        """What is there, or comes next, at most so many bytes; b"" at the end."""
        return self._take(min(most, len(self._buffer) - self._at)) if most > 0 and self._fill() else b""

    def read1(self, size: int | None = None) -> bytes:
        """What is there, at most `size` bytes; waits only if there is nothing."""
        if size == 0 or not self._fill():
            return b""
        return self._take(len(self._buffer) if size is None or size < 0 else size)

    def readline(self, size: int | None = None) -> bytes:
        """Up to and with the next line feed, at most `size` bytes; b"" at the end."""
        left = sys.maxsize if size is None or size < 0 else size
        whole = io.BytesIO()
        while left > 0 and self._fill():
            end = self._buffer.find(b"\n", self._at) + 1
            part = self._take(min(left, (end or len(self._buffer)) - self._at))
            if part.endswith(b"\n") and not whole.tell():
                return part
            whole.write(part)
            left -= len(part)
            if part.endswith(b"\n"):
                break
        return whole.getvalue()

    def readlines(self, hint: int | None = None) -> list[bytes]:
        """The lines that are left; with a hint, no more once they have so many bytes together."""
        lines: list[bytes] = []
        total = 0
        for line in self:
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def tell(self) -> int:
        """How many bytes were read."""
        return self._position

    def readable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """What is not read is left to the server."""


class RawInput(io.RawIOBase):
    """The bytes of a connection that is no longer HTTP: first what came with the request, then the socket's.

    `take_over()` is called at the first read: it says what is there already.
    """

    def __init__(self, take_over: Callable[[], bytes], sock: Any) -> None:
        self._take_over: Callable[[], bytes] | None = take_over
        self._rest = b""
        self._socket = sock

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """What is there, or what comes next; 0 at the end. Switches."""
        if self._take_over is not None:
            take_over, self._take_over = self._take_over, None
            self._rest = take_over()
        if not self._rest:
            count: int = self._socket.recv_into(buffer)
            return count
        part = self._rest[: len(buffer)]
        self._rest = self._rest[len(part) :]
        buffer[: len(part)] = part
        return len(part)


class UpgradeInput(io.RawIOBase):
    """The body of a request to upgrade: empty, until the answer is 101; then what the connection brings.

    `upgraded()` says whether that is so, `connection()` gives its bytes.
    """

    def __init__(self, upgraded: Callable[[], bool], connection: Callable[[], io.BufferedReader]) -> None:
        self._upgraded = upgraded
        self._connection = connection

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """See the class. Switches after the upgrade."""
        if not self._upgraded():
            return 0
        data = self._connection().read1(len(buffer))
        buffer[: len(data)] = data
        return len(data)
