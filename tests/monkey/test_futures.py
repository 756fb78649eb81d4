"""concurrent.futures in a patched program: executors of threads and of processes, and none of them hangs."""

import sys

import pytest
from helpers import run_isolated

#: From 3.12 on: "This process is multi-threaded, use of fork() may lead to deadlocks in the child."
QUIET = ("-W", "ignore:This process:DeprecationWarning")
PATCH = """
from corolib import monkey
monkey.patch_all()
import sys, threading, time
from concurrent import futures
import corolib
"""

USE = """
def double(number):
    time.sleep(0.001)
    return number * 2

def fail():
    raise LookupError("of the task")

def use(executor):
    with executor:
        found = [executor.submit(double, number) for number in range(10)]
        assert sorted(each.result(60) for each in futures.as_completed(found)) == list(range(0, 20, 2))
        assert list(executor.map(double, range(5), timeout=60)) == [0, 2, 4, 6, 8]
        done, not_done = futures.wait(found, 60)
        assert len(done) == 10 and not not_done
        failed = executor.submit(fail)
        assert isinstance(failed.exception(60), LookupError)
        called = []
        executor.submit(double, 4).add_done_callback(lambda future: called.append(future.result()))
        # From greenlets, and one that gives up.
        readers = [corolib.spawn(executor.submit(double, n).result, 60) for n in range(5)]
        assert [each.get() for each in readers] == [0, 2, 4, 6, 8]
        slow = executor.submit(time.sleep, 0.05)
        try: slow.result(0.001)
        except TimeoutError: pass
        killed = corolib.spawn(slow.result)
        corolib.sleep(0.001)
        killed.kill()
        slow.result(60)
    assert called == [8]
    try: executor.submit(double, 1)
    except RuntimeError as error: print(str(error).split(" ")[0])

if __name__ == "__main__":
    for how in sys.argv[1].split():
        if how == "threads":
            use(futures.ThreadPoolExecutor(3, initializer=lambda: None))
        else:
            import multiprocessing
            use(futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(how)))
"""


@pytest.mark.parametrize("how", ["threads", "fork", "forkserver", "spawn", "fork threads fork"])
def test_all_that_futures_are_used_for(how, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PATCH + USE)
    done = run_isolated(path, how, options=QUIET, timeout=60)
    assert (done.stdout, done.stderr) == ("cannot\n" * len(how.split()), "")


@pytest.mark.parametrize("executor", ["ThreadPoolExecutor(2)", "ProcessPoolExecutor(2)"])
def test_one_that_is_not_shut_down_does_not_keep_the_program(executor, tmp_path):
    """Its tasks end first, as ever; whether it was used in main, in a thread or in a greenlet."""
    path = tmp_path / "program.py"
    path.write_text(
        PATCH
        + f"""
def task(where):
    time.sleep(0.01)
    print(f"task of {{where}}\\n", end="", flush=True)  # one write: others write, too

if __name__ == "__main__":
    executor = futures.{executor}
    executor.submit(task, "main").result()
    threading.Thread(target=executor.submit, args=(task, "a thread")).start()
    corolib.spawn(executor.submit, task, "a greenlet").join()
    print("main ends", flush=True)
"""
    )
    done = run_isolated(path, options=QUIET, timeout=60)
    lines = done.stdout.splitlines()
    ends = ["main ends", "task of a greenlet", "task of a thread"]
    assert (lines[0], sorted(lines[1:]), done.stderr) == ("task of main", ends, "")


def test_one_that_was_made_before_patching_goes_on():
    """Its workers are native threads, and stay so."""
    done = run_isolated(
        """
        import time
        from concurrent import futures
        early = futures.ThreadPoolExecutor(1)
        early.submit(int).result()
        from corolib import monkey
        import warnings
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            monkey.patch_all()
        assert any("native threads run already" in str(each.message) for each in told), told
        import corolib, threading
        turns = []
        counter = corolib.spawn(lambda: [turns.append(time.sleep(0.001)) for _ in range(5)])
        plain_sleep = monkey.get_original("time", "sleep")
        def until_others_have_run():
            while not turns: plain_sleep(0.001)
            return threading.get_ident()
        print(early.submit(until_others_have_run).result() > 0, len(turns) > 0)
        print(early.submit(lambda: time.sleep(0.001) or 3).result(60))
        print([each.result(60) for each in [early.submit(abs, -n) for n in range(3)]])
        counter.join()
        early.shutdown()
        """,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("True True\n3\n[0, 1, 2]\n", "")


INTERPRETERS = (
    PATCH
    + """
import os
from concurrent.futures.interpreter import BrokenInterpreterPool

def run_one(executor):
    # The task waits in its interpreter, for what a greenlet here does only once it has begun.
    r, w = os.pipe()
    future = executor.submit(os.read, r, 1)
    while not future.running(): time.sleep(0.001)
    os.write(w, b"x")
    return future.result(60)

with futures.InterpreterPoolExecutor(1, initializer=os.getpid) as executor:
    print(run_one(executor), run_one(executor))
    for call in (executor.submit(int, "no"), executor.submit(divmod, 1, 0)):
        print(type(call.exception(60)).__name__)

with futures.InterpreterPoolExecutor(1, initializer=divmod, initargs=(1, 0)) as executor:
    print(isinstance(executor.submit(int).exception(60), BrokenInterpreterPool))

corolib.get_hub().destroy()
print([each.name for each in threading.enumerate()])
"""
)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="InterpreterPoolExecutor is there from 3.14 on")
def test_what_runs_in_another_interpreter_holds_up_no_greenlet():
    done = run_isolated(INTERPRETERS)
    assert done.stdout.splitlines() == [
        "b'x' b'x'",
        "ValueError",
        "ZeroDivisionError",
        "True",
        "['MainThread']",
    ]
    assert "Exception in initializer" in done.stderr
