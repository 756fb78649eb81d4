"""In which order the addresses of a host are to be tried: the rules of RFC 6724, section 6, as the GNU C
library's getaddrinfo() follows them.

Left out are the rules that need more than a socket can tell: deprecated and home addresses (3 and 4), native
transport (7), and the table that an administrator may have written into /etc/gai.conf. Rule 9 (longest
prefix) is for IPv6 only: the masks of IPv4's networks, which it would need, are not looked at.
"""

import _socket
from _socket import AF_INET6, SOCK_DGRAM, inet_pton
from collections.abc import Callable, Iterable
from functools import cmp_to_key
from typing import NamedTuple

from .rows import Address

__all__ = ["in_order", "source_of"]

#: Prefix, its length in bits, precedence, label; the longest that fits counts. That library's own table,
#: which is the older one of RFC 3484: what is wanted here is its order.
POLICY = tuple(
    (int.from_bytes(inet_pton(AF_INET6, prefix)), length, precedence, label)
    for prefix, length, precedence, label in (
        ("::1", 128, 50, 0),
        ("::ffff:0:0", 96, 10, 4),
        ("::", 96, 20, 3),
        ("2001::", 32, 40, 7),
        ("2002::", 16, 30, 2),
        ("fec0::", 10, 40, 5),
        ("fc00::", 7, 40, 6),
        ("::", 0, 40, 1),
    )
)

LINK, SITE, GLOBAL = 2, 5, 14


class _Judged(NamedTuple):
    """An address, and what the rules look at. Of the source only if there is one."""

    address: Address
    reachable: bool
    scopes_match: bool
    labels_match: bool
    precedence: int
    scope: int
    #: Bits that an IPv6 address has in common with its source; -1: rule 9 does not apply.
    prefix: int


def _number(address: Address) -> int:
    """As an IPv6 address, in which IPv4 has its place (section 3.2)."""
    family, text = address
    packed = inet_pton(family, text.partition("%")[0])
    return int.from_bytes(packed if family == AF_INET6 else bytes(10) + b"\xff\xff" + packed)


def _policy(number: int) -> tuple[int, int]:
    """Precedence and label."""
    return next((row[2], row[3]) for row in POLICY if (number ^ row[0]) >> (128 - row[1]) == 0)


def _scope(number: int) -> int:
    if number >> 32 == 0xFFFF:  # IPv4 (section 3.2)
        first, second = number >> 24 & 0xFF, number >> 16 & 0xFF
        return LINK if first == 127 or (first, second) == (169, 254) else GLOBAL
    if number >> 120 == 0xFF:
        return number >> 112 & 0xF  # multicast says it itself
    if number == 1 or number >> 118 == 0xFE80 >> 6:
        return LINK
    return SITE if number >> 118 == 0xFEC0 >> 6 else GLOBAL


def source_of(address: Address) -> str | None:
    """The address that a packet to this one would leave with; None if there is no route. Connecting a
    datagram socket sends nothing.
    """
    family, text = address
    try:
        probe = _socket.socket(family, SOCK_DGRAM)
    except OSError:
        return (
            None  # the family is switched off, or there is no descriptor left: then order is the least worry
        )
    try:
        probe.connect((text, 9))
        source: str = probe.getsockname()[0]
        return source
    except OSError:
        return None
    finally:
        probe.close()


def _judge(address: Address, source: str | None) -> _Judged:
    number = _number(address)
    precedence, label = _policy(number)
    scope = _scope(number)
    if source is None:
        return _Judged(address, False, False, False, precedence, scope, -1)
    own = _number((address[0], source))
    prefix = 128 - (number ^ own).bit_length() if address[0] == AF_INET6 else -1
    return _Judged(address, True, scope == _scope(own), label == _policy(own)[1], precedence, scope, prefix)


def _compare(one: _Judged, other: _Judged) -> int:
    """Below 0 if `one` is to be tried first."""
    for better, worse in (
        (one.reachable, other.reachable),  # rule 1
        (one.scopes_match, other.scopes_match),  # 2
        (one.labels_match, other.labels_match),  # 5
        (one.precedence, other.precedence),  # 6
        (other.scope, one.scope),  # 8
    ):
        if better != worse:
            return -1 if better > worse else 1
    if one.prefix >= 0 and other.prefix >= 0:  # 9
        return other.prefix - one.prefix
    return 0  # 10: as they came


def in_order(
    addresses: Iterable[Address], source_of: Callable[[Address], str | None] = source_of
) -> list[Address]:
    """The addresses, each once, best first. Never blocks."""
    each = list(dict.fromkeys(addresses))
    if len(each) < 2:
        return each
    judged = [_judge(address, source_of(address)) for address in each]
    return [row.address for row in sorted(judged, key=cmp_to_key(_compare))]
