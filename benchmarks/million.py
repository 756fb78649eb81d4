"""A million sleeping greenlets and 15,000 connections in one process: memory, wake-up, shut-down.

    million.py [--greenlets N] [--connections N] [--sleep SECONDS] [--output FILE]

This process holds the connections' other ends and asks; the one with the greenlets is a child. It prints what
it measures, and ends with an error if an answer is wrong or a greenlet has not slept to its end.
"""

import argparse
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from driver import keep, source
from echo import allow_many_files, load
from idle import connect, resident
from workload import cores, positive

SIZE = 64
BACKLOG = 1024
#: What parking a greenlet may take: so long they sleep at the least, each, in a million.
PARKING_S = 30e-6


class Crowd:
    """The child's side: sleeping greenlets, and an echo server for whoever connects."""

    def __init__(self) -> None:
        # Imported here: the parent has no business with it.
        import corolib
        from corolib.server import StreamServer

        self.corolib = corolib
        self.greenlets: list[Any] = []
        self.due = 0.0
        self.echo = StreamServer(("127.0.0.1", 0), self.serve, backlog=BACKLOG)
        self.control = StreamServer(("127.0.0.1", 0), self.obey)

    def run(self) -> None:
        """Print the two ports, then serve."""
        self.echo.start()
        self.control.start()
        print(self.echo.server_port, self.control.server_port, flush=True)
        self.control.serve_forever()

    def serve(self, connection: Any, _: Any) -> None:
        """An echo."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(SIZE):
            connection.sendall(data)

    def obey(self, connection: Any, _: Any) -> None:
        """A command per line, an answer per line."""
        stream = connection.makefile("rw")
        for words in map(str.split, stream):
            answer = getattr(self, f"do_{words[0]}")(*map(float, words[1:]))
            stream.write(json.dumps(answer) + "\n")
            stream.flush()

    def do_park(self, count: float, seconds: float) -> dict[str, float]:
        """So many greenlets that sleep until one moment, so many seconds from now."""
        spawn, sleep = self.corolib.spawn, self.corolib.sleep
        began = time.perf_counter()
        self.due = began + seconds

        def until_due() -> None:
            sleep(self.due - time.perf_counter())

        self.greenlets = [spawn(until_due) for _ in range(int(count))]
        sleep(0)
        return {"seconds": time.perf_counter() - began, "left": self.due - time.perf_counter()}

    def do_wait(self) -> dict[str, float]:
        """All have ended: how long after they were due, and how many of them as they should."""
        self.corolib.joinall(self.greenlets)
        late = time.perf_counter() - self.due
        right = sum(each.successful() for each in self.greenlets)
        self.greenlets = []
        return {"seconds": late, "right": right}

    def do_kill(self) -> dict[str, float]:
        """All are killed."""
        began = time.perf_counter()
        self.corolib.killall(self.greenlets)
        took = time.perf_counter() - began
        dead = sum(each.dead for each in self.greenlets)
        self.greenlets = []
        return {"seconds": took, "dead": dead}

    def do_leave(self) -> None:
        """The end of the program, whatever sleeps."""
        sys.stderr.flush()
        self.corolib.get_hub().loop.run_callback(self.control.stop)


class Asker:
    """The parent's side of the control connection."""

    def __init__(self, port: int) -> None:
        self.stream = socket.create_connection(("127.0.0.1", port)).makefile("rw")

    def ask(self, *words: object) -> dict[str, Any]:
        """One command and its answer."""
        self.stream.write(" ".join(map(str, words)) + "\n")
        self.stream.flush()
        line = self.stream.readline()
        if not line:
            sys.exit(f"million.py: the process has gone when asked to {words[0]}")
        answer: dict[str, Any] = json.loads(line) or {}
        return answer


#: What was measured: of what, how much, of which unit.
FIGURES: list[tuple[str, float, str]] = []


def say(what: str, figure: float, unit: str) -> None:
    """A line of the result."""
    FIGURES.append((what, figure, unit))
    print(f"{what:62} {figure:14,.1f} {unit}", flush=True)


def check(found: float, expected: float, what: str) -> None:
    """End with an error if not all of them did what they should."""
    if found != expected:
        sys.exit(f"million.py: expected {expected:,.0f} {what}, found {found:,.0f}")


def latency(port: int, what: str) -> None:
    """One more connection, asked over and over for a second."""
    found = load(port, 1, SIZE, "seconds", 1.0, cores()[1])
    say(f"echo on another connection, {what}: median", found["p50_us"], "us")
    say(f"echo on another connection, {what}: 99th percentile", found["p99_us"], "us")


def measure(greenlets: int, connections: int, seconds: float) -> None:
    """Everything, in order."""
    allow_many_files()
    child = subprocess.Popen(
        ["taskset", "-c", str(cores()[0]), sys.executable, __file__, "--child"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        echo_port, control_port = map(int, child.stdout.readline().split())
        asker = Asker(control_port)
        empty = resident(child.pid)
        say("resident, the empty process", empty / 2**20, "MiB")

        parked = asker.ask("park", greenlets, seconds)
        if parked["left"] < 2:
            sys.exit(f"million.py: {seconds} s are over before all sleep: expected a longer --sleep")
        full = resident(child.pid)
        say(f"{greenlets:,} greenlets, spawned and asleep, in", parked["seconds"], "s")
        say("resident per sleeping greenlet", (full - empty) / greenlets, "B")

        began = time.perf_counter()
        clients = connect(echo_port, connections)
        say(f"{connections:,} connections, each with one answer, in", time.perf_counter() - began, "s")
        say("resident per idle connection", (resident(child.pid) - full) / connections, "B")
        say("resident, all together", resident(child.pid) / 2**20, "MiB")
        latency(echo_port, "all asleep")

        woken = asker.ask("wait")
        check(woken["right"], greenlets, "greenlets that slept to their end")
        say("from the moment when all are due until the last has ended", woken["seconds"], "s")
        say("resident, after it", resident(child.pid) / 2**20, "MiB")
        for each in clients:
            each.sendall(bytes(SIZE))
        answers = sum(len(each.recv(SIZE, socket.MSG_WAITALL)) == SIZE for each in clients)
        check(answers, connections, "answers on the idle connections")

        asker.ask("park", greenlets, 1e6)
        killed = asker.ask("kill")
        check(killed["dead"], greenlets, "dead greenlets")
        say(f"killall of {greenlets:,} sleeping greenlets", killed["seconds"], "s")

        asker.ask("park", greenlets, 1e6)
        began = time.perf_counter()
        asker.ask("leave")
        status = child.wait(600)
        check(status, 0, "as exit status")
        say(
            "from the end of the main function to the end of the process, all asleep",
            time.perf_counter() - began,
            "s",
        )
        for each in clients:
            each.close()
    finally:
        child.kill()
        child.wait()


def main() -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--greenlets", type=positive, default=1_000_000)
    parser.add_argument("--connections", type=positive, default=15_000)
    parser.add_argument("--sleep", type=positive, help="seconds (default: by the number of greenlets)")
    parser.add_argument("--output", type=Path, help="where to write the result, as JSON")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        Crowd().run()
    else:
        seconds = options.sleep or 10 + options.greenlets * PARKING_S
        started = time.strftime("%Y-%m-%d %H:%M %Z")
        measure(options.greenlets, options.connections, seconds)
        keep({"started": started, "commit": source(), "figures": FIGURES}, options.output)


if __name__ == "__main__":
    main()
