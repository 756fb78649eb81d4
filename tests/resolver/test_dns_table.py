"""corolib.resolver.dns beside the C library: both are asked the same, by the same name server."""

import json
import os
import subprocess
from pathlib import Path
from shutil import which

import pytest
from helpers import run_isolated

PROGRAM = Path(__file__).parent / "namespace.py"


def namespaces() -> bool:
    """Whether this user may make the namespaces that the program needs."""
    if which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-rmn", "true"], capture_output=True, check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(
    os.environ.get("COROLIB_CI") != "1" and not namespaces(),
    reason="needs `unshare -rmn`: namespaces of users, mounts and networks",
)


def differences(start: int, step: int) -> tuple[list[str], int, int]:
    """What differs, the number of questions, the number of names that were alike in all."""
    done = run_isolated(PROGRAM, start, step, under=("unshare", "-rmn"), timeout=400)
    *lines, last = done.stdout.splitlines()
    return (lines, *json.loads(last))


@needs_namespaces
def test_a_sample_of_names() -> None:
    lines, asked, _ = differences(3, 29)
    assert lines == []
    assert asked > 50


@needs_namespaces
@pytest.mark.slow
@pytest.mark.outside
@pytest.mark.hang_after(600)
def test_two_hundred_names_and_all_that_is_asked_about_them() -> None:
    lines, asked, names = differences(0, 1)
    assert lines == []
    assert asked > 2000
    assert names >= 200
