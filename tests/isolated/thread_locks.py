"""Locks between native threads and greenlets at once: nothing is lost, nobody waits for ever.

Every native thread has some greenlets that take the same locks; the interpreter changes threads as often as
it can.
"""

import sys

from corolib import thread
from corolib._native import allocate_lock, start_new_thread
from corolib.hub import get_hub, sleep, spawn_raw

THREADS, GREENLETS, ROUNDS = 4, 5, 1500
sys.setswitchinterval(1e-6)

lock, rlock = thread.LockType(), thread.RLock()
counts = {"lock": 0, "rlock": 0, "timeouts": 0}
inside = 0


def use(number: int) -> None:
    global inside
    for turn in range(ROUNDS):
        if turn % 3 == 0 and not lock.acquire(timeout=0.0005 * (number % 3)):
            counts["timeouts"] += 1
            lock.acquire()
        elif turn % 3:
            lock.acquire()
        inside += 1
        assert inside == 1, inside
        value = counts["lock"]
        if turn % 5 == 0:
            sleep(0)
        counts["lock"] = value + 1
        inside -= 1
        lock.release()
        with rlock:
            assert rlock._recursion_count() == 1
            value = counts["rlock"]
            with rlock:
                if turn % 7 == 0:
                    sleep(0)
            counts["rlock"] = value + 1


def native(done) -> None:
    greenlets = [spawn_raw(use, number) for number in range(GREENLETS)]
    while not all(each.dead for each in greenlets):
        sleep(0.001)
    get_hub().destroy()
    done.release()


ends = [allocate_lock() for _ in range(THREADS)]
for end in ends:
    end.acquire()
    start_new_thread(native, (end,))
for end in ends:
    assert end.acquire(timeout=50), counts
assert counts["lock"] == counts["rlock"] == THREADS * GREENLETS * ROUNDS, counts
assert not lock.locked()
assert not rlock.locked()
