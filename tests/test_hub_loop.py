"""corolib._loop: what `hub.loop` tells of itself, and what all its watchers have in common."""

import io
import os
import re
import signal

import pytest
from helpers import Recorder, in_thread, run_isolated

from corolib import _ev, _hub
from corolib.errors import HubDestroyed
from corolib.greenlet import Greenlet
from corolib.hub import Hub, HubLoop, get_hub, get_loop, getcurrent, set_loop, sleep


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def turn(hub):
    """One turn of the loop, with a poll in it."""
    rec = Recorder()
    hub.loop.timer(0).start(rec, "polled")
    while not rec.items:
        sleep(0)


# -- what it is ----------------------------------------------------------------------------------------------


def test_what_the_loop_tells_of_itself(monkeypatch):
    from corolib.hub import config

    monkeypatch.setattr(config, "libev_backend", "poll")
    hub = Hub()
    loop = hub.loop
    assert (loop.MINPRI, loop.MAXPRI) == (-2, 2)
    assert loop.backend == "poll" and loop.backend_int == _ev.loop.BACKENDS["poll"]
    assert loop.origflags == ["poll"] and loop.origflags_int == loop.backend_int
    assert loop.default is False and loop.sigfd == -1
    assert 0 < loop.approx_timer_resolution < 0.01
    assert isinstance(loop.ptr, int) and loop.ptr > 0
    assert loop.iteration == 0 and loop.depth == 0
    assert loop.error_handler is hub
    loop.verify()
    loop.install_sigchld()
    loop.reset_sigchld()
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    hub.destroy()


def test_without_a_choice_there_are_no_original_flags(monkeypatch):
    monkeypatch.delenv("LIBEV_FLAGS", raising=False)
    assert get_hub().loop.origflags == [] and get_hub().loop.origflags_int == 0


def test_active_and_pending_are_counted_in_both_halves():
    loop = get_hub().loop
    assert (loop.activecnt, loop.pendingcnt) == (0, 0)
    watchers = [loop.timer(100), loop.async_(), loop.timer(100, ref=False)]
    for each in watchers:
        each.start(print)
    assert loop.activecnt == 2
    loop.ref()
    assert loop.activecnt == 3
    loop.unref()
    loop.run_callback(int)
    assert loop.pendingcnt == 1
    sleep(0)
    assert loop.pendingcnt == 0
    for each in watchers:
        each.stop()
    assert loop.activecnt == 0


def test_the_loop_is_destroyed_with_its_hub_only():
    loop = get_hub().loop
    with pytest.raises(RuntimeError, match=r"hub\.destroy\(\)"):
        loop.destroy()
    with pytest.raises(RuntimeError, match="run by its hub"):
        loop.run()
    sleep(0.001)


def test_an_error_given_to_the_loop_is_the_hubs():
    hub = get_hub()
    hub.exception_stream = stream = io.StringIO()
    hub.loop.handle_error("the context", ValueError, ValueError("text"), None)
    assert "ValueError: text" in stream.getvalue() and "'the context' failed" in stream.getvalue()


def test_reinit_leaves_a_working_loop(pipe):
    """In the parent it does no harm: what threads are doing is not forgotten."""
    hub = get_hub()
    read, write = pipe
    readable = hub.loop.io(read, 1)
    hub.external_enter()
    hub.loop.reinit()
    assert hub.live_count == 1
    hub.external_leave()
    os.write(write, b"x")
    hub.wait(readable)
    assert os.read(read, 1) == b"x"


def test_a_callback_from_another_thread():
    rec = Recorder()
    loop = get_hub().loop
    loop.async_().start(print)  # something that may happen: no deadlock
    in_thread(lambda: loop.run_callback_threadsafe(rec, "called"))
    sleep(0)
    rec.check(["called"])


# -- the next hub's loop -------------------------------------------------------------------------------------


