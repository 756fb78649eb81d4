"""corolib.pool: Group, Pool, and the iterators over results."""

import queue as stdlib_queue
import threading

import pytest
from helpers import Recorder, run_isolated

from corolib import pool as pool_module
from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import GreenletExit, get_hub, getcurrent, sleep, spawn_raw
from corolib.pool import Group, IMap, IMapUnordered, Pool, PoolFull
from corolib.timeout import Timeout

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


@pytest.fixture(autouse=True)
def quiet():
    get_hub().exception_stream = None


def boom(*args):
    raise ValueError("boom")


# -- Group ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Group, Pool])
def test_who_is_over_leaves(kind):
    group = kind()
    assert not group and len(group) == 0 and list(group) == []
    made = group.spawn(sleep, 0.001)
    assert made in group and len(group) == 1 and list(group) == [made] and group
    assert repr(group).startswith(f"<{kind.__name__} at ") and repr(made) in repr(group)
    made.join()
    sleep(0)
    assert made not in group and not group


def test_made_of_greenlets():
    first, second = Greenlet.spawn(int), Greenlet.spawn(int)
    for group in (Group(first, second), Group([first, second]), Group({first, second})):
        assert set(group) == {first, second}
    assert list(Group(first)) == [first] and list(Group()) == list(Group([])) == []
    first.join()
    second.join()


def test_added_and_discarded():
    group = Group()
    made = Greenlet(sleep, 0)
    group.add(made)
    group.add(made)
    assert made in group and len(group) == 1 and made.has_links() == 1
    group.discard(made)
    group.discard(made)
    assert made not in group and made.has_links() == 0
    group.start(made)
    assert made.started and made in group
    group.join()
    raw = spawn_raw(int)
    group.add(raw)
    sleep(0)
    assert raw in group
    group.discard(raw)
    assert not group


def test_join_waits_until_it_is_empty():
    rec = Recorder()
    group = Group()
    for n in (2, 1):
        group.spawn(lambda n=n: (sleep(0.001 * n), rec(n)))
    assert group.join() is True
    rec.check([1, 2])
    assert group.join() is True


def test_join_with_a_time_limit():
    group = Group()
    group.spawn(sleep, 10)
    assert group.join(timeout=0.001) is False
    group.kill()
    assert group.join(timeout=0.001) is True


def test_join_ends_when_it_was_empty_for_a_moment():
    group = Group()
    group.spawn(sleep, 0)
    joiner = Greenlet.spawn(group.join)
    sleep(0)
    sleep(0.001)
    group.spawn(sleep, 0.005)
    assert joiner.get() is True
    group.join()


def test_join_raises_a_failure():
    group = Group()
    group.spawn(sleep, 0)
    group.spawn(boom)
    with pytest.raises(ValueError, match="boom"):
        group.join(raise_error=True)
    group.spawn(boom)
    assert group.join() is True


def test_kill_those_that_come_meanwhile_too():
    rec = Recorder()
    group = Group()

    def work():
        try:
            sleep(10)
        finally:
            group.spawn(late)

    def late():
        try:
            sleep(10)
        finally:
            rec("late one killed")

    group.spawn(work)
    never = group.spawn(rec, "ran")
    sleep(0)
    assert group.kill() is None
    assert not group and not group.dying
    rec.check(["ran", "late one killed"] if never.value is None else ["late one killed"])


def test_kill_what_has_not_run():
    rec = Recorder()
    group = Group()
    group.spawn(rec, "ran")
    group.kill()
    rec.check([])


def test_kill_without_waiting():
    group = Group()
    made = [group.spawn(sleep, 10) for _ in range(3)]
    sleep(0)
    group.kill(KeyError, block=False)
    assert group.dying == set(made)
    assert group.join() is True
    assert all(isinstance(each.exception, KeyError) for each in made) and not group.dying


def test_kill_ends_quietly_with_its_time_limit():
    def stubborn():
        for _ in range(2):
            try:
                sleep(0.02)
            except GreenletExit:
                pass

    group = Group()
    group.spawn(stubborn)
    sleep(0)
    assert group.kill(timeout=0.001) is None
    assert len(group) == 1
    group.join()
    with pytest.raises(Timeout), Timeout(0.001) as outer:
        group.spawn(stubborn)
        sleep(0)
        group.kill(timeout=10)
    assert not outer.pending
    group.join()


def test_kill_raw_greenlets():
    group = Group()
    raw = spawn_raw(sleep, 10)
    group.add(raw)
    sleep(0)
    group.kill()
    assert raw.dead and not group


def test_kill_from_within():
    rec = Recorder()
    group = Group()

    def work():
        group.kill()
        rec("not reached")

    other = group.spawn(sleep, 10)
    me = group.spawn(work)
    group.join()
    rec.check([])
    assert isinstance(me.value, GreenletExit) and isinstance(other.value, GreenletExit)


