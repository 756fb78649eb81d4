"""Table: the names of gevent 26.9, module by module, and what they are here.

Where a module stands in for one of the standard library it has everything (`names=None`), as it does in
gevent. Private modules and names are listed where libraries that are in use take something from them.
"""

from ._alias import Library, row

__all__ = ["GEVENT", "SETTINGS"]

_VERSION = "26.9.0"
_SHAPES = ".compat._shapes:"

_ARES = "there is no c-ares here; COROLIB_RESOLVER=dns is a resolver that speaks to name servers itself"
_WINDOWS = "corolib runs on POSIX systems"
_NO_UNBOUND = "SimpleQueue without a maxsize is as fast as a class of its own"
_PRIVATE_SETTING = "settings are rows of a table here (corolib._config.Setting)"

_EVENTS = {
    "Gevent" + name: f".events:{name}"
    for name in (
        *("PatchEvent", "WillPatchEvent", "DidPatchEvent", "WillPatchModuleEvent", "DidPatchModuleEvent"),
        *("WillPatchAllEvent", "DidPatchBuiltinModulesEvent", "DidPatchAllEvent"),
    )
}
_EVENTS |= {"I" + name: path.replace(":", ":I") for name, path in _EVENTS.items()}

# Names that the standard library's socket has without saying so.
_SOCKET = {
    "SocketIO": "socket:SocketIO",
    **{
        name: f"errno:{name}"
        for name in ("EAGAIN", "EALREADY", "EBADF", "EINPROGRESS", "EINVAL", "EISCONN", "EWOULDBLOCK")
    },
}

_HUB_ERRORS = {"GreenletError": "._switch:error", "RawGreenlet": "._switch:greenlet"}

