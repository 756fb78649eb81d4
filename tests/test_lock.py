"""corolib.lock: order, hand-over, races with kill and time limits, threads."""

import gc
import threading
from weakref import ref

import pytest
from helpers import Recorder, in_thread, run_isolated

from corolib.errors import LoopExit
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, getcurrent, sleep, spawn_raw
from corolib.lock import BoundedSemaphore, DummySemaphore, RLock, Semaphore
from corolib.timeout import Timeout

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)

# -- Semaphore -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore])
def test_units(kind):
    lock = kind(2)
    assert lock.acquire() is True and lock.counter == 1 and lock.ready() and not lock.locked()
    assert lock.acquire() is True and lock.counter == 0 and lock.locked() and not lock.ready()
    assert lock.acquire(blocking=False) is False
    assert lock.acquire(timeout=0.001) is False
    assert lock.acquire(True, 0) is False
    assert lock.release() == 1 and lock.release() == 2
    with lock as got:
        assert got is True and lock.counter == 1
    assert lock.counter == 2


def test_released_more_often_than_acquired():
    lock = BoundedSemaphore(1)
    with pytest.raises(ValueError, match="Semaphore released too many times"):
        lock.release()
    assert Semaphore(1).release() == 2


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore])
def test_a_negative_value(kind):
    with pytest.raises(ValueError, match="expected 0 or more, found -1"):
        kind(-1)


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore, RLock])
def test_served_in_the_order_of_arrival_and_nobody_overtakes(kind):
    rec = Recorder()
    lock = kind()
    lock.acquire()

    def work(n):
        with lock:
            rec(n)
            sleep(0)

    workers = [Greenlet.spawn(work, n) for n in range(5)]
    sleep(0)
    assert "waiting=5" in repr(lock)
    lock.release()
    assert lock.acquire(blocking=False) is False  # handed over already
    lock.acquire()
    rec("main")
    lock.release()
    for each in workers:
        each.join()
    rec.check([0, 1, 2, 3, 4, "main"])


def test_several_units_serve_several():
    lock = Semaphore(0)
    rec = Recorder()
    for n in range(4):
        spawn_raw(lambda n=n: (lock.acquire(), rec(n)))
    sleep(0)
    lock.release()
    lock.release()
    lock.release()
    sleep(0)
    rec.check([0, 1, 2])
    assert lock.release() == 0
    sleep(0)


@pytest.mark.parametrize("kind", [Semaphore, RLock])
def test_killed_while_it_waits(kind):
    lock = kind()
    lock.acquire()
    victim = Greenlet.spawn(lock.acquire)
    second = Greenlet.spawn(lambda: (lock.acquire(), lock.release()))
    sleep(0)
    victim.kill()
    lock.release()
    second.join()
    assert second.successful() and lock.acquire(blocking=False)


def test_killed_after_it_was_handed_a_unit_it_has_it_until_its_next_wait():
    lock = Semaphore(0)
    rec = Recorder()

    def work():
        with lock:
            rec("in")
            sleep(0)
            rec("not reached")

    victim = Greenlet.spawn(work)
    sleep(0)
    lock.release()
    victim.kill(block=False)
    victim.join()
    rec.check(["in"])
    assert lock.counter == 1


@pytest.mark.parametrize("kind", [Semaphore, RLock])
def test_hit_from_outside_after_it_was_handed_the_lock_it_goes_to_the_next(kind):
    lock = kind()
    lock.acquire()
    rec = Recorder()
    main = getcurrent()

    def first():
        try:
            lock.acquire()
        except KeyError:
            rec("hit")
        main.switch()

    def second():
        lock.acquire()
        rec("second")
        lock.release()

    hit = spawn_raw(first)
    spawn_raw(second)
    sleep(0)
    lock.release()
    hit.throw(KeyError)
    sleep(0)
    rec.check(["hit", "second"])
    assert lock.acquire(blocking=False)


def test_hit_from_outside_with_nobody_else_waiting_the_unit_is_back():
    lock = Semaphore(0)
    main = getcurrent()

    def work():
        try:
            lock.acquire()
        except KeyError:
            main.switch()

    hit = spawn_raw(work)
    sleep(0)
    assert lock.release() == 0
    hit.throw(KeyError)
    assert lock.counter == 1
    sleep(0)


