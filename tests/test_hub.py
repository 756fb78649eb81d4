"""corolib.hub: life and death of a hub, waiting, killing, the faces of the loop, services."""

import gc
import io
import os
import signal
import threading
import time
from weakref import ref

import pytest
from helpers import Recorder, in_thread, run_isolated

from corolib import _hub
from corolib import hub as hub_module
from corolib._switch import greenlet
from corolib.errors import BlockingSwitchOutError, InvalidSwitchError, InvalidThreadUseError
from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import (
    GreenletExit,
    Hub,
    as_error,
    get_hub,
    get_hub_if_exists,
    getcurrent,
    idle,
    kill,
    reinit,
    set_hub,
    sleep,
    spawn_raw,
)

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


@pytest.fixture
def stream():
    """What the hub of this test prints."""
    get_hub().exception_stream = stream = io.StringIO()
    return stream


# -- one per thread ------------------------------------------------------------------------------------------


@pytest.mark.corolib(clock=False)
def test_made_on_demand_and_then_the_same():
    assert get_hub_if_exists() is None
    hub = get_hub()
    assert isinstance(hub, Hub) and get_hub() is hub and get_hub_if_exists() is hub
    assert hub.parent is getcurrent()
    assert hub.main_hub and hub.thread_ident == threading.get_ident()
    assert repr(hub).startswith("<Hub at 0x") and f"thread_ident={hub.thread_ident:#x}" in repr(hub)


def test_a_thread_has_its_own_which_goes_with_it():
    def use():
        hub = get_hub()
        sleep(0)
        assert not hub.main_hub
        return hub, ref(hub)

    hub, gone = in_thread(use)
    assert hub is not get_hub()
    del hub
    gc.collect()
    assert gone() is None


def test_many_threads_make_their_first_hub_at_once():
    barrier = threading.Barrier(50)
    hubs = []

    def make():
        barrier.wait()
        hubs.append(get_hub())
        sleep(0.001)

    threads = [threading.Thread(target=make) for _ in range(50)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(hubs)) == 50


def test_destroy_and_the_next_one():
    first = get_hub()
    first.destroy()
    assert first.destroyed and "destroyed" in repr(first)
    first.destroy()
    assert get_hub_if_exists() is None
    sleep(0)
    assert get_hub() is not first
    with pytest.raises(RuntimeError, match="destroyed"):
        first.run_callback(print)


def test_destroy_in_another_thread_or_within_itself_is_refused():
    hub = get_hub()
    closed = []
    hub.service("x", lambda hub: Closing(closed))
    assert isinstance(in_thread(hub.destroy), InvalidThreadUseError)
    caught = []

    def in_hub():
        try:
            hub.destroy()
        except RuntimeError as error:
            caught.append(str(error))

    hub.run_callback(in_hub)
    sleep(0)
    assert "within itself" in caught[0]
    assert not hub.destroyed and closed == []
    sleep(0)


def test_set_hub():
    first = get_hub()
    set_hub(None)
    second = get_hub()
    assert second is not first
    set_hub(first)
    assert get_hub() is first
    second.destroy()
    assert get_hub() is first
    with pytest.raises(TypeError):
        set_hub(5)


def test_names_and_numbers():
    hub = get_hub()
    hub.name = "mine"
    assert "'mine'" in repr(hub)
    assert hub.minimal_ident >= 0 and hub.minimal_ident == hub.minimal_ident
    registry = hub.ident_registry
    a, b, c = greenlet(), greenlet(), greenlet()
    assert [registry.get_ident(each) for each in (a, b, a, c)] == [0, 1, 0, 2]
    del a
    gc.collect()
    assert registry.get_ident(greenlet()) == 0


# -- waiting -------------------------------------------------------------------------------------------------


def test_sleep_lets_others_run_first():
    rec = Recorder()
    spawn_raw(rec, "raw")
    get_hub().run_callback(rec, "callback")
    sleep(0)
    rec("main")
    sleep(-1)
    rec.check(["raw", "callback", "main"])


@pytest.mark.parametrize("bad", [None, "1", float("nan")])
def test_sleep_wants_a_number(bad):
    with pytest.raises((TypeError, ValueError)):
        sleep(bad)


