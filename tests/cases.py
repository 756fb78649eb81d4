"""Tables of cases in docs/: each is there once, with tests that are there or a reason why there is none."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest


def read_table(path: Path, letters: str) -> list[tuple[str, str, str]]:
    """The rows (case, what goes wrong, the tests) of a table whose cases are numbered by these letters.

    Skips the module where the documents are not: the tests can be had without them.
    """
    if not path.exists():
        pytest.skip("the tests are here without the project's documents", allow_module_level=True)
    row = re.compile(rf"^\| ({letters}\d\d) \| (.*) \| (.*) \|$")
    found = [match.groups() for line in path.read_text().splitlines() if (match := row.match(line))]
    return [(case, what, tests) for case, what, tests in found]


@cache
def names_in(path: Path) -> set[str]:
    """The names of the tests in a file."""
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def check_tests(case: str, what: str, tests: str, folder: Path) -> None:
    """A row is well formed, and its tests, `file.py::test_name` below the folder, exist."""
    assert what.endswith(".")
    named = re.findall(r"`((?:\w+/)*test_\w+\.py)::(test_\w+)`", tests)
    if not named:
        assert tests.startswith("No test: "), "neither a test nor a reason"
        return
    assert re.sub(r"`[\w/]+\.py::test_\w+`", "", tests).strip(", ") == "", "something else stands there"
    for file, name in named:
        assert name in names_in(folder / file), f"{case}: there is no {name} in {file}"
