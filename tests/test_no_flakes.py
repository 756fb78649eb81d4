"""The tests under the virtual clock: no real second is slept in them, and their order does not matter."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

#: How many runs in random order; the size is for who runs it.
RUNS = int(os.environ.get("COROLIB_TEST_RUNS", "3"))
TIMELESS = [
    str(path.relative_to(ROOT))
    for path in sorted((ROOT / "tests").rglob("test_*.py"))
    if "\npytestmark = pytest.mark.corolib(clock=True)\n" in path.read_text()
]


def run_pytest(*options: str, before: tuple[str, ...] = ()) -> None:
    done = subprocess.run(
        [*before, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *TIMELESS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=1000,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.hang_after(1000)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace shows how long the loop waits")
def test_no_real_second_is_slept(tmp_path: Path) -> None:
    assert len(TIMELESS) > 10
    trace = tmp_path / "trace"
    # Of this process alone: what runs in an interpreter of its own may sleep.
    run_pytest(
        before=("strace", "-o", str(trace), "-T", "-e", "trace=epoll_wait,epoll_pwait,clock_nanosleep")
    )
    text = trace.read_text()
    assert len(re.findall(r"^epoll_p?wait", text, re.MULTILINE)) > 100
    # Of the loop what was asked for and came to its end: how long that took is the machine's affair.
    waits = re.findall(r"^epoll_p?wait\(\d+, \[\], \d+, (\d+).* = 0 ", text, re.MULTILINE)
    # Few, and given as the time of day at which they end.
    sleeps = re.findall(r"^clock_nanosleep\(.*<(\d+\.\d+)>$", text, re.MULTILINE)
    assert sum(map(int, waits)) / 1e3 + sum(map(float, sleeps)) < 1


@pytest.mark.slow
@pytest.mark.hang_after(1000 * max(RUNS, 1))
def test_any_order_will_do() -> None:
    for seed in range(RUNS):
        run_pytest(f"--corolib-random-order={seed}")
