"""corolib.testing: the virtual clock, the order from a seed, settle(), Sequencer."""

import _thread
import os
import re
import time
import time as stdlib_time
from contextlib import suppress
from time import monotonic as taken_before

import pytest
from helpers import Recorder, in_thread, run_isolated, socket_pair

from corolib import Timeout, get_hub, getcurrent, iwait, joinall, sleep, spawn, spawn_later
from corolib.errors import LoopExit
from corolib.event import AsyncResult, Event
from corolib.lock import Semaphore
from corolib.queue import Empty, Queue
from corolib.select import select
from corolib.socket import socketpair
from corolib.testing import Sequencer, SequencerBroken, VirtualClock, new_seed, settle, shuffled
from corolib.threadpool import ThreadPool


@pytest.fixture
def clock():
    with VirtualClock() as clock:
        yield clock


# -- the virtual clock


def test_time_passes_only_when_nothing_else_can_happen(clock: VirtualClock) -> None:
    rec = Recorder()
    begun = stdlib_time.perf_counter()
    spawn_later(7200, lambda: rec(clock.elapsed))
    spawn(lambda: (sleep(3600), rec(clock.elapsed)))
    sleep(0)
    assert clock.elapsed == 0
    sleep(10_000)
    rec.check([3600, 7200])
    assert clock.elapsed == 10_000
    assert stdlib_time.perf_counter() - begun < 30


def test_it_begins_at_zero_and_counts_exactly(clock: VirtualClock) -> None:
    sleep(0.1)
    assert clock.elapsed == get_hub().loop.now() == 0.1


def test_every_time_limit_is_of_virtual_time(clock: VirtualClock) -> None:
    waits = (
        lambda: Event().wait(100),
        lambda: Semaphore(0).acquire(timeout=100),
        lambda: Queue().peek(timeout=100),
        lambda: AsyncResult().get(timeout=100),
        lambda: spawn_later(1e6, int).join(100),
        lambda: list(iwait([Event()], timeout=100)),
    )
    for turn, wait in enumerate(waits):
        assert clock.elapsed == 100 * turn
        with suppress(Empty, Timeout):
            wait()
    with pytest.raises(Timeout), Timeout(100):
        Event().wait()
    assert clock.elapsed == 100 * (len(waits) + 1)


def test_a_repeating_timer_fires_at_each_of_its_times(clock: VirtualClock) -> None:
    rec = Recorder()
    timer = get_hub().loop.timer(10, repeat=20)
    timer.start(lambda: rec(clock.elapsed))
    sleep(75)
    timer.stop()
    rec.check([10, 30, 50, 70])


def test_equal_deadlines_fire_in_order(clock: VirtualClock) -> None:
    rec = Recorder()
    for name in "abcd":
        spawn_later(5, rec, name)
    sleep(5)
    settle()
    rec.check("abcd")


def test_the_time_module_follows(clock: VirtualClock) -> None:
    day = stdlib_time.time()
    sleep(86400)
    assert stdlib_time.monotonic() == 86400
    assert stdlib_time.monotonic_ns() == 86400 * 10**9
    assert stdlib_time.time() == day + 86400
    assert abs(stdlib_time.time_ns() - (day + 86400) * 1e9) < 1e6


def test_a_name_that_was_imported_follows_as_well() -> None:
    real = taken_before
    with VirtualClock():
        assert taken_before is not real
        sleep(5)
        assert taken_before() == 5
    assert taken_before is real is time.monotonic


def test_patching_the_time_module_can_be_left_out() -> None:
    with VirtualClock(patch_time=False):
        assert time.monotonic is taken_before
        assert time.monotonic.__module__ == "time"


def test_the_clock_goes_on_from_where_it_was_left() -> None:
    with VirtualClock() as clock:
        timer = get_hub().loop.timer(0.01)
        sleep(1000)
        fired = Event()
        timer.start(fired.set)
    assert clock.elapsed == 1000
    assert fired.wait(60)
    assert 1000.01 <= get_hub().loop.now() < 1060


def test_a_wait_in_progress_keeps_what_is_left_of_it() -> None:
    sleeper = spawn(sleep, 1000)
    sleep(0)
    with VirtualClock() as clock:
        sleeper.join()
        assert 900 < clock.elapsed <= 1000


def test_one_hub_has_one_virtual_clock(clock: VirtualClock) -> None:
    with pytest.raises(RuntimeError, match="virtual clock already"):
        VirtualClock().start()
    clock.stop()
    clock.stop()
    with VirtualClock() as second:
        sleep(1)
    assert second.elapsed == 1


def test_advance_lets_happen_what_is_due(clock: VirtualClock) -> None:
    rec = Recorder()
    for seconds in (1, 2, 3, 4):
        spawn_later(seconds, rec, seconds)
    clock.advance(2)
    rec.check([1, 2])
    clock.advance(1.5)
    rec.check([1, 2, 3])
    clock.stop()
    with pytest.raises(RuntimeError):
        clock.advance(1)


