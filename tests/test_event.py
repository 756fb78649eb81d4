"""corolib.event: Event and AsyncResult."""

import gc
import threading
import traceback
from weakref import ref

import pytest
from helpers import Recorder, in_thread

from corolib.errors import BlockingSwitchOutError, LoopExit
from corolib.event import AsyncResult, Event
from corolib.greenlet import Greenlet, joinall
from corolib.hub import get_hub, get_hub_if_exists, getcurrent, sleep, spawn_raw
from corolib.timeout import Timeout

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)

# -- Event ---------------------------------------------------------------------------------------------------


def test_set_and_clear():
    event = Event()
    assert not event.is_set() and not event.ready() and not event.isSet()
    event.set()
    assert event.is_set() and event.ready() and event.wait() is True
    event.clear()
    assert not event.is_set()


def test_waiters_are_woken_in_the_order_of_arrival_even_if_it_is_cleared_at_once():
    rec = Recorder()
    event = Event()
    waiters = [Greenlet.spawn(lambda n=n: rec((n, event.wait()))) for n in range(5)]
    sleep(0)
    assert "waiting=5" in repr(event) and "cleared" in repr(event)
    event.set()
    event.clear()
    rec("set")
    for each in waiters:
        each.join()
    rec.check(["set", *[(n, True) for n in range(5)]])
    assert not event.is_set()


def test_wait_with_a_timeout():
    event = Event()
    assert event.wait(0) is False
    assert event.wait(0.001) is False
    assert event.wait(-1) is False
    get_hub().loop.timer(0.001).start(event.set)
    assert event.wait(10) is True
    assert event.wait(0) is True


@pytest.mark.parametrize("timeout", ["1", float("nan"), []])
def test_a_timeout_that_is_no_number(timeout):
    with pytest.raises((TypeError, ValueError)):
        Event().wait(timeout)


def test_killed_while_it_waits():
    event = Event()
    waiters = [Greenlet.spawn(event.wait) for _ in range(3)]
    sleep(0)
    waiters[1].kill()
    event.set()
    assert waiters[0].get() and waiters[2].get() and waiters[1].get().__class__.__name__ == "GreenletExit"


def test_wait_in_the_hub():
    caught = []
    event = Event()

    def block():
        try:
            event.wait()
        except BlockingSwitchOutError as error:
            caught.append(error)
        event.set()
        caught.append(event.wait())

    get_hub().run_callback(block)
    sleep(0)
    assert len(caught) == 2 and caught[1] is True


def test_links_of_an_event_see_it_once_each():
    rec = Recorder()
    event = Event()
    event.rawlink(lambda source: rec((source is event, event.is_set())))
    event.set()
    event.clear()
    sleep(0)
    event.set()
    sleep(0)
    rec.check([(True, False)])


def test_nobody_sets_it():
    with pytest.raises(LoopExit, match="waits for Event <Event at"):
        Event().wait()


@pytest.mark.parametrize("kind", [Event, AsyncResult])
def test_a_dropped_one_is_freed_at_once(kind):
    gc.collect()
    gc.disable()
    try:
        dropped = kind()
        waiter = Greenlet.spawn(dropped.wait)
        sleep(0)
        dropped.set()
        waiter.join()
        gone = ref(dropped)
        del dropped, waiter
        assert gone() is None
    finally:
        gc.enable()


def test_who_finds_it_set_goes_on_after_those_who_waited():
    rec = Recorder()
    event = Event()
    waiters = [Greenlet.spawn(lambda n=n: (event.wait(), rec(n))) for n in range(2)]
    sleep(0)
    event.set()
    assert event.wait() is True
    rec("late")
    event.wait()
    rec("nobody is on the way")
    joinall(waiters)
    rec.check([0, 1, "late", "nobody is on the way"])


def test_who_finds_it_set_does_not_wait_for_one_that_was_hit_or_in_the_hub():
    event = Event()
    main = getcurrent()

    def victim():
        try:
            event.wait()
        except KeyError:
            main.switch()

    hit = spawn_raw(victim)
    sleep(0)
    event.set()
    found = []
    get_hub().run_callback(lambda: found.append(event.wait()))
    hit.throw(KeyError)
    other = Greenlet.spawn(int)
    event.wait()
    assert not other.ready()
    other.join()
    assert found == [True]


def test_the_hub_of_a_primitive_is_that_of_the_thread():
    for made in (Event(), AsyncResult()):
        assert in_thread(lambda made=made: made.hub) is None
        assert made.hub is get_hub_if_exists()
        hub = get_hub()
        assert made.hub is hub


def test_what_threading_makes_anew_after_a_fork_keeps_who_waits():
    event = Event()
    waiter = Greenlet.spawn(event.wait)
    sleep(0)
    event._at_fork_reinit()
    event.set()
    assert waiter.get() is True
    event._at_fork_reinit()
    assert event.is_set()


# -- across threads ------------------------------------------------------------------------------------------


