"""Queue items under random kills and timeouts (storms/queue_items.py): some here, 10^7 in a long run."""

import os

import pytest
from helpers import ROOT, run_isolated
from storms.queue_items import KINDS, Storm

from corolib import sleep
from corolib.queue import Queue
from corolib.testing import VirtualClock, shuffled

#: The size of the long run is for who runs it.
LONG = int(os.environ.get("COROLIB_TEST_ITEMS", "1000000"))


@pytest.mark.parametrize("kind", KINDS)
def test_in_is_out_and_left(kind: str) -> None:
    with VirtualClock(patch_time=False), shuffled(3):
        storm = Storm(kind, 4000, seed=3)
        went_in, out, left = storm.run()
    assert went_in == out + left
    assert went_in > 3000
    # It was a storm.
    assert storm.kills > 100
    assert storm.limits + storm.timeouts > 0


def test_a_queue_that_loses_an_item_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loses(Queue):
        def get(self, block=True, timeout=None):
            """Waits when it has the item already."""
            item = super().get(block, timeout)
            sleep(0)
            return item

    monkeypatch.setitem(KINDS, "loses", lambda: Loses(1))
    with VirtualClock(patch_time=False), shuffled(3), pytest.raises(AssertionError, match="of them lost"):
        Storm("loses", 20_000, seed=3).run()


@pytest.mark.slow
@pytest.mark.hang_after(36_000)
def test_in_is_out_and_left_of_a_great_many() -> None:
    run_isolated(ROOT / "tests/storms/queue_items.py", "--items", LONG, timeout=36_000)
