"""multiprocessing in a patched program: by fork, forkserver and spawn, and nothing of it stops the others."""

import pytest
from helpers import run_isolated

#: From 3.12 on: "This process is multi-threaded, use of fork() may lead to deadlocks in the child."
QUIET = ("-W", "ignore:This process:DeprecationWarning")
PATCH = """
from corolib import monkey
monkey.patch_all()
import os, queue, sys, threading, time
import multiprocessing
import corolib

def soon(function, *args):
    "In a greenlet, a moment later: whoever waits for that must let it run."
    corolib.spawn_later(0.005, function, *args)
"""


def program(script, tmp_path, **options):
    """From a file: children that do not fork import it."""
    path = tmp_path / "program.py"
    path.write_text(PATCH + script)
    return run_isolated(path, options=QUIET, timeout=60, **options)


WORK = """
def work(requests, answers, lock, event):
    for number in iter(requests.get, None):
        with lock:
            answers.put((number * 2, os.getpid()))
    event.wait()
    assert threading.current_thread() is threading.main_thread()
    thread = threading.Thread(target=time.sleep, args=(0.001,))
    thread.start()
    thread.join()
    assert corolib.spawn(time.time).get() > 0
    sys.exit(7)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    requests, answers, lock, event = context.Queue(), context.Queue(), context.Lock(), context.Event()
    workers = [context.Process(target=work, args=(requests, answers, lock, event)) for _ in range(2)]
    for each in workers: each.start()
    lock.acquire()
    for number in range(20): requests.put(number)
    for _ in workers: requests.put(None)
    soon(lock.release)
    found = [answers.get() for _ in range(20)]
    assert sorted(number for number, _ in found) == list(range(0, 40, 2))
    assert lock.acquire() and lock.acquire(True, 0.001) is False
    soon(lock.release)
    with lock: pass
    try: answers.get(True, 0.001)
    except queue.Empty: pass
    workers[0].join(0.001)
    assert workers[0].exitcode is None
    soon(event.set)
    for each in workers: each.join()
    print([each.exitcode for each in workers])
    with context.Pool(2) as pool:
        print(pool.map(abs, range(-3, 3)), pool.apply_async(time.sleep, (0.001,)).get())
    with context.Manager() as manager:
        shared = manager.dict(a=1)
        shared["b"] = 2
        print(sorted(shared.items()))
    near, far = context.Pipe()
    soon(far.send, 1)
    assert near.poll(60) and near.recv() == 1 and not near.poll(0.001)
    child = context.Process(target=far.send, args=(bytes(300_000),))
    soon(child.start)
    print(len(near.recv()))
    child.join()
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_queues_locks_events_pools_and_managers(method, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PATCH + WORK)
    done = run_isolated(path, method, options=QUIET, timeout=60)
    expected = "[7, 7]\n[3, 2, 1, 0, 1, 2] None\n[('a', 1), ('b', 2)]\n300000\n"
    assert (done.stdout, done.stderr) == (expected, "")


def test_a_queue_between_greenlets_of_one_process(tmp_path):
    """Its feeder is a thread, which is a greenlet: get() must not keep it from running."""
    done = program(
        """
items = multiprocessing.Queue()
items.put("text")
print(items.get())
reader = corolib.spawn(items.get)
time.sleep(0.01)
items.put(2)
print(reader.get())
near, far = multiprocessing.Pipe()
reader = corolib.spawn(near.recv)
time.sleep(0.001)
far.send("by a pipe")
print(reader.get())
simple = multiprocessing.SimpleQueue()
corolib.spawn(simple.put, bytes(200_000))
print(len(simple.get()))
""",
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("text\n2\nby a pipe\n200000\n", "")


def test_a_forked_child_begins_alone(tmp_path):
    """Without the greenlets, callbacks, timers and waits of its parent, and without their clean-up."""
    done = program(
        """
ran = []
def other():
    try:
        while True:
            ran.append(os.getpid())
            time.sleep(0.001)
    finally:
        print("clean-up in", "parent" if os.getpid() == parent else "child", flush=True)
def child():
    time.sleep(0.05)
    print("of the parent's:", ran.count(os.getpid()), flush=True)
parent = os.getpid()
greenlets = [corolib.spawn(other)]
thread = threading.Thread(target=other, daemon=True)
thread.start()
timer = corolib.get_hub().loop.timer(0.01, 0.01)
timer.start(lambda: ran.append(os.getpid()))
reader, writer = os.pipe()
watcher = corolib.get_hub().loop.io(writer, 2)
watcher.start(lambda: (ran.append(os.getpid()), watcher.stop()))
greenlets.append(corolib.spawn(os.read, reader, 1))
def forks():
    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    process.join()
    print(process.exitcode, flush=True)
forks()
corolib.spawn(forks).join()
starter = threading.Thread(target=forks)
starter.start()
starter.join()
timer.stop()
corolib.killall(greenlets)
os._exit(0)
""",
        tmp_path,
    )
    lines = ["of the parent's: 0", "0"] * 3 + ["clean-up in parent"]
    assert (done.stdout.splitlines(), done.stderr) == (lines, "")


def test_a_recursive_lock_belongs_to_a_greenlet(tmp_path):
    done = program(
        """
lock = multiprocessing.RLock()
lock.acquire()
assert lock.acquire() and lock.acquire(False)
refused = []
def other():
    refused.append(lock.acquire(False))
    refused.append(lock.acquire(True, 0.002))
    refused.append(lock._semlock._is_mine())
    try: lock.release()
    except AssertionError as error: refused.append(str(error))
    with lock:
        refused.append("has it")
greenlet = corolib.spawn(other)
time.sleep(0.02)
for _ in range(3):
    assert lock._semlock._is_mine()
    lock.release()
greenlet.join()
print(refused)
condition = multiprocessing.Condition()
def waits():
    with condition: return condition.wait(60)
waiter = corolib.spawn(waits)
time.sleep(0.002)
with condition: condition.notify()
print(waiter.get())
gate = multiprocessing.Semaphore(0)
killed = corolib.spawn(gate.acquire)
time.sleep(0.001)
killed.kill()
gate.release()
print(gate.acquire(False), gate.get_value())
""",
        tmp_path,
    )
    refused = "[False, False, False, 'attempt to release recursive lock not owned by thread', 'has it']"
    assert (done.stdout, done.stderr) == (refused + "\nTrue\nTrue 0\n", "")
