"""What the events of `corolib.events` look like: for annotations, and isinstance() with events of one's own.

Apart, since few programs need them and they take as long to make as all the rest that is there.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .hub import Hub


@runtime_checkable
class IPeriodicMonitorThread(Protocol):
    """The monitoring thread of a hub."""

    def add_monitoring_function(self, function: Callable[["Hub"], object], period: float | None) -> object:
        """Call `function(hub)` each `period` seconds; None: not any more."""


@runtime_checkable
class IPeriodicMonitorThreadStartedEvent(Protocol):
    """See PeriodicMonitorThreadStartedEvent."""

    monitor: IPeriodicMonitorThread


@runtime_checkable
class IEventLoopBlocked(Protocol):
    """See EventLoopBlocked."""

    greenlet: Any
    blocking_time: float
    info: Any
    hub: Any


@runtime_checkable
class IMemoryUsageThresholdExceeded(Protocol):
    """See MemoryUsageThresholdExceeded."""

    mem_usage: int
    max_allowed: int
    memory_info: Any


@runtime_checkable
class IMemoryUsageUnderThreshold(IMemoryUsageThresholdExceeded, Protocol):
    """See MemoryUsageUnderThreshold."""

    max_memory_usage: int


@runtime_checkable
class IPatchEvent(Protocol):
    """See PatchEvent."""

    source: Any
    target: Any


@runtime_checkable
class IWillPatchEvent(IPatchEvent, Protocol):
    """See WillPatchEvent."""


@runtime_checkable
class IDidPatchEvent(IPatchEvent, Protocol):
    """See DidPatchEvent."""


@runtime_checkable
class IWillPatchModuleEvent(IWillPatchEvent, Protocol):
    """See WillPatchModuleEvent."""

    module_name: str
    target_item_names: set[str]


@runtime_checkable
class IDidPatchModuleEvent(IDidPatchEvent, Protocol):
    """See DidPatchModuleEvent."""

    module_name: str


@runtime_checkable
class IWillPatchAllEvent(IWillPatchEvent, Protocol):
    """See WillPatchAllEvent."""

    @property
    def patch_all_arguments(self) -> dict[str, bool]:
        """A copy of the switches that patch_all() was called with, defaults included."""

    @property
    def patch_all_kwargs(self) -> dict[str, Any]:
        """A copy of what else patch_all() was given, which is for subscribers."""

    def will_patch_module(self, module_name: str) -> bool:
        """Whether the switch of that name is on."""


@runtime_checkable
class IDidPatchBuiltinModulesEvent(IDidPatchEvent, Protocol):
    """See DidPatchBuiltinModulesEvent."""

    @property
    def patch_all_arguments(self) -> dict[str, bool]:
        """A copy of the switches that patch_all() was called with, defaults included."""

    @property
    def patch_all_kwargs(self) -> dict[str, Any]:
        """A copy of what else patch_all() was given, which is for subscribers."""


@runtime_checkable
class IDidPatchAllEvent(IDidPatchEvent, Protocol):
    """See DidPatchAllEvent."""

    @property
    def patch_all_arguments(self) -> dict[str, bool]:
        """A copy of the switches that patch_all() was called with, defaults included."""

    @property
    def patch_all_kwargs(self) -> dict[str, Any]:
        """A copy of what else patch_all() was given, which is for subscribers."""
