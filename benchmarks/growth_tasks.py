"""What growth.py measures, with tasks and timers of an event loop."""

from collections.abc import Callable, Coroutine
from types import ModuleType
from typing import Any

from region import Region, measured, result
from timers import deadlines
from workload import Body

#: Longer than any run lasts.
LONG = 1e6
#: At least so many switches are measured, however small the crowd is.
LEAST = 20_000
#: So many sleepers are due per second, however many there are.
DENSITY = 100_000.0


def nothing() -> None:
    """The work of each greenlet, and what no timer ever calls."""


async def nothing_async() -> None:
    """The work of each task."""


def in_loop(work: Callable[[int], Coroutine[Any, Any, dict[str, float]]]) -> Body:
    """A body that runs a coroutine in a loop of the package."""

    def body(package: ModuleType, size: int) -> dict[str, float]:
        # Imported here since it is an implementation: the processes of the others must not have it.
        import asyncio

        with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
            return runner.run(work(size))

    return body


async def yields(size: int) -> dict[str, float]:
    """All of the crowd yield to each other."""
    import asyncio

    sleep = asyncio.sleep
    rounds = max(1, LEAST // size)
    region = Region()
    running = True

    async def first() -> None:
        nonlocal running
        await sleep(0)
        await sleep(0)
        region.begin()
        for _ in range(rounds):
            await sleep(0)
        region.end()
        running = False

    async def other() -> None:
        while running:
            await sleep(0)

    await asyncio.gather(first(), *[other() for _ in range(size - 1)])
    return result(region, rounds * size)


async def spawn(size: int) -> dict[str, float]:
    """All at once, then gathered."""
    import asyncio

    make = asyncio.get_running_loop().create_task
    with measured() as region:
        await asyncio.gather(*[make(nothing_async()) for _ in range(size)])
    return result(region, size)


async def park(size: int) -> dict[str, float]:
    """Made, and into a long sleep."""
    import asyncio

    make = asyncio.get_running_loop().create_task
    crowd: list[Any] = [None] * size
    with measured() as region:
        for index in range(size):
            crowd[index] = make(asyncio.sleep(LONG))
        await asyncio.sleep(0)
    for task in crowd:
        task.cancel()
    return result(region, size)


async def sleepers(size: int) -> dict[str, float]:
    """All sleep until deadlines at random."""
    import asyncio

    make = asyncio.get_running_loop().create_task
    afters = deadlines(size, size / DENSITY)
    with measured() as region:
        await asyncio.gather(*[make(asyncio.sleep(after)) for after in afters])
    return result(region, size)


async def timers(size: int) -> dict[str, float]:
    """call_later()."""
    import asyncio

    later = asyncio.get_running_loop().call_later
    made: list[Any] = [None] * size
    afters = deadlines(size, LONG)
    with measured() as region:
        for index, after in enumerate(afters):
            made[index] = later(LONG + after, nothing)
    for timer in made:
        timer.cancel()
    return result(region, size)


#: case -> what is measured.
BODIES: dict[str, Body] = {
    "yield": in_loop(yields),
    "spawn": in_loop(spawn),
    "park": in_loop(park),
    "sleepers": in_loop(sleepers),
    "timers": in_loop(timers),
}
