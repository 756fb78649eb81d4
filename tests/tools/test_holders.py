"""corolib.tools.holders: who has taken which lock, if one wants to know."""

import gc

import pytest
from helpers import run_isolated

from corolib import spawn, util
from corolib._waitgraph import noted_holders
from corolib.errors import LoopExit
from corolib.event import Event
from corolib.greenlet import joinall
from corolib.hub import sleep
from corolib.lock import BoundedSemaphore, Semaphore
from corolib.thread import LockType
from corolib.util import note_lock_holders, waiting

LOCKS = [Semaphore, BoundedSemaphore, LockType]


@pytest.fixture(autouse=True)
def noted():
    plain = {cls: dict(vars(cls)) for cls in LOCKS}
    note_lock_holders()
    note_lock_holders()
    yield
    note_lock_holders(False)
    assert plain == {cls: dict(vars(cls)) for cls in LOCKS}
    assert not noted_holders


def hold(lock, event):
    with lock:
        event.wait()


@pytest.mark.parametrize("make", LOCKS)
def test_the_holder_is_named(make):
    lock, event = make(), Event()
    holder = spawn(hold, lock, event)
    waiters = [spawn(hold, lock, event), spawn(lock.acquire, timeout=1000)]
    sleep(0)
    found = {wait.greenlet: wait for wait in waiting()}
    for each in waiters:
        assert found[each].holders == (holder,) and not found[each].only and not found[each].deadlocked
        assert f"held by <Greenlet at {id(holder):#x}>" in str(found[each])
    event.set()
    joinall([holder, *waiters])
    # The last one has kept it.
    assert noted_holders[lock] == [] or noted_holders[lock][0]() is waiters[1]


@pytest.mark.parametrize("make", LOCKS)
def test_a_probable_circle_is_named_and_not_called_a_deadlock(make):
    a, b = make(), make()

    def cross(first, second):
        with first:
            sleep(0)
            second.acquire()

    pair = spawn(cross, a, b), spawn(cross, b, a)
    for _ in range(3):
        sleep(0)
    found = waiting()
    assert found.deadlocked == [] and found.cycles == ()
    (circle,) = found.probable_cycles
    assert {wait.greenlet for wait in circle} == set(pair)
    assert "probably a circle of 2:" in str(found)
    # When nobody else is left, it is one.
    with pytest.raises(LoopExit) as caught:
        pair[0].join()
    assert "    a circle of 2:" in str(caught.value)
    for each in pair:
        each.kill()


def test_one_that_waits_for_itself():
    lock = LockType()

    def twice():
        with lock, lock:
            pass

    waiter = spawn(twice)
    sleep(0)
    ((wait,),) = waiting().probable_cycles
    assert wait.greenlet is waiter
    assert "probably a circle of 1, which waits for itself:" in str(waiting())
    waiter.kill()


def test_with_a_time_limit_it_is_no_circle():
    lock = LockType()

    def twice():
        with lock:
            lock.acquire(timeout=1000)

    waiter = spawn(twice)
    sleep(0)
    assert waiting()[0].holders == (waiter,) and waiting().probable_cycles == ()
    waiter.kill()


def test_each_unit_of_a_semaphore_has_a_holder():
    semaphore, event = Semaphore(2), Event()
    holders = [spawn(hold, semaphore, event) for _ in range(2)]
    waiter = spawn(hold, semaphore, event)
    sleep(0)
    (wait,) = [each for each in waiting() if each.greenlet is waiter]
    assert set(wait.holders) == set(holders)
    event.set()
    joinall([*holders, waiter])
    assert noted_holders[semaphore] == []


def test_who_gives_back_for_another_frees_the_other():
    lock = Semaphore()
    spawn(lock.acquire).join()
    lock.release()
    assert noted_holders[lock] == []
    lock.release()  # once too often is no business of ours
    assert noted_holders[lock] == [] and lock.counter == 2
    bounded = BoundedSemaphore()
    with pytest.raises(ValueError):
        bounded.release()


def test_a_refused_acquire_is_not_noted():
    lock = LockType()
    assert lock.acquire()
    assert not lock.acquire(False)
    assert len(noted_holders[lock]) == 1
    lock.release()


def test_nothing_is_kept_alive():
    lock = Semaphore()
    spawn(lock.acquire).join()
    gc.collect()
    assert noted_holders[lock][0]() is None
    waiter = spawn(lock.acquire)
    sleep(0)
    assert waiting()[0].holders == ()
    waiter.kill()
    del lock, waiter
    gc.collect()
    assert not noted_holders


def test_in_a_patched_program():
    done = run_isolated(
        """
        from corolib import monkey; monkey.patch_all()
        from corolib.util import note_lock_holders, waiting
        note_lock_holders()
        import threading
        a, b, both = threading.Lock(), threading.Lock(), threading.Barrier(2)
        def cross(first, second):
            with first:
                both.wait()
                with second:
                    pass
        threads = [threading.Thread(target=cross, args=pair) for pair in ((a, b), (b, a))]
        for each in threads:
            each.start()
        threads[0].join()
        """,
        check=False,
    )
    assert "a circle of 2:" in done.stderr and done.stderr.count(", in cross\n") >= 2


def test_it_is_served_by_util():
    assert util.note_lock_holders is note_lock_holders
