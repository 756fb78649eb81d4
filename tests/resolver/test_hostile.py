"""corolib.resolver.dns and a name server that is out to break it: tests/resolver/hostile.py."""

import json
import os
from pathlib import Path

import pytest
from helpers import run_isolated

PROGRAM = Path(__file__).parent / "hostile.py"


def withstand(answers: int, seed: int) -> None:
    done = run_isolated(PROGRAM, answers, seed, timeout=100 + answers / 50)
    assert done.stderr == ""
    figures = json.loads(done.stdout)
    print(figures)
    assert sum(figures["sent"][kind] for kind in ("forge", "breakage", "truncate")) >= answers
    assert figures["came"]["truth"] > 0


def test_mutated_answers_neither_break_it_nor_are_forged_ones_believed() -> None:
    withstand(600, 1)


@pytest.mark.slow
@pytest.mark.hang_after(3000)
def test_a_hundred_thousand_mutated_answers() -> None:
    withstand(int(os.environ.get("COROLIB_TEST_SIZE", "100000")), 2)
