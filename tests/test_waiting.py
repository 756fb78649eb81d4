"""corolib._waiting: Waiter, links, wait() and iwait()."""

import io
import threading

import pytest
from helpers import Recorder

from corolib._waiting import Linkable, Waiter, iwait, wait
from corolib.errors import BlockingSwitchOutError, ConcurrentObjectUseError, LoopExit
from corolib.event import AsyncResult, Event
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, getcurrent, sleep
from corolib.lock import Semaphore

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)

# -- Waiter --------------------------------------------------------------------------------------------------


def test_a_value_that_comes_before_and_one_that_comes_after():
    waiter = Waiter()
    assert not waiter.ready() and not waiter.successful()
    waiter.switch(1)
    assert waiter.ready() and waiter.successful() and waiter.value == 1
    assert waiter.get() == 1 and waiter.get() == 1
    waiter.clear()
    assert not waiter.ready()
    get_hub().run_callback(waiter.switch, 2)
    assert waiter.get() == 2


def test_an_exception():
    waiter = Waiter()
    get_hub().run_callback(waiter.throw, ValueError("x"))
    with pytest.raises(ValueError, match="x"):
        waiter.get()
    assert waiter.ready() and not waiter.successful()
    assert waiter.exc_info[:2] == (ValueError, waiter.exc_info[1])
    waiter.throw(KeyError, "y")
    with pytest.raises(KeyError, match="y"):
        waiter.get()
    waiter.switch_args(1, 2)
    assert waiter.get() == (1, 2) and waiter.exc_info is None


def test_a_second_greenlet_is_refused():
    waiter = Waiter()
    first = Greenlet.spawn(waiter.get)
    sleep(0)
    assert repr(first) in repr(waiter)
    with pytest.raises(ConcurrentObjectUseError):
        waiter.get()
    waiter.switch(1)
    assert first.get() == 1


def test_get_in_the_hub_is_refused_unless_it_is_there():
    waiter = Waiter()
    caught = []

    def block():
        try:
            waiter.get()
        except BlockingSwitchOutError as error:
            caught.append(error)
        waiter.switch(5)
        caught.append(waiter.get())

    get_hub().run_callback(block)
    sleep(0)
    assert isinstance(caught[0], BlockingSwitchOutError) and caught[1] == 5


def test_killed_while_it_waits_it_can_be_used_again():
    waiter = Waiter()
    victim = Greenlet.spawn(waiter.get)
    sleep(0)
    victim.kill()
    waiter.switch(1)
    assert waiter.get() == 1


def test_the_target_of_a_link():
    waiter = Waiter()
    Greenlet.spawn(int, "5").rawlink(waiter)
    assert waiter.get() == 5
    get_hub().exception_stream = None
    waiter.clear()
    Greenlet.spawn(int, "x").rawlink(waiter)
    with pytest.raises(ValueError):
        waiter.get()


def test_nobody_can_wake_it():
    with pytest.raises(LoopExit, match="waits for Waiter <Waiter at"):
        Waiter().get()


def test_repr():
    waiter = Waiter()
    assert repr(waiter).endswith("empty>")
    waiter.switch(1)
    assert repr(waiter).endswith("value=1>")
    waiter.throw(KeyError())
    assert repr(waiter).endswith("exception=KeyError()>")


# -- links ---------------------------------------------------------------------------------------------------


class Gate(Linkable):
    def __init__(self):
        self.open = False

    def ready(self):
        return self.open

    def set(self):
        self.open = True
        self._notify()


def test_links_are_called_once_in_the_hub_in_order():
    rec = Recorder()
    gate = Gate()
    for n in range(3):
        gate.rawlink(lambda source, n=n: rec((n, source is gate, getcurrent() is get_hub())))
    assert gate.linkcount() == 3
    gate.set()
    rec("set")
    sleep(0)
    gate.set()
    sleep(0)
    rec.check(["set", (0, True, True), (1, True, True), (2, True, True)])
    assert gate.linkcount() == 0


def test_a_link_made_when_it_is_ready():
    rec = Recorder()
    gate = Gate()
    gate.set()
    gate.rawlink(rec)
    rec("made")
    sleep(0)
    rec.check(["made", gate])


def test_a_link_taken_back_before_its_turn():
    rec = Recorder()
    gate = Gate()
    gate.unlink(rec)
    gate.rawlink(rec)
    gate.set()
    gate.unlink(rec)
    sleep(0)
    rec.check([])


def test_a_link_may_take_back_a_later_one_and_make_others():
    rec = Recorder()
    gate = Gate()

    def first(source):
        rec("first")
        gate.unlink(second)
        gate.rawlink(third)

    def second(source):
        rec("second")

    def third(source):
        rec("third")

    gate.rawlink(first)
    gate.rawlink(second)
    gate.set()
    sleep(0)
    sleep(0)
    rec.check(["first", "third"])


def test_a_link_that_fails_is_reported_and_the_others_are_called():
    rec = Recorder()
    gate = Gate()
    get_hub().exception_stream = stream = io.StringIO()

    def fail(source):
        raise ValueError("in the link")

    gate.rawlink(fail)
    gate.rawlink(rec)
    gate.set()
    sleep(0)
    rec.check([gate])
    assert "in the link" in stream.getvalue() and "fail" in stream.getvalue()


