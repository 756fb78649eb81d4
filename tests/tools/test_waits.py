"""corolib.tools.waits: waiting() at any time, and a report on a signal."""

import io
import os
import signal

import pytest
from helpers import in_thread, run_isolated

from corolib.errors import LoopExit
from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, sleep
from corolib.lock import RLock
from corolib.util import report_waiting_on, waiting


@pytest.fixture
def stuck():
    """A greenlet that waits for a lock that nobody will release."""
    lock = RLock()
    Greenlet.spawn(lock.acquire).join()
    waiter = Greenlet.spawn(lock.acquire)
    sleep(0)
    yield waiter
    waiter.kill()


@pytest.fixture
def usr1():
    before = signal.getsignal(signal.SIGUSR1)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, before)


def test_waiting_is_records_and_a_text(stuck):
    found = waiting()
    assert [wait.greenlet for wait in found] == [stuck]
    assert found[0].deadlocked and found.deadlocked == list(found) == found[:] and not found.cycles
    assert str(found).startswith(f"1 greenlet waiting, 1 deadlocked\n    <Greenlet at {id(stuck):#x}> waits")
    assert repr(found) == "<WaitGraph of 1 waits, 1 deadlocked>"


def test_nobody_waits():
    assert len(waiting()) == 0
    assert str(waiting()) == "0 greenlets waiting"


def test_threads_that_have_ended_are_not_looked_at(stuck):
    def other():
        Greenlet.spawn(Event().wait)
        sleep(0)
        return len(waiting())

    assert in_thread(other) == 2
    assert len(waiting()) == 1


def test_on_a_signal_while_the_loop_sleeps(stuck, usr1):
    reported = Event()

    class Stream(io.StringIO):
        def write(self, text):
            get_hub().run_callback(reported.set)
            return super().write(text)

    stream = Stream()
    assert report_waiting_on(usr1, stream) == signal.SIG_DFL
    get_hub().loop.timer(0.001).start(os.kill, os.getpid(), usr1)
    assert reported.wait(30)
    text = stream.getvalue()
    assert text.startswith(f"signal {int(usr1)}: 2 greenlets waiting, 1 deadlocked\n")
    assert f"<Greenlet at {id(stuck):#x}> waits for RLock" in text
    assert "the main greenlet waits for Event" in text


def test_on_a_signal_while_python_code_keeps_the_loop_from_running(stuck, usr1):
    stream = io.StringIO()
    report_waiting_on(usr1, stream)

    def busy():
        os.kill(os.getpid(), usr1)
        while not stream.getvalue():
            pass

    Greenlet.spawn(busy).join()
    text = stream.getvalue()
    assert f"<Greenlet at {id(stuck):#x}> waits for RLock" in text
    assert "runs:\n" in text and text.rstrip().splitlines()[-2].endswith(", in busy")


def test_a_handler_that_only_reports_puts_off_no_loop_exit(usr1):
    report_waiting_on(usr1, io.StringIO())
    with pytest.raises(LoopExit):
        Event().wait()


def test_a_handler_of_the_program_may_wake_somebody(usr1):
    """So nobody is deadlocked, and there is no LoopExit."""
    event = Event()
    signal.signal(usr1, lambda *_: event.set())
    seen = []

    def look():
        seen.append(waiting().deadlocked)
        # In the midst of the wait that comes next: there the loop would raise.
        get_hub().loop.timer(0.001, ref=False).start(os.kill, os.getpid(), usr1)

    get_hub().run_callback(look)
    assert event.wait()
    assert seen == [[]]


def test_a_closed_stream_does_no_harm(usr1):
    stream = io.StringIO()
    report_waiting_on(usr1, stream)
    stream.close()
    os.kill(os.getpid(), usr1)


def test_what_cannot_be_watched_is_refused(usr1):
    with pytest.raises(ValueError, match="signal number"):
        report_waiting_on(12345)
    with pytest.raises(OSError):
        report_waiting_on(signal.SIGKILL)
    error = in_thread(lambda: report_waiting_on(usr1))
    assert isinstance(error, ValueError) and "main thread" in str(error)


def test_in_a_patched_program_to_standard_error():
    done = run_isolated(
        """
        from corolib import monkey; monkey.patch_all()
        import os, signal, threading, time
        from corolib.util import report_waiting_on
        report_waiting_on(signal.SIGUSR1)
        a, b, both = threading.RLock(), threading.RLock(), threading.Barrier(2)
        def cross(first, second):
            with first:
                both.wait()
                second.acquire()
        for pair in ((a, b), (b, a)):
            threading.Thread(target=cross, args=pair, daemon=True).start()
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)
        """
    )
    assert "2 deadlocked" in done.stderr and "a circle of 2:" in done.stderr
    assert done.stderr.count(", in cross\n") == 2


def test_threads_that_join_each_other():
    done = run_isolated(
        """
        from corolib import monkey; monkey.patch_all()
        import threading
        from corolib.util import waiting
        both = threading.Barrier(2)
        def join(other):
            both.wait()
            threads[other].join()
        threads = [threading.Thread(target=join, args=(1 - number,)) for number in range(2)]
        for each in threads:
            each.start()
        threads[0].join()
        """,
        check=False,
    )
    assert "    a circle of 2:\n" in done.stderr, done.stderr
    assert "<end of <greenlet" in done.stderr and done.stderr.count(", in join\n") >= 2
