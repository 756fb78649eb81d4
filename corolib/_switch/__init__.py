"""The engine: greenlets, in C. See README.md here for how a switch works.

Switching is all it does; waiting for something is the business of corolib.hub.
"""

from ._engine import (
    _C_API,
    GreenletExit,
    add_switch_hook,
    error,
    get_lanes,
    getcurrent,
    gettrace,
    greenlet,
    remove_switch_hook,
    set_lanes,
    settrace,
    stats,
)

__all__ = [
    "_C_API",
    "GreenletExit",
    "add_switch_hook",
    "error",
    "get_lanes",
    "getcurrent",
    "gettrace",
    "greenlet",
    "remove_switch_hook",
    "set_lanes",
    "settrace",
    "stats",
]
