"""corolib.timeout: what is raised, in whom, how often, and what is left behind."""

import gc

import pytest
from helpers import Recorder

from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, getcurrent, sleep, spawn_raw
from corolib.lock import Semaphore
from corolib.queue import Queue
from corolib.testing import VirtualClock
from corolib.timeout import Timeout, with_timeout

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


def nothing_left():
    return get_hub().deadline_count == 0


def spin(seconds=0.002):
    """Work without switching for longer than the timeouts here."""
    get_hub().move_clock(seconds)


# -- what is raised ------------------------------------------------------------------------------------------


def test_raises_itself():
    timeout = Timeout(0.001)
    timeout.start()
    assert timeout.pending
    with pytest.raises(Timeout) as caught:
        sleep(10)
    assert caught.value is timeout and not timeout.pending and nothing_left()


@pytest.mark.parametrize("given", [KeyError, KeyError("x")])
def test_raises_what_was_given(given):
    with pytest.raises(KeyError), Timeout(0.001, given):
        sleep(10)


def test_a_text_is_added_to_the_message():
    with pytest.raises(Timeout, match=r"^0\.001 seconds: too slow$"), Timeout(0.001, "too slow"):
        sleep(10)


def test_false_is_swallowed_by_its_own_with_only():
    with Timeout(0.001, False):
        sleep(10)
    with pytest.raises(ValueError), Timeout(10, False):
        raise ValueError
    with Timeout(0.001, False) as outer:
        with Timeout(10, False):
            sleep(10)
        pytest.fail("the inner one swallowed the outer one")
    assert not outer.pending


def test_none_never_fires():
    with Timeout(None) as timeout:
        assert not timeout.pending and nothing_left()
        sleep(0)
    timeout.start()
    timeout.cancel()
    assert str(timeout) == ""


@pytest.mark.parametrize("seconds", [0, -1, 1e-9])
def test_no_time_at_all_fires_at_the_next_wait(seconds):
    rec = Recorder()
    with pytest.raises(Timeout), Timeout(seconds):
        rec("no wait, no timeout")
        sleep(10)
    rec.check(["no wait, no timeout"])


@pytest.mark.parametrize("seconds", [1e12, float("inf")])
def test_a_very_long_time(seconds):
    with Timeout(seconds) as timeout:
        sleep(0)
        assert timeout.pending
    assert nothing_left()


@pytest.mark.parametrize("seconds", ["1", float("nan"), []])
def test_what_is_no_number_is_refused_at_the_start(seconds):
    timeout = Timeout(seconds)
    with pytest.raises((TypeError, ValueError)):
        timeout.start()
    assert not timeout.pending


def test_except_exception_does_not_stop_it():
    with pytest.raises(Timeout), Timeout(0.001):
        try:
            sleep(10)
        except Exception:
            pytest.fail("caught")


def test_texts():
    assert str(Timeout(1)) == "1 second"
    assert str(Timeout(0.5)) == "0.5 seconds"
    assert str(Timeout(1, "x")) == "1 second: x"
    assert str(Timeout(2, False)) == "2 seconds (silent)"
    timeout = Timeout(5, KeyError)
    assert repr(timeout) == f"<Timeout at {id(timeout):#x} seconds=5 exception={KeyError!r}>"
    with timeout:
        assert repr(timeout).endswith(" pending>")


def test_compared_by_length():
    assert Timeout(1) < 2 and Timeout(1) < Timeout(2) and 2 > Timeout(1)
    assert Timeout(None) > 1e9 and not Timeout(None) < Timeout(1)


# -- start and cancel ----------------------------------------------------------------------------------------


def test_started_twice():
    timeout = Timeout(10)
    timeout.start()
    with pytest.raises(AssertionError, match="is started already"):
        timeout.start()
    timeout.cancel()
    assert nothing_left()


