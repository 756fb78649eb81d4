"""Small programs made of several primitives, as users write them. Any of their greenlets may be killed."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from switchpoints import Run, by_limits, without

from corolib import Greenlet, Timeout, joinall, killall, sleep, socket, spawn
from corolib.event import AsyncResult
from corolib.lock import RLock, Semaphore
from corolib.pool import Group, Pool
from corolib.queue import Empty, Full, JoinableQueue, Queue


def producers_and_consumers(run: Run) -> Iterator[None]:
    """Three put, two take, through little room; the end is told by a sentinel for each that takes."""
    box: Queue[Any] = Queue(2)
    put, taken = Counter(), Counter()
    left = [3]

    def produce(items: range) -> None:
        try:
            for item in items:
                sleep(item % 3)
                box.put(item, timeout=100)
                put[item] += 1
        except Full:
            pass
        finally:
            left[0] -= 1
            if not left[0]:
                run.spawn(tell_the_end)

    def tell_the_end() -> None:
        with suppress(Full):
            for _ in range(2):
                box.put(None, timeout=500)

    def consume() -> None:
        with suppress(Empty):  # a producer that had not begun does not tell the end
            while (item := box.get(timeout=200)) is not None:
                taken[item] += 1
                sleep(0)

    run.spawn(produce, range(3))
    run.subject(produce, range(3, 6))
    run.spawn(produce, range(6, 9))
    run.spawn(consume)
    run.spawn(consume)
    yield
    assert put == taken + Counter(item for item in box.queue if item is not None)


class Topic:
    """What is published goes to all who have subscribed by then."""

    def __init__(self) -> None:
        self.subscribers: set[Queue[int]] = set()

    @contextmanager
    def subscription(self) -> Iterator[Queue[int]]:
        inbox: Queue[int] = Queue()
        self.subscribers.add(inbox)
        try:
            yield inbox
        finally:
            self.subscribers.remove(inbox)

    def publish(self, message: int) -> None:
        for each in self.subscribers:
            each.put(message)


def publish_and_subscribe(run: Run) -> Iterator[None]:
    """Everybody sees what was published while they were there: in order, without a gap."""
    topic, seen = Topic(), {}

    def listen(name: str, begin: float, count: int) -> None:
        sleep(begin)
        with topic.subscription() as inbox:
            for _ in range(count):
                with suppress(Empty):
                    seen.setdefault(name, []).append(inbox.get(timeout=20))

    def publish() -> None:
        for number in range(6):
            sleep(1)
            topic.publish(number)

    run.spawn(listen, "early", 0, 6)
    run.subject(listen, "subject", 1, 4)
    run.spawn(listen, "late", 3, 3)
    run.spawn(publish)
    yield
    assert not topic.subscribers
    for messages in seen.values():
        assert messages == list(range(6))[min(messages, default=0) :][: len(messages)]
    assert seen["early"] == list(range(6)) or run.limits_ran_out


class ReadersAndWriter:
    """Many read or one writes."""

    def __init__(self) -> None:
        self.turn = Semaphore(1)
        self.alone = Semaphore(1)
        self.reading = 0
        self.writing = 0

    @contextmanager
    def read(self) -> Iterator[None]:
        with self.turn:
            if not self.reading:
                self.alone.acquire()
            self.reading += 1
        try:
            assert not self.writing
            yield
        finally:
            self.reading -= 1
            if not self.reading:
                self.alone.release()

    @contextmanager
    def write(self) -> Iterator[None]:
        with self.turn, self.alone:
            assert not self.reading
            self.writing += 1
            try:
                assert self.writing == 1
                yield
            finally:
                self.writing -= 1


def readers_and_writers(run: Run) -> Iterator[None]:
    lock = ReadersAndWriter()

    def reader() -> None:
        for _ in range(2):
            with lock.read():
                sleep(1)

    def writer() -> None:
        for _ in range(2):
            with lock.write():
                sleep(1)
                sleep(0)

    def both() -> None:
        with lock.read():
            sleep(1)
        with lock.write():
            sleep(1)

    run.spawn(reader)
    run.spawn(writer)
    run.subject(both)
    run.spawn(reader)
    yield
    assert lock.turn.counter == lock.alone.counter == 1
    assert lock.reading == lock.writing == 0


def connections_that_are_lent(run: Run) -> Iterator[None]:
    """Two connections for four users, some of whom do not wait long."""
    free: Queue[str] = Queue(items=["one", "two"])
    in_use: set[str] = set()

    def use(limit: float | None) -> None:
        for _ in range(2):
            try:
                mine = free.get(timeout=limit)
            except Empty:
                continue
            assert mine not in in_use
            in_use.add(mine)
            try:
                with Timeout(2, False):
                    sleep(1)
                    sleep(2)
            finally:
                in_use.remove(mine)
                free.put(mine)

    for limit in (None, 1, 2):
        run.spawn(use, limit)
    run.subject(use, None)
    yield
    assert sorted(free.queue) == ["one", "two"]
    assert not in_use


def one_asks_for_all(run: Run) -> Iterator[None]:
    """Who needs a value that is being made waits for it; if its maker is killed the next one makes it."""
    making: dict[str, AsyncResult[int]] = {}
    made = []

    def value(key: str) -> int:
        while True:
            result = making.get(key)
            if result is not None:
                with suppress(LookupError):
                    return result.get()
                continue
            result = making[key] = AsyncResult()
            try:
                sleep(2)
                made.append(key)
                result.set(42)
                return 42
            except BaseException:
                del making[key]
                result.set_exception(LookupError())
                raise

    run.subject(value, "k")
    others = [run.spawn(value, "k") for _ in range(3)]
    yield
    assert [each.value for each in others] == [42] * 3
    assert made == ["k"]


def supervisor(run: Run) -> Iterator[None]:
    """Workers that fail are started anew; when the supervisor goes, they all go."""
    alive: Group = Group()
    starts = []

    class Failed(Exception):
        pass

    def work(number: int) -> None:
        starts.append(number)
        sleep(1 + number % 2)
        if len(starts) < 8:
            raise Failed

    def supervise() -> None:
        ended: Queue[Greenlet] = Queue()

        def begin(number: int) -> None:
            worker = Greenlet(_quietly(Failed, work), number)
            worker.number = number
            worker.rawlink(ended.put)
            alive.start(worker)

        try:
            for number in range(3):
                begin(number)
            while len(starts) < 8:
                begin(ended.get().number)
        finally:
            alive.kill(block=False)

    run.subject(supervise)
    yield
    assert len(alive) == 0
    assert not run.done or len(starts) >= 8


def _quietly(expected: type[Exception], function: Callable[..., None]) -> Callable[..., None]:
    def call(*args: Any) -> None:
        with suppress(expected):
            function(*args)

    return call


def dining_philosophers(run: Run) -> Iterator[None]:
    """Each takes the fork with the smaller number first, so somebody can always eat."""
    forks = [Semaphore(1) for _ in range(4)]
    meals = Counter()

    def philosophise(seat: int) -> None:
        first, second = sorted((seat, (seat + 1) % 4))
        for _ in range(2):
            sleep(0)
            with forks[first]:
                sleep(0)
                with forks[second]:
                    meals[seat] += 1
                    sleep(1)

    run.subject(philosophise, 0)
    for seat in (1, 2, 3):
        run.spawn(philosophise, seat)
    yield
    assert [each.counter for each in forks] == [1] * 4
    assert all(meals[seat] == 2 for seat in (1, 2, 3))


def accounts(run: Run) -> Iterator[None]:
    """Money goes from one to the other under two locks; the sum stays."""
    balance = [10, 10, 10]
    locks = [RLock() for _ in balance]

    def transfer(source: int, target: int) -> None:
        for _ in range(3):
            low, high = sorted((source, target))
            with locks[low]:
                sleep(0)
                with locks[high], locks[low]:
                    sleep(source % 2)
                    balance[source] -= 1
                    balance[target] += 1

    run.spawn(transfer, 0, 1)
    run.subject(transfer, 1, 2)
    run.spawn(transfer, 2, 0)
    yield
    assert sum(balance) == 30
    assert not any(each.locked() for each in locks)


def try_again_with_more_patience(run: Run) -> Iterator[None]:
    """A request that times out is made again; late answers are for nobody."""
    requests: Queue[tuple[float, AsyncResult[float]]] = Queue()
    answers = []

    def serve() -> None:
        with suppress(Empty):
            while True:
                seconds, reply = requests.get(timeout=50)
                spawn(lambda seconds=seconds, reply=reply: (sleep(seconds), reply.set(seconds)))

    def ask(seconds: float) -> None:
        patience = 1.0
        while True:
            reply: AsyncResult[float] = AsyncResult()
            requests.put((seconds, reply))
            try:
                answers.append(reply.get(timeout=patience))
                return
            except Timeout as error:
                if error is run.limit:
                    raise
                patience *= 2
                if patience > 100:  # the server has given up
                    return

    run.spawn(serve)
    run.spawn(ask, 3)
    run.subject(ask, 5)
    run.spawn(ask, 1)
    yield
    assert set(answers) >= {1, 3} or run.limits_ran_out
    assert requests.empty() or run.limits_ran_out


def map_and_reduce(run: Run) -> Iterator[None]:
    pool = Pool(3)
    totals = []

    def part(numbers: range) -> int:
        sleep(len(numbers))
        return sum(numbers)

    def reduce() -> None:
        totals.append(sum(pool.imap_unordered(part, [range(3), range(3, 5), range(5, 9), range(9, 10)])))

    run.subject(reduce)
    run.spawn(reduce)
    yield
    assert totals.count(45) == len(totals) >= 1
    assert pool.free_count() == 3


@without(by_limits)
def lines_over_a_socket(run: Run) -> Iterator[None]:
    """A server that answers each line, and a client that is cut off in the middle."""
    near, far = socket.socketpair()
    far.settimeout(50)
    served, read = [], []

    def serve() -> None:
        buffer = b""
        with far, suppress(ConnectionError, TimeoutError):
            while data := far.recv(7):
                buffer += data
                *lines, buffer = buffer.split(b"\n")
                for line in lines:
                    served.append(line)
                    far.sendall(line.upper() + b"\n")

    def ask() -> None:
        with near, near.makefile("rb") as answers:
            for number in range(4):
                near.sendall(b"line %d\n" % number)
                read.append(answers.readline().rstrip())

    run.spawn(serve)
    run.subject(ask)
    yield
    near.close()
    assert read == [b"LINE %d" % number for number in range(len(read))]
    assert len(read) <= len(served) <= len(read) + 1


def tasks_that_make_tasks(run: Run) -> Iterator[None]:
    """A tree is walked by three workers; join() waits for the whole of it, however many workers are left."""
    tasks: JoinableQueue[int] = JoinableQueue(items=[1])
    seen = []

    def work() -> None:
        while True:
            node = tasks.get()
            try:
                seen.append(node)
                if node < 8:
                    tasks.put(2 * node)
                    tasks.put(2 * node + 1)
                sleep(node % 2)
            finally:
                tasks.task_done()

    workers = [spawn(work), spawn(work)]
    workers.append(run.subject(lambda: _until_empty(work, tasks)))
    joiner = run.spawn(tasks.join)
    yield
    assert joiner.value is True
    assert sorted(seen) == list(range(1, 16))
    killall(workers, block=False)
    yield


def _until_empty(work: Callable[[], None], tasks: JoinableQueue[int]) -> None:
    worker = spawn(work)
    try:
        tasks.join()
        joinall([worker], timeout=0)
    finally:
        worker.kill(block=False)


SCENARIOS = [
    producers_and_consumers,
    publish_and_subscribe,
    readers_and_writers,
    connections_that_are_lent,
    one_asks_for_all,
    supervisor,
    dining_philosophers,
    accounts,
    try_again_with_more_patience,
    map_and_reduce,
    lines_over_a_socket,
    tasks_that_make_tasks,
]