def test_a_link_must_be_callable():
    with pytest.raises(TypeError, match="a link must be callable, not int: 5"):
        Gate().rawlink(5)


def test_links_are_called_in_the_hub_of_the_thread_that_made_them():
    gate = Gate()
    rec = Recorder()
    linked = threading.Event()

    def in_thread():
        done = Event()
        gate.rawlink(lambda source: (rec(("thread", getcurrent() is get_hub())), done.set()))
        hub = get_hub()
        linked.set()
        hub.external_enter()
        assert done.wait(60)

    thread = threading.Thread(target=in_thread)
    thread.start()
    linked.wait()
    gate.rawlink(lambda source: rec(("main", threading.current_thread() is threading.main_thread())))
    gate.set()
    sleep(0)
    thread.join()
    rec.check([{("main", True), ("thread", True)}])


# -- wait and iwait ------------------------------------------------------------------------------------------


def test_wait_returns_what_is_ready_in_that_order():
    late, soon = Event(), Event()
    get_hub().loop.timer(0.002).start(late.set)
    get_hub().loop.timer(0.001).start(soon.set)
    assert wait([late, soon]) == [soon, late]


def test_wait_for_all_kinds():
    get_hub().exception_stream = None
    things = [Event(), AsyncResult(), Semaphore(0), Greenlet.spawn(int), Greenlet.spawn(int, "x")]
    get_hub().run_callback(things[0].set)
    get_hub().run_callback(things[1].set, 5)
    get_hub().run_callback(things[2].release)
    assert set(wait(things)) == set(things)
    assert all(thing.linkcount() == 0 for thing in things[:3])


def test_wait_with_a_count():
    events = [Event() for _ in range(4)]
    events[2].set()
    events[1].set()
    assert wait(events, count=1) == [events[1]]
    assert wait(events, count=0) == []
    assert set(wait(events, count=2)) == {events[1], events[2]}
    assert [event.linkcount() for event in events] == [0] * 4


def test_wait_with_a_timeout():
    events = [Event() for _ in range(3)]
    events[1].set()
    assert wait(events, timeout=0) == [events[1]]
    assert wait(events, timeout=0.001) == [events[1]]
    get_hub().loop.timer(0.001).start(events[0].set)
    assert wait(events, timeout=0.05) == [events[1], events[0]]
    assert [event.linkcount() for event in events] == [0] * 3
    assert get_hub().deadline_count == 0


def test_wait_for_nothing():
    assert wait([]) == []
    assert wait([], timeout=10) == []


def test_wait_for_the_same_object_twice():
    event = Event()
    event.set()
    assert wait([event, event]) == [event, event]


def test_wait_wants_objects_with_links():
    with pytest.raises(TypeError, match="cannot wait for 5: it has no rawlink"):
        wait([Event(), 5])
    with pytest.raises(TypeError):
        wait(5)


def test_wait_without_objects_is_join():
    rec = Recorder()
    Greenlet.spawn_later(0.001, rec, "ran")
    assert wait() is True
    rec.check(["ran"])
    Greenlet.spawn_later(0.01, rec, "ran")
    assert wait(timeout=0.001) is False
    assert list(iwait(timeout=5)) == [True]


def test_wait_that_is_killed_leaves_no_links():
    event = Event()
    victim = Greenlet.spawn(wait, [event])
    sleep(0)
    assert event.linkcount() == 1
    victim.kill()
    assert event.linkcount() == 0


def test_iwait_gives_them_as_they_come():
    rec = Recorder()
    events = [Event() for _ in range(3)]
    for delay, event in enumerate(reversed(events)):
        get_hub().loop.timer(0.001 * (delay + 1)).start(event.set)
    for event in iwait(events):
        rec(events.index(event))
    rec.check([2, 1, 0])


def test_iwait_left_early_takes_its_links_back():
    events = [Event() for _ in range(3)]
    events[1].set()
    with iwait(events) as ready:
        assert next(ready) is events[1]
        assert [event.linkcount() for event in events] == [1, 0, 1]
    assert [event.linkcount() for event in events] == [0, 0, 0]
    with pytest.raises(StopIteration):
        next(ready)


def test_iwait_makes_no_link_before_the_first_next():
    event = Event()
    ready = iwait([event])
    assert event.linkcount() == 0
    ready.close()
    assert list(ready) == []


def test_iwait_shares_one_time_limit_among_all():
    events = [Event() for _ in range(3)]
    began = get_hub().now()
    get_hub().loop.timer(0.01).start(events[0].set)
    assert list(iwait(events, timeout=0.02)) == [events[0]]
    assert get_hub().now() - began < 0.5


def test_what_nobody_can_make_ready_is_a_deadlock():
    with pytest.raises(LoopExit, match="iwait of 1 objects, 1 to come"):
        wait([Event()])


def test_an_exception_in_a_waiter_does_not_grow_with_each_get():
    waiter = Waiter()
    waiter.throw(ValueError("once"))
    depths = set()
    for _ in range(3):
        with pytest.raises(ValueError, match="once") as caught:
            waiter.get()
        depths.add(len(caught.traceback))
    assert len(depths) == 1
