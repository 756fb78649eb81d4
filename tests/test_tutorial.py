"""The tutorial: its programs run, write what its pages say, and are all shown there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT, run_isolated
from tutorial import PAGES, PROGRAMS, console_blocks, matcher

INCLUDE = re.compile(r"^```\{literalinclude\} (\S+)$", re.M)


@pytest.mark.ci
@pytest.mark.slow
def test_every_program_does_what_its_page_says() -> None:
    done = run_isolated(ROOT / "tests/tutorial.py")
    assert done.stdout == "the tutorial does what it says\n"
    assert done.stderr == ""


def test_the_tests_of_the_last_step_pass(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-c", tmp_path / "pytest.ini")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, PROGRAMS / "test_watching.py"],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    expected = dict(console_blocks())["python -m pytest test_watching.py"].splitlines()[-1]
    assert done.stdout.splitlines()[-1].split(" in ")[0] == expected.split(" in ")[0] == "3 passed"


def test_every_program_is_shown_and_every_program_shown_is_there() -> None:
    shown = {
        (PAGES / name).resolve() for page in PAGES.glob("*.md") for name in INCLUDE.findall(page.read_text())
    }
    assert all(path.exists() for path in shown)
    # The site is only what there is to watch.
    assert {*PROGRAMS.glob("*.py")} - shown == {PROGRAMS / "slow_site.py"}


@pytest.mark.parametrize(
    "found, matches",
    [
        ("a\nb\nc\n5 pages in 0.1 s\n", True),
        ("a\nc\n5 pages in 12.34 s\n", True),
        ("a\nb\n5 pages in 0.1 s\n", False),
        ("a\nc\n6 pages in 0.1 s\n", False),
        ("a\nc\n5 pages in 0.1 s\nmore\n", False),
    ],
)
def test_an_output_is_compared_with_the_page_but_for_times_and_what_is_left_out(found, matches) -> None:
    assert bool(matcher("a\n...\nc\n5 pages in 5.1 s\n").fullmatch(found)) is matches
