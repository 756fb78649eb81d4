"""Table: the common part of eventlet 0.41, and what it is here.

Most of it is corolib's own under eventlet's names; what has another shape is in _eventlet.py.
"""

from ._alias import Library, row

__all__ = ["EVENTLET"]

_VERSION = "0.41.0"
_SHAPES = ".compat._eventlet"

_THREADS = {
    "getcurrent": "._switch:getcurrent",
    "sleep": ".hub:sleep",
    **{
        name: f"{_SHAPES}:{name}"
        for name in ("GreenThread", "kill", "spawn", "spawn_after", "spawn_after_local", "spawn_n")
    },
}
_PATCHED = "patch the program: monkey_patch(); there are no copies of modules made of others"
_OTHERS = "a pool of connections is a library of its own: SQLAlchemy has one, and so has each driver"

EVENTLET = Library(
    "eventlet",
    _VERSION,
    __file__,
    {
        "eventlet": row(
            _SHAPES,
            """CappedSemaphore GreenPile GreenPool LifoQueue LightQueue PriorityQueue Queue Semaphore
            StopServe connect is_timeout kill listen monkey_patch serve spawn spawn_after spawn_n wrap_ssl""",
            moved={
                "BoundedSemaphore": ".lock:BoundedSemaphore",
                "Timeout": ".timeout:Timeout",
                "getcurrent": "._switch:getcurrent",
                "sleep": ".hub:sleep",
                "with_timeout": ".timeout:with_timeout",
            },
            absent={
                "import_patched": _PATCHED,
                "wrap_is_timeout": "is_timeout() is enough",
                "spawn_after_local": "it is in greenthread",
            },
            values={"__version__": _VERSION, "version_info": (0, 41, 0)},
        ),
        "eventlet.convenience": row(_SHAPES, "StopServe connect listen serve wrap_ssl"),
        "eventlet.corolocal": row(".local", "local", moved={"get_ident": ".thread:get_ident"}),
        "eventlet.event": row(_SHAPES, "Event"),
        "eventlet.greenio": row(
            moved={"GreenSocket": ".socket:socket", "GreenPipe": ".fileobject:FileObjectPosix"}
        ),
        "eventlet.greenpool": row(_SHAPES, "GreenPile GreenPool"),
        "eventlet.greenthread": row(
            moved={**_THREADS, "with_timeout": ".timeout:with_timeout"},
            absent={"exc_after": "Timeout does it"},
        ),
        "eventlet.hubs": row(
            _SHAPES,
            "trampoline",
            moved={"get_hub": ".hub:get_hub"},
            absent={
                "use_hub": "there is one, libev; COROLIB_LIBEV_BACKEND chooses how it polls",
                "notify_close": "closing a cooperative descriptor wakes who waits for it",
                "notify_opened": "a number that is used again is not taken for the old one",
            },
        ),
        "eventlet.patcher": row(
            _SHAPES,
            "is_monkey_patched monkey_patch original",
            absent={"import_patched": _PATCHED, "inject": _PATCHED, "patch_function": _PATCHED},
        ),
        "eventlet.queue": row(
            _SHAPES,
            "LifoQueue LightQueue PriorityQueue Queue",
            moved={"Empty": ".queue:Empty", "Full": ".queue:Full"},
        ),
        "eventlet.semaphore": row(
            _SHAPES, "CappedSemaphore Semaphore", moved={"BoundedSemaphore": ".lock:BoundedSemaphore"}
        ),
        "eventlet.timeout": row(
            ".timeout", "Timeout with_timeout", moved={"is_timeout": f"{_SHAPES}:is_timeout"}
        ),
        "eventlet.tpool": row(_SHAPES, "Proxy execute killall set_num_threads"),
        "eventlet.wsgi": row(_SHAPES, "server"),
        "eventlet.db_pool": row(
            absent=dict.fromkeys(("DatabaseConnector", "RawConnectionPool", "TpooledConnectionPool"), _OTHERS)
        ),
        # -- the standard library, cooperative without patching
        "eventlet.green": row(absent={"urllib": _PATCHED, "http": _PATCHED}),
        **{
            f"eventlet.green.{name}": row(f".{name}", None)
            for name in ("os", "select", "selectors", "socket", "ssl", "subprocess", "thread", "time")
        },
        "eventlet.green.threading": row(".threading", None, moved={"Thread": "threading:Thread"}),
        "eventlet.green.Queue": row(".queue", "Empty Full LifoQueue PriorityQueue Queue"),
    },
)
