"""The whole life of a greenlet that does nothing, one JSON line."""

from importlib import import_module
from types import ModuleType

from workload import clock, joinall_of, main, per_unit

#: How many are alive at once in the case `joinall`.
BATCH = 10_000


def nothing() -> None:
    """The work of each greenlet."""


async def nothing_async() -> None:
    """The work of each task."""


def raw(engine: ModuleType, size: int) -> dict[str, float]:
    """Create, run and finish, one after another."""
    greenlet = engine.greenlet
    started = clock()
    for _ in range(size):
        greenlet(nothing).switch()
    return per_unit(started, size)


def batches(size: int) -> list[int]:
    """`size` cut into batches."""
    return [min(BATCH, size - begun) for begun in range(0, size, BATCH)]


def green(package: ModuleType, size: int) -> dict[str, float]:
    """Spawn a batch, then join it."""
    spawn, joinall = package.spawn, joinall_of(package)
    joinall([spawn(nothing)])
    started = clock()
    for batch in batches(size):
        joinall([spawn(nothing) for _ in range(batch)])
    return per_unit(started, size)


def pool(package: ModuleType, size: int) -> dict[str, float]:
    """Through a pool that is full most of the time, so that spawn() waits for a place."""
    crowd = import_module(f"{package.__name__}.pool").Pool(100)
    spawn = crowd.spawn
    started = clock()
    for _ in range(size):
        spawn(nothing)
    crowd.join()
    return per_unit(started, size)


def coroutine(package: ModuleType, size: int) -> dict[str, float]:
    """Make a batch of tasks, then gather it."""
    # Imported here since it is an implementation: the processes of the others must not have it.
    import asyncio

    async def work() -> dict[str, float]:
        create_task = asyncio.get_running_loop().create_task
        started = clock()
        for batch in batches(size):
            await asyncio.gather(*[create_task(nothing_async()) for _ in range(batch)])
        return per_unit(started, size)

    with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
        return runner.run(work())


if __name__ == "__main__":
    main(
        "spawn",
        {
            ("raw", "raw"): raw,
            ("joinall", "green"): green,
            ("joinall", "coroutine"): coroutine,
            ("pool", "green"): pool,
        },
    )
