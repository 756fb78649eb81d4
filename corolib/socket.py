"""The `socket` module: sockets and name look-ups that let other greenlets run while they wait.

What happens once per byte or packet is in C (`_hub.Socket`). Here is the rest of the standard class, and the
functions that make sockets or resolve names. Everything else (constants, errors, address conversion) is the
standard library's.
"""

import _socket
import errno
import io as _io
import os
import socket as _stdlib
import sys
from collections.abc import Callable
from socket import AF_INET as AF_INET
from socket import AF_INET6 as AF_INET6
from socket import SOCK_DGRAM as SOCK_DGRAM
from socket import SOCK_STREAM as SOCK_STREAM
from socket import AddressFamily as AddressFamily
from socket import SocketKind as SocketKind
from typing import TYPE_CHECKING, Any, Final

from . import _hub
from ._hub import TIMED_OUT
from .hub import get_hub
from .resolver import get_resolver
from .resolver.numeric import WILDCARDS, is_numeric

__extensions__ = ("cancel_wait", "wait", "wait_read", "wait_readwrite", "wait_write")
#: What patching the names of `dns` replaces, and patching `socket` the rest.
__dns__ = ("getaddrinfo", "getfqdn", "gethostbyaddr", "gethostbyname", "gethostbyname_ex", "getnameinfo")
__implements__ = ("create_connection", "fromfd", "socket", "socketpair", *__dns__)
__all__ = [*_stdlib.__all__, *__extensions__]

# Every constant, error and conversion that this Python has.
globals().update((name, getattr(_stdlib, name)) for name in _stdlib.__all__)


#: A caller gave no timeout: the default of new sockets. The standard library's own object, for those who pass
#: it on.
_GLOBAL_DEFAULT_TIMEOUT: Final[Any] = _stdlib._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]  # private

#: os.sendfile() takes 2 GiB at most; in pieces of this size the count fits everywhere.
SENDFILE_PIECE = 1 << 30

_OURS: Any = sys.modules[__name__]
_Plain: Any = _stdlib.socket
_GiveUpOnSendfile: Any = _stdlib._GiveupOnSendfile  # type: ignore[attr-defined]  # private, caught by sendfile()


