"""Races: a waiter is hit at each point at which it could be; and what is left when a hub goes."""

import gc
import os
import threading
import weakref

import pytest
from helpers import Recorder, run_isolated

from corolib import _hub
from corolib._switch import getcurrent
from corolib.errors import LoopExit
from corolib.hub import get_hub


class Thrown(Exception):
    pass


class Tokens:
    """The least that a lock or queue is: tokens that are handed out, and come back if they never arrived."""

    def __init__(self):
        self.free = []
        self.waiters = _hub.WaitList(self, undo=self.put)

    def put(self, token):
        if not self.waiters.wake(token):
            self.free.append(token)

    def take(self, timeout=None):
        if self.free:
            return self.free.pop()
        return self.waiters.wait(timeout)


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


# Each makes (wait, end, check): what the subject waits in, what ends that wait, and what must hold in the
# end, given whether the wait has returned.


def waits_for_a_token(pipe):
    tokens = Tokens()

    def check(arrived):
        assert tokens.free == ([] if arrived else ["token"])
        assert len(tokens.waiters) == 0

    return tokens.take, lambda: tokens.put("token"), check


def waits_for_a_greenlet(pipe):
    gate = _hub.WaitList()
    other = _hub.Greenlet.spawn(gate.wait)

    def check(arrived):
        assert other.ready()
        assert other.has_links() == 0

    return other.join, lambda: gate.wake("result"), check


def waits_for_a_result(pipe):
    _, end, check = made = waits_for_a_greenlet(pipe)
    other = made[0].__self__
    return lambda timeout=None: other.get(timeout=timeout), end, check


def waits_for_a_descriptor(pipe):
    watcher = _hub.io(get_hub(), pipe[0], 1)

    def check(arrived):
        assert watcher.wait(1) == 1  # level-triggered: nothing is lost
        watcher.close()

    return watcher.wait, lambda: os.write(pipe[1], b"x"), check


def sleeps(pipe):
    return lambda timeout=None: _hub.sleep(0.002), lambda: None, lambda arrived: None


def throw(subject):
    if not subject.ready():
        subject.throw(Thrown())


WAITS = [waits_for_a_token, waits_for_a_greenlet, waits_for_a_result, waits_for_a_descriptor, sleeps]
HITS = {
    "interrupt": lambda subject: _hub.interrupt(subject, Thrown()),
    # From the hub, as a callback of a third party does it: what the subject waits in next comes back there.
    "throw": lambda subject: get_hub().run_callback(throw, subject),
    "timeout": lambda subject: None,  # the wait's own
}


@pytest.mark.parametrize("point", range(6))
@pytest.mark.parametrize("hit", HITS)
@pytest.mark.parametrize("make", WAITS)
def test_a_waiter_that_is_hit_at_each_point_loses_nothing(make, hit, point, pipe):
    hub = get_hub()
    parked, deadlines = hub.parked_count, hub.deadline_count
    wait, end, check = make(pipe)
    hits, outcome = [], []

    def run():
        try:
            result = wait(0.001) if hit == "timeout" else wait()
        except (Thrown, TimeoutError, LoopExit) as error:
            outcome.append(error)
            return
        except BaseException as error:
            assert type(error).__name__ == "Timeout", error
            outcome.append(error)
            return
        outcome.append(result)
        try:  # what comes too late for the wait is raised in the next one
            _hub.sleep(0.005)
        except Thrown as error:
            hits.append(error)

    def strike():
        for _ in range(point):
            _hub.sleep(0)
        if not subject.ready():
            HITS[hit](subject)

    subject = _hub.Greenlet(run)
    striker = _hub.Greenlet(strike)
    ender = _hub.Greenlet(lambda: [_hub.sleep(0), _hub.sleep(0), end()])
    for each in (striker, subject, ender) if point % 2 else (subject, ender, striker):
        each.start()
    for each in (striker, ender, subject):
        each.join()
    _hub.sleep(0)
    # Thrown into the greenlet before it began, it has not run.
    began = bool(outcome)
    arrived = began and not isinstance(outcome[0], BaseException) and outcome[0] is not _hub.TIMED_OUT
    check(arrived)
    if hit == "interrupt" and began and point < 2:
        assert len(hits) + isinstance(outcome[0], Thrown) == 1
    _hub.sleep(0)
    assert (hub.parked_count, hub.deadline_count) == (parked, deadlines)


def test_what_a_prepare_watcher_queues_is_not_slept_over():
    hub, me = get_hub(), getcurrent()
    watcher = hub.loop.prepare()

    def prepare():
        watcher.stop()
        hub.run_callback(_hub.wake, me, "woken")

    watcher.start(prepare)
    assert _hub.park("test", timeout=60) == "woken"


def test_a_close_that_was_overtaken_is_not_raised_in_the_next_wait(pipe):
    rec = Recorder()
    watcher = _hub.io(get_hub(), pipe[0], 1)

    def wait():
        try:
            watcher.wait()
        except Thrown:
            rec("thrown")
        _hub.sleep(0.001)
        rec("slept")

    waiter = _hub.spawn_raw(wait)
    _hub.sleep(0)

    def close():
        watcher.close()
        waiter.throw(Thrown())

    _hub.spawn_raw(close)
    while not waiter.dead:
        _hub.sleep(0.001)
    rec.check(["thrown", "slept"])


