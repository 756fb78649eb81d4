"""Who still holds what patching has replaced: a walk through all modules.

Patching sets names in the standard library's modules. Whoever took an object from there before
(`from time import sleep`) keeps it, and blocks every greenlet with it. Such references are found where
programs keep them: in the globals of modules, in containers that are globals, in classes, in the arguments
that functions have by default, in what functions enclose, and in classes derived from one that was replaced.
"""

import gc
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from itertools import compress
from operator import itemgetter
from types import CellType, FunctionType, ModuleType
from typing import Any, NamedTuple

from ._imports import importers
from ._native import saved

__all__ = ["Originals", "Place", "Reference", "places", "references"]

#: Sets the place where something was found to something else.
_Setter = Callable[[Any], object]


class Reference(NamedTuple):
    """One place that holds what was there before patching."""

    #: The module, by its name in sys.modules.
    module: str
    #: The place in it: "sleep", "Client.sleep", "TABLE['sleep']", "wait(pause=)", "Client(socket)" for a
    #: class derived from one.
    attribute: str
    #: What it holds: "time.sleep".
    original: str
    #: The module that imported `module` first: None if nobody is seen to have.
    importer: str | None

    def __str__(self) -> str:
        by = "" if self.importer is None else f", first imported by {self.importer}"
        return f"{self.module}.{self.attribute} is the {self.original} of before patching{by}"


class Place(NamedTuple):
    """The same, with the means to change it."""

    module: str
    attribute: str
    value: Any
    #: None: it cannot be set.
    set: _Setter | None


class Originals(dict[int, str]):
    """What is sought: id() of an object -> what it is called."""

    def __init__(self) -> None:
        self.objects: list[Any] = []

    def add(self, value: Any, name: str) -> None:
        """One more, or another name for one."""
        if id(value) not in self:
            self.objects.append(value)
        self[id(value)] = name


def references(found: Iterable[Place], originals: Originals) -> list[Reference]:
    """The same places, to be shown."""
    found = list(found)
    guess = _Importers() if found else None
    return [
        Reference(
            each.module,
            each.attribute,
            originals[id(each.value)],
            importers.get(each.module) or (guess.of(each.module) if guess else None),
        )
        for each in found
    ]


def places(originals: Originals, spared: Iterable[str]) -> Iterator[Place]:
    """Where `originals` are held: in all modules but those that are spared.

    These, modules in C (what is called there by another name is where the standard library has it from), the
    standard library's frozen ones, which are there before any module that is patched, and corolib itself.
    """
    wanted = frozenset(originals)
    suspects = _suspects(originals.objects).difference(spared)
    walked: set[int] = set()
    everything: list[tuple[str, Any]] = list(sys.modules.items())  # some put other things there
    for name, module in everything:
        if (
            name in suspects
            and issubclass(type(module), ModuleType)
            and id(module) not in walked
            and name.partition(".")[0] != "corolib"
            and not _of_interpreter(module, name)
        ):
            walked.add(id(module))  # some have two names
            for attribute, value, setter in _in_namespace(module, vars(module), name, set(), wanted):
                yield Place(name, attribute, value, setter)


def _suspects(objects: list[Any]) -> set[str]:
    """Modules that may hold one of these: found from the objects outward, since most hold none, and to walk
    through all of them takes several times as long.
    """
    from ._hub import referrers  # late: to import monkey needs no hub

    everything: list[tuple[str, Any]] = list(sys.modules.items())
    names: dict[int, list[str]] = {}
    for name, module in everything:
        if issubclass(type(module), ModuleType):
            names.setdefault(id(vars(module)), []).append(name)
    found, known = _derived(objects)
    known.update(map(id, saved.values()))
    # What a module holds in three steps at most: a class, in whose names is a list, with one of them in it.
    # Mostly nothing is left to seek after the first.
    there_is = gc.get_objects()
    for _ in range(3):
        containers = []
        for holder in referrers(objects, there_is):
            kind = type(holder)
            if kind is dict and id(holder) in names:
                found.update(names[id(holder)])
            elif (home := _home(holder)) is not None:
                found.add(home)
            elif kind in (dict, list, tuple, CellType) and id(holder) not in known:
                if kind is not dict or "__loader__" not in holder:  # of a module that is nowhere to be found
                    containers.append(holder)
        objects = containers
    return found


