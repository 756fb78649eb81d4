"""`wsgi.file_wrapper`, and how the kernel sends a file."""

import errno
import os
import stat
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["CannotSendFile", "FileWrapper", "send_file"]

#: sendfile() moves so much in one go, then the other greenlets have their turn.
FILE_PIECE: Final = 1 << 18

#: What sendfile() says of files that it cannot send.
NO_SENDFILE: Final = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EOVERFLOW)


class FileWrapper:
    """`wsgi.file_wrapper`: a file as an iterable of blocks. Returned by an application, it is sent by the
    kernel if the file is a plain one and the connection not TLS.
    """

    def __init__(self, filelike: Any, blksize: int = 65536) -> None:
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.blksize)
        if not data:
            raise StopIteration
        return data

    def plain_file(self) -> tuple[int, int, int] | None:
        """(descriptor, offset, bytes to its end), if the kernel can send it."""
        try:
            descriptor, offset = self.filelike.fileno(), self.filelike.tell()
            status = os.fstat(descriptor)
        except (AttributeError, OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return descriptor, offset, max(0, status.st_size - offset)


class CannotSendFile(Exception):
    """The kernel cannot send this file: read it."""


def send_file(sock: Any, descriptor: int, offset: int, count: int) -> Iterator[int]:
    """Send so many bytes of a file through a cooperative socket: how many, each time some have gone.

    Fewer than `count` together if the file has become shorter. OSError and TimeoutError are those of the
    connection, CannotSendFile of the file, before anything of it was sent. Switches.
    """
    out, first = sock.fileno(), True
    while count > 0:
        try:
            sent = os.sendfile(out, descriptor, offset, min(count, FILE_PIECE))
        except BlockingIOError:
            sock.wait_write()
            out = sock.fileno()
            continue
        except OSError as error:
            if first and error.errno in NO_SENDFILE:  # this file system cannot
                raise CannotSendFile from None
            raise
        if sent == 0:
            return
        offset += sent
        count -= sent
        first = False
        yield sent
        sock._take_turn()
