"""Programs of nothing but the standard library."""

import pytest
from programs.running import CROWD, run_both

pytestmark = [pytest.mark.slow, pytest.mark.ci]


def test_servers() -> None:
    lines = run_both("use_servers.py", CROWD).splitlines()
    assert lines[0] == f"http {3 * CROWD} True False"
    assert f"tcp {CROWD} True" in lines
    assert lines[-1] == "xmlrpc True"


def test_sqlite() -> None:
    assert run_both("use_sqlite.py", CROWD).startswith(f"({5 * CROWD}, {CROWD}, {10 * CROWD})\n")


def test_pipelines() -> None:
    lines = run_both("use_pipelines.py", CROWD).splitlines()
    assert f"here {CROWD} 0" in lines
    assert lines[-1] == "served True"
