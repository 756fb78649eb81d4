"""The hand-written stubs say what the built modules hold."""

import subprocess
import sys

import pytest
from helpers import ROOT


@pytest.mark.hang_after(300)
def test_stubs_match_the_built_modules() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy.stubtest", "--mypy-config-file", "pyproject.toml"),
            *("corolib._switch._engine", "corolib._hub._core", "corolib.server._http._core"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
