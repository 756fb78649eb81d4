"""Names of all kinds, and what is asked about them: the resolver `dns` answers as the C library does."""

import socket
from collections.abc import Iterator
from typing import Any

#: In the resolv.conf that goes with it.
SEARCH = ("first.test", "second.test", "Third.test")

HOSTS = """\
127.0.0.1 localhost
::1 localhost
192.0.2.50 hosts-four.test alias-four
192.0.2.51 hosts-both.test
2001:db8::51 hosts-both.test alias-both
2001:db8::52 hosts-six.test
192.0.2.53 shadowed.test
"""

LONG = "x" * 63


def records() -> Iterator[str]:
    """What the name server knows."""
    for n in range(40):
        yield f"one{n}.test. 60 A 198.51.100.{n + 1}"
        yield f"{n + 1}.100.51.198.in-addr.arpa. 60 PTR one{n}.test."
    for n in range(10):
        for m in range(n % 4 + 2):
            yield f"many{n}.test. 60 A {(10, 172, 192, 203)[m % 4]}.{16 + n}.{m}.{(7 * m + n) % 250 + 1}"
        yield f"six{n}.test. 60 AAAA 2001:db8:1::{n + 1:x}"
        for m in range(n % 3 + 2):
            yield f"sixes{n}.test. 60 AAAA 2001:db8:{(m * 5 + n) % 7:x}::{m + 1:x}"
    for n in range(20):
        yield f"both{n}.test. 60 A 198.51.100.{n + 101}"
        yield f"both{n}.test. 60 AAAA 2001:db8:2::{n + 1:x}"
        if n % 2:
            yield f"both{n}.test. 60 A 203.0.113.{n + 1}"
            prefix = ("fd00::", "fe80::", "2002:c000:201::", "fec0::", "2001:0:1::")[n % 5]
            yield f"both{n}.test. 60 AAAA {prefix}{n:x}"
    # Aliases: of what exists, of what has the other kind of address only, of nothing, of each other
    yield "alias0.test. 60 CNAME both1.test."
    for n in range(1, 12):
        yield f"alias{n}.test. 60 CNAME alias{n - 1}.test."
    yield "alias-one.test. 60 CNAME one1.test."
    yield "alias-six.test. 60 CNAME six1.test."
    yield "Alias-Case.test. 60 CNAME ONE2.Test."
    yield "alias-none.test. 60 CNAME there-is-none.test."
    yield "alias-text.test. 60 CNAME text0.test."
    yield "loop0.test. 60 CNAME loop1.test."
    yield "loop1.test. 60 CNAME loop0.test."
    yield "self.test. 60 CNAME self.test."
    yield "alias-bad.test. 60 CNAME bad\\032name.test."
    yield "bad\\032name.test. 60 A 198.51.100.200"
    yield "alias-dash.test. 60 CNAME -dash.test."
    yield "-dash.test. 60 A 198.51.100.201"
    yield "under_score.test. 60 A 198.51.100.202"
    yield "_under.test. 60 A 198.51.100.203"
    yield "star*.test. 60 A 198.51.100.204"
    yield "shell;.test. 60 A 198.51.100.205"
    # Nothing that was asked for
    for n in range(5):
        yield f"text{n}.test. 60 TXT nothing"
    yield "a.b.inner.test. 60 A 198.51.100.206"
    for rcode in ("SERVFAIL", "REFUSED", "FORMERR", "NOTIMP", "YXDOMAIN", "NOTAUTH"):
        yield f"{rcode.lower()}.test. 60 RCODE {rcode}"
    # Large: does not fit a datagram
    for n in range(100):
        yield f"big.test. 60 A 10.9.{n // 10}.{n % 10 + 1}"
    for n in range(60):
        yield f"big6.test. 60 AAAA 2001:db8:9::{n + 1:x}"
    yield "zero.test. 0 A 198.51.100.207"
    yield f"{LONG}.test. 60 A 198.51.100.208"
    yield f"{LONG}.{LONG}.{LONG}.test. 60 A 198.51.100.209"
    yield "xn--kse-qla.test. 60 A 198.51.100.210"
    yield "xn--bcher-kva.test. 60 AAAA 2001:db8::210"
    yield "shadowed.test. 60 A 198.51.100.211"
    yield "127.test. 60 A 198.51.100.212"
    yield "1.2.3.4.test. 60 A 198.51.100.213"
    yield "plain. 60 A 198.51.100.214"
    yield "mapped.test. 60 AAAA ::ffff:198.51.100.215"
    yield "twice.test. 60 A 198.51.100.216"
    yield "twice.test. 60 A 198.51.100.216"
    yield "loopback.test. 60 A 127.0.0.2"
    yield "loopback.test. 60 AAAA ::1"
    # Short names
    yield "short1.first.test. 60 A 198.51.100.220"
    yield "short2.second.test. 60 A 198.51.100.221"
    yield "short2.second.test. 60 AAAA 2001:db8::221"
    yield "short3.Third.test. 60 AAAA 2001:db8::222"
    yield "short4.first.test. 60 TXT nothing"
    yield "short4.second.test. 60 A 198.51.100.223"
    yield "short5.first.test. 60 TXT nothing"
    yield "short6.first.test. 60 RCODE SERVFAIL"
    yield "short6.second.test. 60 A 198.51.100.224"
    yield "short7.first.test. 60 RCODE SERVFAIL"
    yield "short8.first.test. 60 RCODE REFUSED"
    yield "short9.first.test. 60 RCODE FORMERR"
    yield "short9.second.test. 60 A 198.51.100.225"
    yield "sub.short.second.test. 60 A 198.51.100.226"
    yield "sub.text.first.test. 60 TXT nothing"
    yield "sub.text. 60 TXT nothing"
    yield "sub.fail. 60 RCODE SERVFAIL"
    yield "sub.fail.first.test. 60 A 198.51.100.227"
    yield "short-alias.first.test. 60 CNAME both3.test."
    # Names of addresses
    yield "1.113.0.203.in-addr.arpa. 60 PTR several1.test."
    yield "1.113.0.203.in-addr.arpa. 60 PTR several2.test."
    yield "2.113.0.203.in-addr.arpa. 60 CNAME 2.classless.test."
    yield "2.classless.test. 60 PTR classless.test."
    yield "3.113.0.203.in-addr.arpa. 60 TXT nothing"
    yield "4.113.0.203.in-addr.arpa. 60 RCODE SERVFAIL"
    yield "5.113.0.203.in-addr.arpa. 60 RCODE REFUSED"
    yield "6.113.0.203.in-addr.arpa. 60 PTR bad\\032name.test."
    yield "7.113.0.203.in-addr.arpa. 60 PTR shell\\;.test."
    yield f"{'.'.join('11000000000000000000000080bd0200'[::1])}.ip6.arpa. 60 PTR six.test."
    yield f"{'.'.join('b100000000000000000000008bd01002'[::-1])}.ip6.arpa. 60 PTR other.test."


