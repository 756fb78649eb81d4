"""Round trips through a pool of native threads, one JSON line."""

from importlib import import_module
from types import ModuleType

from workload import clock, main, per_unit

#: Native threads of the pool in the case `many`.
THREADS = 10


def nothing() -> None:
    """The work of each task."""


def one(package: ModuleType, size: int) -> dict[str, float]:
    """One task after the other: each waits for a thread to wake and for its result to come back."""
    pool = import_module(f"{package.__name__}.threadpool").ThreadPool(1)
    pool.spawn(nothing).get()
    started = clock()
    for _ in range(size):
        pool.spawn(nothing).get()
    result = per_unit(started, size)
    pool.kill()
    return result


def many(package: ModuleType, size: int) -> dict[str, float]:
    """All at once, ten threads."""
    pool = import_module(f"{package.__name__}.threadpool").ThreadPool(THREADS)
    for result in [pool.spawn(nothing) for _ in range(THREADS)]:
        result.get()
    started = clock()
    for result in [pool.spawn(nothing) for _ in range(size)]:
        result.get()
    figures = per_unit(started, size)
    pool.kill()
    return figures


if __name__ == "__main__":
    main("threads", {("one", "green"): one, ("many", "green"): many})
