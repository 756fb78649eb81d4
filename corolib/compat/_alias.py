"""Modules made from a table, and the finder that serves them.

A row says for one module of a library which names it has and what each is here. The module built from it
holds nothing of its own: a name is fetched when it is first used and is the very object that corolib has, so
`is`, `isinstance` and `except` mean the same under both names. Assigning goes through to the module of
corolib whose code looks the name up, so that tools which replace `gevent.hub.spawn_raw` replace what is
called.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from operator import attrgetter
from types import CodeType, ModuleType
from typing import Any, NamedTuple

__all__ = ["Alias", "Finder", "Library", "Row", "row"]

_PACKAGE = __name__.split(".")[0]


class Row(NamedTuple):
    """One module of a library."""

    #: Our module that most of its names are in: ".event" for corolib.event, "." for corolib; "" for none.
    source: str
    #: What it has of the source, under the same names; None: whatever the source has.
    names: frozenset[str] | None
    #: What is somewhere else or is called otherwise: name -> "module:attribute".
    moved: Mapping[str, str]
    #: What the library has and we do not: name -> why.
    absent: Mapping[str, str]
    #: Plain values.
    values: Mapping[str, object]
    #: What `python -m` on it calls: "module:function".
    main: str

    def path(self, name: str) -> str | None:
        """Where a name is: "module:attribute"; None if the table does not list it."""
        if name in self.moved:
            return self.moved[name]
        if self.source and name not in self.absent:
            if name in self.names if self.names is not None else not name.startswith("__"):
                return f"{self.source}:{name}"
        return None

    def known(self) -> set[str]:
        """All names that it lists; of a source that stands in for all of a module, those that are public."""
        public = self.names
        if public is None:
            public = frozenset(name for name in dir(_module(self.source)) if not name.startswith("_"))
        return {*public, *self.moved, *self.values} - {*self.absent}


def row(
    source: str = "",
    names: str | None = "",
    moved: Mapping[str, str] | None = None,
    absent: Mapping[str, str] | None = None,
    values: Mapping[str, object] | None = None,
    main: str = "",
) -> Row:
    """A Row, of names as words with blanks between them."""
    chosen = None if names is None else frozenset(names.split())
    return Row(source, chosen, moved or {}, absent or {}, values or {}, main)


class Library(NamedTuple):
    """A library that is stood in for."""

    name: str
    #: Of the release whose names the table has: what those are told who ask for it.
    version: str
    #: Where the table is, for error messages.
    table: str
    rows: Mapping[str, Row]


def _module(path: str) -> ModuleType:
    if not path.startswith("."):
        return import_module(path)
    return import_module(path if path != "." else _PACKAGE, _PACKAGE)


def find(path: str) -> Any:
    """The object at "module:attribute"."""
    module, _, attribute = path.partition(":")
    return attrgetter(attribute)(_module(module))


class Alias(ModuleType):
    """A module made from a row."""

    _row: Row
    _library: Library

    def __init__(self, library: Library, name: str) -> None:
        about = f"Stands in for {name} of {library.name} {library.version}: see corolib.compat."
        super().__init__(name, about)
        own = vars(self)
        own.update(_row=library.rows[name], _library=library, __file__=library.table)
        own.update(self._row.values)

    def __getattr__(self, name: str) -> Any:
        path = self._row.path(name)
        if name == "__all__":
            return sorted(each for each in self._row.known() if not each.startswith("_"))
        if path is None:
            return self._submodule(name)
        value = vars(self)[name] = find(path)
        return value

    def _submodule(self, name: str) -> ModuleType:
        """A module below this one: the library's own root imports most of its modules at once."""
        full = f"{self.__name__}.{name}"
        if full in self._library.rows and not name.startswith("__"):
            return import_module(full)
        why = self._row.absent.get(name, "its table does not list it")
        raise AttributeError(
            f"{self.__name__} has no {name!r} here: {why} ({self._library.table})", name=name, obj=self
        )

    def __setattr__(self, name: str, value: object) -> None:
        target = self._target(name)
        if target is not None:
            setattr(target, name, value)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        target = self._target(name)
        if target is None:
            super().__delattr__(name)
            return
        delattr(target, name)
        vars(self).pop(name, None)

    def _target(self, name: str) -> ModuleType | None:
        """The module of ours whose code looks up what is called `name` here."""
        path = self._row.path(name) or ""
        module, _, attribute = path.partition(":")
        return _module(module) if attribute == name and module.startswith(".") else None

    def __dir__(self) -> list[str]:
        public = self._row.names if self._row.names is not None else dir(_module(self._row.source))
        return sorted({*vars(self), *public, *self._row.moved} - {*self._row.absent})


class Finder:
    """An entry of sys.meta_path: finder and loader of the libraries' modules."""

    def __init__(self, libraries: Iterable[Library]) -> None:
        self.libraries = {library.name: library for library in libraries}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        library = self.libraries.get(fullname.partition(".")[0])
        if library is None:
            return None
        if fullname not in library.rows:
            raise ModuleNotFoundError(
                f"corolib.compat has no {fullname}: its table does not list it ({library.table})",
                name=fullname,
            )
        below = fullname + "."
        package = any(name.startswith(below) for name in library.rows)
        # A loader as importlib calls one; its base class would bring half of the standard library in.
        loader: Any = self
        return ModuleSpec(fullname, loader, origin=library.table, is_package=package)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Alias(self.libraries[spec.name.partition(".")[0]], spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: its names come when they are asked for. But a module without its source is not there."""
        source = module._row.source if isinstance(module, Alias) else ""
        if source:
            _module(source)

    def get_code(self, fullname: str) -> CodeType | None:
        """What `python -m` is to run."""
        main = self.libraries[fullname.partition(".")[0]].rows[fullname].main
        if not main:
            return None
        module, _, function = main.partition(":")
        return compile(f"from {_PACKAGE}{module} import {function}\n{function}()\n", f"<{fullname}>", "exec")

    def is_package(self, fullname: str) -> bool:
        spec = self.find_spec(fullname)
        return spec is not None and spec.submodule_search_locations is not None

    def get_source(self, fullname: str) -> None:
        return None

    def find_distributions(self, context: Any) -> Iterator[Any]:
        """What importlib.metadata tells those who ask for the library's version."""
        # Whoever asks has imported it.
        from ._distribution import AliasDistribution

        for library in self.libraries.values():
            if library.version and context.name in (None, library.name):
                yield AliasDistribution(library)

    def modules(self) -> list[str]:
        """Those that have been imported."""
        return [
            name
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] in self.libraries and isinstance(module, Alias)
        ]
