"""Hosts that are no names: numeric addresses, and what stands for any address."""

import _socket
from _socket import AF_INET, AF_INET6, AI_NUMERICHOST, SOCK_DGRAM, gaierror, inet_pton

__all__ = ["WILDCARDS", "is_numeric", "pack"]

#: What `_socket` reads as "any address" and "everybody" where it takes a host.
WILDCARDS = ("", "<broadcast>")


def pack(address: str) -> tuple[int, bytes] | None:
    """Family and bytes of a numeric address (a scope such as %eth0 is left aside).

    Or None if it is not one.
    """
    for family in (AF_INET, AF_INET6):
        try:
            return family, inet_pton(family, address.partition("%")[0])
        except OSError:
            continue
    return None


def is_numeric(host: str) -> bool:
    """Whether the C library takes the host for an address: 127.0.0.1, ::1.

    Fe80::1%eth0 and old forms as 127.1.
    """
    # A name cannot hold a colon, an address without one begins with a digit.
    if ":" not in host and not host[:1].isdigit():
        return False
    if pack(host) is not None:
        return True
    try:
        _socket.getaddrinfo(host, None, 0, SOCK_DGRAM, 0, AI_NUMERICHOST)
    except (gaierror, UnicodeError):
        return False
    return True
