"""What the hot paths cost, in instructions: a regression that no noise explains (benchmarks/guard.py)."""

import needed
import pytest
from helpers import EMULATED, ROOT, run_isolated

GUARD = ROOT / "benchmarks" / "guard.py"


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.hang_after(600)
def test_hot_paths_cost_no_more_instructions_than_before() -> None:
    if EMULATED:
        pytest.skip("there is no callgrind under user-mode emulation")
    needed.program("valgrind")
    done = run_isolated(GUARD, timeout=500, check=False)
    if "nothing is kept for Python" in done.stderr or "another build of Python" in done.stdout:
        needed.cannot((done.stdout + done.stderr).strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
