"""A storm of wake-ups between native threads: none may be lost, none doubled.

    python tests/hub/storms/wakeups.py [--threads 64] [--wakeups 1000000] [KIND ...]

`ring` kinds: the threads stand in rings, each with a mailbox that its greenlets wait at. One token goes round
in each; so every pass is a wake-up of another thread, counted on the way, and each token has to end after
exactly its number of passes. `feed` kinds: half of the threads never have a hub; they only put, while the
greenlets of the other half take; each item is ticked off where it arrives. `lock` kinds: greenlets of all
threads count up together under one lock.

Ends with status 1, and says what is missing, if anything is lost or doubled, or nothing has moved for long.
"""

import argparse
import itertools
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from corolib._waiting import wait
from corolib.event import AsyncResult, Event
from corolib.greenlet import Greenlet, joinall
from corolib.hub import get_hub_if_exists, sleep
from corolib.lock import BoundedSemaphore, RLock, Semaphore
from corolib.queue import Channel, Empty, LifoQueue, PriorityQueue, Queue, SimpleQueue
from corolib.thread import LockType
from corolib.thread import RLock as ThreadRLock

#: Greenlets that wait in each thread.
GREENLETS = 4
#: Rings side by side.
LANES = 8
#: Items that a feeder may be ahead of those that were taken: few, so that the takers have to wait.
AHEAD = 8
#: Seconds without any progress after which the storm is given up.
STALL = 60.0
#: What ends a greenlet that takes.
END = -1


class Units:
    """A mailbox of a semaphore: the items lie beside it."""

    greenlets = GREENLETS

    def __init__(self, kind: Callable[[], Any]) -> None:
        self.semaphore = kind()
        self.items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self.items.append(item)
        self.semaphore.release()

    def take(self) -> Any:
        self.semaphore.acquire()
        return self.items.popleft()


def bounded() -> BoundedSemaphore:
    made = BoundedSemaphore(1_000_000)
    made.counter = 0
    return made


class Flag:
    """A mailbox of an Event: set after an item was put, cleared before one looks."""

    greenlets = GREENLETS

    def __init__(self) -> None:
        self.event = Event()
        self.items: deque[Any] = deque()

    def put(self, item: Any) -> None:
        self.items.append(item)
        self.event.set()

    def take(self) -> Any:
        while True:
            try:
                return self.items.popleft()
            except IndexError:
                self.event.clear()
            if not self.items:
                self.event.wait()


class Chain:
    """A mailbox of AsyncResults, each with an item and the next AsyncResult. One reader, one writer."""

    greenlets = 1

    def __init__(self, look: Callable[[Any], Any] = AsyncResult.get) -> None:
        self.look = look
        self.first = self.last = AsyncResult[Any]()

    def put(self, item: Any) -> None:
        full, self.last = self.last, AsyncResult()
        full.set((item, self.last))

    def take(self) -> Any:
        item, self.first = self.look(self.first)
        return item


class Ends:
    """The same of greenlets: each ends with an item and the next greenlet. They are the writer's."""

    greenlets = 1

    def __init__(self, look: Callable[[Any], Any] = Greenlet.get) -> None:
        self.look = look
        self.made = Event()
        self.first: Greenlet[Any] | None = None
        self.last: Greenlet[Any] | None = None

    def put(self, item: Any) -> None:
        if self.last is None:
            self.first = self.last = Greenlet(lambda *result: result)
            self.made.set()
        full, self.last = self.last, Greenlet(lambda *result: result)
        full.args = item, self.last
        full.start()

    def take(self) -> Any:
        self.made.wait()
        assert self.first is not None
        item, self.first = self.look(self.first)
        return item


def waited(source: Any) -> Any:
    """By a link of wait()."""
    (ready,) = wait([source])
    return ready.value


class Queued:
    """A queue is a mailbox."""

    greenlets = GREENLETS

    def __init__(self, kind: Callable[[], Any]) -> None:
        queue = kind()
        self.put, self.take = queue.put, queue.get


