"""corolib.thread: locks and threads without patching."""

import _thread
import gc
import sys
import weakref
from typing import Any

import pytest
from helpers import ROOT, Recorder, run_isolated

from corolib import thread
from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import GreenletExit, get_hub, getcurrent, kill, sleep, spawn_raw
from corolib.thread import LockType, RLock
from corolib.timeout import Timeout

LOCKS = pytest.mark.parametrize("make", [LockType, RLock])


def run_all(*greenlets) -> None:
    while not all(each.dead for each in greenlets):
        sleep(0)


@LOCKS
def test_a_lock_goes_to_those_who_wait_in_the_order_of_arrival(make) -> None:
    rec, lock = Recorder(), make()

    def take(name: str) -> None:
        with lock:
            rec(name)
            sleep(0)

    lock.acquire()
    waiting = [spawn_raw(take, name) for name in "abc"]
    sleep(0)
    assert rec.items == []
    lock.release()
    with lock:
        rec("main")
    run_all(*waiting)
    rec.check([*"abc", "main"])
    assert not lock.locked()


@LOCKS
def test_a_lock_that_is_given_up_while_somebody_waits_is_never_free(make) -> None:
    lock = make()
    lock.acquire()
    waiting = spawn_raw(lambda: lock.acquire() and lock.release())
    sleep(0)
    lock.release()
    assert lock.locked()
    assert not lock.acquire(False)
    run_all(waiting)
    assert not lock.locked()


@LOCKS
def test_acquire_with_a_timeout(make) -> None:
    lock = make()
    assert lock.acquire(timeout=0.01)
    refused = []

    def other() -> None:
        refused.append(lock.acquire(timeout=0.001))
        refused.append(lock.acquire(True, 0))
        refused.append(lock.acquire(False))

    run_all(spawn_raw(other))
    assert refused == [False, False, False]
    lock.release()
    assert not lock.locked()


@LOCKS
def test_who_is_killed_while_waiting_does_not_get_the_lock(make) -> None:
    rec, lock = Recorder(), make()

    def take(name: str) -> None:
        with lock:
            rec(name)

    lock.acquire()
    a, b = spawn_raw(take, "a"), spawn_raw(take, "b")
    sleep(0)
    kill(a)
    sleep(0)
    lock.release()
    run_all(a, b)
    rec.check(["b"])
    assert not lock.locked()


@LOCKS
def test_who_is_killed_right_after_the_lock_was_handed_over_hands_it_on(make) -> None:
    rec, lock = Recorder(), make()

    def take(name: str) -> None:
        with lock:
            rec(name)

    lock.acquire()
    a, b = spawn_raw(take, "a"), spawn_raw(take, "b")
    sleep(0)
    get_hub().run_callback(a.throw)
    lock.release()  # a's from now on, but the callback runs before a does
    run_all(a, b)
    rec.check(["b"])
    assert not lock.locked()


@LOCKS
def test_a_timeout_and_a_release_at_the_same_moment_lose_nothing(make) -> None:
    lock, got = make(), []

    def take() -> None:
        while not lock.acquire(timeout=0.0001):
            pass
        got.append(1)
        sleep(0)
        lock.release()

    greenlets = [spawn_raw(take) for _ in range(50)]
    run_all(*greenlets)
    assert len(got) == 50
    assert not lock.locked()


@LOCKS
def test_a_timeout_object_ends_the_wait(make) -> None:
    lock, over = make(), Event()
    holder = spawn_raw(lambda: (lock.acquire(), over.wait(), lock.release()))
    sleep(0)
    with pytest.raises(Timeout), Timeout(0.001):
        lock.acquire()
    over.set()
    run_all(holder)
    assert lock.acquire(False)
    lock.release()


@LOCKS
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((False, 1), ValueError),
        ((True, -2), ValueError),
        ((True, thread.TIMEOUT_MAX * 2), OverflowError),
        ((True, "1"), TypeError),
    ],
)
def test_wrong_arguments_are_refused_also_when_the_lock_is_free(make, arguments, error) -> None:
    lock = make()
    with pytest.raises(error):
        lock.acquire(*arguments)
    assert not lock.locked()


@LOCKS
def test_release_of_a_lock_that_is_not_held(make) -> None:
    lock = make()
    with pytest.raises(RuntimeError):
        lock.release()
    lock.acquire()
    lock.release()
    with pytest.raises(RuntimeError):
        lock.release()


