"""corolib.tools.trace: tracers of switches, and assert_switches()."""

import pytest

from corolib import _native
from corolib._switch import getcurrent, greenlet, settrace
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, sleep
from corolib.tools import trace
from corolib.tools.trace import GreenletTracer, HubSwitchTracer, MaxSwitchTracer, assert_switches


@pytest.fixture
def made():
    tracers = []

    def make(cls, *args):
        tracers.append(cls(*args))
        return tracers[-1]

    yield make
    for tracer in tracers:
        tracer.kill()


@pytest.fixture
def clock(monkeypatch):
    """The tracers' clock, moved by hand: clock(seconds)."""
    now = [100.0]
    monkeypatch.setattr(trace, "monotonic", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    return advance


def by_hand():
    """A switch to another greenlet and back, without the hub."""
    greenlet(lambda: None).switch()


def through_the_hub():
    """A wait. (With nobody else ready, sleep(0) goes on without a switch.)"""
    get_hub().run_callback(id, None)
    sleep(0)


def test_a_tracer_counts_switches_and_knows_who_runs(made):
    tracer = made(GreenletTracer)
    assert tracer.active_greenlet is None
    hub = get_hub()
    assert tracer.did_block_hub(hub) is None  # nothing is known yet
    by_hand()
    assert tracer.greenlet_switch_counter == 2 and tracer.active_greenlet is getcurrent()
    assert tracer.did_block_hub(hub) is None
    assert tracer.did_block_hub(hub) == (True, getcurrent())
    tracer.ignore_current_greenlet_blocking()
    assert tracer.did_block_hub(hub) is None
    tracer.monitor_current_greenlet_blocking()
    assert tracer.did_block_hub(hub) == (True, getcurrent())
    through_the_hub()
    assert tracer.did_block_hub(hub) is None
    report = "\n".join(tracer.did_block_hub_report(hub, getcurrent(), {}))
    assert "has not switched away" in report and "test_a_tracer_counts" in report and "* Greenlets" in report


def test_the_hub_is_never_the_culprit(made):
    tracer = made(GreenletTracer)
    hub = get_hub()
    seen = []
    hub.run_callback(lambda: seen.append((tracer.did_block_hub(hub), tracer.did_block_hub(hub))))
    sleep(0)
    assert seen == [(None, None)]


def test_tracers_do_not_displace_others_and_are_not_displaced(made):
    seen = []

    def old(event, args):
        seen.append("old")

    assert settrace(old) is None
    try:
        first, second = made(GreenletTracer), made(GreenletTracer)
        assert first.previous_trace_function is old
        by_hand()
        assert (seen, first.greenlet_switch_counter, second.greenlet_switch_counter) == (["old"] * 2, 2, 2)
        settrace(None)
        by_hand()
        first.kill()
        first.kill()
        by_hand()
        assert (len(seen), first.greenlet_switch_counter, second.greenlet_switch_counter) == (2, 4, 6)
    finally:
        settrace(None)


def test_hub_switch_tracer_counts_waits_and_not_switches_by_hand(made, clock):
    hub = get_hub()
    tracer = made(HubSwitchTracer, hub, 1.0)
    clock(0.9)
    by_hand()
    assert tracer.did_block_hub(hub) is None and tracer.reached == 0
    through_the_hub()
    assert tracer.reached > 0
    clock(0.9)
    by_hand()
    assert tracer.did_block_hub(hub) is None
    clock(0.2)
    assert tracer.did_block_hub(hub) == (True, getcurrent())
    assert "was not reached for 1.1000 s, more than 1.0 s allow" in tracer.describe(hub, getcurrent())


def test_a_hand_over_past_the_hub_counts_as_reaching_it(made):
    tracer = made(HubSwitchTracer, get_hub(), 1.0)
    take_turns = [Greenlet.spawn(lambda: [sleep(0) for _ in range(3)]) for _ in range(2)]
    for each in take_turns:
        each.join()
    assert tracer.reached > 6


def test_max_switch_tracer_keeps_the_longest_stretch(made, clock):
    hub = get_hub()
    tracer = made(MaxSwitchTracer, hub, 1.0)
    clock(0.5)
    assert tracer.did_block_hub(hub) is None
    by_hand()
    clock(1.5)
    by_hand()
    clock(0.1)
    assert tracer.did_block_hub(hub) == (True, getcurrent())
    assert tracer.max_blocking == 1.5


def test_the_time_of_the_hub_itself_does_not_count(made, clock):
    hub = get_hub()
    tracer = made(MaxSwitchTracer, hub, 1.0)
    hub.run_callback(clock, 5)
    sleep(0)
    assert tracer.did_block_hub(hub) is None


# -- assert_switches -----------------------------------------------------------------------------------------


def test_a_body_that_switches_is_fine():
    with assert_switches():
        by_hand()
    with assert_switches(hub_only=True):
        sleep(0)
    with assert_switches(max_blocking_time=60):
        pass
    with assert_switches(max_blocking_time=60, hub_only=True):
        sleep(0)


@pytest.mark.parametrize(
    ("hub_only", "body", "text"),
    [
        (False, lambda: None, "has not once switched away"),
        (True, lambda: None, "has not once reached"),
        (True, by_hand, "has not once reached"),
    ],
)
def test_a_body_that_does_not_is_reported(hub_only, body, text):
    with pytest.raises(AssertionError) as caught, assert_switches(hub_only=hub_only):
        body()
    assert text in str(caught.value) and "* Greenlets" in str(caught.value)
    with assert_switches():  # nothing is left behind
        by_hand()


def test_a_body_that_takes_too_long_is_reported(clock):
    with pytest.raises(AssertionError, match=r"ran for 2\.0000 s without a switch, more than 1 s allow"):
        with assert_switches(max_blocking_time=1):
            clock(0.9)
            by_hand()
            clock(2)
            by_hand()
    with pytest.raises(AssertionError, match=r"was not reached for 1\.8000 s, more than 1 s allow"):
        with assert_switches(max_blocking_time=1, hub_only=True):
            clock(0.9)
            by_hand()
            clock(0.9)
            through_the_hub()
    with assert_switches(max_blocking_time=1, hub_only=True):
        clock(0.9)
        through_the_hub()
        clock(0.9)


def test_what_the_body_raises_comes_out():
    with pytest.raises(ZeroDivisionError), assert_switches():
        raise ZeroDivisionError


def test_real_time(made):
    """The clock is one that patching does not change."""
    assert trace.monotonic is _native.monotonic
    with pytest.raises(AssertionError), assert_switches(max_blocking_time=0.001):
        _native.sleep(0.002)