class Hasty:
    """A mailbox whose takers wait for a moment only, again and again: wake-ups meet the end of a time."""

    greenlets = GREENLETS

    def __init__(self, kind: Callable[[], Any]) -> None:
        made = kind()
        self.put = made.put
        self.look = made.take_soon
        self.tries = itertools.count()

    def take(self) -> Any:
        while True:
            try:
                return self.look(next(self.tries) % 7 * 0.01)
            except Empty:
                pass


class HastyUnits(Units):
    """For Hasty."""

    def take_soon(self, limit: float) -> Any:
        if not self.semaphore.acquire(timeout=limit):
            raise Empty
        return self.items.popleft()


class HastyQueue:
    """For Hasty."""

    def __init__(self, kind: Callable[[], Any]) -> None:
        queue = kind()
        self.put = queue.put
        self.take_soon = lambda limit: queue.get(timeout=limit)


#: kind -> mailbox.
BOXES: dict[str, Callable[[], Any]] = {
    "semaphore": lambda: Units(lambda: Semaphore(0)),
    "bounded": lambda: Units(bounded),
    "event": Flag,
    "result": Chain,
    "greenlet": Ends,
    "wait": lambda: Ends(waited),
    "wait-result": lambda: Chain(waited),
    "simple": lambda: Queued(SimpleQueue),
    "queue": lambda: Queued(Queue),
    "lifo": lambda: Queued(LifoQueue),
    "priority": lambda: Queued(PriorityQueue),
    "narrow": lambda: Queued(lambda: Queue(1)),
    "channel": lambda: Queued(Channel),
    "hasty-semaphore": lambda: Hasty(lambda: HastyUnits(lambda: Semaphore(0))),
    "hasty-queue": lambda: Hasty(lambda: HastyQueue(Queue)),
    "hasty-priority": lambda: Hasty(lambda: HastyQueue(PriorityQueue)),
    "hasty-channel": lambda: Hasty(lambda: HastyQueue(Channel)),
}
#: A writer that waits, or belongs to a thread with a hub, cannot feed; nor can many write to a chain.
FEEDING = ("semaphore", "bounded", "event", "simple", "queue", "lifo", "priority")
LOCKS: dict[str, Callable[[], Any]] = {
    "lock": LockType,
    "rlock": RLock,
    "thread-rlock": ThreadRLock,
    "mutex": lambda: Semaphore(1),
}
KINDS = (
    [f"ring-{kind}" for kind in BOXES]
    + [f"feed-{kind}" for kind in FEEDING]
    + [f"lock-{kind}" for kind in LOCKS]
)


class Failed(Exception):
    """Something was lost or doubled."""


