"""What is timed: workloads, cases, sizes, and the ratios that are required and aimed at."""

import sys
from dataclasses import dataclass, field

from peers import (
    ARES,
    CALLS,
    COROUTINES,
    ECHO,
    EVENTLET,
    FUTURES,
    GO,
    GREEN,
    LIBEV,
    PLAIN,
    RAW,
    WEB,
    Row,
)


@dataclass(frozen=True)
class Goal:
    """A ratio to a base: what is required of the subject, and what it is out for. None: only shown."""

    required: float | None = None
    aim: float | None = None


SHOWN = Goal()


@dataclass(frozen=True)
class Value:
    """One number that a script prints, and what it is compared with."""

    name: str
    label: str
    lower_is_better: bool
    #: Base implementation -> the ratio to it.
    goals: dict[str, Goal]


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
    #: Fewer turns than the others take, for what takes long and whose figure hardly varies; or more, for one
    #: that varies more than implementations differ.
    rounds: int | None = None


@dataclass(frozen=True)
class Workload:
    """One script."""

    title: str
    script: str
    cases: dict[str, Case]
    #: case -> implementation -> row.
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)
    #: Timed repetitions inside one process, of which the script reports the best.
    repeat: int = 3
    #: What the script is told before anything else: some serve several workloads.
    words: tuple[str, ...] = ()


def per(unit: str, goals: dict[str, Goal], name: str = "ns") -> Value:
    """Nanoseconds per unit of work."""
    return Value(name, f"ns per {unit}", True, goals)


def only(value: Value) -> tuple[Value, ...]:
    """A script that prints one number."""
    return (value,)


def round_trip(required: float, aim: float) -> tuple[Value, ...]:
    """What the cases of the switch workload report."""
    return only(per("round trip", {"greenlet": Goal(required, aim)}))


def against_gevent(unit: str, required: float | None, aim: float | None = None) -> tuple[Value, ...]:
    """What cases report whose required ratio is to gevent."""
    return only(per(unit, {"gevent": Goal(required, aim)}))


def milliseconds(required: float | None, aim: float | None = None) -> tuple[Value, ...]:
    """What the cases of the import workload report."""
    return only(Value("ms", "ms until it is done", True, {"gevent": Goal(required, aim)}))


def per_request(required: float, aim: float) -> tuple[Value, ...]:
    """What the cases of the client workload report."""
    return (
        Value("us", "us per request", True, {"gevent": Goal(required, aim), "stdlib": SHOWN}),
        Value("cpu_us", "us on a CPU per request", True, {"gevent": SHOWN, "stdlib": SHOWN}),
    )


def resident(base: str, required: float, aim: float) -> Value:
    """The memory of something that waits."""
    return Value("bytes", "resident bytes per greenlet", True, {base: Goal(required, aim)})


def echo(gevent: Goal, cpu: Goal) -> tuple[Value, ...]:
    """What the cases of the echo workload report."""
    throughput = {"gevent": gevent, "uvloop-protocol": Goal(0.97), "c-epoll": Goal(aim=0.97)}
    return (
        Value("requests_per_s", "requests per second", False, throughput),
        Value("cpu_us", "server CPU per request (us)", True, {"c-epoll": cpu, "gevent": SHOWN}),
        Value("p99_us", "99th percentile of latency (us)", True, {"gevent": SHOWN}),
    )


#: Of a connection, from connect() to the end of the stream.
WHOLE = Value("p99_us", "99th percentile of a connection's time (us)", True, {"gevent": SHOWN})


def accept(gevent: Goal, *more: Value) -> tuple[Value, ...]:
    """What the cases of the accept workload report."""
    peers = {"gevent": gevent, "c-epoll": SHOWN}
    return (
        Value("requests_per_s", "connections per second", False, peers),
        Value("cpu_us", "server CPU per connection (us)", True, dict.fromkeys(peers, SHOWN)),
        *more,
    )


def web(gevent: float, p99: Goal) -> tuple[Value, ...]:
    """What the cases of the http workload report."""
    throughput = {
        "gevent": Goal(gevent),
        "granian": Goal(1.0),
        "go": Goal(1.0),
        "bjoern": Goal(aim=0.9),
        "c-epoll": SHOWN,
    }
    return (
        Value("requests_per_s", "requests per second", False, throughput),
        Value("cpu_us", "server CPU per request (us)", True, {"gevent": SHOWN, "bjoern": SHOWN}),
        Value("p99_us", "99th percentile of latency (us)", True, {"gevent": p99}),
    )


def some(rows: dict[str, Row], *names: str) -> dict[str, Row]:
    """A few of many: those whom the question is about, so that a run ends and a picture can be read."""
    return {name: rows[name] for name in names}


BEST_ECHO = some(ECHO, "corolib", "gevent", "uvloop-protocol", "go", "c-epoll")
FRESH_ECHO = some(ECHO, "corolib", "gevent", "uvloop", "uvloop-protocol", "go", "c-epoll")

