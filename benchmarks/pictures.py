"""`pictures.py RESULTS TARGET`: draws what was measured, as SVG.

Each picture is drawn twice, for light and for dark pages.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from peers import IMPLEMENTATIONS, SUBJECT
from rows import WORKLOADS
from spread import paired_ratio
from sweeps import SWEEPS
from tables import middle, series


@dataclass(frozen=True)
class Theme:
    """A colouring."""

    name: str
    paper: str
    ink: str
    faint: str


THEMES = (Theme("light", "#ffffff", "#1f2328", "#d0d7de"), Theme("dark", "#0d1117", "#e6edf3", "#30363d"))
#: Told apart by those who see few colours, too; the subject has the warmest.
COLOURS = dict(
    zip(
        (name for name in IMPLEMENTATIONS if name != SUBJECT),
        (
            *("#56b4e9", "#0072b2", "#5e4fa2", "#8a8a8a", "#9e9e9e"),
            *("#cc79a7", "#b07aa1", "#009e73", "#4daf7c", "#e6b800"),
            *("#7f7f7f", "#7f7f7f", "#a6761d", "#66a61e", "#e7298a"),
        ),
        strict=True,
    )
) | {SUBJECT: "#e8590c"}
MARKERS = dict(zip(IMPLEMENTATIONS, "os^vD*PXhp<>d8sH", strict=True))


def figure(theme: Theme, width: float, height: float, rows: int, columns: int) -> tuple[Figure, list[Axes]]:
    """An empty figure with axes in the theme's colours."""
    made = Figure(figsize=(width, height), facecolor=theme.paper, layout="constrained")
    axes = [made.add_subplot(rows, columns, 1 + index) for index in range(rows * columns)]
    for each in axes:
        each.set_facecolor(theme.paper)
        each.grid(True, which="major", color=theme.faint, linewidth=0.6)
        each.set_axisbelow(True)
        each.tick_params(which="both", colors=theme.ink, labelsize=8)
        for spine in each.spines.values():
            spine.set_color(theme.faint)
        for text in (each.title, each.xaxis.label, each.yaxis.label):
            text.set_color(theme.ink)
            text.set_fontsize(9)
    return made, axes


def numbers(axis: Axis, logarithmic: bool = True) -> None:
    """Plain numbers along an axis, also where a logarithmic one spans no power of ten."""
    if logarithmic:
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def legend(made: Figure, axes: Sequence[Axes], theme: Theme, columns: int) -> None:
    """One legend under all of them."""
    handles = {
        label: handle
        for each in axes
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True)
    }
    made.legend(
        handles.values(),
        handles,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=8,
        labelcolor=theme.ink,
    )


def line(axes: Axes, name: str, points: Sequence[tuple[float, float]]) -> None:
    """One implementation's curve; the subject's is on top."""
    ours = name == SUBJECT
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        color=COLOURS[name],
        marker=MARKERS[name],
        markersize=5 if ours else 4,
        linewidth=2.4 if ours else 1.3,
        zorder=3 if ours else 2,
        label=name,
    )


def curves(axes: Axes, measured: Sequence[dict[str, Any]], case: str, value: str) -> None:
    """All implementations' curves of one value."""
    here = [each for each in measured if each["case"] == case]
    for name in dict.fromkeys(one for each in here for one in each["runs"]):
        line(
            axes, name, [(each["size"], middle(each, name, value)) for each in here if each["runs"].get(name)]
        )


def ratios(theme: Theme, results: dict[str, Any]) -> Figure | None:
    """What each peer costs in proportion to the subject, a line per case."""
    rows: list[tuple[str, dict[str, float]]] = []
    for each in results["times"]["measured"]:
        runs = each["runs"]
        if each["workload"] not in WORKLOADS or SUBJECT not in runs:
            continue
        case = WORKLOADS[each["workload"]].cases[each["case"]]
        value = case.values[0]
        found = {}
        for name in runs:
            ratio = paired_ratio(series(runs[name], value.name), series(runs[SUBJECT], value.name))
            found[name] = ratio if value.lower_is_better else 1 / ratio
        rows.append((f"{each['workload']}: {case.label}".replace("`", ""), found))
    if not rows:
        return None
    made, (axes,) = figure(theme, 9, 1.2 + 0.26 * len(rows), 1, 1)
    for index, (_, found) in enumerate(rows):
        for name, ratio in found.items():
            if name != SUBJECT:
                axes.plot(ratio, index, MARKERS[name], color=COLOURS[name], markersize=6, label=name)
    axes.axvline(1, color=COLOURS[SUBJECT], linewidth=2, label=SUBJECT)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    numbers(axes.xaxis)
    axes.set_xlabel(
        "cost (time, bytes, or what throughput is the inverse of) / cost with corolib; logarithmic"
    )
    legend(made, [axes], theme, 8)
    return made