def test_a_loop_left_by_a_hub_is_run_by_the_next_one():
    rec = Recorder()
    first = get_hub()
    loop = first.loop
    called = loop.async_()
    called.start(rec, "async")
    sleep(0)
    assert get_loop() is None
    first.destroy(destroy_loop=False)
    assert get_loop() is loop
    called.send()
    second = get_hub()
    assert second is not first and second.loop is loop and get_loop() is None
    assert loop.error_handler is second
    turn(second)
    rec.check(["async"])
    called.stop()


def test_set_loop_for_the_next_hub_and_for_this_thread_only():
    loop = get_hub().loop
    get_hub().destroy(destroy_loop=False)
    set_loop(None)
    other = get_hub()
    assert other.loop is not loop
    set_loop(loop)
    assert in_thread(lambda: (get_loop(), get_hub().loop is loop)) == (None, False)
    other.destroy()
    assert get_hub().loop is loop


def test_a_hub_made_with_a_loop():
    loop = get_hub().loop
    with pytest.raises(ValueError, match="run by its hub"):
        Hub(loop)
    get_hub().destroy(destroy_loop=False)
    set_loop(None)
    hub = Hub(loop, default=False)
    assert hub.loop is loop
    hub.destroy()
    with pytest.raises(ValueError, match="destroyed"):
        Hub(loop)
    with pytest.raises(TypeError, match="found int"):
        Hub(5)
    with pytest.raises(TypeError, match="found int"):
        set_loop(5)


def test_a_callback_that_was_left_by_hand_ends_with_its_hub():
    found = []

    def leave():
        try:
            main.switch()
        except HubDestroyed as error:
            found.append(error.destroy_loop)
            raise

    for asked, told in ((None, True), (True, True), (False, False)):
        main = getcurrent()
        hub = get_hub()
        hub.run_callback(leave)
        hub.switch()  # leave() comes back
        hub.destroy(asked)
        assert found.pop() is told


# -- all watchers --------------------------------------------------------------------------------------------

MAKE = {
    "io": lambda loop, fd: loop.io(fd, 1),
    "timer": lambda loop, fd: loop.timer(100),
    "signal": lambda loop, fd: loop.signal(signal.SIGUSR2),
    "idle": lambda loop, fd: loop.idle(),
    "prepare": lambda loop, fd: loop.prepare(),
    "check": lambda loop, fd: loop.check(),
    "fork": lambda loop, fd: loop.fork(),
    "async_": lambda loop, fd: loop.async_(),
    "child": lambda loop, fd: loop.child(os.getppid()),
    "stat": lambda loop, fd: loop.stat("/"),
}


@pytest.fixture(params=MAKE)
def watcher(request, pipe):
    made = MAKE[request.param](get_hub().loop, pipe[0])
    yield made
    made.close()


def test_what_all_watchers_have(watcher):
    loop = get_hub().loop
    assert isinstance(watcher, loop.WatcherType) and not isinstance(loop, loop.WatcherType)
    assert watcher.loop in (loop, loop._loop)
    assert not watcher.active and not watcher.pending
    assert watcher.callback is None and not watcher.args
    watcher.start(print, 1, 2)
    assert watcher.active and not watcher.pending
    assert watcher.callback is print and watcher.args == (1, 2)
    watcher.stop()
    assert not watcher.active and watcher.callback is None and not watcher.args


def test_reference_and_priority(watcher):
    loop = get_hub().loop
    assert watcher.ref is True and watcher.priority == 0
    watcher.priority = 2
    assert watcher.priority == 2
    with pytest.raises(ValueError, match="expected -2 to 2, found 3"):
        watcher.priority = 3
    watcher.start(print)
    with pytest.raises(AttributeError, match="stop"):
        watcher.priority = 1
    assert watcher.priority == 2
    counted = loop.activecnt
    watcher.ref = False
    assert watcher.ref is False and loop.activecnt == counted - 1
    watcher.ref = True
    assert loop.activecnt == counted


def test_close_ends_it_also_by_with(watcher):
    with watcher as same:
        assert same is watcher
        watcher.start(print)
    assert not watcher.active


