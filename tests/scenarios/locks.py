"""Kill, Timeout and wake racing for a greenlet at a lock: one wins, no unit is lost, nobody stays behind."""

from collections.abc import Iterator

from switchpoints import Run

from corolib import Timeout, joinall, sleep
from corolib.lock import BoundedSemaphore, RLock, Semaphore
from corolib.thread import LockType
from corolib.thread import RLock as ThreadRLock


class Owners:
    """How many are inside; more than `most` at a time is a lock that does not lock."""

    def __init__(self, most: int = 1) -> None:
        self.most = most
        self.now = 0

    def __enter__(self) -> None:
        self.now += 1
        assert self.now <= self.most

    def __exit__(self, *exc: object) -> None:
        self.now -= 1


def use(lock, owners: Owners, turns: int = 2) -> None:
    for _ in range(turns):
        with lock, owners:
            sleep(0)


def semaphore_in_turn(run: Run) -> Iterator[None]:
    lock, owners = Semaphore(1), Owners()
    run.spawn(use, lock, owners)
    run.subject(use, lock, owners)
    run.spawn(use, lock, owners)
    yield
    assert lock.counter == 1
    assert owners.now == 0


def bounded_semaphore_of_two(run: Run) -> Iterator[None]:
    lock, owners = BoundedSemaphore(2), Owners(2)
    run.spawn(use, lock, owners)
    run.spawn(use, lock, owners)
    run.subject(use, lock, owners)
    run.spawn(use, lock, owners)
    yield
    assert lock.counter == 2


def semaphore_with_a_time_limit(run: Run) -> Iterator[None]:
    """The unit comes at the very moment when the time is over."""
    lock = Semaphore(0)
    got = []

    def subject() -> None:
        got.append(lock.acquire(timeout=1))
        sleep(0)

    run.subject(subject)
    run.spawn(lambda: (sleep(1), lock.release()))
    other = run.spawn(lambda: lock.acquire(timeout=2))
    yield
    assert lock.counter == 1 - sum(got) - other.value


def semaphore_handed_over_and_not_taken(run: Run) -> Iterator[None]:
    """Both wait; one unit is released. Whoever gets it, it is one of the two or it is free again."""
    lock = Semaphore(0)
    got = []

    def subject() -> None:
        lock.acquire()
        got.append("subject")

    run.subject(subject)
    other = run.spawn(lambda: lock.acquire(timeout=5))
    run.spawn(lambda: (sleep(0), lock.release()))
    run.spawn(lambda: (sleep(0), sleep(0), lock.release()))
    yield
    assert lock.counter == 2 - len(got) - other.value


def semaphore_wait_takes_nothing(run: Run) -> Iterator[None]:
    lock = Semaphore(0)
    run.subject(lambda: [lock.wait(timeout) for timeout in (1, None)])
    run.spawn(lambda: (sleep(2), lock.release()))
    yield
    assert lock.counter == 1
    assert lock.linkcount() == 0


def rlock_held_twice(run: Run) -> Iterator[None]:
    lock, owners = RLock(), Owners()

    def twice() -> None:
        for _ in range(2):
            with lock:
                sleep(0)
                with lock, owners:
                    sleep(0)

    run.spawn(twice)
    run.subject(twice)
    run.spawn(twice)
    yield
    assert not lock.locked()
    assert lock._count == 0


def rlock_with_a_time_limit(run: Run) -> Iterator[None]:
    lock = RLock()

    def hold() -> None:
        with lock:
            sleep(1)

    def subject() -> None:
        if lock.acquire(timeout=1):
            lock.release()

    run.spawn(hold)
    run.subject(subject)
    run.spawn(hold)
    yield
    assert not lock.locked()


def two_locks(run: Run) -> Iterator[None]:
    """Two locks at once, given back in the other order."""
    first, second, owners = Semaphore(1), Semaphore(1), Owners()

    def both() -> None:
        for _ in range(2):
            with first, second, owners:
                sleep(0)
                sleep(1)

    run.spawn(both)
    run.subject(both)
    run.spawn(both)
    yield
    assert (first.counter, second.counter) == (1, 1)


def lock_in_a_timeout(run: Run) -> Iterator[None]:
    """A Timeout of the subject's own, which is due when the lock is released."""
    lock = Semaphore(0)
    got = []

    def subject() -> None:
        with Timeout(1, False):
            lock.acquire()
            got.append(1)
            sleep(0)

    run.subject(subject)
    run.spawn(lambda: (sleep(1), lock.release()))
    yield
    assert lock.counter + len(got) == 1


def thread_lock(run: Run) -> Iterator[None]:
    lock, owners = LockType(), Owners()
    run.spawn(use, lock, owners)
    run.subject(use, lock, owners)
    run.spawn(use, lock, owners)
    yield
    assert not lock.locked()


def thread_lock_with_a_time_limit(run: Run) -> Iterator[None]:
    lock = LockType()

    def hold() -> None:
        if lock.acquire(timeout=1):
            try:
                sleep(1)
            finally:
                lock.release()

    run.spawn(hold)
    run.subject(hold)
    run.spawn(hold)
    yield
    assert not lock.locked()


def thread_rlock(run: Run) -> Iterator[None]:
    lock, owners = ThreadRLock(), Owners()
    run.spawn(use, lock, owners)
    run.subject(use, lock, owners)
    run.spawn(use, lock, owners)
    yield
    assert not lock._is_owned()
    assert lock.acquire(False)
    lock.release()


def crowd(run: Run) -> Iterator[None]:
    """Many wait, units come one by one and in a burst."""
    lock, owners = Semaphore(1), Owners(3)
    run.subject(use, lock, owners)
    workers = [run.spawn(use, lock, owners, 1) for _ in range(4)]
    run.spawn(lambda: [lock.release() for _ in range(2)])
    run.spawn(lambda: joinall(workers))
    yield
    assert lock.counter == 3


SCENARIOS = [
    semaphore_in_turn,
    bounded_semaphore_of_two,
    semaphore_with_a_time_limit,
    semaphore_handed_over_and_not_taken,
    semaphore_wait_takes_nothing,
    rlock_held_twice,
    rlock_with_a_time_limit,
    two_locks,
    lock_in_a_timeout,
    thread_lock,
    thread_lock_with_a_time_limit,
    thread_rlock,
    crowd,
]