@pytest.mark.parametrize("kind", [Semaphore, RLock])
def test_time_over(kind):
    lock = kind()
    holder = Greenlet.spawn(lambda: (lock.acquire(), sleep(0.01), lock.release()))
    sleep(0)
    assert lock.acquire(timeout=0.001) is False
    with pytest.raises(Timeout), Timeout(0.001):
        lock.acquire()
    assert lock.acquire(timeout=10) is True
    lock.release()
    holder.join()


def test_wait_says_how_many_are_free_and_takes_none():
    lock = Semaphore(2)
    assert lock.wait() == 2
    lock.acquire()
    lock.acquire()
    assert lock.wait(timeout=0.001) == 0
    get_hub().loop.timer(0.001).start(lock.release)
    assert lock.wait() == 1 and lock.counter == 1


def test_links_are_called_while_a_unit_is_free():
    rec = Recorder()
    lock = Semaphore(0)
    for n in range(3):
        lock.rawlink(lambda source, n=n: rec((n, lock.acquire(blocking=False))))
    lock.release()
    sleep(0)
    rec.check([(0, True)])
    assert lock.linkcount() == 2
    lock.release()
    lock.release()
    sleep(0)
    rec.check([(0, True), (1, True), (2, True)])


def test_who_waits_goes_before_who_is_linked():
    rec = Recorder()
    lock = Semaphore(0)
    lock.rawlink(lambda source: rec("link"))
    waiter = Greenlet.spawn(lambda: (lock.acquire(), rec("waiter")))
    sleep(0)
    lock.release()
    waiter.join()
    sleep(0)
    rec.check(["waiter"])
    lock.release()
    sleep(0)
    rec.check(["waiter", "link"])


def test_a_counter_changed_by_hand_counts_at_the_next_release():
    lock = Semaphore(0)
    waiters = [Greenlet.spawn(lock.acquire) for _ in range(3)]
    sleep(0)
    lock.counter += 2
    lock.release()
    for each in waiters:
        each.join()
    assert lock.counter == 0
    lock.counter -= 1
    assert lock.release() == 0 and lock.locked()


def test_nobody_releases_it():
    with pytest.raises(LoopExit, match="waits for Semaphore <Semaphore at"):
        Semaphore(0).acquire()


@pytest.mark.parametrize("kind", [Semaphore, RLock])
def test_a_dropped_one_is_freed_at_once(kind):
    gc.collect()
    gc.disable()
    try:
        lock = kind()
        lock.acquire()
        waiter = Greenlet.spawn(lambda lock: (lock.acquire(), lock.release()), lock)
        sleep(0)
        lock.release()
        waiter.join()
        gone = ref(lock)
        del lock, waiter
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore, RLock])
def test_after_a_fork_it_is_free(kind):
    lock = kind()
    lock.acquire()
    lock._at_fork_reinit()
    assert (lock.acquire(blocking=False) and not lock.acquire(blocking=False)) or kind is RLock
    lock.release()


# -- DummySemaphore ------------------------------------------------------------------------------------------


def test_dummy():
    lock = DummySemaphore(5)
    assert lock.acquire() is True and lock.acquire(False, 1) is True
    assert lock.release() is None and lock.wait(1) == 1 and lock.locked() is False and lock.ready() is True
    with lock:
        lock.rawlink(print)
        lock.unlink(print)
    assert repr(lock).startswith("<DummySemaphore at")


# -- RLock ---------------------------------------------------------------------------------------------------


def test_taken_as_often_as_released():
    lock = RLock()
    assert lock.acquire() and lock.acquire(blocking=False)
    with lock:
        assert lock._recursion_count() == 3 and lock.locked() and lock._is_owned()
    lock.release()
    assert Greenlet.spawn(lock.acquire, blocking=False).get() is False
    lock.release()
    assert not lock.locked() and lock._recursion_count() == 0
    assert Greenlet.spawn(lambda: lock.acquire(blocking=False) and lock.release()).get() is None