GEVENT = Library(
    "gevent",
    _VERSION,
    __file__,
    {
        # -- the root
        "gevent": row(
            ".",
            """Greenlet GreenletExit Timeout config fork get_hub getcurrent getswitchinterval idle iwait
            joinall kill killall reinit setswitchinterval signal_handler sleep spawn spawn_later spawn_raw
            wait with_timeout""",
            values={"__version__": _VERSION, "version_info": (26, 9, 0, "final", 0)},
        ),
        # -- hub and greenlets
        "gevent.hub": row(
            ".hub",
            """BlockingSwitchOutError ConcurrentObjectUseError GreenletExit Hub HubDestroyed IdentRegistry
            InvalidSwitchError InvalidThreadUseError LoopExit MAIN_THREAD_IDENT Waiter get_hub
            get_hub_if_exists get_loop getcurrent idle iwait kill linkproxy reinit set_hub set_loop signal
            sleep spawn_raw wait _get_hub _get_hub_noargs""",
            moved={**_HUB_ERRORS, "get_hub_noargs": ".hub:get_hub", "get_thread_ident": "._native:get_ident"},
            absent={
                "set_default_hub_class": "a hub of another class is given to set_hub()",
                "TrackedRawGreenlet": "raw greenlets are all of one class",
                "WaitOperationsGreenlet": "its methods are those of Hub",
            },
        ),
        "gevent._hub_local": row(
            ".hub",
            "get_hub get_hub_if_exists get_loop set_hub set_loop Hub",
            moved={"get_hub_noargs": ".hub:get_hub"},
            absent={
                "set_default_hub_class": "a hub of another class is given to set_hub()",
                "get_hub_class": "Hub is the class",
            },
        ),
        "gevent._hub_primitives": row(
            "._waiting",
            "Waiter",
            moved={
                "ConcurrentObjectUseError": ".errors:ConcurrentObjectUseError",
                "get_hub_noargs": ".hub:get_hub",
                "getcurrent": "._switch:getcurrent",
                "iwait_on_objects": "._waiting:iwait",
                "wait_on_objects": "._waiting:wait",
                "wait_read": ".socket:wait_read",
                "wait_readwrite": ".socket:wait_readwrite",
                "wait_write": ".socket:wait_write",
            },
            absent={
                "MultipleWaiter": "wait() and iwait() need none",
                "WaitOperationsGreenlet": "its methods are those of Hub",
                "wait_on_watcher": "Hub.wait() is it",
                "wait_on_socket": "a socket waits in C",
            },
        ),
        "gevent._waiter": row(
            "._waiting",
            "Waiter",
            moved={"getcurrent": "._switch:getcurrent", "get_hub_noargs": ".hub:get_hub"},
            absent={"MultipleWaiter": "wait() and iwait() need none"},
        ),
        "gevent._abstract_linkable": row(moved={"AbstractLinkable": "._waiting:Linkable"}),
        "gevent._greenlet_primitives": row(
            moved={"getcurrent": "._switch:getcurrent"},
            absent={
                "TrackedRawGreenlet": "raw greenlets are all of one class",
                "SwitchOutGreenletWithLoop": "raw greenlets are all of one class",
            },
        ),
        "gevent._ident": row(".hub", "IdentRegistry"),
        "gevent.greenlet": row(
            ".greenlet",
            """Greenlet joinall killall FailureSpawnedLink SpawnedLink SuccessSpawnedLink getcurrent iwait
            wait""",
            moved={"Waiter": "._waiting:Waiter", "get_hub_noargs": ".hub:get_hub"},
        ),
        "gevent.exceptions": row(
            ".errors",
            """BlockingSwitchOutError ConcurrentObjectUseError GreenletExit HubDestroyed InvalidSwitchError
            InvalidThreadUseError LoopExit""",
        ),
        "gevent.timeout": row(".timeout", "Timeout with_timeout"),
        "gevent.local": row(".local", "local all_local_dicts_for_greenlet"),
        # -- primitives and crowds
        "gevent.event": row(".event", "AsyncResult Event", moved={"AbstractLinkable": "._waiting:Linkable"}),
        "gevent.lock": row(".lock", "BoundedSemaphore DummySemaphore RLock Semaphore"),
        "gevent._semaphore": row(
            ".lock", "BoundedSemaphore Semaphore", moved={"AbstractLinkable": "._waiting:Linkable"}
        ),
        "gevent.coros": row(".lock", "BoundedSemaphore DummySemaphore RLock Semaphore"),
        "gevent.queue": row(
            ".queue",
            """Channel Empty Full JoinableQueue LifoQueue PriorityQueue Queue ShutDown SimpleQueue""",
            moved={"Waiter": "._waiting:Waiter"},
            absent={"UnboundQueue": _NO_UNBOUND, "ItemWaiter": "what waits in a queue is in C"},
        ),
        "gevent.pool": row(
            ".pool",
            """DummySemaphore Greenlet GreenletExit Group IMap IMapUnordered Pool PoolFull Semaphore Timeout
            getcurrent joinall""",
            moved={"Event": ".event:Event", "GroupMappingMixin": ".pool:Mapper"},
        ),
        "gevent._imap": row(
            ".pool", "Greenlet IMap IMapUnordered Semaphore", absent={"UnboundQueue": _NO_UNBOUND}
        ),
        "gevent.threadpool": row(".threadpool", "ThreadPool ThreadPoolExecutor ThreadResult"),
        # -- what stands in for the standard library
        "gevent.socket": row(".socket", None, moved=_SOCKET),
        "gevent._socketcommon": row(".socket", None, moved=_SOCKET),
        "gevent._socket3": row(".socket", None, moved=_SOCKET),
        "gevent.ssl": row(".ssl", None),
        "gevent.select": row(".select", None),
        "gevent.selectors": row(".selectors", None, moved={"GeventSelector": ".selectors:DefaultSelector"}),
        "gevent.os": row(
            ".os",
            None,
            moved={
                "fork_gevent": ".os:fork_unwatched",
                "forkpty_gevent": ".os:forkpty_unwatched",
            },
        ),
        "gevent.signal": row(".signal", None),
        "gevent.subprocess": row(".subprocess", None),
        "gevent.time": row(".time", None),
        "gevent.thread": row(".thread", None, moved={"Greenlet": ".greenlet:Greenlet"}),
        "gevent.threading": row(
            ".threading",
            None,
            moved={
                "Thread": "threading:Thread",
                "Timer": "threading:Timer",
                "start_new_thread": ".thread:start_new_thread",
                "allocate_lock": ".thread:allocate_lock",
                "getcurrent": "._switch:getcurrent",
            },
        ),
        "gevent.fileobject": row(
            ".fileobject",
            "FileObject FileObjectBlock FileObjectPosix FileObjectThread",
            moved={"FileObjectClosed": ".fileobject:FileObjectClosed"},
        ),
        "gevent._fileobjectcommon": row(".fileobject", "FileObjectBlock FileObjectClosed FileObjectThread"),
        "gevent._fileobjectposix": row(".fileobject", "FileObjectPosix"),
        "gevent.contextvars": row(
            moved={name: f"contextvars:{name}" for name in ("Context", "ContextVar", "Token", "copy_context")}
        ),
        "gevent.builtins": row("builtins", None),
        # -- names
        "gevent.resolver": row(moved={"AbstractResolver": ".resolver.base:Resolver"}),
        "gevent.resolver.thread": row(moved={"Resolver": ".resolver.thread:ThreadResolver"}),
        "gevent.resolver_thread": row(moved={"Resolver": ".resolver.thread:ThreadResolver"}),
        "gevent.resolver.blocking": row(moved={"Resolver": ".resolver:BlockingResolver"}),
        "gevent.resolver._hostsfile": row(".resolver.hosts", "HostsFile"),
        "gevent.resolver.dnspython": row(moved={"Resolver": ".resolver.dns:DnsResolver"}),
        "gevent.resolver.ares": row(absent={"Resolver": _ARES}),
        "gevent.resolver_ares": row(absent={"Resolver": _ARES}),
        "gevent.ares": row(absent={"channel": _ARES}),
        # -- servers
        "gevent.baseserver": row(
            ".server.base", "BaseServer", moved={"parse_address": ".server.listeners:parse_address"}
        ),
        "gevent.server": row(".server", "DatagramServer StreamServer BaseServer"),
        "gevent.pywsgi": row(
            ".pywsgi",
            """Environ Input LoggingLogAdapter SecureEnviron WSGIHandler WSGISecureEnviron WSGIServer
            format_date_time""",
            absent={
                "MAX_REQUEST_LINE": "Limits of the server has that and more",
                "OldMessage": "heads are read by a parser in C",
                "headers_factory": "heads are read by a parser in C",
            },
        ),
        "gevent.backdoor": row(".tools.backdoor", "BackdoorServer"),
        # -- patching
        "gevent.monkey": row(
            ".monkey",
            """MonkeyPatchWarning get_original is_anything_patched is_module_patched is_object_patched main
            patch_all patch_dns patch_item patch_module patch_os patch_queue patch_select patch_selectors
            patch_signal patch_socket patch_ssl patch_subprocess patch_thread patch_time remove_item saved""",
            moved={name: _SHAPES + name for name in ("patch_builtins", "patch_contextvars", "patch_sys")},
        ),
        "gevent.monkey.__main__": row(".monkey", "main", main=".monkey:main"),
        "gevent.monkey._state": row(
            ".monkey", "is_anything_patched is_module_patched is_object_patched saved"
        ),
        "gevent.monkey._errors": row(".monkey", "MonkeyPatchWarning"),
        "gevent.monkey._main": row(".monkey", "main"),
        "gevent.monkey.api": row(".monkey", "get_original patch_item patch_module remove_item"),
        "gevent.events": row(
            ".events",
            """DoNotPatch EventLoopBlocked IEventLoopBlocked IMemoryUsageThresholdExceeded
            IMemoryUsageUnderThreshold IPeriodicMonitorThread IPeriodicMonitorThreadStartedEvent
            MemoryUsageThresholdExceeded MemoryUsageUnderThreshold PeriodicMonitorThreadStartedEvent notify
            subscribers""",
            moved=_EVENTS,
        ),
        # -- looking inside
        "gevent.util": row(
            ".util",
            """GreenletTree assert_switches clear_stack_frames dump_stacks format_run_info print_run_info
            wrap_errors""",
        ),
        "gevent._monitor": row(".tools.monitor", "PeriodicMonitoringThread MonitorWarning"),
        "gevent._tracer": row(".tools.trace", "GreenletTracer HubSwitchTracer MaxSwitchTracer"),
        # -- settings and the loop
        "gevent._config": row(
            "._config",
            "Config Setting config",
            absent={
                "ImportableSetting": _PRIVATE_SETTING,
                "ALL_SETTINGS": _PRIVATE_SETTING,
            },
        ),
        "gevent._interfaces": row(
            moved={name: _SHAPES + name for name in ("ICallback", "ILoop", "IWatcher")}
        ),
        "gevent.core": row(
            "._ev",
            "READ WRITE embeddable_backends recommended_backends supported_backends time",
            moved={
                "callback": "._hub:callback",
                "get_header_version": "._ev:header_version",
                "get_version": "._ev:version",
                "io": "._hub:io",
                "loop": "._ev:Loop",
                "timer": "._hub:timer",
            },
        ),
        "gevent.win32util": row(absent={"formatError": _WINDOWS}),
    },
)

