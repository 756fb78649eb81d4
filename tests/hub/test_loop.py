"""The loop: callbacks, timers, descriptors, errors, signals, end."""

import os
import signal

import pytest
from helpers import Recorder, run_isolated

from corolib import _hub
from corolib._switch import getcurrent
from corolib.errors import ConcurrentObjectUseError, LoopExit
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, sleep


@pytest.fixture
def pipe():
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


@pytest.fixture
def errors(monkeypatch):
    """What the hub was told of instead of printing it."""
    rec = Recorder()
    hub = get_hub()
    hub.handle_error = lambda context, type, value, tb: rec(value)
    return rec


def test_callbacks_run_in_order_with_what_is_ready():
    rec, hub = Recorder(), get_hub()
    hub.run_callback(rec, 1)
    _hub.spawn_raw(rec, 2)
    hub.run_callback_threadsafe(rec, 3)
    hub.run_callback(lambda *, key: rec(key), key=4)
    _hub.sleep(0)
    rec.check([1, 2, 3, 4])


def test_a_stopped_callback_is_not_called():
    rec, hub = Recorder(), get_hub()
    call = hub.run_callback(rec, 1)
    assert call.pending and call
    call.stop()
    assert not call.pending and not call
    _hub.sleep(0)
    rec.check([])


def test_an_error_in_a_callback_is_reported_and_the_hub_lives_on(errors):
    error = KeyError("callback")

    def fail():
        raise error

    get_hub().run_callback(fail)
    _hub.sleep(0)
    errors.check([error])


def test_an_error_of_a_raw_greenlet_is_reported(errors):
    error = KeyError("raw")

    def fail():
        raise error

    _hub.spawn_raw(fail)
    _hub.sleep(0)
    errors.check([error])


def test_an_error_in_the_error_handler_does_not_end_the_hub(capsys, monkeypatch):
    import sys

    rec, hub = Recorder(), get_hub()
    monkeypatch.setattr(sys, "unraisablehook", lambda info: rec(type(info.exc_value)))

    def fail(*args):
        raise KeyError

    hub.handle_error = fail
    hub.run_callback(fail)
    _hub.sleep(0)
    _hub.sleep(0)
    rec.check([KeyError])


def test_timers_fire_in_order_and_once():
    rec, hub = Recorder(), get_hub()
    timers = [_hub.timer(hub, seconds) for seconds in (0.02, 0.01, 0.01)]
    for name, timer in enumerate(timers):
        timer.start(rec, name)
        assert timer.active
    _hub.sleep(0.04)
    rec.check([1, 2, 0])
    assert not any(timer.active for timer in timers)
    assert timers[0].callback is None


def test_a_repeating_timer_goes_on_until_stopped():
    rec, hub, main = Recorder(), get_hub(), getcurrent()
    timer = _hub.timer(hub, 0.001, repeat=0.001)

    def tick():
        rec("tick")
        if len(rec.items) == 3:
            timer.stop()
            _hub.wake(main)

    timer.start(tick)
    _hub.park("ticks")
    rec.check(["tick"] * 3)
    assert not timer.active
    assert hub.deadline_count == 0


def test_a_timer_stopped_after_it_was_queued_is_not_called():
    rec, hub = Recorder(), get_hub()
    first, second = _hub.timer(hub, 0.001), _hub.timer(hub, 0.001)
    first.start(second.stop)
    second.start(rec, "second")
    _hub.sleep(0.01)
    rec.check([])


@pytest.mark.parametrize("hogs", [1, 2, 20])
@pytest.mark.parametrize("callbacks", [False, True])
def test_who_computes_and_lets_others_run_does_not_keep_timers_from_firing(hogs, callbacks):
    """Each turn of theirs is as long as the timer's time; so it is due after the first."""
    hub = get_hub()
    turns = []

    def compute():
        turns.append(None)
        until = hub.now() + 0.001
        while hub.now() < until:
            pass
        if callbacks and not fired:
            hub.run_callback(compute)

    def hog():
        while not fired:
            compute()
            sleep(0)

    fired = []
    with hub.loop.timer(0.001) as timer:
        for _ in range(2):  # the second time the loop knows how slow they are
            del fired[:]
            started = len(turns)
            timer.start(fired.append, True)
            if callbacks:
                for _ in range(hogs):
                    hub.run_callback(compute)
                while not fired:
                    sleep(0.0005)
            else:
                for each in [Greenlet.spawn(hog) for _ in range(hogs)]:
                    each.join()
            # Once round for those that were there before, and a few on the way.
            assert len(turns) - started <= 3 * hogs + 10