def test_a_lock_may_be_released_by_anybody_an_rlock_only_by_its_owner() -> None:
    lock, rlock, errors = LockType(), RLock(), []
    lock.acquire()
    rlock.acquire()

    def other() -> None:
        lock.release()
        try:
            rlock.release()
        except RuntimeError as error:
            errors.append(error)

    run_all(spawn_raw(other))
    assert not lock.locked()
    assert len(errors) == 1
    rlock.release()


def test_an_rlock_is_taken_as_often_as_wanted() -> None:
    lock = RLock()
    for count in range(1, 4):
        assert lock.acquire()
        assert lock._recursion_count() == count
    assert lock._is_owned()
    state = lock._release_save()
    assert not lock._is_owned()
    assert not lock.locked()
    lock._acquire_restore(state)
    assert lock._recursion_count() == 3
    for _ in range(3):
        lock.release()
    assert not lock.locked()


def test_a_finaliser_may_take_the_rlock_whose_release_runs_it() -> None:
    """Whatever point of acquire() and release() the collector interrupts, an RLock is consistent."""
    lock, hub = RLock(), get_hub()

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            if getcurrent() is not hub:  # there nobody can wait
                with lock:
                    pass

    done = []

    def work() -> None:
        for _ in range(300):
            with lock:
                Cycle()
                sleep(0)
        done.append(1)

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        run_all(*(spawn_raw(work) for _ in range(4)))
    finally:
        gc.set_threshold(*threshold)
    assert len(done) == 4
    assert not lock.locked()


@LOCKS
def test_locks_say_what_they_are_can_be_weakly_referred_to_and_leave_no_garbage(make) -> None:
    lock = make()
    assert "unlocked" in repr(lock)
    lock.acquire()
    assert "<locked" in repr(lock)
    waiting = spawn_raw(lock.acquire, True, 0.0001)
    run_all(waiting)
    ref = weakref.ref(lock)
    del lock, waiting
    gc.disable()
    try:
        assert ref() is None
    finally:
        gc.enable()


@LOCKS
def test_a_lock_is_free_again_in_the_child_of_a_fork(make) -> None:
    lock = make()
    lock.acquire()
    lock._at_fork_reinit()
    assert not lock.locked()
    assert lock.acquire(False)
    lock.release()


@pytest.mark.corolib(clock=True)
@LOCKS
def test_a_lock_that_is_made_anew_leaves_nobody_behind(make) -> None:
    """As in the child of a fork, where the greenlets that hold it or wait for it go on."""
    rec = Recorder()
    lock = make()
    release = Event()

    def hold() -> None:
        with lock:
            rec("held")
            release.wait()
        rec("holder is through")

    def want(name: str, timeout: float = -1) -> None:
        with_it = lock.acquire(timeout=timeout)
        rec((name, with_it))
        if with_it:
            sleep(0)
            lock.release()

    running = [spawn_raw(hold), spawn_raw(want, "first"), spawn_raw(want, "second", 0.001)]
    sleep(0)
    rec.check(["held"])
    lock._at_fork_reinit()
    assert not lock.locked()
    with lock:  # at once
        while ("second", False) not in rec.items:
            sleep(0.001)
    while ("first", True) not in rec.items:
        sleep(0)
    rec.check(["held", ("second", False), ("first", True)])
    release.set()
    run_all(*running)
    rec.check(["held", ("second", False), ("first", True), "holder is through"])
    # That was the holder's only excuse.
    with pytest.raises(RuntimeError):
        lock.release()


def test_an_rlock_made_anew_is_excused_as_often_as_it_was_held() -> None:
    lock = RLock()
    go = Event()

    def hold() -> None:
        with lock, lock:
            go.wait()
            with lock:  # this one counts
                assert lock._is_owned()
            assert not lock._is_owned()
        with pytest.raises(RuntimeError):
            lock.release()

    holder = Greenlet.spawn(hold)
    sleep(0)
    lock._at_fork_reinit()
    assert lock.acquire(False)
    lock.release()
    go.set()
    holder.get()
    lock.acquire()
    lock._at_fork_reinit()  # our own: nothing to excuse
    with pytest.raises(RuntimeError):
        lock.release()