def test_killone():
    group = Group()
    first, second = group.spawn(sleep, 10), group.spawn(sleep, 10)
    sleep(0)
    group.killone(first)
    assert first.dead and not second.dead
    group.killone(second, KeyError, block=False)
    group.killone(second, ValueError, block=False)
    assert not second.dead
    group.join()
    assert isinstance(second.exception, KeyError)
    stranger = Greenlet.spawn(sleep, 0)
    group.killone(stranger)
    assert not stranger.dead
    stranger.join()


def test_a_group_is_never_full():
    group = Group()
    assert group.full() is False and group.wait_available() == 1 and group.wait_available(timeout=1) == 1


def test_a_class_of_ones_own():
    class Mine(Greenlet):
        pass

    class MyGroup(Group):
        greenlet_class = Mine

    for group in (MyGroup(), Pool(3, greenlet_class=Mine)):
        made = group.spawn(int)
        assert type(made) is Mine
        group.join()


# -- Pool ----------------------------------------------------------------------------------------------------


def test_a_full_pool_makes_the_caller_wait():
    rec = Recorder()
    pool = Pool(2)
    assert pool.size == 2 and pool.free_count() == 2

    def work(n):
        rec(f"start {n}")
        sleep(0.001)
        rec(f"end {n}")

    for n in range(3):
        pool.spawn(work, n)
        rec(f"spawned {n}")
    pool.join()
    assert rec.items[:4] == ["spawned 0", "spawned 1", "start 0", "start 1"]
    assert rec.items.index("spawned 2") > rec.items.index("end 0")
    assert pool.free_count() == 2 and pool._semaphore.counter == 2


def test_full_and_not_waiting():
    pool = Pool(1)
    first = pool.spawn(sleep, 10)
    assert pool.full() and pool.free_count() == 0
    for come in (
        lambda: pool.add(Greenlet(int), blocking=False),
        lambda: pool.start(Greenlet(int), blocking=False),
        lambda: pool.add(Greenlet(int), timeout=0.001),
    ):
        with pytest.raises(PoolFull):
            come()
    assert issubclass(PoolFull, stdlib_queue.Full) and PoolFull.__module__ == "corolib.pool"
    first.kill()
    pool.join()
    assert not pool.full()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pool_module.nothing


def test_places_are_given_back_once_however_one_leaves():
    pool = Pool(2)
    first, second = pool.spawn(sleep, 10), pool.spawn(boom)
    pool.discard(first)
    pool.discard(first)
    assert pool.free_count() == 1 and pool._semaphore.counter == 1
    second.join()
    sleep(0)
    assert pool.free_count() == 2 and pool._semaphore.counter == 2
    pool.add(first)
    pool.add(first)
    assert pool._semaphore.counter == 1
    pool.kill()
    assert pool._semaphore.counter == 2


def test_killed_while_it_waits_for_a_place():
    pool = Pool(1)
    pool.spawn(sleep, 0.005)
    waiting = Greenlet.spawn(pool.spawn, int)
    sleep(0)
    waiting.kill()
    pool.join()
    assert pool._semaphore.counter == 1 and not pool


def test_wait_available():
    pool = Pool(1)
    assert pool.wait_available() == 1
    pool.spawn(sleep, 0.002)
    assert pool.wait_available(timeout=0.0001) == 0
    assert pool.wait_available() == 1
    pool.join()


def test_without_limit():
    pool = Pool()
    assert pool.size is None and pool.free_count() == 1 and not pool.full() and pool.wait_available() == 1
    for _ in range(100):
        pool.spawn(sleep, 0)
    assert len(pool) == 100 and pool.free_count() == 1
    pool.join()


def test_sizes():
    with pytest.raises(ValueError, match="expected 0 or more, or None, found -1"):
        Pool(-1)
    with pytest.raises(PoolFull):
        Pool(0).add(Greenlet(int), timeout=0.001)


def test_made_larger_by_hand():
    pool = Pool(1)
    pool.spawn(sleep, 0.002)
    pool._semaphore.counter += 1
    pool.size += 1
    assert pool.free_count() == 1
    pool.spawn(sleep, 0.002)
    pool.join()
    assert pool._semaphore.counter == 2


# -- apply ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [Group, lambda: Pool(1)])
def test_apply(make):
    pool = make()
    assert pool.apply(int, ("12",), {"base": 8}) == 10
    assert pool.apply(int) == 0
    with pytest.raises(ValueError, match="boom"):
        pool.apply(boom)


def test_apply_from_within_calls_at_once():
    pool = Pool(1)
    assert pool.apply(lambda: (pool.apply(getcurrent) is getcurrent(), len(pool))) == (True, 1)


def test_apply_with_a_callback():
    rec = Recorder()
    pool = Pool(1)
    assert pool.apply_cb(int, ("5",), callback=rec) == 5
    sleep(0)
    rec.check([5])


def test_apply_async_never_waits():
    rec = Recorder()
    pool = Pool(1)
    first = pool.apply_async(sleep, (0.001,))
    second = pool.apply_async(int, ("5",), callback=rec)
    third = pool.apply_async(boom, callback=rec)
    assert isinstance(second, Greenlet)
    assert second.get() == 5 and first.ready()
    with pytest.raises(ValueError):
        third.get()
    sleep(0.001)
    rec.check([5])
    pool.apply_async(int, callback=rec).get()
    sleep(0.001)
    rec.check([5, 0])


