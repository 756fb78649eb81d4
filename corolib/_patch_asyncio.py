"""An event loop of asyncio that runs in a greenlet lets the others run once per turn.

With a selector of the standard library it does so by itself, since that is cooperative once it is patched.
With one of somebody else's making, which answers at once or waits in its own way, no other greenlet would
ever run, not even the threads of run_in_executor(), which the loop waits for.
"""

import selectors
from functools import wraps
from types import ModuleType
from typing import Any

from .hub import get_hub_if_exists, sleep

__all__ = ["patch_loops"]

#: Where they wait they let others run.
_COOPERATIVE = {
    getattr(selectors, name).select
    for name in ("SelectSelector", "PollSelector", "EpollSelector", "DevpollSelector", "KqueueSelector")
    if hasattr(selectors, name)
}


def patch_loops(base_events: ModuleType) -> None:
    """Called with the module `asyncio.base_events`, right after its import."""
    plain = base_events.BaseEventLoop._run_once

    @wraps(plain)
    def _run_once(self: Any) -> None:
        plain(self)
        selector = getattr(self, "_selector", None)
        if getattr(type(selector), "select", None) not in _COOPERATIVE and get_hub_if_exists() is not None:
            sleep(0)

    base_events.BaseEventLoop._run_once = _run_once
