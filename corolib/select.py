"""The `select` module: select(), poll() and epoll() that let other greenlets run while they wait.

How they wait: one look at the descriptors without waiting, with the kernel's own poll(2). If nothing is
ready, the descriptors are put into an epoll instance and the hub waits until that is readable, which it is as
soon as one of its descriptors is ready. So the loop has one descriptor to watch however many there are, knows
nothing of those inside (they may be closed, urgent, or watched by somebody else) and the answer comes from a
second look. A single descriptor is given to the loop directly.
"""

import errno
import os
import select as _select
from collections.abc import Callable, Iterable
from types import MethodType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from ._hub import io, park
from ._native import original
from ._native import poll as _native_poll
from ._native import select as _native_select
from .hub import get_hub, get_hub_if_exists
from .hub import sleep as _sleep

__implements__ = ("select", "poll", "epoll")
__all__ = [name for name in dir(_select) if not name.startswith("_")]

# The constants, `error`, and what does not wait.
globals().update((name, getattr(_select, name)) for name in __all__)
if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


#: What select() and poll() take: a descriptor or an object that has one.
FileLike = int | _HasFileno

# Bound here: these modules' names are replaced by patching.
_native_epoll: Any = original("select", "epoll")
_IN, _OUT, _PRI = _select.POLLIN, _select.POLLOUT, _select.POLLPRI
_ERR, _HUP, _NVAL = _select.POLLERR, _select.POLLHUP, _select.POLLNVAL
#: What poll(2) takes at most, in milliseconds.
_LONGEST = 0x7FFFFFFF
#: Events of the loop (libev's numbers).
_READ, _WRITE = 1, 2


def _number(fileobj: FileLike) -> int:
    """The descriptor of an argument, with the errors of the standard library."""
    fd = fileobj
    if not isinstance(fd, int):
        try:
            fd = fileobj.fileno()  # type: ignore[union-attr]  # an int has been dealt with
        except AttributeError:
            raise TypeError("argument must be an int, or have a fileno() method.") from None
        if not isinstance(fd, int):
            raise TypeError("fileno() returned a non-integer")
    if fd < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({fd})")
    return fd


def _wait(masks: dict[int, int], timeout: float | None) -> None:
    """Park until one of the descriptors may be ready, or for `timeout` seconds."""
    if len(masks) == 1:
        ((fd, mask),) = masks.items()
        events = (_READ if mask & _IN else 0) | (_WRITE if mask & _OUT else 0)
        if events and not mask & _PRI:
            _wait_fd(fd, events, timeout)
            return
    gate = _native_epoll()
    try:
        inside = 0
        for fd, mask in masks.items():
            try:
                gate.register(fd, mask)
            except PermissionError:
                continue  # a regular file: what it can be ready for, it is ready for at the first look
            inside += 1
        if inside:
            _wait_fd(gate.fileno(), _READ, timeout)
        else:
            park("select", None, timeout)
    finally:
        gate.close()


def _wait_fd(fd: int, events: int, timeout: float | None) -> None:
    # Made for one wait and gone with it: the watcher must not outlive its descriptor.
    with io(get_hub(), fd, events) as watcher:
        try:
            watcher.wait(timeout)
        except OSError as error:
            # Closed by another greenlet meanwhile: the next look says so in the words of the function.
            if error.errno != errno.EBADF:
                raise


class _Deadline:
    """What is left of a timeout; the clock is read only where there is one."""

    def __init__(self, timeout: float | None) -> None:
        self.now = get_hub().now
        self.at = None if timeout is None else self.now() + timeout

    def left(self) -> float | None:
        return None if self.at is None else max(0.0, self.at - self.now())


def _look_and_wait(look: Any, masks: Any, timeout: float | None) -> Any:
    """Call look() until it returns something, waiting in between; its last answer when the time is over.

    Always switches once, ready or not: a greenlet that selects in a loop must not keep others from running.
    """
    _sleep(0)
    found = look()
    if found or timeout == 0:
        return found
    deadline = _Deadline(timeout)
    while True:
        _wait(masks, deadline.left())
        found = look()
        if found or deadline.left() == 0:
            return found


def select(
    rlist: Iterable[Any], wlist: Iterable[Any], xlist: Iterable[Any], timeout: float | None = None, /
) -> tuple[list[Any], list[Any], list[Any]]:
    """Wait until a descriptor of one of the lists is ready: the three lists of those that are.

    It waits `timeout` seconds at most. Switches to the hub, also if something is ready or timeout is 0.
    Unlike the kernel's select it takes descriptors of any number. Raises ValueError for a negative timeout or
    descriptor, OSError(EBADF) for a closed one.
    """
    if get_hub_if_exists() is None:
        return _native_select(rlist, wlist, xlist, timeout)  # no other greenlet that could run
    if timeout is not None:
        if not isinstance(timeout, (int, float)):
            raise TypeError(f"timeout must be a float or None, not {type(timeout).__name__}")
        if timeout < 0:
            raise ValueError("timeout must be non-negative")
    masks: dict[int, int] = {}
    wanted = []
    for objects, asked, counts in (
        (rlist, _IN, _IN | _HUP | _ERR),
        (wlist, _OUT, _OUT | _ERR),
        (xlist, _PRI, _PRI),
    ):
        numbered = [(fileobj, _number(fileobj)) for fileobj in objects]
        wanted.append((numbered, counts))
        for _, fd in numbered:
            masks[fd] = masks.get(fd, 0) | asked
    poller = _native_poll()
    for fd, mask in masks.items():
        poller.register(fd, mask)

    def look() -> tuple[list[Any], list[Any], list[Any]] | None:
        ready = dict(poller.poll(0))
        if any(events & _NVAL for events in ready.values()):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        found = [
            [fileobj for fileobj, fd in numbered if ready.get(fd, 0) & counts] for numbered, counts in wanted
        ]
        return (found[0], found[1], found[2]) if any(found) else None

    return _look_and_wait(look, masks, timeout) or ([], [], [])


