"""The public types, for a type checker: test_public_types.py has mypy read this, nothing runs it.

assert_type() says what a call gives; a `type: ignore` on a line says that it is refused, since an ignore that
is not needed is an error as well.
"""

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, assert_type

import corolib
from corolib import Greenlet, iwait, joinall, spawn, spawn_later, spawn_raw, wait, with_timeout
from corolib._hub import callback
from corolib._switch import greenlet
from corolib._waitgraph import WaitGraph
from corolib.event import AsyncResult, Event
from corolib.hub import Hub, LoopExit, get_hub
from corolib.local import local
from corolib.lock import BoundedSemaphore, DummySemaphore, RLock, Semaphore
from corolib.pool import Group, IMap, IMapUnordered, Pool
from corolib.queue import (
    Channel,
    JoinableQueue,
    LifoQueue,
    PriorityQueue,
    Queue,
    SimpleQueue,
)
from corolib.threadpool import ThreadPool, ThreadResult
from corolib.timeout import Timeout


def work(number: int, text: str = "") -> float:
    return number + len(text)


class Worker(Greenlet[str]):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def _run(self) -> str:
        return "x" * self.count

    def more(self) -> bytes:
        return b""


def spawning() -> None:
    assert_type(spawn(work, 1), Greenlet[float])
    assert_type(spawn(work, 1, text="x"), Greenlet[float])
    assert_type(spawn(work, 1, context=copy_context()), Greenlet[float])
    assert_type(spawn(lambda: "text"), Greenlet[str])
    assert_type(spawn(print, 1, sep=""), Greenlet[None])
    assert_type(spawn_later(0.1, work, 1), Greenlet[float])
    assert_type(spawn_later(0.1, work, 1, context=copy_context()), Greenlet[float])
    assert_type(Greenlet.spawn(work, 1), Greenlet[float])
    assert_type(Greenlet.spawn_later(1, work, 1), Greenlet[float])
    assert_type(Greenlet(work, 1), Greenlet[float])
    assert_type(Worker.spawn(3), Worker)
    assert_type(Worker.spawn_later(0, 3), Worker)
    assert_type(Worker.spawn(3).get(), str)
    assert_type(Worker.spawn(3).more(), bytes)
    assert_type(spawn_raw(work, 1), greenlet)
    assert_type(spawn_raw(work, 1, context=copy_context()), greenlet)
    spawn(work, "no number")  # type: ignore[call-overload]
    spawn(work)  # type: ignore[call-overload]
    spawn(work, 1, color="red")  # type: ignore[call-arg]
    spawn_later(0.1, work, "no number")  # type: ignore[call-overload]
    spawn_later(work, 1)  # type: ignore[call-overload]
    spawn_raw(work, "no number")  # type: ignore[call-overload]
    spawn(5)  # type: ignore[call-overload]


def results(started: Greenlet[float]) -> None:
    assert_type(started.get(), float)
    assert_type(started.get(timeout=1), float)
    assert_type(started.value, float | None)
    assert_type(started.exception, BaseException | None)
    assert_type(joinall([started]), list[Greenlet[float]])
    assert_type(wait([started], timeout=1), list[Greenlet[float]])
    assert_type(wait(), bool)
    for ready in iwait([started]):
        assert_type(ready, Greenlet[float])
    started.rawlink(lambda source: assert_type(source.get(), float))
    started.link(lambda source: assert_type(source.get(), float))
    started.kill(KeyError, block=False)
    with started as same:
        assert_type(same, Greenlet[float])


def events(event: Event, result: AsyncResult[int]) -> None:
    assert_type(event.wait(1), bool)
    assert_type(AsyncResult[str](), AsyncResult[str])
    assert_type(result.get(), int)
    assert_type(result.get_nowait(), int)
    assert_type(result.wait(), int | None)
    assert_type(result.value, int | None)
    result.set(1)
    result.set("text")  # type: ignore[arg-type]
    assert_type(wait([event]), list[Event])


def queues() -> None:
    assert_type(Queue[int]().get(), int)
    assert_type(Queue(items=["a"]).get(), str)
    assert_type(Queue[int](3).peek_nowait(), int)
    assert_type(SimpleQueue[bytes]().get(timeout=1), bytes)
    assert_type(LifoQueue[int]().get_nowait(), int)
    assert_type(PriorityQueue[tuple[int, str]]().get(), tuple[int, str])
    assert_type(JoinableQueue[int]().join(1), bool)
    assert_type(Channel[int]().get(), int)
    assert_type(list(Queue[int]()), list[int])
    assert_type(list(Channel[str]()), list[str])
    assert_type(Queue[int]().copy(), Queue[int])
    Queue[int]().put("text")  # type: ignore[arg-type]
    Channel[int]().put("text")  # type: ignore[arg-type]


def locks(semaphore: Semaphore, lock: RLock) -> None:
    assert_type(semaphore.acquire(timeout=1), bool)
    assert_type(semaphore.release(), int)
    assert_type(BoundedSemaphore(2).counter, int)
    assert_type(lock.locked(), bool)
    assert_type(wait([semaphore]), list[Semaphore])
    with semaphore, lock, DummySemaphore():
        pass


def pools(pool: Pool, threads: ThreadPool) -> None:
    assert_type(Group().spawn(work, 1), Greenlet[float])
    assert_type(pool.spawn(work, 1, text="x"), Greenlet[float])
    assert_type(pool.spawn(work, 1, context=copy_context()), Greenlet[float])
    assert_type(pool.apply(work, (1,)), float)
    assert_type(pool.map(work, [1, 2]), list[float])
    assert_type(pool.map_async(work, [1, 2]).get(), list[float])
    assert_type(pool.imap(work, [1, 2], ["a", "b"]), IMap[float])
    assert_type(pool.imap_unordered(work, [1, 2], maxsize=2), IMapUnordered[float])
    assert_type(list(pool.imap(work, [1, 2])), list[float])
    pool.spawn(work, "no number")  # type: ignore[call-overload]
    pool.map(work, ["no number"])  # type: ignore[arg-type]
    assert_type(threads.spawn(work, 1), AsyncResult[float])
    assert_type(threads.apply(work, (1,)), float)
    threads.spawn(work, "no number")  # type: ignore[arg-type]
    receiver: Callable[[ThreadResult[int]], None] = print
    assert_type(ThreadResult[int](receiver, get_hub()).value, int | None)


def timeouts() -> None:
    assert_type(with_timeout(1, work, 1), float)
    assert_type(with_timeout(1, work, 1, timeout_value=None), float | None)
    with_timeout(1, work, "no number")  # type: ignore[call-overload]
    with Timeout(1, False) as limit:
        assert_type(limit, Timeout)
    assert_type(Timeout.start_new(1), Timeout)


def hubs(hub: Hub) -> None:
    assert_type(get_hub(), Hub)
    assert_type(corolib.get_hub(), Hub)
    assert_type(hub.run_callback(work, 1), callback)
    assert_type(hub.run_callback(work, 1, context=copy_context()), callback)
    hub.run_callback(work, "no number")  # type: ignore[call-overload]


def deadlocks(exit: LoopExit) -> None:
    assert_type(exit.graph, WaitGraph | None)
    assert_type(exit.waiting, tuple[str, ...])


class Own(local):
    number: int = 0


def locals_of_greenlets(own: Own, plain: local) -> None:
    assert_type(own.number, int)
    assert_type(plain.anything, Any)
