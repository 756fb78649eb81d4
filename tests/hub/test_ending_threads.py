"""A thread that ends while its greenlets wait for what other threads have: nothing is lost with it."""

import gc
import sys
import threading

import pytest

from corolib._hub import WaitList
from corolib.event import AsyncResult, Event
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, sleep, spawn_raw
from corolib.lock import BoundedSemaphore, RLock, Semaphore
from corolib.queue import Channel, LifoQueue, PriorityQueue, Queue, SimpleQueue
from corolib.thread import LockType
from corolib.thread import RLock as ThreadRLock


def taken(kind):
    made = kind()
    made.acquire()
    return made


#: What is waited for, made so that one has to wait; what waits; what ends one wait; what shows that it is
#: there for the next.
THINGS = {
    "Semaphore": (lambda: Semaphore(0), Semaphore.acquire, Semaphore.release, lambda s: s.acquire(False)),
    "BoundedSemaphore": (
        lambda: taken(BoundedSemaphore),
        Semaphore.acquire,
        BoundedSemaphore.release,
        lambda s: s.acquire(False),
    ),
    "Lock": (lambda: taken(LockType), LockType.acquire, LockType.release, lambda s: s.acquire(False)),
    "RLock": (lambda: taken(RLock), RLock.acquire, RLock.release, lambda s: s.acquire(False)),
    "thread.RLock": (
        lambda: taken(ThreadRLock),
        ThreadRLock.acquire,
        ThreadRLock.release,
        lambda s: s.acquire(False),
    ),
    **{
        kind.__name__: (kind, kind.get, lambda q: q.put(7), lambda q: q.get_nowait() == 7)
        for kind in (SimpleQueue, Queue, LifoQueue, PriorityQueue)
    },
    "put": (lambda: Queue(1, [6]), lambda q: q.put(5), Queue.get, lambda q: q.put_nowait(7) is None),
}


def thread_of_waiters(wait, spawn, release):
    """A native thread with two greenlets that wait(): the greenlets, and what lets the thread end."""
    parked, go = threading.Event(), threading.Event()
    greenlets = []

    def body():
        greenlets.extend(spawn(wait) for _ in range(2))
        sleep(0)
        if not release:
            return
        parked.set()
        go.wait()

    thread = threading.Thread(target=body)
    thread.start()
    if release:
        parked.wait()

    def end():
        go.set()
        thread.join()

    return greenlets, end


@pytest.mark.parametrize("name", THINGS)
@pytest.mark.parametrize("spawn", [Greenlet.spawn, spawn_raw])
@pytest.mark.parametrize("kept", [True, False])
def test_waiters_of_a_thread_that_has_ended_are_passed_over(name, spawn, kept):
    make, wait, release, there = THINGS[name]
    made = make()
    greenlets, end = thread_of_waiters(lambda: wait(made), spawn, False)
    end()
    if not kept:
        greenlets.clear()
    release(made)
    assert there(made)


@pytest.mark.parametrize("name", THINGS)
@pytest.mark.parametrize("spawn", [Greenlet.spawn, spawn_raw])
@pytest.mark.parametrize("kept", [True, False])
def test_what_was_handed_to_a_thread_that_ended_before_it_arrived_comes_back(name, spawn, kept):
    make, wait, release, there = THINGS[name]
    made = make()
    greenlets, end = thread_of_waiters(lambda: wait(made), spawn, True)
    if not kept:
        greenlets.clear()
    release(made)
    assert not there_at_once(made, name)
    end()
    assert there(made)


@pytest.mark.parametrize("spawn", [Greenlet.spawn, spawn_raw])
def test_who_waits_in_a_thread_that_ends_keeps_nothing_of_what_is_waited_for(spawn):
    class Owner:
        pass

    owner = Owner()
    waiting = WaitList(owner)
    before = sys.getrefcount(owner)
    greenlets, end = thread_of_waiters(lambda: waiting.wait(), spawn, True)
    assert len(waiting) == 2
    end()
    assert len(waiting) == 0
    greenlets.clear()
    gc.collect()
    assert sys.getrefcount(owner) == before


def there_at_once(made, name):
    """Before the thread ends what was handed over is with its greenlet, not in the thing."""
    if name == "put":
        return not made.full()
    return made.qsize() > 0 if hasattr(made, "qsize") else not made.locked()


@pytest.mark.parametrize("name", [name for name in THINGS if name != "put"])
def test_what_comes_back_goes_to_who_waits_in_another_thread(name):
    make, wait, release, _ = THINGS[name]
    made = make()
    greenlets, end = thread_of_waiters(lambda: wait(made), Greenlet.spawn, True)
    here = Greenlet.spawn(wait, made)
    sleep(0)
    release(made)
    sleep(0)
    assert not here.ready()
    end()
    assert here.get(timeout=60) in (True, 7)
    assert len(greenlets) == 2


def test_a_channel_passes_over_offers_of_a_thread_that_has_ended():
    channel = Channel()
    offers = []

    def body():
        offers.append(Greenlet.spawn(channel.put, "lost"))
        sleep(0)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    here = Greenlet.spawn(channel.put, "here")
    sleep(0)
    assert channel.get() == "here"
    here.join()


def test_setting_what_only_ended_threads_wait_for_does_no_harm():
    event, result = Event(), AsyncResult()
    over = Greenlet(int)
    kept = []

    def body():
        kept.extend(Greenlet.spawn(wait) for wait in (event.wait, result.get, over.get))
        sleep(0)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    event.set()
    result.set(1)
    over.start()
    over.join()
    assert event.wait() and result.get() == 1 and over.get() == 0


def test_a_greenlet_of_a_thread_that_has_ended_is_never_over_but_the_wait_for_it_has_its_limit():
    kept = []

    def body():
        kept.append(Greenlet.spawn(sleep, 3600))
        sleep(0)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    kept[0].join(timeout=0.001)
    assert not kept[0].ready()


def test_get_and_join_from_a_thread_without_a_hub():
    done = []
    event = Event()

    def value():
        event.wait()
        return 5

    here = Greenlet.spawn(value)
    failing = Greenlet(lambda: 1 / 0)

    def body():
        done.append(here.get())
        here.join()
        try:
            failing.get()
        except ZeroDivisionError:
            done.append("raised")

    thread = threading.Thread(target=body)
    thread.start()
    get_hub().exception_stream = None
    sleep(0)
    event.set()
    failing.start()
    while thread.is_alive():
        sleep(0.001)
    assert done == [5, "raised"]
