"""The rows that getaddrinfo() makes of addresses, without asking the C library for each.

Which rows there are (one for each kind of socket) depends on what was asked for and on the family of the
address, never on the address itself. So the C library is asked once for each combination, and what it said is
filled in afterwards.
"""

import _socket
from _socket import AF_INET, AF_INET6, AI_CANONNAME, AI_NUMERICHOST, gaierror, inet_ntop, inet_pton
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

__all__ = ["Address", "AddressInfo", "Port", "numeric_rows", "rows"]

#: (family, type, protocol, canonical name, address), as `_socket.getaddrinfo` returns it.
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

#: A numeric address: its family, and its text in the usual form.
Address = tuple[int, str]

Port = str | int | bytes | None

#: An address of each family that every C library understands.
_SAMPLES = {AF_INET: "192.0.2.1", AF_INET6: "2001:db8::1"}


@lru_cache(256)
def _template(of: int, family: int, type: int, proto: int, flags: int) -> tuple[tuple[int, int, int], ...]:
    """(family, type, protocol) of each row for an address of family `of`. gaierror if there is none, which is
    not remembered.
    """
    found = _socket.getaddrinfo(_SAMPLES[of], 1, family, type, proto, flags | AI_NUMERICHOST)
    return tuple((int(row[0]), int(row[1]), row[2]) for row in found)


def numeric_rows(host: str, port: Port, family: int, type: int, proto: int) -> list[AddressInfo] | None:
    """The rows of a numeric address, of a port that is a number. None if it is anything else: the C library
    may know it, or knows the right error.
    """
    if port is None:
        port = 0
    elif port.__class__ is not int or not 0 <= port <= 65535:
        return None
    try:
        if ":" in host:
            template = _template(AF_INET6, family, type, proto, 0)
            where: tuple[Any, ...] = (inet_ntop(AF_INET6, inet_pton(AF_INET6, host)), port, 0, 0)
        elif host[-1:].isdigit():
            inet_pton(AF_INET, host)  # takes the form only that it also writes
            template = _template(AF_INET, family, type, proto, 0)
            where = (host, port)
        else:
            return None
    except OSError:  # and gaierror
        return None
    return [(family, type, proto, "", where) for family, type, proto in template]


def rows(
    addresses: Iterable[Address], port: Port, family: int, type: int, proto: int, flags: int
) -> list[AddressInfo]:
    """The rows of several addresses, without a canonical name. Those that do not fit what was asked for are
    left out. gaierror if there are addresses, but the service is not known.
    """
    found: list[AddressInfo] = []
    error: gaierror | None = None
    for of, address in addresses:
        here = None if flags else numeric_rows(address, port, of if family else 0, type, proto)
        if here is None:
            try:
                numeric = (flags | AI_NUMERICHOST) & ~AI_CANONNAME
                here = _socket.getaddrinfo(address, port, of if family else 0, type, proto, numeric)
            except gaierror as failure:
                error = failure
                continue
        found += here
    if not found and error is not None:
        raise error
    return found