@_hub.own_methods
class socket(_hub.Socket):
    """A socket whose operations switch to the hub in place of blocking the thread.

    All as in the standard library: timeouts raise TimeoutError, a timeout of 0 makes operations raise
    BlockingIOError. The descriptor itself is always non-blocking. One greenlet may wait for reading while
    another waits for writing; a second one in the same direction gets ConcurrentObjectUseError. Closing it
    raises OSError(EBADF) in both.
    """

    __slots__ = ("__weakref__",)

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        if fileno is None:
            family = AF_INET if family == -1 else family
            type = SOCK_STREAM if type == -1 else type
            proto = 0 if proto == -1 else proto
        super().__init__(family, type, proto, fileno)

    # Methods of the standard class that stand on others and know nothing of how those wait: taken as they
    # are, so that each is right for the Python it runs on.
    __enter__: Any = _Plain.__enter__
    __exit__: Any = _Plain.__exit__
    __repr__: Any = _Plain.__repr__
    __getstate__: Any = _Plain.__getstate__
    dup: Any = _Plain.dup
    get_inheritable: Any = _Plain.get_inheritable
    makefile: Any = _Plain.makefile
    sendfile: Any = _Plain.sendfile
    set_inheritable: Any = _Plain.set_inheritable
    _check_sendfile_params: Any = _Plain._check_sendfile_params
    _decref_socketios: Any = _Plain._decref_socketios
    _sendfile_use_send: Any = _Plain._sendfile_use_send

    @property
    def family(self) -> AddressFamily | int:  # an int when Python has no name for it
        """The address family."""
        number = super().family
        try:
            return AddressFamily(number)
        except ValueError:
            return number

    @property
    def type(self) -> SocketKind | int:  # an int when Python has no name for it
        """The socket type."""
        number = super().type
        try:
            return SocketKind(number)
        except ValueError:
            return number

    def accept(self) -> tuple["socket", Any]:
        """Wait for a connection: (socket, address of the peer)."""
        return self.accept_as(socket)

    def _with_address(self, address: Any) -> Any:
        """The address with a name in it replaced by the number it stands for.

        May switch: names are looked up.
        """
        family = super().family
        if family not in (AF_INET, AF_INET6) or not isinstance(address, tuple) or len(address) < 2:
            return address
        host = address[0]
        if isinstance(host, (bytes, bytearray)):
            host = host.decode("latin-1")
        if not isinstance(host, str) or host in WILDCARDS or is_numeric(host):
            return address
        found = get_resolver().getaddrinfo(host, None, family, SOCK_DGRAM)[0][4]
        # What was given with the name is kept, what was not is as it was found (the scope of an IPv6
        # address).
        return (found[0], *address[1:], *found[len(address) :])

    def bind(self, address: Any, /) -> None:
        """Give the socket an address of this machine. Switches only to look up a name."""
        super().bind(self._with_address(address))

    def connect(self, address: Any, /) -> None:
        """Connect, after looking up the host if it is a name.

        TimeoutError when the socket's timeout is over.
        """
        super().connect(self._with_address(address))

    def connect_ex(self, address: Any, /) -> int:
        """Like connect(), with the error number in place of OSError.

        A name that is not found raises gaierror.
        """
        return super().connect_ex(self._with_address(address))

    def _sendfile_use_sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """What sendfile() tries first: the kernel copies.

        Reading the file itself blocks, as all file access does.
        """
        self._check_sendfile_params(file, offset, count)
        try:
            source = file.fileno()
            size = os.fstat(source).st_size
        except (AttributeError, _io.UnsupportedOperation, OSError) as error:
            raise _GiveUpOnSendfile(error)  # not a regular file
        if not size:
            return 0
        if self.timeout == 0:
            raise ValueError("non-blocking sockets are not supported")
        total = 0
        try:
            while count is None or total < count:
                piece = SENDFILE_PIECE if count is None else min(SENDFILE_PIECE, count - total)
                try:
                    sent = os.sendfile(self.fileno(), source, offset + total, piece)
                except BlockingIOError:
                    self.wait_write()
                    continue
                except OSError as error:
                    if total == 0:
                        raise _GiveUpOnSendfile(error)  # a kind of file that sendfile cannot read
                    raise
                if sent == 0:
                    break
                total += sent
            return total
        finally:
            if total and hasattr(file, "seek"):
                file.seek(offset + total)


# -- functions that make sockets -----------------------------------------------------------------------------


def fromfd(fd: int, family: int, type: int, proto: int = 0) -> socket:
    """A socket on a duplicate of the descriptor, which it makes non-blocking (and so the original too)."""
    return socket(family, type, proto, _socket.dup(fd))


def socketpair(family: int | None = None, type: int = SOCK_STREAM, proto: int = 0) -> tuple[socket, socket]:
    """Two connected sockets, of family AF_UNIX unless another is given."""
    if family is None:
        family = _socket.AF_UNIX
    near, far = _socket.socketpair(family, type, proto)
    return socket(family, type, proto, near.detach()), socket(family, type, proto, far.detach())


def _current(name: str) -> Any:
    """What create_connection() is to use by that name.

    Where it stands in for the standard module's function, that is what this module has: somebody may have
    put his own there (a client of a proxy, another way to look names up, a test's double). Else ours.
    """
    current: object = _stdlib.create_connection
    stands_in = current is create_connection
    return getattr(_stdlib if stands_in else _OURS, name)


