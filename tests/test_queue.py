"""corolib.queue: order, bounds, time limits, shutdown; and that no item is ever lost."""

import gc
import queue as stdlib_queue
import sys
import threading
from weakref import ref

import pytest
from helpers import Recorder, in_thread, run_isolated

from corolib import queue as queue_module
from corolib.errors import BlockingSwitchOutError, LoopExit
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, getcurrent, sleep, spawn_raw
from corolib.queue import (
    Channel,
    Empty,
    Full,
    JoinableQueue,
    LifoQueue,
    PriorityQueue,
    Queue,
    ShutDown,
    SimpleQueue,
)
from corolib.timeout import Timeout

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)

ALL = [SimpleQueue, Queue, LifoQueue, PriorityQueue]
#: Those with task_done(), join() and shutdown().
JOINABLE = ALL[1:]


# -- names ---------------------------------------------------------------------------------------------------


def test_the_exceptions_are_those_of_the_standard_library():
    assert Empty is stdlib_queue.Empty and Full is stdlib_queue.Full
    if sys.version_info >= (3, 13):
        assert ShutDown is stdlib_queue.ShutDown
    assert all(hasattr(queue_module, name) for name in queue_module.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        queue_module.nothing


def test_the_full_of_a_module_imported_later_is_the_same():
    run_isolated("""
        import sys
        from corolib.queue import Queue
        assert "queue" not in sys.modules
        full = Queue(1, [1])
        try:
            full.put_nowait(2)
        except Exception as error:
            import queue
            assert type(error) is queue.Full
        import corolib.queue
        assert corolib.queue.Full is queue.Full
    """)


def test_every_queue_is_joinable():
    assert JoinableQueue is Queue


def test_a_type_argument():
    assert Queue[int]().qsize() == 0 and Channel[str]().qsize() == 0


# -- without waiting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (SimpleQueue, [3, 1, 2]),
        (Queue, [3, 1, 2]),
        (LifoQueue, [2, 1, 3]),
        (PriorityQueue, [1, 2, 3]),
    ],
)
def test_order(kind, expected):
    for made in (kind(), kind(5), kind(None, [3, 1]), kind(items=(3, 1, 2))):
        for item in [3, 1, 2][len(made) :]:
            made.put(item)
        assert len(made) == made.qsize() == 3
        assert made.peek() == expected[0] and made.peek_nowait() == expected[0]
        copy = made.copy()
        assert [made.get() for _ in range(3)] == expected
        assert [copy.get_nowait() for _ in range(3)] == expected
        assert made.empty()


@pytest.mark.parametrize("kind", ALL)
def test_empty_and_full(kind):
    made = kind(1)
    assert made and made.empty() and not made.full() and made.maxsize == 1
    for get in (made.get_nowait, made.peek_nowait, lambda: made.get(block=False), lambda: made.peek(False)):
        with pytest.raises(Empty):
            get()
    made.put(1)
    assert made and not made.empty() and made.full()
    for put in (
        made.put_nowait,
        lambda item: made.put(item, block=False),
        lambda item: made.put(item, False),
    ):
        with pytest.raises(Full):
            put(2)
    assert made.get() == 1


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("maxsize", [None, 0, -1])
def test_without_bound(kind, maxsize):
    made = kind(maxsize)
    for n in range(100):
        made.put_nowait(n)
    assert made.maxsize is None and not made.full() and len(made) == 100


@pytest.mark.parametrize("kind", ALL)
def test_repr(kind):
    made = kind(3)
    assert repr(made) == f"<{kind.__name__} at {id(made):#x} maxsize=3>"
    made.put(1)
    assert "queue=" in repr(made)


# -- waiting -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_getters_are_served_in_the_order_of_arrival(kind):
    rec = Recorder()
    made = kind()
    getters = [Greenlet.spawn(lambda n=n: rec((n, made.get()))) for n in range(3)]
    sleep(0)
    assert len(made.getters) == 3 and "getters=3" in repr(made)
    for item in range(5):
        made.put(item)
    assert len(made) == 2
    for each in getters:
        each.join()
    rec.check([(0, 0), (1, 1), (2, 2)])


