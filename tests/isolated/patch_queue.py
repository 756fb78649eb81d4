"""Queues, executors and logging between threads that are greenlets."""

import concurrent.futures
import logging
import logging.handlers
import queue

# What was made before patching: locks in modules, handlers, queues, conditions.
early = logging.StreamHandler()
early_executor = concurrent.futures.ThreadPoolExecutor
early_queue: queue.Queue[int] = queue.Queue(1)

from corolib import monkey

monkey.patch_all()

import os
import threading
import time

from helpers import Recorder

from corolib import thread as ours

rec = Recorder()
assert type(early.lock) is ours.RLock
assert type(logging._lock) is ours.RLock
assert type(early_queue.mutex) is ours.LockType
assert type(early_queue.not_empty._lock) is ours.LockType
assert type(early_queue.not_empty.acquire.__self__) is ours.LockType
assert type(concurrent.futures.thread._global_shutdown_lock) is ours.LockType
assert type(threading._active_limbo_lock) is ours.RLock

for kind in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
    items = kind(maxsize=2)

    def produce(items: queue.Queue[int] = items) -> None:
        for number in range(5):
            items.put(number)
            rec(("put", number))

    producer = threading.Thread(target=produce)
    producer.start()
    assert items.full()
    try:
        items.put(9, timeout=0.001)
    except queue.Full:
        pass
    else:
        raise AssertionError("a full queue took an item")
    got = []
    for _ in range(5):
        got.append(items.get(timeout=60))
        items.task_done()
    assert sorted(got) == [0, 1, 2, 3, 4]
    producer.join()
    items.join()
    try:
        items.get(timeout=0.001)
    except queue.Empty:
        pass
    else:
        raise AssertionError("an empty queue gave an item")

early_getter = threading.Thread(target=lambda: rec(early_queue.get()))
early_getter.start()
rec.items.clear()
early_queue.put(7)
early_getter.join()
rec.check([7])

simple: queue.SimpleQueue[int] = queue.SimpleQueue()
rec.items.clear()
getters = [threading.Thread(target=lambda: rec(simple.get())) for _ in range(3)]
for each in getters:
    each.start()
for number in range(3):
    simple.put(number)
for each in getters:
    each.join()
rec.check([0, 1, 2])
try:
    simple.get(timeout=0.001)
except queue.Empty:
    pass
else:
    raise AssertionError("an empty queue gave an item")

# An executor's workers are greenlets.
barrier = threading.Barrier(4)


def meets(number: int) -> int:
    barrier.wait(60)
    return number * number


with concurrent.futures.ThreadPoolExecutor(4) as executor:
    assert list(executor.map(meets, range(8))) == [number * number for number in range(8)]
    failed = executor.submit(int, "x")
    try:
        failed.result(60)
    except ValueError:
        pass
    else:
        raise AssertionError("int('x') has a result")
    slow = [executor.submit(time.sleep, 0.001 * number) for number in range(4)]
    assert len(list(concurrent.futures.as_completed(slow, timeout=60))) == 4
    assert concurrent.futures.wait(slow).not_done == set()
    try:
        executor.submit(time.sleep, 0.05).result(0.001)
    except concurrent.futures.TimeoutError:
        pass
    else:
        raise AssertionError("a slow call has a result")

# Handlers made before serialize, although emitting switches.
rec.items.clear()


class Slow(logging.Handler):
    inside = 0

    def emit(self, record: logging.LogRecord) -> None:
        Slow.inside += 1
        assert Slow.inside == 1, "two at once"
        time.sleep(0)
        rec((record.getMessage(), record.threadName))
        Slow.inside -= 1


logger = logging.getLogger("test")
logger.addHandler(Slow())
logger.propagate = False
loggers = [
    threading.Thread(target=logger.warning, args=(str(number),), name=f"T{number}") for number in range(5)
]
for each in loggers:
    each.start()
for each in loggers:
    each.join()
rec.check([(str(number), f"T{number}") for number in range(5)])

records: queue.Queue[logging.LogRecord] = queue.Queue()
listener = logging.handlers.QueueListener(records, Slow())
listener.start()
logger.handlers = [logging.handlers.QueueHandler(records)]
logger.warning("through a queue")
listener.stop()
assert rec.items[-1][0] == "through a queue"
assert len(os.listdir("/proc/self/task")) == 1
