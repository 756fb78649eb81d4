"""Kill, Timeout and wake racing for a greenlet at a queue: items in = items out + items left."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from queue import Full

from switchpoints import Run, by_throw, without

from corolib import Timeout, sleep
from corolib.queue import (
    Channel,
    Empty,
    JoinableQueue,
    LifoQueue,
    PriorityQueue,
    Queue,
    ShutDown,
    SimpleQueue,
)


class Books:
    """What went in and what came out, as far as the callers were told."""

    def __init__(self, queue) -> None:
        self.queue = queue
        self.into: Counter[int] = Counter()
        self.out: Counter[int] = Counter()

    def put(self, *items: int, **limit: float) -> None:
        for item in items:
            try:
                self.queue.put(item, **limit)
            except (Full, ShutDown):
                continue
            self.into[item] += 1

    def get(self, count: int, **limit: float) -> None:
        for _ in range(count):
            try:
                self.out[self.queue.get(**limit)] += 1
            except (Empty, ShutDown):
                continue

    def close(self) -> None:
        """Nothing is missing and nothing has come twice. Empties the queue."""
        left: Counter[int] = Counter()
        while True:
            try:
                left[self.queue.get(block=False)] += 1
            except (Empty, ShutDown):
                break
        assert self.into == self.out + left
        assert len(self.queue.getters) == len(self.queue.putters) == 0
        if isinstance(self.queue, SimpleQueue) and not self.queue.is_shutdown:
            for place in range(self.queue.maxsize):  # none of them is kept for somebody who has gone
                self.queue.put_nowait(place)
            assert self.queue.full()


def getter_is_disturbed(make: Callable, run: Run) -> Iterator[None]:
    books = Books(make(2))
    run.subject(books.get, 3)
    run.spawn(partial(books.get, timeout=5), 2)
    run.spawn(partial(books.put, timeout=5), 1, 2, 3)
    run.spawn(lambda: (sleep(1), books.put(4, 5, timeout=5)))
    yield
    while books.queue.getters:  # the others have taken what was for the subject
        books.put(9)
    yield
    books.close()


def putter_is_disturbed(make: Callable, run: Run) -> Iterator[None]:
    books = Books(make(1))
    run.subject(books.put, 1, 2, 3)
    run.spawn(partial(books.put, timeout=5), 4, 5)
    run.spawn(lambda: (sleep(0), books.get(2, timeout=3), sleep(1), books.get(3, timeout=3)))
    yield
    books.close()


def both_sides_have_limits(make: Callable, run: Run) -> Iterator[None]:
    """Every limit is over at the very moment when something comes."""
    books = Books(make(1))

    def subject() -> None:
        books.get(1, timeout=1)
        books.put(1, 2, timeout=1)
        books.get(1, timeout=1)

    run.subject(subject)
    run.spawn(lambda: (sleep(1), books.put(3, timeout=1), sleep(1), books.get(1, timeout=1)))
    run.spawn(lambda: (sleep(1), books.get(1, timeout=1), books.put(4, timeout=1)))
    yield
    books.close()


def timeout_around_the_wait(make: Callable, run: Run) -> Iterator[None]:
    books = Books(make(1))

    def subject() -> None:
        for _ in range(3):
            with Timeout(1, False):
                books.get(2)
        with Timeout(1, False):
            books.put(1, 2, 3)

    run.subject(subject)
    run.spawn(lambda: [(sleep(1), books.put(number, timeout=1)) for number in (5, 6, 7)])
    yield
    books.close()


KINDS = (SimpleQueue, Queue, LifoQueue, PriorityQueue)
ROLES = (getter_is_disturbed, putter_is_disturbed, both_sides_have_limits, timeout_around_the_wait)


def of_kind(role: Callable, kind: type) -> Callable[[Run], Iterator[None]]:
    scenario = partial(role, kind)
    scenario.__name__ = f"{role.__name__}_of_{kind.__name__}"
    return scenario


def of_channel(role: Callable) -> Callable[[Run], Iterator[None]]:
    """A putter that is resumed by throw() after its item was taken cannot know; all other ways are exact."""
    scenario = partial(role, lambda _: Channel())
    scenario.__name__ = f"{role.__name__}_of_Channel"
    return without(by_throw)(scenario)


def peek_takes_nothing(run: Run) -> Iterator[None]:
    queue = Queue()
    run.subject(lambda: (_ignoring(Empty, partial(queue.peek, timeout=1))(), queue.peek()))
    got = []
    run.spawn(_ignoring(Empty, lambda: got.append(queue.get(timeout=5))))
    run.spawn(lambda: (sleep(1), queue.put(1), sleep(1), queue.put(2)))
    yield
    assert got + list(queue.queue) == [1, 2]
    assert not queue.getters


def join_of_a_queue(run: Run) -> Iterator[None]:
    queue = JoinableQueue()
    joined = []

    def worker() -> None:
        for _ in range(3):
            queue.get()
            sleep(1)
            queue.task_done()

    def subject() -> None:
        for limit in (1, 1, None):
            joined.append((queue.join(limit), queue.unfinished_tasks))

    for item in range(3):
        queue.put(item)
    run.subject(subject)
    run.spawn(worker)
    other = run.spawn(queue.join)
    yield
    assert queue.unfinished_tasks == 0
    assert other.value is True
    assert all(left == 0 for done, left in joined if done)


def worker_of_tasks(run: Run) -> Iterator[None]:
    """A worker that says task_done() whatever happens: no task is counted twice or never."""
    queue = JoinableQueue(1)
    done = []

    def work() -> None:
        while True:
            item = queue.get(timeout=20)
            try:
                sleep(1)
            finally:
                done.append(item)
                queue.task_done()

    run.subject(_ignoring(Empty, work))
    run.spawn(_ignoring(Empty, work))
    feed = Books(queue)
    run.spawn(partial(feed.put, timeout=50), *range(4))
    yield
    assert Counter(done) + Counter(queue.queue) == feed.into
    assert queue.unfinished_tasks == len(queue.queue)
    assert queue.join(0) == (not queue.queue)


def shutdown_under_a_getter(run: Run) -> Iterator[None]:
    books = Books(Queue(1))
    run.subject(books.get, 3)
    run.spawn(partial(books.get, timeout=5), 1)
    run.spawn(lambda: (books.put(1, 2), sleep(1), books.queue.shutdown()))
    yield
    assert not books.queue.getters
    books.close()


def shutdown_under_a_putter(run: Run) -> Iterator[None]:
    books = Books(Queue(1))
    run.subject(books.put, 1, 2, 3)
    run.spawn(books.put, 4)
    run.spawn(lambda: (sleep(1), books.get(1), books.queue.shutdown(), books.get(2)))
    yield
    assert not books.queue.putters
    books.close()


def shutdown_at_once_under_both(run: Run) -> Iterator[None]:
    """What is in it is thrown away, what was handed to somebody is not."""
    queue = Queue(1)
    out = []

    def subject() -> None:
        try:
            while True:
                out.append(queue.get())
                queue.task_done()
        except ShutDown:
            pass

    def feed() -> None:
        try:
            for item in range(9):
                queue.put(item)
                sleep(0)
        except ShutDown:
            pass

    run.subject(subject)
    run.spawn(feed)
    run.spawn(feed)
    run.spawn(lambda: (sleep(0), sleep(0), queue.shutdown(immediate=True)))
    run.spawn(queue.join)
    yield
    assert queue.empty()
    assert queue.unfinished_tasks == 0


def pipeline(run: Run) -> Iterator[None]:
    """The subject stands in the middle: what it has taken and not passed on is all that may be missing."""
    first, second = Queue(1), Queue(1)
    held: list[int] = []
    out: list[int] = []
    fed: list[int] = []

    def middle() -> None:
        while True:
            held.append(first.get())
            sleep(0)
            second.put(held[-1])
            held.pop()

    def feed() -> None:
        for item in range(5):
            first.put(item, timeout=5)
            fed.append(item)

    def drain() -> None:
        while True:
            out.append(second.get(timeout=20))

    def subject() -> None:
        with Timeout(50, False):
            middle()

    run.subject(subject)
    run.spawn(_ignoring(Full, feed))
    run.spawn(_ignoring(Empty, drain))
    yield
    left = list(first.queue) + list(second.queue)
    assert out + held + left == fed


def _ignoring(error: type[Exception], function: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        try:
            function()
        except error:
            pass

    return call


SCENARIOS = [
    *(of_kind(role, kind) for role in ROLES for kind in KINDS),
    *map(of_channel, ROLES),
    peek_takes_nothing,
    join_of_a_queue,
    worker_of_tasks,
    shutdown_under_a_getter,
    shutdown_under_a_putter,
    shutdown_at_once_under_both,
    pipeline,
]
