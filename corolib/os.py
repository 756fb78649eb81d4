"""The `os` module: processes and descriptors that greenlets can wait for.

A child is waited for by a pidfd in the loop, or where there are none by asking the kernel fifty times a
second; so its status stays with the kernel until somebody asks for it, SIGCHLD is the program's, and the
plain os.wait() finds what it would find without corolib. Only a child of fork_and_watch() is reaped by
itself, and its status kept for a minute for waitpid().

After a fork the child process goes on in the greenlet that forked; its hub, its thread pool and its locks are
made anew by then (see docs/processes-and-signals.md for what becomes of the other greenlets).
"""

import os as _os
from collections.abc import Callable
from contextlib import suppress
from errno import EAGAIN, EINTR, ENOSYS
from operator import index
from posix import fstat, sysconf
from select import PIPE_BUF
from stat import S_ISREG
from typing import Any, Protocol

from ._ev import child
from ._ev.kinds import is_over, pidfd_open
from ._hub import close, io
from ._native import monotonic, original
from ._native import sleep as _sleep_natively
from .hub import be_fair, get_hub, get_hub_if_exists, sleep

__implements__ = (
    *("close", "closerange", "dup2", "fork", "forkpty", "posix_spawn", "posix_spawnp", "waitid", "waitpid"),
)
__all__ = [
    "close",
    "closerange",
    "dup2",
    "fork",
    "fork_and_watch",
    "fork_unwatched",
    "forkpty",
    "forkpty_and_watch",
    "forkpty_unwatched",
    "make_nonblocking",
    "nb_read",
    "nb_write",
    "posix_spawn",
    "posix_spawnp",
    "read",
    "tp_read",
    "tp_write",
    "waitid",
    "waitpid",
    "write",
]

# Bound here: these names of os are replaced by patching.
_fork: Callable[[], int] = original("os", "fork")
_forkpty: Callable[[], tuple[int, int]] = original("os", "forkpty")
_posix_spawn: Callable[..., int] = original("os", "posix_spawn")
_posix_spawnp: Callable[..., int] = original("os", "posix_spawnp")
#: None where Python has it not (macOS before 3.13).
_waitid: Callable[[int, int, int], "_os.waitid_result | None"] | None = (
    original("os", "waitid") if hasattr(_os, "waitid") else None
)
_close: Callable[[int], None] = original("os", "close")
_closerange: Callable[[int, int], None] = original("os", "closerange")
_dup2: Callable[[int, int, bool], int] = original("os", "dup2")
_read: Callable[[int, int], bytes] = original("os", "read")
_write: Callable[[int, Any], int] = original("os", "write")

#: What nb_read() and nb_write() wait over.
ignored_errors = (EAGAIN, EINTR)

#: Events of the loop (libev's numbers).
_READ, _WRITE = 1, 2
#: For how many seconds the status of a watched child is kept for waitpid().
KEPT = 60.0


def __getattr__(name: str) -> Any:
    # Everything else is the standard library's, as it is at the moment.
    return getattr(_os, name)


# -- children ------------------------------------------------------------------------------------------------


class _Loop(Protocol):
    def child(self, pid: int, trace: int = 0, ref: bool = True) -> child: ...


#: Children of fork_and_watch(), by number, until somebody has asked for their status.
_watched: dict[int, child] = {}
#: When those of them that have ended did.
_ended: dict[int, float] = {}


def _forget_all() -> None:
    _watched.clear()
    _ended.clear()


# In the child of a fork they are not its children.
_os.register_at_fork(after_in_child=_forget_all)


def _forget(pid: int) -> None:
    """Its status has been asked for, or a new child has its number."""
    _watched.pop(pid, None)
    _ended.pop(pid, None)


def _watch_child(
    pid: int,
    callback: Callable[[child], object] | None = None,
    loop: _Loop | None = None,
    ref: bool = False,
) -> None:
    """Reap this child when it ends and keep its status for waitpid(); `callback(watcher)` in the hub then."""
    watcher = (get_hub().loop if loop is None else loop).child(pid, ref=ref)
    _forget(pid)
    _watched[pid] = watcher
    watcher.start(_on_end, watcher, callback)


def _on_end(watcher: child, callback: Callable[[child], object] | None) -> None:
    now = monotonic()
    for pid, ended in list(_ended.items()):
        if now - ended > KEPT:
            _forget(pid)
    if _watched.get(watcher.pid) is watcher:
        _ended[watcher.pid] = now
    if callback is not None:
        callback(watcher)


def _claim(pid: int) -> tuple[int, int] | None:
    """The status of a watched child that has been reaped, once; of any, the longest ended, for -1."""
    for number in [pid] if pid > 0 else list(_watched) if pid == -1 else ():
        watcher = _watched.get(number)
        if watcher is not None and watcher.rpid:
            _forget(number)
            return number, watcher.rstatus
    return None


