"""What is counted, by callgrind (instructions) and strace (system calls)."""

from dataclasses import dataclass

CROWD = (100, 1_000, 10_000, 100_000, 1_000_000)
#: A process has one end of each, and may have 20,000 descriptors on many machines.
CONNECTIONS = (1, 10, 100, 1_000, 15_000)


@dataclass(frozen=True)
class Count:
    """Something that is counted per unit; start-up is cancelled out by two sizes."""

    workload: str
    case: str
    unit: str
    implementations: tuple[str, ...]
    #: Two sizes; what is reported is (count(large) - count(small)) / (large - small).
    small: int
    large: int
    #: Of the subject: an absolute count that is required, and what it is out for.
    required: float | None = None
    aim: float | None = None
    quick: bool = True
    #: Connections, for a workload with sockets.
    connections: int = 0


@dataclass(frozen=True)
class Growth:
    """Something that is counted in a crowd that grows: what a unit costs should not depend on the size."""

    case: str
    label: str
    unit: str
    #: How many there are: of greenlets, of timers, of connections.
    sizes: tuple[int, ...] = CROWD
    #: Whether Python's cyclic collector runs: it looks at all there is now and then, whoever made it.
    collector: bool = True


#: Cases of whose count that of another one is taken off, once for each turn of all connections.
WITHOUT = {"echo": "waiting", "http": "waiting"}
#: What only helps to count.
HELPERS = (Growth("waiting", "a wait for what is there", "wait", (100, 1_000, 10_000)),)

#: How much more than the cheapest the dearest size of a Growth may cost.
GROWTH_LIMIT = 1.5

SERVERS = ("corolib", "gevent", "uvloop", "uvloop-protocol", "c-epoll")

INSTRUCTIONS = (
    Count("switch", "shallow", "round trip", ("corolib", "greenlet"), 20_000, 60_000),
    Count("spawn", "raw", "greenlet", ("corolib", "greenlet"), 5_000, 15_000),
    Count("spawn", "joinall", "greenlet", ("corolib", "gevent", "uvloop"), 2_000, 6_000),
    Count("timers", "start", "timer", ("corolib", "gevent"), 10_000, 30_000),
    Count("timers", "sleepers", "sleeper", ("corolib", "gevent", "uvloop"), 2_000, 6_000, quick=False),
    Count("yield", "100", "yield", ("corolib", "gevent", "uvloop"), 10_000, 30_000),
    Count("queue", "handover", "item", ("corolib", "gevent", "uvloop"), 5_000, 15_000),
    *(
        Count("locks", case, unit, ("corolib", "gevent"), 10_000, 30_000)
        for case, unit in (
            ("event", "wake-up"),
            ("contended", "wake-up"),
            ("free", "pair"),
            ("unbounded", "put and get"),
        )
    ),
    Count("client", "keep_alive", "request", ("corolib", "gevent"), 1_000, 3_000, quick=False),
    Count("client", "fresh", "request", ("corolib", "gevent"), 1_000, 3_000, quick=False),
    Count("echo", "100x64", "request", SERVERS, 4_000, 12_000, 1_500, 1_000, connections=32),
    Count("http", "64", "request", ("corolib", "gevent", "bjoern"), 2_000, 6_000, connections=32),
)

SYSCALLS = (
    # Two calls, and the share of an epoll_wait that serves many requests.
    Count("echo", "100x64", "request", SERVERS, 10_000, 30_000, 2.05, connections=100),
    Count(
        "echo",
        "1000x64",
        "request",
        ("corolib", "gevent", "uvloop-protocol"),
        20_000,
        60_000,
        2.05,
        quick=False,
        connections=1_000,
    ),
    # accept4, setsockopt, recv, send, close; and a share of what serves many.
    Count(
        "accept",
        "64x64",
        "connection",
        ("corolib", "gevent", "uvloop-protocol", "c-epoll"),
        2_000,
        6_000,
        5.5,
        connections=64,
    ),
    Count(
        "http",
        "64",
        "request",
        ("corolib", "gevent", "bjoern"),
        5_000,
        15_000,
        2.05,
        connections=64,
    ),
)

GROWTH = (
    Growth("robin", "round robin over parked raw greenlets", "round trip"),
    Growth("yield", "`sleep(0)`", "yield"),
    Growth("spawn", "`spawn`, then `joinall`", "greenlet"),
    Growth("park", "`spawn(sleep, 1e6)`", "greenlet"),
    Growth("spawn", "`spawn`, then `joinall`, without Python's collector", "greenlet", collector=False),
    Growth("park", "`spawn(sleep, 1e6)`, without Python's collector", "greenlet", collector=False),
    Growth("event", "`Event.set()` with so many waiting", "wake-up"),
    Growth("queue", "`Queue.put()` with so many waiting in `get()`", "item"),
    Growth("kill", "`killall` of sleeping greenlets", "greenlet"),
    Growth("sleepers", "sleep until deadlines at random", "sleeper"),
    Growth("timers", "timers of the loop, made and started", "timer"),
    Growth("stop", "timers of the loop, stopped", "timer"),
    Growth("echo", "connections of an echo server, a request on each", "request", CONNECTIONS),
    Growth("http", "connections of a web server, a request on each", "request", CONNECTIONS),
)
