"""The README's program is one: it runs, and does what it says. Links of all pages lead somewhere."""

import re
from functools import cache
from pathlib import Path

from helpers import ROOT, run_isolated

PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    *sorted(
        page
        for folder in ("benchmarks", "changes", "corolib", "docs", "examples", "tests")
        for page in (ROOT / folder).rglob("*.md")
        if not {"_build", ".venv", "results"} & {*page.parts}
    ),
]


def test_the_program_in_the_readme_runs():
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    done = run_isolated(program)
    assert done.stdout.startswith(f"{sum(n * n for n in range(10_000))} after")
    assert done.stderr == ""


def test_every_link_within_the_repository_leads_somewhere() -> None:
    found, astray = 0, []
    for page in PAGES:
        # Fragments become CHANGES.md, which stands beside the README.
        folder = ROOT if page.parent.name == "changes" and page.name != "README.md" else page.parent
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            path, _, heading = target.partition("#")
            led_to = (folder / path).resolve() if path else page
            found += 1
            if "://" not in target and (not led_to.exists() or (heading and heading not in headings(led_to))):
                astray.append(f"{page.relative_to(ROOT)}: {target}")
    assert not astray
    assert found > 100


def prose(page: Path) -> str:
    """A page without its programs."""
    return re.sub(r"^( *)```.*?^\1```$|`[^`\n]+`", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


@cache
def headings(page: Path) -> set[str]:
    """What links to headings are called: in lower case, hyphens for spaces, other punctuation left out."""
    found = re.findall(r"^#+ (.*)", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
