"""docs/http-cases.md: every known kind of attack is in the table once, with tests that are there."""

import ast
import re
from pathlib import Path

from helpers import ROOT

HERE = Path(__file__).resolve().parent
ROW = re.compile(r"^\| (H\d\d) \| (.*) \| (.*) \|$")
TABLE = ROOT / "docs" / "http-cases.md"
ROWS = [match.groups() for line in TABLE.read_text().splitlines() if (match := ROW.match(line))]


def names_in(path):
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_case_is_there_once_and_in_order():
    assert [case for case, _, _ in ROWS] == [f"H{number:02}" for number in range(1, 33)]


def test_the_tests_of_each_case_exist():
    for case, what, tests in ROWS:
        assert what.endswith("."), case
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", tests)
        assert named, f"{case} has no test"
        assert re.sub(r"`test_\w+\.py::test_\w+`", "", tests).strip(", ") == "", (
            f"{case}: what else is there?"
        )
        for file, name in named:
            assert name in names_in(HERE / file), f"{case}: there is no {name} in {file}"
