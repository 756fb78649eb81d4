"""Locks, conditions and their kin between threads that are greenlets."""

from corolib import monkey

monkey.patch_all()

import threading
import time

from helpers import Recorder

rec = Recorder()


def start(*functions: object) -> list[threading.Thread]:
    threads = [threading.Thread(target=function) for function in functions]
    for each in threads:
        each.start()
    return threads


def finish(threads: list[threading.Thread]) -> None:
    for each in threads:
        each.join(60)
        assert not each.is_alive()


# A lock goes to who waits longest, also when its holder takes it in a loop.
lock = threading.Lock()
lock.acquire()


def taker(name: str) -> None:
    with lock:
        rec(name)
        time.sleep(0)


threads = start(*(lambda name=name: taker(name) for name in "abcd"))
assert not lock.acquire(False)
assert not lock.acquire(timeout=0.001)
lock.release()
assert lock.locked(), "it was to be handed over"
with lock:
    rec("main")
finish(threads)
rec.check([*"abcd", "main"])
assert not lock.locked()
for bad in ({"blocking": False, "timeout": 1}, {"timeout": -2}):
    try:
        lock.acquire(**bad)
    except ValueError:
        continue
    raise AssertionError(f"acquire({bad}) was accepted")
try:
    lock.release()
except RuntimeError:
    pass
else:
    raise AssertionError("a free lock was released")

# A reentrant lock belongs to one greenlet.
rlock = threading.RLock()
rec.items.clear()


def nested(name: str) -> None:
    with rlock:
        with rlock:
            rec(name)
            time.sleep(0)
        rec(name)


rlock.acquire()
threads = start(*(lambda name=name: nested(name) for name in "ab"))
assert rec.items == []
rlock.release()
finish(threads)
rec.check("aabb")
try:
    rlock.release()
except RuntimeError:
    pass
else:
    raise AssertionError("a lock of nobody was released")

# Condition, over both kinds of lock.
for condition in (threading.Condition(), threading.Condition(threading.Lock())):
    rec.items.clear()
    ready: list[str] = []

    def waits(name: str, condition=condition, ready=ready) -> None:
        with condition:
            ready.append(name)
            assert condition.wait_for(lambda: "go" in ready, 60)
            rec(name)

    threads = start(*(lambda name=name: waits(name) for name in "abc"))
    with condition:
        assert not condition.wait(0.001)
        assert not condition.wait_for(lambda: False, 0.001)
        ready.append("go")
        condition.notify(2)
        condition.notify()
    finish(threads)
    rec.check("abc")

# Event, Semaphore, BoundedSemaphore, Barrier, Timer.
event = threading.Event()
assert not event.wait(0.001)
threads = start(event.wait, event.wait)
event.set()
event.clear()
finish(threads)

semaphore = threading.Semaphore(2)
inside = most = 0


def enters() -> None:
    global inside, most
    with semaphore:
        inside += 1
        most = max(most, inside)
        event.wait()
        time.sleep(0)
        inside -= 1


threads = start(*[enters] * 6)
event.set()
finish(threads)
assert most == 2, most
assert semaphore.acquire()
assert semaphore.acquire()
assert not semaphore.acquire(timeout=0.001)
bounded = threading.BoundedSemaphore(1)
try:
    bounded.release()
except ValueError:
    pass
else:
    raise AssertionError("released too often")

barrier = threading.Barrier(3)
rec.items.clear()
finish(start(*[lambda: rec(barrier.wait())] * 3))
assert sorted(rec.items) == [0, 1, 2]
try:
    barrier.wait(0.001)
except threading.BrokenBarrierError:
    pass
else:
    raise AssertionError("the barrier is open")

rec.items.clear()
cancelled = threading.Timer(0.001, rec, args=("never",))
cancelled.start()
cancelled.cancel()
timer = threading.Timer(0.001, rec, args=("timer",))
timer.start()
timer.join()
cancelled.join()
rec.check(["timer"])

# Storage of each thread's own.
data = threading.local()
data.value = "main"


def stores(value: str) -> None:
    assert not hasattr(data, "value")
    data.value = value
    time.sleep(0)
    assert data.value == value


finish(start(lambda: stores("a"), lambda: stores("b")))
assert data.value == "main"

# Spinning on a lock that is held lets its holder run.
lock.acquire()
threads = start(lambda: (time.sleep(0), lock.release()))
while not lock.acquire(False):
    pass
finish(threads)
