"""Many idle connections and an active one among them, one JSON line.

This process holds the idle ones, after one exchange on each. The server's memory is read from the kernel
(Rss in smaps_rollup) before and after; what the kernel itself keeps for a connection is not in it. Then the
load generator uses one more connection, in several windows, of which the median counts: a virtual machine
whose core is lent away for some milliseconds has them in one window's 99th percentile. It does not sleep
while it waits, or the time of its own awakening would be most of what is measured: C itself was at 0.9 to 1.7
of gevent that way.
"""

import socket
from pathlib import Path
from statistics import median

from echo import WARM_UP_S, allow_many_files, load, server_command, serving
from workload import cores, parse, print_line

#: Connected before the first reading, so that what an implementation sets up once is not counted.
FIRST = 100
#: The measured windows of the active connection, and their length in seconds.
WINDOWS, WINDOW_S = 9, 0.4
SIZE = 64
#: Opened before their answers are waited for; less than the servers' backlog.
BATCH = 500


def resident(pid: int) -> int:
    """Bytes of a process that are in memory."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"expected a line 'Rss:' in /proc/{pid}/smaps_rollup, found none")


def connect(port: int, count: int) -> list[socket.socket]:
    """Connections that have had one answer each."""
    made: list[socket.socket] = []
    while len(made) < count:
        batch = [socket.create_connection(("127.0.0.1", port)) for _ in range(min(BATCH, count - len(made)))]
        for each in batch:
            each.sendall(bytes(SIZE))
        for each in batch:
            if len(each.recv(SIZE, socket.MSG_WAITALL)) != SIZE:
                raise RuntimeError("a connection ended before its answer")
        made += batch
    return made


def main() -> None:
    """Measure one case with one implementation."""
    options = parse("idle", None)
    server_core, client_core = cores()
    allow_many_files()
    command = server_command(options.implementation, "idle", options.case)
    with serving(command, server_core) as (pid, port):
        idle = connect(port, FIRST)
        before = resident(pid)
        idle += connect(port, options.size)
        grown = resident(pid) - before
        load(port, 1, SIZE, "seconds", WARM_UP_S, client_core, "awake")
        windows = [load(port, 1, SIZE, "seconds", WINDOW_S, client_core, "awake") for _ in range(WINDOWS)]
        for each in idle:
            each.close()
    values = {name: median(each[name] for each in windows) for name in ("requests_per_s", "p50_us", "p99_us")}
    print_line("idle", options, values | {"bytes": grown / options.size})


if __name__ == "__main__":
    main()