def run_threads(bodies: list[Callable[[], None]], progress: Callable[[], int]) -> None:
    """Run each in a thread of its own. Failed if one fails, or if progress() stays the same for too long."""
    failures: list[BaseException] = []

    def guarded(body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(body,), daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    seen, since = -1, time.monotonic()
    for thread in threads:
        while thread.is_alive() and not failures:
            thread.join(0.2)
            if progress() != seen:
                seen, since = progress(), time.monotonic()
            elif time.monotonic() - since > STALL:
                raise Failed(f"nothing has moved for {STALL:g} s, after {seen} wake-ups")
    if failures:
        raise Failed(f"a thread failed: {failures[0]!r}") from failures[0]


def ring(make: Callable[[], Any], threads: int, wakeups: int) -> int:
    """How many passes were made: at least `wakeups`."""
    boxes = [[make() for _ in range(threads)] for _ in range(LANES)]
    takers = min(2, boxes[0][0].greenlets)
    # Where the last pass is made: in the same thread for all.
    rounds = max(1, -(-wakeups // LANES))
    passes = [0] * threads
    arrived: list[int] = []
    count = itertools.count(1)

    def body(me: int) -> None:
        def work(lane: int) -> None:
            mine, following = boxes[lane][me], boxes[lane][(me + 1) % threads]
            # With one token in a ring, whoever takes has to wait for it.
            while (left := mine.take()) != END:
                passes[me] += 1
                if left:
                    following.put(left - 1)
                    continue
                arrived.append(lane)
                if next(count) == LANES:
                    for box in (box for lane in boxes for box in lane):
                        for _ in range(takers - (box is mine)):
                            box.put(END)
                    return

        workers = [Greenlet.spawn(work, lane) for lane in range(LANES) for _ in range(takers)]
        if me == threads - 1:
            workers += [Greenlet.spawn(lane[0].put, rounds - 1) for lane in boxes]
        joinall(workers, raise_error=True)

    run_threads([lambda me=me: body(me) for me in range(threads)], lambda: sum(passes))  # type: ignore[misc]
    if sorted(arrived) != list(range(LANES)):
        raise Failed(f"{LANES} tokens were sent, there arrived {sorted(arrived)}")
    if sum(passes) != LANES * rounds:
        raise Failed(f"{LANES * rounds} passes were to be made, {sum(passes)} were")
    return sum(passes)


def feed(make: Callable[[], Any], threads: int, wakeups: int) -> int:
    """How many items went over: at least `wakeups`."""
    pairs = max(1, threads // 2)
    boxes = [make() for _ in range(pairs)]
    each = -(-wakeups // pairs)
    ticks = [bytearray(each) for _ in range(pairs)]
    taken = [0] * pairs

    def feeder(me: int) -> None:
        # Spread over all boxes, in turns, so that several threads put into the same one.
        for number in range(each):
            boxes[(me + number) % pairs].put((me * each + number) + 1)
            while number - taken[me] > AHEAD:
                time.sleep(0.0001)
        if get_hub_if_exists() is not None:
            raise Failed("a thread that only puts was given a hub")

    def taker(me: int) -> None:
        def work() -> None:
            while (item := boxes[me].take()) != END:
                pair, number = divmod(item - 1, each)
                ticks[pair][number] += 1
                taken[pair] += 1

        joinall([Greenlet.spawn(work) for _ in range(GREENLETS)], raise_error=True)

    def end() -> None:
        while sum(taken) < each * pairs:
            time.sleep(0.01)
        for box in boxes:
            for _ in range(GREENLETS):
                box.put(END)

    bodies = [lambda me=me: feeder(me) for me in range(pairs)]  # type: ignore[misc]
    bodies += [lambda me=me: taker(me) for me in range(pairs)]  # type: ignore[misc]
    run_threads([*bodies, end], lambda: sum(taken))
    wrong = sum(len(each) - each.count(1) for each in ticks)
    if wrong:
        raise Failed(f"{wrong} of {each * pairs} items did not arrive exactly once")
    return sum(taken)


def lock(make: Callable[[], Any], threads: int, wakeups: int) -> int:
    """How often the lock was held: at least `wakeups`."""
    guard = make()
    each = -(-wakeups // (threads * GREENLETS))
    state = {"inside": 0, "count": 0}

    def work() -> None:
        for number in range(each):
            with guard:
                state["inside"] += 1
                count = state["count"]
                if number % 16 == 0:
                    sleep(0)
                if state["inside"] != 1:
                    raise Failed("two were inside")
                state["count"] = count + 1
                state["inside"] -= 1

    def body() -> None:
        joinall([Greenlet.spawn(work) for _ in range(GREENLETS)], raise_error=True)

    run_threads([body] * threads, lambda: state["count"])
    if state["count"] != each * threads * GREENLETS:
        raise Failed(f"counted to {each * threads * GREENLETS}, found {state['count']}")
    return state["count"]


def run(kind: str, threads: int, wakeups: int) -> int:
    """One storm; how many wake-ups it was. Failed if any was lost or doubled."""
    shape, _, name = kind.partition("-")
    if shape == "lock":
        return lock(LOCKS[name], threads, wakeups)
    return (ring if shape == "ring" else feed)(BOXES[name], threads, wakeups)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", nargs="*", help=f"any of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--wakeups", type=int, default=1_000_000, help="of each kind, at least")
    options = parser.parse_args(arguments)
    unknown = set(options.kind) - set(KINDS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(KINDS)}")
    status = 0
    for kind in options.kind or KINDS:
        started = time.monotonic()
        try:
            done = run(kind, options.threads, options.wakeups)
        except Failed as error:
            status = 1
            print(f"{kind}: FAILED: {error}", flush=True)
        else:
            seconds = time.monotonic() - started
            print(f"{kind}: {done} wake-ups, none lost, none doubled, {seconds:.1f} s", flush=True)
    return status


if __name__ == "__main__":
    sys.exit(main())
