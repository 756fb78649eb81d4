"""`sleep(0)` in so many greenlets at once, one JSON line.

The clock runs from the first greenlet's first yield after all have started to the last one's end, so
that neither spawning nor joining is in it.
"""

from functools import partial
from types import ModuleType

from workload import clock, joinall_of, main

#: case -> how many greenlets yield to each other.
CROWDS = {"1": 1, "100": 100, "10000": 10_000}


def shares(size: int, crowd: int) -> tuple[int, int]:
    """How often each one of the crowd yields, and how often all do together: at least once each."""
    each = max(1, size // crowd)
    return each, each * crowd


def green(package: ModuleType, size: int, crowd: int) -> dict[str, float]:
    """Greenlets."""
    sleep = package.sleep
    each, together = shares(size, crowd)
    begun: list[int] = []
    ended: list[int] = []

    def work() -> None:
        sleep(0)
        begun.append(clock())
        for _ in range(each):
            sleep(0)
        ended.append(clock())

    joinall_of(package)([package.spawn(work) for _ in range(crowd)])
    return {"ns": (max(ended) - min(begun)) / together}


def coroutine(package: ModuleType, size: int, crowd: int) -> dict[str, float]:
    """Tasks."""
    # Imported here since it is an implementation: the processes of the others must not have it.
    import asyncio

    sleep = asyncio.sleep
    each, together = shares(size, crowd)
    begun: list[int] = []
    ended: list[int] = []

    async def work() -> None:
        await sleep(0)
        begun.append(clock())
        for _ in range(each):
            await sleep(0)
        ended.append(clock())

    async def all_of_them() -> None:
        await asyncio.gather(*[work() for _ in range(crowd)])

    with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
        runner.run(all_of_them())
    return {"ns": (max(ended) - min(begun)) / together}


if __name__ == "__main__":
    main(
        "yield",
        {
            (case, style): partial(body, crowd=crowd)
            for case, crowd in CROWDS.items()
            for style, body in (("green", green), ("coroutine", coroutine))
        },
    )
