"""Which symbols of the C library decide how old it may be? Run by tools/wheels.py, where pyelftools is.

    python tools/newest_symbols.py WHEEL

Prints the newest version that any extension or library of the wheel asks for, and by which symbols, such as
"2.28 by fcntl64 in corolib/_hub/_core.cpython-311-x86_64-linux-gnu.so".
"""

import io
import sys
import zipfile
from collections.abc import Iterator

from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection, GNUVerSymSection
from elftools.elf.sections import SymbolTableSection

PREFIX = "GLIBC_"


def needed(elf: ELFFile) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and version of each symbol that the C library has to have."""
    versions = {}
    for section in elf.iter_sections():
        if isinstance(section, GNUVerNeedSection):
            versions = {
                v["vna_other"]: v.name for _, auxiliaries in section.iter_versions() for v in auxiliaries
            }
    symbols = next(
        s for s in elf.iter_sections() if isinstance(s, SymbolTableSection) and s.name == ".dynsym"
    )
    marks = next(s for s in elf.iter_sections() if isinstance(s, GNUVerSymSection))
    for symbol, mark in zip(symbols.iter_symbols(), marks.iter_symbols(), strict=True):
        version = versions.get(mark["ndx"], "")
        if version.startswith(PREFIX):
            yield symbol.name, tuple(map(int, version.removeprefix(PREFIX).split(".")))


def main(wheel: str) -> None:
    newest: tuple[int, ...] = ()
    found: list[str] = []
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            content = archive.read(name)
            if not content.startswith(b"\x7fELF"):
                continue
            for symbol, version in needed(ELFFile(io.BytesIO(content))):
                if version > newest:
                    newest, found = version, []
                if version == newest:
                    found.append(f"{symbol} in {name}")
    print(f"{'.'.join(map(str, newest))} by {', '.join(found)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