def test_wait_for_a_watcher_which_is_stopped_after():
    hub = get_hub()
    timer = hub.loop.timer(0.001)
    hub.wait(timer)
    assert not timer.active
    read, write = os.pipe()
    try:
        readable = hub.loop.io(read, 1)
        hub.loop.timer(0.001).start(os.write, write, b"x")
        hub.wait(readable)
        assert os.read(read, 1) == b"x" and not readable.active
    finally:
        readable.close()
        os.close(read)
        os.close(write)


def test_wait_that_is_interrupted_stops_its_watcher():
    hub = get_hub()
    timer = hub.loop.timer(100)
    waiter = Greenlet.spawn(hub.wait, timer)
    sleep(0)
    assert timer.active
    waiter.kill()
    assert not timer.active


def test_wait_in_the_hub_is_an_error():
    hub = get_hub()
    errors = []

    def block():
        timer = hub.loop.timer(1)
        try:
            hub.wait(timer)
        except BlockingSwitchOutError as error:
            errors.append((error, timer.active))

    hub.run_callback(block)
    sleep(0)
    assert len(errors) == 1 and errors[0][1] is False


def test_wait_resumed_by_a_stranger():
    hub = get_hub()
    caught = []

    main = getcurrent()

    def wait():
        try:
            hub.wait(hub.loop.timer(100))
        except InvalidSwitchError as error:
            caught.append(str(error))
        main.switch()

    waiter = spawn_raw(wait)
    sleep(0)
    waiter.switch("hello")
    assert "'hello'" in caught[0]


def test_cancel_wait():
    hub = get_hub()
    timer = hub.loop.timer(100)
    waiter = Greenlet.spawn(hub.wait, timer)
    sleep(0)
    hub.exception_stream = None
    hub.cancel_wait(timer, OSError("closed"), close_watcher=True)
    waiter.join()
    assert isinstance(waiter.exception, OSError)
    hub.cancel_wait(timer, OSError)


def test_cancel_several_waits_and_then():
    rec = Recorder()
    hub = get_hub()
    watchers = [hub.loop.timer(100), hub.loop.timer(100), hub.loop.timer(100)]

    def wait(watcher):
        try:
            hub.wait(watcher)
        except KeyError as error:
            rec(error)

    waiters = [Greenlet.spawn(wait, each) for each in watchers[:2]]
    watchers[2].start(rec, "never")
    sleep(0)
    error = KeyError("why")
    hub.cancel_waits_close_and_then(watchers, error, rec, "then")
    rec("no switch")
    assert watchers[0].active
    for each in waiters:
        each.join()
    sleep(0)
    rec.check(["no switch", error, error, "then"])
    assert not any(each.active for each in watchers)
    with pytest.raises(TypeError):
        hub.cancel_waits_close_and_then((), "no exception", rec)


def test_who_leaves_by_hand_is_told():
    rec = Recorder()

    class Told(greenlet):
        def switch_out(self):
            assert getcurrent() is self
            rec("out")

    hub = get_hub()

    def run():
        hub.loop.timer(0).start(getcurrent().switch)
        hub.switch()
        rec("back")

    told = Told(run, hub)
    hub.run_callback(told.switch)
    hub.join()
    rec.check(["out", "back"])
    with pytest.raises(BlockingSwitchOutError, match="cannot wait"):
        hub.switch_out()


def test_an_error_in_being_told_is_the_leavers():
    class Failing(greenlet):
        def switch_out(self):
            raise KeyError("on the way out")

    caught = []

    def run():
        try:
            get_hub().switch()
        except KeyError as error:
            caught.append(str(error))

    get_hub().run_callback(Failing(run, get_hub()).switch)
    sleep(0)
    assert caught == ["'on the way out'"]


def test_switch_as_third_parties_do_it():
    hub = get_hub()
    timer = hub.loop.timer(0.001)
    timer.start(getcurrent().switch, "done")
    assert hub.switch() == "done"


def test_idle_comes_after_all_that_is_ready():
    rec = Recorder()

    def busy():
        for n in range(3):
            rec(n)
            sleep(0)

    spawn_raw(busy)
    idle()
    rec("idle")
    rec.check([0, 1, 2, "idle"])


