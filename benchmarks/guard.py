"""Instructions of the hot paths against numbers that are kept: finds what a busy machine's timers cannot.

    guard.py            counts, compares with instructions.json, says what differs; 1 if anything costs more
    guard.py --renew    counts, and writes the numbers of this interpreter's version anew

Times vary by a factor of two where other programs run; the instructions of a path vary by a few in a
thousand. What is counted runs the interpreter's code, too, which is not ours: a loop in plain Python is
counted along, and where that differs from what was kept, the numbers are of another build of the interpreter
and say nothing.
"""

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from counts import callgrind, in_region, run_script
from region import measured

KEPT = Path(__file__).resolve().with_name("instructions.json")
#: How much more than what was kept fails, and how much less asks for new numbers. A change of the compiler's
#: minor version stays within it; a call more on a path of 700 instructions does not.
TOLERANCE = 0.05
#: Two builds of an interpreter differ by more than this in plain Python.
SAME_BUILD = 0.005
PLAIN_STEPS = 10_000

#: What is guarded -> how it is counted, per unit.
GUARDED: dict[str, Callable[[], float]] = {
    "switch": partial(in_region, "robin", 10),
    "switch, parked and copied back": partial(in_region, "robin", 1_000),
    "sleep(0)": partial(in_region, "yield", 100),
    # Without the collector: one collection more or less, by what was allocated before, is a fifth of it.
    "spawn, run and join": partial(in_region, "spawn", 2_000, collector=False),
    "echo request": partial(in_region, "echo", 32),
    "HTTP request": partial(in_region, "http", 32),
}
PLAIN = "plain Python"


def plain() -> float:
    """Instructions of a step of plain Python, by a run of this file that does nothing else."""
    script = [sys.executable, __file__, "--plain"]
    counted = callgrind(lambda tool: run_script([*tool, *script]))
    return counted.total() / PLAIN_STEPS


def run_plain() -> None:
    """Calls, attributes, a dictionary, numbers, text."""

    class Thing:
        def __init__(self, number: int) -> None:
            self.number = number

        def add(self, more: int) -> int:
            self.number += more
            return self.number

    seen: dict[int, str] = {}
    thing = Thing(0)
    with measured():
        for step in range(PLAIN_STEPS):
            seen[step % 97] = f"{thing.add(step)}"


def version() -> str:
    """Whose numbers are kept together."""
    return f"{platform.python_version_tuple()[0]}.{platform.python_version_tuple()[1]} {platform.machine()}"


def count() -> dict[str, float]:
    """Everything, per unit."""
    return {PLAIN: round(plain(), 1)} | {name: round(how(), 1) for name, how in GUARDED.items()}


def compare(kept: Mapping[str, float], found: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """What costs more than it may, and what else should be known; a sentence each."""
    if abs(found[PLAIN] / kept[PLAIN] - 1) > SAME_BUILD:
        other = f"{found[PLAIN]} instructions for a step of plain Python, {kept[PLAIN]} were kept"
        return [], [
            f"the numbers are of another build of Python {version()} ({other}): renew them with --renew"
        ]
    worse, remarks = [], []
    for name in GUARDED:
        change = found[name] / kept[name] - 1
        sentence = f"{name}: {found[name]} instructions, {kept[name]} were kept ({change:+.1%})"
        if change > TOLERANCE:
            worse.append(sentence)
        elif change < -TOLERANCE:
            remarks.append(f"{sentence}: cheaper; keep that with --renew")
    return worse, remarks


def main(argv: list[str] | None = None) -> int:
    """Compare, or keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--renew", action="store_true", help="keep what is counted now")
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.plain:
        run_plain()
        return 0
    if shutil.which("valgrind") is None:
        sys.exit("guard.py: valgrind is missing (Debian and Ubuntu: apt-get install valgrind)")
    everything: dict[str, dict[str, float]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    kept = everything.get(version())
    if kept is None and not options.renew:
        sys.exit(
            f"guard.py: nothing is kept for Python {version()}, only for {', '.join(everything) or 'none'}"
        )
    os.environ["PYTHONHASHSEED"] = "0"  # dictionaries would differ from run to run
    found = count()
    if options.renew:
        everything[version()] = found
        KEPT.write_text(json.dumps(dict(sorted(everything.items())), indent=1) + "\n")
        return 0
    assert kept is not None
    worse, remarks = compare(kept, found)
    print(json.dumps(found, indent=1))
    for sentence in remarks:
        print(f"note: {sentence}")
    for sentence in worse:
        print(f"worse: {sentence}")
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