#: From 3.14 on, the interpreter keeps more for each greenlet.
NEW = sys.version_info >= (3, 14)
PARKED = Goal(0.44 if NEW else 0.36, 0.36 if NEW else 0.30)

WORKLOADS = {
    "switch": Workload(
        "switch: round trip between the main greenlet and a child",
        "switch.py",
        {
            "shallow": Case("shallow", 300_000, 100_000, round_trip(0.28, 0.18)),
            "deep": Case("20 Python frames deep on both sides", 300_000, 100_000, round_trip(0.28, 0.18)),
            "across_c": Case(
                "across C, `sorted(key=)`, on both sides", 300_000, 100_000, round_trip(0.30, 0.15)
            ),
            "robin": Case("round robin over 10,000 greenlets", 300_000, 100_000, round_trip(0.55, 0.40)),
        },
        {"shallow": RAW | CALLS, "deep": RAW, "across_c": RAW, "robin": RAW},
    ),
    "spawn": Workload(
        "spawn: a greenlet's whole life",
        "spawn.py",
        {
            "raw": Case(
                "raw greenlet: create, run, finish",
                50_000,
                30_000,
                only(per("greenlet", {"greenlet": Goal(0.03, 0.015)})),
                rounds=15,  # the base is mostly the kernel's, which varies
            ),
            "joinall": Case(
                "`spawn` x 10,000, then `joinall`", 10_000, 10_000, against_gevent("greenlet", 0.12, 0.06)
            ),
            "pool": Case("through a `Pool`", 20_000, 10_000, against_gevent("greenlet", 0.20, 0.10)),
        },
        {"raw": RAW, "joinall": GREEN | EVENTLET | COROUTINES | GO, "pool": GREEN},
    ),
    "yield": Workload(
        "yield: `sleep(0)`",
        "yield_.py",
        {
            "1": Case("1 greenlet", 100_000, 50_000, against_gevent("yield", 0.20, 0.10)),
            "100": Case("100 greenlets", 100_000, 50_000, against_gevent("yield", 0.15, 0.09)),
            "10000": Case("10,000 greenlets", 100_000, 100_000, against_gevent("yield", 0.25, 0.15)),
        },
        dict.fromkeys(("1", "100", "10000"), GREEN | EVENTLET | COROUTINES | GO),
        repeat=2,
    ),
    "queue": Workload(
        "queue: `Queue(1)` between two greenlets",
        "queue_.py",
        {"handover": Case("hand-over", 30_000, 30_000, against_gevent("item", 0.25, 0.12))},
        {"handover": GREEN | EVENTLET | COROUTINES | GO},
    ),
    "locks": Workload(
        "locks: waited for, and free",
        "locks.py",
        {
            "event": Case("`Event` set and wait", 50_000, 30_000, against_gevent("wake-up", 0.40, 0.20)),
            "contended": Case("contended `Semaphore`", 50_000, 30_000, against_gevent("wake-up", 0.40, 0.20)),
            "free": Case("free `Semaphore`", 200_000, 100_000, against_gevent("pair", 1.0, 0.55)),
            "unbounded": Case(
                "unbounded `Queue`", 300_000, 100_000, against_gevent("put and get", 1.0, 0.55)
            ),
            "mutex": Case("free lock of `thread`", 200_000, 100_000, against_gevent("pair", None)),
            "rlock": Case("free `RLock`", 200_000, 100_000, against_gevent("pair", None)),
        },
        dict.fromkeys(("event", "contended"), GREEN | COROUTINES | GO)
        | dict.fromkeys(("free", "unbounded"), GREEN | GO)
        | dict.fromkeys(("mutex", "rlock"), GREEN),
    ),
    "threads": Workload(
        "threads: round trips through a pool of native threads",
        "threads.py",
        {
            "one": Case("one at a time", 5_000, 2_000, against_gevent("task", 0.8, 0.6)),
            "many": Case("all at once, ten threads", 10_000, 5_000, against_gevent("task", 0.4, 0.3)),
        },
        dict.fromkeys(("one", "many"), GREEN | FUTURES),
    ),
    "names": Workload(
        "names: `getaddrinfo()` of what is known",
        "names.py",
        {
            "numeric": Case("`127.0.0.1`", 3_000, 2_000, against_gevent("look-up", 0.10, 0.06)),
            "localhost": Case("`localhost`", 1_000, 1_000, against_gevent("look-up", 0.30, 0.26)),
        },
        dict.fromkeys(("numeric", "localhost"), GREEN | ARES | PLAIN | COROUTINES),
    ),
    "client": Workload(
        "client: 200 greenlets of `http.client`, patched",
        "client.py",
        {
            # Ratios of requests per second, turned over.
            "keep_alive": Case("connections that stay", 6_000, 4_000, per_request(1 / 1.3, 1 / 1.6)),
            "fresh": Case("a connection for each request", 3_000, 2_000, per_request(1 / 1.5, 1 / 1.9)),
        },
        dict.fromkeys(("keep_alive", "fresh"), GREEN | PLAIN),
        repeat=1,
    ),
    "import": Workload(
        "import: until a program can begin",
        "import_.py",
        {
            # The size is how many processes there are for one figure.
            "import": Case("import the package", 10, 3, milliseconds(0.5, 0.3), rounds=9),
            "names": Case("import its usual names from it", 10, 3, milliseconds(None)),
            "patch": Case("import `monkey` and `patch_all()`", 10, 3, milliseconds(0.4, 0.28), rounds=9),
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
                    Value("bytes", "resident bytes per greenlet", True, {"greenlet": PARKED}),
                    per("greenlet, to create and park it", {"greenlet": SHOWN}),
                ),
            ),
            "raw_million": Case(
                "raw greenlet, a million of them",
                1_000_000,
                1_000_000,
                (
                    Value("bytes", "resident bytes per greenlet", True, {"greenlet": PARKED}),
                    per("greenlet, to create and park it", {"greenlet": SHOWN}),
                ),
                quick=False,
                rounds=1,
            ),
            "sleep": Case(
                "`spawn(sleep, 1e6)`",
                100_000,
                30_000,
                (
                    resident("gevent", 0.36, 0.25),
                    per("greenlet, to create and park it", {"gevent": Goal(0.15, 0.08)}),
                ),
            ),
        },
        {"raw": RAW, "raw_million": RAW, "sleep": GREEN | EVENTLET | COROUTINES | GO},
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
                    per("timer, to make and start it", {"gevent": Goal(0.35, 0.2)}, "start_ns"),
                    per("timer, to stop it", {"gevent": Goal(0.35, 0.2)}, "stop_ns"),
                ),
            ),
            "sleepers": Case(
                "100,000 sleepers with random deadlines",
                100_000,
                30_000,
                only(Value("ns", "ns of CPU time per sleeper", True, {"gevent": Goal(0.20, 0.10)})),
                rounds=3,
            ),
        },
        {"start": GREEN | COROUTINES | GO | LIBEV, "sleepers": GREEN | EVENTLET | COROUTINES | GO},
        repeat=1,
    ),
    "echo": Workload(
        "echo: a server on one core, the load generator on another",
        "echo.py",
        {
            # The size is the length of the measured window in milliseconds.
            "100x64": Case("100 connections x 64 B", 700, 500, echo(Goal(1.9), Goal(1.12, 1.05))),
            "1000x64": Case("1,000 connections x 64 B", 700, 500, echo(SHOWN, SHOWN), quick=False),
            "100x1024": Case("100 connections x 1 KiB", 700, 500, echo(SHOWN, SHOWN), quick=False),
            # Mostly the kernel's copies: what is left differs by less than a turn from the next.
            "100x65536": Case(
                "100 connections x 64 KiB", 400, 400, echo(SHOWN, SHOWN), quick=False, rounds=31
            ),
        },
        {"100x64": ECHO}
        | dict.fromkeys(
            ("1000x64", "100x1024", "100x65536"),
            some(ECHO, "corolib", "gevent", "uvloop-protocol", "c-epoll"),
        ),
        repeat=1,
    ),
    "accept": Workload(
        "accept: connect, one request, close; the server on one core, the load generator on another",
        "accept.py",
        {
            # As above. To make a connection is as much work for the load generator as to serve it is for the
            # server, so a comparison of servers needs connections that were made before.
            "1000x64": Case("1,000 that stand in the queue x 64 B", 700, 500, accept(Goal(1.5, 1.6))),
            "64x64": Case("64 at a time, made meanwhile x 64 B", 700, 500, accept(SHOWN, WHOLE), quick=False),
        },
        dict.fromkeys(("1000x64", "64x64"), FRESH_ECHO),
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
                    Value("bytes", "resident bytes per idle connection", True, {"gevent": Goal(0.36, 0.22)}),
                    Value(
                        "p99_us", "99th percentile of the active one (us)", True, {"gevent": Goal(0.80, 0.50)}
                    ),
                    Value("p50_us", "median of the active one (us)", True, {"gevent": SHOWN}),
                ),
            )
        },
        {"connections": BEST_ECHO},
        repeat=1,
    ),
    "http": Workload(
        "http: a WSGI application that says hello, asked over connections that stay; `wrk` on another core",
        "web.py",
        {
            # The size is the length of the measured window in milliseconds.
            "64": Case("64 connections", 1_000, 1_000, web(6.0, SHOWN)),
            "512": Case("512 connections", 1_000, 1_000, web(5.0, Goal(0.2)), quick=False),
        },
        {"64": WEB, "512": some(WEB, "corolib", "gevent", "bjoern", "granian", "go", "c-epoll")},
        repeat=1,
    ),
}