NAMES: tuple[str | bytes, ...] = (
    *(f"one{n}.test" for n in range(40)),
    *(f"many{n}.test" for n in range(10)),
    *(f"six{n}.test" for n in range(10)),
    *(f"sixes{n}.test" for n in range(10)),
    *(f"both{n}.test" for n in range(20)),
    *(f"alias{n}.test" for n in range(12)),
    *(f"alias-{word}.test" for word in ("one", "six", "Case", "none", "text", "bad", "dash")),
    *(
        "loop0.test",
        "self.test",
        "-dash.test",
        "under_score.test",
        "_under.test",
        "star*.test",
        "shell;.test",
    ),
    *("bad name.test", "text0.test", "text1.test", "inner.test", "b.inner.test", "a.b.inner.test"),
    *(f"{word}.test" for word in ("servfail", "refused", "formerr", "notimp", "yxdomain", "notauth")),
    *(f"none{n}.test" for n in range(10)),
    *("big.test", "big6.test", "zero.test", f"{LONG}.test", f"{LONG}.{LONG}.{LONG}.test"),
    *(
        "käse.test",
        "KÄSE.test",
        "bücher.test",
        "xn--kse-qla.test",
        "shadowed.test",
        "127.test",
        "1.2.3.4.test",
    ),
    *("ONE3.TEST", "One4.Test.", "one5.test.", "both5.test.", "none.test.", "mapped.test", "twice.test"),
    *("loopback.test", "plain", "plain.", "test", "test.", "in-addr.arpa", "1.100.51.198.in-addr.arpa"),
    *(f"short{n}" for n in range(1, 11)),
    *("short1.", "SHORT1", "short-alias", "sub.short", "sub.text", "sub.fail", "sub.none", "sub.short."),
    *(
        "one6.test.first.test",
        "one7",
        "both7.test ",
        " one8.test",
        "one9\ttest",
        "one10..test",
        ".one11.test",
    ),
    *(
        LONG + "x.test",
        ".".join(["y" * 60] * 5) + ".test",
        "a" * 300,
        ".",
        "..",
        "-",
        "_",
        "*",
        "1",
        "1.",
        "0x",
    ),
    *("hosts-four.test", "HOSTS-FOUR.test.", "alias-four", "hosts-both.test", "alias-both", "hosts-six.test"),
    *(
        "localhost",
        "localhost.",
        "127.0.0.1",
        "127.1",
        "::1",
        "2001:db8::51",
        "192.0.2.50",
        "1.2.3.4.5",
        "256.1.1.1",
    ),
    *(b"one12.test", b"k\xc3\xa4se.test", b"\xff.test", b"one13.test.", b"short2"),
)

