"""What every resolver answers by itself, and what a kind of resolver adds.

Numeric addresses, `None` and names in the hosts file are answered here, in the calling greenlet: nothing is
asked, no thread is used and nobody waits. Only what is left goes to `_ask`, which a subclass provides.
"""

import _socket
from _socket import (
    AF_INET,
    AF_INET6,
    AI_CANONNAME,
    AI_NUMERICHOST,
    NI_NAMEREQD,
    NI_NUMERICHOST,
    SOCK_DGRAM,
    gaierror,
)
from typing import Any

from .hosts import Entry, HostsFile, pack

__all__ = ["AddressInfo", "Resolver", "is_numeric"]

#: (family, type, protocol, canonical name, address), as `_socket.getaddrinfo` returns it.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

#: What `_socket` reads as "any address" and "everybody" where it takes a host.
WILDCARDS = ("", "<broadcast>")


def is_numeric(host: str) -> bool:
    """Whether the C library takes the host for an address: 127.0.0.1, ::1.

    Fe80::1%eth0 and old forms as 127.1.
    """
    if pack(host) is not None:
        return True
    # A name cannot hold a colon, an address in an old form begins with a digit.
    if ":" not in host and not host[:1].isdigit():
        return False
    try:
        _socket.getaddrinfo(host, None, 0, SOCK_DGRAM, 0, AI_NUMERICHOST)
    except (gaierror, UnicodeError):
        return False
    return True


def _text(host: object, kinds: tuple[type, ...] = (str, bytes, bytearray)) -> str | None:
    if host is not None and not isinstance(host, kinds):
        raise TypeError(f"host must be str, bytes or None, not {type(host).__name__}")
    if isinstance(host, (bytes, bytearray)):
        return host.decode("latin-1")
    return host if isinstance(host, str) else None


class Resolver:
    """Names and addresses with the signatures, results and errors of the `socket` module.

    Each method may switch to the hub while an answer is on its way.
    """

    def __init__(self, hosts: HostsFile | None = None) -> None:
        self.hosts = hosts if hosts is not None else HostsFile()

    def close(self) -> None:
        """Give back what the resolver holds; called when its hub ends."""

    def _ask(self, function: str, *args: Any) -> Any:
        """Call a function of `_socket` by name, or what gives the same answer, without blocking the hub."""
        raise NotImplementedError

    def getaddrinfo(
        self,
        host: str | bytes | None,
        port: str | int | bytes | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[AddressInfo]:
        """The addresses of a host and service; gaierror if there is none."""
        name = _text(host, (str, bytes))
        if not name or flags & AI_NUMERICHOST or is_numeric(name):
            found: list[AddressInfo] = _socket.getaddrinfo(host, port, family, type, proto, flags)
            return found
        found = self._known(name, port, family, type, proto, flags)
        return found or self._ask("getaddrinfo", _encode(name), port, family, type, proto, flags)

    def gethostbyname(self, hostname: str | bytes | bytearray) -> str:
        """The IPv4 address of a host."""
        name = _text(hostname)
        if name is None or name in WILDCARDS or is_numeric(name):
            return _socket.gethostbyname(hostname)  # type: ignore[arg-type]  # takes bytes too
        for entry in self.hosts.by_name(name):
            if entry.family == AF_INET:
                return entry.address
        answer: str = self._ask("gethostbyname", _encode(name))
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
        answer: tuple[str, list[str], list[str]] = self._ask("gethostbyname_ex", _encode(name))
        return answer

    def gethostbyaddr(self, ip_address: str | bytes | bytearray) -> tuple[str, list[str], list[str]]:
        """(canonical name, other names, addresses) of an address, or of a name."""
        name = _text(ip_address)
        if name is None or name in WILDCARDS:
            return _socket.gethostbyaddr(ip_address)  # type: ignore[arg-type]  # raises what is to be raised
        address = name
        if not is_numeric(name):
            entries = self.hosts.by_name(name)
            if not entries:
                answer: tuple[str, list[str], list[str]] = self._ask("gethostbyaddr", _encode(name))
                return answer
            address = entries[0].address
        for entry in self.hosts.by_address(address):
            return entry.names[0], list(entry.names[1:]), [entry.address]
        answer = self._ask("gethostbyaddr", address)
        return answer

    def getnameinfo(self, sockaddr: tuple[Any, ...], flags: int) -> tuple[str, str]:
        """(host, service) of a socket address, whose host must be numeric."""
        if flags & NI_NUMERICHOST and not flags & NI_NAMEREQD:
            return _socket.getnameinfo(sockaddr, flags)
        # Checks the argument as well: from here on it is an address.
        numeric = _socket.getnameinfo(sockaddr, NI_NUMERICHOST | flags & ~NI_NAMEREQD)
        for entry in self.hosts.by_address(numeric[0]):
            return entry.names[0], numeric[1]
        answer: tuple[str, str] = self._ask("getnameinfo", sockaddr, flags)
        return answer

    def _known(
        self, name: str, port: str | int | bytes | None, family: int, type: int, proto: int, flags: int
    ) -> list[AddressInfo]:
        """What the hosts file says, as getaddrinfo would; empty if it says nothing for this family."""
        entries = [entry for entry in self.hosts.by_name(name) if family in (0, entry.family)]
        if len({entry.family for entry in entries}) > 1:
            # As the C library does (RFC 6724 in short): what can be reached first, then IPv6 before IPv4.
            entries.sort(key=lambda entry: (not _reachable(entry), entry.family != AF_INET6))
        found: list[AddressInfo] = []
        for address in dict.fromkeys(entry.address for entry in entries):
            try:
                found += _socket.getaddrinfo(
                    address, port, family, type, proto, (flags | AI_NUMERICHOST) & ~AI_CANONNAME
                )
            except gaierror:
                # Not for this socket type or these flags; the others may be. A bad service is left to the C
                # library too, which knows the right error for it.
                continue
        if found and flags & AI_CANONNAME:
            found[0] = (*found[0][:3], entries[0].names[0], found[0][4])
        return found


def _encode(name: str) -> bytes:
    """The name as the network wants it; UnicodeError if it cannot be one.

    Done here and not by the C function in a thread: the codec is imported at its first use, and an import
    that waits for another thread's is better had in a greenlet.
    """
    return name.encode("idna")


def _reachable(entry: Entry) -> bool:
    """Whether there is a route; connecting a datagram socket sends nothing."""
    try:
        probe = _socket.socket(entry.family, SOCK_DGRAM)
    except OSError:
        return False  # the family is switched off
    try:
        probe.connect((entry.address, 9))
    except OSError:
        return False
    finally:
        probe.close()
    return True