@LOCKS
def test_who_waited_for_a_lock_made_anew_can_still_be_killed(make) -> None:
    lock = make()
    lock.acquire()
    waiter = Greenlet.spawn(lock.acquire)
    sleep(0)
    lock._at_fork_reinit()
    with lock:
        waiter.kill()
    assert not lock.locked() and isinstance(waiter.value, GreenletExit)


def test_a_lock_is_no_base_of_others() -> None:
    """As the standard one: some of what it does goes past methods that a subclass would override."""
    with pytest.raises(TypeError, match="not an acceptable base type"):

        class Mine(LockType):
            pass


def test_a_refused_try_lets_the_holder_run() -> None:
    lock = LockType()
    lock.acquire()
    spawn_raw(lock.release)
    tries = 0
    while not lock.acquire(False):
        tries += 1
        assert tries < 10
    lock.release()


def test_identity() -> None:
    main = getcurrent()
    assert thread.get_ident() == _thread.get_ident() == thread.get_ident(main)
    seen = []
    other = spawn_raw(lambda: seen.append(thread.get_ident()))
    run_all(other)
    assert seen == [thread.get_ident(other)] == [id(other)]


def test_start_new_thread() -> None:
    rec = Recorder()
    ident = thread.start_new_thread(
        lambda *args, **kwargs: rec((args, kwargs, thread.get_ident())), (1,), {"two": 2}
    )
    assert rec.items == [], "it does not switch"
    sleep(0)
    rec.check([((1,), {"two": 2}, ident)])


@pytest.mark.parametrize("arguments", [(1, ()), (print, [1]), (print, (), 1), (print,)])
def test_start_new_thread_refuses_what_it_cannot_call(arguments) -> None:
    with pytest.raises(TypeError):
        thread.start_new_thread(*arguments)


def test_an_exception_in_a_thread_is_reported_as_thread_does_and_exit_is_not(monkeypatch) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)
    error = ValueError("the text")

    def fails() -> None:
        raise error

    thread.start_new_thread(fails, ())
    thread.start_new_thread(thread.exit, ())
    thread.start_new_thread(sys.exit, (3,))
    sleep(0)
    sleep(0)
    (report,) = reported
    assert report.exc_value is error and report.exc_traceback.tb_next.tb_frame.f_code is fails.__code__
    text = "Exception ignored in thread started by"
    if sys.version_info >= (3, 13):
        assert report.err_msg == f"{text} {fails!r}"
    else:
        assert (report.err_msg, report.object) == (text, fails)


if sys.version_info >= (3, 13):

    def test_a_handle_knows_when_its_thread_has_ended() -> None:
        gate = LockType()
        gate.acquire()
        handle = thread.start_joinable_thread(gate.acquire, daemon=False)
        handle.join(0.001)
        assert not handle.is_done()
        assert handle in thread._running
        gate.release()
        handle.join()
        assert handle.is_done()
        assert handle not in thread._running
        with pytest.raises(RuntimeError):
            thread.start_joinable_thread(print, handle=handle)
        with pytest.raises(RuntimeError):
            thread._ThreadHandle().join()

    def test_a_handle_of_an_ended_thread_can_be_joined_by_who_has_its_number_by_now() -> None:
        handle = thread.start_joinable_thread(int)
        handle.join()
        handle.ident = thread.get_ident()
        handle.join()

else:

    def test_a_sentinel_is_released_by_the_end_of_its_thread() -> None:
        sentinels = []

        def body() -> None:
            sentinel = thread._set_sentinel()
            sentinel.acquire()
            sentinels.append(sentinel)
            sleep(0.001)

        thread.start_new_thread(body, ())
        sleep(0)
        (sentinel,) = sentinels
        assert sentinel.locked()
        assert not sentinel.acquire(False)
        joiners = [
            spawn_raw(lambda: (sentinel.acquire(), sentinel.release(), joined.append(1))) for _ in range(3)
        ]
        joined: list[int] = []
        run_all(*joiners)
        assert len(joined) == 3
        assert not sentinel.locked()


@pytest.mark.parametrize("script", ["thread_locks.py"])
def test_native_threads(script: str) -> None:
    run_isolated(ROOT / "tests" / "isolated" / script)


def test_the_number_of_threads() -> None:
    before, ended = thread._count(), Event()
    thread.start_new_thread(ended.wait, ())
    assert thread._count() == before + 1
    sleep(0)
    assert thread._count() == before + 1
    ended.set()
    sleep(0)
    assert thread._count() == before
