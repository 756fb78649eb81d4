"""The hosts file: names and addresses that are known without asking anybody.

The file is read again whenever it changed, so that an entry added while the program runs is seen at the next
lookup; looking whether it did costs one stat().
"""

import os
from _socket import AF_INET, AF_INET6
from typing import NamedTuple

from .numeric import pack

__all__ = ["Entry", "HostsFile"]


class Entry(NamedTuple):
    """One line of the file: an address and its names, the canonical one first."""

    family: int
    address: str
    names: tuple[str, ...]


def _plain(name: str) -> str:
    """Names are compared without case; a last dot says only that the name is complete."""
    return name.lower().removesuffix(".")


#: What every machine knows, whether its hosts file says so or not (RFC 6761, 6.3).
LOOPBACK = (Entry(AF_INET, "127.0.0.1", ("localhost",)), Entry(AF_INET6, "::1", ("localhost",)))


class HostsFile:
    """Look up by name or by address. Never blocks for longer than reading a small local file takes."""

    def __init__(self, path: str = "/etc/hosts") -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._by_name: dict[str, list[Entry]] = {}
        self._by_address: dict[tuple[int, bytes], list[Entry]] = {}
        self._index(())

    def by_name(self, name: str) -> list[Entry]:
        """The entries that bear a name, in the order of the file; none if it is not there."""
        self._refresh()
        return self._by_name.get(_plain(name), [])

    def by_address(self, address: str) -> list[Entry]:
        """The entries of a numeric address, in the order of the file."""
        self._refresh()
        key = pack(address)
        return self._by_address.get(key, []) if key else []

    def _refresh(self) -> None:
        try:
            status = os.stat(self.path)
            seen = (status.st_ino, status.st_size, status.st_mtime_ns)
            if seen == self._seen:
                return
            with open(self.path, encoding="utf-8", errors="replace") as lines:
                entries = [entry for line in lines if (entry := self._parse(line)) is not None]
        except OSError:
            # No file, or none that we may read: what it said last does not hold any more.
            seen, entries = (0, 0, 0), []
            if seen == self._seen:
                return
        self._seen = seen
        self._index(entries)

    @staticmethod
    def _parse(line: str) -> Entry | None:
        """An entry.

        Or None for comments and for lines that are not understood (the C library skips them too).
        """
        words = line.partition("#")[0].split()
        if len(words) < 2 or (packed := pack(words[0])) is None:
            return None
        return Entry(packed[0], words[0], tuple(words[1:]))

    def _index(self, entries: list[Entry] | tuple[()]) -> None:
        # Built aside and then set, so that a lookup never sees half of a file.
        by_name: dict[str, list[Entry]] = {}
        by_address: dict[tuple[int, bytes], list[Entry]] = {}
        for entry in entries:
            for name in dict.fromkeys(map(_plain, entry.names)):
                by_name.setdefault(name, []).append(entry)
            if (key := pack(entry.address)) is not None:
                by_address.setdefault(key, []).append(entry)
        by_name.setdefault("localhost", list(LOOPBACK))
        for entry in LOOPBACK:
            if (key := pack(entry.address)) is not None:
                by_address.setdefault(key, [entry])
        self._by_name, self._by_address = by_name, by_address
