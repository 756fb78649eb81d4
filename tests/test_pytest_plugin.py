"""The pytest plugin, from outside: each test is a run of pytest in an interpreter of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from helpers import ROOT

# Without those of others, which take longer than all the rest.
PLUGINS = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:ddtrace", "-p", "no:locust")


@pytest.fixture
def run_pytest(tmp_path: Path):
    def run(source: str, *options: str, ini: str = "") -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_made.py").write_text(dedent(source))
        (tmp_path / "pytest.ini").write_text("[pytest]\n" + dedent(ini))
        # Whatever this very run was asked for is not for that one.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *PLUGINS, *options, "test_made.py"],
            cwd=tmp_path,
            env={**environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=80,
        )

    return run


def outcome(done: subprocess.CompletedProcess[str]) -> str:
    """The last line, without the time: '1 passed, 1 error'."""
    return re.sub(r" in \S+s$", "", done.stdout.strip().splitlines()[-1].strip("= "))


def test_to_load_it_imports_nothing_of_what_can_be_patched(run_pytest) -> None:
    done = run_pytest(
        """
        import sys

        def test_made():
            ours = sorted(name for name in sys.modules if name.split(".")[0] == "corolib")
            assert ours == ["corolib", "corolib._pytest_plugin"], ours
        """
    )
    assert outcome(done) == "1 passed", done.stdout
    assert "corolib:" not in done.stdout  # nothing was asked for


def test_clock_and_seed_are_fixtures(run_pytest) -> None:
    done = run_pytest(
        """
        import time
        from corolib import joinall, sleep, spawn

        def test_clock(corolib_clock):
            sleep(3600)
            assert corolib_clock.elapsed == time.monotonic() == 3600

        def test_seed(corolib_seed):
            order = []
            joinall([spawn(order.append, number) for number in range(20)])
            assert order != sorted(order)
            assert 0 <= corolib_seed < 2**64

        def test_neither():
            order = []
            joinall([spawn(order.append, number) for number in range(20)])
            assert order == sorted(order)
            assert time.monotonic.__module__ == "time"
        """
    )
    assert outcome(done) == "3 passed", done.stdout


SEEDED = """
    from corolib import joinall, spawn

    def test_made(corolib_seed):
        order = []
        joinall([spawn(order.append, number) for number in range(20)])
        assert False, order
    """


def test_a_failure_prints_its_seed_and_the_seed_replays_it(run_pytest) -> None:
    first = run_pytest(SEEDED)
    seed = re.search(r"order from seed (\d+): --corolib-seed=\1 replays it", first.stdout)
    assert seed, first.stdout
    (order,) = set(re.findall(r"AssertionError: (\[.*\])", first.stdout))
    again = run_pytest(SEEDED, f"--corolib-seed={seed[1]}")
    assert order in again.stdout
    assert f"corolib: seed={seed[1]}" in run_pytest(SEEDED, "-v", f"--corolib-seed={seed[1]}").stdout


def test_options_give_both_to_every_test(run_pytest) -> None:
    source = """
        import pytest, time
        from corolib import joinall, sleep, spawn

        def order():
            found = []
            joinall([spawn(found.append, number) for number in range(20)])
            return found

        def test_made():
            sleep(3600)
            assert time.monotonic() == 3600
            assert order() != sorted(order())

        @pytest.mark.corolib(clock=False, seed=None)
        def test_not_this_one():
            assert time.monotonic.__module__ == "time"
            assert order() == sorted(order())

        @pytest.mark.corolib(seed=5)
        def test_with_its_own(corolib_seed):
            assert corolib_seed == 5
        """
    done = run_pytest(source, "--corolib-clock", "--corolib-seed=7")
    assert outcome(done) == "3 passed", done.stdout
    done = run_pytest(source, ini="corolib_clock = true\ncorolib_seed = 7")
    assert outcome(done) == "3 passed", done.stdout
    done = run_pytest(source, ini="corolib_seed = seven")
    assert done.returncode == 4
    assert "corolib_seed: invalid literal" in done.stderr


def test_patched_from_the_start(run_pytest, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from time import sleep\nimport socket\nkind = socket.socket\n")
    source = """
        import socket, sys, threading, time, queue
        import corolib.socket, corolib.time
        from conftest import kind, sleep

        def test_made(corolib_clock):
            assert sleep is corolib.time.sleep
            assert kind is corolib.socket.socket
            threading.Thread(target=sleep, args=(1000,)).start()
            time.sleep(2000)
            assert corolib_clock.elapsed == 2000
            assert threading.active_count() == 1
        """
    for options, ini in ((["--corolib-patch"], ""), ([], "corolib_patch = true")):
        done = run_pytest(source, "-W", "error", *options, ini=ini)
        assert outcome(done) == "1 passed", done.stdout
    assert "corolib: patched" in run_pytest(source, "-v", "--corolib-patch").stdout


def test_greenlets_and_descriptors_left_behind_fail_the_test(run_pytest) -> None:
    source = """
        import os, pytest
        from corolib import sleep, spawn, spawn_later, spawn_raw
        from corolib.event import Event
        from corolib.greenlet import Greenlet
        from corolib._switch import greenlet, getcurrent

        def wait_for_ever():
            Event().wait()

        def test_clean():
            spawn(sleep, 0).join()
            spawn(sleep, 0)
            os.close(os.dup(0))

        def test_waiting():
            spawn(wait_for_ever)
            sleep(0)

        def test_not_begun():
            spawn_later(1000, wait_for_ever)

        def test_raw():
            spawn_raw(wait_for_ever)

        def test_switched_away_by_hand():
            global by_hand
            by_hand = greenlet(lambda: getcurrent().parent.switch())
            by_hand.switch()

        def test_descriptor():
            os.dup(0)

        def test_failed_anyway():
            spawn(wait_for_ever)
            assert False

        @pytest.mark.corolib(leaks=False)
        def test_not_looked_at():
            spawn(wait_for_ever)

        def test_clean_after_all_that():
            spawn(sleep, 0).join()
        """
    done = run_pytest(source, "--corolib-leaks", "-W", "error")
    assert outcome(done) == "1 failed, 8 passed, 5 errors", done.stdout
    for name in ("waiting", "not_begun", "raw", "switched_away_by_hand", "descriptor"):
        assert f"ERROR test_made.py::test_{name} - Failed: left behind" in done.stdout, name
    assert re.search(r"greenlet: <Greenlet .* waits for Event [\s\S]* in wait_for_ever", done.stdout)
    assert re.search(r"descriptor \d+: \S", done.stdout)
    assert outcome(run_pytest(source)) == "1 failed, 8 passed"


def test_who_keeps_the_hub_from_its_loop_is_named(run_pytest) -> None:
    source = """
        import pytest
        from corolib import sleep, spawn
        from corolib._native import sleep as block

        def deep_in_thought():
            block(1.5)

        def test_blocks():
            other = spawn(sleep, 0.1)
            spawn(deep_in_thought)
            other.join()

        def test_waits():
            spawn(sleep, 0.9).join()

        def test_nobody_else_is_there():
            sleep(0)
            deep_in_thought()

        @pytest.mark.corolib(block_limit=60)
        def test_may_take_longer():
            test_blocks()
        """
    done = run_pytest(source, "--corolib-block-limit=0.7")
    assert outcome(done) == "1 failed, 3 passed", done.stdout
    assert "FAILED test_made.py::test_blocks - Failed: the hub was kept from its loop" in done.stdout
    assert "in deep_in_thought" in done.stdout


HANGS = """
    import pytest
    from corolib import sleep, spawn
    from corolib.lock import Semaphore
    from corolib._native import sleep as block

    lock = Semaphore(0)

    def wait_for_the_lock():
        lock.acquire()

    def test_hangs():
        spawn(wait_for_the_lock)
        sleep(3600)

    @pytest.mark.corolib(hang_after=60)
    def test_goes_on():
        sleep(0)

    @pytest.mark.corolib(hang_after=None)
    def test_does_not_react():
        pass
    """


def test_a_hang_shows_who_waits_for_whom_and_fails_the_test_alone(run_pytest) -> None:
    done = run_pytest(HANGS, "--corolib-hang-after=0.5")
    assert outcome(done) == "1 failed, 2 passed", done.stdout
    assert "test_hangs did not end within 0.5 s" in done.stdout
    assert "corolib: test_made.py::test_hangs did not end within 0.5 s" in done.stderr
    assert re.search(r"<Greenlet .* waits for Semaphore .*acquire[\s\S]*in wait_for_the_lock", done.stderr)
    assert "in test_hangs" in done.stderr  # the stack of the main greenlet's thread


def test_a_hang_that_nothing_can_end_ends_the_run(run_pytest) -> None:
    source = HANGS.replace("    pass\n", "    block(3600)\n").replace("(hang_after=None)", "(hang_after=0.2)")
    done = run_pytest(source, "-k", "not_react")
    assert done.returncode == 1
    assert "does not react; the run ends here" in done.stderr
    assert "in test_does_not_react" in done.stderr


def test_a_deadlock_is_one_although_the_watching_thread_lives(run_pytest) -> None:
    done = run_pytest(
        """
        import pytest
        from corolib.errors import LoopExit
        from corolib.event import Event

        def test_made():
            with pytest.raises(LoopExit):
                Event().wait()
        """,
        "--corolib-hang-after=30",
        "--corolib-block-limit=30",
        "--corolib-leaks",
    )
    assert outcome(done) == "1 passed", done.stdout


def test_the_order_of_tests_comes_from_a_seed(run_pytest) -> None:
    source = """
        import pytest

        @pytest.mark.parametrize("number", range(30))
        def test_made(number):
            pass
        """

    def order(*options: str) -> list[str]:
        return re.findall(r"test_made\[(\d+)\]", run_pytest(source, "-vv", *options).stdout)

    in_order = [str(number) for number in range(30)]
    assert order() == in_order
    shuffled = order("--corolib-random-order=3")
    assert shuffled == order("--corolib-random-order=3") != in_order
    assert sorted(shuffled, key=int) == in_order
    done = run_pytest(source, "-vv", "--corolib-random-order=new")
    seed = re.search(r"corolib: random_order=(\d+)", done.stdout)
    assert seed
    assert order(f"--corolib-random-order={seed[1]}") == re.findall(r"test_made\[(\d+)\]", done.stdout)


def test_a_mark_that_asks_for_the_unknown_is_refused(run_pytest) -> None:
    done = run_pytest(
        """
        import pytest

        @pytest.mark.corolib(leak=False)
        def test_made():
            pass
        """
    )
    assert done.returncode != 0
    assert "the mark 'corolib' takes the keywords leaks, clock" in done.stdout + done.stderr
