"""How long a program waits until it can begin, one JSON line.

Each import is timed inside an interpreter of its own, from its first statement on; the size is how many there
are, the best counts.
"""

import os
import subprocess
import sys
from collections.abc import Callable

from peers import IMPLEMENTATIONS
from rows import WORKLOADS
from workload import cores, parse, print_line

#: What a child runs: its statement, timed, and whether it was alone.
CHILD = """\
import os, sys, time
os.sched_setaffinity(0, {{{core}}})
started = time.perf_counter_ns()
{statement}
print(time.perf_counter_ns() - started)
found = {forbidden} & set(sys.modules)
if found:
    sys.exit(f"expected nothing of others, found {{found}}")
"""

#: (case, style) -> what is timed. A package may put its work off until its names are asked for, so that is a
#: case too.
STATEMENTS: dict[tuple[str, str], Callable[[str], str]] = {
    ("import", "green"): lambda source: f"import {source}",
    ("names", "green"): lambda source: (
        f"from {source} import Greenlet, Timeout, get_hub, joinall, sleep, spawn, wait"
    ),
    ("patch", "green"): lambda source: f"from {source} import monkey; monkey.patch_all()",
    ("patch", "plain"): lambda source: (
        "import socket, ssl, threading, subprocess, select, selectors, queue, signal, time, os, contextvars"
    ),
}


def timed(source: str, style: str, case: str, forbidden: set[str], number: int) -> float:
    """Milliseconds, of the fastest."""
    statement = STATEMENTS[case, style](source)
    child = CHILD.format(core=cores()[0], statement=statement, forbidden=sorted(forbidden) and forbidden)
    command = [sys.executable, "-c", child]
    # What users have: compiled once.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    took = [
        int(subprocess.run(command, check=True, capture_output=True, text=True, env=environ).stdout)
        for _ in range(number + 1)
    ]
    return min(took[1:]) / 1e6  # the first one may have had files to read


def main() -> None:
    options = parse("import", None)
    row = WORKLOADS["import"].rows[options.case][options.implementation]
    packages = {package for other in IMPLEMENTATIONS.values() for package in other.packages}
    forbidden = packages - IMPLEMENTATIONS[options.implementation].packages
    values = [
        timed(row.source, row.style, options.case, forbidden, options.size) for _ in range(options.repeat)
    ]
    print_line("import", options, {"ms": min(values)})


if __name__ == "__main__":
    main()
