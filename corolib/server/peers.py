"""How many connections each address has, and whether it may have another."""

from _socket import AF_INET6, inet_pton
from ipaddress import ip_address
from typing import Any

__all__ = ["Peers", "is_private", "whose"]

#: What an IPv4 address begins with where a socket of IPv6 shows it.
_MAPPED = "::ffff:"


class Peers(dict[str, int]):
    """Whose address -> how many connections of it are open. UNIX sockets have none and are not counted."""

    __slots__ = ()

    def admit(self, address: Any, limit: int) -> bool:
        """Count one more connection of an address; False, and it is not counted, if it has `limit` already.

        Private addresses are counted and not limited: a proxy may be behind one.
        """
        if not isinstance(address, tuple) or not address:
            return True
        host = address[0]
        key = whose(host)
        count = self.get(key, 0)
        if count >= limit and not is_private(host):
            return False
        self[key] = count + 1
        return True

    def dismiss(self, address: Any) -> None:
        """One of its connections is over."""
        if not isinstance(address, tuple) or not address:
            return
        key = whose(address[0])
        count = self.get(key, 0)
        if count > 1:
            self[key] = count - 1
        else:
            self.pop(key, None)


def whose(host: str) -> str:
    """What connections are counted by: an IPv4 address; of one of IPv6 the network of 64 bits that it is in,
    for whoever has one of those addresses has all of them.
    """
    if ":" not in host:
        return host
    if host.startswith(_MAPPED) and "." in host:
        return host.removeprefix(_MAPPED)
    try:
        return inet_pton(AF_INET6, host.partition("%")[0])[:8].hex()
    except (OSError, ValueError):
        return host


def is_private(host: str) -> bool:
    """Whether it is none of the addresses of the internet."""
    try:
        return ip_address(host.partition("%")[0]).is_private
    except ValueError:
        return True
