"""corolib: write blocking code, run ten thousand of it in one thread.

The names here come from the modules below, each of which can be imported by itself. They are fetched when
they are first used: `from corolib import monkey` must not have imported what monkey is about to patch.
"""

from importlib import import_module
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context
    from sys import getswitchinterval, setswitchinterval

    from ._config import config
    from ._run import run
    from ._switch import GreenletExit, getcurrent
    from ._waiting import iwait, wait
    from .greenlet import Greenlet, joinall, killall
    from .hub import get_hub, idle, kill, reinit, sleep, spawn_raw
    from .os import fork
    from .signal import signal_handler
    from .timeout import Timeout, with_timeout

    # Greenlet.spawn and spawn_later, which take more, for the sake of subclasses.
    _P = ParamSpec("_P")
    _R = TypeVar("_R")

    @overload
    def spawn(run: Callable[..., _R], /, *args: Any, context: Context, **kwargs: Any) -> Greenlet[_R]: ...
    @overload
    def spawn(run: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> Greenlet[_R]: ...
    def spawn(run: Callable[..., _R], /, *args: Any, **kwargs: Any) -> Greenlet[_R]: ...

    @overload
    def spawn_later(
        seconds: float, run: Callable[..., _R], /, *args: Any, context: Context, **kwargs: Any
    ) -> Greenlet[_R]: ...
    @overload
    def spawn_later(
        seconds: float, run: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Greenlet[_R]: ...
    def spawn_later(seconds: float, run: Callable[..., _R], /, *args: Any, **kwargs: Any) -> Greenlet[_R]: ...


__version__ = "0.1.0"
version_info = tuple(int(part) for part in __version__.split("."))

#: Where each name comes from: module, attribute in it.
_names = {
    "Greenlet": (".greenlet", "Greenlet"),
    "GreenletExit": ("._switch", "GreenletExit"),
    "Timeout": (".timeout", "Timeout"),
    "config": ("._config", "config"),
    "fork": (".os", "fork"),
    "get_hub": (".hub", "get_hub"),
    "getcurrent": ("._switch", "getcurrent"),
    "getswitchinterval": ("sys", "getswitchinterval"),
    "idle": (".hub", "idle"),
    "iwait": ("._waiting", "iwait"),
    "joinall": (".greenlet", "joinall"),
    "kill": (".hub", "kill"),
    "killall": (".greenlet", "killall"),
    "reinit": (".hub", "reinit"),
    "run": ("._run", "run"),
    "setswitchinterval": ("sys", "setswitchinterval"),
    "signal_handler": (".signal", "signal_handler"),
    "sleep": (".hub", "sleep"),
    "spawn": (".greenlet", "Greenlet.spawn"),
    "spawn_later": (".greenlet", "Greenlet.spawn_later"),
    "spawn_raw": (".hub", "spawn_raw"),
    "wait": ("._waiting", "wait"),
    "with_timeout": (".timeout", "with_timeout"),
}

__all__ = [
    "Greenlet",
    "GreenletExit",
    "Timeout",
    "__version__",
    "config",
    "fork",
    "get_hub",
    "getcurrent",
    "getswitchinterval",
    "idle",
    "iwait",
    "joinall",
    "kill",
    "killall",
    "reinit",
    "run",
    "setswitchinterval",
    "signal_handler",
    "sleep",
    "spawn",
    "spawn_later",
    "spawn_raw",
    "version_info",
    "wait",
    "with_timeout",
]


def __getattr__(name: str) -> Any:
    if name not in _names:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _names[name]
    value = globals()[name] = attrgetter(attribute)(import_module(module, __name__))
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_names})
