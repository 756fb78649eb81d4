"""The README's program is one: it runs, and does what it says."""

import re

from helpers import ROOT, run_isolated


def test_the_program_in_the_readme_runs():
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    done = run_isolated(program)
    assert done.stdout.startswith(f"{sum(n * n for n in range(10_000))} after")
    assert done.stderr == ""


def test_every_file_the_readme_links_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        if "://" not in target:
            assert (ROOT / target).exists(), target