def create_connection(
    address: tuple[str | None, int | str],
    timeout: float | None = _GLOBAL_DEFAULT_TIMEOUT,
    source_address: tuple[str, int] | None = None,
    *,
    all_errors: bool = False,
    happy_eyeballs_delay: float | None = None,
) -> socket:
    """Connect to (host, port), trying each address of the host in turn; the timeout is for each try.

    Switches. If no address can be reached the last error is raised, or with `all_errors` an ExceptionGroup of
    them. With `happy_eyeballs_delay` (seconds; RFC 8305 recommends 0.25) the next address, of the other
    family if there is one, is tried when the last has not answered for so long; the first connection counts.
    ValueError if that is negative. OSError if the host has no address.
    """
    if happy_eyeballs_delay is not None and not happy_eyeballs_delay >= 0:
        raise ValueError(f"happy_eyeballs_delay: expected seconds, 0 or more, found {happy_eyeballs_delay!r}")
    host, port = address
    errors: list[OSError] = []
    make: Callable[..., socket] = _current("socket")

    def connect(row: tuple[Any, ...]) -> socket:
        connection = make(*row[:3])
        try:
            if timeout is not _GLOBAL_DEFAULT_TIMEOUT:
                connection.settimeout(timeout)
            if source_address:
                connection.bind(source_address)
            connection.connect(row[4])
        except BaseException:
            # No connection; or killed, or a Timeout, in the middle of it.
            connection.close()
            raise
        return connection

    rows = _current("getaddrinfo")(host, port, 0, SOCK_STREAM)
    if happy_eyeballs_delay is not None and len(rows) > 1:
        from ._eyeballs import race  # late: few ask for it

        winner, errors = race(rows, connect, happy_eyeballs_delay)
        if winner is not None:
            return winner
        rows = ()
    for row in rows:
        try:
            return connect(row)
        except OSError as error:
            errors.append(error)
    try:
        if not errors:
            raise OSError("getaddrinfo returns an empty list")
        if all_errors:
            raise ExceptionGroup("create_connection failed", errors)
        raise errors[-1]
    finally:
        errors.clear()  # the exception refers to this frame: no circle


def create_server(
    address: Any,
    *,
    family: int = AF_INET,
    backlog: int | None = None,
    reuse_port: bool = False,
    dualstack_ipv6: bool = False,
) -> socket:
    """A listening TCP socket bound to an address, as socket.create_server() makes it. Switches if the address
    has a name that has to be looked up. OSError if it cannot be bound; ValueError if the system does not have
    what is asked for.
    """
    if reuse_port and not hasattr(_socket, "SO_REUSEPORT"):
        raise ValueError("SO_REUSEPORT not supported on this platform")
    if dualstack_ipv6:
        if not _stdlib.has_dualstack_ipv6():
            raise ValueError("dualstack_ipv6 not supported on this platform")
        if family != AF_INET6:
            raise ValueError("dualstack_ipv6 requires AF_INET6 family")
    listener = socket(family, SOCK_STREAM)
    try:
        listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        if family == AF_INET6 and _socket.has_ipv6:
            listener.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 0 if dualstack_ipv6 else 1)
        try:
            listener.bind(address)
        except OSError as error:
            text = f"{error.strerror} (while attempting to bind on address {address!r})"
            raise OSError(error.errno, text) from None
        if backlog is None:
            listener.listen()
        else:
            listener.listen(backlog)
    except BaseException:
        listener.close()
        raise
    return listener


# -- names ---------------------------------------------------------------------------------------------------


def getaddrinfo(
    host: str | bytes | None,
    port: str | int | bytes | None,
    family: int = 0,
    type: int = 0,
    proto: int = 0,
    flags: int = 0,
) -> list[tuple[AddressFamily | int, SocketKind | int, int, str, tuple[Any, ...]]]:
    """The addresses of a host and service, each as (family, type, proto, canonical name, address).

    Numeric addresses and what the hosts file knows are answered at once; for the rest it switches to the hub.
    """
    found = get_resolver().getaddrinfo(host, port, family, type, proto, flags)
    return [
        (_families.get(of, of), _kinds.get(kind, kind), number, canonical, address)
        for of, kind, number, canonical, address in found
    ]


