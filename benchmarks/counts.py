"""Counts what a timer cannot be trusted with on a busy machine: instructions and system calls.

Every count is taken twice, with a small and a large number of units; the difference, divided by the
difference of the units, is the cost of one unit without start-up and end. callgrind counts each iteration
of a `rep movs` as an instruction, so who copies stacks looks a little worse than it is.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from driver import RunFailed, arguments, choices, command, keep, source
from echo import allow_many_files, load, server_command, serving, shape
from peers import SUBJECT
from region import COUNTING, NO_COLLECTOR
from rows import WORKLOADS
from tables import counted, growth_table
from tallies import GROWTH, INSTRUCTIONS, SYSCALLS, WITHOUT, Count
from web import HTTP_BYTES, wait_until_it_listens, web_command
from workload import cores

#: callgrind is some fifty times slower than the machine.
LIMIT_S = 900
#: How long strace may take to write its table after the server has ended.
TABLE_S = 20

#: Share, seconds, microseconds per call, calls, errors (or nothing), name.
TABLE_LINE = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(\d*) *(\w+)$", re.MULTILINE)

#: The result of one counted run: name -> how often. For instructions the name is whose they are.
Counts = Counter[str]

#: In callgrind's file: the object that the following functions are in, "ob=(7) /lib/libc.so.6" or, later on,
#: "ob=(7)"; what a call has cost inside, which stands below "calls=" and is counted where it was spent; the
#: cost of a line, behind the line's number or what it is more than the last one's.
OBJECT_LINE = re.compile(r"ob=\((\d+)\)(?: (.+))?")
COST_LINE = re.compile(r"[+*-]?\d* (\d+)")


def instructions(count: Count, implementation: str, size: int) -> Counts:
    """User instructions of one run of `size` units under callgrind: the interpreter's, each library's."""
    # A program has no region of its own: all of it is counted.
    region = WORKLOADS[count.workload].rows[count.case][implementation].style != "program"
    return callgrind(lambda tool: drive(tool, count, implementation, size), region)


def callgrind(run: Callable[[list[str]], object], region: bool = True) -> Counts:
    """User instructions of what `run` starts under the command that it is given, or of its region only."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place, "out")
        tool = ["valgrind", "--tool=callgrind", f"--log-file={place}/log", f"--callgrind-out-file={out}"]
        run(["env", f"{COUNTING}=1", *tool, "--instr-atstart=no"] if region else tool)
        return parse_callgrind(out.read_text() if out.exists() else "")


def parse_callgrind(text: str) -> Counts:
    """The instructions in a file of callgrind's, by the name of the program or library that they are in."""
    names: dict[str, str] = {}
    found: Counts = Counter()
    name, inside = "", False
    for line in text.splitlines():
        if cost := COST_LINE.fullmatch(line):
            if not inside:
                found[name] += int(cost[1])
            inside = False
        elif line.startswith("calls="):
            inside = True
        elif here := OBJECT_LINE.match(line.removeprefix("c")):
            if here[2]:
                # Of "_core.cpython-311-x86_64-linux-gnu.so" the first word says all.
                short = Path(here[2]).name.partition(".cpython-")[0].partition(".so")[0]
                names[here[1]] = "elsewhere" if short == "???" else short
            if line.startswith("ob="):
                name = names[here[1]]
    if not found:
        raise RunFailed(f"expected a table from callgrind, found {text[:200]!r}")
    return found


def syscalls(count: Count, implementation: str, size: int) -> Counts:
    """System calls of one run of `size` units, by name, under strace."""
    with tempfile.TemporaryDirectory() as place:
        log = Path(place, "log")
        # -D: the server stays our child and the tracer is a process aside, so a signal reaches the server.
        drive(["strace", "-D", "-c", "-f", "-o", str(log)], count, implementation, size)
        ends = time.monotonic() + TABLE_S
        while time.monotonic() < ends and not (log.exists() and "total" in log.read_text()):
            time.sleep(0.05)
        return parse_strace(log.read_text() if log.exists() else "")