def test_join_waits_for_all_work():
    rec = Recorder()
    assert get_hub().join() is True
    Greenlet.spawn_later(0.005, rec, "later")
    assert get_hub().join(timeout=0.001) is False
    assert get_hub().join(timeout=5) is True
    rec.check(["later"])


def test_join_is_for_the_main_greenlet():
    get_hub().exception_stream = None
    joiner = Greenlet.spawn(get_hub().join)
    joiner.join()
    assert isinstance(joiner.exception, AssertionError)


def test_join_in_a_thread():
    def use():
        Greenlet.spawn_later(0.001, int)
        # The thread that waits for this one could still put something in; so there is a limit.
        return get_hub().join(timeout=0.05)

    assert in_thread(use) in (True, False)


# -- killing -------------------------------------------------------------------------------------------------


def test_kill_a_raw_greenlet_at_its_wait():
    rec = Recorder()

    def work():
        try:
            sleep(100)
        except GreenletExit:
            rec("killed")

    victim = spawn_raw(work)
    sleep(0)
    kill(victim)
    rec("not yet")
    sleep(0)
    kill(victim)
    rec.check(["not yet", "killed"])
    assert victim.dead


def test_kill_a_raw_greenlet_before_it_ran():
    rec = Recorder()
    victim = spawn_raw(rec, "ran")
    kill(victim)
    sleep(0)
    rec.check([])
    assert victim.dead


def test_kill_one_that_was_switched_away_from_by_hand():
    rec = Recorder()
    main = getcurrent()

    def work():
        try:
            main.switch("out")
        except KeyError:
            rec("killed")
        return "its end goes to the hub"

    victim = greenlet(work)
    assert victim.switch() == "out"
    kill(victim, KeyError)
    sleep(0)
    rec.check(["killed"])
    assert victim.dead


def test_kill_one_that_nobody_has_started_takes_effect_when_somebody_does():
    fresh = greenlet(sleep)
    kill(fresh, KeyError("x"))
    sleep(0)
    with pytest.raises(KeyError, match="x"):
        fresh.switch(0)


def test_kill_main():
    kill(getcurrent(), KeyError("x"))
    with pytest.raises(KeyError, match="x"):
        sleep(0)


def test_kill_wants_an_exception():
    victim = spawn_raw(int)
    with pytest.raises(TypeError, match="expected an exception class, instance or triple, found 5"):
        kill(victim, 5)
    sleep(0)


def test_as_error():
    error = ValueError(1)
    assert as_error(error) is error
    assert type(as_error(KeyError)) is KeyError
    assert as_error((KeyError, None, None)).args == ()
    assert as_error((KeyError, "x", None)).args == ("x",)
    assert as_error((ValueError, error, None)) is error
    for bad in (None, "x", int, (int, 5, None)):
        with pytest.raises(TypeError):
            as_error(bad)


# -- the loop ------------------------------------------------------------------------------------------------


def test_watchers_of_libev_call_back_in_the_hub():
    hub = get_hub()
    rec = Recorder()
    for kind in ("prepare", "check", "idle"):
        watcher = getattr(hub.loop, kind)()
        watcher.start(lambda kind=kind, watcher=watcher: (rec((kind, getcurrent() is hub)), watcher.stop()))
    sleep(0.001)
    sleep(0.001)
    rec.check([{("prepare", True), ("check", True), ("idle", True)}])


def test_a_signal_watcher():
    hub = get_hub()
    watcher = hub.loop.signal(signal.SIGUSR2)
    event = Event()
    watcher.start(event.set)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert event.wait()
    watcher.close()
    with pytest.raises(ValueError):
        hub.loop.signal(100000)


def test_a_child_watcher():
    run_isolated("""
        import os
        from corolib.hub import get_hub

        child = os.fork()
        if child == 0:
            os._exit(3)
        watcher = get_hub().loop.child(child)
        get_hub().wait(watcher)
        assert (watcher.rpid, os.waitstatus_to_exitcode(watcher.rstatus)) == (child, 3)
    """)
    with pytest.raises(ValueError, match="trace"):
        get_hub().loop.child(1, trace=1)


def test_a_stat_watcher(tmp_path):
    path = tmp_path / "file"
    watcher = get_hub().loop.stat(str(path), interval=0.01)
    event = Event()
    watcher.start(event.set)
    path.write_text("x")
    assert event.wait()
    watcher.close()


