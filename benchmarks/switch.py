"""Round trips between the main greenlet and a child, one JSON line.

Each number includes the turn of the `for` loop and two calls of a bound method: what a program pays.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from workload import clock, main, per_unit

DEPTH = 20
CROWD = 10_000


def bounce(switch: Callable[[], object]) -> None:
    """What the child does: go back for ever."""
    while True:
        switch()


def round_trips(switch: Callable[[], object], count: int) -> None:
    """What the main greenlet does: go to the child and be back, `count` times."""
    for _ in range(count):
        switch()


def shallow(function: Callable[..., object], *args: object) -> None:
    """Call with no frames in between."""
    function(*args)


def deep(function: Callable[..., object], *args: object, depth: int = DEPTH) -> None:
    """Call under `depth` more Python frames."""
    if depth:
        deep(function, *args, depth=depth - 1)
    else:
        function(*args)


def across_c(function: Callable[..., object], *args: object) -> None:
    """Call from within a C function, whose frame has to survive each switch."""

    def key(_: int) -> int:
        function(*args)
        return 0

    sorted([0], key=key)


def pair(engine: ModuleType, size: int, under: Callable[..., None]) -> dict[str, float]:
    """The main greenlet and one child, both `under` the same frames."""
    back = engine.getcurrent().switch
    child = engine.greenlet(lambda: under(bounce, back))
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


if __name__ == "__main__":
    main(
        "switch",
        {
            ("shallow", "raw"): lambda engine, size: pair(engine, size, shallow),
            ("deep", "raw"): lambda engine, size: pair(engine, size, deep),
            ("across_c", "raw"): lambda engine, size: pair(engine, size, across_c),
            ("robin", "raw"): robin,
        },
    )
