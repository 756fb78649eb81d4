"""corolib._waitgraph: who waits for whom, who is deadlocked, and what a report says of it."""

import gc
import os
import signal
import threading

import pytest
import waitgraphs
from helpers import in_thread, run_isolated

from corolib import _hub, _native
from corolib._switch import getcurrent, greenlet
from corolib._waitgraph import WaitGraph, safe_repr
from corolib._waiting import iwait
from corolib.errors import LoopExit
from corolib.event import AsyncResult, Event
from corolib.greenlet import Greenlet, joinall
from corolib.hub import all_hubs, get_hub, sleep, spawn_raw
from corolib.lock import RLock, Semaphore
from corolib.pool import Group
from corolib.queue import Channel, Queue
from corolib.thread import LockType
from corolib.thread import RLock as ThreadRLock
from corolib.timeout import Timeout


@pytest.fixture
def ended():
    """Greenlets to be killed at the end of the test."""
    greenlets = []
    yield greenlets
    for each in greenlets:
        each.kill(block=False)
    joinall(greenlets)


def take(first, second):
    with first:
        sleep(0)
        with second:
            raise AssertionError("both locks were free")


def crossed(ended, lock=RLock):
    """Two greenlets that wait for each other's lock."""
    a, b = lock(), lock()
    pair = Greenlet.spawn(take, a, b), Greenlet.spawn(take, b, a)
    ended += pair
    for _ in range(3):
        sleep(0)
    return pair


def graph():
    return WaitGraph(all_hubs())


def wait_of(waiter, graph):
    (found,) = [wait for wait in graph if wait.greenlet is waiter]
    return found


# -- who is deadlocked ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "programs", [400, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.hang_after(900)])]
)
def test_random_programs_are_judged_as_a_plain_model_does(programs):
    count = waitgraphs.run(programs)
    # A generator that makes nothing of interest would prove nothing.
    assert count["deadlocked"] > programs and count["circles"] > programs / 10
    assert (
        count["partly deadlocked"] > programs / 50 and count["waiting"] - count["deadlocked"] > programs / 5
    )


@pytest.mark.parametrize("lock", [RLock, ThreadRLock])
def test_a_circle_of_locks_is_seen_while_others_go_on(ended, lock):
    pair = crossed(ended, lock)
    bystander = Greenlet.spawn(Event().wait)
    ended.append(bystander)
    sleep(0)
    found = graph()
    assert {wait.greenlet for wait in found.deadlocked} == set(pair)
    (circle,) = found.cycles
    assert {wait.greenlet for wait in circle} == set(pair)
    for waiter, holder in (pair, pair[::-1]):
        wait = wait_of(waiter, found)
        assert (wait.kind, wait.role, wait.holders, wait.only) == (lock.__name__, "acquire", (holder,), True)
    assert not wait_of(bystander, found).deadlocked


def test_who_joins_a_deadlocked_greenlet_is_deadlocked_and_not_in_the_circle(ended):
    pair = crossed(ended)
    joiner = Greenlet.spawn(pair[0].join)
    both = Greenlet.spawn(joinall, pair, raise_error=True)
    ended += joiner, both
    sleep(0)
    found = graph()
    assert {wait.greenlet for wait in found.deadlocked} == {*pair, joiner, both}
    assert wait_of(joiner, found).holders == (pair[0],)
    assert wait_of(both, found).holders == pair
    assert [{wait.greenlet for wait in circle} for circle in found.cycles] == [set(pair)]


def test_one_that_may_still_end_frees_who_waits_for_any(ended):
    pair = crossed(ended)
    event = Event()
    alive = Greenlet.spawn(event.wait)
    first = Greenlet.spawn(next, iwait([*pair, alive]))
    mixed = Greenlet.spawn(next, iwait([pair[0], AsyncResult()]))
    ended += alive, first, mixed
    sleep(0)
    found = graph()
    assert {wait.greenlet for wait in found.deadlocked} == set(pair)
    assert wait_of(mixed, found).only is False


