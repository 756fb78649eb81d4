"""Greenlet: a function that runs beside others, and what can be done with it: joined, linked to, killed.

State, result, links and joiners are in C (`_hub.Greenlet`), so that spawn, run and join need no frame of
Python. This module adds what is not on that path. A subclass that defines neither `__init__` nor `__new__` is
spawned by the C half alone; that is why the features which need to see every greenlet (`track_greenlet_tree`,
add_spawn_callback) are put into the class only when they are switched on.
"""

import sys
from collections.abc import Callable, Iterable
from contextvars import copy_context
from reprlib import recursive_repr
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    ParamSpec,
    Self,
    TypeVar,
    cast,
    overload,
)
from weakref import ref as weakref

from . import _hub
from ._config import config
from ._spawntree import STACK_LIMIT, SpawnSite, chain, note_spawn
from ._switch import GreenletExit, getcurrent, greenlet
from ._waiting import iwait, wait
from .hub import Hub, HubLoop, Killer, as_error, get_hub, sleep, spawn_raw
from .hub import kill as kill_any
from .timeout import Timeout

__all__ = ["Greenlet", "getcurrent", "iwait", "joinall", "killall", "wait"]

if TYPE_CHECKING:
    from contextvars import Context

_T = TypeVar("_T")
_R = TypeVar("_R")
_P = ParamSpec("_P")
_G = TypeVar("_G")


class SpawnedLink:
    """A link whose callback runs in a greenlet of its own, so that it may wait. Equal to its callback, for
    unlink().
    """

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[Any], object]) -> None:
        if not callable(callback):
            raise TypeError(f"a link must be callable, not {type(callback).__name__}: {callback!r}")
        self.callback = callback

    def __call__(self, source: Any) -> None:
        spawn_raw(self.callback, source, context=copy_context())

    def __eq__(self, other: object) -> bool:
        return bool(self.callback == getattr(other, "callback", other))

    def __hash__(self) -> int:
        return hash(self.callback)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.callback!r}>"


class SuccessSpawnedLink(SpawnedLink):
    """Only if the greenlet did not fail."""

    __slots__ = ()

    def __call__(self, source: Any) -> None:
        if source.successful():
            super().__call__(source)


class FailureSpawnedLink(SpawnedLink):
    """Only if the greenlet failed."""

    __slots__ = ()

    def __call__(self, source: Any) -> None:
        if not source.successful():
            super().__call__(source)


class linkproxy:
    """Calls `callback(obj)` once, whatever it is called with itself; then it lets go of both."""

    __slots__ = ("callback", "obj")

    def __init__(self, callback: Callable[[Any], object], obj: object) -> None:
        self.callback: Callable[[Any], object] | None = callback
        self.obj = obj

    def __call__(self, *args: object) -> None:
        callback, obj = self.callback, self.obj
        self.callback = self.obj = None
        if callback is not None:
            callback(obj)


