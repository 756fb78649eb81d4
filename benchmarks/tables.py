"""What was measured and counted, as tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from peers import SUBJECT
from rows import WORKLOADS, Value
from spread import paired_ratio, spread
from sweeps import SWEEPS
from tallies import GROWTH_LIMIT

#: Kinds of counts -> what is counted.
KINDS = {"instructions": "user instructions", "syscalls": "system calls"}


def figure(number: float) -> str:
    """Three digits that mean something, with separators where there are many."""
    if number >= 999.5:
        return f"{number:,.0f}"
    return f"{number:#.3g}".rstrip(".")


def meets(ratio: float, bound: float, lower_is_better: bool) -> bool:
    """Whether a ratio is on the right side of a bound."""
    return ratio <= bound if lower_is_better else ratio >= bound


def bounded(bound: float, lower_is_better: bool) -> str:
    """A bound, with its direction."""
    return f"{'<=' if lower_is_better else '>='} {bound:{',.0f' if bound >= 1000 else '.3g'}}"


def requirement(ratio: float, required: float | None, lower_is_better: bool) -> str:
    """The required ratio and whether it was met; empty if nothing is required."""
    if required is None:
        return ""
    verdict = "met" if meets(ratio, required, lower_is_better) else "**missed**"
    return f"{bounded(required, lower_is_better)}: {verdict}"


def ambition(ratio: float, aim: float | None, lower_is_better: bool) -> str:
    """The ratio that is aimed at and whether it was reached; empty if there is none."""
    if aim is None:
        return ""
    verdict = "reached" if meets(ratio, aim, lower_is_better) else "not yet"
    return f"{bounded(aim, lower_is_better)}: {verdict}"


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
            if base not in runs or base not in value.goals:
                row += ["", ""]
                continue
            ratio = paired_ratio(numbers, series(runs[base], value.name))
            required = value.goals[base].required if implementation == SUBJECT else None
            row += [figure(ratio), requirement(ratio, required, value.lower_is_better)]
        rows.append(row)
    return rows


def failures(measured: Sequence[dict[str, Any]]) -> list[str]:
    """One sentence for each implementation that is missing in a table."""
    sentences = dict.fromkeys(
        f"No figure for {implementation}, {each['workload']} {each['case']}: {why}"
        for each in measured
        for implementation, why in each["failed"].items()
    )
    return [line for sentence in sentences for line in (sentence, "")]


def table(workload: str, measured: Sequence[dict[str, Any]]) -> list[str]:
    """The tables of one workload: one per kind of value, all cases in it."""
    cases = WORKLOADS[workload].cases
    everything = [(each, value) for each in measured for value in cases[each["case"]].values]
    lines = []
    for name in dict.fromkeys(value.name for _, value in everything):
        here = [(each, value) for each, value in everything if value.name == name]
        bases = list(dict.fromkeys(base for _, value in here for base in value.goals))
        head = [here[0][1].label, "implementation", "min", "median", "max"]
        for base in bases:
            head += [f"ratio to {base}", "required"]
        rows = []
        for each, value in here:
            rows += value_rows(each, cases[each["case"]].label, value, bases)
        lines += [*markdown([head, *without_repetition(rows)]), ""]
    return [*lines, *failures(measured)]


@dataclass(frozen=True)
class Standing:
    """One ratio, or count, of the subject that something is wanted of."""

    what: str
    #: What it is a ratio to; empty: a count is wanted.
    base: str
    ratio: float
    required: float | None
    aim: float | None
    lower_is_better: bool
    #: The ratios of the others to the same base.
    peers: str = ""

    @property
    def met(self) -> bool:
        """Whether it is as required, if anything is."""
        return self.required is None or meets(self.ratio, self.required, self.lower_is_better)

    @property
    def reached(self) -> bool:
        """Whether it is where it is aimed, if it is."""
        return self.aim is not None and meets(self.ratio, self.aim, self.lower_is_better)

    @property
    def name(self) -> str:
        """What it is called in a sentence."""
        return f"{self.what} ({figure(self.ratio)}{f' of {self.base}' if self.base else ''})"


def standings(measured: Sequence[dict[str, Any]]) -> list[Standing]:
    """All ratios that are required or aimed at, of workloads that were measured together with their bases."""
    found = []
    for each in measured:
        runs, name = each["runs"], each["workload"]
        if name not in WORKLOADS or SUBJECT not in runs:
            continue
        case = WORKLOADS[name].cases[each["case"]]
        for value in case.values:
            for base, goal in value.goals.items():
                if base not in runs or (goal.required is None and goal.aim is None):
                    continue
                ratios = {
                    one: paired_ratio(series(lines, value.name), series(runs[base], value.name))
                    for one, lines in runs.items()
                }
                others = ", ".join(
                    f"{one} {figure(ratio)}" for one, ratio in ratios.items() if one not in (SUBJECT, base)
                )
                what = f"{name}: {case.label}: {value.label}"
                found.append(
                    Standing(
                        what, base, ratios[SUBJECT], goal.required, goal.aim, value.lower_is_better, others
                    )
                )
    return found


def standings_of_counts(counts: dict[str, Any]) -> list[Standing]:
    """All counts of which something is required, and how even the cost is in a crowd that grows."""
    found = []
    for kind, title in KINDS.items():
        for each in counts.get(kind, []):
            results = each["results"]
            if SUBJECT not in results or (each["required"] is None and each["aim"] is None):
                continue
            others = ", ".join(
                f"{one} {figure(result['per_unit'])}" for one, result in results.items() if one != SUBJECT
            )
            what = f"{counted_label(each)}: {title} per {each['unit']}"
            count = results[SUBJECT]["per_unit"]
            found.append(Standing(what, "", count, each["required"], each["aim"], True, others))
    for each in counts.get("growth", []):
        # What Python's collector does is part of what a program pays, so the rows with it are what counts.
        if each["collector"] and each["per_unit"]:
            what = f"growth: {each['label']}: instructions per {each['unit']}, dearest size"
            found.append(Standing(what, "cheapest size", unevenness(each), GROWTH_LIMIT, None, True))
    return found


def names(found: Iterable[Standing]) -> list[str]:
    """A list of them, or a word that there is none."""
    return [f"- {each.name}" for each in found] or ["None."]


def standings_table(found: Sequence[Standing]) -> list[str]:
    """What is required, what is aimed at, and where it is; then by name what is not there."""
    required = [each for each in found if each.required is not None]
    aimed = [each for each in found if each.aim is not None]
    met, reached = sum(each.met for each in required), sum(each.reached for each in aimed)
    lines = [
        f"{met} of {len(required)} required figures are met, {reached} of {len(aimed)} aims are reached.",
        "",
    ]
    rows = [
        [
            each.what,
            each.base,
            figure(each.ratio),
            requirement(each.ratio, each.required, each.lower_is_better),
            ambition(each.ratio, each.aim, each.lower_is_better),
            each.peers,
        ]
        for each in found
    ]
    head = ["what", "base", "corolib", "required", "aim", "the others"]
    lines += [*markdown([head, *rows]), ""]
    lines += ["Required and missed:", "", *names(each for each in required if not each.met), ""]
    lines += ["Aims that are reached:", "", *names(each for each in aimed if each.reached), ""]
    lines += ["Aims that are not ([what stands in the way](benchmark-limits.md)):", ""]
    return [*lines, *names(each for each in aimed if not each.reached), ""]


def curve_table(workload: str, measured: Sequence[dict[str, Any]]) -> list[str]:
    """The tables of a sweep: a line per implementation, a column per size, the medians."""
    cases = SWEEPS[workload].cases
    lines = []
    for name in dict.fromkeys(each["case"] for each in measured):
        here = [each for each in measured if each["case"] == name]
        implementations = list(dict.fromkeys(one for each in here for one in each["runs"]))
        for value in cases[name].values:
            head = [f"{cases[name].label}: {value.label}", *(f"{each['size']:,}" for each in here)]
            rows = [
                [
                    one,
                    *(
                        figure(middle(each, one, value.name)) if each["runs"].get(one) else ""
                        for each in here
                    ),
                ]
                for one in implementations
            ]
            lines += [*markdown([head, *rows]), ""]
    return [*lines, *failures(measured)]


def middle(measured: dict[str, Any], implementation: str, value: str) -> float:
    """The median of an implementation's runs."""
    return spread(series(measured["runs"][implementation], value)).middle