# A look in a dictionary, since a call of the enum takes longer than the rest.
_families: dict[int, AddressFamily] = {int(each): each for each in AddressFamily}
_kinds: dict[int, SocketKind] = {int(each): each for each in SocketKind}


def gethostbyname(hostname: str | bytes | bytearray, /) -> str:
    """The IPv4 address of a host. Switches if somebody has to be asked."""
    return get_resolver().gethostbyname(hostname)


def gethostbyname_ex(hostname: str | bytes | bytearray, /) -> tuple[str, list[str], list[str]]:
    """(canonical name, other names, IPv4 addresses) of a host. Switches if somebody has to be asked."""
    return get_resolver().gethostbyname_ex(hostname)


def gethostbyaddr(ip_address: str | bytes | bytearray, /) -> tuple[str, list[str], list[str]]:
    """(canonical name, other names, addresses) of an address. Switches if somebody has to be asked."""
    return get_resolver().gethostbyaddr(ip_address)


def getnameinfo(sockaddr: Any, flags: int, /) -> tuple[str, str]:
    """(host, service) of a socket address, which is a tuple. Switches if somebody has to be asked."""
    if not isinstance(sockaddr, tuple):
        found = type(sockaddr).__name__
        del sockaddr  # a frame in the traceback would hold it, where a function in C holds nothing
        raise TypeError(f"getnameinfo() argument 1 must be tuple, not {found}")
    return get_resolver().getnameinfo(sockaddr, flags)


def getfqdn(name: str = "") -> str:
    """The full name of a host, of this machine if none is given; the name as it was if none is found."""
    name = name.strip()
    if name in ("", "0.0.0.0", "::"):
        name = _socket.gethostname()
    try:
        canonical, aliases, _ = gethostbyaddr(name)
    except OSError:
        return name
    return next((each for each in (canonical, *aliases) if "." in each), canonical)


# -- waiting for a descriptor --------------------------------------------------------------------------------


def wait(io: _hub.io, timeout: float | None = None, timeout_exc: BaseException | None = None) -> None:
    """Wait until the watcher's descriptor is ready. Switches.

    When `timeout` seconds are over `timeout_exc` is raised, TimeoutError unless one is given.
    """
    if io.wait(timeout) is TIMED_OUT:
        raise TimeoutError("timed out") if timeout_exc is None else timeout_exc


def _wait_for(fileno: int, events: int, timeout: float | None, timeout_exc: BaseException | None) -> None:
    with _hub.io(get_hub(), fileno, events) as watcher:
        wait(watcher, timeout, timeout_exc)


def wait_read(fileno: int, timeout: float | None = None, timeout_exc: BaseException | None = None) -> None:
    """Wait until the descriptor is readable, for `timeout` seconds at most; see wait(). Switches."""
    _wait_for(fileno, 1, timeout, timeout_exc)


def wait_write(fileno: int, timeout: float | None = None, timeout_exc: BaseException | None = None) -> None:
    """Wait until the descriptor is writable, for `timeout` seconds at most; see wait(). Switches."""
    _wait_for(fileno, 2, timeout, timeout_exc)


def wait_readwrite(
    fileno: int, timeout: float | None = None, timeout_exc: BaseException | None = None
) -> None:
    """Wait until it is readable or writable, for `timeout` seconds at most; see wait(). Switches."""
    _wait_for(fileno, 3, timeout, timeout_exc)


def cancel_wait(watcher: _hub.io, error: BaseException | None = None) -> None:
    """End the wait for a watcher's descriptor, with OSError(EBADF), and close the watcher.

    Another `error` can be had only in hub.wait(watcher).
    """
    if error is None:
        error = OSError(errno.EBADF, "File descriptor was closed in another greenlet")
    get_hub().cancel_wait(watcher, error, close_watcher=True)


if TYPE_CHECKING:
    # Everything else, as it is there. At the end: the first definition of a name counts, which is ours.
    from socket import *  # type: ignore[assignment]  # noqa: F403

    def __getattr__(name: str) -> Any: ...
