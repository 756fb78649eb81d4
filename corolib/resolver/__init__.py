"""How names become addresses: the choice of a resolver by `config.resolver`, one resolver per hub."""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .._config import config
from ..hub import Hub, get_hub

if TYPE_CHECKING:
    from .base import Resolver
    from .blocking import BlockingResolver
    from .thread import ThreadResolver

__all__ = ["BlockingResolver", "Resolver", "ThreadResolver", "get_resolver"]


#: The words of `config.resolver`, and what they mean: paths, since a resolver, with the pool of threads or
#: the dnspython that it needs, is imported by the first name that is to be looked up, not by patching.
KINDS = {
    "thread": "corolib.resolver.thread.ThreadResolver",
    "dns": "corolib.resolver.dns.DnsResolver",
    "block": "corolib.resolver.blocking.BlockingResolver",
}
#: What others call a resolver that asks name servers itself: by the library that it uses.
KINDS["dnspython"] = KINDS["ares"] = KINDS["dns"]


#: Names of this package that are fetched when they are first used, as said above, and their modules.
_LATE = {"BlockingResolver": ".blocking", "Resolver": ".base", "ThreadResolver": ".thread"}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LATE[name], __name__), name)
    return value


def chosen() -> "Callable[[Hub], Resolver]":
    """The first kind of `config.resolver` that there is."""
    kind: Callable[[Hub], Resolver] = config.choose("resolver", KINDS)
    return kind


def get_resolver() -> "Resolver":
    """The resolver of this thread's hub."""
    resolver: Resolver = get_hub().resolver
    return resolver


Hub.factories["resolver"] = lambda hub: hub.resolver_class(hub)
