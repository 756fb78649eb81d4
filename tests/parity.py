"""Which public names gevent's users know, and where they are here: data for test_parity.py.

A key is a module, or a module and a class in it. What stands behind a class is looked for in an instance if
there is a way to make one in INSTANCES, else in the class. Names that are called something else, or are
somewhere else, are in MOVED; those that are not there at all in LEFT_OUT, each with its reason, which
docs/differences.md gives as well. Only the parts that are built are listed: the root, the hub and the loop,
greenlets, the primitives, pools, servers, os, signal, util, the monitor, settings.
"""

from collections.abc import Callable
from typing import Any

WATCHER = "active args callback close feed loop pending priority ref start stop __enter__ __exit__ "
LINKABLE = "hub linkcount rawlink ready unlink "
MAPPING = "apply apply_async apply_cb imap imap_unordered map map_async map_cb "
QUEUE = (
    "__bool__ __iter__ __len__ __class_getitem__ copy empty full get get_nowait getters hub is_shutdown "
    "maxsize peek peek_nowait put put_nowait putters qsize queue "
)
SERVER = (
    "address close closed do_close do_handle do_read family fatal_errors full handle init_socket "
    "is_fatal_error loop max_accept max_delay min_delay pool reuse_addr serve_forever server_host "
    "server_port set_handle set_listener set_spawn start start_accepting started stop "
    "stop_accepting stop_timeout "
)

