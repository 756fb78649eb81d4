"""docs/engine-cases.md: every known kind of failure is in the table once, with tests that are there."""

from pathlib import Path

import pytest
from cases import check_tests, read_table
from helpers import ROOT

HERE = Path(__file__).resolve().parent
ROWS = read_table(ROOT / "docs" / "engine-cases.md", "E")


def test_every_case_is_there_once_and_in_order():
    assert [case for case, _, _ in ROWS] == [f"E{number:02}" for number in range(1, 51)]


@pytest.mark.parametrize(("case", "what", "tests"), ROWS, ids=[row[0] for row in ROWS])
def test_the_tests_of_a_case_exist(case, what, tests):
    check_tests(case, what, tests, HERE)
