"""The scenarios under seeds of the scheduler (seeds.py): a few of them here, a great many in a long run."""

import os

import pytest
from helpers import ROOT, run_isolated
from seeds import SCENARIOS, play_all
from switchpoints import Run

#: How many seeds the long run tries on each scenario, and how long it may take: the size is for who runs it.
LONG = int(os.environ.get("COROLIB_TEST_SEEDS", "1000"))


@pytest.mark.parametrize("kind", sorted({name.partition(".")[0] for name in SCENARIOS}))
def test_no_seed_fails(kind: str) -> None:
    names = [name for name in SCENARIOS if name.startswith(kind + ".")]
    assert play_all(names, range(10)) == []


def test_a_seed_that_fails_is_told_and_fails_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def unlucky(run: Run):
        """Goes wrong in some orders only."""
        order: list[int] = []
        run.subject(order.append, 0)
        run.spawn(order.append, 1)
        run.spawn(order.append, 2)
        yield
        assert order[:1] != [2]

    monkeypatch.setitem(SCENARIOS, "made.unlucky", unlucky)
    failures = play_all(["made.unlucky"], range(40))
    assert 0 < len(failures) < 40
    assert all(line.startswith("made.unlucky, ") for line in failures)
    seed = int(failures[0].split()[1].rstrip(":"))
    assert play_all(["made.unlucky"], [seed]) == failures[:1]


@pytest.mark.slow
@pytest.mark.hang_after(36_000)
def test_no_seed_of_a_great_many_fails() -> None:
    run_isolated(ROOT / "tests/seeds.py", "--seeds", LONG, timeout=36_000)