def test_cancelled_and_started_again_it_counts_anew():
    timeout = Timeout(0.05)
    timeout.start()
    began = get_hub().now()
    spin(0.03)
    timeout.cancel()
    timeout.start()
    with pytest.raises(Timeout):
        sleep(10)
    assert get_hub().now() - began >= 0.08
    timeout.start()
    timeout.close()
    timeout.close()
    assert nothing_left()


def test_its_time_over_but_cancelled_before_the_next_wait():
    for _ in range(3):
        with Timeout(0.0005):
            spin()
        sleep(0)


def test_fired_but_not_yet_delivered_it_is_taken_back():
    # It fires while the greenlet stands in the ready queue with something else; cancel() comes before the
    # next wait.
    event = Event()
    rec = Recorder()

    def wait():
        with Timeout(0.001):
            event.wait()
            rec("woken")
        sleep(0)
        rec("not timed out")

    waiter = Greenlet.spawn(wait)
    sleep(0)

    def wake_too_late():
        event.set()
        spin()

    get_hub().run_callback(wake_too_late)
    waiter.get()
    rec.check(["woken", "not timed out"])


def test_start_new():
    timeout = Timeout.start_new(0.001)
    assert timeout.pending and Timeout.start_new(timeout) is timeout
    with pytest.raises(Timeout) as caught:
        sleep(10)
    assert caught.value is timeout
    assert Timeout.start_new(timeout).pending
    timeout.cancel()
    assert not Timeout.start_new(None).pending
    with pytest.raises(KeyError), Timeout.start_new(0.001, KeyError):
        sleep(10)


def test_with_starts_it_unless_it_is_started():
    timeout = Timeout.start_new(10)
    with timeout as same:
        assert same is timeout and timeout.pending
    assert not timeout.pending
    with timeout:
        assert timeout.pending
    assert nothing_left()


def test_a_forgotten_one_still_fires():
    Timeout(0.001).start()
    gc.collect()
    with pytest.raises(Timeout):
        sleep(10)


def test_a_subclass_may_see_it_fire():
    rec = Recorder()

    class Mine(Timeout):
        def _on_expiration(self, prev_greenlet, ex):
            rec((prev_greenlet, ex, getcurrent()))
            super()._on_expiration(prev_greenlet, ex)

    with pytest.raises(Mine) as caught, Mine(0.001):
        sleep(10)
    rec.check([(getcurrent(), caught.value, get_hub())])


def test_without_reference_it_does_not_count_as_work():
    with Timeout(10, ref=False):
        assert get_hub().join() is True


# -- in whom -------------------------------------------------------------------------------------------------


def test_raised_in_the_greenlet_that_started_it():
    rec = Recorder()

    def work():
        try:
            with Timeout(0.001):
                sleep(10)
        except Timeout:
            rec("timed out")

    worker = Greenlet.spawn(work)
    sleep(0.005)
    worker.join()
    rec.check(["timed out"])


def test_nothing_happens_if_that_greenlet_is_over():
    kept = []

    def work():
        kept.append(Timeout.start_new(0.001))

    worker = Greenlet.spawn(work)
    worker.join()
    sleep(0.005)
    assert worker.successful() and nothing_left()
    kept[0].cancel()


def test_in_a_raw_greenlet():
    rec = Recorder()

    def work():
        with Timeout(0.001, False):
            sleep(10)
        rec("over")

    spawn_raw(work)
    sleep(0.01)
    rec.check(["over"])


# -- several at once -----------------------------------------------------------------------------------------


def test_the_inner_one_first():
    rec = Recorder()
    with Timeout(10):
        try:
            with Timeout(0.001) as inner:
                sleep(10)
        except Timeout as error:
            rec(error is inner)
        sleep(0)
    rec.check([True])


def test_the_outer_one_first():
    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer:
        try:
            with Timeout(10) as inner:
                sleep(10)
        except Timeout as error:
            assert error is not inner
            raise
    assert caught.value is outer and nothing_left()


def test_both_at_the_same_time_the_first_started_wins_and_the_other_is_taken_back():
    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer, Timeout(0.001, False):
        spin()
        sleep(10)
    assert caught.value is outer
    sleep(0)
    assert nothing_left()


