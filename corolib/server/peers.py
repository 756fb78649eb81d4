"""How many connections each address has, and whether it may have another."""

from ipaddress import ip_address
from typing import Any

__all__ = ["Peers", "is_private"]


class Peers(dict[str, int]):
    """Host -> how many of its connections are open. UNIX sockets have no host and are not counted."""

    __slots__ = ()

    def admit(self, address: Any, limit: int) -> bool:
        """Count one more connection of an address; False, and it is not counted, if it has `limit` already.

        Private addresses are counted and not limited: a proxy may be behind one.
        """
        if not isinstance(address, tuple) or not address:
            return True
        host = address[0]
        count = self.get(host, 0)
        if count >= limit and not is_private(host):
            return False
        self[host] = count + 1
        return True

    def dismiss(self, address: Any) -> None:
        """One of its connections is over."""
        if not isinstance(address, tuple) or not address:
            return
        host = address[0]
        count = self.get(host, 0)
        if count > 1:
            self[host] = count - 1
        else:
            self.pop(host, None)


def is_private(host: str) -> bool:
    """Whether it is none of the addresses of the internet."""
    try:
        return ip_address(host.partition("%")[0]).is_private
    except ValueError:
        return True
