"""The one wait: order, delivery exactly once, and what happens to a value that never arrives."""

import pytest
from helpers import Recorder

from corolib import _hub
from corolib._switch import GreenletExit, add_switch_hook, getcurrent, greenlet, remove_switch_hook
from corolib.errors import BlockingSwitchOutError, InvalidSwitchError, LoopExit
from corolib.hub import get_hub

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


def test_sleep_zero_lets_what_is_ready_run_first():
    rec = Recorder()
    _hub.spawn_raw(rec, "first")
    _hub.spawn_raw(rec, "second")
    rec("before")
    _hub.sleep(0)
    rec("after")
    rec.check(["before", "first", "second", "after"])


def test_greenlets_take_turns_in_order():
    rec = Recorder()

    def worker(name):
        for turn in range(3):
            rec((name, turn))
            _hub.sleep(0)

    for name in "abc":
        _hub.spawn_raw(worker, name)
    for _ in range(4):
        _hub.sleep(0)
    rec.check([(name, turn) for turn in range(3) for name in "abc"])


def test_sleepers_wake_in_order_of_deadline_and_equal_ones_in_order_of_arrival():
    rec = Recorder()

    def sleeper(name, seconds):
        _hub.sleep(seconds)
        rec(name)

    for name, seconds in [("late", 0.03), ("a", 0.01), ("b", 0.01), ("soon", 0.005)]:
        _hub.spawn_raw(sleeper, name, seconds)
    _hub.sleep(0.06)
    rec.check(["soon", "a", "b", "late"])


@pytest.mark.parametrize("bad, error", [("x", TypeError), (None, TypeError), (float("nan"), ValueError)])
def test_sleep_refuses_what_is_no_number_of_seconds(bad, error):
    with pytest.raises(error):
        _hub.sleep(bad)


def test_negative_sleep_is_a_yield():
    rec = Recorder()
    _hub.spawn_raw(rec, "other")
    _hub.sleep(-1)
    rec.check(["other"])


def test_park_returns_the_value_it_is_woken_with():
    main = getcurrent()
    _hub.spawn_raw(_hub.wake, main, "value")
    assert _hub.park("test") == "value"


def test_only_the_first_wake_counts():
    main = getcurrent()
    rec = Recorder()

    def wake_twice():
        rec(_hub.wake(main, 1))
        rec(_hub.wake(main, 2))
        rec(_hub.wake_error(main, KeyError()))

    _hub.spawn_raw(wake_twice)
    assert _hub.park("test") == 1
    rec.check([True, False, False])


def test_wake_of_one_that_does_not_wait_is_refused():
    assert _hub.wake(getcurrent()) is False
    assert _hub.wake(greenlet(lambda: None)) is False


def test_wake_error_raises_in_the_waiter():
    main = getcurrent()
    error = KeyError("k")
    _hub.spawn_raw(_hub.wake_error, main, error)
    with pytest.raises(KeyError) as caught:
        _hub.park("test")
    assert caught.value is error


def test_time_out():
    assert _hub.park("test", timeout=0) is _hub.TIMED_OUT
    assert _hub.park("test", timeout=0.001) is _hub.TIMED_OUT
    assert not _hub.TIMED_OUT


def test_waiting_tells_kind_object_and_since():
    rec = Recorder()
    thing = object()

    def look(target):
        kind, what, since = _hub.waiting(target)
        rec((kind, what is thing, 0 <= since <= get_hub().now()))
        _hub.wake(target)

    assert _hub.waiting(getcurrent()) is None
    _hub.spawn_raw(look, getcurrent())
    _hub.park("fishing", thing)
    assert _hub.waiting(getcurrent()) is None
    rec.check([("fishing", True, True)])


def test_interrupt_reaches_a_waiter_at_once():
    main = getcurrent()
    _hub.spawn_raw(_hub.interrupt, main, KeyError("now"))
    with pytest.raises(KeyError, match="now"):
        _hub.park("test")


def test_interrupt_of_one_that_runs_is_raised_at_its_next_wait_and_only_once():
    assert _hub.interrupt(getcurrent(), KeyError("later")) is False
    with pytest.raises(KeyError, match="later"):
        _hub.sleep(0)
    _hub.sleep(0)


def test_interrupts_wait_in_order_and_can_be_taken_back():
    one, two, three = KeyError(1), KeyError(2), KeyError(3)
    for error in (one, two, three):
        _hub.interrupt(getcurrent(), error)
    assert _hub.cancel_interrupt(getcurrent(), two) is True
    assert _hub.cancel_interrupt(getcurrent(), two) is False
    for expected in (one, three):
        with pytest.raises(KeyError) as caught:
            _hub.sleep(0)
        assert caught.value is expected
    _hub.sleep(0)


