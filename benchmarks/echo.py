"""An echo server on one core and the load generator on another, one JSON line.

Neither is in this process: it starts both, pins them, and reads from the kernel how long the server was
on a CPU while the load generator measured (the first field of schedstat, nanoseconds, of all threads).
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from compiled import program
from rows import WORKLOADS
from workload import cores, parse, print_line

HERE = Path(__file__).resolve().parent
#: Not measured: lets the server accept everything and reach its working set.
WARM_UP_S = 0.3
#: A server that has not ended so long after it was asked to is killed, which is an error.
END_S = 60


def server_command(implementation: str, workload: str, case: str, *words: str) -> list[str]:
    """What starts the echo server of an implementation."""
    row = WORKLOADS[workload].rows[case][implementation]
    if row.style == "program":
        return [str(program(row.source)), "echo", *words]
    return [sys.executable, str(HERE / "servers.py"), implementation, *words]


def shape(case: str) -> tuple[int, int]:
    """Connections and bytes per message, which are a case's name."""
    connections, size = case.split("x")
    return int(connections), int(size)


def allow_many_files() -> None:
    """Raise the limit of open files as far as it goes: the usual one is less than the largest case needs."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def serving(command: list[str], core: int) -> Iterator[tuple[int, int]]:
    """A server pinned to a core: its process id and its port. When done it is asked to end and waited for."""
    # Pinned from the start: threads inherit it.
    pinned = ["taskset", "-c", str(core), *command]
    with (
        TemporaryFile("w+") as complaints,
        subprocess.Popen(pinned, stdout=subprocess.PIPE, stderr=complaints, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.strip().isdecimal():
                process.wait(END_S)
                complaints.seek(0)
                last = complaints.read().strip().splitlines()[-1:] or [repr(line)]
                sys.exit(f"echo.py: expected a port from {Path(command[-1]).name}, found {last[0]}")
            yield process.pid, int(line)
            # Not killed: under a tool that counts, the end is when the tool writes what it has counted.
            process.terminate()
            process.wait(END_S)
        finally:
            process.kill()


def load(
    port: int, connections: int, size: int, kind: str, limit: float, core: int, *words: str
) -> dict[str, Any]:
    """Run the load generator, pinned to a core; a wrong answer ends the measurement."""
    command = [str(program("loadgen")), str(port), str(connections), str(size), kind, f"{limit:g}", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(process.pid, {core})
        output, _ = process.communicate()
    if process.returncode:
        sys.exit(f"echo.py: the load generator failed with exit status {process.returncode}")
    result: dict[str, Any] = json.loads(output)
    if result["errors"]:
        right, wrong = result["requests"], result["errors"]
        sys.exit(f"echo.py: {wrong} wrong answers or broken connections, {right} right answers")
    return result


def family(pid: int) -> list[int]:
    """A process and all that it has started, directly or not."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has just ended
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def on_cpu_ns(pid: int) -> int:
    """How long all threads of a process and its children were on a CPU: some have several."""
    return sum(
        int(path.read_text().split()[0])
        for each in family(pid)
        for path in Path(f"/proc/{each}/task").glob("*/schedstat")
    )


def measure(
    command: list[str], connections: int, size: int, milliseconds: int, *words: str
) -> dict[str, float]:
    """What the load generator found, and the server's time on a CPU per request. In the words for the load
    generator `{pid}` stands for the server.
    """
    server_core, client_core = cores()
    allow_many_files()
    with serving(command, server_core) as (pid, port):
        words = tuple(word.format(pid=pid) for word in words)
        load(port, connections, size, "seconds", WARM_UP_S, client_core, *words)
        before = on_cpu_ns(pid)
        result = load(port, connections, size, "seconds", milliseconds / 1000, client_core, *words)
        spent = on_cpu_ns(pid) - before
    values = {name: result[name] for name in ("requests", "requests_per_s", "p50_us", "p99_us")}
    return values | {"cpu_us": spent / 1000 / result["requests"]}


def main() -> None:
    """Measure one case with one implementation."""
    options = parse("echo", None)
    command = server_command(options.implementation, "echo", options.case)
    print_line("echo", options, measure(command, *shape(options.case), options.size))


if __name__ == "__main__":
    main()
