"""`report.py RESULTS PAGE.md [PICTURES]`: what was measured and counted as one page.

It shows the pictures that are there.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rows import WORKLOADS
from sweeps import SWEEPS
from tables import (
    counted,
    curve_table,
    figure,
    growth_table,
    markdown,
    standings,
    standings_of_counts,
    standings_table,
    table,
)

INTRODUCTION = """\
# Benchmarks

This page is written by `benchmarks/run`; a change by hand is lost with the next run.

Every figure was measured in the run described here. Absolute figures differ from machine to machine and
from hour to hour: compare the ratios. A ratio is the median, over the rounds, of the implementation's
figure divided by the base's figure of the same round; implementations took turns, each run in a process
of its own. *Required* is what this project demands of itself, *aim* what it is out for: for times, sizes and
counts at most, for throughput at least.
"""

#: Kinds of counts -> title.
TITLES = {"instructions": "User instructions, by callgrind", "syscalls": "System calls, by strace"}
DIFFERENCE = "Counted with two sizes; the difference has no start-up in it."
#: Pictures -> what they show; those of a workload stand in its section.
PICTURES = {
    "ratios": "What each costs in proportion to corolib: right of the line it costs more.",
    "growth": "What one unit costs in a crowd of a growing size.",
    "instructions": "Instructions per unit, with corolib, over the size of a crowd and connections.",
    "connections-echo": "Echo servers with more and more connections.",
    "connections-http": "Web servers with more and more connections.",
    "load-echo": "Echo servers asked more and more often.",
    "load-http": "Web servers asked more and more often.",
}


def picture(name: str, directory: str) -> list[str]:
    """A picture in both of its colourings, of which a browser shows the one that fits."""
    light, dark = f"{directory}/{name}-light.svg", f"{directory}/{name}-dark.svg"
    return [
        "<picture>",
        f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">',
        f'<img alt="{PICTURES[name]}" src="{light}">',
        "</picture>",
        "",
        PICTURES[name],
        "",
    ]


def versions(measured: list[dict[str, Any]]) -> dict[str, str]:
    """implementation -> version, as the runs said."""
    found: dict[str, str] = {}
    for each in measured:
        for implementation, lines in each["runs"].items():
            if lines:
                found[implementation] = lines[0]["version"]
    return found


def facts(times: dict[str, Any], command: str, absent: list[str]) -> list[str]:
    """When, where, with what."""
    measured = times["measured"]
    found = {"date": times["started"], "command": f"`{command}`", "rounds": str(times["rounds"])}
    found["duration"] = f"{times['seconds'] / 60:.1f} minutes, without what was counted"
    if times["quick"]:
        found["sizes"] = "of a quick run: smaller than what the labels say"
    found |= times["machine"]
    favoured = sorted({each["favoured"] for each in measured} - {""})
    found["priority of the session (autogroup)"] = ", ".join(favoured)
    found |= {f"version of {name}": version for name, version in versions(measured).items()}
    found |= {f"could not be installed: {name}": "no figures" for name in absent}
    return markdown([["", ""], *([name, fact] for name, fact in found.items())])


def when(counts: dict[str, Any], command: str) -> list[str]:
    """With what it was counted, and when: it need not be the run that is described above."""
    smaller = ", in a quick run" if counts["quick"] else ""
    return [f"Command: `{command}`, {counts['started']}, commit {counts['commit']}{smaller}.", ""]


def crowd(found: dict[str, Any]) -> list[str]:
    """The section of what million.py has measured."""
    if not found:
        return []
    rows = [[what, figure(number), unit] for what, number, unit in found["figures"]]
    about = f"Command: `benchmarks/run million`, {found['started']}, commit {found['commit']}."
    head = ["## A million greenlets and thousands of connections in one process", "", about, ""]
    return [*head, *markdown([["what", "", ""], *rows]), ""]


def counts_of(counts: dict[str, Any], growths: dict[str, Any], pictures: dict[str, list[str]]) -> list[str]:
    """The sections of what was counted."""
    lines: list[str] = []
    for kind, title in TITLES.items():
        if counts.get(kind):
            lines += [f"## {title}", "", DIFFERENCE, "", *when(counts, "benchmarks/run counts")]
            lines += counted(counts[kind])
    if growths.get("growth"):
        lines += ["## How the cost grows: instructions per unit of corolib", ""]
        lines += [*when(growths, "benchmarks/run counts growth"), *pictures.get("instructions", [])]
        lines += growth_table(growths["growth"])
    for sentence in (*counts.get("missing", []), *growths.get("missing", [])):
        lines += [sentence, ""]
    return lines


def page(read: dict[str, Any], pictures: dict[str, list[str]]) -> str:
    """The whole document. `read`: what files hold; `pictures`: name -> the lines that show it."""
    times, counts, growths = read["times"], read.get("counts", {}), read.get("growth", {})
    measured = times["measured"]
    command = "benchmarks/run" + " --quick" * times["quick"]
    whole = command + " --rows" * times["rows"]
    lines = [INTRODUCTION, "## The run", "", *facts(times, whole, read.get("absent", [])), ""]
    wanted = [*standings(measured), *standings_of_counts(counts | {"growth": growths.get("growth", [])})]
    if wanted:
        lines += ["## Where it stands", "", *pictures.get("ratios", []), *standings_table(wanted)]
    for name, workload in (WORKLOADS | SWEEPS).items():
        here = [each for each in measured if each["workload"] == name]
        if here:
            lines += [f"## {workload.title}", "", f"Command: `{command} {name}`", "", *later(here)]
            for shown in (name, f"{name}-echo", f"{name}-http"):
                lines += pictures.get(shown, [])
            lines += curve_table(name, here) if name in SWEEPS else table(name, here)
    lines += [*crowd(read.get("million", {})), *counts_of(counts, growths, pictures)]
    return "\n".join(lines).rstrip() + "\n"


def later(measured: Sequence[dict[str, Any]]) -> list[str]:
    """That a workload was measured anew after the run, if it was."""
    again = next((each["again"] for each in measured if each.get("again")), None)
    if again is None:
        return []
    return [f"Measured again, {again['started']}, commit {again['commit']}.", ""]


def main(results: str, target: str, drawn: str = "") -> None:
    """Write the page from the files of a run, which may lack the counts."""
    read = {path.stem: json.loads(path.read_text()) for path in Path(results).glob("*.json")}
    shown = {}
    for name in PICTURES:
        if drawn and Path(drawn, f"{name}-light.svg").exists():
            shown[name] = picture(name, os.path.relpath(drawn, Path(target).parent))
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(page(read, shown))


if __name__ == "__main__":
    main(*sys.argv[1:])
