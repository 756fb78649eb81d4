"""How names become addresses: the choice of a resolver by `config.resolver`, one resolver per hub."""

import _socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._config import config
from ..hub import Hub, get_hub
from .base import Resolver

if TYPE_CHECKING:
    from .thread import ThreadResolver

__all__ = ["Resolver", "ThreadResolver", "get_resolver"]


class BlockingResolver(Resolver):
    """The C library's functions, called here and now: blocks the whole thread. For finding faults."""

    def _ask(self, function: str, *args: Any) -> Any:
        return getattr(_socket, function)(*args)


#: The words of `config.resolver`. Those that need more than this module are paths: a pool of threads, or
#: dnspython, is imported by the first name that is to be looked up, not by patching.
KINDS: dict[str, Callable[[Hub], Resolver] | str] = {
    "thread": "corolib.resolver.thread.ThreadResolver",
    "dns": "corolib.resolver.dns.DnsResolver",
    "block": BlockingResolver,
}
#: What others call a resolver that asks name servers itself: by the library that it uses.
KINDS["dnspython"] = KINDS["ares"] = KINDS["dns"]


def __getattr__(name: str) -> Any:
    if name != "ThreadResolver":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .thread import ThreadResolver  # late, as said above

    return ThreadResolver


def chosen() -> Callable[[Hub], Resolver]:
    """The first kind of `config.resolver` that there is."""
    kind: Callable[[Hub], Resolver] = config.choose("resolver", KINDS)
    return kind


def get_resolver() -> Resolver:
    """The resolver of this thread's hub."""
    resolver: Resolver = get_hub().resolver
    return resolver


Hub.factories["resolver"] = lambda hub: hub.resolver_class(hub)
