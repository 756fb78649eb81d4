"""corolib.threadpool: native threads doing greenlets' blocking work."""

import _queue
import _thread
import gc
import io
import os
import sys
import threading
import time
from weakref import ref

import pytest
from helpers import Recorder, run_isolated

from corolib import threadpool as threadpool_module
from corolib._hub import persist
from corolib._waiting import iwait, wait
from corolib.errors import InvalidThreadUseError, LoopExit
from corolib.event import AsyncResult, Event
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, get_hub_if_exists, sleep
from corolib.threadpool import ThreadPool, ThreadPoolExecutor, ThreadResult
from corolib.timeout import Timeout


@pytest.fixture
def pool():
    made = ThreadPool(3)
    yield made
    made.kill()


def boom(error=None):
    raise error if error is not None else ValueError("boom")


class Gate:
    """Lets tasks of threads go on one by one; native, so that a task blocks its thread."""

    def __init__(self):
        self.waiting = 0
        self._tickets = _queue.SimpleQueue()

    def wait(self, value=None):
        self.waiting += 1
        self._tickets.get()
        return value

    def open(self):
        self._tickets.put(None)

    def until_waiting(self, count):
        while self.waiting < count:
            sleep(0.001)


# -- tasks ---------------------------------------------------------------------------------------------------


def test_a_result(pool):
    gate = Gate()
    result = pool.spawn(gate.wait, 10)
    assert isinstance(result, AsyncResult) and len(pool) == 1 and pool
    gate.open()
    assert result.get() == pool.spawn(int, "12", base=8).get() == 10
    pool.join()
    assert len(pool) == 0 and not pool
    assert pool.spawn(threading.get_ident).get() != threading.get_ident()


def test_greenlets_run_while_a_thread_works(pool):
    rec = Recorder()
    gate = Gate()
    worker = Greenlet.spawn(lambda: rec(pool.apply(gate.wait, ("result",))))
    gate.until_waiting(1)
    rec("others run")
    gate.open()
    worker.join()
    rec.check(["others run", "result"])


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), BaseException()])
def test_whatever_a_task_raises_is_the_waiters(pool, error):
    get_hub().exception_stream = stream = io.StringIO()
    for _ in range(4):
        with pytest.raises(type(error)) as caught:
            pool.spawn(boom, error).get()
        assert caught.value is error
    assert stream.getvalue() == "" and pool.size <= 3
    assert pool.apply(int) == 0


def test_the_traceback_shows_the_task(pool):
    with pytest.raises(ValueError) as caught:
        pool.apply(boom)
    assert caught.traceback[-1].name == "boom"


def test_spawn_waits_when_all_places_are_taken():
    rec = Recorder()
    pool = ThreadPool(1)
    gate = Gate()
    first = pool.spawn(gate.wait, 1)
    assert pool.full()
    second = Greenlet.spawn(lambda: (rec("asked"), pool.spawn(int, "2"), rec("got a place"))[1])
    sleep(0)
    gate.until_waiting(1)
    rec("first works")
    gate.open()
    assert first.get() == 1
    assert second.get().get() == 2
    rec.check(["asked", "first works", "got a place"])
    pool.kill()


def test_killed_while_it_waits_for_a_place():
    pool = ThreadPool(1)
    gate = Gate()
    first = pool.spawn(gate.wait, 1)
    waiting = Greenlet.spawn(pool.spawn, int)
    sleep(0)
    gate.until_waiting(1)
    waiting.kill()
    gate.open()
    assert first.get() == 1 and pool.apply(int) == 0
    pool.kill()


def test_nobody_waits_any_more_for_a_result(pool):
    gate = Gate()
    result = pool.spawn(gate.wait, 1)
    with pytest.raises(Timeout):
        result.get(timeout=0.001)
    waiter = Greenlet.spawn(result.get)
    sleep(0)
    waiter.kill()
    gate.open()
    assert result.get() == 1


