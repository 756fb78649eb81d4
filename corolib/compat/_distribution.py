"""What importlib.metadata says of a library that is stood in for."""

from importlib.metadata import Distribution
from os import PathLike
from typing import NoReturn

from ._alias import Library

__all__ = ["AliasDistribution"]


class AliasDistribution(Distribution):
    """An installed package with a name and a version, and no files."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def read_text(self, filename: str | PathLike[str]) -> str | None:
        if str(filename) not in ("METADATA", "PKG-INFO"):
            return None
        return (
            "Metadata-Version: 2.1\n"
            f"Name: {self._library.name}\n"
            f"Version: {self._library.version}\n"
            f"Summary: served by corolib.compat, under the names of {self._library.name}\n"
        )

    def locate_file(self, path: str | PathLike[str]) -> NoReturn:
        raise FileNotFoundError(f"{self._library.name} is served by corolib.compat: it has no file {path}")
