"""Locks, events and queues: waited for, and free; one JSON line."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from workload import clock, main, per_unit


def beside(
    package: ModuleType, other: Callable[[], None], one: Callable[[], dict[str, float]]
) -> dict[str, float]:
    """Both in greenlets: what `one` has measured."""
    greenlets = [package.spawn(other), package.spawn(one)]
    package.joinall(greenlets)
    result: dict[str, float] = greenlets[1].get()
    return result


def event(package: ModuleType, size: int) -> dict[str, float]:
    """Two greenlets wake each other: a unit is a set() and the wait() that it ends."""
    made = import_module(f"{package.__name__}.event").Event
    here, there = made(), made()
    rounds = max(1, size // 2)

    def other() -> None:
        for _ in range(rounds):
            there.wait()
            there.clear()
            here.set()

    def one() -> dict[str, float]:
        started = clock()
        for _ in range(rounds):
            there.set()
            here.wait()
            here.clear()
        return per_unit(started, 2 * rounds)

    return beside(package, other, one)


def contended(package: ModuleType, size: int) -> dict[str, float]:
    """Two greenlets hand two semaphores to and fro: each acquire() waits."""
    made = import_module(f"{package.__name__}.lock").Semaphore
    here, there = made(0), made(0)
    rounds = max(1, size // 2)

    def other() -> None:
        for _ in range(rounds):
            there.acquire()
            here.release()

    def one() -> dict[str, float]:
        started = clock()
        for _ in range(rounds):
            there.release()
            here.acquire()
        return per_unit(started, 2 * rounds)

    return beside(package, other, one)


def free(package: ModuleType, size: int) -> dict[str, float]:
    """acquire() and release() of a semaphore that nobody else wants."""
    semaphore = import_module(f"{package.__name__}.lock").Semaphore(1)
    acquire, release = semaphore.acquire, semaphore.release
    started = clock()
    for _ in range(size):
        acquire()
        release()
    return per_unit(started, size)


def unbounded(package: ModuleType, size: int) -> dict[str, float]:
    """put() and get() of a queue without bound that nobody waits for."""
    queue = import_module(f"{package.__name__}.queue").Queue()
    put, get = queue.put, queue.get
    started = clock()
    for number in range(size):
        put(number)
        get()
    return per_unit(started, size)


def event_of_tasks(package: ModuleType, size: int) -> dict[str, float]:
    """event() with tasks."""
    # Imported here since it is an implementation: the processes of the others must not have it.
    import asyncio

    rounds = max(1, size // 2)

    async def work() -> dict[str, float]:
        here, there = asyncio.Event(), asyncio.Event()

        async def other() -> None:
            for _ in range(rounds):
                await there.wait()
                there.clear()
                here.set()

        task = asyncio.create_task(other())
        started = clock()
        for _ in range(rounds):
            there.set()
            await here.wait()
            here.clear()
        result = per_unit(started, 2 * rounds)
        await task
        return result

    with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
        return runner.run(work())


def contended_of_tasks(package: ModuleType, size: int) -> dict[str, float]:
    """contended() with tasks."""
    # Imported here since it is an implementation: the processes of the others must not have it.
    import asyncio

    rounds = max(1, size // 2)

    async def work() -> dict[str, float]:
        here, there = asyncio.Semaphore(0), asyncio.Semaphore(0)

        async def other() -> None:
            for _ in range(rounds):
                await there.acquire()
                here.release()

        task = asyncio.create_task(other())
        started = clock()
        for _ in range(rounds):
            there.release()
            await here.acquire()
        result = per_unit(started, 2 * rounds)
        await task
        return result

    with asyncio.Runner(loop_factory=package.new_event_loop) as runner:
        return runner.run(work())


def mutex(package: ModuleType, size: int) -> dict[str, float]:
    """`with` a lock of the module that stands in for `_thread`."""
    lock = import_module(f"{package.__name__}.thread").allocate_lock()
    started = clock()
    for _ in range(size):
        with lock:
            pass
    return per_unit(started, size)


def rlock(package: ModuleType, size: int) -> dict[str, float]:
    """`with` a re-entrant lock."""
    lock = import_module(f"{package.__name__}.lock").RLock()
    started = clock()
    for _ in range(size):
        with lock:
            pass
    return per_unit(started, size)


if __name__ == "__main__":
    bodies = {
        "event": event,
        "contended": contended,
        "free": free,
        "unbounded": unbounded,
        "mutex": mutex,
        "rlock": rlock,
    }
    tasks = {("event", "coroutine"): event_of_tasks, ("contended", "coroutine"): contended_of_tasks}
    main("locks", {(case, "green"): body for case, body in bodies.items()} | tasks)