def test_in_another_thread_it_is_refused(pool):
    found = []

    def use():
        try:
            pool.spawn(int)
        except InvalidThreadUseError as error:
            found.append(error)
        found.append(get_hub_if_exists())

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert isinstance(found[0], InvalidThreadUseError) and found[1] is None


def test_apply_from_within_calls_at_once(pool):
    assert pool.apply(lambda: pool.apply(threading.get_ident) == threading.get_ident())


def test_map_and_its_kin(pool):
    rec = Recorder()
    assert pool.map(int, "12345678") == [1, 2, 3, 4, 5, 6, 7, 8]
    assert sorted(pool.imap_unordered(int, "123")) == [1, 2, 3]
    assert list(pool.imap(pow, [2, 3], [3, 2], maxsize=1)) == [8, 9]
    with pytest.raises(ValueError):
        pool.map(int, "1x2")
    assert pool.apply_async(int, ("5",), callback=rec).get() == 5
    assert pool.apply_cb(int, ("6",), callback=rec) == 6
    sleep(0.001)
    rec.check([{5, 6}])


def test_results_can_be_waited_for_together(pool):
    results = [pool.spawn(int, n) for n in range(3)]
    assert set(wait(results)) == set(results)
    with iwait([pool.spawn(int, "1")]) as ready:
        assert next(ready).get() == 1


def test_many_tasks(pool):
    assert sum(pool.imap_unordered(int, range(2000))) == sum(range(2000))
    assert pool.size <= 3


def test_a_task_may_use_corolib_in_its_own_thread(pool):
    def work():
        sleep(0.001)
        return Greenlet.spawn(int, "7").get()

    assert [pool.apply(work) for _ in range(3)] == [7, 7, 7]


def test_arguments_and_results_are_not_kept(pool):
    class Thing:
        pass

    thing = Thing()
    gone = ref(thing)
    assert pool.apply(lambda argument: None, (thing,)) is None
    del thing
    pool.join()
    pool.apply(int)
    gc.collect()
    assert gone() is None


def test_a_failed_task_leaves_no_circle(pool):
    class Thing:
        pass

    def fail(thing):
        raise KeyError

    thing = Thing()
    gone = ref(thing)
    with pytest.raises(KeyError):
        pool.apply(fail, (thing,))
    del thing
    pool.join()
    pool.apply(int)
    gc.collect()
    assert gone() is None


# -- threads -------------------------------------------------------------------------------------------------


def test_threads_are_made_as_they_are_needed():
    pool = ThreadPool(3)
    assert pool.size == 0
    for _ in range(5):
        pool.apply(int)
        pool.join()
    assert pool.size == 1
    gate = Gate()
    results = [pool.spawn(gate.wait, n) for n in range(3)]
    gate.until_waiting(3)
    assert pool.size == 3 and "tasks=3 size=3 maxsize=3" in repr(pool)
    for _ in results:
        gate.open()
    assert [each.get() for each in results] == [0, 1, 2]
    pool.kill()
    assert pool.size == 0
    assert pool.apply(int) == 0 and pool.size == 1
    pool.kill()


def test_sizes():
    pool = ThreadPool(2)
    pool.size = 2
    assert pool.size == 2
    pool.size = 1
    assert pool.size == 1
    for bad in (-1, 3):
        with pytest.raises(ValueError, match=r"expected 0 to 2 \(maxsize\), found"):
            pool.size = bad
    pool.maxsize = 4
    gate = Gate()
    results = [pool.spawn(gate.wait) for _ in range(4)]
    gate.until_waiting(4)
    pool.maxsize = 1
    assert pool.size == 1 and pool.full()
    for _ in results:
        gate.open()
    pool.join()
    assert pool.apply(int) == 0
    pool.adjust()
    assert pool.size == 1
    pool.kill()
    for bad in (0, -1):
        with pytest.raises(ValueError, match="expected 1 or more"):
            ThreadPool(bad)
        with pytest.raises(ValueError, match="expected 1 or more"):
            pool.maxsize = bad
    with pytest.raises(TypeError, match="expected a whole number, found '2'"):
        ThreadPool("2")


