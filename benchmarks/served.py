"""A server with so many connections, or asked so often, one JSON line: a point of a curve.

The size is the number of connections (`connections`: each has a request on its way) or of requests per
second that begin at regular times (`load`), over as many connections as the other workloads have.
"""

import argparse
import sys

from echo import WARM_UP_S, allow_many_files, load, on_cpu_ns, server_command, serving
from sweeps import SWEEPS
from web import HTTP_BYTES, wait_until_it_listens, web_command
from workload import cores, parse, print_line

#: The measured window.
WINDOW_S = 0.5
ECHO_BYTES = 64
#: Connections over which a rate is offered.
ECHO_CONNECTIONS, HTTP_CONNECTIONS = 100, 64


def point(name: str, options: argparse.Namespace) -> dict[str, float]:
    """What the load generator found, and the server's time on a CPU per request."""
    web = options.case == "http"
    command = (
        web_command(options.implementation)
        if web
        else server_command(options.implementation, "echo", "100x64")
    )
    answer = HTTP_BYTES if web else ECHO_BYTES
    words = ["http"] if web else []
    usual = HTTP_CONNECTIONS if web else ECHO_CONNECTIONS
    connections = options.size if name == "connections" else usual
    server_core, client_core = cores()
    allow_many_files()
    with serving(command, server_core) as (pid, port):
        wait_until_it_listens(port)
        load(port, min(connections, usual), answer, "seconds", WARM_UP_S, client_core, *words)
        if name == "load":
            words += ["rate", str(options.size)]
        before = on_cpu_ns(pid)
        found = load(port, connections, answer, "seconds", WINDOW_S, client_core, *words)
        spent = on_cpu_ns(pid) - before
    values = {each: found[each] for each in ("requests", "requests_per_s", "p50_us", "p99_us")}
    return values | {"cpu_us": spent / 1000 / found["requests"]}


def main() -> None:
    """`served.py connections|load IMPLEMENTATION CASE --size N`."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in SWEEPS or name == "growth":
        sys.exit(f"served.py: expected connections or load, found {name!r}")
    options = parse(name, sys.argv[2:], SWEEPS)
    print_line(name, options, point(name, options))


if __name__ == "__main__":
    main()
