"""Every kind of watcher in a loop without a hub: real pipes, children, signals, files."""

import contextlib
import errno
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import Recorder, run_isolated

from corolib import _ev
from corolib._ev import READ, WRITE, Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.destroy()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with contextlib.suppress(OSError):  # the test has closed it
            os.close(end)


# -- common --------------------------------------------------------------------------------------------------


def test_start_again_only_changes_the_callback(loop: Loop) -> None:
    rec = Recorder()
    watcher = _ev.timer(loop)
    watcher.start(rec, "old")
    watcher.start(rec, "new")
    loop.run()
    rec.check(["new"])


def test_callback_and_arguments_are_visible_while_started(loop: Loop) -> None:
    watcher = _ev.timer(loop, 3600)
    assert watcher.callback is None
    watcher.start(print, 1, 2)
    assert (watcher.callback, watcher.args) == (print, (1, 2))
    watcher.stop()
    assert (watcher.callback, watcher.args) == (None, ())


def test_callback_must_be_callable(loop: Loop) -> None:
    with pytest.raises(TypeError, match="expected a callable, found int"):
        _ev.timer(loop).start(1)


def test_stop_in_a_callback_keeps_an_event_that_has_come_from_being_served(loop: Loop) -> None:
    rec = Recorder()
    first, second = _ev.timer(loop), _ev.timer(loop)

    def fire(name: str, other: _ev.timer) -> None:
        rec(name)
        other.stop()

    first.start(fire, "first", second)
    second.start(fire, "second", first)
    loop.run()
    assert len(rec.items) == 1


def test_closed_watcher_does_not_start(loop: Loop) -> None:
    with _ev.timer(loop, 3600) as watcher:
        watcher.start(print)
    assert not watcher.active
    with pytest.raises(ValueError, match="closed"):
        watcher.start(print)


def test_ref_false_lets_the_run_end(loop: Loop) -> None:
    watcher = _ev.timer(loop, 3600, ref=False)
    watcher.start(pytest.fail)
    assert loop.run() is False
    assert watcher.active


def test_ref_can_change_while_active(loop: Loop) -> None:
    watcher = _ev.timer(loop, 3600)
    watcher.start(pytest.fail)
    assert loop.run(nowait=True) is True
    watcher.ref = False
    watcher.ref = False
    assert not watcher.ref
    assert loop.run() is False
    watcher.ref = True
    assert loop.run(nowait=True) is True
    watcher.stop()
    assert loop.run() is False


@pytest.mark.parametrize("ref", [True, False])
def test_reference_count_is_right_after_one_shots(loop: Loop, ref: bool) -> None:
    keep = _ev.timer(loop, 0.0, 0.0001)
    rounds = iter(range(20))

    def again() -> None:
        if next(rounds, None) is None:
            keep.stop()
        else:
            _ev.timer(loop, 0, ref=ref).start(lambda: None)

    keep.start(again)
    assert loop.run() is False
    assert loop.activecnt == 0
    last = _ev.timer(loop, 3600)
    last.start(print)
    assert loop.run(nowait=True) is True


def test_priority_orders_events_of_one_turn(loop: Loop) -> None:
    rec = Recorder()
    for priority in (-2, 2, 0, 1, -1):
        _ev.timer(loop, priority=priority).start(rec, priority)
    loop.run()
    rec.check([2, 1, 0, -1, -2])


def test_priority_is_checked(loop: Loop) -> None:
    watcher = _ev.timer(loop, 3600)
    assert watcher.priority == 0
    with pytest.raises(ValueError, match="expected -2 to 2, found 3"):
        watcher.priority = 3
    watcher.start(print)
    with pytest.raises(AttributeError, match="stop"):
        watcher.priority = 1


def test_feed_makes_an_event_up(loop: Loop, pipe: tuple[int, int]) -> None:
    rec = Recorder()
    watcher = _ev.io(loop, pipe[0], READ)
    watcher.feed(READ, rec, "fed")
    assert watcher.pending
    loop.run(nowait=True)
    rec.check(["fed"])


