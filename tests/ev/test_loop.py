"""corolib._ev.Loop alone: no hub, no greenlet."""

import gc
import os
import signal
import weakref

import pytest
from helpers import Recorder, run_isolated

from corolib import _ev
from corolib._ev import READ, Loop


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.owned = False
    loop.destroy()


def test_importing_ev_imports_no_greenlet() -> None:
    run_isolated(
        """
        import sys
        import corolib._ev
        assert not {name for name in sys.modules if name.startswith(("corolib._switch", "corolib._hub"))}
        """
    )


def test_versions_are_major_dot_minor() -> None:
    major, minor = _ev.version().split(".")
    assert int(major) >= 4
    assert len(minor) == 2
    assert _ev.header_version().split(".")[0] == major


def test_every_supported_backend_makes_a_loop() -> None:
    assert _ev.supported_backends()
    assert set(_ev.recommended_backends()) <= set(_ev.supported_backends())
    for backend in _ev.supported_backends():
        loop = Loop(backend)
        assert loop.backend == backend
        loop.destroy()


def test_several_backends_are_a_choice() -> None:
    loop = Loop("select, poll")
    assert loop.backend in ("select", "poll")
    loop.destroy()


def test_unknown_backend_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"unknown backend 'telepathy': libev has .*select"):
        Loop("telepathy")


def test_no_descriptors_left_is_an_oserror() -> None:
    run_isolated(
        """
        import resource
        from corolib._ev import Loop
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        try:
            Loop("epoll")
        except OSError as error:
            assert "epoll" in str(error)
        else:
            raise SystemExit("no error")
        """
    )


def test_run_without_watchers_returns_at_once(loop: Loop) -> None:
    assert loop.run() is False
    assert loop.run(once=True) is False
    assert loop.run(nowait=True) is False


def test_run_ends_when_nothing_is_left(loop: Loop) -> None:
    rec = Recorder()
    first, second = _ev.timer(loop, 0.0), _ev.timer(loop, 0.001)
    first.start(rec, "first")
    second.start(rec, "second")
    assert loop.activecnt == 2
    assert loop.run() is False
    rec.check(["first", "second"])
    assert loop.activecnt == 0


def test_run_once_serves_one_batch(loop: Loop) -> None:
    rec = Recorder()
    watcher = _ev.prepare(loop)
    watcher.start(rec, "turn")
    tick = _ev.timer(loop, 0.0, 0.0001)
    tick.start(lambda: None)
    assert loop.run(once=True) is True
    rec.check(["turn"])


def test_nowait_does_not_wait(loop: Loop) -> None:
    watcher = _ev.timer(loop, 3600)
    watcher.start(pytest.fail)
    assert loop.run(nowait=True) is True


def test_break_ends_the_run(loop: Loop) -> None:
    rec = Recorder()
    watcher = _ev.timer(loop, 0.0, 0.0001)

    def tick() -> None:
        rec("tick")
        if len(rec.items) == 3:
            loop.break_()

    watcher.start(tick)
    assert loop.run() is True
    rec.check(["tick"] * 3)


def test_ref_keeps_the_run_going_and_unref_takes_it_back(loop: Loop) -> None:
    rec = Recorder()
    watcher = _ev.timer(loop, 0.001, ref=False)
    watcher.start(lambda: (rec("fired"), loop.unref()))
    assert loop.activecnt == 0
    loop.ref()
    assert loop.activecnt == 1
    assert loop.run() is False
    rec.check(["fired"])


def test_owned_loop_refuses_to_run(loop: Loop) -> None:
    loop.owned = True
    with pytest.raises(RuntimeError, match="run by its hub"):
        loop.run()
    with pytest.raises(RuntimeError, match=r"hub\.destroy"):
        loop.destroy()


def test_run_inside_run_is_refused(loop: Loop) -> None:
    rec = Recorder()

    def nested() -> None:
        assert loop.depth == 1
        with pytest.raises(RuntimeError, match="running already"):
            loop.run()
        with pytest.raises(RuntimeError, match="while it runs"):
            loop.destroy()
        rec("refused")

    watcher = _ev.timer(loop)
    watcher.start(nested)
    loop.run()
    rec.check(["refused"])
    assert loop.depth == 0


