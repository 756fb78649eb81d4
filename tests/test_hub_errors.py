"""corolib.hub: what becomes of exceptions that nobody catches, and what a deadlock report says."""

import io
import logging
import sys
import threading

import pytest
from helpers import Recorder, run_isolated

from corolib._waitgraph import WaitGraph
from corolib.errors import LoopExit
from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import GreenletExit, get_hub, sleep, spawn_raw
from corolib.lock import Semaphore

# Sleeps and time limits take no time.
pytestmark = pytest.mark.corolib(clock=True)


@pytest.fixture
def stream():
    """What the hub of this test prints."""
    get_hub().exception_stream = stream = io.StringIO()
    return stream


# -- errors --------------------------------------------------------------------------------------------------


def boom(error=None):
    raise error if error is not None else ValueError("boom")


def test_a_failed_callback_is_reported_and_the_others_run(stream):
    rec = Recorder()
    hub = get_hub()
    hub.run_callback(rec, 1)
    hub.run_callback(boom)
    hub.run_callback(rec, 2)
    sleep(0)
    rec.check([1, 2])
    text = stream.getvalue()
    assert "in boom" in text and "ValueError: boom" in text and "failed with ValueError\n\n" in text


def test_a_report_is_one_write():
    writes = []

    class Stream:
        def write(self, text):
            writes.append(text)

    get_hub().exception_stream = Stream()
    get_hub().run_callback(boom)
    sleep(0)
    assert len(writes) == 1


def test_a_stream_that_fails_or_a_handler_that_fails_does_not_stop_the_hub(capfd):
    class Full:
        def write(self, text):
            raise OSError(28, "No space left on device")

    hub = get_hub()
    hub.exception_stream = Full()
    hub.run_callback(boom)
    sleep(0)
    hub.exception_stream = io.StringIO()
    hub.exception_stream.close()
    hub.run_callback(boom)
    sleep(0)
    assert capfd.readouterr().err == ""


def test_a_handler_that_fails_does_not_stop_the_hub():
    run_isolated("""
        import sys
        from corolib.hub import get_hub, sleep

        def handler(*error):
            raise OSError("handler")
        unraised = []
        sys.unraisablehook = unraised.append
        get_hub().handle_error = handler
        get_hub().run_callback(lambda: 1 / 0)
        sleep(0)
        sleep(0.001)
        assert [str(each.exc_value) for each in unraised] == ["handler"]
    """)


def test_exception_stream_can_be_turned_off(caplog):
    hub = get_hub()
    hub.run_callback(boom)
    sleep(0)
    assert "ValueError: boom" in caplog.text and hub.exception_stream is sys.stderr
    caplog.clear()
    hub.exception_stream = None
    hub.run_callback(boom)
    sleep(0)
    assert caplog.text == "" and hub.exception_stream is None


def test_a_context_whose_repr_fails(stream):
    class Bad:
        def __repr__(self):
            raise KeyError

    get_hub().handle_error(Bad(), ValueError, ValueError("x"), None)
    assert (
        "<Bad at 0x" in stream.getvalue()
        and "its repr failed with KeyError> failed with" in stream.getvalue()
    )


def test_handle_error_takes_what_is_being_handled_and_texts(stream):
    try:
        boom()
    except ValueError:
        get_hub().handle_error("here", None, None, None)
    assert "'here' failed with ValueError" in stream.getvalue()
    get_hub().handle_error("there", ValueError, "a text", None)
    assert "ValueError: a text" in stream.getvalue()
    get_hub().handle_error("nowhere", None, None, None)
    assert "nowhere" not in stream.getvalue()


def test_handle_error_can_be_replaced_on_the_instance():
    calls = []
    get_hub().handle_error = lambda *args: calls.append(args)
    failed = Greenlet.spawn(boom)
    failed.join()
    ((context, kind, value, tb),) = calls
    assert context is failed and kind is ValueError and value is failed.exception and tb is not None


def test_greenlet_exit_is_not_an_error(stream):
    Greenlet.spawn(boom, GreenletExit()).join()
    spawn_raw(boom, GreenletExit())
    get_hub().run_callback(boom, GreenletExit())
    sleep(0)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemError, SystemExit])
@pytest.mark.parametrize("start", [Greenlet.spawn, spawn_raw, lambda *args: get_hub().run_callback(*args)])
def test_a_system_error_is_raised_in_the_main_greenlet(stream, kind, start):
    start(boom, kind("x"))
    with pytest.raises(kind, match="x"):
        sleep(10)
    assert ("x\n" in stream.getvalue()) is (kind is SystemError)
    sleep(0.001)


def test_a_system_error_reaches_main_even_if_it_has_just_been_woken(stream):
    rec = Recorder()
    failed = Greenlet.spawn(boom, SystemExit(3))
    failed.rawlink(lambda _: rec("link"))
    with pytest.raises(SystemExit):
        failed.join()  # the end of `failed` wakes us first
    rec("main")
    sleep(0.001)
    rec.check(["main", "link"])
    assert failed.dead


