"""What a server listens on: how an address is written, and how the socket for it is made.

("127.0.0.1", 8000), "127.0.0.1:8000", "localhost:8000"    TCP or UDP on one address
("::1", 8000), "[::1]:8000"                                the same over IPv6
":8000", "*:8000"                                          every IPv4 address of the machine
8000, "8000", ("", 8000)                                   every address, IPv6 and IPv4
"unix:/run/app.sock"                                       a path; what a dead server left there goes away
"unix:@app"                                                a name in Linux's abstract namespace
"""

import errno
import os
import stat
from _socket import (
    AF_INET,
    AF_INET6,
    AF_UNIX,
    IPPROTO_IPV6,
    IPPROTO_TCP,
    IPV6_V6ONLY,
    SO_REUSEADDR,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    TCP_NOTSENT_LOWAT,
)
from typing import Any, Final

from ..socket import socket

__all__ = ["Adopted", "bound_socket", "parse_address", "remove_unix_path", "set_for_answers", "unix_identity"]

_UNIX = "unix:"

#: What the kernel takes of an answer before the peer is ready for it. By itself it takes up to 4 MiB for each
#: peer that reads slowly, and has no memory left for TCP once there are some hundred; and it says that there
#: is room again only when a third of that has gone, which takes such a peer longer than any deadline.
UNSENT: Final = 128 * 1024


def parse_address(address: Any) -> tuple[int, Any]:
    """(family, address for bind()) of an address as the head of this module shows them. Never switches.

    TypeError or ValueError says what was found.
    """
    if isinstance(address, tuple):
        host = address[0] if address else None
        if len(address) < 2 or not isinstance(host, str | None):
            raise ValueError(f"expected (host, port), found {address!r}")
        return (AF_INET6 if not host or ":" in host else AF_INET), (host or "", *address[1:])
    if isinstance(address, int):
        return AF_INET6, ("", _port(address, address))
    if not isinstance(address, str):
        raise TypeError(
            f"expected an address: (host, port), 'host:port', a port, 'unix:path' or a socket; "
            f"found {type(address).__name__}: {address!r}"
        )
    if address.startswith(_UNIX):
        path = address.removeprefix(_UNIX)
        if path in ("", "@"):
            raise ValueError(f"expected 'unix:path' or 'unix:@name', found {address!r}")
        return AF_UNIX, "\0" + path[1:] if path.startswith("@") else path
    host, colon, port = address.rpartition(":")
    if not colon:
        return AF_INET6, ("", _port(port, address))
    if host.startswith("[") and host.endswith("]"):
        return AF_INET6, (host[1:-1], _port(port, address))
    if ":" in host:
        raise ValueError(f"expected brackets around the IPv6 address, '[{host}]:{port}', found {address!r}")
    return AF_INET, ("" if host == "*" else host, _port(port, address))


def _port(port: str | int, address: Any) -> int:
    try:
        number = int(port)
    except ValueError:
        number = -1
    if not 0 <= number <= 65535:
        raise ValueError(f"expected a port from 0 to 65535 in the address, found {address!r}")
    return number


class Adopted(socket):
    """A duplicate of a socket of another class, such as the standard library's: closing it closes that too.

    Both are non-blocking from then on.
    """

    def __init__(self, original: Any) -> None:
        super().__init__(original.family, original.type, original.proto, os.dup(original.fileno()))
        self._original = original

    def _real_close(self) -> None:
        super()._real_close()
        self._original.close()


def bound_socket(
    family: int, address: Any, kind: int = SOCK_STREAM, reuse_addr: bool = True, reuse_port: bool = False
) -> socket:
    """A socket of that family and kind, bound to the address. Switches only to look up a name.

    OSError names the address. An empty host with AF_INET6 takes IPv4 too, and is IPv4 alone on a machine
    without IPv6.
    """
    try:
        return _bind(family, address, kind, reuse_addr, reuse_port)
    except OSError as error:
        if family == AF_INET6 and not address[0] and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            return _bind(AF_INET, address[:2], kind, reuse_addr, reuse_port)
        if error.errno is None:
            raise
        shown = "unix:@" + address[1:] if family == AF_UNIX and address[:1] == "\0" else address
        raise type(error)(error.errno, f"{error.strerror}: {shown!r}") from None


def _bind(family: int, address: Any, kind: int, reuse_addr: bool, reuse_port: bool) -> socket:
    made = socket(family, kind)
    try:
        if family in (AF_INET, AF_INET6):
            if reuse_addr:
                made.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
            if reuse_port:
                from _socket import SO_REUSEPORT  # not every system has it

                made.setsockopt(SOL_SOCKET, SO_REUSEPORT, 1)
        if family == AF_INET6:
            made.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1 if address[0] else 0)
        try:
            made.bind(address)
        except OSError as error:
            if family != AF_UNIX or error.errno != errno.EADDRINUSE or not _is_left_over(address, kind):
                raise
            os.unlink(address)
            made.bind(address)
    except BaseException:
        made.close()
        raise
    return made


def set_for_answers(listener: Any) -> None:
    """What connections take over from a listener: small pieces go at once (no Nagle), and of large ones the
    kernel keeps no more than is on its way, and UNSENT bytes.
    """
    if listener.family in (AF_INET, AF_INET6):
        listener.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        listener.setsockopt(IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT)


def _is_left_over(path: str, kind: int) -> bool:
    """Whether the path is that of a socket that nobody has open any more."""
    try:
        if path.startswith("\0") or not stat.S_ISSOCK(os.lstat(path).st_mode):
            return False
        with socket(AF_UNIX, kind) as probe:
            probe.settimeout(0)  # a server with a full queue lives
            return bool(probe.connect_ex(path) == errno.ECONNREFUSED)
    except OSError:
        return False


def unix_identity(path: Any) -> tuple[int, int] | None:
    """Which file a UNIX socket has been bound to; None for an abstract one, or if it is gone."""
    try:
        found = os.lstat(path)
    except (OSError, ValueError, TypeError):
        return None
    return found.st_dev, found.st_ino


def remove_unix_path(path: Any, identity: tuple[int, int] | None) -> None:
    """Remove the file of a UNIX socket, unless another one stands there by now."""
    if identity is not None and unix_identity(path) == identity:
        try:
            os.unlink(path)
        except OSError:
            pass  # gone already, or not ours to remove
