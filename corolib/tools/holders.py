"""Who took which lock, for reports: noted only if one asks for it.

A `Semaphore`, or a lock of `corolib.thread` (`threading.Lock`, patched), may be released by anybody, so
neither knows who has taken it; to know would cost each acquire() a third of its time more. While it is noted,
reports name who holds such a lock, and circles of them.
"""

from collections.abc import Callable
from typing import Any
from weakref import ref as weakref

from .._switch import getcurrent
from .._waitgraph import noted_holders
from ..lock import Semaphore
from ..thread import LockType

__all__ = ["note_lock_holders"]


def note_lock_holders(on: bool = True) -> None:
    """From now on note who takes each `Semaphore` and each lock of `corolib.thread`, or, with `on` false, not
    any more. In all threads. Never switches.

    Methods of locks that were taken out of them before (`acquire = lock.acquire`, as threading.Condition
    does) stay as they are: switch it on early.
    """
    if on and not _plain:
        for cls, wrappers in _NOTING.items():
            for name, wrap in wrappers.items():
                # In the class itself, or in its base in C.
                _plain.append((cls, name, vars(cls).get(name)))
                setattr(cls, name, wrap(getattr(cls, name)))
    elif not on:
        for cls, name, method in _plain:
            if method is None:
                delattr(cls, name)
            else:
                setattr(cls, name, method)
        _plain.clear()
        noted_holders.clear()


#: Class, name, and the method that the class itself had under that name, or None.
_plain: list[tuple[type, str, Any]] = []


def _taking(method: Callable[..., Any]) -> Callable[..., Any]:
    def acquire(self: Any, *args: Any, **kwargs: Any) -> Any:
        taken = method(self, *args, **kwargs)
        if taken:
            noted_holders.setdefault(self, []).append(weakref(getcurrent()))
        return taken

    return acquire


def _giving(method: Callable[..., Any]) -> Callable[..., Any]:
    def release(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = method(self, *args, **kwargs)
        holders = noted_holders.get(self)
        if holders:
            me = weakref(getcurrent())
            # Somebody else's, if it has not taken one itself: a lock may be given back by anybody.
            del holders[holders.index(me) if me in holders else 0]
        return result

    return release


_NOTING: dict[type, dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]] = {
    Semaphore: {"acquire": _taking, "__enter__": _taking, "release": _giving, "__exit__": _giving},
    LockType: {
        "acquire": _taking,
        "acquire_lock": _taking,
        "__enter__": _taking,
        "release": _giving,
        "release_lock": _giving,
        "__exit__": _giving,
    },
}
