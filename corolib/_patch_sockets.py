"""Sockets of the plain class: those made before patching, and those of classes derived from it before.

An object cannot be given another class of another size, but its methods are looked up in its class. So the
plain class gets methods that wait in the hub and then call the plain operation. They cost more than those of
corolib.socket, which is what new sockets are of.
"""

import _socket
import os
import sys
from _socket import MSG_DONTWAIT, SO_ERROR, SOL_SOCKET
from collections.abc import Callable
from errno import EALREADY, EINPROGRESS, EISCONN
from functools import wraps
from select import POLLIN, POLLOUT
from typing import Any

from ._hub import TIMED_OUT, io
from ._native import monotonic, poll
from .hub import get_hub_if_exists, hub_to_wait_in

__all__ = ["patch_plain_sockets"]

#: What was asked of poll(2) -> the loop's word for it.
_EVENTS = {POLLIN: 1, POLLOUT: 2}
#: What connect() says of a connection that is not there yet.
_CONNECTING = (EINPROGRESS, EALREADY)


class _Until:
    """The wait for one operation: as long as the socket's timeout says, all in all."""

    def __init__(self, sock: Any) -> None:
        self._fd: int = sock.fileno()
        self.timeout: float | None = sock.gettimeout()
        self._end = None if self.timeout is None else monotonic() + self.timeout
        self._hub = hub_to_wait_in()
        if self.timeout is None and self._hub is not None and self._fd >= 0 and os.get_blocking(self._fd):
            # The plain operation then answers that it would block, in place of blocking.
            os.set_blocking(self._fd, False)

    def ready(self, event: int) -> None:
        """Wait; TimeoutError when the time is over. Without a hub it blocks the thread."""
        left = None if self._end is None else max(0.0, self._end - monotonic())
        asked = poll()
        asked.register(self._fd, event)
        if self._hub is None:
            if not asked.poll(None if left is None else left * 1000):
                raise TimeoutError("timed out")
        elif not asked.poll(0):
            with io(self._hub, self._fd, _EVENTS[event]) as watcher:
                if watcher.wait(left) is TIMED_OUT:
                    raise TimeoutError("timed out")


def _waiting(operation: Callable[..., Any], event: int) -> Callable[..., Any]:
    """A method that waits until the plain operation has something to do."""

    @wraps(operation)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        until = _Until(self)
        if until.timeout == 0:
            return operation(self, *args, **kwargs)
        if until.timeout is not None:
            until.ready(event)
        while True:
            try:
                return operation(self, *args, **kwargs)
            except BlockingIOError:
                if until.timeout == 0 or MSG_DONTWAIT in args:
                    raise
            until.ready(event)

    return method


def _sendall(self: Any, data: Any, flags: int = 0, /) -> None:
    until = _Until(self)
    with memoryview(data) as given, given.cast("B") as view:
        sent = 0
        while True:
            if until.timeout is not None and until.timeout > 0:
                until.ready(POLLOUT)
            try:
                sent += _socket.socket.send(self, view[sent:], flags | MSG_DONTWAIT)
            except BlockingIOError:
                if until.timeout == 0:
                    raise
                until.ready(POLLOUT)
            if sent >= len(view):
                return


def _connect_ex(self: Any, address: Any, /) -> int:
    until = _Until(self)
    if until.timeout is not None:
        # It waits by itself with a timeout: it is not to, and is told so for this one call.
        if until.timeout > 0:
            _socket.socket.settimeout(self, 0)
        try:
            error = _socket.socket.connect_ex(self, address)
        finally:
            _socket.socket.settimeout(self, until.timeout)
    else:
        error = _socket.socket.connect_ex(self, address)
    if error in _CONNECTING and until.timeout != 0:
        until.ready(POLLOUT)
        error = self.getsockopt(SOL_SOCKET, SO_ERROR)
    return 0 if error == EISCONN and until.timeout != 0 else error


def _connect(self: Any, address: Any, /) -> None:
    if self.gettimeout() == 0:
        return _socket.socket.connect(self, address)
    error = _connect_ex(self, address)
    if error:
        raise OSError(error, os.strerror(error))


def _telling_the_hub(operation: Callable[..., Any]) -> Callable[..., Any]:
    """A method that gives up the descriptor: who waits for it is to know."""

    @wraps(operation)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        fd = self.fileno()
        if fd >= 0 and not sys.is_finalizing():
            hub = get_hub_if_exists()
            if hub is not None and not hub.destroyed:
                hub.fd_closing(fd)
        return operation(self, *args, **kwargs)

    return method


def patch_plain_sockets(plain: Any) -> None:
    """`plain` is the standard library's class."""
    for event, names in (
        (POLLIN, ("recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "_accept")),
        (POLLOUT, ("send", "sendto", "sendmsg")),
    ):
        for name in names:
            setattr(plain, name, _waiting(getattr(_socket.socket, name), event))
    plain.sendall = _sendall
    plain.connect = _connect
    plain.connect_ex = _connect_ex
    plain.detach = _telling_the_hub(plain.detach)
    plain._real_close = _telling_the_hub(plain._real_close)