@pytest.mark.parametrize("kind", [SimpleQueue, Queue])
def test_putters_are_served_in_the_order_of_arrival(kind):
    made = kind(1)
    made.put("first")
    putters = [Greenlet.spawn(made.put, n) for n in range(3)]
    sleep(0)
    assert len(made.putters) == 3 and "putters=3" in repr(made)
    assert [made.get() for _ in range(4)] == ["first", 0, 1, 2]
    for each in putters:
        each.join()


@pytest.mark.parametrize("kind", ALL)
def test_a_place_is_kept_for_who_waits_for_it(kind):
    made = kind(1)
    made.put(0)
    putter = Greenlet.spawn(made.put, 1)
    sleep(0)
    assert made.get() == 0
    assert made.full() and made.empty()
    with pytest.raises(Full):
        made.put_nowait(2)
    putter.join()
    assert made.get() == 1


@pytest.mark.parametrize("kind", ALL)
def test_peek_waits_and_leaves_the_item(kind):
    made = kind()
    peeker = Greenlet.spawn(made.peek)
    getter = Greenlet.spawn(made.get)
    sleep(0)
    made.put(1)
    assert peeker.get() == 1 and getter.get() == 1 and made.empty()


@pytest.mark.parametrize("kind", ALL)
def test_time_limits(kind):
    made = kind(1)
    for timeout in (0, 0.001):
        with pytest.raises(Empty):
            made.get(timeout=timeout)
        with pytest.raises(Empty):
            made.peek(timeout=timeout)
    made.put(1, timeout=0)
    for timeout in (0, 0.001):
        with pytest.raises(Full):
            made.put(2, timeout=timeout)
    assert made.get(timeout=0) == 1
    get_hub().loop.timer(0.001).start(made.put, 5)
    assert made.get(timeout=10) == 5
    assert not made.getters and not made.putters and get_hub().deadline_count == 0


@pytest.mark.parametrize("kind", [*ALL, Channel])
def test_a_negative_timeout_is_refused(kind):
    made = kind(1)
    with pytest.raises(ValueError, match="non-negative number, found -1"):
        made.get(timeout=-1)
    if kind is not Channel:
        made.put(1)
        with pytest.raises(ValueError, match="non-negative number, found -1"):
            made.get(timeout=-1)
    with pytest.raises(ValueError, match="non-negative number, found -1"):
        made.put(2, timeout=-1)


@pytest.mark.parametrize("kind", ALL)
def test_a_put_that_finds_a_place_never_switches(kind):
    rec = Recorder()
    made = kind()
    Greenlet.spawn(rec, "other")
    Greenlet.spawn(lambda: rec(made.get()))
    for n in range(50):
        made.put(n)
        rec(n) if n > 47 else None
    sleep(0)
    sleep(0)
    rec.check([48, 49, "other", 49 if kind is LifoQueue else 0])


@pytest.mark.parametrize("kind", ALL)
def test_in_the_hub(kind):
    made = kind(1)
    found = []

    def in_hub():
        made.put(1)
        found.append(made.get())
        for blocked in (made.get, made.peek):
            try:
                blocked()
            except BlockingSwitchOutError:
                found.append("refused")

    get_hub().run_callback(in_hub)
    sleep(0)
    assert found == [1, "refused", "refused"]
    assert not made.getters


@pytest.mark.parametrize("kind", ALL)
def test_iteration_ends_at_stop_iteration(kind):
    if kind is PriorityQueue:
        made = kind(items=[1, 2])
        assert [next(made), next(made)] == [1, 2]
        made.put(StopIteration)
    elif kind is LifoQueue:
        made = kind(items=[StopIteration, 2, 1])
        assert [next(made), next(made)] == [1, 2]
    else:
        made = kind(items=[1, 2, StopIteration, 3])
        assert list(made) == [1, 2]
        return
    with pytest.raises(StopIteration):
        next(made)


