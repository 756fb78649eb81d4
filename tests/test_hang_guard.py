"""What tests/conftest.py does for every test, seen from outside: a run of pytest on a file made for it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent

import pytest
from helpers import ROOT


@pytest.fixture
def run_pytest(tmp_path: Path):
    def run(source: str, under: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "test_made.py"
        path.write_text(dedent(source))
        return subprocess.run(
            [
                *(*under, sys.executable, "-m", "pytest", "-q", "-p", "conftest"),
                *("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(path)),
            ],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
            capture_output=True,
            text=True,
            timeout=80,
        )

    return run


def test_a_hang_ends_the_run_with_the_stack(run_pytest) -> None:
    done = run_pytest(
        """
        import pytest, time

        @pytest.mark.hang_after(0.1)
        def test_made():
            deep_in_thought()

        def deep_in_thought():
            time.sleep(3600)
        """
    )
    assert done.returncode == 1
    assert "hang guard: test_made.py::test_made did not end within 0.1 s" in done.stderr
    assert "in deep_in_thought" in done.stderr


def test_a_hang_in_the_hub_shows_every_greenlet_and_its_wait(run_pytest) -> None:
    done = run_pytest(
        """
        import pytest
        import corolib.hub
        from corolib._hub import WaitList, sleep, spawn_raw

        @pytest.mark.hang_after(0.5)
        def test_made():
            spawn_raw(first_of_two)
            sleep(3600)

        def first_of_two():
            WaitList().wait()
        """
    )
    assert done.returncode == 1
    assert "in first_of_two" in done.stderr
    assert "in test_made" in done.stderr
    assert " waits: corolib._hub._core.WaitList " in done.stderr


def test_a_greenlet_left_waiting_fails_the_test(run_pytest) -> None:
    done = run_pytest(
        """
        import corolib.hub
        from corolib._hub import WaitList, sleep, spawn_raw

        def test_made():
            spawn_raw(WaitList().wait)
            sleep(0)

        def test_next_finds_no_hub():
            assert corolib.hub.get_hub_if_exists() is None
        """
    )
    assert done.returncode == 1
    assert "greenlets left waiting" in done.stdout
    assert "2 passed, 1 error" in done.stdout


def test_a_deadlock_is_one_although_the_guard_is_a_thread(run_pytest) -> None:
    done = run_pytest(
        """
        import pytest
        import corolib.hub
        from corolib._hub import WaitList
        from corolib.errors import LoopExit

        def test_made():
            with pytest.raises(LoopExit):
                WaitList().wait()
        """
    )
    assert done.returncode == 0, done.stdout


def test_programs_of_tests_ignore_no_signal_that_the_run_was_started_with(run_pytest) -> None:
    """As under nohup, or in the background of a shell. The run itself survives them as it was to."""
    done = run_pytest(
        """
        import os, signal
        import pytest
        from corolib.event import Event
        from corolib.hub import LoopExit
        from helpers import run_isolated

        def test_made():
            done = run_isolated(
                "import signal; print([each.name for each in signal.valid_signals()"
                " if signal.getsignal(each) is signal.SIG_IGN])"
            )
            assert done.stdout == "['SIGPIPE', 'SIGXFSZ']\\n"  # which Python ignores
            done = run_isolated("import os, signal; os.kill(os.getpid(), signal.SIGHUP)", check=False)
            assert done.returncode == -signal.SIGHUP
            os.kill(os.getpid(), signal.SIGHUP)
            with pytest.raises(LoopExit):
                Event().wait()
        """,
        ["sh", "-c", "trap '' HUP INT QUIT; exec \"$@\"", "sh"],
    )
    assert done.returncode == 0, done.stdout + done.stderr
