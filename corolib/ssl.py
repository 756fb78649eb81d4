"""The `ssl` module: TLS sockets that let other greenlets run while they wait.

The cipher work is OpenSSL's, through the standard library's `_ssl`, on the same descriptor. What differs from
the standard library's SSLSocket is only how an operation waits that OpenSSL cannot finish yet; all that does
not wait is the standard library's own code, of the Python that runs.

Contexts need nothing: a context makes sockets of its class's `sslsocket_class`, so that patching sets one
attribute, and contexts made before it make cooperative sockets from then on.
"""

import ssl as _stdlib
from _ssl import SSL_ERROR_EOF as SSL_ERROR_EOF
from collections.abc import Callable
from types import CellType, FunctionType
from typing import TYPE_CHECKING, Any, Self

from ._adopt import Names, adopt
from ._hub import TIMED_OUT, WaitList
from .errors import ConcurrentObjectUseError
from .hub import get_hub, getcurrent
from .socket import create_connection as create_connection
from .socket import socket as socket

# Every constant, error and class that this Python has, but for what was imported above; those that wait are
# replaced below.
globals().update((name, value) for name, value in vars(_stdlib).items() if name not in globals())
if TYPE_CHECKING:
    from ssl import SSLError as SSLError
    from ssl import SSLWantReadError as SSLWantReadError
    from ssl import SSLWantWriteError as SSLWantWriteError

    def __getattr__(name: str) -> Any: ...


#: What patching replaces by name. SSLContext stays the standard library's own class, see patch_contexts().
__implements__ = ("SSLSocket", "create_connection", "get_server_certificate", "socket")
__all__ = [name for name in vars(_stdlib) if not name.startswith("_")]

_StdlibSocket: Any = _stdlib.SSLSocket

#: What the standard library's functions, taken over here, find by name: what is there, and our classes.
_names = Names(_stdlib)


def _adopt_methods(cls: type) -> None:
    """Give the class what the standard library's SSLSocket has and the class has not."""
    owner = CellType(cls)
    for name, value in vars(_StdlibSocket).items():
        if name in vars(cls) or name in ("__module__", "__doc__", "__dict__", "__weakref__"):
            continue
        if isinstance(value, FunctionType):
            setattr(cls, name, adopt(value, _names, owner))
        elif isinstance(value, classmethod):
            setattr(cls, name, classmethod(adopt(value.__func__, _names, owner)))
        elif isinstance(value, property):
            fget, fset, fdel = (
                part and adopt(part, _names, owner) for part in (value.fget, value.fset, value.fdel)
            )
            setattr(cls, name, property(fget, fset, fdel, value.__doc__))


class _Direction:
    """Who waits until the descriptor is readable, or writable.

    One greenlet waits in the hub. TLS may have to write in order to read, and the reverse: an operation that
    needs the same as one of the other direction waits for that one's greenlet instead, and then tries again.
    """

    __slots__ = ("busy", "crossed", "others")

    def __init__(self) -> None:
        self.busy = False
        self.crossed = False  # by an operation of the other direction
        self.others: WaitList | None = None

    def until_ready(self, wait: Callable[[float | None], None], left: float | None, crossed: bool) -> None:
        if self.busy and (crossed or self.crossed):
            if self.others is None:
                self.others = WaitList(self)
            if self.others.wait(left) is TIMED_OUT:
                raise TimeoutError("timed out")
            return
        if self.busy:
            raise ConcurrentObjectUseError("This socket is already used by another greenlet")
        self.busy, self.crossed = True, crossed
        try:
            wait(left)
        finally:
            self.busy = False
            if self.others is not None:
                self.others.wake_all()


