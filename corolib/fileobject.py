"""Files that let other greenlets run while they wait: pipes, terminals and the like through the loop, others
through threads.

A pipe can be waited for; a regular file cannot: for the kernel it is always ready, and reading it blocks for
as long as the disk takes. Where that matters, FileObjectThread does it in a thread of the hub's pool.
"""

import io as _io
import os as _os
import warnings
from collections.abc import Callable, Iterator
from errno import EBADF
from typing import Any, Self

from . import _hub
from ._buffers import Reader, Writer
from ._config import config
from ._native import original
from .hub import Hub, be_fair, get_hub
from .lock import DummySemaphore, Semaphore
from .os import close as _close
from .os import make_nonblocking

__all__ = ["FileObject", "FileObjectBlock", "FileObjectPosix", "FileObjectThread"]

_readv: Callable[[int, list[Any]], int] = original("os", "readv")
_write: Callable[[int, Any], int] = original("os", "write")

_open: Callable[..., Any] = original("io", "open")

#: encoding, errors, newline
_Text = tuple[str | None, str | None, str | None]

#: What is read ahead or held back unless another size is given.
BUFFER_SIZE = 8192

#: Events of the loop (libev's numbers).
_READ, _WRITE = 1, 2


class FileObjectClosed(OSError):
    """A file object was used after its close()."""

    def __init__(self) -> None:
        super().__init__(EBADF, "Bad file descriptor (FileObject was closed)")


