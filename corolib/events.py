"""What one can subscribe to: patching, a blocked hub, memory.

`subscribers` is a list of callables; each is called with every event, in order, where the event happens: for
patching in the thread that patches, for what the monitor finds in the monitor's thread. What a subscriber
raises goes to whoever notifies; before something is patched, DoNotPatch is a veto.

Some classes of events name a group of entry points (`ENTRY_POINT_NAME`): what installed packages declare in
that group is called with the event after the subscribers. So a plugin needs no code in the program.

    [project.entry-points."corolib.plugins.monkey.will_patch_all"]
    mine = "my_package:prepare"

Entry points are looked for where Python looks for packages, in directories; a program without such plugins
does not import what reads them.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from ._event_shapes import (
        IDidPatchAllEvent,
        IDidPatchBuiltinModulesEvent,
        IDidPatchEvent,
        IDidPatchModuleEvent,
        IEventLoopBlocked,
        IMemoryUsageThresholdExceeded,
        IMemoryUsageUnderThreshold,
        IPatchEvent,
        IPeriodicMonitorThread,
        IPeriodicMonitorThreadStartedEvent,
        IWillPatchAllEvent,
        IWillPatchEvent,
        IWillPatchModuleEvent,
    )
    from ._switch import greenlet
    from .hub import Hub

__all__ = [
    "DidPatchAllEvent",
    "DidPatchBuiltinModulesEvent",
    "DidPatchEvent",
    "DidPatchModuleEvent",
    "DoNotPatch",
    "EventLoopBlocked",
    "IDidPatchAllEvent",
    "IDidPatchBuiltinModulesEvent",
    "IDidPatchEvent",
    "IDidPatchModuleEvent",
    "IEventLoopBlocked",
    "IMemoryUsageThresholdExceeded",
    "IMemoryUsageUnderThreshold",
    "IPatchEvent",
    "IPeriodicMonitorThread",
    "IPeriodicMonitorThreadStartedEvent",
    "IWillPatchAllEvent",
    "IWillPatchEvent",
    "IWillPatchModuleEvent",
    "MemoryUsageThresholdExceeded",
    "MemoryUsageUnderThreshold",
    "PatchEvent",
    "PeriodicMonitorThreadStartedEvent",
    "WillPatchAllEvent",
    "WillPatchEvent",
    "WillPatchModuleEvent",
    "notify",
    "subscribers",
]

#: Callables that are called with each event. Append to it, or remove from it.
subscribers: list[Callable[[Any], object]] = []

#: All groups of entry points begin so.
_PLUGINS = "corolib.plugins."


def notify(event: object) -> None:
    """Call the subscribers, then the plugins that the event's class has a group for, with `event`."""
    for subscriber in list(subscribers):
        subscriber(event)
    group = getattr(event, "ENTRY_POINT_NAME", None)
    if group is not None and _plugins_installed():
        from importlib.metadata import entry_points  # brings half of the standard library with it

        for plugin in entry_points(group=group):
            plugin.load()(event)


def listening(event_class: type) -> bool:
    """Whether anybody would be called with an event of a class."""
    return bool(subscribers) or (hasattr(event_class, "ENTRY_POINT_NAME") and _plugins_installed())


#: What was found, for the sys.path that it was found for.
_searched: tuple[tuple[str, ...], bool] | None = None


def _plugins_installed() -> bool:
    """Whether any installed package declares plugins of ours. Looks at the files themselves."""
    global _searched
    path = tuple(sys.path)
    if _searched is None or _searched[0] != path:
        group = _PLUGINS.encode()
        _searched = path, any(group in text for text in _declarations(path))
    return _searched[1]


def _declarations(path: Iterable[str]) -> Iterable[bytes]:
    for folder in path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue  # an archive, or not there
        for name in names:
            if name.endswith((".dist-info", ".egg-info")):
                try:
                    # Without a buffer and as bytes: a third of the time, of which patching has little.
                    with open(os.path.join(folder, name, "entry_points.txt"), "rb", buffering=0) as file:
                        yield file.read()
                except OSError:
                    continue  # it declares none


# -- the hub -------------------------------------------------------------------------------------------------


class PeriodicMonitorThreadStartedEvent:
    """A monitoring thread has been started. Called in that thread, before it does anything: a good moment for
    `event.monitor.add_monitoring_function()`.
    """

    ENTRY_POINT_NAME: ClassVar = _PLUGINS + "hub.periodic_monitor_thread_started"

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.monitor!r}>"