@_hub.own_methods
class Greenlet(_hub.Greenlet[_T], Generic[_T]):
    """Runs `run(*args, **kwargs)`, or its own `_run`, once started; keeps the result.

    `spawn()` makes and starts one; it runs when the caller waits next. get() waits for the result or raises
    what the greenlet raised; an exception that nobody caught is also reported by hub.handle_error(). `with`
    joins it on the way out. GreenletExit ends it without being a failure. Run with a copy of the context that
    it was made in, or in the one given as `context` (which `run` does not get then; what is no
    contextvars.Context is an argument like any other).
    """

    #: How many frames `spawning_stack` keeps with config.track_greenlet_tree.
    spawning_stack_limit = STACK_LIMIT
    #: Who made it (a weak reference), and a dict shared by all that descend from one child of the main
    #: greenlet; None unless config.track_greenlet_tree was set when this module was imported.
    spawning_greenlet: "weakref[greenlet] | None" = None
    spawn_tree_locals: dict[str, Any] | None = None

    _name: str | None = None
    _timeout_error = staticmethod(Timeout)

    if TYPE_CHECKING:
        # For type checkers: the methods are in C. The last form of each is for subclasses whose constructor,
        # or _run(), takes what it likes.

        @overload
        @classmethod
        def spawn(
            cls: type["Greenlet[_R]"],
            run: Callable[..., _R],
            /,
            *args: Any,
            context: Context,
            **kwargs: Any,
        ) -> "Greenlet[_R]": ...
        @overload
        @classmethod
        def spawn(
            cls: type["Greenlet[_R]"], run: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs
        ) -> "Greenlet[_R]": ...
        @overload
        @classmethod
        def spawn(cls, /, *args: Any, **kwargs: Any) -> Self: ...
        @classmethod
        def spawn(cls: Any, /, *args: Any, **kwargs: Any) -> Any: ...

        @overload
        @classmethod
        def spawn_later(
            cls: type["Greenlet[_R]"],
            seconds: float,
            run: Callable[..., _R],
            /,
            *args: Any,
            context: Context,
            **kwargs: Any,
        ) -> "Greenlet[_R]": ...
        @overload
        @classmethod
        def spawn_later(
            cls: type["Greenlet[_R]"],
            seconds: float,
            run: Callable[_P, _R],
            /,
            *args: _P.args,
            **kwargs: _P.kwargs,
        ) -> "Greenlet[_R]": ...
        @overload
        @classmethod
        def spawn_later(cls, seconds: float, /, *args: Any, **kwargs: Any) -> Self: ...
        @classmethod
        def spawn_later(cls: Any, seconds: float, /, *args: Any, **kwargs: Any) -> Any: ...

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def minimal_ident(self) -> int:
        """A small number that no other living greenlet of its hub has."""
        return cast(Hub, self.hub).ident_registry.get_ident(self)

    @property
    def spawning_stack(self) -> SpawnSite | None:
        """Where it was made: the innermost four frames, or with config.track_greenlet_tree as many as
        `spawning_stack_limit` says. Each has f_code, f_lineno and f_back.
        """
        kept: SpawnSite | None = vars(self).get("spawning_stack")
        return chain(self.places) if kept is None else kept

    @spawning_stack.setter
    def spawning_stack(self, site: SpawnSite | None) -> None:
        vars(self)["spawning_stack"] = site

    @property
    def name(self) -> str:
        """'Greenlet-' and minimal_ident, unless assigned."""
        if self._name is None:
            self._name = f"Greenlet-{self.minimal_ident}"
        return self._name

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    @property
    def loop(self) -> HubLoop:
        """The loop of its hub."""
        return cast(Hub, self.hub).loop

    @recursive_repr("<Greenlet ...>")
    def __repr__(self) -> str:
        name = "" if self._name is None else f" {self._name!r}"
        call = self._describe_call()
        return f"<{type(self).__name__}{name} at {id(self):#x}{': ' + call if call else ''}>"

    def _describe_call(self) -> str:
        """What it runs, with the arguments; nothing is left of that once it is over."""
        overridden = type(self)._run is not _hub.Greenlet._run
        function = self._run if overridden else getattr(self, "run", None)
        if function is None:
            return ""
        arguments = [repr(value) for value in self.args]
        arguments += [f"{key}={value!r}" for key, value in self.kwargs.items()]
        return f"{getattr(function, '__qualname__', None) or repr(function)}({', '.join(arguments)})"

    # -- killing ---------------------------------------------------------------------------------------------

    def kill(
        self, exception: Killer = GreenletExit, block: bool = True, timeout: float | None = None
    ) -> None:
        """Raise `exception` in it, at its wait or its next one; with `block` wait until it is over, or
        `timeout` seconds.

        One that has not run yet never will; its links are called all the same. Nothing if it is over.
        Switches only with `block`. Never raises what the greenlet raises.
        """
        if self.ready():
            return
        kill_any(self, exception)
        if not block:
            return
        if self is getcurrent():
            sleep(0)  # raises here
        self.join(timeout)

    def throw(self, *args: Any) -> Any:
        """Switch to it at once, raising in it. For the hub and those who know why; others use kill()."""
        if self.ready():
            return super().throw(*args)
        killer: Killer = GreenletExit if not args else args[0] if len(args) == 1 else (*args, None, None)[:3]
        if self.cancel(as_error(killer)):
            return None
        return super().throw(*args)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, typ: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Wait until it is over; if that is interrupted, kill it. If the body failed, kill it with what the
        body raised.
        """
        if value is not None:
            self.kill(value)
            return
        try:
            self.join()
        finally:
            self.kill()

    # -- links -----------------------------------------------------------------------------------------------

    def link(self, callback: Callable[[Self], object], SpawnedLink: type[SpawnedLink] = SpawnedLink) -> None:
        """Call `callback(greenlet)` in a new greenlet once this is over. Never switches."""
        self.rawlink(SpawnedLink(callback))

    def link_value(
        self, callback: Callable[[Self], object], SpawnedLink: type[SpawnedLink] = SuccessSpawnedLink
    ) -> None:
        """link(), only if it does not fail."""
        self.rawlink(SpawnedLink(callback))

    def link_exception(
        self, callback: Callable[[Self], object], SpawnedLink: type[SpawnedLink] = FailureSpawnedLink
    ) -> None:
        """link(), only if it fails."""
        self.rawlink(SpawnedLink(callback))

    # -- for tracing -----------------------------------------------------------------------------------------

    @staticmethod
    def add_spawn_callback(callback: Callable[["Greenlet[Any]"], object]) -> None:
        """Call `callback(greenlet)` at the start() of every greenlet, in all threads, until it is removed."""
        _spawn_callbacks.add(callback)
        for name, method in _SEEN.items():
            setattr(Greenlet, name, method)

    @staticmethod
    def remove_spawn_callback(callback: Callable[["Greenlet[Any]"], object]) -> None:
        """The opposite of add_spawn_callback(); silent if it was not added."""
        if callback in _spawn_callbacks:
            _spawn_callbacks.remove(callback)
            for name in _SEEN if not _spawn_callbacks else ():
                delattr(Greenlet, name)


_spawn_callbacks: set[Callable[[Greenlet[Any]], object]] = set()


def _tell(started: Greenlet[Any]) -> None:
    if not started.started and not started.ready():
        for callback in list(_spawn_callbacks):
            callback(started)


def _start(self: Greenlet[Any]) -> None:
    _tell(self)
    _hub.Greenlet.start(self)


def _start_later(self: Greenlet[Any], seconds: float) -> None:
    _tell(self)
    _hub.Greenlet.start_later(self, seconds)


def _spawn(cls: type[Greenlet[Any]], *args: Any, **kwargs: Any) -> Greenlet[Any]:
    made = cls(*args, **kwargs)
    made.start()
    return made


def _spawn_later(cls: type[Greenlet[Any]], seconds: float, *args: Any, **kwargs: Any) -> Greenlet[Any]:
    made = cls(*args, **kwargs)
    made.start_later(seconds)
    return made


#: In place of the methods in C while there are spawn callbacks.
_SEEN: dict[str, Any] = {
    "start": _start,
    "start_later": _start_later,
    "spawn": classmethod(_spawn),
    "spawn_later": classmethod(_spawn_later),
}


def _init_tracked(self: Greenlet[Any], *args: Any, **kwargs: Any) -> None:
    """Greenlet.__init__ with config.track_greenlet_tree: notes who spawns it, and where."""
    _hub.Greenlet.__init__(self, *args, **kwargs)
    note_spawn(self, sys._getframe(1), self.spawning_stack_limit)


if config.track_greenlet_tree:
    setattr(Greenlet, "__init__", _init_tracked)  # noqa: B010  # an assignment would be the type checker's business


def joinall(
    greenlets: Iterable[_G],
    timeout: float | None = None,
    raise_error: bool = False,
    count: int | None = None,
) -> list[_G]:
    """Wait until all are over, or `count` of them, or `timeout` seconds: those that are over. Switches.

    `raise_error`: the first failure that is seen is raised at once; the others run on.
    """
    everybody: list[Any] = list(greenlets)
    if raise_error or count is not None or not all(isinstance(each, _hub.Greenlet) for each in everybody):
        finished = []
        with iwait(everybody, timeout, count) as ready:
            for each in ready:
                error = getattr(each, "exception", None)
                if raise_error and isinstance(error, BaseException):
                    found = getattr(each, "exc_info", None)
                    # Each raise adds to the traceback of the last one.
                    raise error.with_traceback(found[2]) if found else error
                finished.append(each)
        return finished
    # One after the other: each join that finds its greenlet over costs next to nothing, a link costs more.
    if timeout is None:
        for each in everybody:
            each.join()
        return list(everybody)
    now = get_hub().now
    deadline = now() + timeout
    for each in everybody:
        each.join(deadline - now())
        if not each.ready():
            break
    return [each for each in everybody if each.ready()]


def killall(
    greenlets: Iterable[greenlet],
    exception: Killer = GreenletExit,
    block: bool = True,
    timeout: float | None = None,
) -> None:
    """Raise `exception` in all of them, then, with `block`, wait until they are over. Switches only with
    `block`.

    Those that have not run yet never will. A raw greenlet is waited for until it has got the exception, as it
    cannot be joined. Timeout if it takes longer than `timeout` seconds.
    """
    victims = list(greenlets)
    for each in victims:
        kill_any(each, exception)
    if not block:
        return
    me = getcurrent()
    if any(each is me for each in victims):
        sleep(0)  # raises here
    joinable = [each for each in victims if isinstance(each, _hub.Greenlet)]
    with Timeout.start_new(timeout):
        if len(joinable) < len(victims):
            sleep(0)  # they stand in the ready queue before us
        joinall(joinable)
