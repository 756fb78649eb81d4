"""corolib.run(): main's result, and the ways a program is told to end."""

import os
import signal
import subprocess
import sys
from textwrap import dedent

import pytest
from helpers import ROOT, run_isolated

import corolib
from corolib.greenlet import Greenlet

SETUP = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import corolib
from corolib import run, sleep, spawn

def send(number):
    os.kill(os.getpid(), number)

def later(number, seconds=0):
    corolib.get_hub().loop.timer(seconds).start(send, number)
"""


def program(body, check=False, **options):
    return run_isolated(SETUP + dedent(body), check=check, **options)


# -- without signals -----------------------------------------------------------------------------------------


def test_main_runs_in_the_main_greenlet_with_its_arguments():
    def main(*args):
        return args, corolib.getcurrent().parent

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert corolib.run(main, 1, 2) == ((1, 2), None)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_what_main_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        corolib.run(lambda: 1 / 0)
    with pytest.raises(SystemExit) as caught:
        corolib.run(sys.exit, 5)
    assert caught.value.code == 5


def test_what_is_refused():
    with pytest.raises(TypeError, match="callable, not int"):
        corolib.run(5)
    for grace in (-1, float("nan")):
        with pytest.raises(ValueError, match="grace"):
            corolib.run(print, grace=grace)
    with pytest.raises(RuntimeError, match="already"):
        corolib.run(corolib.run, print)

    def elsewhere():
        with pytest.raises(RuntimeError, match="main greenlet"):
            corolib.run(print)

    Greenlet.spawn(elsewhere).get()
    assert corolib.run(int) == 0


def test_the_other_greenlets_are_ended_after_main():
    seen = []

    def other(name):
        try:
            corolib.sleep(100)
        finally:
            Greenlet.spawn(seen.append, f"{name} said good-bye").join()

    def main():
        for name in ("one", "two"):
            Greenlet.spawn(other, name)
        corolib.spawn_raw(other, "raw")
        return "result"

    assert corolib.run(main) == "result"
    assert sorted(seen) == ["one said good-bye", "raw said good-bye", "two said good-bye"]


def test_who_does_not_end_is_reported(caplog, corolib_clock):
    def stubborn():
        try:
            corolib.sleep(100)
        except corolib.GreenletExit:
            corolib.sleep(100)

    stuck = []
    corolib.run(lambda: stuck.append(Greenlet.spawn(stubborn)), grace=0.05)
    try:
        (record,) = caplog.records
        assert (record.name, record.levelname) == ("corolib", "WARNING")
        first, second, *rest = record.getMessage().splitlines()
        assert first == "still running 0.05 s after the end of main:"
        assert second.startswith("    <Greenlet at 0x") and "> waits for sleep for" in second
        assert "stubborn()" in rest[0] and "spawned at" in rest[1]
        assert "in stubborn" in rest[2] and "corolib.sleep(100)" in rest[3]
    finally:
        # Left behind, it would hold up whichever test the collector finds it in.
        corolib.kill(stuck[0], ValueError())
        corolib.get_hub().handle_error = lambda *error: None
        stuck[0].join()


def test_a_system_exit_of_another_greenlet_while_all_is_cleaned_up():
    def other():
        try:
            corolib.sleep(100)
        finally:
            sys.exit(4)

    with pytest.raises(SystemExit) as caught:
        corolib.run(lambda: Greenlet.spawn(other))
    assert caught.value.code == 4


def test_threads_of_a_patched_program():
    """Those that are no daemons are waited for, as ever; daemons are ended."""
    done = program("""
        from corolib import monkey
        monkey.patch_all()
        import threading, time

        over = threading.Event()

        def body(name, wait):
            try:
                wait()
                print(name, "is done", flush=True)
            finally:
                print(name, "ends", flush=True)

        def main():
            threading.Thread(target=body, args=("thread", over.wait)).start()
            threading.Thread(target=body, args=("daemon", lambda: time.sleep(100)), daemon=True).start()

        run(main)
        print("run is over", flush=True)
        over.set()
    """)
    assert done.stdout == "daemon ends\nrun is over\nthread is done\nthread ends\n"
    assert (done.returncode, done.stderr) == (0, "")


# -- with a signal -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number, raised, status", [("SIGINT", "KeyboardInterrupt", 130), ("SIGTERM", "SystemExit", 143)]
)
def test_a_signal_ends_main_and_then_the_others(number, raised, status):
    done = program(f"""
        def clean(name):
            try:
                sleep(100)
            finally:
                sleep(0.01)
                print(name, "cleaned up", flush=True)

        def main():
            spawn(clean, "greenlet")
            later(signal.{number}, 0.01)
            try:
                clean("main")
            except BaseException as error:
                print(type(error).__name__, flush=True)
                raise

        run(main)
    """)
    assert done.stdout == f"main cleaned up\n{raised}\ngreenlet cleaned up\n"
    assert (done.returncode, done.stderr) == (status, "")


def test_a_signal_while_main_computes():
    done = program("""
        def main():
            try:
                send(signal.SIGINT)
                while True: pass
            finally:
                print("finally")
        run(main)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (130, "finally\n", "")


