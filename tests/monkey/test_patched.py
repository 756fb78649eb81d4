"""The standard library at work after patch_all(), each script in an interpreter of its own."""

import pytest
from helpers import ROOT, run_isolated

SCRIPTS = sorted((ROOT / "tests" / "isolated").glob("patch_*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script(script) -> None:
    done = run_isolated(script, options=("-W", "error"))
    assert done.stderr == ""
