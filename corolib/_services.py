"""What exists once per hub: thread pool, resolver, monitor, and whatever else somebody offers.

The modules that offer something stand above the hub and bring their own factory; the three that everybody
expects of a hub are fetched by their word when they are first asked for.
"""

from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar, Self, TypeVar, cast

from ._config import config

__all__ = ["Services"]

_T = TypeVar("_T")

#: Which module puts which factory into Services.factories.
_providers = {
    "periodic_monitoring_thread": ".tools.monitor",
    "resolver": ".resolver",
    "threadpool": ".threadpool",
}


class Services:
    """The part of a hub that keeps them."""

    #: Service name -> what makes it; a module that offers something once per hub puts its factory here.
    factories: ClassVar[dict[str, Callable[[Any], object]]] = {}

    _services: dict[str, Any]

    def service(self, key: str, make: Callable[[Self], _T]) -> _T:
        """The one object of this hub under `key`; `make(hub)` makes it at the first call.

        If it has close() (or kill()), that is called when the hub is destroyed, the last made first;
        after_fork(), if there is one, in the child of a fork.
        """
        try:
            return cast(_T, self._services[key])
        except KeyError:
            return cast(_T, self._services.setdefault(key, make(self)))

    def _provided(self, key: str) -> Any:
        if key in self._services:
            return self._services[key]
        if key not in self.factories:
            import_module(_providers[key], __package__)
        return self.service(key, self.factories[key])

    # These three are read once; assigned, or set in a subclass, they are what that says.

    @cached_property
    def threadpool_class(self) -> Any:
        """What makes `threadpool`: called with a number of threads, the hub and the seconds until an idle
        thread ends.
        """
        return config.choose("threadpool")

    @cached_property
    def threadpool_size(self) -> int:
        """How many native threads `threadpool` has at most."""
        return cast(int, config.threadpool_size)

    @cached_property
    def resolver_class(self) -> Any:
        """What makes `resolver`: called with the hub."""
        return import_module(_providers["resolver"], __package__).chosen()

    @property
    def threadpool(self) -> Any:
        """The hub's pool of native threads, made at the first use; assignable, deletable."""
        return self._provided("threadpool")

    @threadpool.setter
    def threadpool(self, value: Any) -> None:
        self._services["threadpool"] = value

    @threadpool.deleter
    def threadpool(self) -> None:
        self._services.pop("threadpool", None)

    @property
    def resolver(self) -> Any:
        """What resolves names in this hub, made at the first use; assignable, deletable."""
        return self._provided("resolver")

    @resolver.setter
    def resolver(self, value: Any) -> None:
        self._services["resolver"] = value

    @resolver.deleter
    def resolver(self) -> None:
        self._services.pop("resolver", None)

    @property
    def periodic_monitoring_thread(self) -> Any:
        """The native thread that watches this hub for blocking, or None; see corolib.tools.monitor."""
        return self._services.get("periodic_monitoring_thread")

    def start_periodic_monitoring_thread(self) -> Any:
        """Start that thread unless it runs; returns it. config.monitor_thread starts it with the main hub."""
        return self._provided("periodic_monitoring_thread")