def _ask(pid: int, options: int) -> tuple[int, int]:
    """What is known, or else waitpid(2); if that reaps a child, its watchers get to know what of."""
    while True:
        claimed = _claim(pid)
        if claimed is not None:
            return claimed
        try:
            found, status = child.reap(pid, options)
        except ChildProcessError:
            claimed = _claim(pid)  # the hub of another thread was quicker
            if claimed is None:
                raise
            return claimed
        if found and is_over(status):
            _forget(found)
        if found or options & _os.WNOHANG:
            return found, status
        with suppress(ChildProcessError):
            _block(pid, options)


def _block(pid: int, options: int) -> None:
    """Block the thread until reap() may have something to find, and leave it to be found."""
    if _waitid is None:
        _sleep_natively(child.POLL)
        return
    if pid == -1:
        kind, number = _os.P_ALL, 0
    elif pid > 0:
        kind, number = _os.P_PID, pid
    else:
        kind, number = _os.P_PGID, -pid or _os.getpgrp()
    events = _os.WEXITED
    if options & _os.WUNTRACED:
        events |= _os.WSTOPPED
    if options & _os.WCONTINUED:
        events |= _os.WCONTINUED
    _waitid(kind, number, events | _os.WNOWAIT)


def waitpid(pid: int, options: int, /) -> tuple[int, int]:
    """Wait for a child: (its number, its status). Switches unless it has ended or `options` has os.WNOHANG.

    Any child may be waited for, whoever started it. For a single one a pidfd tells of its end; for groups and
    -1, and with os.WUNTRACED or os.WCONTINUED, the kernel is asked fifty times a second. ChildProcessError
    as in the standard library. In a thread without a hub it blocks the thread.
    """
    pid = index(pid)
    hub = get_hub_if_exists()
    if hub is None or options & _os.WNOHANG:
        return _ask(pid, options)
    single = pid > 0 and not options
    while True:
        found = _ask(pid, options | _os.WNOHANG)
        if found[0]:
            return found
        if single:
            wait_for_end(pid)
        else:
            sleep(child.POLL)


def waitid(idtype: int, ident: int, options: int, /) -> "_os.waitid_result | None":
    """Wait for a child, as os.waitid() does: what has happened to which. Switches unless something has, or
    `options` has os.WNOHANG; then it may be None.

    The end of a single child (os.P_PID, os.WEXITED) is told by a pidfd; for anything else the kernel is asked
    fifty times a second. ChildProcessError and OSError as in the standard library, whose function it is: of a
    watched child that has been reaped only waitpid() knows. In a thread without a hub it blocks the thread.
    """
    if _waitid is None:
        raise OSError(ENOSYS, "this Python has no os.waitid()")
    if get_hub_if_exists() is None or options & _os.WNOHANG:
        return _waitid(idtype, ident, options)
    single = idtype == _os.P_PID and options & ~_os.WNOWAIT == _os.WEXITED
    while True:
        found = _waitid(idtype, ident, options | _os.WNOHANG)
        if found is not None:
            return found
        if single:
            wait_for_end(ident)
        else:
            sleep(child.POLL)


def wait_for_end(pid: int, timeout: float | None = None) -> None:
    """Switches until the child may have ended, at most for `timeout` seconds: then ask for its status.

    Where there is no pidfd to be had that is a fiftieth of a second.
    """
    try:
        pidfd = pidfd_open(pid) if pidfd_open is not None else None
    except ProcessLookupError:
        return  # somebody else has just reaped it
    except OSError:
        pidfd = None  # no such system call, or not allowed, or too many open files
    if pidfd is None:
        sleep(child.POLL if timeout is None else min(child.POLL, timeout))
        return
    try:
        with io(get_hub(), pidfd, _READ) as watcher:
            watcher.wait(timeout)
    finally:
        _close(pidfd)


def fork_unwatched() -> int:
    """os.fork(): 0 in the child, whose hub works; its number in the parent, who has to wait for it."""
    pid = _fork()
    _forget(pid)
    return pid


def forkpty_unwatched() -> tuple[int, int]:
    """os.forkpty(): like fork_unwatched(), the child with a new terminal; its other end comes second."""
    pid, terminal = _forkpty()
    _forget(pid)
    return pid, terminal


# Nothing has to be prepared for waitpid() to be cooperative, so these do not watch: a child that nobody waits
# for stays a zombie, and os.wait() finds every child, as everywhere.
fork = fork_unwatched
forkpty = forkpty_unwatched


def fork_and_watch(
    callback: Callable[[child], object] | None = None,
    loop: _Loop | None = None,
    ref: bool = False,
    fork: Callable[[], int] = fork_unwatched,
) -> int:
    """fork(), and reap the child when it ends: for children that nobody is going to wait for.

    `callback(watcher)` is called in the hub then; `watcher.rstatus` is the status, which waitpid() gets as
    well, for a minute. `ref`: whether the watcher keeps hub.join() waiting. `loop`: of which hub, by default
    of this thread's. `fork` does the forking.
    """
    pid = fork()
    if pid:
        _watch_child(pid, callback, loop, ref)
    return pid