def test_bytes_that_are_there_come_before_the_time_goes_on(clock: VirtualClock) -> None:
    near, far = socketpair()
    with near, far:
        near.settimeout(10)

        def peer() -> None:
            for _ in range(20):
                sleep(5)
                far.send(b"x")

        sender = spawn(peer)
        for turn in range(1, 21):
            assert near.recv(10) == b"x"
            assert clock.elapsed == 5 * turn
        sender.get()
        with pytest.raises(TimeoutError):
            near.recv(10)
        assert clock.elapsed == 110


def test_the_world_outside_gets_real_time() -> None:
    """A peer in a native thread, which takes a moment: no time limit runs out before it has answered."""
    plain, far = socket_pair()
    go = _thread.allocate_lock()
    go.acquire()

    def answer() -> None:
        go.acquire()
        far.sendall(b"at last")

    _thread.start_new_thread(answer, ())
    with VirtualClock(patience=None) as clock, plain, far:
        spawn_later(0, go.release)
        assert select([plain], [], [], 1000) == ([plain], [], [])
        assert clock.elapsed == 0


def test_patience_is_what_a_silent_world_gets() -> None:
    near, far = socketpair()
    with near, far, VirtualClock(patience=0.01) as clock:
        near.settimeout(1000)
        with pytest.raises(TimeoutError):
            near.recv(1)
        assert clock.elapsed == 1000


def test_time_stands_still_while_a_job_runs_in_a_thread(clock: VirtualClock) -> None:
    pool = ThreadPool(1)
    with Timeout(1):
        pool.apply(os.listdir, ("/",))
        assert clock.elapsed == 0
    pool.kill()


def test_a_deadlock_is_still_one(clock: VirtualClock) -> None:
    with pytest.raises(LoopExit):
        Event().wait()
    sleeper = spawn(sleep, 10, ref=False)  # which is no reason to wait
    with pytest.raises(LoopExit):
        Event().wait()
    assert clock.elapsed == 0
    sleeper.kill()


def test_another_thread_has_its_own_time(clock: VirtualClock) -> None:
    sleep(1000)

    def measure() -> float:
        begun = get_hub().loop.now()
        sleep(0.001)
        lasted = get_hub().loop.now() - begun
        get_hub().destroy()
        return lasted

    assert 0.001 <= in_thread(measure) < 60


@pytest.mark.parametrize("bad", [-1, float("nan")])
def test_bad_patience_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="patience"):
        VirtualClock(patience=bad)


def test_the_hub_refuses_what_is_no_time() -> None:
    hub = get_hub()
    with pytest.raises(ValueError, match="finite"):
        hub.stop_clock(float("inf"), 0.0)
    with pytest.raises(RuntimeError, match="stop_clock"):
        hub.move_clock(1)
    hub.stop_clock(0.0, None)
    for bad in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="ahead"):
            hub.move_clock(bad)
    hub.run_clock()
    hub.run_clock()
    with pytest.raises(TypeError, match="seed"):
        hub.shuffle("7")


def test_a_moved_clock_finds_all_that_is_due() -> None:
    rec = Recorder()
    with VirtualClock():
        for seconds in (3, 1, 2):
            spawn_later(seconds, rec, seconds)
        get_hub().move_clock(10)
        settle()
        rec.check([1, 2, 3])


# -- the order from a seed


def order_under(seed: int | None) -> list[int]:
    rec = Recorder()
    with shuffled(seed):
        joinall([spawn(rec, number) for number in range(10)])
    return rec.items


def test_a_seed_decides_the_order_and_replays_it() -> None:
    orders = {tuple(order_under(seed)) for seed in range(40)}
    assert len(orders) > 30
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert all(order_under(seed) == order_under(seed) for seed in range(10))


def test_without_a_seed_it_is_first_in_first_out_again() -> None:
    order_under(1)
    rec = Recorder()
    joinall([spawn(rec, number) for number in range(10)])
    rec.check(range(10))


def test_no_seed_is_a_new_one_each_time() -> None:
    with shuffled() as first, shuffled() as second:
        assert first != second
    assert len({new_seed() for _ in range(10)}) == 10
    assert 0 <= new_seed() < 2**64


def test_a_failure_names_the_seed() -> None:
    with pytest.raises(ZeroDivisionError) as caught, shuffled(42):
        1 / 0
    assert caught.value.__notes__ == ["corolib.testing: the order came from seed 42; shuffled(42) replays it"]


@pytest.mark.parametrize("seed", range(30))
def test_what_is_promised_holds_under_every_seed(seed: int) -> None:
    rec = Recorder()
    with shuffled(seed):
        for number in range(5):
            spawn(rec, number)
        get_hub().loop.run_callback(rec, "callback")
        get_hub().loop.run_callback(rec, "second")
        sleep(0)
        rec("yielded")
    rec.check([set(range(5)), "callback", "second", "yielded"])