def test_a_larger_bound_lets_putters_in():
    made = Queue(1, [0])
    putters = [Greenlet.spawn(made.put, n) for n in (1, 2, 3)]
    sleep(0)
    made.maxsize = 3
    sleep(0)
    assert list(made.queue) == [0, 1, 2] and made.maxsize == 3
    made.maxsize = None
    sleep(0)
    assert list(made.queue) == [0, 1, 2, 3] and made.maxsize is None
    for each in putters:
        each.join()


def test_items_taken_out_behind_its_back():
    made = Queue(2, [1, 2])
    made.queue.clear()
    made.put_nowait(3)
    assert made.get() == 3


def test_nobody_puts():
    with pytest.raises(LoopExit, match="waits for Queue <Queue at"):
        Queue().get()


@pytest.mark.parametrize("kind", [*ALL, Channel])
def test_a_dropped_one_is_freed_at_once(kind):
    gc.collect()
    gc.disable()
    try:
        dropped = kind(1)
        getter = Greenlet.spawn(dropped.get)
        sleep(0)
        dropped.put(1)
        getter.join()
        gone = ref(dropped)
        del dropped, getter
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", ALL)
def test_a_finaliser_may_put_in_the_midst_of_a_put_or_a_get(kind):
    class Late:
        """Found by the collector, at any moment."""

        def __init__(self, number):
            self.me, self.number = self, number

        def __del__(self):
            made.put(self.number)

    made = kind()
    getter = Greenlet.spawn(lambda: [made.get() for _ in range(100)])
    sleep(0)
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for number in range(0, 1000, 2):
            Late(number)
            made.put(number + 1)
            if number % 20 == 0:
                sleep(0)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    got = getter.get()
    while not made.empty():
        got.append(made.get_nowait())
    assert sorted(got) == list(range(1000))


def test_a_subclass_may_override_put_and_get():
    class Unique(Queue):
        def _put(self, item):
            if item not in self.queue:
                super()._put(item)

        def _get(self):
            return -super()._get()

    made = Unique()
    for item in (1, 2, 1, 2, 3):
        made.put(item)
    assert [made.get() for _ in range(3)] == [-1, -2, -3] and made.empty()


def test_what_a_subclass_does_is_done_to_an_item_that_is_handed_over_too():
    class Doubled(Queue):
        def _put(self, item):
            if item is not None:
                super()._put(item)

        def _get(self):
            return super()._get() * 2

    made = Doubled()
    getter = Greenlet.spawn(made.get)
    sleep(0)
    made.put(None)
    sleep(0)
    assert not getter.ready()
    made.put(4)
    assert getter.get() == 8


def test_a_subclass_may_bring_its_own_container():
    class Unique(Queue):
        def _init(self, maxsize):
            self.given = maxsize
            self.queue = set()

        def _put(self, item):
            self.queue.add(item)

        def _get(self):
            return self.queue.pop()

        def _qsize(self):
            return len(self.queue)

    made = Unique(2)
    putters = [Greenlet.spawn(made.put, n) for n in (1, 1, 2, 3)]
    sleep(0)
    assert made.given == 2 and len(made) == made.qsize() == 2 and made.full() and not putters[3].ready()
    found = {made.get(), made.get()}
    assert found == {1, 2} and made.get() == 3 and made.empty()
    putters[3].join()


def test_an_item_that_could_not_be_put_is_no_task():
    class Picky(Queue):
        def _put(self, item):
            raise KeyError(item)

    made = Picky()
    with pytest.raises(KeyError):
        made.put(1)
    assert made.unfinished_tasks == 0 and made.join() and made.empty()