def without_repetition(rows: Sequence[list[str]]) -> list[list[str]]:
    """The rows with a case's name only where the case begins."""
    shown, last = [], ""
    for row in rows:
        shown.append(row if row[0] != last else ["", *row[1:]])
        last = row[0]
    return shown


def counted_label(count: dict[str, Any]) -> str:
    """What is counted."""
    if count["connections"]:
        return f"{count['workload']}: {count['connections']} connections"
    return f"{count['workload']}: {WORKLOADS[count['workload']].cases[count['case']].label}"


def counted(counts: Sequence[dict[str, Any]]) -> list[str]:
    """The table of one kind of counts."""
    rows = []
    for count in counts:
        label = counted_label(count)
        for implementation, result in count["results"].items():
            each, ours = result["per_unit"], implementation == SUBJECT
            demand = requirement(each, count["required"] if ours else None, lower_is_better=True)
            aim = ambition(each, count["aim"] if ours else None, lower_is_better=True)
            unit = f"per {count['unit']}"
            rows.append([label, implementation, figure(each), unit, demand, aim, result["detail"]])
    head = ["what", "implementation", "count", "", "required", "aim", "of which"]
    return [*markdown([head, *without_repetition(rows)]), "", *failures(counts)]


def unevenness(growth: dict[str, Any]) -> float:
    """How much more the dearest size costs per unit than the cheapest."""
    counts = growth["per_unit"].values()
    return float(max(counts) / min(counts)) if counts else 0.0


def growth_table(growths: Sequence[dict[str, Any]]) -> list[str]:
    """Counts at growing sizes: what a unit costs at each, and how far the dearest is above the cheapest."""
    sizes = sorted({int(size) for each in growths for size in each["per_unit"]})
    rows = []
    for each in growths:
        counts = {int(size): count for size, count in each["per_unit"].items()}
        spread_of = unevenness(each)
        rows.append(
            [
                f"{each['label']}, per {each['unit']}",
                *(figure(counts[size]) if size in counts else "" for size in sizes),
                f"{figure(spread_of)}: {'met' if spread_of <= GROWTH_LIMIT else '**missed**'}",
            ]
        )
    head = ["what", *(f"{size:,}" for size in sizes), f"dearest to cheapest, <= {GROWTH_LIMIT}"]
    return [*markdown([head, *rows]), "", *failures(growths)]
