"""Programs in the usual frameworks, unmodified, behind our server."""

import os
from pathlib import Path

import pytest
from helpers import run_isolated
from programs.running import needs

HERE = Path(__file__).parent / "frameworks"


@pytest.mark.slow
@pytest.mark.outside
@pytest.mark.parametrize("framework", ["flask", "django", "bottle", "falcon"])
def test_a_program_of_a_framework(framework: str, tmp_path: Path) -> None:
    needs(modules=(framework,))
    file = tmp_path / "file.bin"
    file.write_bytes(os.urandom(300_000))
    done = run_isolated(
        HERE / f"use_{framework}.py",
        file,
        env={"NO_PROXY": "*", "no_proxy": "*"},
        options=["-m", "corolib.monkey"],
    )
    assert done.stdout.startswith("requests ")
    assert int(done.stdout.split()[1]) > 60
