"""Runs workloads: implementations take turns, A B A B, each run a process of its own.

Prints a table per workload and writes everything that was measured as JSON; `driver.py --help`.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compiled import program
from peers import IMPLEMENTATIONS
from rows import WORKLOADS, Case, Workload
from sweeps import SWEEPS, Curve
from tables import curve_table, table
from workload import cores, positive

HERE = Path(__file__).resolve().parent
ROUNDS = 5
QUICK_ROUNDS = 3
#: A curve has many points, and its shape is what counts.
CURVE_ROUNDS = 1
EVERYTHING: dict[str, Workload] = WORKLOADS | SWEEPS
#: The nice value written for timed processes, as far down as the kernel's scheduler groups it by session.
AUTOGROUP = -15
#: No run takes as long; a script that does hangs.
LIMIT_S = 300


class RunFailed(Exception):
    """A script ended with an error, hung, or did not print what it should."""


def favour(pid: int) -> str:
    """Let a session run before the others of this machine; says what came of it.

    `nice` has no effect between sessions where the kernel groups by session (autogroup): the group's own
    value counts.
    """
    path = Path(f"/proc/{pid}/autogroup")
    try:
        path.write_text(f"{AUTOGROUP}")
    except OSError as error:
        return f"not permitted ({error.strerror}): other work on this machine disturbs the times"
    return f"{AUTOGROUP}"


def run(command: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Run one script: its line, and what came of favouring it.

    It gets a session of its own, which is what favouring needs and what makes it possible to end all that
    it has started, whatever happens here.
    """
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        favoured = favour(process.pid)
        try:
            output, errors = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            raise RunFailed(f"did not end within {LIMIT_S} s") from None
        finally:
            # The group has its number as long as anything that the script has started is alive.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        last = errors.strip().splitlines()[-1:] or ["nothing was printed"]
        raise RunFailed(f"exit status {process.returncode}: {last[0]}")
    lines = output.splitlines()
    if len(lines) != 1:
        raise RunFailed(f"expected one line, found {len(lines)}: {output[:200]!r}")
    try:
        line: dict[str, Any] = json.loads(lines[0])
    except ValueError:
        raise RunFailed(f"expected a JSON line, found {lines[0][:200]!r}") from None
    return line, favoured


def command(workload: str, implementation: str, case: str, size: int) -> list[str]:
    """What a run of one case is started with."""
    script, words = EVERYTHING[workload].script, EVERYTHING[workload].words
    return [sys.executable, str(HERE / script), *words, implementation, case, "--size", str(size)]


def sizes(case: Case, quick: bool) -> tuple[int, ...]:
    """The sizes at which a case is run: one, or those of its curve."""
    if isinstance(case, Curve):
        return case.quick_sizes if quick else case.sizes
    return (case.quick_size if quick else case.size,)


def too_large(case: Case, implementation: str, size: int) -> bool:
    """Whether an implementation's curve ends before this size."""
    return isinstance(case, Curve) and size > dict(case.most).get(implementation, size)


def rounds_of(case: Case, options: argparse.Namespace) -> int:
    """How many turns each implementation gets."""
    if options.rounds:
        given: int = options.rounds
        return given
    most = QUICK_ROUNDS if options.quick else CURVE_ROUNDS if isinstance(case, Curve) else None
    turns = case.rounds or ROUNDS
    return turns if most is None else min(turns, most)


@dataclass
class Measured:
    """All runs of one case."""

    workload: str
    case: str
    size: int
    #: implementation -> its lines, in the order of the rounds.
    runs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    #: implementation -> why it has no runs.
    failed: dict[str, str] = field(default_factory=dict)
    favoured: str = ""

    def take_turns(self, implementations: Sequence[str], rounds: int) -> None:
        """Run A B A B. One that fails is left out of the rest and of the result; the others go on."""
        self.runs = {implementation: [] for implementation in implementations}
        for _ in range(rounds):
            for implementation in list(self.runs):
                try:
                    line, self.favoured = run(command(self.workload, implementation, self.case, self.size))
                except RunFailed as error:
                    self.failed[implementation] = str(error)
                    del self.runs[implementation]
                    print(f"{self.workload} {self.case} {implementation}: {error}", file=sys.stderr)
                else:
                    self.runs[implementation].append(line)