def test_a_timer_without_ref_keeps_no_deadlock_away():
    timer = _hub.timer(get_hub(), 3600, ref=False)
    timer.start(print)
    with pytest.raises(LoopExit):
        _hub.park("nothing")
    timer.stop()


@pytest.mark.parametrize("arguments", [("x",), (float("nan"),), (1, "x"), (1, -1)])
def test_timer_refuses_bad_times(arguments):
    with pytest.raises((TypeError, ValueError)):
        _hub.timer(get_hub(), *arguments)


def test_watchers_refuse_what_is_no_hub_and_no_callable():
    with pytest.raises(TypeError, match="Hub"):
        _hub.timer(object(), 1)
    with pytest.raises(TypeError, match="callable"):
        _hub.timer(get_hub(), 1).start(3)


def test_io_calls_for_each_turn_that_finds_the_descriptor_ready(pipe):
    rec, main = Recorder(), getcurrent()
    read, write = pipe
    watcher = _hub.io(get_hub(), read, 1)

    def ready(events):
        rec((events, os.read(read, 1)))
        if len(rec.items) == 2:
            watcher.stop()
            _hub.wake(main)

    watcher.start(ready, pass_events=True)
    os.write(write, b"ab")
    _hub.park("pipe")
    rec.check([(1, b"a"), (1, b"b")])
    assert not watcher.active


def test_io_wait(pipe):
    read, write = pipe
    watcher = _hub.io(get_hub(), read, 1)
    assert watcher.wait(0.001) is _hub.TIMED_OUT
    _hub.spawn_raw(os.write, write, b"x")
    assert watcher.wait() == 1
    assert _hub.io(get_hub(), write, 2).wait() == 2


def test_io_takes_one_waiter_at_a_time(pipe):
    read, write = pipe
    rec = Recorder()
    watcher = _hub.io(get_hub(), read, 1)
    _hub.spawn_raw(lambda: rec(watcher.wait()))
    _hub.sleep(0)
    with pytest.raises(ConcurrentObjectUseError):
        watcher.wait()
    os.write(write, b"x")
    while not rec.items:
        _hub.sleep(0)
    rec.check([1])


def test_io_refuses_bad_descriptors_and_events(pipe):
    hub = get_hub()
    for fd in (-1, 10**6):
        with pytest.raises(OSError, match="Bad file descriptor"):
            _hub.io(hub, fd, 1)
    for events in (0, 4, -1):
        with pytest.raises(ValueError, match="READ"):
            _hub.io(hub, pipe[0], events)


def test_closing_a_descriptor_wakes_its_waiter(pipe):
    read, _ = pipe
    rec, hub = Recorder(), get_hub()
    watcher = _hub.io(hub, read, 1)

    def wait():
        try:
            watcher.wait()
        except OSError as error:
            rec(error.errno)

    _hub.spawn_raw(wait)
    _hub.sleep(0)
    assert hub.fd_closing(read) == 1
    _hub.sleep(0)
    rec.check([9])


@pytest.mark.parametrize("value", [0, -1, 1, "any", None])
def test_who_waits_for_a_descriptor_can_be_woken_with_any_value(pipe, value):
    watcher = _hub.io(get_hub(), pipe[0], 1)
    _hub.spawn_raw(_hub.wake, getcurrent(), value)
    assert watcher.wait() is value


def test_stopping_a_watcher_wakes_its_waiter(pipe):
    rec = Recorder()
    watcher = _hub.io(get_hub(), pipe[0], 1)

    def wait():
        with pytest.raises(OSError):
            watcher.wait()
        rec("ended")

    _hub.spawn_raw(wait)
    _hub.sleep(0)
    watcher.close()
    _hub.sleep(0)
    rec.check(["ended"])


def test_a_signal_handler_runs_while_the_loop_blocks():
    rec = Recorder()
    old = signal.signal(signal.SIGALRM, lambda *_: rec("alarm"))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        _hub.sleep(0.05)
    finally:
        signal.signal(signal.SIGALRM, old)
    rec.check(["alarm"])