def test_a_larger_maxsize_lets_waiting_ones_in():
    pool = ThreadPool(1)
    gate = Gate()
    first = pool.spawn(gate.wait)
    second = Greenlet.spawn(lambda: pool.spawn(gate.wait))
    sleep(0)
    pool.maxsize = 2
    gate.until_waiting(2)
    gate.open()
    gate.open()
    first.get()
    second.get().get()
    pool.kill()


def test_idle_threads_end():
    pool = ThreadPool(2, idle_task_timeout=0.01)
    for _ in range(3):
        assert pool.apply(int) == 0
        while pool.size:
            time.sleep(0.002)
    for n in range(300):  # a task that comes at the moment when a thread gives up finds another one
        assert pool.apply(int, (n,)) == n
        if n % 20 == 0:
            time.sleep(0.0101)
    pool.kill()


def test_a_pool_that_is_closed_as_a_thread_gives_up_can_be_used_again():
    """The thread counted itself off, and was told to end as well: the next one took that for its own."""
    run_isolated(
        """
        import random, sys, time
        from corolib.threadpool import ThreadPool

        sys.setswitchinterval(1e-6)
        draw = random.Random(1)
        pool = ThreadPool(1, idle_task_timeout=0.0003)
        for _ in range(400):
            pool.apply(int)
            until = time.perf_counter() + draw.random() * 0.0008
            while time.perf_counter() < until:
                pass
            pool.close()
            assert pool.size == 0
            assert pool.spawn(int).get(timeout=20) == 0
        """
    )


def test_a_dropped_pool_ends_its_threads():
    class Mark:
        pass

    mine = _thread._local()
    marks = []
    gate = Gate()

    def work():
        mine.mark = Mark()  # ends with the thread
        marks.append(ref(mine.mark))
        gate.wait()

    pool = ThreadPool(2)
    for _ in range(2):
        pool.spawn(work)
    gate.until_waiting(2)
    gate.open()
    gate.open()
    pool.join()
    assert all(mark() for mark in marks)
    gone = ref(pool)
    del pool
    gc.collect()
    assert gone() is None
    while any(mark() for mark in marks):
        time.sleep(0.001)