def test_repr_tells_kind_and_state(loop: Loop, pipe: tuple[int, int]) -> None:
    watcher = _ev.io(loop, pipe[0], READ | WRITE)
    assert "<io " in repr(watcher)
    assert f"fd={pipe[0]} READ|WRITE" in repr(watcher)
    assert "active" not in repr(watcher)
    watcher.start(print)
    assert "active" in repr(watcher)
    watcher.stop()
    for other in (
        _ev.idle(loop),
        _ev.signal(loop, 10),
        _ev.child(loop, 1),
        _ev.stat(loop, "/"),
        _ev.timer(loop),
    ):
        assert type(other).__name__ in repr(other)


# -- io ------------------------------------------------------------------------------------------------------


def test_io_is_level_triggered(loop: Loop, pipe: tuple[int, int]) -> None:
    rec = Recorder()
    read, write = pipe
    watcher = _ev.io(loop, read, READ)
    os.write(write, b"abc")

    def readable() -> None:
        data = os.read(read, 1)
        rec(data)
        if data == b"c":
            watcher.stop()

    watcher.start(readable)
    loop.run()
    rec.check([b"a", b"b", b"c"])


def test_io_passes_events_first_if_asked(loop: Loop) -> None:
    import socket

    rec = Recorder()
    near, far = socket.socketpair()
    with near, far:
        watcher = _ev.io(loop, near.fileno(), READ | WRITE)
        watcher.start(lambda *args: (rec(args), far.send(b"x")), "me", pass_events=True)
        loop.run(once=True)
        loop.run(once=True)
        watcher.stop()
    rec.check([(WRITE, "me"), (READ | WRITE, "me")])


def test_io_end_of_file_is_readable(loop: Loop, pipe: tuple[int, int]) -> None:
    rec = Recorder()
    read, write = pipe
    watcher = _ev.io(loop, read, READ)
    watcher.start(lambda: (rec(os.read(read, 1)), watcher.stop()))
    os.close(write)
    loop.run()
    rec.check([b""])


def test_io_of_a_closed_descriptor_does_not_start(loop: Loop) -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    watcher = _ev.io(loop, read, READ)
    with pytest.raises(OSError) as error:
        watcher.start(print)
    assert error.value.errno == errno.EBADF
    assert not watcher.active
    assert loop.run() is False


def test_io_of_a_plain_file_is_always_ready(loop: Loop, tmp_path: Path) -> None:
    rec = Recorder()
    (tmp_path / "file").write_text("x")
    with open(tmp_path / "file") as file:
        watcher = _ev.io(loop, file.fileno(), READ)
        watcher.start(lambda: (rec("ready"), watcher.stop()))
        loop.run()
    rec.check(["ready"])


def test_io_number_used_again_means_the_new_file(loop: Loop) -> None:
    rec = Recorder()
    for turn in range(3):
        read, write = os.pipe()
        watcher = _ev.io(loop, read, READ)
        watcher.start(lambda watcher=watcher, turn=turn: (rec(turn), watcher.stop()))
        loop.run(nowait=True)
        os.write(write, b"x")
        loop.run()
        os.close(read)
        os.close(write)
    rec.check([0, 1, 2])