def test_a_greenlet_that_joins_itself_is_a_circle_of_one(ended):
    alone = Greenlet.spawn(lambda: getcurrent().join())
    ended.append(alone)
    sleep(0)
    found = graph()
    ((wait,),) = found.cycles
    assert wait.greenlet is alone
    assert "a circle of 1, which waits for itself" in str(found)


@pytest.mark.parametrize("lock", [RLock, ThreadRLock])
def test_a_lock_whose_owner_has_ended_is_never_released(ended, lock):
    lock = lock()
    owner = Greenlet.spawn(lock.acquire)
    owner.join()
    waiter = Greenlet.spawn(lock.acquire)
    ended.append(waiter)
    sleep(0)
    assert [wait.greenlet for wait in graph().deadlocked] == [waiter]
    assert f"held by <Greenlet at {id(owner):#x}> (ended): deadlocked" in str(graph())
    del owner
    gc.collect()
    if isinstance(lock, ThreadRLock):  # which knows its owner by number
        assert [wait.greenlet for wait in graph().deadlocked] == [waiter]
        assert "held by one that is not there any more: deadlocked" in str(graph())


def test_a_lock_that_a_running_thread_holds_may_be_released(ended):
    lock = ThreadRLock()
    lock.acquire()
    waiter = Greenlet.spawn(lock.acquire)
    ended.append(waiter)
    sleep(0)
    assert not graph().deadlocked
    lock.release()
    waiter.join()


def test_a_time_limit_of_any_kind_is_a_way_out(ended):
    a, b = RLock(), RLock()

    def limited(how):
        with a:
            sleep(0)
            if how == "wait":
                b.acquire(timeout=1000)
            elif how == "timer":
                get_hub().loop.timer(1000).start(getcurrent().throw)
                b.acquire()
            else:
                with Timeout(1000, ref=how == "ref"):
                    b.acquire()

    for how in ("wait", "timer", "ref", "unref"):
        pair = Greenlet.spawn(limited, how), Greenlet.spawn(take, b, a)
        ended += pair
        for _ in range(3):
            sleep(0)
        assert len(graph()) == 2 and not graph().deadlocked, how
        for each in pair:
            each.kill()


def test_a_kill_that_is_on_its_way_is_a_way_out(ended):
    pair = crossed(ended)
    get_hub().run_callback(pair[0].throw)
    assert not graph().deadlocked
    sleep(0)
    sleep(0)


def test_one_that_is_not_started_yet_may_be_started(ended):
    later = Greenlet(lambda: None)
    joiner = Greenlet.spawn(later.join)
    ended.append(joiner)
    sleep(0)
    assert wait_of(joiner, graph()).holders == (later,) and not graph().deadlocked
    later.start()
    joiner.join()


def test_what_waits_for_anybody_is_deadlocked_only_if_there_is_nobody(ended):
    waiter = Greenlet.spawn(Event().wait)
    ended.append(waiter)
    sleep(0)
    assert not graph().deadlocked  # we run

    seen = []

    def look(then=None):
        seen.append({wait.greenlet for wait in graph().deadlocked})
        if then is not None:
            _hub.wake(then)

    main = getcurrent()
    get_hub().run_callback(look, main)
    _hub.park("test")
    assert seen.pop() == {waiter, main}
    # A descriptor, a timer, a watcher and a job of another thread can each bring somebody back.
    with get_hub().loop.timer(1000) as timer:
        timer.start(id, None)
        get_hub().run_callback(look, main)
        _hub.park("test")
        assert seen.pop() == set()
    get_hub().external_enter()
    get_hub().run_callback(look, main)
    _hub.park("test")
    assert seen.pop() == set()
    get_hub().external_leave()
    watcher = get_hub().loop.async_()
    watcher.start(id, None)
    get_hub().run_callback(look, main)
    _hub.park("test")
    assert seen.pop() == set()
    watcher.close()


