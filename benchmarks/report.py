"""`report.py TIMES.json COUNTS.json PAGE.md`: what was measured and counted as tables on a page."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rows import SUBJECT, WORKLOADS, Value
from spread import paired_ratio, spread

INTRODUCTION = """\
# Benchmarks

This page is written by `benchmarks/run`; a change by hand is lost with the next run.

Every figure was measured in the run described here. Absolute figures differ from machine to machine and
from hour to hour: compare the ratios. A ratio is the median, over the rounds, of the implementation's
figure divided by the base's figure of the same round; implementations took turns, each run in a process
of its own. *Required* is what this project demands of itself: for times, sizes and counts at most, for
throughput at least.
"""

#: Kinds of counts -> title.
KINDS = {"instructions": "User instructions, by callgrind", "syscalls": "System calls, by strace"}


def figure(number: float) -> str:
    """Three digits that mean something, with separators where there are many."""
    if number >= 999.5:
        return f"{number:,.0f}"
    return f"{number:#.3g}".rstrip(".")


def requirement(ratio: float, required: float | None, lower_is_better: bool) -> str:
    """The required ratio and whether it was met; empty if nothing is required."""
    if required is None:
        return ""
    met = ratio <= required if lower_is_better else ratio >= required
    return f"{'<=' if lower_is_better else '>='} {required:g}: {'met' if met else '**missed**'}"


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table, its first row being the head; the columns are filled so that it can be read as text, too."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    filled = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in filled]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return lines


def series(runs: Iterable[dict[str, Any]], value: str) -> list[float]:
    """One value out of the lines of an implementation."""
    return [run["values"][value] for run in runs]


def value_rows(measured: dict[str, Any], label: str, value: Value, bases: Sequence[str]) -> list[list[str]]:
    """The rows of one case in the table of one value."""
    runs, rows = measured["runs"], []
    for implementation, lines in runs.items():
        numbers = series(lines, value.name)
        between = spread(numbers)
        row = [label, implementation, figure(between.low), figure(between.middle), figure(between.high)]
        for base in bases:
            if base not in runs or base not in value.required:
                row += ["", ""]
                continue
            ratio = paired_ratio(numbers, series(runs[base], value.name))
            required = value.required[base] if implementation == SUBJECT else None
            row += [figure(ratio), requirement(ratio, required, value.lower_is_better)]
        rows.append(row)
    return rows


def failures(measured: Sequence[dict[str, Any]]) -> list[str]:
    """One sentence for each implementation that is missing in a table."""
    sentences = []
    for each in measured:
        for implementation, why in each["failed"].items():
            sentences += [f"No figure for {implementation}, {each['workload']} {each['case']}: {why}", ""]
    return sentences


def table(workload: str, measured: Sequence[dict[str, Any]]) -> list[str]:
    """The tables of one workload: one per kind of value, all cases in it."""
    cases = WORKLOADS[workload].cases
    everything = [(each, value) for each in measured for value in cases[each["case"]].values]
    lines = []
    for name in dict.fromkeys(value.name for _, value in everything):
        here = [(each, value) for each, value in everything if value.name == name]
        bases = list(dict.fromkeys(base for _, value in here for base in value.required))
        head = [here[0][1].label, "implementation", "min", "median", "max"]
        for base in bases:
            head += [f"ratio to {base}", "required"]
        rows = []
        for each, value in here:
            rows += value_rows(each, cases[each["case"]].label, value, bases)
        lines += [*markdown([head, *without_repetition(rows)]), ""]
    return [*lines, *failures(measured)]


def without_repetition(rows: Sequence[list[str]]) -> list[list[str]]:
    """The rows with a case's name only where the case begins."""
    shown, last = [], ""
    for row in rows:
        shown.append(row if row[0] != last else ["", *row[1:]])
        last = row[0]
    return shown


def counted(counts: Sequence[dict[str, Any]]) -> list[str]:
    """The table of one kind of counts."""
    rows = []
    for count in counts:
        label = f"{count['workload']}: {WORKLOADS[count['workload']].cases[count['case']].label}"
        if count["connections"]:
            label = f"{count['workload']}: {count['connections']} connections"
        for implementation, result in count["results"].items():
            each = result["per_unit"]
            required = count["required"] if implementation == SUBJECT else None
            demand = requirement(each, required, lower_is_better=True)
            unit = f"per {count['unit']}"
            rows.append([label, implementation, figure(each), unit, demand, result["detail"]])
    head = ["what", "implementation", "count", "", "required", "of which"]
    return [*markdown([head, *without_repetition(rows)]), "", *failures(counts)]


def versions(measured: Sequence[dict[str, Any]]) -> dict[str, str]:
    """implementation -> version, as the runs said."""
    found: dict[str, str] = {}
    for each in measured:
        for implementation, lines in each["runs"].items():
            if lines:
                found[implementation] = lines[0]["version"]
    return found


def page(times: dict[str, Any], counts: dict[str, Any]) -> str:
    """The whole document."""
    measured = times["measured"]
    command = "benchmarks/run" + (" --quick" if times["quick"] else "")
    lines = [INTRODUCTION, "## The run", ""]
    facts = {"date": times["started"], "command": f"`{command}`", "rounds": str(times["rounds"])}
    facts |= times["machine"]
    facts["priority of the session (autogroup)"] = ", ".join(sorted({each["favoured"] for each in measured}))
    facts |= {f"version of {name}": version for name, version in versions(measured).items()}
    lines += [*markdown([["", ""], *([name, fact] for name, fact in facts.items())]), ""]
    for name, workload in WORKLOADS.items():
        here = [each for each in measured if each["workload"] == name]
        if here:
            lines += [f"## {workload.title}", "", f"Command: `{command} {name}`", "", *table(name, here)]
    for kind, title in KINDS.items():
        if counts.get(kind):
            lines += [f"## {title}", "", "Counted with two sizes; the difference has no start-up in it.", ""]
            lines += ["Command: `benchmarks/run counts`", "", *counted(counts[kind])]
    for sentence in counts.get("missing", []):
        lines += [sentence, ""]
    return "\n".join(lines).rstrip() + "\n"


def main(times: str, counts: str, target: str) -> None:
    """Write the page from two files; the second need not exist."""
    timed = json.loads(Path(times).read_text())
    counted = json.loads(Path(counts).read_text()) if Path(counts).exists() else {}
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(page(timed, counted))


if __name__ == "__main__":
    main(*sys.argv[1:])
