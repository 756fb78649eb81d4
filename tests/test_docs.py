"""The documentation is built without a warning, and its pages tell the truth: their programs run."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT


def sphinx(target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build what docs/build builds, with this interpreter."""
    if importlib.util.find_spec("sphinx") is None:
        reason = "Sphinx is not installed (the extra `docs`)"
        if os.environ.get("COROLIB_CI") == "1":
            pytest.fail(f"{reason}, and COROLIB_CI=1 promises it")
        pytest.skip(reason)
    command = [
        *(sys.executable, "-m", "sphinx", "-q", "-b", "html"),
        *options,
        str(ROOT / "docs"),
        str(target),
    ]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


@pytest.mark.ci
@pytest.mark.slow
@pytest.mark.hang_after(900)
def test_the_documentation_is_built_without_a_warning(tmp_path: Path) -> None:
    done = sphinx(tmp_path / "html", "--fail-on-warning", "--keep-going", "-d", str(tmp_path / "doctrees"))
    assert (done.returncode, done.stderr) == (0, "")
    landing = (tmp_path / "html" / "index.html").read_text()
    assert "ten thousand" in landing
    # A page for each file that is linked to, so that nothing leads to the network or to nowhere.
    assert (tmp_path / "html" / "_files" / "examples" / "deadlock.py.html").exists()
    reference = (tmp_path / "html" / "reference" / "queue.html").read_text()
    assert 'id="corolib.queue.Queue.get"' in reference


def test_the_tests_in_the_page_on_testing_pass(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/testing.md").read_text(), re.DOTALL)
    (tmp_path / "test_page.py").write_text(program)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"),
            *("--corolib-leaks", "--corolib-block-limit=30", "--corolib-hang-after=60", "test_page.py"),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "53 passed" in done.stdout
