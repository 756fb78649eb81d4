"""The C Greenlet: its states, result, links and joiners."""

from contextvars import ContextVar

import pytest
from helpers import Recorder, run_isolated

from corolib import _hub
from corolib._hub import Greenlet
from corolib._switch import GreenletExit, getcurrent
from corolib.hub import get_hub

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


class Late(Exception):
    """What get() raises when its time is over; corolib.greenlet has Timeout in its place."""


class Job(Greenlet):
    @staticmethod
    def _timeout_error(seconds):
        return Late(seconds)


@pytest.fixture
def errors():
    rec = Recorder()
    get_hub().handle_error = lambda context, type, value, tb: rec((context, value))
    return rec


def test_spawn_runs_when_the_caller_waits():
    rec = Recorder()
    job = Greenlet.spawn(lambda *args, **kwargs: rec((args, kwargs)), 1, 2, key=3)
    assert job.started and job and not job.dead and not job.ready()
    assert job.args == (1, 2) and job.kwargs == {"key": 3}
    rec.check([])
    _hub.sleep(0)
    rec.check([((1, 2), {"key": 3})])
    assert job.dead and job.ready() and job.successful() and not job.started and not job
    assert job.args == () and job.kwargs == {}


def test_get_returns_the_result_at_once_or_after_waiting():
    job = Greenlet.spawn(lambda: "result")
    assert job.get() == "result"
    assert job.get(block=False) == "result"
    assert job.value == "result" and job.exception is None and job.exc_info == ()


def test_get_raises_what_the_greenlet_raised(errors):
    error = KeyError("k")

    def fail():
        raise error

    job = Greenlet.spawn(fail)
    with pytest.raises(KeyError) as caught:
        job.get()
    assert caught.value is error
    assert job.exception is error and job.exc_info[:2] == (KeyError, error)
    assert not job.successful()
    errors.check([(job, error)])


def test_get_in_time_or_not_at_all():
    job = Job.spawn(_hub.sleep, 0.02)
    with pytest.raises(Late):
        job.get(block=False)
    with pytest.raises(Late):
        job.get(timeout=0.001)
    assert job.get(timeout=5) is None


def test_join_returns_none_and_takes_a_timeout():
    job = Greenlet.spawn(_hub.sleep, 0.02)
    assert job.join(timeout=0.001) is None
    assert not job.ready()
    assert job.join() is None
    assert job.ready()
    assert job.join() is None


def test_all_joiners_wake_in_order():
    rec = Recorder()
    job = Greenlet.spawn(_hub.sleep, 0.001)
    for name in "abc":
        _hub.spawn_raw(lambda name=name: (job.join(), rec(name)))
    _hub.sleep(0)
    assert job.has_links() == 3
    job.join()
    _hub.sleep(0)
    rec.check(["a", "b", "c"])


def test_greenlet_exit_is_a_result(errors):
    exit = GreenletExit()

    def leave():
        raise exit

    job = Greenlet.spawn(leave)
    assert job.get() is exit
    assert job.successful()
    errors.check([])


def test_spawn_later():
    rec = Recorder()
    job = Greenlet.spawn_later(0.01, rec, "late")
    _hub.spawn_raw(rec, "soon")
    _hub.sleep(0)
    assert job.started
    job.join()
    rec.check(["soon", "late"])


def test_start_is_idempotent():
    rec = Recorder()
    job = Greenlet(rec, "ran")
    assert not job.started
    job.start()
    job.start()
    job.start_later(0)
    job.join()
    job.start()
    _hub.sleep(0)
    rec.check(["ran"])


def test_cancel_before_the_start():
    rec = Recorder()
    for job in (Greenlet(rec, 1), Greenlet.spawn(rec, 2), Greenlet.spawn_later(3600, rec, 3)):
        assert job.cancel() is True
        assert job.dead and job.ready() and isinstance(job.get(), GreenletExit)
    _hub.sleep(0)
    rec.check([])
    assert get_hub().deadline_count == 0