def parse_strace(text: str) -> Counts:
    """The calls by name in a table of `strace -c`; those that failed once more, as 'name failed'."""
    found: Counts = Counter()
    for calls, failed, name in TABLE_LINE.findall(text):
        if name == "total":
            continue
        found[name] += int(calls)
        if failed:
            found[f"{name} failed"] += int(failed)
    if not found:
        raise RunFailed(f"expected a table from strace, found {text[:200]!r}")
    return found


def drive(tool: Sequence[str], count: Count, implementation: str, size: int) -> None:
    """Run `size` units under a tool: a server with its load outside, or else the script alone."""
    if count.connections:
        drive_server(tool, count, implementation, size)
    else:
        run_script([*tool, *command(count.workload, implementation, count.case, size), "--repeat", "1"])


def drive_server(tool: Sequence[str], count: Count, implementation: str, size: int) -> None:
    """A server under a tool, asked `size` times."""
    server_core, client_core = cores()
    # A connection for each request, see accept.py.
    fresh, web = count.workload == "accept", count.workload == "http"
    if web:
        server = web_command(implementation)
    else:
        server = server_command(implementation, count.workload, count.case, *(["once"] if fresh else []))
    with serving([*tool, *server], server_core) as (_, port):
        words = ["fresh"] * fresh + ["http"] * web
        answer = HTTP_BYTES if web else shape(count.case)[1]
        wait_until_it_listens(port)
        load(port, count.connections, answer, "requests", size, client_core, *words)


def run_script(script: Sequence[str]) -> str:
    """Run a script to its end, and give what it printed; what it said last if it fails."""
    try:
        return subprocess.run(script, check=True, capture_output=True, text=True, timeout=LIMIT_S).stdout
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1:] or ["nothing was printed"]
        raise RunFailed(f"exit status {error.returncode}: {last[0]}") from None
    except subprocess.TimeoutExpired:
        raise RunFailed(f"did not end within {LIMIT_S} s") from None


def per_unit(count: Count, small: Counts, large: Counts) -> dict[str, Any]:
    """The cost of one unit: all names together, and the names that matter one by one."""
    difference = {name: (large[name] - small[name]) / (count.large - count.small) for name in large}
    total = sum(each for name, each in difference.items() if not name.endswith(" failed"))
    frequent = sorted((-each, name) for name, each in difference.items() if each >= 0.005)
    detail = ", ".join(f"{name} {-each:,.{0 if each < -10 else 2}f}" for each, name in frequent)
    return {"per_unit": total, "detail": detail if len(difference) > 1 else ""}


#: Something that may fail, and what it would have given.
Result = TypeVar("Result")


def attempt(how: Callable[[], Result]) -> Result | str:
    """What it gives, or why it gives nothing."""
    try:
        return how()
    except (RunFailed, SystemExit) as error:
        return str(error)