def _derived(objects: Iterable[Any]) -> tuple[set[str], set[int]]:
    """The modules of the classes among these and of all that are derived from them; and id() of what holds a
    class since it is one: its own and its heirs' tuples of bases, and what its methods need for super().
    """
    homes: set[str] = set()
    known: set[int] = set()
    seen: set[int] = set()
    classes = [each for each in objects if issubclass(type(each), type)]
    for cls in classes:
        if id(cls) not in seen:
            seen.add(id(cls))
            classes += type.__subclasses__(cls)
            homes.add(_home(cls) or "")
            known.update((id(_mro_of(cls)), id(_bases_of(cls))))
            for method in vars(cls).values():
                if type(method) is property:
                    method = method.fget
                if type(method) is FunctionType and "__class__" in method.__code__.co_freevars:
                    place = method.__code__.co_freevars.index("__class__")
                    known.add(id((method.__closure__ or ())[place]))
    return homes, known


#: Past what a metaclass may do at these names.
_mro_of: Callable[[type], object] = vars(type)["__mro__"].__get__
_bases_of: Callable[[type], object] = vars(type)["__bases__"].__get__


def _of_interpreter(module: ModuleType, name: str) -> bool:
    origin = getattr(vars(module).get("__spec__"), "origin", None)
    if origin == "frozen":
        return name.partition(".")[0] in sys.stdlib_module_names  # programs may be frozen as well
    return origin == "built-in" or (isinstance(origin, str) and origin.endswith(_IN_C))


_IN_C = tuple(EXTENSION_SUFFIXES)


_Found = Iterator[tuple[str, Any, _Setter | None]]

#: id() of what is looked for. There are a hundred thousand places and few that hold it: so each container is
#: asked as a whole whether one of them is in it, before anything is named.
_Wanted = frozenset[int]


def _in_namespace(owner: Any, names: Any, home: str, seen: set[int], wanted: _Wanted) -> _Found:
    items = list(names.items())
    if not wanted.isdisjoint(map(id, names.values())):
        for name, value in items:
            if id(value) in wanted and isinstance(name, str):
                yield name, value, _attribute_setter(owner, name)
    # Most of them are strings, numbers, members of enumerations. Nothing can be in these, and they are left
    # out without a turn of a loop in Python.
    kinds = list(map(type, map(itemgetter(1), items)))
    looked_into = {kind for kind in set(kinds) if kind in _HOLDERS or issubclass(kind, type)}
    for name, value in compress(items, map(looked_into.__contains__, kinds)):
        if id(value) in seen or not isinstance(name, str) or name == "__builtins__":
            continue
        if type(value) is FunctionType and not (
            value.__defaults__ or value.__closure__ or value.__kwdefaults__
        ):
            continue
        yield from _inside(name, value, home, seen, wanted)


#: What _inside() looks into, besides classes.
_HOLDERS = frozenset((FunctionType, staticmethod, classmethod, dict, list, tuple))


