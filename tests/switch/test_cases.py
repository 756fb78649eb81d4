"""docs/engine-cases.md: every known kind of failure is in the table once, with tests that are there."""

import ast
import re
from pathlib import Path

import pytest
from helpers import ROOT

HERE = Path(__file__).resolve().parent
ROW = re.compile(r"^\| (E\d\d) \| (.*) \| (.*) \|$")
TABLE = ROOT / "docs" / "engine-cases.md"
if not TABLE.exists():
    pytest.skip("the tests are here without the project's documents", allow_module_level=True)
ROWS = [match.groups() for line in TABLE.read_text().splitlines() if (match := ROW.match(line))]


def names_in(path):
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_case_is_there_once_and_in_order():
    assert [case for case, _, _ in ROWS] == [f"E{number:02}" for number in range(1, 51)]


@pytest.mark.parametrize(("case", "what", "tests"), ROWS, ids=[row[0] for row in ROWS])
def test_the_tests_of_a_case_exist(case, what, tests):
    assert what.endswith(".")
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", tests)
    if not named:
        assert tests.startswith("No test: "), "neither a test nor a reason"
        return
    assert re.sub(r"`test_\w+\.py::test_\w+`", "", tests).strip(", ") == "", "something else stands there"
    for file, name in named:
        assert name in names_in(HERE / file), f"{case}: there is no {name} in {file}"
