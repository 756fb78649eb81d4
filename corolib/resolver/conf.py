"""resolv.conf: which name servers to ask, how long, and what to add to short names.

Read as the C library reads it (resolv.conf(5)): what is not understood is passed over, an administrator's
mistake in one line does not make all names unknown. Read again whenever it changed.
"""

import os
from _socket import AF_INET6, gethostname
from collections.abc import Mapping
from typing import NamedTuple

from .numeric import pack

__all__ = ["Conf", "ConfFile", "Server", "parse", "parse_server"]

#: Limits of the C library.
MOST_SERVERS, MOST_NDOTS, MOST_TIMEOUT, MOST_ATTEMPTS = 3, 15, 30, 5


class Server(NamedTuple):
    """A name server."""

    address: str
    port: int = 53


class Conf(NamedTuple):
    """What a resolv.conf says."""

    servers: tuple[Server, ...] = (Server("127.0.0.1"),)
    #: Domains that are added to names with fewer than `ndots` dots, and tried for others that are not found.
    search: tuple[str, ...] = ()
    ndots: int = 1
    #: Seconds for each answer, and how often each server is asked.
    timeout: float = 5
    attempts: int = 2
    rotate: bool = False
    #: Whether to ask by TCP at once; for both kinds of address one after the other; for IPv4 only.
    use_tcp: bool = False
    one_by_one: bool = False
    no_ipv6: bool = False


def parse_server(text: str) -> Server:
    """192.0.2.1, 192.0.2.1:5353, 2001:db8::1 or [2001:db8::1]:5353. ValueError for anything else."""
    if pack(text) is not None:
        return Server(text)
    address, _, port = text.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
        ipv6 = True
    else:
        ipv6 = False
    packed = pack(address)
    if packed is None or (packed[0] == AF_INET6) != ipv6 or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(
            f"name server {text!r}: expected an address such as 192.0.2.1, 192.0.2.1:5353, 2001:db8::1 "
            "or [2001:db8::1]:5353"
        )
    return Server(address, int(port))


def _number(text: str, most: int) -> int | None:
    return min(int(text), most) if text.isdecimal() else None


def _options(words: list[str], found: dict[str, object]) -> None:
    for word in words:
        name, _, text = word.partition(":")
        number = _number(text, {"ndots": MOST_NDOTS, "timeout": MOST_TIMEOUT}.get(name, MOST_ATTEMPTS))
        if name in ("ndots", "timeout", "attempts") and number is not None:
            found[name] = number if name == "ndots" else max(number, 1)
        elif word == "rotate":
            found["rotate"] = True
        elif word == "use-vc":
            found["use_tcp"] = True
        elif word in ("single-request", "single-request-reopen"):
            found["one_by_one"] = True
        elif word == "no-aaaa":
            found["no_ipv6"] = True


def parse(text: str, environ: Mapping[str, str] = os.environ, hostname: str | None = None) -> Conf:
    """What the text of a resolv.conf says, and the environment variables LOCALDOMAIN and RES_OPTIONS. Without
    a search list the domain is that of this machine.
    """
    found: dict[str, object] = {}
    servers: list[Server] = []
    domain = (hostname or gethostname()).partition(".")[2]
    search: tuple[str, ...] = (domain,) if domain else ()
    for line in text.splitlines():
        words = line.split()
        if not words or line[0] in "#;" or line[0].isspace():
            continue
        if words[0] == "nameserver" and len(words) > 1 and pack(words[1]) is not None:
            servers.append(Server(words[1]))
        elif words[0] == "domain" and len(words) > 1:
            search = (words[1],)
        elif words[0] == "search" and len(words) > 1:
            search = tuple(words[1:])
        elif words[0] == "options":
            _options(words[1:], found)
    if environ.get("LOCALDOMAIN"):
        search = tuple(environ["LOCALDOMAIN"].split())
    _options(environ.get("RES_OPTIONS", "").split(), found)
    found["search"] = search
    if servers:
        found["servers"] = tuple(servers[:MOST_SERVERS])
    return Conf(**found)  # type: ignore[arg-type]  # each under its name


class ConfFile:
    """A resolv.conf, read again whenever it changed; looking whether it did costs one stat()."""

    def __init__(self, path: str = "/etc/resolv.conf") -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._conf = Conf()

    def read(self) -> Conf:
        """What it says; a file that is missing or may not be read says nothing, as an empty one."""
        try:
            status = os.stat(self.path)
            seen = (status.st_ino, status.st_size, status.st_mtime_ns)
            if seen == self._seen:
                return self._conf
            with open(self.path, encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            seen, text = (0, 0, 0), ""
            if seen == self._seen:
                return self._conf
        self._seen, self._conf = seen, parse(text)
        return self._conf
