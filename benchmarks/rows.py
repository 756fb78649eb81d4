"""Who is measured, at what, and against whom: the only file that names implementations.

A workload's script holds one body per style of programming (raw greenlets, cooperative greenlets,
coroutines, ...). A row says which style an implementation is driven with and which module the body
takes its functions from, so a new implementation is a row here and a new style is a body there.
"""

import sys
from dataclasses import dataclass, field

#: The implementation that has to meet the required ratios.
SUBJECT = "corolib"


@dataclass(frozen=True)
class Implementation:
    """What may be in a process that measures one implementation."""

    #: The distribution whose version is reported; empty: comes with Python; None: is one of our C programs.
    distribution: str | None
    #: Top-level packages the process may import. Those of all other implementations are forbidden:
    #: one of them may change the process for its guest (an arena cache does).
    packages: frozenset[str]


IMPLEMENTATIONS = {
    "corolib": Implementation("corolib", frozenset({"corolib"})),
    "greenlet": Implementation("greenlet", frozenset({"greenlet"})),
    "gevent": Implementation("gevent", frozenset({"gevent", "greenlet"})),
    "stdlib": Implementation("", frozenset()),
    "asyncio": Implementation("", frozenset({"asyncio"})),
    "asyncio-protocol": Implementation("", frozenset({"asyncio"})),
    "uvloop": Implementation("uvloop", frozenset({"uvloop", "asyncio"})),
    "uvloop-protocol": Implementation("uvloop", frozenset({"uvloop", "asyncio"})),
    "c-epoll": Implementation(None, frozenset()),
    "bjoern": Implementation("bjoern", frozenset({"bjoern"})),
    "granian": Implementation("granian", frozenset({"granian", "asyncio", "uvloop"})),
}


@dataclass(frozen=True)
class Row:
    """How one implementation runs one workload."""

    style: str
    #: The module (or, for the style "program", the built C program) that the style's body uses.
    source: str


@dataclass(frozen=True)
class Value:
    """One number that a script prints, and what it is compared with."""

    name: str
    label: str
    lower_is_better: bool
    #: Base implementation -> the ratio to it that is required of SUBJECT (None: shown, not required).
    required: dict[str, float | None]


@dataclass(frozen=True)
class Case:
    """One way to run a workload: its own process, its own line."""

    label: str
    #: Units of work in one timed repetition, for a full and for a quick run.
    size: int
    quick_size: int
    values: tuple[Value, ...]
    #: Whether `--quick` runs it.
    quick: bool = True


@dataclass(frozen=True)
class Workload:
    """One script."""

    title: str
    script: str
    cases: dict[str, Case]
    #: case -> implementation -> row.
    rows: dict[str, dict[str, Row]]
    #: Timed repetitions inside one process, of which the script reports the best.
    repeat: int = 3


@dataclass(frozen=True)
class Count:
    """Something that callgrind or strace counts: per unit, start-up cancelled out by two sizes."""

    workload: str
    case: str
    unit: str
    implementations: tuple[str, ...]
    #: Two sizes; what is reported is (count(large) - count(small)) / (large - small).
    small: int
    large: int
    #: Required of SUBJECT: an absolute count, or nothing.
    required: float | None = None
    quick: bool = True
    #: Connections, for the workload with sockets.
    connections: int = field(default=0)


RAW = {"corolib": Row("raw", "corolib._switch"), "greenlet": Row("raw", "greenlet")}
GREEN = {"corolib": Row("green", "corolib"), "gevent": Row("green", "gevent")}
PLAIN = {"stdlib": Row("plain", "socket")}
COROUTINES = {"asyncio": Row("coroutine", "asyncio"), "uvloop": Row("coroutine", "uvloop")}
ECHO = {
    "corolib": Row("green", "corolib"),
    "gevent": Row("green", "gevent"),
    "asyncio": Row("streams", "asyncio"),
    "asyncio-protocol": Row("protocol", "asyncio"),
    "uvloop": Row("streams", "uvloop"),
    "uvloop-protocol": Row("protocol", "uvloop"),
    "c-epoll": Row("program", "epoll_echo"),
}
WEB = {name: Row("program", name) for name in ("corolib", "gevent", "bjoern", "granian")}  # of web_servers.py