def test_a_queue_that_was_not_initialised_says_so():
    made = Queue.__new__(Queue)
    for use in (made.get, made.get_nowait, made.qsize, made.empty, made.full, lambda: made.put(1)):
        with pytest.raises(RuntimeError, match=r"__init__\(\) was not called"):
            use()


def test_the_hub_of_a_queue_is_that_of_the_thread():
    for made in (Queue(), Channel()):
        assert in_thread(lambda made=made: made.hub) is None
        hub = get_hub()
        assert made.hub is hub


def test_items_that_are_compared_in_python_by_many_threads():
    class Item:
        def __init__(self, number):
            self.number = number

        def __lt__(self, other):
            return self.number < other.number

    made = PriorityQueue()
    rounds, threads_each = 200, 4
    got = []

    def produce(n):
        for k in range(rounds):
            made.put(Item(k * threads_each + n))

    def consume():
        for _ in range(rounds):
            got.append(made.get().number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=produce, args=(n,)) for n in range(threads_each)]
        threads += [threading.Thread(target=consume) for _ in range(threads_each)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    finally:
        sys.setswitchinterval(interval)
    assert sorted(got) == list(range(rounds * threads_each))


def test_priorities_that_cannot_be_compared():
    made = PriorityQueue()
    made.put(1)
    with pytest.raises(TypeError):
        made.put("x")


# -- nothing lost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_a_getter_killed_while_it_waits_gets_nothing(kind):
    made = kind()
    victim = Greenlet.spawn(made.get)
    other = Greenlet.spawn(made.get)
    sleep(0)
    victim.kill()
    made.put(1)
    assert other.get() == 1


def hit(waiting):
    """A raw greenlet that waits in waiting(), to be hit from outside; it comes back here with what it got."""
    main = getcurrent()

    def run():
        try:
            found = waiting()
        except KeyError:
            found = "hit"
        main.switch(found)

    greenlet = spawn_raw(run)
    sleep(0)
    return greenlet


@pytest.mark.parametrize("kind", [*ALL, Channel])
def test_an_item_on_its_way_to_a_getter_that_is_hit_goes_to_the_next(kind):
    made = kind(1)
    first = hit(made.get)
    second = Greenlet.spawn(made.get)
    sleep(0)
    made.put(1)
    assert first.throw(KeyError) == "hit"
    assert second.get() == 1


@pytest.mark.parametrize("kind", [*ALL, Channel])
def test_an_item_on_its_way_to_a_getter_that_is_hit_is_the_next_again(kind):
    made = kind(1)
    getter = hit(made.get)
    made.put(1)
    assert getter.throw(KeyError) == "hit"
    assert made.get_nowait() == 1
    sleep(0)


@pytest.mark.parametrize("kind", ALL)
def test_a_place_on_its_way_to_a_putter_that_is_hit_goes_to_the_next(kind):
    made = kind(1)
    made.put(0)
    first = hit(lambda: made.put(1))
    second = Greenlet.spawn(made.put, 2)
    sleep(0)
    assert made.get() == 0
    assert first.throw(KeyError) == "hit"
    assert made.get() == 2
    second.join()
    made.put_nowait(3)
    sleep(0)


@pytest.mark.parametrize("kind", ALL)
def test_items_in_are_items_out_when_getters_and_putters_time_out_all_the_time(kind):
    made = kind(2)
    put, got = [], []

    def putter(n):
        for k in range(30):
            item = n * 100 + k
            try:
                made.put(item, timeout=0.00005 * (k % 4))
            except Full:
                continue
            put.append(item)

    def getter(n):
        for k in range(60):
            try:
                if k % 2:
                    got.append(made.get(timeout=0.00005 * (k % 3)))
                else:
                    with Timeout(0.00005 * (k % 5), Empty):
                        got.append(made.get())
            except Empty:
                pass

    workers = [Greenlet.spawn(role, n) for n in range(10) for role in (putter, getter)]
    for each in workers:
        each.get()
    while not made.empty():
        got.append(made.get_nowait())
    assert sorted(got) == sorted(put) and len(put) > 30
    assert not made.getters and not made.putters and not made.full()


# -- across threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SimpleQueue, Queue, LifoQueue])
@pytest.mark.parametrize("maxsize", [None, 3])
def test_between_threads_nothing_is_lost_or_doubled(kind, maxsize):
    made = kind(maxsize)
    rounds, threads_each = 500, 3
    got = []

    def produce(n):
        for k in range(rounds):
            made.put(n * rounds + k)

    def consume():
        for _ in range(rounds):
            got.append(made.get())

    threads = [threading.Thread(target=produce, args=(n,)) for n in range(threads_each)]
    threads += [threading.Thread(target=consume) for _ in range(threads_each - 1)]
    for each in threads:
        each.start()
    consume()
    for each in threads:
        each.join()
    assert sorted(got) == list(range(rounds * threads_each))


def test_put_by_a_thread_without_a_hub_wakes_a_greenlet():
    made = Queue()
    for n in range(20):
        threading.Thread(target=made.put, args=(n,)).start()
        assert made.get() == n


def test_who_keeps_a_queue_filled_for_itself_holds_up_nobody() -> None:
    """As a pool's worker does whose tasks submit more."""
    queue, ended = SimpleQueue[int](), []

    def worker() -> None:
        while not ended:
            queue.put(queue.get() + 1)

    queue.put(0)
    greenlet = Greenlet.spawn(worker)
    sleep(0)
    ended.append(True)
    greenlet.join()
    assert 0 < queue.get() < 1000
    for number in range(200):
        queue.put(number)
    turns = []
    other = Greenlet.spawn(lambda: turns.append(queue.qsize()))
    assert [queue.get() for _ in range(60)] == list(range(60)) and not turns  # a few are taken at a stretch
    assert [queue.get_nowait() for _ in range(100)] == list(range(60, 160)) and not turns
    other.join()


def test_who_asks_a_patched_queue_again_and_again_lets_others_run() -> None:
    """The standard library's queues, and copies of them; what they raise, and what they take, is as ever."""
    run_isolated(
        """
        import queue as first
        from corolib import monkey
        monkey.patch_all()
        import sys, threading, time
        time.sleep(0)
        del sys.modules["queue"]
        import queue as second
        assert first is not second
        for queue in (first, second):
            for make in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
                items, found = make(1), []
                def puts():
                    items.put(1)
                    items.put(2)
                thread = threading.Thread(target=puts)
                thread.start()
                while len(found) < 2:
                    try: found.append(items.get_nowait())
                    except queue.Empty: pass
                thread.join()
                assert found == [1, 2]
                thread = threading.Thread(target=lambda: found.append(items.get()))
                items.put(item=3, block=False)
                thread.start()
                while True:
                    try: items.put(4, False)
                    except queue.Full: continue
                    break
                thread.join()
                assert found == [1, 2, 3] and items.get(block=True, timeout=1) == 4
                for wrong in (lambda: items.get(timeout=-1), lambda: items.put(1, timeout=-1)):
                    try: wrong()
                    except ValueError: pass
        """
    )


@pytest.mark.parametrize(("pause", "least", "most"), [(0.001, 7, 8), (0, 63, 64)])
@pytest.mark.parametrize("kind", [Queue, SimpleQueue])
def test_the_time_that_items_take_counts(kind, pause: float, least: int, most: int) -> None:
    """Who finds an item each time lets others run after five milliseconds, or after 64 items."""
    items = kind()
    for number in range(100):
        items.put(number)
    rec = Recorder()
    other = Greenlet.spawn(lambda: rec("other"))
    for _ in range(100):
        rec(items.get())
        get_hub().move_clock(pause)
    other.join()
    assert least <= rec.items.index("other") <= most
    rec.items.remove("other")
    rec.check(range(100))