def test_main_in_hub_join_goes_on_when_all_others_are_stuck(ended):
    event = Event()
    waiter = Greenlet.spawn(event.wait)
    seen = []
    get_hub().run_callback(lambda: seen.append(graph().deadlocked))
    get_hub().join()
    assert seen == [[]]
    event.set()
    waiter.join()


# -- threads -------------------------------------------------------------------------------------------------


def test_seen_from_another_thread(ended):
    pair = crossed(ended)
    found = in_thread(graph)
    assert {wait.greenlet for wait in found.deadlocked} == set(pair)
    assert {wait.thread for wait in found} == {_native.get_ident()}
    assert all(wait.stack[0].function == "take" for wait in found)


def test_a_circle_through_two_threads():
    """Each thread holds one lock and waits for the other's; both sleep in their polls."""
    a, b = RLock(), RLock()
    holding = threading.Barrier(2)
    waiters = {}

    def cross(name, first, second):
        def body():
            with first:
                holding.wait()
                waiters[name] = getcurrent()
                try:
                    with second:
                        pass
                except ZeroDivisionError:
                    pass

        Greenlet.spawn(body).join()

    threads = [threading.Thread(target=cross, args=each) for each in (("a", a, b), ("b", b, a))]
    for each in threads:
        each.start()
    while not (found := graph()).cycles:
        _native.sleep(0.001)
    (circle,) = found.cycles
    assert {wait.greenlet for wait in circle} == set(waiters.values())
    assert {wait.thread for wait in circle} == {each.ident for each in threads}
    assert "the main greenlet of thread " in str(found)
    _hub.wake_error(waiters["a"], ZeroDivisionError())
    for each in threads:
        each.join()


def test_another_thread_may_wake_somebody(ended):
    event = Event()
    hold = _native.allocate_lock()
    hold.acquire()
    thread = threading.Thread(target=hold.acquire)
    thread.start()
    main = getcurrent()
    seen = []

    def look():
        seen.append(graph().deadlocked)
        _hub.wake(main)

    get_hub().run_callback(look)
    _hub.park("test")
    assert seen == [[]]
    hold.release()
    thread.join()
    assert not event.is_set()


def test_many_looks_from_a_thread_while_greenlets_run():
    """The second look is what keeps what moves in between from being called deadlocked."""
    locks = [RLock() for _ in range(3)]
    stop = []

    def work(number):
        while not stop:
            with locks[number]:
                sleep(0)

    workers = [Greenlet.spawn(work, each % 3) for each in range(9)]

    def look():
        for _ in range(200):
            found = graph()
            assert not found.deadlocked, str(found)
        return "looked"

    result = []
    thread = threading.Thread(target=lambda: result.append(look()))
    thread.start()
    while thread.is_alive():
        sleep(0)
    stop.append(True)
    joinall(workers)
    assert result == ["looked"]


# -- no false LoopExit ---------------------------------------------------------------------------------------


def test_no_loop_exit_while_a_signal_watcher_may_call():
    event = Event()
    with get_hub().loop.signal(signal.SIGUSR2) as watcher:
        watcher.start(event.set)
        get_hub().loop.timer(0.01, ref=False).start(os.kill, os.getpid(), signal.SIGUSR2)
        assert event.wait()


def test_no_loop_exit_while_a_child_may_end():
    event = Event()
    pid = os.fork()
    if pid == 0:
        _native.sleep(0.02)
        os._exit(0)
    watcher = get_hub().loop.child(pid)
    watcher.start(event.set)
    assert event.wait()
    watcher.close()


def test_no_loop_exit_while_a_thread_may_wake_somebody():
    lock = RLock()
    taken = _native.allocate_lock()
    taken.acquire()

    def hold():
        with lock:
            taken.release()
            _native.sleep(0.02)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.acquire()
    with lock:
        pass
    thread.join()


# -- what a report says --------------------------------------------------------------------------------------