def growth(theme: Theme, results: dict[str, Any]) -> Figure | None:
    """Time per unit over the size of the crowd."""
    measured = [each for each in results["times"]["measured"] if each["workload"] == "growth"]
    cases = list(dict.fromkeys(each["case"] for each in measured))
    if not cases:
        return None
    rows = -(-len(cases) // 2)
    made, axes = figure(theme, 9, 1 + 2.4 * rows, rows, 2)
    for each, case in zip(axes, cases, strict=False):
        curves(each, measured, case, "ns")
        curve = SWEEPS["growth"].cases[case]
        label = curve.label.replace("`", "")
        each.set_title(label, fontsize=9, color=theme.ink)
        each.set(xscale="log", yscale="log", xlabel=curve.x, ylabel=curve.values[0].label)
        numbers(each.xaxis)
        numbers(each.yaxis)
    for each in axes[len(cases) :]:
        each.set_visible(False)
    legend(made, axes, theme, 6)
    return made


def instructions(theme: Theme, results: dict[str, Any]) -> Figure | None:
    """Instructions of the subject per unit over the size of the crowd, and over connections."""
    growths = results.get("growth", {}).get("growth")
    if not growths:
        return None
    made, axes = figure(theme, 9, 4.4, 1, 2)
    for index, each in enumerate(growths):
        points = sorted((int(size), count) for size, count in each["per_unit"].items())
        served = points[0][0] == 1
        where = axes[1] if served else axes[0]
        label = each["unit"] if served else f"{each['label']}".replace("`", "")
        where.plot(*zip(*points, strict=True), marker="o", markersize=4, color=f"C{index % 10}", label=label)
    for where, what in zip(axes, ("greenlets or timers", "connections"), strict=True):
        where.set(xscale="log", yscale="log", xlabel=what, ylabel="user instructions per unit")
        numbers(where.xaxis)
        numbers(where.yaxis)
    legend(made, axes, theme, 3)
    return made


def served(workload: str, case: str) -> Callable[[Theme, dict[str, Any]], Figure | None]:
    """Throughput and latency of servers."""

    def draw(theme: Theme, results: dict[str, Any]) -> Figure | None:
        measured = [each for each in results["times"]["measured"] if each["workload"] == workload]
        curve = SWEEPS[workload].cases[case]
        if not any(each["case"] == case for each in measured):
            return None
        made, axes = figure(theme, 9, 4, 1, 2)
        for each, value in zip(axes, ("requests_per_s", "p99_us"), strict=True):
            curves(each, measured, case, value)
            label = {one.name: one.label for one in curve.values}[value]
            each.set(xlabel=curve.x, ylabel=label)
            if workload == "connections":
                each.set_xscale("log")
            numbers(each.xaxis, workload == "connections")
        axes[0].set_ylim(bottom=0)
        numbers(axes[0].yaxis, False)
        axes[1].set_yscale("log")
        numbers(axes[1].yaxis)
        made.suptitle(curve.label, color=theme.ink, fontsize=10)
        legend(made, axes, theme, 6)
        return made

    return draw


DRAWN: dict[str, Callable[[Theme, dict[str, Any]], Figure | None]] = {
    "ratios": ratios,
    "growth": growth,
    "instructions": instructions,
    **{
        f"{workload}-{case}": served(workload, case)
        for workload in ("connections", "load")
        for case in ("echo", "http")
    },
}


def main(results: str, target: str) -> None:
    """Draw all that there are figures for."""
    read = {path.stem: json.loads(path.read_text()) for path in Path(results).glob("*.json")}
    Path(target).mkdir(parents=True, exist_ok=True)
    # The same file for the same figures; text stays text.
    matplotlib.rcParams.update(
        {"svg.hashsalt": "corolib", "svg.fonttype": "none", "font.family": "sans-serif"}
    )
    for name, draw in DRAWN.items():
        for theme in THEMES:
            made = draw(theme, read)
            if made is not None:
                made.savefig(Path(target, f"{name}-{theme.name}.svg"), metadata={"Date": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
