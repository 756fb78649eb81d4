"""Storms of wake-ups between native threads (storms/wakeups.py); and that a storm sees what it is for."""

import importlib.util
from pathlib import Path

import pytest
from helpers import ROOT, run_isolated

SCRIPT = Path(__file__).with_name("storms") / "wakeups.py"
spec = importlib.util.spec_from_file_location("wakeups", SCRIPT)
assert spec is not None and spec.loader is not None
wakeups = importlib.util.module_from_spec(spec)
spec.loader.exec_module(wakeups)


@pytest.mark.parametrize("kind", wakeups.KINDS)
def test_nothing_is_lost_or_doubled(kind):
    assert wakeups.run(kind, threads=8, wakeups=1000) >= 1000


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.hang_after(900)
def test_a_million_wake_ups_among_64_threads():
    each = 1_000_000 // len(wakeups.KINDS) + 1
    done = run_isolated(SCRIPT, "--threads", 64, "--wakeups", each, timeout=800)
    lines = done.stdout.splitlines()
    assert len(lines) == len(wakeups.KINDS) and all("none lost, none doubled" in line for line in lines)
    assert sum(int(line.split()[1]) for line in lines) >= 1_000_000


@pytest.mark.parametrize("shape", ["ring", "feed"])
def test_most_passes_are_waits(shape):
    """Else a storm would be a breeze."""
    waited = 0

    class Counting(wakeups.Units):
        def take(self):
            nonlocal waited
            waited += self.semaphore.locked()
            return super().take()

    done = getattr(wakeups, shape)(lambda: Counting(lambda: wakeups.Semaphore(0)), 8, 2000)
    assert waited > done * (0.8 if shape == "ring" else 0.1)


class Lossy(wakeups.Units):
    """Loses one of its items, or gives it twice."""

    def __init__(self, times):
        super().__init__(lambda: wakeups.Semaphore(0))
        self.times, self.seen = times, 0

    def put(self, item):
        self.seen += 1
        for _ in range(self.times if self.seen == 20 else 1):
            super().put(item)


@pytest.mark.parametrize(("shape", "times"), [("ring", 0), ("feed", 0), ("feed", 2)])
def test_a_loss_and_a_double_are_seen(shape, times):
    run_isolated(f"""
        import sys
        sys.path.insert(0, {str(ROOT / "tests" / "hub")!r})
        import test_storms
        from test_storms import Lossy, wakeups
        wakeups.STALL = 0.5
        try:
            wakeups.{shape}(lambda: Lossy({times}), 4, 1000)
        except wakeups.Failed as error:
            assert "nothing has moved" in str(error) or "did not arrive exactly once" in str(error), error
        else:
            raise SystemExit("not seen")
        """)


def test_two_in_a_lock_are_seen():
    run_isolated(f"""
        import sys
        sys.path.insert(0, {str(ROOT / "tests" / "hub")!r})
        from contextlib import nullcontext
        from test_storms import wakeups
        try:
            wakeups.lock(nullcontext, 2, 1000)
        except wakeups.Failed as error:
            assert "two were inside" in str(error), error
        else:
            raise SystemExit("not seen")
        """)
