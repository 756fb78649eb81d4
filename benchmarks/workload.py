"""What every workload's script has in common: arguments, pinning, the timer, the one line of output."""

import argparse
import gc
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from compiled import program, tool_version
from peers import IMPLEMENTATIONS
from region import COUNTING, count_from_here
from rows import WORKLOADS, Workload

#: A body runs `size` units of work with the functions of a module and returns named values.
Body = Callable[[ModuleType, int], dict[str, float]]


def cores() -> tuple[int, int]:
    """The core for what is measured and the core for what drives it (the same one if there is only one)."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[min(1, len(allowed) - 1)]


def clock() -> int:
    """Nanoseconds of a clock that only moves forward."""
    return time.perf_counter_ns()


def per_unit(started: int, units: int) -> dict[str, float]:
    """The usual result of a body: nanoseconds per unit since `started`."""
    return {"ns": (clock() - started) / units}


def joinall_of(package: ModuleType) -> Callable[[Sequence[Any]], object]:
    """`joinall`; of a package that has none, waiting for one after the other."""
    if hasattr(package, "joinall"):
        found: Callable[[Sequence[Any]], object] = package.joinall
        return found
    return lambda greenlets: [each.wait() for each in greenlets]


def be_alone(implementation: str) -> None:
    """End the process if it has imported a package of another implementation."""
    packages = {package for other in IMPLEMENTATIONS.values() for package in other.packages}
    found = sorted((packages - IMPLEMENTATIONS[implementation].packages) & set(sys.modules))
    if found:
        sys.exit(f"expected nothing of others in a process of {implementation}, found {', '.join(found)}")


def version(implementation: str) -> str:
    """The version of what was measured, for the report."""
    distribution = IMPLEMENTATIONS[implementation].distribution
    if distribution is None:
        return tool_version(IMPLEMENTATIONS[implementation].tool)
    if not distribution:
        return f"Python {platform.python_version()}"
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        # Imported from a source tree by PYTHONPATH, as the tests do.
        return "not installed"


def parse(name: str, argv: list[str] | None, table: Mapping[str, Workload] = WORKLOADS) -> argparse.Namespace:
    """The arguments that each script takes; an unknown name ends with the list of the known ones."""
    workload = table[name]
    known = sorted({implementation for rows in workload.rows.values() for implementation in rows})
    parser = argparse.ArgumentParser(description=workload.title)
    parser.add_argument("implementation", choices=known)
    parser.add_argument("case", nargs="?", choices=list(workload.cases), default=next(iter(workload.cases)))
    parser.add_argument("--size", type=positive, help="units of work (default: that of a full run)")
    parser.add_argument("--repeat", type=positive, default=workload.repeat, help="the best of so many counts")
    options = parser.parse_args(argv)
    if options.implementation not in workload.rows[options.case]:
        having = ", ".join(workload.rows[options.case])
        parser.error(f"expected one of {having} for {name} {options.case}, found {options.implementation}")
    options.size = options.size or workload.cases[options.case].size
    return options


def positive(text: str) -> int:
    """An argument that is a whole number above 0."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, found {text!r}")
    return int(text)


def print_line(name: str, options: argparse.Namespace, values: dict[str, float]) -> None:
    """Print the result and leave at once: to end 100,000 greenlets takes longer than to measure them."""
    line = {
        "workload": name,
        "case": options.case,
        "implementation": options.implementation,
        "version": version(options.implementation),
        "python": platform.python_version(),
        "size": options.size,
        "values": values,
    }
    print(json.dumps(line), flush=True)
    os._exit(0)


def run_program(source: str, name: str, case: str, size: int) -> dict[str, float]:
    """What a built program measures of itself, in a process that inherits our core."""
    command = [str(program(source)), name, case, str(size)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    values: dict[str, float] = json.loads(output)
    return values


def main(
    name: str,
    bodies: dict[tuple[str, str], Body],
    argv: list[str] | None = None,
    table: Mapping[str, Workload] = WORKLOADS,
    own_region: bool = False,
) -> None:
    """Run one case of a workload with one implementation, alone in this process, and print its line.

    With `own_region` the bodies say what of them is to be counted (region.py).
    """
    options = parse(name, argv, table)
    row = table[name].rows[options.case][options.implementation]
    if not os.environ.get(COUNTING):  # what is counted is the same on any core, and several are at once
        os.sched_setaffinity(0, {cores()[0]})
    results = []
    if row.style == "program":
        results = [run_program(row.source, name, options.case, options.size) for _ in range(options.repeat)]
    else:
        module = importlib.import_module(row.source)
        body = bodies[options.case, row.style]
        if not own_region:
            count_from_here()
        for _ in range(options.repeat):
            gc.collect()
            results.append(body(module, options.size))
        be_alone(options.implementation)
    print_line(name, options, {value: min(result[value] for result in results) for value in results[0]})