def test_ctrl_c_reaches_the_main_greenlet_at_its_wait():
    done = run_isolated(
        """
        import os, signal
        from corolib import _hub
        from corolib.hub import get_hub
        get_hub().run_callback(os.kill, os.getpid(), signal.SIGINT)
        try:
            _hub.sleep(10)
        except KeyboardInterrupt:
            print("interrupted")
        _hub.sleep(0)
        print("alive")
        """
    )
    assert done.stdout.split() == ["interrupted", "alive"]


def test_a_destroyed_hub_drops_its_waiters_and_a_new_one_works():
    rec = Recorder()

    def wait():
        try:
            _hub.sleep(3600)
        finally:
            rec("finally")

    _hub.spawn_raw(wait)
    _hub.sleep(0)
    old = get_hub()
    old.destroy()
    rec.check(["finally"])
    assert old.destroyed
    assert get_hub() is not old
    _hub.sleep(0.001)


def test_a_hub_cannot_be_destroyed_from_within_itself(errors):
    hub = get_hub()
    hub.run_callback(hub.destroy)
    _hub.sleep(0)
    assert [type(error) for error in errors.items] == [RuntimeError]


def test_fork_gives_the_child_a_loop_of_its_own():
    done = run_isolated(
        """
        import os
        from corolib import _hub
        from corolib.hub import get_hub
        _hub.sleep(0.001)
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            _hub.sleep(0.001)
            os.write(write, b"child")
            os._exit(0)
        assert _hub.io(get_hub(), read, 1).wait(10) == 1
        print(os.read(read, 5), os.waitpid(pid, 0)[1])
        """
    )
    assert done.stdout.split() == ["b'child'", "0"]


def test_interpreter_ends_cleanly_with_greenlets_waiting():
    done = run_isolated(
        """
        from corolib import _hub
        from corolib.hub import get_hub
        for _ in range(10):
            _hub.spawn_raw(_hub.sleep, 3600)
        _hub.sleep(0)
        print("end")
        """
    )
    assert done.stdout == "end\n"
    assert done.stderr == ""


def test_a_descriptor_closed_behind_our_back_before_the_poll_wakes_its_waiter():
    """libev would abort the process: the number is in its list of changes, and the kernel refuses it."""
    done = run_isolated(
        """
        import os
        from corolib import _hub
        from corolib.hub import get_hub

        def wait(watcher):
            try:
                watcher.wait()
            except OSError as error:
                print(error.errno)

        read, write = os.pipe()
        _hub.spawn_raw(wait, _hub.io(get_hub(), read, 1))
        _hub.spawn_raw(os.close, read)
        _hub.sleep(0.001)
        print("alive")
        """
    )
    assert done.stdout.split() == ["9", "alive"]


def test_a_loop_whose_epoll_is_closed_makes_a_new_one():
    """As by a daemon that closes all it does not know. libev alone would abort the process."""
    run_isolated(
        """
        import os, _socket
        from corolib import _hub
        from corolib.greenlet import Greenlet
        from corolib.hub import sleep

        near, far = (_hub.Socket(fileno=end.detach()) for end in _socket.socketpair())
        reader = Greenlet.spawn(near.recv, 10)
        sleep(0.01)
        links = {fd: f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")}
        links = {fd: os.readlink(link) for fd, link in links.items() if os.path.islink(link)}
        (epoll,) = (int(fd) for fd, what in links.items() if "eventpoll" in what)
        _socket.close(epoll)
        sleep(0.01)
        far.send(b"x")
        assert reader.get(timeout=20) == b"x"
        """
    )


def test_a_hub_for_which_there_are_no_descriptors_is_an_error():
    run_isolated(
        """
        import errno, os, resource
        from corolib.hub import get_hub

        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
        held = []
        try:
            while True:
                held.append(os.dup(0))
        except OSError:
            pass
        for left in range(8):
            try:
                get_hub()
            except OSError as error:
                assert error.errno == errno.EMFILE, error
                os.close(held.pop())
            else:
                break
        assert 0 < left < 7, left
        assert get_hub() is get_hub()
        """
    )
