"""The child of a fork: its hub, its pool, its signals, its locks; and a parent that does not notice."""

import pytest
from helpers import ROOT, run_isolated

SETUP = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import corolib
from corolib import sleep, spawn
from corolib.event import Event
from corolib.hub import get_hub

def say(text):
    "In one piece, whatever other processes write."
    os.write(1, text.encode() + b"\\n")

def fork(child):
    "The status of a child process in which child() runs; 99 if it fails, 77 if it returns."
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(corolib.os.waitpid(pid, 0)[1])
    signal.alarm(20)
    try:
        child()
    except SystemExit:
        raise
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(99)
    os._exit(77)
import corolib.os
"""


#: From 3.12 on: "This process is multi-threaded, use of fork() may lead to deadlocks in the child."
QUIET = ("-W", "ignore:This process:DeprecationWarning")


def program(script, check=True, **options):
    from textwrap import dedent

    return run_isolated(SETUP + dedent(script), check=check, options=QUIET, **options)


def test_greenlets_go_on_in_the_child():
    """Unlike threads: whoever waited, waits there too, and has what it had."""
    done = program("""
        def other(name):
            with open(os.devnull) as file:
                sleep(0.01)
                assert not file.closed
            say(name + " in " + ("parent" if os.getpid() == parent else "child"))
        parent = os.getpid()
        others = [spawn(other, "a"), corolib.spawn_raw(other, "b")]
        sleep(0)
        def child():
            while not all(each.dead for each in others): sleep(0.001)
        assert fork(child) == 77
        say("parent")
        while not all(each.dead for each in others): sleep(0.001)
    """)
    lines = done.stdout.splitlines()
    assert sorted(lines) == ["a in child", "a in parent", "b in child", "b in parent", "parent"]


def test_the_child_changes_nothing_of_the_parents_polling():
    """The epoll instance is shared until the child has one of its own."""
    done = program("""
        import socket
        from corolib.socket import socketpair
        pairs = [socketpair() for _ in range(5)]
        def echo(far):
            while data := far.recv(10): far.sendall(data)
        echoes = [spawn(echo, far) for _, far in pairs]
        sleep(0.001)
        def ask():
            for near, _ in pairs:
                near.sendall(b"x")
                assert near.recv(10) == b"x"
        ask()
        def child():
            more = [socketpair() for _ in range(5)]
            readers = [spawn(near.recv, 1) for near, _ in more]
            sleep(0.001)
            for pair in [*pairs, *more]:
                for each in pair: each.close()
            get_hub().handle_error = lambda *error: None
            sleep(0.001)
        for _ in range(3):
            assert fork(child) == 77
            ask()
        for near, _ in pairs: near.close()
        corolib.joinall(echoes)
        print("well")
    """)
    assert (done.stdout, done.stderr) == ("well\n", "")


def test_a_hub_destroyed_in_the_child_runs_nothing_of_the_parents():
    done = program("""
        pending = get_hub().run_callback(print, "callback in the parent", flush=True)
        def child():
            get_hub().destroy()
            sleep(0.001)  # in a new one
        assert fork(child) == 77
        sleep(0)
    """)
    assert done.stdout == "callback in the parent\n"


@pytest.mark.parametrize("where", ["main", "greenlet", "raw greenlet"])
def test_the_child_ends_by_sys_exit_wherever_it_forked(where):
    done = program(f"""
        result = Event()
        def forks():
            result.status = fork(lambda: sys.exit(5))
            result.set()
        if {where!r} == "main": forks()
        elif {where!r} == "greenlet": spawn(forks)
        else: corolib.spawn_raw(forks)
        result.wait()
        print(result.status)
    """)
    assert (done.stdout, done.stderr) == ("5\n", "")


@pytest.mark.parametrize("where", ["main", "thread with a hub", "thread"])
def test_ctrl_c_in_the_child_reaches_its_main_greenlet(where):
    done = program(f"""
        import threading, _thread
        sleep(0)
        def child():
            assert get_hub().main_hub or {where!r} == "thread"
            get_hub().loop.timer(0.01).start(os.kill, os.getpid(), signal.SIGINT)
            try:
                sleep(10)
            except KeyboardInterrupt:
                # And once more, from outside, while it polls.
                if os.fork() == 0:
                    os.kill(os.getppid(), signal.SIGINT)
                    os._exit(0)
                try: sleep(10)
                except KeyboardInterrupt: os._exit(3)
        def forks():
            if "hub" in {where!r}: sleep(0)
            print(fork(child), flush=True)
        if {where!r} == "main": forks()
        else:
            thread = threading.Thread(target=forks)
            thread.start(); thread.join()
    """)
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_signals_of_the_child_are_its_own():
    done = program("""
        seen = []
        corolib.signal_handler(signal.SIGUSR1, seen.append, os.getpid())
        sleep(0)
        def child():
            os.kill(os.getpid(), signal.SIGUSR1)
            sleep(0.001)
            assert len(seen) == 1
        assert fork(child) == 77
        sleep(0.001)
        assert seen == []
        os.kill(os.getpid(), signal.SIGUSR1)
        sleep(0.001)
        assert len(seen) == 1
    """)
    assert done.stderr == ""


def test_a_deadlock_in_the_child_is_one():
    """What the parent waited for in other threads is nothing to wait for."""
    done = program("""
        import time
        from corolib.threadpool import ThreadPool
        pool = ThreadPool(2)
        pool.spawn(time.sleep, 0.3)
        pool.spawn(int)
        sleep(0)
        def child():
            try: Event().wait()
            except corolib.errors.LoopExit: os._exit(3)
        import corolib.errors
        assert fork(child) == 3
        pool.join()
    """)
    assert done.stderr == ""


def test_who_waits_for_the_pool_in_the_child_is_told():
    done = program("""
        from _thread import allocate_lock
        from corolib.threadpool import ThreadPool
        pool = ThreadPool(1)
        parent = os.getpid()
        gate = allocate_lock()
        gate.acquire()
        def nap():
            with gate:
                return "slept"
        def ask(name):
            try:
                result = pool.apply(nap)
            except RuntimeError as error:
                result = str(error).replace(repr(nap), "nap")
            say(name + (" child " if os.getpid() != parent else " parent ") + result)
        asking = [spawn(ask, name) for name in "ab"]  # one has the thread, one waits for a place
        joining = spawn(pool.join)
        sleep(0.01)
        def child():
            asking[0].join()
            gate.release()
            joining.join()
            asking[1].join()
            assert pool.apply(len, ("abc",)) == 3 and len(pool) == 0
            pool.kill()
        assert fork(child) == 77
        gate.release()
        corolib.joinall(asking)
    """)
    told = "the process was forked, without the thread that was to call nap"
    assert sorted(done.stdout.splitlines()) == sorted(
        [f"a child {told}", "b child slept", "a parent slept", "b parent slept"]
    )


def test_a_fork_in_a_thread_of_the_pool():
    """The function returns in the child as well; nobody waits there, and it ends."""
    done = program("""
        from corolib.threadpool import ThreadPool
        pool = ThreadPool(1)
        pid = pool.apply(os.fork)
        assert pid
        assert corolib.os.waitpid(pid, 0) == (pid, 0)
        assert pool.apply(len, ("abc",)) == 3
    """)
    assert done.stderr == ""


def test_reinit_in_a_process_forked_past_python():
    done = program("""
        import ctypes
        sleep(0)
        hub = get_hub()
        # PyDLL: the GIL is kept, as by a server that embeds Python.
        pid = ctypes.PyDLL(None).fork()
        if pid == 0:
            corolib.reinit()
            assert hub._pid == os.getpid()
            sleep(0.001)
            os._exit(3)
        assert corolib.os.waitpid(pid, 0) == (pid, 3 << 8)
        hub.external_enter()
        corolib.reinit()  # nothing: it is in order
        hub.external_leave()
    """)
    assert done.stderr == ""


PATCHED = """
from corolib import monkey
monkey.patch_all()
import logging, threading, time
"""


def test_locks_of_the_log_that_somebody_holds():
    """The child can log at once; and so can a greenlet that waits for the lock. Threads are not there."""
    done = program(
        PATCHED
        + """