def forkpty_and_watch(
    callback: Callable[[child], object] | None = None,
    loop: _Loop | None = None,
    ref: bool = False,
    forkpty: Callable[[], tuple[int, int]] = forkpty_unwatched,
) -> tuple[int, int]:
    """fork_and_watch() with a new terminal: (number of the child, other end of the terminal)."""
    pid, terminal = forkpty()
    if pid:
        _watch_child(pid, callback, loop, ref)
    return pid, terminal


def posix_spawn(*args: Any, **kwargs: Any) -> int:
    """os.posix_spawn(): the number of the new child, for waitpid()."""
    pid = _posix_spawn(*args, **kwargs)
    _forget(pid)
    return pid


def posix_spawnp(*args: Any, **kwargs: Any) -> int:
    """os.posix_spawnp(): the number of the new child, for waitpid()."""
    pid = _posix_spawnp(*args, **kwargs)
    _forget(pid)
    return pid


# -- descriptors ---------------------------------------------------------------------------------------------


def closerange(fd_low: int, fd_high: int, /) -> None:
    """Close the descriptors from fd_low up to, but not with, fd_high; as close(), and errors are ignored."""
    fd_low, fd_high = index(fd_low), index(fd_high)
    # Numbers beyond those that there can be are nobody's.
    _tell(range(fd_low, min(fd_high, sysconf("SC_OPEN_MAX"))))
    _closerange(fd_low, fd_high)


def dup2(fd: int, fd2: int, inheritable: bool = True) -> int:
    """Make fd2 a duplicate of fd, closing what it was before; for that as close()."""
    fd, fd2 = index(fd), index(fd2)
    if fd != fd2:
        fstat(fd)  # raises what dup2() would, before anybody is told
        _tell(range(fd2, fd2 + 1))
    return _dup2(fd, fd2, inheritable)


def _tell(fds: range) -> None:
    """The numbers are about to be closed: those of this thread who wait for them are told."""
    hub = get_hub_if_exists()
    if hub is not None and not hub.destroyed:
        for fd in fds:
            if fd >= 0:
                hub.fd_closing(fd)


def make_nonblocking(fd: int) -> bool:
    """Have reads and writes of this descriptor never block; whether that was news.

    It is a property of the open file: whoever shares that (a child, a dup()) shares this.
    """
    if not _os.get_blocking(fd):
        return False
    _os.set_blocking(fd, False)
    return True


def _wait(fd: int, events: int) -> None:
    with io(get_hub(), fd, events) as watcher:
        watcher.wait()


def nb_read(fd: int, n: int) -> bytes:
    """Up to `n` bytes, b"" at the end of the file. Switches while there are none, and now and then
    if there always are.

    For a non-blocking descriptor (make_nonblocking()); another one blocks the whole thread.
    """
    be_fair()
    while True:
        try:
            return _read(fd, n)
        except BlockingIOError:
            _wait(fd, _READ)


def nb_write(fd: int, buf: Any) -> int:
    """Write, and say how many bytes: perhaps not all. Switches while not one can be written,
    and now and then if all can.

    For a non-blocking descriptor (make_nonblocking()); another one blocks the whole thread.
    """
    be_fair()
    while True:
        try:
            return _write(fd, buf)
        except BlockingIOError:
            _wait(fd, _WRITE)


def read(fd: int, n: int, /) -> bytes:
    """os.read() for any descriptor: switches until there is something to read, then reads up to `n` bytes.

    If the descriptor is blocking, and somebody else takes what was there in that moment, it blocks the
    thread. A regular file is always ready.
    """
    if not _os.get_blocking(fd):
        return nb_read(fd, n)
    if get_hub_if_exists() is not None:
        _wait(fd, _READ)
    return _read(fd, n)


def write(fd: int, data: Any, /) -> int:
    """os.write() for any descriptor: switches until it can be written to; how many bytes were written.

    A blocking descriptor that is no regular file takes at most select.PIPE_BUF bytes at a time: what is sure
    not to block once it is ready.
    """
    if not _os.get_blocking(fd):
        return nb_write(fd, data)
    if get_hub_if_exists() is None or S_ISREG(_os.fstat(fd).st_mode):
        return _write(fd, data)
    _wait(fd, _WRITE)
    return _write(fd, memoryview(data).cast("B")[:PIPE_BUF])


def _pool() -> Any:
    # Late: nobody else here needs it. The import provides hub.threadpool.
    from . import threadpool as threadpool

    return get_hub().threadpool


def tp_read(fd: int, n: int) -> bytes:
    """os.read() in a thread of the hub's pool: for descriptors that cannot be polled. Switches."""
    data: bytes = _pool().apply(_read, (fd, n))
    return data


def tp_write(fd: int, buf: Any) -> int:
    """os.write() in a thread of the hub's pool: for descriptors that cannot be polled. Switches."""
    written: int = _pool().apply(_write, (fd, buf))
    return written