PUBLIC: dict[str, str] = {
    # -- the root
    "corolib": """Greenlet GreenletExit Timeout __version__ config fork get_hub getcurrent
        getswitchinterval idle iwait joinall kill killall reinit setswitchinterval signal_handler sleep
        spawn spawn_later spawn_raw version_info wait with_timeout""",
    # -- greenlets
    "corolib.greenlet": """Greenlet joinall killall FailureSpawnedLink SpawnedLink SuccessSpawnedLink
        getcurrent iwait wait""",
    "corolib.greenlet:Greenlet": """add_spawn_callback args dead exc_info exception get gr_context
        gr_frame has_links join kill kwargs link link_exception link_value loop minimal_ident name
        parent rawlink ready remove_spawn_callback run spawn spawn_later spawn_tree_locals
        spawning_greenlet spawning_stack spawning_stack_limit start start_later started successful
        switch throw unlink unlink_all value _run GreenletExit error getcurrent gettrace settrace
        __bool__ __enter__ __exit__""",
    # -- the hub
    "corolib.hub": """BlockingSwitchOutError ConcurrentObjectUseError GreenletExit Hub HubDestroyed
        InvalidSwitchError LoopExit MAIN_THREAD_IDENT Waiter get_hub get_hub_if_exists get_loop
        getcurrent idle iwait kill linkproxy reinit set_hub set_loop signal sleep spawn_raw wait
        _get_hub _get_hub_noargs""",
    "corolib.hub:Hub": """NOT_ERROR SYSTEM_ERROR backend cancel_wait cancel_waits_close_and_then dead
        destroy exception_stream format_context gr_context gr_frame handle_error handle_system_error
        ident_registry join loop loop_class main_hub minimal_ident name parent
        periodic_monitoring_thread print_exception resolver resolver_class
        start_periodic_monitoring_thread switch switch_out thread_ident threadpool threadpool_class
        threadpool_size throw wait""",
    "corolib._waiting:Waiter": """clear exc_info get greenlet hub ready successful switch switch_args
        throw value __call__""",
    "corolib.errors": """BlockingSwitchOutError ConcurrentObjectUseError HubDestroyed
        InvalidSwitchError InvalidThreadUseError LoopExit""",
    "corolib.errors:LoopExit": "hub",
    "corolib.errors:HubDestroyed": "destroy_loop",
    # -- the loop and its watchers
    "corolib.hub:loop": """MAXPRI MINPRI WatcherType activecnt approx_timer_resolution async async_
        backend backend_int break_ check child closing_fd default depth destroy error_handler fork
        handle_error idle install_sigchld io iteration now origflags origflags_int pendingcnt prepare
        ptr ref reinit reset_sigchld run run_callback run_callback_threadsafe sigfd signal stat timer
        unref update update_now verify""",
    "corolib.hub:callback": "args callback close pending stop __bool__",
    "corolib.hub:io": WATCHER + "events events_str fd",
    "corolib.hub:timer": WATCHER + "again at",
    "corolib.hub:signal watcher": WATCHER,
    "corolib.hub:idle": WATCHER,
    "corolib.hub:prepare": WATCHER,
    "corolib.hub:check": WATCHER,
    "corolib.hub:fork": WATCHER,
    "corolib.hub:async_": WATCHER + "send send_ignoring_arg",
    "corolib.hub:child": WATCHER + "pid rpid rstatus",
    "corolib.hub:stat": WATCHER + "attr interval path prev",
    "corolib._ev": "embeddable_backends recommended_backends supported_backends time",
    # -- primitives
    "corolib.event": "AsyncResult Event",
    "corolib.event:Event": LINKABLE + "clear isSet is_set set wait",
    "corolib.event:AsyncResult": LINKABLE
    + """cancel cancelled done exc_info exception get get_nowait result set set_exception set_result
        successful value wait __call__""",
    "corolib.lock": "BoundedSemaphore DummySemaphore RLock Semaphore",
    "corolib.lock:Semaphore": LINKABLE + "acquire counter locked release wait __enter__ __exit__",
    "corolib.lock:BoundedSemaphore": LINKABLE + "acquire counter locked release wait __enter__ __exit__",
    "corolib.lock:DummySemaphore": "acquire locked rawlink ready release unlink wait __enter__ __exit__",
    "corolib.lock:RLock": """acquire locked release _acquire_restore _is_owned _release_save __enter__
        __exit__""",
    "corolib.queue": """Channel Empty Full JoinableQueue LifoQueue PriorityQueue Queue ShutDown
        SimpleQueue""",
    "corolib.queue:SimpleQueue": QUEUE,
    "corolib.queue:Queue": QUEUE + "join shutdown task_done unfinished_tasks",
    "corolib.queue:JoinableQueue": QUEUE + "join shutdown task_done unfinished_tasks",
    "corolib.queue:PriorityQueue": QUEUE + "join shutdown task_done unfinished_tasks",
    "corolib.queue:LifoQueue": QUEUE + "join shutdown task_done unfinished_tasks",
    "corolib.queue:Channel": """balance empty full get get_nowait getters hub next put put_nowait putters
        qsize __iter__""",
    "corolib.pool": "Group IMap IMapUnordered Pool PoolFull Greenlet",
    "corolib.pool:Group": MAPPING
    + """add discard dying full greenlet_class greenlets join kill killone spawn start wait_available
        __contains__ __iter__ __len__""",
    "corolib.pool:Pool": MAPPING
    + """add discard dying free_count full greenlet_class greenlets join kill killone size spawn start
        wait_available _semaphore __contains__ __iter__ __len__""",
    "corolib.local": "local all_local_dicts_for_greenlet",
    "corolib.timeout": "Timeout with_timeout",
    "corolib.timeout:Timeout": """cancel close exception pending seconds start start_new timer
        _on_expiration __enter__ __exit__ __lt__""",
    "corolib.time": "sleep monotonic time strftime perf_counter",
    "corolib.threadpool": "ThreadPool ThreadPoolExecutor ThreadResult",
    "corolib.threadpool:ThreadResult": """context destroy_in_main_thread exc_info exception handle_error hub
        receiver set successful value""",
    "corolib.threadpool:ThreadPool": MAPPING
    + "adjust fork_watcher hub join kill manager maxsize pid size spawn task_queue __len__",
    "corolib.threadpool:ThreadPoolExecutor": "kill map shutdown submit",
    # -- servers
    "corolib.server": "DatagramServer StreamServer",
    "corolib.server:StreamServer": SERVER
    + "backlog get_listener ssl_args ssl_enabled wrap_socket_and_handle",
    "corolib.server:DatagramServer": SERVER + "get_listener sendto",
    "corolib.tools.backdoor:BackdoorServer": SERVER + "banner locals wrap_socket_and_handle",
    # -- the system
    "corolib.os": """close fork fork_and_watch forkpty forkpty_and_watch make_nonblocking nb_read
        nb_write posix_spawn posix_spawnp tp_read tp_write waitpid _read _write ignored_errors""",
    "corolib.signal": "getsignal set_wakeup_fd signal signal_handler SIGTERM SIG_DFL",
    "corolib.signal:signal_handler": "cancel ref",
    # -- looking inside
    "corolib.util": """GreenletTree assert_switches clear_stack_frames dump_stacks format_run_info
        print_run_info wrap_errors""",
    "corolib.util:GreenletTree": """DEFAULT_DETAILS add_child current_tree forest format format_lines
        greenlet is_current_tree root""",
    "corolib.tools.trace": "GreenletTracer HubSwitchTracer MaxSwitchTracer",
    "corolib.tools.trace:GreenletTracer": """active_greenlet did_block_hub did_block_hub_report
        greenlet_switch_counter kill previous_trace_function""",
    "corolib.tools.monitor": "PeriodicMonitoringThread",
    "corolib.tools.monitor:PeriodicMonitoringThread": """add_monitoring_function calculate_sleep_time
        can_monitor_memory_usage hub ignore_current_greenlet_blocking inactive_sleep_time
        install_monitor_memory_usage kill min_memory_monitor_period min_sleep_time monitor_blocking
        monitor_current_greenlet_blocking monitor_memory_usage monitoring_functions""",
    "corolib.events": """DidPatchAllEvent DidPatchBuiltinModulesEvent DidPatchEvent DidPatchModuleEvent
        DoNotPatch EventLoopBlocked IDidPatchAllEvent IDidPatchBuiltinModulesEvent IDidPatchModuleEvent
        IEventLoopBlocked IMemoryUsageThresholdExceeded IMemoryUsageUnderThreshold IPatchEvent
        IPeriodicMonitorThread IPeriodicMonitorThreadStartedEvent IWillPatchAllEvent IWillPatchEvent
        IWillPatchModuleEvent MemoryUsageThresholdExceeded MemoryUsageUnderThreshold PatchEvent
        PeriodicMonitorThreadStartedEvent WillPatchAllEvent WillPatchEvent WillPatchModuleEvent
        subscribers""",
    "corolib.monkey": """MonkeyPatchWarning get_original is_anything_patched is_module_patched
        is_object_patched main patch_all patch_builtins patch_contextvars patch_dns patch_item patch_module
        patch_os patch_queue patch_select patch_selectors patch_signal patch_socket patch_ssl
        patch_subprocess patch_sys patch_thread patch_time remove_item saved""",
    # -- settings
    "corolib._config": "Config config",
    "corolib._config:config": """format_context libev_backend max_blocking_time
        max_memory_usage memory_monitor_period monitor_thread print_blocking_reports print_help
        resolver resolver_nameservers resolver_timeout set settings threadpool
        threadpool_idle_task_timeout track_greenlet_tree""",
    # -- the web server
    "corolib.pywsgi": """Environ Input LoggingLogAdapter SecureEnviron WSGIHandler WSGISecureEnviron
        WSGIServer format_date_time""",
    "corolib.pywsgi:WSGIServer": """application base_env environ environ_class error_log get_environ handle
        handler_class log secure_environ_class set_environ set_max_accept update_environ""",
    "corolib.pywsgi:WSGIHandler": """ApplicationError application close_connection code command
        connection_upgraded environ finalize_headers format_request get_environ handle handle_error
        handle_one_request handle_one_response headers headers_sent ignored_socket_errors log_error
        log_request path process_result protocol_version provided_content_length provided_date
        read_request request_version requestline response_length response_use_chunked result rfile
        run_application start_response status time_finish time_start write wsgi_input""",
    "corolib.pywsgi:LoggingLogAdapter": "flush write writelines",
    "corolib.pywsgi:SecureEnviron": """copy default_print_masked_keys default_secure_repr
        default_whitelist_keys print_masked_keys secure_repr whitelist_keys""",
    "corolib.pywsgi:Input": "__iter__ __next__ read readline readlines",
}


