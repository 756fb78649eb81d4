"""Many timers at once, one JSON line.

Case `start`: so many timers of the loop are made and started with deadlines at random, and then stopped in
the same order; none goes off. Case `sleepers`: so many greenlets sleep until deadlines at random within a
second. What counts there is the processor's time: between two deadlines there is nothing to do.
"""

import random
import time
from types import ModuleType
from typing import Any

from workload import clock, joinall_of, main

#: Longer than any run lasts.
LONG = 1e6
#: All sleepers are over within so many seconds.
SPAN = 1.0


def nothing() -> None:
    """What no timer ever calls."""


def deadlines(size: int, span: float) -> list[float]:
    """At random, and the same in each process."""
    draw = random.Random(7).random
    return [draw() * span for _ in range(size)]


def green_start(package: ModuleType, size: int) -> dict[str, float]:
    """Timers of the hub's loop, in a greenlet: outside of any, some start them by a clock that stands
    still.
    """
    result: dict[str, float] = package.spawn(timers_of_hub, package, size).get()
    return result


def timers_of_hub(package: ModuleType, size: int) -> dict[str, float]:
    """The same, within the greenlet."""
    loop = package.get_hub().loop
    timers: list[Any] = [None] * size
    afters = enumerate(deadlines(size, LONG))
    started = clock()
    for index, after in afters:
        timers[index] = timer = loop.timer(LONG + after)
        timer.start(nothing)
    start = clock() - started
    started = clock()
    for timer in timers:
        timer.stop()
    return {"start_ns": start / size, "stop_ns": (clock() - started) / size}


def coroutine_start(package: ModuleType, size: int) -> dict[str, float]:
    """call_later() and cancel()."""
    loop = package.new_event_loop()
    timers: list[Any] = [None] * size
    afters = enumerate(deadlines(size, LONG))
    started = clock()
    for index, after in afters:
        timers[index] = loop.call_later(LONG + after, nothing)
    start = clock() - started
    started = clock()
    for timer in timers:
        timer.cancel()
    stop = clock() - started
    loop.close()
    return {"start_ns": start / size, "stop_ns": stop / size}


def green_sleepers(package: ModuleType, size: int) -> dict[str, float]:
    """Greenlets that sleep."""
    spawn, sleep, joinall = package.spawn, package.sleep, joinall_of(package)
    afters = deadlines(size, SPAN)
    joinall([spawn(sleep, 0.001)])
    started = time.process_time_ns()
    joinall([spawn(sleep, after) for after in afters])
    return {"ns": (time.process_time_ns() - started) / size}


def coroutine_sleepers(package: ModuleType, size: int) -> dict[str, float]:
    """Tasks that sleep."""
    # Imported here since it is an implementation: the processes of the others must not have it.
    import asyncio

    async def work() -> dict[str, float]:
        create_task = asyncio.get_running_loop().create_task
        afters = deadlines(size, SPAN)
        started = time.process_time_ns()
        await asyncio.gather(*[create_task(asyncio.sleep(after)) for after in afters])
        return {"ns": (time.process_time_ns() - started) / size}

    with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
        return runner.run(work())


if __name__ == "__main__":
    main(
        "timers",
        {
            ("start", "green"): green_start,
            ("start", "coroutine"): coroutine_start,
            ("sleepers", "green"): green_sleepers,
            ("sleepers", "coroutine"): coroutine_sleepers,
        },
    )
