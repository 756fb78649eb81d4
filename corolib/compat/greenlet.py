"""Table: the names of greenlet 3.5, and what they are here."""

from ._alias import Library, row

__all__ = ["GREENLET"]

_CLEANUP = "greenlets of threads that ended are freed at once here: there is nothing to look for"

_NAMES = {
    "GreenletExit": "._switch:GreenletExit",
    "_C_API": "._switch:_C_API",
    "error": "._switch:error",
    "getcurrent": "._switch:getcurrent",
    "gettrace": "._switch:gettrace",
    "greenlet": "._switch:greenlet",
    "settrace": "._switch:settrace",
}
_SWITCHES = {
    "GREENLET_USE_CONTEXT_VARS": True,
    "GREENLET_USE_GC": True,
    "GREENLET_USE_TRACING": True,
}
_MOVED = {
    **_NAMES,
    "CLOCKS_PER_SEC": ".compat._shapes:CLOCKS_PER_SEC",
    "enable_optional_cleanup": ".compat._shapes:enable_optional_cleanup",
    "get_clocks_used_doing_optional_cleanup": ".compat._shapes:get_clocks_used_doing_optional_cleanup",
}
_VERSION = "3.5.6"

GREENLET = Library(
    "greenlet",
    _VERSION,
    __file__,
    {
        "greenlet": row(moved=_MOVED, values={**_SWITCHES, "__version__": _VERSION}),
        "greenlet._greenlet": row(
            moved=_MOVED,
            values=_SWITCHES,
            absent={
                "UnswitchableGreenlet": "a class of that project's own tests",
                "get_pending_cleanup_count": _CLEANUP,
                "get_total_main_greenlets": _CLEANUP,
            },
        ),
    },
)
