"""`sqlite3` in a patched program: a connection belongs to the thread that made it, as ever.

The module compares native threads, and patched threads are greenlets of one. So whether it is another thread
that uses a connection, or one of its cursors, is asked here as well, with the same error. Only threads are
asked, made by threading, and the main one: greenlets that are none may share a connection.
"""

import sys
import threading
from functools import wraps
from types import ModuleType
from typing import Any

from .thread import get_ident

__all__ = ["patch_connections"]

#: What may be called anywhere, or is about the object itself; and what is called for each row.
_ANYWHERE = frozenset(
    "interrupt setinputsizes setoutputsize __enter__ __init__ __new__ __del__ __getattribute__ __iter__ "
    "__next__".split()
)


def _is_thread(ident: int) -> bool:
    # A dummy is what current_thread() gives to a greenlet that is no thread.
    active: dict[int, threading.Thread] = vars(threading)["_active"]
    return ident in active and not isinstance(active[ident], threading._DummyThread)


def _checked(method: Any, error: type[Exception]) -> Any:
    @wraps(method)
    def checks_and_calls(self: Any, *args: Any, **kwargs: Any) -> Any:
        owner = self._owner
        if owner is not None and owner != (here := get_ident()) and _is_thread(here):
            raise error(
                "SQLite objects created in a thread can only be used in that same thread. "
                f"The object was created in thread id {owner} and this is thread id {here}."
            )
        return method(self, *args, **kwargs)

    return checks_and_calls


def patch_connections(dbapi: ModuleType) -> None:
    """In sqlite3.dbapi2, which was imported just now, and in sqlite3 if that has its names already."""
    base_connection: Any = vars(dbapi)["Connection"]
    base_cursor: Any = vars(dbapi)["Cursor"]
    base_connect: Any = vars(dbapi)["connect"]

    class Cursor(base_cursor):  # type: ignore[misc]  # a class of this Python
        _owner: int | None = None

        def __init__(self, connection: Any) -> None:
            super().__init__(connection)
            self._owner = getattr(connection, "_owner", None)

    class Connection(base_connection):  # type: ignore[misc]  # as above
        #: The thread that made it, by its number; None: everybody may use it.
        _owner: int | None = None

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            same = args[4] if len(args) > 4 else kwargs.get("check_same_thread", True)
            here = get_ident()
            self._owner = here if same and _is_thread(here) else None

        @wraps(base_connection.cursor)
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        # In C these make a cursor past cursor().

        @wraps(base_connection.execute)
        def execute(self, *args: Any) -> Any:
            return Connection.cursor(self).execute(*args)

        @wraps(base_connection.executemany)
        def executemany(self, *args: Any) -> Any:
            return Connection.cursor(self).executemany(*args)

        @wraps(base_connection.executescript)
        def executescript(self, *args: Any) -> Any:
            return Connection.cursor(self).executescript(*args)

    for base, cls in (base_connection, Connection), (base_cursor, Cursor):
        cls.__module__, cls.__qualname__, cls.__doc__ = base.__module__, base.__qualname__, base.__doc__
        for name in vars(base):
            method = getattr(cls, name)
            if callable(method) and name not in _ANYWHERE:
                setattr(cls, name, _checked(method, vars(dbapi)["ProgrammingError"]))

    @wraps(base_connect)
    def connect(*args: Any, **kwargs: Any) -> Any:
        if len(args) < 6:
            kwargs.setdefault("factory", Connection)
        return base_connect(*args, **kwargs)

    for module in (dbapi, sys.modules.get(dbapi.__package__ or "")):
        for new in (Connection, Cursor, connect):
            if module is not None and new.__name__ in vars(module):
                setattr(module, new.__name__, new)
