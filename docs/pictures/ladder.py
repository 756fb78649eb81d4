"""Draws ladder.svg: which module may import which. The list, and what each rung is called, are those of
tests/test_ladder.py, which is the judge.
"""

import ast
import io
import tokenize

from drawing import HERE, Picture

SOURCE = HERE.parent.parent / "tests/test_ladder.py"
#: Written in C, or calling it by cffi.
NATIVE = {"_switch", "_ev", "_hub", "server._http"}
WIDTH, LEFT, RAIL = 920, 236, 214
CHIP, GAP = 24, 6
#: Of a letter of a chip: the font has one width.
LETTER = 7.25


def rungs() -> list[tuple[str, list[str]]]:
    """The list from bottom to top, cut where it has a comment of its own: (comment, modules)."""
    source = SOURCE.read_text()
    node = next(
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == "LADDER"
    )
    assert isinstance(node, ast.List) and node.end_lineno is not None
    names = sorted(
        (each.lineno, each.col_offset, each.value)
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    )
    found: list[tuple[str, list[str]]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT and node.lineno < line < node.end_lineno:
            found.append((token.string.lstrip("# "), []))
        while names and found and names[0][0] <= line:
            found[-1][1].append(names.pop(0)[2])
    assert not names
    return found


def rows(modules: list[str]) -> list[list[tuple[float, str]]]:
    """Chips, by lines: (where it begins, what it says)."""
    lines: list[list[tuple[float, str]]] = [[]]
    x = float(LEFT)
    for module in modules:
        text = shown(module)
        width = chip_width(text)
        if x + width > WIDTH - 28:
            lines.append([])
            x = LEFT
        lines[-1].append((x, text))
        x += width + GAP
    return lines


def shown(module: str) -> str:
    return "corolib" if not module else module.rstrip(".") + (".*" if module.endswith(".") else "")


def chip_width(text: str) -> float:
    return len(text) * LETTER + 16


def draw() -> str:
    found = rungs()
    heights = [len(rows(modules)) * (CHIP + GAP) + 10 for _, modules in found]
    height = 84 + sum(heights) + 24
    picture = Picture(
        WIDTH,
        height,
        "The ladder",
        "All modules of corolib in one list from the ground to the roof. A module imports only what stands "
        "below it.",
    )
    picture.text(28, 38, "The ladder", bold=True, size=17)
    picture.text(28, 60, "A module imports only what stands below it. A test is the judge.", "soft")
    y = 84.0
    for (title, modules), tall in zip(reversed(found), reversed(heights), strict=True):
        name = title.partition(": ")[0]
        lines = rows(modules)
        for row, chips in enumerate(lines):
            for x, text in chips:
                native = text in NATIVE
                top = y + row * (CHIP + GAP)
                picture.box(x, top, chip_width(text), CHIP, "orange" if native else "plain")
                picture.text(
                    x + chip_width(text) / 2,
                    top + 16.5,
                    text,
                    "orange" if native else "plain",
                    anchor="middle",
                    mono=True,
                )
        picture.text(RAIL - 18, y + 16.5, name, anchor="end", bold=True)
        picture.line([(28, y + tall - 8), (WIDTH - 28, y + tall - 8)], "soft", width=0.75)
        y += tall
    picture.line([(RAIL, y - 8), (RAIL, 80)], "violet", arrow=True, width=2.5)
    picture.box(28, y + 1, 15, 11, "orange", round=3)
    picture.text(50, y + 11, "written in C, or bound to it", "soft", size=11.5)
    return picture.svg()
