"""What the hot paths cost, in instructions: a regression that no noise explains (benchmarks/guard.py)."""

import os
import shutil

import pytest
from helpers import EMULATED, ROOT, run_isolated

GUARD = ROOT / "benchmarks" / "guard.py"


def without(reason: str) -> None:
    """Skip, where COROLIB_CI=1 does not promise that it is there."""
    if os.environ.get("COROLIB_CI") == "1":
        pytest.fail(f"{reason}, and COROLIB_CI=1 promises it")
    pytest.skip(reason)


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.hang_after(600)
def test_hot_paths_cost_no_more_instructions_than_before() -> None:
    if EMULATED:
        pytest.skip("there is no callgrind under user-mode emulation")
    if shutil.which("valgrind") is None:
        without("there is no valgrind on this machine")
    done = run_isolated(GUARD, timeout=500, check=False)
    if "nothing is kept for Python" in done.stderr or "another build of Python" in done.stdout:
        without((done.stdout + done.stderr).strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