def test_an_event_made_up(watcher):
    rec = Recorder()
    watcher.feed(1, rec, "fed")
    if isinstance(watcher, _hub.io | _hub.timer):
        assert watcher.pending and rec.items == []
    turn(get_hub())
    watcher.stop()
    assert rec.items[:1] == ["fed"]


def test_what_a_watcher_of_the_hub_looks_like(pipe):
    loop = get_hub().loop
    timer, readable, call = loop.timer(1.5, 2), loop.io(pipe[0], 3), loop.run_callback(print, 1)

    def plain(watcher):
        return re.sub(r" at 0x\w+", "", repr(watcher))

    assert plain(timer) == "<timer after=1.5 repeat=2.0>"
    assert plain(readable) == f"<io fd={pipe[0]} events=READ|WRITE>"
    assert plain(call) == "<callback pending callback=<built-in function print> args=(1,)>"
    call.stop()
    assert plain(call) == "<callback>"
    timer.start(print, timer)
    assert plain(timer).endswith(" active callback=<built-in function print> args=(<timer ...>,)>")
    timer.stop()


@pytest.mark.parametrize("arguments", [(), (1,), ("1", print), (1, 5)])
def test_feed_wants_events_and_a_callback(arguments):
    for watcher in (get_hub().loop.timer(1), get_hub().loop.io(0, 1)):
        with pytest.raises(TypeError):
            watcher.feed(*arguments)
        assert not watcher.active and not watcher.pending


@pytest.mark.parametrize("priority", [3, -3])
def test_a_priority_that_there_is_not(priority):
    for make in (lambda loop, p: loop.timer(1, priority=p), lambda loop, p: loop.io(0, 1, priority=p)):
        with pytest.raises(ValueError, match="priority: expected -2 to 2"):
            make(get_hub().loop, priority)


def test_async_by_its_old_name():
    rec = Recorder()
    loop = get_hub().loop
    watcher = getattr(loop, "async")()
    watcher.start(rec, "sent")
    watcher.send_ignoring_arg(None)
    turn(get_hub())
    watcher.stop()
    rec.check(["sent"])


def test_callbacks_of_prepare_check_and_idle_run_in_the_hub():
    rec = Recorder()
    hub = get_hub()
    watchers = {kind: getattr(hub.loop, kind)() for kind in ("prepare", "check", "idle")}
    for kind, watcher in watchers.items():
        watcher.start(lambda kind: rec((kind, getcurrent() is hub)), kind)
    turn(hub)
    for watcher in watchers.values():
        watcher.stop()
    assert set(rec.items) == {(kind, True) for kind in watchers}


def test_fork_watchers_call_back_in_the_child():
    done = run_isolated("""
        import os
        from corolib.hub import get_hub, sleep

        hub = get_hub()
        watcher = hub.loop.fork()
        watcher.start(lambda: os.write(1, b"in the child" if os.getpid() != parent else b"in the parent"))
        parent = os.getpid()
        sleep(0.001)
        if os.fork() == 0:
            sleep(0.001)
            os._exit(0)
        assert os.wait()[1] == 0
        sleep(0.001)
    """)
    assert done.stdout == "in the child"


def test_a_callback_object():
    rec = Recorder()
    call = get_hub().loop.run_callback(rec, "called")
    assert call and call.pending and call.callback is rec and call.args == ("called",)
    sleep(0)
    assert not call and not call.pending and call.callback is None and call.args is None
    again = get_hub().loop.run_callback(rec, "never")
    again.close()
    sleep(0)
    rec.check(["called"])


def test_a_watcher_of_a_hub_that_is_gone_says_so():
    loop = get_hub().loop
    watcher = loop.timer(1)
    get_hub().destroy()
    with pytest.raises(ValueError, match="destroyed"):
        watcher.start(print)
    Greenlet.spawn(int).join()
    with pytest.raises(RuntimeError, match="destroyed"):
        loop.run_callback(print)


def test_the_class_can_be_replaced():
    class Own(HubLoop):
        pass

    class WithOwn(Hub):
        loop_class = Own

    hub = WithOwn()
    assert type(hub.loop) is Own
    hub.destroy()
