"""A queue of one place between two greenlets, one JSON line: each item is a hand-over."""

from importlib import import_module
from types import ModuleType

from workload import clock, joinall_of, main, per_unit


def green(package: ModuleType, size: int) -> dict[str, float]:
    """One greenlet puts, another one gets."""
    queue = import_module(f"{package.__name__}.queue").Queue(1)
    result: dict[str, float] = {}

    def put_all() -> None:
        put = queue.put
        for number in range(size):
            put(number)

    def get_all() -> None:
        get = queue.get
        started = clock()
        for _ in range(size):
            get()
        result.update(per_unit(started, size))

    joinall_of(package)([package.spawn(put_all), package.spawn(get_all)])
    return result


def coroutine(package: ModuleType, size: int) -> dict[str, float]:
    """The same with tasks."""
    # Imported here since it is an implementation: the processes of the others must not have it.
    import asyncio

    async def work() -> dict[str, float]:
        queue: asyncio.Queue[int] = asyncio.Queue(1)

        async def put_all() -> None:
            for number in range(size):
                await queue.put(number)

        putter = asyncio.create_task(put_all())
        started = clock()
        for _ in range(size):
            await queue.get()
        result = per_unit(started, size)
        await putter
        return result

    with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
        return runner.run(work())


if __name__ == "__main__":
    main("queue", {("handover", "green"): green, ("handover", "coroutine"): coroutine})