ADDRESSES = (
    *(f"198.51.100.{n + 1}" for n in range(5)),
    *(f"203.0.113.{n + 1}" for n in range(8)),
    *("192.0.2.50", "192.0.2.51", "127.0.0.1", "::1", "2001:db8::51", "2001:db8::52", "2001:db8::99"),
    *("2001:db8::1b", "::ffff:198.51.100.1", "0.0.0.0", "255.255.255.255"),
)


def questions() -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Function and arguments."""
    stream = socket.SOCK_STREAM
    flags = [
        0,
        socket.AI_CANONNAME,
        socket.AI_ADDRCONFIG,
        socket.AI_V4MAPPED,
        socket.AI_V4MAPPED | socket.AI_ALL,
    ]
    for name in NAMES:
        for family in (0, socket.AF_INET, socket.AF_INET6):
            yield "getaddrinfo", (name, 80, family, stream)
        yield "getaddrinfo", (name, "https")
        yield "getaddrinfo", (name, None, 0, stream, 0, socket.AI_CANONNAME)
        yield "gethostbyname", (name,)
        yield "gethostbyname_ex", (name,)
        yield "gethostbyaddr", (name,)
    for name in (
        "one1.test",
        "six1.test",
        "both1.test",
        "both3.test",
        "alias5.test",
        "none1.test",
        "text1.test",
    ):
        for family in (0, socket.AF_INET, socket.AF_INET6):
            for flag in flags:
                yield "getaddrinfo", (name, 80, family, stream, 0, flag)
        for flag in (socket.AI_NUMERICHOST, socket.AI_NUMERICSERV, socket.AI_PASSIVE):
            yield "getaddrinfo", (name, "80", 0, stream, 0, flag)
            yield "getaddrinfo", (name, "http", 0, stream, 0, flag)
        for port in ("no-such-service", -1, 65536, "", "80", b"80", 0):
            yield "getaddrinfo", (name, port, 0, stream)
        for kind, proto in (
            (0, 0),
            (socket.SOCK_DGRAM, 0),
            (socket.SOCK_RAW, 0),
            (stream, 17),
            (0, 6),
            (77, 0),
        ):
            yield "getaddrinfo", (name, 53, 0, kind, proto)
        yield "getaddrinfo", (name, 80, 77, stream)
    for address in ADDRESSES:
        yield "gethostbyaddr", (address,)
        where = (address, 80) if ":" not in address else (address, 80, 0, 0)
        for flag in (
            0,
            socket.NI_NAMEREQD,
            socket.NI_NUMERICHOST,
            socket.NI_NUMERICSERV,
            socket.NI_DGRAM,
            3,
            9,
        ):
            yield "getnameinfo", (where, flag)


def _dead(outcome: Any, *errors: int) -> bool:
    return isinstance(outcome, list) and outcome[:1] == ["gaierror"] and outcome[1] in errors


def excused(function: str, args: tuple[Any, ...], theirs: Any, ours: Any) -> str | None:
    """Why the two may differ here; None if they may not."""
    name = args[0] if isinstance(args[0], str) else ""
    if _dead(theirs, socket.EAI_NONAME) and _dead(ours, socket.EAI_NODATA):
        # An alias of nothing: NODATA from the C library for one family, NONAME for the other and for both.
        if name.startswith(("alias-", "loop", "self")):
            return "NODATA for an alias of nothing, whichever the family"
    if _dead(theirs, socket.EAI_NONAME) and _dead(ours, socket.EAI_AGAIN):
        # The C library says AGAIN for both families and for IPv6, but NONAME for IPv4 alone.
        if name in ("servfail.test", "refused.test", "notimp.test", "short7"):
            return "a server that fails has not said that there is no such name"
    if isinstance(theirs, list) and isinstance(ours, list) and _without_doubles(theirs) == ours:
        return "each address once"
    if name in ("HOSTS-FOUR.test.", "localhost.") and _dead(theirs, socket.EAI_NONAME):
        return "the hosts file knows complete names, too"
    if function == "gethostbyaddr":
        if (
            name in ("203.0.113.6", "203.0.113.7")
            and theirs[:2] == ["herror", 2]
            and ours[:2] == ["herror", 4]
        ):
            return "what cannot be the name of a host is none, not a temporary failure"
        if name.startswith("::ffff:") and theirs[0] == "OSError":
            return "Python cannot do this"
    return None


def _without_doubles(outcome: list[Any]) -> list[Any]:
    """Of getaddrinfo() the rows, of gethostbyname_ex() the parts, each value once."""
    kept: list[Any] = []
    known: list[Any] = []
    for each in outcome:
        if isinstance(each, list) and each and isinstance(each[0], str):
            each = list(dict.fromkeys(each))
        is_row = isinstance(each, list) and len(each) == 5 and isinstance(each[0], int)
        key = (each[:3], each[4]) if is_row else each  # only the first row has the canonical name
        if key not in known or not each:
            kept.append(each)
            known.append(key)
    return kept
