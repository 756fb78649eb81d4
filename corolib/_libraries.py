"""Libraries that wait in C, where no patching reaches, and have a way of waiting in Python as well.

Each is told to take that one as soon as it has been imported in a patched program. (Where that costs
something of what the library can do, users have to ask for it: `corolib.ext`.)
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["WITH_SELECT"]


def _psycopg(waiting: Any) -> None:
    """psycopg 3, which chooses how to wait at import: by its C part, unless something else is asked for."""
    if waiting.wait is getattr(waiting, "wait_c", None):
        waiting.wait = waiting.wait_poll


#: Module -> what is to be done with it in a program whose `select` is patched.
WITH_SELECT: dict[str, Callable[[ModuleType], object]] = {"psycopg.waiting": _psycopg}
