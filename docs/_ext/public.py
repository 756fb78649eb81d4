"""What is public: modules, their names, and the members of their classes that have an entry in the reference.

The reference is made from this, and tests/test_reference.py asks this what has to have a docstring.
"""

import inspect
from functools import cache, cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

#: Where code is ours.
CODE = Path(__file__).resolve().parent.parent.parent / "corolib"
#: Every public module, in the order in which a name finds its home. What is not in it is nobody's to import.
MODULES = (
    "corolib._switch",
    "corolib.greenlet",
    "corolib.timeout",
    "corolib.event",
    "corolib.lock",
    "corolib.queue",
    "corolib.pool",
    "corolib.threadpool",
    "corolib.local",
    "corolib.errors",
    "corolib.monkey",
    "corolib.events",
    "corolib.socket",
    "corolib.ssl",
    "corolib.select",
    "corolib.selectors",
    "corolib.os",
    "corolib.subprocess",
    "corolib.signal",
    "corolib.fileobject",
    "corolib.time",
    "corolib.thread",
    "corolib.threading",
    "corolib.resolver",
    "corolib.server",
    "corolib.pywsgi",
    "corolib.server.accesslog",
    "corolib.server.counters",
    "corolib.websocket",
    "corolib.testing",
    "corolib.util",
    "corolib.tools.monitor",
    "corolib.tools.trace",
    "corolib.tools.backdoor",
    "corolib.hub",
    "corolib.compat",
    "corolib.ext.psycopg2",
    "corolib.ext.grpc",
    "corolib.ext.gunicorn",
    "corolib.ext.celery",
    "corolib",
)


def public_names(module_name: str) -> list[str]:
    """What a module offers that is ours, in the order of the source."""
    module = import_module(module_name)
    return [name for name in getattr(module, "__all__", ()) if is_ours(getattr(module, name))]


def is_ours(thing: Any) -> bool:
    """Not one that the standard library has made, and that is served as it is."""
    if inspect.isclass(getattr(thing, "__self__", None)):  # a class method
        thing = thing.__self__
    if inspect.isclass(thing) or inspect.isroutine(thing):
        return (getattr(thing, "__module__", None) or "").startswith("corolib")
    return type(thing).__module__.startswith("corolib")


@cache
def homes() -> dict[int, str]:
    """For each public thing, by its id(), the full name that it has its entry under: the first that is not an
    alias.
    """
    found: dict[int, str] = {}
    for module_name in MODULES:
        module = import_module(module_name)
        things = {name: getattr(module, name) for name in public_names(module_name)}
        for name in sorted(things, key=lambda name: getattr(things[name], "__name__", name) != name):
            found.setdefault(id(things[name]), f"{module_name}.{name}")
    return found


def public_members(cls: type) -> list[str]:
    """Methods and attributes of a class that have an entry: its own, and those of bases that have none."""
    found: dict[str, bool] = {}
    documented = homes()
    for base in cls.__mro__:
        if not base.__module__.startswith("corolib"):
            continue
        if base is not cls and id(base) in documented:
            found |= dict.fromkeys(dir(base), False) | found
            continue
        for name, value in vars(base).items():
            if not name.startswith("_"):
                found.setdefault(name, is_member(value) and not is_taken_over(value))
    return [name for name, has_entry in found.items() if has_entry]


def is_taken_over(value: Any) -> bool:
    """Whether it is the standard library's own code, which is documented there."""
    function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
    function = function.fget if isinstance(function, property) else function
    code = getattr(function, "__code__", None)
    return code is not None and not Path(code.co_filename).resolve().is_relative_to(CODE)


def is_method(value: Any) -> bool:
    return isinstance(value, classmethod | staticmethod) or (inspect.isroutine(value) and callable(value))


def is_member(value: Any) -> bool:
    """Whether it can have a docstring of its own: a method, a property, a slot."""
    return is_method(value) or isinstance(value, cached_property) or inspect.isdatadescriptor(value)