def test_cancel_with_an_error_and_after_the_start(errors):
    error = KeyError()
    job = Greenlet.spawn(print)
    assert job.cancel(error)
    assert job.exception is error
    errors.check([(job, error)])
    running = Greenlet.spawn(_hub.sleep, 0.001)
    _hub.sleep(0)
    assert running.cancel() is False
    running.join()


def test_interrupt_ends_a_waiting_greenlet():
    rec = Recorder()

    def wait():
        try:
            _hub.sleep(3600)
        finally:
            rec("finally")

    job = Greenlet.spawn(wait)
    _hub.sleep(0)
    _hub.interrupt(job, GreenletExit())
    job.join()
    rec.check(["finally"])
    assert job.successful()


def test_links_are_called_in_order_in_the_hub_also_when_late():
    rec = Recorder()
    job = Greenlet.spawn(rec, "run")
    job.rawlink(lambda g: rec(("first", g is job, getcurrent() is get_hub())))
    job.rawlink(lambda g: rec("second"))
    assert job.has_links() == 2
    job.join()
    _hub.sleep(0)
    job.rawlink(lambda g: rec("late"))
    _hub.sleep(0)
    rec.check(["run", ("first", True, True), "second", "late"])


def test_unlink():
    rec = Recorder()
    job = Greenlet.spawn(rec, "run")

    def link(job):
        rec("link")

    job.rawlink(link)
    job.unlink(link)
    job.unlink(link)
    job.rawlink(link)
    job.unlink_all()
    assert job.has_links() == 0
    job.join()
    _hub.sleep(0)
    rec.check(["run"])


def test_an_error_in_a_link_is_reported_and_the_others_are_called(errors):
    rec, error = Recorder(), KeyError()

    def fail(job):
        raise error

    job = Greenlet.spawn(rec, "run")
    job.rawlink(fail)
    job.rawlink(lambda g: rec("after"))
    job.join()
    _hub.sleep(0)
    rec.check(["run", "after"])
    errors.check([((fail, job), error)])


def test_subclass_with_run_of_its_own():
    class Own(Greenlet):
        def __init__(self, number):
            super().__init__()
            self.number = number

        def _run(self):
            return self.number

    assert Own.spawn(7).get() == 7


def test_context_is_a_copy_of_the_spawners():
    var = ContextVar("var", default="none")
    var.set("spawner")
    rec = Recorder()

    def child():
        rec(var.get())
        var.set("child")

    Greenlet.spawn(child).join()
    assert var.get() == "spawner"
    _hub.spawn_raw(lambda: rec(var.get()))
    _hub.sleep(0)
    rec.check(["spawner", "none"])


@pytest.mark.parametrize("bad", [3, "text", object()])
def test_spawn_refuses_what_is_not_callable(bad):
    with pytest.raises(TypeError, match="callable"):
        Greenlet.spawn(bad)
    with pytest.raises(TypeError, match="callable"):
        Greenlet(bad)


def test_spawn_later_refuses_bad_times():
    for bad in (None, "x"):
        with pytest.raises(TypeError):
            Greenlet.spawn_later(bad, print)


def test_a_greenlet_switched_to_by_hand_runs_once(errors):
    rec = Recorder()
    job = Greenlet.spawn_later(3600, rec, "ran")
    job.parent = getcurrent()
    job.switch()
    assert job.ready()
    assert get_hub().deadline_count == 0
    rec.check(["ran"])


def test_generic_alias():
    assert Greenlet[int].__origin__ is Greenlet


def test_no_memory_is_lost_by_greenlets_that_come_and_go():
    done = run_isolated(
        """
        import gc, sys
        from corolib import _hub
        from corolib._hub import Greenlet
        from corolib.hub import get_hub

        def fail():
            raise KeyError

        def rounds(count):
            for _ in range(count):
                Greenlet.spawn(int).get()
                Greenlet.spawn(fail).join()
                Greenlet.spawn_later(3600, int).cancel()
                Greenlet(int)
                _hub.spawn_raw(int)
                _hub.sleep(0)
            gc.collect()
            return sys.getallocatedblocks()

        get_hub().handle_error = lambda *error: None
        rounds(200)
        print(rounds(1000) - rounds(200))
        """
    )
    assert abs(int(done.stdout)) < 100
