"""Resident memory of parked greenlets, and the time to park each, one JSON line.

The kernel's own figure for the process (Rss in smaps_rollup) is read before and after; page tables and
kernel memory are not in it. The list that holds the greenlets exists before the first reading.
"""

from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import Any

from workload import clock, main

#: Longer than any run lasts.
LONG = 1e6
#: Parked before the first reading, so that what an implementation sets up once is not counted.
FIRST = 100


def resident() -> int:
    """Bytes of this process that are in memory."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("expected a line 'Rss:' in /proc/self/smaps_rollup, found none")


def grown(parked: list[Any], park: Callable[[int], object]) -> dict[str, float]:
    """Park a few, then the rest of the slots in `parked`; what one of the rest took."""
    for index in range(FIRST):
        park(index)
    rest = len(parked) - FIRST
    before, started = resident(), clock()
    for index in range(FIRST, len(parked)):
        park(index)
    return measured(before, started, rest)


def measured(before: int, started: int, count: int) -> dict[str, float]:
    """The two values, from what was read before `count` greenlets were parked."""
    elapsed = clock() - started
    return {"bytes": (resident() - before) / count, "ns": elapsed / count}


def raw(engine: ModuleType, size: int) -> dict[str, float]:
    """Raw greenlets that switched back to the main one."""
    greenlet, back = engine.greenlet, engine.getcurrent().switch

    def wait() -> None:
        back()

    parked: list[Any] = [None] * (size + FIRST)

    def park(index: int) -> None:
        parked[index] = child = greenlet(wait)
        child.switch()

    return grown(parked, park)


def green(package: ModuleType, size: int) -> dict[str, float]:
    """Greenlets in a long sleep."""
    spawn, sleep = package.spawn, package.sleep
    # The ready queue is first in, first out: when the caller's own sleep(0) is over, all have begun theirs.
    first = [spawn(sleep, LONG) for _ in range(FIRST)]
    sleep(0)
    parked: list[Any] = [None] * size
    before, started = resident(), clock()
    for index in range(size):
        parked[index] = spawn(sleep, LONG)
    sleep(0)
    result = measured(before, started, size)
    if any(one.dead for one in first + parked):
        raise RuntimeError("a greenlet that was to be parked has ended")
    return result


def coroutine(package: ModuleType, size: int) -> dict[str, float]:
    """Tasks in a long sleep."""
    # Imported here since it is an implementation: the processes of the others must not have it.
    import asyncio

    async def work() -> dict[str, float]:
        create_task = asyncio.get_running_loop().create_task
        sleep: Callable[[float], Coroutine[Any, Any, None]] = asyncio.sleep
        first = [create_task(sleep(LONG)) for _ in range(FIRST)]
        await sleep(0)
        parked: list[Any] = [None] * size
        before, started = resident(), clock()
        for index in range(size):
            parked[index] = create_task(sleep(LONG))
        await sleep(0)
        result = measured(before, started, size)
        for task in first + parked:
            task.cancel()
        return result

    with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
        return runner.run(work())


if __name__ == "__main__":
    main(
        "memory",
        {
            ("raw", "raw"): raw,
            ("raw_million", "raw"): raw,
            ("sleep", "green"): green,
            ("sleep", "coroutine"): coroutine,
        },
    )