def source() -> str:
    """The commit that is checked out, and whether the tree differs from it."""
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty=, with changes", "--exclude=*"]
    try:
        return subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "not a checkout"


def machine() -> dict[str, str]:
    """Where this was measured."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        system = platform.system()
    measured, driving = cores()
    return {
        "processor": f"{model}, {len(os.sched_getaffinity(0))} cores usable",
        "pinning": f"measured process on core {measured}, load generator on core {driving}",
        "system": f"{system}, {platform.system()} {platform.release().partition('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "commit": source(),
        "load average before": f"{os.getloadavg()[0]:.2f}",
    }


def arguments(description: str) -> argparse.ArgumentParser:
    """The arguments that choose what is run and where the result goes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("workload", nargs="*", help=f"any of {', '.join(EVERYTHING)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes, fewer rounds and cases")
    parser.add_argument("--only", default="", help="implementations, separated by commas (default: all)")
    parser.add_argument("--output", type=Path, help="where to write the result, as JSON")
    return parser


def choices(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments' values; an unknown name ends with the list of the known ones."""
    options = parser.parse_args(argv)
    options.only = [name for name in options.only.split(",") if name]
    for given, known in ((options.workload, EVERYTHING), (options.only, IMPLEMENTATIONS)):
        for name in given:
            if name not in known:
                parser.error(f"expected names out of {', '.join(known)}, found {name!r}")
    return options


def keep(results: dict[str, Any], output: Path | None) -> None:
    """Write what there is so far, so that an interrupted run leaves something."""
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(results, indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what was asked for; 1 if a run failed."""
    parser = arguments("Times implementations that take turns.")
    turns = f"turns of each (default {ROUNDS}, quick {QUICK_ROUNDS})"
    parser.add_argument("--rows", action="store_true", help="no curves over sizes")
    parser.add_argument("--rounds", type=positive, help=turns)
    parser.add_argument(
        "--again", action="store_true", help="put the named workloads in the place of those in --output"
    )
    options = choices(parser, argv)
    if options.again and not (options.workload and options.output and options.output.exists()):
        parser.error("--again: expected names of workloads, and an --output that is there")
    for name in ("loadgen", "epoll_echo"):
        program(name)
    started = time.strftime("%Y-%m-%d %H:%M %Z")
    results: dict[str, Any] = {
        "started": started,
        "quick": options.quick,
        "rows": options.rows,
        "rounds": options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS),
        "machine": machine(),
        "measured": [],
    }
    again = {"started": started, "commit": results["machine"]["commit"]} if options.again else None
    if again:
        results = json.loads(options.output.read_text())
        results["measured"] = [
            each for each in results["measured"] if each["workload"] not in options.workload
        ]
    failed, start = False, time.monotonic()
    everything = WORKLOADS if options.rows else EVERYTHING
    for name in options.workload or everything:
        workload, here = EVERYTHING[name], []
        began = time.monotonic()
        for case_name, case in workload.cases.items():
            if options.quick and not case.quick:
                continue
            rows = [row for row in workload.rows[case_name] if not options.only or row in options.only]
            for size in sizes(case, options.quick):
                measured = Measured(name, case_name, size)
                measured.take_turns(
                    [row for row in rows if not too_large(case, row, size)], rounds_of(case, options)
                )
                failed = failed or bool(measured.failed)
                here.append(vars(measured))
        print(f"\n{workload.title}\n")
        print("\n".join(curve_table(name, here) if name in SWEEPS else table(name, here)))
        print(f"({time.monotonic() - began:.0f} s)", flush=True)
        results["measured"] += [{**each, "again": again} for each in here]
        if not again:
            results["seconds"] = time.monotonic() - start
        keep(results, options.output)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