# -- map -----------------------------------------------------------------------------------------------------


def slowest_first(n):
    sleep(0.001 * (5 - n))
    return n


@pytest.mark.parametrize("make", [Group, lambda: Pool(1), lambda: Pool(3)])
def test_map_is_in_order(make):
    pool = make()
    assert pool.map(slowest_first, range(5)) == list(range(5))
    assert pool.map(int, []) == []
    assert not pool


def test_map_raises_the_first_failure_in_order():
    def work(n):
        if n == 1:
            sleep(0.002)
            raise KeyError(n)
        if n == 2:
            raise ValueError(n)
        return n

    with pytest.raises(KeyError):
        Pool(5).map(work, range(4))


def test_map_async_and_callbacks():
    rec = Recorder()
    pool = Pool(2)
    assert pool.map_async(int, "123", callback=rec).get() == [1, 2, 3]
    assert pool.map_cb(int, "12", callback=rec) == [1, 2]
    rec.check([[1, 2, 3], [1, 2]])


def test_imap_in_order_and_unordered():
    pool = Pool(5)
    assert list(pool.imap(slowest_first, range(5))) == [0, 1, 2, 3, 4]
    assert list(pool.imap_unordered(slowest_first, range(5))) == [4, 3, 2, 1, 0]
    assert list(pool.imap(pow, [2, 3], [3, 2, 1])) == [8, 9]
    ordered, unordered = pool.imap(int, "1"), pool.imap_unordered(int, "1")
    assert isinstance(ordered, IMap) and isinstance(unordered, IMapUnordered) and iter(ordered) is ordered
    assert ordered.next() == 1 and next(unordered) == 1
    for ended in (ordered, unordered):
        for _ in range(2):
            with pytest.raises(StopIteration):
                next(ended)


@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_a_failure_is_raised_when_its_turn_comes(name):
    def work(n):
        if n == 1:
            raise ValueError(n)
        return n

    results = getattr(Pool(1), name)(work, range(3))
    assert next(results) == 0
    with pytest.raises(ValueError):
        next(results)
    assert list(results) == [2]


@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_a_failure_of_the_source_comes_last(name):
    def source():
        yield 1
        yield 2
        raise KeyError("source")

    results = getattr(Group(), name)(slowest_first, source())
    assert sorted([next(results), next(results)]) == [1, 2]
    with pytest.raises(KeyError, match="source"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("name", ["imap", "imap_unordered"])
def test_maxsize_bounds_what_is_computed_ahead(name):
    begun = []

    def work(n):
        begun.append(n)
        return n

    results = getattr(Group(), name)(work, iter(range(100)), maxsize=3)
    sleep(0.002)
    assert begun == [0, 1, 2]
    assert next(results) == 0
    sleep(0.002)
    assert begun == [0, 1, 2, 3]
    assert list(results) == list(range(1, 100))


def test_wrong_arguments_of_imap():
    with pytest.raises(TypeError):
        Group().imap(int, "1", maxsze=3)
    with pytest.raises(ValueError, match="expected 1 or more, or None, found 0"):
        Group().imap(int, "1", maxsize=0)
    with pytest.raises(TypeError):
        Group().imap(int, 5)


def test_a_slow_ordered_one_lets_the_others_be_kept():
    release = Event()

    def work(n):
        if n == 0:
            release.wait()
        return n

    results = Pool(3).imap(work, range(10))
    sleep(0.002)
    release.set()
    assert list(results) == list(range(10))


def test_imap_made_by_hand_takes_single_arguments():
    pool = Pool(2)
    assert list(IMap.spawn(int, "12", pool.spawn)) == [1, 2]


def test_a_killed_imap_says_so_to_its_reader():
    results = Pool(1).imap(slowest_first, iter(range(100)))
    assert next(results) == 0
    results.kill()
    with pytest.raises(GreenletExit):
        list(results)


def test_killing_the_pool_ends_the_calls():
    pool = Pool(2)
    results = pool.imap(sleep, [10, 10])
    sleep(0.001)
    pool.kill()
    assert all(isinstance(each, GreenletExit) for each in results)


def test_importing_pool_full_late_gives_the_right_class():
    run_isolated("""
        import sys
        from corolib.pool import Pool
        from corolib.greenlet import Greenlet
        assert "queue" not in sys.modules
        try:
            Pool(0).add(Greenlet(int), blocking=False)
        except Exception as error:
            import queue
            from corolib.pool import PoolFull
            assert type(error) is PoolFull and isinstance(error, queue.Full)
    """)


def test_a_pool_per_thread():
    got = []
    thread = threading.Thread(target=lambda: got.append(Pool(2).map(slowest_first, range(4))))
    thread.start()
    thread.join()
    assert got == [[0, 1, 2, 3]]