def at_once(tasks: Sequence[Callable[[], Result]]) -> list[Result | str]:
    """All of them, on as many cores as there are: instructions are the same, whoever else is at work."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return list(pool.map(attempt, tasks))


def one_by_one(tasks: Sequence[Callable[[], Result]]) -> list[Result | str]:
    """For servers, which have a core of their own, and another for who asks them."""
    return [attempt(each) for each in tasks]


def take(
    how: Callable[[Count, str, int], Counts], counts: Sequence[Count], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """All counts of one kind that were asked for; what fails is reported and the others go on."""
    wanted = [
        (count, implementation)
        for count in counts
        if (not options.workload or count.workload in options.workload) and (count.quick or not options.quick)
        for implementation in count.implementations
        if not options.only or implementation in options.only
    ]

    def both(count: Count, implementation: str) -> dict[str, Any]:
        return per_unit(
            count, how(count, implementation, count.small), how(count, implementation, count.large)
        )

    found: dict[tuple[Count, str], dict[str, Any] | str] = {}
    for run, here in (
        (at_once, [each for each in wanted if not each[0].connections]),
        (one_by_one, [each for each in wanted if each[0].connections]),
    ):
        found |= zip(here, run([partial(both, *each) for each in here]), strict=True)
    taken = []
    for count in dict.fromkeys(count for count, _ in wanted):
        here = {one: found[each, one] for each, one in wanted if each == count}
        results = {one: result for one, result in here.items() if not isinstance(result, str)}
        failed = {one: why for one, why in here.items() if isinstance(why, str)}
        for one, why in failed.items():
            print(f"{count.workload} {count.case} {one}: {why}", file=sys.stderr)
        taken.append(asdict(count) | {"results": results, "failed": failed})
    return taken


def growth(options: argparse.Namespace) -> list[dict[str, Any]]:
    """What a unit costs the subject in crowds of growing size."""
    points = [(row, size) for row in GROWTH for size in (row.sizes[:2] if options.quick else row.sizes)]
    found = at_once([partial(in_region, row.case, size, row.collector) for row, size in points])
    taken = []
    for row in GROWTH:
        here = {size: result for (each, size), result in zip(points, found, strict=True) if each == row}
        counts = {size: result for size, result in here.items() if not isinstance(result, str)}
        failed = {f"{SUBJECT}, {size:,}": why for size, why in here.items() if isinstance(why, str)}
        for where, why in failed.items():
            print(f"growth {row.case} {where}: {why}", file=sys.stderr)
        taken.append(asdict(row) | {"workload": "growth", "per_unit": counts, "failed": failed})
    return taken


def in_region(case: str, size: int, collector: bool = True) -> float:
    """Instructions per unit that growth.py counts, in what it measures only."""
    units: list[float] = []

    def run(tool: list[str]) -> None:
        quiet = [] if collector else ["env", f"{NO_COLLECTOR}=1"]
        line = json.loads(run_script([*quiet, *tool, *command("growth", SUBJECT, case, size)]))
        units.append(line["values"]["units"])

    total = callgrind(run).total() / units[0]
    return total - in_region(WITHOUT[case], 1_000) / size if case in WITHOUT else total


def main(argv: Sequence[str] | None = None) -> int:
    """Count what was asked for; 1 if a run failed."""
    parser = arguments("Counts instructions and system calls, or, as 'growth', how the cost grows.")
    options = choices(parser, argv)
    # Same hashes in each run: else the two sizes would differ by the luck of dictionaries, too.
    os.environ["PYTHONHASHSEED"] = "0"
    allow_many_files()
    results: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%d %H:%M %Z"),
        "commit": source(),
        "quick": options.quick,
        "missing": [],
    }
    kinds: tuple[tuple[str, str, Callable[[], list[dict[str, Any]]], Callable[..., list[str]]], ...] = (
        ("instructions", "valgrind", partial(take, instructions, INSTRUCTIONS, options), counted),
        ("syscalls", "strace", partial(take, syscalls, SYSCALLS, options), counted),
    )
    if options.workload == ["growth"]:
        kinds = (("growth", "valgrind", partial(growth, options), growth_table),)
    for kind, tool, count, table in kinds:
        if shutil.which(tool) is None:
            sentence = f"No {kind} were counted: {tool} is not installed (Debian: apt install {tool})."
            results["missing"].append(sentence)
            print(sentence, file=sys.stderr)
            continue
        began = time.monotonic()
        results[kind] = count()
        if results[kind]:
            print(f"\n{kind}\n\n" + "\n".join(table(results[kind])))
            print(f"({time.monotonic() - began:.0f} s)", flush=True)
        keep(results, options.output)
    return int(any(count["failed"] for kind, *_ in kinds for count in results.get(kind, [])))


if __name__ == "__main__":
    sys.exit(main())
