"""What is timed at many sizes: one operation in a growing crowd; servers with more and more to do."""

from dataclasses import dataclass, replace

from peers import COROUTINES, GO, GREEN, RAW, WEB
from rows import BEST_ECHO, Case, Value, Workload, some
from tallies import CONNECTIONS, GROWTH, HELPERS, Growth


@dataclass(frozen=True)
class Curve(Case):
    """A case whose size is what varies."""

    #: What the size counts.
    x: str = ""
    sizes: tuple[int, ...] = ()
    quick_sizes: tuple[int, ...] = ()
    #: Implementation -> the largest size that it is measured at, where that is not the last.
    most: tuple[tuple[str, int], ...] = ()


#: A million of these would need more than 8 GB, or minutes.
PATIENCE = (("gevent", 100_000), ("greenlet", 100_000), ("asyncio", 100_000))
#: Where an item costs gevent the more, the more wait: a hundred thousand would take minutes.
LESS_PATIENCE = {"queue": (("gevent", 10_000),)}
SERVED = (
    Value("requests_per_s", "requests per second", False, {}),
    Value("p50_us", "median of latency (us)", True, {}),
    Value("p99_us", "99th percentile of latency (us)", True, {}),
    Value("cpu_us", "server CPU per request (us)", True, {}),
)


def growing(growth: Growth) -> Curve:
    """A curve of growth.py."""
    values = (Value("ns", f"ns per {growth.unit}", True, {}),)
    return Curve(
        growth.label,
        growth.sizes[2],
        growth.sizes[1],
        values,
        x="connections" if growth.sizes == CONNECTIONS else "greenlets or timers",
        # A million sleepers are due within ten seconds, of each implementation.
        sizes=growth.sizes[:4] if growth.case == "sleepers" else growth.sizes,
        quick_sizes=growth.sizes[:2],
        most=LESS_PATIENCE.get(growth.case, PATIENCE),
    )


def served(label: str, x: str, sizes: tuple[int, ...], quick_sizes: tuple[int, ...]) -> Curve:
    """A curve of served.py."""
    return Curve(label, sizes[0], sizes[0], SERVED, x=x, sizes=sizes, quick_sizes=quick_sizes)


SOME_WEB = some(WEB, "corolib", "gevent", "bjoern", "granian", "go")
#: What others can do, too; the rest is done with greenlets only, or shows the subject alone.
CROWDS = dict.fromkeys(("yield", "spawn", "park", "sleepers", "timers"), GREEN | COROUTINES | GO)
CROWDS |= {"robin": RAW, "http": some(GREEN, "corolib"), "waiting": some(GREEN, "corolib")}
#: What only helps to count is not timed, and Python's collector is on when anything is.
TIMED = {growth.case: growing(growth) for growth in GROWTH if growth.collector}
TIMED |= {growth.case: replace(growing(growth), sizes=(), quick_sizes=()) for growth in HELPERS}

SWEEPS = {
    "growth": Workload(
        "growth: what one unit costs in a crowd",
        "growth.py",
        TIMED,
        {case: CROWDS.get(case, GREEN) for case in TIMED},
        repeat=1,
    ),
    "connections": Workload(
        "connections: servers with more and more of them, a request on each",
        "served.py",
        {
            "echo": served("echo of 64 B", "connections", (1, 10, 100, 1_000, 15_000), (1, 100)),
            "http": served("HTTP", "connections", (1, 8, 64, 512, 15_000), (1, 64)),
        },
        {"echo": BEST_ECHO, "http": SOME_WEB},
        repeat=1,
        words=("connections",),
    ),
    "load": Workload(
        "load: servers asked so often per second, whether they keep up or not",
        "served.py",
        {
            "echo": served(
                "echo of 64 B, 100 connections",
                "requests per second",
                (5_000, 30_000, 60_000, 100_000, 150_000),
                (5_000, 40_000),
            ),
            "http": served(
                "HTTP, 64 connections",
                "requests per second",
                (1_000, 5_000, 10_000, 25_000, 60_000),
                (1_000, 8_000),
            ),
        },
        {"echo": BEST_ECHO, "http": SOME_WEB},
        repeat=1,
        words=("load",),
    ),
}
