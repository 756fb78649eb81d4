"""Kill, Timeout and wake racing for one parked greenlet: one wins, nothing is lost.

Each is run once for each of its switches and each way to disturb its subject there (switchpoints.py).
"""

import pytest
from seeds import SCENARIOS
from switchpoints import at_each_switch


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_lost(name: str) -> None:
    scenario = SCENARIOS[name]
    # What talks to the kernel takes longer.
    at_each_switch(scenario, seeds=(None, 1) if hasattr(scenario, "patience") else (None, *range(5)))
