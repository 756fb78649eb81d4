"""TaskQueue: tasks on their way to native threads."""

import gc
import sys
import weakref
from _queue import SimpleQueue
from _thread import allocate_lock, start_new_thread
from itertools import count

import pytest

from corolib._hub import TIMED_OUT, TaskQueue

#: Seconds after which a test gives up.
PATIENCE = 20


@pytest.fixture
def unhurried():
    """No thread takes the GIL from another: it is given up where a thread waits, and nowhere else."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(PATIENCE)
    yield
    sys.setswitchinterval(before)


def waiting_threads(tasks, number, work):
    """So many threads that wait for tasks, in the order of their numbers.

    Each calls work(its number, task) with each that it gets; None ends it, and then its number is in the
    queue that is returned.
    """
    ended = SimpleQueue()

    def run(me):
        began.put(me)
        while (task := tasks.get(None)) is not None:
            work(me, task)
        ended.put(me)

    for me in range(number):
        began = SimpleQueue()
        start_new_thread(run, (me,))
        began.get(timeout=PATIENCE)  # it has the GIL from there to its wait
    return ended


def dismiss(tasks, number, ended):
    for _ in range(number):
        tasks.put(None)
    for _ in range(number):
        ended.get(timeout=PATIENCE)


def test_first_in_first_out():
    tasks = TaskQueue()
    assert not tasks
    for number in range(3):
        tasks.put(number)
    assert tasks
    assert [tasks.get(0) for _ in range(3)] == [0, 1, 2]
    assert not tasks


@pytest.mark.parametrize("patience", [0, 0.01, 1e-9])
def test_nothing_comes(patience):
    assert TaskQueue().get(patience) is TIMED_OUT


@pytest.mark.parametrize("patience, error", [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError)])
def test_a_patience_that_is_none(patience, error):
    with pytest.raises(error):
        TaskQueue().get(patience)


@pytest.mark.parametrize("patience", [1e300, float("inf")])
def test_a_patience_of_more_than_a_clock_can_count(patience):
    tasks, taken = TaskQueue(), SimpleQueue()
    start_new_thread(lambda: taken.put(tasks.get(patience)), ())
    tasks.put(1)
    assert taken.get(timeout=PATIENCE) == 1


def test_short_tasks_are_all_done_by_the_thread_that_waited_least(unhurried):
    tasks, taken = TaskQueue(), SimpleQueue()
    ended = waiting_threads(tasks, 4, lambda me, task: taken.put((task, me)))
    for number in range(10):
        tasks.put(number)
    assert [taken.get(timeout=PATIENCE) for _ in range(10)] == [(number, 3) for number in range(10)]
    dismiss(tasks, 4, ended)


def test_long_tasks_have_a_thread_each(unhurried):
    tasks, begun, over = TaskQueue(), SimpleQueue(), allocate_lock()

    def work(me, task):
        begun.put(me)
        with over:
            pass

    ended = waiting_threads(tasks, 4, work)
    over.acquire()
    for number in range(4):
        tasks.put(number)
    assert [begun.get(timeout=PATIENCE) for _ in range(4)] == [3, 2, 1, 0]
    over.release()
    dismiss(tasks, 4, ended)


def test_each_task_is_taken_once_also_by_threads_that_give_up():
    tasks, taken, ended, numbers = TaskQueue(), SimpleQueue(), SimpleQueue(), count()
    each, makers, threads = 2_000, 3, 8

    def make():
        for _ in range(each):
            tasks.put(next(numbers))

    def work(patience):
        while (task := tasks.get(patience)) is not None:
            if task is not TIMED_OUT:
                taken.put(task)
        ended.put(None)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for number in range(threads):
            start_new_thread(work, ((None, 0, 1e-6, 1e-4)[number % 4],))
        for _ in range(makers):
            start_new_thread(make, ())
        found = [taken.get(timeout=PATIENCE) for _ in range(each * makers)]
    finally:
        sys.setswitchinterval(before)
        dismiss(tasks, threads, ended)
    assert sorted(found) == list(range(each * makers)) and taken.empty()


def test_a_circle_through_a_task_is_collected():
    class Task:
        pass

    task = Task()
    task.queue = TaskQueue()
    task.queue.put(task)
    gone = weakref.ref(task)
    del task
    gc.collect()
    assert gone() is None