class Slow(logging.StreamHandler):
    wait = True
    def emit(self, record):
        if self.wait: hold.wait()
        super().emit(record)

hold = threading.Event()
handler = Slow(sys.stdout)
logging.basicConfig(handlers=[handler], format="%(message)s")
def log(text):
    logging.warning(text)
    done.append(text)
done = []
threads = [threading.Thread(target=log, args=(name,)) for name in ("holds", "waits", "waits too")]
for each in threads: each.start()
greenlet = spawn(log, "greenlet")
sleep(0)
def child():
    handler.wait = False
    logging.warning("child")
    hold.set()
    greenlet.join()
    sleep(0.001)
    assert done == ["greenlet"]
    assert threading.enumerate() == [threading.current_thread()]
    sys.exit(4)
assert fork(child) == 4
assert done == []
hold.set()
for each in threads: each.join()
greenlet.join()
"""
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[:2] == ["child", "greenlet"]
    assert sorted(lines[2:]) == ["greenlet", "holds", "waits", "waits too"]


def test_a_queue_in_which_a_native_thread_compares_items():
    """It stands between the thread and others; in the child the thread is not there to let them in."""
    done = program("""
        from corolib._native import allocate_lock, start_new_thread
        from corolib.queue import PriorityQueue
        inside, go_on, ended = allocate_lock(), allocate_lock(), allocate_lock()
        for each in (inside, go_on, ended): each.acquire()
        class Item(int):
            def __lt__(self, other):
                if self == 1:
                    inside.release()
                    go_on.acquire()
                return int(self) < int(other)
        queue = PriorityQueue(items=[Item(2), Item(3)])
        start_new_thread(lambda: (queue.put(Item(1)), ended.release()), ())
        inside.acquire()
        def child():
            Item.__lt__ = int.__lt__
            queue.put(Item(0))
            assert sorted(queue.get() for _ in range(4)) == [0, 1, 2, 3] and queue.empty()
            assert fork(lambda: queue.put(Item(5))) == 77
            queue.put(Item(4))
            assert queue.get() == 4
        assert fork(child) == 77
        go_on.release()
        ended.acquire()
        print([queue.get() for _ in range(3)])
    """)
    assert (done.stdout, done.stderr) == ("[1, 2, 3]\n", "")


def test_multiprocessing_in_a_patched_program():
    """Waiting for a process lets others run."""
    done = program(
        PATCHED
        + """