class EventLoopBlocked:
    """A greenlet keeps the hub from running, for `blocking_time` seconds so far. `info`: a report."""

    def __init__(
        self,
        greenlet: "greenlet | None",
        blocking_time: float,
        info: list[str],
        *,
        hub: "Hub | None" = None,
    ) -> None:
        self.greenlet = greenlet
        self.blocking_time = blocking_time
        self.info = info
        self.hub = hub

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.blocking_time:.3f} s by {self.greenlet!r}>"


class _MemoryEvent:
    def __init__(self, mem_usage: int, max_allowed: int, memory_info: Any) -> None:
        self.mem_usage = mem_usage
        self.max_allowed = max_allowed
        self.memory_info = memory_info

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} used={self.mem_usage} max={self.max_allowed} info={self.memory_info!r}>"
        )


class MemoryUsageThresholdExceeded(_MemoryEvent):
    """The process uses more than `max_allowed` bytes: `mem_usage`. `memory_info` is what psutil says, if it
    is there.
    """


class MemoryUsageUnderThreshold(_MemoryEvent):
    """After a MemoryUsageThresholdExceeded: it uses less again. `max_memory_usage`: the most it was seen to
    use.
    """

    def __init__(self, mem_usage: int, max_allowed: int, memory_info: Any, max_usage: int) -> None:
        super().__init__(mem_usage, max_allowed, memory_info)
        self.max_memory_usage = max_usage


# -- patching ------------------------------------------------------------------------------------------------


class DoNotPatch(BaseException):
    """Raised by a subscriber of a WillPatchEvent: what was announced is not to be done."""


class PatchEvent:
    """Base: names of the module `target` are replaced by those of the module `source`."""

    def __init__(self, source: ModuleType | None, target: ModuleType | None) -> None:
        self.source = source
        self.target = target

    def __repr__(self) -> str:
        return f"<{type(self).__name__} source={self.source!r} target={self.target!r}>"


class WillPatchEvent(PatchEvent):
    """Base: it is about to be done. DoNotPatch is a veto."""


class DidPatchEvent(PatchEvent):
    """Base: it has been done."""


class WillPatchModuleEvent(WillPatchEvent):
    """Before one module is patched. `target_item_names` may be changed: what is taken out is left alone."""

    ENTRY_POINT_NAME: ClassVar = _PLUGINS + "monkey.will_patch_module"

    def __init__(
        self, module_name: str, source: ModuleType, target: ModuleType, items: Iterable[str]
    ) -> None:
        super().__init__(source, target)
        self.module_name = module_name
        self.target_item_names = set(items)


class DidPatchModuleEvent(DidPatchEvent):
    """After one module was patched."""

    ENTRY_POINT_NAME: ClassVar = _PLUGINS + "monkey.did_patch_module"

    def __init__(self, module_name: str, source: ModuleType, target: ModuleType) -> None:
        super().__init__(source, target)
        self.module_name = module_name


class _PatchAllMixin:
    def __init__(self, patch_all_arguments: Mapping[str, bool], patch_all_kwargs: Mapping[str, Any]) -> None:
        super().__init__(None, None)  # type: ignore[call-arg]  # that of PatchEvent
        self._arguments = dict(patch_all_arguments)
        self._kwargs = dict(patch_all_kwargs)

    @property
    def patch_all_arguments(self) -> dict[str, bool]:
        """A copy of the switches that patch_all() was called with, defaults included."""
        return self._arguments.copy()

    @property
    def patch_all_kwargs(self) -> dict[str, Any]:
        """A copy of what else patch_all() was given, which is for subscribers."""
        return self._kwargs.copy()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._arguments!r}>"


class WillPatchAllEvent(_PatchAllMixin, WillPatchEvent):
    """Before patch_all() does anything."""

    ENTRY_POINT_NAME: ClassVar = _PLUGINS + "monkey.will_patch_all"

    def will_patch_module(self, module_name: str) -> bool:
        """Whether the switch of that name is on."""
        return bool(self._arguments.get(module_name))


class DidPatchBuiltinModulesEvent(_PatchAllMixin, DidPatchEvent):
    """patch_all() has patched the standard library."""

    ENTRY_POINT_NAME: ClassVar = _PLUGINS + "monkey.did_patch_builtins"


class DidPatchAllEvent(_PatchAllMixin, DidPatchEvent):
    """After all that, and the subscribers of DidPatchBuiltinModulesEvent, which may have patched more."""

    ENTRY_POINT_NAME: ClassVar = _PLUGINS + "monkey.did_patch_all"


# -- what the events look like: the names with an I in front are in _event_shapes ----------------------------


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import _event_shapes

    value = globals()[name] = getattr(_event_shapes, name)
    return value