class DescriptorIO(_io.RawIOBase):
    """Like io.FileIO on a descriptor, which it makes non-blocking for as long as it is open.

    Reading and writing switch to the hub in place of blocking the thread; write() returns when all has been
    written. A regular file is never waited for. One greenlet may read while another one writes; a second one
    in the same direction gets ConcurrentObjectUseError; close() raises OSError (EBADF) in both.
    """

    _unblock_early = True

    def __init__(self, fd: int, mode: str = "rb", closefd: bool = True) -> None:
        self._fd = -1
        super().__init__()
        self._readable = "r" in mode or "+" in mode
        self._writable = not self._readable or "+" in mode
        self._closefd = closefd
        #: Whether it has to be made non-blocking before it is used.
        self._blocks = True
        #: Whether it was made non-blocking here.
        self._changed = False
        self._watchers: dict[int, tuple[Hub, _hub.io]] = {}
        #: As io.FileIO has it.
        self.name = fd
        self.mode = mode if "b" in mode else mode + "b"
        if self._unblock_early:
            self._unblock(fd)
        self._fd = fd

    def _unblock(self, fd: int) -> None:
        self._changed |= make_nonblocking(fd)
        self._blocks = False

    def __repr__(self) -> str:
        state = "closed" if self._fd < 0 else f"name={self.name!r} mode={self.mode!r} closefd={self._closefd}"
        return f"<{type(self).__module__}.{type(self).__qualname__} {state}>"

    def __del__(self) -> None:
        if self._fd >= 0 and self._closefd:
            warnings.warn(f"unclosed file {self!r}", ResourceWarning, stacklevel=2, source=self)
        self.close()

    def _check_open(self) -> int:
        if self._fd < 0:
            raise ValueError("I/O operation on closed file")
        return self._fd

    def _wait(self, events: int) -> None:
        hub = get_hub()
        kept = self._watchers.get(events)
        if kept is None or kept[0] is not hub:
            kept = self._watchers[events] = (hub, _hub.io(hub, self._fd, events))
        kept[1].wait()

    def readable(self) -> bool:
        self._check_open()
        return self._readable

    def writable(self) -> bool:
        self._check_open()
        return self._writable

    def seekable(self) -> bool:
        try:
            _os.lseek(self._check_open(), 0, _os.SEEK_CUR)
        except OSError:
            return False
        return True

    def fileno(self) -> int:
        return self._check_open()

    def isatty(self) -> bool:
        return _os.isatty(self._check_open())

    @property
    def closefd(self) -> bool:
        """Whether close() closes the descriptor."""
        return self._closefd

    def readinto(self, buffer: Any, /) -> int:
        """Read up to the size of the buffer: how many bytes, 0 at the end. Switches while there are none,
        and now and then if there always are.
        """
        if not self.readable():
            raise _io.UnsupportedOperation("File not open for reading")
        while True:
            be_fair()
            fd = self._check_open()
            if self._blocks:
                self._unblock(fd)
            try:
                return _readv(fd, [buffer])
            except BlockingIOError:
                self._wait(_READ)

    def write(self, data: Any, /) -> int:
        """Write all of it; how many bytes. Switches while nothing can be written, and now and then if it
        always can.
        """
        if not self.writable():
            raise _io.UnsupportedOperation("File not open for writing")
        with memoryview(data) as given, given.cast("B") as view:
            written = 0
            while True:
                be_fair()
                fd = self._check_open()
                if self._blocks:
                    self._unblock(fd)
                try:
                    written += _write(fd, view[written:])
                except BlockingIOError:
                    self._wait(_WRITE)
                else:
                    if written >= len(view):
                        return written

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return _os.lseek(self._check_open(), offset, whence)

    def tell(self) -> int:
        return _os.lseek(self._check_open(), 0, _os.SEEK_CUR)

    def truncate(self, size: int | None = None, /) -> int:
        if not self.writable():
            raise _io.UnsupportedOperation("File not open for writing")
        size = self.tell() if size is None else size
        _os.ftruncate(self._fd, size)
        return size

    def close(self) -> None:
        """Close the descriptor, or make it blocking again if it was and is not to be closed."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            for _, watcher in self._watchers.values():
                watcher.close()
            self._watchers.clear()
            if self._closefd:
                _close(fd)
            elif self._changed:
                try:
                    _os.set_blocking(fd, True)
                except OSError:
                    pass  # somebody else has closed it
        super().close()


class PipeIO(DescriptorIO):
    """A pipe to a child process: non-blocking while it is used here, but not for who asks for its number.

    It may be handed to other children, as in `Popen(..., stdin=first.stdout)`, which share the open file and
    could make nothing of a read that fails because there is nothing yet.
    """

    _unblock_early = False

    def fileno(self) -> int:
        """The descriptor, which blocks until it is used here again."""
        fd = super().fileno()
        if self._changed:
            _os.set_blocking(fd, True)
            self._changed, self._blocks = False, True
        return fd


def _stack(raw: Any, mode: str, buffering: int, text: _Text) -> Any:
    """What open() puts around a raw file."""
    binary = "b" in mode
    lines = buffering == 1 and not binary
    if buffering == 0:
        return raw
    size = buffering if buffering > 1 else BUFFER_SIZE
    stacked: Any
    if raw.readable() and raw.writable():
        stacked = _io.BufferedRandom(raw, size) if raw.seekable() else _io.BufferedRWPair(raw, raw, size)
    elif raw.readable():
        stacked = Reader(raw, size)
    else:
        stacked = Writer(raw, size)
    if not binary:
        encoding, errors, newline = text
        stacked = _io.TextIOWrapper(stacked, encoding, errors, newline, line_buffering=lines)
        stacked.mode = mode
    return stacked


def open_pipe(fd: int, mode: str = "rb", buffering: int = -1) -> Any:
    """io.open() of a descriptor in a binary mode, cooperative: what subprocess needs."""
    if buffering == 1:
        warnings.warn(
            "line buffering (buffering=1) isn't supported in binary mode, the default buffer size will be "
            "used",
            RuntimeWarning,
            stacklevel=2,
        )
    return _stack(PipeIO(fd, mode), mode, buffering, (None, None, None))


class _FileObject:
    """What the kinds of file objects have in common: a file as open() makes it, at `io`, and its methods.

    `fobj` is a descriptor, a path, or something with fileno(), which close() then closes. The other arguments
    are those of open(); `bufsize` and `close` are older names of `buffering` and `closefd`. With
    `atomic_write` nothing is buffered: a write() of bytes is one write. Always true.

    ValueError if arguments do not go together, FileObjectClosed if `fobj` is closed, OSError as open().
    """

    default_bufsize = BUFFER_SIZE

    def __init__(
        self,
        fobj: Any,
        mode: str = "r",
        buffering: int = -1,
        closefd: bool = True,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        atomic_write: bool = False,
        *,
        bufsize: int | None = None,
        close: bool | None = None,
    ) -> None:
        self._io: Any = None
        self._owner: Any = None
        mode = _checked_mode(mode)
        buffering = buffering if bufsize is None else bufsize
        closefd = closefd if close is None else close
        if atomic_write and buffering == -1 and "b" in mode:
            buffering = 0
        text = (encoding, errors, newline)
        _check_text(mode, buffering, text)
        if isinstance(fobj, (str, bytes, _os.PathLike)):
            if not closefd:
                raise ValueError("Cannot use closefd=False with file name")
            fd = _os.open(fobj, _flags_of(mode), 0o666)
        elif isinstance(fobj, int):
            fd = fobj
        elif hasattr(fobj, "fileno"):
            if getattr(fobj, "closed", False) is True:
                raise FileObjectClosed
            fd = fobj.fileno()
            if closefd:
                self._owner, closefd = fobj, False
        else:
            raise TypeError(f"expected a descriptor, a path or an object with fileno(), found {fobj!r}")
        self.name = getattr(fobj, "name", fobj)
        self.mode = mode
        try:
            self._io = self._open(fd, mode, buffering, closefd, text)
        except BaseException:
            if isinstance(fobj, (str, bytes, _os.PathLike)):
                _close(fd)
            raise

    def _open(self, fd: int, mode: str, buffering: int, closefd: bool, text: _Text) -> Any:
        raise NotImplementedError

    def __repr__(self) -> str:
        state = "closed" if self._io is None else repr(self._io)
        return f"<{type(self).__name__} at {id(self):#x} {state}>"

    def _call(self, name: str, *args: Any) -> Any:
        return getattr(self.io, name)(*args)

    @property
    def io(self) -> Any:
        """The file that open() would have made. FileObjectClosed after close()."""
        if self._io is None:
            raise FileObjectClosed
        return self._io

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._io is None

    def close(self) -> None:
        """Write out what is buffered, and close; once more does nothing. Switches as write() does."""
        file, self._io = self._io, None
        owner, self._owner = self._owner, None
        if file is None:
            return
        try:
            self._close(file)
        finally:
            if owner is not None:
                owner.close()

    def _close(self, file: Any) -> None:
        file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def __getattr__(self, name: str) -> Any:
        # What a file of this kind has beyond the methods below: encoding, buffer, ...
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.io, name)

    def fileno(self) -> int:
        """The descriptor."""
        number: int = self.io.fileno()
        return number

    def writeall(self, data: Any, /) -> None:
        """write() until all is written."""
        with memoryview(data) as given, given.cast("B") as view:
            done = 0
            while done < len(view):
                done += self._call("write", view[done:])


#: What a file object does by calling its file.
_DELEGATED = {
    "flush": "Write out what is buffered. Switches as write() does.",
    "writable": "Whether it was opened for writing.",
    "readable": "Whether it was opened for reading.",
    "seek": "Go to a place in the file, as io.IOBase.seek(): where that is. Switches as flush() does.",
    "seekable": "Whether it has places to go to.",
    "tell": "The place in the file.",
    "read": "Up to `size` characters or bytes, or all until the end: switches until they are there.",
    "readline": "A line, with its end; empty at the end of the file. Switches until it is there.",
    "readlines": "A list of all lines until the end, or until `hint` bytes of them are there. Switches.",
    "read1": "Up to `size` bytes, of one read of the descriptor at most. Switches until there are some.",
    "readinto": "Read into a buffer: how many bytes. Switches until they are there.",
    "write": "Write text or bytes: how many of them. Switches if the buffer and the descriptor are full.",
    "writelines": "write() each of them.",
    "truncate": "Cut the file at `size` bytes, or where one is: the size. Switches as flush() does.",
}


def _delegate(name: str, doc: str) -> None:
    def method(self: _FileObject, *args: Any) -> Any:
        return self._call(name, *args)

    method.__name__ = name
    method.__qualname__ = f"_FileObject.{name}"
    method.__doc__ = doc
    setattr(_FileObject, name, method)


for _name, _doc in _DELEGATED.items():
    _delegate(_name, _doc)
del _name, _doc


def _checked_mode(mode: str) -> str:
    """The mode without what has no meaning any more; ValueError if open() would not have it."""
    if not isinstance(mode, str):
        raise TypeError(f"invalid mode: expected a str, found {mode!r}")
    mode = mode.replace("U", "")
    kinds = [letter for letter in mode if letter in "rwax"]
    if len(kinds) > 1 or set(mode) - set("rwax+bt") or len(set(mode)) != len(mode):
        raise ValueError(f"invalid mode: {mode!r}")
    if "b" in mode and "t" in mode:
        raise ValueError("can't have text and binary mode at once")
    return mode if kinds else "r" + mode


def _check_text(mode: str, buffering: int, text: _Text) -> None:
    if "b" in mode and any(part is not None for part in text):
        raise ValueError("binary mode doesn't take an encoding, errors or newline argument")
    if buffering == 0 and "b" not in mode:
        raise ValueError("can't have unbuffered text I/O")


def _flags_of(mode: str) -> int:
    how = {
        "r": 0,
        "w": _os.O_CREAT | _os.O_TRUNC,
        "a": _os.O_CREAT | _os.O_APPEND,
        "x": _os.O_CREAT | _os.O_EXCL,
    }
    access = _os.O_RDWR if "+" in mode else _os.O_RDONLY if "r" in mode else _os.O_WRONLY
    return _os.O_CLOEXEC | access | next(flags for letter, flags in how.items() if letter in mode)


class FileObjectPosix(_FileObject):
    """A file object for what can be waited for: pipes, terminals, devices.

    `fobj` is a descriptor, a path, or something with fileno(), which close() then closes. The other arguments
    are those of open(); `bufsize` and `close` are older names of `buffering` and `closefd`. With
    `atomic_write` nothing is buffered: a write() of bytes is one write.

    A regular file blocks the thread for as long as the disk takes. The descriptor is non-blocking for as long
    as the object is open. ValueError if arguments do not go together, FileObjectClosed if `fobj` is closed,
    OSError as open().
    """

    def _open(self, fd: int, mode: str, buffering: int, closefd: bool, text: _Text) -> Any:
        return _stack(DescriptorIO(fd, mode, closefd), mode, buffering, text)


class FileObjectThread(_FileObject):
    """A file object each of whose operations runs in a thread of the hub's pool; for regular files.

    `lock`: True for one operation at a time (a Semaphore of its own), a Semaphore to share, or False.
    `threadpool`: another one than the hub's. `io` is the plain file, which blocks.
    """

    def __init__(self, *args: Any, lock: Any = True, threadpool: Any = None, **kwargs: Any) -> None:
        self._lock = Semaphore() if lock is True else lock if lock else DummySemaphore()
        if not hasattr(self._lock, "__enter__"):
            raise TypeError(f"expected a Semaphore or a bool for lock, found {lock!r}")
        self._pool = get_hub().threadpool if threadpool is None else threadpool
        super().__init__(*args, **kwargs)

    def _open(self, fd: int, mode: str, buffering: int, closefd: bool, text: _Text) -> Any:
        encoding, errors, newline = text
        return _open(fd, mode, buffering, encoding, errors, newline, closefd)

    def _call(self, name: str, *args: Any) -> Any:
        method = getattr(self.io, name)
        with self._lock:
            return self._pool.apply(method, args)

    def _close(self, file: Any) -> None:
        with self._lock:
            self._pool.apply(file.close)


class FileObjectBlock(_FileObject):
    """A plain file: it blocks the thread. ValueError, FileObjectClosed and OSError as for FileObjectPosix."""

    def _open(self, fd: int, mode: str, buffering: int, closefd: bool, text: _Text) -> Any:
        encoding, errors, newline = text
        return _open(fd, mode, buffering, encoding, errors, newline, closefd)


#: The kind that config.fileobject names.
FileObject: type[_FileObject] = config.choose(
    "fileobject", {"posix": FileObjectPosix, "thread": FileObjectThread, "block": FileObjectBlock}
)
