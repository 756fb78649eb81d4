"""Greenlet-local storage: `local` is for greenlets what `threading.local` is for threads.

Each `local` keeps one dict of attributes per greenlet, found by the greenlet's id. An entry also holds a weak
reference to the greenlet, whose callback removes the entry when the greenlet is gone; so nothing is kept
alive, and a number that is used again starts afresh. Nothing here switches. Every step that matters is one
operation on one dict, so threads need no lock either.
"""

import gc
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Self, cast
from weakref import ReferenceType, ref

from ._switch import getcurrent, greenlet

__all__ = ["all_local_dicts_for_greenlet", "local"]


class _Dicts(dict[int, tuple[dict[str, Any], ReferenceType[greenlet]]]):
    """id of a greenlet -> (its attributes, a reference that removes this entry). A class, to be weakly
    referred to.
    """

    __slots__ = ("__weakref__",)


def _forget(dicts: ReferenceType[_Dicts], key: int, _gone: object) -> None:
    found = dicts()
    if found is not None:
        found.pop(key, None)


def _data_names(cls: type) -> frozenset[str]:
    """Names at which `cls` has a data descriptor (property, slot): these win over an attribute of the
    instance.
    """
    names: set[str] = set()
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            kind = type(value)
            if hasattr(kind, "__set__") or hasattr(kind, "__delete__"):
                names.add(name)
            else:
                names.discard(name)
    return frozenset(names)


class local:
    """Attributes that each greenlet sees its own values of.

    May be subclassed: `__init__` is then called, with the arguments of the constructor, once in each greenlet
    that uses the object; what it sets is that greenlet's. Class attributes, properties and `__slots__` are
    shared as ever. The values of a greenlet go when the greenlet does. TypeError if arguments are given and
    there is no `__init__`.
    """

    __slots__ = ("__weakref__", "_local_dicts", "_local_init")
    _local_data: ClassVar[frozenset[str]]

    _local_dicts: _Dicts
    _local_init: tuple[tuple[Any, ...], dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._local_data = _data_names(cls)

    def __new__(cls, /, *args: Any, **kwargs: Any) -> Self:
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__}() takes no arguments, since the class has no __init__()")
        self = object.__new__(cls)
        _set_dicts(self, _Dicts())
        _set_init(self, (args, kwargs))
        _add(
            self, getcurrent()
        )  # here, so that __init__ is not called a second time after the constructor's call
        return self

    def __getattribute__(self, name: str) -> Any:
        me = getcurrent()
        entry = _dicts_of(self).get(id(me))
        values = _enter(self, me) if entry is None else entry[0]
        if name in values and name not in type(self)._local_data:
            return values[name]
        if name == "__dict__":
            return values
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        values = _values(self)
        if name == "__dict__" or name in type(self)._local_data:
            _refuse_dict(self, name)
            object.__setattr__(self, name, value)
        else:
            values[name] = value

    def __delattr__(self, name: str) -> None:
        values = _values(self)
        if name == "__dict__" or name in type(self)._local_data:
            _refuse_dict(self, name)
            object.__delattr__(self, name)
            return
        try:
            del values[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    def __copy__(self) -> Self:
        """Another local with the same constructor arguments, and this greenlet's values."""
        args, kwargs = _init_of(self)
        duplicate = type(self).__new__(type(self), *args, **kwargs)
        _values(duplicate).update(_values(self))
        return duplicate


# The slots are reached by their descriptors: plain attribute access goes through __getattribute__ above.
_dicts_of = cast("Callable[[local], _Dicts]", vars(local)["_local_dicts"].__get__)
_set_dicts = cast("Callable[[local, _Dicts], None]", vars(local)["_local_dicts"].__set__)
_init_of = cast(
    "Callable[[local], tuple[tuple[Any, ...], dict[str, Any]]]", vars(local)["_local_init"].__get__
)
_set_init = cast(
    "Callable[[local, tuple[tuple[Any, ...], dict[str, Any]]], None]", vars(local)["_local_init"].__set__
)
local._local_data = _data_names(local)


def _add(self: local, me: greenlet) -> dict[str, Any]:
    """An empty dict for greenlet `me`, entered."""
    dicts = _dicts_of(self)
    values: dict[str, Any] = {}
    # The callback must not own `dicts`: it is owned by it.
    dicts[id(me)] = values, ref(me, partial(_forget, ref(dicts), id(me)))
    return values


def _enter(self: local, me: greenlet) -> dict[str, Any]:
    """First use in greenlet `me`: its dict, filled by the subclass's __init__. If that fails, as if never
    used.
    """
    values = _add(self, me)
    kind = type(self)
    if kind.__init__ is not object.__init__:
        args, kwargs = _init_of(self)
        try:
            kind.__init__(self, *args, **kwargs)
        except BaseException:
            _dicts_of(self).pop(id(me), None)
            raise
    return values


def _values(self: local) -> dict[str, Any]:
    me = getcurrent()
    entry = _dicts_of(self).get(id(me))
    return _enter(self, me) if entry is None else entry[0]


def _refuse_dict(self: local, name: str) -> None:
    if name == "__dict__":
        raise AttributeError(
            f"the __dict__ of a {type(self).__name__!r} object is read-only: one per greenlet"
        )


def all_local_dicts_for_greenlet(greenlet: greenlet) -> list[tuple[local, dict[str, Any]]]:
    """Each `local` in which `greenlet` has values, with these. Looks at every object there is: for
    debugging.
    """
    found = []
    for candidate in gc.get_objects():
        if issubclass(type(candidate), local):
            values = values_of(candidate, greenlet)
            if values is not None:
                found.append((candidate, values))
    return found


def values_of(storage: local, greenlet: greenlet) -> dict[str, Any] | None:
    """The values that `greenlet` has in `storage`; None if it has not used it. For debugging."""
    entry = _dicts_of(storage).get(id(greenlet))
    return None if entry is None else entry[0]