def test_many_with_equal_deadlines_fire_in_the_order_of_start():
    rec = Recorder()

    def work(n):
        try:
            with Timeout(0.002):
                sleep(10)
        except Timeout:
            rec(n)

    workers = [Greenlet.spawn(work, n) for n in range(100)]
    for each in workers:
        each.join()
    rec.check(range(100))


def test_one_that_fires_while_another_is_being_dealt_with():
    rec = Recorder()
    with pytest.raises(Timeout) as caught:
        with Timeout(0.004) as outer:
            try:
                with Timeout(0.001):
                    sleep(10)
            except Timeout:
                rec("inner")
            finally:
                sleep(10)
    assert caught.value is outer
    rec.check(["inner"])


# -- nothing lost --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [300])
def test_no_unit_and_no_item_is_lost_when_it_fires_at_the_hand_over(rounds):
    lock, queue = Semaphore(0), Queue()
    got = []

    def take(n):
        try:
            with Timeout(0.0002 * (n % 4)):
                got.append(queue.get())
        except Timeout:
            pass
        try:
            with Timeout(0.0002 * (n % 4)):
                lock.acquire()
            got.append("unit")
        except Timeout:
            pass

    workers = [Greenlet.spawn(take, n) for n in range(rounds)]
    for n in range(rounds):
        queue.put(n)
        lock.release()
        if n % 7 == 0:
            sleep(0.0001)
    for each in workers:
        each.join()
    items = [each for each in got if each != "unit"]
    assert sorted(items + list(queue.queue)) == list(range(rounds))
    assert got.count("unit") + lock.counter == rounds
    assert nothing_left()


# -- with_timeout --------------------------------------------------------------------------------------------


def test_with_timeout_returns_what_the_function_does():
    assert with_timeout(10, int, "12", base=8) == 10
    assert with_timeout(None, int) == 0
    assert nothing_left()


def test_with_timeout_raises_or_returns_the_value():
    with pytest.raises(Timeout, match=r"^0\.001 seconds$"):
        with_timeout(0.001, sleep, 10)
    assert with_timeout(0.001, sleep, 10, timeout_value=None) is None
    assert with_timeout(0.001, sleep, 10, timeout_value=7) == 7
    assert nothing_left()


def test_with_timeout_leaves_other_timeouts_alone():
    with pytest.raises(Timeout) as caught, Timeout(0.001) as outer:
        with_timeout(10, sleep, 10, timeout_value=7)
    assert caught.value is outer
    error = Timeout(5)

    def fail():
        raise error

    with pytest.raises(Timeout) as caught:
        with_timeout(10, fail, timeout_value=7)
    assert caught.value is error


def test_with_timeout_takes_a_timeout():
    timeout = Timeout(0.001, "mine")
    with pytest.raises(Timeout) as caught:
        with_timeout(timeout, sleep, 10)
    assert caught.value is timeout


@pytest.mark.corolib(clock=False)
def test_what_is_due_first_comes_first_also_when_the_hub_is_late() -> None:
    """A Timeout and the limit of the wait it is around: whichever is due first ends the wait."""
    hub = get_hub()
    with VirtualClock():
        for inner, outer in ((5, 1), (1, 1), (1, 5)):
            limit = Timeout(outer)
            spawn_raw(hub.move_clock, 10)  # the hub looks at its deadlines when all of them are due
            try:
                with limit:
                    found = Event().wait(inner)
            except Timeout as error:
                found = error
            assert found is (limit if outer <= inner else False), (inner, outer)


def test_a_timeout_that_does_more_than_to_raise_may_do_so() -> None:
    done = []

    class Mine(Timeout):
        def _on_expiration(self, prev_greenlet, ex):
            done.append(prev_greenlet)
            super()._on_expiration(prev_greenlet, ex)

    with pytest.raises(Mine), Mine(0.001):
        Event().wait()
    assert done == [getcurrent()]