def test_a_thread_that_cannot_be_started(monkeypatch):
    def refuse(*args):
        raise RuntimeError("can't start new thread")

    pool = ThreadPool(2)
    with monkeypatch.context() as patch:
        patch.setattr(threadpool_module, "start_new_thread", refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            pool.spawn(int)
        assert len(pool) == 0 and pool.size == 0 and not pool.full()
    assert pool.apply(int) == 0
    gate = Gate()
    first = pool.spawn(gate.wait, 1)
    gate.until_waiting(1)
    with monkeypatch.context() as patch:
        patch.setattr(threadpool_module, "start_new_thread", refuse)
        second = pool.spawn(int)  # one thread is there: it will do it
    gate.open()
    assert (first.get(), second.get()) == (1, 0) and pool.size == 1
    pool.kill()


def test_a_thread_without_memory_for_its_first_frame_begins_when_there_is_some():
    """The task was lost with the thread, and whoever waited for it waited for ever."""
    run_isolated(
        """
        import ctypes, time
        from corolib.threadpool import ThreadPool

        class Arenas(ctypes.Structure):
            _fields_ = [("context", ctypes.c_char_p), ("alloc", ctypes.c_void_p), ("free", ctypes.c_void_p)]

        before, none = Arenas(), Arenas()
        ctypes.pythonapi.PyObject_GetArenaAllocator(ctypes.byref(before))
        # getenv(name of no variable) is a null pointer: an allocator that has nothing to give.
        none.context, none.free = b"COROLIB_NO_SUCH_VARIABLE", before.free
        none.alloc = ctypes.cast(ctypes.CDLL(None).getenv, ctypes.c_void_p).value

        pool = ThreadPool(1)
        ctypes.pythonapi.PyObject_SetArenaAllocator(ctypes.byref(none))
        result = pool.spawn(abs, -5)
        time.sleep(0.1)
        early = result.ready()
        ctypes.pythonapi.PyObject_SetArenaAllocator(ctypes.byref(before))
        assert result.get(timeout=20) == 5
        assert not early
        """
    )


def test_whatever_allocation_fails_a_task_is_done_or_refused_and_the_pool_goes_on():
    pytest.importorskip("_testcapi", reason="this Python was built without its test modules")
    run_isolated(
        """
        from time import sleep
        from _testcapi import remove_mem_hooks, set_nomemory
        from corolib.threadpool import ThreadPool

        def spawn(pool, number):
            result = None
            set_nomemory(number, number + 1)
            try:
                result = pool.spawn(abs, -5)
                sleep(0.001)  # the thread runs, and may be the one that fails
            except (MemoryError, RuntimeError):
                pass
            finally:
                remove_mem_hooks()
            return result

        outcomes = set()
        for number in range(1, 60):
            pool = ThreadPool(1)
            result = spawn(pool, number)
            try:
                outcomes.add(result and result.get(timeout=20))
            except MemoryError:
                outcomes.add(MemoryError)
            assert pool.apply(abs, (-6,)) == 6 and len(pool) == 0 and not pool.full(), number
            pool.close()
        assert outcomes >= {None, 5}, outcomes
        """
    )


def test_persist():
    """It tries again without memory to begin; what a function raises is raised at once."""
    items = [0]  # a list times sys.maxsize is a MemoryError; an empty one is a list
    done = _queue.SimpleQueue()
    _thread.start_new_thread(lambda: done.put(persist(items.__mul__, sys.maxsize)), ())
    time.sleep(0.03)
    items.clear()
    assert done.get() == []

    def fails():
        raise MemoryError("from within")

    with pytest.raises(MemoryError, match="from within"):
        persist(fails)
    with pytest.raises(ValueError, match="invalid literal"):
        persist(int, "x")
    with pytest.raises(TypeError, match="takes a callable first, not int"):
        persist(5)


def test_trace_and_profile_hooks_of_threading_are_honoured(pool):
    seen = []
    before = sys.gettrace(), sys.getprofile()
    threading.setprofile(lambda frame, event, arg: seen.append(event))
    try:
        pool.apply(int)
    finally:
        threading.setprofile(None)
    assert seen
    del seen[:]
    pool.apply(int)
    assert not seen and (sys.gettrace(), sys.getprofile()) == before


def test_a_hook_that_fails_is_the_waiters_error(pool, monkeypatch):
    def refuse():
        raise ValueError("hook")

    with monkeypatch.context() as patch:
        patch.setattr(threadpool_module, "_use_hooks", refuse)
        with pytest.raises(ValueError, match="hook"):
            pool.apply(int)
    pool.join()
    assert pool.apply(int) == 0 and not pool.full()


# -- deadlock reports and the end ----------------------------------------------------------------------------


def test_a_task_under_way_is_no_deadlock_and_an_idle_pool_does_not_hide_one(pool):
    gate = Gate()
    event = Event()

    def work():
        gate.wait()
        event.set()

    pool.spawn(work)
    gate.until_waiting(1)
    gate.open()
    assert event.wait() is True
    pool.join()
    pool.size = 3
    began = time.monotonic()
    with pytest.raises(LoopExit):
        Event().wait()
    assert time.monotonic() - began < 30


def test_the_end_of_a_job_that_nobody_waits_for_ends_a_join_of_the_hub(pool):
    hub = get_hub()

    def outlast_the_look_of_the_hub():
        while not hub.polling:
            time.sleep(0.001)

    pool.spawn(outlast_the_look_of_the_hub)
    assert hub.join()


def test_join_and_kill_wait_for_what_is_under_way(pool):
    rec = Recorder()
    gate = Gate()
    pool.spawn(gate.wait)
    gate.until_waiting(1)
    joiner = Greenlet.spawn(lambda: (pool.join(), rec("joined")))
    killer = Greenlet.spawn(lambda: (pool.kill(), rec("killed")))
    sleep(0.001)
    rec("open")
    gate.open()
    joiner.join()
    killer.join()
    rec.check(["open", {"joined", "killed"}])
    pool.kill()


def test_a_hub_that_goes_while_a_task_is_under_way():
    run_isolated("""
        import _thread, time
        from corolib.event import Event
        from corolib.hub import get_hub, sleep
        from corolib.threadpool import ThreadPool

        lock = _thread.allocate_lock()
        lock.acquire()
        pool = ThreadPool(1)
        result = pool.spawn(lock.acquire)
        result.rawlink(print)
        sleep(0)
        get_hub().destroy()
        lock.release()
        while len(pool):
            time.sleep(0.001)
        time.sleep(0.01)
        sleep(0)
        assert ThreadPool(1).apply(int) == 0
    """)


def test_threads_do_not_keep_the_process():
    run_isolated("""
        import time
        from corolib.threadpool import ThreadPool
        from corolib.hub import get_hub, sleep
        get_hub().threadpool.apply(int)
        pool = ThreadPool(1)
        pool.spawn(time.sleep, 1000)
        sleep(0.01)
    """)


def test_the_child_of_a_fork_has_an_empty_pool():
    done = run_isolated(
        """
        import os, time
        from corolib.threadpool import ThreadPool

        pool = ThreadPool(2)
        pool.apply(int)
        slow = pool.spawn(time.sleep, 0.2)
        child = os.fork()
        if child == 0:
            assert (len(pool), pool.size, pool.pid) == (0, 0, os.getpid())
            assert pool.map(int, "123") == [1, 2, 3]
            os.write(1, b"child is fine\\n")
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        slow.get()
        assert pool.map(int, "123") == [1, 2, 3]
        print("parent is fine")
    """,
        options=["-W", "ignore::DeprecationWarning"],
    )
    assert done.stdout == "child is fine\nparent is fine\n"


def test_names_for_compatibility(pool):
    assert pool.manager is None and pool.fork_watcher is None
    assert pool.pid == os.getpid() and not pool.task_queue and pool.hub is get_hub()


# -- ThreadResult --------------------------------------------------------------------------------------------


def test_a_result_of_a_thread_of_ones_own():
    rec = Recorder()
    hub = get_hub()
    arrived = AsyncResult()
    result = ThreadResult(arrived, hub, lambda: rec((get_hub_if_exists() is hub, "ready", arrived.ready())))
    _thread.start_new_thread(result.set, (5,))
    assert arrived.get() == 5 and result.successful() and result.value == 5 and result.exception is None
    rec.check([(True, "ready", False)])


def test_an_exception_of_a_thread_of_ones_own_is_reported_and_delivered():
    get_hub().exception_stream = stream = io.StringIO()
    arrived = AsyncResult()
    result = ThreadResult(arrived, get_hub(), None)
    error = ValueError("boom")
    _thread.start_new_thread(result.handle_error, ("the context", (ValueError, error, None)))
    with pytest.raises(ValueError, match="boom"):
        arrived.get()
    assert not result.successful() and result.exception is error
    assert "'the context' failed with ValueError" in stream.getvalue()


def test_a_result_is_delivered_once_and_one_given_up_never():
    rec = Recorder()
    twice, never = ThreadResult(rec, get_hub()), ThreadResult(rec, get_hub())
    never.destroy_in_main_thread()
    for each in (twice, twice, never):
        each.set(1)
    sleep(0)
    rec.check([twice])


def test_while_a_result_is_due_it_is_no_deadlock():
    result = ThreadResult(None, get_hub())
    get_hub().loop.timer(0.001).start(result.destroy_in_main_thread)
    with pytest.raises(LoopExit):
        Event().wait()


# -- ThreadPoolExecutor --------------------------------------------------------------------------------------


def test_futures():
    from concurrent.futures import Executor, Future

    with ThreadPoolExecutor(2) as executor:
        assert isinstance(executor, Executor)
        future = executor.submit(int, "12", base=8)
        assert isinstance(future, Future) and not future.cancel()
        assert future.result() == 10 and future.exception() is None and future.done()
        failed = executor.submit(boom)
        with pytest.raises(ValueError, match="boom"):
            failed.result()
        assert isinstance(failed.exception(), ValueError)
        assert list(executor.map(int, "123")) == [1, 2, 3]
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(int)


def test_waiting_for_a_future_is_cooperative():
    rec = Recorder()
    gate = Gate()
    executor = ThreadPoolExecutor(1)
    future = executor.submit(gate.wait, 5)
    waiter = Greenlet.spawn(lambda: rec(future.result()))
    gate.until_waiting(1)
    with pytest.raises(TimeoutError):
        future.result(timeout=0.001)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    future.add_done_callback(
        lambda found: rec(("callback", found is future, get_hub() is executor._pool.hub))
    )
    rec("waiting")
    gate.open()
    waiter.join()
    rec.check(["waiting", ("callback", True, True), 5])
    executor.shutdown()


def test_futures_can_be_waited_for_with_other_things():
    executor = ThreadPoolExecutor(2)
    futures = [executor.submit(int, n) for n in range(3)]
    event = Event()
    event.set()
    assert set(wait([*futures, event])) == {*futures, event}
    assert set(wait(futures)) == set(futures)
    executor.kill()


def test_submit_never_waits_for_a_place():
    gate = Gate()
    executor = ThreadPoolExecutor(1)
    futures = [executor.submit(gate.wait, n) for n in range(5)]
    assert not any(each.done() for each in futures)
    for _ in futures:
        gate.open()
    assert [each.result() for each in futures] == list(range(5))
    executor.shutdown(wait=True)


def test_an_initializer_is_called_once_in_each_thread():
    calls = []
    gate = Gate()

    def initialize(*args):
        calls.append((_thread.get_ident(), args))

    executor = ThreadPoolExecutor(2, initializer=initialize, initargs=(1, 2))
    both = [executor.submit(gate.wait, n) for n in range(2)]
    gate.until_waiting(2)
    for _ in range(4):
        gate.open()
    more = [executor.submit(gate.wait, n) for n in range(2)]
    assert [each.result() for each in both + more] == [0, 1, 0, 1]
    assert len(calls) == len({ident for ident, _ in calls}) == 2
    assert all(args == (1, 2) for _, args in calls)
    executor.shutdown()


def test_an_initializer_that_fails_breaks_the_executor():
    from concurrent.futures.thread import BrokenThreadPool

    get_hub().exception_stream = stream = io.StringIO()
    gate = Gate()
    with ThreadPoolExecutor(1, initializer=lambda: (gate.wait(), boom())) as executor:
        pending = [executor.submit(int) for _ in range(2)]
        gate.open()
        for each in pending:
            with pytest.raises(BrokenThreadPool):
                each.result()
        with pytest.raises(BrokenThreadPool):
            executor.submit(int)
    assert stream.getvalue().count("ValueError: boom") == 1


def test_what_the_executor_does_not_do():
    assert ThreadPoolExecutor()._pool.maxsize >= 5 or os.cpu_count() is None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        threadpool_module.nothing
    assert threadpool_module.ThreadPoolExecutor is ThreadPoolExecutor
