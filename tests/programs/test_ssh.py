"""Commands, files and tunnels over SSH."""

import pytest
from programs.running import CROWD, run_both

pytestmark = [pytest.mark.slow, pytest.mark.outside]


def test_paramiko(sshd) -> None:
    lines = run_both("use_paramiko.py", *sshd, CROWD).splitlines()
    assert f"here {CROWD}" in lines
    assert "served True" in lines
