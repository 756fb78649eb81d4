"""Deadlines, near and far: whatever their number and distance, what is active goes off, in order.

The clock stands still and is moved (`corolib.testing`), so that nothing depends on the machine.
"""

import random

import pytest

from corolib.hub import get_hub, sleep
from corolib.testing import VirtualClock, settle


def nothing():
    """What a timer calls when nothing is to come of it."""


@pytest.fixture
def clock():
    with VirtualClock(patch_time=False) as clock:
        yield clock


def crowd(loop, count):
    """So many active timers that are due in a year."""
    timers = [loop.timer(3e7 + i) for i in range(count)]
    for timer in timers:
        timer.start(nothing)
    return timers


@pytest.mark.parametrize("far", [0, 5, 3000])
@pytest.mark.parametrize("seed", range(6))
def test_random_deadlines_go_off_in_order(clock, seed, far):
    """Starts, stops and restarts at all distances, between looks at the clock; a list is the model."""
    draw, hub = random.Random(f"{seed} {far}"), get_hub()
    loop, base, order = hub.loop, get_hub().deadline_count, 0
    bystanders = crowd(loop, far)
    timers = [loop.timer(10 ** draw.uniform(-5, 4)) for _ in range(200)]
    due, fired = {}, []  # timer's index -> (deadline, number of the start)

    def fire(index):
        fired.append(index)
        del due[index]

    for _ in range(120):
        for _ in range(draw.randrange(12)):
            index = draw.randrange(len(timers))
            if draw.random() < 0.35:
                timers[index].stop()
                due.pop(index, None)
            else:
                timers[index].start(fire, index)
                due[index] = (timers[index].at, order := order + 1)
        assert hub.deadline_count == base + far + len(due)
        until = hub.now() + draw.choice([0.0, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0, 50.0])
        expected = sorted((index for index in due if due[index][0] <= until), key=due.__getitem__)
        fired.clear()
        hub.move_clock(until - hub.now())
        settle()
        assert fired == expected
    for timer in timers + bystanders:
        timer.stop()
    assert hub.deadline_count == base


def test_equal_deadlines_keep_their_order_across_the_horizon(clock):
    """Some were put down as far off, some came when they were near: who was first goes first."""
    hub, fired = get_hub(), []
    first = [hub.loop.timer(1.0) for _ in range(5)]
    for index, timer in enumerate(first):
        timer.start(fired.append, index)
    end = hub.now() + 1.0
    sleep(0.9995)  # what is due within the millisecond is near now
    late = [hub.loop.timer(end - hub.now()) for _ in range(5)]
    for index, timer in enumerate(late):
        timer.start(fired.append, 5 + index)
    assert {timer.at for timer in first + late} == {end}
    first[2].stop()
    late[1].stop()
    sleep(0.001)
    assert fired == [0, 1, 3, 4, 5, 7, 8, 9]


def test_the_clock_jumps_past_what_was_stopped(clock):
    """The earliest was stopped: nothing wakes for it, and the next one is found."""
    hub = get_hub()
    early, late = hub.loop.timer(5.0), hub.loop.timer(7.0)
    early.start(nothing)
    late.start(nothing)
    early.stop()
    start = hub.now()
    hub.wait(late)
    assert hub.now() == start + 7.0


def test_a_timer_that_is_never_due_stays(clock):
    """Infinity is a deadline like others, and does not hold the others up."""
    hub = get_hub()
    never, soon = hub.loop.timer(float("inf")), hub.loop.timer(1.0)
    never.start(nothing)
    hub.wait(soon)
    assert never.active
    assert never.at == float("inf")
    never.stop()
