"""The pictures of the documentation are what their scripts draw, and the trace is one that corolib makes."""

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import test_ladder
from helpers import ROOT, run_isolated

FOLDER = ROOT / "docs/pictures"
PATHS = sorted(FOLDER.glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"
#: Of a letter in relation to its size, at most: that of a wide font.
LETTER = 0.6


def in_folder(source: str, *arguments: object) -> str:
    """What source text prints that may import the scripts."""
    path = f"import sys\nsys.path.insert(0, {str(FOLDER)!r})\n"
    return run_isolated(path + source, *arguments, env={"PYTHONDONTWRITEBYTECODE": "1"}).stdout


def test_the_pictures_are_current() -> None:
    done = run_isolated(FOLDER, "--check", env={"PYTHONDONTWRITEBYTECODE": "1"}, check=False)
    assert done.returncode == 0, f"run python docs/pictures: {done.stdout}{done.stderr}"


def test_the_check_finds_what_is_not_current_and_drawing_mends_it(tmp_path: Path) -> None:
    source = """
import __main__ as me, importlib.util, pathlib
specification = importlib.util.spec_from_file_location("pictures", sys.argv[1] + "/__main__.py")
pictures = importlib.util.module_from_spec(specification)
specification.loader.exec_module(pictures)
pictures.HERE = pathlib.Path(sys.argv[2])
for path in pathlib.Path(sys.argv[1]).glob("*.svg"):
    (pictures.HERE / path.name).write_text(path.read_text())
(pictures.HERE / "lanes.svg").write_text("old")
(pictures.HERE / "switch.svg").unlink()
for arguments in (["--check"], ["--check"], [], ["--check"]):
    sys.argv = ["pictures", *arguments]
    print(pictures.main())
"""
    stale = "lanes.svg is not current\nswitch.svg is not current\n1\n"
    drawn = "lanes.svg is drawn\nswitch.svg is drawn\n0\n0\n"
    assert in_folder(source, FOLDER, tmp_path) == stale + stale + drawn


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_picture_has_a_title_a_description_both_themes_and_no_text_that_leaves_it(path: Path) -> None:
    root = ElementTree.parse(path).getroot()
    assert len(root.find(f"{SVG}title").text) > 8
    assert len(root.find(f"{SVG}desc").text) > 20
    assert "@media (prefers-color-scheme: dark)" in root.find(f"{SVG}style").text
    classes = set(re.findall(r"\.([\w-]+)\{", root.find(f"{SVG}style").text))
    width, height = float(root.get("width")), float(root.get("height"))
    for element in root.iter():
        assert set(element.get("class", "").split()) <= classes
    for text in root.iter(f"{SVG}text"):
        size = re.search(r"[\d.]+", text.get("style", "13"))
        length = len(text.text) * float(size[0]) * LETTER
        x = (
            float(text.get("x"))
            - length * {"start": 0, "middle": 0.5, "end": 1}[text.get("text-anchor", "start")]
        )
        assert -2 <= x, text.text
        assert x + length <= width + 2, text.text
        assert 0 < float(text.get("y")) < height, text.text


def test_every_picture_is_shown_on_a_page() -> None:
    shown = {
        (page.parent / target).resolve()
        for page in [*(ROOT / "docs").rglob("*.md"), *(ROOT / "corolib").rglob("README.md")]
        for target in re.findall(r"!\[[^]]*\]\(([^)]+\.svg)\)", page.read_text())
    }
    assert set(PATHS) <= shown
    assert all(path.exists() for path in shown)


def test_the_ladder_is_that_of_the_test_from_the_ground_to_the_roof() -> None:
    found = json.loads(in_folder("import json, ladder; print(json.dumps(ladder.rungs()))"))
    assert [module for _, modules in found for module in modules] == test_ladder.LADDER


def waits(trace: list[list]) -> dict[str, list[str]]:
    """What each greenlet has waited for, in order. The hub waits for nothing."""
    found: dict[str, list[str]] = {}
    for _, _, name, kind, _ in trace:
        if name not in ("hub", "main"):
            found.setdefault(name, []).append(kind)
    return found


def test_the_trace_of_the_timeline_is_one_that_the_program_makes() -> None:
    recorded = json.loads((FOLDER / "timeline.json").read_text())
    made = json.loads(in_folder("import json, timeline; print(json.dumps(timeline.take()))"))
    for trace in (recorded, made):
        assert [left for _, _, left, _, _ in trace[1:]] == [came for _, _, _, _, came in trace[:-1]]
        assert [moment for moment, *_ in trace] == sorted(moment for moment, *_ in trace)
        # What is ready already is not waited for, which depends on who was first.
        for name, kinds in waits(trace).items():
            assert set(kinds) <= {"client": {"socket", "sleep", ""}, "handler": {"socket", ""}}.get(
                name.split()[0], {"Queue", "sleep", ""}
            )
    assert waits(recorded).keys() == waits(made).keys()
    assert waits(recorded)["clock"] == waits(made)["clock"] == ["sleep"] * 4 + [""]
    assert waits(recorded)["client 1"].count("sleep") == waits(made)["client 1"].count("sleep") == 2


def test_recording_keeps_a_trace(tmp_path: Path) -> None:
    target = tmp_path / "trace.json"
    source = "import pathlib, timeline\ntimeline.TRACE = pathlib.Path(sys.argv[1])\n"
    assert in_folder(source + "timeline.record(2)\ntimeline.draw()\n", target) == ""
    assert json.loads(target.read_text())[-1][-1] == "main"
