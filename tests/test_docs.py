"""The guide's pages tell the truth: their programs run."""

import re
import subprocess
import sys
from pathlib import Path

from helpers import ROOT


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