class _Poll:
    """The object that poll() returns; its poll() switches to the hub."""

    __slots__ = ("__weakref__", "_masks", "_native", "_polling")

    _native: Any
    _masks: dict[int, int]
    _polling: bool

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        raise TypeError(f"cannot create '{cls.__module__}.{cls.__name__}' instances")

    def register(self, fd: FileLike, eventmask: int = _IN | _PRI | _OUT, /) -> None:
        """Add a descriptor, or change what is asked of it."""
        self._native.register(fd, eventmask)
        self._masks[_number(fd)] = eventmask

    def modify(self, fd: FileLike, eventmask: int, /) -> None:
        """Change what is asked of a descriptor; FileNotFoundError if it was never added."""
        self._native.modify(fd, eventmask)
        self._masks[_number(fd)] = eventmask

    def unregister(self, fd: FileLike, /) -> None:
        """Take a descriptor out; KeyError if it is not in."""
        self._native.unregister(fd)
        del self._masks[_number(fd)]

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Wait for `timeout` milliseconds (None or negative: for ever) until a descriptor is ready.

        A list of (descriptor, events). RuntimeError if another greenlet or thread is in poll() already.
        """
        if get_hub_if_exists() is None:
            return self._native.poll(timeout)  # type: ignore[no-any-return]  # no other that could run
        if timeout is not None and timeout > _LONGEST:
            raise OverflowError("timeout is too large")
        if self._polling:
            raise RuntimeError("concurrent poll() invocation")
        seconds = None if timeout is None or timeout < 0 else timeout / 1000
        self._polling = True
        try:
            found: list[tuple[int, int]] = _look_and_wait(lambda: self._native.poll(0), self._masks, seconds)
        finally:
            self._polling = False
        return found


def _new_poll(cls: type[_Poll]) -> _Poll:
    """poll(): an object like that of select.poll(), whose poll() switches to the hub."""
    self = object.__new__(cls)
    self._native = _native_poll()
    self._masks = {}
    self._polling = False
    return self


#: A function, as in the standard library, and one that does not become a method where a class holds it
#: (selectors.PollSelector does).
poll: Callable[[], _Poll] = MethodType(_new_poll, _Poll)


class epoll:
    """Like select.epoll; poll() switches to the hub. Greenlets and threads may share one."""

    def __init__(self, sizehint: int = -1, flags: int = 0) -> None:
        self._native = _native_epoll(sizehint, flags)

    @classmethod
    def fromfd(cls, fd: int, /) -> Self:
        """An epoll object for a descriptor that is one."""
        self = cls.__new__(cls)
        self._native = _native_epoll.fromfd(fd)
        return self

    @property
    def closed(self) -> bool:
        """True after close()."""
        closed: bool = self._native.closed
        return closed

    def fileno(self) -> int:
        """The descriptor of the epoll instance itself."""
        fd: int = self._native.fileno()
        return fd

    def close(self) -> None:
        """Close it; greenlets that wait in poll() get ValueError.

        As they would for an epoll that is closed.
        """
        if not self._native.closed:
            hub = get_hub_if_exists()
            if hub is not None:
                hub.fd_closing(self._native.fileno())
            self._native.close()

    def __enter__(self) -> Self:
        self._native.__enter__()  # raises if it is closed
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        exc_tb: TracebackType | None = None,
        /,
    ) -> None:
        self.close()

    def register(self, fd: FileLike, eventmask: int = _IN | _PRI | _OUT) -> None:
        """Add a descriptor; FileExistsError if it is in already."""
        self._native.register(fd, eventmask)

    def modify(self, fd: FileLike, eventmask: int) -> None:
        """Change what is asked of a descriptor; FileNotFoundError if it is not in."""
        self._native.modify(fd, eventmask)

    def unregister(self, fd: FileLike) -> None:
        """Take a descriptor out; FileNotFoundError if it is not in."""
        self._native.unregister(fd)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """Wait for `timeout` seconds (None or negative: for ever): (descriptor.

        Events) of those that are ready.
        """
        if get_hub_if_exists() is None:
            ready: list[tuple[int, int]] = self._native.poll(timeout, maxevents)
            return ready  # no other greenlet that could run
        seconds = None if timeout is None or timeout < 0 else timeout
        masks = {self._native.fileno(): _IN}
        found: list[tuple[int, int]] = _look_and_wait(lambda: self._native.poll(0, maxevents), masks, seconds)
        return found