@pytest.mark.parametrize(
    ("fd", "events", "said"), [(-1, 1, "found -1"), (0, 0, "found 0"), (0, 8, "found 8")]
)
def test_io_arguments_are_checked(loop: Loop, fd: int, events: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _ev.io(loop, fd, events)
    with pytest.raises(TypeError):
        _ev.io(loop, "0", READ)


# -- timer ---------------------------------------------------------------------------------------------------


def test_timers_fire_in_order_of_time(loop: Loop) -> None:
    rec = Recorder()
    for after in (0.003, 0.001, 0.002):
        _ev.timer(loop, after).start(rec, after)
    loop.run()
    rec.check([0.001, 0.002, 0.003])


def test_one_shot_is_inactive_in_its_callback_and_can_start_again(loop: Loop) -> None:
    rec = Recorder()
    watcher = _ev.timer(loop)

    def fired(round: int) -> None:
        rec((round, watcher.active))
        if round < 3:
            watcher.start(fired, round + 1)

    watcher.start(fired, 1)
    loop.run()
    rec.check([(1, False), (2, False), (3, False)])


def test_repeating_timer_goes_on_until_stopped(loop: Loop) -> None:
    rec = Recorder()
    watcher = _ev.timer(loop, 0.0, 0.0001)
    watcher.start(lambda: (rec(watcher.active), len(rec.items) == 4 and watcher.stop()))
    loop.run()
    rec.check([True] * 4)


def test_again_puts_a_repeating_timer_off(loop: Loop) -> None:
    watcher = _ev.timer(loop, 0.0, 3600)
    watcher.again(print)
    assert watcher.active
    assert 3500 < watcher.at - loop.now() <= 3600
    assert watcher.after == 0
    watcher.stop()
    assert watcher.at == 0
    with pytest.raises(ValueError, match="repeat is 0"):
        _ev.timer(loop).again(print)


@pytest.mark.parametrize("args", [(float("nan"),), (1, float("nan")), (1, -1)])
def test_timer_arguments_are_checked(loop: Loop, args: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected numbers of seconds"):
        _ev.timer(loop, *args)


# -- signal --------------------------------------------------------------------------------------------------


def test_signal_calls_back_and_gives_the_handler_back(loop: Loop) -> None:
    rec = Recorder()
    before = signal.signal(signal.SIGUSR1, lambda *args: rec("python"))
    try:
        first, second = _ev.signal(loop, signal.SIGUSR1), _ev.signal(loop, signal.SIGUSR1)
        first.start(lambda: (rec("first"), first.stop()))
        second.start(lambda: (rec("second"), second.stop()))
        os.kill(os.getpid(), signal.SIGUSR1)
        loop.run()
        os.kill(os.getpid(), signal.SIGUSR1)
        rec.check([{"first", "second"}, "python"])
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_signal_is_watched_by_one_loop_at_a_time(loop: Loop) -> None:
    other = Loop()
    mine, theirs = _ev.signal(loop, signal.SIGUSR1), _ev.signal(other, signal.SIGUSR1)
    mine.start(print)
    with pytest.raises(RuntimeError, match="another loop"):
        theirs.start(print)
    assert not theirs.active
    mine.stop()
    theirs.start(print)
    other.destroy()
    mine.start(print)


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "found 0"), (-1, "found -1"), (signal.NSIG, "found"), (signal.SIGKILL, "cannot be caught")],
)
def test_signal_number_is_checked(loop: Loop, number: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _ev.signal(loop, number)


# -- child ---------------------------------------------------------------------------------------------------


def spawn(code: int) -> int:
    return os.posix_spawn(
        sys.executable, [sys.executable, "-S", "-c", f"raise SystemExit({code})"], os.environ
    )


@pytest.fixture(params=["pidfd", "no such call", "refused", "not built in"])
def way_to_wait(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a pidfd, and with each of the reasons there is none."""
    from corolib._ev import kinds

    if request.param == "pidfd":
        assert sys.platform != "linux" or kinds.pidfd_open is not None
        return

    def refuse(pid: int) -> int:
        raise OSError(errno.ENOSYS if request.param == "no such call" else errno.EPERM, "refused")

    monkeypatch.setattr(kinds, "pidfd_open", None if request.param == "not built in" else refuse)


@pytest.mark.usefixtures("way_to_wait")
def test_child_tells_number_and_status_and_reaps(loop: Loop) -> None:
    rec = Recorder()
    watchers = {code: _ev.child(loop, spawn(code)) for code in (0, 7)}
    for code, watcher in watchers.items():
        watcher.start(rec, code)
    assert loop.run() is False
    rec.check([{0, 7}])
    for code, watcher in watchers.items():
        assert watcher.rpid == watcher.pid
        assert os.waitstatus_to_exitcode(watcher.rstatus) == code
        assert not watcher.active
        with pytest.raises(ChildProcessError):
            os.waitpid(watcher.pid, os.WNOHANG)


@pytest.mark.usefixtures("way_to_wait")
def test_child_started_again_after_its_end_says_the_same(loop: Loop) -> None:
    rec = Recorder()
    watcher = _ev.child(loop, spawn(5))
    for _ in range(2):
        watcher.start(lambda: rec(os.waitstatus_to_exitcode(watcher.rstatus)))
        loop.run()
    rec.check([5, 5])


@pytest.mark.usefixtures("way_to_wait")
def test_child_reaped_by_somebody_else_has_status_zero(loop: Loop) -> None:
    rec = Recorder()
    pid = spawn(3)
    os.waitpid(pid, 0)
    watcher = _ev.child(loop, pid)
    watcher.start(rec, "ended")
    loop.run()
    rec.check(["ended"])
    assert (watcher.rpid, watcher.rstatus) == (pid, 0)


def test_child_killed_by_a_signal(loop: Loop) -> None:
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "kill -9 $$"], {})
    watcher = _ev.child(loop, pid)
    watcher.start(lambda: None)
    loop.run()
    assert os.waitstatus_to_exitcode(watcher.rstatus) == -signal.SIGKILL


def test_child_leaves_no_descriptor_open(loop: Loop) -> None:
    before = os.listdir("/dev/fd")
    ended, stopped = _ev.child(loop, spawn(0)), _ev.child(loop, spawn(0))
    stopped.start(pytest.fail)
    stopped.stop()
    ended.start(lambda: None)
    loop.run()
    assert os.listdir("/dev/fd") == before
    os.waitpid(stopped.pid, 0)


@pytest.mark.parametrize("pid", [0, -1])
def test_child_number_is_checked(loop: Loop, pid: int) -> None:
    with pytest.raises(ValueError, match=f"found {pid}"):
        _ev.child(loop, pid)


# -- the others ----------------------------------------------------------------------------------------------


def test_async_wakes_the_loop_from_another_thread(loop: Loop) -> None:
    rec = Recorder()
    watcher = _ev.async_(loop)
    watcher.start(lambda: (rec("woken"), watcher.stop()))
    thread = threading.Thread(target=watcher.send_ignoring_arg, args=("ignored",))
    thread.start()
    loop.run()
    thread.join()
    rec.check(["woken"])


def test_async_sends_before_the_turn_are_one_event(loop: Loop) -> None:
    rec = Recorder()
    watcher = _ev.async_(loop)
    watcher.start(rec, "woken")
    assert not watcher.pending
    for _ in range(5):
        watcher.send()
    assert watcher.pending
    loop.run(nowait=True)
    loop.run(nowait=True)
    rec.check(["woken"])


def test_prepare_check_and_idle_take_their_turns(loop: Loop) -> None:
    rec = Recorder()
    idle, prepare, check = _ev.idle(loop), _ev.prepare(loop), _ev.check(loop)
    idle.start(rec, "idle")
    prepare.start(rec, "prepare")
    check.start(rec, "check")
    loop.run(once=True)
    rec.check(["prepare", {"check", "idle"}])


def test_idle_waits_for_higher_priorities(loop: Loop, pipe: tuple[int, int]) -> None:
    rec = Recorder()
    read, write = pipe
    os.write(write, b"ab")
    busy, idle = _ev.io(loop, read, READ), _ev.idle(loop)
    busy.start(lambda: (rec(os.read(read, 1)), len(rec.items) == 2 and busy.stop()))
    idle.start(lambda: (rec("idle"), idle.stop()))
    loop.run()
    rec.check([b"a", b"b", "idle"])


def test_stat_sees_a_file_come_and_change(loop: Loop, tmp_path: Path) -> None:
    rec = Recorder()
    path = tmp_path / "file"
    watcher = _ev.stat(loop, str(path), 0.11)
    watcher.start(lambda: (rec((watcher.prev, watcher.attr)), watcher.stop()))
    assert watcher.path == str(path)
    assert watcher.attr is None
    path.write_text("hello")
    loop.run()
    [(before, now)] = rec.items
    assert before is None
    found = os.stat(path)
    assert (now.st_size, now.st_ino, now.st_mode, now.st_mtime) == (
        5,
        found.st_ino,
        found.st_mode,
        int(found.st_mtime),
    )


def test_stat_interval_is_checked(loop: Loop) -> None:
    with pytest.raises(ValueError, match="expected seconds"):
        _ev.stat(loop, "/", -1)
    assert _ev.stat(loop, b"/", 2).interval == 2


def test_watchers_under_the_collector() -> None:
    run_isolated(
        """
        import gc, os
        from corolib import _ev
        gc.set_threshold(1)
        loop = _ev.Loop()
        count = 0
        def fired():
            global count
            count += 1
            if count < 500:
                _ev.timer(loop).start(fired)
                _ev.async_(loop, ref=False).start(print)
        _ev.timer(loop).start(fired)
        loop.run()
        assert count == 500
        del loop
        gc.collect()
        """,
        timeout=120,
    )
    gc.collect()