class SSLSocket(socket):
    """A TLS socket, made by SSLContext.wrap_socket(). Its operations switch to the hub in place of blocking.

    As in the standard library, timeouts and non-blocking use included. One greenlet may read while another
    one writes; a second one in the same direction gets ConcurrentObjectUseError. When a write has been
    interrupted in the middle of a record (killed, or out of time), the peer could make nothing of what
    another write sends: all later ones raise SSLError.
    """

    _readable: _Direction
    _writable: _Direction
    _writer: Any  # the greenlet that is in a write
    _cut: bool  # a write was given up in the middle of a record
    _sslobj: Any
    do_handshake_on_connect: bool
    suppress_ragged_eofs: bool

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls, *args, **kwargs)
        self._readable = _Direction()
        self._writable = _Direction()
        self._writer = None
        self._cut = False
        return self

    def _finish(self, operation: Callable[..., Any], *args: Any, writing: bool | None = None) -> Any:
        """Call an operation of OpenSSL until it needs no waiting. `writing` None: of both directions."""
        timeout = self.timeout
        self._take_turn()
        until = None
        while True:
            try:
                return operation(*args)
            except SSLWantReadError:
                if timeout == 0:
                    raise
                direction, wait, crossed = self._readable, self.wait_read, writing is True
            except SSLWantWriteError:
                if timeout == 0:
                    raise
                direction, wait, crossed = self._writable, self.wait_write, writing is False
            left = None
            if timeout is not None:
                now = get_hub().now()
                until = now + timeout if until is None else until
                left = max(0.0, until - now)
            # A socket that is closed meanwhile raises here: OpenSSL knows the number of the descriptor, which
            # may soon be another one's.
            self._cut |= writing is True
            try:
                direction.until_ready(wait, left, crossed)
            except TimeoutError as error:
                if error.args != ("timed out",):
                    raise  # of somebody else: thrown into this greenlet
                # The words of the standard library, by which some libraries know what it is.
                name = operation.__name__.removeprefix("do_")
                if name == "shutdown":
                    name = "read" if direction is self._readable else "write"
                raise TimeoutError(f"The {name} operation timed out") from None
            self._cut &= writing is not True

    @classmethod
    def _create(
        cls, sock: Any, server_side: bool = False, do_handshake_on_connect: bool = True, **options: Any
    ) -> "SSLSocket":
        # The standard library's, but for the handshake: before Python 3.13 it leaves the socket open if that
        # is ended by anything but an OSError, as by a kill or a Timeout.
        self: SSLSocket = _create_without_handshake(cls, sock, server_side, False, **options)
        self.do_handshake_on_connect = do_handshake_on_connect
        if do_handshake_on_connect and self._connected:
            try:
                if self.timeout == 0:
                    raise ValueError(
                        "do_handshake_on_connect should not be specified for non-blocking sockets"
                    )
                self.do_handshake()
            except BaseException:
                self.close()
                raise
        return self

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """Up to `len` bytes, b"" at the end; or into a buffer, and how many. Switches until there are some.
        ValueError once TLS is over.
        """
        sslobj = self._sslobj
        if sslobj is None:
            raise ValueError("Read on closed or unwrapped SSL socket.")
        try:
            if buffer is None:
                return self._finish(sslobj.read, len, writing=False)
            return self._finish(sslobj.read, len, buffer, writing=False)
        except SSLError as error:
            if error.args[0] == SSL_ERROR_EOF and self.suppress_ragged_eofs:
                return b"" if buffer is None else 0
            raise

    def _sendfile_zerocopy(
        self, function: Any, give_up: type[Exception], file: Any, offset: int = 0, count: int | None = None
    ) -> int:
        """What sendfile() tries first since CPython 3.15 where the kernel encrypts: it gives up, since it
        would have to wait in ways of its own, and the file goes by send().
        """
        raise give_up

    def write(self, data: Any) -> int:
        """Send data; how many bytes of it went. Switches until the kernel takes them. ValueError once TLS is
        over.
        """
        sslobj = self._sslobj
        if sslobj is None:
            raise ValueError("Write on closed or unwrapped SSL socket.")
        if self._writer is not None:
            raise ConcurrentObjectUseError(
                f"This socket is already used for writing by another greenlet: {self._writer!r}"
            )
        if self._cut:
            raise SSLError("a write was interrupted in the middle of a record: nothing more can be sent")
        self._writer = getcurrent()
        try:
            count: int = self._finish(sslobj.write, data, writing=True)
            return count
        finally:
            self._writer = None

    def send(self, data: Any, flags: int = 0) -> int:
        """Send data; how many bytes of it went. Switches until the kernel takes them. ValueError for `flags`
        over TLS.
        """
        if self._sslobj is None:
            return super().send(data, flags)
        if flags != 0:
            raise ValueError(f"non-zero flags not allowed in calls to send() on {self.__class__}")
        return self.write(data)

    def do_handshake(self, block: bool = False) -> None:
        """Agree with the peer on keys. Switches; TimeoutError when the socket's timeout is over.

        `block`: wait without limit if the socket is non-blocking.
        """
        self._check_connected()
        timeout = self.timeout
        try:
            if timeout == 0.0 and block:
                self.settimeout(None)
            self._finish(self._sslobj.do_handshake)
        finally:
            if timeout == 0.0 and block:
                self.settimeout(timeout)

    def unwrap(self) -> Any:
        """End TLS on both sides, and go on in the clear: the socket. Switches until the peer answers.
        ValueError if it is over.
        """
        sslobj = self._sslobj
        if not sslobj:
            raise ValueError("No SSL wrapper around " + str(self))
        plain = self._finish(sslobj.shutdown)
        self._sslobj = None
        return plain


class SSLContext(_stdlib.SSLContext):
    """The standard library's context, which makes cooperative sockets."""

    sslsocket_class = SSLSocket  # type: ignore[assignment]  # as good as the stdlib's, and not a subclass


_names.update(
    {
        "SSLContext": SSLContext,
        "SSLSocket": SSLSocket,
        "create_connection": create_connection,
        "socket": socket,
    }
)
_adopt_methods(SSLSocket)
_create_without_handshake = adopt(_StdlibSocket._create.__func__, _names, CellType(SSLSocket))


# The standard library's functions that make contexts or sockets, on ours. wrap_socket() has gone by 3.12.
for _name in (
    "get_server_certificate",
    "create_default_context",
    "_create_unverified_context",
    "_create_stdlib_context",
    "wrap_socket",
):
    if hasattr(_stdlib, _name):
        _names[_name] = globals()[_name] = adopt(getattr(_stdlib, _name), _names)
_names["_create_default_https_context"] = globals()["_create_default_https_context"] = _names[
    "create_default_context"
]


def patch_contexts() -> None:
    """Let the standard library's contexts make cooperative sockets, those that exist already too."""
    _stdlib.SSLContext.sslsocket_class = SSLSocket  # type: ignore[assignment]  # see above
