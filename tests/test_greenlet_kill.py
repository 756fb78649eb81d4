"""corolib.greenlet: killing, at every point of a life."""

import io
import threading

import pytest
from helpers import Recorder

from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import GreenletExit, get_hub, getcurrent, sleep
from corolib.timeout import Timeout

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


@pytest.fixture(autouse=True)
def stream():
    """What the hub of this test prints."""
    get_hub().exception_stream = stream = io.StringIO()
    return stream


# -- killing -------------------------------------------------------------------------------------------------


def test_killed_before_the_start():
    rec = Recorder()
    made = Greenlet(rec, "ran")
    made.link(lambda source: rec("link"))
    made.kill()
    assert made.dead and made.ready() and made.successful() and isinstance(made.value, GreenletExit)
    made.start()
    sleep(0.001)
    rec.check(["link"])


@pytest.mark.parametrize("start", [Greenlet.spawn, lambda *args: Greenlet.spawn_later(0.001, *args)])
def test_killed_before_it_ran(start):
    rec = Recorder()
    made = start(rec, "ran")
    made.rawlink(lambda source: rec("link"))
    made.kill()
    assert made.dead and made.successful() and not made.started
    sleep(0.005)
    rec.check(["link"])
    assert get_hub().deadline_count == 0


def test_killed_before_it_ran_with_an_exception(stream):
    made = Greenlet.spawn(int)
    made.kill(KeyError("early"))
    assert made.dead and isinstance(made.exception, KeyError) and "early" in stream.getvalue()


@pytest.mark.parametrize("exception", [GreenletExit, GreenletExit("now"), (GreenletExit, None, None)])
def test_killed_while_it_waits(exception):
    rec = Recorder()

    def work():
        try:
            sleep(10)
        finally:
            rec("cleaned up")
            sleep(0)
            rec("and waited")

    made = Greenlet.spawn(work)
    sleep(0)
    assert made.kill(exception) is None
    rec.check(["cleaned up", "and waited"])
    assert made.dead and made.successful() and isinstance(made.value, GreenletExit)
    assert get_hub().deadline_count == 0


def test_killed_with_an_exception_of_ones_own(stream):
    made = Greenlet.spawn(sleep, 10)
    sleep(0)
    made.kill(KeyError("x"))
    assert isinstance(made.exception, KeyError) and "KeyError: 'x'" in stream.getvalue()


def test_killed_and_not_waited_for():
    made = Greenlet.spawn(sleep, 10)
    sleep(0)
    made.kill(block=False)
    assert not made.dead
    sleep(0)
    assert made.dead


def test_a_kill_that_is_refused_ends_with_its_time_limit():
    def stubborn():
        for _ in range(2):
            try:
                sleep(0.01)
            except GreenletExit:
                pass

    made = Greenlet.spawn(stubborn)
    sleep(0)
    made.kill(timeout=0.001)
    assert not made.dead
    made.join()
    assert made.value is None


def test_killed_when_it_has_been_woken_it_sees_the_value_and_dies_at_its_next_wait():
    rec = Recorder()
    event = Event()

    def work():
        rec(event.wait())
        sleep(0)
        rec("not reached")

    made = Greenlet.spawn(work)
    sleep(0)
    event.set()
    made.kill()
    rec.check([True])


def test_killing_a_finished_one_does_nothing():
    made = Greenlet.spawn(int)
    made.join()
    made.kill(KeyError)
    made.kill(5)
    assert made.value == 0


def test_killing_oneself():
    rec = Recorder()

    def work():
        getcurrent().kill(block=False)
        rec("still here")
        getcurrent().kill()
        rec("not reached")

    made = Greenlet.spawn(work)
    made.join()
    rec.check(["still here"])
    assert isinstance(made.value, GreenletExit)


def test_killed_twice_it_gets_both():
    rec = Recorder()

    def work():
        for _ in range(2):
            try:
                sleep(10)
            except GreenletExit as error:
                rec(error.args[0])

    made = Greenlet.spawn(work)
    sleep(0)
    made.kill(GreenletExit(1), block=False)
    made.kill(GreenletExit(2), block=False)
    made.join()
    rec.check([1, 2])


def test_killed_from_another_thread():
    made = Greenlet.spawn(sleep, 10)
    sleep(0)
    thread = threading.Thread(target=made.kill)
    thread.start()
    made.join()
    while thread.is_alive():
        sleep(0.001)
    assert isinstance(made.value, GreenletExit)


def test_killing_wants_an_exception():
    made = Greenlet.spawn(int)
    with pytest.raises(TypeError, match="expected an exception class"):
        made.kill(5)
    made.join()


def test_throw_switches_at_once():
    rec = Recorder()
    main = getcurrent()

    def work():
        try:
            sleep(10)
        except KeyError:
            rec("hit")
            main.switch()

    made = Greenlet.spawn(work)
    sleep(0)
    made.throw(KeyError("x"))
    rec("main")
    rec.check(["hit", "main"])
    sleep(0)


def test_throw_before_it_ran():
    rec = Recorder()
    made = Greenlet.spawn(rec)
    assert made.throw(KeyError, "x") is None
    assert isinstance(made.exception, KeyError)
    made = Greenlet(rec)
    made.throw()
    assert isinstance(made.value, GreenletExit)
    sleep(0)
    rec.check([])


def test_with_joins_and_then_kills():
    rec = Recorder()
    with Greenlet.spawn(rec, "ran") as made:
        rec("body")
    assert made.ready()
    rec.check(["body", "ran"])
    with pytest.raises(KeyError), Greenlet.spawn(sleep, 10) as made:
        sleep(0)
        raise KeyError
    assert isinstance(made.exception, KeyError)
    with pytest.raises(Timeout), Timeout(0.001):
        with Greenlet.spawn(sleep, 10) as made:
            pass
    assert isinstance(made.value, GreenletExit)
