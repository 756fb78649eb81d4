"""In docs/changelog.md: the fragments of changes/ as the change log that they are going to be."""

import re
import subprocess
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent.parent
MARK = "<!-- unreleased -->"


def unreleased() -> str:
    """What `towncrier build` would write now, as Markdown for a page in docs/; nothing after a release."""
    if not [path for path in (ROOT / "changes").glob("*.md") if path.name != "README.md"]:
        return ""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "towncrier", "build", "--draft"),
            *("--version", "Unreleased", "--date", ""),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"towncrier cannot make the change log:\n{done.stdout}{done.stderr}")
    # It says first what it is going to do.
    text = done.stdout[done.stdout.index("## ") :]
    return text.replace("## Unreleased ()", "## Unreleased", 1)


def released() -> str:
    path = ROOT / "CHANGES.md"
    return path.read_text() if path.exists() else ""


def seen_from_docs(text: str) -> str:
    """Links that are relative to the top of the repository made relative to docs/."""

    def relative(found: re.Match[str]) -> str:
        target = found[1]
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        return f"]({target.removeprefix('docs/') if target.startswith('docs/') else '../' + target})"

    return re.sub(r"\]\(([^)\s]+)\)", relative, text)


def fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, seen_from_docs(unreleased() + "\n" + released()))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True}