def _hub() -> Any:
    from corolib.hub import get_hub

    return get_hub()


def _loop(kind: str, *arguments: Any) -> Callable[[], Any]:
    return lambda: getattr(_hub().loop, kind)(*arguments)


def _tracer() -> Any:
    tracer = __import__("corolib.tools.trace", fromlist=["trace"]).GreenletTracer()
    tracer.kill()
    return tracer


def _make(module: str, name: str, *arguments: Any) -> Callable[[], Any]:
    return lambda: getattr(__import__(module, fromlist=[name]), name)(*arguments)


#: Instances, for what a class alone does not show. The names of kinds of watchers are made up.
INSTANCES: dict[str, Callable[[], Any]] = {
    "corolib.greenlet:Greenlet": _make("corolib.greenlet", "Greenlet", print),
    "corolib.hub:Hub": _hub,
    "corolib._waiting:Waiter": _make("corolib._waiting", "Waiter"),
    "corolib.errors:LoopExit": _make("corolib.errors", "LoopExit"),
    "corolib.errors:HubDestroyed": _make("corolib.errors", "HubDestroyed"),
    "corolib.hub:loop": lambda: _hub().loop,
    "corolib.server:StreamServer": _make("corolib.server", "StreamServer", 0, print),
    "corolib.server:DatagramServer": _make("corolib.server", "DatagramServer", 0, print),
    "corolib.tools.backdoor:BackdoorServer": _make("corolib.tools.backdoor", "BackdoorServer", 0),
    "corolib.hub:callback": _loop("run_callback", int),
    "corolib.hub:io": _loop("io", 0, 1),
    "corolib.hub:timer": _loop("timer", 1),
    "corolib.hub:signal watcher": _loop("signal", 10),
    "corolib.hub:idle": _loop("idle"),
    "corolib.hub:prepare": _loop("prepare"),
    "corolib.hub:check": _loop("check"),
    "corolib.hub:fork": _loop("fork"),
    "corolib.hub:async_": _loop("async_"),
    "corolib.hub:child": _loop("child", 1),
    "corolib.hub:stat": _loop("stat", "/"),
    "corolib.util:GreenletTree": lambda: __import__(
        "corolib.util", fromlist=["util"]
    ).GreenletTree.current_tree(),
    "corolib.tools.trace:GreenletTracer": _tracer,
    **{
        f"corolib.{module}:{name}": _make(f"corolib.{module}", name)
        for module, name in (
            *(("event", "Event"), ("event", "AsyncResult")),
            *(
                ("lock", "Semaphore"),
                ("lock", "BoundedSemaphore"),
                ("lock", "DummySemaphore"),
                ("lock", "RLock"),
            ),
            *(("queue", "SimpleQueue"), ("queue", "Queue"), ("queue", "JoinableQueue"), ("queue", "Channel")),
            *(("queue", "PriorityQueue"), ("queue", "LifoQueue")),
            *(("pool", "Group"), ("timeout", "Timeout")),
        )
    },
    "corolib.pool:Pool": _make("corolib.pool", "Pool", 1),
    "corolib.threadpool:ThreadPool": _make("corolib.threadpool", "ThreadPool", 1),
    "corolib.pywsgi:WSGIServer": _make("corolib.pywsgi", "WSGIServer", ("127.0.0.1", 0), print),
    "corolib.pywsgi:LoggingLogAdapter": _make("corolib.pywsgi", "LoggingLogAdapter", print),
    "corolib.pywsgi:SecureEnviron": _make("corolib.pywsgi", "SecureEnviron"),
    "corolib._config:config": lambda: __import__("corolib._config", fromlist=["config"]).config,
}