def test_a_failing_watcher_is_reported_to_the_hub(stream):
    watcher = get_hub().loop.prepare()

    def fail():
        watcher.stop()
        raise ValueError("boom")

    watcher.start(fail)
    sleep(0.001)
    assert "ValueError: boom" in stream.getvalue()


def test_a_callback_can_be_taken_back():
    rec = Recorder()
    loop = get_hub().loop
    first = loop.run_callback(rec, 1)
    loop.run_callback_threadsafe(rec, 2)
    first.stop()
    assert not first
    sleep(0)
    rec.check([2])


def test_the_loop_belongs_to_its_hub():
    loop = get_hub().loop
    assert loop is get_hub().loop and loop.backend == get_hub().backend
    with pytest.raises(RuntimeError, match="run by its hub"):
        loop.run()
    assert loop.now() <= loop.now()
    loop.update_now()
    with pytest.raises(AttributeError):
        loop.no_such_thing
    assert loop.closing_fd(999) is False


def test_closing_a_descriptor_ends_its_waits():
    hub = get_hub()
    hub.exception_stream = None
    read, write = os.pipe()
    watcher = hub.loop.io(read, 1)
    waiter = Greenlet.spawn(watcher.wait)
    sleep(0)
    assert hub.loop.closing_fd(read) is True
    waiter.join()
    assert isinstance(waiter.exception, OSError)
    watcher.close()
    os.close(read)
    os.close(write)


# -- services ------------------------------------------------------------------------------------------------


class Closing:
    def __init__(self, closed):
        self.closed = closed

    def close(self):
        self.closed.append(self)


def test_a_service_is_made_once_and_closed_last_first():
    closed = []
    hub = get_hub()
    first = hub.service("first", lambda found: Closing(closed))
    assert hub.service("first", lambda found: 1 / 0) is first
    second = hub.service("second", lambda found: Closing(closed))
    plain = hub.service("plain", lambda found: found)
    assert plain is hub
    hub.destroy()
    assert closed == [second, first]


def test_the_thread_pool_of_a_hub():
    from corolib.threadpool import ThreadPool

    hub = get_hub()
    assert isinstance(hub.threadpool, ThreadPool) and hub.threadpool is hub.threadpool
    own = ThreadPool(1)
    hub.threadpool = own
    assert hub.threadpool is own
    del hub.threadpool
    assert hub.threadpool is not own


def test_services_bring_their_modules_with_them():
    run_isolated("""
        import sys
        from corolib.hub import get_hub

        hub = get_hub()
        assert "corolib.threadpool" not in sys.modules and "corolib.resolver" not in sys.modules
        assert hub.threadpool.apply(int, ("5",)) == 5
        assert hub.resolver.getaddrinfo("127.0.0.1", 80)
        hub.resolver = 5
        assert hub.resolver == 5
        del hub.resolver
        assert hub.resolver.gethostbyname("127.0.0.1") == "127.0.0.1"
    """)


def test_the_class_and_size_of_the_thread_pool_can_be_chosen(monkeypatch):
    made = []

    def make(*arguments):
        made.append(arguments)
        return "a pool"

    class WithOwn(Hub):
        threadpool_size = 3

    hub = WithOwn()
    assert hub.threadpool_class.__name__ == "ThreadPool"
    hub.threadpool_class = make
    assert hub.threadpool == "a pool" and made == [(3, hub, 5.0)]
    hub.destroy()
    monkeypatch.setattr(hub_module.config, "threadpool_size", 4)
    assert get_hub().threadpool_size == get_hub().threadpool.maxsize == 4
    get_hub().destroy()
    monkeypatch.setattr(hub_module.config, "threadpool", make)
    assert get_hub().threadpool == "a pool"


def test_the_class_of_the_resolver_can_be_chosen(monkeypatch):
    class Own:
        def __init__(self, hub):
            self.hub = hub

    hub = get_hub()
    assert hub.resolver_class.__name__ == "ThreadResolver"
    hub.resolver_class = Own
    assert type(hub.resolver) is Own
    assert hub.resolver.hub is hub
    hub.destroy()
    monkeypatch.setattr(hub_module.config, "resolver", ["nowhere.Resolver", "block"])
    assert get_hub().resolver_class.__name__ == "BlockingResolver"
    get_hub().destroy()
    monkeypatch.setattr(hub_module.config, "resolver", "carrier_pigeon")
    with pytest.raises(ImportError, match="carrier_pigeon"):
        get_hub().resolver