def test_loop_exit_carries_the_graph_and_names_the_circle(ended):
    pair = crossed(ended)
    with pytest.raises(LoopExit) as caught:
        pair[0].join()
    found = caught.value.graph
    assert {wait.greenlet for wait in found.deadlocked} == {*pair, getcurrent()}
    text = str(caught.value)
    a, b = (f"<Greenlet at {id(each):#x}>" for each in pair)
    assert "\n    a circle of 2:\n" in text
    lock = found[0].target
    assert f"      {a} waits for RLock at {id(lock):#x}, held by {b}\n" in text
    assert f"\n    {a} waits for RLock <RLock at {id(lock):#x} owner={b} count=1 waiting=1> (acquire)" in text
    assert f"s, held by {b}: deadlocked\n" in text
    assert "    the main greenlet waits for Greenlet " in text
    assert 'test_waitgraph.py", line ' in text and "in take\n        with second:" in text
    assert caught.value.waiting[0].startswith("a circle of 2:")


def test_the_end_of_hub_join_is_not_a_report(ended):
    event = Event()
    waiters = [Greenlet.spawn(event.wait) for _ in range(3)]
    error = []
    get_hub().run_callback(lambda: error.append(get_hub().loop_exit()))
    assert get_hub().join()
    assert error[0].waiting == () and error[0].graph is None
    event.set()
    joinall(waiters)


@pytest.mark.parametrize(
    ("make", "kind", "role"),
    [
        (lambda: RLock().acquire, "RLock", None),
        (lambda: held(Semaphore()).acquire, "Semaphore", "acquire"),
        (lambda: held(LockType()).acquire, "LockType", "acquire"),
        (lambda: Queue().get, "Queue", "get"),
        (lambda: lambda: Queue(1, [1]).put(2), "Queue", "put"),
        (lambda: Queue(None, [1]).join, "Queue", "join"),
        (lambda: Channel().get, "Channel", "get"),
        (lambda: lambda: Channel().put(1), "Channel", "put"),
        (lambda: Event().wait, "Event", ""),
        (lambda: AsyncResult().get, "AsyncResult", ""),
        (lambda: lambda: Group(Greenlet(id)).join(), "Group", "join"),
        (lambda: Semaphore(0).wait, "_Iwait", "join"),
    ],
)
def test_each_primitive_says_what_is_wanted_of_it(ended, make, kind, role):
    waiter = Greenlet.spawn(make())
    ended.append(waiter)
    sleep(0)
    found = graph()
    if role is None:  # free
        assert not len(found)
        return
    (wait,) = found
    assert (wait.greenlet, wait.kind, wait.role, wait.only) == (waiter, kind, role, False)
    assert str(wait).startswith(f"<Greenlet at {id(waiter):#x}> waits for {kind} ")


def held(lock):
    lock.acquire()
    return lock


def test_since_when_and_how_long_it_may_take(ended):
    event = Event()
    ended += (Greenlet.spawn(event.wait), Greenlet.spawn(event.wait, 1000), Greenlet.spawn(sleep, 1000))
    sleep(0.01)
    plain, limited, sleeper = graph()
    assert 0.005 < plain.seconds < 60 and plain.left is None
    assert 900 < limited.left <= 1000 and limited.external is False
    assert sleeper.kind == "sleep" and sleeper.external is False and 900 < sleeper.left <= 1000
    assert " s more at most" in str(limited)


def test_a_report_has_a_limit_and_the_circles_come_first(ended):
    event = Event()
    ended += [Greenlet.spawn(event.wait) for _ in range(5)]
    sleep(0)
    pair = crossed(ended)
    lines = graph().lines(3)
    assert lines[0].startswith("a circle of 2")
    assert all(any(f"{id(each):#x}>" in line for each in pair) for line in lines[1:3])
    assert lines[4:] == ["... and 4 more"]
    assert str(graph()).startswith(
        "7 greenlets waiting, 2 deadlocked\n    a circle of 2:\n      <Greenlet at "
    )