def test_released_by_somebody_else():
    lock = RLock()
    with pytest.raises(RuntimeError, match="only the greenlet that holds a lock can release it"):
        lock.release()
    lock.acquire()
    get_hub().exception_stream = None
    for stranger in (lock.release, lock._release_save):
        failed = Greenlet.spawn(stranger)
        failed.join()
        assert isinstance(failed.exception, RuntimeError)
    lock.release()


def test_as_the_lock_of_a_condition():
    rec = Recorder()
    lock = RLock()
    condition = threading.Condition(lock)
    lock.acquire()
    lock.acquire()
    saved = lock._release_save()
    assert not lock.locked()
    other = Greenlet.spawn(lambda: (lock.acquire(), rec("other"), lock.release()))
    other.join()
    lock._acquire_restore(saved)
    assert lock._recursion_count() == 2 and lock._is_owned()
    lock.release()
    lock.release()
    rec.check(["other"])
    with condition:
        condition.notify()


def test_a_finaliser_that_takes_the_same_lock_does_not_hang():
    # A collection may run at any allocation: also while the lock is being released.
    run_isolated("""
        import gc
        from corolib.lock import RLock, Semaphore
        from corolib.greenlet import Greenlet
        from corolib.hub import sleep

        lock = RLock()
        calls = []

        class Node:
            def __del__(self):
                with lock:
                    calls.append(1)

        def litter():
            node = Node()
            node.circle = node

        def work():
            for _ in range(500):
                with lock:
                    litter()
                    with lock:
                        litter()
                    sleep(0)

        gc.set_threshold(1)
        workers = [Greenlet.spawn(work) for _ in range(5)]
        for each in workers:
            each.get()
        gc.collect()
        assert len(calls) == 5000 and not lock.locked(), (len(calls), lock)
    """)


# -- across threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Semaphore, RLock])
def test_released_by_a_thread_without_a_hub_wakes_a_greenlet(kind):
    lock = kind()
    taken, release = threading.Event(), threading.Event()

    def hold():
        lock.acquire()
        taken.set()
        release.wait(60)
        lock.release()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    assert lock.acquire(timeout=0.001) is False
    waiter = Greenlet.spawn(lock.acquire)
    sleep(0)
    release.set()
    assert waiter.get() is True
    thread.join()


def test_a_thread_waits_for_a_greenlet():
    lock = Semaphore(0)
    get_hub().loop.timer(0.005).start(lock.release)
    got = []
    thread = threading.Thread(target=lambda: got.append(lock.acquire()))
    thread.start()
    while thread.is_alive():
        sleep(0.001)
    assert got == [True]


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore, RLock])
def test_only_one_is_in_whatever_thread_it_comes_from(kind):
    lock = kind()
    count = [0]
    inside = []

    def work():
        for _ in range(200):
            with lock:
                inside.append(1)
                assert len(inside) == 1
                count[0] += 1
                if count[0] % 10 == 0:
                    sleep(0)
                inside.pop()

    def in_greenlets():
        for each in [Greenlet.spawn(work) for _ in range(3)]:
            each.get()

    results = []
    threads = [threading.Thread(target=lambda: results.append(in_greenlets())) for _ in range(4)]
    for each in threads:
        each.start()
    in_greenlets()
    for each in threads:
        each.join()
    assert count == [3 * 200 * 5] and len(results) == 4
    assert lock.acquire(blocking=False)


def test_units_are_neither_lost_nor_made_between_threads():
    lock = Semaphore(0)
    rounds = 2000

    def give():
        for _ in range(rounds):
            lock.release()

    threads = [threading.Thread(target=give) for _ in range(4)]
    for each in threads:
        each.start()
    for _ in range(4 * rounds):
        assert lock.acquire()
    for each in threads:
        each.join()
    assert lock.counter == 0


def test_time_over_in_one_thread_while_another_hands_over():
    lock = RLock()
    rounds = 300
    got = []

    def take():
        for n in range(rounds):
            if lock.acquire(timeout=0.0001 * (n % 3)):
                got.append(1)
                lock.release()

    threads = [threading.Thread(target=take) for _ in range(3)]
    for each in threads:
        each.start()
    for _ in range(rounds):
        with lock:
            sleep(0)
        sleep(0)
    for each in threads:
        each.join()
    assert not lock.locked() and in_thread(lambda: lock.acquire(timeout=1)) is True
