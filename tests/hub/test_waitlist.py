"""WaitList: FIFO, removal, the undo of a wake-up that never arrived, several threads."""

import _thread

import pytest
from helpers import Recorder

from corolib import _hub
from corolib._switch import getcurrent
from corolib.hub import get_hub

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


def spawn_waiters(waiters, rec, names, timeout=None):
    def wait(name):
        rec((name, waiters.wait(timeout)))

    greenlets = [_hub.spawn_raw(wait, name) for name in names]
    _hub.sleep(0)
    return greenlets


def test_wakes_the_longest_waiting_first():
    waiters, rec = _hub.WaitList(), Recorder()
    spawn_waiters(waiters, rec, "abc")
    assert len(waiters) == 3
    assert waiters.wake("one") == 1
    assert waiters.wake("two", count=5) == 2
    assert waiters.wake() == 0
    assert not waiters
    _hub.sleep(0)
    rec.check([("a", "one"), ("b", "two"), ("c", "two")])


def test_iterates_over_waiters_and_knows_them():
    waiters, rec = _hub.WaitList(), Recorder()
    greenlets = spawn_waiters(waiters, rec, "ab")
    assert list(waiters) == greenlets
    assert greenlets[0] in waiters
    assert getcurrent() not in waiters
    assert waiters.wake_all(value=1) == 2
    _hub.sleep(0)


def test_a_waiter_in_the_middle_can_leave():
    waiters, rec = _hub.WaitList(), Recorder()
    a, b, c = spawn_waiters(waiters, rec, "abc")
    b.parent = getcurrent()
    b.throw()
    assert list(waiters) == [a, c]
    waiters.wake_all()
    _hub.sleep(0)
    rec.check([("a", None), ("c", None)])


def test_time_out_leaves_the_list():
    waiters = _hub.WaitList()
    assert waiters.wait(timeout=0.001) is _hub.TIMED_OUT
    assert len(waiters) == 0


def test_wake_error_reaches_all():
    waiters, rec = _hub.WaitList(), Recorder()

    def wait(name):
        try:
            waiters.wait()
        except KeyError:
            rec(name)

    for name in "ab":
        _hub.spawn_raw(wait, name)
    _hub.sleep(0)
    assert waiters.wake_error(KeyError()) == 2
    _hub.sleep(0)
    rec.check(["a", "b"])
    with pytest.raises(TypeError):
        waiters.wake_error("no exception")


def test_a_value_that_never_arrived_is_given_back():
    rec = Recorder()
    waiters = _hub.WaitList(undo=lambda value: rec(("undo", value)))

    def wait():
        try:
            waiters.wait()
        except KeyError:
            rec("error")

    target = _hub.spawn_raw(wait)
    _hub.sleep(0)
    waiters.wake("item")
    target.parent = getcurrent()
    target.throw(KeyError())
    rec.check([("undo", "item"), "error"])
    _hub.sleep(0)


def test_reports_name_the_owner():
    owner, rec = object(), Recorder()
    waiters = _hub.WaitList(owner=owner)
    (target,) = spawn_waiters(waiters, rec, "a")
    assert _hub.waiting(target)[1] is owner
    waiters.wake()
    _hub.sleep(0)


def test_it_cannot_be_made_anew_while_somebody_waits():
    first, second, rec = object(), object(), Recorder()
    waiters = _hub.WaitList(first)
    (target,) = spawn_waiters(waiters, rec, "a")
    with pytest.raises(RuntimeError, match="while greenlets wait"):
        waiters.__init__(second)
    assert _hub.waiting(target)[1] is first
    waiters.wake()
    _hub.sleep(0)
    waiters.__init__(second)
    (target,) = spawn_waiters(waiters, rec, "b")
    assert _hub.waiting(target)[1] is second
    waiters.wake()
    _hub.sleep(0)


@pytest.mark.parametrize("arguments", [{"undo": 3}, {"nonsense": 1}])
def test_refuses_bad_arguments(arguments):
    with pytest.raises(TypeError):
        _hub.WaitList(**arguments)


def test_a_native_thread_wakes_a_waiter():
    waiters = _hub.WaitList()
    _thread.start_new_thread(waiters.wake, ("from thread",))
    # The thread may be quicker than we are: then there was nobody to wake, and it is asked again.
    while (value := waiters.wait(timeout=0.2)) is _hub.TIMED_OUT:
        _thread.start_new_thread(waiters.wake, ("from thread",))
    assert value == "from thread"


def test_threads_with_hubs_of_their_own_share_a_list():
    waiters, rec = _hub.WaitList(), Recorder()
    waiting, done = _thread.allocate_lock(), _thread.allocate_lock()
    waiting.acquire()
    done.acquire()

    def other_thread():
        _hub.spawn_raw(waiting.release)  # runs once this greenlet waits
        rec(waiters.wait(timeout=10))
        get_hub().destroy()
        done.release()

    _thread.start_new_thread(other_thread, ())
    waiting.acquire()
    assert len(waiters) == 1
    waiters.wake("across")
    done.acquire()
    rec.check(["across"])