def test_what_cannot_be_shown_does_not_stop_a_report(ended):
    class Odd(Event):
        def __repr__(self):
            raise ZeroDivisionError

        def _explain_wait(self, waiter):
            raise KeyError("odd")

    odd = Odd()
    waiter = Greenlet.spawn(odd.wait, timeout=None)
    ended.append(waiter)
    ended.append(Greenlet.spawn(lambda *args: Event().wait(), "x" * 1000, odd))
    sleep(0)
    text = str(graph())
    assert f"<Odd at {id(odd):#x}, its repr failed with ZeroDivisionError>" in text
    assert "its _explain_wait() failed with KeyError" in text
    assert max(map(len, text.splitlines())) < 400
    assert safe_repr(odd) == f"<Odd at {id(odd):#x}, its repr failed with ZeroDivisionError>"


def test_a_raw_greenlet_is_reported_too():
    event = Event()
    raw = spawn_raw(event.wait)
    sleep(0)
    (wait,) = graph()
    assert wait.greenlet is raw and wait.spawned == () and wait.spawner is None
    event.set()
    sleep(0)


def test_where_it_was_spawned():
    done = run_isolated(
        """
        from corolib import spawn
        from corolib.event import Event
        def outer():
            spawn(Event().wait).join()
        spawn(outer).join()
        """,
        env={"COROLIB_TRACK_GREENLET_TREE": "1"},
        check=False,
    )
    assert "  spawned by the main greenlet at File" in done.stderr
    assert ", line 5, in outer\n" in done.stderr and "  spawned by <Greenlet at " in done.stderr


def test_where_a_patched_thread_was_started():
    """It runs in a raw greenlet, which remembers as well."""
    done = run_isolated(
        """
        from corolib import monkey; monkey.patch_all()
        import threading
        from corolib import getcurrent, spawn_raw
        def outer():
            lost = threading.Lock()
            lost.acquire()
            threading.Thread(target=lost.acquire).start()
            lost.acquire()
        def raw(family):
            assert getcurrent().spawn_tree_locals is family is not None
        threading.Thread(target=outer).start()
        main = getcurrent()
        made = spawn_raw(lambda: raw(made.spawn_tree_locals))
        assert made.spawning_greenlet() is main
        """,
        env={"COROLIB_TRACK_GREENLET_TREE": "1"},
        check=False,
    )
    assert ", line 8, in outer\n" in done.stderr and ", line 12, in <module>\n" in done.stderr, done.stderr
    assert "AssertionError" not in done.stderr


def test_a_repr_that_leads_back_to_itself(ended):
    """The arguments of a greenlet may name it, as a lock that it holds does."""
    arguments = []
    waiter = Greenlet.spawn(lambda mine: Event().wait(), arguments)
    arguments.append(waiter)
    ended.append(waiter)
    sleep(0)
    assert "<Greenlet ...>" in repr(waiter)


# -- what the C half tells -----------------------------------------------------------------------------------


def test_standing():
    fresh = greenlet(lambda: getcurrent().parent.switch())
    assert _hub.standing(fresh) == "fresh"
    fresh.switch()
    assert _hub.standing(fresh) == "suspended"
    assert _hub.standing(getcurrent()) == "running"
    fresh.switch()
    assert _hub.standing(fresh) == "dead"
    event = Event()
    waiter = Greenlet.spawn(event.wait)
    assert _hub.standing(waiter) == "ready"
    sleep(0)
    assert _hub.standing(waiter) == "waiting"
    event.set()
    assert _hub.standing(waiter) == "ready"
    waiter.join()


@pytest.mark.parametrize("function", [_hub.waits, _hub.activity, _hub.standing])
def test_what_is_no_hub_or_greenlet_is_refused(function):
    with pytest.raises(TypeError, match="was expected, not int"):
        function(1)


def test_each_wait_has_a_turn_of_its_own():
    event = Event()
    waiter = Greenlet.spawn(lambda: [event.wait(), event.clear(), event.wait()])
    sleep(0)
    ((_, kind, _, _, due, external, first),) = _hub.waits(get_hub())
    assert (kind, due, external) == ("weakref.ReferenceType", None, False)
    event.set()
    sleep(0)
    ((*_, second),) = _hub.waits(get_hub())
    assert second > first
    event.set()
    waiter.join()
