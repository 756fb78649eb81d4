"""corolib.signal: handlers that run in greenlets, and what is the standard library's."""

import contextvars
import os
import signal
import socket
import threading

import pytest
from helpers import ROOT, Recorder, in_thread, run_isolated

from corolib import signal as green_signal
from corolib.errors import LoopExit
from corolib.event import Event
from corolib.greenlet import Greenlet
from corolib.hub import get_hub, getcurrent, sleep
from corolib.signal import signal_handler


def send(number=signal.SIGUSR1):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def nothing_left():
    numbers = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert green_signal._handlers == {} == green_signal._before
    assert [signal.getsignal(number) for number in numbers] == before


# -- signal_handler ------------------------------------------------------------------------------------------


def test_each_delivery_runs_the_handler_in_a_greenlet_of_its_own():
    rec = Recorder()
    greenlets = []

    def handler(*args, **kwargs):
        greenlets.append(getcurrent())
        sleep(0.001)  # it may wait
        rec((args, kwargs))

    handled = signal_handler(signal.SIGUSR1, handler, 1, key=2)
    for _ in range(2):
        send()
        sleep(0)
    rec.check([])
    for each in greenlets:
        each.join()
    rec.check([((1,), {"key": 2})] * 2)
    assert len(set(greenlets)) == 2 and all(type(each) is Greenlet for each in greenlets)
    handled.cancel()


def test_a_signal_wakes_the_loop():
    """Main waits for nothing but the signal: no deadlock, and no delay."""
    event = Event()
    handled = signal_handler(signal.SIGUSR1, event.set)
    sender = threading.Timer(0.05, send)
    sender.start()
    assert event.wait()
    event.clear()
    sender.join()  # no thread is left that could wake anybody: a signal still can
    child = os.fork()
    if child == 0:
        try:
            os.kill(os.getppid(), signal.SIGUSR1)
        finally:
            os._exit(0)
    assert event.wait()
    os.waitpid(child, 0)
    handled.cancel()
    with pytest.raises(LoopExit):
        Event().wait()


def test_a_handler_of_the_standard_library_is_no_deadlock_either():
    event = Event()
    before = signal.signal(signal.SIGALRM, lambda *_: event.set())
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    assert event.wait()
    signal.signal(signal.SIGALRM, before)
    with pytest.raises(LoopExit):
        Event().wait()


def test_join_does_not_wait_for_signals_unless_told_to():
    handled = signal_handler(signal.SIGUSR1, lambda: None)
    assert handled.ref is False
    assert get_hub().join() is True
    handled.ref = True
    assert get_hub().join(0.005) is False
    handled.ref = False
    assert get_hub().join() is True
    handled.ref = True
    handled.cancel()
    assert handled.ref is False and get_hub().join() is True


def test_several_handlers_for_one_signal():
    rec = Recorder()
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    handlers = [signal_handler(signal.SIGUSR1, rec, number) for number in range(3)]
    send()
    sleep(0)
    rec.check([0, 1, 2])
    handlers[1].cancel()
    handlers[1].cancel()
    send()
    sleep(0)
    rec.check([0, 1, 2, 0, 2])
    handlers[0].cancel()
    assert "cancelled" in repr(handlers[0]) and "cancelled" not in repr(handlers[2])
    handlers[2].cancel()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    send()
    sleep(0)
    rec.check([0, 1, 2, 0, 2])
    signal.signal(signal.SIGUSR1, before)


def test_signal_of_the_standard_library_has_the_last_word():
    rec = Recorder()
    first = signal_handler(signal.SIGUSR1, rec, "first")
    mine = lambda *_: rec("plain")  # noqa: E731
    before = signal.signal(signal.SIGUSR1, mine)
    send()
    sleep(0)
    rec.check(["plain"])
    second = signal_handler(signal.SIGUSR1, rec, "second")
    send()
    sleep(0)
    rec.check(["plain", "first", "second"])
    first.cancel()
    second.cancel()
    assert signal.getsignal(signal.SIGUSR1) is mine
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert before is green_signal._deliver


def test_a_handler_that_fails_is_reported_and_the_others_run():
    rec = Recorder()
    get_hub().handle_error = lambda context, kind, value, tb: rec(kind)
    handlers = [signal_handler(signal.SIGUSR1, int, "x"), signal_handler(signal.SIGUSR1, rec, "other")]
    send()
    sleep(0)
    rec.check([ValueError, "other"])
    for each in handlers:
        each.cancel()


