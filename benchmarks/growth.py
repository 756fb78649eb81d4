"""One operation in a crowd of a growing size, one JSON line: what a unit costs should not depend on the size.

Only the operation is measured, under callgrind, too; how the crowd came together is not.
"""

import gc
import os
from contextlib import nullcontext
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import growth_tasks
import lockstep
from growth_tasks import DENSITY, LEAST, LONG, nothing
from region import NO_COLLECTOR, Region, measured, result
from sweeps import SWEEPS
from timers import deadlines
from workload import Body, main


def robin(engine: ModuleType, size: int) -> dict[str, float]:
    """The main greenlet visits all of the crowd in turn."""
    back = engine.getcurrent().switch

    def bounce() -> None:
        while True:
            back()

    crowd = [engine.greenlet(bounce) for _ in range(size)]
    visits = [child.switch for child in crowd]
    for visit in visits:
        visit()
    rounds = max(1, LEAST // size)
    with measured() as region:
        for _ in range(rounds):
            for visit in visits:
                visit()
    return result(region, rounds * size)


def yields(package: ModuleType, size: int) -> dict[str, float]:
    """All of the crowd yield to each other. From a turn of the first to a later one of it."""
    sleep = package.sleep
    rounds = max(1, LEAST // size)
    region = Region()
    running = True

    def first() -> None:
        nonlocal running
        sleep(0)
        sleep(0)
        region.begin()
        for _ in range(rounds):
            sleep(0)
        region.end()
        running = False

    def other() -> None:
        while running:
            sleep(0)

    package.joinall([package.spawn(work) for work in (first, *[other] * (size - 1))])
    return result(region, rounds * size)


def spawn(package: ModuleType, size: int) -> dict[str, float]:
    """All at once, then joined."""
    make, joinall = package.spawn, package.joinall
    joinall([make(nothing)])
    with measured() as region:
        joinall([make(nothing) for _ in range(size)])
    return result(region, size)


def park(package: ModuleType, size: int) -> dict[str, float]:
    """Spawned into a long sleep."""
    make, sleep = package.spawn, package.sleep
    sleep(0)
    crowd: list[Any] = [None] * size
    with measured() as region:
        for index in range(size):
            crowd[index] = make(sleep, LONG)
        sleep(0)
    return result(region, size)


def event(package: ModuleType, size: int) -> dict[str, float]:
    """All wait for one event, which is set."""
    occurred = import_module(f"{package.__name__}.event").Event()
    crowd = [package.spawn(occurred.wait) for _ in range(size)]
    package.sleep(0)
    with measured() as region:
        occurred.set()
        package.joinall(crowd)
    return result(region, size)


def queue(package: ModuleType, size: int) -> dict[str, float]:
    """All wait for an item of one queue each, and get it."""
    items = import_module(f"{package.__name__}.queue").Queue()
    crowd = [package.spawn(items.get) for _ in range(size)]
    package.sleep(0)
    with measured() as region:
        for number in range(size):
            items.put(number)
        package.joinall(crowd)
    return result(region, size)


def kill(package: ModuleType, size: int) -> dict[str, float]:
    """All sleep, and are killed."""
    crowd = [package.spawn(package.sleep, LONG) for _ in range(size)]
    package.sleep(0)
    with measured() as region:
        package.killall(crowd)
    return result(region, size)


def sleepers(package: ModuleType, size: int) -> dict[str, float]:
    """All sleep until deadlines at random, of which so many are due per second; to the end of the last."""
    make, sleep = package.spawn, package.sleep
    afters = deadlines(size, size / DENSITY)
    sleep(0)
    with measured() as region:
        package.joinall([make(sleep, after) for after in afters])
    return result(region, size)


def timers(package: ModuleType, size: int, stop: bool) -> dict[str, float]:
    """Timers of the hub's loop, in a greenlet: made and started, or stopped in the same order."""
    made: list[Any] = [None] * size
    afters = deadlines(size, LONG)

    def work() -> dict[str, float]:
        loop = package.get_hub().loop
        with nullcontext() if stop else measured() as region:
            for index, after in enumerate(afters):
                made[index] = timer = loop.timer(LONG + after)
                timer.start(nothing)
        if stop:
            with measured() as region:
                for timer in made:
                    timer.stop()
        assert region is not None
        return result(region, size)

    found: dict[str, float] = package.spawn(work).get()
    return found


BODIES: dict[tuple[str, str], Body] = {
    ("robin", "raw"): robin,
    ("yield", "green"): yields,
    ("spawn", "green"): spawn,
    ("park", "green"): park,
    ("event", "green"): event,
    ("queue", "green"): queue,
    ("kill", "green"): kill,
    ("sleepers", "green"): sleepers,
    ("timers", "green"): partial(timers, stop=False),
    ("stop", "green"): partial(timers, stop=True),
    **{(case, "coroutine"): body for case, body in growth_tasks.BODIES.items()},
    **{(case, "green"): body for case, body in lockstep.BODIES.items()},
}

if __name__ == "__main__":
    if os.environ.get(NO_COLLECTOR):
        gc.disable()
    main("growth", BODIES, table=SWEEPS, own_region=True)
