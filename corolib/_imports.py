"""Being told when a module has been imported: also one that comes later, or once more.

A finder stands in front of all others. It finds nothing itself: for a module that somebody waits for it has
the others find it, and sees to it that those who wait are called right after its code has run, before whoever
imports it gets it. By the way it notes who imports what.
"""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any

__all__ = ["at_next_import", "importers", "when_imported"]

#: Module -> who is to be called with it, in that order.
_waiting: dict[str, list[Callable[[ModuleType], object]]] = {}

#: Module -> the module that imported it first, of those that were imported since the finder is there.
importers: dict[str, str] = {}


def when_imported(name: str, function: Callable[[ModuleType], object]) -> None:
    """Call function(module) right after the import of a module: now, if it has been imported.

    Again for each new import of it, by importlib.reload() or after it was taken out of sys.modules. What the
    function raises goes to whoever imports it.
    """
    at_next_import(name, function)
    module = sys.modules.get(name)
    if module is not None:
        function(module)


def at_next_import(name: str, function: Callable[[ModuleType], object]) -> None:
    """The same, but not for a module that has been imported already, unless it is imported once more."""
    if not any(each is _finder for each in sys.meta_path):
        sys.meta_path.insert(0, _finder)
    _waiting.setdefault(name, []).append(function)


class _Finder:
    """An entry of sys.meta_path."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in importers:
            importer = _importer()
            if importer is not None:
                importers[name] = importer
        if name not in _waiting:
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if finder is not self and find is not None:
                spec: ModuleSpec | None = find(name, path, target)
                if spec is not None:
                    if hasattr(spec.loader, "exec_module"):
                        loader: Any = _Loader(spec.loader)
                        spec.loader = loader
                    return spec
        return None


class _Loader:
    """Stands in for a module's loader until the module is loaded; in all else it is that one."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        # Some look at it: the module is to be made as if this one were not there.
        spec.loader = self._loader
        try:
            module: ModuleType | None = self._loader.create_module(spec)
        finally:
            spec.loader = self  # type: ignore[assignment]  # it does what a loader has to
        return module

    def exec_module(self, module: ModuleType) -> None:
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        for function in list(_waiting.get(module.__name__, ())):
            function(module)


_finder = _Finder()


def _importer() -> str | None:
    """The module whose code imports something: the first in the stack that is not the import system."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if isinstance(name, str) and not name.startswith(("importlib.", "_frozen_importlib")):
            return name
        frame = frame.f_back
    return None
