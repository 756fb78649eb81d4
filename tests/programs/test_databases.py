"""Clients of databases."""

import pytest
from programs.running import CROWD, run_both

pytestmark = [pytest.mark.slow, pytest.mark.ci]


def test_redis(redis_server) -> None:
    lines = run_both("use_redis.py", *redis_server, CROWD).splitlines()
    assert f"blocked {CROWD}" in lines
    assert lines[-1] == "served True"