def round_trip(required: float) -> tuple[Value, ...]:
    """What the cases of the switch workload report."""
    return (Value("ns", "ns per round trip", True, {"greenlet": required}),)


def per_greenlet(base: str, required: float) -> tuple[Value, ...]:
    """What the cases of the spawn workload report."""
    return (Value("ns", "ns per greenlet", True, {base: required}),)


def per_yield(required: float) -> tuple[Value, ...]:
    """What the cases of the yield workload report."""
    return (Value("ns", "ns per yield", True, {"gevent": required}),)


def against_gevent(unit: str, required: float | None) -> tuple[Value, ...]:
    """What cases report that are compared with one peer only."""
    return (Value("ns", f"ns per {unit}", True, {"gevent": required}),)


def milliseconds(required: float | None) -> Value:
    """What the cases of the import workload report."""
    return Value("ms", "ms until it is done", True, {"gevent": required})


def per_request(required: float) -> tuple[Value, ...]:
    """What the cases of the client workload report."""
    return (
        Value("us", "us per request", True, {"gevent": required, "stdlib": None}),
        Value("cpu_us", "us on a CPU per request", True, {"gevent": None, "stdlib": None}),
    )


def echo(gevent: float, protocol: float, cpu: float | None) -> tuple[Value, ...]:
    """What the cases of the echo workload report."""
    throughput: dict[str, float | None] = {"gevent": gevent, "uvloop-protocol": protocol}
    return (
        Value("requests_per_s", "requests per second", False, throughput),
        Value("cpu_us", "server CPU per request (us)", True, {"c-epoll": cpu, "gevent": None}),
        Value("p99_us", "99th percentile of latency (us)", True, {"gevent": None}),
    )


def web(gevent: float, granian: float | None, p99: float | None) -> tuple[Value, ...]:
    """What the cases of the http workload report."""
    throughput: dict[str, float | None] = {"gevent": gevent, "granian": granian, "bjoern": None}
    return (
        Value("requests_per_s", "requests per second", False, throughput),
        Value("cpu_us", "server CPU per request (us)", True, {"gevent": None, "bjoern": None}),
        Value("p99_us", "99th percentile of latency (us)", True, {"gevent": p99}),
    )


