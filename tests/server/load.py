"""Long runs of the web server under load: tests/server/load.py crowd|soak [--seconds N ...]

crowd   Idle, slow and active connections at once: the active ones' 99th percentile of latency, in a median
        round of 5 seconds, beside what it is with them alone. The slow ones send a byte of a head now and
        then, and come back when they are cut.
soak    Requests at a share of what the server can do at most: errors, memory and descriptors at the beginning
        and at the end.
others  The idle and the slow ones of a crowd, which runs this in a process of its own.

The server is a process of its own; the active clients are greenlets of this one, so figures are those of
both.
Prints what was found, and ends with 1 if that is not good enough.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from random import Random
from statistics import median

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import resource

from corolib import socket
from corolib.event import Event
from corolib.fileobject import FileObject
from corolib.greenlet import Greenlet, joinall
from corolib.hub import sleep

SERVER = """
from corolib.pywsgi import WSGIServer

def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]

# Idle connections stay: here they are not the attack.
server = WSGIServer(("127.0.0.1", 0), application, 4096, log=None, error_log=None, max_per_address=0,
                    max_connections=1 << 20, keepalive_timeout=None)
server.start()
print(server.server_port, flush=True)
server.serve_forever()
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Server:
    """The server's process."""

    def __init__(self, program: str = SERVER) -> None:
        root = str(Path(__file__).resolve().parents[2])
        self.process = subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}
        )
        assert self.process.stdout is not None
        self.address = "127.0.0.1", int(self.process.stdout.readline())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def state(self) -> tuple[int, int]:
        """(resident KiB, descriptors)"""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        resident = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        return int(resident), len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Clients:
    """Active connections: one request after the other, at a pace if there is one."""

    def __init__(self, address: tuple[str, int], count: int, rate: float | None = None) -> None:
        self.address = address
        self.count = count
        #: Seconds between two requests of a connection.
        self.pause = count / rate if rate else 0.0
        self.latencies: list[float] = []
        self.errors = 0

    def one(self, number: int, over: Event) -> None:
        sock = socket.create_connection(self.address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        due = time.perf_counter() + self.pause * number / self.count
        while not over.is_set():
            if self.pause:
                due += self.pause
                sleep(max(0.0, due - time.perf_counter()))
            began = time.perf_counter()
            try:
                sock.sendall(REQUEST)
                data = sock.recv(4096)
            except OSError:
                data = b""
            if not data.endswith(b"\r\n\r\nhello"):
                self.errors += 1
                return
            self.latencies.append(time.perf_counter() - began)
        sock.close()

    def run(self, seconds: float) -> dict[str, float]:
        self.latencies, self.errors = [], 0
        over = Event()
        running = [Greenlet.spawn(self.one, number, over) for number in range(self.count)]
        sleep(seconds)
        over.set()
        joinall(running)
        ordered = sorted(self.latencies)

        def at(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000 if ordered else 0.0

        return {
            "requests_per_s": len(ordered) / seconds,
            "p50_ms": at(0.5),
            "p99_ms": at(0.99),
            "p99.9_ms": at(0.999),
            "errors": self.errors,
        }


def slow(address: tuple[str, int], wait: float) -> None:
    """One attacker: a byte of a head each second, again and again. They do not begin all at once."""
    sleep(wait)
    while True:
        sock = socket.create_connection(address)
        try:
            for byte in REQUEST[:-2] * 100:
                sock.sendall(bytes([byte]))
                sleep(1)
        except OSError:
            pass
        finally:
            sock.close()


def others(options: argparse.Namespace) -> None:
    """Those of a crowd that are not active, until the one that has started this closes standard input."""
    # They would be on other machines: the processor is theirs only while nobody else of this run wants it.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    address = ("127.0.0.1", options.port)
    held = []
    for _ in range(options.idle):
        held.append(socket.create_connection(address))
        held[-1].sendall(REQUEST)
        assert held[-1].recv(4096)
    # Each in its own part of the second: people do not send in step.
    for number in range(options.slow):
        Greenlet.spawn(slow, address, 10 * (number + Random(number).random()) / options.slow)
    sleep(12)
    print("all are there", flush=True)
    FileObject(sys.stdin.buffer, "rb").read()


def rounds(active: Clients, seconds: float) -> dict[str, float]:
    """What a median round of 5 seconds is like, which leaves out what else the machine does now and then; and
    the errors of all.
    """
    runs = [active.run(min(5.0, seconds)) for _ in range(max(1, round(seconds / 5)))]
    found = {name: median(run[name] for run in runs) for name in runs[0]}
    return {
        **found,
        "worst_p99_ms": max(run["p99_ms"] for run in runs),
        "errors": sum(run["errors"] for run in runs),
    }


def crowd(options: argparse.Namespace, server: Server) -> bool:
    """See the head of this file."""
    # At a pace that leaves the processor time: what is looked for is what the others cost.
    active = Clients(server.address, options.active, options.rate)
    active.run(2)
    alone = rounds(active, options.seconds)
    print("alone  ", alone, flush=True)
    size = ["--idle", str(options.idle), "--slow", str(options.slow), "--port", str(server.address[1])]
    crowding = subprocess.Popen(
        [sys.executable, __file__, "others", *size], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert crowding.stdin is not None and crowding.stdout is not None
    try:
        assert crowding.stdout.readline() == b"all are there\n"
        together = rounds(active, options.seconds)
        print("crowded", together, "server (KiB, descriptors):", server.state(), flush=True)
    finally:
        crowding.kill()
        crowding.wait()
        crowding.stdin.close()
        crowding.stdout.close()
    ratio = together["p99_ms"] / alone["p99_ms"]
    print(f"99th percentile: {ratio:.2f} times")
    return ratio < 2 and not together["errors"]


def soak(options: argparse.Namespace, server: Server) -> bool:
    """See the head of this file."""
    most = Clients(server.address, options.active).run(min(20.0, options.seconds))
    rate = most["requests_per_s"] * options.share
    print("at most", most, flush=True)
    clients = Clients(server.address, options.active, rate)
    clients.run(min(30.0, options.seconds / 10))  # for everything to have its size
    before = server.state()
    errors, rows = 0, []
    until = time.monotonic() + options.seconds
    while time.monotonic() < until:
        rows.append(clients.run(min(60.0, max(1.0, until - time.monotonic()))))
        errors += int(rows[-1]["errors"])
        print(rows[-1], server.state(), flush=True)
    after = server.state()
    print(f"before {before}, after {after} (KiB, descriptors); {errors} errors")
    worst = max(row["p99.9_ms"] / row["p50_ms"] for row in rows)
    print(f"99.9th percentile: at most {worst:.1f} times the median")
    return errors == 0 and after[0] - before[0] < 2048 and abs(after[1] - before[1]) <= options.active


def main() -> int:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["crowd", "soak", "others"])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--idle", type=int, default=10_000)
    parser.add_argument("--slow", type=int, default=1_000)
    parser.add_argument("--active", type=int, default=100)
    parser.add_argument("--port", type=int, help="of others, that of the server")
    parser.add_argument("--rate", type=float, default=1_000.0, help="of crowd, requests per second together")
    parser.add_argument("--share", type=float, default=0.8, help="of soak, of the most that it can do")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if options.what == "others":
        others(options)
        return 0
    server = Server()
    try:
        return 0 if {"crowd": crowd, "soak": soak}[options.what](options, server) else 1
    finally:
        server.end()


if __name__ == "__main__":
    sys.exit(main())