def test_system_exit_in_a_handler_reaches_the_main_greenlet():
    handled = signal_handler(signal.SIGTERM, exit, 3)
    get_hub().loop.timer(0).start(send, signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        sleep(10)
    assert caught.value.code == 3
    handled.cancel()


def test_a_handler_has_the_context_it_was_set_in():
    variable = contextvars.ContextVar("variable")
    variable.set("set")
    seen = []
    handled = signal_handler(signal.SIGUSR1, lambda: seen.append(variable.get()))
    variable.set("changed")
    send()
    sleep(0)
    assert seen == ["set"]
    handled.cancel()


def test_what_is_refused():
    with pytest.raises(TypeError, match="must be callable, not int: 5"):
        signal_handler(signal.SIGUSR1, 5)
    with pytest.raises(TypeError):
        signal_handler("SIGUSR1", print)
    with pytest.raises(ValueError, match="signal number"):
        signal_handler(1000, print)
    with pytest.raises(OSError):
        signal_handler(signal.SIGKILL, print)
    assert isinstance(in_thread(lambda: signal_handler(signal.SIGUSR1, print)), ValueError)


def test_a_storm_of_signals_loses_no_kind_and_stops_nothing():
    counts = {signal.SIGUSR1: 0, signal.SIGUSR2: 0}

    def count(number):
        counts[number] += 1

    handlers = [signal_handler(number, count, number) for number in counts]
    for _ in range(1000):
        for number in counts:
            send(number)
    sleep(0.001)
    assert counts == dict.fromkeys(counts, 1000)
    for each in handlers:
        each.cancel()


# -- set_wakeup_fd -------------------------------------------------------------------------------------------


@pytest.fixture
def pair():
    near, far = socket.socketpair()
    near.setblocking(False)
    far.settimeout(60)
    with near, far:
        yield near, far


@pytest.mark.parametrize("setter", [signal.set_wakeup_fd, green_signal.set_wakeup_fd])
@pytest.mark.parametrize("moment", ["before the hub", "after"])
def test_handlers_and_the_users_wakeup_descriptor(pair, setter, moment):
    """Both are told of each signal, whoever came first."""
    near, far = pair
    if moment == "after":
        sleep(0)
    before = setter(near.fileno())
    if moment == "before the hub":
        assert before == -1
    event = Event()
    handled = signal_handler(signal.SIGUSR1, event.set)
    send()
    event.wait()
    sleep(0.001)  # the loop passes on what it has got
    assert far.recv(10) == bytes([signal.SIGUSR1])
    assert green_signal.set_wakeup_fd(-1) == near.fileno()
    handled.cancel()
    get_hub().destroy()
    assert signal.set_wakeup_fd(-1) == -1


def test_set_wakeup_fd_chains_at_once(pair):
    near, far = pair
    sleep(0)
    assert green_signal.set_wakeup_fd(near.fileno()) == -1
    assert green_signal.set_wakeup_fd(near.fileno()) == near.fileno()
    seen = []
    before = signal.signal(signal.SIGUSR2, lambda *_: seen.append(1))
    send(signal.SIGUSR2)
    sleep(0.001)
    assert seen == [1] and far.recv(10) == bytes([signal.SIGUSR2])
    signal.signal(signal.SIGUSR2, before)
    assert green_signal.set_wakeup_fd(-1) == near.fileno()
    with pytest.raises(OSError):
        green_signal.set_wakeup_fd(far.fileno() + 1000)
    blocking, other = socket.socketpair()
    with blocking, other, pytest.raises(ValueError, match="non-blocking"):
        green_signal.set_wakeup_fd(blocking.fileno())
    assert isinstance(in_thread(lambda: green_signal.set_wakeup_fd(-1)), ValueError)


# -- SIGCHLD -------------------------------------------------------------------------------------------------


def test_a_handler_of_sigchld_may_wait():
    rec = Recorder()
    done = Event()

    def handler(signum, frame):
        rec(signum)
        sleep(0.001)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            rec(status >> 8)
        done.set()

    sleep(0)
    before = green_signal.signal(signal.SIGCHLD, handler)
    assert before is signal.SIG_DFL
    assert green_signal.getsignal(signal.SIGCHLD) is handler
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    done.wait()
    rec.check([signal.SIGCHLD, 7])
    assert green_signal.signal(signal.SIGCHLD, signal.SIG_IGN) is handler
    assert green_signal.signal(signal.SIGCHLD, signal.SIG_DFL) is signal.SIG_IGN


def test_sigchld_is_written_to_the_wakeup_descriptor(pair):
    near, far = pair
    done = Event()
    green_signal.signal(signal.SIGCHLD, lambda *_: done.set())
    sleep(0)
    green_signal.set_wakeup_fd(near.fileno())
    pid = os.posix_spawn("/bin/true", ["true"], {})
    done.wait()
    assert os.waitpid(pid, 0) == (pid, 0)
    sleep(0.001)
    assert far.recv(10) == bytes([signal.SIGCHLD])
    assert green_signal.set_wakeup_fd(-1) == near.fileno()
    green_signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def test_without_a_hub_a_handler_of_sigchld_is_called_as_ever():
    run_isolated("""
        import os
        from corolib import signal
        from corolib.hub import get_hub_if_exists
        seen = []
        signal.signal(signal.SIGCHLD, lambda *args: seen.append(args))
        os.kill(os.getpid(), signal.SIGCHLD)
        assert seen[0][0] == signal.SIGCHLD and get_hub_if_exists() is None
    """)


def test_watched_children_and_a_handler_of_sigchld_do_not_disturb_each_other():
    from corolib import os as green_os

    statuses = []

    def handler(signum, frame):
        try:
            while green_os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass

    green_signal.signal(signal.SIGCHLD, handler)
    pids = []
    for number in range(10):
        pid = green_os.fork_and_watch(lambda watcher: statuses.append(watcher.rstatus >> 8), ref=True)
        if pid == 0:
            os._exit(number)
        pids.append(pid)
    assert get_hub().join() is True
    assert sorted(statuses) == list(range(10))
    green_signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def test_other_signals_are_passed_through():
    assert green_signal.signal(signal.SIGUSR1, signal.SIG_IGN) is signal.SIG_DFL
    assert green_signal.signal(signal.SIGUSR1, signal.SIG_DFL) is signal.SIG_IGN
    assert green_signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    assert green_signal.SIGTERM is signal.SIGTERM and green_signal.setitimer is signal.setitimer
    with pytest.raises(ValueError):
        green_signal.signal(1000, print)
    with pytest.raises(TypeError):
        green_signal.signal(signal.SIGUSR1, "no handler")
    with pytest.raises(AttributeError):
        green_signal.no_such_name


# -- patched -------------------------------------------------------------------------------------------------


def test_patched():
    done = run_isolated("""
        from corolib import monkey
        monkey.patch_all()
        import os, signal, time
        import corolib
        from corolib import signal as green_signal
        for name in ("signal", "getsignal", "set_wakeup_fd"):
            assert getattr(signal, name) is getattr(green_signal, name)

        def handler(number, frame):
            time.sleep(0.01)
            print("child ended", flush=True)
            main.set()

        import threading
        main = threading.Event()
        signal.signal(signal.SIGCHLD, handler)
        corolib.signal_handler(signal.SIGTERM, print, "terminated", flush=True)
        pid = os.posix_spawn("/bin/true", ["true"], {})
        main.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)
        assert os.waitpid(pid, 0) == (pid, 0)
    """)
    assert done.stdout == "child ended\nterminated\n" and done.stderr == ""


LOGS = '''
import logging, os, signal, sys, threading
import corolib
from corolib._native import original

begun = os.pipe()

def wakes(number, frame):
    """Set before patching."""
    os.write(begun[1], b"!")
    where = "the hub" if corolib.getcurrent() is corolib.get_hub() else "a greenlet"
    logging.warning("handler %d in %s", number, where)
    if number == signal.SIGUSR2:
        raise LookupError("of the handler")

signal.signal(signal.SIGUSR1, wakes)
from corolib import monkey
monkey.patch_all()
import time
signal.signal(signal.SIGUSR2, wakes)
assert signal.getsignal(signal.SIGUSR1) is signal.getsignal(signal.SIGUSR2) is wakes

class Slow(logging.StreamHandler):
    hold = None
    def emit(self, record):
        if self.hold is not None:
            self.hold.wait()
        super().emit(record)

handler = Slow(sys.stdout)
logging.basicConfig(handlers=[handler], format="%(message)s")

def kill_self_while_the_hub_polls(number):
    """From another process: a signal that is not sent by one of our own greenlets.

    It is told to by the hub, which has nothing else to do: whoever has called this waits by then.
    """
    gate, opener = os.pipe()
    os.set_inheritable(gate, True)
    command = f"read x <&{gate}; kill -{int(number)} {os.getpid()}"
    child = os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", command)
    corolib.get_hub().loop.timer(0.01).start(original("os", "write"), opener, b"\\n")
    return child
'''


def test_a_handler_that_logs_waits_for_the_lock_of_the_log_while_others_run():
    """It comes while the hub polls, and another greenlet writes to the log and waits in there."""
    done = run_isolated(
        LOGS
        + """
handler.hold = threading.Event()
thread = threading.Thread(target=logging.warning, args=("thread",))
thread.start()
child = kill_self_while_the_hub_polls(signal.SIGUSR1)
os.read(begun[0], 1)
time.sleep(0.01)
print("others run", flush=True)
handler.hold.set()
thread.join()
time.sleep(0.01)
os.waitpid(child, 0)
"""
    )
    lines = ["others run", "thread", f"handler {int(signal.SIGUSR1)} in a greenlet"]
    assert (done.stdout.splitlines(), done.stderr) == (lines, "")


@pytest.mark.parametrize("waits", [False, True])
def test_what_a_handler_raises_reaches_main_whether_it_has_waited_or_not(waits):
    done = run_isolated(
        LOGS
        + f"""
if {waits}:
    handler.hold = threading.Event()
    threading.Thread(target=logging.warning, args=("thread",)).start()
    corolib.spawn(lambda: (os.read(begun[0], 1), time.sleep(0.01), handler.hold.set()))
child = kill_self_while_the_hub_polls(signal.SIGUSR2)
try:
    time.sleep(20)
except LookupError as error:
    print("main:", error)
time.sleep(0.01)
os.waitpid(child, 0)
"""
    )
    lines = [f"handler {int(signal.SIGUSR2)} in a greenlet", "main: of the handler"]
    assert (done.stdout.splitlines(), done.stderr) == ((["thread"] if waits else []) + lines, "")


@pytest.mark.parametrize("kind", ["SystemExit", "LookupError"])
@pytest.mark.parametrize("start", ["threading.Thread(target=work).start()", "corolib.spawn(work)"])
def test_what_a_handler_raises_while_another_greenlet_runs_reaches_main(kind, start):
    """As in a program with threads, whose main thread runs the handlers; the other one goes on."""
    done = run_isolated(
        f"""
from corolib import monkey; monkey.patch_all()
import os, signal, threading, time
import corolib

def handler(*args):
    raise {kind}("of the handler")

def work():
    os.kill(os.getpid(), signal.SIGUSR1)
    print("goes on", flush=True)
    time.sleep(0.01)
    print("to its end", flush=True)
    over.set()

signal.signal(signal.SIGUSR1, handler)
over = threading.Event()
{start}
try:
    time.sleep(20)
except {kind} as error:
    print("main:", error, flush=True)
over.wait()
"""
    )
    assert (done.stdout.splitlines(), done.stderr) == (["goes on", "main: of the handler", "to its end"], "")


def test_a_handlers_keyboard_interrupt_ends_what_runs_and_then_main():
    done = run_isolated(
        """
from corolib import monkey; monkey.patch_all()
import os, signal, threading, time

def handler(*args):
    raise KeyboardInterrupt("of the handler")

def work():
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
        print("goes on")
    finally:
        print("ends", flush=True)

signal.signal(signal.SIGUSR1, handler)
try:
    threading.Thread(target=work).start()
    time.sleep(20)
except KeyboardInterrupt as error:
    print("main:", error, flush=True)
"""
    )
    assert (done.stdout.splitlines(), done.stderr) == (["ends", "main: of the handler"], "")


def test_in_the_child_of_a_fork_a_thread_that_is_alone_gets_what_its_handler_raises():
    done = run_isolated(
        """
from corolib import monkey; monkey.patch_all()
import os, signal, threading, time

def handler(*args):
    raise LookupError

def work():
    pid = os.fork()
    if pid:
        print(os.waitpid(pid, 0)[1], flush=True)
        return
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
    except LookupError:
        os._exit(0)
    os._exit(1)

signal.signal(signal.SIGUSR1, handler)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_asyncio_in_the_main_greenlet_still_gets_its_signals():
    """It sets its own wakeup descriptor."""
    done = run_isolated("""
        import asyncio, os, signal
        from corolib import sleep, signal_handler
        sleep(0)
        async def main():
            got = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, got.set)
            os.kill(os.getpid(), signal.SIGUSR1)
            await got.wait()
            print("asyncio")
        asyncio.run(main())
        handled = signal_handler(signal.SIGUSR1, print, "corolib")
        os.kill(os.getpid(), signal.SIGUSR1)
        sleep(0.001)
    """)
    assert done.stdout == "asyncio\ncorolib\n"


@pytest.mark.parametrize("seconds", [0.5, pytest.param(60, marks=pytest.mark.slow)])
def test_a_storm_of_signals_from_another_process(seconds):
    """Each kind is still handled after it, and the work goes on meanwhile."""
    done = run_isolated(ROOT / "tests" / "storms" / "signals.py", seconds, timeout=seconds * 3 + 60)
    assert done.stdout.startswith("sent ") and done.stderr == ""
