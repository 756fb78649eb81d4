"""Round trips between the main greenlet and a child, one JSON line.

Each number includes the turn of the `for` loop and two calls of a bound method: what a program pays.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from workload import clock, main, per_unit

DEPTH = 20
CROWD = 10_000

Switch = Callable[[], object]
#: What either side does: it has the way to the other one, and the number of round trips.
Work = Callable[[Switch, int], None]


def bounce(switch: Switch, _count: int = 0) -> None:
    """What the child does: go back for ever."""
    while True:
        switch()


def round_trips(switch: Switch, count: int) -> None:
    """What the main greenlet does: go to the child and be back, `count` times."""
    for _ in range(count):
        switch()


def shallow(work: Work, switch: Switch, count: int) -> None:
    """Call with no frames in between."""
    work(switch, count)


def deep(work: Work, switch: Switch, count: int, depth: int = DEPTH) -> None:
    """Call under `depth` more frames. The arguments are plain: with `*args` each call would go through C."""
    if depth:
        deep(work, switch, count, depth - 1)
    else:
        work(switch, count)


def across_c(work: Work, switch: Switch, count: int) -> None:
    """Call from within a C function, whose frame has to survive each switch."""

    def key(_: int) -> int:
        work(switch, count)
        return 0

    sorted([0], key=key)


def pair(engine: ModuleType, size: int, under: Callable[[Work, Switch, int], None]) -> dict[str, float]:
    """The main greenlet and one child, both `under` the same frames."""
    back = engine.getcurrent().switch
    child = engine.greenlet(lambda: under(bounce, back, 0))
    child.switch()
    started = clock()
    under(round_trips, child.switch, size)
    return per_unit(started, size)


def robin(engine: ModuleType, size: int) -> dict[str, float]:
    """The main greenlet and a crowd, each of which it visits in turn: nothing stays in the caches."""
    back = engine.getcurrent().switch
    crowd: list[Any] = [engine.greenlet(bounce) for _ in range(CROWD)]
    for child in crowd:
        child.switch(back)
    visits = [child.switch for child in crowd]
    left = size
    started = clock()
    while left > 0:
        for visit in visits[:left]:
            visit()
        left -= CROWD
    return per_unit(started, size)


def calls(collections: ModuleType, size: int) -> dict[str, float]:
    """The loop, and on either side a call of a function in C that does next to nothing."""
    here = collections.deque().clear
    there = collections.deque().clear
    started = clock()
    for _ in range(size):
        here()
        there()
    return per_unit(started, size)


if __name__ == "__main__":
    main(
        "switch",
        {
            ("shallow", "calls"): calls,
            ("shallow", "raw"): lambda engine, size: pair(engine, size, shallow),
            ("deep", "raw"): lambda engine, size: pair(engine, size, deep),
            ("across_c", "raw"): lambda engine, size: pair(engine, size, across_c),
            ("robin", "raw"): robin,
        },
    )
