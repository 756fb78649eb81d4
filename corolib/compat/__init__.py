"""Run what imports `gevent`, `greenlet` or `eventlet` on corolib: its modules under their names.

    from corolib import compat
    compat.install()

before anything imports one of them; or, without touching a program,

    python -m corolib --as-gevent [-m] program [arguments]

or, for all programs of an environment that run with COROLIB_AS_GEVENT=1,

    python -m corolib --install-hook

A module under such a name is thin: its names are the objects that corolib has, listed in the tables of this
package. A name that no table lists is an AttributeError or ImportError that says where the table is.
"""

import sys
from collections.abc import Iterable

from .._config import config
from ._alias import Alias, Finder, Library

__all__ = ["LIBRARIES", "install", "installed", "uninstall"]

#: What can be stood in for.
LIBRARIES = ("gevent", "greenlet", "eventlet")

_finder: Finder | None = None


def install(names: Iterable[str] = ("gevent", "greenlet")) -> None:
    """From now on, importing one of these libraries gives corolib's modules; once more adds others.

    Nothing is patched by it, and nothing of a library is imported: what the program does next with its
    library decides, as ever. With gevent, a setting whose COROLIB_ variable is not set is read from gevent's.
    RuntimeError, with nothing done, if the real library has been imported already; ValueError for one that
    there is no table for.
    """
    global _finder
    names = [names] if isinstance(names, str) else list(names)
    wanted = [_library(name) for name in names]
    for library in wanted:
        _refuse_the_real_one(library)
    finder = _finder or Finder(())
    finder.libraries.update((library.name, library) for library in wanted)
    if finder not in sys.meta_path:
        sys.meta_path.insert(0, finder)
    _finder = finder
    if "gevent" in names:
        from .gevent import SETTINGS

        config.also_read(SETTINGS)


def uninstall() -> None:
    """Take all of that back: the next import finds the real library. Modules that a program holds stay."""
    global _finder
    if _finder is None:
        return
    for name in _finder.modules():
        del sys.modules[name]
    sys.meta_path[:] = [entry for entry in sys.meta_path if entry is not _finder]
    config.also_read({})
    _finder = None


def installed() -> tuple[str, ...]:
    """The libraries that are stood in for."""
    return tuple(_finder.libraries) if _finder is not None else ()


def _library(name: str) -> Library:
    # Each when it is asked for: this package is imported at the start of programs that use none.
    if name == "gevent":
        from .gevent import GEVENT

        return GEVENT
    if name == "greenlet":
        from .greenlet import GREENLET

        return GREENLET
    if name == "eventlet":
        from .eventlet import EVENTLET

        return EVENTLET
    raise ValueError(f"corolib can stand in for {', '.join(LIBRARIES)}: found {name!r}")


def _refuse_the_real_one(library: Library) -> None:
    real = sys.modules.get(library.name)
    if real is None or isinstance(real, Alias):
        return
    where = getattr(real, "__file__", None) or "a place unknown"
    raise RuntimeError(
        f"{library.name} has been imported already, from {where}: two of them cannot run in one program. "
        "Call corolib.compat.install() before the first import of it, or start the program with "
        "`python -m corolib --as-gevent`."
    )