def test_the_thread_that_watches_a_hub(monkeypatch):
    stopped = []

    class Monitor:
        def __init__(self, hub):
            self.hub = hub

        def kill(self):
            stopped.append(self)

    monkeypatch.setitem(Hub.factories, "periodic_monitoring_thread", Monitor)
    hub = get_hub()
    assert hub.periodic_monitoring_thread is None
    monitor = hub.start_periodic_monitoring_thread()
    assert monitor.hub is hub and hub.start_periodic_monitoring_thread() is monitor
    assert hub.periodic_monitoring_thread is monitor
    hub.destroy()
    assert stopped == [monitor]
    monkeypatch.setattr(hub_module.config, "monitor_thread", True)
    sleep(0)
    turned = get_hub().periodic_monitoring_thread
    assert turned.hub is get_hub()
    assert in_thread(lambda: (sleep(0), get_hub().periodic_monitoring_thread)) == (None, None)


def test_names_from_above():
    from corolib import _waiting
    from corolib import greenlet as greenlet_module

    assert hub_module.Waiter is _waiting.Waiter
    assert hub_module.wait is _waiting.wait and hub_module.iwait is _waiting.iwait
    assert hub_module.linkproxy is greenlet_module.linkproxy
    assert {"Waiter", "signal"} <= set(dir(hub_module))
    assert hub_module._get_hub_noargs is get_hub and hub_module._get_hub is get_hub_if_exists
    with pytest.raises(AttributeError, match=r"'corolib\.hub' has no attribute 'nothing'"):
        hub_module.nothing
    assert hub_module.MAIN_THREAD_IDENT == threading.main_thread().ident


def test_a_link_proxy_calls_once():
    calls = []
    proxy = hub_module.linkproxy(calls.append, "object")
    proxy("whatever")
    proxy()
    assert calls == ["object"] and proxy.callback is None and proxy.obj is None


# -- fork ----------------------------------------------------------------------------------------------------


def test_the_child_of_a_fork_has_a_working_hub():
    done = run_isolated("""
        import os, sys
        from corolib.greenlet import Greenlet
        from corolib.hub import get_hub, reinit, sleep

        class Service:
            def after_fork(self):
                print("renewed in", "child" if os.getpid() != parent else "parent", flush=True)

        parent = os.getpid()
        get_hub().service("x", lambda hub: Service())
        sleeper = Greenlet.spawn(sleep, 0.01)
        sleep(0)
        child = os.fork()
        if child == 0:
            sleeper.join()
            sleep(0.01)
            os.write(1, b"child is fine\\n")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        sleeper.join()
        reinit()
        print("parent is fine")
    """)
    assert done.stdout == "renewed in child\nchild is fine\nparent is fine\n"


@pytest.mark.corolib(clock=False)
def test_reinit_without_a_hub_does_nothing():
    reinit()
    assert get_hub_if_exists() is None


def test_an_unknown_backend(monkeypatch):
    monkeypatch.setattr(hub_module.config, "libev_backend", "carrier pigeon")
    with pytest.raises(ValueError, match="carrier pigeon"):
        Hub()
    monkeypatch.setattr(hub_module.config, "libev_backend", "select")
    hub = Hub()
    assert hub.backend == "select"
    hub.destroy()


def test_everything_public_exists():
    assert all(hasattr(hub_module, name) for name in hub_module.__all__)
    assert hub_module.sleep is _hub.sleep


def test_the_hub_of_a_thread_that_sleeps_in_its_poll_is_not_destroyed_by_another_thread():
    """Such a thread runs no Python code that sys._current_frames() would show."""
    hubs, event = [], Event()

    def other():
        hubs.append(get_hub())
        return event.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    while not (hubs and hubs[0].polling):
        time.sleep(0.001)
    with pytest.raises(InvalidThreadUseError, match="in its own thread only"):
        hubs[0].destroy()
    event.set()
    thread.join()