#: The settings that gevent has as well -> its environment variables. GEVENT_LOOP and GEVENT_NOWAITPID have no
#: counterpart (there is one loop, and it takes no children from anybody), nor has what is for c-ares.
SETTINGS = {
    "fileobject": "GEVENT_FILE",
    "format_context": "GEVENT_FORMAT_CONTEXT",
    "libev_backend": "GEVENT_BACKEND",
    "max_blocking_time": "GEVENT_MAX_BLOCKING_TIME",
    "max_memory_usage": "GEVENT_MONITOR_MEMORY_MAX",
    "memory_monitor_period": "GEVENT_MONITOR_MEMORY_PERIOD",
    "monitor_thread": "GEVENT_MONITOR_THREAD_ENABLE",
    "print_blocking_reports": "GEVENT_MONITOR_PRINT_BLOCKING_REPORTS",
    "resolver": "GEVENT_RESOLVER",
    "resolver_nameservers": "GEVENT_RESOLVER_NAMESERVERS",
    "resolver_timeout": "GEVENT_RESOLVER_TIMEOUT",
    "threadpool": "GEVENT_THREADPOOL",
    "threadpool_idle_task_timeout": "GEVENT_THREADPOOL_IDLE_TASK_TIMEOUT",
    "track_greenlet_tree": "GEVENT_TRACK_GREENLET_TREE",
}
