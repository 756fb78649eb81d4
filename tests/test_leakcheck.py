"""The leak runner finds each kind of leak, and finds none where there is none."""

import os
import re
import subprocess
import sys

import pytest
from helpers import ROOT

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="the runner reads /proc")


def run_pytest(*arguments: str) -> tuple[dict[str, tuple[str, str]], str]:
    """The outcome of each planted test and what it says, and all output."""
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "--tb=short"]
    planted = ROOT / "tests" / "isolated" / "leak_planted.py"
    environ = {**os.environ, "COLUMNS": "400"}  # or the summary's lines are cut
    environ["GLIBC_TUNABLES"] = "glibc.malloc.tcache_count=0"
    done = subprocess.run(
        [*command, str(planted), *arguments],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=80,
    )
    outcomes = {}
    for line in done.stdout.splitlines():
        match = re.fullmatch(r"(PASSED|FAILED) \S*::test_(\w+)(?: - (.*))?", line)
        if match:
            outcomes[match[2]] = (match[1], match[3] or "")
    return outcomes, done.stdout + done.stderr


def grown(message: str) -> dict[str, list[int]]:
    found = re.findall(r"([a-z ]+): ([-\d, ]+)(?:;|$)", message.partition("each run:")[2])
    return {name.strip(): [int(delta) for delta in deltas.split(",")] for name, deltas in found}


def test_every_kind_of_leak_is_found_and_nothing_else() -> None:
    outcomes, output = run_pytest("--leaks")
    kinds = ["blocks", "descriptors", "maps", "threads", "heap bytes", "greenlets"]
    kinds += ["chunks", "pinned lanes"]
    if hasattr(sys, "gettotalrefcount"):
        kinds.append("references")
    for kind in kinds:
        status, message = outcomes[kind.replace(" ", "_")]
        assert status == "FAILED", (kind, output)
        assert all(delta > 0 for delta in grown(message)[kind]), message
        assert len(grown(message)[kind]) in (3, 9), message  # at once, or confirmed by more runs
    # One leak is not taken for another one.
    assert set(grown(outcomes["descriptors"][1])) == {"descriptors"}
    assert set(grown(outcomes["maps"][1])) == {"maps"}
    for clean in ("clean", "dropped_by_another_thread", "a_cache_that_fills_up", "marked"):
        assert outcomes[clean][0] == "PASSED", output
    assert outcomes["only_once"][0] == "FAILED"
    assert "this is run 2 of the same test; the first one passed" in output
    assert "leaks: works in processes of its own" in output
    assert "1 were not: leaky: to show the mark" in output
    assert "1 were not: starts processes (subprocess.Popen)" in output


def test_without_the_option_they_all_pass() -> None:
    outcomes, output = run_pytest()
    assert {status for status, _ in outcomes.values()} == {"PASSED"}, output
    assert len(outcomes) == 15


def test_a_wrong_form_is_told() -> None:
    for wrong in ("0:3", "3:1", "tests", "3"):
        _, output = run_pytest(f"--leaks={wrong}")
        assert "the form is WARM:MEASURED, at least 1:2, such as 3:3" in output