#: (owner, name there) -> where it is, a path to be imported. The names below gevent's are ours.
MOVED: dict[tuple[str, str], str] = {
    ("gevent.exceptions", "all classes"): "corolib.errors",
    ("gevent.core", "loop"): "corolib._ev.Loop",
    ("gevent.core", "get_version"): "corolib._ev.version",
    ("gevent.core", "get_header_version"): "corolib._ev.header_version",
    ("gevent.os", "fork_gevent"): "corolib.os.fork_unwatched",
    ("gevent.os", "forkpty_gevent"): "corolib.os.forkpty_unwatched",
    ("gevent.hub", "signal"): "corolib.signal.signal_handler",
    ("gevent._abstract_linkable", "AbstractLinkable"): "corolib._waiting.Linkable",
    ("gevent.events", "all classes with `Gevent` in their names"): "corolib.events",
    ("gevent._imap", "IMap, IMapUnordered"): "corolib.pool",
    ("gevent._monitor", "PeriodicMonitoringThread"): "corolib.tools.monitor",
    ("gevent._tracer", "all tracers"): "corolib.tools.trace",
    ("gevent.backdoor", "BackdoorServer"): "corolib.tools.backdoor",
    ("gevent.baseserver", "BaseServer"): "corolib.server.BaseServer",
    ("gevent.baseserver", "parse_address"): "corolib.server.listeners.parse_address",
}