def test_the_shuffle_goes_through_every_wake_up() -> None:
    """Also where one greenlet hands over to the next without the hub in between."""

    def run(seed: int | None) -> list[str]:
        rec, gate = Recorder(), Semaphore(0)

        def worker(name: str) -> None:
            for turn in range(3):
                gate.acquire()
                rec(f"{name}{turn}")

        with shuffled(seed):
            workers = [spawn(worker, name) for name in "abc"]
            for _ in range(3):
                settle()
                for _ in range(3):
                    gate.release()
            joinall(workers)
        return rec.items

    assert len({tuple(run(seed)) for seed in range(20)}) > 10
    assert run(5) == run(5)


# -- settle


def test_settle_waits_until_nothing_is_ready() -> None:
    rec = Recorder()

    def chain(left: int) -> None:
        rec(left)
        if left:
            spawn(chain, left - 1)

    spawn(chain, 100)
    settle()
    rec.check(range(100, -1, -1))


def test_settle_counts_descriptors_that_are_ready() -> None:
    near, far = socketpair()
    with near, far:
        reader = spawn(near.recv, 10)
        settle()
        assert not reader.ready()
        far.send(b"x")
        settle()
        assert reader.value == b"x"


def test_settle_does_not_move_time(clock: VirtualClock) -> None:
    sleeper = spawn(sleep, 1)
    settle()
    assert not sleeper.ready()
    assert clock.elapsed == 0
    sleeper.kill()


def test_two_may_settle_at_a_time() -> None:
    rec = Recorder()
    joinall([spawn(lambda: (settle(), rec("settled"))) for _ in range(3)])
    rec.check(["settled"] * 3)


# -- Sequencer


def test_points_come_in_their_order_whatever_the_order_of_the_greenlets() -> None:
    for seed in range(20):
        rec = Recorder()
        order = Sequencer("a", "b", "c", "d")

        def pass_by(name: str, order: Sequencer = order, rec: Recorder = rec) -> None:
            with order(name):
                sleep(0)
                rec(name)

        with shuffled(seed):
            joinall([spawn(pass_by, name) for name in "dbca"], raise_error=True)
        rec.check("abcd")
        assert order.passed == ("a", "b", "c", "d")


def test_a_point_without_a_block() -> None:
    order = Sequencer("first", "second")
    rec = Recorder()
    later = spawn(lambda: (order.reach("second"), rec("second")))
    settle()
    rec("first")
    order.reach("first")
    later.get()
    rec.check(["first", "second"])
    assert repr(order) == "<Sequencer to come: nothing>"


def test_a_failure_at_a_point_reaches_those_behind_it() -> None:
    order = Sequencer("a", "b", "c")
    behind = spawn(order.reach, "c")
    settle()
    with pytest.raises(KeyError), order("a"):
        raise KeyError
    with pytest.raises(SequencerBroken, match="'a' has failed"):
        behind.get()
    with pytest.raises(SequencerBroken):
        order.reach("b")
    assert order.passed == ()
    assert "broken" in repr(order)


def test_who_is_killed_at_a_point_breaks_it() -> None:
    order = Sequencer("a", "b", "c")
    waiting, behind = spawn(order.reach, "b"), spawn(order.reach, "c")
    settle()
    waiting.kill()
    with pytest.raises(SequencerBroken, match="'b' has failed"):
        behind.get()


def test_a_point_is_one_of_the_names_and_passed_once() -> None:
    order = Sequencer("a")
    with pytest.raises(ValueError, match="found 'z'"):
        order.reach("z")
    order.reach("a")
    with pytest.raises(RuntimeError, match=f"{re.escape(repr(getcurrent()))} has come to before"):
        order.reach("a")
    for names in ((), ("a", "a")):
        with pytest.raises(ValueError, match="each once"):
            Sequencer(*names)


def test_it_can_be_imported_before_patching() -> None:
    run_isolated(
        """
        from corolib import monkey
        from corolib.testing import VirtualClock
        monkey.patch_all()
        import queue, threading, time
        with VirtualClock() as clock:
            begun = time.perf_counter()
            time.sleep(1000)
            try:
                queue.Queue().get(timeout=500)
            except queue.Empty:
                pass
            assert clock.elapsed == 1500, clock
            assert not threading.Event().wait(250)
            condition = threading.Condition()
            with condition:
                assert not condition.wait_for(lambda: False, timeout=250)
            assert clock.elapsed == 2000, clock
            thread = threading.Timer(100, lambda: None)
            thread.start()
            thread.join()
            assert clock.elapsed == 2100, clock
            assert time.perf_counter() - begun < 30
        """,
        options=("-W", "error"),
    )