import multiprocessing
context = multiprocessing.get_context("fork")
def work(queue, gate, number):
    queue.put(number * 2)
    gate.wait()
queue, gate = context.Queue(), context.Event()
turns = []
def count():
    while True:
        turns.append(None)
        time.sleep(0.001)
counter = threading.Thread(target=count, daemon=True)
counter.start()
processes = [context.Process(target=work, args=(queue, gate, number)) for number in range(3)]
for each in processes: each.start()
print(sorted(queue.get() for _ in processes))
def open_later():
    del turns[:]
    while len(turns) < 3: time.sleep(0.001)
    gate.set()
threading.Thread(target=open_later).start()
for each in processes: each.join()
print([each.exitcode for each in processes], len(turns) >= 3)
"""
    )
    assert (done.stdout, done.stderr) == ("[0, 2, 4]\n[0, 0, 0] True\n", "")


@pytest.mark.parametrize(
    "count", [20, pytest.param(1_000, marks=[pytest.mark.slow, pytest.mark.hang_after(900)])]
)
def test_a_storm_of_forks(count):
    """Held locks, live watchers, a thread pool in use: each child logs, resolves, spawns and exits."""
    limit = () if count < 100 else ("--limit", 1)
    done = run_isolated(
        ROOT / "tests" / "storms" / "forks.py", count, *limit, timeout=800, check=False, options=QUIET
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} forks, 0 failed" in done.stdout and done.stderr == ""