def _inside(name: str, value: Any, home: str, seen: set[int], wanted: _Wanted) -> _Found:
    """What a global holds in its turn. Only types that are known are looked into, by their types alone:
    isinstance() would ask the object, and nobody's code is to be called.
    """
    kind = type(value)
    if kind in (staticmethod, classmethod):
        value, kind = value.__func__, type(value.__func__)
    if kind is FunctionType:
        if value.__module__ == home:
            seen.add(id(value))
            yield from _in_function(name, value, wanted)
    elif kind is dict:
        if not wanted.isdisjoint(map(id, value.values())):
            for key, item in list(value.items()):
                if id(item) in wanted:
                    yield f"{name}[{key!r}]", item, _item_setter(value, key)
    elif kind is list or kind is tuple:
        if not wanted.isdisjoint(map(id, value)):
            for index, item in enumerate(value):
                if id(item) in wanted:
                    yield f"{name}[{index}]", item, _item_setter(value, index) if kind is list else None
    elif issubclass(kind, type) and value.__dict__.get("__module__") == home:
        seen.add(id(value))
        for attribute, item, setter in _in_namespace(value, vars(value), home, seen, wanted):
            yield f"{name}.{attribute}", item, setter
        for base in value.__mro__[1:]:
            if id(base) in wanted:
                yield f"{name}({base.__name__})", base, None


def _in_function(name: str, function: FunctionType, wanted: _Wanted) -> _Found:
    code = function.__code__
    arguments = code.co_varnames[: code.co_argcount]
    defaults = function.__defaults__ or ()
    for index, (argument, value) in enumerate(
        zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True)
    ):
        if id(value) in wanted:
            yield f"{name}({argument}=)", value, _default_setter(function, index)
    for argument, value in list((function.__kwdefaults__ or {}).items()):
        if id(value) in wanted:
            yield f"{name}({argument}=)", value, _item_setter(function.__kwdefaults__, argument)
    for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:
            continue  # nothing in it yet
        if id(value) in wanted:
            yield f"{name}(){variable}", value, _cell_setter(cell)


def _attribute_setter(owner: Any, name: str) -> _Setter:
    return lambda value: setattr(owner, name, value)


def _item_setter(container: Any, key: Any) -> _Setter:
    return lambda value: container.__setitem__(key, value)


def _cell_setter(cell: CellType) -> _Setter:
    return lambda value: setattr(cell, "cell_contents", value)


def _default_setter(function: FunctionType, index: int) -> _Setter:
    def set_default(value: Any) -> None:
        defaults = function.__defaults__ or ()
        function.__defaults__ = (*defaults[:index], value, *defaults[index + 1 :])

    return set_default


class _Importers:
    """Which module imported which first, as far as it can be seen from what they hold.

    sys.modules has the modules in the order in which their imports ended. One that imports another ends after
    it, so of those that hold a module, or something out of it, the one that ended next is likely to have
    brought it in: unless it was itself imported by another of them, which had taken the module before that.
    """

    def __init__(self) -> None:
        #: Module -> who holds something of it -> where among the names of that one, which are in the order in
        #: which they were set.
        self._holders: dict[str, dict[str, int]] = {}
        self._ended: dict[str, float] = {}
        everything: list[tuple[str, Any]] = list(sys.modules.items())
        for number, (holder, module) in enumerate(everything):
            self._ended[holder] = number
            if issubclass(type(module), ModuleType):
                if holder == "__main__" or getattr(vars(module).get("__spec__"), "_initializing", False):
                    self._ended[holder] = float("inf")
                for place, value in enumerate(list(vars(module).values())):
                    name = _home(value)
                    if name is not None and name != holder:
                        self._holders.setdefault(name, {}).setdefault(holder, place)

    def of(self, module: str) -> str | None:
        held = self._holders.get(module, {})
        since = self._ended.get(module, -1)
        after = sorted((each for each in held if self._ended[each] > since), key=self._ended.__getitem__)
        # A package has its modules whether it has imported them or not.
        package = module.rpartition(".")[0]
        found = [each for each in after if each != package] or after
        if not found:
            return None
        first = found[0]
        for each in found[1:]:
            if held[each] < self._holders.get(first, {}).get(each, -1):
                first = each
        return first


def _home(value: Any) -> str | None:
    if issubclass(type(value), ModuleType):
        name = vars(value).get("__name__")
    elif type(value) is FunctionType:
        name = value.__module__
    elif issubclass(type(value), type):
        name = value.__dict__.get("__module__")
    else:
        return None
    return name if isinstance(name, str) else None
