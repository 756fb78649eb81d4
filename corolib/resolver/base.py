"""What every resolver answers by itself, and what a kind of resolver adds.

Numeric addresses, `None` and names in the hosts file are answered here, in the calling greenlet: nothing is
asked, no thread is used and nobody waits. Only what is left goes to `_ask`, which a subclass provides.
"""

import _socket
from _socket import (
    AF_INET,
    AF_INET6,
    AI_ALL,
    AI_CANONNAME,
    AI_NUMERICHOST,
    AI_V4MAPPED,
    NI_NAMEREQD,
    NI_NUMERICHOST,
)
from collections.abc import Sequence
from typing import Any

from ..hub import Hub, get_hub
from .hosts import HostsFile
from .numeric import WILDCARDS, is_numeric
from .order import in_order
from .rows import Address, AddressInfo, Port, numeric_rows, rows

__all__ = ["AddressInfo", "Resolver"]

#: The families of which names have addresses; 0: any.
FAMILIES = (0, AF_INET, AF_INET6)


def wanted(four: Sequence[str], six: Sequence[str], family: int, flags: int) -> list[Address]:
    """Of the IPv4 and IPv6 addresses of a host those that were asked for, in the order in which they are to
    be tried.
    """
    addresses = [(AF_INET6, address) for address in six] if family in (0, AF_INET6) else []
    if family in (0, AF_INET):
        addresses += [(AF_INET, address) for address in four]
    elif family == AF_INET6 and flags & AI_V4MAPPED and (flags & AI_ALL or not addresses):
        addresses += [(AF_INET6, "::ffff:" + address) for address in four]
    return in_order(addresses)


def _text(host: object, kinds: tuple[type, ...] = (str, bytes, bytearray)) -> str | None:
    if host is not None and not isinstance(host, kinds):
        raise TypeError(f"host must be str, bytes or None, not {type(host).__name__}")
    if isinstance(host, (bytes, bytearray)):
        return host.decode("latin-1")
    return host if isinstance(host, str) else None


class Resolver:
    """Names and addresses with the signatures, results and errors of the `socket` module.

    Each method may switch to the hub while an answer is on its way. For the thread of `hub`, the current one
    unless another is given; `hosts` is the hosts file, the system's unless another is given.
    """

    def __init__(self, hub: Hub | None = None, *, hosts: HostsFile | None = None) -> None:
        self.hub = hub if hub is not None else get_hub()
        self.hosts = hosts if hosts is not None else HostsFile()

    def close(self) -> None:
        """Give back what the resolver holds; called when its hub ends."""

    def _ask(self, function: str, *args: Any) -> Any:
        """Call a function of `_socket` by name, or what gives the same answer, without blocking the hub."""
        raise NotImplementedError

    def getaddrinfo(
        self,
        host: str | bytes | None,
        port: Port,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        """The addresses of a host and service; gaierror if there is none, OSError for a service that cannot
        be one. Switches if somebody has to be asked.
        """
        if not flags and host.__class__ is str:
            found = numeric_rows(host, port, family, type, proto)
            if found is not None:
                return found
        name = _text(host, (str, bytes))
        if not name or name == "*" or flags & AI_NUMERICHOST or family not in FAMILIES or is_numeric(name):
            found = _socket.getaddrinfo(host, port, family, type, proto, flags)
            return found
        if port is not None and not isinstance(port, (int, str, bytes)):
            raise OSError("Int or String expected")  # as the C function says it
        found = self._known(name, port, family, type, proto, flags)
        return found or self._ask("getaddrinfo", _encode(host), port, family, type, proto, flags)

    def gethostbyname(self, hostname: str | bytes | bytearray) -> str:
        """The IPv4 address of a host."""
        name = _text(hostname)
        if name is None or name in WILDCARDS or is_numeric(name):
            return _socket.gethostbyname(hostname)  # type: ignore[arg-type]  # takes bytes too
        for entry in self.hosts.by_name(name):
            if entry.family == AF_INET:
                return entry.address
        answer: str = self._ask("gethostbyname", _encode(hostname))
        return answer

    def gethostbyname_ex(self, hostname: str | bytes | bytearray) -> tuple[str, list[str], list[str]]:
        """(canonical name, other names, IPv4 addresses) of a host."""
        name = _text(hostname)
        if name is None or name in WILDCARDS or is_numeric(name):
            return _socket.gethostbyname_ex(hostname)  # type: ignore[arg-type]  # takes bytes too
        entries = [entry for entry in self.hosts.by_name(name) if entry.family == AF_INET]
        if entries:
            names = list(dict.fromkeys(each for entry in entries for each in entry.names))
            return names[0], names[1:], list(dict.fromkeys(entry.address for entry in entries))
        answer: tuple[str, list[str], list[str]] = self._ask("gethostbyname_ex", _encode(hostname))
        return answer

    def gethostbyaddr(self, ip_address: str | bytes | bytearray) -> tuple[str, list[str], list[str]]:
        """(canonical name, other names, addresses) of an address, or of a name."""
        name = _text(ip_address)
        if name is None or name in WILDCARDS:
            return _socket.gethostbyaddr(ip_address)  # type: ignore[arg-type]  # raises what is to be raised
        address = self.getaddrinfo(
            bytes(ip_address) if isinstance(ip_address, bytearray) else ip_address, None
        )[0][4][0]
        for entry in self.hosts.by_address(address):
            return entry.names[0], list(entry.names[1:]), [entry.address]
        answer: tuple[str, list[str], list[str]] = self._ask("gethostbyaddr", address)
        return answer

    def getnameinfo(self, sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
        """(host, service) of a socket address, whose host must be numeric."""
        if flags & NI_NUMERICHOST:
            return _socket.getnameinfo(sockaddr, flags)
        # Checks the argument as well: from here on it is an address.
        numeric = _socket.getnameinfo(sockaddr, NI_NUMERICHOST | flags & ~NI_NAMEREQD)
        for entry in self.hosts.by_address(numeric[0]):
            return entry.names[0], numeric[1]
        answer: tuple[str, str] = self._ask("getnameinfo", sockaddr, flags)
        return answer

    def _known(
        self, name: str, port: Port, family: int, type: int, proto: int, flags: int
    ) -> list[AddressInfo]:
        """What the hosts file says, as getaddrinfo would; empty if it says nothing for this family."""
        entries = self.hosts.by_name(name)
        if not entries:
            return []
        four, six = ([entry.address for entry in entries if entry.family == of] for of in (AF_INET, AF_INET6))
        addresses = wanted(four, six, family, flags)
        found = rows(addresses, port, family, type, proto, flags)
        if found and flags & AI_CANONNAME:
            fitting = [entry for entry in entries if family in (0, entry.family)] or entries
            found[0] = (*found[0][:3], fitting[0].names[0], found[0][4])
        return found


def _encode(host: str | bytes | bytearray | None) -> bytes:
    """The name as the network wants it; UnicodeError if it cannot be one. Bytes are taken as they are.

    Done here and not by the C function in a thread: the codec is imported at its first use, and an import
    that waits for another thread's is better had in a greenlet.
    """
    if not isinstance(host, str):
        return bytes(host or b"")
    if host.isascii() and all(0 < len(label) < 64 for label in host.removesuffix(".").split(".")):
        return host.encode()  # what the codec would do, without the tables that it loads
    return host.encode("idna")