def test_exception_of_a_callback_is_printed_and_the_run_goes_on(
    loop: Loop, capsys: pytest.CaptureFixture[str]
) -> None:
    rec = Recorder()
    bad, good = _ev.timer(loop), _ev.timer(loop, 0.001)
    bad.start(lambda: 1 // 0)
    good.start(rec, "good")
    loop.run()
    rec.check(["good"])
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_error_hook_gets_the_watcher_and_the_exception(loop: Loop) -> None:
    rec = Recorder()
    loop.handle_error = lambda context, type, value, tb: rec((context, type, value, tb))
    watcher = _ev.timer(loop)
    watcher.start(lambda: 1 // 0)
    loop.run()
    [(context, type, value, tb)] = rec.items
    assert (context, type) == (watcher, ZeroDivisionError)
    assert tb is not None
    assert isinstance(value, ZeroDivisionError)


def test_exception_of_the_error_hook_leaves_run(loop: Loop) -> None:
    def hook(*error: object) -> None:
        raise LookupError("hook")

    loop.handle_error = hook
    watcher = _ev.timer(loop)
    watcher.start(lambda: 1 // 0)
    with pytest.raises(LookupError, match="hook"):
        loop.run()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_is_no_exception_leaves_run(loop: Loop, error: type[BaseException]) -> None:
    def stop() -> None:
        raise error("enough")

    watcher, later = _ev.timer(loop), _ev.timer(loop, 3600)
    watcher.start(stop)
    later.start(pytest.fail)
    with pytest.raises(error, match="enough"):
        loop.run()
    later.stop()
    assert loop.run() is False


def test_python_signal_handler_runs_while_the_loop_waits() -> None:
    done = run_isolated(
        """
        import os, signal
        from corolib._ev import Loop, timer, prepare
        loop = Loop()
        keep = timer(loop, 3600)
        keep.start(print)
        pid = os.getpid()
        asked = prepare(loop)
        def ask():
            asked.stop()
            if not os.fork():
                os.kill(pid, signal.SIGINT)
                os._exit(0)
        asked.start(ask)
        try:
            loop.run()
        except KeyboardInterrupt:
            os.wait()
            print("interrupted")
        """
    )
    assert done.stdout == "interrupted\n"


def test_dispatch_gets_callbacks_instead_of_libev_calling_them(loop: Loop) -> None:
    rec = Recorder()
    queue: list[tuple] = []
    loop.dispatch = lambda callback, args: queue.append((callback, args))
    watcher = _ev.timer(loop)
    watcher.start(rec, "fired")
    loop.run()
    rec.check([])
    assert watcher.pending
    for callback, args in queue:
        callback(*args)
    rec.check(["fired"])
    assert not watcher.pending


def test_dispatched_callback_of_a_stopped_watcher_is_not_called(loop: Loop) -> None:
    rec = Recorder()
    queue: list[tuple] = []
    loop.dispatch = lambda callback, args: queue.append((callback, args))
    watcher = _ev.timer(loop)
    watcher.start(rec, "stale")
    loop.run()
    watcher.stop()
    assert not watcher.pending
    watcher.start(rec, "fresh")
    loop.run()
    for callback, args in queue:
        callback(*args)
    rec.check(["fresh"])


def test_events_before_the_queue_is_run_are_one(loop: Loop) -> None:
    rec = Recorder()
    queue: list[tuple] = []
    loop.dispatch = lambda callback, args: queue.append((callback, args))
    read, write = os.pipe()
    os.write(write, b"x")
    watcher = _ev.io(loop, read, READ)
    watcher.start(rec, "readable")
    for _ in range(3):
        loop.run(once=True)
    assert len(queue) == 1
    callback, args = queue.pop()
    callback(*args)
    rec.check(["readable"])
    loop.run(once=True)
    assert len(queue) == 1
    watcher.close()
    os.close(read)
    os.close(write)


def test_failing_dispatch_does_not_reach_libev(loop: Loop) -> None:
    def refuse(callback: object, args: object) -> None:
        raise MemoryError("queue")

    loop.dispatch = refuse
    watcher = _ev.timer(loop)
    watcher.start(print)
    with pytest.raises(MemoryError, match="queue"):
        loop.run()


def test_failing_dispatch_of_a_hub_is_printed(loop: Loop, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(callback: object, args: object) -> None:
        loop.owned = True
        raise MemoryError("queue")

    loop.dispatch = refuse
    watcher = _ev.timer(loop)
    watcher.start(print)
    loop.run()
    assert "MemoryError: queue" in capsys.readouterr().err


def test_clock_moves_with_update_now(loop: Loop) -> None:
    before = loop.now()
    assert abs(before - _ev.time()) < 60
    loop.update_now()
    assert loop.now() >= before


def test_destroy_stops_watchers_and_is_final(loop: Loop) -> None:
    watcher = _ev.timer(loop, 3600)
    watcher.start(pytest.fail)
    loop.destroy()
    loop.destroy()
    assert loop.destroyed
    assert loop.ptr == 0
    assert not watcher.active
    assert "destroyed" in repr(loop)
    watcher.stop()
    watcher.close()
    for use in (loop.run, loop.now, loop.ref, loop.fork, lambda: loop.backend, lambda: _ev.timer(loop)):
        with pytest.raises(ValueError, match="destroyed"):
            use()


def test_started_watchers_live_and_dropped_loops_go() -> None:
    loop = Loop()
    watcher = _ev.timer(loop, 3600)
    watcher.start(print)
    seen = weakref.ref(watcher)
    del watcher
    gc.collect()
    assert seen() is not None
    del loop
    gc.collect()
    assert seen() is None


def test_stopped_watchers_go_without_the_collector(loop: Loop) -> None:
    gc.disable()
    try:
        watcher = _ev.timer(loop, 3600)
        watcher.start(print)
        watcher.stop()
        seen = weakref.ref(watcher)
        del watcher
        assert seen() is None
    finally:
        gc.enable()


def test_loops_do_not_grow_the_descriptor_table() -> None:
    def descriptors() -> int:
        return len(os.listdir("/dev/fd"))

    before = descriptors()
    for _ in range(50):
        Loop().destroy()
        Loop()
    gc.collect()
    assert descriptors() == before


def test_fork_gives_the_child_a_loop_of_its_own() -> None:
    done = run_isolated(
        """
        import os
        from corolib import _ev
        loop = _ev.Loop()
        forked = _ev.fork(loop)
        forked.start(lambda: print("forked", flush=True))
        forked.ref = False
        read, write = os.pipe()
        watcher = _ev.io(loop, read, _ev.READ)
        def readable():
            print("child" if pid == 0 else "parent", os.read(read, 1), flush=True)
            watcher.stop()
        watcher.start(readable)
        loop.run(nowait=True)
        pid = os.fork()
        if pid == 0:
            loop.fork()
            os.write(write, b"c")
            loop.run()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        os.write(write, b"p")
        loop.run()
        """
    )
    assert done.stdout.splitlines() == ["forked", "child b'c'", "parent b'p'"]


def test_table_is_at_one_address() -> None:
    assert _ev.table_address() == _ev.table_address() != 0


def test_verify_finds_nothing(loop: Loop) -> None:
    watcher = _ev.timer(loop, 3600)
    watcher.start(print)
    loop.verify()


def test_repr_says_what_runs(loop: Loop) -> None:
    assert loop.backend in repr(loop)
    assert "owned" not in repr(loop)
    loop.owned = True
    assert "owned" in repr(loop)


def test_a_loop_leaves_sigchld_alone(loop: Loop) -> None:
    rec = Recorder()
    before = signal.signal(signal.SIGCHLD, lambda *args: rec("python"))
    try:
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", ":"], {})
        watcher = _ev.child(loop, pid)
        watcher.start(rec, "watcher")
        loop.run()
    finally:
        signal.signal(signal.SIGCHLD, before)
    rec.check([{"python", "watcher"}])
