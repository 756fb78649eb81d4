"""Kill, Timeout and wake racing for a thread of a patched program, at what `threading` and `queue` have.

In a patched program a thread is a greenlet. Its code is the standard library's, which was not written for
exceptions from outside; so what is checked is what can be kept under such: no lock stays held, no waiter
stays in a list, nobody waits for ever, no item is lost. Condition.wait() cannot keep that under throw(),
which raises at once, whatever the greenlet waits for.
"""

from corolib import monkey

monkey.patch_all()

import queue
import sys
import threading
from collections import Counter

from switchpoints import WAYS, by_throw, play

from corolib import sleep
from corolib.testing import VirtualClock


def lock(run):
    lock, inside = threading.Lock(), []

    def use():
        for _ in range(2):
            with lock:
                inside.append(1)
                assert len(inside) == 1
                try:
                    sleep(1)
                finally:
                    inside.pop()

    run.spawn(use)
    run.subject(use)
    run.spawn(use)
    yield
    assert not lock.locked()


def rlock(run):
    lock = threading.RLock()

    def use():
        for _ in range(2):
            with lock, lock:
                sleep(1)

    run.spawn(use)
    run.subject(use)
    run.spawn(use)
    yield
    assert lock.acquire(blocking=False)
    lock.release()


def condition(lock):
    def scenario(run):
        """Tokens are put in and taken out under a condition: none is lost, the lock is free."""
        condition, tokens, taken, put = threading.Condition(lock()), [], [], []

        def take(count, limit):
            for _ in range(count):
                with condition:
                    if condition.wait_for(lambda: tokens, limit):
                        taken.append(tokens.pop())

        def give():
            for number in range(4):
                sleep(1)
                with condition:
                    tokens.append(number)
                    put.append(number)
                    condition.notify()
                    sleep(number % 2)  # who is notified has to wait for the lock as well

        run.subject(take, 2, None)
        run.spawn(take, 2, 10)
        run.spawn(give)
        yield
        assert Counter(put) == Counter(taken) + Counter(tokens)
        assert condition.acquire(blocking=False)
        condition.release()
        assert not condition._waiters, condition._waiters

    scenario.__name__ = f"condition of {lock.__name__}"
    return scenario


def event(run):
    event = threading.Event()
    run.subject(lambda: (event.wait(1), event.wait()))
    other = run.spawn(event.wait)
    run.spawn(lambda: (sleep(1), event.set()))
    yield
    assert other.value is True
    assert not event._waiting


def semaphore(run):
    semaphore = threading.Semaphore(1)

    def use():
        for _ in range(2):
            with semaphore:
                sleep(1)

    run.spawn(use)
    run.subject(use)
    run.spawn(use)
    yield
    assert semaphore._value == 1
    assert not semaphore._cond._waiters


def queue_of_the_standard_library(run):
    box, put, got = queue.Queue(1), Counter(), Counter()

    def give(*items):
        for item in items:
            try:
                box.put(item, timeout=10)
            except queue.Full:
                continue
            put[item] += 1

    def take(count, **limit):
        for _ in range(count):
            try:
                got[box.get(**limit)] += 1
            except queue.Empty:
                pass

    run.subject(take, 3)
    run.spawn(give, 1, 2, 3)
    run.spawn(lambda: (sleep(1), give(4, 5)))
    run.spawn(lambda: take(2, timeout=5))
    yield
    while True:
        try:
            got[box.get(block=False)] += 1
        except queue.Empty:
            break
    assert put == got, (put, got)
    assert not box.mutex.locked()


def joined_thread(run):
    done = []
    thread = threading.Thread(target=lambda: (sleep(2), done.append(1)))

    def subject():
        thread.start()
        thread.join(1)
        thread.join()

    run.subject(subject)
    run.spawn(sleep, 0)
    yield
    assert not thread.is_alive()
    assert done == [1] or thread.ident is None
    assert thread not in threading.enumerate()


SCENARIOS = [
    lock,
    rlock,
    condition(threading.Lock),
    condition(threading.RLock),
    event,
    semaphore,
    queue_of_the_standard_library,
    joined_thread,
]

failed = 0
for scenario in SCENARIOS:
    with VirtualClock(patience=0.0):
        for seed in (None, 1, 2):
            run, total = play(scenario, None, 0, seed)
            assert run.done, run.outcome
            ways = [way for way in WAYS if way is not by_throw or "condition" not in scenario.__name__]
            for way in ways:
                for at in range(1, total + 1):
                    try:
                        play(scenario, way, at, seed)
                    except BaseException as error:
                        failed += 1
                        where = f"{scenario.__name__}: {way.__name__} at switch {at} of {total}, {seed=}"
                        print(f"{where}: {error!r}")
                        if "-v" in sys.argv:
                            raise
print("failed:", failed)
sys.exit(bool(failed))
