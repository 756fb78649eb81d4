"""How a patched program ends: who is waited for, what Ctrl-C does, which status comes out."""

import signal
import subprocess

import pytest
from helpers import run_isolated

PATCH = "from corolib import monkey\nmonkey.patch_all()\nimport atexit, os, signal, sys, threading, time\n"


def run(script: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_isolated(PATCH + script, check=False, timeout=60)
    assert done.returncode == status, done.stderr
    return done


def test_threads_that_are_no_daemons_are_waited_for() -> None:
    done = run(
        "turn = [threading.Event() for _ in range(6)]\n"
        "def body(n):\n"
        "    if n == 1: threading.main_thread().join()\n"
        "    else: turn[n].wait()\n"
        "    print(n)\n"
        "    if n == 3: threading.Thread(target=body, args=(4,)).start()\n"
        "    turn[n + 1].set()\n"
        "for n in (2, 1, 3): threading.Thread(target=body, args=(n,)).start()\n"
        "print('main ends')\n"
    )
    assert done.stdout.split("\n") == ["main ends", "1", "2", "3", "4", ""]
    assert done.stderr == ""


def test_daemons_are_not_waited_for_and_say_nothing() -> None:
    done = run(
        "def body():\n"
        "    try: time.sleep(1000)\n"
        "    finally: pass\n"
        "for _ in range(3): threading.Thread(target=body, daemon=True).start()\n"
        "lock = threading.Lock(); lock.acquire()\n"
        "threading.Thread(target=lock.acquire, daemon=True).start()\n"
        "print('main ends')\n"
    )
    assert (done.stdout, done.stderr) == ("main ends\n", "")


def test_the_status_is_kept_and_atexit_runs_after_the_threads() -> None:
    done = run(
        "atexit.register(print, 'atexit')\n"
        "threading.Thread(target=lambda: (time.sleep(0.01), print('thread'))).start()\n"
        "sys.exit(7)\n",
        status=7,
    )
    assert done.stdout.split() == ["thread", "atexit"]


def test_an_executor_that_was_not_shut_down_does_not_hold_the_exit() -> None:
    done = run(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "executor = ThreadPoolExecutor(3)\n"
        "futures = [executor.submit(time.sleep, 0.01) for _ in range(5)]\n"
        "executor.submit(print, 'last')\n"
    )
    assert (done.stdout, done.stderr) == ("last\n", "")


def test_threads_that_wait_for_ever_are_reported_at_the_end_and_not_waited_for() -> None:
    done = run("threading.Thread(target=threading.Event().wait, name='stuck').start()\n")
    assert "LoopExit" in done.stderr


def test_main_thread_can_be_joined() -> None:
    done = run(
        "def body():\n"
        "    threading.main_thread().join()\n"
        "    print('main has ended', threading.main_thread().is_alive())\n"
        "threading.Thread(target=body).start()\n"
        "time.sleep(0.01)\n"
        "print('main ends', threading.main_thread().is_alive())\n"
    )
    assert done.stdout == "main ends True\nmain has ended False\n"


@pytest.mark.parametrize(
    "wait",
    [
        "time.sleep(1000)",
        "threading.Event().wait(1000)",
        "thread.join()",
        "lock.acquire()",
        "queue.Queue().get(timeout=1000)",
        "queue.SimpleQueue().get()",
        "pair[0].recv(1)",
        "select.select([], [], [], 1000)",
        "selectors.DefaultSelector().select(1000)",
    ],
)
def test_an_interrupt_ends_a_wait_of_the_main_greenlet(wait: str) -> None:
    run(
        "import queue, select, selectors, socket; pair = socket.socketpair()\n"
        "thread = threading.Thread(target=time.sleep, args=(1000,), daemon=True); thread.start()\n"
        "lock = threading.Lock(); lock.acquire()\n"
        "import corolib\n"
        "from corolib._native import start_new_thread, sleep\n"
        "def interrupt():\n"
        "    sleep(0.01)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        # The hub starts it: main waits by then.
        "corolib.get_hub().run_callback(start_new_thread, interrupt, ())\n"
        f"try: {wait}\n"
        "except KeyboardInterrupt: sys.exit(5)\n",
        status=5,
    )


def test_an_interrupt_of_a_busy_thread_reaches_the_main_greenlet() -> None:
    done = run(
        "def busy():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    while True: pass\n"
        "thread = threading.Thread(target=busy)\n"
        "try:\n"
        "    thread.start()\n"
        "    thread.join()\n"
        "except KeyboardInterrupt: print('main')\n"
        "print(threading.main_thread() is threading.current_thread())\n"
        "thread.join()\n"
        "print(thread.is_alive())\n"
    )
    assert done.stdout == "main\nTrue\nFalse\n"
    assert done.stderr == ""


def test_an_unhandled_interrupt_ends_the_process_as_usual() -> None:
    done = run(
        "signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))\n"
        "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.05)\n"
        "time.sleep(1000)\n",
        status=-signal.SIGINT,
    )
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


def test_a_signal_handler_runs_during_a_wait_and_the_wait_goes_on() -> None:
    done = run(
        "signal.signal(signal.SIGALRM, lambda *_: print('alarm', threading.current_thread().name))\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.01)\n"
        "time.sleep(0.1)\n"
        "print('slept')\n"
    )
    assert done.stdout.splitlines()[-1] == "slept"
    assert done.stdout.startswith("alarm")