def test_set_by_a_thread_without_a_hub():
    event = Event()
    for _ in range(20):
        threading.Thread(target=event.set).start()
        assert event.wait() is True
        event.clear()


def test_waited_for_in_several_threads():
    event, result = Event(), AsyncResult()
    got = []

    def wait():
        got.append((event.wait(), result.get()))

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for each in threads:
        each.start()
    while len(event._waiting or ()) < 5:
        sleep(0.001)
    event.set()
    result.set(7)
    for each in threads:
        each.join()
    assert got == [(True, 7)] * 5


def test_ping_pong_between_threads_loses_nothing():
    ping, pong = Event(), Event()
    rounds = 300

    def other():
        for _ in range(rounds):
            ping.wait()
            ping.clear()
            pong.set()

    thread = threading.Thread(target=other)
    thread.start()
    for _ in range(rounds):
        ping.set()
        pong.wait()
        pong.clear()
    thread.join()


# -- AsyncResult ---------------------------------------------------------------------------------------------


def test_a_value():
    result = AsyncResult()
    assert not result.ready() and not result.successful() and result.value is None
    assert repr(result).endswith("unset>")
    getter = Greenlet.spawn(result.get)
    sleep(0)
    assert "waiting=1" in repr(result)
    result.set(5)
    assert getter.get() == 5 and result.get() == result.wait() == result.value == result.result() == 5
    assert result.ready() and result.done() and result.successful() and result.exception is None
    assert result.exc_info == () and result.get_nowait() == 5 and repr(result).endswith("value=5>")


def test_none_is_a_value():
    result = AsyncResult()
    result.set()
    assert result.ready() and result.successful() and result.get(block=False) is None


def test_an_exception():
    result = AsyncResult()
    caught = []

    def get():
        try:
            result.get()
        except KeyError as error:
            caught.append(error)

    getter = Greenlet.spawn(get)
    sleep(0)
    error = KeyError("x")
    result.set_exception(error)
    getter.join()
    assert caught == [error]
    assert result.ready() and not result.successful() and result.exception is error and result.value is None
    assert result.exc_info == (KeyError, error, None)
    assert result.wait() is None
    with pytest.raises(KeyError):
        result.get_nowait()
    assert repr(result).endswith("exception=KeyError('x')>")


def test_an_exception_keeps_its_traceback_however_often_it_is_raised():
    def fail():
        raise ValueError

    result = AsyncResult()
    try:
        fail()
    except ValueError as error:
        result.set_exception(error)
    depths = []
    for _ in range(3):
        try:
            result.get()
        except ValueError as error:
            frames = traceback.extract_tb(error.__traceback__)
            assert frames[-1].name == "fail"
            depths.append(len(frames))
    assert len(set(depths)) == 1


def test_only_an_exception_is_taken_for_one():
    with pytest.raises(TypeError, match="expected an exception instance, found 'x'"):
        AsyncResult().set_exception("x")


def test_not_in_time():
    result = AsyncResult()
    with pytest.raises(Timeout, match=r"^0\.001 seconds$"):
        result.get(timeout=0.001)
    with pytest.raises(Timeout) as caught:
        result.get(block=False)
    assert str(caught.value) == ""
    with pytest.raises(Timeout):
        result.get_nowait()
    with pytest.raises(Timeout):
        result.result(timeout=0)
    assert result.wait(timeout=0.001) is None


def test_set_again_replaces_and_a_value_goes_before_an_exception():
    result = AsyncResult()
    result.set_exception(KeyError("x"))
    result.set(1)
    assert result.get() == 1 and isinstance(result.exception, KeyError)
    result.set(2)
    assert result.get() == 2


def test_it_is_not_cancelled():
    assert AsyncResult().cancel() is False and AsyncResult().cancelled() is False


def test_the_target_of_a_link():
    get_hub().exception_stream = None
    good, bad = AsyncResult(), AsyncResult()
    Greenlet.spawn(int, "5").link(good)
    failed = Greenlet.spawn(int, "x")
    failed.link(bad)
    assert good.get() == 5
    with pytest.raises(ValueError):
        bad.get()
    assert bad.exception is failed.exception


def test_links_of_a_result():
    rec = Recorder()
    result = AsyncResult()
    result.rawlink(lambda source: rec(source.value))
    result.set(3)
    rec("set")
    sleep(0)
    rec.check(["set", 3])


def test_a_waiter_that_is_killed_leaves_the_others():
    result = AsyncResult()
    waiters = [Greenlet.spawn(result.get) for _ in range(3)]
    sleep(0)
    waiters[0].kill()
    result.set(1)
    assert [each.get() for each in waiters[1:]] == [1, 1]


def test_getters_are_woken_in_the_order_of_arrival():
    rec = Recorder()
    result = AsyncResult()
    for n in range(4):
        spawn_raw(lambda n=n: rec((n, result.get())))
    sleep(0)
    result.set("x")
    sleep(0)
    rec.check([(n, "x") for n in range(4)])


def test_a_type_argument():
    result: AsyncResult[int] = AsyncResult[int]()
    result.set(1)
    assert result.get() == 1