WORKLOADS = {
    "switch": Workload(
        "switch: round trip between the main greenlet and a child",
        "switch.py",
        {
            "shallow": Case("shallow", 300_000, 100_000, round_trip(0.28)),
            "deep": Case("20 Python frames deep on both sides", 300_000, 100_000, round_trip(0.28)),
            "across_c": Case("across C, `sorted(key=)`, on both sides", 300_000, 100_000, round_trip(0.30)),
            "robin": Case("round robin over 10,000 greenlets", 300_000, 100_000, round_trip(0.55)),
        },
        {"shallow": RAW, "deep": RAW, "across_c": RAW, "robin": RAW},
    ),
    "spawn": Workload(
        "spawn: a greenlet's whole life",
        "spawn.py",
        {
            "raw": Case("raw greenlet: create, run, finish", 100_000, 30_000, per_greenlet("greenlet", 0.03)),
            "joinall": Case("`spawn` x 10,000, then `joinall`", 10_000, 10_000, per_greenlet("gevent", 0.12)),
            "pool": Case("through a `Pool`", 20_000, 10_000, per_greenlet("gevent", 0.20)),
        },
        {"raw": RAW, "joinall": GREEN | COROUTINES, "pool": GREEN},
    ),
    "yield": Workload(
        "yield: `sleep(0)`",
        "yield_.py",
        {
            "1": Case("1 greenlet", 200_000, 50_000, per_yield(0.20)),
            "100": Case("100 greenlets", 200_000, 50_000, per_yield(0.15)),
            "10000": Case("10,000 greenlets", 300_000, 100_000, per_yield(0.25)),
        },
        {"1": GREEN | COROUTINES, "100": GREEN | COROUTINES, "10000": GREEN | COROUTINES},
    ),
    "queue": Workload(
        "queue: `Queue(1)` between two greenlets",
        "queue_.py",
        {"handover": Case("hand-over", 100_000, 30_000, against_gevent("item", 0.25))},
        {"handover": GREEN | COROUTINES},
    ),
    "locks": Workload(
        "locks: waited for, and free",
        "locks.py",
        {
            "event": Case("`Event` set and wait", 100_000, 30_000, against_gevent("wake-up", 0.40)),
            "contended": Case("contended `Semaphore`", 100_000, 30_000, against_gevent("wake-up", 0.40)),
            "free": Case("free `Semaphore`", 300_000, 100_000, against_gevent("pair", 1.0)),
            "unbounded": Case("unbounded `Queue`", 300_000, 100_000, against_gevent("put and get", 1.0)),
            "mutex": Case("free lock of `thread`", 300_000, 100_000, against_gevent("pair", None)),
            "rlock": Case("free `RLock`", 300_000, 100_000, against_gevent("pair", None)),
        },
        dict.fromkeys(("event", "contended", "free", "unbounded", "mutex", "rlock"), GREEN),
    ),
    "threads": Workload(
        "threads: round trips through a pool of native threads",
        "threads.py",
        {
            "one": Case("one at a time", 5_000, 2_000, against_gevent("task", 0.8)),
            "many": Case("all at once, ten threads", 10_000, 5_000, against_gevent("task", 0.4)),
        },
        {"one": GREEN, "many": GREEN},
    ),
    "names": Workload(
        "names: `getaddrinfo()` of what is known",
        "names.py",
        {
            "numeric": Case("`127.0.0.1`", 20_000, 5_000, against_gevent("look-up", 0.10)),
            "localhost": Case("`localhost`", 5_000, 1_000, against_gevent("look-up", 0.30)),
        },
        dict.fromkeys(("numeric", "localhost"), GREEN | PLAIN),
    ),
    "client": Workload(
        "client: 200 greenlets of `http.client`, patched",
        "client.py",
        {
            # A ratio of requests per second, turned over: 1.3 and 1.5 times as many.
            "keep_alive": Case("connections that stay", 20_000, 6_000, per_request(1 / 1.3)),
            "fresh": Case("a connection for each request", 8_000, 3_000, per_request(1 / 1.5)),
        },
        dict.fromkeys(("keep_alive", "fresh"), GREEN | PLAIN),
    ),
    "import": Workload(
        "import: until a program can begin",
        "import_.py",
        {
            "import": Case("import the package", 5, 3, (milliseconds(0.5),)),
            "names": Case("import its usual names from it", 5, 3, (milliseconds(None),)),
            "patch": Case("import `monkey` and `patch_all()`", 5, 3, (milliseconds(0.4),)),
        },
        {"import": GREEN, "names": GREEN, "patch": GREEN | PLAIN},
        repeat=1,
    ),
    "memory": Workload(
        "memory: what a parked greenlet costs",
        "memory.py",
        {
            "raw": Case(
                "raw greenlet",
                100_000,
                30_000,
                (
                    Value(
                        "bytes",
                        "resident bytes per greenlet",
                        True,
                        {"greenlet": 0.44 if sys.version_info >= (3, 14) else 0.36},
                    ),
                    Value("ns", "ns to create and park each", True, {"greenlet": None}),
                ),
            ),
            "sleep": Case(
                "`spawn(sleep, 1e6)`",
                100_000,
                30_000,
                (
                    Value("bytes", "resident bytes per greenlet", True, {"gevent": 0.36}),
                    Value("ns", "ns to create and park each", True, {"gevent": 0.15}),
                ),
            ),
        },
        {"raw": RAW, "sleep": GREEN | COROUTINES},
        repeat=1,
    ),
    "timers": Workload(
        "timers: many at once",
        "timers.py",
        {
            "start": Case(
                "make, start and stop 300,000 timers of the loop",
                300_000,
                100_000,
                (
                    Value("start_ns", "ns to make and start each", True, {"gevent": 0.35}),
                    Value("stop_ns", "ns to stop each", True, {"gevent": 0.35}),
                ),
            ),
            "sleepers": Case(
                "100,000 sleepers with random deadlines",
                100_000,
                30_000,
                (Value("ns", "ns of CPU time per sleeper", True, {"gevent": 0.20}),),
            ),
        },
        {"start": GREEN | COROUTINES, "sleepers": GREEN | COROUTINES},
    ),
    "echo": Workload(
        "echo: a server on one core, the load generator on another",
        "echo.py",
        {
            # The size is the length of the measured window in milliseconds.
            "100x64": Case("100 connections x 64 B", 2_000, 700, echo(1.9, 0.97, 1.12)),
            "1000x64": Case("1,000 connections x 64 B", 2_000, 700, echo(1.9, 0.97, None), quick=False),
            "100x1024": Case("100 connections x 1 KiB", 2_000, 700, echo(1.9, 0.97, None), quick=False),
            "100x65536": Case("100 connections x 64 KiB", 2_000, 700, echo(1.5, 0.97, None), quick=False),
        },
        {"100x64": ECHO, "1000x64": ECHO, "100x1024": ECHO, "100x65536": ECHO},
        repeat=1,
    ),
    "accept": Workload(
        "accept: connect, one request, close; the server on one core, the load generator on another",
        "accept.py",
        {
            # As above.
            "64x64": Case(
                "64 at a time x 64 B",
                2_000,
                700,
                (
                    Value("requests_per_s", "connections per second", False, {"gevent": 1.5}),
                    Value(
                        "cpu_us", "server CPU per connection (us)", True, {"gevent": None, "c-epoll": None}
                    ),
                    Value("p99_us", "99th percentile of a connection's time (us)", True, {"gevent": None}),
                ),
            )
        },
        {"64x64": ECHO},
        repeat=1,
    ),
    "idle": Workload(
        "idle: many connections that wait, and an active one among them",
        "idle.py",
        {
            "connections": Case(
                "15,000 connections",
                15_000,
                5_000,
                (
                    Value("bytes", "resident bytes per idle connection", True, {"gevent": 0.36}),
                    Value("p99_us", "99th percentile of the active one (us)", True, {"gevent": 0.80}),
                    Value("p50_us", "median of the active one (us)", True, {"gevent": None}),
                ),
            )
        },
        {"connections": ECHO},
        repeat=1,
    ),
    "http": Workload(
        "http: a WSGI application that says hello, asked over connections that stay; `wrk` on another core",
        "web.py",
        {
            # The size is the length of the measured window in milliseconds.
            "64": Case("64 connections", 3_000, 1_000, web(6.0, 1.0, None)),
            "512": Case("512 connections", 3_000, 1_000, web(5.0, 1.0, 0.2), quick=False),
        },
        {"64": WEB, "512": WEB},
        repeat=1,
    ),
}