def test_main_woken_with_a_lock_and_then_hit_by_a_system_error_has_not_got_the_lock(stream):
    lock = Semaphore(0)

    def give_and_fail():
        lock.release()
        raise SystemExit

    Greenlet.spawn(give_and_fail)
    with pytest.raises(SystemExit):
        lock.acquire()
    assert lock.counter == 1
    sleep(0.001)


def test_an_error_without_context_goes_to_main(stream):
    get_hub().run_callback(get_hub().handle_error, None, ValueError, ValueError("fatal"), None)
    with pytest.raises(ValueError, match="fatal"):
        sleep(10)
    assert stream.getvalue() == ""  # main has it, nobody needs to be told


def test_what_a_signal_handler_raises_goes_to_main():
    done = run_isolated("""
        import os, signal, threading, time
        from corolib._hub import activity
        from corolib.hub import get_hub, sleep
        hub = get_hub()

        def handler(signum, frame):
            raise OSError("from the handler")

        def later():
            while not activity(hub)[3]: time.sleep(0.001)  # until main waits, and the loop polls
            os.kill(os.getpid(), signal.SIGUSR1)

        signal.signal(signal.SIGUSR1, handler)
        threading.Thread(target=later).start()
        try:
            sleep(30)
        except OSError as error:
            print(error)
    """)
    assert done.stdout == "from the handler\n" and done.stderr == ""


def test_keyboard_interrupt_while_the_loop_polls():
    done = run_isolated("""
        import os, signal, threading, time
        from corolib._hub import activity
        from corolib.hub import get_hub, sleep
        hub = get_hub()

        def later():
            while not activity(hub)[3]: time.sleep(0.001)  # until main waits, and the loop polls
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=later).start()
        try:
            sleep(30)
        except KeyboardInterrupt:
            print("interrupted")
        threading.Thread(target=later).start()
        try:
            sleep(30)
        except KeyboardInterrupt:
            print("again")
        sleep(0)
    """)
    assert done.stdout == "interrupted\nagain\n"


def test_sys_exit_in_a_greenlet_ends_the_program_quietly():
    done = run_isolated(
        """
        import sys
        from corolib.greenlet import Greenlet
        from corolib.hub import sleep

        Greenlet.spawn(sys.exit, 7)
        try:
            sleep(10)
        finally:
            print("cleaned up")
    """,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "cleaned up\n", "")


# -- the log -------------------------------------------------------------------------------------------------


def test_logging_is_imported_when_something_has_failed_and_writes_to_stderr():
    done = run_isolated("""
        import sys
        from corolib import spawn, sleep
        from corolib.hub import get_hub
        spawn(sleep, 0).join()
        assert "logging" not in sys.modules and "traceback" not in sys.modules
        def fail():
            raise ValueError("boom")
        spawn(fail).join()
        assert "logging" in sys.modules
    """)
    first, *rest = done.stderr.splitlines()
    assert first.startswith("<Greenlet at 0x") and first.endswith(": fail()> failed with ValueError")
    assert rest[:2] == ["Spawned at (most recent call last):", '  File "<string>", line 9, in <module>']
    assert rest[2] == "Traceback (most recent call last):"
    assert rest[-1] == "ValueError: boom"


def test_the_record_of_a_failure(caplog):
    failed = Greenlet.spawn(boom)
    failed.join()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("corolib", logging.ERROR)
    what, where, *places = record.getMessage().splitlines()
    assert what == f"{repr(failed)[:-1]}: boom()> failed with ValueError"
    assert where == "Spawned at (most recent call last):"
    assert places[-1].endswith("in test_the_record_of_a_failure")
    assert record.exc_info[1] is failed.exception


@pytest.fixture
def handler(request):
    """A handler of the logger of a class that the test names; the only one."""
    logger = logging.getLogger("corolib")
    made = request.param()
    logger.addHandler(made)
    logger.propagate = False
    yield made
    logger.removeHandler(made)
    logger.propagate = True


class Waits(logging.Handler):
    def __init__(self):
        super().__init__()
        self.go = Event()
        self.texts = []

    def emit(self, record):
        self.go.wait()
        self.texts.append(record.getMessage())


@pytest.mark.parametrize("handler", [Waits], indirect=True)
def test_a_handler_of_the_log_that_waits_holds_up_nobody(handler):
    rec = Recorder()
    hub = get_hub()
    hub.run_callback(boom)
    hub.run_callback(rec, "other callback")
    sleep(0.001)
    rec.check(["other callback"])
    assert handler.texts == []
    handler.go.set()
    sleep(0)
    assert len(handler.texts) == 1 and "failed with ValueError" in handler.texts[0]


class Fails(logging.Handler):
    def handle(self, record):
        raise self.error

    error: BaseException = RuntimeError("no room for this")