def test_a_watcher_whose_descriptor_is_closed_is_called_and_ends():
    read, write = os.pipe()
    rec = Recorder()
    watcher = _hub.io(get_hub(), read, 1)
    watcher.start(rec, "called")
    assert get_hub().fd_closing(read) == 1
    os.close(read)
    os.close(write)
    assert not watcher.active
    with pytest.raises(LoopExit):
        _hub.park("test")
    rec.check(["called"])


def test_a_sleep_that_is_not_to_count_is_no_reason_to_wait():
    with pytest.raises(LoopExit):
        _hub.sleep(60, ref=False)


def test_the_end_of_old_arguments_may_stop_the_watcher(pipe):
    watcher = _hub.io(get_hub(), pipe[0], 1)

    class Stops:
        def __del__(self):
            watcher.stop()

    watcher.start(id, Stops())
    watcher.start(id, 1)
    assert watcher.active
    assert watcher.args == (1,)
    watcher.stop()


def test_the_owner_of_a_list_outlives_the_waits_that_name_it():
    class Owner:
        pass

    waiters = _hub.WaitList(Owner())
    waiter = _hub.spawn_raw(waiters.wait)
    _hub.sleep(0)
    owner = weakref.ref(_hub.waiting(waiter)[1])
    del waiters
    gc.collect()
    assert type(_hub.waiting(waiter)[1]) is Owner
    _hub.wake(waiter)
    _hub.sleep(0)
    assert owner() is None


def test_a_kind_that_is_no_utf8_is_reported_all_the_same():
    waiter = _hub.spawn_raw(_hub.park, "\ud800")
    _hub.sleep(0)
    assert _hub.waiting(waiter)[0] == "wait"
    _hub.wake(waiter)
    _hub.sleep(0)


def test_arguments_of_a_callback_are_a_tuple():
    call = get_hub().run_callback(id, 1)
    with pytest.raises(TypeError, match="a tuple or None, not list"):
        call.args = [1]
    call.stop()
    rec = Recorder()
    call.callback = rec
    _hub.sleep(0)
    rec.check([])


def test_a_callback_without_arguments_is_called_without():
    rec = []
    call = get_hub().run_callback(lambda: rec.append("called"), 1)
    del call.args
    _hub.sleep(0)
    assert rec == ["called"]


def test_a_timer_that_was_not_initialised_is_not_due():
    assert _hub.timer.__new__(_hub.timer).at == 0


def test_an_interrupt_that_was_never_raised_does_not_keep_its_greenlet():
    def run():
        error = Thrown()
        error.greenlet = getcurrent()
        _hub.interrupt(getcurrent(), error)

    gone = weakref.ref(_hub.Greenlet.spawn(run))
    _hub.sleep(0)
    gc.collect()
    assert gone() is None


def _sleep_on():
    _hub.spawn_raw(_hub.sleep, 1000)
    _hub.sleep(0)


def _clean_up(rec):
    def run():
        try:
            _hub.sleep(1000)
        finally:
            rec.append("cleaned up")

    _hub.spawn_raw(run)
    _hub.sleep(0)


@pytest.mark.parametrize(
    "leave",
    [
        _sleep_on,
        lambda: get_hub().loop.timer(1000).start(id, 1),
        lambda: get_hub().loop.io(0, 1).start(id, 1),
        lambda: _hub.Greenlet.spawn_later(1000, id),
        lambda: [_hub.spawn_raw(id, 1), get_hub().run_callback(id, 1)],
    ],
)
def test_a_thread_that_ends_takes_its_hub_with_it(leave):
    hubs = []
    get_hub()
    before = len(os.listdir("/proc/self/fd"))

    def run():
        leave()
        hubs.append(weakref.ref(get_hub()))

    for _ in range(3):
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    gc.collect()
    assert [hub() for hub in hubs] == [None] * 3
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_waits_in_a_thread_that_ends_is_unwound_there():
    rec = []
    thread = threading.Thread(target=_clean_up, args=(rec,))
    thread.start()
    thread.join()
    assert rec == ["cleaned up"]


def test_a_destroyed_hub_lets_go_of_what_was_active():
    run_isolated(
        """
        import gc, os, weakref
        from corolib import _hub
        from corolib.hub import get_hub

        class Argument: pass

        hub, keep = get_hub(), [Argument() for _ in range(4)]
        gone = [weakref.ref(hub), *map(weakref.ref, keep)]
        hub.loop.timer(1000).start(id, keep[0])
        hub.loop.io(os.pipe()[0], 1).start(id, keep[1])
        _hub.Greenlet.spawn_later(1000, id, keep[2])
        late = _hub.Greenlet(id, keep[3])
        hub.destroy()
        try:
            late.start()
        except RuntimeError as error:
            assert "destroyed" in str(error)
        else:
            raise AssertionError("started in a destroyed hub")
        del hub, keep, late
        gc.collect()
        assert [each() for each in gone] == [None] * 5, gone
        """
    )
