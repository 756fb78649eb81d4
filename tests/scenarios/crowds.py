"""Kill, Timeout and wake racing for who works with a pool: all places come back, nobody is forgotten."""

from collections.abc import Iterator

from switchpoints import Run

from corolib import sleep
from corolib.pool import Group, Pool


def square(number: int, seconds: float = 1) -> int:
    sleep(seconds)
    return number * number


def all_places_back(pool: Pool, size: int = 2) -> None:
    assert pool.free_count() == size
    assert pool._semaphore.counter == size
    assert len(pool) == 0
    assert not pool.dying
    assert pool._semaphore.linkcount() == 0


def spawn_into_a_full_pool(run: Run) -> Iterator[None]:
    pool, made = Pool(2), []
    run.subject(lambda: [made.append(pool.spawn(square, number)) for number in range(5)])
    run.spawn(lambda: [pool.spawn(square, number) for number in range(3)])
    yield
    all_places_back(pool)
    assert [each.value for each in made] == [number * number for number in range(len(made))]
    assert not run.done or len(made) == 5


def members_are_disturbed(run: Run) -> Iterator[None]:
    """The subject is a member of the pool itself."""
    pool = Pool(2)
    run.spawn(lambda: [pool.spawn(square, number) for number in range(4)])
    pool.add(run.subject(square, 3))
    run.spawn(lambda: pool.join())
    yield
    all_places_back(pool)


def map_over_a_pool(run: Run) -> Iterator[None]:
    pool, result = Pool(2), []
    run.subject(lambda: result.append(pool.map(square, range(5))))
    yield
    all_places_back(pool)
    assert result == ([[0, 1, 4, 9, 16]] if run.done else [])


def imap_read_one_by_one(run: Run) -> Iterator[None]:
    pool, read = Pool(2), []

    def subject() -> None:
        for each in pool.imap(square, range(5)):
            read.append(each)
            sleep(0)

    run.subject(subject)
    yield
    all_places_back(pool)
    assert read == [0, 1, 4, 9, 16][: len(read)]
    assert not run.done or len(read) == 5


def imap_unordered_with_a_bound(run: Run) -> Iterator[None]:
    """With maxsize who does not read on holds those up that feed; then the iterator is killed."""
    pool, read, iterators = Pool(2), [], []

    def subject() -> None:
        iterators.append(pool.imap_unordered(square, range(5), (3, 2, 1, 2, 1), maxsize=1))
        for each in iterators[0]:
            read.append(each)

    run.subject(subject)
    yield
    for each in iterators:
        each.kill(block=False)
    yield
    all_places_back(pool)
    assert sorted(read) == sorted(set(read))
    assert not run.done or sorted(read) == [0, 1, 4, 9, 16]


def apply_in_a_full_pool(run: Run) -> Iterator[None]:
    pool, got = Pool(1), []
    run.spawn(lambda: [pool.apply(square, (number,)) for number in range(3)])
    run.subject(lambda: [got.append(pool.apply(square, (number,))) for number in (4, 5)])
    yield
    all_places_back(pool, 1)
    assert got == [16, 25][: len(got)]


def wait_for_a_place(run: Run) -> Iterator[None]:
    pool, free = Pool(1), []

    def subject() -> None:
        for limit in (1, None):
            free.append(pool.wait_available(limit))

    pool.spawn(square, 1, 2)
    run.subject(subject)
    run.spawn(lambda: (sleep(2), pool.spawn(square, 2)))
    yield
    all_places_back(pool, 1)


def kill_a_pool(run: Run) -> Iterator[None]:
    pool = Pool(2)
    run.spawn(lambda: [pool.spawn(square, number, 5) for number in range(4)])
    run.subject(lambda: (sleep(1), pool.kill()))
    run.spawn(lambda: pool.join(timeout=3))
    yield
    all_places_back(pool)


def kill_a_pool_with_a_limit(run: Run) -> Iterator[None]:
    """Members that take their time to die; the killer gives up first."""
    pool = Pool(2)

    def stubborn() -> None:
        try:
            sleep(50)
        finally:
            sleep(2)

    run.spawn(lambda: [pool.spawn(stubborn) for _ in range(2)])
    run.subject(lambda: (sleep(1), pool.kill(timeout=1), pool.join(timeout=5)))
    yield
    all_places_back(pool)


def join_a_group(run: Run) -> Iterator[None]:
    group, joined = Group(), []
    for number in range(3):
        group.spawn(square, number, number)
    run.subject(lambda: [joined.append(group.join(limit)) for limit in (1, 1, None)])
    other = run.spawn(group.join)
    yield
    assert other.value is True
    assert len(group) == 0
    assert joined == [False, joined[1], True] if run.done and len(joined) == 3 and not joined[0] else True


SCENARIOS = [
    spawn_into_a_full_pool,
    members_are_disturbed,
    map_over_a_pool,
    imap_read_one_by_one,
    imap_unordered_with_a_bound,
    apply_in_a_full_pool,
    wait_for_a_place,
    kill_a_pool,
    kill_a_pool_with_a_limit,
    join_a_group,
]