@pytest.mark.parametrize("handler", [Fails], indirect=True)
def test_a_log_that_fails_does_not_lose_the_report(handler, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    get_hub().run_callback(boom)
    sleep(0)
    text = sys.stderr.getvalue()
    assert "ValueError: boom" in text and "RuntimeError: no room for this" in text
    monkeypatch.setattr(sys, "stderr", None)
    get_hub().run_callback(boom)
    sleep(0)


@pytest.mark.parametrize("handler", [Fails], indirect=True)
def test_ctrl_c_while_the_log_is_written_reaches_main(handler, monkeypatch):
    monkeypatch.setattr(handler, "error", KeyboardInterrupt("now"))
    get_hub().run_callback(boom)
    with pytest.raises(KeyboardInterrupt, match="now"):
        sleep(10)
    failed = Greenlet.spawn(boom)  # this one reports by itself, at its end
    with pytest.raises(KeyboardInterrupt, match="now"):
        failed.join()
        sleep(10)
    sleep(0)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("start", [Greenlet.spawn, lambda *args: get_hub().run_callback(*args)])
def test_what_is_meant_for_main_reaches_it_although_it_came_up_in_the_error_handler(kind, start):
    def handler(*error):
        raise kind("in the handler")

    hub = get_hub()
    hub.handle_error = handler
    start(boom)
    with pytest.raises(kind, match="in the handler"):
        sleep(10)
    del hub.handle_error
    sleep(0.001)


def test_an_unraisable_hook_that_fails_does_not_stop_the_hub():
    done = run_isolated("""
        import sys
        from corolib.hub import get_hub, sleep

        def hook(unraisable):
            raise OSError("hook")
        def handler(*error):
            raise OSError("handler")
        sys.unraisablehook = hook
        get_hub().handle_error = handler
        seen = []
        for number in range(3):
            get_hub().run_callback(lambda: 1 / 0)
            get_hub().run_callback(seen.append, number)
        sleep(0.001)
        assert seen == [0, 1, 2]
        print("lives")
    """)
    assert done.stdout == "lives\n" and "OSError: hook" in done.stderr


def test_a_report_says_where_the_greenlet_was_spawned():
    done = run_isolated(
        """
        from corolib import spawn

        def outer():
            return inner()

        def inner():
            return spawn(lambda: 1 / 0)

        outer().join()
        """,
        env={"COROLIB_TRACK_GREENLET_TREE": "1"},
    )
    lines = done.stderr.splitlines()
    at = lines.index("Spawned at (most recent call last):")
    assert lines[at + 1 : at + 5] == [
        '  File "<string>", line 10, in <module>',
        '  File "<string>", line 5, in outer',
        '  File "<string>", line 8, in inner',
        "Traceback (most recent call last):",
    ]


def test_a_report_in_a_patched_program_whose_log_is_busy():
    """The handler's lock is held by a greenlet that waits in the midst of its own record."""
    done = run_isolated("""
        from corolib import monkey
        monkey.patch_all()
        import logging, sys, time
        from corolib import spawn
        from corolib.hub import get_hub

        class Slow(logging.StreamHandler):
            def emit(self, record):
                time.sleep(0.01)
                super().emit(record)

        logging.basicConfig(handlers=[Slow(sys.stdout)], format="%(name)s %(message)s")
        first = spawn(logging.warning, "first")
        time.sleep(0)
        get_hub().run_callback(int, "x")
        first.join()
        time.sleep(0.05)
        logging.warning("last")
    """)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("root", "corolib"))]
    assert lines[0] == "root first" and "failed with ValueError" in lines[1] and lines[2] == "root last"
    assert done.stderr == ""


# -- deadlock reports ----------------------------------------------------------------------------------------


def test_loop_exit_says_who_waits_for_what_and_where():
    def stuck(event):
        event.wait()

    event = Event()
    waiter = Greenlet.spawn(stuck, event)
    with pytest.raises(LoopExit) as caught:
        event.wait()
    waiting = "\n".join(caught.value.waiting)
    assert caught.value.hub is get_hub()
    assert len(caught.value.waiting) == 2
    assert f"waits for Event {event!r}"[:40] in waiting
    assert "test_hub_errors.py" in waiting and " in stuck" in waiting
    assert "the main greenlet" in waiting
    assert str(caught.value).startswith("This operation would block forever\n")
    waiter.kill()


def test_a_report_has_a_limit(monkeypatch):
    monkeypatch.setattr(WaitGraph, "REPORT_WAITS", 3)
    event = Event()
    waiters = [Greenlet.spawn(event.wait) for _ in range(5)]
    with pytest.raises(LoopExit) as caught:
        event.wait()
    assert len(caught.value.waiting) == 4 and caught.value.waiting[-1] == "... and 3 more"
    event.set()
    for each in waiters:
        each.join()


def test_no_loop_exit_while_something_can_still_happen():
    event = Event()
    hub = get_hub()
    hub.loop.timer(0.005).start(event.set)
    assert event.wait()
    event.clear()
    waker = hub.loop.async_()
    waker.start(event.set)
    thread = threading.Timer(0.02, waker.send)
    thread.start()
    assert event.wait()
    waker.close()
    thread.join()
    event.clear()
    hub.external_enter()
    thread = threading.Timer(0.02, lambda: (hub.external_leave(), event.set()))
    thread.start()
    assert event.wait()
    thread.join()
