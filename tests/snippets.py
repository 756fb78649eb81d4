"""Runs what a page of the documentation shows: `python tests/snippets.py PAGE SESSION PORT`, both numbers.

A page is Markdown. Its programs (```python) are run one after the other in one interpreter and one namespace,
as a reader would type them; sessions (```pycon) are compared with what they print. What a page needs beside
what it shows, to prepare, to check, to clean up, stands in comments, which readers do not see:

    <!-- python
    assert total == 45
    -->

`<!-- new interpreter -->` begins again from nothing. `<!-- tested by: tests/test_x.py::test_y -->`, or
several with commas, before a block names the tests that run it, or its like, in place of this; every block of
shell commands (`sh`, or `console` with what they write) needs one. `serve_forever()` returns at once in a
page, and the port 8000 is another one, which is free.
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^( *)(`{3,}|:{3,})\s*(\S*)")
#: What is shown, and not done.
SHOWN = {"", "text", "toml", "ini", "json", "nginx", "yaml", "c", "html"}


@dataclass
class Block:
    """Something between fences, or in a comment. `line` is the number of its first line of text."""

    language: str
    text: str
    line: int
    tested_by: list[str] = field(default_factory=list)


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in order; among them the comments `python` and `new interpreter`."""
    found: list[Block] = []
    tested_by: list[str] = []
    lines = page.read_text().split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        if line == "<!-- python":
            end = lines.index("-->", number)
            found.append(Block("python", "\n".join(lines[number + 1 : end]), number + 2))
            number = end
        elif line == "<!-- new interpreter -->":
            found.append(Block("new interpreter", "", number + 1))
        elif match := re.fullmatch(r" *<!-- tested by: (.*) -->", line):
            tested_by = [name.strip() for name in match[1].split(",")]
        elif match := FENCE.match(line):
            indent, fence, language = match.groups()
            end = next(
                later for later in range(number + 1, len(lines)) if lines[later].strip().startswith(fence)
            )
            text = "\n".join(part.removeprefix(indent) for part in lines[number + 1 : end])
            found.append(Block(language, text, number + 2, tested_by))
            tested_by = []
            number = end
        number += 1
    return found


def sessions(page: Path) -> list[list[Block]]:
    """What is to be run here, one list for each interpreter."""
    found: list[list[Block]] = [[]]
    for block in blocks(page):
        if block.language == "new interpreter":
            found.append([])
        elif block.language in ("python", "pycon") and not block.tested_by:
            found[-1].append(block)
    return [session for session in found if session]


def run(page: Path, number: int, port: int) -> None:
    """One session, in this interpreter."""
    name = str(page.relative_to(ROOT))
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in sessions(page)[number]:
        text = re.sub(r"\b8000\b", str(port), block.text)
        if block.language == "pycon":
            session(text, name, block.line, namespace)
        else:
            text = re.sub(r"\.serve_forever\(\)", ".start()", text)
            program(compile("\n" * (block.line - 1) + text, name, "exec"), namespace)


def program(code: CodeType, namespace: dict[str, object]) -> None:
    """One that ends itself with status 0 is fine."""
    try:
        exec(code, namespace)
    except SystemExit as end:
        if end.code not in (None, 0):
            raise


def session(text: str, name: str, line: int, namespace: dict[str, object]) -> None:
    """Compare what is printed. Addresses and the like are written as `...`."""
    import doctest  # late: it brings half of the standard library with it, and a page may patch that

    test = doctest.DocTestParser().get_doctest(text, namespace, name, name, line - 1)
    test.globs = namespace
    failed, _ = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, clear_globs=False)
    if failed:
        sys.exit(f"{name}:{line}: something else was printed")


if __name__ == "__main__":
    page, *numbers = sys.argv[1:]
    # What a page shows runs as a program of its own: without our arguments, and without this folder.
    sys.argv[1:] = []
    sys.path[0] = str(ROOT)
    run(Path(page).resolve(), *map(int, numbers))
