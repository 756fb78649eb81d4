"""slowhttp.py with a few attackers, to see that it works; the command is for many."""

import os
import shutil

import pytest

from . import slowhttp


@pytest.mark.slow
@pytest.mark.outside
@pytest.mark.hang_after(200)
@pytest.mark.skipif(
    not (shutil.which(slowhttp.TOOL) or os.environ.get("COROLIB_CI") == "1"),
    reason="slowhttptest is not installed",
)
@pytest.mark.parametrize("kind", slowhttp.ATTACKS)
def test_attackers_are_cut_and_others_are_answered(kind):
    assert slowhttp.main([kind, "--count", "30", "--rate", "30"]) == 0