INSTRUCTIONS = (
    Count("switch", "shallow", "round trip", ("corolib", "greenlet"), 20_000, 60_000),
    Count("switch", "robin", "round trip", ("corolib", "greenlet"), 20_000, 60_000, quick=False),
    Count("spawn", "raw", "greenlet", ("corolib", "greenlet"), 5_000, 15_000),
    Count("spawn", "joinall", "greenlet", ("corolib", "gevent", "uvloop"), 2_000, 6_000),
    Count("spawn", "pool", "greenlet", ("corolib", "gevent"), 2_000, 6_000, quick=False),
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
            ("mutex", "pair"),
            ("rlock", "pair"),
        )
    ),
    Count("threads", "many", "task", ("corolib", "gevent"), 2_000, 6_000, quick=False),
    Count(
        "echo",
        "100x64",
        "request",
        ("corolib", "gevent", "uvloop", "uvloop-protocol", "c-epoll"),
        4_000,
        12_000,
        required=1_500,
        connections=32,
    ),
)

SYSCALLS = (
    Count(
        "echo",
        "100x64",
        "request",
        ("corolib", "gevent", "uvloop", "uvloop-protocol", "c-epoll"),
        10_000,
        30_000,
        # Two calls, and the share of an epoll_wait that serves many requests.
        required=2.05,
        connections=100,
    ),
    Count(
        "echo",
        "1000x64",
        "request",
        ("corolib", "gevent", "uvloop", "uvloop-protocol", "c-epoll"),
        20_000,
        60_000,
        required=2.05,
        quick=False,
        connections=1_000,
    ),
    Count(
        "accept",
        "64x64",
        "connection",
        ("corolib", "gevent", "uvloop-protocol", "c-epoll"),
        2_000,
        6_000,
        # accept4, setsockopt, recv, send, close; and a share of what serves many.
        required=5.5,
        connections=64,
    ),
)
