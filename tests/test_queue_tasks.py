"""corolib.queue: unfinished tasks and shutdown; Channel."""

import threading

import pytest
from helpers import Recorder

from corolib.greenlet import Greenlet
from corolib.hub import get_hub, sleep
from corolib.queue import Channel, Empty, Full, LifoQueue, PriorityQueue, Queue, ShutDown

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)

#: Those with task_done(), join() and shutdown().
JOINABLE = [Queue, LifoQueue, PriorityQueue]


# -- tasks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", JOINABLE)
def test_join_waits_until_all_is_done(kind):
    rec = Recorder()
    made = kind()
    assert made.join() is True

    def work():
        while True:
            rec(made.get())
            sleep(0)
            made.task_done()

    worker = Greenlet.spawn(work)
    for n in range(3):
        made.put(n)
    assert made.unfinished_tasks == 3 and "tasks=3" in repr(made)
    assert made.join() is True
    rec("joined")
    assert len(rec.items) == 4 and rec.items[-1] == "joined" and made.unfinished_tasks == 0
    worker.kill()


@pytest.mark.parametrize("kind", JOINABLE)
def test_join_with_a_timeout(kind):
    made = kind(items=[1])
    assert made.unfinished_tasks == 1
    assert made.join(timeout=0.001) is False
    made.task_done()
    assert made.join(timeout=0.001) is True
    with pytest.raises(ValueError, match="called too many times"):
        made.task_done()
    assert kind(None, [1], unfinished_tasks=5).unfinished_tasks == 5


def test_a_handed_over_item_is_a_task_too():
    made = Queue()
    getter = Greenlet.spawn(made.get)
    sleep(0)
    made.put(1)
    assert made.unfinished_tasks == 1 and made.empty()
    getter.join()
    made.task_done()
    assert made.join(timeout=0)


# -- shutdown ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", JOINABLE)
def test_after_shutdown_nothing_comes_in_and_what_is_in_comes_out(kind):
    made = kind(items=[1])
    made.shutdown()
    assert made.is_shutdown and "shut down" in repr(made)
    for put in (made.put, made.put_nowait, lambda item: made.put(item, timeout=1)):
        with pytest.raises(ShutDown):
            put(2)
    assert made.peek() == 1 and made.get() == 1
    for get in (made.get, made.get_nowait, made.peek, lambda: made.get(timeout=1)):
        with pytest.raises(ShutDown):
            get()
    made.task_done()
    assert made.join(timeout=0) is True


@pytest.mark.parametrize("kind", JOINABLE)
def test_shutdown_ends_all_waits(kind):
    full, empty = kind(1, [1]), kind()
    get_hub().exception_stream = None
    waiters = [
        Greenlet.spawn(full.put, 2),
        Greenlet.spawn(full.put, 3),
        Greenlet.spawn(empty.get),
        Greenlet.spawn(empty.peek),
    ]
    sleep(0)
    full.shutdown()
    empty.shutdown()
    for each in waiters:
        each.join()
        assert isinstance(each.exception, ShutDown)
    assert len({id(each.exception) for each in waiters}) == 4
    assert full.get() == 1


@pytest.mark.parametrize("kind", JOINABLE)
def test_an_immediate_shutdown_throws_the_items_away(kind):
    made = kind(items=[1, 2])
    made.get()
    joiner = Greenlet.spawn(made.join)
    sleep(0)
    made.shutdown(immediate=True)
    assert made.empty() and made.unfinished_tasks == 1
    made.task_done()
    assert joiner.get() is True
    with pytest.raises(ShutDown):
        made.get()
    other = kind(items=[1, 2])
    joiner = Greenlet.spawn(other.join)
    sleep(0)
    other.shutdown(immediate=True)
    assert joiner.get() is True


def test_a_putter_that_was_let_in_at_the_moment_of_shutdown_is_refused():
    made = Queue(1, [1])
    get_hub().exception_stream = None
    putter = Greenlet.spawn(made.put, 2)
    sleep(0)
    assert made.get() == 1
    made.shutdown()
    putter.join()
    assert isinstance(putter.exception, ShutDown) and made.empty()


# -- Channel -------------------------------------------------------------------------------------------------


def test_put_waits_for_get():
    rec = Recorder()
    channel = Channel()

    def put():
        for n in range(3):
            channel.put(n)
            rec(f"put {n}")

    putter = Greenlet.spawn(put)
    sleep(0)
    assert channel.balance == 1 and len(channel.putters) == 1 and "putters=1" in repr(channel)
    for n in range(3):
        assert channel.get() == n
        rec(f"got {n}")
    putter.join()
    rec.check([{"got 0", "put 0"}, {"got 1", "put 1"}, {"got 2", "put 2"}])
    assert channel.balance == 0


def test_get_waits_for_put_and_both_sides_are_served_in_order():
    rec = Recorder()
    channel = Channel()
    getters = [Greenlet.spawn(lambda n=n: rec((n, channel.get()))) for n in range(3)]
    sleep(0)
    assert channel.balance == -3
    for item in "abc":
        channel.put(item)
    for each in getters:
        each.join()
    rec.check([(0, "a"), (1, "b"), (2, "c")])
    putters = [Greenlet.spawn(channel.put, n) for n in range(3)]
    sleep(0)
    assert [channel.get() for _ in range(3)] == [0, 1, 2]
    for each in putters:
        each.join()


def test_a_channel_holds_nothing():
    channel = Channel()
    assert channel and len(channel) == channel.qsize() == 0 and channel.empty() and channel.full()
    with pytest.raises(Full):
        channel.put_nowait(1)
    with pytest.raises(Empty):
        channel.get_nowait()
    with pytest.raises(Full):
        channel.put(1, timeout=0.001)
    with pytest.raises(Empty):
        channel.get(timeout=0.001)
    assert channel.balance == 0
    with pytest.raises(ValueError, match="expected 1, found 2"):
        Channel(2)


def test_a_putter_that_is_killed_takes_its_item_back():
    channel = Channel()
    first = Greenlet.spawn(channel.put, 1)
    second = Greenlet.spawn(channel.put, 2)
    sleep(0)
    first.kill(block=False)
    assert channel.get() == 2
    first.join()
    second.join()
    assert channel.balance == 0


def test_iteration_over_a_channel():
    channel = Channel()

    def put():
        for item in (1, 2, StopIteration):
            channel.put(item)

    putter = Greenlet.spawn(put)
    assert list(channel) == [1, 2]
    putter.join()


def test_a_channel_between_threads():
    channel = Channel()
    rounds = 300
    got = []

    def produce(n):
        for k in range(rounds):
            channel.put(n * rounds + k)

    threads = [threading.Thread(target=produce, args=(n,)) for n in range(3)]
    for each in threads:
        each.start()
    for _ in range(3 * rounds):
        got.append(channel.get())
    for each in threads:
        each.join()
    assert sorted(got) == list(range(3 * rounds))