#: (owner, name) -> why it is not there.
LEFT_OUT: dict[tuple[str, str], str] = {
    ("corolib.hub:Hub", "run"): "the loop's body is in C; `hub.join()` and every wait run it",
    ("corolib.hub:loop", "fileno"): "libev's public interface does not tell its descriptor",
    ("corolib.hub:loop", "sig_pending"): "a count inside libev that its public interface does not tell",
    ("corolib.queue", "UnboundQueue"): "`SimpleQueue` without a `maxsize` is as fast as a class of its own",
    ("corolib._config:config", "loop"): "there is one loop, libev",
    (
        "corolib._config:config",
        "disable_watch_children",
    ): "`os.fork()` watches nobody: a status stays with the kernel until somebody asks",
    ("corolib._config:config", "trace_malloc"): "`python -X tracemalloc` does it for the whole program",
    ("corolib._config:config", "ares_flags"): "there is no c-ares; the other `ares_` settings neither",
    (
        "corolib.pywsgi:WSGIHandler",
        "read_requestline",
    ): "a head is read as a whole; override `read_request()`, which takes no argument",
    (
        "corolib.pywsgi:WSGIHandler",
        "MessageClass",
    ): "nothing parses the fields but the server itself; `headers` is a `http.client.HTTPMessage`",
    ("corolib", "contextvars"): "the standard library's module is right for greenlets: each has a context",
    ("corolib", "builtins"): "there is nothing in it to stand in for",
}

#: The names of the standard library that gevent's patch_all() replaces, on some Python.
REPLACED: dict[str, str] = {
    "os": "close fork forkpty posix_spawn posix_spawnp waitpid",
    "time": "sleep",
    "socket": """create_connection fromfd getaddrinfo getfqdn gethostbyaddr gethostbyname gethostbyname_ex
        getnameinfo socket socketpair SocketType _fallback_socketpair""",
    "select": "epoll poll select",
    "selectors": "DefaultSelector EpollSelector",
    "ssl": "SSLContext SSLSocket get_server_certificate wrap_socket",
    "subprocess": """CompletedProcess Popen call check_call check_output run _fork_exec _use_posix_spawn
        _USE_POSIX_SPAWN""",
    "signal": "getsignal set_wakeup_fd signal",
    "queue": "LifoQueue PriorityQueue Queue SimpleQueue",
    "_thread": """LockType _local allocate_lock exit get_ident stack_size start_new_thread _ThreadHandle
        _make_thread_handle lock start_joinable_thread""",
    "threading": """Event Lock Thread Timer _CRLock _DummyThread _active_limbo_lock _allocate_lock _shutdown
        get_ident local _set_sentinel _start_new_thread _ThreadHandle _make_thread_handle
        _start_joinable_thread""",
    "_threading_local": "local",
    "logging": "_lock",
}

_OUR_POPEN = "it works through `Popen`, which is replaced"
_OUR_LOCKS = "it is Python code over locks, which are replaced"

#: Those of them that are not replaced here, and why a patched program works all the same.
NOT_REPLACED: dict[tuple[str, str], str] = {
    ("socket", "SocketType"): "the C type that all sockets derive from, ours too",
    ("socket", "_fallback_socketpair"): "`socketpair` does not use it on POSIX",
    ("selectors", "EpollSelector"): "it is made of `select.epoll`, which is cooperative",
    ("ssl", "SSLContext"): "its sockets are cooperative, those of contexts made before too",
    ("ssl", "wrap_socket"): "it makes an `SSLContext`",
    **{("subprocess", name): _OUR_POPEN for name in ("call", "check_call", "check_output", "run")},
    ("subprocess", "CompletedProcess"): "it only holds values",
    ("subprocess", "_fork_exec"): "children are made as without patching",
    ("subprocess", "_use_posix_spawn"): "children are made as without patching",
    ("subprocess", "_USE_POSIX_SPAWN"): "children are made as without patching",
    **{("queue", name): _OUR_LOCKS for name in ("LifoQueue", "PriorityQueue", "Queue")},
    ("_thread", "exit"): "it raises SystemExit, which ends a greenlet as it ends a thread",
    ("_thread", "stack_size"): "it is of native threads; a greenlet's stack is as large as it needs",
    **{("threading", name): _OUR_LOCKS for name in ("Thread", "Timer")},
    ("threading", "_active_limbo_lock"): "locks that exist are exchanged, wherever they are",
    ("threading", "_shutdown"): "it waits for what `_thread` says, which is replaced",
    ("logging", "_lock"): "locks that exist are exchanged, wherever they are",
}