def test_a_signal_while_another_greenlet_computes():
    """It is main's, not the other one's."""
    done = program("""
        def compute():
            send(signal.SIGINT)
            total = sum(range(10 ** 5))
            print("computed", flush=True)
        def main():
            spawn(compute)
            sleep(100)
        run(main)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (130, "computed\n", "")


def test_main_may_take_the_signal_as_it_likes():
    done = program("""
        def main():
            later(signal.SIGTERM)
            try:
                sleep(100)
            except SystemExit:
                return 7
        sys.exit(run(main))
    """)
    assert (done.returncode, done.stderr) == (7, "")


def test_a_signal_that_main_has_not_noticed():
    """It was over by then. The signal's exception does not come up in somebody else's wait."""
    done = program("""
        from corolib.event import Event
        event = Event()
        def wake_and_send():
            event.set()
            send(signal.SIGTERM)
        def main():
            spawn(wake_and_send)
            event.wait()
        try:
            run(main)
        except SystemExit as exit:
            print(exit.code)
        sleep(0.001)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "143\n", "")


def test_a_signal_in_the_midst_of_cleaning_up():
    done = program("""
        def other():
            try:
                sleep(100)
            finally:
                send(signal.SIGTERM)
                print("clean", flush=True)
        run(spawn, other)
    """)
    assert (done.returncode, done.stdout, done.stderr) == (143, "clean\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "body",
    [
        "try: sleep(100)\n    finally: later(NUMBER); sleep(100)",
        "try: sleep(100)\n    finally:\n        send(NUMBER)\n        while True: pass",
    ],
    ids=["waiting", "computing"],
)
def test_a_second_signal_ends_at_once(number, body):
    done = program(
        f"def main():\n    later({int(number)})\n    {body.replace('NUMBER', str(int(number)))}\nrun(main)"
    )
    assert done.returncode == -number
    assert done.stderr == ""


def test_the_time_of_grace_is_over():
    done = program("""
        def stubborn():
            while True:
                try: sleep(100)
                except corolib.GreenletExit: pass
        def main():
            spawn(stubborn)
            later(signal.SIGTERM)
            try:
                sleep(100)
            finally:
                sys.stdout.write("last words")  # flushed
                sleep(100)
        run(main, grace=1)
    """)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "last words")
    assert done.stderr.startswith(
        "still running 1 s after SIGTERM:\n    the main greenlet waits for sleep for "
    )
    assert "in main\n" in done.stderr and "stubborn()" in done.stderr


def test_main_ends_in_time_and_others_do_not():
    done = program("""
        import atexit
        atexit.register(print, "atexit")
        def stubborn():
            while True:
                try: sleep(100)
                except corolib.GreenletExit: pass
        def main():
            spawn(stubborn)
            later(signal.SIGTERM)
            sleep(100)
        run(main, grace=1)
    """)
    assert (done.returncode, done.stdout) == (143, "atexit\n")
    assert done.stderr.startswith("still running 1 s after SIGTERM:\n")


def test_a_signal_that_is_ignored_stays_so():
    done = program("""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        def main():
            send(signal.SIGINT)
            sleep(0.01)
            return "finished"
        print(run(main))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "finished\n", "")


def test_a_signal_during_a_look_up_of_a_name():
    """The thread of the pool is not waited for."""
    done = program("""
        import time
        from corolib.threadpool import ThreadPool
        def main():
            later(signal.SIGTERM, 0.01)
            corolib.get_hub().threadpool.apply(time.sleep, (3,))
        run(main)
    """)
    assert (done.returncode, done.stderr) == (143, "")


def test_the_example():
    process = subprocess.Popen(
        [sys.executable, ROOT / "examples" / "orderly_end.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = [process.stdout.readline() for _ in range(3)]
    assert lines[0] == f"process {process.pid} works\n"
    process.send_signal(signal.SIGTERM)
    rest, errors = process.communicate(timeout=60)
    tail = rest.splitlines()[-3:]
    assert tail[0] == "no more jobs"
    assert sorted(tail[1:]) == ["ann has put its tools away", "bob has put its tools away"]
    assert (process.returncode, errors) == (143, "")
