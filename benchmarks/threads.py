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


def one_future(futures: ModuleType, size: int) -> dict[str, float]:
    """one() with the standard library's executor, from the main thread."""
    with futures.ThreadPoolExecutor(1) as pool:
        pool.submit(nothing).result()
        started = clock()
        for _ in range(size):
            pool.submit(nothing).result()
        return per_unit(started, size)


def many_futures(futures: ModuleType, size: int) -> dict[str, float]:
    """many(), likewise."""
    with futures.ThreadPoolExecutor(THREADS) as pool:
        for result in [pool.submit(nothing) for _ in range(THREADS)]:
            result.result()
        started = clock()
        for result in [pool.submit(nothing) for _ in range(size)]:
            result.result()
        return per_unit(started, size)


if __name__ == "__main__":
    main(
        "threads",
        {
            ("one", "green"): one,
            ("many", "green"): many,
            ("one", "futures"): one_future,
            ("many", "futures"): many_futures,
        },
    )