def test_a_woken_greenlet_keeps_its_value_and_gets_the_interrupt_at_its_next_wait():
    main = getcurrent()

    def both():
        _hub.wake(main, "value")
        _hub.interrupt(main, KeyError("kill"))

    _hub.spawn_raw(both)
    assert _hub.park("test") == "value"
    with pytest.raises(KeyError, match="kill"):
        _hub.park("test")


def test_interrupt_reaches_a_greenlet_that_yields():
    main = getcurrent()
    _hub.spawn_raw(_hub.interrupt, main, KeyError("yield"))
    with pytest.raises(KeyError, match="yield"):
        _hub.sleep(0)


def test_a_raw_greenlet_interrupted_before_its_start_never_runs():
    rec = Recorder()
    target = _hub.spawn_raw(rec, "ran")
    _hub.interrupt(target, GreenletExit())
    _hub.sleep(0)
    assert target.dead
    rec.check([])


def test_interrupt_of_a_dead_greenlet_does_nothing():
    target = _hub.spawn_raw(lambda: None)
    _hub.sleep(0)
    assert target.dead
    assert _hub.interrupt(target, KeyError()) is False


def test_switch_to_a_waiter_by_somebody_else_is_an_error_in_the_waiter():
    main = getcurrent()
    _hub.spawn_raw(main.switch, "stray")
    with pytest.raises(InvalidSwitchError, match="stray"):
        _hub.park("test", timeout=5)
    assert get_hub().deadline_count == 0


def test_throw_into_a_waiter_by_somebody_else_ends_its_wait_cleanly():
    main = getcurrent()
    waiters = _hub.WaitList()
    _hub.spawn_raw(main.throw, KeyError("thrown"))
    with pytest.raises(KeyError, match="thrown"):
        waiters.wait(timeout=5)
    assert len(waiters) == 0
    assert get_hub().deadline_count == 0
    _hub.sleep(0)


def test_an_error_that_never_arrived_is_raised_at_the_next_wait():
    main = getcurrent()

    def wake_and_steal():
        _hub.wake_error(main, KeyError("first"))
        main.throw(ValueError("stolen"))

    _hub.spawn_raw(wake_and_steal)
    with pytest.raises(ValueError, match="stolen"):
        _hub.park("test")
    with pytest.raises(KeyError, match="first"):
        _hub.park("test")


def test_hub_switch_waits_for_a_plain_switch():
    main = getcurrent()
    _hub.spawn_raw(main.switch, "value")
    assert get_hub().switch() == "value"


def test_blocking_in_the_hub_is_an_error():
    rec = Recorder()

    def block():
        try:
            _hub.sleep(0)
        except BlockingSwitchOutError:
            rec("refused")

    get_hub().run_callback(block)
    _hub.sleep(0)
    rec.check(["refused"])


def test_deadlock_raises_loop_exit_in_main_and_the_hub_lives_on():
    for _ in range(2):
        with pytest.raises(LoopExit):
            _hub.park("nothing")
    _hub.sleep(0)


def test_spawn_raw_passes_arguments_and_refuses_what_is_not_callable():
    rec = Recorder()
    _hub.spawn_raw(lambda *args, **kwargs: rec((args, kwargs)), 1, 2, key=3)
    _hub.sleep(0)
    rec.check([((1, 2), {"key": 3})])
    with pytest.raises(TypeError, match="int"):
        _hub.spawn_raw(3)
    with pytest.raises(TypeError):
        _hub.spawn_raw()


def test_a_raw_greenlet_started_by_hand_is_not_started_again():
    rec = Recorder()
    target = _hub.spawn_raw(rec, "ran")
    target.parent = getcurrent()
    target.switch("by hand")
    _hub.sleep(0)
    rec.check(["by hand"])


def test_code_that_runs_on_arrival_may_wait_and_the_wait_outside_is_over_after_it():
    """A switch hook here; a destructor of what the one who left had is in the same place."""
    rec = Recorder()
    waiter = getcurrent()

    def hook(event, pair):
        if pair[1] is waiter and not rec.items:
            rec("hook")
            _hub.sleep(0.001)
            _hub.sleep(0)
            rec("hook ends")

    add_switch_hook(hook)
    try:
        _hub.sleep(0.001)
        rec("wait ends")
    finally:
        remove_switch_hook(hook)
    _hub.sleep(0)
    rec.check(["hook", "hook ends", "wait ends"])
